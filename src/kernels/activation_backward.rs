//! The gradients of activations.

use multiversion::multiversion;

use super::activation::{FAR, FLOOR, Function, LEAK, bent, bent_error, exp, fast_bent, fast_tail, maps, tail, tail_error};
use super::{Cases, quads, same};
use crate::core::buffer::{Buf, Fill, shape};
use crate::core::memory::HostMem;
use crate::core::program::{EPSILON, Exp, Kernel, Tolerance};

/// `kept`, `grad_y`, `grad_x`: of one shape.
pub struct ActivationBackward {
    pub function: Function,
    /// What the derivative is computed from: see [`Function::keeps_output`].
    pub kept: Buf,
    pub grad_y: Buf,
    pub grad_x: Buf,
    pub accumulate: bool,
}

/// x φ(x)
fn bell_slope(x: f64) -> f64 {
    x * (-0.5 * x * x).exp() / std::f64::consts::TAU.sqrt()
}

#[inline(always)]
fn fast_gelu(x: f32) -> f32 {
    let (u, bell, tail) = fast_tail(x);
    let slope = 0.398_942_3 * u * bell;
    if x < 0.0 { tail - slope } else { 1.0 - tail + slope }
}

#[inline(always)]
fn fast_gelu_tanh(x: f32) -> f32 {
    let (u, e, bend) = fast_bent(x);
    let (large, small) = (1.0 / (1.0 + e), e / (1.0 + e));
    let slope = u * (large * small) * bend;
    if x < 0.0 { small - slope } else { large + slope }
}

/// σ(x) and σ(-x) to f64.
fn sigmoids(x: f64) -> [f64; 2] {
    [x, -x].map(|x| 1.0 / (1.0 + (-x).exp()))
}

#[inline(always)]
fn fast_silu(x: f32) -> f32 {
    let x = x.clamp(-FAR, FAR);
    let e = exp(-x.abs());
    let (large, small) = (1.0 / (1.0 + e), e / (1.0 + e));
    (if x < 0.0 { small } else { large }) + x * (large * small)
}

impl Function {
    /// Whether the derivative comes from f(x), and not from x.
    pub fn keeps_output(self) -> bool {
        matches!(self, Function::Tanh | Function::Sigmoid | Function::Relu6 | Function::LeakyFloor)
    }

    fn derivative(self, kept: f64) -> f64 {
        match self {
            Function::Gelu => bell_slope(kept) + if kept < 0.0 { tail(-kept) } else { 1.0 - tail(kept) },
            Function::Tanh => 1.0 - kept * kept,
            Function::Sigmoid => kept * (1.0 - kept),
            Function::Silu => {
                let [p, q] = sigmoids(kept);
                p + if p * q > 0.0 { kept * p * q } else { 0.0 }
            }
            Function::Relu6 => f64::from(kept > 0.0 && kept < 6.0),
            Function::HardSigmoid => f64::from(kept > -3.0 && kept < 3.0) / 6.0,
            // What PyTorch has where there is no derivative: 0 at -3, 1 at 3.
            Function::HardSwish if kept <= -3.0 => 0.0,
            Function::HardSwish if kept >= 3.0 => 1.0,
            Function::HardSwish => (2.0 * kept + 3.0) / 6.0,
            Function::LeakyFloor if kept > 0.0 => 1.0,
            Function::LeakyFloor if kept > f64::from(FLOOR) => LEAK.into(),
            Function::LeakyFloor => 0.0,
            Function::GeluTanh => {
                let [value, slope] = bent(kept);
                let [p, q] = sigmoids(value);
                p + if p * q > 0.0 { kept * p * q * slope } else { 0.0 }
            }
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
            Function::Silu => {
                let [p, q] = sigmoids(kept);
                (p + size * p * q) * (exp.error(size.min(FAR.into())) + 2.0 * EPSILON * 8.0) + 2e-34
            }
            Function::GeluTanh => {
                let [value, slope] = bent(size);
                let [p, q] = sigmoids(value);
                let parts = q + if p * q > 0.0 { size * p * q * slope } else { 0.0 };
                parts * bent_error(size, exp) + 2.0 * EPSILON * 4.0 * (parts + if kept < 0.0 { 0.0 } else { 1.0 }) + 2e-34
            }
            // Its two terms may cancel.
            Function::HardSwish => 2.0 * EPSILON * 3.0 * (size.min(3.0) + 1.0),
            _ => 2.0 * EPSILON * 3.0 * self.derivative(kept).abs(),
        }
    }
}

/// One where a value is cut neither below nor above.
#[inline(always)]
fn open(value: f32, floor: f32, ceiling: f32) -> f32 {
    if (value > floor) & (value < ceiling) { 1.0 } else { 0.0 }
}

#[inline(always)]
fn fast_hard_swish(x: f32) -> f32 {
    let inside = if x >= 3.0 { 1.0 } else { (2.0 * x + 3.0) / 6.0 };
    if x <= -3.0 { 0.0 } else { inside }
}

maps! {
    gelu(x) = fast_gelu(x);
    gelu_tanh(x) = fast_gelu_tanh(x);
    tanh(y) = (1.0 - y) * (1.0 + y);
    sigmoid(y) = y * (1.0 - y);
    silu(x) = fast_silu(x);
    relu_to_six(y) = open(y, 0.0, 6.0);
    hard_sigmoid(x) = open(x, -3.0, 3.0) / 6.0;
    hard_swish(x) = fast_hard_swish(x);
    leaky_floor(y) = if y > 0.0 { 1.0 } else { LEAK * open(y, FLOOR, f32::MAX) };
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
            Function::Gelu => run(gelu),
            Function::Tanh => run(tanh),
            Function::Sigmoid => run(sigmoid),
            Function::Silu => run(silu),
            Function::Relu6 => run(relu_to_six),
            Function::HardSigmoid => run(hard_sigmoid),
            Function::HardSwish => run(hard_swish),
            Function::LeakyFloor => run(leaky_floor),
            Function::GeluTanh => run(gelu_tanh),
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
    for function in Function::ALL {
        let magnitudes = match function {
            Function::Tanh | Function::Sigmoid => [1.0; 4],
            Function::Relu6 => [1.0, 2.0, 7.0, 9.0],
            _ => [6.0, 1.0, 20.0, 200.0],
        };
        for ((rows, cols), magnitude) in [(1, 1), (3, 5), (65, 63), (7, 33)].into_iter().zip(magnitudes) {
            for accumulate in [false, true] {
                let kept = c.filled(shape(rows, cols), Fill::Uniform(magnitude));
                let (grad_y, grad_x) = (c.uniform(rows, cols), c.uniform(rows, cols));
                c.add(ActivationBackward { function, kept, grad_y, grad_x, accumulate });
            }
        }
    }
    for function in Function::ALL.into_iter().filter(|function| !function.keeps_output()) {
        let (kept, grad_y, grad_x) = (c.floats([0.0, -0.0, 13.0, f32::MAX, f32::MIN, 3.0, -3.0]), c.uniform(1, 7), c.output(1, 7));
        c.add(ActivationBackward { function, kept, grad_y, grad_x, accumulate: false });
    }
    let (kept, grad_y, grad_x) = (c.floats([0.0, -0.0, FLOOR, -0.3, 1e-30]), c.uniform(1, 5), c.output(1, 5));
    c.add(ActivationBackward { function: Function::LeakyFloor, kept, grad_y, grad_x, accumulate: false });
    let (kept, grad_y, grad_x) = (c.floats([0.0, -0.0, 6.0, 3.0]), c.uniform(1, 4), c.output(1, 4));
    c.add(ActivationBackward { function: Function::Relu6, kept, grad_y, grad_x, accumulate: false });
}
