//! Huber's loss, or the squared error, in parts whose mean is the loss.

use super::sum_squares::SumSquares;
use super::{Cases, has, quads, same};
use crate::core::buffer::Buf;
use crate::core::memory::HostMem;
use crate::core::program::{EPSILON, Exp, Kernel, Tolerance};

/// What is done to each difference.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bend {
    /// Where half the square becomes straight.
    pub delta: f32,
    pub factor: f32,
}

impl Bend {
    /// Squared differences: no difference of finite numbers is beyond this `delta`.
    pub const SQUARE: Bend = Bend { delta: f32::MAX, factor: 2.0 };

    pub fn huber(delta: f32) -> Self {
        Bend { delta, factor: 1.0 }
    }
}

/// `pred`, `wanted`: of one shape; `partials`: `[1, parts]`, whose mean is the mean loss over all elements.
pub struct Huber {
    pub pred: Buf,
    pub wanted: Buf,
    pub partials: Buf,
    pub bend: Bend,
}

impl Huber {
    /// How many partial sums there are to be: by the shape alone.
    pub fn parts(pred: Buf) -> u32 {
        SumSquares::parts(pred)
    }

    fn scale(&self) -> f64 {
        f64::from(self.bend.factor) * f64::from(self.partials.cols()) / self.pred.shape.len() as f64
    }

    /// (sum, sum of what its terms' errors are made of) of each part.
    fn sums(&self, m: &HostMem) -> Vec<(f64, f64)> {
        let (pred, wanted, delta) = (m.f32(self.pred), m.f32(self.wanted), f64::from(self.bend.delta));
        let mut sums = vec![(0.0, 0.0); self.partials.cols() as usize];
        for (i, (&pred, &wanted)) in pred.padded().iter().zip(wanted.padded()).enumerate() {
            let (pred, wanted) = (f64::from(pred), f64::from(wanted));
            let d = pred - wanted;
            let c = d.clamp(-delta, delta);
            let part = i / 4 % sums.len();
            sums[part].0 += c * (d - 0.5 * c);
            sums[part].1 += c.abs() * d.abs();
        }
        sums
    }
}

impl Kernel for Huber {
    interface! {
        self runs "huber";
        bufs { pred, wanted, partials }
        params {
            quads: quads(self.pred),
            parts: self.partials.cols(),
            delta: self.bend.delta,
            scale: self.scale() as f32,
        }
        invocations { self.partials.cols() }
    }

    fn check_shapes(&self) -> Result<(), String> {
        same(&[("pred", self.pred), ("wanted", self.wanted)])?;
        // All parts are written whole: there is no pad.
        has("partials", self.partials, 1, self.partials.cols().next_multiple_of(4))
    }

    fn twin(&self, m: &HostMem) {
        let sums = self.sums(m);
        m.f32_mut(self.partials).for_each_row(|_, out| {
            out.iter_mut().zip(&sums).for_each(|(out, (sum, _))| *out = (self.scale() * sum) as f32);
        });
    }

    fn fast(&self, m: &HostMem) {
        let (pred, wanted, delta, scale) = (m.f32(self.pred), m.f32(self.wanted), self.bend.delta, self.scale() as f32);
        // Four sums per part, side by side: one long vector that runs over the data.
        let mut sums = vec![0.0_f32; 4 * self.partials.cols() as usize];
        for (pred, wanted) in pred.padded().chunks(sums.len()).zip(wanted.padded().chunks(sums.len())) {
            for ((sum, pred), wanted) in sums.iter_mut().zip(pred).zip(wanted) {
                let d = pred - wanted;
                let c = d.max(-delta).min(delta);
                *sum += c * (d - 0.5 * c);
            }
        }
        let sum = |quad: &[f32]| scale * ((quad[0] + quad[1]) + (quad[2] + quad[3]));
        m.f32_mut(self.partials).for_each_row(|_, out| out.iter_mut().zip(sums.chunks(4)).for_each(|(out, quad)| *out = sum(quad)));
    }

    /// No term is negative: one relative rounding per term of a strand, and those of a term, of which the difference of
    /// halves counts double.
    fn tolerance(&self, _: &str, m: &HostMem, _: Exp) -> Tolerance {
        let terms = f64::from(quads(self.pred).div_ceil(self.partials.cols()));
        let bound = |(_, magnitude)| 2.0 * EPSILON * (terms + 12.0) * self.scale() * magnitude + 1e-37;
        Tolerance::Each(self.sums(m).into_iter().map(bound).collect())
    }
}

pub(super) const BENDS: [Bend; 3] = [Bend::SQUARE, Bend { delta: 1.0, factor: 1.0 }, Bend { delta: 0.25, factor: 1.0 }];

pub fn cases(c: &mut Cases<'_>) {
    for (rows, cols) in [(1, 1), (3, 5), (9, 3), (65, 63), (131, 257)] {
        for bend in BENDS {
            let (pred, wanted) = (c.uniform(rows, cols), c.uniform(rows, cols));
            let partials = c.output(1, Huber::parts(pred));
            c.add(Huber { pred, wanted, partials, bend });
        }
    }
}
