//! Recurrent layers: all steps of all sequences in one call. Gated recurrent units (Cho et al., 2014) and long short-term memory
//! (Hochreiter and Schmidhuber, 1997), with PyTorch's formulas and order of gates.

use multiversion::multiversion;
use rayon::prelude::*;

use super::activation::{Function, fast_sigmoid, fast_tanh};
use super::attention::{case_rows, case_tokens};
use super::embedding_bag::tokens_of;
use super::matmul::row_stride;
use super::{Cases, has};
use crate::core::buffer::{Buf, Fill, shape};
use crate::core::memory::HostMem;
use crate::core::program::{EPSILON, Exp, Kernel, Scalar, Tolerance};
use crate::core::sample::NO_TOKEN;
use crate::core::shader::{DeviceClass, Variant};
use crate::host::microkernel::{Isa, Pieces, ResultMemory, Starts};
use crate::host::panels::{Panels, RightSide};

/// What a step does.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Cell {
    /// r and z = σ, n = tanh(x_n + r (w_n h + b_n)), h = (1 - z) n + z h.
    Gru,
    /// i, f and o = σ, g = tanh, c = f c + i g, h = o tanh(c): in the order i, f, g, o.
    Lstm,
}

impl Cell {
    /// Blocks of rows of its weights, each as many as there are units.
    pub fn gates(self) -> u32 {
        match self {
            Cell::Gru => 3,
            Cell::Lstm => 4,
        }
    }

    /// What goes from step to step: h, or h and c.
    pub fn states(self) -> u32 {
        match self {
            Cell::Gru => 1,
            Cell::Lstm => 2,
        }
    }

    /// Numbers of each unit and step that gradients are made of: the gates, and w_n h + b_n or c.
    pub fn kept(self) -> u32 {
        self.gates() + 1
    }
}

/// Gradients have five numbers of each unit in workgroup memory, and some sums in parts.
pub const MOST_UNITS: u32 = 512;

/// `x`: `[batch * length, gates * width]`, what inputs say to the gates; `w`: `[gates * width, width]`; `b`: `[1, gates * width]`;
/// `tokens` (u32): `[batch, length]`, [`NO_TOKEN`] behind the last one of a sequence. The layer begins with zeros at a sequence's first
/// token, or at its last one if it goes in `reverse`. `y`: `[batch * length, width]`, the state after each step; `kept`:
/// `[batch * length, kept * width]` and `before`: `[batch * length, width]`, the states before, for gradients; all of them zeros where
/// there is no token. `last`: `[batch, states * width]`, after the last step.
pub struct Recurrent {
    pub cell: Cell,
    pub reverse: bool,
    pub x: Buf,
    pub w: Buf,
    pub b: Buf,
    pub tokens: Buf,
    pub y: Buf,
    pub kept: Buf,
    pub before: Buf,
    pub last: Buf,
}

/// Sequences, and a layer that walks through them.
#[derive(Clone, Copy)]
pub(super) struct Walk {
    pub(super) cell: Cell,
    pub(super) reverse: bool,
    pub(super) batch: usize,
    pub(super) length: usize,
    pub(super) width: usize,
}

impl Walk {
    pub(super) fn of(cell: Cell, reverse: bool, w: Buf, tokens: Buf) -> Self {
        let [batch, length, width] = [tokens.rows(), tokens.cols(), w.cols()].map(|size| size as usize);
        Walk { cell, reverse, batch, length, width }
    }

    pub(super) fn check(self, w: Buf) -> Result<(), String> {
        if w.cols() > MOST_UNITS {
            return Err(format!("{} units; a layer has {MOST_UNITS} at most", w.cols()));
        }
        has("w", w, self.cell.gates() * w.cols(), w.cols())
    }

    /// Checks that `buf` has a row of `blocks` numbers of each unit for each step.
    pub(super) fn has_steps(self, name: &str, buf: Buf, blocks: u32) -> Result<(), String> {
        has(name, buf, (self.batch * self.length) as u32, blocks * self.width as u32)
    }

    /// Checks that `buf` has a row of states for each sequence.
    pub(super) fn has_states(self, name: &str, buf: Buf) -> Result<(), String> {
        has(name, buf, self.batch as u32, self.cell.states() * self.width as u32)
    }

    pub(super) fn params(self, tokens: Buf) -> [(&'static str, Scalar); 2] {
        [("length", (self.length as u32).into()), ("token_stride", tokens.shape.stride().into())]
    }

    pub(super) fn constants(self) -> [(&'static str, u32); 3] {
        [("WIDTH", self.width as u32), ("REVERSE", self.reverse.into()), ("NO_TOKEN", NO_TOKEN)]
    }

    /// Steps of each sequence.
    pub(super) fn counts(self, tokens: &[u32], stride: usize) -> Vec<usize> {
        tokens.chunks(stride).map(|row| tokens_of(&row[..self.length]).len()).collect()
    }

    /// The place in its sequence of step `step` of `count`.
    pub(super) fn place(self, step: usize, count: usize) -> usize {
        if self.reverse { count - 1 - step } else { step }
    }

    /// Sequences that the CPU takes at a time: whole tiles of products, or less where there are more threads.
    pub(super) fn at_once(self) -> usize {
        const MOST: usize = 24;
        self.batch.div_ceil(rayon::current_num_threads()).clamp(1, MOST)
    }

    /// Multiplications and additions of all steps' products.
    pub(super) fn flops(self) -> u64 {
        2 * (self.batch * self.length * self.width * self.width) as u64 * u64::from(self.cell.gates())
    }
}

/// Some sequences, longest first, so that those that have a step come first.
pub(super) struct Together {
    /// Which of them, and how many steps they have.
    pub(super) order: Vec<(usize, usize)>,
    starts: Starts,
    to: Vec<u32>,
}

impl Together {
    pub(super) fn of(counts: &[usize]) -> Self {
        let mut order: Vec<(usize, usize)> = counts.iter().copied().enumerate().collect();
        order.sort_by_key(|&(_, count)| std::cmp::Reverse(count));
        Together { order, starts: Starts::default(), to: Vec::new() }
    }

    /// Steps of the longest.
    pub(super) fn steps(&self) -> usize {
        self.order.first().map_or(0, |&(_, count)| count)
    }

    /// Those that have step `step`, from 0.
    pub(super) fn with_step(&self, step: usize) -> usize {
        self.order.partition_point(|&(_, count)| count > step)
    }

    /// `rows` rows of `from`, each `[inner]`, times the right side; to or added to rows of `to`, each `[columns]`.
    pub(super) fn multiply(
        &mut self,
        panels: &Panels,
        rows: usize,
        (from, inner): (&[f32], usize),
        (to, columns): (&mut [f32], usize),
        accumulate: bool,
    ) {
        if self.to.len() != rows || self.to.get(1).is_some_and(|&second| second != columns as u32) {
            self.starts.clear(rows);
            self.starts.say(0, rows, 0, inner as u32);
            self.to = (0..rows).map(|row| (row * columns) as u32).collect();
        }
        let left = Pieces { values: from, starts: &self.starts, count: 1, length: inner };
        panels.multiply(left, ResultMemory::of(to), &self.to, accumulate);
    }
}

/// A number, and how far it may lie off where it is computed in f32.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rough {
    pub(super) value: f64,
    pub(super) error: f64,
}

impl Rough {
    pub(super) fn exact(value: impl Into<f64>) -> Self {
        Rough { value: value.into(), error: 0.0 }
    }

    /// With two roundings, of which compilers may spare one.
    fn rounded(value: f64, error: f64) -> Self {
        Rough { value, error: error + 2.0 * EPSILON * (value.abs() + error) }
    }

    pub(super) fn plus(self, other: Rough) -> Self {
        Rough::rounded(self.value + other.value, self.error + other.error)
    }

    pub(super) fn minus(self, other: Rough) -> Self {
        Rough::rounded(self.value - other.value, self.error + other.error)
    }

    pub(super) fn times(self, other: Rough) -> Self {
        let error = self.error * (other.value.abs() + other.error) + self.value.abs() * other.error;
        Rough::rounded(self.value * other.value, error)
    }

    /// The sum of `terms` times numbers that are exact, in any order.
    pub(super) fn sum(terms: impl Iterator<Item = (f32, Rough)>) -> Self {
        let (mut value, mut error, mut size, mut count) = (0.0, 0.0, 0.0, 0.0);
        for (factor, term) in terms {
            let factor = f64::from(factor);
            value += factor * term.value;
            error += factor.abs() * term.error;
            size += factor.abs() * (term.value.abs() + term.error);
            count += 1.0;
        }
        Rough { value, error: error + 2.0 * EPSILON * (count + 2.0) * size }
    }

    /// σ of it: no steeper than at its value and an error's curvature more.
    fn sigmoid(self, exp: Exp) -> Self {
        let value = Function::Sigmoid.of(self.value);
        let slope = (value * (1.0 - value) + 0.1 * self.error).min(0.25);
        Rough { value, error: slope * self.error + Function::Sigmoid.error(self.value, exp) }
    }

    /// Likewise.
    pub(super) fn tanh(self, exp: Exp) -> Self {
        let value = Function::Tanh.of(self.value);
        let slope = (1.0 - value * value + 0.77 * self.error).min(1.0);
        Rough { value, error: slope * self.error + Function::Tanh.error(self.value, exp) }
    }

    pub(super) fn one_less(self) -> Self {
        Rough::exact(1.0).minus(self)
    }
}

/// What a step of one unit leaves: its state, the second one if it has one, and what is kept.
struct UnitStep {
    h: Rough,
    c: Rough,
    kept: Vec<Rough>,
}

impl Cell {
    /// Of one unit, from what inputs say to its gates, the sums over states, and its states.
    fn step(self, x: &[f32], sums: &[Rough], [h, c]: [Rough; 2], exp: Exp) -> UnitStep {
        let gate = |gate: usize| Rough::exact(x[gate]).plus(sums[gate]);
        match self {
            Cell::Gru => {
                let [r, z] = [0, 1].map(|i| gate(i).sigmoid(exp));
                let n = Rough::exact(x[2]).plus(r.times(sums[2])).tanh(exp);
                UnitStep { h: z.one_less().times(n).plus(z.times(h)), c, kept: vec![r, z, n, sums[2]] }
            }
            Cell::Lstm => {
                let [i, f, o] = [0, 1, 3].map(|i| gate(i).sigmoid(exp));
                let g = gate(2).tanh(exp);
                let c = f.times(c).plus(i.times(g));
                UnitStep { h: o.times(c.tanh(exp)), c, kept: vec![i, f, g, o, c] }
            }
        }
    }
}

/// What a sequence leaves, by place: states after and before, and what is kept; and the last states.
struct Trace {
    y: Vec<Vec<Rough>>,
    before: Vec<Vec<Rough>>,
    kept: Vec<Vec<Rough>>,
    last: Vec<Rough>,
}

impl Recurrent {
    fn walk(&self) -> Walk {
        Walk::of(self.cell, self.reverse, self.w, self.tokens)
    }

    fn trace(&self, m: &HostMem, sequence: usize, exp: Exp) -> Trace {
        let (walk, x, w, b, tokens) = (self.walk(), m.f32(self.x), m.f32(self.w), m.f32(self.b), m.u32(self.tokens));
        let (width, gates) = (walk.width, self.cell.gates() as usize);
        let zeros = |blocks: u32| vec![vec![Rough::exact(0.0); blocks as usize * width]; walk.length];
        let mut trace = Trace { y: zeros(1), before: zeros(1), kept: zeros(self.cell.kept()), last: Vec::new() };
        let [mut h, mut c] = [(); 2].map(|()| vec![Rough::exact(0.0); width]);
        let count = tokens_of(tokens.row(sequence)).len();
        for place in (0..count).map(|step| walk.place(step, count)) {
            let sums: Vec<Rough> = (0..gates * width)
                .map(|j| Rough::sum(w.row(j).iter().copied().zip(h.iter().copied())).plus(Rough::exact(b.row(0)[j])))
                .collect();
            trace.before[place].copy_from_slice(&h);
            let x = x.row(sequence * walk.length + place);
            for u in 0..width {
                let at = |gate: usize| gate * width + u;
                let (x, sums): (Vec<f32>, Vec<Rough>) = (0..gates).map(|gate| (x[at(gate)], sums[at(gate)])).unzip();
                let step = self.cell.step(&x, &sums, [h[u], c[u]], exp);
                (h[u], c[u]) = (step.h, step.c);
                step.kept.into_iter().enumerate().for_each(|(block, value)| trace.kept[place][at(block)] = value);
            }
            trace.y[place].copy_from_slice(&h);
        }
        trace.last = match self.cell {
            Cell::Gru => h,
            Cell::Lstm => [h, c].concat(),
        };
        trace
    }

    /// The elements of an output that belong to one sequence.
    fn output(trace: Trace, output: &str) -> Vec<Rough> {
        match output {
            "y" => trace.y.concat(),
            "before" => trace.before.concat(),
            "kept" => trace.kept.concat(),
            _ => trace.last,
        }
    }
}

/// What each step of a unit needs, `width` numbers for each gate: what inputs say, and the sums over states without their bias.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
fn gru_step(x: [&[f32]; 3], b: [&[f32]; 3], sums: [&[f32]; 3], h: &mut [f32], kept: [&mut [f32]; 4]) {
    let width = h.len();
    let ([x_r, x_z, x_n], [b_r, b_z, b_n], [s_r, s_z, s_n]) = (x.map(|x| &x[..width]), b.map(|b| &b[..width]), sums.map(|s| &s[..width]));
    let [to_r, to_z, to_n, to_inner] = kept.map(|kept| &mut kept[..width]);
    for u in 0..width {
        let inner = s_n[u] + b_n[u];
        let r = fast_sigmoid(x_r[u] + (s_r[u] + b_r[u]));
        let z = fast_sigmoid(x_z[u] + (s_z[u] + b_z[u]));
        let n = fast_tanh(x_n[u] + r * inner);
        (to_r[u], to_z[u], to_n[u], to_inner[u]) = (r, z, n, inner);
        h[u] = (1.0 - z) * n + z * h[u];
    }
}

#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
fn lstm_step(x: [&[f32]; 4], b: [&[f32]; 4], sums: [&[f32]; 4], h: &mut [f32], c: &mut [f32], kept: [&mut [f32]; 5]) {
    let width = h.len();
    let (x, b, s) = (x.map(|x| &x[..width]), b.map(|b| &b[..width]), sums.map(|s| &s[..width]));
    let ([to_i, to_f, to_g, to_o, to_c], c) = (kept.map(|kept| &mut kept[..width]), &mut c[..width]);
    for u in 0..width {
        let gate = |gate: usize| x[gate][u] + (s[gate][u] + b[gate][u]);
        let (i, f, g, o) = (fast_sigmoid(gate(0)), fast_sigmoid(gate(1)), fast_tanh(gate(2)), fast_sigmoid(gate(3)));
        c[u] = f * c[u] + i * g;
        (to_i[u], to_f[u], to_g[u], to_o[u], to_c[u]) = (i, f, g, o, c[u]);
        h[u] = o * fast_tanh(c[u]);
    }
}

/// Blocks of `width` numbers, side by side in a row.
pub(super) fn blocks<const N: usize>(row: &[f32], width: usize) -> [&[f32]; N] {
    std::array::from_fn(|block| &row[block * width..(block + 1) * width])
}

pub(super) fn blocks_mut<const N: usize>(row: &mut [f32], width: usize) -> [&mut [f32]; N] {
    let mut blocks = row.chunks_exact_mut(width);
    std::array::from_fn(|_| blocks.next().expect("a row has all of its blocks"))
}

/// Few invocations where chips are simulated, many where they have a core to themselves.
pub(super) const fn variants(parts: &'static [&'static str], name: &'static str) -> [Variant; 2] {
    const HARDWARE: &[DeviceClass] = &[DeviceClass::Hardware];
    const SOFTWARE: &[DeviceClass] = &[DeviceClass::Software];
    [
        Variant { consts: &[("WG", 256)], default_for: HARDWARE, ..Variant::plain(name, parts) },
        Variant { consts: &[("WG", 64)], default_for: SOFTWARE, ..Variant::plain(name, parts) },
    ]
}

const GRU: &[Variant] = &variants(&[crate::wgsl!("recurrent_steps"), crate::wgsl!("recurrent_gru"), crate::wgsl!("recurrent")], "recurrent");
const LSTM: &[Variant] = &variants(&[crate::wgsl!("recurrent_steps"), crate::wgsl!("recurrent_lstm"), crate::wgsl!("recurrent")], "recurrent");

impl Kernel for Recurrent {
    interface! {
        self;
        bufs { x, w, b, tokens, y, kept, before, last }
        params {
            ..self.walk().params(self.tokens),
            x_stride: self.x.shape.stride(),
            stride: self.y.shape.stride(),
            kept_stride: self.kept.shape.stride(),
            last_stride: self.last.shape.stride(),
        }
        constants { ..self.walk().constants(), }
    }

    fn variants(&self) -> &'static [Variant] {
        match self.cell {
            Cell::Gru => GRU,
            Cell::Lstm => LSTM,
        }
    }

    fn invocations(&self, variant: &Variant) -> u64 {
        u64::from(self.tokens.rows()) * u64::from(variant.constant("WG"))
    }

    fn check_shapes(&self) -> Result<(), String> {
        let walk = self.walk();
        walk.check(self.w)?;
        has("b", self.b, 1, self.w.rows())?;
        for (name, buf, blocks) in
            [("x", self.x, self.cell.gates()), ("y", self.y, 1), ("kept", self.kept, self.cell.kept()), ("before", self.before, 1)]
        {
            walk.has_steps(name, buf, blocks)?;
        }
        walk.has_states("last", self.last)
    }

    fn twin(&self, m: &HostMem) {
        let traces: Vec<Trace> =
            (0..self.tokens.rows() as usize).into_par_iter().map(|sequence| self.trace(m, sequence, Exp::Specified)).collect();
        let length = self.tokens.cols() as usize;
        let write = |to: &mut [f32], from: &[Rough]| to.iter_mut().zip(from).for_each(|(to, from)| *to = from.value as f32);
        m.f32_mut(self.y).for_each_row(|r, y| write(y, &traces[r / length].y[r % length]));
        m.f32_mut(self.kept).for_each_row(|r, kept| write(kept, &traces[r / length].kept[r % length]));
        m.f32_mut(self.before).for_each_row(|r, before| write(before, &traces[r / length].before[r % length]));
        m.f32_mut(self.last).for_each_row(|r, last| write(last, &traces[r].last));
    }

    /// Sequences side by side: a step of some of them is one product, and its elements' functions.
    fn fast(&self, m: &HostMem) {
        let (walk, x, w, b, tokens) = (self.walk(), m.f32(self.x), m.f32(self.w), m.f32(self.b), m.u32(self.tokens));
        let Walk { length, width, .. } = walk;
        let [x_stride, w_stride, stride, kept_stride, last_stride] = [self.x, self.w, self.y, self.kept, self.last].map(row_stride);
        let rows = self.cell.gates() as usize * width;
        let right = RightSide { values: w.padded(), offsets: &[0], length: width, k_stride: 1, n_stride: w_stride };
        let panels = Panels::pack(Isa::best(), rows, right);
        let (counts, at_once) = (walk.counts(tokens.padded(), self.tokens.shape.stride() as usize), walk.at_once());
        let [mut y, mut kept, mut before, mut last] = [self.y, self.kept, self.before, self.last].map(|buf| m.f32_mut(buf));
        let outputs = (y.padded_mut().par_chunks_mut(at_once * length * stride))
            .zip(kept.padded_mut().par_chunks_mut(at_once * length * kept_stride))
            .zip(before.padded_mut().par_chunks_mut(at_once * length * stride))
            .zip(last.padded_mut().par_chunks_mut(at_once * last_stride));
        outputs.zip(counts.par_chunks(at_once)).enumerate().for_each(|(block, ((((y, kept), before), last), counts))| {
            let mut together = Together::of(counts);
            let [mut h, mut c] = [(); 2].map(|()| vec![0.0; counts.len() * width]);
            let mut sums = vec![0.0; counts.len() * rows];
            for step in 0..together.steps() {
                let present = together.with_step(step);
                if step > 0 {
                    together.multiply(&panels, present, (&h, width), (&mut sums, rows), false);
                }
                for (i, &(sequence, count)) in together.order[..present].iter().enumerate() {
                    let row = sequence * length + walk.place(step, count);
                    let (x, sums) = (&x.padded()[(block * at_once * length + row) * x_stride..], &sums[i * rows..]);
                    let (h, c) = (&mut h[i * width..(i + 1) * width], &mut c[i * width..(i + 1) * width]);
                    let kept = &mut kept[row * kept_stride..(row + 1) * kept_stride];
                    copy(h, &mut before[row * stride..(row + 1) * stride]);
                    match self.cell {
                        Cell::Gru => {
                            gru_step(blocks(x, width), blocks(b.row(0), width), blocks(sums, width), h, blocks_mut(kept, width));
                        }
                        Cell::Lstm => {
                            lstm_step(blocks(x, width), blocks(b.row(0), width), blocks(sums, width), h, c, blocks_mut(kept, width));
                        }
                    }
                    kept[self.cell.kept() as usize * width..].fill(0.0);
                    copy(h, &mut y[row * stride..(row + 1) * stride]);
                }
            }
            last.fill(0.0);
            for (i, &(sequence, count)) in together.order.iter().enumerate() {
                let last = &mut last[sequence * last_stride..];
                last[..width].copy_from_slice(&h[i * width..(i + 1) * width]);
                if self.cell == Cell::Lstm {
                    last[width..2 * width].copy_from_slice(&c[i * width..(i + 1) * width]);
                }
                let past = sequence * length + count..(sequence + 1) * length;
                y[past.start * stride..past.end * stride].fill(0.0);
                before[past.start * stride..past.end * stride].fill(0.0);
                kept[past.start * kept_stride..past.end * kept_stride].fill(0.0);
            }
        });
    }

    /// Errors of a step go on into the next, as far as their sizes tell.
    fn tolerance(&self, output: &str, m: &HostMem, exp: Exp) -> Tolerance {
        let bounds = (0..self.tokens.rows() as usize).into_par_iter().flat_map_iter(|sequence| {
            Recurrent::output(self.trace(m, sequence, exp), output).into_iter().map(|rough| rough.error + 1e-30)
        });
        Tolerance::Each(bounds.collect())
    }

    fn flops(&self) -> u64 {
        self.walk().flops()
    }
}

/// A row and its pad.
fn copy(from: &[f32], to: &mut [f32]) {
    let (to, pad) = to.split_at_mut(from.len());
    to.copy_from_slice(from);
    pad.fill(0.0);
}

/// (batch, length, units, magnitude of weights): one place, odd lengths, units that fill no quad, more of them than invocations, and than
/// an invocation's rows; weights are small enough for errors to fade.
pub(super) const SIZES: [(u32, u32, u32, f32); 6] =
    [(1, 1, 1, 1.0), (9, 7, 3, 0.8), (5, 12, 5, 0.5), (3, 33, 16, 0.15), (4, 9, 67, 0.05), (2, 3, 130, 0.02)];

/// Calls `f(cell, reverse, batch, length, width, magnitude)` for each size in one way, and for some in the others.
pub(super) fn each_case(mut f: impl FnMut(Cell, bool, [u32; 3], f32)) {
    for (i, (batch, length, width, magnitude)) in SIZES.into_iter().enumerate() {
        for cell in [Cell::Gru, Cell::Lstm] {
            for reverse in if i < 3 { vec![false, true] } else { vec![i % 2 == 1] } {
                f(cell, reverse, [batch, length, width], magnitude);
            }
        }
    }
}

pub fn cases(c: &mut Cases<'_>) {
    each_case(|cell, reverse, [batch, length, width], magnitude| {
        let (tokens, gates) = (case_tokens(batch, length), cell.gates() * width);
        let x = case_rows(c, &tokens, gates, 1.0, 1);
        let w = c.filled(shape(gates, width), Fill::Uniform(magnitude));
        let b = c.uniform(1, gates);
        let tokens = c.filled(shape(batch, length), Fill::U32(tokens));
        let steps = batch * length;
        let [y, kept, before] = [1, cell.kept(), 1].map(|blocks| c.output(steps, blocks * width));
        let last = c.output(batch, cell.states() * width);
        c.add(Recurrent { cell, reverse, x, w, b, tokens, y, kept, before, last });
    });
}
