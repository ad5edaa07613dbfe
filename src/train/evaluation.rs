//! Passes over a data set without gradients: to look at results, and to re-estimate statistics.

use super::recording::Recording;
use crate::core::buffer::{Buf, Dtype, Role, shape, unpad_rows};
use crate::core::program::RecordError;
use crate::core::sample::SampleType;
use crate::core::tape::Tape;
use crate::error::DeviceError;
use crate::exec::{Executor, Programs, repeat};
use crate::kernels::collect::Collect;
use crate::kernels::shuffle::Order;
use crate::ops::{Batch, Clock, DataBufs, Optimizer, Statistics, batch_indices, start_step};

/// Samples that a batch without gradients has at most, and places of theirs.
const MOST_SAMPLES: u32 = 250;
const MOST_PLACES: u32 = 1 << 18;
/// Of sequences, whose places go through layers hundreds of numbers wide: more would not stay in a cache.
const MOST_TOKENS: u32 = 1 << 9;

fn batch_of(samples: u32, kind: SampleType) -> u32 {
    let most = if kind.is_sequence() { MOST_TOKENS } else { MOST_PLACES };
    samples.min(MOST_SAMPLES).min(most / kind.places()).max(1)
}

/// A pass over a data set, one batch after the other.
#[derive(Clone, Debug)]
pub struct Pass {
    clock: Buf,
    work: Vec<Batches>,
}

/// Batches of one size, which leave their results in one place.
#[derive(Clone, Copy, Debug)]
struct Batches {
    program: usize,
    times: u32,
    samples: u32,
    results: Buf,
}

impl Pass {
    /// Records a pass over the first `samples` of `data`. `forward` makes results of a batch of a number of samples; all but the
    /// last batch have that many.
    pub fn record(
        r: &mut Recording,
        name: &str,
        data: DataBufs,
        samples: u32,
        forward: &dyn Fn(&mut Tape<'_>, Batch, Clock, u32) -> Buf,
    ) -> Result<Self, RecordError> {
        let batch = batch_of(samples, data.kind);
        let clock = Clock::of_pass(&mut r.arena, &format!("{name} "), 1);
        let order = Order::as_they_lie(samples, batch, samples.div_ceil(batch));
        let mut work = Vec::new();
        for (part, size, times) in [("", batch, samples / batch), (" tail", samples % batch, 1)] {
            if size == 0 {
                continue;
            }
            let mut tape = Tape::new(&mut r.arena, &format!("{name}{part}"), &[]);
            let t = &mut tape;
            start_step(t, clock);
            let batch_of = batch_indices(t, data, clock.clock, order, size);
            let results = forward(t, batch_of, clock, batch);
            r.programs.push(tape.finish()?);
            work.push(Batches { program: r.programs.len() - 1, times, samples: size, results });
        }
        Ok(Pass { clock: clock.clock, work })
    }

    /// Calls `f(samples, results)` for each batch, in order; results are dense.
    pub fn each(
        &self,
        exec: &mut dyn Executor,
        programs: &Programs,
        f: &mut dyn FnMut(u32, Vec<f32>) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        exec.write(self.clock, &[0; 4])?;
        for &Batches { program, times, samples, results } in &self.work {
            for _ in 0..times {
                exec.run(&repeat(programs, program, 1))?;
                f(samples, dense(exec, results)?)?;
            }
        }
        Ok(())
    }
}

fn dense(exec: &mut dyn Executor, buf: Buf) -> Result<Vec<f32>, DeviceError> {
    Ok(unpad_rows(buf.shape, &exec.read(buf)?).into_iter().map(f32::from_bits).collect())
}

/// A pass over a data set that collects one row of results per sample.
#[derive(Clone, Debug)]
pub struct Evaluation {
    pass: Pass,
    all: Buf,
}

impl Evaluation {
    /// Records the evaluation of the first `samples` of `data` with what `forward` makes of a batch.
    pub fn record(
        r: &mut Recording,
        name: &str,
        data: DataBufs,
        samples: u32,
        forward: &dyn Fn(&mut Tape<'_>, Batch) -> Buf,
    ) -> Result<Self, RecordError> {
        let pass = Pass::record(r, name, data, samples, &|t, batch, clock, batch_stride| {
            let x = forward(t, batch);
            let all = t.arena.scratch(&format!("{name} results"), Dtype::F32, shape(samples, x.cols()));
            t.call("collect", Collect { clock: clock.clock, x, all, batch_stride });
            all
        })?;
        Ok(Evaluation { all: pass.work.first().expect("at least one sample").results, pass })
    }

    /// Runs the evaluation; dense rows of results, `[samples, columns]`.
    pub fn run(&self, exec: &mut dyn Executor, programs: &Programs) -> Result<Vec<f32>, DeviceError> {
        exec.write(self.pass.clock, &[0; 4])?;
        for batches in &self.pass.work {
            exec.run(&repeat(programs, batches.program, batches.times as usize))?;
        }
        dense(exec, self.all)
    }

    /// Columns of the results.
    pub fn columns(&self) -> usize {
        self.all.cols() as usize
    }
}

/// A pass over clean samples that re-estimates the running statistics of batch norms: those gathered under augmentation do not
/// fit images as they are.
#[derive(Clone, Debug)]
pub struct Recalibration {
    clock: Buf,
    program: usize,
    batches: u32,
}

impl Recalibration {
    /// Enough batches for means and variances.
    const BATCHES: u32 = 20;
    /// More samples than these are never looked at: those that come first are enough.
    pub const SAMPLES: u32 = Self::BATCHES * MOST_SAMPLES;

    /// Records `forward`, which is to normalise by the statistics that it is given. `None` if the model has none.
    pub fn record(
        r: &mut Recording,
        data: DataBufs,
        samples: u32,
        forward: &dyn Fn(&mut Tape<'_>, Batch, Statistics) -> Buf,
    ) -> Result<Option<Self>, RecordError> {
        if !r.arena.bufs().iter().any(|b| matches!(b.role, Role::Statistic { .. })) {
            return Ok(None);
        }
        let batch = batch_of(samples, data.kind);
        let batches = (samples / batch).min(Self::BATCHES);
        let clock = Clock::of_pass(&mut r.arena, "recalibration ", batches);
        let order = Order::as_they_lie(samples, batch, batches);
        let mut tape = Tape::new(&mut r.arena, "recalibration", &[]);
        let t = &mut tape;
        start_step(t, clock);
        let batch = batch_indices(t, data, clock.clock, order, batch);
        // The average over all batches so far, in the place of the temperature.
        forward(t, batch, Statistics::Batch { rates: clock.hyper, column: Clock::TEMPERATURE });
        r.programs.push(tape.finish()?);
        let optimizer = Optimizer::Sgd(Default::default());
        let rates = (0..batches).flat_map(|step| Clock::row(1.0 / (step + 1) as f32, &[], &optimizer, step).map(f32::to_bits));
        r.fill(clock.schedule, rates.collect());
        Ok(Some(Recalibration { clock: clock.clock, program: r.programs.len() - 1, batches }))
    }

    pub fn run(&self, exec: &mut dyn Executor, programs: &Programs) -> Result<(), DeviceError> {
        exec.write(self.clock, &[0; 4])?;
        exec.run(&repeat(programs, self.program, self.batches as usize))
    }
}
