//! Layer normalisation (Ba, Kiros and Hinton, 2016): over the columns of each row.

use super::{GradientCase, case_input, column_gradients};
use crate::core::buffer::{Buf, shape};
use crate::core::tape::Tape;
use crate::kernels::NORM_EPS;
use crate::kernels::batch_norm::Clip;
use crate::kernels::layer_norm::LayerNorm;
use crate::kernels::layer_norm_backward::LayerNormBackward;
use crate::kernels::norm_sums::NormSums;

/// What PyTorch adds to variances.
pub const LAYER_NORM_EPS: f32 = NORM_EPS;

/// `x`: `[rows, cols]`, `gamma`, `beta`: `[1, cols]`; returns (x - mean) / sqrt(variance + eps) · gamma + beta, row by row.
pub fn layer_norm(t: &mut Tape<'_>, name: &str, x: Buf, gamma: Buf, beta: Buf, eps: f32) -> Buf {
    let y = t.scratch(name, x.shape);
    let moments = t.scratch(&format!("{name} moments"), shape(x.rows(), 2));
    t.call(name, LayerNorm { x, gamma, beta, y, moments, eps });
    let name = name.to_string();
    t.op(&[x, gamma, beta], y, move |t, grad_y| {
        let of_parts = |sums, products| NormSums { x, grad_y, moments, by_row: true, gamma, beta, clip: Clip::None, sums, products };
        column_gradients(t, &name, [beta, gamma], x.rows(), false, of_parts);
        if let Some(to) = t.grad(x) {
            let call = LayerNormBackward { x, grad_y, moments, gamma, grad_x: to.buf, accumulate: to.accumulate };
            t.call(format!("{name}: input gradient"), call);
        }
    });
    y
}

pub(super) fn gradient_cases() -> Vec<GradientCase> {
    fn record(t: &mut Tape<'_>, passes: u32) -> (Vec<Buf>, Buf) {
        let (x, gamma, beta) = (case_input(t, "x", 4, 6), case_input(t, "gamma", 1, 6), case_input(t, "beta", 1, 6));
        (vec![x, gamma, beta], (0..passes).fold(x, |x, i| layer_norm(t, &format!("y{i}"), x, gamma, beta, LAYER_NORM_EPS)))
    }
    vec![
        GradientCase { name: "layer norm", record: |t| record(t, 1) },
        GradientCase { name: "layer norm, gamma and beta shared", record: |t| record(t, 2) },
    ]
}
