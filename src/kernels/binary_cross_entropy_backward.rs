//! The gradient of the mean binary cross-entropy with respect to the logits.

use super::activation::Function;
use super::binary_cross_entropy::{SIZES, case_wanted};
use super::{Cases, has, quads, row_quads, same};
use crate::core::buffer::{Buf, Fill, shape};
use crate::core::memory::HostMem;
use crate::core::program::{EPSILON, Exp, Kernel, Tolerance};

/// `logits`, `wanted`, `dlogits`: `[rows, labels]`; `total` (of what counts): `[1, 1]`. What counts is that of
/// [`BinaryCrossEntropy`](super::binary_cross_entropy::BinaryCrossEntropy).
pub struct BinaryCrossEntropyBackward {
    pub logits: Buf,
    pub wanted: Buf,
    pub total: Buf,
    pub dlogits: Buf,
    pub scale: f32,
}

impl BinaryCrossEntropyBackward {
    fn share(&self, m: &HostMem) -> f64 {
        let total = f64::from(m.f32(self.total).row(0)[0]);
        if total > 0.0 { f64::from(self.scale) / total } else { 0.0 }
    }
}

impl Kernel for BinaryCrossEntropyBackward {
    interface! {
        self runs "binary_cross_entropy_backward" after "inside";
        bufs { logits, wanted, total, dlogits }
        params { size: quads(self.logits), row_quads: row_quads(self.logits), cols: self.logits.cols(), scale }
    }

    fn check_shapes(&self) -> Result<(), String> {
        same(&[("logits", self.logits), ("wanted", self.wanted), ("dlogits", self.dlogits)])?;
        has("total", self.total, 1, 1)
    }

    fn twin(&self, m: &HostMem) {
        let (logits, wanted, share) = (m.f32(self.logits), m.f32(self.wanted), self.share(m));
        m.f32_mut(self.dlogits).for_each_row(|r, out| {
            for ((out, &z), &y) in out.iter_mut().zip(logits.row(r)).zip(wanted.row(r)) {
                let difference = Function::Sigmoid.of(z.into()) - f64::from(y);
                *out = if y >= 0.0 { (share * difference) as f32 } else { 0.0 };
            }
        });
    }

    /// The sigmoid's error, and a difference of numbers up to 1, times the share and its roundings.
    fn tolerance(&self, _: &str, m: &HostMem, exp: Exp) -> Tolerance {
        let (logits, share) = (m.f32(self.logits), self.share(m));
        let bound = |&z: &f32| share * (Function::Sigmoid.error(z.into(), exp) + 8.0 * EPSILON) + 1e-37;
        let rows = 0..self.logits.rows() as usize;
        Tolerance::Each(rows.flat_map(|r| logits.row(r).iter().map(bound).collect::<Vec<_>>()).collect())
    }
}

pub fn cases(c: &mut Cases<'_>) {
    for (rows, cols) in SIZES {
        for (magnitude, total) in [(3.0, 2.5), (200.0, 7.0), (1.0, 0.0)] {
            let (logits, wanted) = (c.filled(shape(rows, cols), Fill::Uniform(magnitude)), case_wanted(c, rows, cols));
            let (total, dlogits) = (c.floats([total]), c.output(rows, cols));
            c.add(BinaryCrossEntropyBackward { logits, wanted, total, dlogits, scale: if rows % 2 == 0 { 1.0 } else { cols as f32 } });
        }
    }
}
