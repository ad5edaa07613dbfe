//! The mean of each sequence over its tokens, or over the windows of a clip.

use super::{Activation, GradientCase, add, case_input};
use crate::core::buffer::{Buf, Dtype, Fill, Role, shape};
use crate::core::sample::NO_TOKEN;
use crate::core::tape::Tape;
use crate::kernels::clip_windows::ClipWindows;
use crate::kernels::masked_mean::MaskedMean;
use crate::kernels::masked_mean_backward::MaskedMeanBackward;

/// `x`: `[batch * length, width]`, sequences one after another; `tokens` (u32): `[batch, length]`, `NO_TOKEN` behind the last one of a
/// sequence. Returns the mean over the places that are tokens, `[batch, width]`; of none it is zero, and there is no gradient.
pub fn masked_mean(t: &mut Tape<'_>, name: &str, x: Buf, tokens: Buf) -> Buf {
    let y = t.scratch(name, shape(tokens.rows(), x.cols()));
    let shares = t.scratch(&format!("{name} shares"), shape(tokens.rows(), 1));
    t.call(name, MaskedMean { x, tokens, y, shares });
    let name = name.to_string();
    t.op(&[x], y, move |t, grad_y| {
        if let Some(to) = t.grad(x) {
            let call = MaskedMeanBackward { grad_y, shares, tokens, grad_x: to.buf, accumulate: to.accumulate };
            t.call(format!("{name}: gradient"), call);
        }
    });
    y
}

/// The windows of `window` frames, `hop` apart, that lie within clips of these `lengths`, `[1, batch]`, as tokens for [`masked_mean`]:
/// `[batch, count]`.
pub fn clip_windows(t: &mut Tape<'_>, name: &str, lengths: Buf, count: u32, [window, hop]: [u32; 2]) -> Buf {
    let windows = t.scratch_of(name, Dtype::U32, shape(lengths.cols(), count));
    t.call(name, ClipWindows { lengths, windows, window, hop });
    windows
}

pub(super) fn gradient_cases() -> Vec<GradientCase> {
    fn record(t: &mut Tape<'_>, passes: u32) -> (Vec<Buf>, Buf) {
        let token = |i: u32| if i % 5 < [5, 3, 0, 1][i as usize / 5] { i } else { NO_TOKEN };
        let tokens = t.arena.buffer("tokens", Role::Input, Dtype::U32, shape(4, 5), Fill::U32((0..20).map(token).collect()));
        let x = case_input(t, "x", 20, 3);
        let means: Vec<Buf> = (0..passes).map(|pass| masked_mean(t, &format!("y{pass}"), x, tokens)).collect();
        let y = means.into_iter().reduce(|x, y| add(t, "sum", x, y, Activation::None)).expect("there is one");
        (vec![x], y)
    }
    vec![
        GradientCase { name: "masked mean", record: |t| record(t, 1) },
        GradientCase { name: "masked mean, rows shared", record: |t| record(t, 2) },
    ]
}
