//! The gradients of recurrent layers by what goes into their gates: all steps of all sequences in one call, from the last to the first.

use multiversion::multiversion;
use rayon::prelude::*;

use super::activation::fast_tanh;
use super::attention::{case_rows, case_tokens};
use super::embedding_bag::tokens_of;
use super::matmul::row_stride;
use super::recurrent::{Cell, Rough, Together, Walk, blocks, blocks_mut, each_case, variants};
use super::{Cases, has};
use crate::core::buffer::{Buf, Fill, shape};
use crate::core::memory::{HostMem, Rows};
use crate::core::program::{Exp, Kernel, Tolerance};
use crate::core::random::{signed_unit, threefry};
use crate::core::sample::NO_TOKEN;
use crate::core::shader::Variant;
use crate::host::microkernel::Isa;
use crate::host::panels::{Panels, RightSide};

/// What only some cells have.
#[derive(Clone, Copy)]
pub enum CellGradients {
    /// `before`: `[batch * length, width]`, the states before each step; `hidden`: as `grad`, by the products with them.
    Gru { before: Buf, hidden: Buf },
    /// Both are one: those of the products are `grad`.
    Lstm,
}

/// `grad_y`: `[batch * length, width]`; `grad_last`: `[batch, states * width]`; `kept`, `w`, `tokens`: as in
/// [`Recurrent`](super::recurrent::Recurrent); `grad`: `[batch * length, gates * width]`, by what inputs say to the gates: zeros where there
/// is no token.
pub struct RecurrentBackward {
    pub of: CellGradients,
    pub reverse: bool,
    pub grad_y: Buf,
    pub grad_last: Buf,
    pub kept: Buf,
    pub w: Buf,
    pub tokens: Buf,
    pub grad: Buf,
}

/// What is read, as rows.
struct RecurrentRows<'a> {
    grad_y: Rows<'a, f32>,
    grad_last: Rows<'a, f32>,
    kept: Rows<'a, f32>,
    before: Option<Rows<'a, f32>>,
    w: Rows<'a, f32>,
}

/// The gradients of a unit's gates by themselves and through products, and what stands beside.
struct Retreat {
    grad: Vec<Rough>,
    hidden: Vec<Rough>,
    beside: Rough,
}

/// v (1 - v), the slope of a sigmoid whose value is v.
fn sigmoid_slope(v: Rough) -> Rough {
    v.times(v.one_less())
}

/// 1 - v², the slope of a tanh.
fn tanh_slope(v: Rough) -> Rough {
    v.times(v).one_less()
}

impl Cell {
    /// From the gradient of a unit's state, what is beside it, and what is kept; `earlier` is the state before, or the cell before.
    fn retreat(self, slope: Rough, beside: Rough, kept: &[f32], earlier: f32, exp: Exp) -> Retreat {
        let (kept, earlier): (Vec<Rough>, _) = (kept.iter().map(|&v| Rough::exact(v)).collect(), Rough::exact(earlier));
        match self {
            Cell::Gru => {
                let [r, z, n, inner] = [0, 1, 2, 3].map(|i| kept[i]);
                let slope = slope.plus(beside);
                let by_z = slope.times(earlier.minus(n)).times(sigmoid_slope(z));
                let by_n = slope.times(z.one_less()).times(tanh_slope(n));
                let by_r = by_n.times(inner).times(sigmoid_slope(r));
                Retreat { grad: vec![by_r, by_z, by_n], hidden: vec![by_r, by_z, by_n.times(r)], beside: slope.times(z) }
            }
            Cell::Lstm => {
                let [i, f, g, o] = [0, 1, 2, 3].map(|i| kept[i]);
                let t = kept[4].tanh(exp);
                let cell = beside.plus(slope.times(o).times(tanh_slope(t)));
                let grad = vec![
                    cell.times(g).times(sigmoid_slope(i)),
                    cell.times(earlier).times(sigmoid_slope(f)),
                    cell.times(i).times(tanh_slope(g)),
                    slope.times(t).times(sigmoid_slope(o)),
                ];
                Retreat { hidden: grad.clone(), grad, beside: cell.times(f) }
            }
        }
    }
}

impl RecurrentBackward {
    fn cell(&self) -> Cell {
        match self.of {
            CellGradients::Gru { .. } => Cell::Gru,
            CellGradients::Lstm => Cell::Lstm,
        }
    }

    fn walk(&self) -> Walk {
        Walk::of(self.cell(), self.reverse, self.w, self.tokens)
    }

    /// Sums over the rows of `w` are divided among the invocations of a group: into so many parts.
    fn parts(&self) -> u32 {
        const AT_ONCE: u32 = 256;
        (AT_ONCE / self.w.cols().div_ceil(4)).clamp(1, 16)
    }

    fn read<'a>(&self, m: &'a HostMem) -> RecurrentRows<'a> {
        let [grad_y, grad_last, kept, w] = [self.grad_y, self.grad_last, self.kept, self.w].map(|buf| m.f32(buf));
        let before = match self.of {
            CellGradients::Gru { before, .. } => Some(m.f32(before)),
            CellGradients::Lstm => None,
        };
        RecurrentRows { grad_y, grad_last, kept, before, w }
    }

    /// By gates themselves and through products, by place.
    fn trace(&self, from: &RecurrentRows<'_>, tokens: &Rows<u32>, sequence: usize, exp: Exp) -> [Vec<Vec<Rough>>; 2] {
        let (walk, cell) = (self.walk(), self.cell());
        let (width, gates) = (walk.width, cell.gates() as usize);
        let [mut grad, mut hidden] = [(); 2].map(|()| vec![vec![Rough::exact(0.0); gates * width]; walk.length]);
        let last: Vec<Rough> = from.grad_last.row(sequence).iter().map(|&v| Rough::exact(v)).collect();
        let mut slopes = last[..width].to_vec();
        let mut beside = if cell == Cell::Lstm { last[width..].to_vec() } else { vec![Rough::exact(0.0); width] };
        let count = tokens_of(tokens.row(sequence)).len();
        for step in (0..count).rev() {
            let place = walk.place(step, count);
            let row = |step: usize| sequence * walk.length + walk.place(step, count);
            let kept = from.kept.row(row(step));
            for u in 0..width {
                let kept: Vec<f32> = (0..cell.kept() as usize).map(|block| kept[block * width + u]).collect();
                let earlier = match &from.before {
                    Some(before) => before.row(row(step))[u],
                    None if step > 0 => from.kept.row(row(step - 1))[4 * width + u],
                    None => 0.0,
                };
                let slope = Rough::exact(from.grad_y.row(row(step))[u]).plus(slopes[u]);
                let retreat = cell.retreat(slope, beside[u], &kept, earlier, exp);
                beside[u] = retreat.beside;
                for gate in 0..gates {
                    grad[place][gate * width + u] = retreat.grad[gate];
                    hidden[place][gate * width + u] = retreat.hidden[gate];
                }
            }
            slopes = (0..width).map(|u| Rough::sum((0..gates * width).map(|j| (from.w.row(j)[u], hidden[place][j])))).collect();
        }
        [grad, hidden]
    }

    fn traces(&self, m: &HostMem, exp: Exp) -> Vec<[Vec<Vec<Rough>>; 2]> {
        let (from, tokens) = (self.read(m), m.u32(self.tokens));
        (0..self.tokens.rows() as usize).into_par_iter().map(|sequence| self.trace(&from, &tokens, sequence, exp)).collect()
    }
}

/// `slope` is the gradient of the state through what comes later; it becomes that of the state before, as far as no product is in between.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
fn gru_retreat(grad_y: &[f32], slope: &mut [f32], before: &[f32], kept: [&[f32]; 4], grad: [&mut [f32]; 3], hidden: [&mut [f32]; 3]) {
    let width = slope.len();
    let ([r, z, n, inner], grad_y, before) = (kept.map(|kept| &kept[..width]), &grad_y[..width], &before[..width]);
    let ([to_r, to_z, to_n], [by_r, by_z, by_n]) = (grad.map(|grad| &mut grad[..width]), hidden.map(|hidden| &mut hidden[..width]));
    for u in 0..width {
        let all = grad_y[u] + slope[u];
        let of_z = all * (before[u] - n[u]) * (z[u] * (1.0 - z[u]));
        let of_n = all * (1.0 - z[u]) * (1.0 - n[u] * n[u]);
        let of_r = of_n * inner[u] * (r[u] * (1.0 - r[u]));
        (to_r[u], to_z[u], to_n[u]) = (of_r, of_z, of_n);
        (by_r[u], by_z[u], by_n[u]) = (of_r, of_z, of_n * r[u]);
        slope[u] = all * z[u];
    }
}

/// `cell` is the gradient of the cell, then of the one before.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
fn lstm_retreat(grad_y: &[f32], slope: &[f32], cell: &mut [f32], earlier: &[f32], kept: [&[f32]; 5], grad: [&mut [f32]; 4]) {
    let width = cell.len();
    let ([i, f, g, o, c], grad_y, slope) = (kept.map(|kept| &kept[..width]), &grad_y[..width], &slope[..width]);
    let ([to_i, to_f, to_g, to_o], earlier) = (grad.map(|grad| &mut grad[..width]), &earlier[..width]);
    for u in 0..width {
        let (all, t) = (grad_y[u] + slope[u], fast_tanh(c[u]));
        let of_cell = cell[u] + all * o[u] * (1.0 - t * t);
        to_i[u] = of_cell * g[u] * (i[u] * (1.0 - i[u]));
        to_f[u] = of_cell * earlier[u] * (f[u] * (1.0 - f[u]));
        to_g[u] = of_cell * i[u] * (1.0 - g[u] * g[u]);
        to_o[u] = all * t * (o[u] * (1.0 - o[u]));
        cell[u] = of_cell * f[u];
    }
}

const GRU: &[Variant] = &variants(
    &[crate::wgsl!("recurrent_steps"), crate::wgsl!("recurrent_backward_gru"), crate::wgsl!("recurrent_backward")],
    "recurrent_backward",
);
const LSTM: &[Variant] = &variants(
    &[crate::wgsl!("recurrent_steps"), crate::wgsl!("recurrent_backward_lstm"), crate::wgsl!("recurrent_backward")],
    "recurrent_backward",
);

impl Kernel for RecurrentBackward {
    interface! {
        self;
        params {
            ..self.walk().params(self.tokens),
            stride: self.grad_y.shape.stride(),
            kept_stride: self.kept.shape.stride(),
            last_stride: self.grad_last.shape.stride(),
            grad_stride: self.grad.shape.stride(),
        }
        constants { ..self.walk().constants(), PARTS: self.parts() }
    }

    fn bufs(&self) -> Vec<(&'static str, Buf)> {
        let mut bufs = vec![("grad_y", self.grad_y), ("grad_last", self.grad_last), ("kept", self.kept), ("w", self.w), ("tokens", self.tokens)];
        bufs.push(("grad", self.grad));
        if let CellGradients::Gru { before, hidden } = self.of {
            bufs.extend([("before", before), ("hidden", hidden)]);
        }
        bufs
    }

    fn variants(&self) -> &'static [Variant] {
        match self.of {
            CellGradients::Gru { .. } => GRU,
            CellGradients::Lstm => LSTM,
        }
    }

    fn invocations(&self, variant: &Variant) -> u64 {
        u64::from(self.tokens.rows()) * u64::from(variant.constant("WG"))
    }

    fn check_shapes(&self) -> Result<(), String> {
        let (walk, cell) = (self.walk(), self.cell());
        walk.check(self.w)?;
        for (name, buf, blocks) in [("grad_y", self.grad_y, 1), ("kept", self.kept, cell.kept()), ("grad", self.grad, cell.gates())] {
            walk.has_steps(name, buf, blocks)?;
        }
        if let CellGradients::Gru { before, hidden } = self.of {
            walk.has_steps("before", before, 1)?;
            has("hidden", hidden, self.grad.rows(), self.grad.cols())?;
        }
        walk.has_states("grad_last", self.grad_last)
    }

    /// Nothing is added to what was there.
    fn accumulates(&self) -> bool {
        false
    }

    fn twin(&self, m: &HostMem) {
        let (traces, length) = (self.traces(m, Exp::Specified), self.tokens.cols() as usize);
        let write = |buf: Buf, which: usize| {
            m.f32_mut(buf).for_each_row(|r, to| {
                to.iter_mut().zip(&traces[r / length][which][r % length]).for_each(|(to, from)| *to = from.value as f32);
            });
        };
        write(self.grad, 0);
        if let CellGradients::Gru { hidden, .. } = self.of {
            write(hidden, 1);
        }
    }

    /// As the layer itself does it: a step of several sequences is one product.
    fn fast(&self, m: &HostMem) {
        let (walk, cell, from, tokens) = (self.walk(), self.cell(), self.read(m), m.u32(self.tokens));
        let Walk { length, width, .. } = walk;
        let [w_stride, stride, kept_stride, grad_stride] = [self.w, self.grad_y, self.kept, self.grad].map(row_stride);
        let rows = cell.gates() as usize * width;
        let right = RightSide { values: from.w.padded(), offsets: &[0], length: rows, k_stride: w_stride, n_stride: 1 };
        let panels = Panels::pack(Isa::best(), width, right);
        let (counts, at_once) = (walk.counts(tokens.padded(), self.tokens.shape.stride() as usize), walk.at_once());
        let mut grad = m.f32_mut(self.grad);
        let mut hidden = match self.of {
            CellGradients::Gru { hidden, .. } => Some(m.f32_mut(hidden)),
            CellGradients::Lstm => None,
        };
        let of_block = at_once * length * grad_stride;
        let hidden: Vec<&mut [f32]> = match &mut hidden {
            Some(hidden) => hidden.padded_mut().chunks_mut(of_block).collect(),
            None => counts.chunks(at_once).map(|_| <&mut [f32]>::default()).collect(),
        };
        let outputs = grad.padded_mut().par_chunks_mut(of_block).zip(hidden).zip(counts.par_chunks(at_once)).enumerate();
        outputs.for_each(|(block, ((grad, hidden), counts))| {
            let (mut together, first) = (Together::of(counts), block * at_once);
            let [mut slopes, mut cells] = [(); 2].map(|()| vec![0.0; counts.len() * width]);
            for (i, &(sequence, _)) in together.order.iter().enumerate() {
                let (last, of) = (from.grad_last.row(first + sequence), i * width..(i + 1) * width);
                slopes[of.clone()].copy_from_slice(&last[..width]);
                if cell == Cell::Lstm {
                    cells[of].copy_from_slice(&last[width..]);
                }
            }
            let (mut through, zeros) = (vec![0.0; counts.len() * rows], vec![0.0; width]);
            for step in (0..together.steps()).rev() {
                let present = together.with_step(step);
                for (i, &(sequence, count)) in together.order[..present].iter().enumerate() {
                    let of = |step: usize| sequence * length + walk.place(step, count);
                    let (row, units) = (of(step), i * width..(i + 1) * width);
                    let grad_y = &from.grad_y.padded()[(first * length + row) * stride..];
                    let kept = &from.kept.padded()[(first * length + row) * kept_stride..];
                    let grad = &mut grad[row * grad_stride..(row + 1) * grad_stride];
                    let through = &mut through[i * rows..(i + 1) * rows];
                    match &from.before {
                        Some(before) => {
                            let before = &before.padded()[(first * length + row) * stride..];
                            let (slopes, hidden) = (&mut slopes[units], &mut hidden[row * grad_stride..(row + 1) * grad_stride]);
                            gru_retreat(grad_y, slopes, before, blocks(kept, width), blocks_mut(grad, width), blocks_mut(through, width));
                            hidden[..rows].copy_from_slice(through);
                            hidden[rows..].fill(0.0);
                        }
                        None => {
                            let earlier = match step {
                                0 => &zeros[..],
                                _ => &from.kept.row(first * length + of(step - 1))[4 * width..],
                            };
                            let (slopes, cells) = (&slopes[units.clone()], &mut cells[units]);
                            lstm_retreat(grad_y, slopes, cells, earlier, blocks(kept, width), blocks_mut(grad, width));
                            through.copy_from_slice(&grad[..rows]);
                        }
                    }
                    grad[rows..].fill(0.0);
                }
                if step > 0 {
                    together.multiply(&panels, present, (&through, rows), (&mut slopes, width), cell == Cell::Gru);
                }
            }
            for &(sequence, count) in &together.order {
                let past = (sequence * length + count) * grad_stride..(sequence + 1) * length * grad_stride;
                grad[past.clone()].fill(0.0);
                if cell == Cell::Gru {
                    hidden[past].fill(0.0);
                }
            }
        });
    }

    /// Gradients are linear in those of the states: errors go on from step to step as they do.
    fn tolerance(&self, output: &str, m: &HostMem, exp: Exp) -> Tolerance {
        let which = usize::from(output == "hidden");
        let bounds = self.traces(m, exp).into_iter().flat_map(|mut trace| std::mem::take(&mut trace[which]));
        Tolerance::Each(bounds.flatten().map(|rough| rough.error + 1e-30).collect())
    }

    fn flops(&self) -> u64 {
        self.walk().flops()
    }
}

/// What a layer may have kept of steps, by `tokens`: values of sigmoids and of tanhs; nothing of what is no token.
fn case_kept(c: &mut Cases<'_>, cell: Cell, tokens: &[u32], width: u32) -> Buf {
    let sigmoids: &[u32] = match cell {
        Cell::Gru => &[0, 1],
        Cell::Lstm => &[0, 1, 3],
    };
    let value = |row: usize, col: u32| {
        let unit = signed_unit(threefry([7, width], [row as u32, col])[0]);
        match tokens[row] {
            NO_TOKEN => f32::NAN,
            _ if sigmoids.contains(&(col / width)) => 0.5 + 0.49 * unit,
            _ => unit,
        }
    };
    let cols = cell.kept() * width;
    let values = (0..tokens.len()).flat_map(|row| (0..cols).map(move |col| value(row, col))).collect();
    c.filled(shape(tokens.len() as u32, cols), Fill::F32(values))
}

pub fn cases(c: &mut Cases<'_>) {
    each_case(|cell, reverse, [batch, length, width], magnitude| {
        let (tokens, gates, steps) = (case_tokens(batch, length), cell.gates() * width, batch * length);
        let kept = case_kept(c, cell, &tokens, width);
        let [grad_y, before] = [2, 3].map(|salt| case_rows(c, &tokens, width, 1.0, salt));
        let w = c.filled(shape(gates, width), Fill::Uniform(magnitude));
        let (grad_last, tokens) = (c.uniform(batch, cell.states() * width), c.filled(shape(batch, length), Fill::U32(tokens)));
        let of = match cell {
            Cell::Gru => CellGradients::Gru { before, hidden: c.output(steps, gates) },
            Cell::Lstm => CellGradients::Lstm,
        };
        let grad = c.output(steps, gates);
        c.add(RecurrentBackward { of, reverse, grad_y, grad_last, kept, w, tokens, grad });
    });
}
