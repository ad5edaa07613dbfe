//! What pixels see of feature maps: patches, unfolded into the rows of a matrix.

use std::ops::Range;

use super::microkernel::OUTSIDE;
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
        (self.taps[0] * self.taps[1]) as usize * self.depth
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

    /// Unfolds what some pixels see, a row of `panel` each. A line of taps lies in one piece.
    pub fn unfold(&self, pixels: Range<usize>, maps: &[f32], panel: &mut [f32]) {
        let ([_, across], [height, width], depth) = (self.taps, self.source, self.depth);
        let length = across as usize * depth;
        if self.length() == 0 {
            return;
        }
        for (pixel, row) in pixels.zip(panel.chunks_mut(self.length())) {
            let (image, [top, left]) = self.place(pixel);
            // Taps before the first pixel of a line, and those up to its last one.
            let before = (-left).clamp(0, i64::from(across));
            let until = (i64::from(width) - left).clamp(before, i64::from(across));
            for (tap, to) in row.chunks_mut(length).enumerate() {
                let line = top + tap as i64;
                if !(0..i64::from(height)).contains(&line) || before == until {
                    to.fill(0.0);
                    continue;
                }
                let (start, end) = (before as usize * depth, until as usize * depth);
                let first = (image as i64 * i64::from(height) + line) * i64::from(width) + left + before;
                to[..start].fill(0.0);
                to[start..end].copy_from_slice(&maps[first as usize * depth..][..end - start]);
                to[end..].fill(0.0);
            }
        }
    }

    /// Where what some pixels see through each tap starts, from the start of their first image on; or [`OUTSIDE`]. Returns that start.
    pub fn starts(&self, pixels: Range<usize>, starts: &mut Vec<u32>) -> usize {
        let ([down, across], [height, width]) = (self.taps, self.source);
        let [rows, columns] = self.rows.map(|size| size as usize);
        let (image, depth) = ((height * width) as usize * self.depth, self.depth as u32);
        let first_image = pixels.start / (rows * columns).max(1);
        starts.clear();
        for pixel in pixels {
            let (of, [top, left]) = self.place(pixel);
            let (base, top, left) = (((of - first_image) * image) as u32, top as u32, left as u32);
            for line in (0..down).map(|tap| top.wrapping_add(tap)) {
                // What is negative is large, too.
                let of_line = base + line.min(height) * width * depth;
                starts.extend((0..across).map(|tap| {
                    let column = left.wrapping_add(tap);
                    if line < height && column < width { of_line + column * depth } else { OUTSIDE }
                }));
            }
        }
        first_image * image
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
    fn unfolding_sees_what_seen_says() {
        for geometry in geometries() {
            let patches = forward(geometry, [7, 5]);
            let maps: Vec<f32> = (0..2 * 7 * 5 * 2).map(|i| i as f32 + 1.0).collect();
            let pixels = 2 * (patches.rows[0] * patches.rows[1]) as usize;
            let mut panel = vec![f32::NAN; pixels * patches.length()];
            patches.unfold(0..pixels, &maps, &mut panel);
            for (pixel, row) in panel.chunks(patches.length()).enumerate() {
                for (tap, values) in row.chunks(2).enumerate() {
                    let expected = patches.seen(pixel, tap).map_or(&[0.0; 2][..], |seen| &maps[2 * seen..][..2]);
                    assert_eq!(values, expected);
                }
            }
            let (mut starts, from) = (Vec::new(), pixels / 2);
            let base = patches.starts(from..pixels, &mut starts);
            let taps = patches.length() / patches.depth;
            let expected = (from..pixels).flat_map(|pixel| (0..taps).map(move |tap| patches.seen(pixel, tap)));
            let seen = starts.iter().map(|&start| (start != OUTSIDE).then(|| (base + start as usize) / patches.depth));
            assert!(expected.eq(seen), "{geometry:?}");
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
