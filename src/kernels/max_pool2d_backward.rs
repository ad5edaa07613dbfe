//! The gradient of pooled maps, back to where the largest values were.

use super::max_pool2d::{SIZES, Window, case_maps};
use super::{Cases, has, quads};
use crate::buffer::{Buf, Fill, Maps, shape};
use crate::memory::HostMem;
use crate::program::{EPSILON, Kernel, Scalar, Tolerance};
use crate::shader::Variant;
use crate::wgsl;

const VARIANTS: &[Variant] = &[Variant::plain("max_pool2d_backward", &[wgsl!("max_pool2d_backward")])];

/// `at` (u32), `dy` and `dx`: as `at`, `y` and `x` of [`MaxPool2d`](super::max_pool2d::MaxPool2d).
pub struct MaxPool2dBackward {
    pub at: Buf,
    pub dy: Maps,
    pub dx: Maps,
    pub window: Window,
    pub accumulate: bool,
}

impl MaxPool2dBackward {
    /// Calls `f(row of dy, place in its window)` for every window that the pixel of row `row` lies in.
    fn each_window(&self, row: usize, mut f: impl FnMut(usize, u32)) {
        let (Window { kernel, stride, padding }, Maps { height, width, .. }, out) = (self.window, self.dx, self.dy);
        let (line, column) = (row as u32 / width, row as u32 % width);
        let map = line / height;
        // (window, place in it) of a pixel along one side, in the order of the places.
        let windows = |at: u32, count: u32| {
            let ks = (at % stride..kernel).step_by(stride as usize);
            ks.filter_map(move |k| at.checked_sub(k).map(|start| (start / stride, k)).filter(|&(window, _)| window < count))
        };
        for (oy, ky) in windows(line % height + padding, out.height) {
            for (ox, kx) in windows(column + padding, out.width) {
                f(((map * out.height + oy) * out.width + ox) as usize, ky * kernel + kx);
            }
        }
    }

    /// Σ f(dy) for element `col` of row `row`.
    fn sum(&self, at: &crate::memory::Rows<u32>, dy: &crate::memory::Rows<f32>, row: usize, col: usize, f: impl Fn(f64) -> f64) -> f64 {
        let mut sum = 0.0;
        self.each_window(row, |window, place| {
            if at.row(window)[col] == place {
                sum += f(dy.row(window)[col].into());
            }
        });
        sum
    }
}

impl Kernel for MaxPool2dBackward {
    fn bufs(&self) -> Vec<(&'static str, Buf)> {
        vec![("at", self.at), ("dy", self.dy.buf), ("dx", self.dx.buf)]
    }

    fn params(&self) -> Vec<(&'static str, Scalar)> {
        let accumulate = vec![("accumulate", Scalar::U32(self.accumulate.into()))];
        [self.window.params(self.dx, self.dy, self.dx.buf.rows()), accumulate].concat()
    }

    fn variants(&self) -> &'static [Variant] {
        VARIANTS
    }

    fn invocations(&self, _: &Variant) -> u64 {
        u64::from(quads(self.dx.buf))
    }

    fn check_shapes(&self) -> Result<(), String> {
        self.window.check(self.dx, self.dy)?;
        has("dy", self.dy.buf, self.dy.buf.rows(), self.dx.channels())?;
        has("at", self.at, self.dy.buf.rows(), self.dx.channels())
    }

    fn accumulates(&self) -> bool {
        self.accumulate
    }

    fn twin(&self, m: &HostMem) {
        let (at, dy) = (m.u32(self.at), m.f32(self.dy.buf));
        m.f32_mut(self.dx.buf).for_each_row(|r, dx| {
            for (col, dx) in dx.iter_mut().enumerate() {
                let old = if self.accumulate { f64::from(*dx) } else { 0.0 };
                *dx = (self.sum(&at, &dy, r, col, |dy| dy) + old) as f32;
            }
        });
    }

    fn fast(&self, m: &HostMem) {
        let (at, dy) = (m.u32(self.at), m.f32(self.dy.buf));
        m.f32_mut(self.dx.buf).for_each_row(|r, dx| {
            if !self.accumulate {
                dx.fill(0.0);
            }
            self.each_window(r, |window, place| {
                for ((dx, &dy), &at) in dx.iter_mut().zip(dy.row(window)).zip(at.row(window)) {
                    *dx += if at == place { dy } else { 0.0 };
                }
            });
        });
    }

    /// One rounding per window.
    fn tolerance(&self, _: &str, m: &HostMem) -> Tolerance {
        let (at, dy, old) = (m.u32(self.at), m.f32(self.dy.buf), m.f32(self.dx.buf));
        let terms = f64::from(self.window.kernel.div_ceil(self.window.stride).pow(2)) + 1.0;
        let bounds = (0..self.dx.buf.rows() as usize).flat_map(|r| {
            let bound = |col: usize| {
                let before = if self.accumulate { f64::from(old.row(r)[col].abs()) } else { 0.0 };
                2.0 * EPSILON * terms * (self.sum(&at, &dy, r, col, f64::abs) + before)
            };
            (0..self.dx.channels() as usize).map(bound).collect::<Vec<_>>()
        });
        Tolerance::Each(bounds.collect())
    }
}

pub fn cases(c: &mut Cases<'_>) {
    for (size, [kernel, stride, padding]) in SIZES {
        let window = Window { kernel, stride, padding };
        for accumulate in [false, true] {
            let (dx, dy) = case_maps(c, size, window, Fill::Uniform(1.0));
            let of_dy = dy.buf.shape;
            let dy = dy.with(c.filled(of_dy, Fill::Uniform(1.0)));
            // Any place in a window will do, whether or not it lies inside the maps.
            let places = (0..of_dy.len() as u32).map(|i| (i * i / 5) % (kernel * kernel));
            let at = c.filled(shape(of_dy.rows, of_dy.cols), Fill::U32(places.collect()));
            c.add(MaxPool2dBackward { at, dy, dx, window, accumulate });
        }
    }
}
