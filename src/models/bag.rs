//! Texts as bags of words and pieces of words.

use super::ModelSettings;
use super::encoder::Encoder;
use super::layers::{Place, embedded_bag, row_norm};
use crate::core::buffer::Buf;
use crate::core::tape::Tape;
use crate::ops::{Form, LAYER_NORM_EPS, Value};

pub(super) static ENCODER: Bag = Bag;

pub(super) struct Bag;

impl Encoder for Bag {
    fn name(&self) -> &'static str {
        "bag"
    }

    fn help(&self) -> &'static str {
        "Texts as the normalised sum of embeddings of words and their pieces, in no order."
    }

    fn settings(&self) -> &'static [&'static str] {
        &["features"]
    }

    fn form(&self) -> Form {
        Form::Tokens
    }

    fn describe(&self, model: &ModelSettings) -> String {
        format!("bag of {} features", model.features)
    }

    fn features(&self, t: &mut Tape<'_>, model: &ModelSettings, place: Place, x: Value) -> Buf {
        let sum = embedded_bag(t, "encoder.embedding", place.group, x, model.features);
        row_norm(t, "encoder.norm", place.group, sum, LAYER_NORM_EPS)
    }

    fn pays_for_padding(&self) -> bool {
        false
    }

    fn has_batch_norm(&self) -> bool {
        false
    }
}
