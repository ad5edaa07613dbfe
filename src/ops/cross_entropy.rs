//! Mean softmax cross-entropy with label smoothing.

use super::{GradientCase, case_input};
use crate::buffer::{Buf, Dtype, Fill, Role, shape};
use crate::kernels::mean::Mean;
use crate::kernels::softmax_cross_entropy::SoftmaxCrossEntropy;
use crate::kernels::softmax_cross_entropy_backward::SoftmaxCrossEntropyBackward;
use crate::tape::Tape;

/// `logits`: `[batch, classes]`, `targets` (u32, below `classes`): `[1, batch]`; returns the loss, `[1, 1]`.
pub fn cross_entropy(t: &mut Tape<'_>, logits: Buf, targets: Buf, smoothing: f32) -> Buf {
    let rows = logits.rows();
    let (row_loss, log_sum) = (t.scratch("loss per row", shape(1, rows)), t.scratch("log-sum-exp", shape(1, rows)));
    let loss = t.scratch("loss", shape(1, 1));
    t.call("cross-entropy", SoftmaxCrossEntropy { logits, targets, loss: row_loss, log_sum, smoothing });
    t.call("mean loss", Mean { x: row_loss, mean: loss });
    t.op(&[logits], loss, move |t, _| {
        if let Some(to) = t.grad(logits) {
            assert!(!to.accumulate, "a loss is the first to write its logits' gradient");
            let call = SoftmaxCrossEntropyBackward { logits, targets, log_sum, dlogits: to.buf, smoothing };
            t.call("cross-entropy: gradient", call);
        }
    });
    loss
}

pub(super) fn gradient_cases() -> Vec<GradientCase> {
    fn record(t: &mut Tape<'_>, smoothing: f32) -> (Vec<Buf>, Buf) {
        let logits = case_input(t, "logits", 5, 7);
        let targets = t.arena.buffer("targets", Role::Input, Dtype::U32, shape(1, 5), Fill::U32(vec![0, 6, 3, 3, 1]));
        (vec![logits], cross_entropy(t, logits, targets, smoothing))
    }
    vec![
        GradientCase { name: "cross-entropy", record: |t| record(t, 0.0) },
        GradientCase { name: "cross-entropy, smoothed", record: |t| record(t, 0.1) },
    ]
}
