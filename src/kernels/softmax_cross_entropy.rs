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
        self runs "softmax_cross_entropy";
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

    /// The logarithm of a sum with the error of `exp` and of its additions, `log`'s own 2^-21, and roundings of terms as
    /// large as the logits' spread.
    fn tolerance(&self, _: &str, m: &HostMem, exp: Exp) -> Tolerance {
        let logits = m.f32(self.logits);
        let cols = f64::from(self.logits.cols());
        let bounds = (0..self.logits.rows() as usize).map(|r| {
            let largest = logits.row(r).iter().fold(0.0_f64, |a, &z| a.max(f64::from(z.abs())));
            exp.error(0.0) + 2.0 * EPSILON * cols + 2f64.powi(-21) + 2.0 * EPSILON * (6.0 + cols * f64::from(self.smoothing)) * largest
        });
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
