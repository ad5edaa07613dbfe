//! What follows layers, element by element.

use super::{GradientCase, case_input, case_input_filled};
use crate::core::buffer::{Buf, Fill, shape};
use crate::core::tape::Tape;
use crate::kernels::activation::Activate;
pub use crate::kernels::activation::Function;
use crate::kernels::activation_backward::ActivationBackward;

/// What follows a layer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Activation {
    None,
    Relu,
    Of(Function),
}

/// What layers that fuse a ReLU leave to do.
pub(super) fn activated(t: &mut Tape<'_>, name: &str, y: Buf, activation: Activation) -> Buf {
    match activation {
        Activation::None | Activation::Relu => y,
        Activation::Of(function) => apply(t, &format!("{name}, {function:?}"), y, function),
    }
}

/// `x`: any shape; returns x Φ(x) with the normal distribution Φ (the exact form, not the one with tanh).
pub fn gelu(t: &mut Tape<'_>, name: &str, x: Buf) -> Buf {
    apply(t, name, x, Function::Gelu)
}

/// `x`: any shape; returns tanh(x).
pub fn tanh(t: &mut Tape<'_>, name: &str, x: Buf) -> Buf {
    apply(t, name, x, Function::Tanh)
}

/// `x`: any shape; returns 1 / (1 + exp(-x)).
pub fn sigmoid(t: &mut Tape<'_>, name: &str, x: Buf) -> Buf {
    apply(t, name, x, Function::Sigmoid)
}

/// `x`: any shape; returns the function of each value.
pub fn apply(t: &mut Tape<'_>, name: &str, x: Buf, function: Function) -> Buf {
    let y = t.scratch(name, x.shape);
    t.call(name, Activate { function, x, y });
    let kept = if function.keeps_output() { y } else { x };
    let name = name.to_string();
    t.op(&[x], y, move |t, grad_y| {
        if let Some(to) = t.grad(x) {
            let call = ActivationBackward { function, kept, grad_y, grad_x: to.buf, accumulate: to.accumulate };
            t.call(format!("{name}: gradient"), call);
        }
    });
    y
}

pub(super) fn gradient_cases() -> Vec<GradientCase> {
    fn record(t: &mut Tape<'_>, function: Function) -> (Vec<Buf>, Buf) {
        let x = case_input(t, "x", 5, 7);
        (vec![x], apply(t, "y", x, function))
    }
    vec![
        GradientCase { name: "GELU", record: |t| record(t, Function::Gelu) },
        GradientCase { name: "GELU by tanh", record: |t| record(t, Function::GeluTanh) },
        GradientCase { name: "tanh", record: |t| record(t, Function::Tanh) },
        GradientCase { name: "sigmoid", record: |t| record(t, Function::Sigmoid) },
        GradientCase { name: "SiLU", record: |t| record(t, Function::Silu) },
        // Values from -1 to 1 keep away from the kinks of these two.
        GradientCase { name: "hard sigmoid", record: |t| record(t, Function::HardSigmoid) },
        GradientCase { name: "hard swish", record: |t| record(t, Function::HardSwish) },
        GradientCase {
            name: "leaky ReLU with an end",
            record: |t| {
                let values = (0..35).map(|i| [-3.0, -1.0, 0.5][i % 3] + 0.01 * i as f32);
                let x = case_input_filled(t, "x", shape(5, 7), Fill::F32(values.collect()));
                (vec![x], apply(t, "y", x, Function::LeakyFloor))
            },
        },
        GradientCase {
            name: "ReLU6",
            record: |t| {
                let values = (0..35).map(|i| [-1.0, 2.0, 7.0][i % 3] + 0.01 * i as f32);
                let x = case_input_filled(t, "x", shape(5, 7), Fill::F32(values.collect()));
                (vec![x], apply(t, "y", x, Function::Relu6))
            },
        },
    ]
}
