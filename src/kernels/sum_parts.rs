//! The second half of a product whose k was cut into parts: their sum.

use super::{Cases, has, quads};
use crate::core::buffer::Buf;
use crate::core::memory::HostMem;
use crate::core::program::{EPSILON, Exp, Kernel, Tolerance};

/// `products`: `[parts * rows, cols]`; `mask`, `c`: `[rows, cols]`.
pub struct SumParts {
    pub products: Buf,
    /// Where it is not positive, a zero is stored or added in place of the sum.
    pub mask: Option<Buf>,
    pub c: Buf,
    pub accumulate: bool,
}

impl SumParts {
    /// Σ f(products) for element `col` of row `row`.
    fn sum(&self, products: &crate::core::memory::Rows<f32>, row: usize, col: usize, f: impl Fn(f64) -> f64) -> f64 {
        let rows = self.c.rows() as usize;
        (row..self.products.rows() as usize).step_by(rows).map(|r| f(f64::from(products.row(r)[col]))).sum()
    }
}

impl Kernel for SumParts {
    interface! {
        self runs "sum_parts";
        // Without a mask the shader never reads that binding, but something must be bound.
        bufs { products, mask: self.mask.unwrap_or(self.products), c }
        params {
            quads: quads(self.c),
            parts: self.products.rows() / self.c.rows(),
            accumulate,
            masked: self.mask.is_some(),
        }
        invocations { quads(self.c) }
    }

    fn check_shapes(&self) -> Result<(), String> {
        let rows = self.products.rows().next_multiple_of(self.c.rows().max(1));
        has("products", self.products, rows, self.c.cols())?;
        self.mask.map_or(Ok(()), |mask| has("mask", mask, self.c.rows(), self.c.cols()))
    }

    fn twin(&self, m: &HostMem) {
        let (products, mask) = (m.f32(self.products), self.mask.map(|mask| m.f32(mask)));
        m.f32_mut(self.c).for_each_row(|r, c| {
            for (col, c) in c.iter_mut().enumerate() {
                let open = mask.as_ref().is_none_or(|mask| mask.row(r)[col] > 0.0);
                let sum = if open { self.sum(&products, r, col, |v| v) } else { 0.0 };
                *c = (sum + if self.accumulate { f64::from(*c) } else { 0.0 }) as f32;
            }
        });
    }

    fn fast(&self, m: &HostMem) {
        let (products, mask) = (m.f32(self.products), self.mask.map(|mask| m.f32(mask)));
        let size = self.c.shape.words() as usize;
        m.f32_mut(self.c).for_each_block(|start, c| {
            let mut sums = vec![0.0; c.len()];
            products.padded().chunks(size).for_each(|part| sums.iter_mut().zip(&part[start..]).for_each(|(sum, product)| *sum += product));
            if let Some(mask) = &mask {
                sums.iter_mut().zip(&mask.padded()[start..]).for_each(|(sum, &mask)| *sum = if mask > 0.0 { *sum } else { 0.0 });
            }
            match self.accumulate {
                true => c.iter_mut().zip(sums).for_each(|(c, sum)| *c += sum),
                false => c.copy_from_slice(&sums),
            }
        });
    }

    /// One rounding per part.
    fn tolerance(&self, _: &str, m: &HostMem, _: Exp) -> Tolerance {
        let (products, old) = (m.f32(self.products), m.f32(self.c));
        let terms = f64::from(self.products.rows() / self.c.rows()) + 1.0;
        let bounds = (0..self.c.rows() as usize).flat_map(|r| {
            let bound = |col: usize| {
                let before = if self.accumulate { f64::from(old.row(r)[col].abs()) } else { 0.0 };
                2.0 * EPSILON * terms * (self.sum(&products, r, col, f64::abs) + before) + 1e-30
            };
            (0..self.c.cols() as usize).map(bound).collect::<Vec<_>>()
        });
        Tolerance::Each(bounds.collect())
    }
}

pub fn cases(c: &mut Cases<'_>) {
    for (rows, cols, parts) in [(1, 1, 1), (3, 5, 2), (33, 10, 7), (64, 65, 16)] {
        for (masked, accumulate) in [(false, false), (true, false), (false, true), (true, true)] {
            let (products, out) = (c.uniform(parts * rows, cols), c.uniform(rows, cols));
            let mask = masked.then(|| c.uniform(rows, cols));
            c.add(SumParts { products, mask, c: out, accumulate });
        }
    }
}
