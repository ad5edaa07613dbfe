//! Convolution of each channel with a square kernel of its own: forward, and the gradients of its weights and of its input.

use std::ops::Range;

use multiversion::multiversion;
use rayon::prelude::*;

use super::conv2d::{ConvPass, Geometry};
use super::{Cases, has, part_of, part_rows, parts, row_quads};
use crate::core::buffer::{Buf, Maps};
use crate::core::memory::HostMem;
use crate::core::program::{EPSILON, Exp, Kernel, Tolerance};
use crate::host::patches::Patches;

/// `x`: `[batch * height * width, channels]`; `w`: as [`Tensor::Depthwise`](crate::core::layout::Tensor::Depthwise) lays it, and with the
/// pass for weights as often as there are [`parts`] of the rows of `y`; `y`: `[batch * out height * out width, channels]`. The pass
/// decides which of the three is written.
#[derive(Clone, Copy)]
pub struct DepthwiseConv2d {
    pub pass: ConvPass,
    pub geometry: Geometry,
    pub x: Maps,
    pub w: Buf,
    pub y: Maps,
    /// `[1, channels]`, forward alone.
    pub bias: Option<Buf>,
    /// Not with the pass for weights.
    pub accumulate: bool,
}

impl DepthwiseConv2d {
    fn taps(&self) -> u32 {
        self.geometry.taps()
    }

    /// Taps a side.
    fn kernel(&self) -> u32 {
        self.geometry.kernel[0]
    }

    /// Zeros before the first of `size` pixels, in either direction.
    fn before(&self, size: u32) -> u32 {
        self.geometry.before([size; 2])[0]
    }

    fn result(&self) -> Buf {
        match self.pass {
            ConvPass::Forward => self.y.buf,
            ConvPass::Weights => self.w,
            ConvPass::Input => self.x.buf,
        }
    }

    /// What pixels of `y` see of `x`.
    fn patches(&self) -> Patches {
        let side = |maps: Maps| [maps.height, maps.width];
        Patches::forward(self.geometry, side(self.x), side(self.y), self.x.buf.shape.stride() as usize)
    }

    /// Σ f(x) f(w), or what takes their places in this pass, for each element of the result, and how many terms the longest has.
    fn sums(&self, m: &HostMem, f: impl Fn(f32) -> f64) -> (Vec<f64>, u32) {
        let (patches, channels, taps) = (self.patches(), self.x.channels() as usize, self.taps() as usize);
        let read = |buf: Buf| (buf != self.result()).then(|| m.f32(buf));
        let (x, w, y) = (read(self.x.buf), read(self.w), read(self.y.buf));
        let value = |rows: &Option<crate::core::memory::Rows<f32>>, row: usize, c: usize| f(rows.as_ref().expect("read").row(row)[c]);
        let mut sums = vec![0.0; self.result().rows() as usize * channels];
        let of_part = part_rows(self.y.buf.rows()) as usize;
        for pixel in 0..self.y.buf.rows() as usize {
            for (tap, seen) in (0..taps).filter_map(|tap| Some((tap, patches.seen(pixel, tap)?))) {
                for c in 0..channels {
                    let (row, product) = match self.pass {
                        ConvPass::Forward => (pixel, value(&x, seen, c) * value(&w, tap, c)),
                        ConvPass::Weights => (pixel / of_part * taps + tap, value(&x, seen, c) * value(&y, pixel, c)),
                        ConvPass::Input => (seen, value(&w, tap, c) * value(&y, pixel, c)),
                    };
                    sums[row * channels + c] += product;
                }
            }
        }
        (sums, if self.pass == ConvPass::Weights { of_part as u32 } else { self.taps() })
    }

    /// The taps, along one side of `size` pixels, through which the output at `at` sees them.
    fn inside(&self, at: u32, size: u32) -> Range<u32> {
        let (start, before) = (at * self.geometry.stride, self.before(size));
        before.saturating_sub(start).min(self.kernel())..(size + before).saturating_sub(start).min(self.kernel())
    }

    /// Lines of `y` at once, each pixel's taps in their order.
    fn fast_forward(&self, m: &HostMem) {
        let (x, w, bias) = (m.f32(self.x.buf), m.f32(self.w), self.bias.map(|bias| m.f32(bias)));
        let (kernel, stride, depth) = (self.kernel(), self.geometry.stride, self.x.buf.shape.stride() as usize);
        let [before_y, before_x] = [self.x.height, self.x.width].map(|size| self.before(size));
        m.f32_mut(self.y.buf).padded_mut().par_chunks_mut(self.y.width as usize * depth).enumerate().for_each(|(line, out)| {
            let (image, oy) = (line as u32 / self.y.height, line as u32 % self.y.height);
            let rows = self.inside(oy, self.x.height);
            let seen = |ox: u32, places: &mut Vec<Places>| {
                let columns = self.inside(ox, self.x.width);
                for ky in rows.clone() {
                    let line = (image * self.x.height + oy * stride + ky - before_y) * self.x.width;
                    let places_of_line = columns.clone().map(|kx| {
                        let pixel = line + ox * stride + kx - before_x;
                        Places { a: pixel as usize * depth, w: (ky * kernel + kx) as usize * depth }
                    });
                    places.extend(places_of_line);
                }
            };
            // Between the borders all pixels see the same taps.
            let seen = SeenLine { taps: &seen, as_before: &|ox| self.inside(ox, self.x.width) == self.inside(ox - 1, self.x.width), step: stride as usize * depth };
            add_products(out, depth, self.accumulate, bias.as_ref().map(|bias| bias.padded()), x.padded(), w.padded(), &seen);
        });
    }

    fn fast_input(&self, m: &HostMem) {
        let (grad_y, w) = (m.f32(self.y.buf), m.f32(self.w));
        let (kernel, stride, depth) = (self.kernel(), self.geometry.stride, self.x.buf.shape.stride() as usize);
        // (output, tap) of the pixel at `at` along one side.
        let outputs = |at: u32, size: u32, count: u32| {
            let at = at + self.before(size);
            let taps = (at % stride..kernel).step_by(stride as usize);
            taps.filter_map(move |tap| at.checked_sub(tap).map(|first| (first / stride, tap)).filter(|&(output, _)| output < count))
        };
        m.f32_mut(self.x.buf).padded_mut().par_chunks_mut(self.x.width as usize * depth).enumerate().for_each(|(line, grad_x)| {
            let (image, iy) = (line as u32 / self.x.height, line as u32 % self.x.height);
            let seen = |ix: u32, places: &mut Vec<Places>| {
                for (oy, ky) in outputs(iy, self.x.height, self.y.height) {
                    let places_of_line = outputs(ix, self.x.width, self.y.width).map(|(ox, kx)| {
                        let pixel = (image * self.y.height + oy) * self.y.width + ox;
                        Places { a: pixel as usize * depth, w: (ky * kernel + kx) as usize * depth }
                    });
                    places.extend(places_of_line);
                }
            };
            let as_before = |ix: u32| {
                let at = ix + self.before(self.x.width);
                stride == 1 && at >= kernel && at < self.y.width
            };
            let seen = SeenLine { taps: &seen, as_before: &as_before, step: depth };
            add_products(grad_x, depth, self.accumulate, None, grad_y.padded(), w.padded(), &seen);
        });
    }

    /// Sums of a part are one thread's, pixel by pixel in order.
    fn fast_weights(&self, m: &HostMem) {
        let (x, grad_y, stride) = (m.f32(self.x.buf), m.f32(self.y.buf), self.geometry.stride);
        let depth = self.x.buf.shape.stride() as usize;
        let [before_y, before_x] = [self.x.height, self.x.width].map(|size| self.before(size));
        m.f32_mut(self.w).padded_mut().par_chunks_mut(self.taps() as usize * depth).enumerate().for_each(|(part, sums)| {
            sums.fill(0.0);
            for pixel in part_of(self.y.buf.rows(), part) {
                let (line, ox) = (pixel as u32 / self.y.width, pixel as u32 % self.y.width);
                let (image, oy) = (line / self.y.height, line % self.y.height);
                let (columns, grad_y) = (self.inside(ox, self.x.width), &grad_y.padded()[pixel * depth..][..depth]);
                if columns.is_empty() {
                    continue;
                }
                for ky in self.inside(oy, self.x.height) {
                    // Taps of a line lie side by side, and so do the pixels that they see.
                    let seen = (image * self.x.height + oy * stride + ky - before_y) * self.x.width + ox * stride + columns.start - before_x;
                    let length = columns.len() * depth;
                    let first = (ky * self.kernel() + columns.start) as usize * depth;
                    add_line(&mut sums[first..first + length], &x.padded()[seen as usize * depth..][..length], grad_y);
                }
            }
        });
    }
}

/// Where a tap's factors lie, of all channels.
#[derive(Clone, Copy)]
struct Places {
    a: usize,
    w: usize,
}

/// What the pixels of a line see.
struct SeenLine<'a> {
    /// Adds the places of a pixel's taps.
    taps: &'a dyn Fn(u32, &mut Vec<Places>),
    /// Whether a pixel, not the first, sees through the taps of the one before, `step` further in `a`.
    as_before: &'a dyn Fn(u32) -> bool,
    step: usize,
}

/// For each pixel of a line, Σ a · w over the places that it sees, and what was there first: a bias, old contents or nothing.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
fn add_products(
    line: &mut [f32],
    depth: usize,
    accumulate: bool,
    bias: Option<&[f32]>,
    a: &[f32],
    w: &[f32],
    seen: &SeenLine<'_>,
) {
    let mut places = Vec::new();
    for (pixel, out) in (0..).zip(line.chunks_mut(depth)) {
        if pixel > 0 && (seen.as_before)(pixel) {
            places.iter_mut().for_each(|place: &mut Places| place.a += seen.step);
        } else {
            places.clear();
            (seen.taps)(pixel, &mut places);
        }
        match bias {
            Some(bias) if accumulate => out.iter_mut().zip(bias).for_each(|(out, bias)| *out += bias),
            Some(bias) => out.copy_from_slice(&bias[..depth]),
            None if accumulate => {}
            None => out.fill(0.0),
        }
        // As many channels at once as leave registers for their factors, then what is left of them.
        let rest = add_blocks::<32>(out, 0, a, w, &places);
        let rest = add_blocks::<8>(&mut out[rest..], rest, a, w, &places);
        add_blocks::<4>(&mut out[rest..], rest, a, w, &places);
    }
}

/// The sums of the channels from channel `first` on, `N` at once. Returns the first channel that is left.
#[inline(always)]
fn add_blocks<const N: usize>(out: &mut [f32], first: usize, a: &[f32], w: &[f32], places: &[Places]) -> usize {
    let blocks = out.as_chunks_mut::<N>().0;
    let rest = first + N * blocks.len();
    for (block, out) in blocks.iter_mut().enumerate() {
        add_block(out, first + block * N, a, w, places);
    }
    rest
}

/// The sums of `N` channels from channel `first` on.
#[inline(always)]
fn add_block<const N: usize>(out: &mut [f32; N], first: usize, a: &[f32], w: &[f32], places: &[Places]) {
    let mut sums = *out;
    for place in places {
        let (a, w) = (&a[place.a + first..][..N], &w[place.w + first..][..N]);
        for i in 0..N {
            sums[i] += a[i] * w[i];
        }
    }
    *out = sums;
}

/// Adds `x` times the gradient of one pixel to the sums of taps side by side.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
fn add_line(sums: &mut [f32], x: &[f32], grad_y: &[f32]) {
    for (sums, x) in sums.chunks_mut(grad_y.len()).zip(x.chunks(grad_y.len())) {
        for ((sum, x), grad_y) in sums.iter_mut().zip(x).zip(grad_y) {
            *sum += x * grad_y;
        }
    }
}

impl Kernel for DepthwiseConv2d {
    interface! {
        self runs "depthwise_conv2d";
        let (x, y, before) = (self.x, self.y, |size| self.before(size));
        params {
            rows: self.result().rows(),
            quads: row_quads(self.result()),
            height: x.height,
            width: x.width,
            out_height: y.height,
            out_width: y.width,
            before_y: before(x.height),
            before_x: before(x.width),
            pixels: y.buf.rows(),
            part_rows: part_rows(y.buf.rows()),
            accumulate,
        }
        constants {
            PASS: self.pass as u32,
            KERNEL: self.kernel(),
            STRIDE: self.geometry.stride,
            BIAS: self.bias.is_some(),
        }
    }

    fn bufs(&self) -> Vec<(&'static str, Buf)> {
        let (x, w, y) = (self.x.buf, self.w, self.y.buf);
        let [a, b, c] = match self.pass {
            ConvPass::Forward => [x, w, y],
            ConvPass::Weights => [x, y, w],
            ConvPass::Input => [y, w, x],
        };
        // Without a bias the shader never reads that binding, but something must be bound.
        vec![("a", a), ("b", b), ("bias", self.bias.unwrap_or(b)), ("c", c)]
    }

    fn check_shapes(&self) -> Result<(), String> {
        let DepthwiseConv2d { pass, geometry, x, y, .. } = *self;
        if geometry.stride == 0 || geometry.side().is_none_or(|side| side == 0) {
            return Err(format!("{geometry:?}: kernel and stride are at least 1, and the same down and across"));
        }
        let expected = (x.batch, geometry.output([x.height, x.width]), x.channels());
        if (y.batch, Some([y.height, y.width]), y.channels()) != expected {
            return Err(format!("{geometry:?} of {x:?} does not give {y:?}"));
        }
        let often = if pass == ConvPass::Weights { parts(y.buf.rows()) } else { 1 };
        has("w", self.w, often * self.taps(), x.channels())?;
        self.bias.map_or(Ok(()), |bias| has("bias", bias, 1, y.channels()))?;
        let misplaced = [
            (self.bias.is_some() && pass != ConvPass::Forward, "a bias"),
            (self.accumulate && pass == ConvPass::Weights, "old contents"),
        ];
        misplaced.iter().find(|(wrong, _)| *wrong).map_or(Ok(()), |(_, what)| Err(format!("{what} with pass {pass:?}")))
    }

    fn twin(&self, m: &HostMem) {
        let (channels, bias) = (self.x.channels() as usize, self.bias.map(|bias| m.f32(bias)));
        let (sums, _) = self.sums(m, f64::from);
        m.f32_mut(self.result()).for_each_row(|r, c| {
            for (j, (c, sum)) in c.iter_mut().zip(&sums[r * channels..]).enumerate() {
                let first = if self.accumulate { f64::from(*c) } else { 0.0 };
                *c = (first + bias.as_ref().map_or(0.0, |bias| f64::from(bias.row(0)[j])) + sum) as f32;
            }
        });
    }

    fn fast(&self, m: &HostMem) {
        match self.pass {
            ConvPass::Forward => self.fast_forward(m),
            ConvPass::Weights => self.fast_weights(m),
            ConvPass::Input => self.fast_input(m),
        }
    }

    /// A product and a sum for each term, and sums with what was there.
    fn tolerance(&self, _: &str, m: &HostMem, _: Exp) -> Tolerance {
        let ((sums, terms), channels) = (self.sums(m, |v| f64::from(v.abs())), self.x.channels() as usize);
        let (old, bias) = (self.accumulate.then(|| m.dense_f32(self.result())), self.bias.map(|bias| m.dense_f32(bias)));
        let bound = |(i, sum): (usize, f64)| {
            let first = old.as_ref().map_or(0.0, |old| f64::from(old[i].abs())) + bias.as_ref().map_or(0.0, |bias| f64::from(bias[i % channels].abs()));
            2.0 * EPSILON * (f64::from(terms) + 3.0) * (sum + first) + 1e-37
        };
        Tolerance::Each(sums.into_iter().enumerate().map(bound).collect())
    }

    fn work(&self) -> u64 {
        2 * u64::from(self.taps()) * u64::from(self.y.buf.rows()) * u64::from(self.y.channels())
    }
}

pub fn cases(c: &mut Cases<'_>) {
    // geometry, batch, height, width, channels
    let sizes = [
        (Geometry::square(3, 1, 1), 2, 5, 7, 5),
        (Geometry::square(3, 2, 1), 1, 9, 6, 33),
        (Geometry::same(3, 2), 2, 8, 7, 6),
        (Geometry::same(5, 2), 1, 10, 4, 4),
        (Geometry::same(5, 1), 1, 3, 2, 8),
        (Geometry::square(2, 3, 0), 1, 7, 8, 3),
        (Geometry::same(3, 1), 1, 40, 40, 3),
        (Geometry::square(1, 1, 0), 1, 1, 1, 1),
        // Some pixels see nothing but padding.
        (Geometry::square(2, 1, 3), 1, 2, 3, 20),
    ];
    for (geometry, batch, height, width, channels) in sizes {
        let [out_height, out_width] = geometry.output([height, width]).expect("large enough");
        for (pass, extra) in [ConvPass::Forward, ConvPass::Weights, ConvPass::Input].into_iter().flat_map(|pass| [(pass, false), (pass, true)]) {
            let x = Maps::new(c.uniform(batch * height * width, channels), batch, height, width);
            let y = Maps::new(c.uniform(batch * out_height * out_width, channels), batch, out_height, out_width);
            let often = if pass == ConvPass::Weights { parts(y.buf.rows()) } else { 1 };
            let w = c.uniform(often * geometry.taps(), channels);
            let bias = (extra && pass == ConvPass::Forward).then(|| c.uniform(1, channels));
            let accumulate = extra && pass != ConvPass::Weights;
            c.add(DepthwiseConv2d { pass, geometry, x, w, y, bias, accumulate });
        }
    }
}
