//! MobileNetV2 (Sandler et al., 2018) of width 1, with torchvision's parameter names.

use super::encoder::{OF_232, torchvision};
use super::inverted_residual::{InvertedBlock, InvertedResidual, RELU6, Torchvision};
use crate::ops::BatchNormLayer;

const fn block(stride: u32, expanded: u32, outputs: u32) -> InvertedBlock {
    InvertedBlock { kernel: 3, stride, expanded, squeezed: None, outputs, activation: RELU6 }
}

const BLOCKS: &[InvertedBlock] = &[
    block(1, 32, 16),
    block(2, 96, 24),
    block(1, 144, 24),
    block(2, 144, 32),
    block(1, 192, 32),
    block(1, 192, 32),
    block(2, 192, 64),
    block(1, 384, 64),
    block(1, 384, 64),
    block(1, 384, 64),
    block(1, 384, 96),
    block(1, 576, 96),
    block(1, 576, 96),
    block(2, 576, 160),
    block(1, 960, 160),
    block(1, 960, 160),
    block(1, 960, 320),
];

pub(super) static ENCODER: InvertedResidual = InvertedResidual {
    name: "mobilenet_v2",
    help: "MobileNetV2, with torchvision's parameter names.",
    stem: (32, RELU6),
    blocks: BLOCKS,
    head: (1280, RELU6),
    same_padding: false,
    eps: BatchNormLayer::EPS,
    names: &Torchvision { list: "conv", head: 18, flat_projection: true },
    classifier: "classifier.1",
    published: &[torchvision(
        "torchvision",
        "python -c \"import torch, torchvision; torch.save(torchvision.models.mobilenet_v2(weights='DEFAULT').state_dict(), 'mobilenet_v2.pth')\"",
        OF_232,
    )],
};
