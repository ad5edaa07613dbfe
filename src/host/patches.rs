//! What pixels see of feature maps: patches, unfolded into the rows of a matrix.

use std::ops::Range;

use super::microkernel::{PairStarts, Starts};
use crate::core::layout::{Taps, Tensor};

/// The same in both directions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Geometry {
    /// Taps a side.
    pub kernel: u32,
    pub stride: u32,
    pub padding: Padding,
}

/// Zeros around maps.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Padding {
    /// So many on each side. Outputs have `(size + 2 padding - kernel) / stride + 1` pixels a side.
    Pixels(u32),
    /// TensorFlow's `SAME`: as many as outputs of `size / stride` pixels, rounded up, need; half of them, rounded down, come before.
    Same,
}

impl Geometry {
    /// Pixels a side of the output; `None` if the kernel is larger than the padded input.
    pub fn output(self, size: u32) -> Option<u32> {
        match self.padding {
            Padding::Pixels(padding) => (size + 2 * padding).checked_sub(self.kernel).map(|rest| rest / self.stride + 1),
            Padding::Same => Some(size.div_ceil(self.stride)),
        }
    }

    /// Zeros before the first of `size` pixels.
    pub fn before(self, size: u32) -> u32 {
        match self.padding {
            Padding::Pixels(padding) => padding,
            Padding::Same => ((size.div_ceil(self.stride).max(1) - 1) * self.stride + self.kernel).saturating_sub(size) / 2,
        }
    }

    /// What is seen of the gradient of the output, along one side of `size` pixels, from the pixels `phase`, `phase + stride`, ...
    /// of the input: all of those had a part in outputs through the same taps.
    pub fn phase(self, phase: u32, size: u32) -> TapPhase {
        let before = self.before(size);
        let least = (phase + before) % self.stride;
        let taps = self.kernel.saturating_sub(least).div_ceil(self.stride);
        let tap = least + self.stride * taps.saturating_sub(1);
        let first = ((phase + before) as i32 - tap as i32) / self.stride as i32;
        TapPhase { pixels: size.saturating_sub(phase).div_ceil(self.stride), taps, first, tap }
    }

    /// The kernels as a tensor.
    pub fn filters(self, inputs: u32, outputs: u32) -> Tensor {
        Tensor::Filters(Taps { outputs, inputs, height: self.kernel, width: self.kernel })
    }

    /// The kernels of a depthwise convolution as a tensor.
    pub fn depthwise(self, channels: u32) -> Tensor {
        Tensor::Depthwise(Taps { outputs: channels, inputs: 1, height: self.kernel, width: self.kernel })
    }
}

/// See [`Geometry::phase`].
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
        let first = source.map(|size| -(geometry.before(size) as i32));
        Patches { taps: [geometry.kernel; 2], stride: geometry.stride, first, rows, source, depth }
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

    /// What some pixels see of the first `channels` channels: a column each, `stride` floats from one row to the next.
    pub fn unfold(&self, pixels: Range<usize>, maps: &[f32], channels: usize, stride: usize, columns: &mut Vec<f32>) {
        columns.clear();
        columns.resize(self.count() * channels * stride, 0.0);
        let maps = &maps[pixels.start / self.of_image() * self.source_image()..];
        let step = self.stride as usize * self.depth;
        self.each_line(pixels, |tap, of, first| {
            for c in 0..channels {
                let to = &mut columns[(tap * channels + c) * stride..][of.clone()];
                to.iter_mut().zip(maps[first + c..].iter().step_by(step)).for_each(|(to, from)| *to = *from);
            }
        });
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
    fn source_image(&self) -> usize {
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

    fn geometries() -> Vec<Geometry> {
        let pixels = [(3, 1, 1), (3, 2, 1), (2, 2, 0), (5, 2, 2), (1, 2, 0), (1, 1, 0), (7, 3, 3)];
        let pixels = pixels.map(|(kernel, stride, padding)| Geometry { kernel, stride, padding: Padding::Pixels(padding) });
        let same =
            [(3, 1), (3, 2), (2, 2), (5, 2), (1, 2), (7, 3)].map(|(kernel, stride)| Geometry { kernel, stride, padding: Padding::Same });
        pixels.into_iter().chain(same).collect()
    }

    #[test]
    fn same_pads_less_before_than_after() {
        let geometry = Geometry { kernel: 3, stride: 2, padding: Padding::Same };
        for (size, output, before) in [(8, 4, 0), (9, 5, 1), (1, 1, 1)] {
            assert_eq!((geometry.output(size), geometry.before(size)), (Some(output), before), "{size} pixels");
        }
    }

    fn forward(geometry: Geometry, source: [u32; 2]) -> Patches {
        let rows = source.map(|size| geometry.output(size).expect("large enough"));
        Patches::forward(geometry, source, rows, 2)
    }

    #[test]
    fn starts_pairs_and_unfolding_see_what_seen_says() {
        for geometry in geometries() {
            let patches = forward(geometry, [7, 5]);
            let maps: Vec<f32> = (0..2 * 7 * 5 * 2).map(|i| i as f32 + 1.0).collect();
            let (pixels, taps) = (2 * (patches.rows[0] * patches.rows[1]) as usize, patches.count());
            let (mut starts, mut pairs, mut columns) = (Starts::default(), PairStarts::default(), vec![f32::NAN; 3]);
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

                let stride = pixels.len() + 2;
                for channels in [1, 2] {
                    patches.unfold(pixels.clone(), &maps, channels, stride, &mut columns);
                    let row = |row: usize| {
                        let seen = &seen[row / channels * pixels.len()..][..pixels.len()];
                        let values = seen.iter().map(|seen| seen.map_or(0.0, |seen| maps[2 * seen + row % channels]));
                        values.chain([0.0; 2]).collect::<Vec<f32>>()
                    };
                    assert_eq!(columns, (0..taps * channels).flat_map(row).collect::<Vec<_>>(), "{geometry:?}");
                }
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
            let taps = (kernel * kernel) as usize;
            let mut pairs: Vec<(usize, usize, usize)> =
                (0..pixels).flat_map(|pixel| (0..taps).filter_map(move |tap| Some((there.seen(pixel, tap)?, pixel, tap)))).collect();
            let mut back = Vec::new();
            for phase in (0..stride).flat_map(|y| (0..stride).map(move |x| [y, x])) {
                let sides = [0, 1].map(|side| geometry.phase(phase[side], there.source[side]));
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
                        let tap = (sides[0].tap - stride * ty) * kernel + sides[1].tap - stride * tx;
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
