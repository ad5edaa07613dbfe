//! ResNet-34, with torchvision's names and shapes of parameters.

use super::encoder::{OF_256, torchvision};
use super::layers::residual_block;
use super::resnet::Resnet;

pub(super) static ENCODER: Resnet = Resnet {
    name: "resnet34",
    help: "ResNet-34, with torchvision's parameter names.",
    blocks: [3, 4, 6, 3],
    block: residual_block,
    published: &[torchvision(
        "torchvision and timm",
        "python -c \"import torch, torchvision; torch.save(torchvision.models.resnet34(weights='DEFAULT').state_dict(), 'resnet34.pth')\"",
        OF_256,
    )],
};
