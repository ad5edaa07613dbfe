//! Maps enlarged by whole numbers: every pixel repeated. What is beyond the wanted size is cut off.

use super::{Cases, row_quads};
use crate::core::buffer::Maps;
use crate::core::memory::HostMem;
use crate::core::program::{Exp, Kernel, Scalar, Tolerance};

/// `x`; `y`: as many maps of the same channels, `scale` times as high and wide, or less by under `scale` pixels, which are
/// left out at the bottom and on the right.
pub struct UpsampleNearest {
    pub x: Maps,
    pub y: Maps,
    pub scale: u32,
}

/// Parameters that both directions have, for `rows` of one of the two maps.
pub(super) fn params(small: Maps, large: Maps, rows: u32, scale: u32) -> Vec<(&'static str, Scalar)> {
    let numbers = [
        ("rows", rows),
        ("quads", row_quads(small.buf)),
        ("height", small.height),
        ("width", small.width),
        ("large_height", large.height),
        ("large_width", large.width),
        ("scale", scale),
    ];
    numbers.map(|(name, value)| (name, Scalar::U32(value))).to_vec()
}

/// Says what is wrong if `large` cannot be made of `small`.
pub(super) fn check_sizes(small: Maps, large: Maps, scale: u32) -> Result<(), String> {
    let covers = |small: u32, large: u32| large.div_ceil(scale) == small;
    let fits = covers(small.height, large.height) && covers(small.width, large.width);
    match fits && (small.batch, small.channels()) == (large.batch, large.channels()) {
        true => Ok(()),
        false => Err(format!("{small:?} times {scale} are not {large:?}")),
    }
}

impl Kernel for UpsampleNearest {
    interface! {
        self runs "upsample_nearest";
        bufs { x: self.x.buf, y: self.y.buf }
        params { ..params(self.x, self.y, self.y.buf.rows(), self.scale), }
    }

    fn check_shapes(&self) -> Result<(), String> {
        check_sizes(self.x, self.y, self.scale)
    }

    fn twin(&self, m: &HostMem) {
        let (x, scale) = (m.f32(self.x.buf), self.scale as usize);
        let [height, width, large_height, large_width] =
            [self.x.height, self.x.width, self.y.height, self.y.width].map(|side| side as usize);
        m.f32_mut(self.y.buf).for_each_row(|r, y| {
            let (map, line, column) = (r / (large_height * large_width), r / large_width % large_height / scale, r % large_width / scale);
            y.copy_from_slice(x.row((map * height + line) * width + column));
        });
    }

    /// Values are copied.
    fn tolerance(&self, _: &str, _: &HostMem, _: Exp) -> Tolerance {
        Tolerance::Exact
    }
}

/// Maps, and those of `scale` times their size less `cut` lines and columns.
pub(super) fn sizes(c: &mut Cases<'_>) -> Vec<(Maps, Maps, u32)> {
    const SIZES: [[u32; 6]; 7] = [
        [1, 1, 1, 1, 1, 0],
        [2, 4, 5, 3, 2, 0],
        [1, 3, 2, 67, 3, 0],
        [3, 7, 5, 4, 2, 0],
        [1, 1, 6, 5, 4, 0],
        [3, 4, 3, 5, 2, 1],
        [2, 2, 5, 7, 3, 2],
    ];
    let maps = |[batch, height, width, channels, scale, cut]: [u32; 6]| {
        let [large_height, large_width] = [scale * height - cut, scale * width - cut / 2];
        let small = Maps::new(c.uniform(batch * height * width, channels), batch, height, width);
        let large = c.uniform(batch * large_height * large_width, channels);
        (small, Maps::new(large, batch, large_height, large_width), scale)
    };
    SIZES.into_iter().map(maps).collect()
}

pub fn cases(c: &mut Cases<'_>) {
    for (x, y, scale) in sizes(c) {
        c.add(UpsampleNearest { x, y, scale });
    }
}
