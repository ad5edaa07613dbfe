//! Barlow Twins (Zbontar et al., 2021): every column correlates with itself in the other view, and with no other column.

use super::pool::group_means;
use super::{Activation, BatchNormLayer, GradientCase, Running, Statistics, batch_norm, case_input_filled, product_into};
use crate::core::buffer::{Buf, Dtype, Fill, Role, shape};
use crate::core::tape::{GradTarget, Tape};
use crate::host::gemm::Layout;
use crate::kernels::barlow::BarlowTerms;
use crate::kernels::barlow_backward::BarlowBackward;
use crate::kernels::center_view::CenterView;
use crate::kernels::mean::Mean;
use crate::kernels::vicreg_backward::VicregBackward;

/// `z`: `[2n, d]`, first views, then second views of the same n samples, at least 2; rows are not normalised. Returns the
/// loss, `[1, 1]`: Σ (1 - c_ii)² + `lambda` Σ_i≠j c_ij², where c_ij is the correlation of column i of the first views with
/// column j of the second ones. Each view is normalised by itself, by its variance over n and 1e-5.
pub fn barlow(t: &mut Tape<'_>, name: &str, z: Buf, lambda: f32) -> Buf {
    let (samples, cols) = (z.rows() / 2, z.cols());
    let [a, b] = centred_views(t, name, z);
    let layer = unscaled(t, cols);
    let statistics = Statistics::batch(t.arena);
    let [a, b] = [("first", a), ("second", b)]
        .map(|(which, view)| batch_norm(t, &format!("{name} {which} views normalised"), view, layer, statistics, Activation::None));
    let cross = t.scratch(&format!("{name} correlations"), shape(cols, cols));
    product_into(t, format!("{name}: correlations"), Layout::TN, a, b, GradTarget { buf: cross, accumulate: false, mask: None });
    let (terms, loss) = (t.scratch(&format!("{name} per column"), shape(1, cols)), t.scratch(name, shape(1, 1)));
    t.call(format!("{name} per column"), BarlowTerms { cross, terms, samples, lambda });
    t.call(name, Mean { x: terms, mean: loss });
    let name = name.to_string();
    t.op(&[a, b], loss, move |t, _| {
        let dcross = t.scratch(&format!("{name} correlations.grad"), cross.shape);
        t.call(format!("{name}: gradient of correlations"), BarlowBackward { cross, dcross, samples, lambda });
        if let Some(to) = t.grad(a) {
            product_into(t, format!("{name}: first views' gradient"), Layout::NT, b, dcross, to);
        }
        if let Some(to) = t.grad(b) {
            product_into(t, format!("{name}: second views' gradient"), Layout::NN, a, dcross, to);
        }
    });
    loss
}

/// The two views of `z` apart, `[n, d]` each, less their means: normalisation, which takes means away in any case, is then
/// exact however large they are, and leaves gradients that go through the centring unchanged.
fn centred_views(t: &mut Tape<'_>, name: &str, z: Buf) -> [Buf; 2] {
    let means = group_means(t, &format!("{name} means"), z, 2);
    let views = [("first", 0), ("second", 1)].map(|(which, view)| {
        let centred = t.scratch(&format!("{name} {which} views"), shape(z.rows() / 2, z.cols()));
        t.call(format!("{name}: {which} views, centred"), CenterView { x: z, means, y: centred, view });
        centred
    });
    let [first, second] = views;
    let name = name.to_string();
    t.op(&[z], first, move |t, through_a| {
        let through_b = t.recorded_grad(second).expect("the loss depends on both views");
        if let Some(to) = t.grad(z) {
            // Of VICReg's gradient, what came through the views alone.
            let call = VicregBackward { x: z, through_a, through_b, grad_x: to.buf, scale: 0.0, accumulate: to.accumulate };
            t.call(format!("{name}: gradient"), call);
        }
    });
    // Its gradient was written with that of the first.
    t.op(&[z], second, |_, _| {});
    views
}

/// Batch norm without parameters, and with running statistics that nothing reads.
fn unscaled(t: &mut Tape<'_>, cols: u32) -> BatchNormLayer {
    let mut vector = |what: &str, role, value| {
        let fill = Fill::F32(vec![value; cols as usize]);
        t.arena.buffer(&format!("{what} of {cols} columns"), role, Dtype::F32, shape(1, cols), fill)
    };
    BatchNormLayer {
        gamma: vector("constant gamma", Role::Input, 1.0),
        beta: vector("constant beta", Role::Input, 0.0),
        running: Running {
            mean: vector("unused running mean", Role::Transient, 0.0),
            variance: vector("unused running variance", Role::Transient, 1.0),
        },
        eps: BatchNormLayer::EPS,
    }
}

pub(super) fn gradient_cases() -> Vec<GradientCase> {
    fn record(t: &mut Tape<'_>, samples: u32, magnitude: f32, lambda: f32) -> (Vec<Buf>, Buf) {
        let z = case_input_filled(t, "z", shape(2 * samples, 5), Fill::Uniform(magnitude));
        (vec![z], barlow(t, "loss", z, lambda))
    }
    vec![
        GradientCase { name: "Barlow Twins", record: |t| record(t, 6, 2.0, 0.0051) },
        GradientCase { name: "Barlow Twins, wide", record: |t| record(t, 9, 4.0, 0.0051) },
        GradientCase { name: "Barlow Twins, invariance", record: |t| record(t, 6, 2.0, 0.0) },
        GradientCase { name: "Barlow Twins, redundancy", record: |t| record(t, 7, 2.0, 3.0) },
    ]
}
