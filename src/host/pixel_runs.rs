//! Pixels of a batch of images, line by line.

use std::ops::Range;

/// Pixels that see, side by side in a line of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PixelRun {
    /// Of the batch.
    pub image: usize,
    /// Of the image.
    pub line: usize,
    pub column: usize,
    pub count: usize,
}

/// Some pixels of all images of a batch, of `rows` lines and columns each, in runs: one for each line.
pub fn pixel_runs(rows: [u32; 2], pixels: Range<usize>) -> impl Iterator<Item = PixelRun> {
    let [height, width] = rows.map(|size| size.max(1) as usize);
    let mut pixel = pixels.start;
    std::iter::from_fn(move || {
        let column = pixel % width;
        let count = (width - column).min(pixels.end.saturating_sub(pixel));
        let run = PixelRun { image: pixel / width / height, line: pixel / width % height, column, count };
        pixel += count;
        (count > 0).then_some(run)
    })
}
