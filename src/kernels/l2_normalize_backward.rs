//! The gradient of row normalisation: grad_x = (grad_y - y (y·grad_y)) / ‖x‖.

use super::{Cases, has, row_quads, same};
use crate::core::buffer::{Buf, Fill, shape};
use crate::core::memory::HostMem;
use crate::core::program::{EPSILON, Exp, Kernel, Tolerance};

/// `y` (unit rows), `grad_y`, `grad_x`: `[rows, cols]`; `factor`: `[1, rows]`, one over the norm.
pub struct L2NormalizeBackward {
    pub y: Buf,
    pub factor: Buf,
    pub grad_y: Buf,
    pub grad_x: Buf,
    pub accumulate: bool,
}

/// A factor this large means that the norm's floor was in force, so that the factor was a constant.
const FLOORED: f64 = 9.9999e11;

fn dot(y: &[f32], grad_y: &[f32], f: impl Fn(f64) -> f64) -> f64 {
    y.iter().zip(grad_y).map(|(&y, &grad_y)| f(f64::from(y) * f64::from(grad_y))).sum()
}

impl Kernel for L2NormalizeBackward {
    interface! {
        self runs "l2_normalize_backward";
        bufs { y, factor, grad_y, grad_x }
        params { rows: self.y.rows(), quads: row_quads(self.y), accumulate }
        invocations { self.y.rows() }
    }

    fn check_shapes(&self) -> Result<(), String> {
        same(&[("y", self.y), ("grad_y", self.grad_y), ("grad_x", self.grad_x)])?;
        has("factor", self.factor, 1, self.y.rows())
    }

    fn twin(&self, m: &HostMem) {
        let (y, grad_y, factor) = (m.f32(self.y), m.f32(self.grad_y), m.f32(self.factor));
        m.f32_mut(self.grad_x).for_each_row(|r, grad_x| {
            let factor = f64::from(factor.row(0)[r]);
            let along = if factor > FLOORED { 0.0 } else { dot(y.row(r), grad_y.row(r), |v| v) };
            for ((grad_x, &y), &grad_y) in grad_x.iter_mut().zip(y.row(r)).zip(grad_y.row(r)) {
                let value = (f64::from(grad_y) - f64::from(y) * along) * factor;
                *grad_x = (value + if self.accumulate { f64::from(*grad_x) } else { 0.0 }) as f32;
            }
        });
    }

    /// The dot product's roundings, carried by |y|, and a few for the rest; all scaled by the factor.
    fn tolerance(&self, _: &str, m: &HostMem, _: Exp) -> Tolerance {
        let (y, grad_y, factor, old) = (m.f32(self.y), m.f32(self.grad_y), m.f32(self.factor), m.f32(self.grad_x));
        let bounds = (0..self.y.rows() as usize).flat_map(|r| {
            let along = dot(y.row(r), grad_y.row(r), f64::abs);
            let factor = f64::from(factor.row(0)[r]);
            let terms = f64::from(self.y.cols()) + 4.0;
            let row = y.row(r).iter().zip(grad_y.row(r)).zip(old.row(r));
            let bound = move |((y, grad_y), old): ((&f32, &f32), &f32)| {
                let value = (4.0 * f64::from(grad_y.abs()) + terms * f64::from(y.abs()) * along) * factor;
                let old = if self.accumulate { f64::from(old.abs()) } else { 0.0 };
                2.0 * EPSILON * (value + 2.0 * old) + 1e-37
            };
            row.map(bound).collect::<Vec<_>>()
        });
        Tolerance::Each(bounds.collect())
    }
}

pub fn cases(c: &mut Cases<'_>) {
    for (rows, cols) in [(1, 1), (3, 5), (64, 128), (65, 33), (7, 259)] {
        for accumulate in [false, true] {
            let (y, grad_y, grad_x) = (c.uniform(rows, cols), c.uniform(rows, cols), c.uniform(rows, cols));
            let factor = c.floats((0..rows).map(|r| 0.3 + 0.1 * (r % 7) as f32));
            c.add(L2NormalizeBackward { y, factor, grad_y, grad_x, accumulate });
        }
    }
    let (y, grad_y, grad_x) = (c.uniform(2, 6), c.uniform(2, 6), c.output(2, 6));
    let factor = c.filled(shape(1, 2), Fill::F32(vec![1e12, 3.0]));
    c.add(L2NormalizeBackward { y, factor, grad_y, grad_x, accumulate: false });
}
