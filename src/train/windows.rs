//! Samples that do not fit on the device all at once: those that some steps or batches see are there at a time.

use anyhow::Result;

use super::buckets::Buckets;
use super::recording::{Recording, contents};
use super::tasks::BatchOutput;
use crate::data::Split;
use crate::error::DeviceError;
use crate::exec::Executor;
use crate::kernels::shuffle::Order;
use crate::ops::DataBufs;

/// Bytes of the samples that a run watches, at most: less than the smallest binding, so that they are the same on all devices.
const WATCHED_BYTES: u32 = 64 << 20;

/// How many of `samples` a run watches on its way, at most `most`.
pub(super) fn watched(samples: &Split, most: u32) -> u32 {
    samples.len().min(most).min((WATCHED_BYTES / samples.kind().stored().1.saturating_mul(4)).max(1))
}

fn write(exec: &mut dyn Executor, bufs: DataBufs, split: &Split) -> Result<(), DeviceError> {
    contents(bufs, split).into_iter().try_for_each(|(buf, contents)| contents.write(buf, |part, words| exec.write(part, words)))
}

/// Training samples in windows: what the steps of one see lies on the device in the order in which they see it, so that a
/// step gets what it would get if all samples were there.
#[derive(Clone, Debug)]
pub(super) struct Windows {
    buckets: Buckets,
    batch: u32,
    /// In each window.
    steps: u32,
}

impl Windows {
    /// `steps`: in each window.
    pub fn new(buckets: Buckets, batch: u32, steps: u32) -> Self {
        Windows { buckets, batch, steps }
    }

    /// The order of the samples of a window as they lie on the device.
    pub fn order(&self) -> Order {
        let Windows { batch, steps, .. } = *self;
        Order::as_they_lie(steps * batch, batch, steps)
    }

    /// The window that a step belongs to.
    pub fn window_of_step(&self, step: u32) -> u32 {
        step / self.steps
    }

    /// The first step after a window.
    pub fn end(&self, window: u32) -> u32 {
        (window + 1).saturating_mul(self.steps)
    }

    pub fn samples(&self, window: u32) -> Split {
        // The last window may go on after the last step that can be counted.
        let steps = (0..self.steps).map(|step| (window * self.steps).saturating_add(step));
        let indices = steps.flat_map(|step| (0..self.batch).map(move |i| self.buckets.sample(step, i)));
        self.buckets.samples.select(&indices.collect::<Vec<_>>())
    }

    pub fn load(&self, exec: &mut dyn Executor, bufs: DataBufs, window: u32) -> Result<(), DeviceError> {
        write(exec, bufs, &self.samples(window))
    }
}

/// Samples that pass over the device one shard after the other. The last one is as large as the others: it begins among
/// samples that are done.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shards {
    pub data: DataBufs,
    pub size: u32,
}

impl Shards {
    /// Declares room for as many of `samples` as fit, at most `most`, and puts the first ones there.
    pub fn declare(r: &mut Recording, name: &str, samples: &Split, most: u32) -> Self {
        let size = samples.len().min(most).min(r.fitting(samples));
        Shards { data: r.data(name, &samples.first(size)), size }
    }

    /// Calls `run(exec, repeated)` with each shard of `samples` on the device; the first `repeated` were in the one before.
    pub fn each(self, exec: &mut dyn Executor, samples: &Split, run: &mut dyn FnMut(&mut dyn Executor, u32) -> Result<()>) -> Result<()> {
        let mut done = 0;
        while done < samples.len() {
            let first = done.min(samples.len() - self.size);
            if self.size < samples.len() {
                write(exec, self.data, &samples.range(first..first + self.size))?;
            }
            run(exec, done - first)?;
            done = first + self.size;
        }
        Ok(())
    }

    /// Calls `f(samples, outputs)` for each batch of all `samples`, as `each_batch` gives them for a shard; none come twice.
    pub fn outputs(
        self,
        exec: &mut dyn Executor,
        samples: &Split,
        each_batch: &dyn Fn(&mut dyn Executor, &mut BatchOutput<'_>) -> Result<()>,
        f: &mut BatchOutput<'_>,
    ) -> Result<()> {
        self.each(exec, samples, &mut |exec, mut done| {
            each_batch(exec, &mut |count, mut output| {
                let again = done.min(count);
                done -= again;
                output.drain(..output.len() / count as usize * again as usize);
                if again == count { Ok(()) } else { f(count - again, output) }
            })
        })
    }
}
