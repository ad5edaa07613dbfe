//! The rows of a batch: numbers to predict, or the features of a table.

use super::{Cases, has, row_quads};
use crate::core::buffer::Buf;
use crate::core::memory::HostMem;
use crate::core::program::{Exp, Kernel, Tolerance};

/// `data`: `[samples, cols]`; `indices`: `[1, batch]`; `x`: `[batch, cols]`.
pub struct GatherRows {
    pub data: Buf,
    pub indices: Buf,
    pub x: Buf,
}

impl Kernel for GatherRows {
    interface! {
        self runs "gather_rows";
        bufs { data, indices, x }
        params { rows: self.x.rows(), quads: row_quads(self.x) }
    }

    fn check_shapes(&self) -> Result<(), String> {
        has("indices", self.indices, 1, self.x.rows())?;
        has("data", self.data, self.data.rows(), self.x.cols())
    }

    fn twin(&self, m: &HostMem) {
        let (data, indices) = (m.f32(self.data), m.u32(self.indices));
        m.f32_mut(self.x).for_each_row(|r, x| x.copy_from_slice(data.row(indices.row(0)[r] as usize)));
    }

    /// Values are copied.
    fn tolerance(&self, _: &str, _: &HostMem, _: Exp) -> Tolerance {
        Tolerance::Exact
    }

    /// Of the data, only the rows that are gathered.
    fn bytes(&self) -> u64 {
        4 * (2 * self.x.shape.words() + u64::from(self.indices.cols()))
    }
}

pub fn cases(c: &mut Cases<'_>) {
    for (samples, cols, batch) in [(1, 1, 1), (5, 7, 3), (9, 64, 65), (33, 13, 17), (7, 4, 129)] {
        let data = c.uniform(samples, cols);
        let indices = c.integers((0..batch).map(|r| (r * 5 + 2) % samples));
        let x = c.output(batch, cols);
        c.add(GatherRows { data, indices, x });
    }
}
