//! Augmented views of a batch: affine and elastic resampling, colours, contrast, brightness, noise, and a square erased.

use super::augment_draw::CASE_RANGES;
use super::{Cases, has, row_quads};
use crate::core::sample::Image;
use crate::core::buffer::{Buf, Fill, shape};
use crate::core::memory::HostMem;
use crate::core::program::{EPSILON, Exp, Kernel, Tolerance};
use crate::host::resample::Resampler;
use crate::host::views::{DrawColumn, Finish, Ranges, Views, place};

/// `data`: packed samples; `indices`: `[1, batch]`; `draws`, `keys`: see [`AugmentDraw`](super::augment_draw::AugmentDraw);
/// `x`: `[views · batch, height · width · channels]`, all first views, then all second ones; or a row for each pixel.
pub struct Augment {
    pub data: Buf,
    pub indices: Buf,
    pub draws: Buf,
    pub keys: Buf,
    pub x: Buf,
    pub image: Image,
    pub ranges: Ranges,
}

impl Augment {
    fn views(&self) -> Views {
        Views { buf: self.x, count: self.draws.rows(), image: self.image }
    }

    /// Byte `channel` of the pixel at (`column`, `line`), zero outside.
    fn texel(&self, bytes: &[u8], column: i64, line: i64, channel: usize) -> f64 {
        let Image { height, width, channels } = self.image;
        let inside = (0..i64::from(width)).contains(&column) && (0..i64::from(height)).contains(&line);
        if inside { f64::from(bytes[(line as usize * width as usize + column as usize) * channels as usize + channel]) } else { 0.0 }
    }

    /// Where in the sample a pixel of the view comes from.
    fn place(&self, draws: &[f32], pixel: [u32; 2]) -> [f64; 2] {
        let (sides, beyond) = ([self.image.width, self.image.height], f64::from(self.ranges.beyond()));
        let mapped: [f64; 2] = place(draws, sides, pixel, self.ranges.elastic > 0.0);
        [0, 1].map(|axis| mapped[axis].clamp(-beyond, f64::from(sides[axis]) - 1.0 + beyond))
    }

    fn sample(&self, bytes: &[u8], draws: &[f32], element: u32) -> f64 {
        let Image { width, channels, .. } = self.image;
        let (channel, pixel) = ((element % channels) as usize, element / channels);
        let d: Vec<f64> = draws.iter().map(|&d| f64::from(d)).collect();
        let [x, y] = self.place(draws, [pixel % width, pixel / width]);
        let (left, top) = (x.floor(), y.floor());
        let (fx, fy) = (x - left, y - top);
        let interpolated = |channel| {
            let texel = |dx, dy| self.texel(bytes, left as i64 + dx, top as i64 + dy, channel);
            let above = texel(0, 0) * (1.0 - fx) + texel(1, 0) * fx;
            let below = texel(0, 1) * (1.0 - fx) + texel(1, 1) * fx;
            (above * (1.0 - fy) + below * fy) / 255.0
        };
        let row = &d[DrawColumn::COLOURS + 4 * (channel % 3)..];
        let seen = match self.ranges.colours(self.image) {
            true => (0..3).map(|from| row[from] * interpolated(from)).sum(),
            false => d[DrawColumn::CONTRAST] * interpolated(channel),
        };
        seen + d[DrawColumn::BRIGHTNESS]
    }
}

impl Kernel for Augment {
    interface! {
        self runs "augment" after "random", "augment_finish", "augment_place";
        bufs { data, indices, draws, keys, x }
        params {
            rows: self.x.rows(),
            rows_per_view: self.views().rows_per_view(),
            batch: self.indices.cols(),
            cols: self.x.cols(),
            quads: row_quads(self.x),
            data_stride: self.data.shape.stride(),
            width: self.image.width,
            height: self.image.height,
            channels: self.image.channels,
            beyond: self.ranges.beyond(),
            noise: self.ranges.noise,
            erase: self.ranges.erase,
        }
        constants {
            QUADS: DrawColumn::COUNT / 4,
            COLOUR: self.ranges.colours(self.image),
            ELASTIC: self.ranges.elastic > 0.0,
        }
    }

    fn check_shapes(&self) -> Result<(), String> {
        self.views().check()?;
        has("data", self.data, self.data.rows(), self.image.len().div_ceil(4))?;
        has("draws", self.draws, self.draws.rows(), DrawColumn::COUNT)?;
        has("keys", self.keys, self.draws.rows(), 4)
    }

    fn twin(&self, m: &HostMem) {
        let (data, indices, draws, keys) = (m.u32(self.data), m.u32(self.indices), m.f32(self.draws), m.u32(self.keys));
        let batch = self.indices.cols() as usize;
        let finish = Finish::of(self.image, self.ranges);
        self.views().for_each(m, |view, element| {
            let bytes: &[u8] = bytemuck::cast_slice(data.row(indices.row(0)[view % batch] as usize));
            finish.value(self.sample(bytes, draws.row(view), element), keys.row(view), element)
        });
    }

    /// Images are grey or RGB; the twin does for the rest.
    fn fast(&self, m: &HostMem) {
        if !matches!(self.image.channels, 1 | 3) {
            return self.twin(m);
        }
        let (data, indices, draws, keys) = (m.u32(self.data), m.u32(self.indices), m.f32(self.draws), m.u32(self.keys));
        let batch = self.indices.cols() as usize;
        let (finish, pixel_stride) = (Finish::of(self.image, self.ranges), self.views().strides()[1] as usize);
        let resampler = Resampler::new(self.image, self.ranges, pixel_stride);
        self.views().for_each_view(
            m,
            || resampler.scratch(),
            |scratch, view, words| {
                let bytes: &[u8] = bytemuck::cast_slice(data.row(indices.row(0)[view % batch] as usize));
                resampler.view(scratch, bytes, draws.row(view), words);
                finish.view(words, pixel_stride, keys.row(view));
            },
        );
    }

    /// Coordinate error times image slope: a coordinate is a sum of terms as large as the image, scaled, and as the
    /// displacements; a step of one pixel changes a value by at most 1 in each direction, times the contrast, or the sum of
    /// a row of the colours' matrix.
    fn tolerance(&self, _: &str, m: &HostMem, _: Exp) -> Tolerance {
        let draws = m.f32(self.draws);
        let side = f64::from(self.image.width + self.image.height);
        let bounds = (0..self.draws.rows() as usize).flat_map(|view| {
            let d: Vec<f64> = draws.row(view).iter().map(|&d| f64::from(d.abs())).collect();
            let rows = d[DrawColumn::COLOURS..DrawColumn::DISPLACEMENTS].chunks(4).map(|row| row[..3].iter().sum::<f64>());
            let gain = if self.ranges.colours(self.image) { rows.fold(0.0, f64::max) } else { d[DrawColumn::CONTRAST] };
            let displaced = if self.ranges.elastic > 0.0 { d[DrawColumn::DISPLACEMENTS..].iter().copied().fold(0.0, f64::max) } else { 0.0 };
            let coordinate = 8.0 * EPSILON * (side * (1.0 + d[0] + d[1] + d[4] + d[5]) + d[2] + d[6] + 2.0 * displaced);
            let bound = 2.0 * coordinate * gain + 16.0 * EPSILON * (1.0 + gain + d[DrawColumn::BRIGHTNESS]);
            std::iter::repeat_n(bound, self.image.len() as usize)
        });
        Tolerance::Each(bounds.collect())
    }

    fn work(&self) -> u64 {
        150 * self.x.shape.words()
    }
}

/// Draws and keys for `rows` views: maps around the identity, with shifts of a few pixels, colours around grey, strokes made
/// thicker, thinner and left alone, blurred and not, and displacements of up to two pixels.
pub(super) fn case_draws(c: &mut Cases<'_>, rows: u32, Image { height, width, .. }: Image, erase: u32) -> (Buf, Buf) {
    let draw = |r: u32, i: u32| match i as usize {
        DrawColumn::THICKNESS => [0.7, -0.4, 0.0][r as usize % 3],
        DrawColumn::BLUR => (r / 2 % 2) as f32,
        i if i < 8 => [1.1, -0.2, 1.3, 0.05, 0.3, 0.9, -2.1, 0.8][i] * (1.0 + 0.01 * r as f32 * (i % 3) as f32),
        i if i < DrawColumn::DISPLACEMENTS => [0.6, 0.3, -0.1, 0.0, 0.2, 0.7, 0.15, 0.0, -0.2, 0.35, 0.8, 0.0][i - DrawColumn::COLOURS],
        i => ((i as u32 * 7 + r * 5) % 17) as f32 / 4.0 - 2.0,
    };
    let columns = DrawColumn::COUNT;
    let draws = c.filled(shape(rows, columns), Fill::F32((0..rows * columns).map(|k| draw(k / columns, k % columns)).collect()));
    let key = |r: u32, i: u32| [r + 1, 9, r % width + erase.div_ceil(2), r % height + erase.div_ceil(2)][i as usize];
    let keys = c.filled(shape(rows, 4), Fill::U32((0..rows * 4).map(|k| key(k / 4, k % 4)).collect()));
    (draws, keys)
}

/// Images of the cases, and how many.
pub(super) const CASE_SIZES: [(Image, u32); 5] = [
    (Image { height: 1, width: 1, channels: 1 }, 1),
    (Image { height: 5, width: 9, channels: 1 }, 3),
    (Image { height: 28, width: 28, channels: 1 }, 17),
    (Image { height: 8, width: 8, channels: 3 }, 5),
    (Image { height: 3, width: 18, channels: 2 }, 2),
];

pub fn cases(c: &mut Cases<'_>) {
    for (image, batch) in CASE_SIZES {
        for ranges in CASE_RANGES {
            for views in [1, 2] {
                let data = super::gather::packed_bytes(c, 7, image.len());
                let indices = c.integers((0..batch).map(|r| (r * 5 + 2) % 7));
                let rows = views * batch;
                let (draws, keys) = case_draws(c, rows, image, ranges.erase);
                for (rows, cols) in [(rows, image.len()), (rows * image.height * image.width, image.channels)] {
                    let x = c.output(rows, cols);
                    c.add(Augment { data, indices, draws, keys, x, image, ranges });
                }
            }
        }
    }
}
