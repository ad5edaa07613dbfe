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
use crate::ops::{Batch, DataBufs, Form};

/// Images on the device at once, at most. More come in shards, one after the other.
const SHARD: u32 = 5_000;

/// Samples in parts that take as much room each: texts or sounds of about the same length, as what is computed for them grows with the
/// room for the longest; of others, all.
pub(super) struct LengthParts {
    pub splits: Vec<Split>,
    /// Of each part, where its samples are among all.
    rows: Vec<Vec<u32>>,
}

impl LengthParts {
    pub fn of(samples: &Split, form: Form) -> Self {
        let whole = || LengthParts { splits: vec![samples.clone()], rows: vec![(0..samples.len()).collect()] };
        let longest = match (form, samples.kind()) {
            (Form::Tokens, SampleType::Tokens { longest, .. }) | (Form::Clips, SampleType::Frames { longest, .. }) => longest,
            _ => return whole(),
        };
        let Some(lengths) = samples.samples.lengths() else { return whole() };
        // Each part is recorded for itself, so that there should not be many.
        let room = |length: u32| length.max(1).next_multiple_of((length.next_power_of_two() / 4).max(4)).min(longest);
        let mut parts: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
        for (row, length) in (0..).zip(lengths) {
            parts.entry(room(length)).or_default().push(row);
        }
        let split = |(most, rows): (&u32, &Vec<u32>)| {
            let part = samples.select(rows);
            Split { samples: part.samples.cut_off(*most), ..part }
        };
        LengthParts { splits: parts.iter().map(split).collect(), rows: parts.into_values().collect() }
    }

    /// What was computed for the samples of each part, in the order of all samples; with how many numbers each has. Of texts, those of a
    /// part may have fewer than those of another, a few for each token that there is room for: zeros follow them.
    pub fn in_order(&self, found: Vec<Vec<f32>>) -> (Vec<f32>, usize) {
        let count: usize = self.rows.iter().map(Vec::len).sum();
        let of_part = |(rows, found): (&Vec<u32>, &Vec<f32>)| found.len() / rows.len().max(1);
        let columns = self.rows.iter().zip(&found).map(of_part).max().unwrap_or(0);
        let mut values = vec![0.0; count * columns];
        for (rows, found) in self.rows.iter().zip(found) {
            let own = of_part((rows, &found));
            for (&row, found) in rows.iter().zip(found.chunks(own.max(1))) {
                values[row as usize * columns..][..own].copy_from_slice(found);
            }
        }
        (values, columns)
    }
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

/// Runs a recorded pass `P` over a part of the samples, given by its number: see [`Checkpoint::pass_over`].
pub(super) type RunPass<'a, P> = dyn FnMut(&mut dyn Executor, &Programs, usize, &P, Shards) -> Result<()> + 'a;

impl Checkpoint {
    /// Features of `images`, as they are, in evaluation. Fails where they are not of the size that the encoder was trained on.
    pub fn features(&self, device: &Device, images: &Split) -> Result<Features> {
        if self.record.task.is_some_and(|task| task.of_maps()) {
            let text = "this run segments: its encoder ends in maps, not in features; the run that it began with may have them";
            return Err(UsageError(text.into()).into());
        }
        if self.record.task.is_some_and(|task| task.of_states()) {
            let text =
                "this run tags words: its encoder ends in states of tokens, not in features; the run that it began with may have them";
            return Err(UsageError(text.into()).into());
        }
        let parts = LengthParts::of(images, self.record.model.kind.form());
        let of_batch = |t: &mut Tape<'_>, batch: Batch| models::features(t, &self.record.model, batch);
        let record = |r: &mut Recording, name: &str, data, count| Ok(Evaluation::record(r, name, data, count, &of_batch)?);
        let mut found = Vec::new();
        self.pass_over(device, &parts.splits, &record, &mut |exec, programs, part, evaluation: &Evaluation, shards| {
            let mut values = Vec::new();
            shards.each(exec, &parts.splits[part], &mut |exec, repeated| {
                values.extend(&evaluation.run(exec, programs)?[repeated as usize * evaluation.columns()..]);
                Ok(())
            })?;
            found.push(values);
            Ok(())
        })?;
        let (values, columns) = parts.in_order(found);
        Ok(Features { values, columns })
    }

    /// Records a pass over as many samples of each part as are on the device at once, and calls `run` with each and these weights. The
    /// result of a sample does not depend on the shard that it is in. Fails where samples are not of the size that the encoder
    /// was trained on.
    pub(super) fn pass_over<P>(
        &self,
        device: &Device,
        parts: &[Split],
        record: &dyn Fn(&mut Recording, &str, DataBufs, u32) -> Result<P>,
        run: &mut RunPass<'_, P>,
    ) -> Result<()> {
        let mut r = Recording::new(0, device.binding_limit());
        // All of them are restored.
        r.arena.draw_no_params();
        let mut passes = Vec::new();
        for (i, samples) in parts.iter().enumerate() {
            let (ours, theirs) = (self.record.samples, samples.kind());
            anyhow::ensure!(ours.takes(theirs), "the checkpoint is for samples of {ours}, these are of {theirs}");
            anyhow::ensure!(!samples.is_empty(), "there are no samples");
            let name = if parts.len() > 1 { format!("samples {i}") } else { "samples".to_string() };
            let shards = Shards::declare(&mut r, &name, &samples.bare(), SHARD);
            passes.push((record(&mut r, &name, shards.data, shards.size)?, shards));
        }
        anyhow::ensure!(!passes.is_empty(), "there are no samples");
        let programs = Arc::new(std::mem::take(&mut r.programs));
        let mut exec = r.load(device, programs.clone())?;
        self.restore(&r.arena, &mut *exec, &|role| role.group().is_some())?;
        passes.into_iter().enumerate().try_for_each(|(part, (pass, shards))| run(&mut *exec, &programs, part, &pass, shards))
    }
}
