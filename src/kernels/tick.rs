//! Starts a step: advances the clock and looks up the step's settings.

use super::{Cases, has, row_quads};
use crate::core::buffer::{Buf, Fill, shape};
use crate::core::memory::HostMem;
use crate::core::program::{Exp, Kernel, Tolerance};

/// `clock` (u32): `[1, 2]`, this step and the next; `schedule`: `[rows, settings]`, a ring of which step `s` takes row `s % rows`;
/// `hyper`: `[1, settings]`.
pub struct Tick {
    pub clock: Buf,
    pub schedule: Buf,
    pub hyper: Buf,
}

impl Kernel for Tick {
    interface! {
        self runs "tick";
        bufs { clock, schedule, hyper }
        params { rows: self.schedule.rows(), quads: row_quads(self.schedule) }
        invocations { 1_u64 }
    }

    fn check_shapes(&self) -> Result<(), String> {
        has("clock", self.clock, 1, 2)?;
        has("hyper", self.hyper, 1, self.schedule.cols())
    }

    fn twin(&self, m: &HostMem) {
        let step = m.u32(self.clock).row(0)[1];
        m.u32_mut(self.clock).for_each_row(|_, clock| clock.copy_from_slice(&[step, step + 1]));
        let schedule = m.f32(self.schedule);
        let row = (step % self.schedule.rows()) as usize;
        m.f32_mut(self.hyper).for_each_row(|_, hyper| hyper.copy_from_slice(schedule.row(row)));
    }

    fn tolerance(&self, _: &str, _: &HostMem, _: Exp) -> Tolerance {
        Tolerance::Exact
    }

    fn work(&self) -> u64 {
        64
    }
}

pub fn cases(c: &mut Cases<'_>) {
    for (rows, settings, next) in [(1, 1, 0), (1, 8, 9), (7, 8, 3), (5, 6, 4), (5, 6, 5), (5, 6, 77), (256, 8, u32::MAX - 1)] {
        let clock = c.filled(shape(1, 2), Fill::U32(vec![99, next]));
        let (schedule, hyper) = (c.uniform(rows, settings), c.output(1, settings));
        c.add(Tick { clock, schedule, hyper });
    }
}
