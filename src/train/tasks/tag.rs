//! A class per word: softmax cross-entropy at the first token of each.

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::super::outputs::Outputs;
use super::objective::{Details, EachOutput, Objective, Prediction, Scores};
use super::task::{FinetuneTask, TaskSettings};
use crate::core::buffer::{Buf, Dtype, Fill, Role, shape};
use crate::core::sample::NO_TOKEN;
use crate::core::tape::Tape;
use crate::data::{Dataset, Truth, TruthKind};
use crate::host::views::Ranges;
use crate::metrics::{SpanCounts, TaggingCounts, best, first_largest};
use crate::models::{self, ModelKind, ModelSettings, Place};
use crate::ops::{Batch, Value, batch_tags, pixel_cross_entropy};

pub(super) static TASK: Tag = Tag;

pub(super) struct Tag;

impl FinetuneTask for Tag {
    fn name(&self) -> &'static str {
        "tag"
    }

    fn help(&self) -> &'static str {
        "A class per word of texts."
    }

    fn stage(&self) -> &'static str {
        "tagger"
    }

    fn truth(&self) -> TruthKind {
        TruthKind::Tags
    }

    fn settings(&self) -> &'static [&'static str] {
        &[]
    }

    fn measures(&self) -> &'static [&'static str] {
        &["f1", "precision", "recall", "accuracy"]
    }

    fn of_states(&self) -> bool {
        true
    }

    fn default_model(&self) -> ModelKind {
        ModelKind::BERT
    }

    fn has_gentle_defaults(&self) -> bool {
        true
    }

    fn begin(&self, _: &TaskSettings<'_>, data: &Dataset, _train: &Truth, outputs: &mut Outputs) -> Result<Box<dyn Objective>> {
        outputs.class_names = data.class_names.clone();
        Ok(Box::new(WordClasses { names: data.class_names.clone() }))
    }

    fn recall(&self, outputs: &Outputs) -> Box<dyn Objective> {
        let number = |class: u32| class.to_string();
        let names = if outputs.class_names.is_empty() { (0..outputs.classes).map(number).collect() } else { outputs.class_names.clone() };
        Box::new(WordClasses { names })
    }
}

struct WordClasses {
    /// Of the classes.
    names: Vec<String>,
}

impl WordClasses {
    fn classes(&self) -> usize {
        self.names.len().max(1)
    }
}

impl Objective for WordClasses {
    fn describe(&self) -> String {
        format!("{} classes of words", self.names.len())
    }

    fn output(&self, t: &mut Tape<'_>, model: &ModelSettings, places: [Place; 2], x: Value) -> Buf {
        models::tagger(t, model, places, self.names.len() as u32, x)
    }

    fn loss(&self, t: &mut Tape<'_>, batch: Batch, _: Ranges, output: Buf) -> Buf {
        let targets = batch_tags(t, batch);
        let alike = Fill::F32(vec![1.0; self.names.len()]);
        let weights = t.arena.buffer("class weights", Role::Input, Dtype::F32, shape(1, self.names.len() as u32), alike);
        pixel_cross_entropy(t, "loss", output, targets, weights, NO_TOKEN)
    }

    fn predictions(&self, outputs: &[f32], samples: u32) -> Vec<Prediction> {
        let of_text = |logits: &[f32]| Prediction::Tags(logits.chunks(self.classes()).map(best).collect());
        outputs.chunks((outputs.len() / samples.max(1) as usize).max(1)).map(of_text).collect()
    }

    fn judge(&self, outputs: &mut EachOutput<'_>, truth: &Truth, detailed: bool) -> Result<Scores> {
        let tags = truth.tags.as_ref().context("there are no tags to compare with")?;
        let (mut counts, mut done) = (TaggingCounts::new(&self.names), 0);
        outputs(&mut |samples, logits| {
            ensure!(done + samples <= tags.len(), "there are outputs for more texts than have tags");
            for (text, logits) in (done..).zip(logits.chunks((logits.len() / samples.max(1) as usize).max(1))) {
                let predicted = |place: usize| Some(first_largest(logits.chunks(self.classes()).nth(place)?) as u32);
                let (known, predicted): (Vec<u32>, Vec<Option<u32>>) =
                    tags.words(text).map(|(class, place)| (class, place.and_then(predicted))).unzip();
                counts.add(&known, &predicted)?;
            }
            done += samples;
            Ok(())
        })?;
        let found = counts.judged()?;
        let spans = |of: fn(&SpanCounts) -> Option<f64>| found.spans.as_ref().and_then(of);
        let f1 = spans(SpanCounts::f1);
        let details = detailed.then(|| Details { name: "tagging", text: found.to_string(), json: json!(found) });
        Ok(Scores {
            // Classes that mark no spans are judged word by word.
            score: if found.spans.is_some() { f1 } else { Some(found.accuracy) },
            samples: tags.len(),
            values: vec![
                ("f1", f1),
                ("precision", spans(SpanCounts::precision)),
                ("recall", spans(SpanCounts::recall)),
                ("accuracy", Some(found.accuracy)),
            ],
            text: format!("{}, {} texts", found.summary(), tags.len()),
            details: details.filter(|_| found.spans.is_some()),
        })
    }
}
