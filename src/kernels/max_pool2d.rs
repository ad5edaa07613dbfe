//! The largest value of each window of feature maps, and where in the window it was.

use rayon::prelude::*;

use super::{Cases, has, row_quads};
use crate::core::buffer::{Buf, Fill, Maps};
use crate::core::memory::HostMem;
use crate::core::program::{Exp, Kernel, Scalar, Tolerance};

/// Windows of `kernel` x `kernel` pixels, `stride` apart, the first of which starts `padding` before the first pixel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    pub kernel: u32,
    pub stride: u32,
    pub padding: u32,
}

impl Window {
    /// How many windows fit `size` pixels.
    pub fn count(self, size: u32) -> u32 {
        (size + 2 * self.padding).saturating_sub(self.kernel) / self.stride.max(1) + 1
    }

    /// Whether these are the windows of maps `x`, with their results in `y`.
    pub(super) fn check(self, x: Maps, y: Maps) -> Result<(), String> {
        let Window { kernel, stride, padding } = self;
        if kernel == 0 || stride == 0 || 2 * padding > kernel {
            return Err(format!("{self:?}: kernel and stride are at least 1, padding at most half the kernel"));
        }
        if x.height.min(x.width) + 2 * padding < kernel {
            return Err(format!("windows of {kernel}x{kernel} in maps of {}x{} with padding {padding}", x.height, x.width));
        }
        let (found, expected) = ((y.batch, y.height, y.width), (x.batch, self.count(x.height), self.count(x.width)));
        if found == expected { Ok(()) } else { Err(format!("maps of (batch, height, width) {found:?}, expected {expected:?}")) }
    }

    /// Parameters that both directions have, for `rows` of one of the two maps.
    pub(super) fn params(self, x: Maps, y: Maps, rows: u32) -> Vec<(&'static str, Scalar)> {
        let numbers = [
            ("rows", rows),
            ("quads", row_quads(x.buf)),
            ("height", x.height),
            ("width", x.width),
            ("out_height", y.height),
            ("out_width", y.width),
            ("kernel_size", self.kernel),
            ("stride", self.stride),
            ("padding", self.padding),
        ];
        numbers.map(|(name, value)| (name, Scalar::U32(value))).to_vec()
    }
}

/// `x`; `y`: as many maps, smaller by the window; `at` (u32): of the shape of `y`'s buffer, ky · kernel + kx.
pub struct MaxPool2d {
    pub x: Maps,
    pub y: Maps,
    pub at: Buf,
    pub window: Window,
}

impl Kernel for MaxPool2d {
    interface! {
        self runs "max_pool2d";
        bufs { x: self.x.buf, y: self.y.buf, at }
        params { ..self.window.params(self.x, self.y, self.y.buf.rows()), cols: self.y.channels() }
    }

    fn check_shapes(&self) -> Result<(), String> {
        self.window.check(self.x, self.y)?;
        has("y", self.y.buf, self.y.buf.rows(), self.x.channels())?;
        has("at", self.at, self.y.buf.rows(), self.x.channels())
    }

    /// Row by row of `y` and place by place, with all channels of a pixel side by side. Nothing is summed, so that this is
    /// as good a reference as it is fast.
    fn twin(&self, m: &HostMem) {
        let (Window { kernel, stride, padding }, Maps { height, width, .. }, out) = (self.window, self.x, self.y);
        let x = m.f32(self.x.buf);
        let (mut y, mut at) = (m.f32_mut(self.y.buf), m.u32_mut(self.at));
        let (words, cols) = (self.at.shape.stride() as usize, self.at.cols() as usize);
        let rows = y.padded_mut().par_chunks_mut(words).zip(at.padded_mut().par_chunks_mut(words));
        rows.with_min_len(1024_usize.div_ceil(words)).enumerate().for_each(|(row, (y, at))| {
            let (line, column) = (row as u32 / out.width, row as u32 % out.width);
            let (map, top, left) = (line / out.height, line % out.height * stride, column * stride);
            let mut first = true;
            y[cols..].fill(0.0);
            at[cols..].fill(0);
            for place in 0..kernel * kernel {
                let inside = |start: u32, k: u32, size: u32| (start + k).checked_sub(padding).filter(|&i| i < size);
                let pixel = inside(top, place / kernel, height).zip(inside(left, place % kernel, width));
                let Some((iy, ix)) = pixel else { continue };
                let values = x.row(((map * height + iy) * width + ix) as usize);
                if first {
                    y[..cols].copy_from_slice(values);
                    at[..cols].fill(place);
                    first = false;
                } else {
                    for ((y, at), &value) in y.iter_mut().zip(at.iter_mut()).zip(values) {
                        let larger = value > *y;
                        *y = if larger { value } else { *y };
                        *at = if larger { place } else { *at };
                    }
                }
            }
        });
    }

    /// Values are moved, places are integers.
    fn tolerance(&self, _: &str, _: &HostMem, _: Exp) -> Tolerance {
        Tolerance::Exact
    }
}

/// (batch, height, width, channels), (kernel, stride, padding): one pixel, edges that no window reaches, windows that
/// overlap and that do not, and that touch the edges with and without padding.
pub(super) const SIZES: [([u32; 4], [u32; 3]); 7] = [
    ([1, 1, 1, 1], [1, 1, 0]),
    ([2, 8, 6, 3], [2, 2, 0]),
    ([1, 5, 7, 5], [2, 2, 1]),
    ([3, 7, 5, 2], [3, 2, 1]),
    ([1, 4, 9, 67], [3, 1, 1]),
    ([2, 9, 8, 4], [2, 3, 0]),
    ([1, 3, 5, 1], [3, 2, 0]),
];

/// The maps before and after windows.
pub(super) fn case_maps(c: &mut Cases<'_>, [batch, height, width, channels]: [u32; 4], window: Window, fill: Fill) -> (Maps, Maps) {
    let (out_height, out_width) = (window.count(height), window.count(width));
    let x = c.filled(crate::core::buffer::shape(batch * height * width, channels), fill);
    let y = c.output(batch * out_height * out_width, channels);
    (Maps::new(x, batch, height, width), Maps::new(y, batch, out_height, out_width))
}

pub fn cases(c: &mut Cases<'_>) {
    for (size, [kernel, stride, padding]) in SIZES {
        let window = Window { kernel, stride, padding };
        let count = size.iter().product::<u32>();
        // Few different values make ties; all negative ones show whether what lies outside counts.
        let ties = (0..count).map(|i| -1.0 - ((i * i / 3) % 4) as f32);
        for fill in [Fill::Uniform(1.0), Fill::F32(ties.collect())] {
            let (x, y) = case_maps(c, size, window, fill);
            let at = c.integer_output(y.buf.rows(), y.channels());
            c.add(MaxPool2d { x, y, at, window });
        }
    }
}
