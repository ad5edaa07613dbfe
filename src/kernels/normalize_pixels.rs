//! Pixels as an encoder was trained to see them: each of three channels less its mean, over its standard deviation. Grey pixels
//! are all three channels at once.

use super::{Cases, has};
use crate::core::buffer::{Buf, Fill, shape};
use crate::core::memory::HostMem;
use crate::core::program::{Exp, Kernel, Tolerance};

/// Channels of what comes out.
pub const CHANNELS: u32 = 3;

/// `x`: `[rows, pixels * channels]` with 1 or 3 channels; `mean_and_std`: `[2, 3]`; `y`: `[rows, pixels * 3]`.
pub struct NormalizePixels {
    pub x: Buf,
    pub mean_and_std: Buf,
    pub y: Buf,
    /// Of `x`.
    pub channels: u32,
}

impl Kernel for NormalizePixels {
    interface! {
        self runs "normalize_pixels";
        bufs { x, mean_and_std, y }
        params {
            words: self.y.shape.words() as u32,
            stride: self.y.shape.stride(),
            cols: self.y.cols(),
            x_stride: self.x.shape.stride(),
            channels,
        }
        invocations { self.y.shape.words() }
    }

    fn check_shapes(&self) -> Result<(), String> {
        if ![1, CHANNELS].contains(&self.channels) {
            return Err(format!("`x` has {} channels, expected 1 or {CHANNELS}", self.channels));
        }
        has("mean_and_std", self.mean_and_std, 2, CHANNELS)?;
        has("y", self.y, self.x.rows(), self.x.cols() / self.channels * CHANNELS)
    }

    fn twin(&self, m: &HostMem) {
        let (x, mean_and_std) = (m.f32(self.x), m.f32(self.mean_and_std));
        let (mean, std) = (mean_and_std.row(0), mean_and_std.row(1));
        m.f32_mut(self.y).for_each_row(|r, y| {
            let pixels = y.chunks_mut(CHANNELS as usize).zip(x.row(r).chunks(self.channels as usize));
            pixels.for_each(|(y, x)| {
                let colours = y.iter_mut().zip(x.iter().cycle()).zip(mean.iter().zip(std));
                colours.for_each(|((y, &x), (&mean, &std))| *y = (x - mean) / std);
            });
        });
    }

    /// A subtraction, which is rounded correctly in either direction, and a division, which WGSL leaves 2.5 units.
    fn tolerance(&self, _: &str, _: &HostMem, _: Exp) -> Tolerance {
        Tolerance::ulps(4.0)
    }
}

pub fn cases(c: &mut Cases<'_>) {
    let statistics = [0.485, 0.456, 0.406, 0.229, 0.224, 0.225];
    for (rows, pixels, channels) in [(1, 1, 1), (1, 1, 3), (65, 1, 1), (63, 1, 3), (5, 7, 1), (3, 49, 3), (129, 2, 3)] {
        let (x, y) = (c.uniform(rows, pixels * channels), c.output(rows, pixels * CHANNELS));
        let mean_and_std = c.filled(shape(2, CHANNELS), Fill::F32(statistics.to_vec()));
        c.add(NormalizePixels { x, mean_and_std, y, channels });
    }
    // As they are, but for their number of channels.
    let (x, y) = (c.floats([0.0, 1.0, -1.0, f32::MAX, f32::MIN]), c.output(1, 5 * CHANNELS));
    let mean_and_std = c.filled(shape(2, CHANNELS), Fill::F32(vec![0.0, 0.0, 0.0, 1.0, 1.0, 1.0]));
    c.add(NormalizePixels { x, mean_and_std, y, channels: 1 });
}
