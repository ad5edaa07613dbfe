//! The gradient of VICReg's loss with respect to the embeddings: that of the distances beside what came through gram
//! matrices.

use super::{Cases, has, quads, same};
use crate::core::buffer::Buf;
use crate::core::memory::HostMem;
use crate::core::program::{EPSILON, Exp, Kernel, Tolerance};

/// `x`, `grad_x`: `[2n, cols]`, first views, then second views; `through_a`, `through_b`: `[n, cols]`.
pub struct VicregBackward {
    pub x: Buf,
    pub through_a: Buf,
    pub through_b: Buf,
    pub grad_x: Buf,
    /// Of the difference between a row and its other view.
    pub scale: f32,
    pub accumulate: bool,
}

impl VicregBackward {
    /// The terms of row `r`: (difference, what came through the gram matrix), column by column.
    fn terms(&self, m: &HostMem, r: usize) -> Vec<(f32, f32)> {
        let (x, n) = (m.f32(self.x), self.through_a.rows() as usize);
        let through = m.f32(if r < n { self.through_a } else { self.through_b });
        let differences = x.row(r).iter().zip(x.row((r + n) % (2 * n))).map(|(own, other)| own - other);
        differences.zip(through.row(r % n).iter().copied()).collect()
    }
}

impl Kernel for VicregBackward {
    interface! {
        self runs "vicreg_backward";
        bufs { x, through_a, through_b, grad_x }
        params { quads: quads(self.through_a), scale, accumulate }
        invocations { quads(self.through_a) }
    }

    fn check_shapes(&self) -> Result<(), String> {
        same(&[("through_a", self.through_a), ("through_b", self.through_b)])?;
        has("x", self.x, 2 * self.through_a.rows(), self.through_a.cols())?;
        same(&[("x", self.x), ("grad_x", self.grad_x)])
    }

    fn twin(&self, m: &HostMem) {
        m.f32_mut(self.grad_x).for_each_row(|r, grad_x| {
            for (grad_x, (difference, through)) in grad_x.iter_mut().zip(self.terms(m, r)) {
                let old = if self.accumulate { f64::from(*grad_x) } else { 0.0 };
                *grad_x = (f64::from(self.scale) * f64::from(difference) + f64::from(through) + old) as f32;
            }
        });
    }

    fn fast(&self, m: &HostMem) {
        let (x, n) = (m.f32(self.x), self.through_a.rows() as usize);
        let through = [m.f32(self.through_a), m.f32(self.through_b)];
        m.f32_mut(self.grad_x).for_each_row(|r, grad_x| {
            if !self.accumulate {
                grad_x.fill(0.0);
            }
            let pairs = x.row(r).iter().zip(x.row((r + n) % (2 * n)));
            for ((grad_x, (own, other)), through) in grad_x.iter_mut().zip(pairs).zip(through[r / n].row(r % n)) {
                *grad_x += self.scale * (own - other) + through;
            }
        });
    }

    /// A handful of roundings of the terms that were added.
    fn tolerance(&self, _: &str, m: &HostMem, _: Exp) -> Tolerance {
        let old = m.f32(self.grad_x);
        let bounds = (0..self.grad_x.rows() as usize).flat_map(|r| {
            let terms = self.terms(m, r).into_iter().zip(old.row(r));
            let bound = |((difference, through), &old): ((f32, f32), &f32)| {
                let old = if self.accumulate { f64::from(old.abs()) } else { 0.0 };
                10.0 * EPSILON * (f64::from((self.scale * difference).abs()) + f64::from(through.abs()) + old) + 1e-37
            };
            terms.map(bound).collect::<Vec<_>>()
        });
        Tolerance::Each(bounds.collect())
    }
}

pub fn cases(c: &mut Cases<'_>) {
    for (samples, cols) in [(1, 1), (3, 5), (16, 16), (33, 65), (65, 2)] {
        for accumulate in [false, true] {
            let (through_a, through_b) = (c.uniform(samples, cols), c.uniform(samples, cols));
            let (x, grad_x) = (c.uniform(2 * samples, cols), c.uniform(2 * samples, cols));
            c.add(VicregBackward { x, through_a, through_b, grad_x, scale: 0.7, accumulate });
        }
    }
}
