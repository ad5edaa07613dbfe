//! y = x Wᵀ + b, with PyTorch's `[out, in]` weights.

use super::activation::{Activation, activated};
use super::{Destination, GradientCase, case_input, case_input_filled, normalize, product_into, weight_gradients};
use crate::core::buffer::{Buf, Fill, Maps, Shape, shape};
use crate::core::tape::Tape;
use crate::kernels::copy::Copy;
use crate::kernels::matmul::{Layout, Matmul};
use crate::kernels::relu_backward::ReluBackward;

/// `x`: `[batch, in]`, `w`: `[out, in]`, `b`: `[1, out]`; returns `[batch, out]`.
pub fn linear(t: &mut Tape<'_>, name: &str, x: Buf, w: Buf, b: Buf, activation: Activation) -> Buf {
    let y = layer(t, name, x, w, Some(b), activation);
    activated(t, name, y, activation)
}

/// A linear layer without a bias, for instance before a batch norm, which would cancel it.
pub fn project(t: &mut Tape<'_>, name: &str, x: Buf, w: Buf) -> Buf {
    layer(t, name, x, w, None, Activation::None)
}

fn layer(t: &mut Tape<'_>, name: &str, x: Buf, w: Buf, bias: Option<Buf>, activation: Activation) -> Buf {
    let y = t.scratch(name, shape(x.rows(), w.rows()));
    let relu = activation == Activation::Relu;
    if relu {
        t.rectified(y);
    }
    t.call(name, Matmul { bias, relu, ..Matmul::new(Layout::NT, x, w, y) });
    let name = name.to_string();
    let inputs: Vec<Buf> = [x, w].into_iter().chain(bias).collect();
    t.op(&inputs, y, move |t, grad_y| {
        let grad_y = before_activation(t, &name, y, grad_y, activation);
        let to = [t.grad(w), bias.and_then(|bias| t.grad(bias))];
        weight_gradients(t, &name, grad_y, to, &|t, label, Destination { c, sums, parts, accumulate, mask }| {
            t.call(label, Matmul { sums, parts, accumulate, mask, ..Matmul::new(Layout::TN, grad_y, x, c) });
        });
        if let Some(to) = t.grad_masked(x) {
            product_into(t, format!("{name}: input gradient"), Layout::NN, grad_y, w, to);
        }
    });
    y
}

/// Maps as rows of one sample each, `[batch, height * width * channels]`: the same words, read otherwise. Panics if channels are
/// no multiple of four, as pads would lie in between.
pub fn flatten(t: &mut Tape<'_>, name: &str, x: Maps) -> Buf {
    assert!(x.channels().is_multiple_of(4), "{name}: {} channels have a pad", x.channels());
    reread(t, name, x.buf, shape(x.batch, x.height * x.width * x.channels()))
}

/// The way back: rows `[batch, height * width * channels]` as maps. Panics as [`flatten`] does.
pub fn unflatten(t: &mut Tape<'_>, name: &str, x: Buf, height: u32, width: u32) -> Maps {
    let channels = x.cols() / (height * width);
    assert!(channels.is_multiple_of(4) && channels * height * width == x.cols(), "{name}: {channels} channels have a pad");
    Maps::new(reread(t, name, x, shape(x.rows() * height * width, channels)), x.rows(), height, width)
}

/// The same words in another shape without pads.
fn reread(t: &mut Tape<'_>, name: &str, x: Buf, shape: Shape) -> Buf {
    let y = Buf { shape, ..x };
    let name = name.to_string();
    t.op(&[x], y, move |t, grad_y| {
        let grad_x = Buf { shape: x.shape, ..grad_y };
        if !t.share(x, grad_x)
            && let Some(to) = t.grad(x)
        {
            t.call(format!("{name}: gradient"), Copy { x: grad_x, y: to.buf, accumulate: to.accumulate });
        }
    });
    y
}

/// The gradient of what was activated to `y`, whose gradient is `grad_y`. With a ReLU, `y` must have been declared rectified: then
/// there is nothing to do if the writers of `grad_y` went through it.
pub(super) fn before_activation(t: &mut Tape<'_>, name: &str, y: Buf, grad_y: Buf, activation: Activation) -> Buf {
    if activation != Activation::Relu || t.arrived_masked(y) {
        return grad_y;
    }
    let before = t.scratch(&format!("{name} before ReLU.grad"), y.shape);
    t.call(format!("{name}: through ReLU"), ReluBackward { y, grad_y, grad_x: before, accumulate: false });
    before
}

/// A layer with every output well above or well below the kink of its ReLU, where there is no derivative to compare with.
fn rectified_layer(t: &mut Tape<'_>) -> (Vec<Buf>, Buf) {
    let (x, w) = (case_input(t, "x", 5, 7), case_input_filled(t, "w", shape(3, 7), Fill::Uniform(0.1)));
    let b = case_input_filled(t, "b", shape(1, 3), Fill::F32(vec![1.0, -1.0, 0.9]));
    (vec![x, w, b], linear(t, "h", x, w, b, Activation::Relu))
}

pub(super) fn gradient_cases() -> Vec<GradientCase> {
    vec![
        GradientCase {
            name: "linear",
            record: |t| {
                let (x, w, b) = (case_input(t, "x", 5, 7), case_input(t, "w", 3, 7), case_input(t, "b", 1, 3));
                (vec![x, w, b], linear(t, "y", x, w, b, Activation::None))
            },
        },
        GradientCase {
            name: "linear without a bias, over maps laid out flat",
            record: |t| {
                let x = Maps::new(case_input(t, "x", 12, 4), 2, 3, 2);
                let w = case_input(t, "w", 3, 24);
                let flat = flatten(t, "flat", x);
                (vec![x.buf, w], project(t, "y", flat, w))
            },
        },
        GradientCase {
            name: "linear with ReLU, laid out as maps",
            record: |t| {
                let x = case_input(t, "x", 2, 5);
                let w = case_input_filled(t, "w", shape(8, 5), Fill::Uniform(0.1));
                let clear_of_zero = Fill::F32(vec![1.0, -1.0, 0.9, 0.8, -0.9, 0.7, 1.0, -0.8]);
                let b = case_input_filled(t, "b", shape(1, 8), clear_of_zero);
                let h = linear(t, "h", x, w, b, Activation::Relu);
                let maps = unflatten(t, "maps", h, 2, 1);
                let (square, four) = (case_input(t, "square", 4, 4), case_input(t, "four", 1, 4));
                let y = linear(t, "y", maps.buf, square, four, Activation::None);
                (vec![x, w, b, square, four], y)
            },
        },
        GradientCase { name: "linear with ReLU", record: rectified_layer },
        GradientCase {
            name: "linear over linear with ReLU",
            record: |t| {
                let (inputs, h) = rectified_layer(t);
                let (square, zero) = (case_input(t, "square", 3, 3), case_input(t, "zero", 1, 3));
                ([inputs, vec![square, zero]].concat(), linear(t, "y", h, square, zero, Activation::None))
            },
        },
        GradientCase {
            name: "linear with ReLU, used by two layers and by a third that applies no mask",
            record: |t| {
                let (inputs, h) = rectified_layer(t);
                let (square, zero, bias) = (case_input(t, "square", 3, 3), case_input(t, "zero", 1, 3), case_input(t, "bias", 1, 5));
                let y = linear(t, "y", h, square, zero, Activation::None);
                let y2 = linear(t, "y2", h, square, zero, Activation::None);
                let z = normalize(t, "z", h);
                let sum = linear(t, "sum", y, y2, bias, Activation::None);
                let five = case_input(t, "five", 3, 5);
                let zy = linear(t, "sum times", sum, five, zero, Activation::None);
                ([inputs, vec![square, zero, bias, five]].concat(), linear(t, "all", zy, z, bias, Activation::None))
            },
        },
        GradientCase {
            name: "two layers that share weights",
            record: |t| {
                let (x, w, b) = (case_input(t, "x", 4, 5), case_input(t, "w", 5, 5), case_input(t, "b", 1, 5));
                let h = linear(t, "h", x, w, b, Activation::None);
                (vec![x, w, b], linear(t, "y", h, w, b, Activation::None))
            },
        },
    ]
}
