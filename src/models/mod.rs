//! Networks, built from ops one line per layer. Parameter names and shapes are PyTorch's.

use crate::buffer::{Buf, Fill, shape};
use crate::ops::{Activation, linear};
use crate::tape::Tape;

/// Parameter group of encoders.
pub const ENCODER: u8 = 0;
/// Parameter group of heads: projection heads in pretraining, classifiers in fine-tuning.
pub const HEAD: u8 = 1;

/// A linear layer with PyTorch's initialisation: weights and biases uniform within 1 / sqrt(inputs).
fn dense(t: &mut Tape<'_>, name: &str, group: u8, x: Buf, outputs: u32, activation: Activation) -> Buf {
    let bound = Fill::Uniform(1.0 / (x.cols() as f32).sqrt());
    let w = t.param(&format!("{name}.weight"), group, shape(outputs, x.cols()), bound.clone());
    let b = t.param(&format!("{name}.bias"), group, shape(1, outputs), bound);
    linear(t, name, x, w, b, activation)
}

/// `x`: `[batch, pixels]`; a linear layer with ReLU for each width in `hidden`. Returns features `[batch, last width]`.
pub fn mlp_encoder(t: &mut Tape<'_>, hidden: &[u32], x: Buf) -> Buf {
    hidden.iter().enumerate().fold(x, |x, (i, &width)| dense(t, &format!("encoder.{i}"), ENCODER, x, width, Activation::Relu))
}

/// SimCLR's head, dropped after pretraining: hidden layers with ReLU and a linear one on top. Returns `[batch, last width]`.
pub fn projection_head(t: &mut Tape<'_>, widths: &[u32], features: Buf) -> Buf {
    widths.iter().enumerate().fold(features, |x, (i, &width)| {
        let activation = if i + 1 < widths.len() { Activation::Relu } else { Activation::None };
        dense(t, &format!("projection.{i}"), HEAD, x, width, activation)
    })
}

/// Logits `[batch, classes]`.
pub fn classifier(t: &mut Tape<'_>, classes: u32, features: Buf) -> Buf {
    dense(t, "head", HEAD, features, classes, Activation::None)
}
