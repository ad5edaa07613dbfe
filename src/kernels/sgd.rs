//! One optimiser call per parameter group: SGD with momentum, Nesterov, weight decay and clipping, as PyTorch defines it.

use rayon::prelude::*;

use super::{Cases, has, holds, line_shift, quad_rows, quads, same};
use crate::core::buffer::{Buf, Fill, shape};
use crate::core::memory::HostMem;
use crate::core::program::{EPSILON, Exp, Kernel, Tolerance};
use crate::core::shader::{DeviceClass, Variant};
use crate::wgsl;

const VARIANTS: &[Variant] = &[
    Variant { default_for: &[DeviceClass::Hardware], ..Variant::plain("sgd", &[wgsl!("sgd"), wgsl!("sgd_buffers")]) },
    Variant { default_for: &[DeviceClass::Software], ..Variant::plain("sgd", &[wgsl!("sgd"), wgsl!("texels"), wgsl!("sgd_textures")]) },
];

/// `w`, `g`, `v` (momentum buffer): vectors of one length; `hyper`: the step's settings; `norm`: `[1, 1]`, of all
/// gradients.
pub struct Sgd {
    pub w: Buf,
    pub g: Buf,
    pub v: Buf,
    pub hyper: Buf,
    pub norm: Buf,
    /// Where in `hyper` this group's learning rate stands.
    pub lr_column: u32,
    pub settings: SgdSettings,
}

/// What does not change during a run.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct SgdSettings {
    pub momentum: f32,
    pub weight_decay: f32,
    pub nesterov: bool,
    /// Gradients are scaled down to this norm if theirs is larger; 0 leaves them alone.
    pub max_norm: f32,
}

/// New weight, new momentum buffer, and the sum of magnitudes that the update is made of.
struct SgdResult {
    w: f64,
    v: f64,
    magnitude: f64,
}

/// What gradients of this norm are multiplied by; 0 for `max_norm` leaves them alone.
pub(super) fn clipping(m: &HostMem, norm: Buf, max_norm: f32) -> f64 {
    let norm = f64::from(m.f32(norm).row(0)[0]);
    if max_norm > 0.0 { (f64::from(max_norm) / (norm + 1e-6)).min(1.0) } else { 1.0 }
}

impl Sgd {
    fn update(&self, w: f32, g: f32, v: f32, lr: f64, clip: f64) -> SgdResult {
        let SgdSettings { momentum, weight_decay, nesterov, .. } = self.settings;
        let (momentum, decay) = (f64::from(momentum), f64::from(weight_decay));
        let (w, g, old_v) = (f64::from(w), f64::from(g), f64::from(v));
        let d = clip * g + decay * w;
        let v = momentum * old_v + d;
        let direction = if nesterov { d + momentum * v } else { v };
        let magnitude = (clip * g).abs() + (decay * w).abs() + (momentum * old_v).abs();
        SgdResult { w: w - lr * direction, v, magnitude }
    }

    /// (learning rate, clipping factor)
    fn factors(&self, m: &HostMem) -> (f64, f64) {
        (f64::from(m.f32(self.hyper).row(0)[self.lr_column as usize]), clipping(m, self.norm, self.settings.max_norm))
    }
}

impl Kernel for Sgd {
    interface! {
        self;
        bufs { w: quad_rows(self.w), g: quad_rows(self.g), v: quad_rows(self.v), hyper, norm }
        params {
            quads: quads(self.w),
            lr_column,
            momentum: self.settings.momentum,
            weight_decay: self.settings.weight_decay,
            nesterov: self.settings.nesterov,
            max_norm: self.settings.max_norm,
            line_shift: line_shift(quad_rows(self.w)),
        }
        invocations { quads(self.w) }
    }

    fn variants(&self) -> &'static [Variant] {
        VARIANTS
    }

    fn check_shapes(&self) -> Result<(), String> {
        same(&[("w", self.w), ("g", self.g), ("v", self.v)])?;
        has("norm", self.norm, 1, 1)?;
        holds("hyper", self.hyper, self.lr_column + 1)
    }

    fn twin(&self, m: &HostMem) {
        let (lr, clip) = self.factors(m);
        let g = m.f32(self.g);
        let (mut w, mut v) = (m.f32_mut(self.w), m.f32_mut(self.v));
        for ((w, v), &g) in w.padded_mut().iter_mut().zip(v.padded_mut()).zip(g.padded()) {
            let new = self.update(*w, g, *v, lr, clip);
            (*w, *v) = (new.w as f32, new.v as f32);
        }
    }

    fn fast(&self, m: &HostMem) {
        let (lr, clip) = self.factors(m);
        let (lr, clip) = (lr as f32, clip as f32);
        let SgdSettings { momentum, weight_decay, nesterov, .. } = self.settings;
        let g = m.f32(self.g);
        let (mut w, mut v) = (m.f32_mut(self.w), m.f32_mut(self.v));
        // Two kinds of step apart, so that neither loop branches.
        let update = |w: &mut [f32], v: &mut [f32], g: &[f32]| {
            let step = |w: f32, v: f32, g: f32| {
                let d = clip * g + weight_decay * w;
                (d, momentum * v + d)
            };
            let all = w.iter_mut().zip(v).zip(g);
            if nesterov {
                all.for_each(|((w, v), &g)| {
                    let (d, velocity) = step(*w, *v, g);
                    (*v, *w) = (velocity, *w - lr * (d + momentum * velocity));
                });
            } else {
                all.for_each(|((w, v), &g)| {
                    let (_, velocity) = step(*w, *v, g);
                    (*v, *w) = (velocity, *w - lr * velocity);
                });
            }
        };
        const BLOCK: usize = 1 << 15;
        let blocks = w.padded_mut().par_chunks_mut(BLOCK).zip(v.padded_mut().par_chunks_mut(BLOCK)).zip(g.padded().par_chunks(BLOCK));
        blocks.for_each(|((w, v), g)| update(w, v, g));
    }

    /// A handful of roundings of the terms that were added.
    fn tolerance(&self, output: &str, m: &HostMem, _: Exp) -> Tolerance {
        let (lr, clip) = self.factors(m);
        let (w, g, v) = (m.f32(self.w), m.f32(self.g), m.f32(self.v));
        let bounds = w.padded().iter().zip(g.padded()).zip(v.padded()).map(|((&w, &g), &v)| {
            let magnitude = 16.0 * EPSILON * self.update(w, g, v, lr, clip).magnitude;
            if output == "v" { magnitude } else { 2.0 * lr * magnitude + 2.0 * EPSILON * f64::from(w.abs()) + 1e-37 }
        });
        Tolerance::Each(bounds.collect())
    }
}

pub fn cases(c: &mut Cases<'_>) {
    for (len, lr_column) in [(4, 1), (37, 2), (252, 1), (260, 3)] {
        for (nesterov, weight_decay, max_norm) in [(false, 0.0, 0.0), (true, 0.01, 0.0), (false, 0.1, 0.5), (true, 0.0, 1e9)] {
            let settings = SgdSettings { momentum: 0.9, weight_decay, nesterov, max_norm };
            let (w, g, v) = (c.uniform(1, len), c.uniform(1, len), c.uniform(1, len));
            let hyper = c.filled(shape(1, 8), Fill::F32((0..8).map(|i| 0.05 * i as f32).collect()));
            let norm = c.floats([3.0]);
            c.add(Sgd { w, g, v, hyper, norm, lr_column, settings });
        }
    }
}
