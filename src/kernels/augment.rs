//! Augmented views of a batch: affine resampling, contrast, brightness, noise, and a square erased.

use super::augment_draw::Ranges;
use super::{Cases, has, quads, row_quads};
use crate::buffer::{Buf, Fill, shape};
use crate::memory::HostMem;
use crate::program::{EPSILON, Kernel, Scalar, Tolerance};
use crate::random::threefry;
use crate::shader::Variant;
use crate::wgsl;

const VARIANTS: &[Variant] = &[Variant::plain("augment", &[wgsl!("random"), wgsl!("augment")])];

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

/// Size of one sample, stored line by line, channels innermost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Image {
    pub height: u32,
    pub width: u32,
    pub channels: u32,
}

impl Image {
    pub fn len(self) -> u32 {
        self.height * self.width * self.channels
    }

    pub fn is_empty(self) -> bool {
        self.len() == 0
    }
}

impl Augment {
    fn rows_per_view(&self) -> u32 {
        self.x.rows() / self.draws.rows()
    }

    /// Byte `channel` of the pixel at (`column`, `line`), zero outside.
    fn texel(&self, bytes: &[u8], column: i64, line: i64, channel: usize) -> f64 {
        let Image { height, width, channels } = self.image;
        let inside = (0..i64::from(width)).contains(&column) && (0..i64::from(height)).contains(&line);
        if inside { f64::from(bytes[(line as usize * width as usize + column as usize) * channels as usize + channel]) } else { 0.0 }
    }

    fn sample(&self, bytes: &[u8], draws: &[f32], keys: &[u32], element: u32) -> f64 {
        let Image { height, width, channels } = self.image;
        let (channel, pixel) = ((element % channels) as usize, element / channels);
        let (column, line) = (pixel % width, pixel / width);
        let erase = self.ranges.erase;
        let erased = |at: u32, start: u32| (at + erase).wrapping_sub(start) < erase;
        if erased(column, keys[2]) && erased(line, keys[3]) {
            return 0.0;
        }
        let d: [f64; 8] = std::array::from_fn(|i| f64::from(draws[i]));
        let middle = (0.5 * (f64::from(width) - 1.0), 0.5 * (f64::from(height) - 1.0));
        let (x, y) = (f64::from(column) - middle.0, f64::from(line) - middle.1);
        let source_x = (d[0] * x + d[1] * y + d[2] + middle.0).clamp(-2.0, f64::from(width) + 1.0);
        let source_y = (d[4] * x + d[5] * y + d[6] + middle.1).clamp(-2.0, f64::from(height) + 1.0);
        let (left, top) = (source_x.floor(), source_y.floor());
        let (fx, fy) = (source_x - left, source_y - top);
        let texel = |dx, dy| self.texel(bytes, left as i64 + dx, top as i64 + dy, channel);
        let above = texel(0, 0) * (1.0 - fx) + texel(1, 0) * fx;
        let below = texel(0, 1) * (1.0 - fx) + texel(1, 1) * fx;
        let mut value = (above * (1.0 - fy) + below * fy) / 255.0 * d[7] + d[3];
        if self.ranges.noise > 0.0 {
            let sum: u32 = threefry([keys[0], keys[1]], [element, 0]).iter().map(|bits| (bits & 0xFFFF) + (bits >> 16)).sum();
            value += f64::from(self.ranges.noise) * 3f64.sqrt() * (f64::from(sum) / 65536.0 - 2.0);
        }
        value
    }
}

impl Kernel for Augment {
    fn bufs(&self) -> Vec<(&'static str, Buf)> {
        vec![("data", self.data), ("indices", self.indices), ("draws", self.draws), ("keys", self.keys), ("x", self.x)]
    }

    fn params(&self) -> Vec<(&'static str, Scalar)> {
        vec![
            ("rows", Scalar::U32(self.x.rows())),
            ("rows_per_view", Scalar::U32(self.rows_per_view())),
            ("batch", Scalar::U32(self.indices.cols())),
            ("cols", Scalar::U32(self.x.cols())),
            ("quads", Scalar::U32(row_quads(self.x))),
            ("data_stride", Scalar::U32(self.data.shape.stride())),
            ("width", Scalar::U32(self.image.width)),
            ("height", Scalar::U32(self.image.height)),
            ("channels", Scalar::U32(self.image.channels)),
            ("noise", Scalar::F32(self.ranges.noise)),
            ("erase", Scalar::U32(self.ranges.erase)),
        ]
    }

    fn variants(&self) -> &'static [Variant] {
        VARIANTS
    }

    fn invocations(&self, _: &Variant) -> u64 {
        u64::from(quads(self.x))
    }

    fn check_shapes(&self) -> Result<(), String> {
        let views = self.draws.rows();
        let Image { height, width, channels } = self.image;
        if self.x.shape != shape(views * height * width, channels) {
            has("x", self.x, views, self.image.len())?;
        }
        has("data", self.data, self.data.rows(), self.image.len().div_ceil(4))?;
        has("draws", self.draws, views, 8)?;
        has("keys", self.keys, views, 4)
    }

    fn twin(&self, m: &HostMem) {
        let (data, indices, draws, keys) = (m.u32(self.data), m.u32(self.indices), m.f32(self.draws), m.u32(self.keys));
        let batch = self.indices.cols() as usize;
        let (per_view, cols) = (self.rows_per_view() as usize, self.x.cols() as usize);
        m.f32_mut(self.x).for_each_row(|r, x| {
            let view = r / per_view;
            let bytes: &[u8] = bytemuck::cast_slice(data.row(indices.row(0)[view % batch] as usize));
            for (e, x) in x.iter_mut().enumerate() {
                *x = self.sample(bytes, draws.row(view), keys.row(view), (r % per_view * cols + e) as u32) as f32;
            }
        });
    }

    /// Coordinate error times image slope: a coordinate is a sum of four terms as large as the image, scaled; a step of
    /// one pixel changes a value by at most 1 in each direction, times the contrast.
    fn tolerance(&self, _: &str, m: &HostMem) -> Tolerance {
        let draws = m.f32(self.draws);
        let side = f64::from(self.image.width + self.image.height);
        let bounds = (0..self.draws.rows() as usize).flat_map(|view| {
            let d: Vec<f64> = draws.row(view).iter().map(|&d| f64::from(d.abs())).collect();
            let coordinate = 8.0 * EPSILON * (side * (1.0 + d[0] + d[1] + d[4] + d[5]) + d[2] + d[6]);
            let bound = 2.0 * coordinate * d[7] + 16.0 * EPSILON * (1.0 + d[7] + d[3]);
            std::iter::repeat_n(bound, self.image.len() as usize)
        });
        Tolerance::Each(bounds.collect())
    }

    fn work(&self) -> u64 {
        150 * self.x.shape.words()
    }
}

pub fn cases(c: &mut Cases<'_>) {
    let sizes = [(1, 1, 1, 1), (5, 9, 1, 3), (28, 28, 1, 17), (8, 8, 3, 5)];
    for (height, width, channels, batch) in sizes {
        for ranges in super::augment_draw::CASE_RANGES {
            for views in [1, 2] {
                let image = Image { height, width, channels };
                let data = super::gather::packed_bytes(c, 7, image.len());
                let indices = c.integers((0..batch).map(|r| (r * 5 + 2) % 7));
                let rows = views * batch;
                // Maps around the identity, with shifts of a few pixels, one of them far outside.
                let draw = |r: u32, i: u32| [1.1, -0.2, 1.3, 0.05, 0.3, 0.9, -2.1, 0.8][i as usize] * (1.0 + 0.01 * r as f32 * (i % 3) as f32);
                let draws = c.filled(shape(rows, 8), Fill::F32((0..rows * 8).map(|k| draw(k / 8, k % 8)).collect()));
                let key = |r: u32, i: u32| [r + 1, 9, r % width + ranges.erase.div_ceil(2), r % height + ranges.erase.div_ceil(2)][i as usize];
                let keys = c.filled(shape(rows, 4), Fill::U32((0..rows * 4).map(|k| key(k / 4, k % 4)).collect()));
                let x = c.output(rows, image.len());
                c.add(Augment { data, indices, draws, keys, x, image, ranges });
                let x = c.output(rows * height * width, channels);
                c.add(Augment { data, indices, draws, keys, x, image, ranges });
            }
        }
    }
}
