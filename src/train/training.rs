//! The plan of a run: the programs of its steps, and how often each runs.

use std::sync::Arc;

use super::buckets::Buckets;
use super::checkpoint::Record;
use super::recording::{Contents, Recording, load, memory};
use super::settings::RunSettings;
use super::windows::Windows;
use crate::core::buffer::{Arena, Buf, Dtype, TooLarge, shape};
use crate::core::memory::HostMem;
use crate::core::program::{Program, RecordError};
use crate::core::random;
use crate::core::sample::SampleType;
use crate::core::tape::Tape;
use crate::data::Split;
use crate::error::{DeviceError, UsageError};
use crate::exec::{Device, Executor, Programs, Span, repeat};
use crate::kernels::shuffle::Order;
use crate::ops::{Batch, Clock, DataBufs, Optimizer, StepSettings, batch_indices, report, start_step, update};

/// Steps whose settings and metrics are on the device at a time; so also the most steps that are queued at once.
pub const RING: u32 = 256;

/// Views of a sample, at most.
const MOST_VIEWS: u64 = 2;

/// The random stream of orders, apart from a run's others.
const SHUFFLE_STREAM: u32 = 2;

/// A recorded run: ready for any device whose limits it was recorded for.
pub struct Plan {
    pub arena: Arena,
    pub programs: Programs,
    pub training: Training,
    pub settings: RunSettings,
    /// As it stands before the first step.
    pub record: Record,
    contents: Vec<(Buf, Contents)>,
}

impl Plan {
    /// Everything is recorded. Fails where epochs come to more steps than can be counted.
    pub fn new(r: Recording, training: Training, settings: RunSettings, record: Record) -> Result<Self, UsageError> {
        let (epochs, steps) = (settings.epochs, training.steps_per_epoch);
        if settings.steps.is_none() && epochs.checked_mul(steps).is_none() {
            return Err(UsageError(format!(
                "--epochs {epochs} of {steps} steps each are too many steps: at most {} can be counted",
                u32::MAX
            )));
        }
        Ok(Plan { arena: r.arena, programs: Arc::new(r.programs), contents: r.contents, training, settings, record })
    }

    /// Loads all programs with the first contents of all buffers on a device. `hyper`: the settings of each step.
    pub fn load(&self, device: &Device, hyper: &dyn Fn(u32) -> StepSettings) -> Result<Box<dyn Executor>, DeviceError> {
        let mut exec = load(device, &self.arena, &self.contents, self.programs.clone())?;
        exec.write(self.training.clock.schedule, &self.training.schedule(0, hyper))?;
        Ok(exec)
    }

    /// First contents of all buffers, on the host.
    pub fn memory(&self, hyper: &dyn Fn(u32) -> StepSettings) -> HostMem {
        let mem = memory(&self.arena, &self.contents);
        mem.write(self.training.clock.schedule, &self.training.schedule(0, hyper));
        mem
    }
}

/// A part of a step: a program that runs a number of times before the next part begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Phase {
    /// Place in the list of the plan's programs.
    pub program: usize,
    pub times: u32,
}

impl Recording {
    /// A phase that runs `program`.
    fn phase(&mut self, program: Program, times: u32) -> Phase {
        self.programs.push(program);
        Phase { program: self.programs.len() - 1, times }
    }
}

/// The training part of a run: the phases of a full batch and perhaps those of a tail.
#[derive(Clone, Debug)]
pub struct Training {
    /// The samples, or those of a window.
    pub data: DataBufs,
    pub(super) windows: Option<Arc<Windows>>,
    pub clock: Clock,
    pub ring: Buf,
    pub batch: u32,
    pub steps_per_epoch: u32,
    pub total_steps: u32,
    /// Parameter groups that are trained.
    pub trained: Vec<u8>,
    pub(super) buckets: Buckets,
    /// Of a full batch of each bucket.
    full: Vec<Vec<Phase>>,
    /// Of the last step of each epoch, if it is shorter.
    tail: Vec<Phase>,
}

/// What [`Training::record`] needs to know.
pub struct TrainingOptions<'a> {
    pub samples: &'a Split,
    pub batch: u32,
    /// Leave the samples that do not fill a batch for another epoch: contrastive losses want one batch size.
    pub drop_tail: bool,
    /// Batches of texts of about the same length.
    pub by_length: bool,
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
        let samples = self.samples.len();
        if self.drop_tail || self.batch > samples { 0 } else { samples % self.batch }
    }
}

impl Training {
    /// Samples, clock, ring and number of steps of a run, before any of its programs is recorded. `divide` makes buckets of the samples
    /// and of the order of all.
    ///
    /// Fails if `at_once` views, which one program makes, have more pixels than rows can be counted.
    pub(super) fn begin(
        r: &mut Recording,
        options: &TrainingOptions<'_>,
        at_once: u64,
        divide: &dyn Fn(&Split, Order) -> Buckets,
    ) -> Result<Self, RecordError> {
        let TrainingOptions { samples: split, batch, trained, .. } = *options;
        let rows = at_once * u64::from(split.kind().places());
        if u32::try_from(rows).is_err() {
            let too_large =
                TooLarge { name: "views".into(), bytes: 4 * rows * u64::from(split.kind().channels()), limit: r.arena.binding_limit() };
            return Err(RecordError::TooLarge { program: "train".into(), too_large });
        }
        let samples = split.len();
        // Fewer samples than a batch: all of them, several times over.
        let repeats = batch.div_ceil(samples);
        let positions = samples * repeats;
        let tail_size = options.tail_size();
        let steps_per_epoch = positions / batch + u32::from(tail_size > 0);
        let total_steps = (options.total_steps)(steps_per_epoch);
        let shuffle_key = Some(random::key(options.seed, SHUFFLE_STREAM));
        let order = Order { samples, repeats, batch_stride: batch, steps_per_epoch, shuffle_key, bucket: None };
        let buckets = divide(split, order);
        let fitting = r.fitting(split);
        let steps = (fitting / batch).clamp(1, total_steps.max(1));
        let windows = (samples > fitting).then(|| Windows::new(buckets.clone(), batch, steps));
        let data = match &windows {
            None => r.data("training", &buckets.samples),
            Some(windows) => r.data("training", &windows.samples(0)),
        };
        let clock = Clock::of_training(&mut r.arena, RING);
        let ring = r.arena.input("metrics", Dtype::F32, shape(RING, 4));
        let (full, tail) = (Vec::new(), Vec::new());
        let (windows, trained) = (windows.map(Arc::new), trained.to_vec());
        Ok(Training { data, windows, clock, ring, batch, steps_per_epoch, total_steps, trained, buckets, tail, full })
    }

    /// For a bucket: what is on the device, and the order in which steps see it.
    pub(super) fn bucket(&self, number: usize) -> (DataBufs, Order) {
        let (kind, order) = self.buckets.parts[number];
        (DataBufs { kind, ..self.data }, self.windows.as_ref().map_or(order, |windows| windows.order()))
    }

    /// The first `count` of the samples that this is recorded for: where all are, if they all are on the device.
    pub(super) fn first_samples(&self, r: &mut Recording, name: &str, split: &Split, count: u32) -> DataBufs {
        match (&self.windows, &self.buckets.parts[..]) {
            (None, [_]) => self.data,
            _ => r.data(name, &split.first(count).bare()),
        }
    }

    /// Records one step of training: `step` builds the maths from a batch to the loss.
    pub fn record(
        r: &mut Recording,
        options: &TrainingOptions<'_>,
        step: &dyn Fn(&mut Tape<'_>, Batch, Clock) -> Buf,
    ) -> Result<Self, RecordError> {
        let at_once = MOST_VIEWS * u64::from(options.batch);
        let mut training = Self::begin(r, options, at_once, &|split, order| match options.by_length {
            true => Buckets::by_length(split, order, options.drop_tail),
            false => Buckets::whole(split, order),
        })?;
        let (clock, trained, ring) = (training.clock, options.trained, training.ring);
        let buckets = training.buckets.parts.len();
        let mut whole = |name: &str, (data, order): (DataBufs, Order), batch: u32| -> Result<Program, RecordError> {
            // Programs of all buckets have their scratch in the same places.
            let mut tape = Tape::new(&mut r.arena, name, trained);
            let t = &mut tape;
            start_step(t, clock);
            let batch = batch_indices(t, data, clock.clock, order, batch);
            let loss = step(t, batch, clock);
            t.backward(loss, loss);
            let norm = update(t, clock, trained, options.optimizer);
            report(t, clock, loss, norm, ring);
            let program = tape.finish()?;
            let name = if buckets > 1 { format!("{name} of up to {}", data.kind) } else { program.name.clone() };
            Ok(Program { name, ..program })
        };
        let full = (0..buckets).map(|number| whole("train", training.bucket(number), options.batch)).collect::<Result<Vec<_>, _>>()?;
        let tail = match options.tail_size() {
            0 => None,
            size => Some(whole("tail", training.bucket(buckets - 1), size)?),
        };
        training.full = full.into_iter().map(|program| vec![r.phase(program, 1)]).collect();
        training.tail = tail.into_iter().map(|program| r.phase(program, 1)).collect();
        Ok(training)
    }

    /// Adds a phase to a step of whatever bucket.
    pub(super) fn then(&mut self, r: &mut Recording, program: Program, times: u32) {
        let phase = r.phase(program, times);
        self.full.resize(self.buckets.parts.len(), Vec::new());
        self.full.iter_mut().for_each(|phases| phases.push(phase));
    }

    /// What makes up a step, in order.
    pub fn phases(&self, step: u32) -> &[Phase] {
        let last_of_epoch = step % self.steps_per_epoch + 1 == self.steps_per_epoch;
        if last_of_epoch && !self.tail.is_empty() { &self.tail } else { &self.full[self.buckets.of_step(step)] }
    }

    /// The type of the samples that a step's batch is of.
    pub fn kind_of(&self, step: u32) -> SampleType {
        self.buckets.parts[self.buckets.of_step(step)].0
    }

    /// The types of the samples that batches are of: of texts, one for each width.
    pub fn kinds(&self) -> Vec<SampleType> {
        self.buckets.parts.iter().map(|(kind, _)| *kind).collect()
    }

    /// The words of a schedule that is to serve steps from `from` on, as many as it has rows.
    pub fn schedule(&self, from: u32, hyper: &dyn Fn(u32) -> StepSettings) -> Vec<u32> {
        let (rows, last) = (self.clock.schedule.rows(), self.total_steps.saturating_sub(1));
        let step = |row: u32| from.saturating_add((row + rows - from % rows) % rows).min(last);
        (0..rows).flat_map(|row| hyper(step(row))).map(f32::to_bits).collect()
    }

    /// The work of steps `from..to`.
    pub fn spans(&self, programs: &Programs, from: u32, to: u32) -> Vec<Span> {
        let work = |phase: &Phase| repeat(programs, phase.program, phase.times as usize);
        (from..to).flat_map(|step| self.phases(step)).flat_map(work).collect()
    }
}
