//! The largest value of each window of feature maps, and where in the window it was.

use rayon::prelude::*;

use super::{Cases, has, row_quads};
use crate::core::buffer::{Buf, Fill, Maps};
use crate::core::memory::HostMem;
use crate::core::program::{Exp, Kernel, Scalar, Tolerance};

/// Windows of so many pixels down and across, `stride` apart, the first of which starts `padding` before the first pixel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    pub kernel: [u32; 2],
    pub stride: [u32; 2],
    pub padding: [u32; 2],
}

impl Window {
    /// The same in both directions.
    pub const fn square(kernel: u32, stride: u32, padding: u32) -> Self {
        Window { kernel: [kernel; 2], stride: [stride; 2], padding: [padding; 2] }
    }

    /// How many windows fit maps of this height and width, down and across.
    pub fn count(self, sizes: [u32; 2]) -> [u32; 2] {
        let Window { kernel, stride, padding } = self;
        [0, 1].map(|side| (sizes[side] + 2 * padding[side]).saturating_sub(kernel[side]) / stride[side].max(1) + 1)
    }

    /// Pixels of a window.
    pub(super) fn places(self) -> u32 {
        self.kernel[0] * self.kernel[1]
    }

    /// Whether these are the windows of maps `x`, with their results in `y`.
    pub(super) fn check(self, x: Maps, y: Maps) -> Result<(), String> {
        let Window { kernel, stride, padding } = self;
        let sizes = [x.height, x.width];
        let sound = |side: usize| kernel[side] > 0 && stride[side] > 0 && 2 * padding[side] <= kernel[side];
        if !(sound(0) && sound(1)) {
            return Err(format!("{self:?}: kernel and stride are at least 1, padding at most half the kernel"));
        }
        if (0..2).any(|side| sizes[side] + 2 * padding[side] < kernel[side]) {
            return Err(format!("{self:?} in maps of {}x{}", x.height, x.width));
        }
        let (found, expected) = ((y.batch, [y.height, y.width]), (x.batch, self.count(sizes)));
        if found == expected { Ok(()) } else { Err(format!("maps of (batch, [height, width]) {found:?}, expected {expected:?}")) }
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
            ("kernel_y", self.kernel[0]),
            ("kernel_x", self.kernel[1]),
            ("stride_y", self.stride[0]),
            ("stride_x", self.stride[1]),
            ("padding_y", self.padding[0]),
            ("padding_x", self.padding[1]),
        ];
        numbers.map(|(name, value)| (name, Scalar::U32(value))).to_vec()
    }
}

/// `x`; `y`: as many maps, smaller by the window; `at` (u32): of the shape of `y`'s buffer, ky · (pixels of a window across) + kx.
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
            let (map, top, left) = (line / out.height, line % out.height * stride[0], column * stride[1]);
            let mut first = true;
            y[cols..].fill(0.0);
            at[cols..].fill(0);
            for place in 0..self.window.places() {
                let inside = |start: u32, k: u32, padding: u32, size: u32| (start + k).checked_sub(padding).filter(|&i| i < size);
                let [ky, kx] = [place / kernel[1], place % kernel[1]];
                let pixel = inside(top, ky, padding[0], height).zip(inside(left, kx, padding[1], width));
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

/// (batch, height, width, channels) and windows: one pixel, edges that no window reaches, windows that overlap and that do not, that touch
/// the edges with and without padding, and that are not square.
pub(super) const SIZES: [([u32; 4], Window); 10] = [
    ([1, 1, 1, 1], Window::square(1, 1, 0)),
    ([2, 8, 6, 3], Window::square(2, 2, 0)),
    ([1, 5, 7, 5], Window::square(2, 2, 1)),
    ([3, 7, 5, 2], Window::square(3, 2, 1)),
    ([1, 4, 9, 67], Window::square(3, 1, 1)),
    ([2, 9, 8, 4], Window::square(2, 3, 0)),
    ([1, 3, 5, 1], Window::square(3, 2, 0)),
    ([2, 5, 8, 3], Window { kernel: [1, 2], stride: [1, 2], padding: [0, 0] }),
    ([1, 9, 7, 4], Window { kernel: [4, 3], stride: [2, 1], padding: [2, 1] }),
    ([2, 6, 5, 2], Window { kernel: [3, 2], stride: [1, 3], padding: [0, 1] }),
];

/// The maps before and after windows.
pub(super) fn case_maps(c: &mut Cases<'_>, [batch, height, width, channels]: [u32; 4], window: Window, fill: Fill) -> (Maps, Maps) {
    let [out_height, out_width] = window.count([height, width]);
    let x = c.filled(crate::core::buffer::shape(batch * height * width, channels), fill);
    let y = c.output(batch * out_height * out_width, channels);
    (Maps::new(x, batch, height, width), Maps::new(y, batch, out_height, out_width))
}

pub fn cases(c: &mut Cases<'_>) {
    for (size, window) in SIZES {
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
