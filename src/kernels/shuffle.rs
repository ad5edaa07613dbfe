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
}

impl Order {
    pub fn positions(&self) -> u32 {
        self.samples * self.repeats
    }

    /// The sample at place `i` of the batch of `step`.
    pub fn sample(&self, step: u32, i: u32) -> u32 {
        let position = (step % self.steps_per_epoch) * self.batch_stride + i;
        let at = self.shuffle_key.map_or(position, |key| {
            let epoch_key = random::threefry(key, [step / self.steps_per_epoch, 0]);
            random::permute(epoch_key, self.positions(), position.min(self.positions() - 1))
        });
        at % self.samples
    }
}

impl Kernel for Shuffle {
    interface! {
        self runs "shuffle" after "random";
        bufs { clock, indices }
        let o = self.order;
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
                let order = Order { samples, repeats, batch_stride: batch, steps_per_epoch: samples * repeats / batch, shuffle_key };
                let clock = c.filled(shape(1, 2), Fill::U32(vec![step, step + 1]));
                let indices = c.integer_output(1, batch);
                c.add(Shuffle { clock, indices, order });
            }
        }
    }
    // A tail batch: 97 = 3 · 32 + 1.
    let order = Order { samples: 97, repeats: 1, batch_stride: 32, steps_per_epoch: 4, shuffle_key: Some([1, 2]) };
    let clock = c.filled(shape(1, 2), Fill::U32(vec![7, 8]));
    let indices = c.integer_output(1, 1);
    c.add(Shuffle { clock, indices, order });
}
