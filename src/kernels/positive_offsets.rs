//! How far the other view of a row is from the mean of all rows of its label: what sets the supervised contrastive loss
//! apart from NT-Xent.

use std::collections::HashMap;

use super::{Cases, has, quads, row_quads, same};
use crate::core::buffer::Buf;
use crate::core::memory::{HostMem, Rows};
use crate::core::program::{EPSILON, Exp, Kernel, Tolerance};

/// `z`, `offsets`: `[2n, d]`, first views, then second views; `labels` (u32): `[1, n]`.
pub struct PositiveOffsets {
    pub z: Buf,
    pub labels: Buf,
    pub offsets: Buf,
}

impl PositiveOffsets {
    /// Calls `f` with every positive of `row`, in the order of the shader.
    fn each_positive(&self, labels: &[u32], row: usize, mut f: impl FnMut(usize)) {
        let n = labels.len();
        f((row + n) % (2 * n));
        for sample in (0..n).filter(|&sample| sample != row % n && labels[sample] == labels[row % n]) {
            [sample, sample + n].into_iter().for_each(&mut f);
        }
    }

    /// Element `col` of offset `row`, of which the terms are Σ |terms|.
    fn offset(&self, z: &Rows<f32>, positives: &[usize], col: usize) -> (f64, f64) {
        let at = |row: usize| f64::from(z.row(row)[col]);
        let (sum, magnitude) = positives.iter().fold((0.0, 0.0), |(sum, magnitude), &row| (sum + at(row), magnitude + at(row).abs()));
        let count = positives.len() as f64;
        (at(positives[0]) - sum / count, at(positives[0]).abs() + magnitude / count)
    }

    fn positives(&self, labels: &[u32], row: usize) -> Vec<usize> {
        let mut positives = Vec::new();
        self.each_positive(labels, row, |row| positives.push(row));
        positives
    }
}

impl Kernel for PositiveOffsets {
    interface! {
        self runs "positive_offsets";
        bufs { z, labels, offsets }
        params { rows: self.z.rows(), samples: self.labels.cols(), quads: row_quads(self.z) }
        invocations { quads(self.z) }
    }

    fn check_shapes(&self) -> Result<(), String> {
        same(&[("z", self.z), ("offsets", self.offsets)])?;
        has("labels", self.labels, 1, self.z.rows() / 2)?;
        has("z", self.z, 2 * self.labels.cols(), self.z.cols())
    }

    fn twin(&self, m: &HostMem) {
        let (z, labels) = (m.f32(self.z), m.u32(self.labels));
        m.f32_mut(self.offsets).for_each_row(|r, out| {
            let positives = self.positives(labels.row(0), r);
            for (col, out) in out.iter_mut().enumerate() {
                *out = self.offset(&z, &positives, col).0 as f32;
            }
        });
    }

    /// Sums over each label once, instead of once for each row.
    fn fast(&self, m: &HostMem) {
        let (z, labels) = (m.f32(self.z), m.u32(self.labels));
        let (labels, n) = (labels.row(0), self.labels.cols() as usize);
        let mut of_label: HashMap<u32, (f32, Vec<f32>)> = HashMap::new();
        for r in 0..2 * n {
            let (count, sums) = of_label.entry(labels[r % n]).or_insert_with(|| (0.0, vec![0.0; self.z.cols() as usize]));
            *count += 1.0;
            sums.iter_mut().zip(z.row(r)).for_each(|(sum, z)| *sum += z);
        }
        m.f32_mut(self.offsets).for_each_row(|r, out| {
            let (count, sums) = &of_label[&labels[r % n]];
            let (own, other, share) = (z.row(r), z.row((r + n) % (2 * n)), 1.0 / (count - 1.0));
            for (((out, &sum), &own), &other) in out.iter_mut().zip(sums).zip(own).zip(other) {
                *out = other - share * (sum - own);
            }
        });
    }

    /// One rounding per positive, and those of a row that was added and is taken away again.
    fn tolerance(&self, _: &str, m: &HostMem, _: Exp) -> Tolerance {
        let (z, labels) = (m.f32(self.z), m.u32(self.labels));
        let bounds = (0..self.z.rows() as usize).flat_map(|r| {
            let positives = self.positives(labels.row(0), r);
            let roundings = 2.0 * EPSILON * (positives.len() as f64 + 4.0);
            let own = z.row(r).iter().map(|&z| f64::from(z.abs()));
            let bound = |(col, own)| roundings * (self.offset(&z, &positives, col).1 + own / positives.len() as f64) + 1e-37;
            own.enumerate().map(bound).collect::<Vec<_>>()
        });
        Tolerance::Each(bounds.collect())
    }

    fn work(&self) -> u64 {
        u64::from(quads(self.z)) * u64::from(self.labels.cols())
    }
}

pub fn cases(c: &mut Cases<'_>) {
    for (samples, cols, labels) in [(1, 1, 1), (3, 5, 2), (32, 16, 10), (33, 33, 3), (65, 3, 100)] {
        let (z, offsets) = (c.uniform(2 * samples, cols), c.output(2 * samples, cols));
        let labels = c.integers((0..samples).map(|i| (i * i + 3) % labels));
        c.add(PositiveOffsets { z, labels, offsets });
    }
}
