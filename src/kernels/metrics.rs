//! Ends a step: leaves its loss and gradient norm, and the proof that it ran, in a ring for the host.

use super::Cases;
use crate::buffer::{Buf, Fill, shape};
use crate::memory::HostMem;
use crate::program::{Kernel, Scalar, Tolerance};
use crate::shader::Variant;
use crate::wgsl;

const VARIANTS: &[Variant] = &[Variant::plain("metrics", &[wgsl!("metrics")])];

/// `clock`: `[1, 2]`; `loss`, `norm`: `[1, 1]`; `ring` (u32): `[steps kept, 4]`, each row (steps done, bits of the loss,
/// bits of the norm, 0).
pub struct Metrics {
    pub clock: Buf,
    pub loss: Buf,
    pub norm: Buf,
    pub ring: Buf,
}

impl Kernel for Metrics {
    fn bufs(&self) -> Vec<(&'static str, Buf)> {
        vec![("clock", self.clock), ("loss", self.loss), ("norm", self.norm), ("ring", self.ring)]
    }

    fn params(&self) -> Vec<(&'static str, Scalar)> {
        vec![("rows", Scalar::U32(self.ring.rows()))]
    }

    fn variants(&self) -> &'static [Variant] {
        VARIANTS
    }

    fn invocations(&self, _: &Variant) -> u64 {
        1
    }

    fn twin(&self, m: &HostMem) {
        let (clock, loss, norm) = (m.u32(self.clock), m.f32(self.loss), m.f32(self.norm));
        let [step, done] = [clock.row(0)[0], clock.row(0)[1]];
        let row = [done, loss.row(0)[0].to_bits(), norm.row(0)[0].to_bits(), 0];
        m.u32_mut(self.ring).row_mut((step % self.ring.rows()) as usize).copy_from_slice(&row);
    }

    fn tolerance(&self, _: &str, _: &HostMem) -> Tolerance {
        Tolerance::Exact
    }

    fn work(&self) -> u64 {
        64
    }
}

pub fn cases(c: &mut Cases<'_>) {
    for (rows, step) in [(1, 0), (8, 7), (8, 8), (3, 1000)] {
        let clock = c.filled(shape(1, 2), Fill::U32(vec![step, step + 1]));
        let (loss, norm) = (c.floats([2.3]), c.floats([0.7]));
        let ring = c.integer_output(rows, 4);
        c.add(Metrics { clock, loss, norm, ring });
    }
}
