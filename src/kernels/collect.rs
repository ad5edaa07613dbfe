//! Puts a batch's rows where they belong among all rows: evaluation results, which the host reads in one go, or embeddings.

use super::{Cases, has, quads, row_quads};
use crate::core::buffer::{Buf, Fill, shape};
use crate::core::memory::HostMem;
use crate::core::program::{Exp, Kernel, Tolerance};

/// `clock`: `[1, 2]`; `x`: `[rows, cols]`; `all`: `[total, cols]`, of which rows from step · `batch_stride` are written. Where
/// they end, steps begin anew.
pub struct Collect {
    pub clock: Buf,
    pub x: Buf,
    pub all: Buf,
    pub batch_stride: u32,
}

impl Collect {
    fn batches(&self) -> u32 {
        self.all.rows().div_ceil(self.batch_stride)
    }
}

impl Kernel for Collect {
    interface! {
        self runs "collect";
        bufs { clock, x, all }
        params {
            rows: self.x.rows(),
            quads: row_quads(self.x),
            batch_stride,
            batches: self.batches(),
            total: self.all.rows(),
        }
        invocations { quads(self.x) }
    }

    fn leaves_some(&self) -> bool {
        true
    }

    fn check_shapes(&self) -> Result<(), String> {
        has("clock", self.clock, 1, 2)?;
        has("all", self.all, self.all.rows(), self.x.cols())
    }

    fn twin(&self, m: &HostMem) {
        let first = (m.u32(self.clock).row(0)[0] % self.batches() * self.batch_stride) as usize;
        let x = m.f32(self.x);
        let mut all = m.f32_mut(self.all);
        let (stride, cols) = (self.all.shape.stride() as usize, self.all.cols() as usize);
        for (r, to) in (first..self.all.rows() as usize).take(self.x.rows() as usize).enumerate() {
            let row = &mut all.padded_mut()[to * stride..(to + 1) * stride];
            row[..cols].copy_from_slice(x.row(r));
            row[cols..].fill(0.0);
        }
    }

    fn tolerance(&self, _: &str, _: &HostMem, _: Exp) -> Tolerance {
        Tolerance::Exact
    }

    fn work(&self) -> u64 {
        8 * self.x.shape.words()
    }
}

pub fn cases(c: &mut Cases<'_>) {
    for (step, rows, cols, total) in [(0, 1, 1, 1), (2, 5, 7, 33), (0, 64, 10, 64), (3, 16, 5, 50), (9, 8, 5, 32)] {
        let clock = c.filled(shape(1, 2), Fill::U32(vec![step, step + 1]));
        let (x, all) = (c.uniform(rows, cols), c.output(total, cols));
        c.add(Collect { clock, x, all, batch_stride: rows });
    }
}
