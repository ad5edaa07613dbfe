//! Texts as weights of their tokens, without an encoder: what every encoder of texts is to be compared with.

use std::collections::BTreeMap;

use rayon::prelude::*;

use super::design::SparseRows;
use crate::core::random::{bell, key, threefry};

/// Weights of tokens in training texts.
#[derive(Clone, Debug)]
pub struct TfIdf {
    /// Of each token: ln((1 + texts) / (1 + texts with it)) + 1.
    idf: Vec<f32>,
}

impl TfIdf {
    /// Of training texts, given by their tokens.
    pub fn of<'a>(texts: impl Iterator<Item = &'a [u32]>, vocabulary: u32) -> Self {
        let (mut with, mut count) = (vec![0_u32; vocabulary as usize], 0_u32);
        for text in texts {
            count += 1;
            distinct(text).into_keys().for_each(|token| with[token as usize] += 1);
        }
        let idf = |&with: &u32| ((f64::from(1 + count) / f64::from(1 + with)).ln() + 1.0) as f32;
        TfIdf { idf: with.iter().map(idf).collect() }
    }

    /// Rows of unit length: (1 + ln count) · idf of each token, as scikit-learn has it with sublinear counts.
    pub fn rows<'a>(&self, texts: impl Iterator<Item = &'a [u32]>) -> SparseRows {
        let row = |text: &[u32]| {
            let weight = |(token, count): (u32, u32)| (token, (1.0 + (count as f32).ln()) * self.idf[token as usize]);
            let mut row: Vec<(u32, f32)> = distinct(text).into_iter().map(weight).collect();
            let norm = row.iter().map(|(_, value)| value * value).sum::<f32>().sqrt().max(f32::MIN_POSITIVE);
            row.iter_mut().for_each(|(_, value)| *value /= norm);
            row
        };
        SparseRows { columns: self.idf.len(), rows: texts.map(row).collect() }
    }
}

/// How often each token is there.
fn distinct(text: &[u32]) -> BTreeMap<u32, u32> {
    let mut counts = BTreeMap::new();
    text.iter().for_each(|&token| *counts.entry(token).or_default() += 1);
    counts
}

impl SparseRows {
    /// An orthonormal basis, `[columns, rank]`, of about the space in which these rows vary most (Halko et al., "Finding structure with
    /// randomness", 2011): latent semantic analysis. The rank is at most that of the rows.
    fn basis(&self, rank: usize) -> (Vec<f32>, usize) {
        /// Times that small singular values are pushed down.
        const POWERS: usize = 3;
        let rank = rank.min(self.len()).min(self.columns).max(1);
        let columns = self.by_column();
        let key = key(0, 996);
        let mut basis: Vec<f32> = (0..self.columns * rank).map(|i| bell(threefry(key, [i as u32, 0])) as f32).collect();
        for _ in 0..POWERS {
            let mut of_rows = self.times(&basis, rank);
            orthonormalise(&mut of_rows, rank);
            let product = |(_, entries): &(u32, Vec<(u32, f32)>)| {
                let mut sum = vec![0.0_f32; rank];
                for &(row, value) in entries {
                    sum.iter_mut().zip(&of_rows[row as usize * rank..]).for_each(|(sum, x)| *sum += value * x);
                }
                sum
            };
            let products: Vec<Vec<f32>> = columns.par_iter().map(product).collect();
            basis.fill(0.0);
            for ((column, _), product) in columns.iter().zip(products) {
                basis[*column as usize * rank..][..rank].copy_from_slice(&product);
            }
            orthonormalise(&mut basis, rank);
        }
        (basis, rank)
    }

    /// Dense features of `training` rows and of `others`, of at most `rank` numbers each: where they lie in the space in which the
    /// training rows vary most. Returns the numbers of each with how many there are.
    pub fn latent(training: &Self, others: &[&Self], rank: usize) -> (Vec<Vec<f32>>, usize) {
        let (basis, rank) = training.basis(rank);
        (std::iter::once(&training).chain(others).map(|rows| rows.times(&basis, rank)).collect(), rank)
    }
}

/// Makes the columns of `[rows, width]` orthogonal and of unit length, one after the other, twice against rounding. What is not
/// independent of those before it becomes zero.
fn orthonormalise(matrix: &mut [f32], width: usize) {
    let rows = matrix.len() / width;
    let mut columns: Vec<Vec<f32>> = (0..width).map(|column| (0..rows).map(|row| matrix[row * width + column]).collect()).collect();
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    for column in 0..width {
        let (before, rest) = columns.split_at_mut(column);
        let this = &mut rest[0];
        let length = dot(this, this).sqrt();
        for _ in 0..2 {
            let shares: Vec<f64> = before.par_iter().map(|other| dot(other, this)).collect();
            for (other, share) in before.iter().zip(shares) {
                this.iter_mut().zip(other).for_each(|(this, other)| *this -= share as f32 * other);
            }
        }
        let left = dot(this, this).sqrt();
        let scale = if left > 1e-5 * length { 1.0 / left } else { 0.0 };
        this.iter_mut().for_each(|value| *value = (f64::from(*value) * scale) as f32);
    }
    for (column, values) in columns.iter().enumerate() {
        values.iter().enumerate().for_each(|(row, value)| matrix[row * width + column] = *value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{Design, probe_accuracy};

    /// Texts of three kinds, each with two tokens of its own among those of all.
    fn texts(count: u32) -> (Vec<Vec<u32>>, Vec<u32>) {
        let labels: Vec<u32> = (0..count).map(|i| i % 3).collect();
        let text = |(i, &label): (u32, &u32)| vec![2 * label + i % 2, 6 + i % 5, 6 + (i * i) % 7, 2 * label + i / 3 % 2];
        ((0..).zip(&labels).map(text).collect(), labels)
    }

    fn rows(texts: &[Vec<u32>]) -> SparseRows {
        let slices = || texts.iter().map(Vec::as_slice);
        TfIdf::of(slices(), 13).rows(slices())
    }

    #[test]
    fn weights_are_scikit_learns() {
        let texts = [vec![0, 0, 1], vec![1], vec![2, 1]];
        let slices = || texts.iter().map(Vec::as_slice);
        let found = TfIdf::of(slices(), 3).rows(slices());
        // idf of token 0: ln(4 / 2) + 1, of token 1: 1; twice counts 1 + ln 2.
        let (a, b) = ((1.0 + 2f32.ln()) * (2f32.ln() + 1.0), 1.0_f32);
        let norm = a.hypot(b);
        assert_eq!(found.rows[0].iter().map(|(column, _)| *column).collect::<Vec<_>>(), [0, 1]);
        assert!((found.rows[0][0].1 - a / norm).abs() < 1e-6 && (found.rows[0][1].1 - b / norm).abs() < 1e-6);
        assert_eq!(found.rows[1], [(1, 1.0)]);
    }

    #[test]
    fn kinds_are_told_apart_and_chance_is_not() {
        let (texts, labels) = texts(60);
        let all = rows(&texts);
        let (train, test): (Vec<u32>, Vec<u32>) = ((0..30).collect(), (30..60).collect());
        let accuracy = |labels: &[u32]| {
            let of = |rows: &[u32]| Design::sparse(all.select(rows));
            probe_accuracy(&of(&train), &labels[..30], &of(&test), &labels[30..], 3).expect("it is fitted")
        };
        assert_eq!(accuracy(&labels), 1.0);
        let shuffled: Vec<u32> = (0..60).map(|i| threefry([1, 2], [i, 0])[0] % 3).collect();
        assert!(accuracy(&shuffled) < 0.7, "labels without a meaning cannot be learned");
    }

    #[test]
    fn latent_features_keep_what_varies_most() {
        let (texts, _) = texts(60);
        let rows = rows(&texts);
        let (found, rank) = SparseRows::latent(&rows, &[&rows], 13);
        assert_eq!((rank, &found[0]), (13, &found[1]));
        // At full rank nothing is lost: unit rows stay so, and so do their products.
        let product = |a: usize, b: usize| found[0][a * 13..][..13].iter().zip(&found[0][b * 13..]).map(|(x, y)| x * y).sum::<f32>();
        let sparse = |a: usize, b: usize| {
            let b: BTreeMap<u32, f32> = rows.rows[b].iter().copied().collect();
            rows.rows[a].iter().map(|(column, value)| value * b.get(column).unwrap_or(&0.0)).sum::<f32>()
        };
        for (a, b) in [(0, 0), (0, 3), (7, 22), (1, 2)] {
            assert!((product(a, b) - sparse(a, b)).abs() < 1e-4, "{a} {b}: {} is not {}", product(a, b), sparse(a, b));
        }
        let (few, rank) = SparseRows::latent(&rows, &[], 4);
        let kept: f32 = few[0].iter().map(|x| x * x).sum();
        assert!(rank == 4 && kept > 0.55 * 60.0 && kept < 60.0, "four of thirteen numbers keep {kept} of 60");
    }
}
