//! Two matrices side by side: channels of maps from two places.

use super::{Cases, has};
use crate::core::buffer::Buf;
use crate::core::memory::HostMem;
use crate::core::program::{Exp, Kernel, Tolerance};

/// `a`: `[rows, left]`; `b`: `[rows, right]`; `y`: `[rows, left + right]`.
pub struct Concat {
    pub a: Buf,
    pub b: Buf,
    pub y: Buf,
}

impl Kernel for Concat {
    interface! {
        self runs "concat";
        bufs { a, b, y }
        params {
            words: self.y.shape.words() as u32,
            stride: self.y.shape.stride(),
            cols: self.y.cols(),
            a_stride: self.a.shape.stride(),
            a_cols: self.a.cols(),
            b_stride: self.b.shape.stride(),
        }
        invocations { self.y.shape.words() }
    }

    fn check_shapes(&self) -> Result<(), String> {
        has("b", self.b, self.a.rows(), self.b.cols())?;
        has("y", self.y, self.a.rows(), self.a.cols() + self.b.cols())
    }

    fn twin(&self, m: &HostMem) {
        let (a, b) = (m.f32(self.a), m.f32(self.b));
        m.f32_mut(self.y).for_each_row(|r, y| {
            let (left, right) = y.split_at_mut(self.a.cols() as usize);
            left.copy_from_slice(a.row(r));
            right.copy_from_slice(b.row(r));
        });
    }

    /// Values are copied.
    fn tolerance(&self, _: &str, _: &HostMem, _: Exp) -> Tolerance {
        Tolerance::Exact
    }
}

pub fn cases(c: &mut Cases<'_>) {
    for (rows, left, right) in [(1, 1, 1), (5, 3, 4), (33, 64, 65), (7, 5, 2), (129, 2, 7)] {
        let (a, b, y) = (c.uniform(rows, left), c.uniform(rows, right), c.output(rows, left + right));
        c.add(Concat { a, b, y });
    }
}
