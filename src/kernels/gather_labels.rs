//! The labels of a batch.

use super::{Cases, has, same};
use crate::core::buffer::Buf;
use crate::core::memory::HostMem;
use crate::core::program::{Exp, Kernel, Tolerance};

/// `labels`: `[1, samples]`; `indices`, `targets`: `[1, rows]`.
pub struct GatherLabels {
    pub labels: Buf,
    pub indices: Buf,
    pub targets: Buf,
}

impl Kernel for GatherLabels {
    interface! {
        self runs "gather_labels";
        bufs { labels, indices, targets }
        params { rows: self.targets.cols(), padded_rows: self.targets.shape.stride() }
        invocations { self.targets.shape.stride() }
    }

    fn check_shapes(&self) -> Result<(), String> {
        same(&[("indices", self.indices), ("targets", self.targets)])?;
        has("labels", self.labels, 1, self.labels.cols())
    }

    fn twin(&self, m: &HostMem) {
        let (labels, indices) = (m.u32(self.labels), m.u32(self.indices));
        m.u32_mut(self.targets).for_each_row(|_, targets| {
            for (target, &index) in targets.iter_mut().zip(indices.row(0)) {
                *target = labels.row(0)[index as usize];
            }
        });
    }

    fn tolerance(&self, _: &str, _: &HostMem, _: Exp) -> Tolerance {
        Tolerance::Exact
    }

    fn work(&self) -> u64 {
        8 * self.targets.shape.words()
    }
}

pub fn cases(c: &mut Cases<'_>) {
    for (samples, rows) in [(1, 1), (10, 63), (1009, 65)] {
        let labels = c.integers((0..samples).map(|s| 1 + s % 10));
        let indices = c.integers((0..rows).map(|r| (r * 7 + 3) % samples));
        let targets = c.integer_output(1, rows);
        c.add(GatherLabels { labels, indices, targets });
    }
}
