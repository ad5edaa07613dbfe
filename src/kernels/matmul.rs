//! c = a·b in three layouts, with bias, ReLU and accumulation fused.
//!
//! With `a` and `b` the same buffer of unit rows and [`Layout::NT`] this is the contrastive similarity matrix.

use rayon::prelude::*;

use super::{Cases, has, row_quads};
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
}

impl Matmul {
    pub fn new(layout: Layout, a: Buf, b: Buf, c: Buf) -> Self {
        Matmul { layout, a, b, bias: None, c, relu: false, accumulate: false }
    }

    /// (m, n, k)
    fn sizes(&self) -> (usize, usize, usize) {
        let k = if self.layout == Layout::TN { self.a.rows() } else { self.a.cols() };
        (self.c.rows() as usize, self.c.cols() as usize, k as usize)
    }

    /// Σ_k f(a) f(b) (+ f(bias)) (+ f(old c)) for row `i`, k ascending, in f64.
    fn row_sums(&self, a: &Rows<f32>, b: &Rows<f32>, bias: Option<&Rows<f32>>, old: &[f32], i: usize, f: impl Fn(f64) -> f64) -> Vec<f64> {
        let (_, n, k) = self.sizes();
        let mut sums = vec![0.0; n];
        for k in 0..k {
            let a = f(f64::from(if self.layout == Layout::TN { a.row(k)[i] } else { a.row(i)[k] }));
            match self.layout {
                Layout::NT => sums.iter_mut().enumerate().for_each(|(j, sum)| *sum += a * f(f64::from(b.row(j)[k]))),
                _ => sums.iter_mut().zip(b.row(k)).for_each(|(sum, &b)| *sum += a * f(f64::from(b))),
            }
        }
        for (j, sum) in sums.iter_mut().enumerate() {
            *sum += if self.accumulate { f(f64::from(old[j])) } else { 0.0 };
            *sum += bias.map_or(0.0, |bias| f(f64::from(bias.row(0)[j])));
        }
        sums
    }
}

const VARIANT: Variant = Variant::plain("matmul", &[wgsl!("matmul")]);

macro_rules! variants {
    ($layout:literal) => {
        const { &[
            Variant { consts: &[("WG", 64), ("LAYOUT", $layout), ("ROWS", 4), ("QUADS", 1)], class: Some(DeviceClass::Hardware), ..VARIANT },
            Variant { consts: &[("WG", 8), ("LAYOUT", $layout), ("ROWS", 8), ("QUADS", 2)], class: Some(DeviceClass::Software), ..VARIANT },
        ] }
    };
}

impl Kernel for Matmul {
    fn bufs(&self) -> Vec<(&'static str, Buf)> {
        // Without a bias the shader never reads that binding, but something must be bound.
        vec![("a", self.a), ("b", self.b), ("bias", self.bias.unwrap_or(self.b)), ("c", self.c)]
    }

    fn params(&self) -> Vec<(&'static str, Scalar)> {
        let (m, n, k) = self.sizes();
        let quads = |buf| Scalar::U32(row_quads(buf));
        let epilogue = u32::from(self.bias.is_some()) | u32::from(self.relu) << 1 | u32::from(self.accumulate) << 2;
        vec![
            ("m", Scalar::U32(m as u32)),
            ("n", Scalar::U32(n as u32)),
            ("k", Scalar::U32(k as u32)),
            ("a_quads", quads(self.a)),
            ("b_quads", quads(self.b)),
            ("c_quads", quads(self.c)),
            ("epilogue", Scalar::U32(epilogue)),
        ]
    }

    fn variants(&self) -> &'static [Variant] {
        match self.layout {
            Layout::NN => variants!(0),
            Layout::NT => variants!(1),
            Layout::TN => variants!(2),
        }
    }

    fn invocations(&self, variant: &Variant) -> u64 {
        let tiles = |size: u32, tile| u64::from(size.div_ceil(tile));
        tiles(self.c.rows(), variant.constant("ROWS")) * tiles(row_quads(self.c), variant.constant("QUADS"))
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
        has("c", self.c, m, n)
    }

    fn accumulates(&self) -> bool {
        self.accumulate
    }

    fn twin(&self, m: &HostMem) {
        let (a, b, bias) = (m.f32(self.a), m.f32(self.b), self.bias.map(|bias| m.f32(bias)));
        m.f32_mut(self.c).for_each_row(|i, c| {
            let sums = self.row_sums(&a, &b, bias.as_ref(), c, i, |v| v);
            for (c, sum) in c.iter_mut().zip(sums) {
                *c = if self.relu && sum <= 0.0 { 0.0 } else { sum as f32 };
            }
        });
    }

    fn fast(&self, mem: &HostMem) {
        let (m, n, k) = self.sizes();
        let (a, b, bias) = (mem.f32(self.a), mem.f32(self.b), self.bias.map(|bias| mem.f32(bias)));
        let mut c = mem.f32_mut(self.c);
        let (lda, ldb, ldc) = (self.a.shape.stride() as isize, self.b.shape.stride() as isize, self.c.shape.stride() as usize);
        // Strides of one step down m, along k, and along n.
        let (a_m, a_k) = if self.layout == Layout::TN { (1, lda) } else { (lda, 1) };
        let (b_k, b_n) = if self.layout == Layout::NT { (1, ldb) } else { (ldb, 1) };
        let (a, b) = (a.padded(), b.padded());
        // How rows are split among threads does not change the order of any sum over k, so results do not depend on it.
        let threads = if m * n * k < 1 << 18 { 1 } else { rayon::current_num_threads() };
        let block = m.div_ceil(threads).next_multiple_of(8);
        c.padded_mut().par_chunks_mut(block * ldc).enumerate().for_each(|(i, c)| {
            let rows = c.len() / ldc;
            let first = (i * block) as isize * a_m;
            let beta = if self.accumulate { 1.0 } else { 0.0 };
            // SAFETY: the strides above address exactly the padded rows of `a`, `b` and this block of `c`; `sizes`
            // compared the shapes, and both slices span all rows of their buffers.
            unsafe {
                let a = a.as_ptr().offset(first);
                matrixmultiply::sgemm(rows, k, n, 1.0, a, a_m, a_k, b.as_ptr(), b_k, b_n, beta, c.as_mut_ptr(), ldc as isize, 1);
            }
            for row in c.chunks_mut(ldc) {
                row[n..].fill(0.0);
                if let Some(bias) = &bias {
                    row.iter_mut().zip(bias.row(0)).for_each(|(c, b)| *c += b);
                }
                if self.relu {
                    row.iter_mut().for_each(|c| *c = if *c <= 0.0 { 0.0 } else { *c });
                }
            }
        });
    }

    /// A dot product of length K in f32 errs by at most about K · 2^-24 · Σ|a||b|, in any order; doubled for products
    /// that are rounded on their own.
    fn tolerance(&self, _: &str, m: &HostMem) -> Tolerance {
        let (rows, _, k) = self.sizes();
        let (a, b, bias) = (m.f32(self.a), m.f32(self.b), self.bias.map(|bias| m.f32(bias)));
        let old = m.f32(self.c);
        let bounds = (0..rows).into_par_iter().flat_map_iter(|i| {
            let magnitudes = self.row_sums(&a, &b, bias.as_ref(), old.row(i), i, f64::abs);
            magnitudes.into_iter().map(|sum| 2.0 * EPSILON * (k + 2) as f64 * sum + 1e-30)
        });
        Tolerance::Each(bounds.collect())
    }

    fn work(&self) -> u64 {
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
            let bias = c.uniform(1, n);
            let out = c.output(m, n);
            c.add(Matmul::new(layout, a, b, out));
            for flags in 1..8 {
                let out = c.uniform(m, n);
                let bias = (flags & 1 != 0).then_some(bias);
                c.add(Matmul { bias, relu: flags & 2 != 0, accumulate: flags & 4 != 0, ..Matmul::new(layout, a, b, out) });
            }
        }
    }
    // The similarity matrix: both operands in one buffer.
    for (rows, cols) in [(2, 4), (66, 33)] {
        let (z, out) = (c.uniform(rows, cols), c.output(rows, rows));
        c.add(Matmul::new(Layout::NT, z, z, out));
    }
}
