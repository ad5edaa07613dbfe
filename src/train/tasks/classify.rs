//! A class per sample: softmax cross-entropy.

use anyhow::{Result, ensure};
use serde_json::json;

use super::super::outputs::Outputs;
use super::objective::{Details, EachOutput, Objective, Prediction, Scores, all};
use super::task::{FinetuneTask, TaskSettings};
use crate::core::buffer::Buf;
use crate::core::tape::Tape;
use crate::data::{Dataset, Truth, TruthKind};
use crate::host::views::Ranges;
use crate::metrics::{Classification, Confusion, accuracy_and_loss, best};
use crate::models::{self, ModelSettings, Place};
use crate::ops::{Batch, Value, batch_labels, cross_entropy};

pub(super) static TASK: Classify = Classify;

pub(super) struct Classify;

impl FinetuneTask for Classify {
    fn name(&self) -> &'static str {
        "classify"
    }

    fn help(&self) -> &'static str {
        "A class per sample."
    }

    fn stage(&self) -> &'static str {
        "classifier"
    }

    fn truth(&self) -> TruthKind {
        TruthKind::Classes
    }

    fn settings(&self) -> &'static [&'static str] {
        &["labels_per_class", "pseudo_labels", "min_confidence", "label_smoothing", "out_of_scope"]
    }

    fn measures(&self) -> &'static [&'static str] {
        &["accuracy", "loss"]
    }

    fn has_gentle_defaults(&self) -> bool {
        true
    }

    fn begin(&self, settings: &TaskSettings<'_>, data: &Dataset, _train: &Truth, outputs: &mut Outputs) -> Result<Box<dyn Objective>> {
        outputs.class_names = data.class_names.clone();
        Ok(Box::new(Classes { count: data.classes, names: data.class_names.clone(), label_smoothing: settings.label_smoothing }))
    }

    fn recall(&self, outputs: &Outputs) -> Box<dyn Objective> {
        Box::new(Classes { count: outputs.classes, names: outputs.class_names.clone(), label_smoothing: 0.0 })
    }
}

struct Classes {
    count: u32,
    /// None of a run that did not note them.
    names: Vec<String>,
    label_smoothing: f32,
}

impl Classes {
    /// Every class, and what it was mistaken for.
    fn details(&self, logits: &[f32], labels: &[u32]) -> Result<Details> {
        let predicted: Vec<u32> = logits.chunks(self.count.max(1) as usize).map(|row| best(row).0 as u32).collect();
        let judged = Classification::of(&Confusion::of(labels, &predicted, self.count as usize)?, &self.names)?;
        Ok(Details { name: "classification", text: judged.to_string(), json: json!(judged) })
    }
}

impl Objective for Classes {
    fn describe(&self) -> String {
        format!("{} classes", self.count)
    }

    fn output(&self, t: &mut Tape<'_>, model: &ModelSettings, [encoder, _]: [Place; 2], x: Value) -> Buf {
        let features = models::encoder(t, model, encoder, x);
        models::classifier(t, model, self.count, features)
    }

    fn loss(&self, t: &mut Tape<'_>, batch: Batch, _: Ranges, output: Buf) -> Buf {
        let targets = batch_labels(t, batch);
        cross_entropy(t, "loss", output, targets, self.label_smoothing)
    }

    fn predictions(&self, outputs: &[f32], _samples: u32) -> Vec<Prediction> {
        let prediction = |logits: &[f32]| {
            let (class, probability) = best(logits);
            Prediction::Class { class, probability, name: self.names.get(class).cloned() }
        };
        outputs.chunks(self.count.max(1) as usize).map(prediction).collect()
    }

    fn judge(&self, outputs: &mut EachOutput<'_>, truth: &Truth, detailed: bool) -> Result<Scores> {
        let (labels, classes) = (truth.labels.as_deref().unwrap_or_default(), self.count as usize);
        let beyond = labels.iter().find(|&&label| label >= self.count);
        ensure!(beyond.is_none(), "the run knows {classes} classes, there are samples of class number {}", beyond.unwrap_or(&0));
        let logits = all(outputs)?;
        let (accuracy, loss) = accuracy_and_loss(&logits, classes, labels);
        let details = detailed.then(|| self.details(&logits, labels)).transpose()?;
        Ok(Scores {
            score: Some(accuracy),
            samples: labels.len() as u32,
            values: vec![("accuracy", Some(accuracy)), ("loss", Some(loss))],
            text: format!("accuracy {:.2} %, loss {loss:.4}, {} samples", 100.0 * accuracy, labels.len()),
            details,
        })
    }
}
