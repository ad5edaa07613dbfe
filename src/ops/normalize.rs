//! Rows to unit length.

use super::{GradientCase, case_input};
use crate::core::buffer::{Buf, shape};
use crate::core::tape::Tape;
use crate::kernels::l2_normalize::L2Normalize;
use crate::kernels::l2_normalize_backward::L2NormalizeBackward;

/// `x`: `[rows, cols]`; returns x / max(‖x‖, 1e-12), row by row.
pub fn normalize(t: &mut Tape<'_>, name: &str, x: Buf) -> Buf {
    let y = t.scratch(name, x.shape);
    let factor = t.scratch(&format!("{name} factor"), shape(1, x.rows()));
    t.call(name, L2Normalize { x, y, factor });
    let name = name.to_string();
    t.op(&[x], y, move |t, grad_y| {
        if let Some(to) = t.grad(x) {
            t.call(format!("{name}: gradient"), L2NormalizeBackward { y, factor, grad_y, grad_x: to.buf, accumulate: to.accumulate });
        }
    });
    y
}

pub(super) fn gradient_cases() -> Vec<GradientCase> {
    vec![
        GradientCase {
            name: "normalize",
            record: |t| {
                let x = case_input(t, "x", 4, 6);
                (vec![x], normalize(t, "y", x))
            },
        },
        GradientCase {
            name: "normalize, used twice",
            record: |t| {
                let x = case_input(t, "x", 3, 5);
                let once = normalize(t, "once", x);
                (vec![x], normalize(t, "twice", once))
            },
        },
    ]
}
