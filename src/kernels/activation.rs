//! Activations: GELU and its approximation, tanh, sigmoid, SiLU, the piecewise ones of networks for small machines, and a leaky ReLU with an end. ReLU is a
//! kernel of its own.

use multiversion::multiversion;

use super::{Cases, quads, row_quads, same};
use crate::core::buffer::{Buf, Fill, shape};
use crate::core::memory::HostMem;
use crate::core::program::{EPSILON, Exp, Kernel, Tolerance};

/// Numbered as in the WGSL.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Function {
    /// x Φ(x) with the normal distribution Φ itself: PyTorch's default, not its tanh approximation.
    Gelu,
    Tanh,
    Sigmoid,
    /// x σ(x) with the sigmoid σ.
    Silu,
    /// min(max(x, 0), 6)
    Relu6,
    /// min(max(x + 3, 0), 6) / 6
    HardSigmoid,
    /// x min(max(x + 3, 0), 6) / 6
    HardSwish,
    /// max(x, 0.2 x, -0.4): a leaky ReLU that ends
    LeakyFloor,
    /// x σ(2 √(2/π) (x + 0.044715 x³)): PyTorch's tanh approximation of GELU (Hendrycks and Gimpel, 2016).
    GeluTanh,
}

/// Of [`Function::LeakyFloor`]: slope below zero, and least value.
pub(super) const LEAK: f32 = 0.2;
pub(super) const FLOOR: f32 = -0.4;

/// Of [`Function::GeluTanh`]: 2 √(2/π), and the share of the cube.
const STEEP: f64 = 1.595_769_121_605_730_8;
const CUBE: f64 = 0.044715;

/// What the approximation takes the sigmoid of, and its slope.
pub(super) fn bent(x: f64) -> [f64; 2] {
    [STEEP * x * (1.0 + CUBE * x * x), STEEP * (1.0 + 3.0 * CUBE * x * x)]
}

/// The relative error of exp([`bent`]) in f32: the exponential's, and its argument's.
pub(super) fn bent_error(size: f64, exp: Exp) -> f64 {
    let exponent = bent(size.min(12.6))[0];
    exp.error(exponent) + 2.0 * EPSILON * (4.0 * exponent + 8.0)
}

/// Beyond it a sigmoid is 0 or 1, and the exponentials of fast paths no longer fall.
pub(super) const FAR: f32 = 87.0;

/// `x`, `y`: of one shape.
pub struct Activate {
    pub function: Function,
    pub x: Buf,
    pub y: Buf,
}

/// What a standard normal variable has beyond u >= 0.
pub(super) fn tail(u: f64) -> f64 {
    0.5 * libm::erfc(u * std::f64::consts::FRAC_1_SQRT_2)
}

/// The relative error of [`tail`] and of the density in f32: the exponential's, its argument's, the polynomial's roundings
/// and its fit.
pub(super) fn tail_error(u: f64, exp: Exp) -> f64 {
    let exponent = 0.5 * u.min(13.0).powi(2);
    exp.error(exponent) + 2.0 * EPSILON * (2.0 * exponent + 24.0) + 1.1e-8
}

/// Whether tanh is computed from its series.
const SERIES: f64 = 0.25;

/// exp(x) for x <= 0, in operations that compilers vectorise: 2^n exp(r), |r| <= ln 2 / 2, with Taylor's polynomial for the
/// second factor. Relative error 2 · 2^-23; below -87 it is exp(-87).
#[inline(always)]
pub(super) fn exp(x: f32) -> f32 {
    const ROUND: f32 = 12_582_912.0; // 1.5 · 2^23: what is added to it loses its fraction
    let x = if x < -FAR { -FAR } else { x };
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    // ln 2 in two parts, of which n times the first is exact.
    let r = (x - n * 0.693_359_4) + n * 2.121_944_4e-4;
    let p = r * (1.0 / 5040.0) + 1.0 / 720.0;
    let p = ((((p * r + 1.0 / 120.0) * r + 1.0 / 24.0) * r + 1.0 / 6.0) * r + 0.5) * (r * r) + r + 1.0;
    p * f32::from_bits((shifted.to_bits() << 23).wrapping_add(0x3F80_0000))
}

/// (min(|x|, 12.6), the normal density's exp(-u²/2), the distribution's tail) as in `normal_tail.wgsl`.
#[inline(always)]
pub(super) fn fast_tail(x: f32) -> (f32, f32, f32) {
    const FIT: [f32; 10] = [
        0.014_200_194,
        -0.049_586_937,
        0.019_830_698,
        0.072_069_906,
        -0.024_748_314,
        0.107_506_06,
        0.064_487_02,
        0.097_203_56,
        0.099_278_18,
        0.099_759_62,
    ];
    let u = if x.abs() > 12.6 { 12.6 } else { x.abs() };
    let t = 1.0 / (1.0 + 0.25 * u);
    let bell = exp(-0.5 * u * u);
    (u, bell, bell * t * FIT.iter().fold(0.0, |p, c| p * t + c))
}

/// (min(|x|, 12.6), exp of what is bent below zero, the slope of that) as in `normal_tail.wgsl`.
#[inline(always)]
pub(super) fn fast_bent(x: f32) -> (f32, f32, f32) {
    const STEEP: f32 = 1.595_769;
    const CUBE: f32 = 0.044_715;
    let u = if x.abs() > 12.6 { 12.6 } else { x.abs() };
    (u, exp(-STEEP * u * (1.0 + CUBE * u * u)), STEEP * (1.0 + 3.0 * CUBE * u * u))
}

#[inline(always)]
fn fast_gelu_tanh(x: f32) -> f32 {
    let (u, e, _) = fast_bent(x);
    (if x <= 0.0 { 0.0 } else { x }) - u * (e / (1.0 + e))
}

#[inline(always)]
fn fast_gelu(x: f32) -> f32 {
    let (u, _, tail) = fast_tail(x);
    (if x <= 0.0 { 0.0 } else { x }) - u * tail
}

#[inline(always)]
pub(super) fn fast_tanh(x: f32) -> f32 {
    let (e, s) = (exp(-2.0 * x.abs()), x * x);
    let large = ((1.0 - e) / (1.0 + e)).copysign(x);
    let small = x + x * s * (s * (s * (s * 0.021_869_488 - 0.053_968_254) + 0.133_333_33) - 0.333_333_33);
    if x.abs() < SERIES as f32 { small } else { large }
}

#[inline(always)]
pub(super) fn fast_sigmoid(x: f32) -> f32 {
    let e = exp(-x.abs());
    (if x < 0.0 { e } else { 1.0 }) / (1.0 + e)
}

#[inline(always)]
fn fast_silu(x: f32) -> f32 {
    (if x < -FAR { -FAR } else { x }) * fast_sigmoid(x)
}

#[inline(always)]
fn relu6(x: f32) -> f32 {
    x.clamp(0.0, 6.0)
}

/// Functions of slices that write a value for each number of another, with the widest vectors that there are.
macro_rules! maps {
    ($($name:ident($x:ident) = $value:expr;)*) => {
        $(
            #[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
            fn $name(y: &mut [f32], x: &[f32]) {
                y.iter_mut().zip(x).for_each(|(y, &$x)| *y = $value);
            }
        )*
    };
}

pub(super) use maps;

maps! {
    gelu(x) = fast_gelu(x);
    gelu_tanh(x) = fast_gelu_tanh(x);
    tanh(x) = fast_tanh(x);
    sigmoid(x) = fast_sigmoid(x);
    silu(x) = fast_silu(x);
    relu_to_six(x) = relu6(x);
    hard_sigmoid(x) = relu6(x + 3.0) / 6.0;
    hard_swish(x) = x * (relu6(x + 3.0) / 6.0);
    leaky_floor(x) = (if x > 0.0 { x } else { LEAK * x }).max(FLOOR);
}

impl Function {
    pub const ALL: [Function; 9] = {
        use Function::*;
        [Gelu, Tanh, Sigmoid, Silu, Relu6, HardSigmoid, HardSwish, LeakyFloor, GeluTanh]
    };

    pub(super) fn of(self, x: f64) -> f64 {
        match self {
            Function::Gelu => x * if x < 0.0 { tail(-x) } else { 1.0 - tail(x) },
            Function::Tanh => x.tanh(),
            Function::Sigmoid => 1.0 / (1.0 + (-x).exp()),
            Function::Silu => x / (1.0 + (-x).exp()),
            Function::Relu6 => x.clamp(0.0, 6.0),
            Function::HardSigmoid => (x + 3.0).clamp(0.0, 6.0) / 6.0,
            Function::HardSwish => x * ((x + 3.0).clamp(0.0, 6.0) / 6.0),
            Function::LeakyFloor => x.max(f64::from(LEAK) * x).max(FLOOR.into()),
            Function::GeluTanh => x / (1.0 + (-bent(x)[0]).exp()),
        }
    }

    /// How far f(x) may lie off: what the exponential contributes by its error, the rest by its roundings.
    pub(super) fn error(self, x: f64, exp: Exp) -> f64 {
        let (value, size) = (self.of(x).abs(), x.abs());
        match self {
            Function::Gelu => size * tail(size) * tail_error(size, exp) + 2.0 * EPSILON * 3.0 * value,
            Function::Tanh if size < SERIES => 2.0 * EPSILON * 6.0 * value,
            Function::Tanh => 0.5 * (1.0 - value * value) * exp.error(2.0 * size) + 2.0 * EPSILON * 6.0 * value,
            Function::Sigmoid => value * exp.error(size) * if x < 0.0 { 1.0 } else { 1.0 - value } + 2.0 * EPSILON * 6.0 * value,
            Function::Silu => size * Function::Sigmoid.error(x, exp) + 2.0 * EPSILON * value,
            Function::Relu6 => 0.0,
            // Of x + 3, whose rounding is of the size of 3.
            Function::HardSigmoid => 2.0 * EPSILON * 3.0,
            Function::HardSwish => 2.0 * EPSILON * 3.0 * size,
            Function::LeakyFloor => 2.0 * EPSILON * value,
            Function::GeluTanh => {
                let below = size / (1.0 + bent(size)[0].exp());
                below * bent_error(size, exp) + 2.0 * EPSILON * 4.0 * value
            }
        }
    }
}

impl Kernel for Activate {
    interface! {
        self runs "activation" after "inside", "normal_tail";
        bufs { x, y }
        params { size: quads(self.y), cols: self.y.cols(), quads: row_quads(self.y) }
        constants { FUNCTION: self.function as u32 }
    }

    fn check_shapes(&self) -> Result<(), String> {
        same(&[("x", self.x), ("y", self.y)])
    }

    fn twin(&self, m: &HostMem) {
        let x = m.f32(self.x);
        m.f32_mut(self.y).for_each_row(|r, y| {
            for (y, &x) in y.iter_mut().zip(x.row(r)) {
                *y = self.function.of(x.into()) as f32;
            }
        });
    }

    fn fast(&self, m: &HostMem) {
        let x = m.f32(self.x);
        let (cols, stride) = (self.y.cols() as usize, self.y.shape.stride() as usize);
        let run = |f: fn(&mut [f32], &[f32])| {
            m.f32_mut(self.y).for_each_block(|start, y| {
                f(y, &x.padded()[start..]);
                if cols < stride {
                    y.chunks_mut(stride).for_each(|row| row[cols..].fill(0.0));
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

    /// As `Function::error` says; and of what vanishes, as much may be left as where the tail ends (1.3e-35) or fast exponentials
    /// do (exp(-87)).
    fn tolerance(&self, _: &str, m: &HostMem, exp: Exp) -> Tolerance {
        Tolerance::Each(m.dense_f32(self.x).into_iter().map(|x| self.function.error(x.into(), exp) + 2e-35).collect())
    }
}

pub fn cases(c: &mut Cases<'_>) {
    for function in Function::ALL {
        for (rows, cols, magnitude) in [(1, 1, 1.0), (3, 5, 0.3), (16, 16, 6.0), (65, 63, 20.0), (7, 33, 200.0)] {
            let (x, y) = (c.filled(shape(rows, cols), Fill::Uniform(magnitude)), c.output(rows, cols));
            c.add(Activate { function, x, y });
        }
        let x = c.floats([0.0, 0.25, -0.25, 1e-3, -1e-30, f32::MAX, f32::MIN, 3.0, -3.0, 6.0]);
        let y = c.output(1, 10);
        c.add(Activate { function, x, y });
    }
}
