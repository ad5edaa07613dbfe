//! Softmax cross-entropy with label smoothing, a loss per row.

use super::{Cases, has};
use crate::core::buffer::{Buf, Fill, shape};
use crate::core::memory::HostMem;
use crate::core::program::{EPSILON, Exp, Kernel, Tolerance};

/// `logits`: `[rows, classes]`; `targets` (u32, each below `classes`), `loss`, `log_sum` (logΣexp): `[1, rows]`.
pub struct SoftmaxCrossEntropy {
    pub logits: Buf,
    pub targets: Buf,
    pub loss: Buf,
    pub log_sum: Buf,
    pub smoothing: f32,
}

/// (maximum, log Σ exp(z - maximum))
pub(super) fn log_sum_exp(z: impl Iterator<Item = f64> + Clone) -> (f64, f64) {
    let largest = z.clone().fold(f64::NEG_INFINITY, f64::max);
    (largest, z.map(|z| (z - largest).exp()).sum::<f64>().ln())
}

/// How far the logarithm of a sum of `terms` exponentials may lie off: by the error of `exp` and of the additions, by the
/// logarithm's own 2^-21, and by `roundings` of numbers as large as the `largest` logit.
pub(super) fn log_sum_exp_error(terms: u32, roundings: f64, largest: f64, exp: Exp) -> f64 {
    exp.error(0.0) + 2.0 * EPSILON * f64::from(terms) + 2f64.powi(-21) + 2.0 * EPSILON * roundings * largest
}

/// Of a row of logits, the largest by magnitude.
pub(super) fn magnitude(logits: &[f32]) -> f64 {
    logits.iter().fold(0.0, |a, z| z.abs().max(a)).into()
}

impl SoftmaxCrossEntropy {
    /// Row `r` as (loss, logΣexp).
    fn row(&self, logits: &[f32], target: u32) -> (f64, f64) {
        let z = logits.iter().map(|&z| f64::from(z));
        let (largest, log_of_sum) = log_sum_exp(z.clone());
        let smoothing = f64::from(self.smoothing);
        let mean = z.sum::<f64>() / logits.len() as f64;
        let target = f64::from(logits[target as usize]);
        let log_sum = largest + log_of_sum;
        (log_sum - (1.0 - smoothing) * target - smoothing * mean, log_sum)
    }
}

impl Kernel for SoftmaxCrossEntropy {
    interface! {
        self runs "softmax_cross_entropy" after "log_sum_exp", "row_losses";
        bufs { logits, targets, loss, log_sum }
        params {
            rows: self.logits.rows(),
            padded_rows: self.loss.shape.stride(),
            cols: self.logits.cols(),
            stride: self.logits.shape.stride(),
            smoothing,
        }
        invocations { self.loss.shape.stride() }
    }

    fn check_shapes(&self) -> Result<(), String> {
        for (name, buf) in [("targets", self.targets), ("loss", self.loss), ("log_sum", self.log_sum)] {
            has(name, buf, 1, self.logits.rows())?;
        }
        Ok(())
    }

    fn twin(&self, m: &HostMem) {
        let (logits, targets) = (m.f32(self.logits), m.u32(self.targets));
        for (out, pick) in [(self.loss, 0), (self.log_sum, 1)] {
            m.f32_mut(out).for_each_row(|_, row| {
                for (r, out) in row.iter_mut().enumerate() {
                    let (loss, log_sum) = self.row(logits.row(r), targets.row(0)[r]);
                    *out = [loss, log_sum][pick] as f32;
                }
            });
        }
    }

    /// A few roundings beside the logarithm of the sum, and with smoothing one for each term of the mean.
    fn tolerance(&self, _: &str, m: &HostMem, exp: Exp) -> Tolerance {
        let logits = m.f32(self.logits);
        let roundings = 6.0 + f64::from(self.logits.cols()) * f64::from(self.smoothing);
        let bound = |r| log_sum_exp_error(self.logits.cols(), roundings, magnitude(logits.row(r)), exp);
        let bounds = (0..self.logits.rows() as usize).map(bound);
        Tolerance::Each(bounds.collect())
    }
}

pub fn cases(c: &mut Cases<'_>) {
    for (rows, cols) in [(1, 1), (4, 10), (63, 3), (65, 150), (64, 10)] {
        for smoothing in [0.0, 0.1] {
            for magnitude in [1.0, 60.0, 1000.0] {
                let logits = c.filled(shape(rows, cols), Fill::Uniform(magnitude));
                let targets = c.integers((0..rows).map(|r| (r * 7) % cols));
                let (loss, log_sum) = (c.output(1, rows), c.output(1, rows));
                c.add(SoftmaxCrossEntropy { logits, targets, loss, log_sum, smoothing });
            }
        }
    }
}
