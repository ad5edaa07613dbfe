//! Adam and AdamW, one call per parameter group, as PyTorch defines them.

use rayon::prelude::*;

use super::sgd::clipping;
use super::{Cases, has, holds, quads, same};
use crate::core::buffer::{Buf, Fill, shape};
use crate::core::memory::HostMem;
use crate::core::program::{EPSILON, Exp, Kernel, Tolerance};

/// `w`, `g`, `first`, `second` (moments): vectors of one length; `hyper`: the step's settings; `norm`: `[1, 1]`, of all
/// gradients.
pub struct Adam {
    pub w: Buf,
    pub g: Buf,
    pub first: Buf,
    pub second: Buf,
    pub hyper: Buf,
    pub norm: Buf,
    /// Where in `hyper` this group's learning rate stands.
    pub lr_column: u32,
    /// Where in `hyper` 1 / (1 - βᵗ) stands for the first moment; the second moment's is next.
    pub correction_column: u32,
    pub settings: AdamSettings,
}

/// What does not change during a run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamSettings {
    pub betas: [f32; 2],
    /// Added to the root of the second moment.
    pub eps: f32,
    pub weight_decay: f32,
    /// AdamW: the decay shrinks the weights, and the moments know nothing of it.
    pub decoupled: bool,
    /// Gradients are scaled down to this norm if theirs is larger; 0 leaves them alone.
    pub max_norm: f32,
}

impl AdamSettings {
    /// PyTorch's.
    pub const EPS: f32 = 1e-8;

    /// (L2 penalty, share of the weights that goes)
    fn decays(&self) -> (f32, f32) {
        if self.decoupled { (0.0, self.weight_decay) } else { (self.weight_decay, 0.0) }
    }
}

/// What differs between steps, and the clipping factor.
struct Factors {
    lr: f64,
    corrections: [f64; 2],
    clip: f64,
}

/// New values, and how far correctly rounded arithmetic may lie from them.
struct AdamResult {
    values: [f64; 3],
    errors: [f64; 3],
}

impl Adam {
    fn factors(&self, m: &HostMem) -> Factors {
        let hyper = m.f32(self.hyper);
        let at = |column: u32| f64::from(hyper.row(0)[column as usize]);
        let corrections = [at(self.correction_column), at(self.correction_column + 1)];
        Factors { lr: at(self.lr_column), corrections, clip: clipping(m, self.norm, self.settings.max_norm) }
    }

    /// `w`, `first` and `second`, in this order.
    fn update(&self, w: f32, g: f32, first: f32, second: f32, by: &Factors) -> AdamResult {
        let [w, g, first, second] = [w, g, first, second].map(f64::from);
        let [beta1, beta2] = self.settings.betas.map(f64::from);
        let (decay, shrink) = self.settings.decays();
        let [decay, shrink, eps] = [decay, shrink, self.settings.eps].map(f64::from);
        let terms = [by.clip * g, w * decay];
        let (d, d_error) = (terms[0] + terms[1], 8.0 * EPSILON * (terms[0].abs() + terms[1].abs()));
        let m = beta1 * first + (1.0 - beta1) * d;
        let v = beta2 * second + (1.0 - beta2) * d * d;
        let m_error = (1.0 - beta1) * d_error + 8.0 * EPSILON * ((beta1 * first).abs() + d.abs());
        // What is too small for f32 may become zero.
        let v_error = 2.0 * (1.0 - beta2) * d.abs() * d_error + 12.0 * EPSILON * v + 1e-37;
        let root = (v * by.corrections[1]).sqrt();
        let root_error = v_error * by.corrections[1] / root.max((v_error * by.corrections[1]).sqrt());
        let direction = m * by.corrections[0] / (root + eps);
        let relative = root_error / (root + eps) + 16.0 * EPSILON;
        let direction_error = m_error * by.corrections[0] / (root + eps) + direction.abs() * relative;
        let w_error = 2.0 * EPSILON * w.abs() + by.lr * (direction_error + 8.0 * EPSILON * (shrink * w).abs());
        AdamResult { values: [w - by.lr * (shrink * w + direction), m, v], errors: [w_error, m_error + 1e-37, v_error] }
    }
}

impl Kernel for Adam {
    interface! {
        self runs "adam";
        bufs { w, g, first, second, hyper, norm }
        let (decay, shrink) = self.settings.decays();
        params {
            quads: quads(self.w),
            lr_column,
            correction_column,
            beta1: self.settings.betas[0],
            beta2: self.settings.betas[1],
            eps: self.settings.eps,
            decay: decay,
            shrink: shrink,
            max_norm: self.settings.max_norm,
        }
        invocations { quads(self.w) }
    }

    fn check_shapes(&self) -> Result<(), String> {
        same(&[("w", self.w), ("g", self.g), ("first", self.first), ("second", self.second)])?;
        has("norm", self.norm, 1, 1)?;
        holds("hyper", self.hyper, self.lr_column.max(self.correction_column + 1) + 1)
    }

    fn twin(&self, m: &HostMem) {
        let by = self.factors(m);
        let g = m.f32(self.g);
        let (mut w, mut first, mut second) = (m.f32_mut(self.w), m.f32_mut(self.first), m.f32_mut(self.second));
        let moments = first.padded_mut().iter_mut().zip(second.padded_mut());
        for ((w, (first, second)), &g) in w.padded_mut().iter_mut().zip(moments).zip(g.padded()) {
            [*w, *first, *second] = self.update(*w, g, *first, *second, &by).values.map(|v| v as f32);
        }
    }

    fn fast(&self, m: &HostMem) {
        const BLOCK: usize = 1 << 14;
        let Factors { lr, corrections, clip } = self.factors(m);
        let (lr, clip, [correct_first, correct_second]) = (lr as f32, clip as f32, corrections.map(|c| c as f32));
        let AdamSettings { betas: [beta1, beta2], eps, .. } = self.settings;
        let (decay, shrink) = self.settings.decays();
        let g = m.f32(self.g);
        let (mut w, mut first, mut second) = (m.f32_mut(self.w), m.f32_mut(self.first), m.f32_mut(self.second));
        let moments = first.padded_mut().par_chunks_mut(BLOCK).zip(second.padded_mut().par_chunks_mut(BLOCK));
        w.padded_mut().par_chunks_mut(BLOCK).zip(g.padded().par_chunks(BLOCK)).zip(moments).for_each(|((w, g), (first, second))| {
            for (((w, &g), first), second) in w.iter_mut().zip(g).zip(first).zip(second) {
                let d = clip * g + decay * *w;
                *first = beta1 * *first + (1.0 - beta1) * d;
                *second = beta2 * *second + (1.0 - beta2) * (d * d);
                let direction = correct_first * *first / ((correct_second * *second).sqrt() + eps);
                *w -= lr * (shrink * *w + direction);
            }
        });
    }

    /// A handful of roundings of the terms that were added; those of the moments go on into the weights, the second one's
    /// through a root, which makes small errors of small numbers large.
    fn tolerance(&self, output: &str, m: &HostMem, _: Exp) -> Tolerance {
        let by = self.factors(m);
        let [w, g, first, second] = [self.w, self.g, self.first, self.second].map(|buf| m.f32(buf));
        let which = ["w", "first", "second"].iter().position(|name| *name == output).expect("one of the outputs");
        let moments = first.padded().iter().zip(second.padded());
        let all = w.padded().iter().zip(g.padded()).zip(moments);
        Tolerance::Each(all.map(|((&w, &g), (&first, &second))| self.update(w, g, first, second, &by).errors[which]).collect())
    }
}

pub fn cases(c: &mut Cases<'_>) {
    for (len, lr_column, correction_column) in [(4, 1, 4), (37, 2, 6), (252, 1, 6), (260, 3, 5)] {
        for (betas, decoupled, weight_decay, max_norm) in
            [([0.9, 0.999], false, 0.0, 0.0), ([0.8, 0.99], true, 0.01, 0.5), ([0.9, 0.98], false, 0.1, 0.5), ([0.0, 0.5], true, 0.5, 1e9)]
        {
            let settings = AdamSettings { betas, eps: AdamSettings::EPS, weight_decay, decoupled, max_norm };
            let (w, g, first) = (c.uniform(1, len), c.uniform(1, len), c.uniform(1, len));
            // From nothing to more than the gradients of this step would make.
            let second = c.filled(shape(1, len), Fill::F32((0..len).map(|i| (i % 7) as f32 * 0.3).collect()));
            let hyper = c.filled(shape(1, 8), Fill::F32((0..8).map(|i| 0.05 + 0.35 * i as f32).collect()));
            let norm = c.floats([3.0]);
            c.add(Adam { w, g, first, second, hyper, norm, lr_column, correction_column, settings });
        }
    }
}
