//! GELU, tanh and sigmoid, element by element.

use super::{GradientCase, case_input};
use crate::core::buffer::Buf;
use crate::core::tape::Tape;
use crate::kernels::activation::{Activate, Function};
use crate::kernels::activation_backward::ActivationBackward;

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

fn apply(t: &mut Tape<'_>, name: &str, x: Buf, function: Function) -> Buf {
    let y = t.scratch(name, x.shape);
    t.call(name, Activate { function, x, y });
    let kept = if function == Function::Gelu { x } else { y };
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
        GradientCase { name: "tanh", record: |t| record(t, Function::Tanh) },
        GradientCase { name: "sigmoid", record: |t| record(t, Function::Sigmoid) },
    ]
}
