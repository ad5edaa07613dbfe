//! grad_x = grad_y where y > 0, else 0.

use super::{Cases, quads, same};
use crate::core::buffer::{Buf, Fill, shape};
use crate::core::memory::HostMem;
use crate::core::program::{Exp, Kernel, Tolerance};

/// `y` (the forward result), `grad_y`, `grad_x`: `[rows, cols]`.
pub struct ReluBackward {
    pub y: Buf,
    pub grad_y: Buf,
    pub grad_x: Buf,
    pub accumulate: bool,
}

impl Kernel for ReluBackward {
    interface! {
        self runs "relu_backward";
        bufs { y, grad_y, grad_x }
        params { quads: quads(self.grad_x), accumulate }
    }

    fn check_shapes(&self) -> Result<(), String> {
        same(&[("y", self.y), ("grad_y", self.grad_y), ("grad_x", self.grad_x)])
    }

    fn twin(&self, m: &HostMem) {
        let (y, grad_y) = (m.f32(self.y), m.f32(self.grad_y));
        m.f32_mut(self.grad_x).for_each_row(|r, grad_x| {
            for ((grad_x, &grad_y), &y) in grad_x.iter_mut().zip(grad_y.row(r)).zip(y.row(r)) {
                let value = if y > 0.0 { grad_y } else { 0.0 };
                *grad_x = if self.accumulate { *grad_x + value } else { value };
            }
        });
    }

    fn fast(&self, m: &HostMem) {
        let (y, grad_y) = (m.f32(self.y), m.f32(self.grad_y));
        m.f32_mut(self.grad_x).for_each_block(|start, grad_x| {
            let (y, grad_y) = (&y.padded()[start..], &grad_y.padded()[start..]);
            for ((grad_x, &grad_y), &y) in grad_x.iter_mut().zip(grad_y).zip(y) {
                let value = if y > 0.0 { grad_y } else { 0.0 };
                *grad_x = if self.accumulate { *grad_x + value } else { value };
            }
        });
    }

    /// A copy, or one f32 addition, which WGSL rounds correctly in either direction.
    fn tolerance(&self, _: &str, _: &HostMem, _: Exp) -> Tolerance {
        if self.accumulate { Tolerance::ulps(1.0) } else { Tolerance::Exact }
    }
}

pub fn cases(c: &mut Cases<'_>) {
    for (rows, cols) in [(1, 1), (3, 5), (7, 33), (16, 16), (65, 63)] {
        for accumulate in [false, true] {
            let (y, grad_y, grad_x) = (c.uniform(rows, cols), c.uniform(rows, cols), c.uniform(rows, cols));
            c.add(ReluBackward { y, grad_y, grad_x, accumulate });
        }
    }
    // At exactly zero the gradient is zero.
    let y = c.filled(shape(1, 3), Fill::F32(vec![0.0, -0.0, f32::MIN_POSITIVE]));
    let (grad_y, grad_x) = (c.uniform(1, 3), c.output(1, 3));
    c.add(ReluBackward { y, grad_y, grad_x, accumulate: false });
}
