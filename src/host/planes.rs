//! Maps of few channels as planes, so that vectors need not go across channels.

use super::patches::Patches;
use super::pixel_runs::PixelRun;

/// Lines of an image, each channel of each a row of its own within the zeros of the padding; with a stride, a row for each of as many
/// phases. So pixels side by side see values side by side, through every tap.
pub struct Planes {
    patches: Patches,
    channels: usize,
    values: Vec<f32>,
    /// The line of the pixels that see for which the first lines are laid out.
    first: usize,
}

impl Planes {
    /// For the first `channels` channels, of which nothing is laid out yet.
    pub fn new(patches: Patches, channels: usize) -> Self {
        Planes { patches, channels, values: Vec::new(), first: 0 }
    }

    /// Lays out what pixels of an image in `runs`, one below the other, see of `maps`, which are of the whole batch. Behind it lie
    /// `behind` floats more.
    pub fn lay(&mut self, runs: &[PixelRun], maps: &[f32], behind: usize) {
        let ([first, ..], [.., last]) = (runs, runs) else { return self.values.clear() };
        let Patches { taps: [down, _], source, first: [top, left], depth, .. } = self.patches;
        let ([height, columns], stride, (rows, width)) = (source.map(|size| size as usize), self.stride(), self.line());
        let of_image = self.patches.source_image();
        let maps = &maps[first.image * of_image..][..of_image];
        let count = (last.line - first.line) * stride + down as usize;
        self.first = first.line;
        self.values.clear();
        self.values.resize(count * rows * width + behind, 0.0);
        let top = (first.line * stride) as i64 + i64::from(top);
        for (line, to) in (top..).zip(self.values.chunks_mut(rows * width).take(count)) {
            let Some(line) = usize::try_from(line).ok().filter(|&line| line < height) else { continue };
            let from = &maps[line * columns * depth..][..columns * depth];
            for (row, to) in to.chunks_mut(width).enumerate() {
                let (channel, first) = (row / stride, i64::from(left) + (row % stride) as i64);
                // Places before the first column of the image.
                let outside = ((-first).max(0) as usize).div_ceil(stride);
                let start = (first + (outside * stride) as i64) as usize * depth + channel;
                let (Some(from), Some(to)) = (from.get(start..), to.get_mut(outside..)) else { continue };
                to.iter_mut().zip(from.chunks(stride * depth)).for_each(|(to, from)| *to = from[0]);
            }
        }
    }

    fn stride(&self) -> usize {
        self.patches.stride as usize
    }

    /// Rows of a line, and floats of a row.
    fn line(&self) -> (usize, usize) {
        let across = self.patches.taps[1].max(1) as usize;
        (self.channels * self.stride(), self.patches.rows[1] as usize + (across - 1) / self.stride())
    }

    /// Every tap and channel, in the order of weights: where it is seen from the base on.
    pub fn offsets(&self) -> Vec<u32> {
        let ([down, across], stride, (rows, width)) = (self.patches.taps.map(|taps| taps as usize), self.stride(), self.line());
        let offset = |ty: usize, tx: usize, channel: usize| (ty * rows + channel * stride + tx % stride) * width + tx / stride;
        let taps = (0..down).flat_map(|ty| (0..across).map(move |tx| (ty, tx)));
        taps.flat_map(|(ty, tx)| (0..self.channels).map(move |channel| offset(ty, tx, channel) as u32)).collect()
    }

    /// From where the offsets of a run count.
    pub fn base(&self, run: &PixelRun) -> usize {
        let (rows, width) = self.line();
        (run.line - self.first) * self.stride() * rows * width + run.column
    }

    pub fn values(&self) -> &[f32] {
        &self.values
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::patches::{Geometry, Padding};
    use crate::host::pixel_runs::pixel_runs;

    #[test]
    fn planes_show_what_pixels_see() {
        let square = [(3, 1, 1), (3, 2, 1), (1, 1, 0), (1, 2, 0), (7, 2, 3), (5, 3, 2), (2, 2, 0)];
        let square = square.map(|(kernel, stride, padding)| Geometry::square(kernel, stride, padding));
        let others = [([3, 3], 1, [0, 1]), ([1, 3], 1, [0, 1]), ([4, 1], 2, [1, 0])];
        let others = others.map(|(kernel, stride, padding)| Geometry { kernel, stride, padding: Padding::Pixels(padding) });
        for geometry in square.into_iter().chain(others) {
            let source = [9_u32, 7];
            let rows = geometry.output(source).expect("large enough");
            let (depth, channels) = (4, 3);
            let patches = Patches::forward(geometry, source, rows, depth);
            let maps: Vec<f32> = (0..2 * 9 * 7 * 4).map(|i| i as f32 + 1.0).collect();
            let all = 2 * (rows[0] * rows[1]) as usize;
            let mut planes = Planes::new(patches, channels);
            for pixels in [0..all, 1..all - 1, 3..5] {
                let mut seen_pixels = 0;
                for run in pixel_runs(rows, pixels.clone()) {
                    let above = PixelRun { line: run.line.saturating_sub(1), ..run };
                    planes.lay(&[above, run], &maps, 5);
                    for x in 0..run.count {
                        let pixel = (run.image * rows[0] as usize + run.line) * rows[1] as usize + run.column + x;
                        assert_eq!(pixel, pixels.start + seen_pixels);
                        seen_pixels += 1;
                        for (at, offset) in planes.offsets().into_iter().enumerate() {
                            let expected = patches.seen(pixel, at / channels).map_or(0.0, |seen| maps[seen * depth + at % channels]);
                            let got = planes.values()[planes.base(&run) + x + offset as usize];
                            assert_eq!(got, expected, "{geometry:?}, pixel {pixel}, row {at}");
                        }
                    }
                }
                assert_eq!(seen_pixels, pixels.len());
            }
        }
    }
}
