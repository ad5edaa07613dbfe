//! Contrastive losses over unit rows. Rows that were not normalised before give a loss, but not the published one.

use super::{GradientCase, case_input, normalize};
use crate::buffer::{Buf, Dtype, Fill, Role, shape};
use crate::kernels::info_nce::{InfoNce, Pairing};
use crate::kernels::info_nce_backward::InfoNceBackward;
use crate::kernels::matmul::{Layout, Matmul};
use crate::kernels::mean::Mean;
use crate::tape::Tape;

/// NT-Xent (SimCLR): `z`: `[2n, d]` unit rows, first views, then second views of the same n samples. Each row's positive
/// is its other view, all remaining rows but itself are its negatives. `hyper` holds the temperature first. Returns the
/// mean over all 2n rows, `[1, 1]`.
pub fn nt_xent(t: &mut Tape<'_>, name: &str, z: Buf, hyper: Buf) -> Buf {
    contrast(t, name, z, z, hyper, Pairing::TwoViews)
}

/// InfoNCE in one direction: `queries`, `keys`: `[n, d]` unit rows, row i's positive is key i. Returns the mean, `[1, 1]`.
pub fn info_nce(t: &mut Tape<'_>, name: &str, queries: Buf, keys: Buf, hyper: Buf) -> Buf {
    contrast(t, name, queries, keys, hyper, Pairing::Diagonal)
}

fn contrast(t: &mut Tape<'_>, name: &str, a: Buf, b: Buf, hyper: Buf, pairing: Pairing) -> Buf {
    let (rows, cols) = (a.rows(), b.rows());
    let similarity = t.scratch(&format!("{name} similarity"), shape(rows, cols));
    let (row_loss, log_sum) =
        (t.scratch(&format!("{name} per row"), shape(1, rows)), t.scratch(&format!("{name} log-sum-exp"), shape(1, rows)));
    let loss = t.scratch(name, shape(1, 1));
    t.call(format!("{name}: similarity"), Matmul::new(Layout::NT, a, b, similarity));
    t.call(format!("{name} per row"), InfoNce { similarity, hyper, loss: row_loss, log_sum, pairing });
    t.call(name, Mean { x: row_loss, mean: loss });
    let name = name.to_string();
    t.op(&[a, b], loss, move |t, _| {
        let dsimilarity = t.scratch(&format!("{name} similarity.grad"), similarity.shape);
        t.call(format!("{name}: similarity gradient"), InfoNceBackward { similarity, log_sum, hyper, dsimilarity, pairing });
        if let Some(to) = t.grad(a) {
            t.call(
                format!("{name}: embedding gradient"),
                Matmul { accumulate: to.accumulate, ..Matmul::new(Layout::NN, dsimilarity, b, to.buf) },
            );
        }
        // Over two views a and b are one matrix, whose gradient is complete by now.
        if pairing == Pairing::Diagonal
            && let Some(to) = t.grad(b)
        {
            t.call(
                format!("{name}: key gradient"),
                Matmul { accumulate: to.accumulate, ..Matmul::new(Layout::TN, dsimilarity, a, to.buf) },
            );
        }
    });
    loss
}

pub(super) fn gradient_cases() -> Vec<GradientCase> {
    fn hyper(t: &mut Tape<'_>, temperature: f32) -> Buf {
        t.arena.buffer("hyper", Role::Input, Dtype::F32, shape(1, 1), Fill::F32(vec![temperature]))
    }
    fn two_views(t: &mut Tape<'_>, temperature: f32) -> (Vec<Buf>, Buf) {
        let (x, hyper) = (case_input(t, "x", 8, 5), hyper(t, temperature));
        let z = normalize(t, "z", x);
        (vec![x], nt_xent(t, "loss", z, hyper))
    }
    vec![
        GradientCase { name: "NT-Xent", record: |t| two_views(t, 0.5) },
        GradientCase { name: "NT-Xent, cold", record: |t| two_views(t, 0.1) },
        GradientCase {
            name: "InfoNCE",
            record: |t| {
                let (x, y, hyper) = (case_input(t, "x", 6, 5), case_input(t, "y", 6, 5), hyper(t, 0.5));
                let (queries, keys) = (normalize(t, "queries", x), normalize(t, "keys", y));
                (vec![x, y], info_nce(t, "loss", queries, keys, hyper))
            },
        },
    ]
}
