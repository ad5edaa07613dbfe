//! Products of matrices in slices: what the CPU path and the host's own linear algebra are made of.

use rayon::prelude::*;

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
        /// A place in the result that one thread writes.
        struct Share(*mut f32);
        // SAFETY: parts are rows or columns of the result that no other part has.
        unsafe impl Send for Share {}

        let Gemm { layout, m, n, k, a_stride, b_stride, c_stride, accumulate } = self;
        if m == 0 || n == 0 {
            return;
        }
        if k == 0 {
            // Sums over nothing.
            let rows = c.chunks_mut(c_stride).take(if accumulate { 0 } else { m });
            return rows.for_each(|row| row[..n].fill(0.0));
        }
        // Strides of one step down m, along k, and along n.
        let (a_m, a_k) = if layout == Layout::TN { (1, a_stride) } else { (a_stride, 1) };
        let (b_k, b_n) = if layout == Layout::NT { (1, b_stride) } else { (b_stride, 1) };
        assert!((m - 1) * a_m + (k - 1) * a_k < a.len() && (k - 1) * b_k + (n - 1) * b_n < b.len() && (m - 1) * c_stride + n <= c.len());
        let beta = if accumulate { 1.0 } else { 0.0 };
        let strides = [a_m, a_k, b_k, b_n, c_stride].map(|stride| stride as isize);
        let gemm = |rows: usize, cols: usize, a: &[f32], b: &[f32], c: Share| {
            let [a_m, a_k, b_k, b_n, c_m] = strides;
            // SAFETY: the last element of each whole operand that these strides address was compared with its slice
            // above, and parts end where the whole does or before.
            unsafe { matrixmultiply::sgemm(rows, k, cols, 1.0, a.as_ptr(), a_m, a_k, b.as_ptr(), b_k, b_n, beta, c.0, c_m, 1) }
        };
        if threads == 1 {
            return gemm(m, n, a, b, Share(c.as_mut_ptr()));
        }
        // Each thread repacks the whole operand that is not divided: that should be the smaller one.
        let by_columns = n > m;
        let size = if by_columns { n } else { m };
        let block = size.div_ceil(threads).next_multiple_of(8);
        let parts = (0..size.div_ceil(block)).map(|i| {
            let (from, count) = (i * block, block.min(size - i * block));
            // SAFETY: `from` is a row or a column of the result.
            (from, count, Share(unsafe { c.as_mut_ptr().add(if by_columns { from } else { from * c_stride }) }))
        });
        parts.collect::<Vec<_>>().into_par_iter().for_each(|(from, count, part)| match by_columns {
            true => gemm(m, count, a, &b[from * b_n..], part),
            false => gemm(count, n, &a[from * a_m..], b, part),
        });
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
