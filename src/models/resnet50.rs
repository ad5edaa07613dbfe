//! ResNet-50, with torchvision's names and shapes of parameters.

use super::encoder::{OF_232, torchvision};
use super::layers::{POINTWISE, Place, around, three_by_three};
use super::resnet::Resnet;
use crate::core::buffer::Maps;
use crate::core::tape::Tape;

pub(super) static ENCODER: Resnet = Resnet {
    name: "resnet50",
    help: "ResNet-50, with torchvision's parameter names.",
    blocks: [3, 4, 6, 3],
    block: bottleneck_block,
    published: &[torchvision(
        "torchvision and timm",
        "python -c \"import torch, torchvision; torch.save(torchvision.models.resnet50(weights='DEFAULT').state_dict(), 'resnet50.pth')\"",
        OF_232,
    )],
};

/// The block of deep residual networks (He et al., 2016): to `channels` by 1 x 1, 3 x 3 with the stride, and by 1 x 1 to four times
/// as many, with batch norm and a way around them. Names are torchvision's.
fn bottleneck_block(t: &mut Tape<'_>, name: &str, place: Place, x: Maps, channels: u32, stride: u32) -> Maps {
    const EXPANSION: u32 = 4;
    let layers = [(channels, POINTWISE), (channels, three_by_three(stride)), (EXPANSION * channels, POINTWISE)];
    around(t, name, place, x, stride, &layers)
}
