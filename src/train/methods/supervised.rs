//! Plain supervised training, as a control of what labels are worth.

use super::{Pretext, PretrainMethod, images};
use crate::core::buffer::Buf;
use crate::core::tape::Tape;
use crate::models;
use crate::ops::{Batch, Clock, batch_labels, cross_entropy};

pub(super) static METHOD: Supervised = Supervised;

pub(super) struct Supervised;

impl PretrainMethod for Supervised {
    fn name(&self) -> &'static str {
        "supervised"
    }

    fn help(&self) -> &'static str {
        "Cross-entropy with all labels; the classifier is dropped afterwards."
    }

    fn needs_labels(&self) -> bool {
        true
    }

    fn settings(&self) -> &'static [&'static str] {
        &[]
    }

    fn step(&self, t: &mut Tape<'_>, pretext: &Pretext<'_>, batch: Batch, clock: Clock) -> Buf {
        let targets = batch_labels(t, batch);
        let x = images(t, batch, clock, pretext.augmentation, pretext.model);
        let place = pretext.place(t, clock);
        let features = models::encoder(t, pretext.model, place, x);
        let logits = models::classifier(t, pretext.model, pretext.classes, features);
        cross_entropy(t, "loss", logits, targets, 0.0)
    }
}
