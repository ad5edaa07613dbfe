//! A batch of samples as floats: packed bytes divided by 255.

use multiversion::multiversion;
use rayon::prelude::*;

use super::{Cases, has, row_quads};
use crate::core::buffer::{Buf, Fill, shape};
use crate::core::memory::HostMem;
use crate::core::program::{Exp, Kernel, Tolerance};

/// `data` (u32): `[samples, bytes / 4]`, lowest byte first; `indices`: `[1, batch]`; `x`: `[batch, bytes]`, or with several rows
/// for each sample `[batch * pixels, channels]`.
pub struct Gather {
    pub data: Buf,
    pub indices: Buf,
    pub x: Buf,
}

impl Gather {
    fn rows_per_sample(&self) -> u32 {
        self.x.rows() / self.indices.cols()
    }

    /// Calls `f(bytes, values)` for each row of `x`.
    fn for_each_row(&self, m: &HostMem, f: impl Fn(&[u8], &mut [f32]) + Send + Sync) {
        let (data, indices) = (m.u32(self.data), m.u32(self.indices));
        let (per_sample, cols) = (self.rows_per_sample() as usize, self.x.cols() as usize);
        m.f32_mut(self.x).for_each_row(|r, x| {
            let bytes: &[u8] = bytemuck::cast_slice(data.row(indices.row(0)[r / per_sample] as usize));
            f(&bytes[r % per_sample * cols..][..cols], x);
        });
    }
}

/// Values of which a task has some at least: fewer cost more to hand out than to do.
const LEAST: usize = 4096;

/// Rows of `cols` bytes as rows of floats that begin `stride` apart, with zeros between them.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
fn spread(bytes: &[u8], cols: usize, x: &mut [f32], stride: usize) {
    let float = |byte: &u8| f32::from(*byte) / 255.0;
    match stride {
        // So short a row is not worth a loop.
        4 => {
            for (x, bytes) in x.as_chunks_mut::<4>().0.iter_mut().zip(bytes.chunks(cols)) {
                *x = std::array::from_fn(|i| bytes.get(i).map_or(0.0, float));
            }
        }
        _ => {
            for (x, bytes) in x.chunks_mut(stride).zip(bytes.chunks(cols)) {
                x.iter_mut().zip(bytes).for_each(|(x, byte)| *x = float(byte));
                x[bytes.len()..].fill(0.0);
            }
        }
    }
}

impl Kernel for Gather {
    interface! {
        self runs "gather";
        bufs { data, indices, x }
        params {
            rows: self.x.rows(),
            cols: self.x.cols(),
            quads: row_quads(self.x),
            data_stride: self.data.shape.stride(),
            rows_per_sample: self.rows_per_sample(),
        }
        constants { ALIGNED: self.rows_per_sample() == 1 || self.x.cols().is_multiple_of(4) }
    }

    fn check_shapes(&self) -> Result<(), String> {
        let (batch, rows) = (self.indices.cols(), self.x.rows());
        has("indices", self.indices, 1, batch)?;
        if !rows.is_multiple_of(batch) {
            return Err(format!("{rows} rows for {batch} samples"));
        }
        has("data", self.data, self.data.rows(), (rows / batch * self.x.cols()).div_ceil(4))
    }

    fn twin(&self, m: &HostMem) {
        self.for_each_row(m, |bytes, x| x.iter_mut().zip(bytes).for_each(|(x, &byte)| *x = f32::from(byte) / 255.0));
    }

    fn fast(&self, m: &HostMem) {
        let (data, indices) = (m.u32(self.data), m.u32(self.indices));
        let (stride, cols) = (self.x.shape.stride() as usize, self.x.cols() as usize);
        let of_sample = self.rows_per_sample() as usize * stride;
        let fill = |(sample, x): (usize, &mut [f32])| {
            let bytes: &[u8] = bytemuck::cast_slice(data.row(indices.row(0)[sample] as usize));
            spread(bytes, cols, x, stride);
        };
        m.f32_mut(self.x).padded_mut().par_chunks_mut(of_sample).with_min_len(LEAST.div_ceil(of_sample)).enumerate().for_each(fill);
    }

    /// WGSL's division is accurate to 2.5 units in the last place.
    fn tolerance(&self, _: &str, _: &HostMem, _: Exp) -> Tolerance {
        Tolerance::ulps(3.0)
    }

    /// Of the data, only the rows that are gathered.
    fn bytes(&self) -> u64 {
        4 * self.x.shape.words() + u64::from(self.indices.cols()) * 4 * (u64::from(self.data.shape.stride()) + 1)
    }
}

/// Samples of `bytes` pseudo-random bytes each, packed in words.
pub(super) fn packed_bytes(c: &mut Cases<'_>, samples: u32, bytes: u32) -> Buf {
    let words = bytes.div_ceil(4);
    let values = (0..samples * words).map(|i| crate::core::random::threefry([3, 4], [i, 0])[0]);
    c.filled(shape(samples, words), Fill::U32(values.collect()))
}

pub fn cases(c: &mut Cases<'_>) {
    for (samples, pixels, channels, batch) in [(1, 1, 1, 1), (5, 1, 7, 3), (9, 1, 64, 65), (33, 1, 784, 17), (5, 6, 1, 3), (3, 7, 3, 5)] {
        let data = packed_bytes(c, samples, pixels * channels);
        let indices = c.integers((0..batch).map(|r| (r * 5 + 2) % samples));
        let x = c.output(batch * pixels, channels);
        c.add(Gather { data, indices, x });
    }
}
