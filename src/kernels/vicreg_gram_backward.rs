//! The gradient of VICReg's loss with respect to a view's gram matrix, doubled.

use super::vicreg::{FLOOR, SIZES, VicregWeights, case_gram};
use super::{Cases, has, quads, row_quads, same};
use crate::core::buffer::Buf;
use crate::core::memory::HostMem;
use crate::core::program::{EPSILON, Exp, Kernel, Tolerance};

/// `gram`, `dgram`: `[cols, cols]`, symmetric. The gradient of the centred view z behind it is z · `dgram`.
pub struct VicregGramBackward {
    pub gram: Buf,
    pub dgram: Buf,
    /// In each view; at least 2.
    pub samples: u32,
    pub weights: VicregWeights,
}

impl VicregGramBackward {
    /// (1 / (n - 1), factor off the diagonal, factor on it)
    fn factors(&self) -> (f64, f64, f64) {
        let (cols, freedom) = (f64::from(self.gram.cols()), f64::from(self.samples - 1));
        let VicregWeights { variance, covariance, .. } = self.weights;
        (1.0 / freedom, 4.0 * f64::from(covariance) / (cols * freedom * freedom), f64::from(variance) / (2.0 * cols * freedom))
    }
}

impl Kernel for VicregGramBackward {
    interface! {
        self runs "vicreg_gram_backward";
        bufs { gram, dgram }
        let (per_freedom, covariance, variance) = self.factors();
        params {
            cols: self.gram.cols(),
            quads: row_quads(self.gram),
            per_freedom: per_freedom as f32,
            covariance: covariance as f32,
            variance: variance as f32,
        }
        invocations { quads(self.gram) }
    }

    fn check_shapes(&self) -> Result<(), String> {
        has("gram", self.gram, self.gram.cols(), self.gram.cols())?;
        same(&[("gram", self.gram), ("dgram", self.dgram)])
    }

    fn twin(&self, m: &HostMem) {
        let (gram, (per_freedom, covariance, variance)) = (m.f32(self.gram), self.factors());
        m.f32_mut(self.dgram).for_each_row(|r, out| {
            out.iter_mut().zip(gram.row(r)).for_each(|(out, &g)| *out = (covariance * f64::from(g)) as f32);
            let deviation = (per_freedom * f64::from(gram.row(r)[r]) + FLOOR).sqrt();
            out[r] = if deviation < 1.0 { (-variance / deviation) as f32 } else { 0.0 };
        });
    }

    /// Products off the diagonal; a root and a division on it.
    fn tolerance(&self, _: &str, _: &HostMem, _: Exp) -> Tolerance {
        Tolerance::Within { abs: 1e-37, rel: 24.0 * EPSILON }
    }
}

pub fn cases(c: &mut Cases<'_>) {
    for (cols, samples) in SIZES {
        let (gram, dgram) = (case_gram(c, cols, samples), c.output(cols, cols));
        c.add(VicregGramBackward { gram, dgram, samples, weights: VicregWeights::default() });
    }
}
