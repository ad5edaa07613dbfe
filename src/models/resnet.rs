//! Residual networks (He et al., 2016), with torchvision's names and shapes of parameters.

use super::encoder::Encoder;
use super::layers::{Block, Place, conv_norm, three_by_three};
use super::{ModelSettings, Published};
use crate::core::buffer::{Buf, Maps};
use crate::core::tape::Tape;
use crate::kernels::conv2d::Geometry;
use crate::kernels::max_pool2d::Window;
use crate::ops::{Activation, Value, global_avg_pool, max_pool2d};

/// Larger images get the stem for ImageNet, which divides their sides by four.
const SMALL_SIDE: u32 = 64;

/// An entry of the registry.
pub(super) struct Resnet {
    pub name: &'static str,
    pub help: &'static str,
    /// In each of the four layers.
    pub blocks: [u32; 4],
    pub block: Block,
    pub published: &'static [Published],
}

impl Encoder for Resnet {
    fn name(&self) -> &'static str {
        self.name
    }

    fn help(&self) -> &'static str {
        self.help
    }

    /// Averages over the last maps.
    fn features(&self, t: &mut Tape<'_>, _model: &ModelSettings, place: Place, x: Value) -> Buf {
        let last = *self.maps(t, place, x.maps()).last().expect("five stages");
        global_avg_pool(t, "avgpool", last)
    }

    fn stages(&self, t: &mut Tape<'_>, _model: &ModelSettings, place: Place, x: Maps) -> Option<Vec<Maps>> {
        Some(self.maps(t, place, x))
    }

    fn classifier(&self) -> &'static str {
        "fc"
    }

    fn trained_from(&self, _few: bool) -> Option<String> {
        Some("layer4".into())
    }

    fn published(&self) -> &'static [Published] {
        self.published
    }
}

impl Resnet {
    /// Maps after the stem and after each of the four layers, in this order.
    fn maps(&self, t: &mut Tape<'_>, place: Place, x: Maps) -> Vec<Maps> {
        let small = x.height.max(x.width) <= SMALL_SIDE;
        let stem = if small { three_by_three(1) } else { Geometry::square(7, 2, 3) };
        let mut x = conv_norm(t, ["conv1", "bn1"], place, x, 64, stem, Activation::Relu);
        if !small {
            x = max_pool2d(t, "maxpool", x, Window::square(3, 2, 1));
        }
        let mut stages = vec![x];
        for (layer, (channels, blocks)) in [64, 128, 256, 512].into_iter().zip(self.blocks).enumerate() {
            for block in 0..blocks {
                let stride = if layer > 0 && block == 0 { 2 } else { 1 };
                x = (self.block)(t, &format!("layer{}.{block}", layer + 1), place, x, channels, stride);
            }
            stages.push(x);
        }
        stages
    }
}
