//! Batch normalisation, statistics: the running ones as a frozen layer and evaluation use them.

use super::{Cases, NORM_EPS, has, row_quads};
use crate::core::buffer::Buf;
use crate::core::memory::HostMem;
use crate::core::program::{Exp, Kernel, Tolerance};

/// `running_mean`, `running_variance` (not negative): `[1, cols]`; `moments`: `[2, cols]`, mean and 1 / sqrt(variance + eps).
pub struct BatchNormRunning {
    pub running_mean: Buf,
    pub running_variance: Buf,
    pub moments: Buf,
    /// Added to variances.
    pub eps: f32,
}

impl Kernel for BatchNormRunning {
    interface! {
        self runs "batch_norm_running" after "inside";
        bufs { running_mean, running_variance, moments }
        params { cols: self.moments.cols(), quads: row_quads(self.moments), eps }
        invocations { row_quads(self.moments) }
    }

    fn check_shapes(&self) -> Result<(), String> {
        has("running_mean", self.running_mean, 1, self.moments.cols())?;
        has("running_variance", self.running_variance, 1, self.moments.cols())?;
        has("moments", self.moments, 2, self.moments.cols())
    }

    fn twin(&self, m: &HostMem) {
        let (mean, variance) = (m.f32(self.running_mean), m.f32(self.running_variance));
        m.f32_mut(self.moments).for_each_row(|r, out| match r {
            0 => out.copy_from_slice(mean.row(0)),
            _ => {
                for (out, &variance) in out.iter_mut().zip(variance.row(0)) {
                    *out = (1.0 / (f64::from(variance) + f64::from(self.eps)).sqrt()) as f32;
                }
            }
        });
    }

    /// Half a sum's rounding and WGSL's 2 units of `inverseSqrt`.
    fn tolerance(&self, _: &str, _: &HostMem, _: Exp) -> Tolerance {
        Tolerance::ulps(4.0)
    }
}

pub fn cases(c: &mut Cases<'_>) {
    for (cols, eps) in [(1, NORM_EPS), (5, 1e-3), (64, NORM_EPS), (259, NORM_EPS)] {
        let (running_mean, moments) = (c.uniform(1, cols), c.output(2, cols));
        let running_variance = c.floats((0..cols).map(|i| 0.37 * i as f32));
        c.add(BatchNormRunning { running_mean, running_variance, moments, eps });
    }
}
