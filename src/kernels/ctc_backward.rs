//! The gradient of connectionist temporal classification with respect to the logits.

use rayon::prelude::*;

use super::attention::WG;
use super::ctc::{self, CaseSamples, LEAST, SIZES, Lattice, case_samples, case_trace, emission, is_possible, log_add, plus, states_of};
use super::recurrent::Rough;
use super::softmax_cross_entropy_backward::difference_error;
use super::{Cases, same};
use crate::core::buffer::{Buf, Fill, shape};
use crate::core::memory::HostMem;
use crate::core::program::{EPSILON, Exp, Kernel, Tolerance};

/// As in [`Ctc`](ctc::Ctc), which has left `log_sums` and `alphas`; `dlogits`: `[batch * time, classes]`, of the mean loss: zeros where there
/// is no step, or the target does not fit.
pub struct CtcBackward {
    pub logits: Buf,
    pub steps: Buf,
    pub targets: Buf,
    pub log_sums: Buf,
    pub alphas: Buf,
    pub dlogits: Buf,
}

impl CtcBackward {
    /// The gradients of each sample, by step and class.
    fn slopes(&self, m: &HostMem, exp: Exp) -> Vec<Vec<Vec<Rough>>> {
        let (logits, log_sums, alphas) = (m.f32(self.logits), m.f32(self.log_sums), m.f32(self.alphas));
        let (steps, targets) = (m.u32(self.steps), m.u32(self.targets));
        let [batch, time] = [self.steps.rows(), self.steps.cols()].map(|size| size as usize);
        let of_sample = |sample: usize| {
            let lattice = Lattice::of(steps.row(sample), targets.row(sample));
            let weight = 1.0 / (batch as f64 * lattice.length());
            let none = Rough::exact(LEAST);
            let mut slopes = Vec::new();
            // What paths may still say, with the class of the next step.
            let mut next: Vec<Rough> = Vec::new();
            for step in (0..lattice.steps).rev() {
                let row = sample * time + step;
                let (logits, alphas, log_sum) = (logits.row(row), alphas.row(row), Rough::exact(log_sums.row(sample)[step]));
                let states = lattice.states();
                let last = |s: usize| if s + 2 >= states { Rough::exact(0.0) } else { none };
                let left = |s: usize| next.get(s + 1).copied().unwrap_or(none);
                let skipped = |s: usize| if s + 2 < states && lattice.may_skip(s + 2) { next[s + 2] } else { none };
                let betas: Vec<Rough> = (0..states)
                    .map(|s| if next.is_empty() { last(s) } else { log_add([next[s], left(s), skipped(s)], exp) })
                    .collect();
                let paths: Vec<Rough> = betas.iter().zip(alphas).map(|(&beta, &alpha)| plus(beta, Rough::exact(alpha))).collect();
                let largest = paths.iter().fold(LEAST, |largest, path| largest.max(path.value));
                // Shares and by what part each may be wrong.
                let share = |(path, beta): (&Rough, &Rough)| {
                    if !is_possible(path) {
                        return [0.0; 2];
                    }
                    let (x, b) = (path.value - largest, beta.value - largest);
                    let error = path.error + 2.0 * EPSILON * (b.abs() + x.abs() + largest.abs());
                    [x.exp(), error.exp_m1() + exp.error(x)]
                };
                let shares: Vec<[f64; 2]> = paths.iter().zip(&betas).map(share).collect();
                let sum: f64 = shares.iter().map(|[share, _]| share).sum();
                let mean: f64 = shares.iter().map(|[share, part]| share * part).sum::<f64>() / sum;
                let mut said = vec![[0.0; 2]; logits.len()];
                for (s, [share, part]) in shares.iter().enumerate() {
                    let class = &mut said[lattice.class(s)];
                    class[0] += share / sum;
                    class[1] += share / sum * (part + mean + 2.0 * EPSILON * (states as f64 + 4.0));
                }
                let slope = |(&z, [said, error]): (&f32, [f64; 2])| {
                    let (z, log_sum) = (f64::from(z), log_sum.value);
                    let of_softmax = difference_error(z - log_sum, z.abs() + log_sum.abs(), exp);
                    // Two divisions beside.
                    Rough { value: weight * ((z - log_sum).exp() - said), error: weight * (of_softmax + error + 24.0 * EPSILON) }
                };
                slopes.push(logits.iter().zip(said).map(slope).collect());
                next = (betas.iter().enumerate())
                    .map(|(s, &beta)| plus(plus(beta, Rough::exact(-largest)), emission(logits, lattice.class(s), log_sum)))
                    .collect();
            }
            slopes.reverse();
            slopes
        };
        (0..batch).into_par_iter().map(of_sample).collect()
    }
}

impl Kernel for CtcBackward {
    interface! {
        self runs "ctc_backward" after "ctc_walk";
        bufs { logits, steps, targets, log_sums, alphas, dlogits }
        params {
            ..ctc::params(self.steps, self.targets, self.logits, self.log_sums, self.alphas),
            batch: self.steps.rows(),
        }
        constants { ..ctc::constants(self.targets), }
        invocations { u64::from(self.steps.rows()) * u64::from(WG) }
    }

    fn check_shapes(&self) -> Result<(), String> {
        ctc::check(self.steps, self.targets, self.logits, self.log_sums, self.alphas)?;
        same(&[("logits", self.logits), ("dlogits", self.dlogits)])
    }

    fn twin(&self, m: &HostMem) {
        let (slopes, time) = (self.slopes(m, Exp::Specified), self.steps.cols() as usize);
        m.f32_mut(self.dlogits).for_each_row(|r, row| match slopes[r / time].get(r % time) {
            Some(slopes) => row.iter_mut().zip(slopes).for_each(|(to, slope)| *to = slope.value as f32),
            None => row.fill(0.0),
        });
    }

    /// Errors of backward variables go on from step to step; what all of a step have in common cancels out.
    fn tolerance(&self, _: &str, m: &HostMem, exp: Exp) -> Tolerance {
        let (time, classes) = (self.steps.cols() as usize, self.logits.cols() as usize);
        let of_sample = |slopes: Vec<Vec<Rough>>| {
            let mut bounds: Vec<f64> = slopes.iter().flatten().map(|slope| slope.error).collect();
            bounds.resize(time * classes, 0.0);
            bounds
        };
        Tolerance::Each(self.slopes(m, exp).into_iter().flat_map(of_sample).collect())
    }
}

pub fn cases(c: &mut Cases<'_>) {
    for size @ (batch, time, longest, classes, _) in SIZES {
        let samples = case_samples(size);
        let (log_sums, alphas) = case_trace(&samples, size);
        let CaseSamples { steps, targets, logits } = samples;
        let rows = batch * time;
        let [logits, log_sums, alphas] =
            [(shape(rows, classes), logits), (shape(batch, time), log_sums), (shape(rows, states_of(longest)), alphas)]
                .map(|(shape, values)| c.filled(shape, Fill::F32(values)));
        let steps = c.filled(shape(batch, time), Fill::U32(steps));
        let targets = c.filled(shape(batch, longest), Fill::U32(targets));
        let dlogits = c.output(rows, classes);
        c.add(CtcBackward { logits, steps, targets, log_sums, alphas, dlogits });
    }
}
