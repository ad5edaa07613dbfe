//! Rows to unit length.

use super::{Cases, has, row_quads, same};
use crate::core::buffer::{Buf, Fill, shape};
use crate::core::memory::HostMem;
use crate::core::program::{EPSILON, Exp, Kernel, Tolerance};

/// Norms below this are taken as this, as in PyTorch's `normalize`.
pub const NORM_FLOOR: f64 = 1e-12;

/// `x`, `y`: `[rows, cols]`; `factor`: `[1, rows]`, one over the norm.
pub struct L2Normalize {
    pub x: Buf,
    pub y: Buf,
    pub factor: Buf,
}

fn factor_of(row: &[f32]) -> f64 {
    1.0 / row.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>().sqrt().max(NORM_FLOOR)
}

impl Kernel for L2Normalize {
    interface! {
        self runs "l2_normalize";
        bufs { x, y, factor }
        params { rows: self.x.rows(), padded_rows: self.factor.shape.stride(), quads: row_quads(self.x) }
        invocations { self.factor.shape.stride() }
    }

    fn check_shapes(&self) -> Result<(), String> {
        same(&[("x", self.x), ("y", self.y)])?;
        has("factor", self.factor, 1, self.x.rows())
    }

    fn twin(&self, m: &HostMem) {
        let x = m.f32(self.x);
        m.f32_mut(self.y).for_each_row(|r, y| {
            let factor = factor_of(x.row(r));
            for (y, &x) in y.iter_mut().zip(x.row(r)) {
                *y = (f64::from(x) * factor) as f32;
            }
        });
        m.f32_mut(self.factor).for_each_row(|_, factors| {
            for (r, factor) in factors.iter_mut().enumerate() {
                *factor = factor_of(x.row(r)) as f32;
            }
        });
    }

    /// Relative: half the roundings of a sum of squares (the root halves them), a root, two divisions and a product.
    fn tolerance(&self, _: &str, _: &HostMem, _: Exp) -> Tolerance {
        Tolerance::Within { abs: 1e-37, rel: 2.0 * EPSILON * (12.0 + f64::from(self.x.cols()) / 4.0) }
    }
}

pub fn cases(c: &mut Cases<'_>) {
    for (rows, cols) in [(1, 1), (3, 5), (64, 128), (65, 33), (7, 259)] {
        let x = c.uniform(rows, cols);
        let (y, factor) = (c.output(rows, cols), c.output(1, rows));
        c.add(L2Normalize { x, y, factor });
    }
    for magnitude in [0.0, 1e-20, 1e15] {
        let x = c.filled(shape(5, 7), Fill::Uniform(magnitude));
        let (y, factor) = (c.output(5, 7), c.output(1, 5));
        c.add(L2Normalize { x, y, factor });
    }
}
