//! Mean squared error and mean Huber loss.

use super::{GradientCase, case_input_filled};
use crate::core::buffer::{Buf, Dtype, Fill, Role, shape};
use crate::core::tape::Tape;
use crate::kernels::huber::{Bend, Huber};
use crate::kernels::huber_backward::HuberBackward;
use crate::kernels::mean::Mean;

/// `pred`, `wanted`: of one shape; returns the mean of (pred - wanted)² over all elements, `[1, 1]`.
pub fn mse(t: &mut Tape<'_>, name: &str, pred: Buf, wanted: Buf) -> Buf {
    regression(t, name, pred, wanted, Bend::SQUARE)
}

/// `pred`, `wanted`: of one shape; returns the mean over all elements of half the squared difference, or of
/// delta (|difference| - delta / 2) beyond `delta` (positive; PyTorch's default is 1), `[1, 1]`.
pub fn huber(t: &mut Tape<'_>, name: &str, pred: Buf, wanted: Buf, delta: f32) -> Buf {
    regression(t, name, pred, wanted, Bend::huber(delta))
}

fn regression(t: &mut Tape<'_>, name: &str, pred: Buf, wanted: Buf, bend: Bend) -> Buf {
    let partials = t.scratch(&format!("{name} partials"), shape(1, Huber::parts(pred)));
    let loss = t.scratch(name, shape(1, 1));
    t.call(format!("{name} in parts"), Huber { pred, wanted, partials, bend });
    t.call(name, Mean { x: partials, mean: loss });
    let name = name.to_string();
    t.op(&[pred], loss, move |t, _| {
        if let Some(to) = t.grad(pred) {
            assert!(!to.accumulate, "a loss is the first to write its predictions' gradient");
            t.call(format!("{name}: gradient"), HuberBackward { pred, wanted, dpred: to.buf, bend });
        }
    });
    loss
}

pub(super) fn gradient_cases() -> Vec<GradientCase> {
    fn record(t: &mut Tape<'_>, loss: fn(&mut Tape<'_>, &str, Buf, Buf) -> Buf) -> (Vec<Buf>, Buf) {
        // Differences are clear of where squares become straight: there the second derivative jumps.
        let values = (0..35).map(|i| [0.1, 0.9, -0.8][i % 3] + 0.005 * i as f32);
        let pred = case_input_filled(t, "pred", shape(5, 7), Fill::F32(values.collect()));
        let wanted = t.arena.buffer("wanted", Role::Input, Dtype::F32, shape(5, 7), Fill::Uniform(0.1));
        (vec![pred], loss(t, "loss", pred, wanted))
    }
    vec![
        GradientCase { name: "mean squared error", record: |t| record(t, mse) },
        GradientCase { name: "Huber", record: |t| record(t, |t, name, pred, wanted| huber(t, name, pred, wanted, 0.5)) },
    ]
}
