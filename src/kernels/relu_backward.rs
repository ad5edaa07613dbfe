//! dx = dy where y > 0, else 0.

use super::{Cases, quads, same};
use crate::buffer::{Buf, Fill, shape};
use crate::memory::HostMem;
use crate::program::{Kernel, Scalar, Tolerance};
use crate::shader::Variant;
use crate::wgsl;

const VARIANTS: &[Variant] = &[Variant::plain("relu_backward", &[wgsl!("relu_backward")])];

/// `y` (the forward result), `dy`, `dx`: `[rows, cols]`.
pub struct ReluBackward {
    pub y: Buf,
    pub dy: Buf,
    pub dx: Buf,
    pub accumulate: bool,
}

impl Kernel for ReluBackward {
    fn bufs(&self) -> Vec<(&'static str, Buf)> {
        vec![("y", self.y), ("dy", self.dy), ("dx", self.dx)]
    }

    fn params(&self) -> Vec<(&'static str, Scalar)> {
        vec![("quads", Scalar::U32(quads(self.dx))), ("accumulate", Scalar::U32(self.accumulate.into()))]
    }

    fn variants(&self) -> &'static [Variant] {
        VARIANTS
    }

    fn invocations(&self, _: &Variant) -> u64 {
        u64::from(quads(self.dx))
    }

    fn check_shapes(&self) -> Result<(), String> {
        same(&[("y", self.y), ("dy", self.dy), ("dx", self.dx)])
    }

    fn accumulates(&self) -> bool {
        self.accumulate
    }

    fn twin(&self, m: &HostMem) {
        let (y, dy) = (m.f32(self.y), m.f32(self.dy));
        m.f32_mut(self.dx).for_each_row(|r, dx| {
            for ((dx, &dy), &y) in dx.iter_mut().zip(dy.row(r)).zip(y.row(r)) {
                let value = if y > 0.0 { dy } else { 0.0 };
                *dx = if self.accumulate { *dx + value } else { value };
            }
        });
    }

    fn fast(&self, m: &HostMem) {
        let (y, dy) = (m.f32(self.y), m.f32(self.dy));
        m.f32_mut(self.dx).for_each_block(|start, dx| {
            let (y, dy) = (&y.padded()[start..], &dy.padded()[start..]);
            for ((dx, &dy), &y) in dx.iter_mut().zip(dy).zip(y) {
                let value = if y > 0.0 { dy } else { 0.0 };
                *dx = if self.accumulate { *dx + value } else { value };
            }
        });
    }

    /// A copy, or one f32 addition, which WGSL rounds correctly in either direction.
    fn tolerance(&self, _: &str, _: &HostMem) -> Tolerance {
        if self.accumulate { Tolerance::ulps(1.0) } else { Tolerance::Exact }
    }
}

pub fn cases(c: &mut Cases<'_>) {
    for (rows, cols) in [(1, 1), (3, 5), (7, 33), (16, 16), (65, 63)] {
        for accumulate in [false, true] {
            let (y, dy, dx) = (c.uniform(rows, cols), c.uniform(rows, cols), c.uniform(rows, cols));
            c.add(ReluBackward { y, dy, dx, accumulate });
        }
    }
    // At exactly zero the gradient is zero.
    let y = c.filled(shape(1, 3), Fill::F32(vec![0.0, -0.0, f32::MIN_POSITIVE]));
    let (dy, dx) = (c.uniform(1, 3), c.output(1, 3));
    c.add(ReluBackward { y, dy, dx, accumulate: false });
}
