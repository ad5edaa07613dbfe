//! Products of dense matrices in slices, on one thread: what the host's own linear algebra is made of.

use crate::kernels::matmul::Layout;

/// Writes the product of `a` and `b` to `c`, dense row-major matrices: `c` is `[m, n]`, the sums run over `k`, `layout`
/// says how the operands lie. Panics where a length does not fit the sizes.
pub fn gemm(layout: Layout, [m, n, k]: [usize; 3], a: &[f32], b: &[f32], c: &mut [f32]) {
    assert!(a.len() == m * k && b.len() == k * n && c.len() == m * n, "{m}x{n}x{k}: {} {} {}", a.len(), b.len(), c.len());
    // Strides of one step down m, along k, and along n.
    let (a_m, a_k) = if layout == Layout::TN { (1, m) } else { (k, 1) };
    let (b_k, b_n) = if layout == Layout::NT { (1, k) } else { (n, 1) };
    let [a_m, a_k, b_k, b_n, c_m] = [a_m, a_k, b_k, b_n, n].map(|stride| stride as isize);
    // SAFETY: the slices hold exactly the elements that these sizes and strides address, as was asserted above.
    unsafe { matrixmultiply::sgemm(m, k, n, 1.0, a.as_ptr(), a_m, a_k, b.as_ptr(), b_k, b_n, 0.0, c.as_mut_ptr(), c_m, 1) }
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
