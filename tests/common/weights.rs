//! Weights of networks by a formula, in the form that others publish them in.

use std::path::Path;

use safetensors::tensor::{Dtype, TensorView};
use wgraft::core::buffer::{Arena, NamedBuf, Role};
use wgraft::core::sample::Image;
use wgraft::models::{ModelKind, ModelSettings, record_encoder};

use super::files::put;

/// The size that published weights are for.
pub const IMAGE: Image = Image { height: 224, width: 224, channels: 3 };

/// A tensor: name, shape, values.
pub type Named = (String, Vec<usize>, Vec<f32>);

/// Weights of a network, tame ones.
pub fn weights(kind: ModelKind) -> Vec<Named> {
    let mut arena = Arena::new(0, u64::MAX);
    record_encoder(&mut arena, &ModelSettings { kind, ..ModelSettings::default() }, kind.usual_samples());
    let model = arena.bufs().iter().filter(|b| matches!(b.role, Role::Param { .. } | Role::Statistic { .. }));
    let tensor = |b: &NamedBuf| {
        let shape = b.tensor.torch_shape();
        let inputs = shape[1..].iter().product::<usize>() as f32;
        let value = |i: usize| match shape.len() {
            1 if b.name.ends_with("weight") || b.name.ends_with("running_var") => 1.0,
            1 => 0.05,
            _ => ((i * 7919 % 101) as f32 / 50.0 - 1.0) * (3.0 / inputs).sqrt(),
        };
        (b.name.clone(), shape.clone(), (0..shape.iter().product()).map(value).collect())
    };
    model.map(tensor).collect()
}

pub fn le_bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

pub fn safetensors(tensors: &[Named]) -> Vec<u8> {
    let bytes: Vec<_> = tensors.iter().map(|(name, shape, values)| (name, shape, le_bytes(values))).collect();
    let views =
        bytes.iter().map(|(name, shape, bytes)| (name.as_str(), TensorView::new(Dtype::F32, shape.to_vec(), bytes).expect("a tensor")));
    safetensors::serialize(views, None).expect("a file")
}

/// A value of -1 to 1 that looks like none before it.
pub fn value(tensor: usize, i: usize) -> f32 {
    ((i * 7919 + tensor * 104_729) % 2003) as f32 / 1001.0 - 1.0
}

/// BERT of two layers, so wide, for so many tokens.
pub fn bert(tokens: usize, width: usize) -> Vec<Named> {
    let mut tensors: Vec<(String, Vec<usize>)> = [("word", tokens), ("position", 16), ("token_type", 2)]
        .map(|(of, rows)| (format!("embeddings.{of}_embeddings.weight"), vec![rows, width]))
        .into();
    let mut layer = |name: String, outputs: usize, inputs: usize| {
        tensors.push((format!("{name}.weight"), if inputs > 0 { vec![outputs, inputs] } else { vec![outputs] }));
        tensors.push((format!("{name}.bias"), vec![outputs]));
    };
    layer("embeddings.LayerNorm".into(), width, 0);
    for i in 0..2 {
        let of = |part: &str| format!("encoder.layer.{i}.{part}");
        ["query", "key", "value"].iter().for_each(|part| layer(of(&format!("attention.self.{part}")), width, width));
        layer(of("attention.output.dense"), width, width);
        layer(of("attention.output.LayerNorm"), width, 0);
        layer(of("intermediate.dense"), 2 * width, width);
        layer(of("output.dense"), width, 2 * width);
        layer(of("output.LayerNorm"), width, 0);
    }
    layer("pooler.dense".into(), width, width);
    let filled = |(at, (name, shape)): (usize, (String, Vec<usize>))| {
        let scale = if shape.len() == 2 { 0.5 / (shape[1] as f32).sqrt() } else { 0.05 };
        let one = if name.ends_with("LayerNorm.weight") { 1.0 } else { 0.0 };
        let values = (0..shape.iter().product()).map(|i| one + scale * value(at, i)).collect();
        (name, shape, values)
    };
    tensors.into_iter().enumerate().map(filled).collect()
}

/// [`bert`] in a folder, as its makers leave it, for texts of up to twelve tokens, which `words` names.
pub fn language_network(root: &Path, name: &str, words: &str, width: usize) {
    put(root, &format!("{name}/model.safetensors"), safetensors(&bert(words.split(' ').count(), width)));
    put(root, &format!("{name}/vocab.txt"), words.replace(' ', "\n"));
    put(
        root,
        &format!("{name}/config.json"),
        "{\"model_type\": \"bert\", \"hidden_act\": \"gelu\", \"num_attention_heads\": 2, \"layer_norm_eps\": 1e-12}",
    );
    put(root, &format!("{name}/sentence_bert_config.json"), "{\"max_seq_length\": 12}");
}
