//! Weights of networks by a formula, in the form that others publish them in.

use safetensors::tensor::{Dtype, TensorView};
use wgraft::core::buffer::{Arena, NamedBuf, Role};
use wgraft::core::sample::{Image, SampleType};
use wgraft::models::{ModelKind, ModelSettings, record_encoder};

/// The size that published weights are for.
pub const IMAGE: Image = Image { height: 224, width: 224, channels: 3 };

/// A tensor: name, shape, values.
pub type Named = (String, Vec<usize>, Vec<f32>);

/// Weights of a network, tame ones.
pub fn weights(kind: ModelKind) -> Vec<Named> {
    let mut arena = Arena::new(0, u64::MAX);
    record_encoder(&mut arena, &ModelSettings { kind, ..ModelSettings::default() }, SampleType::Image(IMAGE));
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
