//! Resampling a view on one thread, fast: a padded copy of the sample in f32, positions in blocks that vectorise, and taps
//! that need no question whether they are inside.

use std::ops::Range;

use crate::core::sample::Image;
use crate::host::views::{DrawColumn, Ranges};

/// Zeros around the copy: positions are drawn in to one pixel beyond the edge, and have taps around them.
const MARGIN: usize = 2;
/// Positions that are computed together.
const BLOCK: usize = 16;
/// Added to a positive number below it, 2^23 leaves its integer part, rounded, in the lowest bits.
const INTEGERS: f32 = 8_388_608.0;

/// What is computed once for all views of a call.
pub struct Resampler {
    image: Image,
    ranges: Ranges,
    pixel_stride: usize,
    /// Of columns and lines: those between two nodes of the elastic grid, and how far each lies between them.
    cells: [Vec<(Range<usize>, Vec<f32>)>; 2],
}

/// Memory that views use one after the other.
pub struct Scratch {
    padded: Vec<f32>,
    shifts: [Vec<f32>; 2],
}

/// Pixels of one side by cell of a grid of four nodes, from the first pixel to the last.
fn cells(side: u32) -> Vec<(Range<usize>, Vec<f32>)> {
    let last = side.max(2) - 1;
    let cell = |pixel: u32| (3 * pixel / last).min(2);
    let of = |wanted: u32| (0..side).filter(|&pixel| cell(pixel) == wanted).collect::<Vec<_>>();
    let share = |pixel: u32| (3 * pixel - cell(pixel) * last) as f32 / last as f32;
    (0..3)
        .map(|wanted| {
            let pixels = of(wanted);
            let start = pixels.first().map_or(0, |&pixel| pixel as usize);
            (start..start + pixels.len(), pixels.into_iter().map(share).collect())
        })
        .collect()
}

/// A position as the pixel before it and the way from there, 0 to 1. At least 1, so that halves round to what is inside.
#[inline(always)]
fn split(position: f32) -> (u32, f32) {
    let rounded = position - 0.5 + INTEGERS;
    (rounded.to_bits() & 0x7F_FFFF, position - (rounded - INTEGERS))
}

/// Unlike `f32::clamp`, without a thought for NaN.
#[inline(always)]
fn within(value: f32, least: f32, most: f32) -> f32 {
    let value = if value > least { value } else { least };
    if value < most { value } else { most }
}

impl Resampler {
    /// For images of 1 or 3 channels.
    pub fn new(image: Image, ranges: Ranges, pixel_stride: usize) -> Self {
        Resampler { image, ranges, pixel_stride, cells: [cells(image.width), cells(image.height)] }
    }

    pub fn scratch(&self) -> Scratch {
        let Image { height, width, channels } = self.image;
        let padded = (height as usize + 2 * MARGIN) * self.pitch() * channels as usize;
        Scratch { padded: vec![0.0; padded], shifts: [vec![0.0; width as usize], vec![0.0; width as usize]] }
    }

    /// Pixels in a line of the padded copy.
    fn pitch(&self) -> usize {
        self.image.width as usize + 2 * MARGIN
    }

    /// Writes the view of the sample `bytes` that `draws` describes; what is between pixels becomes zero.
    pub fn view(&self, scratch: &mut Scratch, bytes: &[u8], draws: &[f32], view: &mut [f32]) {
        match self.image.channels {
            1 => self.resample::<1>(scratch, bytes, draws, view),
            _ => self.resample::<3>(scratch, bytes, draws, view),
        }
    }

    /// Contrast and colours are linear, as interpolation is: so they change the sample.
    fn unpack<const C: usize>(&self, padded: &mut [f32], bytes: &[u8], draws: &[f32]) {
        let width = self.image.width as usize;
        let contrast = draws[DrawColumn::CONTRAST] / 255.0;
        for (line, bytes) in bytes.chunks_exact(width * C).enumerate() {
            let start = ((line + MARGIN) * self.pitch() + MARGIN) * C;
            let values = &mut padded[start..start + width * C];
            if C == 3 && self.ranges.colours(self.image) {
                for (values, bytes) in values.chunks_exact_mut(3).zip(bytes.chunks_exact(3)) {
                    let [red, green, blue] = [0, 1, 2].map(|channel| f32::from(bytes[channel]));
                    for (value, row) in values.iter_mut().zip(draws[DrawColumn::COLOURS..].chunks_exact(4)) {
                        *value = (row[0] * red + row[1] * green + row[2] * blue) / 255.0;
                    }
                }
            } else {
                values.iter_mut().zip(bytes).for_each(|(value, &byte)| *value = contrast * f32::from(byte));
            }
        }
    }

    /// Displacements of the pixels of a line, in x and y.
    fn displace(&self, shifts: &mut [Vec<f32>; 2], nodes: &[f32], line: usize) {
        let [columns, lines] = &self.cells;
        let found = lines.iter().enumerate().find(|(_, (range, _))| range.contains(&line));
        let Some((cell, (range, shares))) = found else { return };
        let share = shares[line - range.start];
        for (axis, shifts) in shifts.iter_mut().enumerate() {
            let node = |column: usize| {
                let [above, below] = [cell, cell + 1].map(|line| nodes[2 * (4 * line + column) + axis]);
                above * (1.0 - share) + below * share
            };
            for (column, (range, shares)) in columns.iter().enumerate() {
                let (left, right) = (node(column), node(column + 1));
                for (shift, share) in shifts[range.clone()].iter_mut().zip(shares) {
                    *shift = left * (1.0 - share) + right * share;
                }
            }
        }
    }

    fn resample<const C: usize>(&self, scratch: &mut Scratch, bytes: &[u8], draws: &[f32], view: &mut [f32]) {
        let (width, height, pitch) = (self.image.width as usize, self.image.height as usize, self.pitch());
        let Scratch { padded, shifts } = scratch;
        self.unpack::<C>(padded, &bytes[..width * height * C], draws);
        let (pixels, rest) = view.split_at_mut(width * height * self.pixel_stride);
        rest.fill(0.0);
        if self.pixel_stride > C {
            pixels.fill(0.0);
        }
        let middle = [0.5 * (width as f32 - 1.0), 0.5 * (height as f32 - 1.0)];
        let beyond = self.ranges.beyond();
        let least = MARGIN as f32 - beyond;
        let most = [width, height].map(|side| (side - 1 + MARGIN) as f32 + beyond);
        let elastic = self.ranges.elastic > 0.0;
        let brightness = draws[DrawColumn::BRIGHTNESS];
        for (line, pixels) in pixels.chunks_exact_mut(width * self.pixel_stride).enumerate() {
            if elastic {
                self.displace(shifts, &draws[DrawColumn::DISPLACEMENTS..], line);
            }
            // Where the first pixel of the line comes from, in the padded copy, and how far apart its neighbours do.
            let at = |axis: usize| {
                let map = &draws[4 * axis..];
                map[1] * (line as f32 - middle[1]) + map[2] + middle[axis] + MARGIN as f32 - map[0] * middle[0]
            };
            let (first, step) = ([at(0), at(1)], [draws[0], draws[4]]);
            for (block, pixels) in pixels.chunks_mut(BLOCK * self.pixel_stride).enumerate() {
                let mut positions = [[0.0_f32; BLOCK]; 2];
                for axis in 0..2 {
                    for (i, position) in positions[axis].iter_mut().enumerate() {
                        *position = first[axis] + step[axis] * (block * BLOCK + i) as f32;
                    }
                    if elastic {
                        let shifts = &shifts[axis][block * BLOCK..];
                        positions[axis].iter_mut().zip(shifts).for_each(|(position, shift)| *position += shift);
                    }
                }
                let mut starts = [0_u32; BLOCK];
                let mut ways = [[0.0_f32; BLOCK]; 2];
                for i in 0..BLOCK {
                    let (column, x) = split(within(positions[0][i], least, most[0]));
                    let (line, y) = split(within(positions[1][i], least, most[1]));
                    starts[i] = line * pitch as u32 + column;
                    (ways[0][i], ways[1][i]) = (x, y);
                }
                for (i, values) in pixels.chunks_exact_mut(self.pixel_stride).enumerate() {
                    let taps = &padded[starts[i] as usize * C..][..(pitch + 2) * C];
                    let (x, y) = (ways[0][i], ways[1][i]);
                    for channel in 0..C {
                        let [a, b] = [taps[channel], taps[C + channel]];
                        let [c, d] = [taps[pitch * C + channel], taps[(pitch + 1) * C + channel]];
                        let (above, below) = (a + x * (b - a), c + x * (d - c));
                        values[channel] = above + y * (below - above) + brightness;
                    }
                }
            }
        }
    }
}
