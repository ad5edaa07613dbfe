//! Convolution over feature maps, with PyTorch's `[out, in, down, across]` kernels.

use super::{Destination, GradientCase, case_input, case_weights, weight_gradients};
use crate::core::buffer::{Buf, Maps, shape};
use crate::core::tape::{GradTarget, Tape};
use crate::kernels::conv2d::{Conv2d, ConvPass, Geometry, Padding};

/// `x`: maps with `in` channels, `w`: `[out, in, down, across]` as [`Geometry::filters`] lays it out, `bias`: `[1, out]`; returns maps
/// with `out` channels. Panics if the kernel is larger than the padded maps, which their sizes have ruled out.
pub fn conv2d(t: &mut Tape<'_>, name: &str, x: Maps, w: Buf, bias: Option<Buf>, geometry: Geometry) -> Maps {
    let [height, width] = geometry.output([x.height, x.width]).expect("maps are at least as large as kernels");
    let y = Maps::new(t.scratch(name, shape(x.batch * height * width, w.rows())), x.batch, height, width);
    t.call(name, Conv2d { bias, ..Conv2d::new(ConvPass::Forward, geometry, x, w, y) });
    let name = name.to_string();
    let inputs: Vec<Buf> = [x.buf, w].into_iter().chain(bias).collect();
    t.op(&inputs, y.buf, move |t, grad_y| {
        let grad_y = y.with(grad_y);
        let to = [t.grad(w), bias.and_then(|bias| t.grad(bias))];
        weight_gradients(t, &name, grad_y.buf, to, &|t, label, Destination { c, sums, parts, accumulate, mask }| {
            t.call(label, Conv2d { sums, parts, accumulate, mask, ..Conv2d::new(ConvPass::Weights, geometry, x, c, grad_y) });
        });
        if let Some(GradTarget { buf, accumulate, mask }) = t.grad_masked(x.buf) {
            // Pixels of a phase that lies beyond the maps there are none.
            let [down, across] = [x.height, x.width].map(|size| geometry.stride.min(size));
            for phase in (0..down).flat_map(|y| (0..across).map(move |x| [y, x])) {
                let of_phase = if geometry.stride > 1 { format!(", phase {phase:?}") } else { String::new() };
                let call = Conv2d { accumulate, mask, phase, ..Conv2d::new(ConvPass::Input, geometry, x.with(buf), w, grad_y) };
                t.call(format!("{name}: input gradient{of_phase}"), call);
            }
        }
    });
    y
}

pub(super) fn gradient_cases() -> Vec<GradientCase> {
    const STRIDED: Geometry = Geometry::square(3, 2, 1);
    vec![
        GradientCase {
            name: "conv2d",
            record: |t| {
                let x = Maps::new(case_input(t, "x", 2 * 5 * 4, 4), 2, 5, 4);
                let (w, b) = (case_weights(t, "w", STRIDED.filters(4, 3)), case_input(t, "b", 1, 3));
                (vec![x.buf, w, b], conv2d(t, "y", x, w, Some(b), STRIDED).buf)
            },
        },
        GradientCase {
            name: "conv2d with kernels that are not square",
            record: |t| {
                let geometry = Geometry { kernel: [3, 2], stride: 1, padding: Padding::Pixels([0, 1]) };
                let x = Maps::new(case_input(t, "x", 2 * 5 * 4, 4), 2, 5, 4);
                let (w, b) = (case_weights(t, "w", geometry.filters(4, 3)), case_input(t, "b", 1, 3));
                (vec![x.buf, w, b], conv2d(t, "y", x, w, Some(b), geometry).buf)
            },
        },
        GradientCase {
            name: "two convolutions that share filters",
            record: |t| {
                let x = Maps::new(case_input(t, "x", 3 * 4, 4), 1, 3, 4);
                let geometry = Geometry { stride: 1, ..STRIDED };
                let w = case_weights(t, "w", geometry.filters(4, 4));
                let h = conv2d(t, "h", x, w, None, geometry);
                (vec![x.buf, w], conv2d(t, "y", h, w, None, geometry).buf)
            },
        },
    ]
}
