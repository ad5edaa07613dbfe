//! Passes over images with finished weights: features, as a checkpoint's encoder gives them, and whatever else a batch is made
//! into.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Result;

use super::checkpoint::Checkpoint;
use super::evaluation::Evaluation;
use super::recording::Recording;
use super::windows::Shards;
use crate::core::sample::SampleType;
use crate::core::tape::Tape;
use crate::data::Split;
use crate::error::UsageError;
use crate::exec::{Device, Executor, Programs};
use crate::models;
use crate::ops::{Batch, DataBufs};

/// Images on the device at once, at most. More come in shards, one after the other.
const SHARD: u32 = 5_000;

/// Texts of about the same length, as what is computed for them grows with the room for the longest; with their rows. `None` of samples
/// that are equally long.
fn by_length(samples: &Split) -> Option<Vec<(Vec<u32>, Split)>> {
    const SHORTEST: u32 = 8;
    let SampleType::Tokens { longest, .. } = samples.kind() else { return None };
    let lengths = samples.samples.lengths()?;
    let mut parts: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for (row, length) in (0..).zip(lengths) {
        parts.entry(length.max(SHORTEST).next_power_of_two().min(longest)).or_default().push(row);
    }
    let part = |(most, rows): (u32, Vec<u32>)| {
        let part = samples.select(&rows);
        (rows, Split { samples: part.samples.cut_off(most), ..part })
    };
    (parts.len() > 1 || parts.keys().next() < Some(&longest)).then(|| parts.into_iter().map(part).collect())
}

/// What an encoder makes of images.
#[derive(Clone, Debug, PartialEq)]
pub struct Features {
    /// `[images, columns]`
    pub values: Vec<f32>,
    pub columns: usize,
}

impl Features {
    /// Pixels as features, the control: what labels come to without an encoder.
    pub fn pixels(images: &Split) -> Self {
        let values = (0..images.len()).flat_map(|sample| images.samples.numbers(sample)).collect();
        Features { values, columns: images.kind().len() as usize }
    }

    /// The rows of these images, in this order.
    pub fn select(&self, rows: &[u32]) -> Vec<f32> {
        rows.iter().flat_map(|&row| &self.values[row as usize * self.columns..][..self.columns]).copied().collect()
    }
}

/// Runs a recorded pass `P`: see [`Checkpoint::pass_over`].
pub(super) type RunPass<'a, P> = dyn FnMut(&mut dyn Executor, &Programs, &P, Shards) -> Result<()> + 'a;

impl Checkpoint {
    /// Features of `images`, as they are, in evaluation. Fails where they are not of the size that the encoder was trained on.
    pub fn features(&self, device: &Device, images: &Split) -> Result<Features> {
        if self.record.task.is_some_and(|task| task.of_maps()) {
            let text = "this run segments: its encoder ends in maps, not in features; the run that it began with may have them";
            return Err(UsageError(text.into()).into());
        }
        if let Some(parts) = by_length(images) {
            let of_part = |(_, part): &(_, Split)| self.features_of(device, part);
            let found = parts.iter().map(of_part).collect::<Result<Vec<_>>>()?;
            let columns = found.first().map_or(0, |found| found.columns);
            let mut values = vec![0.0; images.len() as usize * columns];
            for ((rows, _), found) in parts.iter().zip(&found) {
                for (&row, found) in rows.iter().zip(found.values.chunks(columns)) {
                    values[row as usize * columns..][..columns].copy_from_slice(found);
                }
            }
            return Ok(Features { values, columns });
        }
        self.features_of(device, images)
    }

    /// [`features`](Self::features) of samples that take as much room each.
    fn features_of(&self, device: &Device, images: &Split) -> Result<Features> {
        let of_batch = |t: &mut Tape<'_>, batch: Batch| models::features(t, &self.record.model, batch);
        let record = |r: &mut Recording, data, count| Ok(Evaluation::record(r, "images", data, count, &of_batch)?);
        let mut features = Features { values: Vec::new(), columns: 0 };
        self.pass_over(device, images, &record, &mut |exec, programs, evaluation: &Evaluation, shards| {
            features.columns = evaluation.columns();
            shards.each(exec, images, &mut |exec, repeated| {
                features.values.extend(&evaluation.run(exec, programs)?[repeated as usize * evaluation.columns()..]);
                Ok(())
            })
        })?;
        Ok(features)
    }

    /// Records a pass over as many of `samples` as are on the device at once, and calls `run` with it and these weights. The
    /// result of a sample does not depend on the shard that it is in. Fails where samples are not of the size that the encoder
    /// was trained on.
    pub(super) fn pass_over<P>(
        &self,
        device: &Device,
        samples: &Split,
        record: &dyn Fn(&mut Recording, DataBufs, u32) -> Result<P>,
        run: &mut RunPass<'_, P>,
    ) -> Result<()> {
        let (ours, theirs) = (self.record.samples, samples.kind());
        anyhow::ensure!(ours.takes(theirs), "the checkpoint is for samples of {ours}, these are of {theirs}");
        anyhow::ensure!(!samples.is_empty(), "there are no samples");
        let mut r = Recording::new(0, device.binding_limit());
        let shards = Shards::declare(&mut r, "images", &samples.bare(), SHARD);
        let pass = record(&mut r, shards.data, shards.size)?;
        let programs = Arc::new(std::mem::take(&mut r.programs));
        let mut exec = r.load(device, programs.clone())?;
        self.restore(&r.arena, &mut *exec, &|role| role.group().is_some())?;
        run(&mut *exec, &programs, &pass, shards)
    }
}
