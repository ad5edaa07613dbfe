//! Recurrent networks of one's own for texts: gated recurrent units (Cho et al., 2014) and long short-term memory (Hochreiter and
//! Schmidhuber, 1997), with PyTorch's parameter names behind `encoder.gru.` and `encoder.lstm.`.

use super::ModelSettings;
use super::encoder::{Encoder, TokenStates};
use super::layers::{Place, recurrent_layer, row_norm};
use crate::core::buffer::{Buf, Fill, shape};
use crate::core::tape::Tape;
use crate::ops::{Cell, Form, LAYER_NORM_EPS, MOST_UNITS, Value, embedding, masked_mean};

/// Embeddings, recurrent layers and a layer norm.
pub(super) struct RecurrentNetwork {
    name: &'static str,
    help: &'static str,
    cell: Cell,
}

pub(super) static GRU: RecurrentNetwork = RecurrentNetwork {
    name: "gru",
    help: "Texts token after token by gated recurrent units, averaged: a small one that begins without weights.",
    cell: Cell::Gru,
};

pub(super) static LSTM: RecurrentNetwork = RecurrentNetwork {
    name: "lstm",
    help: "Texts token after token by long short-term memory, averaged: a small one that begins without weights.",
    cell: Cell::Lstm,
};

/// Embeddings begin uniform within it, as large as states are.
const EMBEDDING_SCALE: f32 = 0.5;

impl Encoder for RecurrentNetwork {
    fn name(&self) -> &'static str {
        self.name
    }

    fn help(&self) -> &'static str {
        self.help
    }

    fn settings(&self) -> &'static [&'static str] {
        &["features", "recurrent_layers", "bidirectional"]
    }

    fn form(&self) -> Form {
        Form::Tokens
    }

    fn describe(&self, model: &ModelSettings) -> String {
        let ModelSettings { features, recurrent_layers: layers, bidirectional, .. } = *model;
        let (plural, ways) = (if layers == 1 { "" } else { "s" }, if bidirectional { "both directions" } else { "one direction" });
        format!("{} of {layers} layer{plural} in {ways}, {features} wide", self.name)
    }

    fn takes_pieces(&self) -> bool {
        true
    }

    fn dropout(&self) -> Option<f32> {
        Some(0.1)
    }

    fn problem(&self, model: &ModelSettings) -> Option<String> {
        units_problem(model)
    }

    /// The mean over tokens.
    fn features(&self, t: &mut Tape<'_>, model: &ModelSettings, place: Place, x: Value) -> Buf {
        let states = self.layers(t, model, place, x);
        masked_mean(t, "mean of tokens", states.rows, x.tokens().0)
    }

    fn states(&self, t: &mut Tape<'_>, model: &ModelSettings, place: Place, x: Value) -> Option<TokenStates> {
        Some(self.layers(t, model, place, x))
    }

    fn has_states(&self) -> bool {
        true
    }

    fn has_batch_norm(&self) -> bool {
        false
    }
}

/// What makes no sense of the features of recurrent layers, if anything.
pub(super) fn units_problem(model: &ModelSettings) -> Option<String> {
    let ModelSettings { features, bidirectional, .. } = *model;
    let most = MOST_UNITS * directions(model).len() as u32;
    let uneven = || format!("{features} features cannot be shared by two directions: try --features {}", features + 1);
    let wide = || format!("{features} features are too many for a recurrent layer: try --features {most}");
    (bidirectional && !features.is_multiple_of(2)).then(uneven).or_else(|| (features > most).then(wide))
}

/// Whether a layer goes in reverse, for each of its directions.
pub(super) fn directions(model: &ModelSettings) -> &'static [bool] {
    if model.bidirectional { &[false, true] } else { &[false] }
}

impl RecurrentNetwork {
    /// What layer norm makes of the last layer.
    fn layers(&self, t: &mut Tape<'_>, model: &ModelSettings, place: Place, x: Value) -> TokenStates {
        let (group, (tokens, vocabulary), width) = (place.group, x.tokens(), model.features);
        let table = t.param("encoder.embedding.weight", group, shape(vocabulary, width), Fill::Uniform(EMBEDDING_SCALE));
        let mut rows = embedding(t, "encoder.embedding", tokens, table);
        for layer in 0..model.recurrent_layers {
            rows = place.dropped(t, &format!("encoder, dropout before layer {layer}"), rows);
            let (name, of) = (format!("encoder.{}", self.name), (self.cell, directions(model)));
            rows = recurrent_layer(t, &name, layer, group, of, (rows, tokens), width);
        }
        let rows = row_norm(t, "encoder.norm", group, rows, LAYER_NORM_EPS);
        TokenStates { rows, table, eps: LAYER_NORM_EPS }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directions_share_the_features() {
        let model = |features, bidirectional| ModelSettings { features, bidirectional, ..ModelSettings::mlp(vec![1]) };
        assert_eq!(GRU.problem(&model(256, true)), None);
        assert_eq!(GRU.problem(&model(255, false)), None);
        assert!(GRU.problem(&model(255, true)).is_some_and(|text| text.contains("--features 256")));
        assert!(GRU.problem(&model(513, false)).is_some_and(|text| text.contains("--features 512")));
        assert!(LSTM.problem(&model(1026, true)).is_some_and(|text| text.contains("--features 1024")));
        assert_eq!(LSTM.describe(&model(64, true)), "lstm of 1 layer in both directions, 64 wide");
    }
}
