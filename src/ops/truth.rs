//! What the samples of a step are to become: numbers, or a class for each pixel. Nothing here has a gradient.

use super::input::Batch;
use crate::core::buffer::{Buf, Dtype, Fill, Role, shape};
use crate::core::tape::Tape;
use crate::host::views::{DrawColumn, Ranges};
use crate::kernels::gather_masks::GatherMasks;
use crate::kernels::gather_rows::GatherRows;

/// The class of pixels that are not to count, and of those that augmentation has moved in from outside.
pub const OUTSIDE: u32 = 255;

/// The numbers of the samples, `[batch, targets]`. Panics if the data have none, which callers have ruled out.
pub fn batch_targets(t: &mut Tape<'_>, batch: Batch) -> Buf {
    let data = batch.data.targets.expect("data with numbers");
    let x = t.scratch("targets", shape(batch.indices.cols(), data.cols()));
    t.call("targets", GatherRows { data, indices: batch.indices, x });
    x
}

/// The class of each pixel, `[1, batch * pixels]`, [`OUTSIDE`] where it has none. `ranges`: of the one view of each sample that
/// [`augmented_views`](super::augmented_views) has drawn in this program, which the pixels move with; none if it has drawn none.
/// Panics if the data have no masks, which callers have ruled out.
pub fn batch_masks(t: &mut Tape<'_>, batch: Batch, ranges: Ranges) -> Buf {
    let (masks, image, count) = (batch.data.masks.expect("data with masks"), batch.data.image(), batch.indices.cols());
    let of_draws = shape(count, DrawColumn::COUNT);
    let draws = match ranges.is_none() {
        true => {
            let mut still = [0.0; DrawColumn::COUNT as usize];
            (still[0], still[5]) = (1.0, 1.0);
            let fill = Fill::F32(still.repeat(count as usize));
            t.arena.buffer(&format!("{count} views as they are"), Role::Input, Dtype::F32, of_draws, fill)
        }
        false => t.shared_scratch("augmentation", of_draws),
    };
    let targets = t.scratch_of("targets", Dtype::U32, shape(1, count * image.height * image.width));
    let (height, width, elastic) = (image.height, image.width, ranges.elastic > 0.0);
    t.call("masks", GatherMasks { masks, indices: batch.indices, draws, targets, height, width, elastic, outside: OUTSIDE });
    targets
}
