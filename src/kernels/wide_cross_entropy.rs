//! Softmax cross-entropy over many columns, in which some rows do not count.

use rayon::prelude::*;

use super::activation::exp as fast_exp;
use super::layer_norm::sum_row;
use super::pixel_cross_entropy::class;
use super::softmax_cross_entropy::{log_sum_exp, log_sum_exp_error, magnitude};
use super::attention::WG;
use super::{Cases, has};
use crate::core::buffer::{Buf, Fill, shape};
use crate::core::memory::HostMem;
use crate::core::program::{Exp, Kernel, Tolerance};

/// `logits`: `[rows, classes]`; `targets` (u32), `loss`, `counted` (1 or 0), `log_sum` (logΣexp): `[1, rows]`.
///
/// A target that is `ignored`, or no class, does not count.
pub struct WideCrossEntropy {
    pub logits: Buf,
    pub targets: Buf,
    pub loss: Buf,
    pub counted: Buf,
    pub log_sum: Buf,
    pub ignored: u32,
}

impl WideCrossEntropy {
    /// Writes (loss, whether it counts, logΣexp) of each row.
    fn each_row(&self, m: &HostMem, row: impl Fn(&[f32], Option<usize>) -> [f32; 3] + Sync) {
        let (logits, targets) = (m.f32(self.logits), m.u32(self.targets));
        let (rows, classes) = (self.logits.rows() as usize, self.logits.cols() as usize);
        let found: Vec<[f32; 3]> =
            (0..rows).into_par_iter().map(|r| row(logits.row(r), class(targets.row(0)[r], classes, self.ignored))).collect();
        for (out, which) in [(self.loss, 0), (self.counted, 1), (self.log_sum, 2)] {
            m.f32_mut(out).for_each_row(|_, out| out.iter_mut().zip(&found).for_each(|(out, found)| *out = found[which]));
        }
    }
}

/// Σ exp(z - largest)
#[multiversion::multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
fn sum_of_exponentials(z: &[f32], largest: f32) -> f32 {
    sum_row(z, |_, z| fast_exp(z - largest))
}

impl Kernel for WideCrossEntropy {
    interface! {
        self runs "wide_cross_entropy";
        bufs { logits, targets, loss, counted, log_sum }
        params { rows: self.logits.rows(), cols: self.logits.cols(), stride: self.logits.shape.stride(), ignored }
        invocations { u64::from(self.logits.rows()) * u64::from(WG) }
    }

    fn check_shapes(&self) -> Result<(), String> {
        let (rows, padless) = (self.logits.rows(), self.logits.rows().next_multiple_of(4));
        has("logits", self.logits, padless, self.logits.cols())?;
        for (name, buf) in [("targets", self.targets), ("loss", self.loss), ("counted", self.counted), ("log_sum", self.log_sum)] {
            has(name, buf, 1, rows)?;
        }
        Ok(())
    }

    fn twin(&self, m: &HostMem) {
        self.each_row(m, |logits, class| {
            let (largest, log_of_sum) = log_sum_exp(logits.iter().map(|&z| f64::from(z)));
            let loss = class.map_or(0.0, |class| log_of_sum - (f64::from(logits[class]) - largest));
            [loss as f32, if class.is_some() { 1.0 } else { 0.0 }, (largest + log_of_sum) as f32]
        });
    }

    fn fast(&self, m: &HostMem) {
        self.each_row(m, |logits, class| {
            let largest = logits.iter().fold(logits[0], |a, &z| if z > a { z } else { a });
            let log_of_sum = sum_of_exponentials(logits, largest).ln();
            let loss = class.map_or(0.0, |class| log_of_sum - (logits[class] - largest));
            [loss, if class.is_some() { 1.0 } else { 0.0 }, largest + log_of_sum]
        });
    }

    /// As for softmax cross-entropy.
    fn tolerance(&self, output: &str, m: &HostMem, exp: Exp) -> Tolerance {
        let (logits, targets) = (m.f32(self.logits), m.u32(self.targets));
        let (rows, cols) = (self.logits.rows() as usize, self.logits.cols());
        let counts = |r: usize| class(targets.row(0)[r], cols as usize, self.ignored).is_some();
        Tolerance::Each(match output {
            "counted" => vec![0.0; rows],
            "loss" => (0..rows)
                .map(|r| if counts(r) { log_sum_exp_error(cols, 6.0, magnitude(logits.row(r)), exp) } else { 0.0 })
                .collect(),
            _ => (0..rows).map(|r| log_sum_exp_error(cols, 6.0, magnitude(logits.row(r)), exp)).collect(),
        })
    }
}

pub fn cases(c: &mut Cases<'_>) {
    for (rows, classes, ignored) in [(4, 1, 9), (4, 10, 255), (64, 65, 1), (8, 1009, u32::MAX), (20, 300, 0)] {
        for magnitude in [1.0, 60.0, 1000.0] {
            let logits = c.filled(shape(rows, classes), Fill::Uniform(magnitude));
            let targets = super::pixel_cross_entropy::case_targets(c, rows, classes, ignored);
            let [loss, counted, log_sum] = [(); 3].map(|()| c.output(1, rows));
            c.add(WideCrossEntropy { logits, targets, loss, counted, log_sum, ignored });
        }
    }
}
