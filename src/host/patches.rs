//! What pixels see of feature maps: patches, unfolded into the rows of a matrix.

use std::ops::Range;

use super::microkernel::{PairStarts, Starts};
use super::pixel_runs::PixelRun;
use crate::core::layout::{Taps, Tensor};

/// Taps down and across, and how far apart they are applied.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Geometry {
    /// Taps down and across.
    pub kernel: [u32; 2],
    /// The same in both directions.
    pub stride: u32,
    pub padding: Padding,
}

/// Zeros around maps.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Padding {
    /// So many above and below, and so many on the left and on the right. Outputs have `(size + 2 padding - kernel) / stride + 1` pixels a
    /// side.
    Pixels([u32; 2]),
    /// TensorFlow's `SAME`: as many as outputs of `size / stride` pixels, rounded up, need; half of them, rounded down, come before.
    Same,
}

impl Geometry {
    /// So many taps a side, within so many zeros on each side.
    pub const fn square(kernel: u32, stride: u32, padding: u32) -> Self {
        Geometry { kernel: [kernel; 2], stride, padding: Padding::Pixels([padding; 2]) }
    }

    /// So many taps a side, with [`Padding::Same`].
    pub const fn same(kernel: u32, stride: u32) -> Self {
        Geometry { kernel: [kernel; 2], stride, padding: Padding::Same }
    }

    /// Taps a side, where both directions are alike.
    pub fn side(self) -> Option<u32> {
        let ([down, across], padded) = (self.kernel, !matches!(self.padding, Padding::Pixels([high, wide]) if high != wide));
        (down == across && padded).then_some(down)
    }

    /// Taps of the kernel.
    pub fn taps(self) -> u32 {
        self.kernel[0] * self.kernel[1]
    }

    /// Height and width of the output, by those of the input; `None` if the kernel is larger than the padded input.
    pub fn output(self, source: [u32; 2]) -> Option<[u32; 2]> {
        let of_side = |side: usize| match self.padding {
            Padding::Pixels(padding) => {
                (source[side] + 2 * padding[side]).checked_sub(self.kernel[side]).map(|rest| rest / self.stride + 1)
            }
            Padding::Same => Some(source[side].div_ceil(self.stride)),
        };
        Some([of_side(0)?, of_side(1)?])
    }

    /// Zeros before the first line and before the first column, by height and width of the input.
    pub fn before(self, source: [u32; 2]) -> [u32; 2] {
        [0, 1].map(|side| match self.padding {
            Padding::Pixels(padding) => padding[side],
            Padding::Same => {
                ((source[side].div_ceil(self.stride).max(1) - 1) * self.stride + self.kernel[side]).saturating_sub(source[side]) / 2
            }
        })
    }

    /// What is seen of the gradient of the output, down and across, from the pixels `phase`, `phase + stride`, ... of the input: all of
    /// those had a part in outputs through the same taps.
    pub fn phases(self, phase: [u32; 2], source: [u32; 2]) -> [TapPhase; 2] {
        let before = self.before(source);
        [0, 1].map(|side| {
            let place = phase[side] + before[side];
            let least = place % self.stride;
            let taps = self.kernel[side].saturating_sub(least).div_ceil(self.stride);
            let tap = least + self.stride * taps.saturating_sub(1);
            let first = (place as i32 - tap as i32) / self.stride as i32;
            TapPhase { pixels: source[side].saturating_sub(phase[side]).div_ceil(self.stride), taps, first, tap }
        })
    }

    /// The kernels as a tensor.
    pub fn filters(self, inputs: u32, outputs: u32) -> Tensor {
        Tensor::Filters(Taps { outputs, inputs, height: self.kernel[0], width: self.kernel[1] })
    }

    /// The kernels of a depthwise convolution as a tensor.
    pub fn depthwise(self, channels: u32) -> Tensor {
        Tensor::Depthwise(Taps { outputs: channels, inputs: 1, height: self.kernel[0], width: self.kernel[1] })
    }
}

/// See [`Geometry::phases`]: of one side.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TapPhase {
    /// Of the input, in this phase.
    pub pixels: u32,
    /// Taps that they had a part through; may be none.
    pub taps: u32,
    /// The output that the first pixel sees first; negative in the padding.
    pub first: i32,
    /// The tap of the kernel through which it sees it. Further outputs are seen through taps a stride less each.
    pub tap: u32,
}

/// What pixels see through the taps of a line of their patches: pairs of where that starts and of the pixel.
#[derive(Default)]
pub struct SeenPatchLine {
    /// Pairs of those for which it lies side by side in the maps, from `base` on.
    pub inside: PairStarts,
    pub base: usize,
    /// Pairs of the others, of which it is copied to `edge`, with zeros where it is outside of the maps.
    pub outside: PairStarts,
    pub edge: Vec<f32>,
}

impl SeenPatchLine {
    fn clear(&mut self) {
        self.inside.clear();
        self.outside.clear();
        self.edge.clear();
    }
}

/// Patches of equal size; pixels of all images of a batch are numbered through.
#[derive(Clone, Copy, Debug)]
pub struct Patches {
    /// Taps down and across.
    pub taps: [u32; 2],
    /// From one pixel's first tap to that of the next.
    pub stride: u32,
    /// Where the first pixel has its first tap; negative in the padding.
    pub first: [i32; 2],
    /// Height and width of the pixels that see, and of the maps that are seen.
    pub rows: [u32; 2],
    pub source: [u32; 2],
    /// Floats from one pixel of the maps to the next.
    pub depth: usize,
}

impl Patches {
    /// What the pixels of a convolution's output see of its input; heights and widths of `source` and `rows`.
    pub fn forward(geometry: Geometry, source: [u32; 2], rows: [u32; 2], depth: usize) -> Self {
        let first = geometry.before(source).map(|before| -(before as i32));
        Patches { taps: geometry.kernel, stride: geometry.stride, first, rows, source, depth }
    }

    /// Floats of one patch.
    pub fn length(&self) -> usize {
        self.count() * self.depth
    }

    /// The pixel of the maps that pixel `pixel` sees through tap `tap`, if it is inside of the image.
    pub fn seen(&self, pixel: usize, tap: usize) -> Option<usize> {
        let [_, across] = self.taps;
        let (image, [line, column]) = self.place(pixel);
        let inside = |start: i64, tap: usize, size: u32| u32::try_from(start + tap as i64).ok().filter(|&at| at < size);
        let line = inside(line, tap / across as usize, self.source[0])?;
        let column = inside(column, tap % across as usize, self.source[1])?;
        Some((image * self.source[0] as usize + line as usize) * self.source[1] as usize + column as usize)
    }

    /// Where what some pixels see starts, tap by tap, from the start of their first image on. Returns that start.
    pub fn starts(&self, pixels: Range<usize>, starts: &mut Starts) -> usize {
        let count = pixels.len();
        starts.clear(self.count() * count);
        self.each_line(pixels, |tap, of, first| starts.say(tap * count + of.start, of.len(), first as u32, self.stride * self.depth as u32))
    }

    /// Which of some pixels see what through tap `tap`: the pairs of pixels, `step` apart, and of what they see, as `starts` counts it.
    pub fn pairs(&self, tap: usize, pixels: Range<usize>, step: u32, pairs: &mut PairStarts) -> usize {
        pairs.clear();
        self.each_line_through(tap..tap + 1, pixels, |_, of, first| {
            pairs.add(of.len(), [of.start as u32 * step, first as u32], [step, self.stride * self.depth as u32]);
        })
    }

    /// Makes `seen` what pixels, in runs, see of `maps` through the taps of line `line` of their patches, where `room` floats from its
    /// start on are of the maps. `step`: from one pixel to the next on the other side.
    pub fn line(&self, line: usize, runs: &[PixelRun], maps: &[f32], room: usize, step: usize, seen: &mut SeenPatchLine) {
        let ([_, across], stride, depth) = (self.taps.map(|taps| taps as i64), i64::from(self.stride), self.depth);
        let [height, width] = self.source.map(i64::from);
        seen.clear();
        seen.base = runs.first().map_or(0, |first| first.image * self.source_image());
        let (maps, mut at) = (&maps[seen.base..], 0);
        for run in runs {
            let (first, count) = (at, run.count);
            at += count;
            let top = run.line as i64 * stride + i64::from(self.first[0]) + line as i64;
            if !(0..height).contains(&top) {
                continue;
            }
            let left = run.column as i64 * stride + i64::from(self.first[1]);
            let start = run.image * self.source_image() - seen.base + (top * width) as usize * depth;
            // Of the last pixels that see a whole line, what is behind it may be outside of the maps.
            let columns = (maps.len() - start).checked_sub(room).map_or(0, |last| width.min((last / depth) as i64 + across));
            let from = ((-left).max(0) + stride - 1) / stride;
            let until = (columns - across - left).div_euclid(stride) + 1;
            let from = (from as usize).min(count);
            let until = (until.max(0) as usize).clamp(from, count);
            let place = |pixel: usize| left + pixel as i64 * stride;
            if from < until {
                let first = [start + place(from) as usize * depth, (first + from) * step];
                seen.inside.add(until - from, first.map(|at| at as u32), [stride as usize * depth, step].map(|step| step as u32));
            }
            for pixel in (0..from).chain(until..count) {
                let row = seen.edge.len();
                seen.outside.add(1, [row, (first + pixel) * step].map(|at| at as u32), [0; 2]);
                seen.edge.resize(row + room, 0.0);
                let columns = place(pixel).max(0)..(place(pixel) + across).min(width);
                if !columns.is_empty() {
                    let to = row + (columns.start - place(pixel)) as usize * depth;
                    let from = start + columns.start as usize * depth..start + columns.end as usize * depth;
                    seen.edge[to..][..from.len()].copy_from_slice(&maps[from]);
                }
            }
        }
    }

    /// Taps of a patch.
    pub fn count(&self) -> usize {
        (self.taps[0] * self.taps[1]) as usize
    }

    /// Pixels of an image that see.
    fn of_image(&self) -> usize {
        (self.rows[0] * self.rows[1]).max(1) as usize
    }

    /// Floats of an image that is seen.
    pub fn source_image(&self) -> usize {
        (self.source[0] * self.source[1]) as usize * self.depth
    }

    fn each_line(&self, pixels: Range<usize>, seen: impl FnMut(usize, Range<usize>, usize)) -> usize {
        self.each_line_through(0..self.count(), pixels, seen)
    }

    /// Calls `seen(tap, which, first)` for pixels side by side that see pixels through a tap: `which` of `pixels` they are, and where
    /// that of the first starts, from the start of their first image on. Returns that start.
    fn each_line_through(&self, taps: Range<usize>, pixels: Range<usize>, mut seen: impl FnMut(usize, Range<usize>, usize)) -> usize {
        let (columns, [height, width]) = (self.rows[1] as usize, self.source.map(i64::from));
        let (first_image, stride) = (pixels.start / self.of_image(), i64::from(self.stride));
        let mut pixel = pixels.start;
        while pixel < pixels.end {
            let (image, [top, left]) = self.place(pixel);
            let count = (columns - pixel % columns).min(pixels.end - pixel);
            for tap in taps.clone() {
                let (line, left) = (top + (tap / self.taps[1] as usize) as i64, left + (tap % self.taps[1] as usize) as i64);
                // Pixels of the line that see none before its first pixel, and those that see none after its last one.
                let from = ((-left).max(0) + stride - 1) / stride;
                let until = ((width - left).max(0) + stride - 1) / stride;
                let (from, until) = (from as usize, (until as usize).min(count));
                if (0..height).contains(&line) && from < until {
                    let column = left + from as i64 * stride;
                    let first = (image - first_image) * self.source_image() + (line * width + column) as usize * self.depth;
                    let at = pixel - pixels.start;
                    seen(tap, at + from..at + until, first);
                }
            }
            pixel += count;
        }
        first_image * self.source_image()
    }

    /// Of a pixel: its image, and where its first tap lies.
    fn place(&self, pixel: usize) -> (usize, [i64; 2]) {
        let [height, width] = self.rows.map(|size| size as usize);
        let first = |at: usize, side: usize| at as i64 * i64::from(self.stride) + i64::from(self.first[side]);
        (pixel / (width * height), [first(pixel / width % height, 0), first(pixel % width, 1)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::pixel_runs::pixel_runs;

    fn geometries() -> Vec<Geometry> {
        let square = [(3, 1, 1), (3, 2, 1), (2, 2, 0), (5, 2, 2), (1, 2, 0), (1, 1, 0), (7, 3, 3)];
        let square = square.map(|(kernel, stride, padding)| Geometry::square(kernel, stride, padding));
        let same = [(3, 1), (3, 2), (2, 2), (5, 2), (1, 2), (7, 3)].map(|(kernel, stride)| Geometry::same(kernel, stride));
        let others = [([1, 3], 1, [0, 1]), ([3, 1], 1, [0, 0]), ([3, 3], 1, [0, 1]), ([2, 5], 2, [1, 2])];
        let others = others.map(|(kernel, stride, padding)| Geometry { kernel, stride, padding: Padding::Pixels(padding) });
        square.into_iter().chain(same).chain(others).collect()
    }

    #[test]
    fn same_pads_less_before_than_after() {
        let geometry = Geometry::same(3, 2);
        for (size, output, before) in [(8, 4, 0), (9, 5, 1), (1, 1, 1)] {
            let source = [size; 2];
            assert_eq!((geometry.output(source), geometry.before(source)), (Some([output; 2]), [before; 2]), "{size} pixels");
        }
    }

    fn forward(geometry: Geometry, source: [u32; 2]) -> Patches {
        Patches::forward(geometry, source, geometry.output(source).expect("large enough"), 2)
    }

    #[test]
    fn starts_and_pairs_see_what_seen_says() {
        for geometry in geometries() {
            let patches = forward(geometry, [7, 5]);
            let (pixels, taps) = (2 * (patches.rows[0] * patches.rows[1]) as usize, patches.count());
            let (mut starts, mut pairs) = (Starts::default(), PairStarts::default());
            for pixels in [0..pixels, 1..pixels - 1, pixels - 1..pixels] {
                let base = patches.starts(pixels.clone(), &mut starts);
                let seen: Vec<_> = starts.list().into_iter().map(|start| Some((base + start? as usize) / 2)).collect();
                let expected = |tap: usize| pixels.clone().map(move |pixel| patches.seen(pixel, tap));
                assert!((0..taps).flat_map(expected).eq(seen.iter().copied()), "{geometry:?}");

                for tap in 0..taps {
                    assert_eq!(patches.pairs(tap, pixels.clone(), 3, &mut pairs), base);
                    let expected =
                        pixels.clone().enumerate().filter_map(|(at, pixel)| Some([3 * at, 2 * patches.seen(pixel, tap)? - base]));
                    assert!(expected.eq(pairs.list()), "{geometry:?}, tap {tap}");
                }
            }
        }
    }

    #[test]
    fn lines_see_what_seen_says() {
        for geometry in geometries() {
            let patches = forward(geometry, [7, 5]);
            let maps: Vec<f32> = (0..2 * 7 * 5 * 2).map(|i| i as f32 + 1.0).collect();
            let (all, [down, across]) = (2 * (patches.rows[0] * patches.rows[1]) as usize, patches.taps.map(|taps| taps as usize));
            let mut line_seen = SeenPatchLine::default();
            for (pixels, line) in
                [0..all, 1..all - 1, all - 1..all].into_iter().flat_map(|pixels| (0..down).map(move |line| (pixels.clone(), line)))
            {
                let runs: Vec<_> = pixel_runs(patches.rows, pixels.clone()).collect();
                let (length, room) = (2 * across, 2 * across + 3);
                patches.line(line, &runs, &maps, room, 3, &mut line_seen);
                let SeenPatchLine { inside, base, outside, edge } = &line_seen;
                let rows = inside.list().map(|pair| (pair, &maps[*base..])).chain(outside.list().map(|pair| (pair, &edge[..])));
                let mut rows: Vec<_> = rows.map(|([start, at], values)| (at, values[start..][..room][..length].to_vec())).collect();
                rows.sort_by_key(|&(at, _)| at);
                let expected = pixels.enumerate().filter_map(|(at, pixel)| {
                    let seen = |tap: usize| patches.seen(pixel, line * across + tap);
                    let value = |i: usize| seen(i / 2).map_or(0.0, |seen| maps[2 * seen + i % 2]);
                    let values: Vec<f32> = (0..length).map(value).collect();
                    values.iter().any(|&value| value > 0.0).then_some((3 * at, values))
                });
                rows.retain(|(_, values)| values.iter().any(|&value| value > 0.0));
                assert_eq!(rows, expected.collect::<Vec<_>>(), "{geometry:?}, line {line}");
            }
        }
    }

    /// Every pair of pixels that see each other forward is found once in the phases, through the same tap.
    #[test]
    fn phases_turn_patches_around() {
        for geometry in geometries() {
            let Geometry { kernel, stride, .. } = geometry;
            let there = forward(geometry, [7, 5]);
            let pixels = (there.rows[0] * there.rows[1]) as usize;
            let taps = geometry.taps() as usize;
            let mut pairs: Vec<(usize, usize, usize)> =
                (0..pixels).flat_map(|pixel| (0..taps).filter_map(move |tap| Some((there.seen(pixel, tap)?, pixel, tap)))).collect();
            let mut back = Vec::new();
            for phase in (0..stride).flat_map(|y| (0..stride).map(move |x| [y, x])) {
                let sides = geometry.phases(phase, there.source);
                let patches = Patches {
                    taps: sides.map(|side| side.taps),
                    stride: 1,
                    first: sides.map(|side| side.first),
                    rows: sides.map(|side| side.pixels),
                    source: there.rows,
                    depth: 2,
                };
                for row in 0..(sides[0].pixels * sides[1].pixels) as usize {
                    let (y, x) = (row / sides[1].pixels as usize, row % sides[1].pixels as usize);
                    let pixel = (y * stride as usize + phase[0] as usize) * 5 + x * stride as usize + phase[1] as usize;
                    for (ty, tx) in (0..sides[0].taps).flat_map(|ty| (0..sides[1].taps).map(move |tx| (ty, tx))) {
                        let tap = (sides[0].tap - stride * ty) * kernel[1] + sides[1].tap - stride * tx;
                        let seen = patches.seen(row, (ty * sides[1].taps + tx) as usize);
                        back.extend(seen.map(|seen| (pixel, seen, tap as usize)));
                    }
                }
            }
            pairs.sort_unstable();
            back.sort_unstable();
            assert_eq!(back, pairs, "{geometry:?}");
        }
    }
}
