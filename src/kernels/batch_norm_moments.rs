//! Batch normalisation, statistics: those of the parts to those of the batch, and the running ones.

use super::{Cases, NORM_EPS, has, part_of, part_rows, parts, row_quads};
use crate::core::buffer::{Buf, Fill, shape};
use crate::core::memory::HostMem;
use crate::core::program::{EPSILON, Exp, Kernel, Tolerance};

/// `means`, `deviations`: of [`BatchNormParts`](super::batch_norm_parts) over `rows` rows; `running_mean`,
/// `running_variance`: `[1, cols]`; `moments`: `[2, cols]`, mean and 1 / sqrt(variance + eps).
///
/// The running ones move towards the batch's by the share that `rates` (`[1, n]`) holds in `rate_column`; their variance is
/// the unbiased one, as in PyTorch. Of a single row the variance is zero.
pub struct BatchNormMoments {
    pub means: Buf,
    pub deviations: Buf,
    pub rates: Buf,
    pub rate_column: u32,
    pub running_mean: Buf,
    pub running_variance: Buf,
    pub moments: Buf,
    pub rows: u32,
    /// Added to variances.
    pub eps: f32,
}

/// Of a column of the batch.
#[derive(Clone)]
struct ColumnMoments {
    mean: f64,
    /// Σ (x - mean)²
    squares: f64,
    /// The mean distance of the parts' means from the first.
    distance: f64,
}

impl BatchNormMoments {
    fn columns(&self, m: &HostMem) -> Vec<ColumnMoments> {
        let (means, deviations) = (m.f32(self.means), m.f32(self.deviations));
        let rows = f64::from(self.rows);
        let none = ColumnMoments { mean: 0.0, squares: 0.0, distance: 0.0 };
        let mut columns = vec![none; self.means.cols() as usize];
        // Part by part, as they lie in memory.
        let parts = || (0..self.means.rows() as usize).map(|p| (part_of(self.rows, p).len() as f64, means.row(p), deviations.row(p)));
        for (count, of_part, _) in parts() {
            for ((column, &mean), &first) in columns.iter_mut().zip(of_part).zip(means.row(0)) {
                column.mean += count * f64::from(mean);
                column.distance += count * (f64::from(mean) - f64::from(first)).abs();
            }
        }
        for column in &mut columns {
            (column.mean, column.distance) = (column.mean / rows, column.distance / rows);
        }
        for (count, of_part, squares) in parts() {
            for ((column, &mean), &squares) in columns.iter_mut().zip(of_part).zip(squares) {
                column.squares += f64::from(squares) + count * (f64::from(mean) - column.mean).powi(2);
            }
        }
        columns
    }

    fn rate(&self, m: &HostMem) -> f64 {
        f64::from(m.f32(self.rates).row(0)[self.rate_column as usize])
    }

    fn variance(&self, squares: f64) -> f64 {
        squares / f64::from(self.rows)
    }

    fn unbiased(&self, squares: f64) -> f64 {
        squares / f64::from(self.rows.max(2) - 1)
    }
}

impl Kernel for BatchNormMoments {
    interface! {
        self runs "batch_norm_moments" after "inside";
        bufs { means, deviations, rates, running_mean, running_variance, moments }
        params {
            rows,
            part_rows: part_rows(self.rows),
            parts: self.means.rows(),
            cols: self.means.cols(),
            quads: row_quads(self.means),
            rate_column,
            eps,
        }
        invocations { row_quads(self.means) }
    }

    fn check_shapes(&self) -> Result<(), String> {
        let cols = self.means.cols();
        has("means", self.means, parts(self.rows), cols)?;
        has("deviations", self.deviations, parts(self.rows), cols)?;
        has("running_mean", self.running_mean, 1, cols)?;
        has("running_variance", self.running_variance, 1, cols)?;
        has("moments", self.moments, 2, cols)?;
        super::holds("rates", self.rates, self.rate_column + 1)
    }

    fn twin(&self, m: &HostMem) {
        let (columns, rate) = (self.columns(m), self.rate(m));
        let value = |row: usize, c: &ColumnMoments| {
            if row == 0 { c.mean } else { 1.0 / (self.variance(c.squares) + f64::from(self.eps)).sqrt() }
        };
        m.f32_mut(self.moments).for_each_row(|r, out| out.iter_mut().zip(&columns).for_each(|(out, c)| *out = value(r, c) as f32));
        let follow = |running: Buf, new: &(dyn Fn(&ColumnMoments) -> f64 + Sync)| {
            m.f32_mut(running).for_each_row(|_, running| {
                for (running, column) in running.iter_mut().zip(&columns) {
                    *running = ((1.0 - rate) * f64::from(*running) + rate * new(column)) as f32;
                }
            });
        };
        follow(self.running_mean, &|column| column.mean);
        follow(self.running_variance, &|column| self.unbiased(column.squares));
    }

    /// One rounding per part: of the mean, in its distance from the first part's; of the squares, which are all positive.
    /// An error of the mean adds its square to those. The root halves what is relative, and has 2 units of its own.
    fn tolerance(&self, output: &str, m: &HostMem, _: Exp) -> Tolerance {
        let (columns, rate, terms) = (self.columns(m), self.rate(m), f64::from(self.means.rows()) + 4.0);
        let mean_error = |c: &ColumnMoments| 2.0 * EPSILON * (terms * c.distance + 2.0 * c.mean.abs()) + 1e-37;
        let squares_error = |c: &ColumnMoments| 2.0 * EPSILON * (terms + 4.0) * c.squares + f64::from(self.rows) * mean_error(c).powi(2);
        let inverse_error = |c: &ColumnMoments| {
            let variance = self.variance(c.squares) + f64::from(self.eps);
            (0.5 * self.variance(squares_error(c)) / variance + 2.0 * EPSILON * 6.0) / variance.sqrt()
        };
        let running_error = |old: Buf, new: f64, error: f64, c: usize| {
            let old = f64::from(m.f32(old).row(0)[c].abs());
            rate * error + 2.0 * EPSILON * 3.0 * ((1.0 - rate).abs() * old + rate * new.abs()) + 1e-37
        };
        let each = |f: &dyn Fn(usize, &ColumnMoments) -> f64| columns.iter().enumerate().map(|(i, c)| f(i, c)).collect::<Vec<_>>();
        Tolerance::Each(match output {
            "moments" => [each(&|_, c| mean_error(c)), each(&|_, c| inverse_error(c))].concat(),
            "running_mean" => each(&|i, c| running_error(self.running_mean, c.mean, mean_error(c), i)),
            _ => each(&|i, c| running_error(self.running_variance, self.unbiased(c.squares), self.unbiased(squares_error(c)), i)),
        })
    }
}

pub fn cases(c: &mut Cases<'_>) {
    for (rows, cols, spread) in [(1, 1, 0.5), (2, 3, 0.5), (16, 4, 0.5), (35, 5, 1e-3), (1025, 65, 0.5), (1025, 6, 0.0)] {
        let (parts, eps) = (parts(rows), if cols == 3 { 1e-3 } else { NORM_EPS });
        let means = (0..parts * cols).map(|i| 3.0 + spread * ((i * 37) % 101) as f32 / 101.0);
        let deviations = (0..parts * cols).map(|i| spread * spread * ((i * 53) % 89) as f32 / 8.0);
        let (means, deviations) = (means.collect(), deviations.collect());
        let (means, deviations) = (c.filled(shape(parts, cols), Fill::F32(means)), c.filled(shape(parts, cols), Fill::F32(deviations)));
        let (rates, rate_column) = (c.floats([7.0, 0.1, 1.0]), 1 + u32::from(rows == 35));
        let (running_mean, moments) = (c.uniform(1, cols), c.output(2, cols));
        let running_variance = c.floats((0..cols).map(|i| 1.0 + 0.1 * i as f32));
        c.add(BatchNormMoments { means, deviations, rates, rate_column, running_mean, running_variance, moments, rows, eps });
    }
}
