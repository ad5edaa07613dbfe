//! A weighted mean from partial sums; 0 if nothing has any weight.

use super::{Cases, has, row_quads};
use crate::core::buffer::{Buf, Fill, shape};
use crate::core::memory::HostMem;
use crate::core::program::{EPSILON, Exp, Kernel, Tolerance};

/// `sums`: `[2, parts]`, partial sums of weight times value and of weights, which are not negative; `mean`, `total` (of the
/// weights): `[1, 1]`.
pub struct WeightedMean {
    pub sums: Buf,
    pub mean: Buf,
    pub total: Buf,
}

impl WeightedMean {
    /// (Σ f(weight · value), Σ weight)
    fn totals(&self, m: &HostMem, f: impl Fn(f64) -> f64) -> (f64, f64) {
        let sums = m.f32(self.sums);
        (sums.row(0).iter().map(|&x| f(x.into())).sum(), sums.row(1).iter().map(|&x| f64::from(x)).sum())
    }
}

impl Kernel for WeightedMean {
    interface! {
        self runs "weighted_mean";
        bufs { sums, mean, total }
        params { quads: row_quads(self.sums) }
        invocations { 1_u64 }
    }

    fn check_shapes(&self) -> Result<(), String> {
        has("sums", self.sums, 2, self.sums.cols())?;
        has("mean", self.mean, 1, 1)?;
        has("total", self.total, 1, 1)
    }

    fn twin(&self, m: &HostMem) {
        let (terms, weight) = self.totals(m, |x| x);
        m.f32_mut(self.mean).for_each_row(|_, out| out[0] = if weight > 0.0 { (terms / weight) as f32 } else { 0.0 });
        m.f32_mut(self.total).for_each_row(|_, out| out[0] = weight as f32);
    }

    /// One rounding per term of a strand of either sum, and a division.
    fn tolerance(&self, output: &str, m: &HostMem, _: Exp) -> Tolerance {
        let (terms, weight) = self.totals(m, f64::abs);
        let roundings = 2.0 * EPSILON * (f64::from(row_quads(self.sums)) + 5.0);
        let magnitude = if output == "total" { weight } else { 2.0 * terms / weight.max(1e-30) };
        Tolerance::Each(vec![roundings * magnitude + 1e-37])
    }
}

pub fn cases(c: &mut Cases<'_>) {
    for parts in [1, 4, 63, 257, 1024] {
        let values = (0..2 * parts).map(|i| if i < parts { (i as f32 * 0.7).sin() } else { (i % 7) as f32 * 0.25 + 0.1 });
        let sums = c.filled(shape(2, parts), Fill::F32(values.collect()));
        let (mean, total) = (c.output(1, 1), c.output(1, 1));
        c.add(WeightedMean { sums, mean, total });
    }
    let (sums, mean, total) = (c.filled(shape(2, 5), Fill::Zero), c.output(1, 1), c.output(1, 1));
    c.add(WeightedMean { sums, mean, total });
}
