//! What labels come to without an encoder: the simple control that stands beside every figure of one.

use anyhow::Result;

use crate::core::sample::{BEGINS_WORD, SampleType};
use crate::data::{Dataset, Samples, Split};
use crate::metrics::{SparseRows, TfIdf, probe_accuracy, sparse_probe_accuracy};
use crate::train::Features;

/// Numbers that a text has in latent semantic analysis, as is usual.
const LATENT: usize = 256;

/// Features that nobody learned with a network.
pub(super) struct Control {
    pub train: Features,
    pub test: Option<Features>,
    /// Of texts: weights of tokens, for probes, of training and test texts.
    sparse: Option<(SparseRows, Option<SparseRows>)>,
}

impl Control {
    /// What it is called beside samples of this type.
    pub fn name(kind: SampleType) -> &'static str {
        match kind {
            SampleType::Tokens { .. } => "TF-IDF (control)",
            SampleType::Row(_) => "columns (control)",
            SampleType::Image(_) => "raw pixels (control)",
            SampleType::Frames { .. } => "raw frames (control)",
        }
    }

    /// Of pictures and tables the values themselves; of texts weights of words and their pieces, in a latent space for neighbours.
    pub fn of(data: &Dataset) -> Self {
        let (Samples::Tokens { vocabulary, .. }, test) = (&data.train.samples, data.test.as_ref()) else {
            let test = data.test.as_ref().map(Features::pixels);
            return Control { train: Features::pixels(&data.train), test, sparse: None };
        };
        let train = tokens_of(&data.train);
        let weights = TfIdf::of(train.iter().map(Vec::as_slice), *vocabulary);
        let rows = |texts: &[Vec<u32>]| weights.rows(texts.iter().map(Vec::as_slice));
        let (train, test) = (rows(&train), test.map(|test| rows(&tokens_of(test))));
        let (latent, columns) = SparseRows::latent(&train, &test.iter().collect::<Vec<_>>(), LATENT);
        let mut features = latent.into_iter().map(|values| Features { values, columns });
        let of_train = features.next().unwrap_or(Features { values: Vec::new(), columns });
        Control { train: of_train, test: features.next(), sparse: Some((train, test)) }
    }

    /// Test accuracy of a probe of some training samples, or of all, that have these labels.
    pub fn probe(&self, rows: Option<&[u32]>, labels: &[u32], truth: &[u32], classes: usize) -> Result<f64> {
        if let Some((train, Some(test))) = &self.sparse {
            let chosen = rows.map(|rows| train.select(rows));
            return sparse_probe_accuracy(chosen.as_ref().unwrap_or(train), labels, test, truth, classes);
        }
        let queries = self.test.as_ref().map_or(&[][..], |test| &test.values);
        match rows {
            Some(rows) => probe_accuracy(&self.train.select(rows), labels, queries, truth, classes),
            None => probe_accuracy(&self.train.values, labels, queries, truth, classes),
        }
    }
}

/// The tokens of each text.
fn tokens_of(split: &Split) -> Vec<Vec<u32>> {
    match &split.samples {
        Samples::Tokens { tokens, .. } => tokens.iter().map(|text| text.iter().map(|token| token & !BEGINS_WORD).collect()).collect(),
        _ => Vec::new(),
    }
}
