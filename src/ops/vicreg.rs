//! VICReg (Bardes et al., 2022): views of a sample agree, every column varies, and no two columns say the same.

use super::pool::group_means;
use super::{GradientCase, case_input_filled, product_into};
use crate::core::buffer::{Buf, Fill, shape};
use crate::core::tape::{GradTarget, Tape};
use crate::host::gemm::Layout;
use crate::kernels::center_view::CenterView;
use crate::kernels::mean::Mean;
use crate::kernels::vicreg::{VicregTerms, VicregWeights};
use crate::kernels::vicreg_backward::VicregBackward;
use crate::kernels::vicreg_gram_backward::VicregGramBackward;
use crate::kernels::view_distances::ViewDistances;

/// `z`: `[2n, d]`, first views, then second views of the same n samples, at least 2; rows are not normalised. Returns the
/// loss, `[1, 1]`: the mean squared distance of the views, the mean over both views and all columns of max(0, 1 - σ), and
/// the mean over columns of both views' squared covariances with other columns, each times its weight. Variances and
/// covariances are those of samples, over n - 1.
pub fn vicreg(t: &mut Tape<'_>, name: &str, z: Buf, weights: VicregWeights) -> Buf {
    let (samples, cols) = (z.rows() / 2, z.cols());
    let means = group_means(t, &format!("{name} means"), z, 2);
    let views = [("first", 0), ("second", 1)].map(|(which, view)| {
        let centred = t.scratch(&format!("{name} {which} views"), shape(samples, cols));
        t.call(format!("{name}: {which} views, centred"), CenterView { x: z, means, y: centred, view });
        let gram = t.scratch(&format!("{name} {which} gram"), shape(cols, cols));
        let to = GradTarget { buf: gram, accumulate: false, mask: None };
        product_into(t, format!("{name}: {which} gram"), Layout::TN, centred, centred, to);
        (which, centred, gram)
    });
    let [(_, _, gram_a), (_, _, gram_b)] = views;
    let distances = t.scratch(&format!("{name} distances"), ViewDistances::shape(z));
    t.call(format!("{name}: distances"), ViewDistances { x: z, sums: distances });
    let (terms, loss) = (t.scratch(&format!("{name} per column"), shape(1, cols)), t.scratch(name, shape(1, 1)));
    t.call(format!("{name} per column"), VicregTerms { gram_a, gram_b, distances, terms, samples, weights });
    t.call(name, Mean { x: terms, mean: loss });
    let name = name.to_string();
    t.op(&[z], loss, move |t, _| {
        let Some(to) = t.grad(z) else { return };
        // Columns of a centred view sum to zero, and so do those of this gradient: it goes through the centring unchanged.
        let [through_a, through_b] = views.map(|(which, centred, gram)| {
            let dgram = t.scratch(&format!("{name} {which} gram.grad"), gram.shape);
            t.call(format!("{name}: {which} gram gradient"), VicregGramBackward { gram, dgram, samples, weights });
            let through = t.scratch(&format!("{name} {which} views.grad"), centred.shape);
            let to = GradTarget { buf: through, accumulate: false, mask: None };
            product_into(t, format!("{name}: {which} views' gradient"), Layout::NN, centred, dgram, to);
            through
        });
        let scale = 2.0 * weights.invariance / (samples * cols) as f32;
        let call = VicregBackward { x: z, through_a, through_b, grad_x: to.buf, scale, accumulate: to.accumulate };
        t.call(format!("{name}: gradient"), call);
    });
    loss
}

pub(super) fn gradient_cases() -> Vec<GradientCase> {
    fn record(t: &mut Tape<'_>, samples: u32, magnitude: f32, weights: VicregWeights) -> (Vec<Buf>, Buf) {
        let z = case_input_filled(t, "z", shape(2 * samples, 5), Fill::Uniform(magnitude));
        (vec![z], vicreg(t, "loss", z, weights))
    }
    const NONE: VicregWeights = VicregWeights { invariance: 0.0, variance: 0.0, covariance: 0.0 };
    vec![
        GradientCase { name: "VICReg", record: |t| record(t, 6, 1.0, VicregWeights::default()) },
        GradientCase { name: "VICReg, wide", record: |t| record(t, 6, 3.0, VicregWeights::default()) },
        GradientCase { name: "VICReg, invariance", record: |t| record(t, 3, 1.0, VicregWeights { invariance: 1.0, ..NONE }) },
        GradientCase { name: "VICReg, variance", record: |t| record(t, 5, 1.0, VicregWeights { variance: 1.0, ..NONE }) },
        GradientCase { name: "VICReg, covariance", record: |t| record(t, 5, 1.0, VicregWeights { covariance: 1.0, ..NONE }) },
    ]
}
