//! The right side of a product, packed once for all rows of the left one.

use std::cell::Cell;
use std::ops::Range;

use rayon::prelude::*;

use super::microkernel::{Isa, Outer, PairStarts, Panel, Pieces, ResultMemory, ResultRows};

/// Where the right side of a product lies: value `(k, j)` of piece `p` at `offsets[p] + k * k_stride + j * n_stride`, one of the
/// strides being 1. Pieces follow each other along k.
#[derive(Clone, Copy)]
pub struct RightSide<'a> {
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

/// Floats that memory of panels has room for at least: more than glibc ever takes from its heap (32 MiB), where what stays would lie
/// between buffers that come and go, and keep their memory from others. What is not used takes no memory.
const LEAST_ROOM: usize = 33 << 18;

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
        let (mut values, length) = (SPARE.take(), n.div_ceil(width) * width * k + LINE / 4);
        if values.capacity() < length {
            values = Vec::with_capacity(length.max(LEAST_ROOM));
        }
        values.resize(length, 0.0);
        let skipped = values.as_ptr().align_offset(LINE).min(LINE / 4);
        Panels { isa, vectors, k, n, values, skipped }
    }

    /// On all threads where that pays: for a product that all of them have a part in.
    pub fn pack(isa: Isa, n: usize, source: RightSide<'_>) -> Self {
        let worth = source.offsets.len() * source.length * n >= 1 << 15;
        Self::filled(isa, n, source, worth)
    }

    /// On this thread, whose caches then have them.
    pub fn pack_here(isa: Isa, n: usize, source: RightSide<'_>) -> Self {
        Self::filled(isa, n, source, false)
    }

    fn filled(isa: Isa, n: usize, source: RightSide<'_>, parallel: bool) -> Self {
        let mut panels = Panels::room(isa, source.offsets.len() * source.length, n);
        let (width, k, skipped) = (panels.width(), panels.k, panels.skipped);
        if k == 0 {
            return panels;
        }
        let values = &mut panels.values[skipped..][..n.div_ceil(width) * width * k];
        let fill = |(panel, to): (usize, &mut [f32])| source.copy(isa, panel * width..n.min((panel + 1) * width), width, to);
        if parallel {
            values.par_chunks_mut(width * k).enumerate().for_each(fill);
        } else {
            values.chunks_mut(width * k).enumerate().for_each(fill);
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

    /// Rows of the left side to multiply at once, whole tiles of any height: few, which stay in caches from panel to panel, unless
    /// panels together are larger than caches.
    pub fn rows_at_once(&self) -> usize {
        const CACHE: usize = 1 << 20;
        if 4 * self.values.len() <= CACHE { 96 } else { 1152 }
    }

    fn panel(&self, panel: usize) -> &[f32] {
        &self.values[self.skipped + panel * self.k * self.width()..][..self.k * self.width()]
    }

    /// Writes or adds `left` times the right side to the rows of `c` that start at `rows`.
    pub fn multiply(&self, left: Pieces<'_>, mut c: ResultMemory<'_>, rows: &[u32], accumulate: bool) {
        assert_eq!(left.count * left.length, self.k);
        let width = self.width();
        for (panel, first) in (0..self.n).step_by(width).enumerate() {
            let target = ResultRows { c: c.from(first), rows, columns: width.min(self.n - first), accumulate };
            self.isa.multiply_rows(left, Panel { values: self.panel(panel), vectors: self.vectors, stride: width }, target);
        }
    }

    /// Writes or adds to `c` the sum of outer products of columns with rows of the right side.
    pub fn add_outer(&self, left: &LeftTiles, pairs: &PairStarts, mut c: ResultMemory<'_>, stride: usize, accumulate: bool) {
        assert_eq!(left.height, self.height());
        let width = self.width();
        for (left, rows) in left.tiles(&left.starts(stride)) {
            for (panel, first) in (0..self.n).step_by(width).enumerate() {
                let target = ResultRows { c: c.from(first), rows, columns: width.min(self.n - first), accumulate };
                self.isa.add_outer(Outer { left, right: self.panel(panel), pairs, vectors: self.vectors }, target);
            }
        }
    }

    /// [`Panels::add_outer`] with rows of `right` where they lie, in place of the one panel's.
    pub fn add_outer_with(
        &self,
        left: &LeftTiles,
        right: &[f32],
        pairs: &PairStarts,
        mut c: ResultMemory<'_>,
        stride: usize,
        accumulate: bool,
    ) {
        for (left, rows) in left.tiles(&left.starts(stride)) {
            let target = ResultRows { c: c.from(0), rows, columns: self.n, accumulate };
            self.isa.add_outer(Outer { left, right, pairs, vectors: self.vectors }, target);
        }
    }

    /// [`Panels::multiply`] with rows of `right` where they lie, in place of the one panel's.
    pub fn multiply_with(&self, left: Pieces<'_>, right: &[f32], c: ResultMemory<'_>, rows: &[u32], accumulate: bool) {
        let target = ResultRows { c, rows, columns: self.n, accumulate };
        self.isa.multiply_rows(left, Panel { values: right, vectors: self.vectors, stride: self.width() }, target);
    }

    /// Writes or adds to rows of `c`, which start at `rows`, the sum of outer products of `left`, whose columns are side by side and go on for
    /// whole tiles, with rows of the right side: those of each panel lie where `pairs` says.
    pub fn multiply_columns(&self, left: &[f32], pairs: &PairStarts, mut c: ResultMemory<'_>, rows: &[u32], accumulate: bool) {
        let (width, height) = (self.width(), self.height());
        for (panel, first) in (0..self.n).step_by(width).enumerate() {
            for (tile, rows) in rows.chunks(height).enumerate() {
                let target = ResultRows { c: c.from(first), rows, columns: width.min(self.n - first), accumulate };
                let outer = Outer { left: &left[tile * height..], right: self.panel(panel), pairs, vectors: self.vectors };
                self.isa.add_outer(outer, target);
            }
        }
    }

    /// From here on there are `n` columns, no more than there is room for in one panel.
    pub fn narrow(&mut self, n: usize) {
        assert!(n <= self.width());
        self.n = n;
    }

    /// Makes rows `stride` apart in `values` the first `count` rows of the right side, and zeros the others.
    pub fn fill(&mut self, values: &[f32], stride: usize, count: usize) {
        let (width, k, skipped, n) = (self.width(), self.k, self.skipped, self.n);
        for (panel, first) in (0..n).step_by(width).enumerate() {
            let columns = width.min(n - first);
            let (to, rest) = self.values[skipped + panel * k * width..][..k * width].split_at_mut(count * width);
            for (to, from) in to.chunks_mut(width).zip(values[first..].chunks(stride)) {
                copy_row(&from[..columns], to);
            }
            rest.fill(0.0);
        }
    }

    /// Copies the second factors, rows of `values`, to rows of the right side.
    pub fn gather(&mut self, values: &[f32], pairs: &mut PairStarts) {
        let (width, k, skipped, n) = (self.width(), self.k, self.skipped, self.n);
        pairs.gather(width as u32, |start, row| {
            for (panel, from) in values[start..start + n].chunks(width).enumerate() {
                copy_row(from, &mut self.values[skipped + (panel * k + row) * width..][..width]);
            }
        });
    }
}

/// The left side of outer products: `count` columns, in tiles of `height` of their values.
pub struct LeftTiles {
    rows: usize,
    height: usize,
    count: usize,
    values: Vec<f32>,
}

impl LeftTiles {
    /// For tiles as high as those of `panels`.
    pub fn of(panels: &Panels) -> Self {
        LeftTiles { rows: 0, height: panels.height(), count: 0, values: Vec::new() }
    }

    /// Columns are values `rows` of each of `count` rows of a matrix.
    pub fn pack(&mut self, values: &[f32], stride: usize, rows: Range<usize>, count: usize) {
        (self.rows, self.count) = (rows.len(), count);
        self.values.resize(rows.len().div_ceil(self.height) * self.height * count, 0.0);
        let (height, whole) = (self.height, rows.len() / self.height);
        match height {
            6 => copy_tiles::<6>(values, stride, rows.start, whole, count, &mut self.values),
            8 => copy_tiles::<8>(values, stride, rows.start, whole, count, &mut self.values),
            12 => copy_tiles::<12>(values, stride, rows.start, whole, count, &mut self.values),
            16 => copy_tiles::<16>(values, stride, rows.start, whole, count, &mut self.values),
            other => unreachable!("tiles are {other} high"),
        }
        let first = rows.start + whole * height;
        if first < rows.end {
            let from = values[first..].chunks(stride).take(count);
            from.zip(self.values[whole * height * count..].chunks_mut(height))
                .for_each(|(from, to)| copy_row(&from[..rows.end - first], to));
        }
    }

    /// Where rows start in a result.
    fn starts(&self, stride: usize) -> Vec<u32> {
        (0..self.rows).map(|row| (row * stride) as u32).collect()
    }

    /// The tiles, each with where its rows start.
    fn tiles<'a>(&'a self, starts: &'a [u32]) -> impl Iterator<Item = (&'a [f32], &'a [u32])> {
        self.values.chunks(self.height * self.count).zip(starts.chunks(self.height))
    }
}

/// Columns `M` high of `whole` tiles, from rows of a matrix.
fn copy_tiles<const M: usize>(values: &[f32], stride: usize, first: usize, whole: usize, count: usize, to: &mut [f32]) {
    // Tiles side by side have lines of caches in common.
    const SIDE_BY_SIDE: usize = 64;
    for group in (0..whole).step_by(SIDE_BY_SIDE) {
        let tiles = SIDE_BY_SIDE.min(whole - group);
        let (from, to) = (&values[first + group * M..], &mut to[group * M * count..]);
        for (at, row) in from.chunks(stride).take(count).enumerate() {
            for (tile, column) in row.as_chunks::<M>().0.iter().take(tiles).enumerate() {
                to[(tile * count + at) * M..][..M].copy_from_slice(column);
            }
        }
    }
}

/// A row and zeros after it.
fn copy_row(from: &[f32], to: &mut [f32]) {
    let (to, rest) = to.split_at_mut(from.len());
    rest.fill(0.0);
    // In pieces of a fixed size: a call would cost more than such a short row.
    let ((whole, from), (to, end)) = (from.as_chunks::<16>(), to.as_chunks_mut::<16>());
    to.iter_mut().zip(whole).for_each(|(to, from)| *to = *from);
    end.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
}

impl RightSide<'_> {
    /// Some columns as a panel.
    fn copy(self, isa: Isa, columns: Range<usize>, width: usize, to: &mut [f32]) {
        let RightSide { values, offsets, length, k_stride, n_stride } = self;
        for (to, offset) in to.chunks_mut(length * width).zip(offsets) {
            let values = &values[offset + columns.start * n_stride..];
            if n_stride == 1 {
                for (k, to) in to.chunks_mut(width).enumerate() {
                    copy_row(&values[k * k_stride..][..columns.len()], to);
                }
            } else {
                transpose(isa, columns.len(), values, n_stride, width, to);
            }
        }
    }
}

/// Columns of a panel from rows that lie `stride` apart, in squares as large as vectors are long.
fn transpose(isa: Isa, columns: usize, values: &[f32], stride: usize, width: usize, to: &mut [f32]) {
    let lanes = isa.lanes();
    // A few rows at a time, which stay in caches while columns are written.
    for (block, to) in to.chunks_mut(lanes * width).enumerate() {
        let (rows, values) = (to.len() / width, &values[block * lanes..]);
        let whole = if rows == lanes { columns / lanes * lanes } else { 0 };
        for j in (0..whole).step_by(lanes) {
            isa.transpose(&values[j * stride..], stride, &mut to[j..], width);
        }
        for j in whole..columns {
            let column = &values[j * stride..][..rows];
            column.iter().zip(to[j..].iter_mut().step_by(width)).for_each(|(from, to)| *to = *from);
        }
        to.chunks_mut(width).for_each(|row| row[columns..].fill(0.0));
    }
}

/// Vectors of a panel that suit `n` columns: narrow ones have less to do with what is loaded, wide ones may stand half empty.
fn width(isa: Isa, n: usize) -> usize {
    let vectors = n.div_ceil(isa.lanes()).max(1);
    let cost = |width: usize| vectors.next_multiple_of(width) * [0, 30, 22, 21, 20][width];
    (1..=isa.widest()).rev().min_by_key(|&width| cost(width)).unwrap_or(1)
}
