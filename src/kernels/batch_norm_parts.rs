//! Batch normalisation, statistics: mean and squared deviations of each column over parts of the rows.

use multiversion::multiversion;
use rayon::prelude::*;

use super::{Cases, has, part_rows, parts, repeated, row_quads};
use crate::core::buffer::{Buf, Fill, shape};
use crate::core::memory::HostMem;
use crate::core::program::{EPSILON, Exp, Kernel, Tolerance};

/// `x`: `[rows, cols]`; `means`, `deviations` (Σ (x - mean)²): `[parts, cols]`, of [`parts`] parts.
pub struct BatchNormParts {
    pub x: Buf,
    pub means: Buf,
    pub deviations: Buf,
}

impl BatchNormParts {
    /// (mean, Σ (x - mean)², mean distance from the first) of each column over part `part`.
    fn part(&self, x: &crate::core::memory::Rows<f32>, part: usize) -> Vec<(f64, f64, f64)> {
        let rows = super::part_of(self.x.rows(), part);
        let count = rows.len() as f64;
        let column = |c: usize| {
            let values = || rows.clone().map(|r| f64::from(x.row(r)[c]));
            let first = f64::from(x.row(rows.start)[c]);
            let mean = values().sum::<f64>() / count;
            let deviations = values().map(|x| (x - mean).powi(2)).sum();
            (mean, deviations, values().map(|x| (x - first).abs()).sum::<f64>() / count)
        };
        (0..self.x.cols() as usize).map(column).collect()
    }
}

/// Adds x - first and its square.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
fn add_distances([sums, squares]: &mut [Vec<f32>; 2], x: &[f32], first: &[f32]) {
    for x in x.chunks(first.len()) {
        for (((x, first), sum), square) in x.iter().zip(first).zip(sums.iter_mut()).zip(squares.iter_mut()) {
            let d = x - first;
            *sum += d;
            *square += d * d;
        }
    }
}

impl Kernel for BatchNormParts {
    interface! {
        self runs "batch_norm_parts";
        bufs { x, means, deviations }
        params {
            rows: self.x.rows(),
            part_rows: part_rows(self.x.rows()),
            parts: self.means.rows(),
            quads: row_quads(self.x),
        }
        invocations { u64::from(self.means.rows()) * u64::from(row_quads(self.x)) }
    }

    fn check_shapes(&self) -> Result<(), String> {
        has("means", self.means, parts(self.x.rows()), self.x.cols())?;
        has("deviations", self.deviations, parts(self.x.rows()), self.x.cols())
    }

    fn twin(&self, m: &HostMem) {
        let x = m.f32(self.x);
        let (mut means, mut deviations) = (m.f32_mut(self.means), m.f32_mut(self.deviations));
        means.for_each_row(|p, out| out.iter_mut().zip(self.part(&x, p)).for_each(|(out, (mean, ..))| *out = mean as f32));
        deviations.for_each_row(|p, out| out.iter_mut().zip(self.part(&x, p)).for_each(|(out, (_, d, _))| *out = d as f32));
    }

    fn fast(&self, m: &HostMem) {
        let (x, mut means, mut deviations) = (m.f32(self.x), m.f32_mut(self.means), m.f32_mut(self.deviations));
        let stride = self.x.shape.stride() as usize;
        let outputs = means.padded_mut().par_chunks_mut(stride).zip(deviations.padded_mut().par_chunks_mut(stride));
        outputs.enumerate().for_each(|(p, (means, deviations))| {
            let rows = super::part_of(self.x.rows(), p);
            let (count, words) = (rows.len() as f32, &x.padded()[rows.start * stride..rows.end * stride]);
            let first = repeated(&words[..stride]);
            let mut strands = [vec![0.0_f32; first.len()], vec![0.0_f32; first.len()]];
            add_distances(&mut strands, words, &first);
            let [sums, squares] = strands;
            for (c, (mean, deviation)) in means.iter_mut().zip(deviations).enumerate() {
                let total = |strands: &[f32]| strands[c..].iter().step_by(stride).sum::<f32>();
                let (sum, square) = (total(&sums), total(&squares));
                *mean = first[c] + sum / count;
                *deviation = square - sum * (sum / count);
            }
        });
    }

    /// One rounding per row: of a mean as many as the part's rows, of the mean distance from the first row; of the squares
    /// three times as many, of Σ (x - first)², which is at most (n + 1) Σ (x - mean)².
    fn tolerance(&self, output: &str, m: &HostMem, _: Exp) -> Tolerance {
        let x = m.f32(self.x);
        let bounds = (0..self.means.rows() as usize).flat_map(|p| {
            let rows = super::part_of(self.x.rows(), p);
            let terms = rows.len() as f64;
            let bound = |(c, (mean, deviations, distance)): (usize, (f64, f64, f64))| {
                let first = f64::from(x.row(rows.start)[c]);
                let squares = deviations + terms * (mean - first).powi(2);
                2.0 * EPSILON
                    * match output {
                        "means" => (terms + 4.0) * distance + first.abs() + mean.abs(),
                        _ => (3.0 * terms + 10.0) * squares,
                    }
                    + 1e-37
            };
            self.part(&x, p).into_iter().enumerate().map(bound).collect::<Vec<_>>()
        });
        Tolerance::Each(bounds.collect())
    }
}

pub fn cases(c: &mut Cases<'_>) {
    let add = |c: &mut Cases<'_>, x: Buf| {
        let parts = parts(x.rows());
        let (means, deviations) = (c.output(parts, x.cols()), c.output(parts, x.cols()));
        c.add(BatchNormParts { x, means, deviations });
    };
    for (rows, cols) in [(1, 1), (2, 3), (16, 4), (17, 5), (67, 65), (1025, 7)] {
        let x = c.uniform(rows, cols);
        add(c, x);
    }
    // Deviations far smaller than the mean, and none at all.
    for spread in [0.5, 0.0] {
        let values = (0..3 * 50).map(|i| 4096.0 + spread * ((i * 37) % 101) as f32 / 101.0);
        let x = c.filled(shape(50, 3), Fill::F32(values.collect()));
        add(c, x);
    }
}
