//! A transformer of one's own for texts (Vaswani et al., 2017), with layer norm before its parts (Xiong et al., 2020).

use super::encoder::{Encoder, TokenStates};
use super::layers::{Place, constant_ids, pre_norm_block, row_norm};
use super::{ModelSettings, TransformerShape};
use crate::core::buffer::{Buf, Dtype, Fill, Role, shape};
use crate::core::tape::Tape;
use crate::ops::{Activation, Form, LAYER_NORM_EPS, Value, add, embedding, masked_mean};

pub(super) static ENCODER: Transformer = Transformer;

pub(super) struct Transformer;

/// Embeddings begin uniform within it; against it, a step of Adam is a few percent.
const EMBEDDING_SCALE: f32 = 0.1;
/// Positions are as large as embeddings are at the beginning.
const POSITION_SCALE: f64 = 0.08;

impl Encoder for Transformer {
    fn name(&self) -> &'static str {
        "transformer"
    }

    fn help(&self) -> &'static str {
        "Texts by attention among their tokens in their order, averaged: a small one that begins without weights."
    }

    fn settings(&self) -> &'static [&'static str] {
        &["features", "layers", "heads"]
    }

    fn form(&self) -> Form {
        Form::Tokens
    }

    fn describe(&self, model: &ModelSettings) -> String {
        let ModelSettings { features, layers, heads, .. } = model;
        format!("transformer of {layers} layers, {features} wide, {heads} heads")
    }

    fn takes_pieces(&self) -> bool {
        true
    }

    fn dropout(&self) -> Option<f32> {
        Some(0.1)
    }

    fn problem(&self, model: &ModelSettings) -> Option<String> {
        let ModelSettings { features, heads, .. } = *model;
        let near = || (features / heads).max(1) * heads;
        let uneven = || format!("{features} features cannot be shared by {heads} heads: try --features {}", near());
        let wide = || format!("heads of {} columns are too wide: try --heads {}", features / heads, features.div_ceil(WIDEST_HEAD));
        (!features.is_multiple_of(heads)).then(uneven).or_else(|| (features / heads > WIDEST_HEAD).then(wide))
    }

    /// The mean over tokens.
    fn features(&self, t: &mut Tape<'_>, model: &ModelSettings, place: Place, x: Value) -> Buf {
        let states = layers(t, model, place, x);
        masked_mean(t, "mean of tokens", states.rows, x.tokens().0)
    }

    fn states(&self, t: &mut Tape<'_>, model: &ModelSettings, place: Place, x: Value) -> Option<TokenStates> {
        Some(layers(t, model, place, x))
    }

    fn has_states(&self) -> bool {
        true
    }

    fn has_batch_norm(&self) -> bool {
        false
    }
}

/// Of attention, at most.
const WIDEST_HEAD: u32 = 256;

/// What layer norm makes of the last layer.
fn layers(t: &mut Tape<'_>, model: &ModelSettings, place: Place, x: Value) -> TokenStates {
    let (group, (tokens, vocabulary)) = (place.group, x.tokens());
    let ModelSettings { features: width, layers, heads, .. } = *model;
    let sizes = TransformerShape { width, layers, heads, inner: 4 * width, eps: LAYER_NORM_EPS, ..TransformerShape::MINILM };
    let table = t.param("encoder.embedding.weight", group, shape(vocabulary, width), Fill::Uniform(EMBEDDING_SCALE));
    let words = embedding(t, "encoder.embedding", tokens, table);
    let places = positions(t, tokens, width);
    let mut rows = add(t, "encoder.tokens", words, places, Activation::None);
    rows = place.dropped(t, "encoder.tokens, dropout", rows);
    for layer in 0..layers {
        let dropped = |t: &mut Tape<'_>, name: &str, x: Buf| place.dropped(t, &format!("{name}, dropout"), x);
        rows = pre_norm_block(t, &format!("encoder.blocks.{layer}"), group, rows, tokens, sizes, &dropped);
    }
    let rows = row_norm(t, "encoder.norm", group, rows, sizes.eps);
    TokenStates { rows, table, eps: sizes.eps }
}

/// The position of each of `tokens`, as sines and cosines of wavelengths from 2π to 2π · 10,000 (Vaswani et al., 2017): texts of all
/// lengths have them.
fn positions(t: &mut Tape<'_>, tokens: Buf, width: u32) -> Buf {
    let (texts, length) = (tokens.rows(), tokens.cols());
    let value = |i: u32| {
        let (place, column) = (f64::from(i / width), i % width);
        let angle = place / libm::pow(10_000.0, f64::from(column / 2 * 2) / f64::from(width));
        (POSITION_SCALE * if column.is_multiple_of(2) { libm::sin(angle) } else { libm::cos(angle) }) as f32
    };
    let fill = Fill::F32((0..length * width).map(value).collect());
    let name = format!("sinusoids of {length}x{width}");
    let table = t.arena.buffer(&name, Role::Input, Dtype::F32, shape(length, width), fill);
    let places = constant_ids(t, "positions", [texts, length], |_, at| at);
    embedding(t, "positions of tokens", places, table)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_share_the_features() {
        let model = |features, heads| ModelSettings { features, heads, ..ModelSettings::mlp(vec![1]) };
        assert_eq!(ENCODER.problem(&model(256, 4)), None);
        assert!(ENCODER.problem(&model(250, 4)).is_some_and(|text| text.contains("--features 248")));
        assert!(ENCODER.problem(&model(1024, 2)).is_some_and(|text| text.contains("--heads 4")));
    }
}
