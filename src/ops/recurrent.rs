//! Recurrent layers: gated recurrent units and long short-term memory, in PyTorch's form.

use super::{Activation, Destination, GradientCase, add, case_input, linear, weight_gradients};
use crate::core::buffer::{Buf, Dtype, Fill, Role, Shape, shape};
use crate::core::sample::NO_TOKEN;
use crate::core::tape::Tape;
use crate::kernels::copy::Copy;
use crate::kernels::matmul::{Layout, Matmul};
use crate::kernels::recurrent::Recurrent;
pub use crate::kernels::recurrent::{Cell, MOST_UNITS};
use crate::kernels::recurrent_backward::{CellGradients, RecurrentBackward};

/// Parameters of a layer in one direction, called as PyTorch calls them: `w_ih`: `[gates * width, inputs]`; `w_hh`:
/// `[gates * width, width]`; `b_ih`, `b_hh`: `[1, gates * width]`.
#[derive(Clone, Copy, Debug)]
pub struct RecurrentLayer {
    pub cell: Cell,
    pub reverse: bool,
    pub w_ih: Buf,
    pub w_hh: Buf,
    pub b_ih: Buf,
    pub b_hh: Buf,
}

/// What a recurrent layer makes of sequences.
#[derive(Clone, Copy, Debug)]
pub struct RecurrentStates {
    /// After each step, `[batch * length, width]`; zeros where there is no token.
    pub steps: Buf,
    /// After the last step, `[batch, states * width]`: h, and c behind it if the cell has one. Its gradient counts where it is taken on the
    /// same tape.
    pub last: Buf,
}

/// `x`: `[batch * length, inputs]`, sequences one after another; `tokens` (u32): `[batch, length]`, `NO_TOKEN` behind the last one of a
/// sequence. States begin with zeros, at the first token, or at the last one in `reverse`. What is no token has no part in anything and
/// gets no gradient. The layer takes two calls forward, and as many for all steps together as for one.
pub fn recurrent(t: &mut Tape<'_>, name: &str, x: Buf, tokens: Buf, layer: RecurrentLayer) -> RecurrentStates {
    let RecurrentLayer { cell, reverse, w_ih, w_hh: w, b_ih, b_hh: b } = layer;
    let (steps, width) = (x.rows(), w.cols());
    let x = linear(t, &format!("{name} gates of inputs"), x, w_ih, b_ih, Activation::None);
    let mut of_steps = |what: &str, blocks: u32| t.scratch(&format!("{name}{what}"), shape(steps, blocks * width));
    let [y, kept, before] = [("", 1), (" kept", cell.kept()), (" states before", 1)].map(|(what, blocks)| of_steps(what, blocks));
    let last = t.scratch(&format!("{name} last states"), shape(tokens.rows(), cell.states() * width));
    t.call(name, Recurrent { cell, reverse, x, w, b, tokens, y, kept, before, last });
    let of = name.to_string();
    t.op(&[x, w, b], y, move |t, grad_y| {
        let grad_last = t.recorded_grad(last).unwrap_or_else(|| zeros(t, last.shape));
        let grad = t.scratch(&format!("{of} gates.grad"), x.shape);
        let (hidden, by_cell) = match cell {
            Cell::Gru => {
                let hidden = t.scratch(&format!("{of} products.grad"), x.shape);
                (hidden, CellGradients::Gru { before, hidden })
            }
            Cell::Lstm => (grad, CellGradients::Lstm),
        };
        t.call(format!("{of}: gradient"), RecurrentBackward { of: by_cell, reverse, grad_y, grad_last, kept, w, tokens, grad });
        let to = [t.grad(w), t.grad(b)];
        weight_gradients(t, &of, hidden, to, &|t, label, Destination { c, sums, parts, accumulate, mask }| {
            t.call(label, Matmul { sums, parts, accumulate, mask, ..Matmul::new(Layout::TN, hidden, before, c) });
        });
        if !t.share(x, grad)
            && let Some(to) = t.grad(x)
        {
            t.call(format!("{of}: gradient of gates"), Copy { x: grad, y: to.buf, accumulate: to.accumulate });
        }
    });
    // Comes before the op above on the way back, which finds the gradient of the last states: where no other asked for that of the steps,
    // it is zero.
    t.op(&[y], last, move |t, _| {
        if t.recorded_grad(y).is_none() {
            let none = zeros(t, y.shape);
            t.share(y, none);
        }
    });
    RecurrentStates { steps: y, last }
}

/// What stays zero.
fn zeros(t: &mut Tape<'_>, shape: Shape) -> Buf {
    t.arena.buffer(&format!("zeros of {}x{}", shape.rows, shape.cols), Role::Input, Dtype::F32, shape, Fill::Zero)
}

pub(super) fn gradient_cases() -> Vec<GradientCase> {
    /// Sequences of five places: full, empty, and others.
    fn tokens(t: &mut Tape<'_>, batch: u32) -> Buf {
        let token = |i: u32| if i % 5 < [5, 3, 0, 1][i as usize / 5 % 4] { i } else { NO_TOKEN };
        t.arena.buffer("tokens", Role::Input, Dtype::U32, shape(batch, 5), Fill::U32((0..5 * batch).map(token).collect()))
    }
    fn layer(t: &mut Tape<'_>, name: &str, cell: Cell, reverse: bool, [inputs, width]: [u32; 2]) -> RecurrentLayer {
        let rows = cell.gates() * width;
        let mut input = |what: &str, rows, cols| case_input(t, &format!("{name} {what}"), rows, cols);
        let (w_ih, w_hh) = (input("w_ih", rows, inputs), input("w_hh", rows, width));
        let (b_ih, b_hh) = (input("b_ih", 1, rows), input("b_hh", 1, rows));
        RecurrentLayer { cell, reverse, w_ih, w_hh, b_ih, b_hh }
    }
    fn params(layer: RecurrentLayer) -> Vec<Buf> {
        vec![layer.w_ih, layer.w_hh, layer.b_ih, layer.b_hh]
    }
    fn one(t: &mut Tape<'_>, cell: Cell, reverse: bool, what: fn(RecurrentStates) -> Buf) -> (Vec<Buf>, Buf) {
        let (x, tokens) = (case_input(t, "x", 20, 3), tokens(t, 4));
        let layer = layer(t, "layer", cell, reverse, [3, 2]);
        let y = what(recurrent(t, "y", x, tokens, layer));
        ([vec![x], params(layer)].concat(), y)
    }
    /// Two layers in both directions, of which the second goes through the same weights as the first.
    fn two(t: &mut Tape<'_>, cell: Cell) -> (Vec<Buf>, Buf) {
        let (x, tokens) = (case_input(t, "x", 10, 2), tokens(t, 2));
        let layer = layer(t, "layer", cell, false, [2, 2]);
        let forward = recurrent(t, "forward", x, tokens, layer).steps;
        let back = recurrent(t, "back", x, tokens, RecurrentLayer { reverse: true, ..layer }).steps;
        let both = add(t, "both", forward, back, Activation::None);
        ([vec![x], params(layer)].concat(), recurrent(t, "y", both, tokens, layer).steps)
    }
    vec![
        GradientCase { name: "gated recurrent units", record: |t| one(t, Cell::Gru, false, |found| found.steps) },
        GradientCase { name: "gated recurrent units in reverse", record: |t| one(t, Cell::Gru, true, |found| found.steps) },
        GradientCase { name: "last states of gated recurrent units", record: |t| one(t, Cell::Gru, false, |found| found.last) },
        GradientCase { name: "long short-term memory", record: |t| one(t, Cell::Lstm, false, |found| found.steps) },
        GradientCase { name: "long short-term memory in reverse", record: |t| one(t, Cell::Lstm, true, |found| found.steps) },
        GradientCase { name: "last states of long short-term memory", record: |t| one(t, Cell::Lstm, true, |found| found.last) },
        GradientCase { name: "layers of gated recurrent units that share weights", record: |t| two(t, Cell::Gru) },
        GradientCase { name: "layers of long short-term memory that share weights", record: |t| two(t, Cell::Lstm) },
    ]
}
