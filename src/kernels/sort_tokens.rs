//! The places of tokens in order of the tokens, block by block: the beginning of a sort that [`MergeTokens`] ends.
//!
//! [`MergeTokens`]: super::merge_tokens::MergeTokens

use rayon::prelude::*;

use super::embedding_bag::{are_tokens, case_tokens};
use super::{Cases, has};
use crate::core::buffer::{Buf, Fill, shape};
use crate::core::memory::HostMem;
use crate::core::program::{Exp, Kernel, Tolerance};

/// Places that are sorted among each other.
pub const BLOCK: u32 = 128;

/// `tokens`: `[rows, width]`, a multiple of four wide; `order`: `[1, rows * width]`, a place being that of a word in `tokens`.
pub struct SortTokens {
    pub tokens: Buf,
    pub order: Buf,
}

impl Kernel for SortTokens {
    interface! {
        self runs "sort_tokens";
        bufs { tokens, order }
        params { count: self.order.cols() }
        constants { BLOCK: BLOCK }
        invocations { self.order.cols() }
    }

    fn check_shapes(&self) -> Result<(), String> {
        are_tokens(self.tokens)?;
        has("order", self.order, 1, self.tokens.rows() * self.tokens.cols())
    }

    fn twin(&self, m: &HostMem) {
        let tokens = m.u32(self.tokens);
        let tokens = tokens.padded();
        m.u32_mut(self.order).padded_mut().par_chunks_mut(BLOCK as usize).enumerate().for_each(|(block, order)| {
            order.iter_mut().zip(block as u32 * BLOCK..).for_each(|(place, number)| *place = number);
            // Stable.
            order.sort_by_key(|&place| tokens[place as usize]);
        });
    }

    fn tolerance(&self, _: &str, _: &HostMem, _: Exp) -> Tolerance {
        Tolerance::Exact
    }

    fn work(&self) -> u64 {
        u64::from(self.order.cols()) * u64::from(BLOCK)
    }
}

pub fn cases(c: &mut Cases<'_>) {
    for (rows, width) in [(1, 4), (16, 8), (65, 8), (257, 4), (9, 132)] {
        let tokens = c.filled(shape(rows, width), Fill::U32(case_tokens(rows, width, 40)));
        let order = c.integer_output(1, rows * width);
        c.add(SortTokens { tokens, order });
    }
}
