//! Dropout (Srivastava et al., 2014), whose mask is drawn by the clock and the place of a value: nothing of it is kept for backward.

use multiversion::multiversion;

use super::{Cases, quads, same};
use crate::core::buffer::{Buf, Fill, shape};
use crate::core::memory::HostMem;
use crate::core::program::{EPSILON, Exp, Kernel, Tolerance};
use crate::core::random::threefry;

/// `x`, `y`: of one shape; `clock`: `[1, 2]`, this step first.
pub struct Dropout {
    pub clock: Buf,
    pub x: Buf,
    pub y: Buf,
    /// Probability of a zero, below 1; to a multiple of 2^-16.
    pub rate: f32,
    pub key: [u32; 2],
    pub accumulate: bool,
}

/// Probabilities are counted in parts of this.
const UNITS: f64 = 65536.0;

/// What a quad draws from 64 bits.
fn draws([low, high]: [u32; 2]) -> [u32; 4] {
    [low & 0xFFFF, low >> 16, high & 0xFFFF, high >> 16]
}

impl Dropout {
    fn drop(&self) -> u32 {
        ((f64::from(self.rate) * UNITS).round() as u32).min(UNITS as u32 - 1)
    }

    /// What stays is multiplied by it, so that means stay.
    fn scale(&self) -> f32 {
        (1.0 / (1.0 - f64::from(self.drop()) / UNITS)) as f32
    }

    fn step_key(&self, m: &HostMem) -> [u32; 2] {
        threefry(self.key, [m.u32(self.clock).row(0)[0], 0])
    }
}

/// Quads from number `first` on, several draws side by side.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
fn drop_quads(x: &[f32], y: &mut [f32], first: u32, key: [u32; 2], drop: u32, scale: f32, accumulate: bool) {
    const LANES: usize = 16;
    for (block, (x, y)) in x.chunks(4 * LANES).zip(y.chunks_mut(4 * LANES)).enumerate() {
        let mut bits = [[0; 2]; LANES];
        for (lane, bits) in bits.iter_mut().enumerate() {
            *bits = threefry(key, [first + (block * LANES + lane) as u32, 0]);
        }
        for ((x, y), bits) in x.as_chunks::<4>().0.iter().zip(y.as_chunks_mut::<4>().0).zip(bits) {
            for ((&x, y), draw) in x.iter().zip(y).zip(draws(bits)) {
                let value = if draw < drop { 0.0 } else { x * scale };
                *y = if accumulate { *y + value } else { value };
            }
        }
    }
}

impl Kernel for Dropout {
    interface! {
        self runs "dropout" after "random";
        bufs { clock, x, y }
        params {
            quads: quads(self.y),
            drop: self.drop(),
            scale: self.scale(),
            accumulate,
            key_low: self.key[0],
            key_high: self.key[1],
        }
    }

    fn check_shapes(&self) -> Result<(), String> {
        same(&[("x", self.x), ("y", self.y)])
    }

    fn twin(&self, m: &HostMem) {
        let (x, key) = (m.f32(self.x), self.step_key(m));
        let (drop, scale, quads) = (self.drop(), f64::from(self.scale()), self.y.shape.stride() / 4);
        m.f32_mut(self.y).for_each_row(|r, y| {
            for (i, (y, &x)) in y.iter_mut().zip(x.row(r)).enumerate() {
                let place = r as u32 * quads + i as u32 / 4;
                let dropped = draws(threefry(key, [place, 0]))[i % 4] < drop;
                let value = if dropped { 0.0 } else { f64::from(x) * scale };
                *y = if self.accumulate { f64::from(*y) + value } else { value } as f32;
            }
        });
    }

    fn fast(&self, m: &HostMem) {
        let (x, key) = (m.f32(self.x), self.step_key(m));
        m.f32_mut(self.y).for_each_block(|start, y| {
            let x = &x.padded()[start..start + y.len()];
            drop_quads(x, y, start as u32 / 4, key, self.drop(), self.scale(), self.accumulate);
        });
    }

    /// A product, and where it is added, a sum.
    fn tolerance(&self, _: &str, m: &HostMem, _: Exp) -> Tolerance {
        if !self.accumulate {
            return Tolerance::ulps(1.0);
        }
        let (x, y, scale) = (m.dense_f32(self.x), m.dense_f32(self.y), f64::from(self.scale()));
        let bound = |(x, y): (f32, f32)| 2.0 * EPSILON * (2.0 * f64::from(x.abs()) * scale + f64::from(y.abs())) + 1e-37;
        Tolerance::Each(x.into_iter().zip(y).map(bound).collect())
    }
}

pub fn cases(c: &mut Cases<'_>) {
    let key = [5, 9];
    // A probability that the draws of two values of the first quad are just below, or just not.
    let first = draws(threefry(threefry(key, [3, 0]), [0, 0]));
    let just = |value: usize, more: u32| ((first[value] + more) as f64 / UNITS) as f32;
    for (rows, cols, rate) in [
        (1, 1, 0.5),
        (3, 5, 0.1),
        (16, 16, 0.0),
        (65, 63, 0.3),
        (7, 33, 0.999),
        (130, 128, 0.1),
        (2, 4, just(0, 0)),
        (2, 4, just(1, 1)),
        (2, 4, just(2, 0)),
        (2, 4, just(3, 1)),
    ] {
        for accumulate in [false, true] {
            let clock = c.filled(shape(1, 2), Fill::U32(vec![3, 4]));
            let (x, y) = (c.uniform(rows, cols), if accumulate { c.uniform(rows, cols) } else { c.output(rows, cols) });
            c.add(Dropout { clock, x, y, rate, key, accumulate });
        }
    }
}
