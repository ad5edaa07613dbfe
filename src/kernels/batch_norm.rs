//! Batch normalisation with known moments: y = (x - mean) · inverse · gamma + beta, and ReLU or ReLU6.

use multiversion::multiversion;

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
    pub clip: Clip,
}

/// What values are cut to after a normalisation. The gradient is zero where they were, ends included.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Clip {
    None,
    /// From 0 on.
    Relu,
    /// From 0 to 6.
    Relu6,
}

impl Clip {
    pub const ALL: [Clip; 3] = [Clip::None, Clip::Relu, Clip::Relu6];

    /// Whether there is a least value, which is 0.
    pub(super) fn floors(self) -> bool {
        self != Clip::None
    }

    /// The largest value.
    pub(super) fn ceiling(self) -> f32 {
        if self == Clip::Relu6 { 6.0 } else { f32::MAX }
    }

    /// What makes values large enough for some to be cut.
    pub(super) fn case_values(self) -> Fill {
        Fill::Uniform(if self == Clip::Relu6 { 4.0 } else { 1.0 })
    }
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

    /// What `x` in column `c` is cut to, if it is. In f32 and in the shaders' order, so that all decide alike.
    pub(super) fn clipped(&self, clip: Clip, c: usize, x: f32) -> Option<f32> {
        let (scaled, shift) = ((x - self.mean[c]) * self.scale[c], self.shift[c]);
        match clip.floors() {
            true if scaled <= -shift => Some(0.0),
            true if scaled >= clip.ceiling() - shift => Some(clip.ceiling()),
            _ => None,
        }
    }
}

/// `value`, or zero where `closed`, without a branch: which values are cut is beyond prediction.
pub(super) fn unless(closed: bool, value: f32) -> f32 {
    f32::from_bits(value.to_bits() & u32::from(closed).wrapping_sub(1))
}

/// Rows times quads, with a few rows for each invocation.
pub(super) fn invocations(x: Buf, variant: &Variant) -> u64 {
    u64::from(x.rows().div_ceil(variant.constant("ROWS"))) * u64::from(row_quads(x))
}

/// Whole rows of `y` from those of `x`.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
fn normalize(y: &mut [f32], x: &[f32], affine: &Affine, clip: Clip) {
    let (Affine { mean, scale, shift, .. }, floors, ceiling) = (affine, clip.floors(), clip.ceiling());
    for (y, x) in y.chunks_mut(mean.len()).zip(x.chunks(mean.len())) {
        for ((((y, x), mean), scale), shift) in y.iter_mut().zip(x).zip(mean).zip(scale).zip(shift) {
            let scaled = (x - mean) * scale;
            let value = if floors & (scaled >= ceiling - shift) { ceiling } else { scaled + shift };
            *y = if floors & (scaled <= -shift) { 0.0 } else { value };
        }
    }
}

impl Kernel for BatchNorm {
    interface! {
        self;
        bufs { x, moments, gamma, beta, y }
        params { rows: self.x.rows(), quads: row_quads(self.x), clip: self.clip.floors(), ceiling: self.clip.ceiling() }
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
                *y = affine.clipped(self.clip, c, x).unwrap_or(value as f32);
            }
        });
    }

    fn fast(&self, m: &HostMem) {
        let x = m.f32(self.x);
        let affine = Affine::read(m, self.moments, self.gamma, self.beta).repeated();
        m.f32_mut(self.y).for_each_block(|start, y| normalize(y, &x.padded()[start..], &affine, self.clip));
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
        for clip in Clip::ALL {
            let (x, gamma, beta, y) = (c.filled(shape(rows, cols), clip.case_values()), c.uniform(1, cols), c.uniform(1, cols), c.output(rows, cols));
            let moments = case_moments(c, cols);
            c.add(BatchNorm { x, moments, gamma, beta, y, clip });
        }
    }
}
