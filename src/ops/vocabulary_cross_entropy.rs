//! Softmax cross-entropy over a vocabulary, of rows that predict tokens by their products with embeddings.

use super::{Destination, GradientCase, case_input, product_into, weight_gradients};
use crate::core::buffer::{Buf, Dtype, Fill, Role, shape};
use crate::core::sample::NO_TOKEN;
use crate::core::tape::{GradTarget, Tape};
use crate::kernels::matmul::{Layout, Matmul};
use crate::kernels::part_sums::PartSums;
use crate::kernels::pixel_cross_entropy_backward::PixelCrossEntropyBackward;
use crate::kernels::weighted_mean::WeightedMean;
use crate::kernels::wide_cross_entropy::WideCrossEntropy;

/// Logits that are in memory at a time, about: 16 MiB.
const LOGITS: u32 = 1 << 22;
/// Blocks of rows begin where bindings may.
const UNIT: u32 = 64;

/// Rows whose logits are in memory at a time, of so many.
fn block(rows: u32, vocabulary: u32) -> u32 {
    let most = (LOGITS / vocabulary.max(1)).max(UNIT) / UNIT * UNIT;
    rows.next_multiple_of(UNIT).min(most)
}

/// Of rows that are to be predicted from, with how many [`vocabulary_cross_entropy`] is to be called: the others have no target.
pub fn predicting_rows(rows: u32, vocabulary: u32) -> u32 {
    rows.next_multiple_of(block(rows, vocabulary))
}

/// `x`: `[rows, width]`, as many rows as [`predicting_rows`] says; `table`: `[vocabulary, width]`; `bias`: `[1, vocabulary]`; `targets`
/// (u32): `[1, rows]`. The logits of a row are its products with the rows of the table, and the bias. Returns the mean loss of rows that
/// have a target, `[1, 1]`; those with `NO_TOKEN` do not count, and if none counts the loss is 0.
///
/// Where all logits would take more than 16 MiB, they are computed in blocks of rows, and once more in backward.
pub fn vocabulary_cross_entropy(t: &mut Tape<'_>, name: &str, x: Buf, table: Buf, bias: Buf, targets: Buf) -> Buf {
    in_blocks(t, name, [x, table, bias, targets], block(x.rows(), table.rows()))
}

fn in_blocks(t: &mut Tape<'_>, name: &str, [x, table, bias, targets]: [Buf; 4], block: u32) -> Buf {
    let (rows, vocabulary) = (x.rows(), table.rows());
    assert!(rows.is_multiple_of(block) && block.is_multiple_of(UNIT), "{rows} rows in blocks of {block}");
    let (blocks, of_block) = (rows / block, shape(block, vocabulary));
    // Of all blocks, losses above what counts: two rows for their sums.
    let terms = t.scratch(&format!("{name} per row"), shape(2 * blocks, block));
    let log_sums = t.scratch(&format!("{name} log-sum-exp"), shape(blocks, block));
    let targets = Buf { shape: shape(blocks, block), ..targets };
    let terms_in_two = Buf { shape: shape(2, rows), ..terms };
    let sums = t.scratch(&format!("{name} partials"), PartSums::shape(terms_in_two));
    let (loss, total) = (t.scratch(name, shape(1, 1)), t.scratch(&format!("{name} rows that count"), shape(1, 1)));
    let logits = t.scratch(&format!("{name} logits"), of_block);
    let logits_of = move |t: &mut Tape<'_>, label: String, i: u32| {
        let x = x.some_rows(i * block, block);
        t.call(label, Matmul { bias: Some(bias), ..Matmul::new(Layout::NT, x, table, logits) });
    };
    for i in 0..blocks {
        logits_of(t, format!("{name}: logits"), i);
        let [loss, counted] = [i, blocks + i].map(|row| terms.some_rows(row, 1));
        let (targets, log_sum) = (targets.some_rows(i, 1), log_sums.some_rows(i, 1));
        t.call(format!("{name} per row"), WideCrossEntropy { logits, targets, loss, counted, log_sum, ignored: NO_TOKEN });
    }
    t.call(format!("{name} in parts"), PartSums { x: terms_in_two, sums });
    t.call(name, WeightedMean { sums, mean: loss, total });
    let name = name.to_string();
    t.op(&[x, table, bias], loss, move |t, _| {
        let ones = Fill::F32(vec![1.0; vocabulary as usize]);
        let weights = t.arena.buffer("weights of tokens", Role::Input, Dtype::F32, shape(1, vocabulary), ones);
        let dlogits = t.scratch(&format!("{name} logits.grad"), of_block);
        let to_x = t.grad(x);
        for i in 0..blocks {
            if blocks > 1 {
                logits_of(t, format!("{name}: logits again"), i);
            }
            let (targets, log_sum) = (targets.some_rows(i, 1), log_sums.some_rows(i, 1));
            let call = PixelCrossEntropyBackward { logits, targets, weights, log_sum, total, dlogits, ignored: NO_TOKEN };
            t.call(format!("{name}: gradient of logits"), call);
            let to = [t.grad(table), t.grad(bias)];
            let own = x.some_rows(i * block, block);
            weight_gradients(t, &name, dlogits, to, &|t, label, Destination { c, sums, parts, accumulate, mask }| {
                t.call(label, Matmul { sums, parts, accumulate, mask, ..Matmul::new(Layout::TN, dlogits, own, c) });
            });
            if let Some(GradTarget { buf, accumulate, .. }) = to_x {
                let to = GradTarget { buf: buf.some_rows(i * block, block), accumulate, mask: None };
                product_into(t, format!("{name}: input gradient"), Layout::NN, dlogits, table, to);
            }
        }
    });
    loss
}

pub(super) fn gradient_cases() -> Vec<GradientCase> {
    fn record(t: &mut Tape<'_>, rows: u32) -> (Vec<Buf>, Buf) {
        let (x, table, bias) = (case_input(t, "x", rows, 2), case_input(t, "table", 5, 2), case_input(t, "bias", 1, 5));
        // Few rows count: the more of them share the loss, the more of a row's gradient is lost to rounding.
        let target = |row: u32| if row % 8 == 3 { row / 8 % 5 } else { NO_TOKEN };
        let fill = Fill::U32((0..rows).map(target).collect());
        let targets = t.arena.buffer("targets", Role::Input, Dtype::U32, shape(1, rows), fill);
        (vec![x, table, bias], in_blocks(t, "loss", [x, table, bias, targets], UNIT))
    }
    vec![
        GradientCase { name: "vocabulary cross-entropy", record: |t| record(t, 64) },
        GradientCase { name: "vocabulary cross-entropy, in blocks", record: |t| record(t, 128) },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::buffer::Arena;

    #[test]
    fn memory_does_not_grow_with_rows() {
        let bytes = |rows: u32| {
            let mut arena = Arena::new(1, u64::MAX);
            let mut t = Tape::new(&mut arena, "case", &[]);
            let rows = predicting_rows(rows, 30_522);
            let (x, table, bias) =
                (case_input(&mut t, "x", rows, 64), case_input(&mut t, "table", 30_522, 64), case_input(&mut t, "bias", 1, 30_522));
            let targets = t.arena.buffer("targets", Role::Input, Dtype::U32, shape(1, rows), Fill::Zero);
            let loss = vocabulary_cross_entropy(&mut t, "loss", x, table, bias, targets);
            t.backward(loss, loss);
            t.finish().expect("the case is valid");
            arena.bytes()
        };
        let (few, many) = (bytes(100), bytes(10_000));
        // Of each row, itself, its gradient and a few numbers.
        assert!(many - few < 10_000 * (2 * 64 + 16) * 4, "{few} bytes for a hundred rows, {many} for ten thousand");
    }
}
