//! The classes of a batch's pixels, moved as augmented views are.

use rayon::prelude::*;

use super::{Cases, has};
use crate::core::buffer::{Buf, Fill, shape};
use crate::core::memory::HostMem;
use crate::core::program::{Exp, Kernel, Tolerance};
use crate::host::views::{DrawColumn, place};

/// `masks` (u32): `[samples, height * width / 4]`, lowest byte first; `indices`: `[1, batch]`; `draws`: `[batch, 52]`, as
/// [`AugmentDraw`](super::augment_draw::AugmentDraw) leaves them; `targets` (u32): `[1, batch * height * width]`.
/// A pixel takes the class of the nearest one, and `outside` where the picture ends.
pub struct GatherMasks {
    pub masks: Buf,
    pub indices: Buf,
    pub draws: Buf,
    pub targets: Buf,
    pub height: u32,
    pub width: u32,
    /// Pixels are displaced, not only mapped.
    pub elastic: bool,
    pub outside: u32,
}

impl GatherMasks {
    /// Where pixel (`x`, `y`) of a view comes from: through the map about the middle, and if there are displacements, by the sum of
    /// those of all 4 x 4 nodes, each weighted by a tent that is 1 at the node and 0 from the next ones on.
    fn source(&self, draws: &[f32], x: u32, y: u32) -> [f64; 2] {
        let d = |column: usize| f64::from(draws[column]);
        let [middle_x, middle_y] = [self.width, self.height].map(|side| (f64::from(side) - 1.0) / 2.0);
        let (dx, dy) = (f64::from(x) - middle_x, f64::from(y) - middle_y);
        let mut source = [d(0) * dx + d(1) * dy + d(2) + middle_x, d(4) * dx + d(5) * dy + d(6) + middle_y];
        if self.elastic {
            let at = |pixel: u32, side: u32| 3.0 * f64::from(pixel) / f64::from(side - 1).max(1.0);
            let tent = |node: usize, at: f64| (1.0 - (at - node as f64).abs()).max(0.0);
            for node in 0..16 {
                let weight = tent(node % 4, at(x, self.width)) * tent(node / 4, at(y, self.height));
                source[0] += weight * d(DrawColumn::DISPLACEMENTS + 2 * node);
                source[1] += weight * d(DrawColumn::DISPLACEMENTS + 2 * node + 1);
            }
        }
        source
    }
}

impl Kernel for GatherMasks {
    interface! {
        self runs "gather_masks" after "augment_place";
        bufs { masks, indices, draws, targets }
        params {
            pixels: self.targets.cols(),
            padded_pixels: self.targets.shape.stride(),
            width,
            height,
            mask_stride: self.masks.shape.stride(),
            outside,
        }
        constants { QUADS: DrawColumn::COUNT / 4, ELASTIC: self.elastic }
        invocations { self.targets.shape.stride() }
    }

    fn check_shapes(&self) -> Result<(), String> {
        let (batch, pixels) = (self.indices.cols(), self.height * self.width);
        has("indices", self.indices, 1, batch)?;
        has("draws", self.draws, batch, DrawColumn::COUNT)?;
        has("targets", self.targets, 1, batch * pixels)?;
        has("masks", self.masks, self.masks.rows(), pixels.div_ceil(4))
    }

    fn twin(&self, m: &HostMem) {
        let (masks, indices, draws) = (m.u32(self.masks), m.u32(self.indices), m.f32(self.draws));
        m.u32_mut(self.targets).for_each_row(|_, targets| {
            for (pixel, target) in targets.iter_mut().enumerate() {
                let (sample, at) = (pixel / (self.width * self.height) as usize, pixel as u32 % (self.width * self.height));
                let [x, y] = self.source(draws.row(sample), at % self.width, at / self.width).map(|at| (at + 0.5).floor() as i64);
                let inside = (0..i64::from(self.width)).contains(&x) && (0..i64::from(self.height)).contains(&y);
                let class = || {
                    let place = y as usize * self.width as usize + x as usize;
                    masks.row(indices.row(0)[sample] as usize)[place / 4] >> (8 * (place % 4)) & 255
                };
                *target = if inside { class() } else { self.outside };
            }
        });
    }

    fn fast(&self, m: &HostMem) {
        const BLOCK: usize = 4096;
        let (masks, indices, draws) = (m.u32(self.masks), m.u32(self.indices), m.f32(self.draws));
        let (width, height, pixels) = (self.width, self.height, self.targets.cols() as usize);
        let class = |pixel: u32| {
            let (sample, at) = ((pixel / (width * height)) as usize, [pixel % width, pixel / width % height]);
            let [x, y] = place::<f32>(draws.row(sample), [width, height], at, self.elastic).map(|position| {
                let position: f64 = position.into();
                (position + 0.5).floor()
            });
            if x < 0.0 || y < 0.0 || x >= f64::from(width) || y >= f64::from(height) {
                return self.outside;
            }
            let bytes: &[u8] = bytemuck::cast_slice(masks.row(indices.row(0)[sample] as usize));
            u32::from(bytes[y as usize * width as usize + x as usize])
        };
        m.u32_mut(self.targets).padded_mut().par_chunks_mut(BLOCK).enumerate().for_each(|(block, targets)| {
            for (pixel, target) in (block * BLOCK..).zip(targets) {
                *target = if pixel < pixels { class(pixel as u32) } else { 0 };
            }
        });
    }

    /// Classes are copied. A coordinate that is rounded may fall on another pixel: cases have maps whose coordinates are exact.
    fn tolerance(&self, _: &str, _: &HostMem, _: Exp) -> Tolerance {
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
    // Between nodes that are a power of two of pixels apart, displacements are exact.
    let sizes = [(1, 1, 1, false), (5, 9, 3, false), (8, 6, 5, false), (7, 3, 13, false), (1, 1, 2, true), (5, 9, 5, true), (17, 3, 4, true)];
    for (height, width, batch, elastic) in sizes {
        for first in 0..MAPS.len() {
            let masks = super::gather::packed_bytes(c, 7, height * width);
            let indices = c.integers((0..batch).map(|r| (r * 5 + 2) % 7));
            let displacement = |r: usize, i: usize| ((i * 7 + r * 5) % 17) as f32 / 4.0 - 2.0;
            let row = |r: usize| (0..DrawColumn::COUNT as usize).map(move |i| if i < 8 { MAPS[(first + r) % MAPS.len()][i] } else { displacement(r, i) });
            let draws = c.filled(shape(batch, DrawColumn::COUNT), Fill::F32((0..batch as usize).flat_map(row).collect()));
            let targets = c.integer_output(1, batch * height * width);
            c.add(GatherMasks { masks, indices, draws, targets, height, width, elastic, outside: 255 });
        }
    }
}
