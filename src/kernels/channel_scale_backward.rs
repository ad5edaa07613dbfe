//! The gradient of what channels are scaled by: Σ grad_y · x over the rows of each group.

use super::{Cases, has, row_quads, same};
use crate::core::buffer::Buf;
use crate::core::memory::HostMem;
use crate::core::program::{EPSILON, Exp, Kernel, Tolerance};

/// `x`, `grad_y`: `[groups * rows, cols]`; `grad_factors`: `[groups, cols]`.
pub struct ChannelScaleBackward {
    pub x: Buf,
    pub grad_y: Buf,
    pub grad_factors: Buf,
    pub accumulate: bool,
}

impl ChannelScaleBackward {
    fn group_rows(&self) -> u32 {
        self.x.rows() / self.grad_factors.rows()
    }

    /// Σ f(grad_y · x) for element `col` of group `group`.
    fn sum(&self, [x, grad_y]: &[crate::core::memory::Rows<f32>; 2], group: usize, col: usize, f: impl Fn(f64) -> f64) -> f64 {
        let rows = self.group_rows() as usize;
        (group * rows..(group + 1) * rows).map(|r| f(f64::from(x.row(r)[col]) * f64::from(grad_y.row(r)[col]))).sum()
    }
}

impl Kernel for ChannelScaleBackward {
    interface! {
        self runs "channel_scale_backward";
        bufs { x, grad_y, grad_factors }
        params { groups: self.grad_factors.rows(), quads: row_quads(self.x), group_rows: self.group_rows(), accumulate }
    }

    fn check_shapes(&self) -> Result<(), String> {
        same(&[("x", self.x), ("grad_y", self.grad_y)])?;
        has("grad_factors", self.grad_factors, self.grad_factors.rows(), self.x.cols())?;
        has("x", self.x, self.group_rows() * self.grad_factors.rows(), self.x.cols())
    }

    fn twin(&self, m: &HostMem) {
        let rows = [self.x, self.grad_y].map(|buf| m.f32(buf));
        m.f32_mut(self.grad_factors).for_each_row(|group, out| {
            for (col, out) in out.iter_mut().enumerate() {
                let old = if self.accumulate { f64::from(*out) } else { 0.0 };
                *out = (self.sum(&rows, group, col, |v| v) + old) as f32;
            }
        });
    }

    fn fast(&self, m: &HostMem) {
        let (x, grad_y, rows) = (m.f32(self.x), m.f32(self.grad_y), self.group_rows() as usize);
        m.f32_mut(self.grad_factors).for_each_row(|group, out| {
            if !self.accumulate {
                out.fill(0.0);
            }
            for r in group * rows..(group + 1) * rows {
                for ((out, x), grad_y) in out.iter_mut().zip(x.row(r)).zip(grad_y.row(r)) {
                    *out += x * grad_y;
                }
            }
        });
    }

    /// A product and a sum per row.
    fn tolerance(&self, _: &str, m: &HostMem, _: Exp) -> Tolerance {
        let (rows, old) = ([self.x, self.grad_y].map(|buf| m.f32(buf)), m.f32(self.grad_factors));
        let terms = f64::from(self.group_rows()) + 2.0;
        let bounds = (0..self.grad_factors.rows() as usize).flat_map(|group| {
            let bound = |col: usize| {
                let before = if self.accumulate { f64::from(old.row(group)[col].abs()) } else { 0.0 };
                2.0 * EPSILON * terms * (self.sum(&rows, group, col, f64::abs) + before)
            };
            (0..self.x.cols() as usize).map(bound).collect::<Vec<_>>()
        });
        Tolerance::Each(bounds.collect())
    }
}

pub fn cases(c: &mut Cases<'_>) {
    for (groups, rows, cols) in [(1, 1, 1), (2, 3, 5), (5, 49, 16), (3, 130, 63)] {
        for accumulate in [false, true] {
            let (x, grad_y, grad_factors) = (c.uniform(groups * rows, cols), c.uniform(groups * rows, cols), c.uniform(groups, cols));
            c.add(ChannelScaleBackward { x, grad_y, grad_factors, accumulate });
        }
    }
}
