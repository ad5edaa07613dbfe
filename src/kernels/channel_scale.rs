//! Rows times the one row of their group: each channel of a map by a factor of its own.

use super::{Cases, has, row_quads, same};
use crate::core::buffer::Buf;
use crate::core::memory::HostMem;
use crate::core::program::{EPSILON, Exp, Kernel, Tolerance};

/// `x`, `y`: `[groups * rows, cols]`; `factors`: `[groups, cols]`.
pub struct ChannelScale {
    pub x: Buf,
    pub factors: Buf,
    pub y: Buf,
    pub accumulate: bool,
}

impl ChannelScale {
    fn group_rows(&self) -> u32 {
        self.x.rows() / self.factors.rows()
    }
}

impl Kernel for ChannelScale {
    interface! {
        self runs "channel_scale";
        bufs { x, factors, y }
        params { rows: self.x.rows(), quads: row_quads(self.x), group_rows: self.group_rows(), accumulate }
    }

    fn check_shapes(&self) -> Result<(), String> {
        same(&[("x", self.x), ("y", self.y)])?;
        has("factors", self.factors, self.factors.rows(), self.x.cols())?;
        has("x", self.x, self.group_rows() * self.factors.rows(), self.x.cols())
    }

    fn twin(&self, m: &HostMem) {
        let (x, factors, group_rows) = (m.f32(self.x), m.f32(self.factors), self.group_rows() as usize);
        m.f32_mut(self.y).for_each_row(|r, y| {
            for ((y, &x), &factor) in y.iter_mut().zip(x.row(r)).zip(factors.row(r / group_rows)) {
                let old = if self.accumulate { f64::from(*y) } else { 0.0 };
                *y = (f64::from(x) * f64::from(factor) + old) as f32;
            }
        });
    }

    /// A product, and perhaps a sum with old contents.
    fn tolerance(&self, _: &str, m: &HostMem, _: Exp) -> Tolerance {
        if !self.accumulate {
            return Tolerance::ulps(1.0);
        }
        let (x, factors, old) = (m.f32(self.x), m.f32(self.factors), m.f32(self.y));
        let bounds = (0..self.x.rows() as usize).flat_map(|r| {
            let factors = factors.row(r / self.group_rows() as usize);
            let terms = x.row(r).iter().zip(factors).zip(old.row(r));
            terms.map(|((x, factor), old)| 4.0 * EPSILON * f64::from((x * factor).abs() + old.abs())).collect::<Vec<_>>()
        });
        Tolerance::Each(bounds.collect())
    }
}

pub fn cases(c: &mut Cases<'_>) {
    for (groups, rows, cols) in [(1, 1, 1), (2, 3, 5), (5, 49, 16), (3, 16, 63)] {
        for accumulate in [false, true] {
            let (x, factors, y) = (c.uniform(groups * rows, cols), c.uniform(groups, cols), c.uniform(groups * rows, cols));
            c.add(ChannelScale { x, factors, y, accumulate });
        }
    }
}
