//! Batch normalisation (Ioffe and Szegedy, 2015) over the columns of a matrix: channels of pixels, or features of samples.

use super::activation::activated;
use super::{Activation, Function, GradientCase, case_input, case_input_filled, column_gradients};
use crate::core::buffer::{Arena, Buf, Dtype, FROZEN, Fill, Role, Tensor, shape};
use crate::core::tape::Tape;
use crate::kernels::batch_norm::{BatchNorm, Clip};
use crate::kernels::batch_norm_backward::BatchNormBackward;
use crate::kernels::batch_norm_moments::BatchNormMoments;
use crate::kernels::batch_norm_parts::BatchNormParts;
use crate::kernels::batch_norm_running::BatchNormRunning;
use crate::kernels::norm_sums::NormSums;
use crate::kernels::{NORM_EPS, parts};

/// Statistics of past batches, `[1, channels]` each.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Running {
    pub mean: Buf,
    pub variance: Buf,
}

impl Running {
    /// Mean 0 and variance 1 to begin with, under PyTorch's names.
    pub fn new(arena: &mut Arena, name: &str, group: u8, channels: u32) -> Self {
        let mut statistic = |what, first| {
            let (role, fill) = (Role::Statistic { group }, Fill::F32(vec![first; channels as usize]));
            arena.buffer(&format!("{name}.{what}"), role, Dtype::F32, Tensor::Vector(channels), fill)
        };
        Running { mean: statistic("running_mean", 0.0), variance: statistic("running_var", 1.0) }
    }
}

/// What a layer owns: `[1, channels]` each.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct BatchNormLayer {
    pub gamma: Buf,
    pub beta: Buf,
    pub running: Running,
    /// What is added to variances.
    pub eps: f32,
}

impl BatchNormLayer {
    /// PyTorch's default.
    pub const EPS: f32 = NORM_EPS;

    /// Gamma 1 and beta 0 to begin with, under PyTorch's names.
    pub fn new(t: &mut Tape<'_>, name: &str, group: u8, channels: u32, eps: f32) -> Self {
        let gamma = t.param(&format!("{name}.weight"), group, Tensor::Vector(channels), Fill::F32(vec![1.0; channels as usize]));
        let beta = t.param(&format!("{name}.bias"), group, Tensor::Vector(channels), Fill::Zero);
        let group = t.arena.role(gamma).and_then(Role::group).unwrap_or(group);
        BatchNormLayer { gamma, beta, running: Running::new(t.arena, name, group, channels), eps }
    }

    /// Whether its parameters are frozen, so that it is to normalise by running statistics.
    pub fn is_frozen(self, arena: &Arena) -> bool {
        arena.role(self.gamma).and_then(Role::group) == Some(FROZEN)
    }
}

/// Which statistics normalise.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Statistics {
    /// Those of the batch: training. The running ones follow: running = (1 - rate) running + rate · batch, with the rate that
    /// this step has in column `column` of `rates`, `[1, n]`: a step's settings, or a buffer that a run sets once.
    ///
    /// With a constant rate (PyTorch's `momentum`, 0.1) the running statistics are exponential averages. With 1 / (t + 1) in
    /// step t they are the average over all batches so far, whatever they were before: so a schedule of these re-estimates
    /// them on other data.
    Batch { rates: Buf, column: u32 },
    /// The running ones, which stay as they are: evaluation and frozen layers.
    Running,
}

impl Statistics {
    /// PyTorch's default.
    pub const RATE: f32 = 0.1;

    /// Those of the batch, with [`RATE`](Self::RATE) until the run says otherwise.
    pub fn batch(arena: &mut Arena) -> Self {
        let fill = Fill::F32(vec![Self::RATE]);
        Statistics::Batch { rates: arena.buffer("statistics rate", Role::Input, Dtype::F32, shape(1, 1), fill), column: 0 }
    }
}

/// `x`: `[rows, channels]`; returns (x - mean) / sqrt(variance + eps) · gamma + beta of each channel over all rows, activated.
///
/// Gradients need not be masked by a ReLU on their way here: `x`, which backward reads anyway, tells where it was closed.
pub fn batch_norm(t: &mut Tape<'_>, name: &str, x: Buf, layer: BatchNormLayer, statistics: Statistics, activation: Activation) -> Buf {
    let BatchNormLayer { gamma, beta, running: Running { mean: running_mean, variance: running_variance }, eps } = layer;
    let (rows, channels) = (x.rows(), x.cols());
    let (clip, activation) = match activation {
        Activation::Relu => (Clip::Relu, Activation::None),
        Activation::Of(Function::Relu6) => (Clip::Relu6, Activation::None),
        other => (Clip::None, other),
    };
    let moments = t.scratch(&format!("{name} moments"), shape(2, channels));
    match statistics {
        Statistics::Batch { rates, column: rate_column } => {
            let in_parts = shape(parts(rows), channels);
            let [means, deviations] = ["means", "deviations"].map(|what| t.scratch(&format!("{name} {what} of parts"), in_parts));
            t.call(format!("{name}: statistics of parts"), BatchNormParts { x, means, deviations });
            let call = BatchNormMoments { means, deviations, rates, rate_column, running_mean, running_variance, moments, rows, eps };
            t.call(format!("{name}: statistics"), call);
        }
        Statistics::Running => {
            t.call(format!("{name}: running statistics"), BatchNormRunning { running_mean, running_variance, moments, eps });
        }
    }
    let y = t.scratch(name, x.shape);
    t.call(name, BatchNorm { x, moments, gamma, beta, y, clip });
    let of_layer = name.to_string();
    t.op(&[x, gamma, beta], y, move |t, grad_y| {
        let name = of_layer;
        let to_x = t.grad(x);
        let centred = to_x.is_some() && statistics != Statistics::Running;
        let of_parts = |sums, products| NormSums { x, grad_y, moments, by_row: false, gamma, beta, clip, sums, products };
        let sums = column_gradients(t, &name, [beta, gamma], rows, centred, of_parts);
        if let Some(to) = to_x {
            let sums = sums.filter(|_| centred);
            let call = BatchNormBackward { x, grad_y, moments, gamma, beta, sums, clip, grad_x: to.buf, accumulate: to.accumulate };
            t.call(format!("{name}: input gradient"), call);
        }
    });
    activated(t, name, y, activation)
}

pub(super) fn gradient_cases() -> Vec<GradientCase> {
    /// With ReLU, betas keep outputs away from its kink, where there is no derivative to compare with.
    fn record(t: &mut Tape<'_>, statistics: Option<Statistics>, activation: Activation, passes: u32) -> (Vec<Buf>, Buf) {
        let x = case_input(t, "x", 19, 3);
        let gamma = case_input_filled(t, "gamma", shape(1, 3), Fill::F32(vec![0.7, -0.5, 0.6]));
        let beta = case_input_filled(t, "beta", shape(1, 3), Fill::F32(vec![2.0, -2.0, 1.9]));
        let layer = BatchNormLayer { gamma, beta, running: Running::new(t.arena, "y", 0, 3), eps: BatchNormLayer::EPS };
        let statistics = statistics.unwrap_or_else(|| Statistics::batch(t.arena));
        let y = (0..passes).fold(x, |x, i| batch_norm(t, &format!("y{i}"), x, layer, statistics, activation));
        (vec![x, gamma, beta], y)
    }
    vec![
        GradientCase { name: "batch norm", record: |t| record(t, None, Activation::None, 1) },
        GradientCase { name: "batch norm with ReLU6", record: |t| record(t, None, Activation::Of(Function::Relu6), 1) },
        GradientCase { name: "batch norm with SiLU", record: |t| record(t, None, Activation::Of(Function::Silu), 1) },
        GradientCase { name: "batch norm with ReLU", record: |t| record(t, None, Activation::Relu, 1) },
        GradientCase { name: "batch norm, gamma and beta shared", record: |t| record(t, None, Activation::None, 2) },
        GradientCase { name: "batch norm, running", record: |t| record(t, Some(Statistics::Running), Activation::None, 1) },
        GradientCase { name: "batch norm, running, ReLU", record: |t| record(t, Some(Statistics::Running), Activation::Relu, 2) },
    ]
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::core::buffer::pad_rows;
    use crate::core::memory::HostMem;
    use crate::exec::{Cpu, Executor, repeat};

    /// The running mean and variance of one channel after batches of two values, with a rate for each.
    fn running_after(batches: &[([f32; 2], f32)]) -> (f32, f32) {
        let mut arena = Arena::new(1, u64::MAX);
        let x = arena.input("x", Dtype::F32, shape(2, 1));
        let rates = arena.input("rates", Dtype::F32, shape(1, 3));
        let mut tape = Tape::new(&mut arena, "case", &[]);
        let layer = BatchNormLayer::new(&mut tape, "bn", 0, 1, BatchNormLayer::EPS);
        batch_norm(&mut tape, "y", x, layer, Statistics::Batch { rates, column: 2 }, Activation::None);
        let programs = Arc::new(vec![tape.finish().expect("the case is valid")]);
        let mut cpu = Cpu::new(HostMem::new(&arena), programs.clone());
        for (values, rate) in batches {
            let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
            cpu.write(x, &pad_rows(x.shape, &bits(values))).expect("the CPU writes");
            cpu.write(rates, &pad_rows(rates.shape, &bits(&[9.0, 9.0, *rate]))).expect("the CPU writes");
            cpu.run(&repeat(&programs, 0, 1)).expect("the CPU runs");
        }
        let value = |buf| cpu.mem().dense_f32(buf)[0];
        (value(layer.running.mean), value(layer.running.variance))
    }

    #[test]
    fn running_statistics_follow_or_average() {
        // Means 1, 3 and 8, unbiased variances 2, 8 and 18.
        let [a, b, c] = [[0.0, 2.0], [1.0, 5.0], [5.0, 11.0]];
        let near = |(mean, variance): (f32, f32), expected: (f32, f32)| {
            assert!((mean - expected.0).abs() < 1e-5 && (variance - expected.1).abs() < 1e-5, "{mean} {variance}, not {expected:?}");
        };
        near(running_after(&[(a, 0.1)]), (0.1, 0.9 + 0.2));
        near(running_after(&[(a, 0.1), (b, 0.1)]), (0.09 + 0.3, 0.99 + 0.8));
        near(running_after(&[(c, 0.1), (a, 1.0), (b, 0.5), (c, 1.0 / 3.0)]), (4.0, 28.0 / 3.0));
    }
}
