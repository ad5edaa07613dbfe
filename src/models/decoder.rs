//! From maps back to the size of the image: the right half of a U-Net, and the decoder of an autoencoder.

use super::layers::{Place, conv_norm, dense, three_by_three};
use crate::core::buffer::{Buf, Maps};
use crate::core::sample::Image;
use crate::core::tape::Tape;
use crate::ops::{Activation, concat, unflatten, upsample_to};

/// Layers that no encoder gives a width have at least this many channels.
const LEAST_CHANNELS: u32 = 16;
/// Channels of the smallest maps of an autoencoder's decoder, and the longest side they may have.
const FIRST_CHANNELS: u32 = 64;
const FIRST_SIDE: u32 = 4;

/// Maps twice as large, cut to `height` and `width`.
fn doubled(t: &mut Tape<'_>, name: &str, x: Maps, [height, width]: [u32; 2]) -> Maps {
    let scale = height.div_ceil(x.height).max(width.div_ceil(x.width));
    upsample_to(t, &format!("{name}.up"), x, scale, [height, width])
}

/// 3 x 3 convolution, batch norm and ReLU, called `name`.
fn block(t: &mut Tape<'_>, name: &str, place: Place, x: Maps, channels: u32) -> Maps {
    let names = [format!("{name}.conv"), format!("{name}.bn")];
    conv_norm(t, [&names[0], &names[1]], place, x, channels, three_by_three(1), Activation::Relu)
}

/// The sizes between `image` and `from`, which are each half the one before, smallest first, `image` itself last.
fn sizes_up_to(image: [u32; 2], from: [u32; 2]) -> Vec<[u32; 2]> {
    let halved = |[height, width]: &[u32; 2]| Some([height.div_ceil(2), width.div_ceil(2)]);
    let larger = |[height, width]: &[u32; 2]| *height > from[0] || *width > from[1];
    let mut sizes: Vec<[u32; 2]> = std::iter::successors(Some(image), halved).take_while(larger).collect();
    sizes.reverse();
    sizes
}

/// What becomes of `stages`, largest maps first (Ronneberger et al., 2015): the smallest are enlarged step by step, beside them
/// what the encoder had at that size. Returns maps of `size`, height and width; a stem that made them smaller has no counterpart.
pub fn unet(t: &mut Tape<'_>, place: Place, stages: &[Maps], size: [u32; 2]) -> Maps {
    let mut stages = stages.iter().rev().copied();
    let mut x = stages.next().expect("an encoder has stages");
    // Of several stages of one size, the last one has seen the most.
    for skip in stages {
        if (skip.height, skip.width) == (x.height, x.width) {
            continue;
        }
        let name = format!("decoder.{}x{}", skip.height, skip.width);
        let up = doubled(t, &name, x, [skip.height, skip.width]);
        let joined = concat(t, &format!("{name}.joined"), up, skip);
        x = block(t, &name, place, joined, skip.channels());
    }
    for size in sizes_up_to(size, [x.height, x.width]) {
        let name = format!("decoder.{}x{}", size[0], size[1]);
        let up = doubled(t, &name, x, size);
        x = block(t, &name, place, up, (x.channels() / 2).max(LEAST_CHANNELS));
    }
    x
}

/// Images from `features`, `[batch, width]`, without a way around them. Returns a pixel a row,
/// `[batch * height * width, channels]`.
pub fn images(t: &mut Tape<'_>, place: Place, features: Buf, image: Image) -> Buf {
    let mut first = [image.height, image.width];
    while first[0].max(first[1]) > FIRST_SIDE {
        first = first.map(|side| side.div_ceil(2));
    }
    let flat = dense(t, "decoder.fc", place.group, features, first[0] * first[1] * FIRST_CHANNELS, Activation::Relu);
    let mut x = unflatten(t, "decoder.maps", flat, first[0], first[1]);
    for size in sizes_up_to([image.height, image.width], first) {
        let name = format!("decoder.{}x{}", size[0], size[1]);
        let up = doubled(t, &name, x, size);
        x = block(t, &name, place, up, (x.channels() / 2).max(LEAST_CHANNELS));
    }
    dense(t, "decoder.pixels", place.group, x.buf, image.channels, Activation::None)
}
