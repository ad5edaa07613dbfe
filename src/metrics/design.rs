//! The samples that a linear probe is fitted to: columns of numbers, and columns that are mostly zero, side by side.

use std::collections::BTreeMap;

use rayon::prelude::*;

/// Rows of which most numbers are zero.
#[derive(Clone, Debug, PartialEq)]
pub struct SparseRows {
    pub(super) columns: usize,
    /// (column, value) of each row, columns ascending.
    pub(super) rows: Vec<Vec<(u32, f32)>>,
}

/// (row, value) of what each column holds.
pub(super) type ByColumn = Vec<(u32, Vec<(u32, f32)>)>;

impl SparseRows {
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Some of the rows, in this order.
    pub fn select(&self, rows: &[u32]) -> Self {
        SparseRows { columns: self.columns, rows: rows.iter().map(|&row| self.rows[row as usize].clone()).collect() }
    }

    /// What each column that is not empty holds.
    pub(super) fn by_column(&self) -> ByColumn {
        let mut columns: BTreeMap<u32, Vec<(u32, f32)>> = BTreeMap::new();
        for (row, entries) in (0..).zip(&self.rows) {
            entries.iter().for_each(|&(column, value)| columns.entry(column).or_default().push((row, value)));
        }
        columns.into_iter().collect()
    }

    /// These rows times `matrix` `[columns, width]`.
    pub(super) fn times(&self, matrix: &[f32], width: usize) -> Vec<f32> {
        let mut product = vec![0.0; self.len() * width];
        product.par_chunks_mut(width.max(1)).zip(&self.rows).for_each(|(out, row)| add_product(row, matrix, out));
        product
    }
}

/// Adds `row` times a matrix `[columns, width]` to `out`, `width` numbers.
pub(super) fn add_product(row: &[(u32, f32)], matrix: &[f32], out: &mut [f32]) {
    let width = out.len();
    for &(column, value) in row {
        out.iter_mut().zip(&matrix[column as usize * width..]).for_each(|(out, m)| *out += value * m);
    }
}

/// Samples as a linear probe sees them.
#[derive(Clone, Debug, PartialEq)]
pub struct Design {
    /// `[samples, columns]`
    pub dense: Vec<f32>,
    pub columns: usize,
    /// Rows of about unit length, such as weights of words.
    pub sparse: Option<SparseRows>,
}

impl Design {
    /// `[samples, columns]`
    pub fn dense(values: &[f32], columns: usize) -> Self {
        Design { dense: values.to_vec(), columns, sparse: None }
    }

    /// No column but those that are mostly zero.
    pub fn sparse(rows: SparseRows) -> Self {
        Design { dense: Vec::new(), columns: 0, sparse: Some(rows) }
    }

    pub fn len(&self) -> usize {
        self.sparse.as_ref().map_or_else(|| self.dense.len() / self.columns.max(1), SparseRows::len)
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Some of the samples, in this order.
    pub fn select(&self, rows: &[u32]) -> Self {
        let of_row = |&row: &u32| &self.dense[row as usize * self.columns..][..self.columns];
        Design {
            dense: rows.iter().flat_map(of_row).copied().collect(),
            columns: self.columns,
            sparse: self.sparse.as_ref().map(|sparse| sparse.select(rows)),
        }
    }
}
