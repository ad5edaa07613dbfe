//! ResNet-18, with torchvision's names and shapes of parameters.

use super::encoder::{OF_256, torchvision};
use super::layers::residual_block;
use super::resnet::Resnet;

pub(super) static ENCODER: Resnet = Resnet {
    name: "resnet18",
    help: "ResNet-18, with torchvision's parameter names.",
    blocks: [2, 2, 2, 2],
    block: residual_block,
    published: &[torchvision(
        "torchvision and timm",
        "python -c \"import torch, torchvision; torch.save(torchvision.models.resnet18(weights='DEFAULT').state_dict(), 'resnet18.pth')\"",
        OF_256,
    )],
};
