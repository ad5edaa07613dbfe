//! BERT (Devlin et al., 2018): texts by attention among their tokens, in published weights' names and shapes.

use super::encoder::{Encoder, Published, ShapeOf, TokenStates};
use super::layers::{Place, constant_ids, directions, embedded, feed_forward, row_norm, self_attention};
use super::{ModelSettings, Normalization, TransformerShape};
use crate::core::buffer::Buf;
use crate::core::tape::Tape;
use crate::data::Resize;
use crate::ops::{Activation, Form, Value, add, masked_mean};

pub(super) static ENCODER: Bert = Bert;

pub(super) struct Bert;

const WORDS: &str = "embeddings.word_embeddings";
const POSITIONS: &str = "embeddings.position_embeddings";
const TYPES: &str = "embeddings.token_type_embeddings";

static PUBLISHED: [Published; 1] = [Published {
    by: "transformers and sentence-transformers",
    trained_on: "whatever its model card says (all-MiniLM-L6-v2: a billion pairs of sentences)",
    licence: "Apache-2.0 (all-MiniLM-L6-v2)",
    made: "python -c \"from sentence_transformers import SentenceTransformer; SentenceTransformer('all-MiniLM-L6-v2').save('minilm')\"",
    normalization: Normalization::NONE,
    resize: Resize::Letterbox,
    ours: |name| Some(name.into()),
}];

impl Encoder for Bert {
    fn name(&self) -> &'static str {
        "bert"
    }

    fn help(&self) -> &'static str {
        "Texts by attention among their tokens, averaged: for published weights of BERT's kin, such as MiniLM, with their tokenizer beside."
    }

    fn form(&self) -> Form {
        Form::Tokens
    }

    fn describe(&self, model: &ModelSettings) -> String {
        let TransformerShape { width, layers, heads, .. } = model.transformer();
        format!("bert of {layers} layers, {width} wide, {heads} heads")
    }

    /// Its published weights were trained with a tenth; networks begun with those are fine-tuned without.
    fn dropout(&self) -> Option<f32> {
        Some(0.0)
    }

    /// The direction of the mean over the states of tokens.
    fn features(&self, t: &mut Tape<'_>, model: &ModelSettings, place: Place, x: Value) -> Buf {
        let states = layers(t, model, place, x);
        let mean = masked_mean(t, "mean of tokens", states.rows, x.tokens().0);
        directions(t, "sentence", mean)
    }

    fn has_states(&self) -> bool {
        true
    }

    fn states(&self, t: &mut Tape<'_>, model: &ModelSettings, place: Place, x: Value) -> Option<TokenStates> {
        Some(layers(t, model, place, x))
    }

    /// What tokens are is known well enough.
    fn trained_from(&self, _few: bool) -> Option<String> {
        Some("encoder.layer.0".into())
    }

    fn has_batch_norm(&self) -> bool {
        false
    }

    fn published(&self) -> &'static [Published] {
        &PUBLISHED
    }

    fn size(&self, model: &mut ModelSettings, shape_of: &ShapeOf<'_>) -> Option<u32> {
        let side = |name: &str, axis: usize| shape_of(&format!("{name}.weight")).and_then(|shape| shape.get(axis).copied());
        let usual = TransformerShape::default();
        let width = side(WORDS, 1).unwrap_or(usual.width);
        let layers = (0..).take_while(|layer| side(&format!("encoder.layer.{layer}.output.dense"), 0).is_some()).count() as u32;
        model.shape = Some(TransformerShape {
            width,
            layers: layers.max(1),
            // Unless a file says otherwise: 64 columns to a head, but for the narrow ones of MiniLM's family.
            heads: if width % 64 == 0 && width > 384 { width / 64 } else { 12 },
            inner: side("encoder.layer.0.intermediate.dense", 0).unwrap_or(usual.inner),
            positions: side(POSITIONS, 0).unwrap_or(usual.positions),
            types: side(TYPES, 0).unwrap_or(usual.types),
            ..usual
        });
        side(WORDS, 0)
    }
}

/// Layers with layer norm behind them.
fn layers(t: &mut Tape<'_>, model: &ModelSettings, place: Place, x: Value) -> TokenStates {
    let shape @ TransformerShape { width, layers, heads, positions, types, eps, .. } = model.transformer();
    let (group, (tokens, vocabulary)) = (place.group, x.tokens());
    let all = [tokens.rows(), tokens.cols()];
    let places = constant_ids(t, "positions", all, |_, at| at.min(positions - 1));
    let kinds = constant_ids(t, "types of tokens", all, |_, _| 0);
    let [table, words] = embedded(t, WORDS, group, tokens, [vocabulary, width]);
    let [_, places] = embedded(t, POSITIONS, group, places, [positions, width]);
    let [_, kinds] = embedded(t, TYPES, group, kinds, [types, width]);
    let sum = add(t, "embeddings of words and types", words, kinds, Activation::None);
    let sum = add(t, "embeddings", sum, places, Activation::None);
    let x = row_norm(t, "embeddings.LayerNorm", group, sum, eps);
    let mut x = place.dropped(t, "embeddings.dropout", x);
    for layer in 0..layers {
        let name = |part: &str| format!("encoder.layer.{layer}.{part}");
        let of_attention = ["attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"].map(name);
        let mixed = self_attention(t, &name("attention.self"), of_attention.each_ref().map(|name| &**name), group, x, tokens, heads);
        let mixed = place.dropped(t, &name("attention.output.dropout"), mixed);
        let sum = add(t, &name("attention.output"), x, mixed, Activation::None);
        x = row_norm(t, &name("attention.output.LayerNorm"), group, sum, eps);
        let [first, second] = ["intermediate.dense", "output.dense"].map(name);
        let narrow = feed_forward(t, [&first, &second], group, x, shape);
        let narrow = place.dropped(t, &name("output.dropout"), narrow);
        let sum = add(t, &name("output"), x, narrow, Activation::None);
        x = row_norm(t, &name("output.LayerNorm"), group, sum, eps);
    }
    TokenStates { rows: x, table, eps }
}
