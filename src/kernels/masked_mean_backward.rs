//! The gradient of a sequence's mean, handed to its tokens.

use super::attention::case_tokens;
use super::masked_mean::SIZES;
use super::{Cases, has, row_quads};
use crate::core::buffer::{Buf, Fill, shape};
use crate::core::memory::HostMem;
use crate::core::program::{EPSILON, Exp, Kernel, Tolerance};
use crate::core::sample::NO_TOKEN;

/// `grad_y`: `[batch, width]`; `shares`: `[batch, 1]`, of [`MaskedMean`](super::masked_mean::MaskedMean); `tokens` (u32):
/// `[batch, length]`; `grad_x`: `[batch * length, width]`.
pub struct MaskedMeanBackward {
    pub grad_y: Buf,
    pub shares: Buf,
    pub tokens: Buf,
    pub grad_x: Buf,
    pub accumulate: bool,
}

impl Kernel for MaskedMeanBackward {
    interface! {
        self runs "masked_mean_backward";
        bufs { grad_y, shares, tokens, grad_x }
        params {
            rows: self.grad_x.rows(),
            quads: row_quads(self.grad_x),
            length: self.tokens.cols(),
            token_stride: self.tokens.shape.stride(),
            accumulate,
        }
        constants { NO_TOKEN: NO_TOKEN }
    }

    fn check_shapes(&self) -> Result<(), String> {
        has("grad_y", self.grad_y, self.tokens.rows(), self.grad_x.cols())?;
        has("shares", self.shares, self.tokens.rows(), 1)?;
        has("grad_x", self.grad_x, self.tokens.rows() * self.tokens.cols(), self.grad_x.cols())
    }

    fn twin(&self, m: &HostMem) {
        let (grad_y, shares, tokens, length) = (m.f32(self.grad_y), m.f32(self.shares), m.u32(self.tokens), self.tokens.cols() as usize);
        m.f32_mut(self.grad_x).for_each_row(|r, grad_x| {
            let (sequence, place) = (r / length, r % length);
            let share = if tokens.row(sequence)[place] == NO_TOKEN { 0.0 } else { shares.row(sequence)[0] };
            for (grad_x, grad_y) in grad_x.iter_mut().zip(grad_y.row(sequence)) {
                *grad_x = grad_y * share + if self.accumulate { *grad_x } else { 0.0 };
            }
        });
    }

    /// A product, and perhaps a sum with old contents.
    fn tolerance(&self, _: &str, m: &HostMem, _: Exp) -> Tolerance {
        if !self.accumulate {
            return Tolerance::ulps(1.0);
        }
        let (grad_y, shares, old) = (m.f32(self.grad_y), m.f32(self.shares), m.f32(self.grad_x));
        let bounds = (0..self.grad_x.rows() as usize).flat_map(|r| {
            let sequence = r / self.tokens.cols() as usize;
            let bound = |(old, grad_y): (&f32, &f32)| 4.0 * EPSILON * f64::from((grad_y * shares.row(sequence)[0]).abs() + old.abs());
            old.row(r).iter().zip(grad_y.row(sequence)).map(bound).collect::<Vec<_>>()
        });
        Tolerance::Each(bounds.collect())
    }
}

pub fn cases(c: &mut Cases<'_>) {
    for (batch, length, width) in SIZES {
        for accumulate in [false, true] {
            let (grad_y, shares, grad_x) = (c.uniform(batch, width), c.uniform(batch, 1), c.uniform(batch * length, width));
            let tokens = c.filled(shape(batch, length), Fill::U32(case_tokens(batch, length)));
            c.add(MaskedMeanBackward { grad_y, shares, tokens, grad_x, accumulate });
        }
    }
}
