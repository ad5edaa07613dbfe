//! The frames of a batch, one in each row.

use super::{Cases, has, row_quads};
use crate::core::buffer::Buf;
use crate::core::memory::HostMem;
use crate::core::program::{Exp, Kernel, Tolerance};

/// `data`: `[samples, longest * channels]`; `indices`: `[1, batch]`; `x`: `[batch * longest, channels]`.
pub struct GatherFrames {
    pub data: Buf,
    pub indices: Buf,
    pub x: Buf,
}

impl GatherFrames {
    fn longest(&self) -> u32 {
        self.data.cols() / self.x.cols()
    }
}

impl Kernel for GatherFrames {
    interface! {
        self runs "gather_frames";
        bufs { data, indices, x }
        params {
            rows: self.x.rows(),
            channels: self.x.cols(),
            quads: row_quads(self.x),
            longest: self.longest(),
            data_stride: self.data.shape.stride(),
        }
    }

    fn check_shapes(&self) -> Result<(), String> {
        has("data", self.data, self.data.rows(), self.longest() * self.x.cols())?;
        has("x", self.x, self.indices.cols() * self.longest(), self.x.cols())
    }

    fn twin(&self, m: &HostMem) {
        let (data, indices, channels) = (m.f32(self.data), m.u32(self.indices), self.x.cols() as usize);
        let longest = self.longest() as usize;
        m.f32_mut(self.x).for_each_row(|r, x| {
            let (sample, frame) = (indices.row(0)[r / longest] as usize, r % longest);
            x.copy_from_slice(&data.row(sample)[frame * channels..(frame + 1) * channels]);
        });
    }

    /// Values are copied.
    fn tolerance(&self, _: &str, _: &HostMem, _: Exp) -> Tolerance {
        Tolerance::Exact
    }

    /// Of the data, only what is gathered.
    fn bytes(&self) -> u64 {
        4 * (2 * self.x.shape.words() + u64::from(self.indices.cols()))
    }
}

pub fn cases(c: &mut Cases<'_>) {
    for (samples, longest, channels, batch) in [(1, 1, 1, 1), (5, 7, 3, 4), (9, 2, 64, 65), (33, 13, 1, 17), (7, 5, 6, 129)] {
        let data = c.uniform(samples, longest * channels);
        let indices = c.integers((0..batch).map(|r| (r * 5 + 2) % samples));
        let x = c.output(batch * longest, channels);
        c.add(GatherFrames { data, indices, x });
    }
}
