//! Sums over rows, whole or by parts: the gradient of a bias.

use std::ops::Range;

use rayon::prelude::*;

use super::{Cases, has, part_of, parts, row_quads};
use crate::core::buffer::Buf;
use crate::core::memory::HostMem;
use crate::core::program::{EPSILON, Exp, Kernel, Tolerance};

/// Rows of which one invocation takes the sum alone.
const SHORT: u32 = 1024;

/// `x`: `[rows, cols]`; `sums`: `[1, cols]`, or `[parts, cols]` with a row for each of [`parts`] parts, whose sum is then still
/// to be taken.
pub struct ColumnSums {
    pub x: Buf,
    pub sums: Buf,
    pub accumulate: bool,
}

impl ColumnSums {
    /// Parts that the sum of so many rows is best taken in.
    pub fn parts_for(rows: u32) -> u32 {
        if rows > SHORT { parts(rows) } else { 1 }
    }

    fn rows_of(&self, part: usize) -> Range<usize> {
        let rows = self.x.rows();
        if self.sums.rows() == 1 { 0..rows as usize } else { part_of(rows, part) }
    }

    /// Σ_r f(x[r, c]) for each column of each part.
    fn sums(&self, m: &HostMem, f: impl Fn(f64) -> f64) -> Vec<f64> {
        let x = m.f32(self.x);
        let cols = self.x.cols() as usize;
        let mut sums = vec![0.0; self.sums.shape.len() as usize];
        for (part, sums) in sums.chunks_mut(cols).enumerate() {
            for r in self.rows_of(part) {
                sums.iter_mut().zip(x.row(r)).for_each(|(sum, &x)| *sum += f(f64::from(x)));
            }
        }
        sums
    }
}

impl Kernel for ColumnSums {
    interface! {
        self runs "column_sums";
        bufs { x, sums }
        params {
            rows: self.x.rows(),
            part_rows: self.rows_of(0).len() as u32,
            parts: self.sums.rows(),
            quads: row_quads(self.x),
            accumulate,
        }
        invocations { u64::from(self.sums.rows()) * u64::from(row_quads(self.x)) }
    }

    fn check_shapes(&self) -> Result<(), String> {
        let rows = if self.sums.rows() == 1 { 1 } else { parts(self.x.rows()) };
        has("sums", self.sums, rows, self.x.cols())
    }

    fn twin(&self, m: &HostMem) {
        let sums = self.sums(m, |x| x);
        m.f32_mut(self.sums).for_each_row(|part, out| {
            let cols = out.len();
            for (out, sum) in out.iter_mut().zip(&sums[part * cols..]) {
                *out = (sum + if self.accumulate { f64::from(*out) } else { 0.0 }) as f32;
            }
        });
    }

    /// Pads add up to zero, so that whole rows can be added.
    fn fast(&self, m: &HostMem) {
        let x = m.f32(self.x);
        let stride = self.x.shape.stride() as usize;
        m.f32_mut(self.sums).padded_mut().par_chunks_mut(stride).enumerate().for_each(|(part, out)| {
            if !self.accumulate {
                out.fill(0.0);
            }
            let Range { start, end } = self.rows_of(part);
            for row in x.padded()[start * stride..end * stride].chunks_exact(stride) {
                out.iter_mut().zip(row).for_each(|(sum, x)| *sum += x);
            }
        });
    }

    /// One rounding per added row, in the worst case all in one direction.
    fn tolerance(&self, _: &str, m: &HostMem, _: Exp) -> Tolerance {
        let old = m.dense_f32(self.sums);
        let terms = self.rows_of(0).len() as f64 + 1.0;
        let bound = |(sum, old): (f64, &f32)| 2.0 * EPSILON * terms * (sum + f64::from(old.abs())) + 1e-30;
        let magnitudes = self.sums(m, f64::abs);
        if self.accumulate {
            Tolerance::Each(magnitudes.into_iter().zip(&old).map(bound).collect())
        } else {
            Tolerance::Each(magnitudes.into_iter().zip(&vec![0.0; old.len()]).map(bound).collect())
        }
    }
}

pub fn cases(c: &mut Cases<'_>) {
    for (rows, cols) in [(1, 1), (5, 3), (64, 10), (33, 65), (257, 259)] {
        for accumulate in [false, true] {
            let (x, sums) = (c.uniform(rows, cols), c.uniform(1, cols));
            c.add(ColumnSums { x, sums, accumulate });
        }
    }
    // In parts: exactly filled, and with a last one of one row.
    for (rows, cols) in [(32, 4), (33, 5), (1025, 3), (4099, 67)] {
        for accumulate in [false, true] {
            let (x, sums) = (c.uniform(rows, cols), c.uniform(parts(rows), cols));
            c.add(ColumnSums { x, sums, accumulate });
        }
    }
}
