//! Sums of long rows, first half: parts of each.

use rayon::prelude::*;

use super::{Cases, has, row_quads};
use crate::core::buffer::{Buf, Shape, shape};
use crate::core::memory::HostMem;
use crate::core::program::{EPSILON, Exp, Kernel, Tolerance};

/// `x`: `[rows, n]`; `sums`: of the shape that [`PartSums::shape`] gives.
pub struct PartSums {
    pub x: Buf,
    pub sums: Buf,
}

impl PartSums {
    /// A column per part: by the shape alone, so that the order of summation is, too.
    pub fn shape(x: Buf) -> Shape {
        shape(x.rows(), (row_quads(x) / 8).next_power_of_two().clamp(4, 1024))
    }

    /// Σ f(x) of each part of row `r`.
    fn sums(&self, row: &[f32], f: impl Fn(f64) -> f64) -> Vec<f64> {
        let mut sums = vec![0.0; self.sums.cols() as usize];
        let parts = sums.len();
        row.chunks(4).enumerate().for_each(|(q, quad)| sums[q % parts] += quad.iter().map(|&x| f(x.into())).sum::<f64>());
        sums
    }
}

impl Kernel for PartSums {
    interface! {
        self runs "part_sums";
        bufs { x, sums }
        params { rows: self.x.rows(), quads: row_quads(self.x), parts: self.sums.cols() }
        invocations { self.sums.shape.len() }
    }

    fn check_shapes(&self) -> Result<(), String> {
        let Shape { rows, cols } = PartSums::shape(self.x);
        has("sums", self.sums, rows, cols)
    }

    fn twin(&self, m: &HostMem) {
        let x = m.f32(self.x);
        m.f32_mut(self.sums).for_each_row(|r, out| {
            out.iter_mut().zip(self.sums(x.row(r), |x| x)).for_each(|(out, sum)| *out = sum as f32);
        });
    }

    fn fast(&self, m: &HostMem) {
        let x = m.f32(self.x);
        let (cols, stride) = (self.sums.cols() as usize, self.x.shape.stride() as usize);
        m.f32_mut(self.sums).padded_mut().par_chunks_mut(cols).zip(x.padded().par_chunks(stride)).for_each(|(out, x)| {
            // Four sums per part, side by side: one long vector that runs over the data.
            let mut sums = vec![0.0_f32; 4 * cols];
            x.chunks(sums.len()).for_each(|block| sums.iter_mut().zip(block).for_each(|(sum, x)| *sum += x));
            out.iter_mut().zip(sums.chunks(4)).for_each(|(out, quad)| *out = (quad[0] + quad[1]) + (quad[2] + quad[3]));
        });
    }

    /// One rounding per term of a strand.
    fn tolerance(&self, _: &str, m: &HostMem, _: Exp) -> Tolerance {
        let x = m.f32(self.x);
        let terms = f64::from(row_quads(self.x).div_ceil(self.sums.cols())) + 3.0;
        let magnitudes = (0..self.x.rows() as usize).flat_map(|r| self.sums(x.row(r), f64::abs));
        Tolerance::Each(magnitudes.map(|magnitude| 2.0 * EPSILON * terms * magnitude + 1e-37).collect())
    }
}

pub fn cases(c: &mut Cases<'_>) {
    for (rows, n) in [(1, 1), (2, 13), (2, 63), (3, 257), (2, 4099)] {
        let x = c.uniform(rows, n);
        let Shape { rows, cols } = PartSums::shape(x);
        let sums = c.output(rows, cols);
        c.add(PartSums { x, sums });
    }
}
