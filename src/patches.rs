//! What the pixels of a convolution's output see of its input: patches, unfolded into the rows of a matrix and folded back.

use std::ops::Range;

use crate::layout::{Taps, Tensor};

/// The same in both directions. Outputs have `(size + 2 padding - kernel) / stride + 1` pixels a side.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Geometry {
    /// Taps a side.
    pub kernel: u32,
    pub stride: u32,
    pub padding: u32,
}

impl Geometry {
    /// Pixels a side of the output; `None` if the kernel is larger than the padded input.
    pub fn output(self, size: u32) -> Option<u32> {
        (size + 2 * self.padding).checked_sub(self.kernel).map(|rest| rest / self.stride + 1)
    }

    /// The kernels as a tensor.
    pub fn filters(self, inputs: u32, outputs: u32) -> Tensor {
        Tensor::Filters(Taps { outputs, inputs, height: self.kernel, width: self.kernel })
    }
}

/// The patches of one convolution; pixels of all images of a batch are numbered through.
#[derive(Clone, Copy, Debug)]
pub struct Patches {
    pub geometry: Geometry,
    /// Height and width.
    pub input: [u32; 2],
    pub output: [u32; 2],
    /// Floats from one pixel of the input to the next.
    pub depth: usize,
}

impl Patches {
    /// The pixel of the input that pixel `pixel` of the output sees through tap `tap`, if it is inside of the image.
    pub fn seen(&self, pixel: usize, tap: usize) -> Option<usize> {
        let Geometry { kernel, stride, padding } = self.geometry;
        let (width, height) = (self.output[1] as usize, self.output[0] as usize);
        let (image, line, column) = (pixel / (width * height), pixel / width % height, pixel % width);
        let along = |at: usize, offset: usize, size: u32| {
            (at * stride as usize + offset).checked_sub(padding as usize).filter(|&place| place < size as usize)
        };
        let line = along(line, tap / kernel as usize, self.input[0])?;
        let column = along(column, tap % kernel as usize, self.input[1])?;
        Some((image * self.input[0] as usize + line) * self.input[1] as usize + column)
    }

    /// Unfolds what some pixels of `y` see of `x`, a row of `panel` each. A line of taps lies in one piece.
    pub fn unfold(&self, pixels: Range<usize>, x: &[f32], panel: &mut [f32]) {
        let Patches { depth, .. } = *self;
        let length = self.geometry.kernel as usize * depth;
        for (pixel, row) in pixels.zip(panel.chunks_mut(self.geometry.kernel as usize * length)) {
            self.lines(pixel, row.chunks_mut(length), |to, inside, from| {
                let (start, end) = (inside.start * depth, inside.end * depth);
                to[..start].fill(0.0);
                to[start..end].copy_from_slice(&x[from * depth..][..end - start]);
                to[end..].fill(0.0);
            });
        }
    }

    /// The reverse: adds each row of `panel` to the pixels of `x` that it came from, of which image `first` is the first.
    pub fn fold(&self, pixels: Range<usize>, panel: &[f32], x: &mut [f32], first: usize) {
        let Patches { depth, .. } = *self;
        let length = self.geometry.kernel as usize * depth;
        for (pixel, row) in pixels.zip(panel.chunks(self.geometry.kernel as usize * length)) {
            self.lines(pixel, row.chunks(length), |from, inside, to| {
                if inside.is_empty() {
                    return;
                }
                let from = &from[inside.start * depth..inside.end * depth];
                x[(to - first) * depth..][..from.len()].iter_mut().zip(from).for_each(|(x, v)| *x += v);
            });
        }
    }

    /// For each line of taps over a pixel of `y`: `f(its part of a row, the taps inside of the image, the pixel of x that
    /// the first of them sees)`.
    fn lines<T>(&self, pixel: usize, parts: impl Iterator<Item = T>, mut f: impl FnMut(T, Range<usize>, usize)) {
        let Geometry { kernel, stride, padding } = self.geometry;
        let (width, height) = (self.output[1] as usize, self.output[0] as usize);
        let (image, line, column) = (pixel / (width * height), pixel / width % height, pixel % width);
        let start = |at: usize| at as i64 * i64::from(stride) - i64::from(padding);
        let inside = |start: i64, size: u32| {
            let within = |tap: i64| tap.clamp(0, i64::from(kernel)) as usize;
            within(-start)..within(i64::from(size) - start).max(within(-start))
        };
        let (top, left) = (start(line), start(column));
        let (rows, columns) = (inside(top, self.input[0]), inside(left, self.input[1]));
        for (tap, part) in parts.enumerate() {
            if rows.contains(&tap) && !columns.is_empty() {
                let line = image as i64 * i64::from(self.input[0]) + top + tap as i64;
                let first = line * i64::from(self.input[1]) + left + columns.start as i64;
                f(part, columns.clone(), first as usize);
            } else {
                f(part, 0..0, 0);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unfolding_sees_what_seen_says_and_folding_adds_it_up() {
        for (kernel, stride, padding) in [(3, 1, 1), (3, 2, 1), (2, 2, 0), (5, 2, 2), (1, 3, 0)] {
            let geometry = Geometry { kernel, stride, padding };
            let input = [7, 5];
            let output = input.map(|size| geometry.output(size).expect("large enough"));
            let patches = Patches { geometry, input, output, depth: 2 };
            let pixels = 2 * (output[0] * output[1]) as usize;
            let x: Vec<f32> = (0..2 * 7 * 5 * 2).map(|i| i as f32 + 1.0).collect();
            let taps = (kernel * kernel) as usize;
            let mut panel = vec![f32::NAN; pixels * taps * 2];
            patches.unfold(0..pixels, &x, &mut panel);
            let mut counts = vec![0.0; x.len()];
            for (pixel, row) in panel.chunks(taps * 2).enumerate() {
                for (tap, values) in row.chunks(2).enumerate() {
                    match patches.seen(pixel, tap) {
                        Some(seen) => {
                            assert_eq!(values, &x[2 * seen..][..2]);
                            counts[2 * seen..][..2].iter_mut().for_each(|count| *count += 1.0);
                        }
                        None => assert_eq!(values, [0.0; 2]),
                    }
                }
            }
            let mut folded = vec![0.0; x.len()];
            patches.fold(0..pixels, &panel, &mut folded, 0);
            let expected: Vec<f32> = x.iter().zip(&counts).map(|(x, count)| x * count).collect();
            assert_eq!(folded, expected);
        }
    }
}
