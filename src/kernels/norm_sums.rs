//! What the backward pass of a normalisation sums over rows, by parts: grad_y and grad_y · x̂ of each column.

use multiversion::multiversion;
use rayon::prelude::*;

use super::batch_norm::{Affine, Clip, case_moments, unless};
use super::{Cases, has, part_of, part_rows, parts, row_quads, same};
use crate::core::buffer::{Buf, Fill, shape};
use crate::core::memory::{HostMem, Rows};
use crate::core::program::{EPSILON, Exp, Kernel, Tolerance};

/// `x`, `grad_y`: `[rows, cols]`; `gamma`, `beta`: `[1, cols]`; `sums`, `products`: `[parts, cols]`, of [`parts`] parts.
pub struct NormSums {
    pub x: Buf,
    pub grad_y: Buf,
    /// Mean and inverse deviation: `[2, cols]` of columns, or `[rows, 2]` of rows.
    pub moments: Buf,
    pub by_row: bool,
    pub gamma: Buf,
    pub beta: Buf,
    /// `grad_y` is that of what was cut. Only where moments belong to columns.
    pub clip: Clip,
    pub sums: Buf,
    pub products: Buf,
}

impl NormSums {
    /// Σ f(grad_y) and Σ f(grad_y · x̂) of each column over part `part`.
    fn part(&self, m: &HostMem, [x, grad_y, moments]: &[Rows<f32>; 3], part: usize, f: impl Fn(f64) -> f64) -> Vec<[f64; 2]> {
        let affine = (!self.by_row).then(|| Affine::read(m, self.moments, self.gamma, self.beta));
        let mut sums = vec![[0.0; 2]; self.x.cols() as usize];
        for r in part_of(self.x.rows(), part) {
            for (c, sums) in sums.iter_mut().enumerate() {
                let (x, grad_y) = (x.row(r)[c], grad_y.row(r)[c]);
                let [mean, inverse] = [0, 1].map(|i| f64::from(if self.by_row { moments.row(r)[i] } else { moments.row(i)[c] }));
                let closed = affine.as_ref().is_some_and(|affine| affine.clipped(self.clip, c, x).is_some());
                let grad_y = if closed { 0.0 } else { f64::from(grad_y) };
                sums[0] += f(grad_y);
                sums[1] += f(grad_y * (f64::from(x) - mean) * inverse);
            }
        }
        sums
    }

    fn rows<'a>(&self, m: &'a HostMem) -> [Rows<'a, f32>; 3] {
        [self.x, self.grad_y, self.moments].map(|buf| m.f32(buf))
    }
}

impl Kernel for NormSums {
    interface! {
        self runs "norm_sums";
        bufs { x, grad_y, moments, gamma, beta, sums, products }
        params {
            rows: self.x.rows(),
            part_rows: part_rows(self.x.rows()),
            parts: self.sums.rows(),
            quads: row_quads(self.x),
            ceiling: self.clip.ceiling(),
        }
        constants { BY_ROW: self.by_row, CLIP: self.clip.floors() }
        invocations { u64::from(self.sums.rows()) * u64::from(row_quads(self.x)) }
    }

    fn check_shapes(&self) -> Result<(), String> {
        let (rows, cols) = (self.x.rows(), self.x.cols());
        same(&[("x", self.x), ("grad_y", self.grad_y)])?;
        let [moment_rows, moment_cols] = if self.by_row { [rows, 2] } else { [2, cols] };
        has("moments", self.moments, moment_rows, moment_cols)?;
        has("gamma", self.gamma, 1, cols)?;
        has("beta", self.beta, 1, cols)?;
        has("sums", self.sums, parts(rows), cols)?;
        has("products", self.products, parts(rows), cols)?;
        if self.by_row && self.clip.floors() { Err("a ReLU can be undone only with moments of columns".into()) } else { Ok(()) }
    }

    fn twin(&self, m: &HostMem) {
        let rows = self.rows(m);
        for (out, pick) in [(self.sums, 0), (self.products, 1)] {
            m.f32_mut(out).for_each_row(|p, out| {
                for (out, sums) in out.iter_mut().zip(self.part(m, &rows, p, |v| v)) {
                    *out = sums[pick] as f32;
                }
            });
        }
    }

    fn fast(&self, m: &HostMem) {
        let [x, grad_y, moments] = self.rows(m);
        let stride = self.x.shape.stride() as usize;
        // Layer normalisation has new moments in each row, so that rows cannot run side by side.
        let affine = (!self.by_row).then(|| Affine::read(m, self.moments, self.gamma, self.beta).repeated());
        let width = affine.as_ref().map_or(stride, |affine| affine.mean.len());
        let (mut sums, mut products) = (m.f32_mut(self.sums), m.f32_mut(self.products));
        let outputs = sums.padded_mut().par_chunks_mut(stride).zip(products.padded_mut().par_chunks_mut(stride));
        outputs.enumerate().for_each(|(p, (sums, products))| {
            let rows = part_of(self.x.rows(), p);
            let words = rows.start * stride..rows.end * stride;
            let (x, grad_y) = (&x.padded()[words.clone()], &grad_y.padded()[words]);
            let mut strands = [vec![0.0_f32; width], vec![0.0_f32; width]];
            match &affine {
                Some(affine) => add_columns(&mut strands, x, grad_y, affine, self.clip),
                None => {
                    let blocks = x.chunks(width).zip(grad_y.chunks(width));
                    blocks.zip(rows).for_each(|((x, grad_y), r)| add_row(&mut strands, x, grad_y, moments.row(r)));
                }
            }
            let total = |strands: &[f32], c: usize| strands[c..].iter().step_by(stride).sum::<f32>();
            for (c, (sum, product)) in sums.iter_mut().zip(products).enumerate() {
                *sum = total(&strands[0], c);
                *product = total(&strands[1], c) * affine.as_ref().map_or(1.0, |affine| affine.inverse[c]);
            }
        });
    }

    /// One rounding per row, and three for x̂ and its product.
    fn tolerance(&self, output: &str, m: &HostMem, _: Exp) -> Tolerance {
        let (rows, pick) = (self.rows(m), usize::from(output == "products"));
        let terms = f64::from(part_rows(self.x.rows())) + 4.0;
        let bounds = (0..self.sums.rows() as usize).flat_map(|p| self.part(m, &rows, p, f64::abs));
        Tolerance::Each(bounds.map(|sums| 2.0 * EPSILON * terms * sums[pick] + 1e-37).collect())
    }
}

/// Adds grad_y and grad_y · (x - mean): the inverse deviation of a column can wait until its sum is complete.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
fn add_columns([sums, products]: &mut [Vec<f32>; 2], x: &[f32], grad_y: &[f32], affine: &Affine, clip: Clip) {
    let Affine { mean, scale, shift, .. } = affine;
    let (floors, ceiling) = (clip.floors(), clip.ceiling());
    for (x, grad_y) in x.chunks(mean.len()).zip(grad_y.chunks(mean.len())) {
        let columns = mean.iter().zip(scale).zip(shift).zip(sums.iter_mut()).zip(products.iter_mut());
        for ((x, grad_y), ((((mean, scale), shift), sum), product)) in x.iter().zip(grad_y).zip(columns) {
            let d = x - mean;
            let closed = (d * scale <= -shift) | (d * scale >= ceiling - shift);
            let g = unless(floors & closed, *grad_y);
            *sum += g;
            *product += g * d;
        }
    }
}

fn add_row([sums, products]: &mut [Vec<f32>; 2], x: &[f32], grad_y: &[f32], moments: &[f32]) {
    for (((x, grad_y), sum), product) in x.iter().zip(grad_y).zip(sums).zip(products) {
        *sum += grad_y;
        *product += grad_y * ((x - moments[0]) * moments[1]);
    }
}

pub fn cases(c: &mut Cases<'_>) {
    for (rows, cols) in [(1, 1), (2, 3), (16, 4), (67, 65), (1025, 7)] {
        for (by_row, clip) in Clip::ALL.map(|clip| (false, clip)).into_iter().chain([(true, Clip::None)]) {
            let (x, grad_y, gamma, beta) = (c.filled(shape(rows, cols), clip.case_values()), c.uniform(rows, cols), c.uniform(1, cols), c.uniform(1, cols));
            let of_rows = (0..rows).flat_map(|r| [0.1 * (r % 7) as f32 - 0.3, 0.5 + 0.1 * (r % 5) as f32]);
            let moments = if by_row { c.filled(shape(rows, 2), Fill::F32(of_rows.collect())) } else { case_moments(c, cols) };
            let (sums, products) = (c.output(parts(rows), cols), c.output(parts(rows), cols));
            c.add(NormSums { x, grad_y, moments, by_row, gamma, beta, clip, sums, products });
        }
    }
}
