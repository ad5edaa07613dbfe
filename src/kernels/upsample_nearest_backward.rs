//! The gradient of enlarged maps, summed over the copies of each pixel.

use super::upsample_nearest::{check_sizes, params, sizes};
use super::{Cases, quads};
use crate::buffer::{Buf, Maps};
use crate::memory::HostMem;
use crate::program::{EPSILON, Kernel, Scalar, Tolerance};
use crate::shader::Variant;
use crate::wgsl;

const VARIANTS: &[Variant] = &[Variant::plain("upsample_nearest_backward", &[wgsl!("upsample_nearest_backward")])];

/// `dx`, `dy`: as `x` and `y` of [`UpsampleNearest`](super::upsample_nearest::UpsampleNearest).
pub struct UpsampleNearestBackward {
    pub dy: Maps,
    pub dx: Maps,
    pub scale: u32,
    pub accumulate: bool,
}

impl UpsampleNearestBackward {
    /// The rows of `dy` that are copies of row `row` of `dx`.
    fn copies(&self, row: usize) -> impl Iterator<Item = usize> + use<> {
        let [height, width, large_height, large_width, scale] =
            [self.dx.height, self.dx.width, self.dy.height, self.dy.width, self.scale].map(|side| side as usize);
        let (map, top, left) = (row / (height * width), row / width % height * scale, row % width * scale);
        (top..(top + scale).min(large_height))
            .flat_map(move |line| (left..(left + scale).min(large_width)).map(move |column| (line, column)))
            .map(move |(line, column)| (map * large_height + line) * large_width + column)
    }
}

impl Kernel for UpsampleNearestBackward {
    fn bufs(&self) -> Vec<(&'static str, Buf)> {
        vec![("dy", self.dy.buf), ("dx", self.dx.buf)]
    }

    fn params(&self) -> Vec<(&'static str, Scalar)> {
        [params(self.dx, self.dy, self.dx.buf.rows(), self.scale), vec![("accumulate", Scalar::U32(self.accumulate.into()))]].concat()
    }

    fn variants(&self) -> &'static [Variant] {
        VARIANTS
    }

    fn invocations(&self, _: &Variant) -> u64 {
        u64::from(quads(self.dx.buf))
    }

    fn check_shapes(&self) -> Result<(), String> {
        check_sizes(self.dx, self.dy, self.scale)
    }

    fn accumulates(&self) -> bool {
        self.accumulate
    }

    fn twin(&self, m: &HostMem) {
        let dy = m.f32(self.dy.buf);
        m.f32_mut(self.dx.buf).for_each_row(|r, dx| {
            for (col, dx) in dx.iter_mut().enumerate() {
                let sum: f64 = self.copies(r).map(|row| f64::from(dy.row(row)[col])).sum();
                *dx = (sum + if self.accumulate { f64::from(*dx) } else { 0.0 }) as f32;
            }
        });
    }

    fn fast(&self, m: &HostMem) {
        let dy = m.f32(self.dy.buf);
        m.f32_mut(self.dx.buf).for_each_row(|r, dx| {
            if !self.accumulate {
                dx.fill(0.0);
            }
            self.copies(r).for_each(|row| dx.iter_mut().zip(dy.row(row)).for_each(|(dx, dy)| *dx += dy));
        });
    }

    /// One rounding per copy.
    fn tolerance(&self, _: &str, m: &HostMem) -> Tolerance {
        let (dy, old) = (m.f32(self.dy.buf), m.f32(self.dx.buf));
        let roundings = 2.0 * EPSILON * f64::from(self.scale.pow(2) + 1);
        let bounds = (0..self.dx.buf.rows() as usize).flat_map(|r| {
            let bound = |col: usize| {
                let before = if self.accumulate { f64::from(old.row(r)[col].abs()) } else { 0.0 };
                roundings * (self.copies(r).map(|row| f64::from(dy.row(row)[col].abs())).sum::<f64>() + before) + 1e-37
            };
            (0..self.dx.channels() as usize).map(bound).collect::<Vec<_>>()
        });
        Tolerance::Each(bounds.collect())
    }
}

pub fn cases(c: &mut Cases<'_>) {
    for accumulate in [false, true] {
        for (dx, dy, scale) in sizes(c) {
            c.add(UpsampleNearestBackward { dy, dx, scale, accumulate });
        }
    }
}
