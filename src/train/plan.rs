//! Recording a run: the programs it needs, over one arena.

use std::path::Path;
use std::sync::Arc;

use super::checkpoint::Record;
use super::settings::RunSettings;
use super::weights::{Fitted, Weights};
use crate::buffer::{Arena, Buf, Dtype, Fill, Role, shape, unpad_rows};
use crate::data::Split;
use crate::exec::{DeviceError, Executor, Programs, Span, repeat};
use crate::kernels::collect::Collect;
use crate::kernels::shuffle::Order;
use crate::memory::HostMem;
use crate::models::ModelSettings;
use crate::ops::{Batch, Clock, DataBufs, Optimizer, Statistics, StepSettings, batch_indices, report, start_step, update};
use crate::program::{Program, RecordError};
use crate::random;
use crate::tape::Tape;

/// Steps whose metrics fit in the ring; also the most steps that are queued at once.
pub const RING: u32 = 256;

/// Random streams of a run, apart from each other.
pub const SHUFFLE_STREAM: u32 = 2;
pub const AUGMENT_STREAM: u32 = 3;

/// Programs in the making, and the data that their buffers will hold.
pub struct Recording {
    pub arena: Arena,
    pub programs: Vec<Program>,
    data: Vec<(Buf, Vec<u32>)>,
}

impl Recording {
    pub fn new(seed: u64, binding_limit: u64) -> Self {
        Recording { arena: Arena::new(seed, binding_limit), programs: Vec::new(), data: Vec::new() }
    }

    /// Declares a data set; its contents are written when the run is loaded.
    pub fn data(&mut self, name: &str, split: &Split) -> DataBufs {
        let images = self.arena.input(&format!("{name} images"), Dtype::U32, split.packed_shape());
        self.data.push((images, split.packed()));
        let labels = split.labels.as_ref().map(|labels| {
            let fill = Fill::U32(labels.clone());
            self.arena.buffer(&format!("{name} labels"), Role::Input, Dtype::U32, shape(1, split.len()), fill)
        });
        DataBufs { images, labels, image: split.image }
    }

    /// Lets the model begin with the weights in a file, if there is one. Returns what a user should know of it.
    pub fn begin_with(&mut self, file: Option<&Path>, model: &ModelSettings) -> anyhow::Result<Vec<String>> {
        let Some(file) = file else { return Ok(Vec::new()) };
        let Fitted { contents, notes } = Weights::load(file)?.fit(&self.arena, model)?;
        self.data.extend(contents);
        Ok(notes)
    }

    /// First contents of all buffers.
    pub fn memory(&self) -> HostMem {
        memory(&self.arena, &self.data)
    }

    /// Everything is recorded.
    pub fn finish(self, training: Training, settings: RunSettings, record: Record) -> Plan {
        Plan { arena: self.arena, programs: Arc::new(self.programs), data: self.data, training, settings, record }
    }
}

fn memory(arena: &Arena, data: &[(Buf, Vec<u32>)]) -> HostMem {
    let mem = HostMem::new(arena);
    data.iter().for_each(|(buf, words)| mem.write(*buf, words));
    mem
}

/// A recorded run: ready for any device whose limits it was recorded for.
pub struct Plan {
    pub arena: Arena,
    pub programs: Programs,
    pub training: Training,
    pub settings: RunSettings,
    /// As it stands before the first step.
    pub record: Record,
    data: Vec<(Buf, Vec<u32>)>,
}

impl Plan {
    /// First contents of all buffers. `hyper`: the settings of each step, a row of the schedule.
    pub fn memory(&self, hyper: &dyn Fn(u32) -> StepSettings) -> HostMem {
        let mem = memory(&self.arena, &self.data);
        let schedule: Vec<u32> = (0..self.training.total_steps).flat_map(hyper).map(f32::to_bits).collect();
        mem.write(self.training.clock.schedule, &schedule);
        mem
    }
}

/// The training part of a run: the programs of a full batch and perhaps those of a tail.
#[derive(Clone, Debug)]
pub struct Training {
    pub clock: Clock,
    pub ring: Buf,
    pub batch: u32,
    pub steps_per_epoch: u32,
    pub total_steps: u32,
    /// Parameter groups that are trained.
    pub trained: Vec<u8>,
    /// Programs of a step, with how often each runs.
    pub(super) full: Vec<(usize, u32)>,
    /// Those of the last step of each epoch, if it is shorter.
    tail: Vec<(usize, u32)>,
}

/// What [`Training::record`] needs to know.
pub struct TrainingOptions<'a> {
    pub data: DataBufs,
    pub samples: u32,
    pub batch: u32,
    /// Leave the samples that do not fill a batch for another epoch: contrastive losses want one batch size.
    pub drop_tail: bool,
    /// Parameter groups to train.
    pub trained: &'a [u8],
    pub optimizer: Optimizer,
    pub seed: u64,
    /// Given the steps of one epoch, the steps of the run.
    pub total_steps: &'a dyn Fn(u32) -> u32,
}

impl TrainingOptions<'_> {
    /// Samples in the last step of an epoch; 0 if it is as large as the others.
    fn tail_size(&self) -> u32 {
        if self.drop_tail || self.batch > self.samples { 0 } else { self.samples % self.batch }
    }
}

impl Training {
    /// Clock, ring and number of steps of a run, before any of its programs is recorded, and the order of its samples.
    pub(super) fn begin(r: &mut Recording, options: &TrainingOptions<'_>) -> (Self, Order) {
        let TrainingOptions { samples, batch, trained, .. } = *options;
        // Fewer samples than a batch: all of them, several times over.
        let repeats = batch.div_ceil(samples);
        let positions = samples * repeats;
        let tail_size = options.tail_size();
        let steps_per_epoch = positions / batch + u32::from(tail_size > 0);
        let total_steps = (options.total_steps)(steps_per_epoch);
        let shuffle_key = Some(random::key(options.seed, SHUFFLE_STREAM));
        let order = Order { samples, repeats, batch_stride: batch, steps_per_epoch, shuffle_key };
        let clock = Clock::new(&mut r.arena, "", total_steps);
        let ring = r.arena.input("metrics", Dtype::F32, shape(RING, 4));
        let (full, tail) = (Vec::new(), Vec::new());
        (Training { clock, ring, batch, steps_per_epoch, total_steps, trained: trained.to_vec(), tail, full }, order)
    }

    /// Records one step of training: `step` builds the maths from a batch to the loss.
    pub fn record(
        r: &mut Recording,
        options: &TrainingOptions<'_>,
        step: &dyn Fn(&mut Tape<'_>, Batch, Clock) -> Buf,
    ) -> Result<Self, RecordError> {
        let (mut training, order) = Self::begin(r, options);
        let (clock, trained) = (training.clock, options.trained);
        let mut program = |name: &str, batch: u32| -> Result<(usize, u32), RecordError> {
            let mut tape = Tape::new(&mut r.arena, name, trained);
            let t = &mut tape;
            start_step(t, clock);
            let batch = batch_indices(t, options.data, clock.clock, order, batch);
            let loss = step(t, batch, clock);
            t.backward(loss, loss);
            let norm = update(t, clock, trained, options.optimizer);
            report(t, clock, loss, norm, training.ring);
            r.programs.push(tape.finish()?);
            Ok((r.programs.len() - 1, 1))
        };
        training.full.push(program("train", options.batch)?);
        if options.tail_size() > 0 {
            training.tail.push(program("tail", options.tail_size())?);
        }
        Ok(training)
    }

    /// The work of steps `from..to`.
    pub fn spans(&self, programs: &Programs, from: u32, to: u32) -> Vec<Span> {
        let work = |step: u32| {
            let last_of_epoch = step % self.steps_per_epoch + 1 == self.steps_per_epoch;
            let work = if last_of_epoch && !self.tail.is_empty() { &self.tail } else { &self.full };
            work.iter().flat_map(|&(program, times)| repeat(programs, program, times as usize))
        };
        (from..to).flat_map(work).collect()
    }
}

/// A pass over a data set that collects one row of results per sample.
#[derive(Clone, Debug)]
pub struct Evaluation {
    clock: Buf,
    all: Buf,
    /// (program, times)
    work: Vec<(usize, usize)>,
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
        let batch = samples.min(250);
        let clock = Clock::new(&mut r.arena, &format!("{name} "), 1);
        let order = Order { samples, repeats: 1, batch_stride: batch, steps_per_epoch: samples.div_ceil(batch), shuffle_key: None };
        let mut work = Vec::new();
        let mut all = None;
        for (part, size, times) in [("", batch, samples / batch), (" tail", samples % batch, 1)] {
            if size == 0 {
                continue;
            }
            let mut tape = Tape::new(&mut r.arena, &format!("{name}{part}"), &[]);
            let t = &mut tape;
            start_step(t, clock);
            let batch_of = batch_indices(t, data, clock.clock, order, size);
            let y = forward(t, batch_of);
            let collected = *all.get_or_insert_with(|| t.arena.scratch(&format!("{name} results"), Dtype::F32, shape(samples, y.cols())));
            t.call("collect", Collect { clock: clock.clock, x: y, all: collected, batch_stride: batch });
            r.programs.push(tape.finish()?);
            work.push((r.programs.len() - 1, times as usize));
        }
        Ok(Evaluation { clock: clock.clock, all: all.expect("at least one sample"), work })
    }

    /// Runs the evaluation; dense rows of results, `[samples, columns]`.
    pub fn run(&self, exec: &mut dyn Executor, programs: &Programs) -> Result<Vec<f32>, DeviceError> {
        exec.write(self.clock, &[0; 4])?;
        for &(program, times) in &self.work {
            exec.run(&repeat(programs, program, times))?;
        }
        let words = exec.read(self.all)?;
        Ok(unpad_rows(self.all.shape, &words).into_iter().map(f32::from_bits).collect())
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
    /// Samples of one batch, and batches: enough for means and variances.
    const BATCH: u32 = 250;
    const BATCHES: u32 = 20;

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
        let batch = samples.min(Self::BATCH);
        let batches = (samples / batch).min(Self::BATCHES);
        let clock = Clock::new(&mut r.arena, "recalibration ", batches);
        let order = Order { samples, repeats: 1, batch_stride: batch, steps_per_epoch: batches, shuffle_key: None };
        let mut tape = Tape::new(&mut r.arena, "recalibration", &[]);
        let t = &mut tape;
        start_step(t, clock);
        let batch = batch_indices(t, data, clock.clock, order, batch);
        // The average over all batches so far, in the place of the temperature.
        forward(t, batch, Statistics::Batch { rates: clock.hyper, column: Clock::TEMPERATURE });
        r.programs.push(tape.finish()?);
        let optimizer = Optimizer::Sgd(Default::default());
        let rates = (0..batches).flat_map(|step| Clock::row(1.0 / (step + 1) as f32, &[], &optimizer, step).map(f32::to_bits));
        r.data.push((clock.schedule, rates.collect()));
        Ok(Some(Recalibration { clock: clock.clock, program: r.programs.len() - 1, batches }))
    }

    pub fn run(&self, exec: &mut dyn Executor, programs: &Programs) -> Result<(), DeviceError> {
        exec.write(self.clock, &[0; 4])?;
        exec.run(&repeat(programs, self.program, self.batches as usize))
    }
}
