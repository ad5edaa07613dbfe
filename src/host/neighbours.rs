//! Exact nearest neighbours by cosine: similarities a block at a time, of which each row keeps its largest.

use anyhow::{Result, bail, ensure};
use rayon::prelude::*;

use crate::host::gemm::Layout;
use crate::host::gemm::gemm;

/// Queries and bank rows of a block: their similarities (512 KiB) stay in a core's cache until they are looked through.
const QUERIES: usize = 128;
const BANK: usize = 1024;

/// The most similar bank rows of each query, best first; of equals, the first in the bank.
#[derive(Clone, Debug, PartialEq)]
pub struct Neighbours {
    /// Neighbours of each query.
    pub count: usize,
    /// `[queries, count]`: rows of the bank.
    pub rows: Vec<u32>,
    /// `[queries, count]`: cosines.
    pub similarities: Vec<f32>,
}

impl Neighbours {
    /// (bank row, cosine) for each neighbour of a query.
    pub fn of(&self, query: usize) -> impl Iterator<Item = (usize, f32)> + '_ {
        let range = query * self.count..(query + 1) * self.count;
        self.rows[range.clone()].iter().map(|&row| row as usize).zip(self.similarities[range].iter().copied())
    }

    /// Number of queries.
    pub fn queries(&self) -> usize {
        self.rows.len() / self.count.max(1)
    }
}

/// The `count` bank rows most similar to each query, or all where there are fewer. Rows are `columns` wide and of unit
/// length, or zero. Fails where `bank` is empty or a value is not finite.
pub fn nearest(queries: &[f32], bank: &[f32], columns: usize, count: usize) -> Result<Neighbours> {
    search(queries, bank, columns, count, false)
}

/// The `count` other rows most similar to each row: as [`nearest`], but no row is its own neighbour; its duplicates are.
pub fn nearest_others(rows: &[f32], columns: usize, count: usize) -> Result<Neighbours> {
    search(rows, rows, columns, count, true)
}

fn search(queries: &[f32], bank: &[f32], columns: usize, count: usize, others: bool) -> Result<Neighbours> {
    check_rows(queries, columns, "query")?;
    check_rows(bank, columns, "bank")?;
    let count = count.min((bank.len() / columns).saturating_sub(usize::from(others)));
    ensure!(count > 0, "there is nothing to find neighbours among: they need a bank of rows, and at least one of them is asked for");
    let size = queries.len() / columns * count;
    let (mut rows, mut similarities) = (vec![0; size], vec![f32::NEG_INFINITY; size]);
    let blocks = rows.par_chunks_mut(QUERIES * count).zip(similarities.par_chunks_mut(QUERIES * count));
    blocks.zip(queries.par_chunks(QUERIES * columns)).enumerate().for_each(|(block, ((rows, similarities), queries))| {
        let m = queries.len() / columns;
        let mut cosines = vec![0.0; m * BANK];
        for (from, bank) in (0..).step_by(BANK).zip(bank.chunks(BANK * columns)) {
            let n = bank.len() / columns;
            let cosines = &mut cosines[..m * n];
            gemm(Layout::NT, [m, n, columns], queries, bank, cosines);
            for (query, cosines) in cosines.chunks_mut(n).enumerate() {
                let own = block * QUERIES + query;
                if others && (from..from + n).contains(&own) {
                    cosines[own - from] = f32::NEG_INFINITY;
                }
                let range = query * count..(query + 1) * count;
                keep_largest(cosines, from, &mut rows[range.clone()], &mut similarities[range]);
            }
        }
    });
    Ok(Neighbours { count, rows, similarities })
}

/// Merges values that belong to the bank rows from `from` into the largest so far, which are in descending order.
fn keep_largest(values: &[f32], from: usize, rows: &mut [u32], largest: &mut [f32]) {
    /// Looked at together: one comparison of vectors tells that there is nothing in them, as there mostly is not.
    const TOGETHER: usize = 32;
    let last = largest.len() - 1;
    for (first, values) in (from..).step_by(TOGETHER).zip(values.chunks(TOGETHER)) {
        let least = largest[last];
        if !values.iter().fold(false, |any, &value| any | (value > least)) {
            continue;
        }
        for (row, &value) in (first..).zip(values) {
            if value > largest[last] {
                let place = largest.partition_point(|&kept| kept >= value);
                largest[place..].rotate_right(1);
                rows[place..].rotate_right(1);
                (largest[place], rows[place]) = (value, row as u32);
            }
        }
    }
}

/// Fails unless `rows` are whole rows of finite values. `what` names their kind.
pub fn check_rows(rows: &[f32], columns: usize, what: &str) -> Result<()> {
    ensure!(columns > 0 && rows.len().is_multiple_of(columns), "{} values of {what} rows are no rows of {columns}", rows.len());
    match rows.par_iter().position_first(|value| !value.is_finite()) {
        Some(at) => bail!("{what} row {} has a value that is not finite ({}); did training diverge?", at / columns, rows[at]),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::random::{signed_unit, threefry};
    use crate::metrics::unit_rows;

    fn random_rows(rows: usize, columns: usize) -> Vec<f32> {
        let values: Vec<f32> = (0..(rows * columns) as u32).map(|i| signed_unit(threefry([5, 6], [i, 0])[0])).collect();
        unit_rows(&values, columns)
    }

    #[test]
    fn nearest_come_first() {
        let bank = unit_rows(&[1.0, 0.0, 0.0, 1.0, 1.0, 1.0, -1.0, 0.0], 2);
        let found = nearest(&unit_rows(&[2.0, 1.0, -1.0, 0.1], 2), &bank, 2, 2).expect("sound rows");
        assert_eq!(found.rows, [2, 0, 3, 1]);
        // cos of (2, 1) with (1, 1) is 3 / sqrt(10), with (1, 0) 2 / sqrt(5).
        assert!((found.similarities[0] - 0.948_683_3).abs() < 1e-6 && (found.similarities[1] - 0.894_427_2).abs() < 1e-6);
        assert_eq!(nearest(&bank, &bank, 2, 9).expect("sound rows").count, 4);
        assert_eq!(found.queries(), 2);
    }

    #[test]
    fn no_row_is_its_own_neighbour_but_its_duplicate_is() {
        let rows = unit_rows(&[1.0, 0.0, 1.0, 0.0, 0.0, 1.0], 2);
        let found = nearest_others(&rows, 2, 1).expect("sound rows");
        assert_eq!(found.rows, [1, 0, 0]);
        assert_eq!(found.similarities, [1.0, 1.0, 0.0]);
    }

    #[test]
    fn blocks_change_nothing() {
        // More rows than a block has, of queries and of the bank.
        let (columns, count) = (7, 5);
        let (queries, bank) = (random_rows(QUERIES + 3, columns), random_rows(2 * BANK + 1, columns));
        let found = nearest(&queries, &bank, columns, count).expect("sound rows");
        for (query, row) in queries.chunks(columns).enumerate() {
            let dot = |other: &[f32]| row.iter().zip(other).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
            let mut all: Vec<f64> = bank.chunks(columns).map(dot).collect();
            all.sort_by(|a, b| b.total_cmp(a));
            for ((_, similarity), expected) in found.of(query).zip(all) {
                assert!((f64::from(similarity) - expected).abs() < 1e-6, "query {query}: {similarity} is not {expected}");
            }
        }
        let others = nearest_others(&bank, columns, count).expect("sound rows");
        assert!((0..others.queries()).all(|row| others.of(row).all(|(other, _)| other != row)));
    }

    #[test]
    fn what_is_no_set_of_rows_is_refused() {
        let refused = |queries: &[f32], bank: &[f32], count| nearest(queries, bank, 2, count).expect_err("refused").to_string();
        assert!(refused(&[1.0, 0.0], &[], 1).contains("nothing to find"));
        assert!(refused(&[1.0, 0.0], &[1.0, 0.0], 0).contains("nothing to find"));
        assert!(refused(&[1.0], &[1.0, 0.0], 1).contains("no rows of 2"));
        assert!(refused(&[1.0, 0.0, 0.0, f32::NAN], &[1.0, 0.0], 1).contains("query row 1"));
        assert!(nearest_others(&[1.0, 0.0], 2, 1).is_err(), "one row has no others");
    }
}
