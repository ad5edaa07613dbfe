//! Softmax cross-entropy of every pixel, with class weights and pixels that do not count.

use super::{GradientCase, case_input};
use crate::core::buffer::{Buf, Dtype, Fill, Role, shape};
use crate::core::tape::Tape;
use crate::kernels::part_sums::PartSums;
use crate::kernels::pixel_cross_entropy::PixelCrossEntropy;
use crate::kernels::pixel_cross_entropy_backward::PixelCrossEntropyBackward;
use crate::kernels::weighted_mean::WeightedMean;

/// `logits`: `[pixels, classes]`; `targets` (u32): `[1, pixels]`; `weights` (not negative): `[1, classes]`. Returns the mean
/// loss, `[1, 1]`, in which each pixel has the weight of its class, as in PyTorch. Pixels whose target is `ignored`, or no
/// class, do not count; if none counts the loss is 0, and so is its gradient.
pub fn pixel_cross_entropy(t: &mut Tape<'_>, name: &str, logits: Buf, targets: Buf, weights: Buf, ignored: u32) -> Buf {
    let rows = logits.rows();
    let terms = t.scratch(&format!("{name} per pixel"), shape(2, rows));
    let log_sum = t.scratch(&format!("{name} log-sum-exp"), shape(1, rows));
    let sums = t.scratch(&format!("{name} partials"), PartSums::shape(terms));
    let (loss, total) = (t.scratch(name, shape(1, 1)), t.scratch(&format!("{name} weight"), shape(1, 1)));
    t.call(format!("{name} per pixel"), PixelCrossEntropy { logits, targets, weights, terms, log_sum, ignored });
    t.call(format!("{name} in parts"), PartSums { x: terms, sums });
    t.call(name, WeightedMean { sums, mean: loss, total });
    let name = name.to_string();
    t.op(&[logits], loss, move |t, _| {
        if let Some(to) = t.grad(logits) {
            assert!(!to.accumulate, "a loss is the first to write its logits' gradient");
            let call = PixelCrossEntropyBackward { logits, targets, weights, log_sum, total, dlogits: to.buf, ignored };
            t.call(format!("{name}: gradient"), call);
        }
    });
    loss
}

pub(super) fn gradient_cases() -> Vec<GradientCase> {
    vec![GradientCase {
        name: "pixel cross-entropy",
        record: |t| {
            let logits = case_input(t, "logits", 6, 3);
            let targets = Fill::U32(vec![0, 2, 255, 1, 1, 255]);
            let targets = t.arena.buffer("targets", Role::Input, Dtype::U32, shape(1, 6), targets);
            let weights = t.arena.buffer("weights", Role::Input, Dtype::F32, shape(1, 3), Fill::F32(vec![0.5, 1.0, 2.0]));
            (vec![logits], pixel_cross_entropy(t, "loss", logits, targets, weights, 255))
        },
    }]
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::core::buffer::Arena;
    use crate::core::memory::HostMem;
    use crate::exec::{Cpu, Executor, repeat};

    #[test]
    fn where_no_pixel_counts_loss_and_gradient_are_zero() {
        for (target, zero) in [(255, true), (1, false)] {
            let mut arena = Arena::new(1, u64::MAX);
            let mut t = Tape::new(&mut arena, "case", &[]);
            let logits = case_input(&mut t, "logits", 5, 3);
            let targets = t.arena.buffer("targets", Role::Input, Dtype::U32, shape(1, 5), Fill::U32(vec![target; 5]));
            let weights = t.arena.buffer("weights", Role::Input, Dtype::F32, shape(1, 3), Fill::F32(vec![0.5, 1.0, 2.0]));
            let loss = pixel_cross_entropy(&mut t, "loss", logits, targets, weights, 255);
            t.backward(loss, loss);
            let gradient = t.recorded_grad(logits).expect("it was wanted");
            let programs = Arc::new(vec![t.finish().expect("the case is valid")]);
            for mut cpu in [Cpu::new, Cpu::reference].map(|new| new(HostMem::new(&arena), programs.clone())) {
                cpu.run(&repeat(&programs, 0, 1)).expect("it runs");
                let found = [cpu.mem().dense_f32(loss), cpu.mem().dense_f32(gradient)].concat();
                assert_eq!(found.iter().all(|&v| v == 0.0), zero, "targets {target}: {found:?}");
            }
        }
    }
}
