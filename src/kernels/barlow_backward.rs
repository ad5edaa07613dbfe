//! The gradient of Barlow Twins' loss with respect to the products of the views.

use super::barlow::{SIZES, case_cross};
use super::{Cases, has, row_quads, same};
use crate::core::buffer::Buf;
use crate::core::memory::HostMem;
use crate::core::program::{EPSILON, Exp, Kernel, Tolerance};

/// `cross`, `dcross`: `[cols, cols]`. The gradient of the first views is zb · `dcross`ᵀ, that of the second za · `dcross`.
pub struct BarlowBackward {
    pub cross: Buf,
    pub dcross: Buf,
    /// In each view.
    pub samples: u32,
    /// As in [`BarlowTerms`](super::barlow::BarlowTerms).
    pub lambda: f32,
}

impl Kernel for BarlowBackward {
    interface! {
        self runs "barlow_backward";
        bufs { cross, dcross }
        params {
            cols: self.cross.cols(),
            quads: row_quads(self.cross),
            per_sample: 1.0 / self.samples as f32,
            lambda,
            slope: 2.0 / self.samples as f32,
        }
    }

    fn check_shapes(&self) -> Result<(), String> {
        has("cross", self.cross, self.cross.cols(), self.cross.cols())?;
        same(&[("cross", self.cross), ("dcross", self.dcross)])
    }

    fn twin(&self, m: &HostMem) {
        let (cross, samples) = (m.f32(self.cross), f64::from(self.samples));
        m.f32_mut(self.dcross).for_each_row(|r, out| {
            for (c, (out, &cross)) in out.iter_mut().zip(cross.row(r)).enumerate() {
                let correlation = f64::from(cross) / samples;
                let wanted = if c == r { correlation - 1.0 } else { f64::from(self.lambda) * correlation };
                *out = (2.0 * wanted / samples) as f32;
            }
        });
    }

    /// Products off the diagonal; a difference on it, which errs by as much as what it is taken of.
    fn tolerance(&self, _: &str, m: &HostMem, _: Exp) -> Tolerance {
        let (cross, samples) = (m.f32(self.cross), f64::from(self.samples));
        let bounds = (0..self.cross.rows() as usize).flat_map(|r| {
            let bound = |(c, &cross): (usize, &f32)| {
                let correlation = f64::from(cross.abs()) / samples;
                let magnitude = if c == r { correlation + 1.0 } else { f64::from(self.lambda) * correlation };
                2.0 * EPSILON * 6.0 * 2.0 * magnitude / samples + 1e-37
            };
            cross.row(r).iter().enumerate().map(bound).collect::<Vec<_>>()
        });
        Tolerance::Each(bounds.collect())
    }
}

pub fn cases(c: &mut Cases<'_>) {
    for (cols, samples) in SIZES {
        let (cross, dcross) = (case_cross(c, cols, samples), c.output(cols, cols));
        c.add(BarlowBackward { cross, dcross, samples, lambda: 0.3 });
    }
}
