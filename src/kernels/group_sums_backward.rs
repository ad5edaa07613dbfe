//! A row for each group, handed to all rows of the group: the gradient of sums over groups.

use super::{Cases, has, quads, row_quads};
use crate::core::buffer::Buf;
use crate::core::memory::HostMem;
use crate::core::program::{Kernel, Scalar, Tolerance};
use crate::core::shader::Variant;
use crate::wgsl;

const VARIANTS: &[Variant] = &[Variant::plain("group_sums_backward", &[wgsl!("group_sums_backward")])];

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
    fn bufs(&self) -> Vec<(&'static str, Buf)> {
        vec![("grad_y", self.grad_y), ("grad_x", self.grad_x)]
    }

    fn params(&self) -> Vec<(&'static str, Scalar)> {
        vec![
            ("rows", Scalar::U32(self.grad_x.rows())),
            ("quads", Scalar::U32(row_quads(self.grad_x))),
            ("group_rows", Scalar::U32(self.group_rows())),
            ("scale", Scalar::F32(self.scale)),
            ("accumulate", Scalar::U32(self.accumulate.into())),
        ]
    }

    fn variants(&self) -> &'static [Variant] {
        VARIANTS
    }

    fn invocations(&self, _: &Variant) -> u64 {
        u64::from(quads(self.grad_x))
    }

    fn check_shapes(&self) -> Result<(), String> {
        has("grad_x", self.grad_x, self.grad_x.rows().next_multiple_of(self.grad_y.rows().max(1)), self.grad_y.cols())
    }

    fn accumulates(&self) -> bool {
        self.accumulate
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
    fn tolerance(&self, _: &str, m: &HostMem) -> Tolerance {
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
