//! y = max(x, 0).

use super::{Cases, quads, same};
use crate::core::buffer::{Buf, Fill, shape};
use crate::core::memory::HostMem;
use crate::core::program::{Exp, Kernel, Tolerance};

/// `x`, `y`: `[rows, cols]`.
pub struct Relu {
    pub x: Buf,
    pub y: Buf,
}

impl Kernel for Relu {
    interface! {
        self runs "relu";
        bufs { x, y }
        params { quads: quads(self.y) }
    }

    fn check_shapes(&self) -> Result<(), String> {
        same(&[("x", self.x), ("y", self.y)])
    }

    fn twin(&self, m: &HostMem) {
        let x = m.f32(self.x);
        m.f32_mut(self.y).for_each_row(|r, y| {
            for (y, &x) in y.iter_mut().zip(x.row(r)) {
                *y = if x <= 0.0 { 0.0 } else { x };
            }
        });
    }

    /// Values are copied or zeroed.
    fn tolerance(&self, _: &str, _: &HostMem, _: Exp) -> Tolerance {
        Tolerance::Exact
    }
}

pub fn cases(c: &mut Cases<'_>) {
    for (rows, cols) in [(1, 1), (3, 5), (7, 33), (16, 16), (65, 63)] {
        let (x, y) = (c.uniform(rows, cols), c.output(rows, cols));
        c.add(Relu { x, y });
    }
    let x = c.filled(shape(1, 6), Fill::F32(vec![0.0, -0.0, f32::MIN_POSITIVE, f32::MAX, f32::MIN, f32::INFINITY]));
    let y = c.output(1, 6);
    c.add(Relu { x, y });
}
