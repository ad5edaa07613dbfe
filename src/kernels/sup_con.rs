//! From NT-Xent per row to the supervised contrastive loss per row.

use super::info_nce::temperature;
use super::{Cases, has, row_quads, same};
use crate::core::buffer::Buf;
use crate::core::memory::HostMem;
use crate::core::program::{EPSILON, Exp, Kernel, Tolerance};

/// `z`, `offsets`: `[rows, d]`; `hyper`: temperature first; `loss`: `[1, rows]`, added to.
pub struct SupCon {
    pub z: Buf,
    pub offsets: Buf,
    pub hyper: Buf,
    pub loss: Buf,
}

impl SupCon {
    /// Σ f(z · offset) of each row.
    fn products(&self, m: &HostMem, f: impl Fn(f64) -> f64) -> Vec<f64> {
        let (z, offsets) = (m.f32(self.z), m.f32(self.offsets));
        let row = |r: usize| z.row(r).iter().zip(offsets.row(r)).map(|(&z, &offset)| f(f64::from(z) * f64::from(offset))).sum();
        (0..self.z.rows() as usize).map(row).collect()
    }
}

impl Kernel for SupCon {
    interface! {
        self runs "sup_con";
        bufs { z, offsets, hyper, loss }
        params { rows: self.z.rows(), quads: row_quads(self.z) }
        invocations { self.z.rows() }
    }

    fn check_shapes(&self) -> Result<(), String> {
        same(&[("z", self.z), ("offsets", self.offsets)])?;
        has("loss", self.loss, 1, self.z.rows())
    }

    fn twin(&self, m: &HostMem) {
        let (products, temperature) = (self.products(m, |x| x), temperature(m, self.hyper));
        m.f32_mut(self.loss).for_each_row(|_, out| {
            out.iter_mut().zip(&products).for_each(|(out, product)| *out = (f64::from(*out) + product / temperature) as f32);
        });
    }

    /// One rounding per term of a strand, a division and a sum.
    fn tolerance(&self, _: &str, m: &HostMem, _: Exp) -> Tolerance {
        let (magnitudes, temperature) = (self.products(m, f64::abs), temperature(m, self.hyper));
        let old = m.dense_f32(self.loss);
        let roundings = 2.0 * EPSILON * (f64::from(row_quads(self.z)) + 8.0);
        let bound = |(magnitude, &old): (f64, &f32)| roundings * magnitude / temperature + 2.0 * EPSILON * f64::from(old.abs()) + 1e-37;
        Tolerance::Each(magnitudes.into_iter().zip(&old).map(bound).collect())
    }
}

pub fn cases(c: &mut Cases<'_>) {
    for (rows, cols) in [(2, 1), (6, 5), (64, 16), (66, 33), (130, 3)] {
        let (z, offsets, loss) = (c.uniform(rows, cols), c.uniform(rows, cols), c.uniform(1, rows));
        let hyper = c.floats([0.2]);
        c.add(SupCon { z, offsets, hyper, loss });
    }
}
