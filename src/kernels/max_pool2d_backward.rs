//! The gradient of pooled maps, back to where the largest values were.

use super::max_pool2d::{SIZES, Window, case_maps};
use super::{Cases, has};
use crate::core::buffer::{Buf, Fill, Maps, shape};
use crate::core::memory::HostMem;
use crate::core::program::{EPSILON, Exp, Kernel, Tolerance};

/// `at` (u32), `grad_y` and `grad_x`: as `at`, `y` and `x` of [`MaxPool2d`](super::max_pool2d::MaxPool2d).
pub struct MaxPool2dBackward {
    pub at: Buf,
    pub grad_y: Maps,
    pub grad_x: Maps,
    pub window: Window,
    pub accumulate: bool,
}

impl MaxPool2dBackward {
    /// Calls `f(row of grad_y, place in its window)` for every window that the pixel of row `row` lies in.
    fn each_window(&self, row: usize, mut f: impl FnMut(usize, u32)) {
        let (Window { kernel, stride, padding }, Maps { height, width, .. }, out) = (self.window, self.grad_x, self.grad_y);
        let (line, column) = (row as u32 / width, row as u32 % width);
        let map = line / height;
        // (window, place in it) of a pixel along one side, in the order of the places.
        let windows = |side: usize, at: u32, count: u32| {
            let (at, kernel, stride) = (at + padding[side], kernel[side], stride[side]);
            let ks = (at % stride..kernel).step_by(stride as usize);
            ks.filter_map(move |k| at.checked_sub(k).map(|start| (start / stride, k)).filter(|&(window, _)| window < count))
        };
        for (oy, ky) in windows(0, line % height, out.height) {
            for (ox, kx) in windows(1, column, out.width) {
                f(((map * out.height + oy) * out.width + ox) as usize, ky * kernel[1] + kx);
            }
        }
    }

    /// Σ f(grad_y) for element `col` of row `row`.
    fn sum(&self, at: &crate::core::memory::Rows<u32>, grad_y: &crate::core::memory::Rows<f32>, row: usize, col: usize, f: impl Fn(f64) -> f64) -> f64 {
        let mut sum = 0.0;
        self.each_window(row, |window, place| {
            if at.row(window)[col] == place {
                sum += f(grad_y.row(window)[col].into());
            }
        });
        sum
    }
}

impl Kernel for MaxPool2dBackward {
    interface! {
        self runs "max_pool2d_backward";
        bufs { at, grad_y: self.grad_y.buf, grad_x: self.grad_x.buf }
        params { ..self.window.params(self.grad_x, self.grad_y, self.grad_x.buf.rows()), accumulate }
    }

    fn check_shapes(&self) -> Result<(), String> {
        self.window.check(self.grad_x, self.grad_y)?;
        has("grad_y", self.grad_y.buf, self.grad_y.buf.rows(), self.grad_x.channels())?;
        has("at", self.at, self.grad_y.buf.rows(), self.grad_x.channels())
    }

    fn twin(&self, m: &HostMem) {
        let (at, grad_y) = (m.u32(self.at), m.f32(self.grad_y.buf));
        m.f32_mut(self.grad_x.buf).for_each_row(|r, grad_x| {
            for (col, grad_x) in grad_x.iter_mut().enumerate() {
                let old = if self.accumulate { f64::from(*grad_x) } else { 0.0 };
                *grad_x = (self.sum(&at, &grad_y, r, col, |grad_y| grad_y) + old) as f32;
            }
        });
    }

    fn fast(&self, m: &HostMem) {
        let (at, grad_y) = (m.u32(self.at), m.f32(self.grad_y.buf));
        m.f32_mut(self.grad_x.buf).for_each_row(|r, grad_x| {
            if !self.accumulate {
                grad_x.fill(0.0);
            }
            self.each_window(r, |window, place| {
                for ((grad_x, &grad_y), &at) in grad_x.iter_mut().zip(grad_y.row(window)).zip(at.row(window)) {
                    *grad_x += if at == place { grad_y } else { 0.0 };
                }
            });
        });
    }

    /// One rounding per window.
    fn tolerance(&self, _: &str, m: &HostMem, _: Exp) -> Tolerance {
        let (at, grad_y, old) = (m.u32(self.at), m.f32(self.grad_y.buf), m.f32(self.grad_x.buf));
        let Window { kernel, stride, .. } = self.window;
        let terms = f64::from(kernel[0].div_ceil(stride[0]) * kernel[1].div_ceil(stride[1])) + 1.0;
        let bounds = (0..self.grad_x.buf.rows() as usize).flat_map(|r| {
            let bound = |col: usize| {
                let before = if self.accumulate { f64::from(old.row(r)[col].abs()) } else { 0.0 };
                2.0 * EPSILON * terms * (self.sum(&at, &grad_y, r, col, f64::abs) + before)
            };
            (0..self.grad_x.channels() as usize).map(bound).collect::<Vec<_>>()
        });
        Tolerance::Each(bounds.collect())
    }
}

pub fn cases(c: &mut Cases<'_>) {
    for (size, window) in SIZES {
        for accumulate in [false, true] {
            let (grad_x, grad_y) = case_maps(c, size, window, Fill::Uniform(1.0));
            let of_grad_y = grad_y.buf.shape;
            let grad_y = grad_y.with(c.filled(of_grad_y, Fill::Uniform(1.0)));
            // Any place in a window will do, whether or not it lies inside the maps.
            let places = (0..of_grad_y.len() as u32).map(|i| (i * i / 5) % window.places());
            let at = c.filled(shape(of_grad_y.rows, of_grad_y.cols), Fill::U32(places.collect()));
            c.add(MaxPool2dBackward { at, grad_y, grad_x, window, accumulate });
        }
    }
}
