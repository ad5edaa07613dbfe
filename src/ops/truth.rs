//! What the samples of a step are to become: numbers, or a class for each pixel. Nothing here has a gradient.

use super::input::Batch;
use crate::buffer::{Buf, Dtype, Fill, Role, shape};
use crate::kernels::gather_masks::GatherMasks;
use crate::kernels::gather_rows::GatherRows;
use crate::tape::Tape;

/// The class of pixels that are not to count, and of those that augmentation has moved in from outside.
pub const OUTSIDE: u32 = 255;

/// The numbers of the samples, `[batch, targets]`. Panics if the data have none, which callers have ruled out.
pub fn batch_targets(t: &mut Tape<'_>, batch: Batch) -> Buf {
    let data = batch.data.targets.expect("data with numbers");
    let x = t.scratch("targets", shape(batch.indices.cols(), data.cols()));
    t.call("targets", GatherRows { data, indices: batch.indices, x });
    x
}

/// The class of each pixel, `[1, batch * pixels]`, [`OUTSIDE`] where it has none. `augmented`: moved as the one view of each
/// sample that [`augmented_views`](super::augmented_views) has drawn in this program. Panics if the data have no masks, which
/// callers have ruled out.
pub fn batch_masks(t: &mut Tape<'_>, batch: Batch, augmented: bool) -> Buf {
    let (masks, image, count) = (batch.data.masks.expect("data with masks"), batch.data.image, batch.indices.cols());
    let draws = match augmented {
        true => t.shared_scratch("augmentation", shape(count, 8)),
        false => {
            let still = [1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 1.0].repeat(count as usize);
            t.arena.buffer(&format!("{count} views as they are"), Role::Input, Dtype::F32, shape(count, 8), Fill::F32(still))
        }
    };
    let targets = t.scratch_of("targets", Dtype::U32, shape(1, count * image.height * image.width));
    let (height, width) = (image.height, image.width);
    t.call("masks", GatherMasks { masks, indices: batch.indices, draws, targets, height, width, outside: OUTSIDE });
    targets
}
