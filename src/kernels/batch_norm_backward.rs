//! The gradient of batch normalisation by its input.

use multiversion::multiversion;

use super::batch_norm::{Affine, Clip, case_moments, invocations, unless};
use super::{Cases, has, repeated, row_quads, same};
use crate::core::buffer::{Buf, shape};
use crate::core::memory::HostMem;
use crate::core::program::{EPSILON, Exp, Kernel, Tolerance};
use crate::core::shader::Variant;
use crate::wgsl;

const VARIANTS: &[Variant] =
    &[Variant { consts: &[("ROWS", 4)], ..Variant::plain("batch_norm_backward", &[wgsl!("batch_norm_backward")]) }];

/// `x`, `grad_y`, `grad_x`: `[rows, cols]`; `moments`: `[2, cols]`, mean and inverse deviation; `gamma`, `beta`: `[1, cols]`.
pub struct BatchNormBackward {
    pub x: Buf,
    pub grad_y: Buf,
    pub moments: Buf,
    pub gamma: Buf,
    pub beta: Buf,
    /// Σ grad_y and Σ grad_y · x̂ over the rows, `[1, cols]`, where the moments are those of `x`; none where they are constants.
    pub sums: Option<[Buf; 2]>,
    /// `grad_y` is that of what was cut.
    pub clip: Clip,
    pub grad_x: Buf,
    pub accumulate: bool,
}

impl BatchNormBackward {
    /// Σ grad_y / rows and inverse · Σ(grad_y x̂) / rows of each column, pads included.
    fn means(&self, m: &HostMem, inverse: &[f32]) -> [Vec<f32>; 2] {
        let Some(sums) = self.sums else { return [vec![0.0; inverse.len()], vec![0.0; inverse.len()]] };
        let [sum, product] = sums.map(|sums| m.f32(sums).padded().iter().map(|sum| sum / self.x.rows() as f32).collect::<Vec<_>>());
        [sum, product.iter().zip(inverse).map(|(product, inverse)| product * inverse).collect()]
    }
}

/// Whole rows of `grad_x`.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
fn backward(grad_x: &mut [f32], x: &[f32], grad_y: &[f32], affine: &Affine, means: &[Vec<f32>; 2], clip: Clip, accumulate: bool) {
    let (Affine { mean, scale, shift, .. }, [mean_grad_y, slope]) = (affine, means);
    let (width, floors, ceiling) = (mean.len(), clip.floors(), clip.ceiling());
    for (grad_x, (x, grad_y)) in grad_x.chunks_mut(width).zip(x.chunks(width).zip(grad_y.chunks(width))) {
        let columns = mean.iter().zip(scale).zip(shift).zip(mean_grad_y).zip(slope);
        for (((grad_x, x), grad_y), ((((mean, scale), shift), mean_grad_y), slope)) in grad_x.iter_mut().zip(x).zip(grad_y).zip(columns) {
            let d = x - mean;
            let closed = (d * scale <= -shift) | (d * scale >= ceiling - shift);
            let g = unless(floors & closed, *grad_y);
            let value = scale * (g - mean_grad_y - d * slope);
            *grad_x = if accumulate { *grad_x + value } else { value };
        }
    }
}

impl Kernel for BatchNormBackward {
    interface! {
        self;
        // Without sums the shader never reads those bindings, but something must be bound.
        bufs {
            x,
            grad_y,
            moments,
            gamma,
            beta,
            sum: self.sums.map_or(self.gamma, |sums| sums[0]),
            product: self.sums.map_or(self.gamma, |sums| sums[1]),
            grad_x,
        }
        params {
            rows: self.x.rows(),
            quads: row_quads(self.x),
            centred: self.sums.is_some(),
            clip: self.clip.floors(),
            ceiling: self.clip.ceiling(),
            accumulate,
        }
    }

    fn variants(&self) -> &'static [Variant] {
        VARIANTS
    }

    fn invocations(&self, variant: &Variant) -> u64 {
        invocations(self.x, variant)
    }

    fn check_shapes(&self) -> Result<(), String> {
        same(&[("x", self.x), ("grad_y", self.grad_y), ("grad_x", self.grad_x)])?;
        has("moments", self.moments, 2, self.x.cols())?;
        let [sum, product] = self.sums.unwrap_or([self.gamma; 2]);
        let vectors = [("gamma", self.gamma), ("beta", self.beta), ("sum", sum), ("product", product)];
        vectors.into_iter().try_for_each(|(name, buf)| has(name, buf, 1, self.x.cols()))
    }

    fn twin(&self, m: &HostMem) {
        let (x, grad_y, moments, gamma) = (m.f32(self.x), m.f32(self.grad_y), m.f32(self.moments), m.f32(self.gamma));
        let affine = Affine::read(m, self.moments, self.gamma, self.beta);
        let sums = self.sums.map(|sums| sums.map(|sums| m.f32(sums)));
        let rows = f64::from(self.x.rows());
        m.f32_mut(self.grad_x).for_each_row(|r, grad_x| {
            for (c, grad_x) in grad_x.iter_mut().enumerate() {
                let (x, grad_y) = (x.row(r)[c], f64::from(grad_y.row(r)[c]));
                let [mean, inverse] = [0, 1].map(|row| f64::from(moments.row(row)[c]));
                let [sum, product] = sums.as_ref().map_or([0.0; 2], |[sum, product]| [sum, product].map(|s| f64::from(s.row(0)[c])));
                let grad_y = if affine.clipped(self.clip, c, x).is_some() { 0.0 } else { grad_y };
                let normal = (f64::from(x) - mean) * inverse;
                let value = inverse * f64::from(gamma.row(0)[c]) * (grad_y - sum / rows - normal * product / rows);
                *grad_x = (value + if self.accumulate { f64::from(*grad_x) } else { 0.0 }) as f32;
            }
        });
    }

    fn fast(&self, m: &HostMem) {
        let (x, grad_y) = (m.f32(self.x), m.f32(self.grad_y));
        let affine = Affine::read(m, self.moments, self.gamma, self.beta);
        let means = self.means(m, &affine.inverse).map(|mean| repeated(&mean));
        let affine = affine.repeated();
        m.f32_mut(self.grad_x).for_each_block(|start, grad_x| {
            backward(grad_x, &x.padded()[start..], &grad_y.padded()[start..], &affine, &means, self.clip, self.accumulate);
        });
    }

    /// A few roundings for each of the three terms.
    fn tolerance(&self, _: &str, m: &HostMem, _: Exp) -> Tolerance {
        let (x, grad_y, old) = (m.f32(self.x), m.f32(self.grad_y), m.f32(self.grad_x));
        let affine = Affine::read(m, self.moments, self.gamma, self.beta);
        let [mean_grad_y, slope] = self.means(m, &affine.inverse);
        let size = |v: f32| f64::from(v.abs());
        let bounds = (0..self.x.rows() as usize).flat_map(|r| {
            let bound = |c: usize| {
                let terms = size(grad_y.row(r)[c]) + size(mean_grad_y[c]) + size(x.row(r)[c] - affine.mean[c]) * size(slope[c]);
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
        for (centred, clip, accumulate) in [
            (true, Clip::None, false),
            (true, Clip::Relu, false),
            (false, Clip::Relu, true),
            (true, Clip::Relu, true),
            (true, Clip::Relu6, false),
        ] {
            let x = c.filled(shape(rows, cols), clip.case_values());
            let [grad_y, grad_x] = [(); 2].map(|()| c.uniform(rows, cols));
            let [gamma, beta] = [(); 2].map(|()| c.uniform(1, cols));
            // As large as sums over all rows are.
            let sums = centred.then(|| [5, 7].map(|step| c.floats((0..cols).map(|i| rows as f32 * (0.1 * ((i * step) % 11) as f32 - 0.5)))));
            let moments = case_moments(c, cols);
            c.add(BatchNormBackward { x, grad_y, moments, gamma, beta, sums, clip, grad_x, accumulate });
        }
    }
}
