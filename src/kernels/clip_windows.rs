//! Which windows of clips lie within them.

use super::{Cases, has};
use crate::core::buffer::Buf;
use crate::core::memory::HostMem;
use crate::core::program::{Exp, Kernel, Tolerance};
use crate::core::sample::NO_TOKEN;

/// `lengths` (u32): `[1, batch]`, in frames; `windows` (u32): `[batch, count]`, zero for each of `window` frames, `hop` after the one
/// before, that ends within the clip, and [`NO_TOKEN`] behind the last one: what [`MaskedMean`](super::masked_mean::MaskedMean) takes.
pub struct ClipWindows {
    pub lengths: Buf,
    pub windows: Buf,
    pub window: u32,
    pub hop: u32,
}

impl Kernel for ClipWindows {
    interface! {
        self runs "clip_windows";
        bufs { lengths, windows }
        params { rows: self.windows.rows(), count: self.windows.cols(), stride: self.windows.shape.stride(), window, hop }
        constants { NO_TOKEN: NO_TOKEN }
        invocations { self.windows.shape.words() }
    }

    fn check_shapes(&self) -> Result<(), String> {
        has("lengths", self.lengths, 1, self.windows.rows())
    }

    fn twin(&self, m: &HostMem) {
        let lengths = m.u32(self.lengths);
        m.u32_mut(self.windows).for_each_row(|r, windows| {
            for (at, window) in (0..).zip(windows) {
                *window = if at * self.hop + self.window <= lengths.row(0)[r] { 0 } else { NO_TOKEN };
            }
        });
    }

    fn tolerance(&self, _: &str, _: &HostMem, _: Exp) -> Tolerance {
        Tolerance::Exact
    }
}

pub fn cases(c: &mut Cases<'_>) {
    for (batch, count, window, hop) in [(1, 1, 1, 1), (7, 3, 5, 2), (65, 13, 76, 8), (3, 64, 2, 3)] {
        let longest = window + hop * count;
        let lengths = c.integers((0..batch).map(|clip| (clip * 37 + window) % (longest + 1)));
        let windows = c.integer_output(batch, count);
        c.add(ClipWindows { lengths, windows, window, hop });
    }
}
