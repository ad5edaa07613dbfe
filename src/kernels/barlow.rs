//! Barlow Twins (Zbontar et al., 2021), a term per column, from the products of two normalised views.

use super::{Cases, has, row_quads};
use crate::core::buffer::{Buf, Fill, shape};
use crate::core::memory::HostMem;
use crate::core::program::{EPSILON, Exp, Kernel, Tolerance};

/// `cross`: zaᵀzb of the views, `[cols, cols]`, whose columns are normalised: `samples` times their correlations; `terms`:
/// `[1, cols]`, whose mean is the loss.
pub struct BarlowTerms {
    pub cross: Buf,
    pub terms: Buf,
    /// In each view.
    pub samples: u32,
    /// What a squared correlation of two different columns counts, beside one of a column with itself.
    pub lambda: f32,
}

impl Kernel for BarlowTerms {
    interface! {
        self runs "barlow";
        bufs { cross, terms }
        let cols = self.terms.cols() as f32;
        params {
            cols: self.terms.cols(),
            quads: row_quads(self.terms),
            per_sample: 1.0 / self.samples as f32,
            on: cols,
            off: cols * self.lambda,
        }
        invocations { row_quads(self.terms) }
    }

    fn check_shapes(&self) -> Result<(), String> {
        has("terms", self.terms, 1, self.terms.cols())?;
        has("cross", self.cross, self.terms.cols(), self.terms.cols())
    }

    fn twin(&self, m: &HostMem) {
        let (cross, cols, samples) = (m.f32(self.cross), self.terms.cols(), f64::from(self.samples));
        m.f32_mut(self.terms).for_each_row(|_, terms| {
            for (j, term) in terms.iter_mut().enumerate() {
                let correlation = |i: usize| f64::from(cross.row(i)[j]) / samples;
                let redundancy: f64 = (0..cols as usize).filter(|&i| i != j).map(|i| correlation(i).powi(2)).sum();
                *term = (f64::from(cols) * ((1.0 - correlation(j)).powi(2) + f64::from(self.lambda) * redundancy)) as f32;
            }
        });
    }

    /// Row by row, as memory has it.
    fn fast(&self, m: &HostMem) {
        let (cross, cols, per_sample) = (m.f32(self.cross), self.terms.cols() as f32, 1.0 / self.samples as f32);
        let (on, off) = (cols, cols * self.lambda);
        m.f32_mut(self.terms).for_each_row(|_, terms| {
            terms.fill(0.0);
            for i in 0..terms.len() {
                let row = cross.row(i);
                let diagonal = terms[i] + on * (1.0 - per_sample * row[i]).powi(2);
                terms.iter_mut().zip(row).for_each(|(term, cross)| *term += off * (per_sample * cross).powi(2));
                terms[i] = diagonal;
            }
        });
    }

    /// One rounding per row of a sum of squares, and those of a square. On the diagonal, that of the correlation is one of the
    /// difference before it is squared.
    fn tolerance(&self, _: &str, m: &HostMem, _: Exp) -> Tolerance {
        let (cross, cols, samples) = (m.f32(self.cross), f64::from(self.terms.cols()), f64::from(self.samples));
        let bound = |j: usize| {
            let correlation = |i: usize| f64::from(cross.row(i)[j]) / samples;
            let squares: f64 = (0..self.terms.cols() as usize).filter(|&i| i != j).map(|i| correlation(i).powi(2)).sum();
            let missing = (1.0 - correlation(j)).abs();
            let error = 4.0 * EPSILON * correlation(j).abs();
            let rounded = 2.0 * EPSILON * (cols + 8.0) * (missing.powi(2) + f64::from(self.lambda) * squares);
            cols * (rounded + error * (2.0 * missing + error)) + 1e-37
        };
        Tolerance::Each((0..self.terms.cols() as usize).map(bound).collect())
    }
}

/// Correlations from -1 to 1 of so many samples, different on both sides of the diagonal, which is large and small.
pub(super) fn case_cross(c: &mut Cases<'_>, cols: u32, samples: u32) -> Buf {
    let value = |i: u32, j: u32| if i == j { 1.0 - 0.3 * (i % 4) as f32 } else { ((i * 37 + j * 11) % 64) as f32 / 32.0 - 1.0 };
    let values = (0..cols * cols).map(|k| samples as f32 * value(k / cols, k % cols));
    c.filled(shape(cols, cols), Fill::F32(values.collect()))
}

pub(super) const SIZES: [(u32, u32); 6] = [(1, 2), (5, 3), (16, 33), (63, 64), (65, 7), (257, 5)];

pub fn cases(c: &mut Cases<'_>) {
    for (cols, samples) in SIZES {
        for lambda in [0.0051, 1.5] {
            let (cross, terms) = (case_cross(c, cols, samples), c.output(1, cols));
            c.add(BarlowTerms { cross, terms, samples, lambda });
        }
    }
}
