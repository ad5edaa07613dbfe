//! Attention of several heads (Vaswani et al., 2017) within sequences, by a softmax that streams over the keys: no matrix of all
//! queries and keys is ever in memory (Dao et al., FlashAttention, 2022).

use multiversion::multiversion;
use rayon::prelude::*;

use super::activation::exp as fast_exp;
use super::embedding_bag::tokens_of;
use super::layer_norm::sum_row;
use super::{Cases, has};
use crate::core::buffer::{Buf, Fill, shape};
use crate::core::memory::{HostMem, Rows};
use crate::core::program::{EPSILON, Exp, Kernel, Scalar, Tolerance};
use crate::core::random::{signed_unit, threefry};
use crate::core::sample::NO_TOKEN;
use crate::host::gemm::{Gemm, Layout};

/// `q`, `k`, `v`, `y`: `[batch * length, width]`, head h in columns h · width / heads and on; `tokens` (u32): `[batch, length]`,
/// [`NO_TOKEN`] behind the last one: keys there count for nothing, and queries there get zeros; `log_sums`: `[batch * length, heads]`,
/// logΣexp of each query's logits.
pub struct Attention {
    pub q: Buf,
    pub k: Buf,
    pub v: Buf,
    pub tokens: Buf,
    pub y: Buf,
    pub log_sums: Buf,
    pub heads: u32,
}

/// How rows divide into sequences, and columns into heads.
#[derive(Clone, Copy)]
pub(super) struct Heads {
    pub(super) count: u32,
    /// Columns of each.
    pub(super) width: u32,
    pub(super) batch: u32,
    pub(super) length: u32,
    token_stride: u32,
    stride: u32,
}

impl Heads {
    /// Of such, 4 places fill a tile of workgroup memory; and an invocation has three rows of a head to itself.
    const WIDEST: u32 = 256;

    pub(super) fn of(x: Buf, tokens: Buf, count: u32) -> Self {
        let (width, stride, token_stride) = (x.cols() / count.max(1), x.shape.stride(), tokens.shape.stride());
        Heads { count, width, batch: tokens.rows(), length: tokens.cols(), token_stride, stride }
    }

    /// Checks that rows of `x`, the queries, are the places of `tokens`, and that heads divide its columns.
    pub(super) fn check(x: Buf, tokens: Buf, count: u32) -> Result<(), String> {
        has("q", x, tokens.rows() * tokens.cols(), x.cols())?;
        if count == 0 || !x.cols().is_multiple_of(count) || x.cols() / count > Self::WIDEST {
            return Err(format!("{count} heads of {} columns; they must divide them into at most {} each", x.cols(), Self::WIDEST));
        }
        Ok(())
    }

    pub(super) fn params(self) -> Vec<(&'static str, Scalar)> {
        vec![
            ("length", self.length.into()),
            ("token_stride", self.token_stride.into()),
            ("stride", self.stride.into()),
            ("heads", self.count.into()),
            ("sums_stride", self.count.next_multiple_of(4).into()),
            ("blocks", self.length.div_ceil(WG).into()),
        ]
    }

    /// Tiles take 8 KiB of workgroup memory, or less for narrow heads.
    pub(super) fn constants(self) -> [(&'static str, u32); 2] {
        let tile = 1 << (256 / self.width.div_ceil(4).max(1)).max(4).ilog2();
        [("HEAD", self.width), ("TILE", tile.min(32))]
    }

    pub(super) fn invocations(self) -> u64 {
        u64::from(self.batch) * u64::from(self.count) * u64::from(self.length.div_ceil(WG) * WG)
    }

    pub(super) fn scale(self) -> f32 {
        (1.0 / f64::from(self.width).sqrt()) as f32
    }

    /// The sequence that a row belongs to, and its place in there.
    pub(super) fn place(self, row: usize) -> (usize, usize) {
        (row / self.length as usize, row % self.length as usize)
    }

    pub(super) fn columns(self, head: usize) -> std::ops::Range<usize> {
        let width = self.width as usize;
        head * width..(head + 1) * width
    }

    /// The rows of tokens in the sequence of row `row`; none if that row is padding.
    pub(super) fn partners(self, tokens: &Rows<u32>, row: usize) -> std::ops::Range<usize> {
        let (sequence, place) = self.place(row);
        let (first, count) = (sequence * self.length as usize, tokens_of(tokens.row(sequence)).len());
        if place < count { first..first + count } else { first..first }
    }

    /// Rows that the CPU takes at a time: as many as keep their products with all of a sequence within 1 MiB.
    fn block(self) -> usize {
        ((1 << 18) / self.length as usize).clamp(8, 64)
    }

    /// Calls `f(block, its words of each output)` for blocks of rows, in parallel.
    pub(super) fn for_each_block<const N: usize>(
        self,
        tokens: &Rows<u32>,
        outputs: [&mut [f32]; N],
        f: impl Fn(SequenceRows, [&mut [f32]; N]) + Sync,
    ) {
        let (batch, length, block) = (self.batch as usize, self.length as usize, self.block());
        let mut words = outputs.map(|words| {
            let of_sequence = words.len() / batch;
            words.chunks_mut(of_sequence).flat_map(move |words| words.chunks_mut(block * (of_sequence / length)))
        });
        let blocks = (0..batch).flat_map(|sequence| {
            let (others, partners) = (sequence * length, tokens_of(tokens.row(sequence)).len());
            let rows = move |first: usize| partners.saturating_sub(first).min(block);
            (0..length).step_by(block).map(move |first| SequenceRows { first: others + first, rows: rows(first), others, partners })
        });
        let tasks: Vec<_> = blocks.map(|block| (block, words.each_mut().map(|words| words.next().expect("a block of each")))).collect();
        tasks.into_par_iter().for_each(|(block, words)| f(block, words));
    }

    /// For a product with one head's columns of rows from `row` on: where they begin.
    pub(super) fn at(self, row: usize, head: usize) -> usize {
        row * self.stride as usize + head * self.width as usize
    }

    /// `rows` x `partners` products of one head's columns.
    pub(super) fn products(self, block: SequenceRows) -> Gemm {
        let (stride, dense) = (self.stride as usize, Gemm::dense(Layout::NT, block.rows, block.partners, self.width as usize));
        Gemm { a_stride: stride, b_stride: stride, ..dense }
    }

    /// Sums of one head's columns of the partners, weighted by such products.
    pub(super) fn sums(self, block: SequenceRows, accumulate: bool) -> Gemm {
        let (stride, dense) = (self.stride as usize, Gemm::dense(Layout::NN, block.rows, self.width as usize, block.partners));
        Gemm { b_stride: stride, c_stride: stride, accumulate, ..dense }
    }
}

/// Rows `first` and on of a sequence that begins at row `others` and has `partners` tokens; `rows` of them are tokens.
#[derive(Clone, Copy)]
pub(super) struct SequenceRows {
    pub(super) first: usize,
    pub(super) rows: usize,
    pub(super) others: usize,
    pub(super) partners: usize,
}

pub(super) const WG: u32 = 64;

/// Σ a · b and Σ |a · b|.
pub(super) fn dot(a: &[f32], b: &[f32]) -> (f64, f64) {
    let terms = a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b));
    terms.fold((0.0, 0.0), |(sum, size), term| (sum + term, size + term.abs()))
}

/// How far a logit of terms of that size may lie off.
pub(super) fn logit_error(width: u32, size: f64) -> f64 {
    2.0 * EPSILON * (f64::from(width) + 4.0) * size
}

/// Of what vanishes, as much may be left as where exponentials end.
pub(super) const VANISHED: f64 = 2e-35;

/// Logits to a softmax; returns logΣexp.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
fn softmax(z: &mut [f32], scale: f32) -> f32 {
    let mut strands = [f32::MIN; 8];
    let (blocks, rest) = z.as_chunks::<8>();
    for block in blocks {
        strands.iter_mut().zip(block).for_each(|(strand, &z)| *strand = if z > *strand { z } else { *strand });
    }
    let largest = strands.iter().chain(rest).fold(f32::MIN, |a, &b| a.max(b)) * scale;
    z.iter_mut().for_each(|z| *z = fast_exp(*z * scale - largest));
    let total = sum_row(z, |_, z| z);
    let inverse = 1.0 / total;
    z.iter_mut().for_each(|z| *z *= inverse);
    largest + total.ln()
}

impl Attention {
    fn split(&self) -> Heads {
        Heads::of(self.q, self.tokens, self.heads)
    }

    /// The logits of a row in one head, each with the size of its terms.
    fn logits(&self, [q, k]: [&Rows<f32>; 2], tokens: &Rows<u32>, row: usize, head: usize) -> Vec<(f64, f64)> {
        let (split, columns) = (self.split(), self.split().columns(head));
        let scale = 1.0 / f64::from(split.width).sqrt();
        let logit = |key| {
            let (sum, size) = dot(&q.row(row)[columns.clone()], &k.row(key)[columns.clone()]);
            (sum * scale, size * scale)
        };
        split.partners(tokens, row).map(logit).collect()
    }

    /// How far the unscaled weight of each key may lie off, relatively: by the error of its logit, by that of exponentials whose
    /// arguments add up to the distance from the largest one, and by one exponential for each time that a larger one came.
    fn weight_errors(&self, logits: &[(f64, f64)], exp: Exp) -> Vec<f64> {
        let errors: Vec<f64> = logits.iter().map(|(_, size)| logit_error(self.split().width, *size)).collect();
        let slack = 2.0 * errors.iter().fold(0.0, |a: f64, b| a.max(*b));
        let (mut largest, mut rescaled) = (f64::NEG_INFINITY, 0.0);
        for four in logits.chunks(4) {
            let top = four.iter().fold(f64::NEG_INFINITY, |a, (z, _)| a.max(*z));
            rescaled += if top > largest - slack && largest.is_finite() { 1.0 } else { 0.0 };
            largest = largest.max(top);
        }
        let total = |((z, _), error): (&(f64, f64), &f64)| error + rescaled * (exp.error(0.0) + 2.0 * EPSILON) + exp.error(1.5 * (largest - z));
        logits.iter().zip(&errors).map(total).collect()
    }
}

/// (softmax, logΣexp)
fn softmax_of(logits: &[(f64, f64)]) -> (Vec<f64>, f64) {
    let largest = logits.iter().fold(f64::NEG_INFINITY, |a, (z, _)| a.max(*z));
    let total: f64 = logits.iter().map(|(z, _)| (z - largest).exp()).sum();
    (logits.iter().map(|(z, _)| (z - largest).exp() / total).collect(), largest + total.ln())
}

impl Kernel for Attention {
    interface! {
        self runs "attention" after "inside", "attention_tile";
        bufs { q, k, v, tokens, y, log_sums }
        params { ..self.split().params(), scale: self.split().scale() }
        constants { ..self.split().constants(), NO_TOKEN: NO_TOKEN }
        invocations { self.split().invocations() }
    }

    fn check_shapes(&self) -> Result<(), String> {
        Heads::check(self.q, self.tokens, self.heads)?;
        super::same(&[("q", self.q), ("k", self.k), ("v", self.v), ("y", self.y)])?;
        has("log_sums", self.log_sums, self.q.rows(), self.heads)
    }

    fn twin(&self, m: &HostMem) {
        let (q, k, v, tokens) = (m.f32(self.q), m.f32(self.k), m.f32(self.v), m.u32(self.tokens));
        let split = self.split();
        m.f32_mut(self.y).for_each_row(|r, y| {
            for head in 0..self.heads as usize {
                let (weights, _) = softmax_of(&self.logits([&q, &k], &tokens, r, head));
                for c in split.columns(head) {
                    let terms = weights.iter().zip(split.partners(&tokens, r)).map(|(p, key)| p * f64::from(v.row(key)[c]));
                    y[c] = terms.sum::<f64>() as f32;
                }
            }
        });
        m.f32_mut(self.log_sums).for_each_row(|r, log_sums| {
            for (head, log_sum) in log_sums.iter_mut().enumerate() {
                let logits = self.logits([&q, &k], &tokens, r, head);
                *log_sum = if logits.is_empty() { 0.0 } else { softmax_of(&logits).1 as f32 };
            }
        });
    }

    fn fast(&self, m: &HostMem) {
        let (q, k, v, tokens) = (m.f32(self.q), m.f32(self.k), m.f32(self.v), m.u32(self.tokens));
        let (split, sums_stride) = (self.split(), self.log_sums.shape.stride() as usize);
        let (mut y, mut log_sums) = (m.f32_mut(self.y), m.f32_mut(self.log_sums));
        split.for_each_block(&tokens, [y.padded_mut(), log_sums.padded_mut()], |block, [y, log_sums]| {
            y.fill(0.0);
            log_sums.fill(0.0);
            if block.rows == 0 {
                return;
            }
            let mut weights = vec![0.0; block.rows * block.partners];
            for head in 0..self.heads as usize {
                let [a, b] = [block.first, block.others].map(|row| split.at(row, head));
                split.products(block).multiply(&q.padded()[a..], &k.padded()[b..], &mut weights);
                for (z, log_sums) in weights.chunks_mut(block.partners).zip(log_sums.chunks_mut(sums_stride)) {
                    log_sums[head] = softmax(z, split.scale());
                }
                split.sums(block, false).multiply(&weights, &v.padded()[b..], &mut y[split.columns(head).start..]);
            }
        });
    }

    /// The errors of weights, and a rounding per key for sums of values and of weights. A logarithm of a sum errs as weights do on
    /// average, and by its own 2^-21.
    fn tolerance(&self, output: &str, m: &HostMem, exp: Exp) -> Tolerance {
        let (q, k, v, tokens) = (m.f32(self.q), m.f32(self.k), m.f32(self.v), m.u32(self.tokens));
        let split = self.split();
        let bounds = (0..self.q.rows() as usize).into_par_iter().flat_map_iter(|r| {
            let of_head = |head: usize| {
                let logits = self.logits([&q, &k], &tokens, r, head);
                let (errors, (weights, log_sum)) = (self.weight_errors(&logits, exp), softmax_of(&logits));
                let mean: f64 = weights.iter().zip(&errors).map(|(p, error)| p * error).sum();
                let roundings = 2.0 * EPSILON * (logits.len() as f64 + 6.0);
                if output == "log_sums" {
                    return vec![if logits.is_empty() { 0.0 } else { mean + roundings + 2f64.powi(-21) + 8.0 * EPSILON * log_sum.abs() }];
                }
                let bound = |c: usize| {
                    let terms = weights.iter().zip(&errors).zip(split.partners(&tokens, r));
                    let term = |((p, error), key): ((&f64, &f64), usize)| {
                        f64::from(v.row(key)[c].abs()) * (p * (error + mean + 2.0 * roundings) + VANISHED)
                    };
                    terms.map(term).sum::<f64>() + 1e-37
                };
                split.columns(head).map(bound).collect()
            };
            (0..self.heads as usize).flat_map(of_head).collect::<Vec<_>>()
        });
        Tolerance::Each(bounds.collect())
    }

    fn flops(&self) -> u64 {
        4 * u64::from(self.q.rows()) * u64::from(self.split().length) * u64::from(self.q.cols())
    }
}

/// (batch, length, heads, columns of each, magnitude of logits' factors): one place, odd lengths, more than a tile and than a block of
/// queries, heads that begin within quads, wide ones, large logits.
pub(super) const SIZES: [(u32, u32, u32, u32, f32); 9] = [
    (1, 1, 1, 1, 1.0),
    (9, 7, 2, 3, 1.0),
    (5, 33, 3, 5, 1.0),
    (3, 66, 2, 4, 2.0),
    (2, 129, 1, 6, 2.0),
    (3, 35, 4, 32, 1.0),
    (2, 18, 1, 65, 1.0),
    (3, 9, 1, 130, 0.5),
    (3, 40, 2, 8, 30.0),
];

/// Tokens of a case: full sequences first, then such without any, then some of each length.
pub(super) fn case_tokens(batch: u32, length: u32) -> Vec<u32> {
    let count = |sequence: u32| match sequence {
        0 => length,
        1 => length - length / 4,
        2 => 0,
        _ => (sequence * sequence * 5) % (length + 1),
    };
    (0..batch).flat_map(|sequence| (0..length).map(move |place| if place < count(sequence) { place * 7 } else { NO_TOKEN })).collect()
}

/// Rows for the places of `tokens`, up to `magnitude`; what is no token has no number.
pub(super) fn case_rows(c: &mut Cases<'_>, tokens: &[u32], cols: u32, magnitude: f32, salt: u32) -> Buf {
    let value = |row: usize, col: u32| match tokens[row] {
        NO_TOKEN => f32::NAN,
        _ => magnitude * signed_unit(threefry([salt, cols], [row as u32, col])[0]),
    };
    let values = (0..tokens.len()).flat_map(|row| (0..cols).map(move |col| value(row, col))).collect();
    c.filled(shape(tokens.len() as u32, cols), Fill::F32(values))
}

pub fn cases(c: &mut Cases<'_>) {
    for (batch, length, heads, width, magnitude) in SIZES {
        let (tokens, cols) = (case_tokens(batch, length), heads * width);
        let [q, k] = [1, 2].map(|salt| case_rows(c, &tokens, cols, magnitude, salt));
        let v = case_rows(c, &tokens, cols, 1.0, 3);
        let (y, log_sums) = (c.output(batch * length, cols), c.output(batch * length, heads));
        let tokens = c.filled(shape(batch, length), Fill::U32(tokens));
        c.add(Attention { q, k, v, tokens, y, log_sums, heads });
    }
    // Keys of which each is larger than the last one, so that sums are rescaled at every step; queries, keys and values in one buffer.
    let (tokens, cols) = (case_tokens(1, 21), 6);
    let rising = c.filled(shape(21, cols), Fill::F32((0..21 * cols).map(|i| 0.2 * (i / cols) as f32).collect()));
    let (y, log_sums, tokens) = (c.output(21, cols), c.output(21, 2), c.filled(shape(1, 21), Fill::U32(tokens)));
    c.add(Attention { q: rising, k: rising, v: rising, tokens, y, log_sums, heads: 2 });
}
