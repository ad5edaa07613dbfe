//! The gradient of mean InfoNCE with respect to the similarities, for some rows, from the embeddings: what backward makes
//! of the similarity matrix without ever having it.

use rayon::prelude::*;

use super::info_nce::{Pairing, temperature};
use super::info_nce_partials::{BLOCK, SIZES, embeddings, multiply_rows, similarities};
use super::matmul::{Layout, parts, tiles, whole};
use super::{Cases, has, block_params, row_quads, runs_on};
use crate::core::buffer::Buf;
use crate::core::memory::HostMem;
use crate::core::program::{EPSILON, Exp, Kernel, Tolerance};
use crate::core::shader::{DeviceClass, Variant};

const VARIANT: Variant = Variant::plain(
    "info_nce_gradient",
    parts!(
        "info_nce_pairs" "info_nce_slope" "info_nce_gradient" "dense" "no_row_sums":
        "matmul_buffers" "matmul_shared"
    ),
);
const REGISTERS: &[&str] = parts!(
    "info_nce_pairs" "info_nce_slope" "info_nce_gradient" "dense" "no_row_sums":
    "matmul_buffers" "matmul_registers"
);
const TEXTURES: &[&str] = parts!(
    "info_nce_pairs" "info_nce_slope" "info_nce_gradient" "dense" "no_row_sums":
    "texels" "matmul_textures" "matmul_registers"
);

const VARIANTS: &[Variant] = &[
    Variant { consts: &[("WG", 64), ("ROWS", 4), ("QUADS", 1), ("DEPTH", 32)], default_for: &[DeviceClass::Hardware], ..VARIANT },
    Variant { consts: &[("WG", 64), ("ROWS", 8), ("QUADS", 2), ("DEPTH", 16)], default_for: &[], ..VARIANT },
    Variant {
        parts: TEXTURES,
        consts: &[("WG", 8), ("ROWS", 8), ("QUADS", 4)],
        default_for: &[DeviceClass::Software],
        ..VARIANT
    },
    Variant {
        parts: REGISTERS,
        consts: &[("WG", 8), ("ROWS", 8), ("QUADS", 2)],
        default_for: &[DeviceClass::Software],
        ..VARIANT
    },
];

/// A block of the matrix of `rows` x `cols` similarities, from `first_row` and `first_col`. `a`: `[rows of the block, width]`;
/// `b`: `[columns of the block, width]`; `log_sum`: `[1, rows]`; `hyper`: temperature first; `c`: as large as the block.
///
/// For two views, `c` is the gradient plus that of the transposed similarities, as with
/// [`InfoNceBackward`](super::info_nce_backward::InfoNceBackward).
pub struct InfoNceGradient {
    pub a: Buf,
    pub b: Buf,
    pub log_sum: Buf,
    pub hyper: Buf,
    pub c: Buf,
    pub first_row: u32,
    /// A multiple of four.
    pub first_col: u32,
    pub rows: u32,
    pub cols: u32,
    pub pairing: Pairing,
}

impl InfoNceGradient {
    /// The row and column in the whole matrix of row `r` and column `c` of the block.
    fn at(&self, r: usize, c: usize) -> [usize; 2] {
        [self.first_row as usize + r, self.first_col as usize + c]
    }
}

impl Kernel for InfoNceGradient {
    interface! {
        self;
        bufs { a, b, log_sum, hyper, c }
        params {
            ..block_params(self.a, self.b, self.a.rows(), self.b.rows(), self.a.cols()),
            c_quads: row_quads(self.c),
            parts: 1_u32,
            part_k: whole(self.a.cols()),
            first_row,
            first_quad: self.first_col / 4,
            rows,
            cols,
            shift: self.pairing.shift(self.cols),
            two_views: self.pairing == Pairing::TwoViews,
        }
        constants { ..runs_on(self.a, self.b), LAYOUT: Layout::NT as u32 }
    }

    fn variants(&self) -> &'static [Variant] {
        VARIANTS
    }

    fn invocations(&self, variant: &Variant) -> u64 {
        tiles(self.c.rows(), self.c, 1, variant)
    }

    fn check_shapes(&self) -> Result<(), String> {
        self.pairing.check(self.rows, self.cols)?;
        has("b", self.b, self.b.rows(), self.a.cols())?;
        has("log_sum", self.log_sum, 1, self.rows)?;
        has("c", self.c, self.a.rows(), self.b.rows())?;
        let (end_row, end_col) = (self.first_row + self.a.rows(), self.first_col + self.b.rows());
        if end_row > self.rows || end_col > self.cols || !self.first_col.is_multiple_of(4) {
            let (first_row, first_col, rows, cols) = (self.first_row, self.first_col, self.rows, self.cols);
            return Err(format!("rows {first_row} to {end_row} of {rows}, columns {first_col} to {end_col} of {cols}"));
        }
        Ok(())
    }

    /// The mean over rows of each row's softmax less its positive; over two views the transpose is added.
    fn twin(&self, m: &HostMem) {
        let (a, b, log_sum) = (m.f32(self.a), m.f32(self.b), m.f32(self.log_sum));
        let (temperature, half) = (temperature(m, self.hyper), self.rows as usize / 2);
        let positive = |i: usize| match self.pairing {
            Pairing::Diagonal => i,
            Pairing::TwoViews if i < half => i + half,
            Pairing::TwoViews => i - half,
        };
        m.f32_mut(self.c).for_each_row(|r, out| {
            let (products, _) = similarities(&a, &b, r);
            for (c, out) in out.iter_mut().enumerate() {
                let [i, j] = self.at(r, c);
                let softmax = |i: usize| (products[c] / temperature - f64::from(log_sum.row(0)[i])).exp().min(1.0);
                let of_row = |i, j| softmax(i) - if positive(i) == j { 1.0 } else { 0.0 };
                let slope = match self.pairing {
                    Pairing::Diagonal => of_row(i, j),
                    Pairing::TwoViews if i == j => 0.0,
                    Pairing::TwoViews => of_row(i, j) + of_row(j, i),
                };
                *out = (slope / temperature / f64::from(self.rows)) as f32;
            }
        });
    }

    fn fast(&self, m: &HostMem) {
        let (a, b, log_sum) = (m.f32(self.a), m.f32(self.b), m.f32(self.log_sum));
        let temperature = temperature(m, self.hyper);
        let (stride, cols) = (self.c.shape.stride() as usize, self.c.cols() as usize);
        m.f32_mut(self.c).padded_mut().par_chunks_mut(BLOCK * stride).enumerate().for_each(|(block, c)| {
            multiply_rows(&a, &b, block * BLOCK, c, stride);
            for (r, row) in c.chunks_mut(stride).enumerate() {
                row[cols..].fill(0.0);
                for (j, c) in row[..cols].iter_mut().enumerate() {
                    let z = f64::from(*c) / temperature;
                    let at = self.at(block * BLOCK + r, j);
                    *c = self.pairing.slope(z, log_sum.row(0), at, [self.rows, self.cols], temperature) as f32;
                }
            }
        });
    }

    /// As `Pairing::slope_error` says, with logits that err as dot products do.
    fn tolerance(&self, _: &str, m: &HostMem, exp: Exp) -> Tolerance {
        let (a, b, log_sum) = (m.f32(self.a), m.f32(self.b), m.f32(self.log_sum));
        let (temperature, log_sum) = (temperature(m, self.hyper), log_sum.row(0));
        let bounds = (0..self.a.rows() as usize).flat_map(|r| {
            let (products, magnitudes) = similarities(&a, &b, r);
            let bound = |c: usize| {
                let z = products[c] / temperature;
                let logit = 2.0 * EPSILON * (f64::from(self.a.cols()) + 8.0) * magnitudes[c] / temperature;
                self.pairing.slope_error(z, logit, log_sum, self.at(r, c), exp) / (f64::from(self.rows) * temperature)
            };
            (0..products.len()).map(bound).collect::<Vec<_>>()
        });
        Tolerance::Each(bounds.collect())
    }

    fn flops(&self) -> u64 {
        2 * u64::from(self.a.rows()) * u64::from(self.b.rows()) * u64::from(self.a.cols())
    }
}

pub fn cases(c: &mut Cases<'_>) {
    for (rows, cols, pairing) in SIZES {
        for (width, temperature) in [(5, 0.05_f32), (33, 0.5)] {
            let log_sum = c.floats((0..rows).map(|r| 1.0 / temperature + 0.1 * (r % 5) as f32));
            let hyper = c.floats([temperature]);
            for (first_row, first_col) in [(0, 0), (rows / 2, 0), (rows / 2, cols / 8 * 4)] {
                let (a, b) = (embeddings(c, rows - first_row, width), embeddings(c, cols - first_col, width));
                let out = c.output(rows - first_row, cols - first_col);
                c.add(InfoNceGradient { a, b, log_sum, hyper, c: out, first_row, first_col, rows, cols, pairing });
            }
        }
    }
}
