//! InfoNCE over a similarity matrix, a loss per row (van den Oord et al., 2018); over two views of a batch it is NT-Xent
//! (Chen et al., SimCLR, 2020).

use super::softmax_cross_entropy::{log_sum_exp, log_sum_exp_error, magnitude};
use super::{Cases, has, row_quads};
use crate::core::buffer::Buf;
use crate::core::memory::HostMem;
use crate::core::program::{EPSILON, Exp, Kernel, Tolerance};

/// Which column is a row's positive, and whether the row itself takes part.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pairing {
    /// Rows are the first views of n samples and then their second views: i pairs with i + n, and the similarity of a
    /// row with itself is left out.
    TwoViews,
    /// Row i (a query) pairs with column i (its key); nothing is left out.
    Diagonal,
}

impl Pairing {
    /// The positive of row i is column (i + shift) mod cols.
    pub(super) fn shift(self, cols: u32) -> u32 {
        if self == Pairing::TwoViews { cols / 2 } else { 0 }
    }

    pub(super) fn counts(self, row: usize, col: usize) -> bool {
        self == Pairing::Diagonal || row != col
    }

    /// The gradient of mean InfoNCE over `sizes` (rows, columns) by the similarity at `at`, whose logit is `z`; for two views with
    /// that by its mirror image added, as both are one similarity.
    pub(super) fn slope(self, z: f64, log_sum: &[f32], at: [usize; 2], sizes: [u32; 2], temperature: f64) -> f64 {
        let ([i, j], [rows, cols]) = (at, sizes);
        if !self.counts(i, j) {
            return 0.0;
        }
        // A probability: rounding must not make it exceed one.
        let p = |row: usize| (z - f64::from(log_sum[row])).min(0.0).exp();
        let positive = (i + self.shift(cols) as usize) % cols as usize;
        let (p, positives) = if self == Pairing::TwoViews { (p(i) + p(j), 2.0) } else { (p(i), 1.0) };
        (p - if j == positive { positives } else { 0.0 }) / (f64::from(rows) * temperature)
    }

    /// How far a [`slope`](Self::slope) may lie off, but for the division by rows and temperature, where the logit errs by `error`
    /// before it is used: two exponentials at most, each with its own error and that of its argument, then a difference of numbers
    /// up to 2.
    pub(super) fn slope_error(self, z: f64, error: f64, log_sum: &[f32], [i, j]: [usize; 2], exp: Exp) -> f64 {
        let term = |row: usize| {
            let log_sum = f64::from(log_sum[row]);
            let x = (z - log_sum).min(0.0);
            (x + error).min(0.0).exp() * (exp.error(x) + error + 8.0 * EPSILON * (z.abs() + log_sum.abs()))
        };
        term(i) + if self == Pairing::TwoViews { term(j) } else { 0.0 } + 16.0 * EPSILON
    }

    /// Positives exist only where the matrix has the right shape.
    pub(super) fn check(self, rows: u32, cols: u32) -> Result<(), String> {
        let fits = match self {
            Pairing::TwoViews => rows == cols && rows.is_multiple_of(2),
            Pairing::Diagonal => rows <= cols,
        };
        if fits { Ok(()) } else { Err(format!("similarities of {rows}x{cols}, which {self:?} cannot pair")) }
    }
}

/// The temperature is the first value of `hyper`.
pub(super) fn temperature(m: &HostMem, hyper: Buf) -> f64 {
    f64::from(m.f32(hyper).row(0)[0])
}

/// `similarity`: `[rows, cols]`, square and of even size for two views; `hyper`: the step's settings, temperature first;
/// `loss`, `log_sum`: `[1, rows]`.
pub struct InfoNce {
    pub similarity: Buf,
    pub hyper: Buf,
    pub loss: Buf,
    pub log_sum: Buf,
    pub pairing: Pairing,
}

impl InfoNce {
    /// Row `r` as (loss, logΣexp).
    fn row(&self, similarity: &[f32], temperature: f64, r: usize) -> (f64, f64) {
        let counted = similarity.iter().enumerate().filter(|(c, _)| self.pairing.counts(r, *c));
        let (largest, log_of_sum) = log_sum_exp(counted.map(|(_, &s)| f64::from(s) / temperature));
        let positive = (r + self.pairing.shift(similarity.len() as u32) as usize) % similarity.len();
        let positive = f64::from(similarity[positive]) / temperature;
        (log_of_sum - (positive - largest), largest + log_of_sum)
    }
}

impl Kernel for InfoNce {
    interface! {
        self runs "info_nce" after "info_nce_pairs", "row_losses";
        bufs { similarity, hyper, loss, log_sum }
        let cols = self.similarity.cols();
        params {
            rows: self.similarity.rows(),
            padded_rows: self.loss.shape.stride(),
            cols: cols,
            quads: row_quads(self.similarity),
            shift: self.pairing.shift(cols),
            two_views: self.pairing == Pairing::TwoViews,
        }
        invocations { self.loss.shape.stride() }
    }

    fn check_shapes(&self) -> Result<(), String> {
        self.pairing.check(self.similarity.rows(), self.similarity.cols())?;
        has("loss", self.loss, 1, self.similarity.rows())?;
        has("log_sum", self.log_sum, 1, self.similarity.rows())
    }

    fn twin(&self, m: &HostMem) {
        use rayon::prelude::*;
        let similarity = m.f32(self.similarity);
        let temperature = temperature(m, self.hyper);
        let rows: Vec<_> = (0..self.similarity.rows() as usize).into_par_iter().map(|r| self.row(similarity.row(r), temperature, r)).collect();
        m.f32_mut(self.loss).for_each_row(|_, out| out.iter_mut().zip(&rows).for_each(|(out, row)| *out = row.0 as f32));
        m.f32_mut(self.log_sum).for_each_row(|_, out| out.iter_mut().zip(&rows).for_each(|(out, row)| *out = row.1 as f32));
    }

    /// As for softmax cross-entropy, with logits up to the largest |similarity| / temperature.
    fn tolerance(&self, _: &str, m: &HostMem, exp: Exp) -> Tolerance {
        let similarity = m.f32(self.similarity);
        let temperature = temperature(m, self.hyper);
        let bound = |r| log_sum_exp_error(self.similarity.cols(), 8.0, magnitude(similarity.row(r)) / temperature, exp);
        Tolerance::Each((0..self.similarity.rows() as usize).map(bound).collect())
    }
}

/// Sizes that cover one pair, odd numbers of pairs, and workgroup size +- 1.
pub(super) const PAIRINGS: [(u32, Pairing); 10] = [
    (2, Pairing::TwoViews),
    (6, Pairing::TwoViews),
    (64, Pairing::TwoViews),
    (66, Pairing::TwoViews),
    (130, Pairing::TwoViews),
    (1, Pairing::Diagonal),
    (2, Pairing::Diagonal),
    (7, Pairing::Diagonal),
    (63, Pairing::Diagonal),
    (129, Pairing::Diagonal),
];

pub fn cases(c: &mut Cases<'_>) {
    for (rows, pairing) in PAIRINGS {
        for temperature in [0.05, 0.5] {
            let similarity = c.uniform(rows, rows);
            let hyper = c.floats([temperature]);
            let (loss, log_sum) = (c.output(1, rows), c.output(1, rows));
            c.add(InfoNce { similarity, hyper, loss, log_sum, pairing });
        }
    }
}
