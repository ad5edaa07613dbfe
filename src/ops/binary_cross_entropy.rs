//! Binary cross-entropy of each label on its own: any number of them may be right.

use super::{GradientCase, case_input};
use crate::core::buffer::{Buf, Dtype, Fill, Role, shape};
use crate::core::tape::Tape;
use crate::kernels::binary_cross_entropy::BinaryCrossEntropy;
use crate::kernels::binary_cross_entropy_backward::BinaryCrossEntropyBackward;
use crate::kernels::weighted_mean::WeightedMean;

/// `logits`, `wanted`: `[batch, labels]`; wanted is 1, 0 or a share between, and below zero where it is not known. Returns
/// `scale` times the mean loss over all that are known, `[1, 1]`, as PyTorch's `binary_cross_entropy_with_logits`; if none is, the loss
/// is 0, and so is its gradient.
pub fn binary_cross_entropy(t: &mut Tape<'_>, name: &str, logits: Buf, wanted: Buf, scale: f32) -> Buf {
    let sums = t.scratch(&format!("{name} partials"), shape(2, BinaryCrossEntropy::parts(logits)));
    let (loss, total) = (t.scratch(name, shape(1, 1)), t.scratch(&format!("{name} known"), shape(1, 1)));
    t.call(format!("{name} in parts"), BinaryCrossEntropy { logits, wanted, sums, scale });
    t.call(name, WeightedMean { sums, mean: loss, total });
    let name = name.to_string();
    t.op(&[logits], loss, move |t, _| {
        if let Some(to) = t.grad(logits) {
            assert!(!to.accumulate, "a loss is the first to write its logits' gradient");
            t.call(format!("{name}: gradient"), BinaryCrossEntropyBackward { logits, wanted, total, dlogits: to.buf, scale });
        }
    });
    loss
}

pub(super) fn gradient_cases() -> Vec<GradientCase> {
    fn record(t: &mut Tape<'_>, scale: f32) -> (Vec<Buf>, Buf) {
        let logits = case_input(t, "logits", 5, 7);
        let wanted = (0..35).map(|i| [0.0, 1.0, -1.0, 1.0, 0.3][i * 3 % 5]).collect();
        let wanted = t.arena.buffer("wanted", Role::Input, Dtype::F32, shape(5, 7), Fill::F32(wanted));
        (vec![logits], binary_cross_entropy(t, "loss", logits, wanted, scale))
    }
    vec![
        GradientCase { name: "binary cross-entropy", record: |t| record(t, 1.0) },
        GradientCase { name: "binary cross-entropy, scaled", record: |t| record(t, 7.0) },
    ]
}
