//! Products of matrices in slices: what the CPU path and the host's own linear algebra are made of.

use std::ops::Range;

use rayon::prelude::*;

use super::microkernel::{Isa, PairStarts, Pieces, Starts};
use super::panels::{LeftTiles, Panels, RightSide};

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

/// Sizes and memory layout of a product on the CPU.
#[derive(Clone, Copy)]
pub struct Gemm {
    pub layout: Layout,
    pub m: usize,
    pub n: usize,
    pub k: usize,
    /// Floats from one row to the next, as the matrices are stored.
    pub a_stride: usize,
    pub b_stride: usize,
    pub c_stride: usize,
    /// Add to the result's old contents.
    pub accumulate: bool,
}

impl Gemm {
    /// Of matrices without gaps between rows.
    pub fn dense(layout: Layout, m: usize, n: usize, k: usize) -> Self {
        let a_stride = if layout == Layout::TN { m } else { k };
        let b_stride = if layout == Layout::NT { k } else { n };
        Gemm { layout, m, n, k, a_stride, b_stride, c_stride: n, accumulate: false }
    }

    /// On one thread. Panics where a slice is too short for the sizes.
    pub fn multiply(self, a: &[f32], b: &[f32], c: &mut [f32]) {
        self.compute(a, b, c, 1);
    }

    /// On all threads where that pays. How the result is divided among them changes the order of no sum.
    pub fn multiply_parallel(self, a: &[f32], b: &[f32], c: &mut [f32]) {
        let worth = self.m * self.n * self.k >= 1 << 18;
        self.compute(a, b, c, if worth { rayon::current_num_threads() } else { 1 });
    }

    fn compute(self, a: &[f32], b: &[f32], c: &mut [f32], threads: usize) {
        let Gemm { layout, m, n, k, a_stride, b_stride, c_stride, accumulate } = self;
        if m == 0 || n == 0 {
            return;
        }
        if k == 0 {
            // Sums over nothing.
            let rows = c.chunks_mut(c_stride).take(if accumulate { 0 } else { m });
            return rows.for_each(|row| row[..n].fill(0.0));
        }
        let isa = Isa::best();
        let (k_stride, n_stride) = if layout == Layout::NT { (1, b_stride) } else { (b_stride, 1) };
        // Outer products have few rows of the right side at a time, and pack those.
        let panels = match layout {
            Layout::TN => None,
            _ => Some(Panels::pack(isa, n, RightSide { values: b, offsets: &[0], length: k, k_stride, n_stride })),
        };
        let of_tile = |panels: &Panels| (panels.height(), panels.width());
        let (height, width) = panels.as_ref().map_or_else(|| of_tile(&Panels::room(isa, 0, n)), of_tile);
        let block = m.div_ceil(threads).next_multiple_of(height);
        let multiply = |(number, c): (usize, &mut [f32])| {
            let first = number * block;
            let rows = block.min(m - first);
            let Some(panels) = &panels else { return self.add_outer(first..first + rows, width, a, b, c) };
            let at_once = panels.rows_at_once();
            for row in (0..rows).step_by(at_once) {
                let a = &a[(first + row) * a_stride..];
                let (count, mut starts) = (at_once.min(rows - row), Starts::default());
                starts.clear(count);
                starts.say(0, count, 0, a_stride as u32);
                let to: Vec<u32> = (0..count).map(|row| (row * c_stride) as u32).collect();
                let left = Pieces { values: a, starts: &starts, count: 1, length: k };
                panels.multiply(left, &mut c[row * c_stride..], &to, accumulate);
            }
        };
        let parts = c[..(m - 1) * c_stride + n].chunks_mut(block * c_stride).enumerate();
        if threads == 1 { parts.for_each(multiply) } else { parts.collect::<Vec<_>>().into_par_iter().for_each(multiply) }
    }

    /// Some rows of aᵀ · b, a slice of `k` and `width` columns at a time, which caches hold.
    fn add_outer(self, rows: Range<usize>, width: usize, a: &[f32], b: &[f32], c: &mut [f32]) {
        const SLICE: usize = 256;
        let Gemm { n, k, a_stride, b_stride, c_stride, accumulate, .. } = self;
        let mut panel = Panels::room(Isa::best(), SLICE.min(k), width);
        let (mut columns, mut pairs) = (LeftTiles::of(&panel), PairStarts::default());
        for from in (0..k).step_by(SLICE) {
            let count = SLICE.min(k - from);
            columns.pack(&a[from * a_stride..], a_stride, rows.clone(), count);
            pairs.clear();
            pairs.add(count, [0; 2], [panel.height() as u32, panel.width() as u32]);
            for first in (0..n).step_by(width) {
                panel.narrow(width.min(n - first));
                panel.fill(&b[from * b_stride + first..], b_stride, count);
                panel.add_outer(&columns, &pairs, &mut c[first..], c_stride, accumulate || from > 0);
            }
        }
    }
}

/// Writes the product of dense row-major matrices to `c`, `[m, n]`, on one thread; the sums run over `k`. Panics where a length
/// does not fit the sizes.
pub fn gemm(layout: Layout, [m, n, k]: [usize; 3], a: &[f32], b: &[f32], c: &mut [f32]) {
    assert!(a.len() == m * k && b.len() == k * n && c.len() == m * n, "{m}x{n}x{k}: {} {} {}", a.len(), b.len(), c.len());
    Gemm::dense(layout, m, n, k).multiply(a, b, c);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts_agree() {
        // [1 2 3; 4 5 6] · [1 0; 0 1; 2 1] = [7 5; 16 11]
        let mut c = [f32::NAN; 4];
        for (layout, a, b) in [
            (Layout::NN, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [1.0, 0.0, 0.0, 1.0, 2.0, 1.0]),
            (Layout::NT, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [1.0, 0.0, 2.0, 0.0, 1.0, 1.0]),
            (Layout::TN, [1.0, 4.0, 2.0, 5.0, 3.0, 6.0], [1.0, 0.0, 0.0, 1.0, 2.0, 1.0]),
        ] {
            gemm(layout, [2, 2, 3], &a, &b, &mut c);
            assert_eq!(c, [7.0, 5.0, 16.0, 11.0], "{layout:?}");
        }
    }

    #[test]
    fn sums_over_nothing_are_zero() {
        let mut c = [f32::NAN; 2];
        gemm(Layout::NN, [1, 2, 0], &[], &[], &mut c);
        assert_eq!(c, [0.0, 0.0]);
        gemm(Layout::NT, [0, 2, 1], &[], &[1.0, 2.0], &mut []);
    }
}
