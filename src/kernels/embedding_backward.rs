//! The gradient of embeddings: sums over the places of each token, in their order.

use super::embedding_bag::{case_order, case_tokens};
use super::token_starts::start_of;
use super::{Cases, has, row_quads};
use crate::core::buffer::Buf;
use crate::core::memory::HostMem;
use crate::core::program::{EPSILON, Exp, Kernel, Tolerance};

/// `grad_y`: `[rows, cols]`; `order`: `[1, rows * width]`, places sorted by their tokens; `starts`: `[1, vocabulary + 1]`; `grad_table`:
/// `[vocabulary, cols]`.
pub struct EmbeddingBackward {
    pub grad_y: Buf,
    pub order: Buf,
    pub starts: Buf,
    pub grad_table: Buf,
    pub accumulate: bool,
}

impl EmbeddingBackward {
    /// Places that a row of `grad_y` belongs to.
    fn width(&self) -> u32 {
        self.order.cols() / self.grad_y.rows()
    }
}

impl Kernel for EmbeddingBackward {
    interface! {
        self runs "embedding_backward";
        bufs { grad_y, order, starts, grad_table }
        params { rows: self.grad_table.rows(), quads: row_quads(self.grad_table), width: self.width(), accumulate }
    }

    fn check_shapes(&self) -> Result<(), String> {
        has("order", self.order, 1, self.width().max(1) * self.grad_y.rows())?;
        has("starts", self.starts, 1, self.grad_table.rows() + 1)?;
        has("grad_table", self.grad_table, self.grad_table.rows(), self.grad_y.cols())
    }

    fn twin(&self, m: &HostMem) {
        let (grad_y, order, starts) = (m.f32(self.grad_y), m.u32(self.order), m.u32(self.starts));
        let (order, starts, width) = (order.row(0), starts.row(0), self.width());
        m.f32_mut(self.grad_table).for_each_row(|token, grad| {
            let places = &order[starts[token] as usize..starts[token + 1] as usize];
            for (col, grad) in grad.iter_mut().enumerate() {
                let sum: f64 = places.iter().map(|&place| f64::from(grad_y.row((place / width) as usize)[col])).sum();
                *grad = (if self.accumulate { f64::from(*grad) + sum } else { sum }) as f32;
            }
        });
    }

    fn fast(&self, m: &HostMem) {
        let (grad_y, order, starts) = (m.f32(self.grad_y), m.u32(self.order), m.u32(self.starts));
        let (order, starts, width) = (order.row(0), starts.row(0), self.width());
        m.f32_mut(self.grad_table).for_each_row(|token, grad| {
            if !self.accumulate {
                grad.fill(0.0);
            }
            for &place in &order[starts[token] as usize..starts[token + 1] as usize] {
                grad.iter_mut().zip(grad_y.row((place / width) as usize)).for_each(|(grad, value)| *grad += value);
            }
        });
    }

    /// A rounding for each place.
    fn tolerance(&self, _: &str, m: &HostMem, _: Exp) -> Tolerance {
        let (grad_y, order, starts, before) = (m.f32(self.grad_y), m.u32(self.order), m.u32(self.starts), m.f32(self.grad_table));
        let (order, starts, width) = (order.row(0), starts.row(0), self.width());
        let bounds = (0..self.grad_table.rows() as usize).flat_map(|token| {
            let places = &order[starts[token] as usize..starts[token + 1] as usize];
            let roundings = 2.0 * EPSILON * (places.len() as f64 + 1.0);
            let old = |col: usize| if self.accumulate { f64::from(before.row(token)[col].abs()) } else { 0.0 };
            let added = |col: usize| places.iter().map(|&place| f64::from(grad_y.row((place / width) as usize)[col].abs())).sum::<f64>();
            (0..self.grad_table.cols() as usize).map(|col| roundings * (old(col) + added(col)) + 1e-37).collect::<Vec<_>>()
        });
        Tolerance::Each(bounds.collect())
    }
}

pub fn cases(c: &mut Cases<'_>) {
    for (vocabulary, rows, width, cols) in [(1, 1, 4, 1), (40, 16, 8, 7), (64, 5, 12, 64), (129, 32, 4, 33)] {
        for accumulate in [false, true] {
            let tokens = case_tokens(rows, width, vocabulary);
            let order = case_order(&tokens, rows * width);
            let starts = c.integers((0..=vocabulary).map(|token| start_of(&tokens, &order, token)));
            let order = c.integers(order);
            let (grad_y, grad_table) = (c.uniform(rows, cols), c.uniform(vocabulary, cols));
            c.add(EmbeddingBackward { grad_y, order, starts, grad_table, accumulate });
        }
    }
}
