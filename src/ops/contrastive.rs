//! Contrastive losses over unit rows. Rows that were not normalised before give a loss, but not the published one.

use super::{GradientCase, case_input, normalize, product_into};
use crate::core::buffer::{Buf, Dtype, Fill, Role, shape};
use crate::core::tape::{GradTarget, Tape};
use crate::kernels::info_nce::{InfoNce, Pairing};
use crate::kernels::info_nce_backward::InfoNceBackward;
use crate::kernels::info_nce_combine::InfoNceCombine;
use crate::kernels::info_nce_gradient::InfoNceGradient;
use crate::kernels::info_nce_partials::{InfoNcePartials, partials};
use crate::kernels::matmul::{Layout, Matmul};
use crate::kernels::mean::Mean;
use crate::kernels::positive_offsets::PositiveOffsets;
use crate::kernels::sup_con::SupCon;
use crate::kernels::sup_con_backward::SupConBackward;

/// How the similarities of a contrastive loss are held.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Similarities {
    /// As a matrix, computed once. Memory grows with the square of the batch.
    Stored,
    /// Computed in tiles, forward and once more backward, where a block of at most this size of their gradient exists at
    /// a time. Memory grows with the batch alone (Cheng et al., Inf-CL, 2024; the online sum is flash attention's).
    Streamed { rows: u32, cols: u32 },
}

impl Similarities {
    /// What is faster at this size, or fits: a matter of the shape alone, so that equal runs stay equal on all devices.
    pub fn of(rows: u32, cols: u32) -> Self {
        const STORED: u64 = 1 << 22;
        if u64::from(rows) * u64::from(cols) <= STORED {
            return Similarities::Stored;
        }
        // 16 MiB. The embeddings of a block's columns stay in caches while its rows pass by.
        Similarities::Streamed { rows: 1024, cols: 4096 }
    }
}

/// NT-Xent (SimCLR): `z`: `[2n, d]` unit rows, first views, then second views of the same n samples. Each row's positive
/// is its other view, all remaining rows but itself are its negatives. `hyper` holds the temperature first. Returns the
/// mean over all 2n rows, `[1, 1]`.
pub fn nt_xent(t: &mut Tape<'_>, name: &str, z: Buf, hyper: Buf) -> Buf {
    nt_xent_with(t, name, z, hyper, Similarities::of(z.rows(), z.rows()))
}

/// [`nt_xent`] with the similarities held as told.
pub fn nt_xent_with(t: &mut Tape<'_>, name: &str, z: Buf, hyper: Buf, similarities: Similarities) -> Buf {
    contrast(t, name, Contrast { a: z, b: z, hyper, pairing: Pairing::TwoViews, offsets: None }, similarities)
}

/// Supervised contrastive loss (L_out of Khosla et al., 2020): `z`: `[2n, d]` unit rows as for [`nt_xent`], `labels` (u32)
/// of the samples: `[1, n]`. Each row's positives are all other rows of its label. Returns the mean over all rows, `[1, 1]`.
pub fn sup_con(t: &mut Tape<'_>, name: &str, z: Buf, labels: Buf, hyper: Buf) -> Buf {
    sup_con_with(t, name, z, labels, hyper, Similarities::of(z.rows(), z.rows()))
}

/// [`sup_con`] with the similarities held as told.
///
/// Its loss is NT-Xent's with the mean of the positives in the place of the other view, and linear in it: the difference of
/// the two is all that is computed here.
pub fn sup_con_with(t: &mut Tape<'_>, name: &str, z: Buf, labels: Buf, hyper: Buf, similarities: Similarities) -> Buf {
    let offsets = t.scratch(&format!("{name} offsets of positives"), z.shape);
    t.call(format!("{name}: offsets of positives"), PositiveOffsets { z, labels, offsets });
    contrast(t, name, Contrast { a: z, b: z, hyper, pairing: Pairing::TwoViews, offsets: Some(offsets) }, similarities)
}

/// InfoNCE in one direction: `queries`, `keys`: `[n, d]` unit rows, row i's positive is key i. Returns the mean, `[1, 1]`.
pub fn info_nce(t: &mut Tape<'_>, name: &str, queries: Buf, keys: Buf, hyper: Buf) -> Buf {
    info_nce_with(t, name, queries, keys, hyper, Similarities::of(queries.rows(), keys.rows()))
}

/// [`info_nce`] with the similarities held as told.
pub fn info_nce_with(t: &mut Tape<'_>, name: &str, queries: Buf, keys: Buf, hyper: Buf, similarities: Similarities) -> Buf {
    contrast(t, name, Contrast { a: queries, b: keys, hyper, pairing: Pairing::Diagonal, offsets: None }, similarities)
}

/// What is contrasted: rows of `a` with rows of `b`. Over two views they are one matrix, and symmetry spares half of
/// backward: the gradient of a similarity and of its mirror image are added before they meet the embeddings.
#[derive(Clone, Copy)]
struct Contrast {
    a: Buf,
    b: Buf,
    hyper: Buf,
    pairing: Pairing,
    /// By how much each row's other view exceeds the mean of its positives, where that is not its other view.
    offsets: Option<Buf>,
}

fn contrast(t: &mut Tape<'_>, name: &str, of: Contrast, similarities: Similarities) -> Buf {
    let rows = of.a.rows();
    let (per_row, log_sum) =
        (t.scratch(&format!("{name} per row"), shape(1, rows)), t.scratch(&format!("{name} log-sum-exp"), shape(1, rows)));
    let loss = t.scratch(name, shape(1, 1));
    if let Some(offsets) = of.offsets {
        // Goes backward last: it adds to what the others leave.
        let (z, hyper, label) = (of.a, of.hyper, format!("{name}: gradient through positives"));
        t.op(&[z], loss, move |t, _| {
            if let Some(to) = t.grad(z) {
                assert!(to.accumulate, "the gradient through the similarities comes first");
                t.call(label, SupConBackward { offsets, hyper, grad_z: to.buf });
            }
        });
    }
    match similarities {
        Similarities::Stored => stored(t, name, of, per_row, log_sum, loss),
        Similarities::Streamed { rows, cols } => streamed(t, name, of, per_row, log_sum, loss, [rows, cols]),
    }
    if let Some(offsets) = of.offsets {
        t.call(format!("{name}: positives"), SupCon { z: of.a, offsets, hyper: of.hyper, loss: per_row });
    }
    t.call(name, Mean { x: per_row, mean: loss });
    loss
}

fn stored(t: &mut Tape<'_>, name: &str, of: Contrast, per_row: Buf, log_sum: Buf, loss: Buf) {
    let Contrast { a, b, hyper, pairing, .. } = of;
    let similarity = t.scratch(&format!("{name} similarity"), shape(a.rows(), b.rows()));
    t.call(format!("{name}: similarity"), Matmul::new(Layout::NT, a, b, similarity));
    t.call(format!("{name} per row"), InfoNce { similarity, hyper, loss: per_row, log_sum, pairing });
    let name = name.to_string();
    t.op(&[a, b], loss, move |t, _| {
        let dsimilarity = t.scratch(&format!("{name} similarity.grad"), similarity.shape);
        t.call(format!("{name}: similarity gradient"), InfoNceBackward { similarity, log_sum, hyper, dsimilarity, pairing });
        if let Some(to) = t.grad(a) {
            product_into(t, format!("{name}: embedding gradient"), Layout::NN, dsimilarity, b, to);
        }
        // Over two views a and b are one matrix, whose gradient is complete by now.
        if pairing == Pairing::Diagonal
            && let Some(to) = t.grad(b)
        {
            product_into(t, format!("{name}: key gradient"), Layout::TN, dsimilarity, a, to);
        }
    });
}

fn streamed(t: &mut Tape<'_>, name: &str, of: Contrast, per_row: Buf, log_sum: Buf, loss: Buf, block: [u32; 2]) {
    let Contrast { a, b, hyper, pairing, .. } = of;
    let (rows, cols) = (a.rows(), b.rows());
    let parts = partials(rows, cols);
    let (largest, total) = (t.scratch(&format!("{name} largest"), parts), t.scratch(&format!("{name} total"), parts));
    t.call(format!("{name}: sums by part"), InfoNcePartials { a, b, hyper, largest, total, pairing });
    t.call(format!("{name} per row"), InfoNceCombine { a, b, largest, total, hyper, loss: per_row, log_sum, pairing });
    let name = name.to_string();
    // Blocks start where bindings may.
    let [step_rows, step_cols] = block.map(|size| size.max(1).next_multiple_of(64));
    let blocks =
        (0..rows).step_by(step_rows as usize).flat_map(move |row| (0..cols).step_by(step_cols as usize).map(move |col| (row, col)));
    t.op(&[a, b], loss, move |t, _| {
        let (da, db) = (t.grad(a), if pairing == Pairing::Diagonal { t.grad(b) } else { None });
        for (first_row, first_col) in blocks {
            let (height, width) = (step_rows.min(rows - first_row), step_cols.min(cols - first_col));
            let (a, b) = (a.some_rows(first_row, height), b.some_rows(first_col, width));
            // One after the other, all blocks of a size use one buffer.
            let c = t.shared_scratch(&format!("{name} gradient of {height}x{width}"), shape(height, width));
            let label = |what: &str| format!("{name}: {what}, block at row {first_row}, column {first_col}");
            t.call(label("similarity gradient"), InfoNceGradient { a, b, log_sum, hyper, c, first_row, first_col, rows, cols, pairing });
            if let Some(to) = da {
                let (buf, accumulate) = (to.buf.some_rows(first_row, height), to.accumulate || first_col > 0);
                product_into(t, label("embedding gradient"), Layout::NN, c, b, GradTarget { buf, accumulate, ..to });
            }
            if let Some(to) = db {
                let (buf, accumulate) = (to.buf.some_rows(first_col, width), to.accumulate || first_row > 0);
                product_into(t, label("key gradient"), Layout::TN, c, a, GradTarget { buf, accumulate, ..to });
            }
        }
    });
}

pub(super) fn gradient_cases() -> Vec<GradientCase> {
    fn hyper(t: &mut Tape<'_>, temperature: f32) -> Buf {
        t.arena.buffer("hyper", Role::Input, Dtype::F32, shape(1, 1), Fill::F32(vec![temperature]))
    }
    fn two_views(t: &mut Tape<'_>, rows: u32, temperature: f32, similarities: Similarities) -> (Vec<Buf>, Buf) {
        let (x, hyper) = (case_input(t, "x", rows, 5), hyper(t, temperature));
        let z = normalize(t, "z", x);
        (vec![x], nt_xent_with(t, "loss", z, hyper, similarities))
    }
    fn labelled(t: &mut Tape<'_>, temperature: f32, similarities: Similarities) -> (Vec<Buf>, Buf) {
        let (x, hyper) = (case_input(t, "x", 12, 5), hyper(t, temperature));
        let labels = t.arena.buffer("labels", Role::Input, Dtype::U32, shape(1, 6), Fill::U32(vec![1, 0, 1, 7, 0, 1]));
        let z = normalize(t, "z", x);
        (vec![x], sup_con_with(t, "loss", z, labels, hyper, similarities))
    }
    fn one_direction(t: &mut Tape<'_>, rows: u32, similarities: Similarities) -> (Vec<Buf>, Buf) {
        let (x, y, hyper) = (case_input(t, "x", rows, 5), case_input(t, "y", rows, 5), hyper(t, 0.5));
        let (queries, keys) = (normalize(t, "queries", x), normalize(t, "keys", y));
        (vec![x, y], info_nce_with(t, "loss", queries, keys, hyper, similarities))
    }
    // With 70 rows: two blocks by two.
    const STREAMED: Similarities = Similarities::Streamed { rows: 64, cols: 64 };
    vec![
        GradientCase { name: "NT-Xent", record: |t| two_views(t, 8, 0.5, Similarities::Stored) },
        GradientCase { name: "NT-Xent, cold", record: |t| two_views(t, 8, 0.1, Similarities::Stored) },
        GradientCase { name: "NT-Xent, streamed", record: |t| two_views(t, 70, 0.5, STREAMED) },
        GradientCase { name: "NT-Xent, streamed, cold", record: |t| two_views(t, 8, 0.1, STREAMED) },
        GradientCase { name: "supervised contrast", record: |t| labelled(t, 0.5, Similarities::Stored) },
        GradientCase { name: "supervised contrast, cold", record: |t| labelled(t, 0.1, Similarities::Stored) },
        GradientCase { name: "supervised contrast, streamed", record: |t| labelled(t, 0.5, STREAMED) },
        GradientCase { name: "InfoNCE", record: |t| one_direction(t, 6, Similarities::Stored) },
        GradientCase { name: "InfoNCE, streamed", record: |t| one_direction(t, 70, STREAMED) },
    ]
}
