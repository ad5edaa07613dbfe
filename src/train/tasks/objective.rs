//! What one run learns: the head, the loss, what outputs mean, and what they are worth.

use anyhow::Result;
use serde_json::Value as Json;

use crate::core::buffer::Buf;
use crate::core::tape::Tape;
use crate::data::Truth;
use crate::host::views::Ranges;
use crate::models::{ModelSettings, Place};
use crate::ops::{Batch, Value};

/// Gets the number of samples of a batch and their outputs, dense.
pub type BatchOutput<'a> = dyn FnMut(u32, Vec<f32>) -> Result<()> + 'a;

/// Calls what it is given for each batch.
pub type EachOutput<'a> = dyn FnMut(&mut BatchOutput<'_>) -> Result<()> + 'a;

/// What predictions are worth.
#[derive(Clone, Debug, PartialEq)]
pub struct Scores {
    /// What `best` is chosen by; larger is better.
    pub score: Option<f64>,
    pub samples: u32,
    /// By name; `None` where a measure is not defined.
    pub values: Vec<(&'static str, Option<f64>)>,
    /// For people.
    pub text: String,
    /// Where they were asked for, and the task has some.
    pub details: Option<Details>,
}

/// More about predictions than a few measures.
#[derive(Clone, Debug, PartialEq)]
pub struct Details {
    pub name: &'static str,
    /// For people.
    pub text: String,
    /// For programs.
    pub json: Json,
}

impl Scores {
    pub fn value(&self, name: &str) -> Option<f64> {
        self.values.iter().find(|(known, _)| *known == name)?.1
    }
}

/// What is predicted for a sample.
#[derive(Clone, Debug, PartialEq)]
pub enum Prediction {
    /// With its probability, and its name where it has one.
    Class { class: usize, probability: f64, name: Option<String> },
    /// Every label's name, with the probability that it is right.
    Labels(Vec<(String, f64)>),
    /// In their own units, by their names.
    Numbers(Vec<(String, f32)>),
    /// A class for each pixel.
    Mask(Vec<u8>),
    /// A class for each token, with its probability; it counts where a word begins.
    Tags(Vec<(usize, f64)>),
    /// With its probability.
    Text { text: String, probability: f64 },
}

/// What a run learns, with what it knows of its training data.
pub trait Objective {
    /// For people: what is predicted.
    fn describe(&self) -> String;

    /// What is known of samples as it is trained on.
    fn to_train_on(&self, truth: Truth) -> Truth {
        truth
    }

    /// What the network makes of samples `x`, with the encoder and the head in these places.
    fn output(&self, t: &mut Tape<'_>, model: &ModelSettings, places: [Place; 2], x: Value) -> Buf;

    /// `[1, 1]`. `ranges`: `output` is of the one view of each sample that this program has drawn within them; of the samples as
    /// they are if there are none.
    fn loss(&self, t: &mut Tape<'_>, batch: Batch, ranges: Ranges, output: Buf) -> Buf;

    /// What a user should know of the truth that is trained on, where the network makes so many rows of outputs of a sample. Fails where
    /// nothing can be learnt.
    fn note(&self, _truth: &Truth, _rows: u32) -> Result<Option<String>> {
        Ok(None)
    }

    /// What the outputs for so many samples, dense, say of each.
    fn predictions(&self, outputs: &[f32], samples: u32) -> Vec<Prediction>;

    /// Compares outputs for the samples that `truth` is about, in their order, with it; `detailed`: with what there is beyond a few
    /// measures. Fails where it does not fit them.
    fn judge(&self, outputs: &mut EachOutput<'_>, truth: &Truth, detailed: bool) -> Result<Scores>;
}

/// All outputs, one batch after the other.
pub(super) fn all(outputs: &mut EachOutput<'_>) -> Result<Vec<f32>> {
    let mut rows = Vec::new();
    outputs(&mut |_, results| {
        rows.extend(results);
        Ok(())
    })?;
    Ok(rows)
}
