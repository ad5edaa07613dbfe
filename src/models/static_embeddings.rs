//! Static embeddings: texts as the mean of the embeddings of their tokens, whatever stands beside them: its direction.

use super::encoder::{Encoder, Published, ShapeOf};
use super::layers::{Place, directions, embedded};
use super::{ModelSettings, Normalization};
use crate::core::buffer::Buf;
use crate::core::tape::Tape;
use crate::data::Resize;
use crate::ops::{Form, Value, masked_mean};

pub(super) static ENCODER: StaticEmbeddings = StaticEmbeddings;

pub(super) struct StaticEmbeddings;

const TABLE: &str = "embedding";

static PUBLISHED: [Published; 2] = [
    Published {
        by: "WordLlama",
        trained_on: "pairs of texts, by its package",
        licence: "MIT for the package; its tables come from Llama 2's, see there",
        made: "a .safetensors file and a tokenizer.json of the package wordllama",
        normalization: Normalization::NONE,
        resize: Resize::Letterbox,
        ours: |name| (name == "embedding.weight").then(|| name.into()),
    },
    Published {
        by: "model2vec",
        trained_on: "whatever its model card says",
        licence: "MIT (minishlab's potion models)",
        made: "python -c \"from model2vec import StaticModel; StaticModel.from_pretrained('minishlab/potion-base-8M').save_pretrained('potion')\"",
        normalization: Normalization::NONE,
        resize: Resize::Letterbox,
        ours: |name| (name == "embeddings").then(|| format!("{TABLE}.weight")),
    },
];

impl Encoder for StaticEmbeddings {
    fn name(&self) -> &'static str {
        "static"
    }

    fn help(&self) -> &'static str {
        "Texts as the mean of published embeddings of their tokens, such as model2vec's, with their tokenizer beside."
    }

    fn settings(&self) -> &'static [&'static str] {
        &["features"]
    }

    fn form(&self) -> Form {
        Form::Tokens
    }

    fn describe(&self, model: &ModelSettings) -> String {
        format!("static embeddings of {} features", model.features)
    }

    fn features(&self, t: &mut Tape<'_>, model: &ModelSettings, place: Place, x: Value) -> Buf {
        let (tokens, vocabulary) = x.tokens();
        let [_, words] = embedded(t, TABLE, place.group, tokens, [vocabulary, model.features]);
        let mean = masked_mean(t, "mean of tokens", words, tokens);
        directions(t, "sentence", mean)
    }

    fn has_batch_norm(&self) -> bool {
        false
    }

    fn published(&self) -> &'static [Published] {
        &PUBLISHED
    }

    fn size(&self, model: &mut ModelSettings, shape_of: &ShapeOf<'_>) -> Option<u32> {
        let [vocabulary, columns] = *shape_of(&format!("{TABLE}.weight"))?.first_chunk()?;
        model.features = columns;
        Some(vocabulary)
    }
}
