//! What in augmented views depends on a pixel's neighbours: the thickness of strokes, and blur.

use super::augment::{CASE_SIZES, case_draws};
use crate::core::sample::Image;
use super::augment_draw::CASE_RANGES;
use super::{Cases, has, row_quads, same};
use crate::core::buffer::Buf;
use crate::core::memory::HostMem;
use crate::core::program::{EPSILON, Exp, Kernel, Tolerance};
use crate::host::views::{DrawColumn, Finish, Ranges, Views};

/// `x`, `y`: views as those of [`Augment`](super::augment::Augment), which has left `x` unfinished; `draws`, `keys`: as there.
/// With t the thickness drawn: `y = x + |t| (e - x) + b (m - x)`, where e is the largest of the 3x3 pixels around for t > 0,
/// else the smallest, m their binomial mean, and b 1 for views that are blurred, else 0. The edge is repeated outwards.
pub struct AugmentLocal {
    pub x: Buf,
    pub draws: Buf,
    pub keys: Buf,
    pub y: Buf,
    pub image: Image,
    pub ranges: Ranges,
}

impl AugmentLocal {
    fn views(&self) -> Views {
        Views { buf: self.y, count: self.draws.rows(), image: self.image }
    }

    fn changed(&self, view: &[f32], pixel_stride: usize, draws: &[f32], element: u32) -> f64 {
        let Image { height, width, channels } = self.image;
        let (channel, pixel) = ((element % channels) as usize, element / channels);
        let (column, line) = (i64::from(pixel % width), i64::from(pixel / width));
        let value = |dx: i64, dy: i64| {
            let (column, line) = ((column + dx).clamp(0, i64::from(width) - 1), (line + dy).clamp(0, i64::from(height) - 1));
            f64::from(view[(line * i64::from(width) + column) as usize * pixel_stride + channel])
        };
        let around: Vec<(i64, i64)> = (-1..=1).flat_map(|dy| (-1..=1).map(move |dx| (dx, dy))).collect();
        let values = around.iter().map(|&(dx, dy)| value(dx, dy));
        let (most, least) = (values.clone().fold(f64::MIN, f64::max), values.fold(f64::MAX, f64::min));
        let mean: f64 = around.iter().map(|&(dx, dy)| value(dx, dy) * 0.25 / f64::from(1 << (dx.abs() + dy.abs()))).sum();
        let (here, t, blur) = (value(0, 0), f64::from(draws[DrawColumn::THICKNESS]), f64::from(draws[DrawColumn::BLUR]));
        here + t.abs() * (if t > 0.0 { most } else { least } - here) + blur * (mean - here)
    }

    /// All of a view. `planes`: three of one channel each.
    fn view(&self, planes: &mut [Vec<f32>; 3], view: &[f32], pixel_stride: usize, draws: &[f32], out: &mut [f32]) {
        let [plane, across, changed] = planes;
        let (t, blur) = (draws[DrawColumn::THICKNESS], draws[DrawColumn::BLUR]);
        out.fill(0.0);
        for channel in 0..self.image.channels as usize {
            plane.iter_mut().zip(view.chunks(pixel_stride)).for_each(|(value, pixel)| *value = pixel[channel]);
            changed.copy_from_slice(plane);
            let mut towards = |share: f32, of: fn([f32; 3]) -> f32| stencil(plane, across, changed, self.image.width as usize, share, of);
            match t {
                t if t > 0.0 => towards(t, |[a, b, c]| larger(larger(a, b), c)),
                t if t < 0.0 => towards(-t, |[a, b, c]| -larger(larger(-a, -b), -c)),
                _ => {}
            }
            if blur > 0.0 {
                towards(blur, |[a, b, c]| 0.5 * b + 0.25 * (a + c));
            }
            out.chunks_mut(pixel_stride).zip(&*changed).for_each(|(pixel, &value)| pixel[channel] = value);
        }
    }
}

/// Unlike `f32::max`, without a thought for NaN.
#[inline(always)]
fn larger(a: f32, b: f32) -> f32 {
    if a > b { a } else { b }
}

/// Moves `changed` by a share of the way from `plane` to what `of` makes of three neighbours in a line, left in `across`,
/// and then of three of those in a column.
#[inline(always)]
fn stencil(plane: &[f32], across: &mut [f32], changed: &mut [f32], width: usize, share: f32, of: impl Fn([f32; 3]) -> f32) {
    for (line, across) in plane.chunks_exact(width).zip(across.chunks_exact_mut(width)) {
        for (i, values) in line.windows(3).enumerate() {
            across[i + 1] = of([values[0], values[1], values[2]]);
        }
        let (first, last) = (line[0], line[width - 1]);
        across[0] = of([first, first, line[1.min(width - 1)]]);
        across[width - 1] = of([line[width.saturating_sub(2)], last, last]);
    }
    let lines = plane.len() / width;
    for (y, changed) in changed.chunks_exact_mut(width).enumerate() {
        let line = |y: usize| &across[y * width..(y + 1) * width];
        let [above, here, below] = [y.saturating_sub(1), y, (y + 1).min(lines - 1)].map(line);
        let was = &plane[y * width..(y + 1) * width];
        for i in 0..width {
            changed[i] += share * (of([above[i], here[i], below[i]]) - was[i]);
        }
    }
}

impl Kernel for AugmentLocal {
    interface! {
        self runs "augment_local" after "random", "augment_finish";
        bufs { x, draws, keys, y }
        let [view_stride, pixel_stride] = self.views().strides();
        params {
            rows: self.y.rows(),
            rows_per_view: self.views().rows_per_view(),
            cols: self.y.cols(),
            quads: row_quads(self.y),
            view_stride: view_stride,
            pixel_stride: pixel_stride,
            width: self.image.width,
            height: self.image.height,
            channels: self.image.channels,
            noise: self.ranges.noise,
            erase: self.ranges.erase,
        }
        constants { QUADS: DrawColumn::COUNT / 4 }
    }

    fn check_shapes(&self) -> Result<(), String> {
        self.views().check()?;
        same(&[("y", self.y), ("x", self.x)])?;
        has("draws", self.draws, self.draws.rows(), DrawColumn::COUNT)?;
        has("keys", self.keys, self.draws.rows(), 4)
    }

    fn twin(&self, m: &HostMem) {
        let (x, draws, keys) = (m.f32(self.x), m.f32(self.draws), m.u32(self.keys));
        let [view_stride, pixel_stride] = self.views().strides().map(|stride| stride as usize);
        let finish = Finish::of(self.image, self.ranges);
        self.views().for_each(m, |view, element| {
            let value = self.changed(&x.padded()[view * view_stride..], pixel_stride, draws.row(view), element);
            finish.value(value, keys.row(view), element)
        });
    }

    fn fast(&self, m: &HostMem) {
        let (x, draws, keys) = (m.f32(self.x), m.f32(self.draws), m.u32(self.keys));
        let [view_stride, pixel_stride] = self.views().strides().map(|stride| stride as usize);
        let pixels = (self.image.height * self.image.width) as usize;
        let finish = Finish::of(self.image, self.ranges);
        self.views().for_each_view(
            m,
            || [0, 1, 2].map(|_| vec![0.0; pixels]),
            |planes, view, words| {
                let (seen, used) = (&x.padded()[view * view_stride..][..pixels * pixel_stride], pixels * pixel_stride);
                let (out, rest) = words.split_at_mut(used);
                rest.fill(0.0);
                self.view(planes, seen, pixel_stride, draws.row(view), out);
                finish.view(out, pixel_stride, keys.row(view));
            },
        );
    }

    /// A dozen roundings of numbers up to the largest of the view, and noise.
    fn tolerance(&self, _: &str, m: &HostMem, _: Exp) -> Tolerance {
        let largest = m.dense_f32(self.x).into_iter().fold(0.0, |largest: f32, value| largest.max(value.abs()));
        Tolerance::Within { abs: 16.0 * EPSILON * (2.0 * f64::from(largest) + 4.0 * f64::from(self.ranges.noise)), rel: 0.0 }
    }

    fn work(&self) -> u64 {
        60 * self.y.shape.words()
    }
}

pub fn cases(c: &mut Cases<'_>) {
    for (image, batch) in CASE_SIZES {
        for ranges in [CASE_RANGES[0], CASE_RANGES[3]] {
            let rows = batch.max(4);
            let (draws, keys) = case_draws(c, rows, image, ranges.erase);
            for (rows, cols) in [(rows, image.len()), (rows * image.height * image.width, image.channels)] {
                let (x, y) = (c.uniform(rows, cols), c.output(rows, cols));
                c.add(AugmentLocal { x, draws, keys, y, image, ranges });
            }
        }
    }
}
