//! y = a + b, and ReLU: where a residual connection ends.

use super::{Cases, quads, same};
use crate::core::buffer::{Buf, Fill, shape};
use crate::core::memory::HostMem;
use crate::core::program::{Exp, Kernel, Tolerance};

/// `a`, `b`, `y`: of one shape.
pub struct Add {
    pub a: Buf,
    pub b: Buf,
    pub y: Buf,
    pub relu: bool,
}

impl Kernel for Add {
    interface! {
        self runs "add";
        bufs { a, b, y }
        params { quads: quads(self.y), relu }
    }

    fn check_shapes(&self) -> Result<(), String> {
        same(&[("a", self.a), ("b", self.b), ("y", self.y)])
    }

    fn twin(&self, m: &HostMem) {
        let (a, b) = (m.f32(self.a), m.f32(self.b));
        m.f32_mut(self.y).for_each_row(|r, y| {
            for ((y, &a), &b) in y.iter_mut().zip(a.row(r)).zip(b.row(r)) {
                *y = if self.relu && a + b <= 0.0 { 0.0 } else { a + b };
            }
        });
    }

    fn fast(&self, m: &HostMem) {
        let (a, b) = (m.f32(self.a), m.f32(self.b));
        m.f32_mut(self.y).for_each_block(|start, y| {
            for ((y, a), b) in y.iter_mut().zip(&a.padded()[start..]).zip(&b.padded()[start..]) {
                let sum = a + b;
                *y = if self.relu & (sum <= 0.0) { 0.0 } else { sum };
            }
        });
    }

    /// One f32 addition, which WGSL rounds correctly in either direction.
    fn tolerance(&self, _: &str, _: &HostMem, _: Exp) -> Tolerance {
        Tolerance::ulps(1.0)
    }
}

pub fn cases(c: &mut Cases<'_>) {
    for (rows, cols) in [(1, 1), (3, 5), (7, 33), (16, 16), (65, 63)] {
        for relu in [false, true] {
            let (a, b, y) = (c.uniform(rows, cols), c.uniform(rows, cols), c.output(rows, cols));
            c.add(Add { a, b, y, relu });
        }
    }
    let a = c.filled(shape(1, 3), Fill::F32(vec![1.0, -0.0, f32::MAX]));
    let (b, y) = (c.floats([-1.0, 0.0, f32::MIN]), c.output(1, 3));
    c.add(Add { a, b, y, relu: true });
}
