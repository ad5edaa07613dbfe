//! MobileNetV3-Small (Howard et al., 2019), with torchvision's parameter names. Features are the averages before its classifier, of
//! which torchvision's first layer is none of ours.

use super::encoder::{OF_256, torchvision};
use super::inverted_residual::{HARD_SWISH, InvertedBlock, InvertedResidual, Torchvision};
use crate::ops::Activation;

const fn block(kernel: u32, stride: u32, expanded: u32, squeezed: Option<u32>, outputs: u32, activation: Activation) -> InvertedBlock {
    InvertedBlock { kernel, stride, expanded, squeezed, outputs, activation }
}

const BLOCKS: &[InvertedBlock] = &[
    block(3, 2, 16, Some(8), 16, Activation::Relu),
    block(3, 2, 72, None, 24, Activation::Relu),
    block(3, 1, 88, None, 24, Activation::Relu),
    block(5, 2, 96, Some(24), 40, HARD_SWISH),
    block(5, 1, 240, Some(64), 40, HARD_SWISH),
    block(5, 1, 240, Some(64), 40, HARD_SWISH),
    block(5, 1, 120, Some(32), 48, HARD_SWISH),
    block(5, 1, 144, Some(40), 48, HARD_SWISH),
    block(5, 2, 288, Some(72), 96, HARD_SWISH),
    block(5, 1, 576, Some(144), 96, HARD_SWISH),
    block(5, 1, 576, Some(144), 96, HARD_SWISH),
];

pub(super) static ENCODER: InvertedResidual = InvertedResidual {
    name: "mobilenet_v3_small",
    help: "MobileNetV3-Small, with torchvision's parameter names.",
    stem: (16, HARD_SWISH),
    blocks: BLOCKS,
    head: (576, HARD_SWISH),
    same_padding: false,
    eps: 1e-3,
    names: &Torchvision { list: "block", head: 12, flat_projection: false },
    classifier: "head",
    published: &[torchvision(
        "torchvision",
        "python -c \"import torch, torchvision; torch.save(torchvision.models.mobilenet_v3_small(weights='DEFAULT').state_dict(), 'mobilenet_v3_small.pth')\"",
        OF_256,
    )],
};
