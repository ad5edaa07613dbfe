//! Products of matrices in slices: what the CPU path and the host's own linear algebra are made of.

use std::ops::Range;

use rayon::prelude::*;

use super::microkernel::{Isa, PairStarts, Pieces, ResultMemory, Starts};
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
        let Gemm { m, n, k, c_stride, accumulate, .. } = self;
        if m == 0 || n == 0 {
            return;
        }
        let c = &mut c[..(m - 1) * c_stride + n];
        if k == 0 {
            // Sums over nothing.
            let rows = c.chunks_mut(c_stride).take(if accumulate { 0 } else { m });
            return rows.for_each(|row| row[..n].fill(0.0));
        }
        let (tile, c) = (RegisterTile::of(n), ResultMemory::of(c));
        let [down, across] = tile.shares([m, n], threads);
        let [rows, columns] = [m.div_ceil(down).next_multiple_of(tile.height), n.div_ceil(across).next_multiple_of(tile.width)];
        let parts = (0..m.div_ceil(rows) * n.div_ceil(columns)).map(|part| {
            let (row, column) = (part / n.div_ceil(columns) * rows, part % n.div_ceil(columns) * columns);
            [row..m.min(row + rows), column..n.min(column + columns)]
        });
        let multiply = |[rows, columns]: [Range<usize>; 2]| {
            // SAFETY: parts have no row and column of the result in common.
            let c = unsafe { c.again() };
            match self.layout {
                Layout::TN => self.add_outer(rows, columns, a, b, c),
                _ => self.multiply_rows(rows, columns, a, b, c),
            }
        };
        if threads == 1 { parts.for_each(multiply) } else { parts.collect::<Vec<_>>().into_par_iter().for_each(multiply) }
    }

    /// Some rows and columns of a · b or a · bᵀ, as many columns and as much of `k` at a time as caches hold.
    fn multiply_rows(self, rows: Range<usize>, columns: Range<usize>, a: &[f32], b: &[f32], mut c: ResultMemory<'_>) {
        const SLICE: usize = 1024;
        // Of these, half of a cache of 1 MiB.
        const PANELS: usize = 1 << 17;
        let Gemm { layout, k, a_stride, b_stride, c_stride, accumulate, .. } = self;
        let (isa, tile) = (Isa::best(), RegisterTile::of(columns.len()));
        let (k_stride, n_stride) = if layout == Layout::NT { (1, b_stride) } else { (b_stride, 1) };
        let mut starts = Starts::default();
        for from in (0..k).step_by(SLICE) {
            let length = SLICE.min(k - from);
            let at_once = (PANELS / length / tile.width).max(1) * tile.width;
            for column in columns.clone().step_by(at_once) {
                let count = at_once.min(columns.end - column);
                let values = &b[from * k_stride + column * n_stride..];
                let panels = Panels::pack_here(isa, count, RightSide { values, offsets: &[0], length, k_stride, n_stride });
                for row in rows.clone().step_by(ROWS_AT_ONCE) {
                    let count = ROWS_AT_ONCE.min(rows.end - row);
                    starts.clear(count);
                    starts.say(0, count, 0, a_stride as u32);
                    let to: Vec<u32> = (0..count).map(|row| (row * c_stride) as u32).collect();
                    let left = Pieces { values: &a[row * a_stride + from..], starts: &starts, count: 1, length };
                    panels.multiply(left, c.from(row * c_stride + column), &to, accumulate || from > 0);
                }
            }
        }
    }

    /// Some rows and columns of aᵀ · b, a slice of `k` and `width` columns at a time, which caches hold.
    fn add_outer(self, rows: Range<usize>, columns: Range<usize>, a: &[f32], b: &[f32], mut c: ResultMemory<'_>) {
        const SLICE: usize = 128;
        // So few read the right side fewer times than a copy of it would pay for.
        const FEW: usize = 128;
        let Gemm { k, a_stride, b_stride, c_stride, accumulate, .. } = self;
        let width = RegisterTile::of(columns.len()).width;
        let mut panel = Panels::room(Isa::best(), SLICE.min(k), width);
        let (mut left, mut packed, mut in_place) = (LeftTiles::of(&panel), PairStarts::default(), PairStarts::default());
        for from in (0..k).step_by(SLICE) {
            let count = SLICE.min(k - from);
            left.pack(&a[from * a_stride..], a_stride, rows.clone(), count);
            for (pairs, step) in [(&mut packed, width), (&mut in_place, b_stride)] {
                pairs.clear();
                pairs.add(count, [0; 2], [panel.height() as u32, step as u32]);
            }
            for column in columns.clone().step_by(width) {
                let (right, to) = (&b[from * b_stride + column..], c.from(rows.start * c_stride + column));
                panel.narrow(width.min(columns.end - column));
                if rows.len() <= FEW && column + width <= columns.end {
                    panel.add_outer_with(&left, right, &in_place, to, c_stride, accumulate || from > 0);
                } else {
                    panel.fill(right, b_stride, count);
                    panel.add_outer(&left, &packed, to, c_stride, accumulate || from > 0);
                }
            }
        }
    }
}

/// Rows of the left side that stay in caches from panel to panel, whole tiles of any height.
const ROWS_AT_ONCE: usize = 96;

/// What is computed in registers.
#[derive(Clone, Copy)]
struct RegisterTile {
    height: usize,
    width: usize,
}

impl RegisterTile {
    /// That of panels of so many columns.
    fn of(columns: usize) -> Self {
        let panels = Panels::room(Isa::best(), 0, columns);
        RegisterTile { height: panels.height(), width: panels.width() }
    }

    /// Into how many shares of rows and of columns to divide a result among threads: those with the smallest largest part.
    fn shares(self, [m, n]: [usize; 2], threads: usize) -> [usize; 2] {
        // Each share packs its columns, which takes about as long as a few rows.
        const PACKING: usize = 8;
        let part = |across: usize| {
            let rows = m.div_ceil(self.height).div_ceil(threads / across) * self.height;
            n.div_ceil(self.width).div_ceil(across) * (rows + PACKING)
        };
        let across = (1..=threads).min_by_key(|&across| part(across)).unwrap_or(1);
        [threads / across, across]
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

    /// `f(row, column)` of a matrix with rows `stride` apart.
    fn matrix(rows: usize, columns: usize, stride: usize, f: impl Fn(usize, usize) -> f32) -> Vec<f32> {
        let mut values = vec![f32::NAN; rows * stride];
        for (row, values) in values.chunks_mut(stride).enumerate() {
            values[..columns].iter_mut().enumerate().for_each(|(column, value)| *value = f(row, column));
        }
        values
    }

    #[test]
    fn products_of_all_sizes() {
        // Few bits, so that sums are exact.
        let left = |i: usize, k: usize| ((i * 5 + k * 3) % 7) as f32 - 3.0;
        let right = |k: usize, j: usize| ((k * 2 + j * 11) % 5) as f32 - 2.0;
        let sizes = [[1, 1, 1], [5, 200, 1100], [130, 70, 300], [97, 790, 270], [300, 12, 130], [33, 129, 2049]];
        for ([m, n, k], layout) in sizes.into_iter().flat_map(|size| [Layout::NN, Layout::NT, Layout::TN].map(|layout| (size, layout))) {
            let (across, along) = (k + 3, |columns: usize| columns + 2);
            let (a, a_stride) = match layout {
                Layout::TN => (matrix(k, m, along(m), |k, i| left(i, k)), along(m)),
                _ => (matrix(m, k, across, left), across),
            };
            let (b, b_stride) = match layout {
                Layout::NT => (matrix(n, k, across, |j, k| right(k, j)), across),
                _ => (matrix(k, n, along(n), right), along(n)),
            };
            let expected = |i: usize, j: usize| (0..k).map(|k| left(i, k) * right(k, j)).sum::<f32>();
            for (accumulate, threads) in [(false, 1), (true, 1), (false, 2), (true, 3)] {
                let gemm = Gemm { layout, m, n, k, a_stride, b_stride, c_stride: n + 1, accumulate };
                let mut c = matrix(m, n, n + 1, |i, j| (i + j) as f32);
                gemm.compute(&a, &b, &mut c, threads);
                for (i, row) in c.chunks(n + 1).enumerate() {
                    let old = |j: usize| if accumulate { (i + j) as f32 } else { 0.0 };
                    assert!((0..n).all(|j| row[j] == expected(i, j) + old(j)), "{layout:?} {m}x{n}x{k}, row {i}, {threads} threads");
                    assert!(row[n].is_nan(), "what lies between rows stays");
                }
            }
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
