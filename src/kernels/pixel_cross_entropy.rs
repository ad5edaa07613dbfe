//! Softmax cross-entropy of each pixel, weighted by its class.

use rayon::prelude::*;

use super::softmax_cross_entropy::{log_sum_exp, log_sum_exp_error, magnitude};
use super::{Cases, has};
use crate::core::buffer::{Buf, Fill, shape};
use crate::core::memory::HostMem;
use crate::core::program::{Exp, Kernel, Tolerance};

/// `logits`: `[rows, classes]`; `targets` (u32): `[1, rows]`; `weights` (not negative): `[1, classes]`; `terms`: `[2, rows]`,
/// weight times loss and weight; `log_sum` (logΣexp): `[1, rows]`.
///
/// A target that is `ignored`, or no class, does not count: its weight is 0.
pub struct PixelCrossEntropy {
    pub logits: Buf,
    pub targets: Buf,
    pub weights: Buf,
    pub terms: Buf,
    pub log_sum: Buf,
    pub ignored: u32,
}

/// The class of a pixel that counts.
pub(super) fn class(target: u32, classes: usize, ignored: u32) -> Option<usize> {
    Some(target as usize).filter(|&class| target != ignored && class < classes)
}

impl PixelCrossEntropy {
    /// Writes (weight times loss, weight, logΣexp) of each row, several rows at a time.
    fn each_row(&self, m: &HostMem, row: impl Fn(&[f32], Option<usize>, &[f32]) -> [f32; 3] + Sync) {
        const BLOCK: usize = 1 << 10;
        let (logits, targets, weights) = (m.f32(self.logits), m.u32(self.targets), m.f32(self.weights));
        let (rows, classes) = (self.logits.rows() as usize, self.logits.cols() as usize);
        let (mut terms, mut log_sum) = (m.f32_mut(self.terms), m.f32_mut(self.log_sum));
        let (losses, counted) = terms.padded_mut().split_at_mut(self.terms.shape.stride() as usize);
        let outputs = losses.par_chunks_mut(BLOCK).zip(counted.par_chunks_mut(BLOCK)).zip(log_sum.padded_mut().par_chunks_mut(BLOCK));
        outputs.enumerate().for_each(|(block, ((losses, counted), log_sum))| {
            for (i, ((loss, weight), log_sum)) in losses.iter_mut().zip(counted).zip(log_sum).enumerate() {
                let r = block * BLOCK + i;
                let of_row = |r| row(logits.row(r), class(targets.row(0)[r], classes, self.ignored), weights.row(0));
                [*loss, *weight, *log_sum] = if r < rows { of_row(r) } else { [0.0; 3] };
            }
        });
    }
}

impl Kernel for PixelCrossEntropy {
    interface! {
        self runs "pixel_cross_entropy" after "log_sum_exp";
        bufs { logits, targets, weights, terms, log_sum }
        params {
            rows: self.logits.rows(),
            padded_rows: self.log_sum.shape.stride(),
            cols: self.logits.cols(),
            stride: self.logits.shape.stride(),
            ignored,
        }
        invocations { self.log_sum.shape.stride() }
    }

    fn check_shapes(&self) -> Result<(), String> {
        let rows = self.logits.rows();
        has("targets", self.targets, 1, rows)?;
        has("weights", self.weights, 1, self.logits.cols())?;
        has("terms", self.terms, 2, rows)?;
        has("log_sum", self.log_sum, 1, rows)
    }

    fn twin(&self, m: &HostMem) {
        self.each_row(m, |logits, class, weights| {
            let (largest, log_of_sum) = log_sum_exp(logits.iter().map(|&z| f64::from(z)));
            let weight = class.map_or(0.0, |class| f64::from(weights[class]));
            let loss = class.map_or(0.0, |class| weight * (log_of_sum - (f64::from(logits[class]) - largest)));
            [loss as f32, weight as f32, (largest + log_of_sum) as f32]
        });
    }

    fn fast(&self, m: &HostMem) {
        self.each_row(m, |logits, class, weights| {
            let largest = logits.iter().fold(logits[0], |a, &z| if z > a { z } else { a });
            let log_of_sum = logits.iter().map(|&z| (z - largest).exp()).sum::<f32>().ln();
            let weight = class.map_or(0.0, |class| weights[class]);
            let loss = class.map_or(0.0, |class| weight * (log_of_sum - (logits[class] - largest)));
            [loss, weight, largest + log_of_sum]
        });
    }

    /// As for softmax cross-entropy, times the weight of the class; weights are copied.
    fn tolerance(&self, output: &str, m: &HostMem, exp: Exp) -> Tolerance {
        let (logits, targets, weights) = (m.f32(self.logits), m.u32(self.targets), m.f32(self.weights));
        let (rows, cols) = (self.logits.rows() as usize, self.logits.cols() as usize);
        let of_row = |r: usize| log_sum_exp_error(self.logits.cols(), 6.0, magnitude(logits.row(r)), exp);
        if output == "log_sum" {
            return Tolerance::Each((0..rows).map(of_row).collect());
        }
        let weight = |r: usize| class(targets.row(0)[r], cols, self.ignored).map_or(0.0, |class| f64::from(weights.row(0)[class]));
        Tolerance::Each((0..rows).map(|r| weight(r) * of_row(r)).chain(std::iter::repeat_n(0.0, rows)).collect())
    }
}

/// Rows, classes, and what is ignored; among the targets are all classes, `ignored` and a number that is no class.
pub(super) const SIZES: [(u32, u32, u32); 6] = [(1, 1, 9), (4, 10, 255), (63, 3, 1), (65, 21, 255), (64, 2, 0), (5, 3, 3)];

pub(super) fn case_targets(c: &mut Cases<'_>, rows: u32, classes: u32, ignored: u32) -> Buf {
    c.integers((0..rows).map(|r| match r % 5 {
        3 => ignored,
        4 if r % 2 == 0 => classes,
        _ => (r * 7) % classes,
    }))
}

pub fn cases(c: &mut Cases<'_>) {
    for (rows, classes, ignored) in SIZES {
        for magnitude in [1.0, 60.0, 1000.0] {
            let logits = c.filled(shape(rows, classes), Fill::Uniform(magnitude));
            let targets = case_targets(c, rows, classes, ignored);
            let weights = c.floats((0..classes).map(|i| 0.5 + 0.3 * i as f32));
            let (terms, log_sum) = (c.output(2, rows), c.output(1, rows));
            c.add(PixelCrossEntropy { logits, targets, weights, terms, log_sum, ignored });
        }
    }
}
