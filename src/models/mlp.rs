//! Linear layers with ReLU.

use super::ModelSettings;
use super::encoder::Encoder;
use super::layers::{Place, dense};
use crate::core::buffer::Buf;
use crate::core::tape::Tape;
use crate::ops::{Activation, Form, Value};

pub(super) static ENCODER: Mlp = Mlp;

pub(super) struct Mlp;

impl Encoder for Mlp {
    fn name(&self) -> &'static str {
        "mlp"
    }

    fn help(&self) -> &'static str {
        "Linear layers with ReLU."
    }

    fn settings(&self) -> &'static [&'static str] {
        &["hidden"]
    }

    fn form(&self) -> Form {
        Form::Rows
    }

    fn describe(&self, model: &ModelSettings) -> String {
        format!("mlp {:?}", model.hidden)
    }

    /// A layer for each of the hidden widths.
    fn features(&self, t: &mut Tape<'_>, model: &ModelSettings, _place: Place, x: Value) -> Buf {
        let layer = |x, (i, &width): (usize, &u32)| dense(t, &format!("encoder.{i}"), super::ENCODER, x, width, Activation::Relu);
        model.hidden.iter().enumerate().fold(x.buf(), layer)
    }

    fn has_batch_norm(&self) -> bool {
        false
    }
}
