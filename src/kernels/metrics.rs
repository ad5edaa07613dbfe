//! Ends a step: leaves its loss and gradient norm, and the proof that it ran, in a ring for the host.

use super::{Cases, has};
use crate::core::buffer::{Buf, Fill, shape};
use crate::core::memory::HostMem;
use crate::core::program::{Exp, Kernel, Tolerance};

/// `clock`: `[1, 2]`; `loss`, `norm`: `[1, 1]`; `ring`: `[steps kept, 4]`, see [`StepMetrics`].
pub struct Metrics {
    pub clock: Buf,
    pub loss: Buf,
    pub norm: Buf,
    pub ring: Buf,
}

/// A row of the ring.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepMetrics {
    pub steps_done: u32,
    pub loss: f32,
    pub norm: f32,
}

impl StepMetrics {
    /// As it stands in the ring: the count in halves of 16 bits, which floats hold exactly.
    pub fn to_floats(self) -> [f32; 4] {
        [(self.steps_done & 0xFFFF) as f32, self.loss, self.norm, (self.steps_done >> 16) as f32]
    }

    /// From the bits of a row.
    pub fn from_bits(bits: [u32; 4]) -> Self {
        let [low, loss, norm, high] = bits.map(f32::from_bits);
        StepMetrics { steps_done: (high as u32) << 16 | low as u32, loss, norm }
    }
}

impl Kernel for Metrics {
    interface! {
        self runs "metrics";
        bufs { clock, loss, norm, ring }
        params { rows: self.ring.rows() }
        invocations { 1_u64 }
    }

    fn leaves_some(&self) -> bool {
        true
    }

    fn check_shapes(&self) -> Result<(), String> {
        has("clock", self.clock, 1, 2)?;
        has("loss", self.loss, 1, 1)?;
        has("norm", self.norm, 1, 1)?;
        has("ring", self.ring, self.ring.rows(), 4)
    }

    fn twin(&self, m: &HostMem) {
        let (clock, loss, norm) = (m.u32(self.clock), m.f32(self.loss), m.f32(self.norm));
        let [step, done] = [clock.row(0)[0], clock.row(0)[1]];
        let row = StepMetrics { steps_done: done, loss: loss.row(0)[0], norm: norm.row(0)[0] };
        m.f32_mut(self.ring).row_mut((step % self.ring.rows()) as usize).copy_from_slice(&row.to_floats());
    }

    fn tolerance(&self, _: &str, _: &HostMem, _: Exp) -> Tolerance {
        Tolerance::Exact
    }

    fn work(&self) -> u64 {
        64
    }
}

pub fn cases(c: &mut Cases<'_>) {
    for (rows, step) in [(1, 0), (8, 7), (8, 8), (3, 1_000_000)] {
        let clock = c.filled(shape(1, 2), Fill::U32(vec![step, step + 1]));
        let (loss, norm) = (c.floats([2.3]), c.floats([0.7]));
        let ring = c.output(rows, 4);
        c.add(Metrics { clock, loss, norm, ring });
    }
}
