//! The gradient of enlarged maps, summed over the copies of each pixel.

use super::upsample_nearest::{SIZES, params};
use super::{Cases, has, quads};
use crate::buffer::{Buf, Maps};
use crate::memory::HostMem;
use crate::program::{EPSILON, Kernel, Scalar, Tolerance};
use crate::shader::Variant;
use crate::wgsl;

const VARIANTS: &[Variant] = &[Variant::plain("upsample_nearest_backward", &[wgsl!("upsample_nearest_backward")])];

/// `dy`: maps `scale` times as high and wide as those of `dx`.
pub struct UpsampleNearestBackward {
    pub dy: Buf,
    pub dx: Maps,
    pub scale: u32,
    pub accumulate: bool,
}

impl UpsampleNearestBackward {
    /// The rows of `dy` that are copies of row `row` of `dx`.
    fn copies(&self, row: usize) -> impl Iterator<Item = usize> + use<> {
        let (width, scale) = (self.dx.width as usize, self.scale as usize);
        let (top, left) = (row / width * scale, row % width * scale);
        (0..scale * scale).map(move |i| (top + i / scale) * width * scale + left + i % scale)
    }
}

impl Kernel for UpsampleNearestBackward {
    fn bufs(&self) -> Vec<(&'static str, Buf)> {
        vec![("dy", self.dy), ("dx", self.dx.buf)]
    }

    fn params(&self) -> Vec<(&'static str, Scalar)> {
        [params(self.dx, self.dx.buf.rows(), self.scale), vec![("accumulate", Scalar::U32(self.accumulate.into()))]].concat()
    }

    fn variants(&self) -> &'static [Variant] {
        VARIANTS
    }

    fn invocations(&self, _: &Variant) -> u64 {
        u64::from(quads(self.dx.buf))
    }

    fn check_shapes(&self) -> Result<(), String> {
        has("dy", self.dy, self.dx.buf.rows() * self.scale.pow(2), self.dx.channels())
    }

    fn accumulates(&self) -> bool {
        self.accumulate
    }

    fn twin(&self, m: &HostMem) {
        let dy = m.f32(self.dy);
        m.f32_mut(self.dx.buf).for_each_row(|r, dx| {
            for (col, dx) in dx.iter_mut().enumerate() {
                let sum: f64 = self.copies(r).map(|row| f64::from(dy.row(row)[col])).sum();
                *dx = (sum + if self.accumulate { f64::from(*dx) } else { 0.0 }) as f32;
            }
        });
    }

    fn fast(&self, m: &HostMem) {
        let dy = m.f32(self.dy);
        m.f32_mut(self.dx.buf).for_each_row(|r, dx| {
            if !self.accumulate {
                dx.fill(0.0);
            }
            self.copies(r).for_each(|row| dx.iter_mut().zip(dy.row(row)).for_each(|(dx, dy)| *dx += dy));
        });
    }

    /// One rounding per copy.
    fn tolerance(&self, _: &str, m: &HostMem) -> Tolerance {
        let (dy, old) = (m.f32(self.dy), m.f32(self.dx.buf));
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
    for [batch, height, width, channels, scale] in SIZES {
        for accumulate in [false, true] {
            let dx = Maps::new(c.uniform(batch * height * width, channels), batch, height, width);
            let dy = c.uniform(dx.buf.rows() * scale * scale, channels);
            c.add(UpsampleNearestBackward { dy, dx, scale, accumulate });
        }
    }
}
