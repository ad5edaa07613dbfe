//! InfoNCE without the similarity matrix, first half: a log-sum-exp per row and part of the columns.

use rayon::prelude::*;

use super::info_nce::{Pairing, temperature};
use super::matmul::{Layout, parts};
use super::{Cases, has, block_params, runs_on};
use crate::core::buffer::{Buf, Shape, shape};
use crate::host::gemm::Gemm;
use crate::core::memory::{HostMem, Rows};
use crate::core::program::{EPSILON, Exp, Kernel, Tolerance};
use crate::core::shader::{DeviceClass, Variant};

const VARIANTS: &[Variant] = &[
    Variant {
        consts: &[("ROWS", 8)],
        default_for: &[DeviceClass::Hardware],
        ..Variant::plain("info_nce_partials", parts!("info_nce_pairs" "info_nce_partials" "dense": "matmul_buffers"))
    },
    Variant {
        consts: &[("WG", 8), ("ROWS", 16)],
        default_for: &[DeviceClass::Software],
        ..Variant::plain("info_nce_partials", parts!("info_nce_pairs" "info_nce_partials" "dense": "texels" "matmul_textures"))
    },
];

/// Invocations that keep a GPU busy.
const BUSY: u32 = 16_384;

/// `a`: `[rows, width]`, `b`: `[cols, width]`; `hyper`: temperature first; `largest`, `total`: of the shape that
/// [`partials`] gives.
pub struct InfoNcePartials {
    pub a: Buf,
    pub b: Buf,
    pub hyper: Buf,
    pub largest: Buf,
    pub total: Buf,
    pub pairing: Pairing,
}

/// The shape of partial results: a column per part of the columns. Parts give work to all invocations, and their columns
/// stay in caches while all rows pass by.
pub fn partials(rows: u32, cols: u32) -> Shape {
    const CACHED: u32 = 2048;
    let busy = BUSY / rows.div_ceil(8).max(1);
    shape(rows, busy.min(cols / 64).max(cols / CACHED).next_power_of_two().clamp(4, 64))
}

/// Row `r` of a·bᵀ, and of |a|·|b|ᵀ, in f64.
pub(super) fn similarities(a: &Rows<f32>, b: &Rows<f32>, r: usize) -> (Vec<f64>, Vec<f64>) {
    let products = |c: usize| {
        let terms = a.row(r).iter().zip(b.row(c)).map(|(&a, &b)| f64::from(a) * f64::from(b));
        terms.fold((0.0, 0.0), |(sum, magnitude), term| (sum + term, magnitude + term.abs()))
    };
    (0..b.shape().rows as usize).map(products).unzip()
}

/// Rows that the CPU multiplies at a time.
pub(super) const BLOCK: usize = 32;

/// Rows of a·bᵀ from row `first` on, as many as `c` has room for at `stride` floats each.
pub(super) fn multiply_rows(a: &Rows<f32>, b: &Rows<f32>, first: usize, c: &mut [f32], stride: usize) {
    let (a_stride, b_stride) = (a.shape().stride() as usize, b.shape().stride() as usize);
    let dense = Gemm::dense(Layout::NT, c.len() / stride, b.shape().rows as usize, a.shape().cols as usize);
    Gemm { a_stride, b_stride, c_stride: stride, ..dense }.multiply(&a.padded()[first * a_stride..], b.padded(), c);
}

impl InfoNcePartials {
    fn part_columns(&self) -> u32 {
        self.b.rows().div_ceil(self.largest.cols()).next_multiple_of(8)
    }

    /// (largest, total) of each part of the columns in row `row`, whose logits are `z`.
    fn row(&self, row: usize, z: impl Fn(usize) -> f64) -> Vec<(f64, f64)> {
        let (step, cols) = (self.part_columns() as usize, self.b.rows() as usize);
        let parts = (0..self.largest.cols() as usize).map(|part| {
            let columns = (part * step..((part + 1) * step).min(cols)).filter(|&c| self.pairing.counts(row, c));
            let largest = columns.clone().map(&z).fold(f64::from(-3.4e38_f32), f64::max);
            (largest, columns.map(|c| (z(c) - largest).exp()).sum())
        });
        parts.collect()
    }

    /// The same for row `r` from the formula: columns of a part are neighbours, as many as there are in all over the parts, rounded
    /// up to eight.
    fn reference(&self, m: &HostMem, r: usize) -> Vec<(f64, f64)> {
        let (products, _) = similarities(&m.f32(self.a), &m.f32(self.b), r);
        let (temperature, count) = (temperature(m, self.hyper), self.largest.cols() as usize);
        let length = products.len().div_ceil(count).div_ceil(8) * 8;
        let logits = products.iter().map(|product| product / temperature).enumerate();
        let counted = logits.filter(|(c, _)| self.pairing == Pairing::Diagonal || *c != r);
        let mut parts = vec![(f64::from(-3.4e38_f32), 0.0); count];
        counted.clone().for_each(|(c, z)| parts[c / length].0 = z.max(parts[c / length].0));
        counted.for_each(|(c, z)| parts[c / length].1 += (z - parts[c / length].0).exp());
        parts
    }

    fn write(&self, m: &HostMem, results: &[Vec<(f64, f64)>]) {
        let put = |r: usize, out: &mut [f32], pick: &dyn Fn(&(f64, f64)) -> f64| {
            out.iter_mut().zip(&results[r]).for_each(|(out, result)| *out = pick(result) as f32);
        };
        m.f32_mut(self.largest).for_each_row(|r, out| put(r, out, &|result| result.0));
        m.f32_mut(self.total).for_each_row(|r, out| put(r, out, &|result| result.1));
    }
}

impl Kernel for InfoNcePartials {
    interface! {
        self;
        bufs { a, b, hyper, largest, total }
        params {
            ..block_params(self.a, self.b, self.a.rows(), self.b.rows(), self.a.cols()),
            parts: self.largest.cols(),
            part_columns: self.part_columns(),
            two_views: self.pairing == Pairing::TwoViews,
        }
        constants { ..runs_on(self.a, self.b), LAYOUT: Layout::NT as u32 }
    }

    fn variants(&self) -> &'static [Variant] {
        VARIANTS
    }

    fn invocations(&self, variant: &Variant) -> u64 {
        u64::from(self.a.rows().div_ceil(variant.constant("ROWS"))) * u64::from(self.largest.cols())
    }

    fn check_shapes(&self) -> Result<(), String> {
        self.pairing.check(self.a.rows(), self.b.rows())?;
        has("b", self.b, self.b.rows(), self.a.cols())?;
        let Shape { rows, cols } = partials(self.a.rows(), self.b.rows());
        has("largest", self.largest, rows, cols)?;
        has("total", self.total, rows, cols)
    }

    fn twin(&self, m: &HostMem) {
        let rows: Vec<_> = (0..self.a.rows() as usize).into_par_iter().map(|r| self.reference(m, r)).collect();
        m.f32_mut(self.largest).for_each_row(|r, out| (0..out.len()).for_each(|part| out[part] = rows[r][part].0 as f32));
        m.f32_mut(self.total).for_each_row(|r, out| (0..out.len()).for_each(|part| out[part] = rows[r][part].1 as f32));
    }

    fn fast(&self, m: &HostMem) {
        let (a, b, temperature) = (m.f32(self.a), m.f32(self.b), temperature(m, self.hyper));
        let (rows, cols) = (self.a.rows() as usize, self.b.rows() as usize);
        let blocks = (0..rows.div_ceil(BLOCK)).into_par_iter().flat_map_iter(|block| {
            let first = block * BLOCK;
            let count = BLOCK.min(rows - first);
            let mut products = vec![0.0; count * cols];
            multiply_rows(&a, &b, first, &mut products, cols);
            (0..count).map(|i| self.row(first + i, |c| f64::from(products[i * cols + c]) / temperature)).collect::<Vec<_>>()
        });
        self.write(m, &blocks.collect::<Vec<_>>());
    }

    /// Logits err as dot products do; a sum of exponentials by the errors of their arguments and of `exp`, and by one
    /// rounding per term.
    fn tolerance(&self, output: &str, m: &HostMem, exp: Exp) -> Tolerance {
        let (a, b, temperature) = (m.f32(self.a), m.f32(self.b), temperature(m, self.hyper));
        let bounds = (0..self.a.rows() as usize).into_par_iter().flat_map_iter(|r| {
            let (_, magnitudes) = similarities(&a, &b, r);
            let worst = magnitudes.into_iter().fold(0.0, f64::max) / temperature;
            let logit = 2.0 * EPSILON * (f64::from(self.a.cols()) + 8.0) * worst;
            let relative = 4.0 * logit + exp.error(20.0) + 2.0 * EPSILON * f64::from(self.part_columns());
            self.reference(m, r).into_iter().map(move |(_, total)| if output == "largest" { logit } else { relative * total + 1e-30 }).collect::<Vec<_>>()
        });
        Tolerance::Each(bounds.collect())
    }

    fn flops(&self) -> u64 {
        2 * u64::from(self.a.rows()) * u64::from(self.b.rows()) * u64::from(self.a.cols())
    }
}

/// Embeddings of `rows` rows for a case: of about unit length.
pub(super) fn embeddings(c: &mut Cases<'_>, rows: u32, width: u32) -> Buf {
    c.filled(shape(rows, width), crate::core::buffer::Fill::Uniform((3.0 / width as f32).sqrt()))
}

/// (rows of a, rows of b, pairing) that cover one pair, ragged tiles, and several parts.
pub(super) const SIZES: [(u32, u32, Pairing); 7] = [
    (2, 2, Pairing::TwoViews),
    (6, 6, Pairing::TwoViews),
    (66, 66, Pairing::TwoViews),
    (130, 130, Pairing::TwoViews),
    (1, 1, Pairing::Diagonal),
    (7, 9, Pairing::Diagonal),
    (63, 700, Pairing::Diagonal),
];

pub fn cases(c: &mut Cases<'_>) {
    for (rows, cols, pairing) in SIZES {
        for (width, temperature) in [(5, 0.05), (33, 0.5)] {
            let a = embeddings(c, rows, width);
            let b = if pairing == Pairing::TwoViews { a } else { embeddings(c, cols, width) };
            let Shape { rows, cols } = partials(rows, cols);
            let (hyper, largest, total) = (c.floats([temperature]), c.output(rows, cols), c.output(rows, cols));
            c.add(InfoNcePartials { a, b, hyper, largest, total, pairing });
        }
    }
}
