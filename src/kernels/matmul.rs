//! c = a·b in three layouts, with bias, ReLU, accumulation, a mask and sums of rows fused, or with k in parts.
//!
//! With `a` and `b` the same buffer of unit rows and [`Layout::NT`] this is the contrastive similarity matrix.

use std::ops::Range;

use rayon::prelude::*;

use super::{Cases, block_params, has, row_quads, runs_on};
use crate::buffer::Buf;
use crate::memory::{HostMem, Rows};
use crate::program::{EPSILON, Kernel, Scalar, Tolerance};
use crate::shader::{DeviceClass, Variant};
use crate::wgsl;

/// How the operands lie in memory. `c` is `[m, n]`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Layout {
    /// `a[m, k] · b[k, n]`
    NN,
    /// `a[m, k] · b[n, k]ᵀ`
    NT,
    /// `a[k, m]ᵀ · b[k, n]`
    TN,
}

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

    fn write_sums(&self, m: &HostMem, operands: &Operands<'_>) {
        let Some(sums) = self.sums else { return };
        m.f32_mut(sums).for_each_row(|part, out| {
            for (out, sum) in out.iter_mut().zip(self.part_sums(operands, part, |a| a)) {
                *out = (sum + if self.accumulate { f64::from(*out) } else { 0.0 }) as f32;
            }
        });
    }

    fn operands<'a>(&self, m: &'a HostMem) -> Operands<'a> {
        Operands {
            layout: self.layout,
            a: m.f32(self.a),
            b: m.f32(self.b),
            bias: self.bias.map(|bias| m.f32(bias)),
            mask: self.mask.map(|mask| m.f32(mask)),
        }
    }
}

struct Operands<'a> {
    layout: Layout,
    a: Rows<'a, f32>,
    b: Rows<'a, f32>,
    bias: Option<Rows<'a, f32>>,
    mask: Option<Rows<'a, f32>>,
}

impl Operands<'_> {
    /// [mask] Σ_k f(a) f(b) (+ f(old c)) (+ f(bias)) for row `i` and some k, ascending, in f64.
    fn row(&self, i: usize, k: Range<usize>, old: Option<&[f32]>, sums: &mut [f64], f: impl Fn(f32) -> f64) {
        sums.fill(0.0);
        for k in k {
            let a = f(if self.layout == Layout::TN { self.a.row(k)[i] } else { self.a.row(i)[k] });
            match self.layout {
                Layout::NT => sums.iter_mut().enumerate().for_each(|(j, sum)| *sum += a * f(self.b.row(j)[k])),
                _ => sums.iter_mut().zip(self.b.row(k)).for_each(|(sum, &b)| *sum += a * f(b)),
            }
        }
        for (j, sum) in sums.iter_mut().enumerate() {
            let open = self.mask.as_ref().is_none_or(|mask| mask.row(i)[j] > 0.0);
            let product = if open { *sum } else { 0.0 };
            *sum = product + old.map_or(0.0, |old| f(old[j])) + self.bias.as_ref().map_or(0.0, |bias| f(bias.row(0)[j]));
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

macro_rules! parts {
    ($sums:literal: $($part:literal)*) => {
        &[wgsl!("blocks"), wgsl!("matmul"), wgsl!($sums), $(wgsl!($part),)*]
    };
}

macro_rules! family {
    ($sums:literal) => {
        &schemes(
            parts!($sums: "matmul_buffers" "matmul_shared"),
            parts!($sums: "matmul_buffers" "matmul_registers"),
            parts!($sums: "texels" "matmul_textures" "matmul_registers"),
        )
    };
}

const VARIANTS: &[Variant] = family!("no_row_sums");
const WITH_SUMS: &[Variant] = family!("row_sums");

/// `k` rounded up to whole slices of every variant.
pub(super) fn whole(k: u32) -> u32 {
    k.next_multiple_of(32)
}

/// Invocations that cover `c`, which holds `parts` products, with the tiles of a variant of the matmul schemes.
pub(super) fn tiles(c: Buf, parts: u32, variant: &Variant) -> u64 {
    // With a slice depth, an 8 x 8 group of invocations has one tile together.
    let (side, invocations) = if variant.find("DEPTH").is_some() { (8, 64) } else { (1, 1) };
    let tiles = |size: u32, tile: &str| u64::from(size.div_ceil(side * variant.constant(tile)));
    u64::from(parts) * tiles(c.rows() / parts, "ROWS") * tiles(row_quads(c), "QUADS") * invocations
}

/// Sizes and memory layout of a product on the CPU.
#[derive(Clone, Copy)]
pub(super) struct Gemm {
    pub layout: Layout,
    pub m: usize,
    pub n: usize,
    pub k: usize,
    /// Where in the operands' k the sums begin.
    pub from_k: usize,
    /// Floats from one row of the result to the next.
    pub ldc: usize,
    /// Add to the result's old contents.
    pub accumulate: bool,
}

impl Gemm {
    /// `a[m, k] · b[n, k]ᵀ` into dense rows.
    pub fn nt(m: usize, n: usize, k: usize) -> Self {
        Gemm { layout: Layout::NT, m, n, k, from_k: 0, ldc: n, accumulate: false }
    }
}

impl Gemm {
    /// Rows of the result from row `first` of `a`, into `c`, on one thread.
    pub fn run(self, a: &Rows<f32>, first: usize, b: &Rows<f32>, c: &mut [f32]) {
        self.compute(a, first, b, c, 1);
    }

    /// The whole result, on all threads where that pays. How it is divided among them changes the order of no sum.
    pub fn run_parallel(self, a: &Rows<f32>, b: &Rows<f32>, c: &mut [f32]) {
        let worth = self.m * self.n * self.k >= 1 << 18;
        self.compute(a, 0, b, c, if worth { rayon::current_num_threads() } else { 1 });
    }

    fn compute(self, a: &Rows<f32>, first: usize, b: &Rows<f32>, c: &mut [f32], threads: usize) {
        /// A place in the result that one thread writes.
        struct Part(*mut f32);
        // SAFETY: parts are rows or columns of the result that no other part has.
        unsafe impl Send for Part {}

        let Gemm { layout, m, n, k, from_k, ldc, accumulate } = self;
        let (lda, ldb) = (a.shape().stride() as usize, b.shape().stride() as usize);
        // Strides of one step down m, along k, and along n.
        let (a_m, a_k) = if layout == Layout::TN { (1, lda) } else { (lda, 1) };
        let (b_k, b_n) = if layout == Layout::NT { (1, ldb) } else { (ldb, 1) };
        let (a, b) = (&a.padded()[first * a_m + from_k * a_k..], &b.padded()[from_k * b_k..]);
        assert!((m - 1) * a_m + (k - 1) * a_k < a.len() && (k - 1) * b_k + (n - 1) * b_n < b.len() && (m - 1) * ldc + n <= c.len());
        let beta = if accumulate { 1.0 } else { 0.0 };
        let strides = [a_m, a_k, b_k, b_n, ldc].map(|stride| stride as isize);
        let gemm = |rows: usize, cols: usize, a: &[f32], b: &[f32], c: Part| {
            let [a_m, a_k, b_k, b_n, ldc] = strides;
            // SAFETY: the last element of each whole operand that these strides address was compared with its slice
            // above, and parts end where the whole does or before.
            unsafe { matrixmultiply::sgemm(rows, k, cols, 1.0, a.as_ptr(), a_m, a_k, b.as_ptr(), b_k, b_n, beta, c.0, ldc, 1) }
        };
        if threads == 1 {
            return gemm(m, n, a, b, Part(c.as_mut_ptr()));
        }
        // Each thread repacks the whole operand that is not divided: that should be the smaller one.
        let by_columns = n > m;
        let size = if by_columns { n } else { m };
        let block = size.div_ceil(threads).next_multiple_of(8);
        let parts = (0..size.div_ceil(block)).map(|i| {
            let (from, count) = (i * block, block.min(size - i * block));
            // SAFETY: `from` is a row or a column of the result.
            (from, count, Part(unsafe { c.as_mut_ptr().add(if by_columns { from } else { from * ldc }) }))
        });
        parts.collect::<Vec<_>>().into_par_iter().for_each(|(from, count, part)| match by_columns {
            true => gemm(m, count, a, &b[from * b_n..], part),
            false => gemm(count, n, &a[from * a_m..], b, part),
        });
    }
}

impl Kernel for Matmul {
    fn bufs(&self) -> Vec<(&'static str, Buf)> {
        // Without a bias or a mask the shader never reads that binding, but something must be bound.
        let mut bufs =
            vec![("a", self.a), ("b", self.b), ("bias", self.bias.unwrap_or(self.b)), ("mask", self.mask.unwrap_or(self.b)), ("c", self.c)];
        bufs.extend(self.sums.map(|sums| ("sums", sums)));
        bufs
    }

    fn params(&self) -> Vec<(&'static str, Scalar)> {
        let (m, n, k) = self.sizes();
        let mut params = block_params(self.a, self.b, m as u32, n as u32, k as u32);
        params.extend([
            ("c_quads", Scalar::U32(row_quads(self.c))),
            ("parts", Scalar::U32(self.parts)),
            ("part_k", Scalar::U32(self.part_k())),
            ("relu", Scalar::U32(self.relu.into())),
        ]);
        params
    }

    fn variants(&self) -> &'static [Variant] {
        if self.sums.is_some() { WITH_SUMS } else { VARIANTS }
    }

    fn constants(&self) -> Vec<(&'static str, u32)> {
        let [a, b] = runs_on(self.a, self.b);
        vec![
            a,
            b,
            ("LAYOUT", self.layout as u32),
            ("MASK", self.mask.is_some().into()),
            ("ACCUMULATE", self.accumulate.into()),
            ("BIAS", self.bias.is_some().into()),
        ]
    }

    fn invocations(&self, variant: &Variant) -> u64 {
        tiles(self.c, self.parts, variant)
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

    fn accumulates(&self) -> bool {
        self.accumulate
    }

    fn twin(&self, m: &HostMem) {
        let (operands, (rows, n, _)) = (self.operands(m), self.sizes());
        m.f32_mut(self.c).for_each_row(|i, c| {
            let mut sums = vec![0.0; n];
            operands.row(i % rows, self.part(i / rows), self.accumulate.then_some(&*c), &mut sums, f64::from);
            for (c, sum) in c.iter_mut().zip(sums) {
                *c = if self.relu && sum <= 0.0 { 0.0 } else { sum as f32 };
            }
        });
        self.write_sums(m, &operands);
    }

    fn fast(&self, mem: &HostMem) {
        let (m, n, k) = self.sizes();
        let operands = self.operands(mem);
        let mut c = mem.f32_mut(self.c);
        let ldc = self.c.shape.stride() as usize;
        // A product that is masked before it is added goes elsewhere first.
        let apart = self.accumulate && self.mask.is_some();
        let mut product = vec![0.0; if apart { c.padded_mut().len() } else { 0 }];
        let to = if apart { &mut product[..] } else { c.padded_mut() };
        let of = Gemm { layout: self.layout, m, n, k, from_k: 0, ldc, accumulate: self.accumulate && !apart };
        if self.parts == 1 {
            of.run_parallel(&operands.a, &operands.b, to);
        } else {
            to.par_chunks_mut(m * ldc).enumerate().for_each(|(part, c)| match self.part(part) {
                ks if ks.is_empty() => c.fill(0.0),
                ks => Gemm { k: ks.len(), from_k: ks.start, ..of }.run(&operands.a, 0, &operands.b, c),
            });
        }
        c.for_each_row(|r, row| {
            if let Some(mask) = operands.mask.as_ref().map(|mask| mask.row(r)) {
                let open = |mask: f32, value: f32| if mask > 0.0 { value } else { 0.0 };
                if apart {
                    row.iter_mut().zip(&product[r * ldc..]).zip(mask).for_each(|((c, &p), &m)| *c += open(m, p));
                } else {
                    row.iter_mut().zip(mask).for_each(|(c, &m)| *c = open(m, *c));
                }
            }
            if let Some(bias) = &operands.bias {
                row.iter_mut().zip(bias.row(0)).for_each(|(c, b)| *c += b);
            }
            if self.relu {
                row.iter_mut().for_each(|c| *c = if *c <= 0.0 { 0.0 } else { *c });
            }
        });
        // Both may be gradients, which are one allocation.
        drop(c);
        self.write_sums(mem, &operands);
    }

    /// A dot product of length K in f32 errs by at most about K · 2^-24 · Σ|a||b|, in any order; doubled for products
    /// that are rounded on their own. So does a sum of rows, with ones in the place of `b`.
    fn tolerance(&self, output: &str, m: &HostMem) -> Tolerance {
        let (rows, n, k) = self.sizes();
        let operands = self.operands(m);
        if output == "sums" {
            let old = m.dense_f32(self.sums.expect("an output of this call"));
            let magnitudes = (0..self.parts as usize).flat_map(|part| self.part_sums(&operands, part, f64::abs));
            let old = old.iter().map(|old| if self.accumulate { f64::from(old.abs()) } else { 0.0 });
            return Tolerance::Each(magnitudes.zip(old).map(|(sum, old)| 2.0 * EPSILON * (k + 2) as f64 * (sum + old) + 1e-30).collect());
        }
        let old = m.f32(self.c);
        let bounds = (0..self.c.rows() as usize).into_par_iter().flat_map_iter(|i| {
            let mut magnitudes = vec![0.0; n];
            operands.row(i % rows, self.part(i / rows), self.accumulate.then(|| old.row(i)), &mut magnitudes, |v| f64::from(v.abs()));
            magnitudes.into_iter().map(|sum| 2.0 * EPSILON * (k + 2) as f64 * sum + 1e-30)
        });
        Tolerance::Each(bounds.collect())
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
