//! Convolution of each channel with a square kernel of its own: forward, and the gradients of its weights and of its input.

use std::ops::Range;

use rayon::prelude::*;

use super::conv2d::{ConvPass, Geometry, Padding};
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
        self.geometry.kernel * self.geometry.kernel
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
        let (side, Geometry { kernel, stride, .. }) = (|maps: Maps| [maps.height, maps.width], self.geometry);
        let first = side(self.x).map(|size| -(self.geometry.before(size) as i32));
        Patches { taps: [kernel; 2], stride, first, rows: side(self.y), source: side(self.x), depth: self.x.buf.shape.stride() as usize }
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
        let (start, before) = (at * self.geometry.stride, self.geometry.before(size));
        before.saturating_sub(start).min(self.geometry.kernel)..(size + before).saturating_sub(start).min(self.geometry.kernel)
    }

    /// Lines of `y` at once, each pixel's taps in their order.
    fn fast_forward(&self, m: &HostMem) {
        let (x, w, bias) = (m.f32(self.x.buf), m.f32(self.w), self.bias.map(|bias| m.f32(bias)));
        let (Geometry { kernel, stride, .. }, depth) = (self.geometry, self.x.buf.shape.stride() as usize);
        let [before_y, before_x] = [self.x.height, self.x.width].map(|size| self.geometry.before(size));
        m.f32_mut(self.y.buf).padded_mut().par_chunks_mut(self.y.width as usize * depth).enumerate().for_each(|(line, out)| {
            let (image, oy) = (line as u32 / self.y.height, line as u32 % self.y.height);
            let rows = self.inside(oy, self.x.height);
            for (ox, out) in (0..).zip(out.chunks_mut(depth)) {
                let columns = self.inside(ox, self.x.width);
                let seen = rows.clone().flat_map(|ky| columns.clone().map(move |kx| (ky, kx))).map(|(ky, kx)| {
                    let pixel = (image * self.x.height + oy * stride + ky - before_y) * self.x.width + ox * stride + kx - before_x;
                    (pixel as usize * depth, (ky * kernel + kx) as usize * depth)
                });
                add_products(out, self.accumulate, bias.as_ref().map(|bias| bias.padded()), x.padded(), w.padded(), seen);
            }
        });
    }

    fn fast_input(&self, m: &HostMem) {
        let (grad_y, w) = (m.f32(self.y.buf), m.f32(self.w));
        let (Geometry { kernel, stride, .. }, depth) = (self.geometry, self.x.buf.shape.stride() as usize);
        // (output, tap) of the pixel at `at` along one side.
        let outputs = |at: u32, size: u32, count: u32| {
            let at = at + self.geometry.before(size);
            let taps = (at % stride..kernel).step_by(stride as usize);
            taps.filter_map(move |tap| at.checked_sub(tap).map(|first| (first / stride, tap)).filter(|&(output, _)| output < count))
        };
        m.f32_mut(self.x.buf).padded_mut().par_chunks_mut(self.x.width as usize * depth).enumerate().for_each(|(line, grad_x)| {
            let (image, iy) = (line as u32 / self.x.height, line as u32 % self.x.height);
            for (ix, grad_x) in (0..).zip(grad_x.chunks_mut(depth)) {
                let seen = outputs(iy, self.x.height, self.y.height).flat_map(|(oy, ky)| {
                    outputs(ix, self.x.width, self.y.width).map(move |(ox, kx)| {
                        let pixel = (image * self.y.height + oy) * self.y.width + ox;
                        (pixel as usize * depth, (ky * kernel + kx) as usize * depth)
                    })
                });
                add_products(grad_x, self.accumulate, None, grad_y.padded(), w.padded(), seen);
            }
        });
    }

    /// Sums of a part are one thread's, pixel by pixel in order.
    fn fast_weights(&self, m: &HostMem) {
        let (patches, x, grad_y) = (self.patches(), m.f32(self.x.buf), m.f32(self.y.buf));
        let depth = self.x.buf.shape.stride() as usize;
        m.f32_mut(self.w).padded_mut().par_chunks_mut(self.taps() as usize * depth).enumerate().for_each(|(part, sums)| {
            sums.fill(0.0);
            for pixel in part_of(self.y.buf.rows(), part) {
                let grad_y = &grad_y.padded()[pixel * depth..][..depth];
                for (tap, sums) in sums.chunks_mut(depth).enumerate() {
                    let Some(seen) = patches.seen(pixel, tap) else { continue };
                    let x = &x.padded()[seen * depth..][..depth];
                    for ((sum, x), grad_y) in sums.iter_mut().zip(x).zip(grad_y) {
                        *sum += x * grad_y;
                    }
                }
            }
        });
    }
}

/// Σ a · w over places in both, for all channels of a pixel: what was there first, a bias, or nothing.
fn add_products(out: &mut [f32], accumulate: bool, bias: Option<&[f32]>, a: &[f32], w: &[f32], seen: impl Iterator<Item = (usize, usize)>) {
    match bias {
        Some(bias) if accumulate => out.iter_mut().zip(bias).for_each(|(out, bias)| *out += bias),
        Some(bias) => out.copy_from_slice(&bias[..out.len()]),
        None if accumulate => {}
        None => out.fill(0.0),
    }
    for (a_at, w_at) in seen {
        let (a, w) = (&a[a_at..][..out.len()], &w[w_at..][..out.len()]);
        for ((out, a), w) in out.iter_mut().zip(a).zip(w) {
            *out += a * w;
        }
    }
}

impl Kernel for DepthwiseConv2d {
    interface! {
        self runs "depthwise_conv2d";
        let (x, y, before) = (self.x, self.y, |size| self.geometry.before(size));
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
            KERNEL: self.geometry.kernel,
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
        if geometry.stride == 0 || geometry.kernel == 0 {
            return Err(format!("{geometry:?}: kernel and stride are at least 1"));
        }
        let expected = (x.batch, geometry.output(x.height), geometry.output(x.width), x.channels());
        if (y.batch, Some(y.height), Some(y.width), y.channels()) != expected {
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
    let geometry = |kernel, stride, padding| Geometry { kernel, stride, padding };
    // geometry, batch, height, width, channels
    let sizes = [
        (geometry(3, 1, Padding::Pixels(1)), 2, 5, 7, 5),
        (geometry(3, 2, Padding::Pixels(1)), 1, 9, 6, 33),
        (geometry(3, 2, Padding::Same), 2, 8, 7, 6),
        (geometry(5, 2, Padding::Same), 1, 10, 4, 4),
        (geometry(5, 1, Padding::Same), 1, 3, 2, 8),
        (geometry(2, 3, Padding::Pixels(0)), 1, 7, 8, 3),
        (geometry(3, 1, Padding::Same), 1, 40, 40, 3),
        (geometry(1, 1, Padding::Pixels(0)), 1, 1, 1, 1),
    ];
    for (geometry, batch, height, width, channels) in sizes {
        let [out_height, out_width] = [height, width].map(|size| geometry.output(size).expect("large enough"));
        for (pass, extra) in [ConvPass::Forward, ConvPass::Weights, ConvPass::Input].into_iter().flat_map(|pass| [(pass, false), (pass, true)]) {
            let x = Maps::new(c.uniform(batch * height * width, channels), batch, height, width);
            let y = Maps::new(c.uniform(batch * out_height * out_width, channels), batch, out_height, out_width);
            let often = if pass == ConvPass::Weights { parts(y.buf.rows()) } else { 1 };
            let w = c.uniform(often * geometry.kernel * geometry.kernel, channels);
            let bias = (extra && pass == ConvPass::Forward).then(|| c.uniform(1, channels));
            let accumulate = extra && pass != ConvPass::Weights;
            c.add(DepthwiseConv2d { pass, geometry, x, w, y, bias, accumulate });
        }
    }
}
