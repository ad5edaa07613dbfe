//! Sums over groups of rows, or over parts of them: averages of feature maps.

use rayon::prelude::*;

use super::{Cases, has, row_quads};
use crate::core::buffer::Buf;
use crate::core::memory::HostMem;
use crate::core::program::{EPSILON, Exp, Kernel, Tolerance};

/// `x`: `[groups * rows, cols]`; `y`: `[groups * parts, cols]`, `scale` times the sum of each part of a group.
pub struct GroupSums {
    pub x: Buf,
    pub y: Buf,
    pub groups: u32,
    pub scale: f32,
}

impl GroupSums {
    /// How many parts long groups are to be summed in: by their length alone, so that the order of summation is, too.
    pub fn parts(group_rows: u32) -> u32 {
        if group_rows <= 64 { 1 } else { (group_rows / 32).next_power_of_two().min(1024) }
    }

    fn parts_and_rows(&self) -> (u32, u32, u32) {
        let (parts, group_rows) = (self.y.rows() / self.groups, self.x.rows() / self.groups);
        (parts, group_rows, group_rows.div_ceil(parts))
    }

    /// The rows of `x` that row `row` of `y` is the sum of.
    fn summed(&self, row: usize) -> std::ops::Range<usize> {
        let (parts, group_rows, part_rows) = self.parts_and_rows();
        let (group, part) = (row as u32 / parts, row as u32 % parts);
        let at = |part: u32| (group * group_rows + (part * part_rows).min(group_rows)) as usize;
        at(part)..at(part + 1)
    }
}

impl Kernel for GroupSums {
    interface! {
        self runs "group_sums";
        bufs { x, y }
        let (parts, group_rows, part_rows) = self.parts_and_rows();
        params {
            rows: self.y.rows(),
            quads: row_quads(self.y),
            parts: parts,
            group_rows: group_rows,
            part_rows: part_rows,
            scale,
        }
    }

    fn check_shapes(&self) -> Result<(), String> {
        if self.groups == 0 {
            return Err("there are no groups".into());
        }
        has("x", self.x, self.x.rows().next_multiple_of(self.groups), self.y.cols())?;
        has("y", self.y, self.y.rows().max(1).next_multiple_of(self.groups), self.y.cols())
    }

    fn twin(&self, m: &HostMem) {
        let x = m.f32(self.x);
        m.f32_mut(self.y).for_each_row(|r, y| {
            for (col, y) in y.iter_mut().enumerate() {
                let sum: f64 = self.summed(r).map(|row| f64::from(x.row(row)[col])).sum();
                *y = (f64::from(self.scale) * sum) as f32;
            }
        });
    }

    fn fast(&self, m: &HostMem) {
        let x = m.f32(self.x);
        // A row of y is a task of its own: many rows of x are behind it.
        m.f32_mut(self.y).padded_mut().par_chunks_mut(self.y.shape.stride() as usize).enumerate().for_each(|(r, y)| {
            y.fill(0.0);
            self.summed(r).for_each(|row| y.iter_mut().zip(x.row(row)).for_each(|(y, x)| *y += x));
            y.iter_mut().for_each(|y| *y *= self.scale);
        });
    }

    /// One rounding per added row, and a product.
    fn tolerance(&self, _: &str, m: &HostMem, _: Exp) -> Tolerance {
        let x = m.f32(self.x);
        let roundings = 2.0 * EPSILON * (f64::from(self.parts_and_rows().2) + 1.0) * f64::from(self.scale.abs());
        let bounds = (0..self.y.rows() as usize).flat_map(|r| {
            let magnitude = |col: usize| self.summed(r).map(|row| f64::from(x.row(row)[col].abs())).sum::<f64>();
            (0..self.y.cols() as usize).map(|col| roundings * magnitude(col) + 1e-37).collect::<Vec<_>>()
        });
        Tolerance::Each(bounds.collect())
    }
}

pub fn cases(c: &mut Cases<'_>) {
    for (groups, group_rows, cols, parts) in [(1, 1, 1, 1), (2, 42, 5, 1), (3, 7, 64, 4), (5, 65, 3, 4), (1, 1009, 67, 32), (67, 2, 2, 1)] {
        let (x, y) = (c.uniform(groups * group_rows, cols), c.output(groups * parts, cols));
        c.add(GroupSums { x, y, groups, scale: 1.0 / group_rows as f32 });
    }
}
