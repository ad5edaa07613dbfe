//! The mean row of each sequence, over its tokens.

use super::attention::{case_rows, case_tokens};
use super::embedding_bag::tokens_of;
use super::{Cases, has, row_quads};
use crate::core::buffer::{Buf, Fill, shape};
use crate::core::memory::HostMem;
use crate::core::program::{EPSILON, Exp, Kernel, Tolerance};
use crate::core::sample::NO_TOKEN;

/// `x`: `[batch * length, width]`; `tokens` (u32): `[batch, length]`, [`NO_TOKEN`] behind the last one; `y`: `[batch, width]`, zeros
/// where there is no token; `shares`: `[batch, 1]`, 1 / tokens of a sequence, or 0.
pub struct MaskedMean {
    pub x: Buf,
    pub tokens: Buf,
    pub y: Buf,
    pub shares: Buf,
}

impl Kernel for MaskedMean {
    interface! {
        self runs "masked_mean";
        bufs { x, tokens, y, shares }
        params { rows: self.y.rows(), quads: row_quads(self.y), length: self.tokens.cols(), token_stride: self.tokens.shape.stride() }
        constants { NO_TOKEN: NO_TOKEN }
        invocations { self.y.shape.words() / 4 }
    }

    fn check_shapes(&self) -> Result<(), String> {
        has("x", self.x, self.tokens.rows() * self.tokens.cols(), self.y.cols())?;
        has("y", self.y, self.tokens.rows(), self.y.cols())?;
        has("shares", self.shares, self.tokens.rows(), 1)
    }

    fn twin(&self, m: &HostMem) {
        let (x, tokens, length) = (m.f32(self.x), m.u32(self.tokens), self.tokens.cols() as usize);
        let count = |sequence| tokens_of(tokens.row(sequence)).len();
        m.f32_mut(self.y).for_each_row(|r, y| {
            for (c, y) in y.iter_mut().enumerate() {
                let sum: f64 = (0..count(r)).map(|place| f64::from(x.row(r * length + place)[c])).sum();
                *y = (sum / count(r).max(1) as f64) as f32;
            }
        });
        m.f32_mut(self.shares).for_each_row(|r, share| share[0] = if count(r) == 0 { 0.0 } else { 1.0 / count(r) as f32 });
    }

    fn fast(&self, m: &HostMem) {
        let (x, tokens, length) = (m.f32(self.x), m.u32(self.tokens), self.tokens.cols() as usize);
        let share = |sequence| match tokens_of(tokens.row(sequence)).len() {
            0 => 0.0,
            count => 1.0 / count as f32,
        };
        m.f32_mut(self.y).for_each_row(|r, y| {
            y.fill(0.0);
            let rows = r * length..r * length + tokens_of(tokens.row(r)).len();
            rows.for_each(|row| y.iter_mut().zip(x.row(row)).for_each(|(y, x)| *y += x));
            y.iter_mut().for_each(|y| *y *= share(r));
        });
        m.f32_mut(self.shares).for_each_row(|r, out| out[0] = share(r));
    }

    /// A rounding for each token, and a few for the share, of which WGSL's division allows 2.5 units.
    fn tolerance(&self, output: &str, m: &HostMem, _: Exp) -> Tolerance {
        if output == "shares" {
            return Tolerance::ulps(3.0);
        }
        let (x, tokens, length) = (m.f32(self.x), m.u32(self.tokens), self.tokens.cols() as usize);
        let bounds = (0..self.y.rows() as usize).flat_map(|r| {
            let count = tokens_of(tokens.row(r)).len();
            let magnitude = |c: usize| (0..count).map(|place| f64::from(x.row(r * length + place)[c].abs())).sum::<f64>();
            let relative = 2.0 * EPSILON * (count as f64 + 4.0) / count.max(1) as f64;
            (0..self.y.cols() as usize).map(|c| relative * magnitude(c) + 1e-37).collect::<Vec<_>>()
        });
        Tolerance::Each(bounds.collect())
    }
}

/// (batch, length, width)
pub(super) const SIZES: [(u32, u32, u32); 5] = [(1, 1, 1), (65, 7, 5), (9, 12, 64), (3, 130, 33), (64, 3, 2)];

pub fn cases(c: &mut Cases<'_>) {
    for (batch, length, width) in SIZES {
        let tokens = case_tokens(batch, length);
        let (x, y, shares) = (case_rows(c, &tokens, width, 1.0, 1), c.output(batch, width), c.output(batch, 1));
        let tokens = c.filled(shape(batch, length), Fill::U32(tokens));
        c.add(MaskedMean { x, tokens, y, shares });
    }
}
