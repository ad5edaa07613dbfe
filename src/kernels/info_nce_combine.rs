//! InfoNCE without the similarity matrix, second half: a loss per row.

use super::info_nce::{Pairing, temperature};
use super::info_nce_partials::{SIZES, embeddings, partials};
use super::{Cases, has, row_quads};
use crate::core::buffer::{Buf, Fill, Shape};
use crate::core::memory::HostMem;
use crate::core::program::{EPSILON, Exp, Kernel, Tolerance};

/// `a`: `[rows, width]`, `b`: `[cols, width]`; `largest`, `total`: of [`InfoNcePartials`](super::info_nce_partials);
/// `hyper`: temperature first; `loss`, `log_sum`: `[1, rows]`.
pub struct InfoNceCombine {
    pub a: Buf,
    pub b: Buf,
    pub largest: Buf,
    pub total: Buf,
    pub hyper: Buf,
    pub loss: Buf,
    pub log_sum: Buf,
    pub pairing: Pairing,
}

impl InfoNceCombine {
    /// Row `r` as (loss, logΣexp, the sizes of what its positive's logit is summed from).
    fn row(&self, m: &HostMem, r: usize) -> (f64, f64, f64) {
        let (a, b, largest, total) = (m.f32(self.a), m.f32(self.b), m.f32(self.largest), m.f32(self.total));
        let (largest, total) = (largest.row(r), total.row(r));
        let top = largest.iter().fold(f32::MIN, |a, &b| a.max(b));
        let terms = largest.iter().zip(total).map(|(&l, &t)| f64::from(t) * (f64::from(l) - f64::from(top)).exp());
        let log_sum = f64::from(top) + terms.sum::<f64>().ln();
        let positive = (r + self.pairing.shift(self.b.rows()) as usize) % self.b.rows() as usize;
        let terms = a.row(r).iter().zip(b.row(positive)).map(|(&a, &b)| f64::from(a) * f64::from(b));
        let (product, magnitude) = terms.fold((0.0, 0.0), |(sum, size), term| (sum + term, size + term.abs()));
        let temperature = temperature(m, self.hyper);
        (log_sum - product / temperature, log_sum, magnitude / temperature + f64::from(top.abs()))
    }

    fn rows(&self, m: &HostMem) -> Vec<(f64, f64, f64)> {
        (0..self.a.rows() as usize).map(|r| self.row(m, r)).collect()
    }
}

impl Kernel for InfoNceCombine {
    interface! {
        self runs "info_nce_combine" after "row_losses";
        bufs { a, b, largest, total, hyper, loss, log_sum }
        params {
            rows: self.a.rows(),
            padded_rows: self.loss.shape.stride(),
            cols: self.b.rows(),
            quads: row_quads(self.a),
            parts: self.largest.cols(),
            shift: self.pairing.shift(self.b.rows()),
        }
        invocations { self.loss.shape.stride() }
    }

    fn check_shapes(&self) -> Result<(), String> {
        self.pairing.check(self.a.rows(), self.b.rows())?;
        has("b", self.b, self.b.rows(), self.a.cols())?;
        let Shape { rows, cols } = partials(self.a.rows(), self.b.rows());
        has("largest", self.largest, rows, cols)?;
        has("total", self.total, rows, cols)?;
        has("loss", self.loss, 1, self.a.rows())?;
        has("log_sum", self.log_sum, 1, self.a.rows())
    }

    fn twin(&self, m: &HostMem) {
        let rows = self.rows(m);
        m.f32_mut(self.loss).for_each_row(|_, out| out.iter_mut().zip(&rows).for_each(|(out, row)| *out = row.0 as f32));
        m.f32_mut(self.log_sum).for_each_row(|_, out| out.iter_mut().zip(&rows).for_each(|(out, row)| *out = row.1 as f32));
    }

    /// The error of a logarithm of a sum as in [`InfoNce`](super::info_nce::InfoNce), and of a dot product.
    fn tolerance(&self, _: &str, m: &HostMem, exp: Exp) -> Tolerance {
        let terms = f64::from(self.a.cols()) + f64::from(self.largest.cols());
        let bound = |(_, _, size): (f64, f64, f64)| exp.error(20.0) + 2f64.powi(-21) + 2.0 * EPSILON * (terms + 8.0) * (1.0 + size);
        Tolerance::Each(self.rows(m).into_iter().map(bound).collect())
    }
}

pub fn cases(c: &mut Cases<'_>) {
    for (rows, cols, pairing) in SIZES {
        for (width, temperature) in [(5, 0.05), (33, 0.5)] {
            let a = embeddings(c, rows, width);
            let b = if pairing == Pairing::TwoViews { a } else { embeddings(c, cols, width) };
            let parts = partials(rows, cols);
            let (hyper, largest) = (c.floats([temperature]), c.filled(parts, Fill::Uniform(1.0 / temperature)));
            let total = c.filled(parts, Fill::F32((0..parts.len()).map(|i| (i % 5) as f32 + 0.5).collect()));
            let (loss, log_sum) = (c.output(1, rows), c.output(1, rows));
            c.add(InfoNceCombine { a, b, largest, total, hyper, loss, log_sum, pairing });
        }
    }
}
