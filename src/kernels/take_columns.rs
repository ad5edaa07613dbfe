//! Some neighbouring columns of a matrix: the gradient of one of two that were put side by side.

use super::{Cases, has};
use crate::core::buffer::Buf;
use crate::core::memory::HostMem;
use crate::core::program::{Exp, Kernel, Tolerance};

/// `x`: `[rows, width]`; `y`: `[rows, cols]`, columns `first` to `first + cols` of `x`.
pub struct TakeColumns {
    pub x: Buf,
    pub y: Buf,
    pub first: u32,
    pub accumulate: bool,
}

impl Kernel for TakeColumns {
    interface! {
        self runs "take_columns";
        bufs { x, y }
        params {
            words: self.y.shape.words() as u32,
            stride: self.y.shape.stride(),
            cols: self.y.cols(),
            x_stride: self.x.shape.stride(),
            first,
            accumulate,
        }
        invocations { self.y.shape.words() }
    }

    fn check_shapes(&self) -> Result<(), String> {
        has("x", self.x, self.y.rows(), self.x.cols().max(self.first + self.y.cols()))
    }

    fn twin(&self, m: &HostMem) {
        let (x, first) = (m.f32(self.x), self.first as usize);
        m.f32_mut(self.y).for_each_row(|r, y| {
            let taken = &x.row(r)[first..first + y.len()];
            if self.accumulate {
                y.iter_mut().zip(taken).for_each(|(y, x)| *y += x);
            } else {
                y.copy_from_slice(taken);
            }
        });
    }

    /// A copy, or one f32 addition, which WGSL rounds correctly in either direction.
    fn tolerance(&self, _: &str, _: &HostMem, _: Exp) -> Tolerance {
        if self.accumulate { Tolerance::ulps(1.0) } else { Tolerance::Exact }
    }
}

pub fn cases(c: &mut Cases<'_>) {
    for (rows, width, first, cols) in [(1, 1, 0, 1), (5, 7, 3, 4), (33, 129, 64, 65), (7, 7, 0, 5), (129, 9, 2, 7)] {
        for accumulate in [false, true] {
            let (x, y) = (c.uniform(rows, width), c.uniform(rows, cols));
            c.add(TakeColumns { x, y, first, accumulate });
        }
    }
}
