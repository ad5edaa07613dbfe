//! From the gradient of NT-Xent to that of the supervised contrastive loss.

use super::info_nce::temperature;
use super::{Cases, quads, same};
use crate::core::buffer::Buf;
use crate::core::memory::HostMem;
use crate::core::program::{EPSILON, Exp, Kernel, Tolerance};

/// `offsets`, `grad_z` (added to): `[rows, d]`; `hyper`: temperature first.
pub struct SupConBackward {
    pub offsets: Buf,
    pub hyper: Buf,
    pub grad_z: Buf,
}

impl SupConBackward {
    fn scale(&self, m: &HostMem) -> f64 {
        2.0 / (f64::from(self.grad_z.rows()) * temperature(m, self.hyper))
    }
}

impl Kernel for SupConBackward {
    interface! {
        self runs "sup_con_backward";
        bufs { offsets, hyper, grad_z }
        params { rows: self.grad_z.rows(), quads: quads(self.grad_z) }
    }

    fn check_shapes(&self) -> Result<(), String> {
        same(&[("offsets", self.offsets), ("grad_z", self.grad_z)])
    }

    fn twin(&self, m: &HostMem) {
        let (offsets, scale) = (m.f32(self.offsets), self.scale(m));
        m.f32_mut(self.grad_z).for_each_row(|r, out| {
            for (out, &offset) in out.iter_mut().zip(offsets.row(r)) {
                *out = (f64::from(*out) + scale * f64::from(offset)) as f32;
            }
        });
    }

    fn fast(&self, m: &HostMem) {
        let (offsets, scale) = (m.f32(self.offsets), self.scale(m) as f32);
        m.f32_mut(self.grad_z).for_each_row(|r, out| out.iter_mut().zip(offsets.row(r)).for_each(|(out, offset)| *out += scale * offset));
    }

    /// Two products, a division and a sum.
    fn tolerance(&self, _: &str, m: &HostMem, _: Exp) -> Tolerance {
        let (old, offsets, scale) = (m.dense_f32(self.grad_z), m.dense_f32(self.offsets), self.scale(m));
        let bound = |(&old, &offset): (&f32, &f32)| EPSILON * (2.0 * f64::from(old.abs()) + 14.0 * scale * f64::from(offset.abs())) + 1e-37;
        Tolerance::Each(old.iter().zip(&offsets).map(bound).collect())
    }
}

pub fn cases(c: &mut Cases<'_>) {
    for (rows, cols) in [(2, 1), (6, 5), (64, 16), (66, 33), (130, 3)] {
        let (offsets, grad_z) = (c.uniform(rows, cols), c.uniform(rows, cols));
        let hyper = c.floats([0.2]);
        c.add(SupConBackward { offsets, hyper, grad_z });
    }
}
