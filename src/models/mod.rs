//! Networks, built from ops one line per layer. Parameter names and shapes are PyTorch's.

use serde::{Deserialize, Serialize};

use crate::buffer::{Buf, Fill, Tensor, shape};
use crate::ops::{Activation, linear};
use crate::tape::Tape;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum ModelKind {
    /// Linear layers with ReLU.
    Mlp,
}

/// Which encoder, and how large.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelSettings {
    pub kind: ModelKind,
    /// Widths of the hidden layers; the last one is the number of features.
    pub hidden: Vec<u32>,
}

/// Parameter group of encoders.
pub const ENCODER: u8 = 0;
/// Parameter group of heads: projection heads in pretraining, classifiers in fine-tuning.
pub const HEAD: u8 = 1;

/// A linear layer with PyTorch's initialisation: weights and biases uniform within 1 / sqrt(inputs).
fn dense(t: &mut Tape<'_>, name: &str, group: u8, x: Buf, outputs: u32, activation: Activation) -> Buf {
    let bound = Fill::Uniform(1.0 / (x.cols() as f32).sqrt());
    let w = t.param(&format!("{name}.weight"), group, shape(outputs, x.cols()), bound.clone());
    let b = t.param(&format!("{name}.bias"), group, Tensor::Vector(outputs), bound);
    linear(t, name, x, w, b, activation)
}

/// Features of `x`, `[batch, pixels]`.
pub fn encoder(t: &mut Tape<'_>, model: &ModelSettings, x: Buf) -> Buf {
    match model.kind {
        ModelKind::Mlp => mlp_encoder(t, &model.hidden, x),
    }
}

/// A linear layer with ReLU for each width in `hidden`. Returns `[batch, last width]`.
fn mlp_encoder(t: &mut Tape<'_>, hidden: &[u32], x: Buf) -> Buf {
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
