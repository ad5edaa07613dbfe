//! The registry of methods of pretraining: a file each, and a line in [`METHODS`].

mod autoencoder;
mod barlow;
mod masked_tokens;
mod simclr;
mod simcse;
mod supcon;
mod supervised;
mod vicreg;

pub use autoencoder::Corruption;

use super::optimizer::OptimizerKind;
use crate::choice;
use crate::core::buffer::Buf;
use crate::core::random;
use crate::core::tape::Tape;
use crate::data::Masking;
use crate::host::views::Ranges;
use crate::models::{self, ModelKind, ModelSettings, Place};
use crate::ops::{Augmentation, Batch, Clock, DropoutStep, Value, augmented_views, batch_samples};

/// The loss of embeddings `[2 * batch, width]`: of the first views of a batch, then of the second ones.
pub type ViewLoss = fn(&mut Tape<'_>, Batch, Buf, Clock) -> Buf;

/// The loss of a batch of images as they are, a mean over samples.
pub type Loss = fn(&mut Tape<'_>, &Pretext<'_>, Batch) -> Buf;

/// A method of pretraining an encoder.
pub trait PretrainMethod: Sync {
    /// What `--method` and settings call it.
    fn name(&self) -> &'static str;

    /// A sentence or two for `--help`.
    fn help(&self) -> &'static str;

    /// Whether it learns from labels, which the data must have then.
    fn needs_labels(&self) -> bool {
        false
    }

    /// Of the settings of pretraining that are not for all methods, those that mean something to it.
    fn settings(&self) -> &'static [&'static str];

    /// Why images must be as they are; `None` where they may be augmented.
    fn unaugmented(&self) -> Option<&'static str> {
        None
    }

    /// Defaults of its own.
    fn recipe(&self) -> Recipe {
        Recipe { optimizer: OptimizerKind::Sgd, lr: 0.2 }
    }

    /// Whether it learns from texts, and whether from images.
    fn takes_texts(&self) -> bool {
        self.comparison().is_some()
    }

    fn takes_images(&self) -> bool {
        true
    }

    /// Whether it hides tokens, which takes a tokenizer that has something to put in their place.
    fn masks(&self) -> bool {
        false
    }

    /// The rate of dropout that it needs, where that is another than the encoder's own.
    fn dropout(&self) -> Option<f32> {
        None
    }

    /// The encoder of texts that nobody chose another for.
    fn encoder_of_texts(&self) -> ModelKind {
        ModelKind::BAG
    }

    /// How it compares the images of a batch, if it does so by two views of each.
    fn comparison(&self) -> Option<ViewLoss> {
        None
    }

    /// One step from batch to loss.
    fn step(&self, t: &mut Tape<'_>, pretext: &Pretext<'_>, batch: Batch, clock: Clock) -> Buf {
        let compare = self.comparison().expect("what compares no views has a step of its own");
        let x = augmented_views(t, batch, clock.clock, 2, pretext.augmentation, pretext.model.kind.form());
        let place = pretext.place(t, clock);
        let embeddings = pretext.embed(t, place, x);
        compare(t, batch, embeddings, clock)
    }

    /// What running statistics are re-estimated for: all of the network that is kept, in the given places.
    fn forward(&self, t: &mut Tape<'_>, pretext: &Pretext<'_>, [encoder, _]: [Place; 2], batch: Batch) -> Buf {
        let x = batch_samples(t, batch, pretext.model.kind.form());
        models::encoder(t, pretext.model, encoder, x)
    }

    /// A loss of held-out images by which checkpoints can be chosen without labels, and what it is called.
    fn held_out_loss(&self) -> Option<(&'static str, Loss)> {
        None
    }
}

/// Defaults that differ from method to method.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Recipe {
    pub optimizer: OptimizerKind,
    pub lr: f32,
}

/// What a method knows of the run.
pub struct Pretext<'a> {
    pub model: &'a ModelSettings,
    /// Widths of the projection head.
    pub projection: &'a [u32],
    pub augmentation: Augmentation,
    pub corrupt: Corruption,
    /// Share of the values that are dropped.
    pub dropout: f32,
    /// How tokens are hidden; `None` where they cannot be.
    pub masking: Option<Masking>,
    /// Of the training data.
    pub classes: u32,
}

impl Pretext<'_> {
    /// Where the encoder stands in a step of training.
    pub fn place(&self, t: &mut Tape<'_>, clock: Clock) -> Place {
        let dropout = Some(DropoutStep { clock: clock.clock, rate: self.dropout });
        Place { dropout, ..Place::training(t, models::ENCODER) }
    }

    /// From samples to embeddings.
    pub fn embed(&self, t: &mut Tape<'_>, encoder: Place, x: Value) -> Buf {
        let features = models::encoder(t, self.model, encoder, x);
        models::projection_head(t, self.model, encoder.statistics, self.projection, features)
    }
}

/// How a run of this seed varies images.
pub fn augmentation(ranges: Ranges, seed: u64) -> Augmentation {
    /// Apart from a run's other random streams.
    const STREAM: u32 = 3;
    Augmentation { ranges, key: random::key(seed, STREAM) }
}

/// The batch as it is, or augmented.
pub fn images(t: &mut Tape<'_>, batch: Batch, clock: Clock, augmentation: Augmentation, model: &ModelSettings) -> Value {
    match augmentation.ranges.is_none() {
        true => batch_samples(t, batch, model.kind.form()),
        false => augmented_views(t, batch, clock.clock, 1, augmentation, model.kind.form()),
    }
}

choice! {
    /// A method of pretraining.
    Method of dyn PretrainMethod, METHODS:
    SIMCLR = simclr::METHOD,
    SIMCSE = simcse::METHOD,
    VICREG = vicreg::METHOD,
    BARLOW = barlow::METHOD,
    SUPCON = supcon::METHOD,
    SUPERVISED = supervised::METHOD,
    AUTOENCODER = autoencoder::METHOD,
    MASKED_TOKENS = masked_tokens::METHOD,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_known_by_their_names_and_say_what_they_are() {
        for method in METHODS {
            assert_eq!(Method::named(method.name()), Some(*method), "names are not there twice");
            assert!(method.help().ends_with('.') && method.help().len() > 20, "{method}");
            // Views are compared behind a head, and perhaps a few images at a time.
            for setting in ["projection", "micro_batch"] {
                assert_eq!(method.comparison().is_some(), method.settings().contains(&setting), "{method}: {setting}");
            }
            assert!(method.recipe().lr > 0.0, "{method}");
        }
    }
}
