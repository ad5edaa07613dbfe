//! What an entry of the registry of encoders is.

use super::layers::Place;
use super::{ModelSettings, Normalization};
use crate::core::buffer::{Buf, Maps};
use crate::core::tape::Tape;
use crate::ops::{Form, Value};

/// A kind of encoder.
pub trait Encoder: Sync {
    /// What `--model`, settings and checkpoints call it.
    fn name(&self) -> &'static str;

    /// A sentence for `--help`.
    fn help(&self) -> &'static str;

    /// Of the settings of models that are not for all encoders, those that mean something to it.
    fn settings(&self) -> &'static [&'static str] {
        &[]
    }

    /// How it takes samples.
    fn form(&self) -> Form {
        Form::Maps
    }

    /// What it is, with its settings, for a sentence.
    fn describe(&self, _model: &ModelSettings) -> String {
        self.name().into()
    }

    /// Features of samples `x`, which have the [`form`](Self::form) that it takes. Returns `[batch, features]`.
    fn features(&self, t: &mut Tape<'_>, model: &ModelSettings, place: Place, x: Value) -> Buf;

    /// Maps on its way to features, largest first, for a decoder that makes masks of them. `None` if it has none.
    fn stages(&self, _t: &mut Tape<'_>, _model: &ModelSettings, _place: Place, _x: Maps) -> Option<Vec<Maps>> {
        None
    }

    /// The layer from features to logits.
    fn classifier(&self) -> &'static str {
        "head"
    }

    /// Whether it has batch norm, which a projection head has then too.
    fn has_batch_norm(&self) -> bool {
        true
    }

    /// How pictures in colour were normalised for the weights of it that others published; `None` if there are none.
    fn published(&self) -> Option<Normalization> {
        None
    }
}
