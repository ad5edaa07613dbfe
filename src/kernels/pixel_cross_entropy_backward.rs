//! The gradient of the weighted mean of pixels' cross-entropy with respect to the logits.

use super::pixel_cross_entropy::{SIZES, case_targets, class};
use super::softmax_cross_entropy_backward::difference_error;
use super::{Cases, has, quads, row_quads, same};
use crate::core::buffer::{Buf, Fill, shape};
use crate::core::memory::HostMem;
use crate::core::program::{Exp, Kernel, Tolerance};

/// `logits`, `dlogits`: `[rows, classes]`; `targets`, `log_sum`: `[1, rows]`; `weights`: `[1, classes]`; `total` (weight of
/// all rows): `[1, 1]`. What counts is that of [`PixelCrossEntropy`](super::pixel_cross_entropy::PixelCrossEntropy).
pub struct PixelCrossEntropyBackward {
    pub logits: Buf,
    pub targets: Buf,
    pub weights: Buf,
    pub log_sum: Buf,
    pub total: Buf,
    pub dlogits: Buf,
    pub ignored: u32,
}

impl PixelCrossEntropyBackward {
    /// The class of row `r` and its share of the weight, which is 0 where the row does not count.
    fn share(&self, m: &HostMem, r: usize) -> (Option<usize>, f64) {
        let total = f64::from(m.f32(self.total).row(0)[0]);
        let class = class(m.u32(self.targets).row(0)[r], self.logits.cols() as usize, self.ignored);
        let share = |class: usize| f64::from(m.f32(self.weights).row(0)[class]) / total;
        (class, class.filter(|_| total > 0.0).map_or(0.0, share))
    }
}

impl Kernel for PixelCrossEntropyBackward {
    interface! {
        self runs "pixel_cross_entropy_backward" after "inside", "cross_entropy_backward";
        bufs { logits, targets, weights, log_sum, total, dlogits }
        params { rows: self.logits.rows(), cols: self.logits.cols(), quads: row_quads(self.logits), ignored }
        invocations { quads(self.logits) }
    }

    fn check_shapes(&self) -> Result<(), String> {
        same(&[("logits", self.logits), ("dlogits", self.dlogits)])?;
        has("targets", self.targets, 1, self.logits.rows())?;
        has("weights", self.weights, 1, self.logits.cols())?;
        has("log_sum", self.log_sum, 1, self.logits.rows())?;
        has("total", self.total, 1, 1)
    }

    fn twin(&self, m: &HostMem) {
        let (logits, log_sum) = (m.f32(self.logits), m.f32(self.log_sum));
        m.f32_mut(self.dlogits).for_each_row(|r, out| {
            let (class, share) = self.share(m, r);
            for (c, (out, &z)) in out.iter_mut().zip(logits.row(r)).enumerate() {
                let p = (f64::from(z) - f64::from(log_sum.row(0)[r])).min(0.0).exp();
                *out = (share * (p - if class == Some(c) { 1.0 } else { 0.0 })) as f32;
            }
        });
    }

    fn fast(&self, m: &HostMem) {
        let (logits, log_sum) = (m.f32(self.logits), m.f32(self.log_sum));
        let (targets, weights, total) = (m.u32(self.targets), m.f32(self.weights), m.f32(self.total).row(0)[0]);
        let (classes, scale) = (self.logits.cols() as usize, if total > 0.0 { 1.0 / total } else { 0.0 });
        m.f32_mut(self.dlogits).for_each_row(|r, out| match class(targets.row(0)[r], classes, self.ignored) {
            Some(class) => {
                let (share, log_sum) = (scale * weights.row(0)[class], log_sum.row(0)[r]);
                out.iter_mut().zip(logits.row(r)).for_each(|(out, &z)| *out = share * (z - log_sum).min(0.0).exp());
                out[class] -= share;
            }
            None => out.fill(0.0),
        });
    }

    /// As for softmax cross-entropy, times the share.
    fn tolerance(&self, _: &str, m: &HostMem, exp: Exp) -> Tolerance {
        let (logits, log_sum) = (m.f32(self.logits), m.f32(self.log_sum));
        let bounds = (0..self.logits.rows() as usize).flat_map(|r| {
            let (log_sum, (_, share)) = (f64::from(log_sum.row(0)[r]), self.share(m, r));
            let bound = |&z: &f32| {
                let z = f64::from(z);
                share * difference_error((z - log_sum).min(0.0), z.abs() + log_sum.abs(), exp)
            };
            logits.row(r).iter().map(bound).collect::<Vec<_>>()
        });
        Tolerance::Each(bounds.collect())
    }
}

pub fn cases(c: &mut Cases<'_>) {
    for (rows, classes, ignored) in SIZES {
        for total in [0.0, 2.5] {
            let logits = c.filled(shape(rows, classes), Fill::Uniform(3.0));
            let targets = case_targets(c, rows, classes, ignored);
            let weights = c.floats((0..classes).map(|i| 0.5 + 0.3 * i as f32));
            // Any value will do that keeps probabilities sensible: 3 + log(classes) is the largest logΣexp there is.
            let log_sum = c.floats((0..rows).map(|r| 3.0 + (classes as f32).ln() - 0.01 * (r % 7) as f32));
            let (total, dlogits) = (c.floats([total]), c.output(rows, classes));
            c.add(PixelCrossEntropyBackward { logits, targets, weights, log_sum, total, dlogits, ignored });
        }
    }
}
