//! y = max(x, 0) on its own; after a linear layer it is fused.

use super::{GradientCase, case_input_filled};
use crate::core::buffer::{Buf, Fill, shape};
use crate::core::tape::Tape;
use crate::kernels::relu::Relu;
use crate::kernels::relu_backward::ReluBackward;

/// `x`: any shape; returns the same shape.
pub fn relu(t: &mut Tape<'_>, name: &str, x: Buf) -> Buf {
    let y = t.scratch(name, x.shape);
    t.call(name, Relu { x, y });
    let name = name.to_string();
    t.op(&[x], y, move |t, grad_y| {
        if let Some(to) = t.grad(x) {
            t.call(format!("{name}: gradient"), ReluBackward { y, grad_y, grad_x: to.buf, accumulate: to.accumulate });
        }
    });
    y
}

pub(super) fn gradient_cases() -> Vec<GradientCase> {
    vec![GradientCase {
        name: "relu",
        record: |t| {
            // Away from the kink, where there is no derivative to compare with.
            let values = (0..35).map(|i| if i % 2 == 0 { 0.2 + 0.01 * i as f32 } else { -0.2 - 0.01 * i as f32 });
            let x = case_input_filled(t, "x", shape(5, 7), Fill::F32(values.collect()));
            (vec![x], relu(t, "y", x))
        },
    }]
}
