//! y = a + b: residual connections.

use super::activation::activated;
use super::{Activation, GradientCase, before_activation, case_input, case_input_filled, gelu, linear, normalize, tanh};
use crate::core::buffer::{Buf, Fill, shape};
use crate::core::tape::Tape;
use crate::kernels::add::Add;
use crate::kernels::copy::Copy;

/// `a`, `b`: of one shape; returns their sum, activated.
pub fn add(t: &mut Tape<'_>, name: &str, a: Buf, b: Buf, activation: Activation) -> Buf {
    let y = t.scratch(name, a.shape);
    let relu = activation == Activation::Relu;
    if relu {
        t.rectified(y);
    }
    t.call(name, Add { a, b, y, relu });
    let of_sum = name.to_string();
    t.op(&[a, b], y, move |t, grad_y| {
        let name = of_sum;
        let grad_y = before_activation(t, &name, y, grad_y, activation);
        for (x, which) in [(a, "first"), (b, "second")] {
            // The gradient of either is that of the sum, so it need not be another buffer.
            if !(a != b && t.share(x, grad_y))
                && let Some(to) = t.grad(x)
            {
                t.call(format!("{name}: gradient of the {which}"), Copy { x: grad_y, y: to.buf, accumulate: to.accumulate });
            }
        }
    });
    activated(t, name, y, activation)
}

pub(super) fn gradient_cases() -> Vec<GradientCase> {
    /// Sums well above or well below the kink of a ReLU.
    fn summands(t: &mut Tape<'_>) -> [Buf; 2] {
        let values = (0..15).map(|i| if i % 2 == 0 { 2.5 } else { -2.5 });
        [case_input_filled(t, "a", shape(3, 5), Fill::F32(values.collect())), case_input(t, "b", 3, 5)]
    }
    vec![
        GradientCase {
            name: "add",
            record: |t| {
                let [a, b] = summands(t);
                (vec![a, b], add(t, "y", a, b, Activation::None))
            },
        },
        GradientCase {
            name: "add with ReLU, under a layer that masks",
            record: |t| {
                let [a, b] = summands(t);
                let (w, bias) = (case_input(t, "w", 4, 5), case_input(t, "bias", 1, 4));
                let y = add(t, "y", a, b, Activation::Relu);
                (vec![a, b, w, bias], linear(t, "z", y, w, bias, Activation::None))
            },
        },
        GradientCase {
            name: "a value added to itself",
            record: |t| {
                let a = case_input(t, "a", 3, 5);
                (vec![a], add(t, "y", a, a, Activation::None))
            },
        },
        GradientCase {
            name: "two residual blocks",
            record: |t| {
                let [a, b] = summands(t);
                let x = add(t, "x", a, b, Activation::Relu);
                let f = tanh(t, "f", x);
                let y = add(t, "y", f, x, Activation::Relu);
                let g = tanh(t, "g", y);
                (vec![a, b], add(t, "z", g, y, Activation::None))
            },
        },
        GradientCase {
            // What w adds to the gradient of x comes before f reads its own: they must not be one buffer.
            name: "add, a value used after the other was computed",
            record: |t| {
                let [a, b] = summands(t);
                let (f, x) = (tanh(t, "f", b), normalize(t, "x", a));
                let w = tanh(t, "w", x);
                let v = gelu(t, "v", w);
                let y = add(t, "y", f, x, Activation::None);
                let z = add(t, "z", v, y, Activation::None);
                (vec![a, b], gelu(t, "top", z))
            },
        },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::buffer::Arena;

    /// How many copies the backward pass of a gradient case needs.
    fn copies(name: &str) -> usize {
        let case = gradient_cases().into_iter().find(|case| case.name == name).expect("a case of that name");
        let mut arena = Arena::new(1, u64::MAX);
        let mut tape = Tape::new(&mut arena, "case", &[]);
        let (_, y) = (case.record)(&mut tape);
        let grad_y = tape.arena.scratch("grad_y", crate::core::buffer::Dtype::F32, y.shape);
        tape.backward(y, grad_y);
        let program = tape.finish().expect("the case is valid");
        program.calls.iter().filter(|call| call.kernel.name() == "copy").count()
    }

    #[test]
    fn gradients_are_copied_only_where_they_part() {
        assert_eq!(copies("add"), 0);
        assert_eq!(copies("add with ReLU, under a layer that masks"), 0);
        assert_eq!(copies("add, a value used after the other was computed"), 1);
    }
}
