//! Around the maths of a step: its clock and settings at the start, the parameter update and the report at the end.

use crate::buffer::{Arena, Buf, Dtype, shape};
use crate::kernels::metrics::Metrics;
use crate::kernels::root_sum::RootSum;
use crate::kernels::sgd::{Sgd, SgdSettings};
use crate::kernels::sum_squares::SumSquares;
use crate::kernels::tick::Tick;
use crate::tape::Tape;

/// What changes from step to step.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    /// This step and the next, `[1, 2]`, u32. The second is all that a run must remember to know where it stands.
    pub clock: Buf,
    /// One row of settings per step.
    pub schedule: Buf,
    /// This step's settings.
    pub hyper: Buf,
}

impl Clock {
    /// Settings in a row of the schedule: the temperature, then a learning rate for each parameter group.
    pub const SETTINGS: u32 = 4;
    pub const TEMPERATURE: u32 = 0;

    /// Where the learning rate of a parameter group stands.
    pub fn lr_column(group: u8) -> u32 {
        assert!(u32::from(group) + 1 < Self::SETTINGS, "the schedule has room for {} parameter groups", Self::SETTINGS - 1);
        1 + u32::from(group)
    }

    /// A clock of its own for `steps` steps; `name` keeps training's apart from evaluation's.
    pub fn new(arena: &mut Arena, name: &str, steps: u32) -> Self {
        Clock {
            clock: arena.state(&format!("{name}clock"), Dtype::U32, shape(1, 2)),
            schedule: arena.input(&format!("{name}schedule"), Dtype::F32, shape(steps.max(1), Self::SETTINGS)),
            hyper: arena.scratch(&format!("{name}settings"), Dtype::F32, shape(1, Self::SETTINGS)),
        }
    }
}

/// The first call of every step.
pub fn start_step(t: &mut Tape<'_>, clock: Clock) {
    t.call("start step", Tick { clock: clock.clock, schedule: clock.schedule, hyper: clock.hyper });
}

/// Gradient norm over all groups, then one optimiser call for each group in `trained`. Returns the norm, `[1, 1]`.
pub fn update(t: &mut Tape<'_>, clock: Clock, trained: &[u8], settings: SgdSettings) -> Buf {
    let groups: Vec<(u8, [Buf; 3])> = trained.iter().filter_map(|&g| Some((g, t.arena.group(g)?))).collect();
    // From the first trained gradient to the last; what is frozen in between is zero.
    let (first, last) = (groups[0].1[1], groups[groups.len() - 1].1[1]);
    let grads = Buf { shape: shape(1, last.offset + last.shape.cols - first.offset), ..first };
    let partials = t.scratch("gradient norm partials", shape(1, SumSquares::parts(grads)));
    let norm = t.scratch("gradient norm", shape(1, 1));
    t.call("gradient norm", SumSquares { x: grads, partials });
    t.call("gradient norm", RootSum { partials, root: norm });
    for (group, [w, g, v]) in groups {
        let call = Sgd { w, g, v, hyper: clock.hyper, norm, lr_column: Clock::lr_column(group), settings };
        t.call(format!("update group {group}"), call);
    }
    norm
}

/// The last call of every step: leaves loss and gradient norm in the ring.
pub fn report(t: &mut Tape<'_>, clock: Clock, loss: Buf, norm: Buf, ring: Buf) {
    t.call("report", Metrics { clock: clock.clock, loss, norm, ring });
}
