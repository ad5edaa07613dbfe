//! Recording: programs and the contents that their buffers begin with.

use std::borrow::Cow;
use std::convert::Infallible;
use std::ops::Range;

use super::checkpoint::Record;
use super::weights::{Fitted, Weights};
use crate::core::buffer::{Arena, Buf, Dtype, pad_rows, shape};
use crate::core::memory::HostMem;
use crate::core::program::Program;
use crate::data::{RIGHT, Samples, SharedRows, Split, Tags, Truth, UNKNOWN};
use crate::error::DeviceError;
use crate::exec::{Device, Executor, Programs};
use crate::ops::DataBufs;

/// Programs in the making over one arena, and what its buffers will hold first.
pub struct Recording {
    pub arena: Arena,
    pub programs: Vec<Program>,
    pub(super) contents: Vec<(Buf, Contents)>,
}

impl Recording {
    pub fn new(seed: u64, binding_limit: u64) -> Self {
        Recording { arena: Arena::new(seed, binding_limit), programs: Vec::new(), contents: Vec::new() }
    }

    /// Declares a data set; its contents are written when the run is loaded.
    pub fn data(&mut self, name: &str, split: &Split) -> DataBufs {
        let (kind, count, truth) = (split.kind(), split.len(), &split.truth);
        let (dtype, words) = kind.stored();
        let mut input = |what: &str, dtype, shape| self.arena.input(&format!("{name} {what}"), dtype, shape);
        let samples = input("samples", dtype, shape(count, words));
        let labels = truth.labels.as_ref().map(|_| input("labels", Dtype::U32, shape(1, count)));
        let targets = numbers(truth, count).map(|(columns, _)| input("targets", Dtype::F32, shape(count, columns)));
        let masks = truth.masks.as_ref().map(|masks| input("masks", Dtype::U32, masks.packed_shape()));
        let lengths = kind.is_sequence().then(|| input("lengths", Dtype::U32, shape(1, count)));
        let tags = truth.tags.as_ref().map(|_| input("tags", Dtype::U32, shape(count, words)));
        // One row at least has room for a letter.
        let transcripts = truth.transcripts.as_ref().map(|transcripts| {
            let letters = input("transcripts", Dtype::U32, shape(count, transcripts.longest().max(1)));
            [letters, input("letters", Dtype::U32, shape(1, count))]
        });
        let bufs = DataBufs { samples, labels, targets, masks, tags, transcripts, lengths, kind };
        self.contents.extend(contents(bufs, split));
        bufs
    }

    /// How many samples like these one buffer holds on this device.
    pub(super) fn fitting(&self, split: &Split) -> u32 {
        let bytes = 4 * u64::from(shape(1, split.kind().stored().1).stride());
        u32::try_from(self.arena.binding_limit() / bytes).unwrap_or(u32::MAX).max(1)
    }

    /// What a buffer holds first: padded words.
    pub fn fill(&mut self, buf: Buf, words: Vec<u32>) {
        self.contents.push((buf, Contents::Words(words)));
    }

    /// Lets the model of `record` begin with weights, if there are any. Returns what a user should know of them.
    pub fn begin_with(&mut self, weights: Option<&Weights>, record: &Record) -> anyhow::Result<Vec<String>> {
        let Some(weights) = weights else { return Ok(Vec::new()) };
        let Fitted { contents, notes } = weights.fit(&self.arena, record)?;
        contents.into_iter().for_each(|(buf, words)| self.fill(buf, words));
        Ok(notes)
    }

    /// Loads `programs` with the first contents of all buffers on a device.
    pub fn load(&self, device: &Device, programs: Programs) -> Result<Box<dyn Executor>, DeviceError> {
        load(device, &self.arena, &self.contents, programs)
    }

    /// First contents of all buffers, on the host.
    pub fn memory(&self) -> HostMem {
        memory(&self.arena, &self.contents)
    }
}

/// What a buffer holds first. Samples are packed when they are written, so that they are in memory once.
#[derive(Clone)]
pub(super) enum Contents {
    /// Padded.
    Words(Vec<u32>),
    Samples(Samples),
    /// Packed.
    Bytes(SharedRows<u8>),
    Tags(Tags),
}

impl Contents {
    /// Calls `write(part, words)` for one part of `buf` after the other.
    pub fn write<E>(&self, buf: Buf, mut write: impl FnMut(Buf, &[u32]) -> Result<(), E>) -> Result<(), E> {
        /// Words that are packed at a time, about.
        const BLOCK: u32 = 1 << 22;
        let mut each = |words: &dyn Fn(Range<u32>) -> Vec<u32>| {
            buf.blocks(BLOCK).try_for_each(|(first, part)| write(part, &words(first..first + part.rows())))
        };
        match self {
            Contents::Samples(samples) => each(&|rows| samples.words(rows)),
            Contents::Bytes(bytes) => each(&|rows| bytes.packed(rows)),
            Contents::Tags(tags) => each(&|rows| tags.of_tokens(rows, buf.cols())),
            Contents::Words(words) => write(buf, words),
        }
    }
}

pub(super) fn load(
    device: &Device,
    arena: &Arena,
    contents: &[(Buf, Contents)],
    programs: Programs,
) -> Result<Box<dyn Executor>, DeviceError> {
    let mut exec = device.fresh(arena, programs)?;
    for (buf, contents) in contents {
        contents.write(*buf, |part, words| exec.write(part, words))?;
    }
    Ok(exec)
}

pub(super) fn memory(arena: &Arena, contents: &[(Buf, Contents)]) -> HostMem {
    let mem = HostMem::new(arena);
    let write = |buf, words: &[u32]| {
        mem.write(buf, words);
        Ok::<(), Infallible>(())
    };
    contents.iter().try_for_each(|(buf, contents)| contents.write(*buf, write)).unwrap_or_else(|never| match never {});
    mem
}

/// How many numbers are to be predicted of each of so many samples, and these: of a set of labels, 1 for what is right, 0 for what is
/// not, and -1 where that is not known.
fn numbers(truth: &Truth, samples: u32) -> Option<(u32, Cow<'_, [f32]>)> {
    let of_label = |said: &u8| match *said {
        RIGHT => 1.0,
        UNKNOWN => -1.0,
        _ => 0.0,
    };
    let of_sets = |sets: &SharedRows<u8>| (sets.width(), Cow::Owned(sets.iter().flatten().map(of_label).collect()));
    let of_numbers = |values: &'_ Vec<f32>| values.len() as u32 / samples.max(1);
    truth.targets.as_ref().map(|values| (of_numbers(values), Cow::Borrowed(&values[..]))).or_else(|| truth.label_sets.as_ref().map(of_sets))
}

/// What is in the buffers of a data set that has room for exactly these samples.
pub(super) fn contents(bufs: DataBufs, split: &Split) -> Vec<(Buf, Contents)> {
    let Truth { labels, masks, tags, transcripts, .. } = &split.truth;
    let labels = bufs.labels.zip(labels.as_ref()).map(|(buf, labels)| (buf, Contents::Words(pad_rows(buf.shape, labels))));
    let targets = bufs.targets.zip(numbers(&split.truth, split.len())).map(|(buf, (_, targets))| {
        let words: Vec<u32> = targets.iter().map(|value| value.to_bits()).collect();
        (buf, Contents::Words(pad_rows(buf.shape, &words)))
    });
    let masks = bufs.masks.zip(masks.as_ref()).map(|(buf, masks)| (buf, Contents::Bytes(masks.clone())));
    let tags = bufs.tags.zip(tags.as_ref()).map(|(buf, tags)| (buf, Contents::Tags(tags.clone())));
    let lengths = bufs.lengths.zip(split.samples.lengths()).map(|(buf, lengths)| (buf, Contents::Words(pad_rows(buf.shape, &lengths))));
    let transcripts = bufs.transcripts.zip(transcripts.as_ref()).into_iter().flat_map(|([letters, lengths], transcripts)| {
        let words = transcripts.classes(0..transcripts.len(), letters.cols());
        [(letters, Contents::Words(words)), (lengths, Contents::Words(pad_rows(lengths.shape, &transcripts.lengths())))]
    });
    let samples = (bufs.samples, Contents::Samples(split.samples.clone()));
    std::iter::once(samples).chain(labels).chain(targets).chain(masks).chain(tags).chain(transcripts).chain(lengths).collect()
}
