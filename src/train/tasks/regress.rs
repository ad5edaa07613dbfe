//! Numbers per sample, standardised while they are learnt.

use anyhow::Result;

use super::super::outputs::{Outputs, Target};
use super::objective::{EachOutput, Objective, Prediction, Scores, all};
use super::task::{FinetuneTask, TaskSettings};
use crate::core::buffer::Buf;
use crate::core::tape::Tape;
use crate::data::{Dataset, Scale, Truth, TruthKind};
use crate::error::UsageError;
use crate::host::views::Ranges;
use crate::metrics::Regression;
use crate::models::{self, ModelSettings, Place};
use crate::ops::{Batch, Value, batch_targets, huber, mse};
use crate::variants;

variants! {
    /// What regression makes small.
    pub enum RegressionLoss {
        /// The mean squared error.
        Mse = "mse",
        /// Squares up to one standard deviation, straight beyond: outliers count less.
        Huber = "huber",
    }
}

pub(super) static TASK: Regress = Regress;

pub(super) struct Regress;

impl FinetuneTask for Regress {
    fn name(&self) -> &'static str {
        "regress"
    }

    fn help(&self) -> &'static str {
        "A number per sample."
    }

    fn stage(&self) -> &'static str {
        "regressor"
    }

    fn truth(&self) -> TruthKind {
        TruthKind::Numbers
    }

    fn settings(&self) -> &'static [&'static str] {
        &["loss"]
    }

    fn measures(&self) -> &'static [&'static str] {
        &["r2", "mae", "rmse"]
    }

    fn begin(&self, settings: &TaskSettings<'_>, _data: &Dataset, train: &Truth, outputs: &mut Outputs) -> Result<Box<dyn Objective>> {
        outputs.targets = vec![standardised(settings.target.unwrap_or("target"), train)?];
        Ok(Box::new(Numbers { targets: outputs.targets.clone(), loss: settings.loss }))
    }

    fn recall(&self, outputs: &Outputs) -> Box<dyn Objective> {
        Box::new(Numbers { targets: outputs.targets.clone(), loss: RegressionLoss::Mse })
    }
}

/// Mean and deviation of what is trained on.
fn standardised(name: &str, train: &Truth) -> Result<Target> {
    let values: Vec<f64> = train.targets.iter().flatten().map(|&value| f64::from(value)).collect();
    let scale = if values.is_empty() { Scale { mean: 0.0, std: 1.0 } } else { Scale::of(&values) };
    if scale.is_constant() {
        return Err(UsageError(format!("`{name}` is {} in all training samples; there is nothing to learn", scale.mean)).into());
    }
    Ok(Target { name: name.into(), scale })
}

struct Numbers {
    targets: Vec<Target>,
    loss: RegressionLoss,
}

impl Numbers {
    /// Calls `f(value, scale)` for the values of rows.
    fn each(&self, mut rows: Vec<f32>, f: impl Fn(f64, Scale) -> f64) -> Vec<f32> {
        let scales = self.targets.iter().map(|target| target.scale).cycle();
        rows.iter_mut().zip(scales).for_each(|(value, scale)| *value = f(f64::from(*value), scale) as f32);
        rows
    }

    /// Standardised numbers in their own units.
    fn restored(&self, rows: Vec<f32>) -> Vec<f32> {
        self.each(rows, |value, scale| value * scale.std + scale.mean)
    }
}

impl Objective for Numbers {
    fn describe(&self) -> String {
        self.targets.iter().map(|target| target.name.as_str()).collect::<Vec<_>>().join(", ")
    }

    fn to_train_on(&self, truth: Truth) -> Truth {
        let scaled = |targets| self.each(targets, |value, scale| (value - scale.mean) / scale.std);
        Truth { targets: truth.targets.map(scaled), ..truth }
    }

    fn output(&self, t: &mut Tape<'_>, model: &ModelSettings, [encoder, _]: [Place; 2], x: Value) -> Buf {
        let features = models::encoder(t, model, encoder, x);
        models::classifier(t, model, self.targets.len() as u32, features)
    }

    fn loss(&self, t: &mut Tape<'_>, batch: Batch, _: Ranges, output: Buf) -> Buf {
        let wanted = batch_targets(t, batch);
        match self.loss {
            RegressionLoss::Mse => mse(t, "loss", output, wanted),
            RegressionLoss::Huber => huber(t, "loss", output, wanted, 1.0),
        }
    }

    fn predictions(&self, outputs: &[f32], _samples: u32) -> Vec<Prediction> {
        let names = || self.targets.iter().map(|target| target.name.clone());
        let prediction = |row: &[f32]| Prediction::Numbers(names().zip(row.iter().copied()).collect());
        self.restored(outputs.to_vec()).chunks(self.targets.len().max(1)).map(prediction).collect()
    }

    fn judge(&self, outputs: &mut EachOutput<'_>, truth: &Truth, _detailed: bool) -> Result<Scores> {
        let (predicted, wanted) = (self.restored(all(outputs)?), truth.targets.as_deref().unwrap_or_default());
        let names: Vec<String> = self.targets.iter().map(|target| target.name.clone()).collect();
        let found = Regression::of(&predicted, wanted, names.len(), &names)?;
        Ok(Scores {
            score: found.r2,
            samples: (wanted.len() / names.len().max(1)) as u32,
            values: vec![("r2", found.r2), ("mae", Some(found.mae)), ("rmse", Some(found.rmse))],
            text: found.to_string(),
            details: None,
        })
    }
}
