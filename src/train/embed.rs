//! Passes over images with finished weights: features, as a checkpoint's encoder gives them, and whatever else a batch is made
//! into.

use std::sync::Arc;

use anyhow::Result;

use super::checkpoint::Checkpoint;
use super::plan::{Evaluation, Recording};
use crate::buffer::Buf;
use crate::data::Split;
use crate::exec::Device;
use crate::models;
use crate::ops::Batch;
use crate::tape::Tape;

/// Images on the device at once, at most. More come in shards, one after the other.
const SHARD: u32 = 5_000;

/// What an encoder makes of images.
#[derive(Clone, Debug, PartialEq)]
pub struct Features {
    /// `[images, columns]`
    pub values: Vec<f32>,
    pub columns: usize,
}

impl Features {
    /// The rows of these images, in this order.
    pub fn select(&self, rows: &[u32]) -> Vec<f32> {
        rows.iter().flat_map(|&row| &self.values[row as usize * self.columns..][..self.columns]).copied().collect()
    }
}

impl Checkpoint {
    /// Features of `images`, as they are, in evaluation. Fails where they are not of the size that the encoder was trained on.
    pub fn features(&self, device: &Device, images: &Split) -> Result<Features> {
        let (values, columns) = self.evaluate(device, images, &|t, batch| models::features(t, &self.record.model, batch))?;
        Ok(Features { values, columns })
    }

    /// Dense rows of what `forward` makes of `images`, and their columns. The result of a row does not depend on the shard
    /// that it is in.
    pub(super) fn evaluate(
        &self,
        device: &Device,
        images: &Split,
        forward: &dyn Fn(&mut Tape<'_>, Batch) -> Buf,
    ) -> Result<(Vec<f32>, usize)> {
        let (ours, theirs) = (self.record.image, images.image);
        anyhow::ensure!(ours == theirs, "the checkpoint is for images of {ours}, these are of {theirs}");
        anyhow::ensure!(!images.is_empty(), "there are no images");
        let bare = Split::unlabelled(Vec::new(), images.image);
        let bytes_of_one = 4 * u64::from(bare.packed_shape().stride());
        let fitting = u32::try_from(device.binding_limit() / bytes_of_one).unwrap_or(u32::MAX).max(1);
        let size = images.len().min(SHARD).min(fitting);
        let pixels = images.image.len() as usize;
        let shard = |first: u32| {
            let bytes = &images.images[first as usize * pixels..(first + size) as usize * pixels];
            Split { images: bytes.to_vec(), ..bare.clone() }
        };
        let mut r = Recording::new(0, device.binding_limit());
        let bufs = r.data("images", &shard(0));
        let evaluation = Evaluation::record(&mut r, "images", bufs, size, forward)?;
        let programs = Arc::new(std::mem::take(&mut r.programs));
        let mut exec = device.load(&r.arena, r.memory(), programs.clone())?;
        self.restore(&r.arena, &mut *exec, &|role| role.group().is_some())?;
        let columns = evaluation.columns();
        let mut rows = evaluation.run(&mut *exec, &programs)?;
        while rows.len() < images.len() as usize * columns {
            // The last shard is as large as the others: it begins among images that are done.
            let done = (rows.len() / columns) as u32;
            let first = done.min(images.len() - size);
            exec.write(bufs.images, &shard(first).packed())?;
            rows.extend(&evaluation.run(&mut *exec, &programs)?[(done - first) as usize * columns..]);
        }
        Ok((rows, columns))
    }
}
