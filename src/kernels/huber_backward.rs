//! The gradient of the mean of Huber's loss, or of the squared error.

use super::huber::{BENDS, Bend};
use super::{Cases, quads, same};
use crate::core::buffer::Buf;
use crate::core::memory::HostMem;
use crate::core::program::{EPSILON, Exp, Kernel, Tolerance};

/// `pred`, `wanted`, `dpred`: of one shape.
pub struct HuberBackward {
    pub pred: Buf,
    pub wanted: Buf,
    pub dpred: Buf,
    pub bend: Bend,
}

impl HuberBackward {
    fn scale(&self) -> f64 {
        f64::from(self.bend.factor) / self.pred.shape.len() as f64
    }
}

impl Kernel for HuberBackward {
    interface! {
        self runs "huber_backward";
        bufs { pred, wanted, dpred }
        params { quads: quads(self.pred), delta: self.bend.delta, scale: self.scale() as f32 }
        invocations { quads(self.pred) }
    }

    fn check_shapes(&self) -> Result<(), String> {
        same(&[("pred", self.pred), ("wanted", self.wanted), ("dpred", self.dpred)])
    }

    fn twin(&self, m: &HostMem) {
        let (pred, wanted, delta) = (m.f32(self.pred), m.f32(self.wanted), f64::from(self.bend.delta));
        m.f32_mut(self.dpred).for_each_row(|r, out| {
            for ((out, &pred), &wanted) in out.iter_mut().zip(pred.row(r)).zip(wanted.row(r)) {
                *out = (self.scale() * (f64::from(pred) - f64::from(wanted)).clamp(-delta, delta)) as f32;
            }
        });
    }

    fn fast(&self, m: &HostMem) {
        let (pred, wanted, delta, scale) = (m.f32(self.pred), m.f32(self.wanted), self.bend.delta, self.scale() as f32);
        m.f32_mut(self.dpred).for_each_row(|r, out| {
            for ((out, &pred), &wanted) in out.iter_mut().zip(pred.row(r)).zip(wanted.row(r)) {
                *out = scale * (pred - wanted).max(-delta).min(delta);
            }
        });
    }

    /// A difference and two products, one of them rounded on the host.
    fn tolerance(&self, _: &str, _: &HostMem, _: Exp) -> Tolerance {
        Tolerance::Within { abs: 1e-37, rel: 8.0 * EPSILON }
    }
}

pub fn cases(c: &mut Cases<'_>) {
    for (rows, cols) in [(1, 1), (3, 5), (9, 3), (16, 16), (65, 63)] {
        for bend in BENDS {
            let (pred, wanted, dpred) = (c.uniform(rows, cols), c.uniform(rows, cols), c.output(rows, cols));
            c.add(HuberBackward { pred, wanted, dpred, bend });
        }
    }
}
