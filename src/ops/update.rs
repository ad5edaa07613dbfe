//! Around the maths of a step: its clock and settings at the start, the parameter update and the report at the end.

use crate::core::buffer::{Arena, Buf, Dtype, Fill, Role, shape};
use crate::core::tape::Tape;
use crate::kernels::adam::{Adam, AdamSettings};
use crate::kernels::metrics::Metrics;
use crate::kernels::root_sum::RootSum;
use crate::kernels::sgd::{Sgd, SgdSettings};
use crate::kernels::sum_squares::SumSquares;
use crate::kernels::tick::Tick;

/// How gradients move the parameters: what does not change during a run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Optimizer {
    Sgd(SgdSettings),
    Adam(AdamSettings),
}

impl Optimizer {
    /// 1 / (1 - βᵗ) for both of Adam's moments in step t = `step` + 1.
    fn bias_corrections(&self, step: u32) -> [f32; 2] {
        match self {
            Optimizer::Sgd(_) => [1.0; 2],
            // From the betas that the kernel has, not from those that were meant: moments and corrections fit each other.
            Optimizer::Adam(settings) => settings.betas.map(|beta| (1.0 / (1.0 - f64::from(beta).powf(f64::from(step) + 1.0))) as f32),
        }
    }
}

/// A row of the schedule: the settings of one step.
pub type StepSettings = [f32; Clock::SETTINGS as usize];

/// What changes from step to step.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    /// This step and the next, `[1, 2]`, u32. The second is all that a run must remember to know where it stands.
    pub clock: Buf,
    /// Rows of settings: step `s` takes row `s % rows`.
    pub schedule: Buf,
    /// This step's settings.
    pub hyper: Buf,
}

impl Clock {
    /// Settings in a row of the schedule: the temperature, a learning rate for each parameter group, two bias corrections.
    pub const SETTINGS: u32 = 8;
    pub const TEMPERATURE: u32 = 0;
    /// Where the first of Adam's bias corrections stands.
    pub const BIAS_CORRECTIONS: u32 = 6;

    /// Where the learning rate of a parameter group stands.
    pub fn lr_column(group: u8) -> u32 {
        let column = 1 + u32::from(group);
        assert!(column < Self::BIAS_CORRECTIONS, "the schedule has room for {} parameter groups", Self::BIAS_CORRECTIONS - 1);
        column
    }

    /// The settings of `step`, counted from 0, with the learning rates of the parameter groups in order.
    pub fn row(temperature: f32, rates: &[f32], optimizer: &Optimizer, step: u32) -> StepSettings {
        let mut row = [0.0; Self::SETTINGS as usize];
        row[Self::TEMPERATURE as usize] = temperature;
        for (group, rate) in (0..).zip(rates) {
            row[Self::lr_column(group) as usize] = *rate;
        }
        row[Self::BIAS_CORRECTIONS as usize..][..2].copy_from_slice(&optimizer.bias_corrections(step));
        row
    }

    /// The clock of training, part of the run's state, with the settings of `steps` steps at a time.
    pub fn of_training(arena: &mut Arena, steps: u32) -> Self {
        Self::new(arena, "", Role::State, steps)
    }

    /// A clock of its own for a pass of `steps` steps; `name` begins the names of its buffers.
    pub fn of_pass(arena: &mut Arena, name: &str, steps: u32) -> Self {
        Self::new(arena, name, Role::Transient, steps)
    }

    fn new(arena: &mut Arena, name: &str, role: Role, steps: u32) -> Self {
        Clock {
            clock: arena.buffer(&format!("{name}clock"), role, Dtype::U32, shape(1, 2), Fill::Zero),
            schedule: arena.input(&format!("{name}schedule"), Dtype::F32, shape(steps, Self::SETTINGS)),
            hyper: arena.scratch(&format!("{name}settings"), Dtype::F32, shape(1, Self::SETTINGS)),
        }
    }
}

/// The first call of every step.
pub fn start_step(t: &mut Tape<'_>, clock: Clock) {
    t.call("start step", Tick { clock: clock.clock, schedule: clock.schedule, hyper: clock.hyper });
}

/// Gradient norm over all groups, then one optimiser call for each group in `trained`. Returns the norm, `[1, 1]`.
pub fn update(t: &mut Tape<'_>, clock: Clock, trained: &[u8], optimizer: Optimizer) -> Buf {
    let groups: Vec<(u8, [Buf; 3])> = trained.iter().filter_map(|&g| Some((g, t.arena.group(g)?))).collect();
    // From the first trained gradient to the last; what is frozen in between is zero.
    let (first, last) = (groups[0].1[1], groups[groups.len() - 1].1[1]);
    let grads = Buf { shape: shape(1, last.offset + last.shape.cols - first.offset), ..first };
    let partials = t.scratch("gradient norm partials", shape(1, SumSquares::parts(grads)));
    let norm = t.scratch("gradient norm", shape(1, 1));
    t.call("gradient norm", SumSquares { x: grads, partials });
    t.call("gradient norm", RootSum { partials, root: norm });
    for (group, [w, g, v]) in groups {
        let (label, hyper, lr_column) = (format!("update group {group}"), clock.hyper, Clock::lr_column(group));
        match optimizer {
            Optimizer::Sgd(settings) => t.call(label, Sgd { w, g, v, hyper, norm, lr_column, settings }),
            Optimizer::Adam(settings) => {
                let second = t.arena.second_moments(w);
                let correction_column = Clock::BIAS_CORRECTIONS;
                t.call(label, Adam { w, g, first: v, second, hyper, norm, lr_column, correction_column, settings });
            }
        }
    }
    norm
}

/// The last call of every step: leaves loss and gradient norm in the ring.
pub fn report(t: &mut Tape<'_>, clock: Clock, loss: Buf, norm: Buf, ring: Buf) {
    t.call("report", Metrics { clock: clock.clock, loss, norm, ring });
}
