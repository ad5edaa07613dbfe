//! The gradient of enlarged maps, summed over the copies of each pixel.

use super::upsample_nearest::{check_sizes, params, sizes};
use super::Cases;
use crate::core::buffer::Maps;
use crate::core::memory::HostMem;
use crate::core::program::{EPSILON, Exp, Kernel, Tolerance};

/// `grad_x`, `grad_y`: as `x` and `y` of [`UpsampleNearest`](super::upsample_nearest::UpsampleNearest).
pub struct UpsampleNearestBackward {
    pub grad_y: Maps,
    pub grad_x: Maps,
    pub scale: u32,
    pub accumulate: bool,
}

impl UpsampleNearestBackward {
    /// The rows of `grad_y` that are copies of row `row` of `grad_x`.
    fn copies(&self, row: usize) -> impl Iterator<Item = usize> + use<> {
        let [height, width, large_height, large_width, scale] =
            [self.grad_x.height, self.grad_x.width, self.grad_y.height, self.grad_y.width, self.scale].map(|side| side as usize);
        let (map, top, left) = (row / (height * width), row / width % height * scale, row % width * scale);
        (top..(top + scale).min(large_height))
            .flat_map(move |line| (left..(left + scale).min(large_width)).map(move |column| (line, column)))
            .map(move |(line, column)| (map * large_height + line) * large_width + column)
    }
}

impl Kernel for UpsampleNearestBackward {
    interface! {
        self runs "upsample_nearest_backward";
        bufs { grad_y: self.grad_y.buf, grad_x: self.grad_x.buf }
        params { ..params(self.grad_x, self.grad_y, self.grad_x.buf.rows(), self.scale), accumulate }
    }

    fn check_shapes(&self) -> Result<(), String> {
        check_sizes(self.grad_x, self.grad_y, self.scale)
    }

    fn twin(&self, m: &HostMem) {
        let grad_y = m.f32(self.grad_y.buf);
        m.f32_mut(self.grad_x.buf).for_each_row(|r, grad_x| {
            for (col, grad_x) in grad_x.iter_mut().enumerate() {
                let sum: f64 = self.copies(r).map(|row| f64::from(grad_y.row(row)[col])).sum();
                *grad_x = (sum + if self.accumulate { f64::from(*grad_x) } else { 0.0 }) as f32;
            }
        });
    }

    fn fast(&self, m: &HostMem) {
        let grad_y = m.f32(self.grad_y.buf);
        m.f32_mut(self.grad_x.buf).for_each_row(|r, grad_x| {
            if !self.accumulate {
                grad_x.fill(0.0);
            }
            self.copies(r).for_each(|row| grad_x.iter_mut().zip(grad_y.row(row)).for_each(|(grad_x, grad_y)| *grad_x += grad_y));
        });
    }

    /// One rounding per copy.
    fn tolerance(&self, _: &str, m: &HostMem, _: Exp) -> Tolerance {
        let (grad_y, old) = (m.f32(self.grad_y.buf), m.f32(self.grad_x.buf));
        let roundings = 2.0 * EPSILON * f64::from(self.scale.pow(2) + 1);
        let bounds = (0..self.grad_x.buf.rows() as usize).flat_map(|r| {
            let bound = |col: usize| {
                let before = if self.accumulate { f64::from(old.row(r)[col].abs()) } else { 0.0 };
                roundings * (self.copies(r).map(|row| f64::from(grad_y.row(row)[col].abs())).sum::<f64>() + before) + 1e-37
            };
            (0..self.grad_x.channels() as usize).map(bound).collect::<Vec<_>>()
        });
        Tolerance::Each(bounds.collect())
    }
}

pub fn cases(c: &mut Cases<'_>) {
    for accumulate in [false, true] {
        for (grad_x, grad_y, scale) in sizes(c) {
            c.add(UpsampleNearestBackward { grad_y, grad_x, scale, accumulate });
        }
    }
}
