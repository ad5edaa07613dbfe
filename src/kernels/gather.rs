//! A batch of samples as floats: packed bytes divided by 255.

use std::sync::LazyLock;

use super::{Cases, has, quads, row_quads};
use crate::buffer::{Buf, Fill, shape};
use crate::memory::HostMem;
use crate::program::{Kernel, Scalar, Tolerance};
use crate::shader::Variant;
use crate::wgsl;

const VARIANTS: &[Variant] = &[Variant::plain("gather", &[wgsl!("gather")])];

/// `data` (u32): `[samples, bytes / 4]`, lowest byte first; `indices`: `[1, rows]`; `x`: `[rows, bytes]`.
pub struct Gather {
    pub data: Buf,
    pub indices: Buf,
    pub x: Buf,
}

impl Kernel for Gather {
    fn bufs(&self) -> Vec<(&'static str, Buf)> {
        vec![("data", self.data), ("indices", self.indices), ("x", self.x)]
    }

    fn params(&self) -> Vec<(&'static str, Scalar)> {
        vec![
            ("rows", Scalar::U32(self.x.rows())),
            ("cols", Scalar::U32(self.x.cols())),
            ("quads", Scalar::U32(row_quads(self.x))),
            ("data_stride", Scalar::U32(self.data.shape.stride())),
        ]
    }

    fn variants(&self) -> &'static [Variant] {
        VARIANTS
    }

    fn invocations(&self, _: &Variant) -> u64 {
        u64::from(quads(self.x))
    }

    fn check_shapes(&self) -> Result<(), String> {
        has("indices", self.indices, 1, self.x.rows())?;
        has("data", self.data, self.data.rows(), self.x.cols().div_ceil(4))
    }

    fn twin(&self, m: &HostMem) {
        let (data, indices) = (m.u32(self.data), m.u32(self.indices));
        m.f32_mut(self.x).for_each_row(|r, x| {
            let bytes: &[u8] = bytemuck::cast_slice(data.row(indices.row(0)[r] as usize));
            for (x, &byte) in x.iter_mut().zip(bytes) {
                *x = f32::from(byte) / 255.0;
            }
        });
    }

    fn fast(&self, m: &HostMem) {
        static FLOATS: LazyLock<[f32; 256]> = LazyLock::new(|| std::array::from_fn(|byte| byte as f32 / 255.0));
        let floats: &[f32; 256] = &FLOATS;
        let (data, indices) = (m.u32(self.data), m.u32(self.indices));
        m.f32_mut(self.x).for_each_row(|r, x| {
            let bytes: &[u8] = bytemuck::cast_slice(data.row(indices.row(0)[r] as usize));
            x.iter_mut().zip(bytes).for_each(|(x, &byte)| *x = floats[usize::from(byte)]);
        });
    }

    /// WGSL's division is accurate to 2.5 units in the last place.
    fn tolerance(&self, _: &str, _: &HostMem) -> Tolerance {
        Tolerance::ulps(3.0)
    }

    /// Of the data, only the rows that are gathered.
    fn bytes(&self) -> u64 {
        4 * self.x.shape.words() + u64::from(self.x.rows()) * 4 * (u64::from(self.data.shape.stride()) + 1)
    }
}

/// Samples of `bytes` pseudo-random bytes each, packed in words.
pub(super) fn packed_bytes(c: &mut Cases<'_>, samples: u32, bytes: u32) -> Buf {
    let words = bytes.div_ceil(4);
    let values = (0..samples * words).map(|i| crate::random::threefry([3, 4], [i, 0])[0]);
    c.filled(shape(samples, words), Fill::U32(values.collect()))
}

pub fn cases(c: &mut Cases<'_>) {
    for (samples, bytes, rows) in [(1, 1, 1), (5, 7, 3), (9, 64, 65), (33, 784, 17)] {
        let data = packed_bytes(c, samples, bytes);
        let indices = c.integers((0..rows).map(|r| (r * 5 + 2) % samples));
        let x = c.output(rows, bytes);
        c.add(Gather { data, indices, x });
    }
}
