//! Convolution of each channel with a kernel of its own (depthwise; PyTorch's `groups = channels`).

use super::{GradientCase, bias_gradient, case_input, case_weights};
use crate::core::buffer::{Buf, Maps, shape};
use crate::core::tape::Tape;
use crate::kernels::conv2d::{ConvPass, Geometry};
use crate::kernels::depthwise_conv2d::DepthwiseConv2d;
use crate::kernels::parts;
use crate::kernels::sum_parts::SumParts;

/// `x`: maps, `w`: `[channels, 1, k, k]` as [`Geometry::depthwise`] lays it out, `bias`: `[1, channels]`; returns maps with as many
/// channels. Panics if the kernel is larger than the padded maps, which their sizes have ruled out.
pub fn depthwise_conv2d(t: &mut Tape<'_>, name: &str, x: Maps, w: Buf, bias: Option<Buf>, geometry: Geometry) -> Maps {
    let [height, width] = geometry.output([x.height, x.width]).expect("maps are at least as large as kernels");
    let y = Maps::new(t.scratch(name, shape(x.batch * height * width, x.channels())), x.batch, height, width);
    let call = DepthwiseConv2d { pass: ConvPass::Forward, geometry, x, w, y, bias, accumulate: false };
    t.call(name, call);
    let name = name.to_string();
    let inputs: Vec<Buf> = [x.buf, w].into_iter().chain(bias).collect();
    t.op(&inputs, y.buf, move |t, grad_y| {
        let call = DepthwiseConv2d { y: y.with(grad_y), bias: None, ..call };
        if let Some(to) = t.grad(w) {
            let of_parts = shape(parts(grad_y.rows()) * w.rows(), w.cols());
            let products = t.shared_scratch(&format!("depthwise products in parts, {}x{}", of_parts.rows, of_parts.cols), of_parts);
            t.call(format!("{name}: weight gradient, in parts"), DepthwiseConv2d { pass: ConvPass::Weights, w: products, ..call });
            t.call(format!("{name}: weight gradient"), SumParts { products, mask: None, c: to.buf, accumulate: to.accumulate });
        }
        if let Some(to) = bias.and_then(|bias| t.grad(bias)) {
            bias_gradient(t, &name, grad_y, to);
        }
        if let Some(to) = t.grad(x.buf) {
            let call = DepthwiseConv2d { pass: ConvPass::Input, x: x.with(to.buf), accumulate: to.accumulate, ..call };
            t.call(format!("{name}: input gradient"), call);
        }
    });
    y
}

pub(super) fn gradient_cases() -> Vec<GradientCase> {
    fn record(t: &mut Tape<'_>, geometry: Geometry) -> (Vec<Buf>, Buf) {
        let x = Maps::new(case_input(t, "x", 2 * 6 * 5, 3), 2, 6, 5);
        let (w, b) = (case_weights(t, "w", geometry.depthwise(3)), case_input(t, "b", 1, 3));
        (vec![x.buf, w, b], depthwise_conv2d(t, "y", x, w, Some(b), geometry).buf)
    }
    vec![
        GradientCase { name: "depthwise conv2d", record: |t| record(t, Geometry::square(3, 1, 1)) },
        GradientCase { name: "depthwise conv2d, strided", record: |t| record(t, Geometry::same(5, 2)) },
        GradientCase {
            name: "two depthwise convolutions that share kernels",
            record: |t| {
                let x = Maps::new(case_input(t, "x", 3 * 4, 4), 1, 3, 4);
                let geometry = Geometry::square(3, 1, 1);
                let w = case_weights(t, "w", geometry.depthwise(4));
                let h = depthwise_conv2d(t, "h", x, w, None, geometry);
                (vec![x.buf, w], depthwise_conv2d(t, "y", h, w, None, geometry).buf)
            },
        },
    ]
}
