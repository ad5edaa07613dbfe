//! Products with what the pixels of a convolution see, for the CPU.

use std::ops::Range;

use super::microkernel::{Isa, Outer, PairStarts, Pieces, ResultMemory, ResultRows, Starts};
use super::panels::{LeftTiles, Panels};
use super::patches::{Patches, SeenPatchLine};
use super::pixel_runs::{PixelRun, pixel_runs};
use super::planes::Planes;

/// So many channels are laid out as planes on the CPU: what tells where they lie would be as long as they are.
pub(crate) const FEW: usize = 4;

/// Pixels whose part in the gradient of the weights the CPU computes at a time, for caches.
const PIXELS: usize = 128;

/// Pixels for which planes are laid out at a time: what lies around them is laid out more than once.
pub(crate) const IN_PLANES: usize = 1024;

/// The gradients of outputs, times what their pixels see of maps: the gradient of a convolution's weights. Sums are in the order of pixels.
pub(crate) struct PatchProducts<'a> {
    pub patches: Patches,
    /// Of the maps, without those that fill up their rows.
    pub channels: usize,
    /// Maps, in rows of `patches.depth`.
    pub x: &'a [f32],
    /// Gradients of the outputs, in rows of `stride`.
    pub grad_y: &'a [f32],
    pub stride: usize,
}

impl PatchProducts<'_> {
    /// Rows `rows` of the gradient of the weights over `pixels`, for few channels.
    pub(crate) fn of_few(&self, mut pixels: Range<usize>, rows: Range<usize>, w: &mut [f32]) {
        let Self { patches, channels, x, grad_y, stride } = *self;
        let count = rows.len();
        let (mut starts, mut planes) = (Starts::default(), Planes::new(patches, channels));
        let offsets = planes.offsets();
        let mut product = vec![0.0; offsets.len() * count];
        let to = starts_of(0..offsets.len(), count);
        let runs: Vec<_> = pixel_runs(patches.rows, pixels.clone()).collect();
        let lines = (IN_PLANES / patches.rows[1] as usize).max(1);
        // The first and the last line of a part may be cut.
        let alike = |a: &PixelRun, b: &PixelRun| (a.image, a.count) == (b.image, b.count);
        for runs in runs.chunk_by(alike).flat_map(|runs| runs.chunks(lines)) {
            planes.lay(runs, x, 0);
            starts.clear(offsets.len() * runs.len());
            for (piece, run) in runs.iter().enumerate() {
                starts.say_each(piece * offsets.len(), planes.base(run) as u32, &offsets);
            }
            let left = Pieces { values: planes.values(), starts: &starts, count: runs.len(), length: runs[0].count };
            let seeing = left.count * left.length;
            let grad_y = &grad_y[pixels.start * stride..][..seeing * stride];
            let mut panels = Panels::room(Isa::best(), seeing, count);
            if panels.width() == stride && count == stride {
                panels.multiply_with(left, grad_y, ResultMemory::of(&mut product), &to, true);
            } else {
                panels.fill(&grad_y[rows.start..], stride, seeing);
                panels.multiply(left, ResultMemory::of(&mut product), &to, true);
            }
            pixels.start += seeing;
        }
        let length = w.len() / count;
        for (at, product) in product.chunks(count).enumerate() {
            let column = at / channels * patches.depth + at % channels;
            w[column..].iter_mut().step_by(length).zip(product).for_each(|(w, product)| *w = *product);
        }
    }

    /// Rows `rows` of the gradient of the weights over `pixels`, for as many as fill vectors where they lie: lines of patches are
    /// multiplied with those.
    pub(crate) fn of_vectors(&self, pixels: Range<usize>, rows: Range<usize>, w: &mut [f32]) {
        let Self { patches, x, grad_y, stride, .. } = *self;
        let (count, isa) = (rows.len(), Isa::best());
        let ([down, across], vectors) = (patches.taps.map(|taps| taps as usize), count / isa.lanes());
        let (length, height) = (across * patches.depth, isa.height(vectors));
        let mut product = vec![0.0; down * length * count];
        let to = starts_of(0..down * length, count);
        let (mut seen, mut runs) = (SeenPatchLine::default(), Vec::new());
        for first in pixels.clone().step_by(PIXELS) {
            runs.clear();
            runs.extend(pixel_runs(patches.rows, first..pixels.end.min(first + PIXELS)));
            let right = &grad_y[first * stride + rows.start..];
            for line in 0..down {
                patches.line(line, &runs, x, length.next_multiple_of(height), stride, &mut seen);
                for (left, pairs) in [(&x[seen.base..], &seen.inside), (&seen.edge, &seen.outside)] {
                    if pairs.is_empty() {
                        continue;
                    }
                    for (tile, rows) in to[line * length..][..length].chunks(height).enumerate() {
                        let outer = Outer { left: &left[tile * height..], right, pairs, vectors };
                        isa.add_outer(outer, ResultRows { c: ResultMemory::of(&mut product), rows, columns: count, accumulate: true });
                    }
                }
            }
        }
        for (row, w) in w.chunks_mut(down * length).enumerate() {
            w.iter_mut().zip(product[row..].iter().step_by(count)).for_each(|(w, product)| *w = *product);
        }
    }

    /// Rows `rows` of the gradient of the weights over `pixels`, as many at a time as caches hold.
    pub(crate) fn add(&self, pixels: Range<usize>, rows: Range<usize>, w: &mut [f32], accumulate: bool) {
        let Self { patches, x, grad_y, stride, .. } = *self;
        let depth = patches.depth;
        let mut panels = Panels::room(Isa::best(), PIXELS, depth);
        let (height, width, unfolded) = (panels.height() as u32, panels.width(), patches.length());
        let (mut left, mut pairs) = (LeftTiles::of(&panels), PairStarts::default());
        if pixels.is_empty() && !accumulate {
            w.fill(0.0);
        }
        for first in pixels.clone().step_by(PIXELS) {
            let (seeing, accumulate) = (first..pixels.end.min(first + PIXELS), accumulate || first > pixels.start);
            left.pack(&grad_y[first * stride..], stride, rows.clone(), seeing.len());
            for tap in 0..patches.count() {
                let (base, w) = (patches.pairs(tap, seeing.clone(), height, &mut pairs), &mut w[tap * depth..]);
                if width == depth {
                    // Whole vectors of few lines of a cache lie well where they are.
                    panels.add_outer_with(&left, &x[base..], &pairs, ResultMemory::of(w), unfolded, accumulate);
                } else {
                    panels.gather(&x[base..], &mut pairs);
                    panels.add_outer(&left, &pairs, ResultMemory::of(w), unfolded, accumulate);
                }
            }
        }
    }
}

/// What some pixels see of the first channels of maps, few, times packed filters, to the rows of `c` that start at `to`.
pub(crate) fn multiply_few(
    patches: &Patches,
    pixels: Range<usize>,
    (maps, channels): (&[f32], usize),
    panels: &Panels,
    c: &mut [f32],
    mut to: &[u32],
    accumulate: bool,
) {
    let (mut planes, mut pairs) = (Planes::new(*patches, channels), PairStarts::default());
    for (row, offset) in planes.offsets().into_iter().enumerate() {
        pairs.add(1, [offset, (row * panels.width()) as u32], [0; 2]);
    }
    let runs: Vec<_> = pixel_runs(patches.rows, pixels).collect();
    for runs in runs.chunk_by(|a, b| a.image == b.image) {
        planes.lay(runs, maps, panels.height());
        for run in runs {
            let (rows, rest) = to.split_at(run.count);
            panels.multiply_columns(&planes.values()[planes.base(run)..], &pairs, ResultMemory::of(c), rows, accumulate);
            to = rest;
        }
    }
}

/// Where rows start, `stride` apart.
pub(crate) fn starts_of(rows: impl IntoIterator<Item = usize>, stride: usize) -> Vec<u32> {
    rows.into_iter().map(|row| (row * stride) as u32).collect()
}
