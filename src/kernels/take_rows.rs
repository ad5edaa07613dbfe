//! A batch's rows out of all rows, batch after batch in turn: what [`Collect`](super::collect::Collect) put together, or what
//! belongs to it.

use super::{Cases, has, quads};
use crate::core::buffer::{Buf, Dtype, Fill, shape};
use crate::core::memory::HostMem;
use crate::core::program::{Exp, Kernel, Tolerance};

/// `clock`: `[1, 2]`; `x`: `[batches · rows, cols]`; `y`: `[rows, cols]`, those of batch step mod batches. Both as words.
pub struct TakeRows {
    clock: Buf,
    x: Buf,
    y: Buf,
}

impl TakeRows {
    /// From `x` to `y`, floats or integers.
    pub fn new(clock: Buf, x: Buf, y: Buf) -> Self {
        let [x, y] = [x, y].map(|buf| Buf { dtype: Dtype::U32, ..buf });
        TakeRows { clock, x, y }
    }

    fn batches(&self) -> u32 {
        self.x.rows() / self.y.rows()
    }
}

impl Kernel for TakeRows {
    interface! {
        self runs "take_rows";
        bufs { clock, x, y }
        params { quads: quads(self.y), batches: self.batches() }
    }

    fn check_shapes(&self) -> Result<(), String> {
        has("clock", self.clock, 1, 2)?;
        has("x", self.x, self.batches().max(1) * self.y.rows(), self.y.cols())
    }

    fn twin(&self, m: &HostMem) {
        let batch = (m.u32(self.clock).row(0)[0] % self.batches()) as usize;
        let x = m.u32(self.x);
        let mut y = m.u32_mut(self.y);
        let words = y.padded_mut().len();
        y.padded_mut().copy_from_slice(&x.padded()[batch * words..][..words]);
    }

    fn tolerance(&self, _: &str, _: &HostMem, _: Exp) -> Tolerance {
        Tolerance::Exact
    }

    fn work(&self) -> u64 {
        8 * self.y.shape.words()
    }
}

pub fn cases(c: &mut Cases<'_>) {
    for (step, batches, rows, cols) in [(0, 1, 1, 1), (2, 3, 5, 7), (3, 3, 16, 8), (11, 4, 17, 65), (4_000_000_007, 6, 64, 4)] {
        let clock = c.filled(shape(1, 2), Fill::U32(vec![step, 0]));
        let (x, y) = (c.uniform(batches * rows, cols), c.integer_output(rows, cols));
        c.add(TakeRows::new(clock, x, y));
    }
}
