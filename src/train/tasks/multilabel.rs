//! Any number of labels per sample: binary cross-entropy of each.

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::super::outputs::Outputs;
use super::objective::{Details, EachOutput, Objective, Prediction, Scores, all};
use super::task::{FinetuneTask, TaskSettings};
use crate::core::buffer::Buf;
use crate::core::tape::Tape;
use crate::data::{Dataset, RIGHT, Truth, TruthKind, UNKNOWN};
use crate::host::views::Ranges;
use crate::metrics::MultiLabel;
use crate::models::{self, ModelSettings, Place};
use crate::ops::{Batch, Value, batch_targets, binary_cross_entropy};

pub(super) static TASK: SeveralLabels = SeveralLabels;

pub(super) struct SeveralLabels;

impl FinetuneTask for SeveralLabels {
    fn name(&self) -> &'static str {
        "multilabel"
    }

    fn help(&self) -> &'static str {
        "Any number of labels per sample."
    }

    fn stage(&self) -> &'static str {
        "multilabel classifier"
    }

    fn truth(&self) -> TruthKind {
        TruthKind::LabelSets
    }

    fn settings(&self) -> &'static [&'static str] {
        &["pseudo_labels", "min_confidence"]
    }

    fn measures(&self) -> &'static [&'static str] {
        &["mean_average_precision", "micro_f1", "macro_f1", "loss"]
    }

    fn has_gentle_defaults(&self) -> bool {
        true
    }

    fn begin(&self, _: &TaskSettings<'_>, data: &Dataset, _train: &Truth, outputs: &mut Outputs) -> Result<Box<dyn Objective>> {
        outputs.class_names = data.class_names.clone();
        Ok(Box::new(Labels { count: data.classes, names: data.class_names.clone() }))
    }

    fn recall(&self, outputs: &Outputs) -> Box<dyn Objective> {
        Box::new(Labels { count: outputs.classes, names: outputs.class_names.clone() })
    }
}

struct Labels {
    count: u32,
    names: Vec<String>,
}

impl Objective for Labels {
    fn describe(&self) -> String {
        format!("{} labels, any number of them at once", self.count)
    }

    fn output(&self, t: &mut Tape<'_>, model: &ModelSettings, [encoder, _]: [Place; 2], x: Value) -> Buf {
        let features = models::encoder(t, model, encoder, x);
        models::classifier(t, model, self.count, features)
    }

    /// Summed over the labels of a sample, so that learning rates mean what they mean for classes.
    fn loss(&self, t: &mut Tape<'_>, batch: Batch, _: Ranges, output: Buf) -> Buf {
        let wanted = batch_targets(t, batch);
        binary_cross_entropy(t, "loss", output, wanted, self.count as f32)
    }

    fn predictions(&self, outputs: &[f32], _samples: u32) -> Vec<Prediction> {
        let name = |label: usize| self.names.get(label).cloned().unwrap_or_else(|| label.to_string());
        let probability = |z: &f32| 1.0 / (1.0 + (-f64::from(*z)).exp());
        let of_row = |row: &[f32]| Prediction::Labels(row.iter().enumerate().map(|(label, z)| (name(label), probability(z))).collect());
        outputs.chunks(self.count.max(1) as usize).map(of_row).collect()
    }

    fn judge(&self, outputs: &mut EachOutput<'_>, truth: &Truth, detailed: bool) -> Result<Scores> {
        let sets = truth.label_sets.as_ref().context("there are no sets of labels to compare with")?;
        ensure!(sets.width() == self.count, "the run knows {} labels, the samples have {}", self.count, sets.width());
        let known: Vec<Option<bool>> = sets.iter().flatten().map(|&said| (said != UNKNOWN).then_some(said == RIGHT)).collect();
        let judged = MultiLabel::of(&all(outputs)?, &known, self.count as usize, &self.names)?;
        let percent = |share: Option<f64>| share.map_or("-".to_string(), |share| format!("{:.2} %", 100.0 * share));
        let MultiLabel { samples, mean_average_precision, micro_f1, macro_f1, loss, .. } = judged;
        let said = [mean_average_precision, micro_f1, macro_f1].map(percent);
        let of_loss = loss.map_or("-".to_string(), |loss| format!("{loss:.4}"));
        let text = format!(
            "mean average precision {}, at a probability of one half micro F1 {}, macro F1 {}, loss {of_loss}, {samples} samples",
            said[0], said[1], said[2]
        );
        Ok(Scores {
            score: mean_average_precision,
            samples: samples as u32,
            values: vec![
                ("mean_average_precision", mean_average_precision),
                ("micro_f1", micro_f1),
                ("macro_f1", macro_f1),
                ("loss", loss),
            ],
            text,
            details: detailed.then(|| Details { name: "labels", text: format!("{judged}\n"), json: json!(judged.labels) }),
        })
    }
}
