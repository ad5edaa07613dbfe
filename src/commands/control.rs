//! Weights of words: what labels come to without an encoder, the simple control that stands beside every figure of one, and what a probe
//! sees of texts beside what an encoder makes of them.

use anyhow::{Context, Result, ensure};

use crate::core::sample::{BEGINS_WORD, SampleType};
use crate::data::{Dataset, Samples, Split};
use crate::error::UsageError;
use crate::metrics::{Design, SparseRows, TfIdf};
use crate::train::{Checkpoint, Features};

/// Numbers that a text has in latent semantic analysis, as is usual.
const LATENT: usize = 256;

/// Training and test texts as weights of words and their pieces.
pub(super) struct WordWeights {
    train: SparseRows,
    test: Option<SparseRows>,
}

impl WordWeights {
    /// `None` of samples that are no texts.
    fn of(data: &Dataset) -> Option<Self> {
        let Samples::Tokens { vocabulary, .. } = &data.train.samples else { return None };
        let train = tokens_of(&data.train);
        let weights = TfIdf::of(train.iter().map(Vec::as_slice), *vocabulary);
        let rows = |texts: &[Vec<u32>]| weights.rows(texts.iter().map(Vec::as_slice));
        Some(WordWeights { test: data.test.as_ref().map(|test| rows(&tokens_of(test))), train: rows(&train) })
    }

    /// Those that a probe is to see, as `asked` or for encoders that begun without weights: published ones know more of words than that these
    /// are the same.
    pub fn beside(checkpoint: &Checkpoint, data: &Dataset, asked: Option<bool>) -> Result<Option<Self>> {
        let found = asked.unwrap_or(!checkpoint.is_published()).then(|| Self::of(data)).flatten();
        let unfit = asked == Some(true) && found.is_none();
        let text = || UsageError(format!("--words is for texts, not for {}", data.train.kind().called()));
        ensure!(!unfit, text());
        Ok(found)
    }
}

/// Samples as probes see them: features, and beside them the words of texts.
pub(super) struct Designs {
    pub train: Design,
    pub test: Option<Design>,
}

impl Designs {
    pub fn of(train: Features, test: Option<Features>, words: Option<WordWeights>) -> Self {
        let of_part = |features: Features, sparse| Design { dense: features.values, columns: features.columns, sparse };
        let (of_train, of_test) = words.map_or((None, None), |words| (Some(words.train), words.test));
        Designs { train: of_part(train, of_train), test: test.map(|test| of_part(test, of_test)) }
    }

    /// The test samples.
    pub fn queries(&self) -> Result<&Design> {
        self.test.as_ref().context("there are no test samples")
    }

    /// The control: of pictures and tables the values themselves; of texts weights of words and their pieces, beside them a latent space
    /// for neighbours.
    pub fn of_control(data: &Dataset) -> Self {
        let Some(words) = WordWeights::of(data) else {
            return Designs::of(Features::pixels(&data.train), data.test.as_ref().map(Features::pixels), None);
        };
        let (latent, columns) = SparseRows::latent(&words.train, &words.test.iter().collect::<Vec<_>>(), LATENT);
        let mut latent = latent.into_iter().map(|values| Features { values, columns });
        let train = latent.next().unwrap_or(Features { values: Vec::new(), columns });
        Designs::of(train, latent.next(), Some(words))
    }

    /// Of the control of texts, nothing but weights of words; of others, what there is.
    pub fn words_alone(&self) -> Self {
        let alone = |design: &Design| design.sparse.clone().map_or_else(|| design.clone(), Design::sparse);
        Designs { train: alone(&self.train), test: self.test.as_ref().map(alone) }
    }

    /// What the control is called beside samples of this type.
    pub fn name_of_control(kind: SampleType) -> &'static str {
        match kind {
            SampleType::Tokens { .. } => "TF-IDF (control)",
            SampleType::Row(_) => "columns (control)",
            SampleType::Image(_) => "raw pixels (control)",
            SampleType::Frames { .. } => "raw frames (control)",
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
