//! Operations on buffers: each records its forward calls and leaves behind how to go backward. Losses and gradients are
//! those of the mean over a batch.

mod contrastive;
mod cross_entropy;
mod input;
mod linear;
mod normalize;
mod relu;
mod update;

pub use contrastive::{Similarities, info_nce, info_nce_with, nt_xent, nt_xent_with};
pub use cross_entropy::cross_entropy;
pub use input::{Batch, DataBufs, augmented_views, batch_images, batch_indices, batch_labels};
pub use linear::{Activation, linear};
pub use normalize::normalize;
pub use relu::relu;
pub use update::{Clock, report, start_step, update};

use crate::buffer::{Buf, Fill, Shape, shape};
use crate::kernels::matmul::{Layout, Matmul};
use crate::kernels::sum_parts::SumParts;
use crate::tape::{GradTarget, Tape};

/// Records a product into a gradient: at once, or for long sums and few results in parts of k that are added after.
fn product_into(t: &mut Tape<'_>, label: String, layout: Layout, a: Buf, b: Buf, to: GradTarget) {
    let parts = Matmul::parts_for(layout, a, to.buf);
    if parts == 1 {
        return t.call(label, Matmul { accumulate: to.accumulate, mask: to.mask, ..Matmul::new(layout, a, b, to.buf) });
    }
    let products = t.shared_scratch(&format!("products in {parts} parts of {}x{}", to.buf.rows(), to.buf.cols()), {
        shape(parts * to.buf.rows(), to.buf.cols())
    });
    t.call(format!("{label}, in parts"), Matmul { parts, ..Matmul::new(layout, a, b, products) });
    t.call(label, SumParts { products, mask: to.mask, c: to.buf, accumulate: to.accumulate });
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
        linear::gradient_cases(),
        relu::gradient_cases(),
        normalize::gradient_cases(),
        cross_entropy::gradient_cases(),
        contrastive::gradient_cases(),
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
    let buf = t.arena.buffer(name, crate::buffer::Role::Input, crate::buffer::Dtype::F32, shape, fill);
    t.want(buf);
    buf
}
