//! Binary cross-entropy of logits, in parts: sums of what it comes to, and of how many labels count.

use super::sum_squares::SumSquares;
use super::{Cases, has, quads, row_quads, same};
use crate::core::buffer::{Buf, Fill, shape};
use crate::core::memory::HostMem;
use crate::core::program::{EPSILON, Exp, Kernel, Tolerance};

/// `logits`, `wanted`: `[rows, labels]`; `sums`: `[2, parts]`, `scale` times the losses, and how many labels count.
///
/// What is wanted is 1 of a label that is right and 0 of one that is not, or a share between; below zero, it is not known and
/// does not count.
pub struct BinaryCrossEntropy {
    pub logits: Buf,
    pub wanted: Buf,
    pub sums: Buf,
    pub scale: f32,
}

/// max(z, 0) - z y + log(1 + exp(-|z|)), the parts of -y log σ(z) - (1 - y) log(1 - σ(z)) without overflow.
fn terms(z: f64, y: f64) -> [f64; 3] {
    [z.max(0.0), -z * y, (-z.abs()).exp().ln_1p()]
}

impl BinaryCrossEntropy {
    /// How many partial sums there are to be: by the shape alone.
    pub fn parts(logits: Buf) -> u32 {
        SumSquares::parts(logits)
    }

    /// Sums of `f(logit, wanted)` over what counts, for each part.
    fn sums(&self, m: &HostMem, f: impl Fn(f64, f64) -> f64) -> Vec<f64> {
        let (logits, wanted) = (m.f32(self.logits), m.f32(self.wanted));
        let (row_quads, parts) = (row_quads(self.logits) as usize, self.sums.cols() as usize);
        let mut sums = vec![0.0; parts];
        for r in 0..self.logits.rows() as usize {
            for (c, (&z, &y)) in logits.row(r).iter().zip(wanted.row(r)).enumerate().filter(|(_, (_, y))| **y >= 0.0) {
                sums[(r * row_quads + c / 4) % parts] += f(z.into(), y.into());
            }
        }
        sums
    }
}

impl Kernel for BinaryCrossEntropy {
    interface! {
        self runs "binary_cross_entropy" after "inside";
        bufs { logits, wanted, sums }
        params {
            quads: quads(self.logits),
            row_quads: row_quads(self.logits),
            cols: self.logits.cols(),
            parts: self.sums.cols(),
            scale,
        }
        invocations { self.sums.cols() }
    }

    fn check_shapes(&self) -> Result<(), String> {
        same(&[("logits", self.logits), ("wanted", self.wanted)])?;
        // All parts are written whole: there is no pad.
        has("sums", self.sums, 2, self.sums.cols().next_multiple_of(4))
    }

    fn twin(&self, m: &HostMem) {
        let losses = self.sums(m, |z, y| terms(z, y).iter().sum());
        let known = self.sums(m, |_, _| 1.0);
        m.f32_mut(self.sums).for_each_row(|r, out| {
            let (sums, scale) = if r == 0 { (&losses, f64::from(self.scale)) } else { (&known, 1.0) };
            out.iter_mut().zip(sums).for_each(|(out, sum)| *out = (scale * sum) as f32);
        });
    }

    /// Of each term `exp`'s error, the logarithm's own 2^-21 and a few roundings; then one rounding per term of a strand. Counts
    /// are exact.
    fn tolerance(&self, _: &str, m: &HostMem, exp: Exp) -> Tolerance {
        let strand = f64::from(quads(self.logits).div_ceil(self.sums.cols()));
        let own = |z: f64, y: f64| {
            let size: f64 = terms(z, y).iter().map(|term| term.abs()).sum();
            (-z.abs()).exp() * exp.error(z) + 2f64.powi(-21) + 2.0 * EPSILON * (4.0 + strand) * size
        };
        let bounds = self.sums(m, own).into_iter().map(|bound| f64::from(self.scale) * bound * (1.0 + 8.0 * EPSILON) + 1e-37);
        Tolerance::Each(bounds.chain(std::iter::repeat_n(0.0, self.sums.cols() as usize)).collect())
    }
}

/// Right, wrong, not known, and a share.
pub(super) fn case_wanted(c: &mut Cases<'_>, rows: u32, cols: u32) -> Buf {
    let values = (0..rows * cols).map(|i| [0.0, 1.0, 1.0, -1.0, 0.25, 0.0, 1.0][(i * 5 + i / cols) as usize % 7]);
    c.filled(shape(rows, cols), Fill::F32(values.collect()))
}

pub(super) const SIZES: [(u32, u32); 6] = [(1, 1), (3, 5), (9, 3), (16, 16), (65, 63), (131, 257)];

pub fn cases(c: &mut Cases<'_>) {
    for (rows, cols) in SIZES {
        for magnitude in [1.0, 60.0, 1000.0] {
            let (logits, wanted) = (c.filled(shape(rows, cols), Fill::Uniform(magnitude)), case_wanted(c, rows, cols));
            let sums = c.output(2, BinaryCrossEntropy::parts(logits));
            c.add(BinaryCrossEntropy { logits, wanted, sums, scale: if rows % 2 == 0 { 1.0 } else { cols as f32 } });
        }
    }
}
