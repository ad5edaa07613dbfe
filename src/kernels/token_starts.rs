//! Where in the sorted places those of each token begin.

use super::embedding_bag::{are_tokens, case_order, case_tokens};
use super::{Cases, has};
use crate::core::buffer::{Buf, Fill, shape};
use crate::core::memory::HostMem;
use crate::core::program::{Exp, Kernel, Tolerance};

/// `tokens`: `[rows, width]`, a multiple of four wide; `order`: `[1, rows * width]`, its places sorted by their tokens; `starts`:
/// `[1, vocabulary + 1]`, the last one where what is no token begins.
pub struct TokenStarts {
    pub tokens: Buf,
    pub order: Buf,
    pub starts: Buf,
}

/// Where in `order` the places of `token` begin.
pub(super) fn start_of(tokens: &[u32], order: &[u32], token: u32) -> u32 {
    order.partition_point(|&place| tokens[place as usize] < token) as u32
}

impl Kernel for TokenStarts {
    interface! {
        self runs "token_starts";
        bufs { tokens, order, starts }
        params { count: self.order.cols(), entries: self.starts.cols(), padded: self.starts.shape.stride() }
        invocations { self.starts.shape.stride() }
    }

    fn check_shapes(&self) -> Result<(), String> {
        are_tokens(self.tokens)?;
        has("starts", self.starts, 1, self.starts.cols())?;
        has("order", self.order, 1, self.tokens.rows() * self.tokens.cols())
    }

    fn twin(&self, m: &HostMem) {
        let (tokens, order) = (m.u32(self.tokens), m.u32(self.order));
        let (tokens, order) = (tokens.padded(), order.padded());
        m.u32_mut(self.starts).for_each_row(|_, starts| {
            for (token, start) in starts.iter_mut().enumerate() {
                *start = start_of(tokens, order, token as u32);
            }
        });
    }

    fn tolerance(&self, _: &str, _: &HostMem, _: Exp) -> Tolerance {
        Tolerance::Exact
    }

    fn work(&self) -> u64 {
        u64::from(self.starts.cols()) * u64::from(self.order.cols().ilog2() + 4)
    }
}

pub fn cases(c: &mut Cases<'_>) {
    for (rows, width, vocabulary) in [(1, 4, 1), (16, 8, 40), (5, 12, 63), (32, 4, 128)] {
        let tokens = case_tokens(rows, width, vocabulary);
        let order = c.integers(case_order(&tokens, rows * width));
        let (tokens, starts) = (c.filled(shape(rows, width), Fill::U32(tokens)), c.integer_output(1, vocabulary + 1));
        c.add(TokenStarts { tokens, order, starts });
    }
}
