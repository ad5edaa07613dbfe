//! The gradient of mean InfoNCE with respect to the similarities.

use super::info_nce::{PAIRINGS, Pairing, temperature};
use super::{Cases, has, quads, row_quads, same};
use crate::core::buffer::Buf;
use crate::core::memory::HostMem;
use crate::core::program::{Exp, Kernel, Tolerance};

/// `similarity`, `dsimilarity`: `[rows, cols]`; `log_sum`: `[1, rows]`; `hyper`: temperature first.
///
/// For two views, `dsimilarity` is the gradient plus its transpose: both ends of a pair are rows of one matrix z, so that
/// grad_z = `dsimilarity` · z.
pub struct InfoNceBackward {
    pub similarity: Buf,
    pub log_sum: Buf,
    pub hyper: Buf,
    pub dsimilarity: Buf,
    pub pairing: Pairing,
}

impl Kernel for InfoNceBackward {
    interface! {
        self runs "info_nce_backward" after "info_nce_pairs", "info_nce_slope";
        bufs { similarity, log_sum, hyper, dsimilarity }
        let cols = self.similarity.cols();
        params {
            rows: self.similarity.rows(),
            cols: cols,
            quads: row_quads(self.similarity),
            shift: self.pairing.shift(cols),
            two_views: self.pairing == Pairing::TwoViews,
        }
        invocations { quads(self.similarity) }
    }

    fn check_shapes(&self) -> Result<(), String> {
        self.pairing.check(self.similarity.rows(), self.similarity.cols())?;
        same(&[("similarity", self.similarity), ("dsimilarity", self.dsimilarity)])?;
        has("log_sum", self.log_sum, 1, self.similarity.rows())
    }

    fn twin(&self, m: &HostMem) {
        let (similarity, log_sum) = (m.f32(self.similarity), m.f32(self.log_sum));
        let temperature = temperature(m, self.hyper);
        let sizes = [self.similarity.rows(), self.similarity.cols()];
        m.f32_mut(self.dsimilarity).for_each_row(|r, out| {
            for (c, (out, &s)) in out.iter_mut().zip(similarity.row(r)).enumerate() {
                *out = self.pairing.slope(f64::from(s) / temperature, log_sum.row(0), [r, c], sizes, temperature) as f32;
            }
        });
    }

    /// As `Pairing::slope_error` says.
    fn tolerance(&self, _: &str, m: &HostMem, exp: Exp) -> Tolerance {
        let (similarity, log_sum) = (m.f32(self.similarity), m.f32(self.log_sum));
        let temperature = temperature(m, self.hyper);
        let rows = self.similarity.rows() as usize;
        let bounds = (0..rows).flat_map(|r| {
            let error = |(c, &s): (usize, &f32)| self.pairing.slope_error(f64::from(s) / temperature, 0.0, log_sum.row(0), [r, c], exp);
            let errors: Vec<f64> = similarity.row(r).iter().enumerate().map(error).collect();
            errors.into_iter().map(|error| error / (rows as f64 * temperature))
        });
        Tolerance::Each(bounds.collect())
    }
}

pub fn cases(c: &mut Cases<'_>) {
    for (rows, pairing) in PAIRINGS {
        for temperature in [0.05_f32, 0.5] {
            let similarity = c.uniform(rows, rows);
            let hyper = c.floats([temperature]);
            let log_sum = c.floats((0..rows).map(|r| 1.0 / temperature + 0.1 * (r % 5) as f32));
            let dsimilarity = c.output(rows, rows);
            c.add(InfoNceBackward { similarity, log_sum, hyper, dsimilarity, pairing });
        }
    }
}
