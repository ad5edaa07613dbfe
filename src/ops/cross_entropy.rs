//! Mean softmax cross-entropy with label smoothing.

use super::{GradientCase, case_input};
use crate::core::buffer::{Buf, Dtype, Fill, Role, shape};
use crate::core::tape::Tape;
use crate::kernels::mean::Mean;
use crate::kernels::softmax_cross_entropy::SoftmaxCrossEntropy;
use crate::kernels::softmax_cross_entropy_backward::SoftmaxCrossEntropyBackward;

/// `logits`: `[batch, classes]`, `targets` (u32, below `classes`): `[1, batch]`; returns the loss, `[1, 1]`.
pub fn cross_entropy(t: &mut Tape<'_>, name: &str, logits: Buf, targets: Buf, smoothing: f32) -> Buf {
    let rows = logits.rows();
    let (row_loss, log_sum) =
        (t.scratch(&format!("{name} per row"), shape(1, rows)), t.scratch(&format!("{name} log-sum-exp"), shape(1, rows)));
    let loss = t.scratch(name, shape(1, 1));
    t.call(format!("{name} per row"), SoftmaxCrossEntropy { logits, targets, loss: row_loss, log_sum, smoothing });
    t.call(name, Mean { x: row_loss, mean: loss });
    let name = name.to_string();
    t.op(&[logits], loss, move |t, _| {
        if let Some(to) = t.grad(logits) {
            assert!(!to.accumulate, "a loss is the first to write its logits' gradient");
            let call = SoftmaxCrossEntropyBackward { logits, targets, log_sum, dlogits: to.buf, smoothing };
            t.call(format!("{name}: gradient"), call);
        }
    });
    loss
}

pub(super) fn gradient_cases() -> Vec<GradientCase> {
    fn record(t: &mut Tape<'_>, smoothing: f32) -> (Vec<Buf>, Buf) {
        let logits = case_input(t, "logits", 5, 7);
        let targets = t.arena.buffer("targets", Role::Input, Dtype::U32, shape(1, 5), Fill::U32(vec![0, 6, 3, 3, 1]));
        (vec![logits], cross_entropy(t, "loss", logits, targets, smoothing))
    }
    vec![
        GradientCase { name: "cross-entropy", record: |t| record(t, 0.0) },
        GradientCase { name: "cross-entropy, smoothed", record: |t| record(t, 0.1) },
    ]
}
