//! Squared distances of two views, column by column, in parts of the samples.

use rayon::prelude::*;

use super::group_sums::GroupSums;
use super::{Cases, has, row_quads};
use crate::core::buffer::{Buf, Shape, shape};
use crate::core::memory::HostMem;
use crate::core::program::{EPSILON, Exp, Kernel, Tolerance};

/// `x`: `[2n, cols]`, first views, then second views; `sums`: of the shape that [`ViewDistances::shape`] gives.
pub struct ViewDistances {
    pub x: Buf,
    pub sums: Buf,
}

impl ViewDistances {
    /// A row per part: by the shape alone, so that the order of summation is, too.
    pub fn shape(x: Buf) -> Shape {
        shape(GroupSums::parts(x.rows() / 2), x.cols())
    }

    fn part_rows(&self) -> u32 {
        (self.x.rows() / 2).div_ceil(self.sums.rows())
    }

    /// The samples of part `part`.
    fn samples(&self, part: usize) -> std::ops::Range<usize> {
        let at = |part: usize| (part * self.part_rows() as usize).min(self.x.rows() as usize / 2);
        at(part)..at(part + 1)
    }
}

impl Kernel for ViewDistances {
    interface! {
        self runs "view_distances";
        bufs { x, sums }
        params {
            parts: self.sums.rows(),
            part_rows: self.part_rows(),
            samples: self.x.rows() / 2,
            quads: row_quads(self.x),
        }
    }

    fn check_shapes(&self) -> Result<(), String> {
        let Shape { rows, cols } = ViewDistances::shape(self.x);
        has("x", self.x, self.x.rows().next_multiple_of(2), cols)?;
        has("sums", self.sums, rows, cols)
    }

    fn twin(&self, m: &HostMem) {
        let (x, n) = (m.f32(self.x), self.x.rows() as usize / 2);
        m.f32_mut(self.sums).for_each_row(|part, sums| {
            for (col, sum) in sums.iter_mut().enumerate() {
                let square = |r: usize| (f64::from(x.row(r)[col]) - f64::from(x.row(r + n)[col])).powi(2);
                *sum = self.samples(part).map(square).sum::<f64>() as f32;
            }
        });
    }

    fn fast(&self, m: &HostMem) {
        let (x, n) = (m.f32(self.x), self.x.rows() as usize / 2);
        // A part is a task of its own: many rows of x are behind it.
        m.f32_mut(self.sums).padded_mut().par_chunks_mut(self.sums.shape.stride() as usize).enumerate().for_each(|(part, sums)| {
            sums.fill(0.0);
            for r in self.samples(part) {
                sums.iter_mut().zip(x.row(r)).zip(x.row(r + n)).for_each(|((sum, a), b)| *sum += (a - b) * (a - b));
            }
        });
    }

    /// All terms are positive: one relative rounding per term, and its own two.
    fn tolerance(&self, _: &str, _: &HostMem, _: Exp) -> Tolerance {
        Tolerance::Within { abs: 1e-37, rel: 2.0 * EPSILON * (f64::from(self.part_rows()) + 4.0) }
    }
}

pub fn cases(c: &mut Cases<'_>) {
    for (samples, cols) in [(1, 1), (3, 5), (64, 16), (67, 65), (1009, 3)] {
        let x = c.uniform(2 * samples, cols);
        let Shape { rows, cols } = ViewDistances::shape(x);
        let sums = c.output(rows, cols);
        c.add(ViewDistances { x, sums });
    }
}
