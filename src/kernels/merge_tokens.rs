//! Pairs of sorted runs of places become one each.

use rayon::prelude::*;

use super::embedding_bag::{are_tokens, case_order, case_tokens};
use super::sort_tokens::BLOCK;
use super::{Cases, has, same};
use crate::core::buffer::{Buf, Fill, shape};
use crate::core::memory::HostMem;
use crate::core::program::{Exp, Kernel, Tolerance};

/// `tokens`: `[rows, width]`, a multiple of four wide; `parts`, `order`: `[1, rows * width]`, places of tokens, in `parts` sorted in
/// runs of `run`.
pub struct MergeTokens {
    pub tokens: Buf,
    pub parts: Buf,
    pub order: Buf,
    pub run: u32,
}

impl Kernel for MergeTokens {
    interface! {
        self runs "merge_tokens";
        bufs { tokens, parts, order }
        params { count: self.order.cols(), run }
        invocations { self.order.cols() }
    }

    fn check_shapes(&self) -> Result<(), String> {
        are_tokens(self.tokens)?;
        if self.run == 0 {
            return Err("runs of nothing".into());
        }
        has("order", self.order, 1, self.tokens.rows() * self.tokens.cols())?;
        same(&[("order", self.order), ("parts", self.parts)])
    }

    fn twin(&self, m: &HostMem) {
        let (tokens, parts, run) = (m.u32(self.tokens), m.u32(self.parts), self.run as usize);
        let (tokens, parts) = (tokens.padded(), parts.padded());
        m.u32_mut(self.order).padded_mut().par_chunks_mut(2 * run).zip(parts.par_chunks(2 * run)).for_each(|(order, parts)| {
            let (mut first, mut second) = parts.split_at(run.min(parts.len()));
            for place in order {
                // Of equal tokens, those of the first run come first.
                let from_first = match (first.first(), second.first()) {
                    (Some(&a), Some(&b)) => tokens[a as usize] <= tokens[b as usize],
                    (a, _) => a.is_some(),
                };
                let from = if from_first { &mut first } else { &mut second };
                *place = from[0];
                *from = &from[1..];
            }
        });
    }

    fn tolerance(&self, _: &str, _: &HostMem, _: Exp) -> Tolerance {
        Tolerance::Exact
    }

    fn work(&self) -> u64 {
        u64::from(self.order.cols()) * u64::from(self.run.ilog2() + 4)
    }
}

pub fn cases(c: &mut Cases<'_>) {
    // Two runs, a run and a piece, a run alone, and one that has no partner.
    for (rows, width) in [(2 * BLOCK / 8, 8), (65, 8), (1, 4), (3 * BLOCK / 4, 4), (9, 132)] {
        let tokens = case_tokens(rows, width, 40);
        let parts = c.integers(case_order(&tokens, BLOCK));
        let (tokens, order) = (c.filled(shape(rows, width), Fill::U32(tokens)), c.integer_output(1, rows * width));
        c.add(MergeTokens { tokens, parts, order, run: BLOCK });
    }
}
