//! The gradient of the mean softmax cross-entropy with respect to the logits.

use super::{Cases, has, quads, row_quads, same};
use crate::core::buffer::{Buf, Fill, shape};
use crate::core::memory::HostMem;
use crate::core::program::{EPSILON, Exp, Kernel, Tolerance};

/// `logits`, `dlogits`: `[rows, classes]`; `targets`, `log_sum`: `[1, rows]`.
pub struct SoftmaxCrossEntropyBackward {
    pub logits: Buf,
    pub targets: Buf,
    pub log_sum: Buf,
    pub dlogits: Buf,
    pub smoothing: f32,
}

/// How far a probability exp(x) less what is wanted may lie off, x the difference of numbers that are `size` together: `exp` with
/// its own error and that of its rounded argument, then a difference of numbers up to 1.
pub(super) fn difference_error(x: f64, size: f64, exp: Exp) -> f64 {
    x.exp() * (exp.error(x) + 4.0 * EPSILON * size) + 8.0 * EPSILON
}

impl Kernel for SoftmaxCrossEntropyBackward {
    interface! {
        self runs "softmax_cross_entropy_backward" after "inside", "cross_entropy_backward";
        bufs { logits, targets, log_sum, dlogits }
        params {
            rows: self.logits.rows(),
            cols: self.logits.cols(),
            quads: row_quads(self.logits),
            smoothing,
        }
        invocations { quads(self.logits) }
    }

    fn check_shapes(&self) -> Result<(), String> {
        same(&[("logits", self.logits), ("dlogits", self.dlogits)])?;
        has("targets", self.targets, 1, self.logits.rows())?;
        has("log_sum", self.log_sum, 1, self.logits.rows())
    }

    fn twin(&self, m: &HostMem) {
        let (logits, targets, log_sum) = (m.f32(self.logits), m.u32(self.targets), m.f32(self.log_sum));
        let (rows, cols, smoothing) = (f64::from(self.logits.rows()), f64::from(self.logits.cols()), f64::from(self.smoothing));
        m.f32_mut(self.dlogits).for_each_row(|r, out| {
            for (c, (out, &z)) in out.iter_mut().zip(logits.row(r)).enumerate() {
                let p = (f64::from(z) - f64::from(log_sum.row(0)[r])).exp();
                let wanted = if c as u32 == targets.row(0)[r] { 1.0 - smoothing } else { 0.0 } + smoothing / cols;
                *out = ((p - wanted) / rows) as f32;
            }
        });
    }

    /// As `difference_error` says.
    fn tolerance(&self, _: &str, m: &HostMem, exp: Exp) -> Tolerance {
        let (logits, log_sum) = (m.f32(self.logits), m.f32(self.log_sum));
        let rows = self.logits.rows() as usize;
        let bounds = (0..rows).flat_map(|r| {
            let log_sum = f64::from(log_sum.row(0)[r]);
            let bound = |&z: &f32| {
                let z = f64::from(z);
                difference_error(z - log_sum, z.abs() + log_sum.abs(), exp) / rows as f64
            };
            logits.row(r).iter().map(bound).collect::<Vec<_>>()
        });
        Tolerance::Each(bounds.collect())
    }
}

pub fn cases(c: &mut Cases<'_>) {
    for (rows, cols) in [(1, 1), (4, 10), (63, 3), (65, 150), (64, 10)] {
        for smoothing in [0.0, 0.1] {
            let logits = c.filled(shape(rows, cols), Fill::Uniform(3.0));
            let targets = c.integers((0..rows).map(|r| (r * 7) % cols));
            // Any value will do that keeps probabilities sensible: 3 + log(classes) is the largest logΣexp there is.
            let log_sum = c.floats((0..rows).map(|r| 3.0 + (cols as f32).ln() - 0.01 * (r % 7) as f32));
            let dlogits = c.output(rows, cols);
            c.add(SoftmaxCrossEntropyBackward { logits, targets, log_sum, dlogits, smoothing });
        }
    }
}
