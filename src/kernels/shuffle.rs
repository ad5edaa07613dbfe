//! Which samples form a step: a keyed bijection of the epoch's positions, computed where it is needed.

use super::{Cases, has};
use crate::core::buffer::{Buf, Fill, shape};
use crate::core::memory::HostMem;
use crate::core::program::{Exp, Kernel, Tolerance};
use crate::core::random;

/// `clock`: `[1, 2]`, this step first; `indices`: `[1, batch]`.
pub struct Shuffle {
    pub clock: Buf,
    pub indices: Buf,
    pub order: Order,
}

/// How the steps of a run walk through a data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    pub samples: u32,
    /// Every sample stands this often in an epoch; more than once where a batch is larger than the data.
    pub repeats: u32,
    /// Positions per full step. A tail batch is shorter, but starts where the full one would.
    pub batch_stride: u32,
    pub steps_per_epoch: u32,
    /// `None` is file order.
    pub shuffle_key: Option<[u32; 2]>,
    /// Which of an epoch's buckets this is the order of; `None` where batches are drawn from all samples.
    pub bucket: Option<Bucket>,
}

/// Samples next to each other from which some batches of an epoch are drawn, no others being in them. When the turn of a batch is, is
/// drawn for each epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bucket {
    /// Of the buckets.
    pub number: u32,
    /// Samples and full batches in those before.
    pub first_sample: u32,
    pub first_batch: u32,
    /// Full batches in all.
    pub batches: u32,
}

/// The counter of the turns of batches, beside those of buckets.
const TURNS: u32 = u32::MAX;

impl Order {
    /// As they lie, each once.
    pub fn as_they_lie(samples: u32, batch_stride: u32, steps_per_epoch: u32) -> Self {
        Order { samples, repeats: 1, batch_stride, steps_per_epoch, shuffle_key: None, bucket: None }
    }

    pub fn positions(&self) -> u32 {
        self.samples * self.repeats
    }

    /// Which of the epoch's batches has its turn in `step`. A tail stays the last.
    pub fn batch(&self, step: u32) -> u32 {
        let (epoch, turn) = (step / self.steps_per_epoch, step % self.steps_per_epoch);
        match (self.bucket, self.shuffle_key) {
            (Some(Bucket { batches, .. }), Some(key)) if turn < batches => {
                random::permute(random::threefry(key, [epoch, TURNS]), batches, turn)
            }
            _ => turn,
        }
    }

    /// The sample at place `i` of the batch of `step`, which has to be one of this bucket, if there are several.
    pub fn sample(&self, step: u32, i: u32) -> u32 {
        let Bucket { number, first_sample, first_batch, .. } = self.bucket.unwrap_or_default();
        let position = self.batch(step).wrapping_sub(first_batch).wrapping_mul(self.batch_stride).wrapping_add(i);
        let at = self.shuffle_key.map_or(position, |key| {
            let epoch_key = random::threefry(key, [step / self.steps_per_epoch, number]);
            random::permute(epoch_key, self.positions(), position.min(self.positions() - 1))
        });
        first_sample + at % self.samples
    }
}

impl Kernel for Shuffle {
    interface! {
        self runs "shuffle" after "random", "permute";
        bufs { clock, indices }
        let o = self.order;
        let bucket = o.bucket.unwrap_or_default();
        let [key_low, key_high] = o.shuffle_key.unwrap_or_default();
        params {
            positions: o.positions(),
            samples: o.samples,
            batch: self.indices.cols(),
            padded_batch: self.indices.shape.stride(),
            batch_stride: o.batch_stride,
            steps_per_epoch: o.steps_per_epoch,
            shuffled: o.shuffle_key.is_some(),
            half_bits: random::half_bits(o.positions()),
            bucket: bucket.number,
            first_sample: bucket.first_sample,
            first_batch: bucket.first_batch,
            batches: bucket.batches,
            batches_half_bits: random::half_bits(bucket.batches),
            key_low: key_low,
            key_high: key_high,
        }
        invocations { self.indices.shape.stride() }
    }

    fn check_shapes(&self) -> Result<(), String> {
        has("clock", self.clock, 1, 2)?;
        has("indices", self.indices, 1, self.indices.cols())
    }

    fn twin(&self, m: &HostMem) {
        let step = m.u32(self.clock).row(0)[0];
        m.u32_mut(self.indices).for_each_row(|_, indices| {
            for (i, index) in indices.iter_mut().enumerate() {
                *index = self.order.sample(step, i as u32);
            }
        });
    }

    fn tolerance(&self, _: &str, _: &HostMem, _: Exp) -> Tolerance {
        Tolerance::Exact
    }
}

pub fn cases(c: &mut Cases<'_>) {
    for (samples, repeats, batch) in [(1, 1, 1), (10, 7, 64), (97, 1, 32), (1000, 1, 65), (60_000, 1, 64)] {
        for shuffle_key in [None, Some([7, 11])] {
            for step in [0, 1, 12_345] {
                let steps_per_epoch = samples * repeats / batch;
                let order = Order { samples, repeats, batch_stride: batch, steps_per_epoch, shuffle_key, bucket: None };
                let clock = c.filled(shape(1, 2), Fill::U32(vec![step, step + 1]));
                let indices = c.integer_output(1, batch);
                c.add(Shuffle { clock, indices, order });
            }
        }
    }
    // A tail batch: 97 = 3 · 32 + 1.
    let order = Order { samples: 97, repeats: 1, batch_stride: 32, steps_per_epoch: 4, shuffle_key: Some([1, 2]), bucket: None };
    let clock = c.filled(shape(1, 2), Fill::U32(vec![7, 8]));
    let indices = c.integer_output(1, 1);
    c.add(Shuffle { clock, indices, order });
    // Two buckets of 5 and 4 batches of 8, and a tail of 3: steps that are those of one, and a tail.
    let order = |number: u32, samples, first_batch| Order {
        samples,
        repeats: 1,
        batch_stride: 8,
        steps_per_epoch: 10,
        shuffle_key: Some([5, 6]),
        bucket: Some(Bucket { number, first_sample: 8 * first_batch, first_batch, batches: 9 }),
    };
    let (narrow, wide) = (order(0, 40, 0), order(1, 35, 5));
    let steps = (20..29).map(|step| (step, if narrow.batch(step) < 5 { narrow } else { wide }, 8)).chain([(29, wide, 3)]);
    for (step, order, batch) in steps {
        let clock = c.filled(shape(1, 2), Fill::U32(vec![step, step + 1]));
        let indices = c.integer_output(1, batch);
        c.add(Shuffle { clock, indices, order });
    }
}
