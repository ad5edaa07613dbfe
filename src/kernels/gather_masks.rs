//! The classes of a batch's pixels, through the affine maps of augmented views.

use rayon::prelude::*;

use super::{Cases, has, row_quads};
use crate::buffer::{Buf, Fill, shape};
use crate::memory::HostMem;
use crate::program::{Kernel, Scalar, Tolerance};
use crate::shader::Variant;
use crate::wgsl;

const VARIANTS: &[Variant] = &[Variant::plain("gather_masks", &[wgsl!("gather_masks")])];

/// `masks` (u32): `[samples, height * width / 4]`, lowest byte first; `indices`: `[1, batch]`; `draws`: `[batch, 8]`, inverse
/// affine maps as [`AugmentDraw`](super::augment_draw::AugmentDraw) leaves them; `targets` (u32): `[1, batch * height * width]`.
/// A pixel takes the class of the nearest one, and `outside` where the picture ends.
pub struct GatherMasks {
    pub masks: Buf,
    pub indices: Buf,
    pub draws: Buf,
    pub targets: Buf,
    pub height: u32,
    pub width: u32,
    pub outside: u32,
}

/// The arithmetic of a coordinate, in f32 or in f64.
macro_rules! classes {
    ($call:expr, $m:expr, $float:ty) => {{
        let GatherMasks { masks, indices, draws, targets, height, width, outside } = *$call;
        let (masks, indices, draws) = ($m.u32(masks), $m.u32(indices), $m.f32(draws));
        let (width, height, pixels) = (width as usize, height as usize, targets.cols() as usize);
        let (mid_x, mid_y) = (0.5 * (width as $float - 1.0), 0.5 * (height as $float - 1.0));
        let class = |pixel: usize| {
            let (column, line, sample) = (pixel % width, pixel / width % height, pixel / (width * height));
            let (dx, dy) = (column as $float - mid_x, line as $float - mid_y);
            let d: [$float; 8] = std::array::from_fn(|i| <$float>::from(draws.row(sample)[i]));
            let x = (d[0] * dx + d[1] * dy + d[2] + mid_x + 0.5).floor();
            let y = (d[4] * dx + d[5] * dy + d[6] + mid_y + 0.5).floor();
            if x < 0.0 || y < 0.0 || x >= width as $float || y >= height as $float {
                return outside;
            }
            let bytes: &[u8] = bytemuck::cast_slice(masks.row(indices.row(0)[sample] as usize));
            u32::from(bytes[y as usize * width + x as usize])
        };
        const BLOCK: usize = 4096;
        $m.u32_mut(targets).padded_mut().par_chunks_mut(BLOCK).enumerate().for_each(|(block, targets)| {
            for (pixel, target) in (block * BLOCK..).zip(targets) {
                *target = if pixel < pixels { class(pixel) } else { 0 };
            }
        });
    }};
}

impl Kernel for GatherMasks {
    fn bufs(&self) -> Vec<(&'static str, Buf)> {
        vec![("masks", self.masks), ("indices", self.indices), ("draws", self.draws), ("targets", self.targets)]
    }

    fn params(&self) -> Vec<(&'static str, Scalar)> {
        let numbers = [
            ("pixels", self.targets.cols()),
            ("padded_pixels", self.targets.shape.stride()),
            ("width", self.width),
            ("height", self.height),
            ("mask_stride", self.masks.shape.stride()),
            ("draw_quads", row_quads(self.draws)),
            ("outside", self.outside),
        ];
        numbers.map(|(name, value)| (name, Scalar::U32(value))).to_vec()
    }

    fn variants(&self) -> &'static [Variant] {
        VARIANTS
    }

    fn invocations(&self, _: &Variant) -> u64 {
        u64::from(self.targets.shape.stride())
    }

    fn check_shapes(&self) -> Result<(), String> {
        let (batch, pixels) = (self.indices.cols(), self.height * self.width);
        has("indices", self.indices, 1, batch)?;
        has("draws", self.draws, batch, self.draws.cols().max(8))?;
        has("targets", self.targets, 1, batch * pixels)?;
        has("masks", self.masks, self.masks.rows(), pixels.div_ceil(4))
    }

    fn twin(&self, m: &HostMem) {
        classes!(self, m, f64);
    }

    fn fast(&self, m: &HostMem) {
        classes!(self, m, f32);
    }

    /// Classes are copied. A coordinate that is rounded may fall on another pixel: cases have maps whose coordinates are exact.
    fn tolerance(&self, _: &str, _: &HostMem) -> Tolerance {
        Tolerance::Exact
    }

    fn work(&self) -> u64 {
        40 * self.targets.shape.words()
    }
}

pub fn cases(c: &mut Cases<'_>) {
    // The identity; mirrored and shifted; twice as large, and turned; far away.
    const MAPS: [[f32; 8]; 4] = [
        [1.0, 0.0, 0.0, 0.1, 0.0, 1.0, 0.0, 0.9],
        [-1.0, 0.25, 1.5, 0.1, 0.0, 1.0, -2.25, 0.9],
        [0.0, 0.5, 0.25, 0.1, -0.5, 0.125, 0.75, 0.9],
        [2.0, 0.0, 4096.0, 0.1, 0.0, -2.0, -0.5, 0.9],
    ];
    for (height, width, batch) in [(1, 1, 1), (5, 9, 3), (8, 6, 5), (7, 3, 13)] {
        for first in 0..MAPS.len() {
            let masks = super::gather::packed_bytes(c, 7, height * width);
            let indices = c.integers((0..batch).map(|r| (r * 5 + 2) % 7));
            let maps = (0..batch as usize).flat_map(|r| MAPS[(first + r) % MAPS.len()]);
            let draws = c.filled(shape(batch, 8), Fill::F32(maps.collect()));
            let targets = c.integer_output(1, batch * height * width);
            c.add(GatherMasks { masks, indices, draws, targets, height, width, outside: 255 });
        }
    }
}
