//! ResNet-18 (He et al., 2016), with torchvision's names and shapes of parameters.

use super::layers::{Place, conv_norm, residual_block, three_by_three};
use crate::core::buffer::{Buf, Maps};
use crate::core::tape::Tape;
use crate::kernels::conv2d::Geometry;
use crate::kernels::max_pool2d::Window;
use crate::ops::{Activation, global_avg_pool, max_pool2d};

/// Larger images get the stem for ImageNet, which divides their sides by four.
const SMALL_SIDE: u32 = 64;

/// Maps after the stem and after each of the four layers, in this order.
pub fn stages(t: &mut Tape<'_>, place: Place, x: Maps) -> Vec<Maps> {
    let small = x.height.max(x.width) <= SMALL_SIDE;
    let stem = if small { three_by_three(1) } else { Geometry { kernel: 7, stride: 2, padding: 3 } };
    let mut x = conv_norm(t, ["conv1", "bn1"], place, x, 64, stem, Activation::Relu);
    if !small {
        x = max_pool2d(t, "maxpool", x, Window { kernel: 3, stride: 2, padding: 1 });
    }
    let mut stages = vec![x];
    for (layer, channels) in [64, 128, 256, 512].into_iter().enumerate() {
        for block in 0..2 {
            let stride = if layer > 0 && block == 0 { 2 } else { 1 };
            x = residual_block(t, &format!("layer{}.{block}", layer + 1), place, x, channels, stride);
        }
        stages.push(x);
    }
    stages
}

/// Returns `[batch, 512]`.
pub fn encoder(t: &mut Tape<'_>, place: Place, x: Maps) -> Buf {
    let last = *stages(t, place, x).last().expect("five stages");
    global_avg_pool(t, "avgpool", last)
}
