//! Two-dimensional convolution with square kernels: forward, and the gradients of its weights and of its input, all three
//! as products of the matmul family with an operand made of patches.

use std::ops::Range;

use rayon::prelude::*;

use super::matmul::{Epilogue, Layout, parts, row_stride, sum_bounds, tiles, whole};
use super::{Cases, block_params, has, row_quads, runs_on};
use crate::buffer::{Buf, Maps};
use crate::gemm::Gemm;
use crate::memory::HostMem;
use crate::patches::Patches;
pub use crate::patches::Geometry;
use crate::program::{Kernel, Scalar, Tolerance};
use crate::shader::{DeviceClass, Variant};
use crate::wgsl;

/// Which of the three products.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pass {
    /// `y` from `x` and `w`.
    Forward,
    /// The gradient of the weights, into `w`, from `x` and the gradient of the output in `y`.
    Weights,
    /// The gradient of the input, into `x`, from `w` and the gradient of the output in `y`.
    Input,
}

/// `x`: `[batch * height * width, inputs]`; `w`: as [`Tensor::Filters`] lays them; `y`: `[batch * out height * out width,
/// outputs]`. The pass decides which of the three is written, and that one may have the epilogue of a
/// [`Matmul`](super::matmul::Matmul).
#[derive(Clone, Copy)]
pub struct Conv2d {
    pub pass: Pass,
    pub geometry: Geometry,
    pub x: Maps,
    pub w: Buf,
    pub y: Maps,
    /// `[1, outputs]`, forward alone.
    pub bias: Option<Buf>,
    pub relu: bool,
    pub accumulate: bool,
    /// With the shape of the result; see [`Matmul::mask`](super::matmul::Matmul::mask).
    pub mask: Option<Buf>,
    /// `[1, outputs]`, with the gradient of the weights: that of the bias.
    pub sums: Option<Buf>,
    /// More than one, with the gradient of the weights: pixels are cut into as many parts; see
    /// [`Matmul::parts`](super::matmul::Matmul::parts).
    pub parts: u32,
}

/// The matmul schemes, fewer of them: a convolution's program is long, and its largest tiles take drivers seconds to compile.
macro_rules! schemes {
    ($sums:literal) => {{
        const ANY: Variant = Variant { default_for: &[], ..Variant::plain("conv2d", &[]) };
        const SHARED: &[&str] = parts!("conv2d" "epilogue" $sums: "matmul_buffers" "matmul_shared");
        const REGISTERS: &[&str] = parts!("conv2d" "epilogue" $sums: "matmul_buffers" "matmul_registers");
        const TEXTURES: &[&str] = parts!("conv2d" "epilogue" $sums: "texels" "matmul_textures" "matmul_registers");
        const HARDWARE: &[DeviceClass] = &[DeviceClass::Hardware];
        const SOFTWARE: &[DeviceClass] = &[DeviceClass::Software];
        const LARGE: &[(&str, u32)] = &[("WG", 64), ("ROWS", 8), ("QUADS", 2), ("DEPTH", 16)];
        const SMALL: &[(&str, u32)] = &[("WG", 64), ("ROWS", 4), ("QUADS", 1), ("DEPTH", 32)];
        &[
            Variant { parts: SHARED, consts: LARGE, default_for: HARDWARE, least_invocations: 4096, ..ANY },
            Variant { parts: SHARED, consts: SMALL, default_for: HARDWARE, ..ANY },
            Variant { parts: TEXTURES, consts: &[("WG", 8), ("ROWS", 8), ("QUADS", 2)], default_for: SOFTWARE, ..ANY },
            Variant { parts: REGISTERS, consts: &[("WG", 8), ("ROWS", 8), ("QUADS", 1)], default_for: SOFTWARE, ..ANY },
        ]
    }};
}

const VARIANTS: &[Variant] = schemes!("no_row_sums");
const WITH_SUMS: &[Variant] = schemes!("row_sums");

/// Pixels that the CPU unfolds at a time: few enough for caches.
const BLOCK: usize = 128;

impl Conv2d {
    pub fn new(pass: Pass, geometry: Geometry, x: Maps, w: Buf, y: Maps) -> Self {
        Conv2d { pass, geometry, x, w, y, bias: None, relu: false, accumulate: false, mask: None, sums: None, parts: 1 }
    }

    /// The product's operands and result, with what is stored of them: (layout, a, b, c).
    fn product(&self) -> (Layout, Buf, Buf, Buf) {
        let (x, w, y) = (self.x.buf, self.w, self.y.buf);
        match self.pass {
            Pass::Forward => (Layout::NT, x, w, y),
            Pass::Weights => (Layout::TN, y, x, w),
            Pass::Input => (Layout::NN, y, w, x),
        }
    }

    fn taps(&self) -> u32 {
        self.geometry.kernel * self.geometry.kernel
    }

    /// (m, n, k) of the product.
    fn sizes(&self) -> (u32, u32, u32) {
        let (outputs, unfolded) = (self.y.channels(), self.w.cols());
        match self.pass {
            Pass::Forward => (self.y.buf.rows(), outputs, unfolded),
            Pass::Weights => (outputs, unfolded, self.y.buf.rows()),
            Pass::Input => (self.x.buf.rows(), self.x.channels(), self.taps() * self.y.buf.shape.stride()),
        }
    }

    fn part_k(&self) -> u32 {
        whole(self.sizes().2.div_ceil(self.parts))
    }

    /// The pixels of `y` that part `part` sums over.
    fn part(&self, part: usize) -> Range<usize> {
        let (step, pixels) = (self.part_k() as usize, self.y.buf.rows() as usize);
        if self.pass == Pass::Weights { (part * step).min(pixels)..((part + 1) * step).min(pixels) } else { 0..pixels }
    }

    fn patches(&self) -> Patches {
        let side = |maps: Maps| [maps.height, maps.width];
        Patches { geometry: self.geometry, input: side(self.x), output: side(self.y), depth: row_stride(self.x.buf) }
    }

    /// The sums of the formula over some pixels of `y`, with `f` applied to each factor: `[m, n]`, in f64.
    fn sums(&self, m: &HostMem, pixels: Range<usize>, f: impl Fn(f32) -> f64) -> Vec<f64> {
        let (rows, n, _) = self.sizes();
        let (x, w, y) = (
            (self.pass != Pass::Input).then(|| m.f32(self.x.buf)),
            (self.pass != Pass::Weights).then(|| m.f32(self.w)),
            (self.pass != Pass::Forward).then(|| m.f32(self.y.buf)),
        );
        let patches = self.patches();
        let mut sums = vec![0.0; rows as usize * n as usize];
        for pixel in pixels {
            for (tap, seen) in (0..self.taps() as usize).filter_map(|tap| Some((tap, patches.seen(pixel, tap)?))) {
                for output in 0..self.y.channels() as usize {
                    for input in 0..self.x.channels() as usize {
                        let weight = tap * patches.depth + input;
                        let x = || f(x.as_ref().expect("read").row(seen)[input]);
                        let w = || f(w.as_ref().expect("read").row(output)[weight]);
                        let dy = || f(y.as_ref().expect("read").row(pixel)[output]);
                        match self.pass {
                            Pass::Forward => sums[pixel * n as usize + output] += x() * w(),
                            Pass::Weights => sums[output * n as usize + weight] += x() * dy(),
                            Pass::Input => sums[seen * n as usize + input] += w() * dy(),
                        }
                    }
                }
            }
        }
        sums
    }

    /// Σ f(dy) over the pixels of a part, for each output.
    fn bias_sums(&self, m: &HostMem, part: usize, f: impl Fn(f32) -> f64) -> Vec<f64> {
        let dy = m.f32(self.y.buf);
        let mut sums = vec![0.0; self.y.channels() as usize];
        for pixel in self.part(part) {
            sums.iter_mut().zip(dy.row(pixel)).for_each(|(sum, &v)| *sum += f(v));
        }
        sums
    }

    fn write_bias_sums(&self, m: &HostMem) {
        let Some(sums) = self.sums else { return };
        m.f32_mut(sums).for_each_row(|part, out| {
            for (out, sum) in out.iter_mut().zip(self.bias_sums(m, part, f64::from)) {
                *out = (sum + if self.accumulate { f64::from(*out) } else { 0.0 }) as f32;
            }
        });
    }

    fn epilogue<'a>(&self, m: &'a HostMem) -> Epilogue<'a> {
        Epilogue { bias: self.bias.map(|b| m.f32(b)), mask: self.mask.map(|b| m.f32(b)), relu: self.relu, accumulate: self.accumulate }
    }

    fn fast_forward(&self, m: &HostMem) {
        let patches = self.patches();
        let (x, w, epilogue) = (m.f32(self.x.buf), m.f32(self.w), self.epilogue(m));
        let (unfolded, n, stride) = (self.w.cols() as usize, self.y.channels() as usize, row_stride(self.y.buf));
        let mut y = m.f32_mut(self.y.buf);
        let pixels = self.y.buf.rows() as usize;
        let scratch = || (vec![0.0; BLOCK * unfolded], vec![0.0; BLOCK * n]);
        y.padded_mut().par_chunks_mut(BLOCK * stride).enumerate().for_each_init(scratch, |(panel, product), (block, y)| {
            let first = block * BLOCK;
            let count = BLOCK.min(pixels - first);
            patches.unfold(first..first + count, x.padded(), panel);
            Gemm::dense(Layout::NT, count, n, unfolded).multiply(panel, w.padded(), product);
            for (i, row) in y.chunks_mut(stride).enumerate() {
                epilogue.finish(first + i, &product[i * n..][..n], row);
            }
        });
    }

    fn fast_weights(&self, m: &HostMem) {
        let patches = self.patches();
        let (x, dy, epilogue) = (m.f32(self.x.buf), m.f32(self.y.buf), self.epilogue(m));
        let (outputs, unfolded) = (self.y.channels() as usize, self.w.cols() as usize);
        let mut w = m.f32_mut(self.w);
        // Sums of a part are one thread's, block by block in order.
        let scratch = || (vec![0.0; BLOCK * unfolded], vec![0.0; outputs * unfolded]);
        w.padded_mut().par_chunks_mut(outputs * unfolded).enumerate().for_each_init(scratch, |(panel, product), (part, w)| {
            let pixels = self.part(part);
            product.fill(0.0);
            for first in pixels.clone().step_by(BLOCK) {
                let count = BLOCK.min(pixels.end - first);
                patches.unfold(first..first + count, x.padded(), panel);
                let stride = row_stride(self.y.buf);
                let gemm = Gemm { a_stride: stride, accumulate: true, ..Gemm::dense(Layout::TN, outputs, unfolded, count) };
                gemm.multiply(&dy.padded()[first * stride..], panel, product);
            }
            for (i, row) in w.chunks_mut(unfolded).enumerate() {
                epilogue.finish(i, &product[i * unfolded..][..unfolded], row);
            }
        });
    }

    fn fast_input(&self, m: &HostMem) {
        let patches = self.patches();
        let (dy, w, epilogue) = (m.f32(self.y.buf), m.f32(self.w), self.epilogue(m));
        let (outputs, unfolded) = (self.y.channels() as usize, self.w.cols() as usize);
        let (stride, dy_stride) = (row_stride(self.x.buf), row_stride(self.y.buf));
        let image = (self.x.height * self.x.width) as usize;
        let image_of_y = (self.y.height * self.y.width) as usize;
        let scratch = || (vec![0.0; BLOCK * unfolded], vec![0.0; image * stride]);
        let mut dx = m.f32_mut(self.x.buf);
        dx.padded_mut().par_chunks_mut(image * stride).enumerate().for_each_init(scratch, |(panel, product), (batch, dx)| {
            let pixels = batch * image_of_y..(batch + 1) * image_of_y;
            product.fill(0.0);
            for first in pixels.clone().step_by(BLOCK) {
                let count = BLOCK.min(pixels.end - first);
                let gemm = Gemm { a_stride: dy_stride, ..Gemm::dense(Layout::NN, count, unfolded, outputs) };
                gemm.multiply(&dy.padded()[first * dy_stride..], w.padded(), panel);
                patches.fold(first..first + count, panel, product, batch * image);
            }
            for (i, row) in dx.chunks_mut(stride).enumerate() {
                epilogue.finish(batch * image + i, &product[i * stride..][..self.x.channels() as usize], row);
            }
        });
    }
}

impl Kernel for Conv2d {
    fn bufs(&self) -> Vec<(&'static str, Buf)> {
        let (_, a, b, c) = self.product();
        // Without a bias or a mask the shader never reads that binding, but something must be bound.
        let mut bufs = vec![("a", a), ("b", b), ("bias", self.bias.unwrap_or(b)), ("mask", self.mask.unwrap_or(b)), ("c", c)];
        bufs.extend(self.sums.map(|sums| ("sums", sums)));
        bufs
    }

    fn params(&self) -> Vec<(&'static str, Scalar)> {
        let ((_, a, b, c), (m, n, k)) = (self.product(), self.sizes());
        let (rows, source) = if self.pass == Pass::Input { (self.x, self.y) } else { (self.y, self.x) };
        let unfolded = self.taps() * row_quads(source.buf);
        let (a_quads, b_quads) = match self.pass {
            Pass::Forward => (unfolded, unfolded),
            Pass::Weights => (row_quads(a), unfolded),
            Pass::Input => (unfolded, row_quads(c)),
        };
        let mut params = block_params(a, b, m, n, k);
        params.retain(|(name, _)| !name.ends_with("_quads"));
        params.extend([
            ("a_quads", a_quads),
            ("b_quads", b_quads),
            ("c_quads", row_quads(c)),
            ("parts", self.parts),
            ("part_k", self.part_k()),
            ("relu", self.relu.into()),
            ("height", rows.height),
            ("width", rows.width),
            ("source_height", source.height),
            ("source_width", source.width),
            ("source_quads", row_quads(source.buf)),
            ("padding", self.geometry.padding),
            ("outputs", self.y.channels()),
        ].map(|(name, value)| (name, Scalar::U32(value))));
        params
    }

    fn variants(&self) -> &'static [Variant] {
        if self.sums.is_some() { WITH_SUMS } else { VARIANTS }
    }

    fn constants(&self) -> Vec<(&'static str, u32)> {
        let (layout, a, b, _) = self.product();
        let [a, b] = runs_on(a, b);
        vec![
            a,
            b,
            ("LAYOUT", layout as u32),
            ("PASS", self.pass as u32),
            ("KERNEL", self.geometry.kernel),
            ("STRIDE", self.geometry.stride),
            ("MASK", self.mask.is_some().into()),
            ("ACCUMULATE", self.accumulate.into()),
            ("BIAS", self.bias.is_some().into()),
        ]
    }

    fn invocations(&self, variant: &Variant) -> u64 {
        tiles(self.product().3, self.parts, variant)
    }

    fn check_shapes(&self) -> Result<(), String> {
        let Conv2d { pass, geometry, x, y, .. } = *self;
        if geometry.stride == 0 || geometry.kernel == 0 {
            return Err(format!("{geometry:?}: kernel and stride are at least 1"));
        }
        let expected = (x.batch, geometry.output(x.height), geometry.output(x.width));
        if (y.batch, Some(y.height), Some(y.width)) != expected {
            return Err(format!("{geometry:?} of {}x{}x{} does not give {}x{}x{}", x.batch, x.height, x.width, y.batch, y.height, y.width));
        }
        let filters = geometry.filters(x.channels(), y.channels()).matrix();
        has("w", self.w, self.parts * filters.rows, filters.cols)?;
        self.bias.map_or(Ok(()), |bias| has("bias", bias, 1, y.channels()))?;
        let (_, _, _, c) = self.product();
        self.mask.map_or(Ok(()), |mask| has("mask", mask, c.rows(), c.cols()))?;
        self.sums.map_or(Ok(()), |sums| has("sums", sums, self.parts, y.channels()))?;
        let misplaced = [
            (self.bias.is_some() && pass != Pass::Forward, "a bias"),
            ((self.sums.is_some() || self.parts > 1) && pass != Pass::Weights, "sums or parts"),
            (self.parts > 1 && (self.mask.is_some() || self.relu || self.accumulate), "an epilogue of parts"),
        ];
        misplaced.iter().find(|(wrong, _)| *wrong).map_or(Ok(()), |(_, what)| Err(format!("{what} with pass {pass:?}")))
    }

    fn accumulates(&self) -> bool {
        self.accumulate
    }

    fn twin(&self, m: &HostMem) {
        let (rows, n, _) = self.sizes();
        let parts: Vec<_> = (0..self.parts as usize).into_par_iter().map(|part| self.sums(m, self.part(part), f64::from)).collect();
        let epilogue = self.epilogue(m);
        m.f32_mut(self.product().3).for_each_row(|i, c| {
            let (part, row) = (i / rows as usize, i % rows as usize);
            for (j, (c, &sum)) in c.iter_mut().zip(&parts[part][row * n as usize..]).enumerate() {
                *c = epilogue.value(i, j, sum, *c);
            }
        });
        self.write_bias_sums(m);
    }

    fn fast(&self, m: &HostMem) {
        match self.pass {
            Pass::Forward => self.fast_forward(m),
            Pass::Weights => self.fast_weights(m),
            Pass::Input => self.fast_input(m),
        }
        self.write_bias_sums(m);
    }

    /// Sums of rows err as sums of products do, with ones in the place of patches.
    fn tolerance(&self, output: &str, m: &HostMem) -> Tolerance {
        let (k, parts, abs) = (self.sizes().2 as usize, 0..self.parts as usize, |v: f32| f64::from(v.abs()));
        let of = if output == "sums" { self.sums.expect("an output of this call") } else { self.product().3 };
        let old = self.accumulate.then(|| m.dense_f32(of));
        if output == "sums" {
            return sum_bounds(k, parts.flat_map(|part| self.bias_sums(m, part, abs)).collect(), old, None);
        }
        let magnitudes = parts.into_par_iter().flat_map_iter(|part| self.sums(m, self.part(part), abs));
        sum_bounds(k, magnitudes.collect(), old, self.bias.map(|bias| m.dense_f32(bias)))
    }

    fn flops(&self) -> u64 {
        // What padding of channels adds is no work asked for.
        2 * u64::from(self.y.buf.rows()) * u64::from(self.taps() * self.x.channels()) * u64::from(self.y.channels())
    }
}

pub fn cases(c: &mut Cases<'_>) {
    let geometry = |kernel, stride, padding| Geometry { kernel, stride, padding };
    // (kernel, stride, padding), batch, height, width, inputs, outputs
    let sizes = [
        (geometry(3, 1, 1), 2, 5, 7, 3, 5),
        (geometry(3, 2, 1), 3, 9, 6, 4, 17),
        (geometry(1, 1, 0), 1, 1, 1, 1, 1),
        (geometry(1, 2, 0), 2, 7, 5, 5, 3),
        (geometry(7, 2, 3), 1, 13, 9, 3, 6),
        (geometry(3, 1, 0), 1, 3, 4, 33, 2),
        (geometry(3, 1, 1), 1, 8, 8, 1, 70),
    ];
    for (geometry, batch, height, width, inputs, outputs) in sizes {
        let [out_height, out_width] = [height, width].map(|size| geometry.output(size).expect("large enough"));
        let filters = geometry.filters(inputs, outputs).matrix();
        let x = |c: &mut Cases<'_>| Maps::new(c.uniform(batch * height * width, inputs), batch, height, width);
        let y = |c: &mut Cases<'_>| Maps::new(c.uniform(batch * out_height * out_width, outputs), batch, out_height, out_width);
        let w = |c: &mut Cases<'_>| c.tensor(geometry.filters(inputs, outputs));
        for pass in [Pass::Forward, Pass::Weights, Pass::Input] {
            let plain = Conv2d::new(pass, geometry, x(c), w(c), y(c));
            c.add(plain);
            // Every part of the epilogue, in the pass that has it in a training step. Each geometry is compiled on its
            // own, so two of them are enough.
            if geometry.kernel != 3 || geometry.padding != 1 {
                continue;
            }
            let again = Conv2d::new(pass, geometry, x(c), w(c), y(c));
            match pass {
                Pass::Forward => {
                    let bias = Some(c.uniform(1, outputs));
                    c.add(Conv2d { bias, relu: true, ..again });
                }
                Pass::Weights => {
                    let sums = Some(c.uniform(1, outputs));
                    c.add(Conv2d { sums, accumulate: true, ..again });
                    let (w, sums) = (c.uniform(3 * filters.rows, filters.cols), Some(c.uniform(3, outputs)));
                    c.add(Conv2d { w, sums, parts: 3, ..plain });
                }
                Pass::Input => {
                    let mask = Some(c.uniform(batch * height * width, inputs));
                    c.add(Conv2d { mask, accumulate: true, ..again });
                }
            }
        }
    }
}
