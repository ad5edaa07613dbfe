//! Connectionist temporal classification: the loss of sequences whose alignment with their steps is not known.

use super::{GradientCase, case_input};
use crate::core::buffer::{Buf, Dtype, Fill, Role, shape};
use crate::core::sample::NO_TOKEN;
use crate::core::tape::Tape;
pub use crate::kernels::ctc::{BLANK, MOST_LETTERS};
use crate::kernels::ctc::{Ctc, states_of};
use crate::kernels::ctc_backward::CtcBackward;
use crate::kernels::mean::Mean;

/// `logits`: `[batch * time, classes]`, of which class [`BLANK`] says nothing; `steps` (u32): `[batch, time]`, `NO_TOKEN` behind the last one
/// of a sample; `targets` (u32): `[batch, longest]`, classes from 1, `NO_TOKEN` behind the last letter, at most [`MOST_LETTERS`]. Returns the
/// mean over samples of -log p(target) / letters, `[1, 1]`, PyTorch's `ctc_loss` with `zero_infinity`: a target that does not fit into its
/// steps has loss 0 and no gradient, and is counted.
///
/// Of each step and state a number is kept: `batch * time * (2 longest + 1)` of them.
pub fn ctc(t: &mut Tape<'_>, name: &str, logits: Buf, steps: Buf, targets: Buf) -> Buf {
    let (batch, states) = (steps.rows(), states_of(targets.cols()));
    let of_samples = t.scratch(&format!("{name} per sample"), shape(1, batch));
    let log_sums = t.scratch(&format!("{name} log-sum-exp"), shape(batch, steps.cols()));
    let alphas = t.scratch(&format!("{name} forward variables"), shape(logits.rows(), states));
    let loss = t.scratch(name, shape(1, 1));
    t.call(format!("{name} per sample"), Ctc { logits, steps, targets, loss: of_samples, log_sums, alphas });
    t.call(name, Mean { x: of_samples, mean: loss });
    let name = name.to_string();
    t.op(&[logits], loss, move |t, _| {
        if let Some(to) = t.grad(logits) {
            assert!(!to.accumulate, "a loss is the first to write its logits' gradient");
            t.call(format!("{name}: gradient"), CtcBackward { logits, steps, targets, log_sums, alphas, dlogits: to.buf });
        }
    });
    loss
}

pub(super) fn gradient_cases() -> Vec<GradientCase> {
    /// Samples by their steps and letters, five of each at most.
    fn record(t: &mut Tape<'_>, samples: &[(u32, &[u32])]) -> (Vec<Buf>, Buf) {
        let batch = samples.len() as u32;
        let logits = case_input(t, "logits", batch * 5, 4);
        let steps = samples.iter().flat_map(|&(count, _)| (0..5).map(move |step| if step < count { step } else { NO_TOKEN })).collect();
        let targets = samples.iter().flat_map(|(_, letters)| (0..5).map(|i| letters.get(i).copied().unwrap_or(NO_TOKEN))).collect();
        let [steps, targets] = [("steps", steps), ("targets", targets)]
            .map(|(name, words)| t.arena.buffer(name, Role::Input, Dtype::U32, shape(batch, 5), Fill::U32(words)));
        (vec![logits], ctc(t, "loss", logits, steps, targets))
    }
    vec![
        GradientCase { name: "ctc", record: |t| record(t, &[(5, &[1, 3]), (4, &[2, 2])]) },
        GradientCase { name: "ctc, one alignment, none and no letters", record: |t| record(t, &[(3, &[1, 1]), (2, &[3, 3]), (5, &[])]) },
    ]
}
