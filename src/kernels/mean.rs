//! The mean of a vector: per-row losses to a loss.

use super::{Cases, has, quads};
use crate::core::buffer::Buf;
use crate::core::memory::HostMem;
use crate::core::program::{EPSILON, Exp, Kernel, Tolerance};

/// `x`: `[1, n]`; `mean`: `[1, 1]`.
pub struct Mean {
    pub x: Buf,
    pub mean: Buf,
}

impl Kernel for Mean {
    interface! {
        self runs "mean";
        bufs { x, mean }
        params { count: self.x.cols(), quads: quads(self.x) }
        invocations { 1_u64 }
    }

    fn check_shapes(&self) -> Result<(), String> {
        has("x", self.x, 1, self.x.cols())?;
        has("mean", self.mean, 1, 1)
    }

    fn twin(&self, m: &HostMem) {
        let mean = m.f32(self.x).row(0).iter().map(|&x| f64::from(x)).sum::<f64>() / f64::from(self.x.cols());
        m.f32_mut(self.mean).for_each_row(|_, out| out[0] = mean as f32);
    }

    /// One rounding per term of a strand, and a division.
    fn tolerance(&self, _: &str, m: &HostMem, _: Exp) -> Tolerance {
        let magnitude = m.f32(self.x).row(0).iter().map(|&x| f64::from(x.abs())).sum::<f64>() / f64::from(self.x.cols());
        Tolerance::Each(vec![2.0 * EPSILON * (f64::from(quads(self.x)) + 5.0) * magnitude + 1e-37])
    }
}

pub fn cases(c: &mut Cases<'_>) {
    for count in [1, 5, 64, 129, 1009] {
        let (x, mean) = (c.uniform(1, count), c.output(1, 1));
        c.add(Mean { x, mean });
    }
}
