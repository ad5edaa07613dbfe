//! Embeddings of tokens, summed over texts.

use super::{Activation, GradientCase, add, case_input};
use crate::core::buffer::{Buf, Dtype, Fill, Role, shape};
use crate::core::sample::NO_TOKEN;
use crate::core::tape::Tape;
use crate::kernels::embedding_backward::EmbeddingBackward;
use crate::kernels::embedding_bag::EmbeddingBag;
use crate::kernels::merge_tokens::MergeTokens;
use crate::kernels::sort_tokens::{BLOCK, SortTokens};
use crate::kernels::token_starts::TokenStarts;

/// `table`: `[vocabulary, cols]`; `tokens` (u32): `[rows, width]`, a multiple of four wide, with `NO_TOKEN` behind the last one of a row;
/// returns the sum of the embeddings of each row, `[rows, cols]`.
pub fn embedding_bag(t: &mut Tape<'_>, name: &str, tokens: Buf, table: Buf) -> Buf {
    sums(t, name, tokens, table, tokens.rows())
}

/// `table`: `[vocabulary, cols]`; `tokens` (u32): `[texts, width]`, a multiple of four wide; returns the embedding of each, zeros for
/// `NO_TOKEN`, `[texts * width, cols]`.
pub fn embedding(t: &mut Tape<'_>, name: &str, tokens: Buf, table: Buf) -> Buf {
    sums(t, name, tokens, table, tokens.rows().saturating_mul(tokens.cols()))
}

/// Sums of embeddings over equally many tokens side by side, `[rows, cols]`.
fn sums(t: &mut Tape<'_>, name: &str, tokens: Buf, table: Buf, rows: u32) -> Buf {
    let y = t.scratch(name, shape(rows, table.cols()));
    t.call(name, EmbeddingBag { table, tokens, y });
    let name = name.to_string();
    t.op(&[table], y, move |t, grad_y| {
        if let Some(to) = t.grad(table) {
            let order = sorted(t, &name, tokens);
            let starts = t.scratch_of(&format!("{name} starts"), Dtype::U32, shape(1, table.rows() + 1));
            t.call(format!("{name}: starts of tokens"), TokenStarts { tokens, order, starts });
            let call = EmbeddingBackward { grad_y, order, starts, grad_table: to.buf, accumulate: to.accumulate };
            t.call(format!("{name}: gradient"), call);
        }
    });
    y
}

/// The places of `tokens`, sorted by them: so that the sum over a token's places has one order, whatever computes it.
fn sorted(t: &mut Tape<'_>, name: &str, tokens: Buf) -> Buf {
    let count = tokens.rows().saturating_mul(tokens.cols());
    let [mut order, mut other] = ["order", "other order"].map(|what| t.scratch_of(&format!("{name} {what}"), Dtype::U32, shape(1, count)));
    t.call(format!("{name}: sorted in blocks"), SortTokens { tokens, order });
    let mut run = BLOCK;
    while run < count {
        t.call(format!("{name}: sorted in runs of {}", run.saturating_mul(2)), MergeTokens { tokens, parts: order, order: other, run });
        (order, other) = (other, order);
        run = run.saturating_mul(2);
    }
    order
}

pub(super) fn gradient_cases() -> Vec<GradientCase> {
    fn record(t: &mut Tape<'_>, rows: u32, passes: u32, op: fn(&mut Tape<'_>, &str, Buf, Buf) -> Buf) -> (Vec<Buf>, Buf) {
        let token = |place: u32| if place % 8 > 8 - 1 - (place / 8) % 8 { NO_TOKEN } else { place * place % 5 };
        let tokens = (0..8 * rows).map(token).collect();
        let tokens = t.arena.buffer("tokens", Role::Input, Dtype::U32, shape(rows, 8), Fill::U32(tokens));
        let table = case_input(t, "table", 6, 3);
        let bags: Vec<Buf> = (0..passes).map(|pass| op(t, &format!("y{pass}"), tokens, table)).collect();
        let y = bags.into_iter().reduce(|x, y| add(t, "sum", x, y, Activation::None)).expect("there is one");
        (vec![table], y)
    }
    vec![
        GradientCase { name: "embedding bag", record: |t| record(t, 3, 1, embedding_bag) },
        GradientCase { name: "embedding bag of more places than are sorted at once", record: |t| record(t, 40, 1, embedding_bag) },
        GradientCase { name: "embedding bag, table shared", record: |t| record(t, 4, 2, embedding_bag) },
        GradientCase { name: "embedding", record: |t| record(t, 3, 1, embedding) },
    ]
}
