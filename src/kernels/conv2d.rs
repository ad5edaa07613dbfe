//! Two-dimensional convolution: forward, and the gradients of its weights and of its input, all three
//! as products of the matmul family with an operand made of patches.

use std::ops::Range;

use rayon::prelude::*;

use super::matmul::{Epilogue, Layout, parts, reference_part, row_stride, sum_bounds, tiles, whole};
use super::{Cases, block_params, has, row_quads, runs_on};
use crate::core::buffer::{Buf, Maps};
use crate::core::memory::HostMem;
pub use crate::host::patches::{Geometry, Padding};
use crate::host::microkernel::{Isa, Pieces, ResultMemory, Starts};
use crate::host::panels::{Panels, RightSide};
use crate::host::patch_products::{FEW, IN_PLANES, PatchProducts, multiply_few, starts_of};
use crate::host::patches::{Patches, TapPhase};
use crate::core::program::{Exp, Kernel, Tolerance};
use crate::core::shader::{DeviceClass, Variant};

/// Which of the three products.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ConvPass {
    /// `y` from `x` and `w`.
    Forward,
    /// The gradient of the weights, into `w`, from `x` and the gradient of the output in `y`.
    Weights,
    /// The gradient of the input, into `x`, from `w` and the gradient of the output in `y`: for the pixels of one phase, every
    /// `stride`-th in both directions.
    Input,
}

/// `x`: `[batch * height * width, inputs]`; `w`: as [`Tensor::Filters`](crate::core::layout::Tensor::Filters) lays them; `y`: `[batch * out height * out width,
/// outputs]`. The pass decides which of the three is written, and that one may have the epilogue of a
/// [`Matmul`](super::matmul::Matmul).
#[derive(Clone, Copy)]
pub struct Conv2d {
    pub pass: ConvPass,
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
    /// The first pixel of the phase, down and across, with the gradient of the input; both below the stride.
    pub phase: [u32; 2],
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

impl Conv2d {
    pub fn new(pass: ConvPass, geometry: Geometry, x: Maps, w: Buf, y: Maps) -> Self {
        Conv2d { pass, geometry, x, w, y, bias: None, relu: false, accumulate: false, mask: None, sums: None, parts: 1, phase: [0; 2] }
    }

    /// The product's operands and result, with what is stored of them: (layout, a, b, c).
    fn product(&self) -> (Layout, Buf, Buf, Buf) {
        let (x, w, y) = (self.x.buf, self.w, self.y.buf);
        match self.pass {
            ConvPass::Forward => (Layout::NT, x, w, y),
            ConvPass::Weights => (Layout::TN, y, x, w),
            ConvPass::Input => (Layout::NN, y, w, x),
        }
    }

    /// (m, n, k) of the product.
    fn sizes(&self) -> (u32, u32, u32) {
        let (outputs, unfolded) = (self.y.channels(), self.w.cols());
        match self.pass {
            ConvPass::Forward => (self.y.buf.rows(), outputs, unfolded),
            ConvPass::Weights => (outputs, unfolded, self.y.buf.rows()),
            ConvPass::Input => {
                let [down, across] = self.phases();
                let depth = down.taps * across.taps * self.y.buf.shape.stride();
                (self.x.batch * down.pixels * across.pixels, self.x.channels(), depth)
            }
        }
    }

    fn part_k(&self) -> u32 {
        whole(self.sizes().2.div_ceil(self.parts))
    }

    /// The pixels of `y` that part `part` sums over.
    fn part(&self, part: usize) -> Range<usize> {
        let (step, pixels) = (self.part_k() as usize, self.y.buf.rows() as usize);
        if self.pass == ConvPass::Weights { (part * step).min(pixels)..((part + 1) * step).min(pixels) } else { 0..pixels }
    }

    /// What the pixels of the phase see, down and across.
    fn phases(&self) -> [TapPhase; 2] {
        self.geometry.phases(self.phase, [self.x.height, self.x.width])
    }

    /// What pixels of `y` see of `x`; with the gradient of the input, what those of the phase see of `y`.
    fn patches(&self) -> Patches {
        let side = |maps: Maps| [maps.height, maps.width];
        if self.pass != ConvPass::Input {
            return Patches::forward(self.geometry, side(self.x), side(self.y), row_stride(self.x.buf));
        }
        let phases = self.phases();
        Patches {
            taps: phases.map(|side| side.taps),
            stride: 1,
            first: phases.map(|side| side.first),
            rows: phases.map(|side| side.pixels),
            source: side(self.y),
            depth: row_stride(self.y.buf),
        }
    }

    /// The pixels of an image that are of the phase, in order.
    fn of_phase(&self) -> Vec<usize> {
        let along = |side: usize, size: u32| (self.phase[side]..size).step_by(self.geometry.stride as usize);
        along(0, self.x.height).flat_map(|y| along(1, self.x.width).map(move |x| (y * self.x.width + x) as usize)).collect()
    }

    /// Whether a pixel of `x` is of the phase.
    fn in_phase(&self, pixel: usize) -> bool {
        let (width, height) = (self.x.width as usize, self.x.height as usize);
        let at = [pixel / width % height, pixel % width];
        at.into_iter().zip(self.phase).all(|(at, phase)| at as u32 % self.geometry.stride == phase)
    }

    /// The sums of the formula over some pixels of `y`, with `f` applied to each factor, for each element of the result or of
    /// a part of it, in f64. Those of the gradient of the input are of all phases.
    fn sums(&self, m: &HostMem, pixels: impl Iterator<Item = usize>, f: impl Fn(f32) -> f64) -> Vec<f64> {
        let (rows, n) = (self.product().3.rows() / self.parts, self.sizes().1);
        let (x, w, y) = (
            (self.pass != ConvPass::Input).then(|| m.f32(self.x.buf)),
            (self.pass != ConvPass::Weights).then(|| m.f32(self.w)),
            (self.pass != ConvPass::Forward).then(|| m.f32(self.y.buf)),
        );
        let patches = Conv2d { pass: ConvPass::Forward, ..*self }.patches();
        let mut sums = vec![0.0; rows as usize * n as usize];
        for pixel in pixels {
            for (tap, seen) in (0..self.geometry.taps() as usize).filter_map(|tap| Some((tap, patches.seen(pixel, tap)?))) {
                for output in 0..self.y.channels() as usize {
                    for input in 0..self.x.channels() as usize {
                        let weight = tap * patches.depth + input;
                        let x = || f(x.as_ref().expect("read").row(seen)[input]);
                        let w = || f(w.as_ref().expect("read").row(output)[weight]);
                        let grad_y = || f(y.as_ref().expect("read").row(pixel)[output]);
                        match self.pass {
                            ConvPass::Forward => sums[pixel * n as usize + output] += x() * w(),
                            ConvPass::Weights => sums[output * n as usize + weight] += x() * grad_y(),
                            ConvPass::Input => sums[seen * n as usize + input] += w() * grad_y(),
                        }
                    }
                }
            }
        }
        sums
    }

    /// Σ f(grad_y) over the pixels of a part, for each output.
    fn bias_sums(&self, m: &HostMem, part: usize, f: impl Fn(f32) -> f64) -> Vec<f64> {
        let grad_y = m.f32(self.y.buf);
        let mut sums = vec![0.0; self.y.channels() as usize];
        for pixel in self.part(part) {
            sums.iter_mut().zip(grad_y.row(pixel)).for_each(|(sum, &v)| *sum += f(v));
        }
        sums
    }

    /// With sums in f64, which cost little beside the product.
    fn fast_bias_sums(&self, m: &HostMem) {
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
        let (patches, x) = (self.patches(), m.f32(self.x.buf));
        let offsets: Vec<usize> = (0..self.geometry.taps() as usize).map(|tap| tap * patches.depth).collect();
        let (channels, unfolded) = (self.x.channels() as usize, self.w.cols() as usize);
        let w = m.f32(self.w);
        let filters = RightSide { values: w.padded(), offsets: &offsets, length: channels, k_stride: 1, n_stride: unfolded };
        let panels = Panels::pack(Isa::best(), self.y.channels() as usize, filters);
        self.multiply(m, &patches, x.padded(), channels, &panels);
    }

    fn fast_input(&self, m: &HostMem) {
        let (patches, [down, across]) = (self.patches(), self.phases());
        let Geometry { kernel: [_, kernel_across], stride, .. } = self.geometry;
        let of_kernel = |tap: u32| {
            let [y, x] = [tap / across.taps, tap % across.taps];
            ((down.tap - stride * y) * kernel_across + across.tap - stride * x) as usize
        };
        let offsets: Vec<usize> = (0..down.taps * across.taps).map(|tap| of_kernel(tap) * row_stride(self.x.buf)).collect();
        let (outputs, w, grad_y) = (self.y.channels() as usize, m.f32(self.w), m.f32(self.y.buf));
        let filters = RightSide { values: w.padded(), offsets: &offsets, length: outputs, k_stride: self.w.cols() as usize, n_stride: 1 };
        let panels = Panels::pack(Isa::best(), self.x.channels() as usize, filters);
        self.multiply(m, &patches, grad_y.padded(), outputs, &panels);
    }

    /// What pixels see of `maps`, of which `channels` channels count, times packed filters, with the epilogue, to the pixels of the
    /// result or to those of the phase.
    fn multiply(&self, m: &HostMem, patches: &Patches, maps: &[f32], channels: usize, panels: &Panels) {
        let (_, _, _, result) = self.product();
        let (epilogue, n, stride) = (self.epilogue(m), self.sizes().1 as usize, row_stride(result));
        let taps = patches.count();
        // Rows of `c` for some pixels, each with where it starts.
        let multiply = |pixels: Range<usize>, starts: &mut Starts, c: &mut [f32], to: &[u32], accumulate: bool| {
            if channels <= FEW {
                return multiply_few(patches, pixels, (maps, channels), panels, c, to, accumulate);
            }
            let base = patches.starts(pixels, starts);
            panels.multiply(Pieces { values: &maps[base..], starts, count: taps, length: channels }, ResultMemory::of(c), to, accumulate);
        };
        let mut c = m.f32_mut(result);
        let (threads, at_once) = (rayon::current_num_threads(), if channels > FEW { panels.rows_at_once() } else { IN_PLANES });
        let in_place = epilogue.is_in_place() && taps > 0;
        // Computes some pixels, numbered as what sees; `to` says which ones of `c` they are, whose first one is pixel `base`.
        let compute = |pixels: Range<usize>, starts: &mut Starts, c: &mut [f32], base: usize, to: &[u32]| {
            if in_place {
                multiply(pixels, starts, c, to, self.accumulate);
                if n == stride && self.mask.is_none() && self.bias.is_none() && !self.relu {
                    return;
                }
                let close = |&start: &u32| epilogue.close(base + start as usize / stride, &mut c[start as usize..][..stride], n);
                return to.iter().for_each(close);
            }
            let (mut product, rows) = (vec![0.0; to.len() * stride], starts_of(0..to.len(), stride));
            if taps > 0 {
                multiply(pixels, starts, &mut product, &rows, false);
            }
            for (&start, product) in to.iter().zip(product.chunks(stride)) {
                epilogue.finish(base + start as usize / stride, &product[..n], &mut c[start as usize..][..stride]);
            }
        };
        if self.pass == ConvPass::Forward || self.geometry.stride == 1 {
            // Enough blocks for all threads.
            let share = (self.sizes().0 as usize).div_ceil(threads);
            let block = at_once.min(share.next_multiple_of(panels.height()));
            let to = starts_of(0..block, stride);
            return c.padded_mut().par_chunks_mut(block * stride).enumerate().for_each_init(Starts::default, |starts, (number, c)| {
                let (first, count) = (number * block, c.len() / stride);
                compute(first..first + count, starts, c, first, &to[..count]);
            });
        }
        let (of_phase, image) = (self.of_phase(), (self.x.height * self.x.width) as usize);
        let images = at_once.div_ceil(of_phase.len().max(1)).min((self.x.batch as usize).div_ceil(threads));
        let to = starts_of((0..images).flat_map(|batch| of_phase.iter().map(move |pixel| batch * image + pixel)), stride);
        c.padded_mut().par_chunks_mut(images * image * stride).enumerate().for_each_init(Starts::default, |starts, (block, c)| {
            let (first, count) = (block * images, c.len() / (image * stride) * of_phase.len());
            for from in (0..count).step_by(at_once) {
                let until = count.min(from + at_once);
                let pixels = first * of_phase.len() + from..first * of_phase.len() + until;
                compute(pixels, starts, c, first * image, &to[from..until]);
            }
        });
    }

    /// Sums of a part are in the order of its pixels, by whichever thread.
    fn fast_weights(&self, m: &HostMem) {
        let (outputs, unfolded) = (self.y.channels() as usize, self.w.cols() as usize);
        let (x, grad_y, epilogue) = (m.f32(self.x.buf), m.f32(self.y.buf), self.epilogue(m));
        let (depth, channels, stride) = (row_stride(self.x.buf), self.x.channels() as usize, row_stride(self.y.buf));
        let products = PatchProducts { patches: self.patches(), channels, x: x.padded(), grad_y: grad_y.padded(), stride };
        let (few, isa) = (channels <= FEW, Isa::best());
        // Outputs that fill vectors where they lie; inputs that do so too are as fast the other way around.
        let in_vectors = outputs.is_multiple_of(isa.lanes()) && outputs <= isa.widest() * isa.lanes() && depth < isa.widest() * isa.lanes();
        let height = if in_vectors { isa.lanes() } else { Panels::room(isa, 0, depth).height() };
        let rows = outputs.div_ceil(blocks(self.parts as usize, rayon::current_num_threads())).next_multiple_of(height);
        m.f32_mut(self.w).padded_mut().par_chunks_mut(outputs * unfolded).enumerate().for_each(|(part, w)| {
            w.par_chunks_mut(rows * unfolded).enumerate().for_each(|(block, w)| {
                let (first, count, pixels) = (block * rows, w.len() / unfolded, self.part(part));
                let rows = first..first + count;
                if !few && !in_vectors && self.mask.is_none() && !self.relu {
                    return products.add(pixels, rows, w, self.accumulate);
                }
                let mut product = vec![0.0; w.len()];
                match (few, in_vectors) {
                    (true, _) => products.of_few(pixels, rows, &mut product),
                    (false, true) => products.of_vectors(pixels, rows, &mut product),
                    (false, false) => products.add(pixels, rows, &mut product, false),
                }
                for (i, (w, product)) in w.chunks_mut(unfolded).zip(product.chunks(unfolded)).enumerate() {
                    epilogue.finish(first + i, product, w);
                }
            });
        });
    }
}

/// Into how many blocks to cut each of `parts` equal parts of some work, so that threads have equally much to do.
fn blocks(parts: usize, threads: usize) -> usize {
    (1..threads).find(|blocks| (parts * blocks).is_multiple_of(threads) || parts * blocks >= 8 * threads).unwrap_or(threads)
}

impl Kernel for Conv2d {
    interface! {
        self;
        let ((_, a, b, c), (m, n, k), patches, [down, across]) = (self.product(), self.sizes(), self.patches(), self.phases());
        let unfolded = (patches.length() / 4) as u32;
        params {
            ..block_params(a, b, m, n, k).into_iter().filter(|(name, _)| !name.ends_with("_quads")),
            a_quads: if self.pass == ConvPass::Weights { row_quads(a) } else { unfolded },
            b_quads: if self.pass == ConvPass::Input { row_quads(c) } else { unfolded },
            c_quads: row_quads(c),
            parts,
            part_k: self.part_k(),
            relu,
            source_height: patches.source[0],
            source_width: patches.source[1],
            first_y: patches.first[0] as u32,
            first_x: patches.first[1] as u32,
            result_height: self.x.height,
            result_width: self.x.width,
            phase_y: self.phase[0],
            phase_x: self.phase[1],
            tap_y: down.tap,
            tap_x: across.tap,
            outputs: self.y.channels(),
        }
        constants {
            ..runs_on(self.product().1, self.product().2),
            LAYOUT: self.product().0 as u32,
            PASS: self.pass as u32,
            KERNEL_TAPS: self.geometry.taps(),
            KERNEL_ACROSS: self.geometry.kernel[1],
            STRIDE: self.geometry.stride,
            // A patch without taps is never looked up.
            TAPS: self.patches().taps[1].max(1),
            PATCH_STRIDE: self.patches().stride,
            SOURCE_QUADS: (self.patches().depth / 4) as u32,
            // A phase without pixels has no invocations.
            HEIGHT: self.patches().rows[0].max(1),
            WIDTH: self.patches().rows[1].max(1),
            MASK: self.mask.is_some(),
            ACCUMULATE: self.accumulate,
            BIAS: self.bias.is_some(),
        }
    }

    fn bufs(&self) -> Vec<(&'static str, Buf)> {
        let (_, a, b, c) = self.product();
        // Without a bias or a mask the shader never reads that binding, but something must be bound.
        let mut bufs = vec![("a", a), ("b", b), ("bias", self.bias.unwrap_or(b)), ("mask", self.mask.unwrap_or(b)), ("c", c)];
        bufs.extend(self.sums.map(|sums| ("sums", sums)));
        bufs
    }

    fn variants(&self) -> &'static [Variant] {
        if self.sums.is_some() { WITH_SUMS } else { VARIANTS }
    }

    fn invocations(&self, variant: &Variant) -> u64 {
        tiles(self.sizes().0, self.product().3, self.parts, variant)
    }

    fn check_shapes(&self) -> Result<(), String> {
        let Conv2d { pass, geometry, x, y, .. } = *self;
        if geometry.stride == 0 || geometry.taps() == 0 {
            return Err(format!("{geometry:?}: kernel and stride are at least 1"));
        }
        if self.phase.iter().any(|&phase| phase >= geometry.stride) {
            return Err(format!("phase {:?} with a stride of {}", self.phase, geometry.stride));
        }
        if (y.batch, Some([y.height, y.width])) != (x.batch, geometry.output([x.height, x.width])) {
            return Err(format!("{geometry:?} of {}x{}x{} does not give {}x{}x{}", x.batch, x.height, x.width, y.batch, y.height, y.width));
        }
        let filters = geometry.filters(x.channels(), y.channels()).matrix();
        has("w", self.w, self.parts * filters.rows, filters.cols)?;
        self.bias.map_or(Ok(()), |bias| has("bias", bias, 1, y.channels()))?;
        let (_, _, _, c) = self.product();
        self.mask.map_or(Ok(()), |mask| has("mask", mask, c.rows(), c.cols()))?;
        self.sums.map_or(Ok(()), |sums| has("sums", sums, self.parts, y.channels()))?;
        let misplaced = [
            (self.bias.is_some() && pass != ConvPass::Forward, "a bias"),
            ((self.sums.is_some() || self.parts > 1) && pass != ConvPass::Weights, "sums or parts"),
            (self.phase != [0; 2] && pass != ConvPass::Input, "a phase"),
            (self.parts > 1 && (self.mask.is_some() || self.relu || self.accumulate), "an epilogue of parts"),
        ];
        misplaced.iter().find(|(wrong, _)| *wrong).map_or(Ok(()), |(_, what)| Err(format!("{what} with pass {pass:?}")))
    }

    fn accumulates(&self) -> bool {
        // What other phases left stays.
        self.accumulate || self.pass == ConvPass::Input && self.geometry.stride > 1
    }

    fn twin(&self, m: &HostMem) {
        let (rows, n) = (self.product().3.rows() / self.parts, self.sizes().1);
        let all = self.y.buf.rows() as usize;
        let pixels = |part: usize| (0..all).filter(move |&pixel| reference_part(all, self.parts, pixel) == part);
        let parts: Vec<_> = (0..self.parts as usize).into_par_iter().map(|part| self.sums(m, pixels(part), f64::from)).collect();
        let epilogue = self.epilogue(m);
        m.f32_mut(self.product().3).for_each_row(|i, c| {
            let (part, row) = (i / rows as usize, i % rows as usize);
            if self.pass == ConvPass::Input && !self.in_phase(i) {
                return;
            }
            for (j, (c, &sum)) in c.iter_mut().zip(&parts[part][row * n as usize..]).enumerate() {
                *c = epilogue.value(i, j, sum, *c);
            }
        });
        let Some(sums) = self.sums else { return };
        let grad_y = m.f32(self.y.buf);
        m.f32_mut(sums).for_each_row(|part, out| {
            for (output, out) in out.iter_mut().enumerate() {
                let sum: f64 = pixels(part).map(|pixel| f64::from(grad_y.row(pixel)[output])).sum();
                *out = if self.accumulate { sum + f64::from(*out) } else { sum } as f32;
            }
        });
    }

    fn fast(&self, m: &HostMem) {
        match self.pass {
            ConvPass::Forward => self.fast_forward(m),
            ConvPass::Weights => self.fast_weights(m),
            ConvPass::Input => self.fast_input(m),
        }
        self.fast_bias_sums(m);
    }

    /// Sums of rows err as sums of products do, with ones in the place of patches.
    fn tolerance(&self, output: &str, m: &HostMem, _: Exp) -> Tolerance {
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
        let taps = if self.pass == ConvPass::Input { self.phases().map(|side| side.taps) } else { self.geometry.kernel };
        let pixels = if self.pass == ConvPass::Input { self.sizes().0 } else { self.y.buf.rows() };
        // What padding of channels adds is no work asked for.
        2 * u64::from(pixels) * u64::from(taps[0] * taps[1] * self.x.channels()) * u64::from(self.y.channels())
    }
}

pub fn cases(c: &mut Cases<'_>) {
    let geometry = Geometry::square;
    let flat = |kernel, stride, padding| Geometry { kernel, stride, padding: Padding::Pixels(padding) };
    // (kernel, stride, padding), batch, height, width, inputs, outputs
    let sizes = [
        (geometry(3, 1, 1), 2, 5, 7, 3, 5),
        (geometry(3, 2, 1), 3, 9, 6, 4, 17),
        (geometry(1, 1, 0), 1, 1, 1, 1, 1),
        (geometry(1, 2, 0), 2, 7, 5, 5, 3),
        (geometry(7, 2, 3), 1, 13, 9, 3, 6),
        (geometry(3, 1, 0), 1, 3, 4, 33, 2),
        (geometry(3, 1, 1), 1, 8, 8, 1, 70),
        // Outputs that fill vectors.
        (geometry(3, 2, 1), 2, 9, 8, 3, 16),
        (geometry(3, 2, 1), 2, 9, 7, 8, 32),
        (geometry(5, 1, 2), 1, 6, 11, 12, 16),
        (Geometry::same(3, 2), 2, 8, 5, 3, 6),
        // Kernels that are not square, with few channels and with many.
        (flat([3, 3], 1, [0, 1]), 2, 7, 6, 1, 24),
        (flat([1, 3], 1, [0, 1]), 2, 5, 7, 12, 16),
        (flat([3, 1], 1, [0, 0]), 2, 6, 5, 9, 5),
        (flat([2, 5], 2, [1, 2]), 2, 7, 9, 5, 32),
    ];
    for (geometry, batch, height, width, inputs, outputs) in sizes {
        let [out_height, out_width] = geometry.output([height, width]).expect("large enough");
        let filters = geometry.filters(inputs, outputs).matrix();
        let x = |c: &mut Cases<'_>| Maps::new(c.uniform(batch * height * width, inputs), batch, height, width);
        let y = |c: &mut Cases<'_>| Maps::new(c.uniform(batch * out_height * out_width, outputs), batch, out_height, out_width);
        let w = |c: &mut Cases<'_>| c.tensor(geometry.filters(inputs, outputs));
        for pass in [ConvPass::Forward, ConvPass::Weights, ConvPass::Input] {
            let plain = Conv2d::new(pass, geometry, x(c), w(c), y(c));
            c.add(plain);
            // Some of them without any tap, where the kernel is smaller than the stride.
            let phases = [[0, 1], [1, 0], [1, 1]].into_iter().filter(|_| pass == ConvPass::Input && geometry.stride == 2);
            for phase in phases {
                let of_phase = Conv2d::new(pass, geometry, x(c), w(c), y(c));
                c.add(Conv2d { phase, ..of_phase });
            }
            // Every part of the epilogue, in the pass that has it in a training step. Each geometry is compiled on its
            // own, so two of them are enough.
            if geometry.side() != Some(3) || geometry.padding != Padding::Pixels([1; 2]) {
                continue;
            }
            let again = Conv2d::new(pass, geometry, x(c), w(c), y(c));
            match pass {
                ConvPass::Forward => {
                    let bias = Some(c.uniform(1, outputs));
                    c.add(Conv2d { bias, relu: true, ..again });
                }
                ConvPass::Weights => {
                    let sums = Some(c.uniform(1, outputs));
                    c.add(Conv2d { sums, accumulate: true, ..again });
                    let (w, sums) = (c.uniform(3 * filters.rows, filters.cols), Some(c.uniform(3, outputs)));
                    c.add(Conv2d { w, sums, parts: 3, ..plain });
                }
                ConvPass::Input => {
                    let mask = Some(c.uniform(batch * height * width, inputs));
                    c.add(Conv2d { mask, accumulate: true, ..again });
                }
            }
        }
    }
}
