//! Attention of several heads (Vaswani et al., 2017), within sequences.

use super::{Activation, GradientCase, add, case_input};
use crate::core::buffer::{Buf, Dtype, Fill, Role, shape};
use crate::core::sample::NO_TOKEN;
use crate::core::tape::Tape;
use crate::kernels::attention::Attention;
use crate::kernels::attention_backward::{AttentionBackward, AttentionInput};
use crate::kernels::attention_deltas::AttentionDeltas;

/// `q`, `k`, `v`: `[batch * length, width]`, sequences one after another; `tokens` (u32): `[batch, length]`, `NO_TOKEN` behind the
/// last one of a sequence. Returns softmax(q kᵀ / √(width / heads)) v of each head, `[batch * length, width]`, over the keys that are
/// tokens; what is no token has zeros, and gets no gradient.
pub fn attention(t: &mut Tape<'_>, name: &str, q: Buf, k: Buf, v: Buf, tokens: Buf, heads: u32) -> Buf {
    let y = t.scratch(name, q.shape);
    let log_sums = t.scratch(&format!("{name} log sums"), shape(q.rows(), heads));
    t.call(name, Attention { q, k, v, tokens, y, log_sums, heads });
    let name = name.to_string();
    t.op(&[q, k, v], y, move |t, grad_y| {
        let deltas = t.scratch(&format!("{name} deltas.grad"), log_sums.shape);
        t.call(format!("{name}: deltas"), AttentionDeltas { y, grad_y, deltas });
        for (x, of, what) in [(q, AttentionInput::Queries, "query"), (k, AttentionInput::Keys, "key"), (v, AttentionInput::Values, "value")]
        {
            if let Some(to) = t.grad(x) {
                let (grad, accumulate) = (to.buf, to.accumulate);
                let call = AttentionBackward { of, q, k, v, grad_y, log_sums, deltas, tokens, grad, heads, accumulate };
                t.call(format!("{name}: {what} gradient"), call);
            }
        }
    });
    y
}

pub(super) fn gradient_cases() -> Vec<GradientCase> {
    /// Sequences of five places: full, empty, and others.
    fn tokens(t: &mut Tape<'_>, batch: u32) -> Buf {
        let token = |i: u32| if i % 5 < [5, 3, 0, 1][i as usize / 5 % 4] { i } else { NO_TOKEN };
        t.arena.buffer("tokens", Role::Input, Dtype::U32, shape(batch, 5), Fill::U32((0..5 * batch).map(token).collect()))
    }
    fn apart(t: &mut Tape<'_>, batch: u32, heads: u32, width: u32) -> (Vec<Buf>, Buf) {
        let [q, k, v] = ["q", "k", "v"].map(|name| case_input(t, name, 5 * batch, heads * width));
        let tokens = tokens(t, batch);
        (vec![q, k, v], attention(t, "y", q, k, v, tokens, heads))
    }
    vec![
        GradientCase { name: "attention", record: |t| apart(t, 1, 1, 4) },
        GradientCase { name: "attention, several heads and padding", record: |t| apart(t, 4, 3, 3) },
        GradientCase {
            name: "attention of a sequence to itself",
            record: |t| {
                let (x, tokens) = (case_input(t, "x", 20, 6), tokens(t, 4));
                (vec![x], attention(t, "y", x, x, x, tokens, 2))
            },
        },
        GradientCase {
            name: "attention twice, keys shared",
            record: |t| {
                let [q, k, v] = ["q", "k", "v"].map(|name| case_input(t, name, 10, 4));
                let tokens = tokens(t, 2);
                let first = attention(t, "first", q, k, v, tokens, 2);
                let second = attention(t, "second", first, k, k, tokens, 1);
                (vec![q, k, v], add(t, "y", first, second, Activation::None))
            },
        },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::buffer::Arena;

    #[test]
    fn memory_grows_with_the_length_alone() {
        const LENGTH: u32 = 4096;
        let mut arena = Arena::new(1, u64::MAX);
        let mut t = Tape::new(&mut arena, "case", &[]);
        let [q, k, v, dy] = ["q", "k", "v", "dy"].map(|name| case_input(&mut t, name, LENGTH, 384));
        let tokens = t.arena.buffer("tokens", Role::Input, Dtype::U32, shape(1, LENGTH), Fill::Zero);
        let inputs = t.arena.bytes();
        let y = attention(&mut t, "y", q, k, v, tokens, 6);
        t.backward(y, dy);
        t.finish().expect("the case is valid");
        let more = arena.bytes() - inputs;
        assert!(more <= 64 << 20, "{more} bytes beyond its inputs; all logits of one head alone are {}", 4 * LENGTH * LENGTH);
    }
}
