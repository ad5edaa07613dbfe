//! The gradients of GELU, tanh and sigmoid.

use super::activation::{Function, fast_tail, tail, tail_error};
use super::{Cases, quads, same};
use crate::core::buffer::{Buf, Fill, shape};
use crate::core::memory::HostMem;
use crate::core::program::{EPSILON, Exp, Kernel, Tolerance};

/// `kept`, `grad_y`, `grad_x`: of one shape.
pub struct ActivationBackward {
    pub function: Function,
    /// What the derivative is computed from: x for GELU, y for tanh and sigmoid.
    pub kept: Buf,
    pub grad_y: Buf,
    pub grad_x: Buf,
    pub accumulate: bool,
}

/// x φ(x)
fn bell_slope(x: f64) -> f64 {
    x * (-0.5 * x * x).exp() / std::f64::consts::TAU.sqrt()
}

fn fast_gelu(x: f32) -> f32 {
    let (u, bell, tail) = fast_tail(x);
    let slope = 0.398_942_3 * u * bell;
    if x < 0.0 { tail - slope } else { 1.0 - tail + slope }
}

impl Function {
    fn derivative(self, kept: f64) -> f64 {
        match self {
            Function::Gelu => bell_slope(kept) + if kept < 0.0 { tail(-kept) } else { 1.0 - tail(kept) },
            Function::Tanh => 1.0 - kept * kept,
            Function::Sigmoid => kept * (1.0 - kept),
        }
    }

    /// How far the derivative may lie off. Where the tail ends there are still 1.7e-34 left of x φ(x).
    fn derivative_error(self, kept: f64, exp: Exp) -> f64 {
        let size = kept.abs();
        match self {
            Function::Gelu => {
                let parts = tail(size) + bell_slope(size);
                parts * tail_error(size, exp) + 2.0 * EPSILON * 3.0 * (parts + if kept < 0.0 { 0.0 } else { 1.0 }) + 2e-34
            }
            _ => 2.0 * EPSILON * 3.0 * self.derivative(kept).abs(),
        }
    }
}

impl Kernel for ActivationBackward {
    interface! {
        self runs "activation_backward" after "normal_tail";
        bufs { kept, grad_y, grad_x }
        params { size: quads(self.grad_x), accumulate }
        constants { FUNCTION: self.function as u32 }
    }

    fn check_shapes(&self) -> Result<(), String> {
        same(&[("kept", self.kept), ("grad_y", self.grad_y), ("grad_x", self.grad_x)])
    }

    fn twin(&self, m: &HostMem) {
        let (kept, grad_y) = (m.f32(self.kept), m.f32(self.grad_y));
        m.f32_mut(self.grad_x).for_each_row(|r, grad_x| {
            for ((grad_x, &kept), &grad_y) in grad_x.iter_mut().zip(kept.row(r)).zip(grad_y.row(r)) {
                let value = f64::from(grad_y) * self.function.derivative(kept.into());
                *grad_x = (value + if self.accumulate { f64::from(*grad_x) } else { 0.0 }) as f32;
            }
        });
    }

    fn fast(&self, m: &HostMem) {
        let (kept, grad_y) = (m.f32(self.kept), m.f32(self.grad_y));
        let run = |derivative: fn(&mut [f32], &[f32])| {
            m.f32_mut(self.grad_x).for_each_block(|start, grad_x| {
                // A piece at a time, so that the derivatives stay in the cache.
                let mut slopes = [0.0_f32; 512];
                for (i, grad_x) in grad_x.chunks_mut(slopes.len()).enumerate() {
                    let words = start + i * slopes.len()..start + i * slopes.len() + grad_x.len();
                    let slopes = &mut slopes[..grad_x.len()];
                    derivative(slopes, &kept.padded()[words.clone()]);
                    for ((grad_x, grad_y), slope) in grad_x.iter_mut().zip(&grad_y.padded()[words]).zip(slopes) {
                        *grad_x = if self.accumulate { *grad_x + grad_y * *slope } else { grad_y * *slope };
                    }
                }
            });
        };
        match self.function {
            Function::Gelu => run(|out, kept| out.iter_mut().zip(kept).for_each(|(out, x)| *out = fast_gelu(*x))),
            Function::Tanh => run(|out, kept| out.iter_mut().zip(kept).for_each(|(out, y)| *out = (1.0 - y) * (1.0 + y))),
            Function::Sigmoid => run(|out, kept| out.iter_mut().zip(kept).for_each(|(out, y)| *out = y * (1.0 - y))),
        }
    }

    fn tolerance(&self, _: &str, m: &HostMem, exp: Exp) -> Tolerance {
        let (kept, grad_y, old) = (m.dense_f32(self.kept), m.dense_f32(self.grad_y), m.dense_f32(self.grad_x));
        let bound = |((kept, grad_y), old): ((f32, f32), f32)| {
            let (kept, grad_y) = (f64::from(kept), f64::from(grad_y.abs()));
            let old = if self.accumulate { f64::from(old.abs()) } else { 0.0 };
            let value = self.function.derivative(kept).abs();
            grad_y * self.function.derivative_error(kept, exp) + 2.0 * EPSILON * (2.0 * grad_y * value + old) + 1e-37
        };
        Tolerance::Each(kept.into_iter().zip(grad_y).zip(old).map(bound).collect())
    }
}

pub fn cases(c: &mut Cases<'_>) {
    for function in [Function::Gelu, Function::Tanh, Function::Sigmoid] {
        // Outputs of tanh and sigmoid lie between -1 and 1.
        let magnitudes = if function == Function::Gelu { [6.0, 1.0, 20.0, 200.0] } else { [1.0; 4] };
        for ((rows, cols), magnitude) in [(1, 1), (3, 5), (65, 63), (7, 33)].into_iter().zip(magnitudes) {
            for accumulate in [false, true] {
                let kept = c.filled(shape(rows, cols), Fill::Uniform(magnitude));
                let (grad_y, grad_x) = (c.uniform(rows, cols), c.uniform(rows, cols));
                c.add(ActivationBackward { function, kept, grad_y, grad_x, accumulate });
            }
        }
    }
    let (kept, grad_y, grad_x) = (c.floats([0.0, -0.0, 13.0, f32::MAX, f32::MIN]), c.uniform(1, 5), c.output(1, 5));
    c.add(ActivationBackward { function: Function::Gelu, kept, grad_y, grad_x, accumulate: false });
}
