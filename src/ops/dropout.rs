//! Dropout.

use super::{Activation, GradientCase, add, case_input};
use crate::core::buffer::{Buf, Dtype, Fill, Role, shape};
use crate::core::random;
use crate::core::tape::Tape;
use crate::kernels::dropout::Dropout;

/// How a step drops values.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct DropoutStep {
    /// `[1, 2]`, this step first.
    pub clock: Buf,
    /// Probability of a zero.
    pub rate: f32,
}

/// `x`: any shape; returns x / (1 - rate), or zero with the probability `rate`. Each step and each name draw anew.
pub fn dropout(t: &mut Tape<'_>, name: &str, x: Buf, DropoutStep { clock, rate }: DropoutStep) -> Buf {
    let y = t.scratch(name, x.shape);
    let key = random::key_from_name(t.arena.seed(), &format!("dropout {name}"));
    let mask = move |x, y, accumulate| Dropout { clock, x, y, rate, key, accumulate };
    t.call(name, mask(x, y, false));
    let name = name.to_string();
    t.op(&[x], y, move |t, grad_y| {
        if let Some(to) = t.grad(x) {
            t.call(format!("{name}: gradient"), mask(grad_y, to.buf, to.accumulate));
        }
    });
    y
}

pub(super) fn gradient_cases() -> Vec<GradientCase> {
    fn dropped(t: &mut Tape<'_>, name: &str, x: Buf) -> Buf {
        let clock = t.arena.buffer("step", Role::Input, Dtype::U32, shape(1, 2), Fill::U32(vec![7, 8]));
        dropout(t, name, x, DropoutStep { clock, rate: 0.4 })
    }
    vec![
        GradientCase {
            name: "dropout",
            record: |t| {
                let x = case_input(t, "x", 5, 7);
                (vec![x], dropped(t, "y", x))
            },
        },
        GradientCase {
            name: "dropout twice of one value",
            record: |t| {
                let x = case_input(t, "x", 5, 7);
                let [a, b] = ["a", "b"].map(|name| dropped(t, name, x));
                (vec![x], add(t, "y", a, b, Activation::None))
            },
        },
    ]
}
