//! What augmented views of sounds have beside: other loudness of low and high pitches, and stripes without anything.

use super::augment::{CASE_SIZES, case_draws};
use super::{Cases, has, row_quads, same};
use crate::core::buffer::Buf;
use crate::core::memory::HostMem;
use crate::core::program::{EPSILON, Exp, Kernel, Tolerance};
use crate::core::random::{bell, threefry};
use crate::core::sample::Image;
use crate::host::views::{Ranges, Views};

/// `x`, `y`: views as those of [`Augment`](super::augment::Augment); `keys`: see [`AugmentDraw`](super::augment_draw::AugmentDraw).
/// `y = x + c`, where c is a curve over the lines through four knots, normal with the standard deviation `ranges.curve`, level at each and
/// a cubic between; and zero in a stripe of columns and in one of lines, of up to the share `ranges.stripes` of all, each as wide as any
/// other up to that, and at any place.
pub struct AugmentBands {
    pub x: Buf,
    pub keys: Buf,
    pub y: Buf,
    pub image: Image,
    pub ranges: Ranges,
}

/// A whole number from 0 to below `count`, of 16 bits.
fn below(bits: u32, count: u32) -> u32 {
    ((bits >> 16) * count) >> 16
}

impl AugmentBands {
    fn views(&self) -> Views {
        Views { buf: self.y, count: self.keys.rows(), image: self.image }
    }

    /// Columns and lines of the widest and the highest stripe.
    fn most(&self) -> [u32; 2] {
        [self.image.width, self.image.height].map(|side| (self.ranges.stripes * side as f32) as u32)
    }

    /// What is added to a line.
    fn curve(&self, key: [u32; 2], line: u32) -> f64 {
        let last = self.image.height.max(2) - 1;
        let cell = (3 * line / last).min(2);
        let f = f64::from(3 * line - cell * last) / f64::from(last);
        let share = f * f * (3.0 - 2.0 * f);
        let knot = |number: u32| bell(threefry(key, [2 + number, 1]));
        f64::from(self.ranges.curve) * (knot(cell) * (1.0 - share) + knot(cell + 1) * share)
    }
}

impl Kernel for AugmentBands {
    interface! {
        self runs "augment_bands" after "random";
        bufs { x, keys, y }
        let [columns, lines] = self.most();
        params {
            rows: self.y.rows(),
            rows_per_view: self.views().rows_per_view(),
            cols: self.y.cols(),
            quads: row_quads(self.y),
            width: self.image.width,
            height: self.image.height,
            channels: self.image.channels,
            curve: self.ranges.curve,
            columns: columns,
            lines: lines,
        }
    }

    fn check_shapes(&self) -> Result<(), String> {
        self.views().check()?;
        same(&[("y", self.y), ("x", self.x)])?;
        has("keys", self.keys, self.keys.rows(), 4)
    }

    fn twin(&self, m: &HostMem) {
        let (x, keys) = (m.f32(self.x), m.u32(self.keys));
        let Image { height, width, channels } = self.image;
        let [view_stride, pixel_stride] = self.views().strides().map(|stride| stride as usize);
        self.views().for_each_view(
            m,
            || vec![0.0; height as usize],
            |curve, view, words| {
                let key = [keys.row(view)[0], keys.row(view)[1]];
                let (sides, places, most) = (threefry(key, [0, 1]), threefry(key, [1, 1]), self.most());
                let [wide, high] = [0, 1].map(|axis| below(sides[axis], most[axis] + 1));
                let (left, top) = (below(places[0], width - wide + 1), below(places[1], height - high + 1));
                (0..height).zip(&mut *curve).for_each(|(line, value)| *value = self.curve(key, line));
                let seen = &x.padded()[view * view_stride..][..words.len()];
                words.fill(0.0);
                for pixel in 0..height * width {
                    let (column, line) = (pixel % width, pixel / width);
                    if column.wrapping_sub(left) < wide || line.wrapping_sub(top) < high {
                        continue;
                    }
                    let at = pixel as usize * pixel_stride;
                    for i in at..at + channels as usize {
                        words[i] = (f64::from(seen[i]) + curve[line as usize]) as f32;
                    }
                }
            },
        );
    }

    /// Half a dozen roundings of the curve, which reaches twice the root of three, and one of the sum.
    fn tolerance(&self, _: &str, m: &HostMem, _: Exp) -> Tolerance {
        let largest = m.dense_f32(self.x).into_iter().fold(0.0, |largest: f32, value| largest.max(value.abs()));
        Tolerance::Within { abs: EPSILON * (2.0 * f64::from(largest) + 32.0 * f64::from(self.ranges.curve)), rel: 0.0 }
    }

    fn work(&self) -> u64 {
        60 * self.y.shape.words()
    }
}

pub fn cases(c: &mut Cases<'_>) {
    let all = Ranges { curve: 0.3, stripes: 0.4, ..Ranges::NONE };
    for (image, batch) in CASE_SIZES {
        for ranges in [all, Ranges { stripes: 1.0, ..Ranges::NONE }, Ranges { curve: 1.0, ..Ranges::NONE }] {
            let (_, keys) = case_draws(c, batch, image, 0);
            for (rows, cols) in [(batch, image.len()), (batch * image.height * image.width, image.channels)] {
                let (x, y) = (c.uniform(rows, cols), c.output(rows, cols));
                c.add(AugmentBands { x, keys, y, image, ranges });
            }
        }
    }
}
