//! The gradients of attention by its queries, keys or values: probabilities are computed once more from what the forward pass has
//! kept (Dao et al., FlashAttention, 2022), and each gradient is a sum in the order of places.

use multiversion::multiversion;
use rayon::prelude::*;

use super::activation::exp as fast_exp;
use super::attention::{Heads, SIZES, SequenceRows, VANISHED, case_rows, case_tokens, dot, logit_error};
use super::{Cases, has, same};
use crate::core::buffer::{Buf, Fill, shape};
use crate::core::memory::{HostMem, Rows};
use crate::core::program::{EPSILON, Exp, Kernel, Tolerance};
use crate::core::sample::NO_TOKEN;

/// What a gradient of attention is of. Numbered as in the WGSL.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AttentionInput {
    Queries,
    Keys,
    Values,
}

/// `q`, `k`, `v`, `grad_y`, `grad`: `[batch * length, width]`; `tokens` and `log_sums` as in
/// [`Attention`](super::attention::Attention); `deltas`: `[batch * length, heads]`, of
/// [`AttentionDeltas`](super::attention_deltas::AttentionDeltas).
pub struct AttentionBackward {
    pub of: AttentionInput,
    pub q: Buf,
    pub k: Buf,
    pub v: Buf,
    pub grad_y: Buf,
    pub log_sums: Buf,
    pub deltas: Buf,
    pub tokens: Buf,
    pub grad: Buf,
    pub heads: u32,
    pub accumulate: bool,
}

/// What is read, as rows.
struct AttentionRows<'a> {
    q: Rows<'a, f32>,
    k: Rows<'a, f32>,
    v: Rows<'a, f32>,
    grad_y: Rows<'a, f32>,
    log_sums: Rows<'a, f32>,
    deltas: Rows<'a, f32>,
    tokens: Rows<'a, u32>,
}

/// What a partner adds to a gradient: its row `of` times `weight`, which may lie off by `error`.
struct Term {
    weight: f64,
    error: f64,
    partner: usize,
}

/// Products to weights: of `own` with the partners, times `scale`, and for other gradients than that of values `slopes`.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
fn weigh(z: &mut [f32], slopes: Option<&[f32]>, log_sums: &[f32], deltas: &[f32], scale: f32) {
    let p = |z: f32, log_sum: f32| {
        let x = z * scale - log_sum;
        fast_exp(if x > 0.0 { 0.0 } else { x })
    };
    match slopes {
        None => z.iter_mut().zip(log_sums).for_each(|(z, log_sum)| *z = p(*z, *log_sum)),
        Some(slopes) => {
            for (((z, slope), log_sum), delta) in z.iter_mut().zip(slopes).zip(log_sums).zip(deltas) {
                *z = p(*z, *log_sum) * ((slope - delta) * scale);
            }
        }
    }
}

impl AttentionBackward {
    fn split(&self) -> Heads {
        Heads::of(self.q, self.tokens, self.heads)
    }

    fn read<'a>(&self, m: &'a HostMem) -> AttentionRows<'a> {
        let [q, k, v, grad_y, log_sums, deltas] = [self.q, self.k, self.v, self.grad_y, self.log_sums, self.deltas].map(|buf| m.f32(buf));
        AttentionRows { q, k, v, grad_y, log_sums, deltas, tokens: m.u32(self.tokens) }
    }

    /// Whose rows the gradient is a sum of.
    fn summed<'a>(&self, from: &'a AttentionRows<'a>) -> &'a Rows<'a, f32> {
        match self.of {
            AttentionInput::Queries => &from.k,
            AttentionInput::Keys => &from.q,
            AttentionInput::Values => &from.grad_y,
        }
    }

    /// What a head's columns of the gradient in row `row` are summed from, from the formula.
    fn terms(&self, from: &AttentionRows<'_>, row: usize, head: usize, exp: Exp) -> Vec<Term> {
        let (split, columns) = (self.split(), self.split().columns(head));
        let scale = 1.0 / f64::from(split.width).sqrt();
        let term = |partner: usize| {
            let (query, key) = if self.of == AttentionInput::Queries { (row, partner) } else { (partner, row) };
            let (sum, size) = dot(&from.q.row(query)[columns.clone()], &from.k.row(key)[columns.clone()]);
            let [log_sum, delta] = [&from.log_sums, &from.deltas].map(|sums| f64::from(sums.row(query)[head]));
            let (z, size) = (sum * scale, size * scale);
            let x = (z - log_sum).min(0.0);
            let error = logit_error(split.width, size) + 2.0 * EPSILON * (z.abs() + log_sum.abs());
            // The most that it may be, as errors of large logits are not small.
            let (p, most) = (x.exp(), (x + error).min(0.0).exp());
            let of_p = most * (exp.error(x) + error) + VANISHED;
            if self.of == AttentionInput::Values {
                return Term { weight: p, error: of_p, partner };
            }
            let (slope, size) = dot(&from.grad_y.row(query)[columns.clone()], &from.v.row(key)[columns.clone()]);
            let slope_error = 2.0 * EPSILON * ((f64::from(split.width) + 2.0) * size + 2.0 * (slope - delta).abs());
            let error = of_p * ((slope - delta).abs() + slope_error) + most * slope_error;
            Term { weight: p * (slope - delta) * scale, error: error * scale, partner }
        };
        split.partners(&from.tokens, row).map(term).collect()
    }

    /// log_sums and deltas of one head: those of the partners, or of the query in row `row` as many times.
    fn sums(&self, from: &AttentionRows<'_>, block: SequenceRows, row: usize, head: usize) -> [Vec<f32>; 2] {
        [&from.log_sums, &from.deltas].map(|sums| match self.of {
            AttentionInput::Queries => vec![sums.row(row)[head]; block.partners],
            _ => (block.others..block.others + block.partners).map(|query| sums.row(query)[head]).collect(),
        })
    }
}

impl Kernel for AttentionBackward {
    interface! {
        self runs "attention_backward" after "inside", "attention_tile";
        bufs { q, k, v, grad_y, log_sums, deltas, tokens, grad }
        params { ..self.split().params(), scale: self.split().scale(), accumulate }
        constants { ..self.split().constants(), NO_TOKEN: NO_TOKEN, OF: self.of as u32 }
        invocations { self.split().invocations() }
    }

    fn check_shapes(&self) -> Result<(), String> {
        Heads::check(self.q, self.tokens, self.heads)?;
        same(&[("q", self.q), ("k", self.k), ("v", self.v), ("grad_y", self.grad_y), ("grad", self.grad)])?;
        has("log_sums", self.log_sums, self.q.rows(), self.heads)?;
        has("deltas", self.deltas, self.q.rows(), self.heads)
    }

    fn twin(&self, m: &HostMem) {
        let from = self.read(m);
        m.f32_mut(self.grad).for_each_row(|r, grad| {
            for head in 0..self.heads as usize {
                let terms = self.terms(&from, r, head, Exp::Specified);
                for c in self.split().columns(head) {
                    let sum: f64 = terms.iter().map(|term| term.weight * f64::from(self.summed(&from).row(term.partner)[c])).sum();
                    grad[c] = (sum + if self.accumulate { f64::from(grad[c]) } else { 0.0 }) as f32;
                }
            }
        });
    }

    fn fast(&self, m: &HostMem) {
        let (from, split) = (self.read(m), self.split());
        let (own, other) = match self.of {
            AttentionInput::Queries => ([&from.q, &from.grad_y], [&from.k, &from.v]),
            _ => ([&from.k, &from.v], [&from.q, &from.grad_y]),
        };
        let mut grad = m.f32_mut(self.grad);
        split.for_each_block(&from.tokens, [grad.padded_mut()], |block, [grad]| {
            if !self.accumulate {
                grad.fill(0.0);
            }
            if block.rows == 0 {
                return;
            }
            let [mut weights, mut slopes] = [(); 2].map(|()| vec![0.0; block.rows * block.partners]);
            for head in 0..self.heads as usize {
                let [a, b] = [block.first, block.others].map(|row| split.at(row, head));
                let products = |which: usize, to: &mut [f32]| {
                    split.products(block).multiply(&own[which].padded()[a..], &other[which].padded()[b..], to);
                };
                products(0, &mut weights);
                if self.of != AttentionInput::Values {
                    products(1, &mut slopes);
                }
                let mut sums = self.sums(&from, block, block.first, head);
                for (i, (z, slopes)) in weights.chunks_mut(block.partners).zip(slopes.chunks(block.partners)).enumerate() {
                    if self.of == AttentionInput::Queries && i > 0 {
                        sums = self.sums(&from, block, block.first + i, head);
                    }
                    let slopes = Some(slopes).filter(|_| self.of != AttentionInput::Values);
                    weigh(z, slopes, &sums[0], &sums[1], split.scale());
                }
                let summed = &self.summed(&from).padded()[b..];
                split.sums(block, self.accumulate).multiply(&weights, summed, &mut grad[split.columns(head).start..]);
            }
        });
    }

    /// The errors of weights, and a rounding per partner.
    fn tolerance(&self, _: &str, m: &HostMem, exp: Exp) -> Tolerance {
        let (from, old) = (self.read(m), m.f32(self.grad));
        let bounds = (0..self.q.rows() as usize).into_par_iter().flat_map_iter(|r| {
            let of_head = |head: usize| {
                let terms = self.terms(&from, r, head, exp);
                let roundings = 2.0 * EPSILON * (terms.len() as f64 + 4.0);
                let bound = |c: usize| {
                    let size = |term: &Term| {
                        f64::from(self.summed(&from).row(term.partner)[c].abs()) * (term.error + roundings * (term.weight.abs() + term.error))
                    };
                    let old = if self.accumulate { 4.0 * EPSILON * f64::from(old.row(r)[c].abs()) } else { 0.0 };
                    terms.iter().map(size).sum::<f64>() + old + 1e-37
                };
                self.split().columns(head).map(bound).collect::<Vec<_>>()
            };
            (0..self.heads as usize).flat_map(of_head).collect::<Vec<_>>()
        });
        Tolerance::Each(bounds.collect())
    }

    fn flops(&self) -> u64 {
        let products = if self.of == AttentionInput::Values { 2 } else { 3 };
        2 * products * u64::from(self.q.rows()) * u64::from(self.split().length) * u64::from(self.q.cols())
    }
}

pub fn cases(c: &mut Cases<'_>) {
    for (i, (batch, length, heads, width, magnitude)) in (0..).zip(SIZES) {
        for of in [AttentionInput::Queries, AttentionInput::Keys, AttentionInput::Values] {
            let (tokens, cols) = (case_tokens(batch, length), heads * width);
            let [q, k] = [1, 2].map(|salt| case_rows(c, &tokens, cols, magnitude, salt));
            let [v, grad_y] = [3, 4].map(|salt| case_rows(c, &tokens, cols, 1.0, salt));
            // Some that the logits are below of, and with large logits some that they are above.
            let log_sums = (0..batch * length * heads).map(|i| 1.5 + 0.1 * (i % 7) as f32 + if magnitude > 9.0 { 100.0 } else { 0.0 });
            let log_sums = c.filled(shape(batch * length, heads), Fill::F32(log_sums.collect()));
            let (deltas, grad) = (c.uniform(batch * length, heads), c.uniform(batch * length, cols));
            let tokens = c.filled(shape(batch, length), Fill::U32(tokens));
            let accumulate = (i + of as u32) % 2 == 1;
            c.add(AttentionBackward { of, q, k, v, grad_y, log_sums, deltas, tokens, grad, heads, accumulate });
        }
    }
}
