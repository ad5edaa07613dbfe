//! Giving images back from their features, perhaps spoilt ones.

use super::super::optimizer::OptimizerKind;
use super::{Loss, Pretext, PretrainMethod, Recipe, images};
use crate::core::buffer::Buf;
use crate::core::tape::Tape;
use crate::host::views::Ranges;
use crate::models::{self, Place};
use crate::ops::{Augmentation, Batch, Clock, Form, batch_samples, mse, samples_of};
use crate::variants;

variants! {
    /// What an autoencoder's encoder sees of an image, all of which its decoder is to give back.
    pub enum Corruption {
        /// All of it.
        None = "none",
        /// All but a square of half the height and width, somewhere (Pathak et al., 2016).
        Mask = "mask",
        /// All of it under noise of standard deviation 0.3 (Vincent et al., 2008).
        Noise = "noise",
    }
}

impl Corruption {
    /// As an augmentation of images of these sides.
    pub fn ranges(self, height: u32, width: u32) -> Ranges {
        match self {
            Corruption::None => Ranges::NONE,
            Corruption::Mask => Ranges { erase: height.min(width).div_ceil(2), ..Ranges::NONE },
            Corruption::Noise => Ranges { noise: 0.3, ..Ranges::NONE },
        }
    }
}

pub(super) static METHOD: Autoencoder = Autoencoder;

pub(super) struct Autoencoder;

impl PretrainMethod for Autoencoder {
    fn name(&self) -> &'static str {
        "autoencoder"
    }

    fn help(&self) -> &'static str {
        "Images from features: mean squared error of what a decoder makes of them. Needs no labels."
    }

    fn settings(&self) -> &'static [&'static str] {
        &["corrupt"]
    }

    fn unaugmented(&self) -> Option<&'static str> {
        Some("an autoencoder gives images back as they are: --augment none, and perhaps --corrupt")
    }

    fn recipe(&self) -> Recipe {
        Recipe { optimizer: OptimizerKind::Adamw, lr: 0.001 }
    }

    fn step(&self, t: &mut Tape<'_>, pretext: &Pretext<'_>, batch: Batch, clock: Clock) -> Buf {
        let image = batch.data.image();
        let corruption = Augmentation { ranges: pretext.corrupt.ranges(image.height, image.width), ..pretext.augmentation };
        let places = [models::ENCODER, models::HEAD].map(|group| Place::training(t, group));
        let [images, wanted] = reconstruct(t, pretext, places, batch, Some((clock, corruption)));
        mse(t, "loss", images, wanted)
    }

    fn forward(&self, t: &mut Tape<'_>, pretext: &Pretext<'_>, places: [Place; 2], batch: Batch) -> Buf {
        reconstruct(t, pretext, places, batch, None)[0]
    }

    fn held_out_loss(&self) -> Option<(&'static str, Loss)> {
        Some(("reconstruction", |t, pretext, batch| {
            let places = [models::ENCODER, models::HEAD].map(Place::evaluation);
            let [images, wanted] = reconstruct(t, pretext, places, batch, None);
            mse(t, "loss", images, wanted)
        }))
    }
}

/// What an autoencoder makes of a batch, spoilt if told so, and the batch as it is: a pixel a row.
fn reconstruct(
    t: &mut Tape<'_>,
    pretext: &Pretext<'_>,
    [encoder, head]: [Place; 2],
    batch: Batch,
    spoilt: Option<(Clock, Augmentation)>,
) -> [Buf; 2] {
    let x = match spoilt {
        Some((clock, corruption)) => images(t, batch, clock, corruption, pretext.model),
        None => batch_samples(t, batch, pretext.model.kind.form()),
    };
    let wanted = samples_of(t, "images to give back", batch, Form::Maps).buf();
    let features = models::encoder(t, pretext.model, encoder, x);
    [models::reconstruction(t, head, features, batch.data.image()), wanted]
}
