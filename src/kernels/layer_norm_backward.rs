//! The gradient of layer normalisation by its input.

use super::layer_norm::sum_row;
use super::{Cases, has, row_quads, same};
use crate::core::buffer::{Buf, Fill, shape};
use crate::core::memory::HostMem;
use crate::core::program::{EPSILON, Exp, Kernel, Tolerance};

/// `x`, `grad_y`, `grad_x`: `[rows, cols]`; `moments`: `[rows, 2]`, mean and inverse deviation; `gamma`: `[1, cols]`.
pub struct LayerNormBackward {
    pub x: Buf,
    pub grad_y: Buf,
    pub moments: Buf,
    pub gamma: Buf,
    pub grad_x: Buf,
    pub accumulate: bool,
}

/// f(g), x̂, with g = grad_y · gamma, for each column of a row.
fn terms(x: &[f32], grad_y: &[f32], gamma: &[f32], moments: &[f32], f: impl Fn(f64) -> f64) -> Vec<(f64, f64)> {
    let [mean, inverse] = [f64::from(moments[0]), f64::from(moments[1])];
    let term = |((&x, &grad_y), &gamma): ((&f32, &f32), &f32)| (f(f64::from(grad_y) * f64::from(gamma)), f((f64::from(x) - mean) * inverse));
    x.iter().zip(grad_y).zip(gamma).map(term).collect()
}

/// Mean of g and of g x̂.
fn means(terms: &[(f64, f64)]) -> (f64, f64) {
    let count = terms.len() as f64;
    (terms.iter().map(|(g, _)| g).sum::<f64>() / count, terms.iter().map(|(g, normal)| g * normal).sum::<f64>() / count)
}

impl Kernel for LayerNormBackward {
    interface! {
        self runs "layer_norm_backward" after "inside";
        bufs { x, grad_y, moments, gamma, grad_x }
        params { rows: self.x.rows(), cols: self.x.cols(), quads: row_quads(self.x), accumulate }
        invocations { self.x.rows() }
    }

    fn check_shapes(&self) -> Result<(), String> {
        same(&[("x", self.x), ("grad_y", self.grad_y), ("grad_x", self.grad_x)])?;
        has("moments", self.moments, self.x.rows(), 2)?;
        has("gamma", self.gamma, 1, self.x.cols())
    }

    fn twin(&self, m: &HostMem) {
        let (x, grad_y, moments, gamma) = (m.f32(self.x), m.f32(self.grad_y), m.f32(self.moments), m.f32(self.gamma));
        m.f32_mut(self.grad_x).for_each_row(|r, grad_x| {
            let terms = terms(x.row(r), grad_y.row(r), gamma.row(0), moments.row(r), |v| v);
            let (mean, slope) = means(&terms);
            for (grad_x, (g, normal)) in grad_x.iter_mut().zip(terms) {
                let value = f64::from(moments.row(r)[1]) * (g - mean - normal * slope);
                *grad_x = (value + if self.accumulate { f64::from(*grad_x) } else { 0.0 }) as f32;
            }
        });
    }

    fn fast(&self, m: &HostMem) {
        let (x, grad_y, moments, gamma) = (m.f32(self.x), m.f32(self.grad_y), m.f32(self.moments), m.f32(self.gamma));
        let (gamma, cols) = (gamma.row(0), self.x.cols() as usize);
        m.f32_mut(self.grad_x).for_each_row(|r, grad_x| {
            let (x, grad_y, [mean, inverse]) = (&x.row(r)[..cols], &grad_y.row(r)[..cols], [0, 1].map(|i| moments.row(r)[i]));
            let mean_g = sum_row(grad_y, |i, grad_y| grad_y * gamma[i]) / cols as f32;
            let slope = sum_row(grad_y, |i, grad_y| grad_y * gamma[i] * ((x[i] - mean) * inverse)) / cols as f32;
            for (((grad_x, x), grad_y), gamma) in grad_x.iter_mut().zip(x).zip(grad_y).zip(gamma) {
                let value = inverse * (grad_y * gamma - mean_g - (x - mean) * inverse * slope);
                *grad_x = if self.accumulate { *grad_x + value } else { value };
            }
        });
    }

    /// A rounding per quad for the two means, and a few for each term.
    fn tolerance(&self, _: &str, m: &HostMem, _: Exp) -> Tolerance {
        let (x, grad_y, moments, gamma, old) = (m.f32(self.x), m.f32(self.grad_y), m.f32(self.moments), m.f32(self.gamma), m.f32(self.grad_x));
        let summed = f64::from(row_quads(self.x)) + 10.0;
        let bounds = (0..self.x.rows() as usize).flat_map(|r| {
            let terms = terms(x.row(r), grad_y.row(r), gamma.row(0), moments.row(r), f64::abs);
            let (mean, slope) = means(&terms);
            let bound = |((g, normal), old): (&(f64, f64), &f32)| {
                let old = if self.accumulate { f64::from(old.abs()) } else { 0.0 };
                let value = f64::from(moments.row(r)[1]) * (5.0 * g + summed * (mean + normal * slope));
                2.0 * EPSILON * (value + 2.0 * old) + 1e-37
            };
            terms.iter().zip(old.row(r)).map(bound).collect::<Vec<_>>()
        });
        Tolerance::Each(bounds.collect())
    }
}

pub fn cases(c: &mut Cases<'_>) {
    for (rows, cols) in [(1, 1), (3, 5), (64, 128), (65, 33), (7, 259)] {
        for accumulate in [false, true] {
            let [x, grad_y, grad_x] = [(); 3].map(|()| c.uniform(rows, cols));
            let gamma = c.uniform(1, cols);
            let moments = (0..rows).flat_map(|r| [0.1 * (r % 7) as f32 - 0.3, 0.5 + 0.1 * (r % 5) as f32]);
            let moments = c.filled(shape(rows, 2), Fill::F32(moments.collect()));
            c.add(LayerNormBackward { x, grad_y, moments, gamma, grad_x, accumulate });
        }
    }
}
