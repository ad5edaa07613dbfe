//! Maps enlarged by whole numbers: every pixel repeated.

use super::{Cases, has, quads, row_quads};
use crate::buffer::{Buf, Maps};
use crate::memory::HostMem;
use crate::program::{Kernel, Scalar, Tolerance};
use crate::shader::Variant;
use crate::wgsl;

const VARIANTS: &[Variant] = &[Variant::plain("upsample_nearest", &[wgsl!("upsample_nearest")])];

/// `x`; `y`: as many maps of the same channels, `scale` times as high and wide.
pub struct UpsampleNearest {
    pub x: Maps,
    pub y: Buf,
    pub scale: u32,
}

/// Parameters that both directions have, for `rows` of one of the two maps.
pub(super) fn params(small: Maps, rows: u32, scale: u32) -> Vec<(&'static str, Scalar)> {
    let numbers = [("rows", rows), ("quads", row_quads(small.buf)), ("width", small.width), ("scale", scale)];
    numbers.map(|(name, value)| (name, Scalar::U32(value))).to_vec()
}

impl Kernel for UpsampleNearest {
    fn bufs(&self) -> Vec<(&'static str, Buf)> {
        vec![("x", self.x.buf), ("y", self.y)]
    }

    fn params(&self) -> Vec<(&'static str, Scalar)> {
        params(self.x, self.y.rows(), self.scale)
    }

    fn variants(&self) -> &'static [Variant] {
        VARIANTS
    }

    fn invocations(&self, _: &Variant) -> u64 {
        u64::from(quads(self.y))
    }

    fn check_shapes(&self) -> Result<(), String> {
        has("y", self.y, self.x.buf.rows() * self.scale.pow(2), self.x.channels())
    }

    fn twin(&self, m: &HostMem) {
        let (x, width, scale) = (m.f32(self.x.buf), self.x.width as usize, self.scale as usize);
        m.f32_mut(self.y).for_each_row(|r, y| {
            let (line, column) = (r / (width * scale) / scale, r % (width * scale) / scale);
            y.copy_from_slice(x.row(line * width + column));
        });
    }

    /// Values are copied.
    fn tolerance(&self, _: &str, _: &HostMem) -> Tolerance {
        Tolerance::Exact
    }
}

/// (batch, height, width, channels, scale)
pub(super) const SIZES: [[u32; 5]; 5] = [[1, 1, 1, 1, 1], [2, 4, 5, 3, 2], [1, 3, 2, 67, 3], [3, 7, 5, 4, 2], [1, 1, 6, 5, 4]];

pub fn cases(c: &mut Cases<'_>) {
    for [batch, height, width, channels, scale] in SIZES {
        let x = Maps::new(c.uniform(batch * height * width, channels), batch, height, width);
        let y = c.output(x.buf.rows() * scale * scale, channels);
        c.add(UpsampleNearest { x, y, scale });
    }
}
