//! A row for each group, handed to all rows of the group: the gradient of sums over groups.

use super::{Cases, has, row_quads};
use crate::core::buffer::Buf;
use crate::core::memory::HostMem;
use crate::core::program::{Exp, Kernel, Tolerance};

/// `grad_y`: `[groups, cols]`; `grad_x`: `[groups * rows, cols]`.
pub struct GroupSumsBackward {
    pub grad_y: Buf,
    pub grad_x: Buf,
    pub scale: f32,
    pub accumulate: bool,
}

impl GroupSumsBackward {
    fn group_rows(&self) -> u32 {
        self.grad_x.rows() / self.grad_y.rows()
    }
}

impl Kernel for GroupSumsBackward {
    interface! {
        self runs "group_sums_backward";
        bufs { grad_y, grad_x }
        params {
            rows: self.grad_x.rows(),
            quads: row_quads(self.grad_x),
            group_rows: self.group_rows(),
            scale,
            accumulate,
        }
    }

    fn check_shapes(&self) -> Result<(), String> {
        has("grad_x", self.grad_x, self.grad_x.rows().next_multiple_of(self.grad_y.rows().max(1)), self.grad_y.cols())
    }

    fn twin(&self, m: &HostMem) {
        let (grad_y, group_rows) = (m.f32(self.grad_y), self.group_rows() as usize);
        m.f32_mut(self.grad_x).for_each_row(|r, grad_x| {
            for (grad_x, grad_y) in grad_x.iter_mut().zip(grad_y.row(r / group_rows)) {
                *grad_x = self.scale * grad_y + if self.accumulate { *grad_x } else { 0.0 };
            }
        });
    }

    /// A product, and perhaps a sum with old contents.
    fn tolerance(&self, _: &str, m: &HostMem, _: Exp) -> Tolerance {
        if !self.accumulate {
            return Tolerance::ulps(1.0);
        }
        let (grad_y, old) = (m.f32(self.grad_y), m.dense_f32(self.grad_x));
        let group = (self.group_rows() * self.grad_x.cols()) as usize;
        let bound = |(i, &old): (usize, &f32)| {
            let added = f64::from(self.scale * grad_y.row(i / group)[i % self.grad_x.cols() as usize]);
            4.0 * crate::core::program::EPSILON * (added.abs() + f64::from(old.abs()))
        };
        Tolerance::Each(old.iter().enumerate().map(bound).collect())
    }
}

pub fn cases(c: &mut Cases<'_>) {
    for (groups, group_rows, cols) in [(1, 1, 1), (2, 42, 5), (3, 7, 64), (5, 65, 3), (67, 2, 2)] {
        for accumulate in [false, true] {
            let (grad_y, grad_x) = (c.uniform(groups, cols), c.uniform(groups * group_rows, cols));
            c.add(GroupSumsBackward { grad_y, grad_x, scale: 1.0 / group_rows as f32, accumulate });
        }
    }
}
