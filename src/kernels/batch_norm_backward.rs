//! The gradient of batch normalisation by its input.

use super::batch_norm::{Affine, case_moments, invocations, unless};
use super::{Cases, has, repeated, row_quads, same};
use crate::buffer::Buf;
use crate::memory::HostMem;
use crate::program::{EPSILON, Kernel, Scalar, Tolerance};
use crate::shader::Variant;
use crate::wgsl;

const VARIANTS: &[Variant] =
    &[Variant { consts: &[("ROWS", 4)], ..Variant::plain("batch_norm_backward", &[wgsl!("batch_norm_backward")]) }];

/// `x`, `dy`, `dx`: `[rows, cols]`; `moments`: `[2, cols]`, mean and inverse deviation; `gamma`, `beta`: `[1, cols]`.
pub struct BatchNormBackward {
    pub x: Buf,
    pub dy: Buf,
    pub moments: Buf,
    pub gamma: Buf,
    pub beta: Buf,
    /// Σ dy and Σ dy · x̂ over the rows, `[1, cols]`, where the moments are those of `x`; none where they are constants.
    pub sums: Option<[Buf; 2]>,
    /// `dy` is that of a ReLU's output.
    pub relu: bool,
    pub dx: Buf,
    pub accumulate: bool,
}

impl BatchNormBackward {
    /// Σ dy / rows and inverse · Σ(dy x̂) / rows of each column, pads included.
    fn means(&self, m: &HostMem, inverse: &[f32]) -> [Vec<f32>; 2] {
        let Some(sums) = self.sums else { return [vec![0.0; inverse.len()], vec![0.0; inverse.len()]] };
        let [sum, product] = sums.map(|sums| m.f32(sums).padded().iter().map(|sum| sum / self.x.rows() as f32).collect::<Vec<_>>());
        [sum, product.iter().zip(inverse).map(|(product, inverse)| product * inverse).collect()]
    }
}

impl Kernel for BatchNormBackward {
    fn bufs(&self) -> Vec<(&'static str, Buf)> {
        // Without sums the shader never reads those bindings, but something must be bound.
        let [sum, product] = self.sums.unwrap_or([self.gamma; 2]);
        vec![
            ("x", self.x),
            ("dy", self.dy),
            ("moments", self.moments),
            ("gamma", self.gamma),
            ("beta", self.beta),
            ("sum", sum),
            ("product", product),
            ("dx", self.dx),
        ]
    }

    fn params(&self) -> Vec<(&'static str, Scalar)> {
        vec![
            ("rows", Scalar::U32(self.x.rows())),
            ("quads", Scalar::U32(row_quads(self.x))),
            ("centred", Scalar::U32(self.sums.is_some().into())),
            ("relu", Scalar::U32(self.relu.into())),
            ("accumulate", Scalar::U32(self.accumulate.into())),
        ]
    }

    fn variants(&self) -> &'static [Variant] {
        VARIANTS
    }

    fn invocations(&self, variant: &Variant) -> u64 {
        invocations(self.x, variant)
    }

    fn check_shapes(&self) -> Result<(), String> {
        same(&[("x", self.x), ("dy", self.dy), ("dx", self.dx)])?;
        has("moments", self.moments, 2, self.x.cols())?;
        let [sum, product] = self.sums.unwrap_or([self.gamma; 2]);
        let vectors = [("gamma", self.gamma), ("beta", self.beta), ("sum", sum), ("product", product)];
        vectors.into_iter().try_for_each(|(name, buf)| has(name, buf, 1, self.x.cols()))
    }

    fn accumulates(&self) -> bool {
        self.accumulate
    }

    fn twin(&self, m: &HostMem) {
        let (x, dy, moments, gamma) = (m.f32(self.x), m.f32(self.dy), m.f32(self.moments), m.f32(self.gamma));
        let affine = Affine::read(m, self.moments, self.gamma, self.beta);
        let sums = self.sums.map(|sums| sums.map(|sums| m.f32(sums)));
        let rows = f64::from(self.x.rows());
        m.f32_mut(self.dx).for_each_row(|r, dx| {
            for (c, dx) in dx.iter_mut().enumerate() {
                let (x, dy) = (x.row(r)[c], f64::from(dy.row(r)[c]));
                let [mean, inverse] = [0, 1].map(|row| f64::from(moments.row(row)[c]));
                let [sum, product] = sums.as_ref().map_or([0.0; 2], |[sum, product]| [sum, product].map(|s| f64::from(s.row(0)[c])));
                let dy = if self.relu && affine.closed(c, x) { 0.0 } else { dy };
                let normal = (f64::from(x) - mean) * inverse;
                let value = inverse * f64::from(gamma.row(0)[c]) * (dy - sum / rows - normal * product / rows);
                *dx = (value + if self.accumulate { f64::from(*dx) } else { 0.0 }) as f32;
            }
        });
    }

    fn fast(&self, m: &HostMem) {
        let (x, dy) = (m.f32(self.x), m.f32(self.dy));
        let affine = Affine::read(m, self.moments, self.gamma, self.beta);
        let [mean_dy, slope] = self.means(m, &affine.inverse).map(|mean| repeated(&mean));
        let Affine { mean, scale, shift, .. } = affine.repeated();
        let width = mean.len();
        m.f32_mut(self.dx).for_each_block(|start, dx| {
            let blocks = x.padded()[start..].chunks(width).zip(dy.padded()[start..].chunks(width));
            for (dx, (x, dy)) in dx.chunks_mut(width).zip(blocks) {
                let columns = mean.iter().zip(&scale).zip(&shift).zip(&mean_dy).zip(&slope);
                for (((dx, x), dy), ((((mean, scale), shift), mean_dy), slope)) in dx.iter_mut().zip(x).zip(dy).zip(columns) {
                    let d = x - mean;
                    let g = unless(self.relu & (d * scale <= -shift), *dy);
                    let value = scale * (g - mean_dy - d * slope);
                    *dx = if self.accumulate { *dx + value } else { value };
                }
            }
        });
    }

    /// A few roundings for each of the three terms.
    fn tolerance(&self, _: &str, m: &HostMem) -> Tolerance {
        let (x, dy, old) = (m.f32(self.x), m.f32(self.dy), m.f32(self.dx));
        let affine = Affine::read(m, self.moments, self.gamma, self.beta);
        let [mean_dy, slope] = self.means(m, &affine.inverse);
        let size = |v: f32| f64::from(v.abs());
        let bounds = (0..self.x.rows() as usize).flat_map(|r| {
            let bound = |c: usize| {
                let terms = size(dy.row(r)[c]) + size(mean_dy[c]) + size(x.row(r)[c] - affine.mean[c]) * size(slope[c]);
                let old = if self.accumulate { size(old.row(r)[c]) } else { 0.0 };
                2.0 * EPSILON * (10.0 * size(affine.scale[c]) * terms + old) + 1e-37
            };
            (0..self.x.cols() as usize).map(bound).collect::<Vec<_>>()
        });
        Tolerance::Each(bounds.collect())
    }
}

pub fn cases(c: &mut Cases<'_>) {
    for (rows, cols) in [(1, 1), (3, 5), (4, 16), (65, 63), (257, 8)] {
        for (centred, relu, accumulate) in [(true, false, false), (true, true, false), (false, true, true), (true, true, true)] {
            let [x, dy, dx] = [(); 3].map(|()| c.uniform(rows, cols));
            let [gamma, beta] = [(); 2].map(|()| c.uniform(1, cols));
            // As large as sums over all rows are.
            let sums = centred.then(|| [5, 7].map(|step| c.floats((0..cols).map(|i| rows as f32 * (0.1 * ((i * step) % 11) as f32 - 0.5)))));
            let moments = case_moments(c, cols);
            c.add(BatchNormBackward { x, dy, moments, gamma, beta, sums, relu, dx, accumulate });
        }
    }
}
