//! Recording: programs and the contents that their buffers begin with.

use super::checkpoint::Record;
use super::weights::{Fitted, Weights};
use crate::core::buffer::{Arena, Buf, Dtype, pad_rows, shape};
use crate::core::memory::HostMem;
use crate::core::program::Program;
use crate::data::Split;
use crate::ops::DataBufs;

/// Programs in the making over one arena, and what its buffers will hold first.
pub struct Recording {
    pub arena: Arena,
    pub programs: Vec<Program>,
    pub(super) contents: Vec<(Buf, Vec<u32>)>,
}

impl Recording {
    pub fn new(seed: u64, binding_limit: u64) -> Self {
        Recording { arena: Arena::new(seed, binding_limit), programs: Vec::new(), contents: Vec::new() }
    }

    /// Declares a data set; its contents are written when the run is loaded.
    pub fn data(&mut self, name: &str, split: &Split) -> DataBufs {
        let (image, samples) = (split.image, split.len());
        let (dtype, shape_of_samples) = split.stored_as();
        let images = self.arena.input(&format!("{name} images"), dtype, shape_of_samples);
        let mut known = |what: &str, dtype, shape| self.arena.input(&format!("{name} {what}"), dtype, shape);
        let labels = split.labels.as_ref().map(|_| known("labels", Dtype::U32, shape(1, samples)));
        let targets = split.targets.as_ref().map(|values| known("targets", Dtype::F32, shape(samples, values.len() as u32 / samples)));
        let masks = split.masks.as_ref().map(|_| known("masks", Dtype::U32, split.masks_shape()));
        let bufs = DataBufs { images, labels, targets, masks, image };
        self.contents.extend(contents(bufs, split));
        bufs
    }

    /// How many samples like these one buffer holds on this device.
    pub(super) fn fitting(&self, split: &Split) -> u32 {
        let bytes = 4 * u64::from(split.stored_as().1.stride());
        u32::try_from(self.arena.binding_limit() / bytes).unwrap_or(u32::MAX).max(1)
    }

    /// What a buffer holds first: padded words.
    pub fn fill(&mut self, buf: Buf, words: Vec<u32>) {
        self.contents.push((buf, words));
    }

    /// Lets the model of `record` begin with weights, if there are any. Returns what a user should know of them.
    pub fn begin_with(&mut self, weights: Option<&Weights>, record: &Record) -> anyhow::Result<Vec<String>> {
        let Some(weights) = weights else { return Ok(Vec::new()) };
        let Fitted { contents, notes } = weights.fit(&self.arena, record)?;
        self.contents.extend(contents);
        Ok(notes)
    }

    /// First contents of all buffers.
    pub fn memory(&self) -> HostMem {
        memory(&self.arena, &self.contents)
    }
}

pub(super) fn memory(arena: &Arena, contents: &[(Buf, Vec<u32>)]) -> HostMem {
    let mem = HostMem::new(arena);
    contents.iter().for_each(|(buf, words)| mem.write(*buf, words));
    mem
}

/// Padded words of the buffers of a data set that has room for exactly these samples.
pub(super) fn contents(bufs: DataBufs, split: &Split) -> Vec<(Buf, Vec<u32>)> {
    let labels = bufs.labels.zip(split.labels.as_ref()).map(|(buf, labels)| (buf, pad_rows(buf.shape, labels)));
    let targets = bufs.targets.zip(split.targets.as_ref()).map(|(buf, targets)| {
        let words: Vec<u32> = targets.iter().map(|value| value.to_bits()).collect();
        (buf, pad_rows(buf.shape, &words))
    });
    let masks = bufs.masks.and_then(|buf| Some((buf, split.packed_masks()?)));
    std::iter::once((bufs.images, split.stored())).chain(labels).chain(targets).chain(masks).collect()
}
