//! Sums over rows: the gradient of a bias.

use super::{Cases, has, row_quads};
use crate::buffer::Buf;
use crate::memory::HostMem;
use crate::program::{EPSILON, Kernel, Scalar, Tolerance};
use crate::shader::Variant;
use crate::wgsl;

const VARIANTS: &[Variant] = &[Variant::plain("column_sums", &[wgsl!("column_sums")])];

/// `x`: `[rows, cols]`; `sums`: `[1, cols]`.
pub struct ColumnSums {
    pub x: Buf,
    pub sums: Buf,
    pub accumulate: bool,
}

impl ColumnSums {
    /// Σ_r f(x[r, c]) for each column.
    fn sums(&self, m: &HostMem, f: impl Fn(f64) -> f64) -> Vec<f64> {
        let x = m.f32(self.x);
        let mut sums = vec![0.0; self.x.cols() as usize];
        for r in 0..self.x.rows() as usize {
            for (sum, &x) in sums.iter_mut().zip(x.row(r)) {
                *sum += f(f64::from(x));
            }
        }
        sums
    }
}

impl Kernel for ColumnSums {
    fn bufs(&self) -> Vec<(&'static str, Buf)> {
        vec![("x", self.x), ("sums", self.sums)]
    }

    fn params(&self) -> Vec<(&'static str, Scalar)> {
        vec![
            ("rows", Scalar::U32(self.x.rows())),
            ("quads", Scalar::U32(row_quads(self.x))),
            ("accumulate", Scalar::U32(self.accumulate.into())),
        ]
    }

    fn variants(&self) -> &'static [Variant] {
        VARIANTS
    }

    fn invocations(&self, _: &Variant) -> u64 {
        u64::from(row_quads(self.x))
    }

    fn check_shapes(&self) -> Result<(), String> {
        has("sums", self.sums, 1, self.x.cols())
    }

    fn accumulates(&self) -> bool {
        self.accumulate
    }

    fn twin(&self, m: &HostMem) {
        let sums = self.sums(m, |x| x);
        m.f32_mut(self.sums).for_each_row(|_, out| {
            for (out, sum) in out.iter_mut().zip(&sums) {
                *out = (sum + if self.accumulate { f64::from(*out) } else { 0.0 }) as f32;
            }
        });
    }

    /// One rounding per added row, in the worst case all in one direction.
    fn tolerance(&self, _: &str, m: &HostMem) -> Tolerance {
        let old = m.dense_f32(self.sums);
        let terms = f64::from(self.x.rows()) + 1.0;
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
}
