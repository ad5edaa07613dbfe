//! A row for each group, handed to all rows of the group: the gradient of sums over groups.

use super::{Cases, has, quads, row_quads};
use crate::buffer::Buf;
use crate::memory::HostMem;
use crate::program::{Kernel, Scalar, Tolerance};
use crate::shader::Variant;
use crate::wgsl;

const VARIANTS: &[Variant] = &[Variant::plain("group_sums_backward", &[wgsl!("group_sums_backward")])];

/// `dy`: `[groups, cols]`; `dx`: `[groups * rows, cols]`.
pub struct GroupSumsBackward {
    pub dy: Buf,
    pub dx: Buf,
    pub scale: f32,
    pub accumulate: bool,
}

impl GroupSumsBackward {
    fn group_rows(&self) -> u32 {
        self.dx.rows() / self.dy.rows()
    }
}

impl Kernel for GroupSumsBackward {
    fn bufs(&self) -> Vec<(&'static str, Buf)> {
        vec![("dy", self.dy), ("dx", self.dx)]
    }

    fn params(&self) -> Vec<(&'static str, Scalar)> {
        vec![
            ("rows", Scalar::U32(self.dx.rows())),
            ("quads", Scalar::U32(row_quads(self.dx))),
            ("group_rows", Scalar::U32(self.group_rows())),
            ("scale", Scalar::F32(self.scale)),
            ("accumulate", Scalar::U32(self.accumulate.into())),
        ]
    }

    fn variants(&self) -> &'static [Variant] {
        VARIANTS
    }

    fn invocations(&self, _: &Variant) -> u64 {
        u64::from(quads(self.dx))
    }

    fn check_shapes(&self) -> Result<(), String> {
        has("dx", self.dx, self.dx.rows().next_multiple_of(self.dy.rows().max(1)), self.dy.cols())
    }

    fn accumulates(&self) -> bool {
        self.accumulate
    }

    fn twin(&self, m: &HostMem) {
        let (dy, group_rows) = (m.f32(self.dy), self.group_rows() as usize);
        m.f32_mut(self.dx).for_each_row(|r, dx| {
            for (dx, dy) in dx.iter_mut().zip(dy.row(r / group_rows)) {
                *dx = self.scale * dy + if self.accumulate { *dx } else { 0.0 };
            }
        });
    }

    /// A product, and perhaps a sum with old contents.
    fn tolerance(&self, _: &str, m: &HostMem) -> Tolerance {
        if !self.accumulate {
            return Tolerance::ulps(1.0);
        }
        let (dy, old) = (m.f32(self.dy), m.dense_f32(self.dx));
        let group = (self.group_rows() * self.dx.cols()) as usize;
        let bound = |(i, &old): (usize, &f32)| {
            let added = f64::from(self.scale * dy.row(i / group)[i % self.dx.cols() as usize]);
            4.0 * crate::program::EPSILON * (added.abs() + f64::from(old.abs()))
        };
        Tolerance::Each(old.iter().enumerate().map(bound).collect())
    }
}

pub fn cases(c: &mut Cases<'_>) {
    for (groups, group_rows, cols) in [(1, 1, 1), (2, 42, 5), (3, 7, 64), (5, 65, 3), (67, 2, 2)] {
        for accumulate in [false, true] {
            let (dy, dx) = (c.uniform(groups, cols), c.uniform(groups * group_rows, cols));
            c.add(GroupSumsBackward { dy, dx, scale: 1.0 / group_rows as f32, accumulate });
        }
    }
}
