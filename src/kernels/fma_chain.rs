//! Nothing but multiply-adds. Its speed is the device's peak.

use super::{Cases, quads, same};
use crate::core::buffer::Buf;
use crate::core::memory::HostMem;
use crate::core::program::{EPSILON, Exp, Kernel, Tolerance};

/// Below one, so that chains converge and rounding errors do not pile up.
const FACTOR: f32 = 0.5;

/// `x`, `y`: of one shape, without padding.
pub struct FmaChain {
    pub x: Buf,
    pub y: Buf,
    /// A multiple of 8.
    pub rounds: u32,
}

impl Kernel for FmaChain {
    interface! {
        self runs "fma_chain";
        bufs { x, y }
        params { quads: quads(self.x), octets: self.rounds / 8, factor: FACTOR }
        invocations { quads(self.x) }
    }

    fn check_shapes(&self) -> Result<(), String> {
        if !self.rounds.is_multiple_of(8) || !self.x.cols().is_multiple_of(4) {
            return Err(format!("{} rounds are no multiple of 8, or {} columns none of 4", self.rounds, self.x.cols()));
        }
        same(&[("x", self.x), ("y", self.y)])
    }

    fn twin(&self, m: &HostMem) {
        let x = m.f32(self.x);
        m.f32_mut(self.y).for_each_row(|r, y| {
            for (y, &x) in y.iter_mut().zip(x.row(r)) {
                let chain = |start: f64| (0..self.rounds).fold(start, |c, _| f64::from(FACTOR) * c + 1.0);
                *y = [1.0, 2.0, 3.0].into_iter().map(|n| chain(n * f64::from(x))).sum::<f64>() as f32;
            }
        });
    }

    fn fast(&self, m: &HostMem) {
        let x = m.f32(self.x);
        m.f32_mut(self.y).for_each_row(|r, y| chains(self.rounds, x.row(r), y));
    }

    /// With factor 1/2, at most two roundings' worth of the last value stay in each chain.
    fn tolerance(&self, _: &str, m: &HostMem, _: Exp) -> Tolerance {
        Tolerance::Each(m.dense_f32(self.x).iter().map(|x| 16.0 * EPSILON * (6.0 * f64::from(x.abs()) + 6.0)).collect())
    }

    fn flops(&self) -> u64 {
        2 * 3 * u64::from(self.rounds) * self.x.shape.words()
    }
}

/// With the widest multiply-add instructions that this processor has.
fn chains(rounds: u32, x: &[f32], y: &mut [f32]) {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
        #[target_feature(enable = "avx2,fma")]
        fn wide(rounds: u32, x: &[f32], y: &mut [f32]) {
            blocks(rounds, x, y, |a, b| a.mul_add(FACTOR, b));
        }
        // SAFETY: the processor was asked just above whether it has both features.
        return unsafe { wide(rounds, x, y) };
    }
    blocks(rounds, x, y, |a, b| a * FACTOR + b);
}

#[inline(always)]
fn blocks(rounds: u32, x: &[f32], y: &mut [f32], step: impl Fn(f32, f32) -> f32 + Copy) {
    const WIDTH: usize = 32;
    for (x, y) in x.chunks(WIDTH).zip(y.chunks_mut(WIDTH)) {
        let mut chains = [[0.0; WIDTH]; 3];
        for (n, chain) in chains.iter_mut().enumerate() {
            chain.iter_mut().zip(x).for_each(|(c, x)| *c = (n + 1) as f32 * x);
        }
        for _ in 0..rounds {
            chains.iter_mut().flatten().for_each(|c| *c = step(*c, 1.0));
        }
        y.iter_mut().enumerate().for_each(|(i, y)| *y = chains[0][i] + chains[1][i] + chains[2][i]);
    }
}

pub fn cases(c: &mut Cases<'_>) {
    for (rows, cols, rounds) in [(1, 4, 8), (3, 8, 8), (9, 32, 16), (1, 260, 40)] {
        let (x, y) = (c.uniform(rows, cols), c.output(rows, cols));
        c.add(FmaChain { x, y, rounds });
    }
}
