//! One of two views, less its mean.

use super::{Cases, has, quads, row_quads};
use crate::core::buffer::Buf;
use crate::core::memory::HostMem;
use crate::core::program::{Exp, Kernel, Tolerance};

/// `x`: `[2n, cols]`, first views, then second views; `means`: `[2, cols]`; `y`: `[n, cols]`.
pub struct CenterView {
    pub x: Buf,
    pub means: Buf,
    pub y: Buf,
    /// 0 or 1.
    pub view: u32,
}

impl Kernel for CenterView {
    interface! {
        self runs "center_view";
        bufs { x, means, y }
        params { quads: quads(self.y), row_quads: row_quads(self.y), view }
    }

    fn check_shapes(&self) -> Result<(), String> {
        has("x", self.x, 2 * self.y.rows(), self.y.cols())?;
        has("means", self.means, 2, self.y.cols())?;
        if self.view < 2 { Ok(()) } else { Err(format!("view {} of two", self.view)) }
    }

    /// One operation for each element: as exact as it is fast.
    fn twin(&self, m: &HostMem) {
        let (x, means, view) = (m.f32(self.x), m.f32(self.means), self.view as usize);
        let before = view * self.y.rows() as usize;
        m.f32_mut(self.y).for_each_row(|r, y| {
            for ((y, &x), &mean) in y.iter_mut().zip(x.row(before + r)).zip(means.row(view)) {
                *y = x - mean;
            }
        });
    }

    /// One f32 subtraction, which WGSL rounds correctly in either direction.
    fn tolerance(&self, _: &str, _: &HostMem, _: Exp) -> Tolerance {
        Tolerance::ulps(1.0)
    }
}

pub fn cases(c: &mut Cases<'_>) {
    for (samples, cols) in [(1, 1), (3, 5), (16, 16), (33, 65), (65, 2)] {
        for view in [0, 1] {
            let (x, means, y) = (c.uniform(2 * samples, cols), c.uniform(2, cols), c.output(samples, cols));
            c.add(CenterView { x, means, y, view });
        }
    }
}
