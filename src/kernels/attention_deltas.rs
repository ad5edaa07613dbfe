//! What the gradients of attention have in common: Σ y · grad_y of each query and head, which is the mean of the gradients of its
//! probabilities.

use super::attention::dot;
use super::layer_norm::sum_row;
use super::{Cases, has, same};
use crate::core::buffer::Buf;
use crate::core::memory::HostMem;
use crate::core::program::{EPSILON, Exp, Kernel, Tolerance};

/// `y`, `grad_y`: `[rows, width]`; `deltas`: `[rows, heads]`.
pub struct AttentionDeltas {
    pub y: Buf,
    pub grad_y: Buf,
    pub deltas: Buf,
}

impl AttentionDeltas {
    /// Columns of a head.
    fn head(&self) -> u32 {
        self.y.cols() / self.deltas.cols().max(1)
    }
}

impl Kernel for AttentionDeltas {
    interface! {
        self runs "attention_deltas";
        bufs { y, grad_y, deltas }
        params {
            rows: self.y.rows(),
            stride: self.y.shape.stride(),
            heads: self.deltas.cols(),
            sums_stride: self.deltas.shape.stride(),
        }
        constants { HEAD: self.head() }
        invocations { self.deltas.shape.words() }
    }

    fn check_shapes(&self) -> Result<(), String> {
        same(&[("y", self.y), ("grad_y", self.grad_y)])?;
        has("y", self.y, self.y.rows(), self.head() * self.deltas.cols())?;
        has("deltas", self.deltas, self.y.rows(), self.deltas.cols())
    }

    fn twin(&self, m: &HostMem) {
        let (y, grad_y, head) = (m.f32(self.y), m.f32(self.grad_y), self.head() as usize);
        m.f32_mut(self.deltas).for_each_row(|r, deltas| {
            let heads = y.row(r).chunks(head).zip(grad_y.row(r).chunks(head));
            deltas.iter_mut().zip(heads).for_each(|(delta, (y, grad_y))| *delta = dot(y, grad_y).0 as f32);
        });
    }

    fn fast(&self, m: &HostMem) {
        let (y, grad_y, head) = (m.f32(self.y), m.f32(self.grad_y), self.head() as usize);
        m.f32_mut(self.deltas).for_each_row(|r, deltas| {
            let heads = y.row(r).chunks(head).zip(grad_y.row(r).chunks(head));
            deltas.iter_mut().zip(heads).for_each(|(delta, (y, grad_y))| *delta = sum_row(y, |c, y| y * grad_y[c]));
        });
    }

    /// A rounding for each term.
    fn tolerance(&self, _: &str, m: &HostMem, _: Exp) -> Tolerance {
        let (y, grad_y, head) = (m.f32(self.y), m.f32(self.grad_y), self.head() as usize);
        let bound = |(y, grad_y)| 2.0 * EPSILON * head as f64 * dot(y, grad_y).1 + 1e-37;
        let bounds = (0..self.y.rows() as usize).flat_map(|r| y.row(r).chunks(head).zip(grad_y.row(r).chunks(head)).map(bound));
        Tolerance::Each(bounds.collect())
    }
}

pub fn cases(c: &mut Cases<'_>) {
    for (rows, heads, width) in [(1, 1, 1), (33, 3, 5), (65, 4, 32), (7, 1, 67), (130, 5, 2)] {
        let [y, grad_y] = [(); 2].map(|()| c.uniform(rows, heads * width));
        let deltas = c.output(rows, heads);
        c.add(AttentionDeltas { y, grad_y, deltas });
    }
}
