//! Batch normalisation with known moments: y = (x - mean) · inverse · gamma + beta, and ReLU.

use super::{Cases, has, repeated, row_quads};
use crate::core::buffer::{Buf, Fill, shape};
use crate::core::memory::HostMem;
use crate::core::program::{EPSILON, Exp, Kernel, Tolerance};
use crate::core::shader::Variant;
use crate::wgsl;

const VARIANTS: &[Variant] =
    &[Variant { consts: &[("ROWS", 4)], ..Variant::plain("batch_norm", &[wgsl!("batch_norm")]) }];

/// `x`, `y`: `[rows, cols]`; `moments`: `[2, cols]`, mean and 1 / sqrt(variance + eps); `gamma`, `beta`: `[1, cols]`.
pub struct BatchNorm {
    pub x: Buf,
    pub moments: Buf,
    pub gamma: Buf,
    pub beta: Buf,
    pub y: Buf,
    pub relu: bool,
}

/// What a column is moved and stretched by, pads included.
pub(super) struct Affine {
    pub mean: Vec<f32>,
    pub inverse: Vec<f32>,
    /// inverse · gamma
    pub scale: Vec<f32>,
    pub shift: Vec<f32>,
}

impl Affine {
    pub(super) fn read(m: &HostMem, moments: Buf, gamma: Buf, beta: Buf) -> Self {
        let (moments, gamma, shift) = (m.f32(moments), m.f32(gamma), m.f32(beta));
        let (mean, inverse) = moments.padded().split_at(gamma.padded().len());
        let scale = inverse.iter().zip(gamma.padded()).map(|(inverse, gamma)| inverse * gamma).collect();
        Affine { mean: mean.into(), inverse: inverse.into(), scale, shift: shift.padded().into() }
    }

    /// Each vector several times over, for loops over several rows at once.
    pub(super) fn repeated(self) -> Self {
        let Affine { mean, inverse, scale, shift } = self;
        Affine { mean: repeated(&mean), inverse: repeated(&inverse), scale: repeated(&scale), shift: repeated(&shift) }
    }

    /// Whether the ReLU of `x` in column `c` is closed. In f32 and in the shaders' order, so that all decide alike.
    pub(super) fn closed(&self, c: usize, x: f32) -> bool {
        (x - self.mean[c]) * self.scale[c] <= -self.shift[c]
    }
}

/// `value`, or zero where `closed`, without a branch: which ReLUs are closed is beyond prediction.
pub(super) fn unless(closed: bool, value: f32) -> f32 {
    f32::from_bits(value.to_bits() & u32::from(closed).wrapping_sub(1))
}

/// Rows times quads, with a few rows for each invocation.
pub(super) fn invocations(x: Buf, variant: &Variant) -> u64 {
    u64::from(x.rows().div_ceil(variant.constant("ROWS"))) * u64::from(row_quads(x))
}

impl Kernel for BatchNorm {
    interface! {
        self;
        bufs { x, moments, gamma, beta, y }
        params { rows: self.x.rows(), quads: row_quads(self.x), relu }
    }

    fn variants(&self) -> &'static [Variant] {
        VARIANTS
    }

    fn invocations(&self, variant: &Variant) -> u64 {
        invocations(self.x, variant)
    }

    fn check_shapes(&self) -> Result<(), String> {
        has("y", self.y, self.x.rows(), self.x.cols())?;
        has("moments", self.moments, 2, self.x.cols())?;
        has("gamma", self.gamma, 1, self.x.cols())?;
        has("beta", self.beta, 1, self.x.cols())
    }

    fn twin(&self, m: &HostMem) {
        let (x, moments, gamma, beta) = (m.f32(self.x), m.f32(self.moments), m.f32(self.gamma), m.f32(self.beta));
        let affine = Affine::read(m, self.moments, self.gamma, self.beta);
        m.f32_mut(self.y).for_each_row(|r, y| {
            for (c, (y, &x)) in y.iter_mut().zip(x.row(r)).enumerate() {
                let [mean, inverse] = [0, 1].map(|row| f64::from(moments.row(row)[c]));
                let value = (f64::from(x) - mean) * inverse * f64::from(gamma.row(0)[c]) + f64::from(beta.row(0)[c]);
                *y = if self.relu && affine.closed(c, x) { 0.0 } else { value as f32 };
            }
        });
    }

    fn fast(&self, m: &HostMem) {
        let x = m.f32(self.x);
        let Affine { mean, scale, shift, .. } = Affine::read(m, self.moments, self.gamma, self.beta).repeated();
        m.f32_mut(self.y).for_each_block(|start, y| {
            for (y, x) in y.chunks_mut(mean.len()).zip(x.padded()[start..].chunks(mean.len())) {
                for ((((y, x), mean), scale), shift) in y.iter_mut().zip(x).zip(&mean).zip(&scale).zip(&shift) {
                    let scaled = (x - mean) * scale;
                    *y = if self.relu & (scaled <= -shift) { 0.0 } else { scaled + shift };
                }
            }
        });
    }

    /// A difference, two products and a sum.
    fn tolerance(&self, _: &str, m: &HostMem, _: Exp) -> Tolerance {
        let (x, Affine { mean, scale, shift, .. }) = (m.f32(self.x), Affine::read(m, self.moments, self.gamma, self.beta));
        let bounds = (0..self.x.rows() as usize).flat_map(|r| {
            let bound = |(c, x): (usize, &f32)| {
                let scaled = (f64::from(*x) - f64::from(mean[c])) * f64::from(scale[c]);
                2.0 * EPSILON * (4.0 * scaled.abs() + 2.0 * f64::from(shift[c].abs())) + 1e-37
            };
            x.row(r).iter().enumerate().map(bound).collect::<Vec<_>>()
        });
        Tolerance::Each(bounds.collect())
    }
}

/// Means in [-1, 1), inverse deviations from 0.5 to 2.
pub(super) fn case_moments(c: &mut Cases<'_>, cols: u32) -> Buf {
    let value = |i: u32| ((i * 37) % 64) as f32 / 64.0;
    let (means, inverses) = ((0..cols).map(|i| 2.0 * value(i) - 1.0), (0..cols).map(|i| 0.5 + 1.5 * value(i + 11)));
    c.filled(shape(2, cols), Fill::F32(means.chain(inverses).collect()))
}

pub fn cases(c: &mut Cases<'_>) {
    for (rows, cols) in [(1, 1), (3, 5), (4, 16), (65, 63), (257, 8)] {
        for relu in [false, true] {
            let (x, gamma, beta, y) = (c.uniform(rows, cols), c.uniform(1, cols), c.uniform(1, cols), c.output(rows, cols));
            let moments = case_moments(c, cols);
            c.add(BatchNorm { x, moments, gamma, beta, y, relu });
        }
    }
}
