//! Layer normalisation: rows to mean 0 and variance 1, then gamma and beta.

use rayon::prelude::*;

use super::{Cases, NORM_EPS, has, row_quads, same};
use crate::core::buffer::{Buf, Fill, shape};
use crate::core::memory::HostMem;
use crate::core::program::{EPSILON, Exp, Kernel, Tolerance};

/// `x`, `y`: `[rows, cols]`; `gamma`, `beta`: `[1, cols]`; `moments`: `[rows, 2]`, mean and 1 / sqrt(variance + eps).
pub struct LayerNorm {
    pub x: Buf,
    pub gamma: Buf,
    pub beta: Buf,
    pub y: Buf,
    pub moments: Buf,
    pub eps: f32,
}

/// (mean, variance)
fn moments(row: &[f32]) -> (f64, f64) {
    let values = || row.iter().map(|&x| f64::from(x));
    let mean = values().sum::<f64>() / row.len() as f64;
    (mean, values().map(|x| (x - mean).powi(2)).sum::<f64>() / row.len() as f64)
}


/// Σ f(index, row element) in eight strands, which the compiler turns into one vector.
pub(super) fn sum_row(row: &[f32], f: impl Fn(usize, f32) -> f32) -> f32 {
    let mut strands = [0.0_f32; 8];
    let (blocks, rest) = row.as_chunks::<8>();
    for (b, block) in blocks.iter().enumerate() {
        for (i, (strand, &x)) in strands.iter_mut().zip(block).enumerate() {
            *strand += f(8 * b + i, x);
        }
    }
    rest.iter().enumerate().map(|(i, &x)| f(8 * blocks.len() + i, x)).sum::<f32>() + strands.iter().sum::<f32>()
}

impl LayerNorm {
    fn inverse(&self, variance: f64) -> f64 {
        1.0 / (variance + f64::from(self.eps)).sqrt()
    }

    /// How far mean and inverse deviation of a row may lie off: a rounding per quad and a few more.
    fn errors(&self, row: &[f32]) -> (f64, f64) {
        let (mean, variance) = moments(row);
        let terms = f64::from(row_quads(self.x)) + 8.0;
        let magnitude = row.iter().map(|x| f64::from(x.abs())).sum::<f64>() / row.len() as f64;
        let of_mean = 2.0 * EPSILON * (terms * magnitude + mean.abs()) + 1e-37;
        let of_variance = 2.0 * EPSILON * terms * variance + of_mean.powi(2);
        let of_inverse = self.inverse(variance) * (0.5 * of_variance / (variance + f64::from(self.eps)) + 2.0 * EPSILON * 6.0);
        (of_mean, of_inverse)
    }
}

impl Kernel for LayerNorm {
    interface! {
        self runs "layer_norm" after "inside";
        bufs { x, gamma, beta, y, moments }
        params { rows: self.x.rows(), cols: self.x.cols(), quads: row_quads(self.x), eps: self.eps }
        invocations { self.x.rows() }
    }

    fn check_shapes(&self) -> Result<(), String> {
        same(&[("x", self.x), ("y", self.y)])?;
        has("gamma", self.gamma, 1, self.x.cols())?;
        has("beta", self.beta, 1, self.x.cols())?;
        has("moments", self.moments, self.x.rows(), 2)
    }

    fn twin(&self, m: &HostMem) {
        let (x, gamma, beta) = (m.f32(self.x), m.f32(self.gamma), m.f32(self.beta));
        m.f32_mut(self.y).for_each_row(|r, y| {
            let (mean, variance) = moments(x.row(r));
            for (((y, &x), &gamma), &beta) in y.iter_mut().zip(x.row(r)).zip(gamma.row(0)).zip(beta.row(0)) {
                *y = ((f64::from(x) - mean) * self.inverse(variance) * f64::from(gamma) + f64::from(beta)) as f32;
            }
        });
        m.f32_mut(self.moments).for_each_row(|r, out| {
            let (mean, variance) = moments(x.row(r));
            out.copy_from_slice(&[mean as f32, self.inverse(variance) as f32]);
        });
    }

    fn fast(&self, m: &HostMem) {
        let (x, gamma, beta) = (m.f32(self.x), m.f32(self.gamma), m.f32(self.beta));
        let (cols, stride) = (self.x.cols() as usize, self.x.shape.stride() as usize);
        let (mut y, mut kept) = (m.f32_mut(self.y), m.f32_mut(self.moments));
        let rows = y.padded_mut().par_chunks_mut(stride).zip(kept.padded_mut().par_chunks_mut(4));
        rows.with_min_len(4096_usize.div_ceil(stride)).enumerate().for_each(|(r, (y, kept))| {
            let x = x.row(r);
            let mean = sum_row(x, |_, x| x) / cols as f32;
            let variance = sum_row(x, |_, x| (x - mean) * (x - mean)) / cols as f32;
            let inverse = 1.0 / (variance + self.eps).sqrt();
            kept.copy_from_slice(&[mean, inverse, 0.0, 0.0]);
            y[cols..].fill(0.0);
            for (((y, x), gamma), beta) in y.iter_mut().zip(x).zip(gamma.row(0)).zip(beta.row(0)) {
                *y = (x - mean) * (inverse * gamma) + beta;
            }
        });
    }

    /// The errors of mean and inverse deviation, carried to y, and a few roundings.
    fn tolerance(&self, output: &str, m: &HostMem, _: Exp) -> Tolerance {
        let (x, gamma, beta) = (m.f32(self.x), m.f32(self.gamma), m.f32(self.beta));
        let bounds = (0..self.x.rows() as usize).flat_map(|r| {
            let row = x.row(r);
            let (of_mean, of_inverse) = self.errors(row);
            if output == "moments" {
                return vec![of_mean, of_inverse];
            }
            let (mean, variance) = moments(row);
            let inverse = self.inverse(variance);
            let bound = |((&x, &gamma), &beta): ((&f32, &f32), &f32)| {
                let (d, gamma) = ((f64::from(x) - mean).abs(), f64::from(gamma.abs()));
                let rounded = 2.0 * EPSILON * (4.0 * d * inverse * gamma + 2.0 * f64::from(beta.abs()));
                gamma * (of_mean * inverse + d * of_inverse) + rounded + 1e-37
            };
            row.iter().zip(gamma.row(0)).zip(beta.row(0)).map(bound).collect()
        });
        Tolerance::Each(bounds.collect())
    }
}

pub fn cases(c: &mut Cases<'_>) {
    for (rows, cols) in [(1, 1), (3, 5), (64, 128), (65, 33), (7, 259)] {
        let (x, gamma, beta) = (c.uniform(rows, cols), c.uniform(1, cols), c.uniform(1, cols));
        let (y, moments) = (c.output(rows, cols), c.output(rows, 2));
        c.add(LayerNorm { x, gamma, beta, y, moments, eps: NORM_EPS });
    }
    // A mean far larger than the deviations; rows without any, whose mean is exact.
    for spread in [0.25, 0.0] {
        let x = c.filled(shape(5, 7), Fill::F32((0..35).map(|i| 64.0 + spread * ((i * 5) % 7) as f32).collect()));
        let (gamma, beta, y, moments) = (c.uniform(1, 7), c.uniform(1, 7), c.output(5, 7), c.output(5, 2));
        c.add(LayerNorm { x, gamma, beta, y, moments, eps: NORM_EPS });
    }
    // As BERT has it.
    let (x, gamma, beta, y, moments) = (c.uniform(9, 384), c.uniform(1, 384), c.uniform(1, 384), c.output(9, 384), c.output(9, 2));
    c.add(LayerNorm { x, gamma, beta, y, moments, eps: 1e-12 });
}
