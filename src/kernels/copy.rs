//! y = x, or y += x. Its speed is the device's memory bandwidth.

use super::{Cases, quads, same};
use crate::core::buffer::Buf;
use crate::core::memory::HostMem;
use crate::core::program::{Exp, Kernel, Tolerance};

/// `x`, `y`: of one shape.
pub struct Copy {
    pub x: Buf,
    pub y: Buf,
    pub accumulate: bool,
}

impl Kernel for Copy {
    interface! {
        self runs "copy";
        bufs { x, y }
        params { quads: quads(self.x), accumulate }
        invocations { quads(self.x) }
    }

    fn check_shapes(&self) -> Result<(), String> {
        same(&[("x", self.x), ("y", self.y)])
    }

    fn twin(&self, m: &HostMem) {
        let x = m.f32(self.x);
        m.f32_mut(self.y).for_each_row(|r, y| {
            for (y, &x) in y.iter_mut().zip(x.row(r)) {
                *y = if self.accumulate { *y + x } else { x };
            }
        });
    }

    fn fast(&self, m: &HostMem) {
        let x = m.f32(self.x);
        m.f32_mut(self.y).for_each_block(|start, y| {
            let x = &x.padded()[start..][..y.len()];
            if self.accumulate { y.iter_mut().zip(x).for_each(|(y, x)| *y += x) } else { y.copy_from_slice(x) }
        });
    }

    /// A copy, or one f32 addition, which WGSL rounds correctly in either direction.
    fn tolerance(&self, _: &str, _: &HostMem, _: Exp) -> Tolerance {
        if self.accumulate { Tolerance::ulps(1.0) } else { Tolerance::Exact }
    }
}

pub fn cases(c: &mut Cases<'_>) {
    for (rows, cols) in [(1, 1), (3, 5), (17, 63), (1, 1027)] {
        for accumulate in [false, true] {
            let (x, y) = (c.uniform(rows, cols), c.uniform(rows, cols));
            c.add(Copy { x, y, accumulate });
        }
    }
}
