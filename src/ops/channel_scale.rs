//! Each channel of maps by a factor of its own: the excitation of squeeze-and-excitation (Hu et al., 2018).

use super::{GradientCase, case_input};
use crate::core::buffer::{Buf, Maps};
use crate::core::tape::Tape;
use crate::kernels::channel_scale::ChannelScale;
use crate::kernels::channel_scale_backward::ChannelScaleBackward;

/// `factors`: `[batch, channels]`; returns maps of the size of `x`.
pub fn channel_scale(t: &mut Tape<'_>, name: &str, x: Maps, factors: Buf) -> Maps {
    let y = t.scratch(name, x.buf.shape);
    t.call(name, ChannelScale { x: x.buf, factors, y, accumulate: false });
    let (name, maps, x) = (name.to_string(), x, x.buf);
    t.op(&[x, factors], y, move |t, grad_y| {
        if let Some(to) = t.grad(factors) {
            let call = ChannelScaleBackward { x, grad_y, grad_factors: to.buf, accumulate: to.accumulate };
            t.call(format!("{name}: gradient of factors"), call);
        }
        if let Some(to) = t.grad(x) {
            t.call(format!("{name}: input gradient"), ChannelScale { x: grad_y, factors, y: to.buf, accumulate: to.accumulate });
        }
    });
    maps.with(y)
}

pub(super) fn gradient_cases() -> Vec<GradientCase> {
    vec![
        GradientCase {
            name: "channel scale",
            record: |t| {
                let (x, factors) = (Maps::new(case_input(t, "x", 2 * 3 * 4, 5), 2, 3, 4), case_input(t, "factors", 2, 5));
                (vec![x.buf, factors], channel_scale(t, "y", x, factors).buf)
            },
        },
        GradientCase {
            name: "channel scale by the same twice",
            record: |t| {
                let (x, factors) = (Maps::new(case_input(t, "x", 6, 3), 1, 2, 3), case_input(t, "factors", 1, 3));
                let h = channel_scale(t, "h", x, factors);
                (vec![x.buf, factors], channel_scale(t, "y", h, factors).buf)
            },
        },
    ]
}
