//! VICReg (Bardes et al., 2022), a term per column, from the gram matrices of two centred views and their distances.

use rayon::prelude::*;

use super::{Cases, has};
use crate::core::buffer::{Buf, Fill, shape};
use crate::core::memory::HostMem;
use crate::core::program::{EPSILON, Exp, Kernel, Tolerance};

/// How much each term counts. With the defaults of the paper's own program: mean squared distance of the views times 25,
/// mean of both views' hinges of the standard deviation times 25, and the squared covariances once.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct VicregWeights {
    pub invariance: f32,
    pub variance: f32,
    pub covariance: f32,
}

impl Default for VicregWeights {
    fn default() -> Self {
        VicregWeights { invariance: 25.0, variance: 25.0, covariance: 1.0 }
    }
}

/// Added to variances before their root.
pub(super) const FLOOR: f64 = 1e-4;

/// `gram_a`, `gram_b`: zᵀz of the centred views, `[cols, cols]`; `distances`: `[parts, cols]`; `terms`: `[1, cols]`, whose
/// mean is the loss.
pub struct VicregTerms {
    pub gram_a: Buf,
    pub gram_b: Buf,
    pub distances: Buf,
    pub terms: Buf,
    /// In each view; at least 2.
    pub samples: u32,
    pub weights: VicregWeights,
}

impl VicregTerms {
    /// (term, bound of its error) of each column.
    fn columns(&self, m: &HostMem) -> Vec<(f64, f64)> {
        let (grams, distances) = ([m.f32(self.gram_a), m.f32(self.gram_b)], m.f32(self.distances));
        let freedom = f64::from(self.samples - 1);
        let VicregWeights { invariance, variance, covariance } = self.weights;
        let column = |j: usize| {
            let distance: f64 = (0..self.distances.rows() as usize).map(|part| f64::from(distances.row(part)[j])).sum();
            let invariance = f64::from(invariance) / f64::from(self.samples) * distance;
            let roots = grams.each_ref().map(|gram| (f64::from(gram.row(j)[j]) / freedom + FLOOR).sqrt());
            let spread = f64::from(variance) / 2.0 * roots.iter().map(|root| (1.0 - root).max(0.0)).sum::<f64>();
            let off = |row: &[f32]| row.iter().enumerate().filter(|(k, _)| *k != j).map(|(_, &g)| (f64::from(g) / freedom).powi(2)).sum::<f64>();
            let squares = f64::from(covariance) * grams.iter().map(|gram| off(gram.row(j))).sum::<f64>();
            // One rounding per term of a sum of positive ones; roots near 1 are rounded as 1 is.
            let summed = f64::from(self.distances.rows() + 8) * invariance + f64::from(2 * self.terms.cols() + 8) * squares;
            let error = 2.0 * EPSILON * (summed + 8.0 * f64::from(variance) * (1.0 + roots[0] + roots[1]));
            (invariance + spread + squares, error)
        };
        (0..self.terms.cols() as usize).into_par_iter().map(column).collect()
    }
}

impl Kernel for VicregTerms {
    interface! {
        self runs "vicreg";
        bufs { gram_a, gram_b, distances, terms }
        let VicregWeights { invariance, variance, covariance } = self.weights;
        params {
            cols: self.terms.cols(),
            padded_cols: self.terms.shape.stride(),
            parts: self.distances.rows(),
            per_freedom: 1.0 / (self.samples - 1) as f32,
            invariance: invariance / self.samples as f32,
            variance: variance / 2.0,
            covariance: covariance,
        }
        invocations { self.terms.shape.stride() }
    }

    fn check_shapes(&self) -> Result<(), String> {
        if self.samples < 2 {
            return Err(format!("{} samples have no variance: at least 2 are needed", self.samples));
        }
        let cols = self.terms.cols();
        has("terms", self.terms, 1, cols)?;
        has("distances", self.distances, self.distances.rows(), cols)?;
        [("gram_a", self.gram_a), ("gram_b", self.gram_b)].into_iter().try_for_each(|(name, gram)| has(name, gram, cols, cols))
    }

    fn twin(&self, m: &HostMem) {
        let columns = self.columns(m);
        m.f32_mut(self.terms).for_each_row(|_, out| out.iter_mut().zip(&columns).for_each(|(out, column)| *out = column.0 as f32));
    }

    fn tolerance(&self, _: &str, m: &HostMem, _: Exp) -> Tolerance {
        Tolerance::Each(self.columns(m).into_iter().map(|(_, error)| error).collect())
    }
}

/// A matrix with a positive diagonal, on both sides of where the hinge opens.
pub(super) fn case_gram(c: &mut Cases<'_>, cols: u32, samples: u32) -> Buf {
    let value = |i: u32, j: u32| if i == j { 0.3 + 0.5 * (i % 4) as f32 } else { 0.1 * ((i * 7 + j * 3) % 9) as f32 - 0.4 };
    let values = (0..cols * cols).map(|k| (samples - 1) as f32 * value(k / cols, k % cols));
    c.filled(shape(cols, cols), Fill::F32(values.collect()))
}

pub(super) const SIZES: [(u32, u32); 5] = [(1, 2), (5, 3), (16, 33), (63, 64), (65, 7)];

pub fn cases(c: &mut Cases<'_>) {
    for (cols, samples) in SIZES {
        for weights in [VicregWeights::default(), VicregWeights { invariance: 1.0, variance: 0.5, covariance: 3.0 }] {
            let (gram_a, gram_b) = (case_gram(c, cols, samples), case_gram(c, cols, samples + 1));
            let distances = (0..3 * cols).map(|i| (i % 5) as f32 * 0.2 + 0.1);
            let distances = c.filled(shape(3, cols), Fill::F32(distances.collect()));
            let terms = c.output(1, cols);
            c.add(VicregTerms { gram_a, gram_b, distances, terms, samples, weights });
        }
    }
}
