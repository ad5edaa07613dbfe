//! Two matrices side by side: channels of maps from two places.

use super::{Cases, has};
use crate::core::buffer::Buf;
use crate::core::memory::HostMem;
use crate::core::program::{Kernel, Scalar, Tolerance};
use crate::core::shader::Variant;
use crate::wgsl;

const VARIANTS: &[Variant] = &[Variant::plain("concat", &[wgsl!("concat")])];

/// `a`: `[rows, left]`; `b`: `[rows, right]`; `y`: `[rows, left + right]`.
pub struct Concat {
    pub a: Buf,
    pub b: Buf,
    pub y: Buf,
}

impl Kernel for Concat {
    fn bufs(&self) -> Vec<(&'static str, Buf)> {
        vec![("a", self.a), ("b", self.b), ("y", self.y)]
    }

    fn params(&self) -> Vec<(&'static str, Scalar)> {
        vec![
            ("words", Scalar::U32(self.y.shape.words() as u32)),
            ("stride", Scalar::U32(self.y.shape.stride())),
            ("cols", Scalar::U32(self.y.cols())),
            ("a_stride", Scalar::U32(self.a.shape.stride())),
            ("a_cols", Scalar::U32(self.a.cols())),
            ("b_stride", Scalar::U32(self.b.shape.stride())),
        ]
    }

    fn variants(&self) -> &'static [Variant] {
        VARIANTS
    }

    fn invocations(&self, _: &Variant) -> u64 {
        self.y.shape.words()
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
    fn tolerance(&self, _: &str, _: &HostMem) -> Tolerance {
        Tolerance::Exact
    }
}

pub fn cases(c: &mut Cases<'_>) {
    for (rows, left, right) in [(1, 1, 1), (5, 3, 4), (33, 64, 65), (7, 5, 2), (129, 2, 7)] {
        let (a, b, y) = (c.uniform(rows, left), c.uniform(rows, right), c.output(rows, left + right));
        c.add(Concat { a, b, y });
    }
}
