//! Recording a run: the programs it needs, over one arena.

use std::sync::Arc;

use super::checkpoint::Record;
use super::settings::RunSettings;
use crate::buffer::{Arena, Buf, Dtype, Fill, Role, Shape, pad_rows, shape};
use crate::data::Split;
use crate::exec::{Programs, Span};
use crate::kernels::shuffle::Order;
use crate::memory::HostMem;
use crate::ops::{Batch, Clock, DataBufs, Optimizer, StepSettings, batch_indices, report, start_step, update};
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
        let image = split.image;
        let images = match split.features.is_empty() {
            true => self.input(format!("{name} images"), Dtype::U32, split.packed_shape(), split.packed()),
            false => self.numbers(format!("{name} rows"), &split.features, image.len()),
        };
        let labels = split.labels.as_ref().map(|labels| {
            let fill = Fill::U32(labels.clone());
            self.arena.buffer(&format!("{name} labels"), Role::Input, Dtype::U32, shape(1, split.len()), fill)
        });
        let width = |values: &[f32]| values.len() as u32 / split.len();
        let targets = split.targets.as_ref().map(|targets| self.numbers(format!("{name} targets"), targets, width(targets)));
        let masks = split.packed_masks().map(|(shape, words)| self.input(format!("{name} masks"), Dtype::U32, shape, words));
        DataBufs { images, labels, targets, masks, image }
    }

    fn input(&mut self, name: String, dtype: Dtype, shape: Shape, words: Vec<u32>) -> Buf {
        let buf = self.arena.input(&name, dtype, shape);
        self.fill(buf, words);
        buf
    }

    /// What a buffer holds first: padded words.
    pub fn fill(&mut self, buf: Buf, words: Vec<u32>) {
        self.data.push((buf, words));
    }

    /// Rows of `cols` numbers each.
    fn numbers(&mut self, name: String, values: &[f32], cols: u32) -> Buf {
        let shape = shape(values.len() as u32 / cols, cols);
        let words: Vec<u32> = values.iter().map(|value| value.to_bits()).collect();
        self.input(name, Dtype::F32, shape, pad_rows(shape, &words))
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

/// The training part of a run: a full-batch program and perhaps a tail.
#[derive(Clone, Debug)]
pub struct Training {
    pub clock: Clock,
    pub ring: Buf,
    pub batch: u32,
    pub steps_per_epoch: u32,
    pub total_steps: u32,
    /// The last step of each epoch is this shorter program.
    tail: Option<usize>,
    full: usize,
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

impl Training {
    /// Records one step of training: `step` builds the maths from a batch to the loss.
    pub fn record(
        r: &mut Recording,
        options: &TrainingOptions<'_>,
        step: &dyn Fn(&mut Tape<'_>, Batch, Clock) -> Buf,
    ) -> Result<Self, RecordError> {
        let TrainingOptions { samples, batch, trained, .. } = *options;
        // Fewer samples than a batch: all of them, several times over.
        let repeats = batch.div_ceil(samples);
        let positions = samples * repeats;
        let tail_size = if options.drop_tail || repeats > 1 { 0 } else { positions % batch };
        let steps_per_epoch = positions / batch + u32::from(tail_size > 0);
        let total_steps = (options.total_steps)(steps_per_epoch);
        let shuffle_key = Some(random::key(options.seed, SHUFFLE_STREAM));
        let order = Order { samples, repeats, batch_stride: batch, steps_per_epoch, shuffle_key };
        let clock = Clock::new(&mut r.arena, "", total_steps);
        let ring = r.arena.input("metrics", Dtype::F32, shape(RING, 4));
        let mut program = |name: &str, batch: u32| -> Result<usize, RecordError> {
            let mut tape = Tape::new(&mut r.arena, name, trained);
            let t = &mut tape;
            start_step(t, clock);
            let batch = batch_indices(t, options.data, clock.clock, order, batch);
            let loss = step(t, batch, clock);
            t.backward(loss, loss);
            let norm = update(t, clock, trained, options.optimizer);
            report(t, clock, loss, norm, ring);
            r.programs.push(tape.finish()?);
            Ok(r.programs.len() - 1)
        };
        let full = program("train", batch)?;
        let tail = if tail_size > 0 { Some(program("tail", tail_size)?) } else { None };
        Ok(Training { clock, ring, batch, steps_per_epoch, total_steps, tail, full })
    }

    /// The work of steps `from..to`.
    pub fn spans(&self, programs: &Programs, from: u32, to: u32) -> Vec<Span> {
        (from..to)
            .map(|step| {
                let last_of_epoch = step % self.steps_per_epoch + 1 == self.steps_per_epoch;
                let program = self.tail.filter(|_| last_of_epoch).unwrap_or(self.full);
                Span { program, calls: 0..programs[program].calls.len() }
            })
            .collect()
    }
}
