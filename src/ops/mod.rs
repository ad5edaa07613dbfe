//! Operations on buffers: each records its forward calls and leaves behind how to go backward. Losses and gradients are
//! those of the mean over a batch.

mod activation;
mod add;
mod attention;
mod barlow;
mod batch_norm;
mod binary_cross_entropy;
mod channel_scale;
mod contrastive;
mod conv2d;
mod cross_entropy;
mod ctc;
mod depthwise_conv2d;
mod dropout;
mod embedding;
mod input;
mod layer_norm;
mod linear;
mod masked_mean;
mod normalize;
mod pixel_cross_entropy;
mod pool;
mod recurrent;
mod regression;
mod relu;
mod resample;
mod truth;
mod update;
mod value;
mod vicreg;
mod vocabulary_cross_entropy;

pub use activation::{Activation, Function, apply, gelu, sigmoid, tanh};
pub use add::add;
pub use attention::attention;
pub use barlow::barlow;
pub use batch_norm::{BatchNormLayer, Running, Statistics, batch_norm};
pub use binary_cross_entropy::binary_cross_entropy;
pub use channel_scale::channel_scale;
pub use contrastive::{Similarities, info_nce, info_nce_with, nt_xent, nt_xent_with, sup_con, sup_con_with};
pub use conv2d::conv2d;
pub use cross_entropy::cross_entropy;
pub use ctc::{BLANK, MOST_LETTERS, ctc};
pub use depthwise_conv2d::depthwise_conv2d;
pub use dropout::{DropoutStep, dropout};
pub use embedding::{embedding, embedding_bag};
pub use input::{
    Augmentation, Batch, DataBufs, Draws, MaskedTokens, augmented_views, batch_indices, batch_labels, batch_samples, batch_tags,
    batch_transcripts, draw_views, mask_tokens, normalize_pixels, samples_of, steps_of, views,
};
pub use layer_norm::{LAYER_NORM_EPS, layer_norm};
pub use linear::{flatten, linear, project, unflatten};
pub use masked_mean::{clip_windows, masked_mean};
pub use normalize::normalize;
pub use pixel_cross_entropy::pixel_cross_entropy;
pub use pool::{global_avg_pool, max_pool2d};
pub use recurrent::{Cell, MOST_UNITS, RecurrentLayer, RecurrentStates, recurrent};
pub use regression::{huber, mse};
pub use relu::relu;
pub use resample::{concat, upsample_nearest, upsample_to};
pub use truth::{OUTSIDE, batch_masks, batch_targets};
pub use update::{Clock, Optimizer, StepSettings, report, start_step, update};
pub use value::{Form, Value};
pub use vicreg::vicreg;
pub use vocabulary_cross_entropy::{predicting_rows, vocabulary_cross_entropy};

use crate::core::buffer::{Buf, Dtype, Fill, Role, Shape, Tensor, shape};
use crate::core::tape::{GradTarget, Tape};
use crate::kernels::column_sums::ColumnSums;
use crate::kernels::matmul::{Layout, Matmul};
use crate::kernels::norm_sums::NormSums;
use crate::kernels::parts;
use crate::kernels::sum_parts::SumParts;
use linear::before_activation;

/// Where a product is to go: into a gradient, or into scratch for parts of it, with the sums of the rows of `aᵀ` beside it.
struct Destination {
    c: Buf,
    sums: Option<Buf>,
    parts: u32,
    accumulate: bool,
    mask: Option<Buf>,
}

/// Records a product into a gradient: at once, or for long sums and few results in parts of k that are added after.
fn product_into(t: &mut Tape<'_>, label: String, layout: Layout, a: Buf, b: Buf, to: GradTarget) {
    let parts = Matmul::parts_for(layout, a, to.buf);
    product_and_sums_into(t, label, parts, to, None, &|t, label, to| {
        let Destination { c, sums, parts, accumulate, mask } = to;
        t.call(label, Matmul { sums, parts, accumulate, mask, ..Matmul::new(layout, a, b, c) });
    });
}

/// [`product_into`] for a call of any kernel that leaves products, with sums that are overwritten or added to as the
/// product is.
fn product_and_sums_into(
    t: &mut Tape<'_>,
    label: String,
    parts: u32,
    to: GradTarget,
    sums: Option<Buf>,
    call: &dyn Fn(&mut Tape<'_>, String, Destination),
) {
    let GradTarget { accumulate, mask, buf } = to;
    if parts == 1 {
        return call(t, label, Destination { c: buf, sums, parts, accumulate, mask });
    }
    let mut in_parts = |what: &str, of: Buf| {
        let name = format!("{what} in {parts} parts of {}x{}", of.rows(), of.cols());
        t.shared_scratch(&name, shape(parts * of.rows(), of.cols()))
    };
    let products = in_parts("products", buf);
    let sums_of_parts = sums.map(|sums| in_parts("sums", sums));
    let to = Destination { c: products, sums: sums_of_parts, parts, accumulate: false, mask: None };
    call(t, format!("{label}, in parts"), to);
    if let (Some(products), Some(c)) = (sums_of_parts, sums) {
        t.call(format!("{label}, sums"), SumParts { products, mask: None, c, accumulate });
    }
    t.call(label, SumParts { products, mask, c: buf, accumulate });
}

/// Records the gradients of a layer's weights and of its bias `[1, out]`, from that of its output `grad_y` `[rows, out]`.
/// `call` leaves the product for the weights' gradient in a destination, with the bias's beside it.
fn weight_gradients(
    t: &mut Tape<'_>,
    name: &str,
    grad_y: Buf,
    [weight, bias]: [Option<GradTarget>; 2],
    call: &dyn Fn(&mut Tape<'_>, String, Destination),
) {
    // One call for both, unless one is added to older contributions and the other is the first of its kind.
    let (beside, apart) = match (weight, bias) {
        (Some(weight), Some(bias)) if weight.accumulate == bias.accumulate => (Some(bias.buf), None),
        _ => (None, bias),
    };
    if let Some(to) = weight {
        let what = if beside.is_some() { "weight and bias gradient" } else { "weight gradient" };
        let parts = Matmul::parts_for(Layout::TN, grad_y, to.buf);
        product_and_sums_into(t, format!("{name}: {what}"), parts, to, beside, call);
    }
    if let Some(to) = apart {
        bias_gradient(t, name, grad_y, to);
    }
}

/// Records the sums of the columns of `grad_y`.
fn bias_gradient(t: &mut Tape<'_>, name: &str, grad_y: Buf, to: GradTarget) {
    let (label, accumulate) = (format!("{name}: bias gradient"), to.accumulate);
    match ColumnSums::parts_for(grad_y.rows()) {
        1 => t.call(label, ColumnSums { x: grad_y, sums: to.buf, accumulate }),
        parts => {
            let products = t.scratch(&format!("{name} bias gradient by part"), shape(parts, grad_y.cols()));
            t.call(format!("{label} by part"), ColumnSums { x: grad_y, sums: products, accumulate: false });
            t.call(label, SumParts { products, mask: None, c: to.buf, accumulate });
        }
    }
}

/// Records the gradients of a normalisation's beta and gamma, `[1, cols]`, from what `of_parts(sums, products)` sums over
/// parts of `rows` rows. Returns both sums where some gradient, or `wanted`, made them necessary.
fn column_gradients(
    t: &mut Tape<'_>,
    name: &str,
    beta_and_gamma: [Buf; 2],
    rows: u32,
    wanted: bool,
    of_parts: impl FnOnce(Buf, Buf) -> NormSums,
) -> Option<[Buf; 2]> {
    let targets = beta_and_gamma.map(|param| t.grad(param));
    if !wanted && targets.iter().all(Option::is_none) {
        return None;
    }
    let of = beta_and_gamma[0].shape;
    let partial = ["sums", "products"].map(|what| t.scratch(&format!("{name} {what} of parts.grad"), shape(parts(rows), of.cols)));
    t.call(format!("{name}: sums of parts"), of_parts(partial[0], partial[1]));
    let mut gradient = |which: usize, what: &str| {
        let products = partial[which];
        let mut sum_into = |c, accumulate| t.call(format!("{name}: {what} gradient"), SumParts { products, mask: None, c, accumulate });
        match targets[which] {
            Some(GradTarget { buf, accumulate: false, .. }) => {
                sum_into(buf, false);
                buf
            }
            target => {
                // Sums over this layer alone, apart from those of others that share its parameters.
                if let Some(to) = target {
                    sum_into(to.buf, true);
                }
                let sums = t.scratch(&format!("{name} {what} sums.grad"), of);
                t.call(format!("{name}: {what} sums"), SumParts { products, mask: None, c: sums, accumulate: false });
                sums
            }
        }
    };
    Some([gradient(0, "beta"), gradient(1, "gamma")])
}

/// An op as the gradient test runs it: finite differences of the output against the recorded backward pass.
pub struct GradientCase {
    pub name: &'static str,
    /// Records the op; returns the inputs to differentiate and the output. A `1 x 1` output is a loss.
    pub record: fn(&mut Tape<'_>) -> (Vec<Buf>, Buf),
}

/// Every differentiable op in every form.
pub fn gradient_cases() -> Vec<GradientCase> {
    [
        attention::gradient_cases(),
        masked_mean::gradient_cases(),
        channel_scale::gradient_cases(),
        conv2d::gradient_cases(),
        depthwise_conv2d::gradient_cases(),
        dropout::gradient_cases(),
        embedding::gradient_cases(),
        linear::gradient_cases(),
        relu::gradient_cases(),
        activation::gradient_cases(),
        add::gradient_cases(),
        barlow::gradient_cases(),
        batch_norm::gradient_cases(),
        binary_cross_entropy::gradient_cases(),
        layer_norm::gradient_cases(),
        normalize::gradient_cases(),
        cross_entropy::gradient_cases(),
        ctc::gradient_cases(),
        contrastive::gradient_cases(),
        pixel_cross_entropy::gradient_cases(),
        pool::gradient_cases(),
        recurrent::gradient_cases(),
        regression::gradient_cases(),
        resample::gradient_cases(),
        vicreg::gradient_cases(),
        vocabulary_cross_entropy::gradient_cases(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// A differentiable input of a gradient case.
fn case_input(t: &mut Tape<'_>, name: &str, rows: u32, cols: u32) -> Buf {
    case_input_filled(t, name, shape(rows, cols), Fill::Uniform(1.0))
}

fn case_input_filled(t: &mut Tape<'_>, name: &str, shape: Shape, fill: Fill) -> Buf {
    case_tensor(t, name, shape.into(), fill)
}

/// Weights whose gradient is wanted, zero where a row here has room for more than the tensor has.
fn case_weights(t: &mut Tape<'_>, name: &str, weights: Tensor) -> Buf {
    case_tensor(t, name, weights, Fill::Uniform(1.0))
}

fn case_tensor(t: &mut Tape<'_>, name: &str, tensor: Tensor, fill: Fill) -> Buf {
    let buf = t.arena.buffer(name, Role::Input, Dtype::F32, tensor, fill);
    t.want(buf);
    buf
}
