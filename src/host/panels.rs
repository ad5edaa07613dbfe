//! The right side of a product, packed once for all rows of the left one.

use std::cell::Cell;

use rayon::prelude::*;

use super::microkernel::{Isa, Panel, Pieces, Target};

/// Where the right side of a product lies: value `(k, j)` of piece `p` at `offsets[p] + k * k_stride + j * n_stride`, one of the
/// strides being 1. Pieces follow each other along k.
#[derive(Clone, Copy)]
pub struct Source<'a> {
    pub values: &'a [f32],
    pub offsets: &'a [usize],
    /// Of a piece, along k.
    pub length: usize,
    pub k_stride: usize,
    pub n_stride: usize,
}

/// `k` rows and `n` columns in panels of equal width, the last one filled up with zeros.
pub struct Panels {
    isa: Isa,
    vectors: usize,
    k: usize,
    n: usize,
    values: Vec<f32>,
    /// Of `values`: what comes before the first whole line of a cache.
    skipped: usize,
}

/// Bytes of a line of a cache.
const LINE: usize = 64;

thread_local! {
    /// Memory of panels that are no longer needed: new memory would be cleared, and that by page faults.
    static SPARE: Cell<Vec<f32>> = const { Cell::new(Vec::new()) };
}

impl Drop for Panels {
    fn drop(&mut self) {
        let other = SPARE.take();
        let mine = std::mem::take(&mut self.values);
        SPARE.set(if mine.capacity() > other.capacity() { mine } else { other });
    }
}

impl Panels {
    /// Room for `k` rows of `n` columns.
    pub fn room(isa: Isa, k: usize, n: usize) -> Self {
        let vectors = width(isa, n);
        let width = vectors * isa.lanes();
        let mut values = SPARE.take();
        values.resize(n.div_ceil(width) * width * k + LINE / 4, 0.0);
        let skipped = values.as_ptr().align_offset(LINE).min(LINE / 4);
        Panels { isa, vectors, k, n, values, skipped }
    }

    pub fn pack(isa: Isa, n: usize, source: Source<'_>) -> Self {
        let mut panels = Panels::room(isa, source.offsets.len() * source.length, n);
        let (width, k, skipped) = (panels.width(), panels.k, panels.skipped);
        if k == 0 {
            return panels;
        }
        let values = &mut panels.values[skipped..][..n.div_ceil(width) * width * k];
        let fill = |(panel, to): (usize, &mut [f32])| source.copy(panel * width..n.min((panel + 1) * width), width, to);
        if k * n < 1 << 15 {
            values.chunks_mut(width * k).enumerate().for_each(fill);
        } else {
            values.par_chunks_mut(width * k).enumerate().for_each(fill);
        }
        panels
    }

    /// Columns of a panel.
    pub fn width(&self) -> usize {
        self.vectors * self.isa.lanes()
    }

    /// Rows of a tile.
    pub fn height(&self) -> usize {
        self.isa.height(self.vectors)
    }

    /// Rows `from..from + count` of panel `panel`.
    fn panel(&self, panel: usize, from: usize, count: usize) -> Panel<'_> {
        let width = self.width();
        Panel { values: &self.values[self.skipped + (panel * self.k + from) * width..][..count * width], vectors: self.vectors }
    }

    /// Writes or adds `left` times the right side to rows of `c`.
    pub fn multiply(&self, left: Pieces<'_>, c: &mut [f32], stride: usize, accumulate: bool) {
        assert_eq!(left.count * left.length, self.k);
        let width = self.width();
        for (panel, first) in (0..self.n).step_by(width).enumerate() {
            let target = Target { c: &mut c[first..], stride, columns: width.min(self.n - first), accumulate };
            self.isa.multiply_rows(left, self.panel(panel, 0, self.k), target);
        }
    }

    /// Adds the outer products of the columns packed in `left`, those that `steps` names, with as many rows of the right side from
    /// `from` on to `c`, or writes their sums.
    pub fn add_outer(&self, left: &Columns, steps: &[u32], from: usize, c: &mut [f32], stride: usize, accumulate: bool) {
        assert_eq!(left.height, self.height());
        let width = self.width();
        for (tile, row) in (0..left.rows).step_by(left.height).enumerate() {
            let (rows, size) = (left.height.min(left.rows - row), left.height * left.count);
            for (panel, first) in (0..self.n).step_by(width).enumerate() {
                let target = Target { c: &mut c[row * stride + first..], stride, columns: width.min(self.n - first), accumulate };
                self.isa.multiply_columns(&left.values[tile * size..][..size], steps, rows, self.panel(panel, from, steps.len()), target);
            }
        }
    }

    /// Makes rows of the right side those of `values` that start at `starts`.
    pub fn gather(&mut self, values: &[f32], starts: impl Iterator<Item = usize>) {
        let (width, k, skipped, n) = (self.width(), self.k, self.skipped, self.n);
        for (row, start) in starts.enumerate() {
            let from = &values[start..start + n];
            for (panel, from) in from.chunks(width).enumerate() {
                let (to, rest) = self.values[skipped + (panel * k + row) * width..][..width].split_at_mut(from.len());
                to.copy_from_slice(from);
                rest.fill(0.0);
            }
        }
    }
}

/// The left side of outer products, packed in tiles: `count` times `height` values, one for each row of the tile.
pub struct Columns {
    pub rows: usize,
    height: usize,
    count: usize,
    values: Vec<f32>,
}

impl Columns {
    /// Of tiles of `height` rows.
    pub fn new(height: usize) -> Self {
        Columns { rows: 0, height, count: 0, values: Vec::new() }
    }

    /// Values `first..first + rows` of each of `count` rows of a matrix.
    pub fn pack(&mut self, values: &[f32], stride: usize, first: usize, rows: usize, count: usize) {
        let height = self.height;
        (self.rows, self.count) = (rows, count);
        self.values.resize(rows.div_ceil(height) * height * count, 0.0);
        for (tile, to) in self.values.chunks_mut((height * count).max(1)).enumerate() {
            let first = first + tile * height;
            let width = height.min(rows - tile * height);
            for (step, to) in to.chunks_mut(height).enumerate() {
                to[..width].copy_from_slice(&values[step * stride + first..][..width]);
            }
        }
    }
}

impl Source<'_> {
    /// Some columns as a panel.
    fn copy(self, columns: std::ops::Range<usize>, width: usize, to: &mut [f32]) {
        let Source { values, offsets, length, k_stride, n_stride } = self;
        for (to, offset) in to.chunks_mut(length * width).zip(offsets) {
            let values = &values[offset + columns.start * n_stride..];
            if n_stride == 1 {
                for (k, to) in to.chunks_mut(width).enumerate() {
                    let (to, rest) = to.split_at_mut(columns.len());
                    to.copy_from_slice(&values[k * k_stride..][..columns.len()]);
                    rest.fill(0.0);
                }
            } else {
                // A few rows at a time, which stay in caches while columns are written.
                const ROWS: usize = 16;
                for (block, to) in to.chunks_mut(ROWS * width).enumerate() {
                    let rows = to.len() / width;
                    for j in 0..columns.len() {
                        let column = &values[j * n_stride + block * ROWS..][..rows];
                        column.iter().zip(to[j..].iter_mut().step_by(width)).for_each(|(from, to)| *to = *from);
                    }
                    to.chunks_mut(width).for_each(|row| row[columns.len()..].fill(0.0));
                }
            }
        }
    }
}

/// Vectors of a panel that suit `n` columns: narrow ones have less to do with what is loaded, wide ones may stand half empty.
fn width(isa: Isa, n: usize) -> usize {
    let vectors = n.div_ceil(isa.lanes()).max(1);
    let cost = |width: usize| vectors.next_multiple_of(width) * [0, 30, 22, 21, 20][width];
    (1..=isa.widest()).rev().min_by_key(|&width| cost(width)).unwrap_or(1)
}
