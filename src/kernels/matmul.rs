//! c = a·b in three layouts, with bias, ReLU, accumulation, a mask and sums of rows fused, or with k in parts.
//!
//! With `a` and `b` the same buffer of unit rows and [`Layout::NT`] this is the contrastive similarity matrix.

use std::ops::Range;

use multiversion::multiversion;
use rayon::prelude::*;

use super::{Cases, block_params, has, row_quads, runs_on};
use crate::core::buffer::Buf;
use crate::host::gemm::Gemm;
pub use crate::host::gemm::Layout;
use crate::core::memory::{HostMem, Rows};
use crate::core::program::{EPSILON, Exp, Kernel, Tolerance};
use crate::core::shader::{DeviceClass, Variant};

#[derive(Clone, Copy)]
pub struct Matmul {
    pub layout: Layout,
    pub a: Buf,
    pub b: Buf,
    /// `[1, n]`, added to each row.
    pub bias: Option<Buf>,
    pub c: Buf,
    pub relu: bool,
    /// Add to the old contents of `c`, before bias and ReLU.
    pub accumulate: bool,
    /// `[m, n]`: where it is not positive, a zero is stored or added in place of the product. With the output of a ReLU as
    /// mask, the gradient of that output becomes the gradient of its input.
    pub mask: Option<Buf>,
    /// `[1, m]`, for [`Layout::TN`]: the sums of the rows of `aᵀ`, added to the old ones if the product is. With the
    /// gradient of a layer's output as `a`, this is the gradient of its bias.
    pub sums: Option<Buf>,
    /// More than one: k is cut into as many parts, `c` is `[parts * m, n]`, a product of each part below the other, and
    /// `sums` is `[parts, m]`. Nothing else may then be asked for.
    pub parts: u32,
}

impl Matmul {
    pub fn new(layout: Layout, a: Buf, b: Buf, c: Buf) -> Self {
        Matmul { layout, a, b, bias: None, c, relu: false, accumulate: false, mask: None, sums: None, parts: 1 }
    }

    /// Into how many parts to cut k so that a small product of long rows keeps a GPU busy; by the shape alone.
    pub fn parts_for(layout: Layout, a: Buf, c: Buf) -> u32 {
        const SMALL: u64 = 1 << 17;
        const PART: u32 = 1024;
        let k = if layout == Layout::TN { a.rows() } else { a.cols() };
        if c.shape.len() <= SMALL { (k / PART).clamp(1, 64) } else { 1 }
    }

    /// The k of part `part`.
    fn part(&self, part: usize) -> Range<usize> {
        let (_, _, k) = self.sizes();
        let step = self.part_k() as usize;
        (part * step).min(k)..((part + 1) * step).min(k)
    }

    /// Length of a part of k.
    fn part_k(&self) -> u32 {
        let (_, _, k) = self.sizes();
        whole((k as u32).div_ceil(self.parts))
    }

    /// (m, n, k)
    fn sizes(&self) -> (usize, usize, usize) {
        let k = if self.layout == Layout::TN { self.a.rows() } else { self.a.cols() };
        (self.c.rows() as usize / self.parts as usize, self.c.cols() as usize, k as usize)
    }

    /// Σ_k f(a[k, i]) for each row `i` of `aᵀ`, over the k of a part.
    fn part_sums(&self, operands: &Operands<'_>, part: usize, f: impl Fn(f64) -> f64) -> Vec<f64> {
        let mut sums = vec![0.0; self.a.cols() as usize];
        for k in self.part(part) {
            sums.iter_mut().zip(operands.a.row(k)).for_each(|(sum, &a)| *sum += f(f64::from(a)));
        }
        sums
    }

    /// With sums in f64, which cost little beside the product.
    fn fast_sums(&self, m: &HostMem, operands: &Operands<'_>) {
        let Some(sums) = self.sums else { return };
        let stride = row_stride(self.a);
        m.f32_mut(sums).for_each_row(|part, out| {
            let mut all = vec![0.0; stride];
            let ks = self.part(part);
            add_rows(&operands.a.padded()[ks.start * stride..ks.end * stride], &mut all);
            for (out, sum) in out.iter_mut().zip(all) {
                *out = (sum + if self.accumulate { f64::from(*out) } else { 0.0 }) as f32;
            }
        });
    }

    /// The product or the products of its parts, before any epilogue.
    fn multiply(&self, gemm: Gemm, a: &[f32], b: &[f32], c: &mut [f32]) {
        if self.parts == 1 {
            return gemm.multiply_parallel(a, b, c);
        }
        let step_a = if self.layout == Layout::TN { gemm.a_stride } else { 1 };
        let step_b = if self.layout == Layout::NT { 1 } else { gemm.b_stride };
        c.par_chunks_mut(gemm.m * gemm.c_stride).enumerate().for_each(|(part, c)| match self.part(part) {
            ks if ks.is_empty() => c.fill(0.0),
            ks => Gemm { k: ks.len(), ..gemm }.multiply(&a[ks.start * step_a..], &b[ks.start * step_b..], c),
        });
    }

    fn operands<'a>(&self, m: &'a HostMem) -> Operands<'a> {
        Operands { layout: self.layout, a: m.f32(self.a), b: m.f32(self.b) }
    }

    fn epilogue<'a>(&self, m: &'a HostMem) -> Epilogue<'a> {
        Epilogue { bias: self.bias.map(|b| m.f32(b)), mask: self.mask.map(|b| m.f32(b)), relu: self.relu, accumulate: self.accumulate }
    }
}

/// Adds each of some rows.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
fn add_rows(rows: &[f32], sums: &mut [f64]) {
    for row in rows.chunks(sums.len()) {
        sums.iter_mut().zip(row).for_each(|(sum, &value)| *sum += f64::from(value));
    }
}

struct Operands<'a> {
    layout: Layout,
    a: Rows<'a, f32>,
    b: Rows<'a, f32>,
}

impl Operands<'_> {
    /// Σ_k f(a) f(b) for row `i` of the product and some k, ascending, in f64.
    fn row(&self, i: usize, ks: impl Iterator<Item = usize>, sums: &mut [f64], f: impl Fn(f32) -> f64) {
        sums.fill(0.0);
        for k in ks {
            let a = f(if self.layout == Layout::TN { self.a.row(k)[i] } else { self.a.row(i)[k] });
            match self.layout {
                Layout::NT => sums.iter_mut().enumerate().for_each(|(j, sum)| *sum += a * f(self.b.row(j)[k])),
                _ => sums.iter_mut().zip(self.b.row(k)).for_each(|(sum, &b)| *sum += a * f(b)),
            }
        }
    }
}

/// The family: with shared memory, in registers, in registers with operands in textures.
const fn schemes(shared: Parts, registers: Parts, textures: Parts) -> [Variant; 6] {
    const HARDWARE: &[DeviceClass] = &[DeviceClass::Hardware];
    const SOFTWARE: &[DeviceClass] = &[DeviceClass::Software];
    const ANY: Variant = Variant { default_for: &[], ..Variant::plain("matmul", &[]) };
    [
        Variant {
            parts: shared,
            consts: &[("WG", 64), ("ROWS", 8), ("QUADS", 2), ("DEPTH", 16)],
            default_for: HARDWARE,
            least_invocations: 4096,
            ..ANY
        },
        Variant { parts: shared, consts: &[("WG", 64), ("ROWS", 4), ("QUADS", 1), ("DEPTH", 32)], default_for: HARDWARE, ..ANY },
        Variant { parts: registers, consts: &[("WG", 64), ("ROWS", 4), ("QUADS", 1)], ..ANY },
        Variant {
            parts: textures,
            consts: &[("WG", 8), ("ROWS", 16), ("QUADS", 4)],
            default_for: SOFTWARE,
            least_invocations: 1024,
            ..ANY
        },
        Variant { parts: textures, consts: &[("WG", 8), ("ROWS", 8), ("QUADS", 4)], default_for: SOFTWARE, ..ANY },
        Variant { parts: registers, consts: &[("WG", 8), ("ROWS", 8), ("QUADS", 2)], default_for: SOFTWARE, ..ANY },
    ]
}

type Parts = &'static [&'static str];

/// The sources of one scheme of a kernel, whose own come first.
macro_rules! parts {
    ($($own:literal)*: $($scheme:literal)*) => {
        &[$crate::wgsl!("blocks"), $($crate::wgsl!($own),)* $($crate::wgsl!($scheme),)*]
    };
}

pub(super) use parts;

/// All schemes; sources differ in whether they keep sums of rows.
macro_rules! schemes {
    ($sums:literal) => {
        &schemes(
            parts!("matmul" "dense" "epilogue" $sums: "matmul_buffers" "matmul_shared"),
            parts!("matmul" "dense" "epilogue" $sums: "matmul_buffers" "matmul_registers"),
            parts!("matmul" "dense" "epilogue" $sums: "texels" "matmul_textures" "matmul_registers"),
        )
    };
}

const VARIANTS: &[Variant] = schemes!("no_row_sums");
const WITH_SUMS: &[Variant] = schemes!("row_sums");

/// `k` rounded up to whole slices of every variant.
pub(super) fn whole(k: u32) -> u32 {
    k.next_multiple_of(32)
}

/// The part that `at` of `k` falls into, for references: parts have one length, whole times 32.
pub(super) fn reference_part(k: usize, parts: u32, at: usize) -> usize {
    at / (k.div_ceil(parts as usize).div_ceil(32) * 32)
}

/// Invocations that cover `parts` products of `rows` rows and as many quads as rows of `c` with the tiles of a variant of the
/// matmul schemes.
pub(super) fn tiles(rows: u32, c: Buf, parts: u32, variant: &Variant) -> u64 {
    // With a slice depth, an 8 x 8 group of invocations has one tile together.
    let (side, invocations) = if variant.find("DEPTH").is_some() { (8, 64) } else { (1, 1) };
    let tiles = |size: u32, tile: &str| u64::from(size.div_ceil(side * variant.constant(tile)));
    u64::from(parts) * tiles(rows, "ROWS") * tiles(row_quads(c), "QUADS") * invocations
}

/// Floats from one row of `buf` to the next.
pub(super) fn row_stride(buf: Buf) -> usize {
    buf.shape.stride() as usize
}

/// Bounds for sums of `k` products with these magnitudes, `old` values added and a bias for each column. A dot product of
/// length k in f32 errs by at most about k · 2^-24 · Σ|a||b|, in any order; doubled for products that are rounded on
/// their own.
pub(super) fn sum_bounds(k: usize, magnitudes: Vec<f64>, old: Option<Vec<f32>>, bias: Option<Vec<f32>>) -> Tolerance {
    let bounds = magnitudes.into_iter().enumerate().map(|(i, sum)| {
        let added = old.as_ref().map_or(0.0, |old| old[i].abs()) + bias.as_ref().map_or(0.0, |bias| bias[i % bias.len()].abs());
        2.0 * EPSILON * (k + 2) as f64 * (sum + f64::from(added)) + 1e-30
    });
    Tolerance::Each(bounds.collect())
}

/// What becomes of a product: (zero where the mask is not positive) (+ old) (+ bias) (ReLU).
pub(super) struct Epilogue<'a> {
    pub bias: Option<Rows<'a, f32>>,
    pub mask: Option<Rows<'a, f32>>,
    pub relu: bool,
    pub accumulate: bool,
}

impl Epilogue<'_> {
    /// One value, as the twins compute it.
    pub fn value(&self, row: usize, column: usize, product: f64, old: f32) -> f32 {
        let open = self.mask.as_ref().is_none_or(|mask| mask.row(row)[column] > 0.0);
        let old = if self.accumulate { f64::from(old) } else { 0.0 };
        let bias = self.bias.as_ref().map_or(0.0, |bias| f64::from(bias.row(0)[column]));
        let value = if open { product } else { 0.0 } + old + bias;
        if self.relu && value <= 0.0 { 0.0 } else { value as f32 }
    }

    /// A row of the product into a row of the result, pad included.
    pub fn finish(&self, row: usize, product: &[f32], c: &mut [f32]) {
        let (c, pad) = c.split_at_mut(product.len());
        pad.fill(0.0);
        match (&self.mask, self.accumulate) {
            (None, false) => c.copy_from_slice(product),
            (None, true) => c.iter_mut().zip(product).for_each(|(c, p)| *c += p),
            (Some(mask), accumulate) => c.iter_mut().zip(product).zip(mask.row(row)).for_each(|((c, &p), &mask)| {
                *c = if mask > 0.0 { p } else { 0.0 } + if accumulate { *c } else { 0.0 };
            }),
        }
        self.shift(c);
    }

    /// Whether products may lie where the result is to be until [`close`](Self::close): not where they are masked before they are added.
    pub fn is_in_place(&self) -> bool {
        self.mask.is_none() || !self.accumulate
    }

    /// What is left to do with row `row`, of which the first `n` values are the product, added to the old ones if that was asked for.
    pub fn close(&self, row: usize, c: &mut [f32], n: usize) {
        let (c, pad) = c.split_at_mut(n);
        pad.fill(0.0);
        if let Some(mask) = &self.mask {
            c.iter_mut().zip(mask.row(row)).for_each(|(c, &mask)| *c = if mask > 0.0 { *c } else { 0.0 });
        }
        self.shift(c);
    }

    /// Bias and ReLU, in place.
    fn shift(&self, c: &mut [f32]) {
        if let Some(bias) = &self.bias {
            c.iter_mut().zip(bias.row(0)).for_each(|(c, b)| *c += b);
        }
        if self.relu {
            c.iter_mut().for_each(|c| *c = if *c <= 0.0 { 0.0 } else { *c });
        }
    }
}

impl Kernel for Matmul {
    interface! {
        self;
        let (m, n, k) = self.sizes();
        params {
            ..block_params(self.a, self.b, m as u32, n as u32, k as u32),
            c_quads: row_quads(self.c),
            parts,
            part_k: self.part_k(),
            relu,
        }
        constants {
            ..runs_on(self.a, self.b),
            LAYOUT: self.layout as u32,
            MASK: self.mask.is_some(),
            ACCUMULATE: self.accumulate,
            BIAS: self.bias.is_some(),
        }
    }

    fn bufs(&self) -> Vec<(&'static str, Buf)> {
        // Without a bias or a mask the shader never reads that binding, but something must be bound.
        let mut bufs =
            vec![("a", self.a), ("b", self.b), ("bias", self.bias.unwrap_or(self.b)), ("mask", self.mask.unwrap_or(self.b)), ("c", self.c)];
        bufs.extend(self.sums.map(|sums| ("sums", sums)));
        bufs
    }

    fn variants(&self) -> &'static [Variant] {
        if self.sums.is_some() { WITH_SUMS } else { VARIANTS }
    }

    fn invocations(&self, variant: &Variant) -> u64 {
        tiles(self.c.rows() / self.parts, self.c, self.parts, variant)
    }

    fn check_shapes(&self) -> Result<(), String> {
        let (a, b) = (self.a.shape, self.b.shape);
        let (m, n, k, k_of_b) = match self.layout {
            Layout::NN => (a.rows, b.cols, a.cols, b.rows),
            Layout::NT => (a.rows, b.rows, a.cols, b.cols),
            Layout::TN => (a.cols, b.cols, a.rows, b.rows),
        };
        if k != k_of_b {
            return Err(format!("{:?} of `a` {}x{} and `b` {}x{}: they sum over {k} and {k_of_b}", self.layout, a.rows, a.cols, b.rows, b.cols));
        }
        self.bias.map_or(Ok(()), |bias| has("bias", bias, 1, n))?;
        self.mask.map_or(Ok(()), |mask| has("mask", mask, m, n))?;
        if self.sums.is_some() && self.layout != Layout::TN {
            return Err(format!("sums of rows beside a product of layout {:?}: only TN has them", self.layout));
        }
        self.sums.map_or(Ok(()), |sums| has("sums", sums, self.parts, m))?;
        if self.parts > 1 && (self.bias.is_some() || self.mask.is_some() || self.relu || self.accumulate) {
            return Err("an epilogue of a product in parts: it belongs to their sum".into());
        }
        has("c", self.c, self.parts * m, n)
    }

    fn twin(&self, m: &HostMem) {
        let (operands, epilogue, (rows, n, k)) = (self.operands(m), self.epilogue(m), self.sizes());
        let ks = |part: usize| (0..k).filter(move |&at| reference_part(k, self.parts, at) == part);
        m.f32_mut(self.c).for_each_row(|i, c| {
            let mut sums = vec![0.0; n];
            operands.row(i % rows, ks(i / rows), &mut sums, f64::from);
            c.iter_mut().zip(sums).enumerate().for_each(|(j, (c, sum))| *c = epilogue.value(i, j, sum, *c));
        });
        let Some(sums) = self.sums else { return };
        m.f32_mut(sums).for_each_row(|part, out| {
            for (i, out) in out.iter_mut().enumerate() {
                let sum: f64 = ks(part).map(|k| f64::from(operands.a.row(k)[i])).sum();
                *out = if self.accumulate { sum + f64::from(*out) } else { sum } as f32;
            }
        });
    }

    fn fast(&self, mem: &HostMem) {
        let (m, n, k) = self.sizes();
        let (operands, epilogue) = (self.operands(mem), self.epilogue(mem));
        let (a, b) = (operands.a.padded(), operands.b.padded());
        let (a_stride, b_stride, c_stride) = (row_stride(self.a), row_stride(self.b), row_stride(self.c));
        let gemm = Gemm { layout: self.layout, m, n, k, a_stride, b_stride, c_stride, accumulate: self.accumulate && epilogue.is_in_place() };
        let mut c = mem.f32_mut(self.c);
        if !epilogue.is_in_place() {
            let mut product = vec![0.0; m * n];
            Gemm { c_stride: n, ..gemm }.multiply_parallel(a, b, &mut product);
            c.for_each_row(|r, c| epilogue.finish(r, &product[r * n..][..n], c));
        } else {
            self.multiply(gemm, a, b, c.padded_mut());
            c.for_each_row(|r, c| epilogue.close(r, c, n));
        }
        // Both may be gradients, which are one allocation.
        drop(c);
        self.fast_sums(mem, &operands);
    }

    /// Sums of rows err as sums of products do, with ones in the place of `b`.
    fn tolerance(&self, output: &str, m: &HostMem, _: Exp) -> Tolerance {
        let (rows, n, k) = self.sizes();
        let operands = self.operands(m);
        if output == "sums" {
            let old = self.accumulate.then(|| m.dense_f32(self.sums.expect("an output of this call")));
            let magnitudes = (0..self.parts as usize).flat_map(|part| self.part_sums(&operands, part, f64::abs));
            return sum_bounds(k, magnitudes.collect(), old, None);
        }
        let magnitudes = (0..self.c.rows() as usize).into_par_iter().flat_map_iter(|i| {
            let mut magnitudes = vec![0.0; n];
            operands.row(i % rows, self.part(i / rows), &mut magnitudes, |v| f64::from(v.abs()));
            magnitudes
        });
        let old = self.accumulate.then(|| m.dense_f32(self.c));
        sum_bounds(k, magnitudes.collect(), old, self.bias.map(|bias| m.dense_f32(bias)))
    }

    fn flops(&self) -> u64 {
        let (m, n, k) = self.sizes();
        2 * (m * n * k) as u64
    }
}

pub fn cases(c: &mut Cases<'_>) {
    let sizes = [(1, 1, 1), (3, 5, 7), (8, 8, 8), (9, 17, 4), (33, 10, 65), (64, 128, 31), (65, 63, 129), (5, 130, 1), (130, 4, 2)];
    for (m, n, k) in sizes {
        for layout in [Layout::NN, Layout::NT, Layout::TN] {
            let (a, b) = match layout {
                Layout::NN => (c.uniform(m, k), c.uniform(k, n)),
                Layout::NT => (c.uniform(m, k), c.uniform(n, k)),
                Layout::TN => (c.uniform(k, m), c.uniform(k, n)),
            };
            let out = c.output(m, n);
            let plain = Matmul::new(layout, a, b, out);
            c.add(plain);
            // Every part of the epilogue, in the layout whose product it follows in a training step.
            let (bias, mask) = (Some(c.uniform(1, n)), Some(c.uniform(m, n)));
            let product = Matmul { c: c.uniform(m, n), ..plain };
            c.add(match layout {
                Layout::NN => Matmul { mask, accumulate: true, ..product },
                Layout::NT => Matmul { bias, relu: true, ..product },
                Layout::TN => Matmul { accumulate: true, ..product },
            });
            if layout == Layout::TN {
                let (product, sums) = (c.output(m, n), c.output(1, m));
                c.add(Matmul { sums: Some(sums), c: product, ..plain });
                let (product, sums) = (c.uniform(m, n), c.uniform(1, m));
                c.add(Matmul { sums: Some(sums), c: product, accumulate: true, ..plain });
            }
        }
    }
    // k in parts, of which the last may be shorter or empty.
    for (m, n, k, parts) in [(3, 5, 7, 2), (33, 10, 65, 2), (9, 17, 129, 3), (64, 12, 128, 4)] {
        for layout in [Layout::NN, Layout::TN] {
            let a = if layout == Layout::TN { c.uniform(k, m) } else { c.uniform(m, k) };
            let (b, out) = (c.uniform(k, n), c.output(parts * m, n));
            let product = Matmul { parts, ..Matmul::new(layout, a, b, out) };
            c.add(product);
            if layout == Layout::TN {
                let (products, sums) = (c.output(parts * m, n), c.output(parts, m));
                c.add(Matmul { sums: Some(sums), c: products, ..product });
            }
        }
    }
    // Rows too long for a line of a texture: 32,772 floats.
    let (a, b, out) = (c.uniform(2, 32_772), c.uniform(32_772, 3), c.output(2, 3));
    c.add(Matmul::new(Layout::NN, a, b, out));
    let (b, out) = (c.uniform(2, 32_772), c.output(2, 2));
    c.add(Matmul::new(Layout::NT, a, b, out));
    // The similarity matrix: both operands in one buffer.
    for (rows, cols) in [(2, 4), (66, 33)] {
        let (z, out) = (c.uniform(rows, cols), c.output(rows, rows));
        c.add(Matmul::new(Layout::NT, z, z, out));
    }
}
