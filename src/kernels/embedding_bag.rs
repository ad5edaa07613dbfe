//! Sums of embeddings over tokens side by side; of one token each, the embeddings themselves.

use super::{Cases, has, row_quads};
use crate::core::buffer::{Buf, Fill, shape};
use crate::core::memory::HostMem;
use crate::core::program::{EPSILON, Exp, Kernel, Tolerance};
use crate::core::sample::NO_TOKEN;

/// `table`: `[vocabulary, cols]`; `tokens`: `[texts, width]`, a multiple of four wide; `y`: `[rows, cols]`, each the sum over as many
/// tokens, up to the first [`NO_TOKEN`]: those of a text, or a part of it.
pub struct EmbeddingBag {
    pub table: Buf,
    pub tokens: Buf,
    pub y: Buf,
}

/// Those of a row.
pub(super) fn tokens_of(row: &[u32]) -> &[u32] {
    &row[..row.iter().position(|&token| token == NO_TOKEN).unwrap_or(row.len())]
}

/// Rows of tokens as the kernels on them want them.
pub(super) fn are_tokens(tokens: Buf) -> Result<(), String> {
    match tokens.cols().is_multiple_of(4) {
        true => Ok(()),
        false => Err(format!("`tokens` has {} columns, a multiple of four is wanted", tokens.cols())),
    }
}

/// Tokens of cases: rows of different lengths, some of them empty and some full, with some tokens often and some never.
pub(super) fn case_tokens(rows: u32, width: u32, vocabulary: u32) -> Vec<u32> {
    let token = |row: u32, place: u32| {
        let length = if row % 7 == 3 { 0 } else { width - row % width };
        if place < length { (row * 31 + place * place * 17) % vocabulary / (1 + row % 2) } else { NO_TOKEN }
    };
    (0..rows).flat_map(|row| (0..width).map(move |place| token(row, place))).collect()
}

/// Places of tokens, sorted in runs.
pub(super) fn case_order(tokens: &[u32], run: u32) -> Vec<u32> {
    let mut order: Vec<u32> = (0..tokens.len() as u32).collect();
    order.chunks_mut(run as usize).for_each(|run| run.sort_by_key(|&place| tokens[place as usize]));
    order
}

impl EmbeddingBag {
    /// Tokens of a row.
    fn width(&self) -> u32 {
        self.tokens.rows() * self.tokens.cols() / self.y.rows()
    }

    fn row<'a>(&self, tokens: &'a [u32], row: usize) -> &'a [u32] {
        let width = self.width() as usize;
        tokens_of(&tokens[row * width..][..width])
    }
}

impl Kernel for EmbeddingBag {
    interface! {
        self runs "embedding_bag";
        bufs { table, tokens, y }
        params { rows: self.y.rows(), quads: row_quads(self.y), width: self.width() }
        constants { NO_TOKEN: NO_TOKEN }
    }

    fn check_shapes(&self) -> Result<(), String> {
        are_tokens(self.tokens)?;
        let count = self.tokens.rows() * self.tokens.cols();
        match self.y.rows() > 0 && count.is_multiple_of(self.y.rows()) {
            true => has("y", self.y, self.y.rows(), self.table.cols()),
            false => Err(format!("{count} tokens make no {} rows", self.y.rows())),
        }
    }

    fn twin(&self, m: &HostMem) {
        let (table, tokens) = (m.f32(self.table), m.u32(self.tokens));
        m.f32_mut(self.y).for_each_row(|r, y| {
            for (col, y) in y.iter_mut().enumerate() {
                *y = self.row(tokens.padded(), r).iter().map(|&token| f64::from(table.row(token as usize)[col])).sum::<f64>() as f32;
            }
        });
    }

    fn fast(&self, m: &HostMem) {
        let (table, tokens) = (m.f32(self.table), m.u32(self.tokens));
        m.f32_mut(self.y).for_each_row(|r, y| {
            y.fill(0.0);
            for &token in self.row(tokens.padded(), r) {
                y.iter_mut().zip(table.row(token as usize)).for_each(|(y, value)| *y += value);
            }
        });
    }

    /// A rounding for each token.
    fn tolerance(&self, _: &str, m: &HostMem, _: Exp) -> Tolerance {
        let (table, tokens) = (m.f32(self.table), m.u32(self.tokens));
        let bounds = (0..self.y.rows() as usize).flat_map(|r| {
            let row = self.row(tokens.padded(), r);
            let magnitude = |col: usize| row.iter().map(|&token| f64::from(table.row(token as usize)[col].abs())).sum::<f64>();
            (0..self.y.cols() as usize).map(|col| 2.0 * EPSILON * row.len() as f64 * magnitude(col) + 1e-37).collect::<Vec<_>>()
        });
        Tolerance::Each(bounds.collect())
    }

    /// Of the table, a row for each token.
    fn bytes(&self) -> u64 {
        4 * (self.tokens.shape.words() * u64::from(1 + self.y.cols()) + self.y.shape.words())
    }
}

pub fn cases(c: &mut Cases<'_>) {
    for (vocabulary, rows, width, cols) in [(1, 1, 4, 1), (10, 5, 8, 7), (257, 65, 12, 64), (40, 9, 132, 33), (12, 64, 4, 3)] {
        let table = c.uniform(vocabulary, cols);
        let tokens = c.filled(shape(rows, width), Fill::U32(case_tokens(rows, width, vocabulary)));
        let y = c.output(rows, cols);
        c.add(EmbeddingBag { table, tokens, y });
    }
    // A token each, and two.
    for (rows, cols, per_row) in [(9, 33, 1), (70, 8, 1), (5, 6, 2)] {
        let table = c.uniform(30, cols);
        let tokens = c.filled(shape(rows, 12), Fill::U32(case_tokens(rows, 12, 30)));
        let y = c.output(rows * 12 / per_row, cols);
        c.add(EmbeddingBag { table, tokens, y });
    }
}
