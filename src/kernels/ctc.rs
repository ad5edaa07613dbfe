//! Connectionist temporal classification (Graves et al., 2006): the loss of sequences whose alignment with their steps is not known.

use rayon::prelude::*;

use super::attention::{WG, case_tokens};
use super::embedding_bag::tokens_of;
use super::recurrent::Rough;
use super::softmax_cross_entropy::{log_sum_exp, log_sum_exp_error, magnitude};
use super::{Cases, has};
use crate::core::buffer::{Buf, Fill, shape};
use crate::core::memory::HostMem;
use crate::core::program::{EPSILON, Exp, Kernel, Scalar, Tolerance};
use crate::core::random::{signed_unit, threefry};
use crate::core::sample::NO_TOKEN;

/// The class that says nothing.
pub const BLANK: u32 = 0;
/// Letters of a target: what is known of states lies in workgroup memory.
pub const MOST_LETTERS: u32 = 508;

/// The logarithm of what cannot be.
pub(super) const LEAST: f64 = -1e30_f32 as f64;

/// `logits`: `[batch * time, classes]`; `steps` (u32): `[batch, time]`, [`NO_TOKEN`] behind the last one of a sample; `targets` (u32):
/// `[batch, longest]`, classes from 1, [`NO_TOKEN`] behind the last letter. `loss`: `[1, batch]`, -log p(target) over its letters (over 1 if
/// there are none); 0 where a target does not fit, which wants a step for each letter and for a blank between equal ones. For the
/// gradient: `log_sums` (logΣexp): `[batch, time]`; `alphas`: `[batch * time, 2 longest + 1]`, the logarithms of forward variables less
/// the largest of their step. Both are 0 where there is no step.
pub struct Ctc {
    pub logits: Buf,
    pub steps: Buf,
    pub targets: Buf,
    pub loss: Buf,
    pub log_sums: Buf,
    pub alphas: Buf,
}

/// The states of so many letters: these, and a blank before, between and behind them.
pub fn states_of(letters: u32) -> u32 {
    2 * letters + 1
}

/// A sample's target, and the steps that paths to say it have.
pub(super) struct Lattice<'a> {
    letters: &'a [u32],
    /// Of a target that fits; of others none.
    pub(super) steps: usize,
}

impl<'a> Lattice<'a> {
    pub(super) fn of(steps: &[u32], target: &'a [u32]) -> Self {
        let (steps, letters) = (tokens_of(steps).len(), tokens_of(target));
        let repeats = letters.windows(2).filter(|pair| pair[0] == pair[1]).count();
        Lattice { letters, steps: if steps >= letters.len() + repeats { steps } else { 0 } }
    }

    pub(super) fn states(&self) -> usize {
        2 * self.letters.len() + 1
    }

    pub(super) fn class(&self, state: usize) -> usize {
        if state.is_multiple_of(2) { BLANK as usize } else { self.letters[state / 2] as usize }
    }

    /// What the loss is divided by.
    pub(super) fn length(&self) -> f64 {
        self.letters.len().max(1) as f64
    }

    /// Whether a path may go on to a state from the last but one.
    pub(super) fn may_skip(&self, state: usize) -> bool {
        !state.is_multiple_of(2) && state > 2 && self.class(state) != self.class(state - 2)
    }
}

/// What both kernels read in the same way.
pub(super) fn params(steps: Buf, targets: Buf, logits: Buf, log_sums: Buf, alphas: Buf) -> [(&'static str, Scalar); 7] {
    [
        ("time", steps.cols().into()),
        ("step_stride", steps.shape.stride().into()),
        ("target_stride", targets.shape.stride().into()),
        ("cols", logits.cols().into()),
        ("stride", logits.shape.stride().into()),
        ("sum_stride", log_sums.shape.stride().into()),
        ("alpha_stride", alphas.shape.stride().into()),
    ]
}

pub(super) fn constants(targets: Buf) -> [(&'static str, u32); 3] {
    [("LONGEST", targets.cols()), ("STATES", states_of(targets.cols())), ("NO_TOKEN", NO_TOKEN)]
}

pub(super) fn check(steps: Buf, targets: Buf, logits: Buf, log_sums: Buf, alphas: Buf) -> Result<(), String> {
    if targets.cols() > MOST_LETTERS {
        return Err(format!("targets of {} letters; {MOST_LETTERS} are the most", targets.cols()));
    }
    let (batch, rows) = (steps.rows(), steps.rows() * steps.cols());
    has("logits", logits, rows, logits.cols())?;
    has("targets", targets, batch, targets.cols())?;
    has("log_sums", log_sums, batch, steps.cols())?;
    has("alphas", alphas, rows, states_of(targets.cols()))
}

pub(super) fn is_possible(log: &Rough) -> bool {
    log.value > LEAST / 2.0
}

/// A sum, where what cannot be stays so.
pub(super) fn plus(a: Rough, b: Rough) -> Rough {
    if is_possible(&a) && is_possible(&b) { a.plus(b) } else { Rough::exact(LEAST) }
}

/// log Σ exp of three: no input moves it by more than itself.
pub(super) fn log_add(terms: [Rough; 3], exp: Exp) -> Rough {
    let possible = || terms.iter().filter(|term| is_possible(term));
    let largest = possible().map(|term| term.value).fold(f64::NEG_INFINITY, f64::max);
    if largest == f64::NEG_INFINITY {
        return Rough::exact(LEAST);
    }
    let of_terms = possible().fold(0.0, |error: f64, term| error.max(term.error));
    let (mut sum, mut of_exp) = (0.0, 0.0);
    for term in possible() {
        let x = term.value - largest;
        sum += x.exp();
        of_exp += x.exp() * (exp.error(x) + 2.0 * EPSILON * x.abs());
    }
    let value = largest + sum.ln();
    Rough { value, error: of_terms + of_exp / sum + 2f64.powi(-21) + 4.0 * EPSILON * (1.0 + largest.abs() + value.abs()) }
}

/// The logarithm of a class's probability at a step.
pub(super) fn emission(logits: &[f32], class: usize, log_sum: Rough) -> Rough {
    Rough::exact(logits[class]).minus(log_sum)
}

/// What a sample leaves, by step. Errors of forward variables are of what they are together with all that was taken from them: a step's
/// largest one cancels out of what they are for.
struct Forward {
    log_sums: Vec<Rough>,
    alphas: Vec<Vec<Rough>>,
    loss: Rough,
}

impl Forward {
    fn of<'a>(lattice: &Lattice<'_>, logits: impl Fn(usize) -> &'a [f32], exp: Exp) -> Self {
        let mut trace = Forward { log_sums: Vec::new(), alphas: Vec::new(), loss: Rough::exact(0.0) };
        let mut total = Rough::exact(0.0);
        for step in 0..lattice.steps {
            let logits = logits(step);
            let (largest, log_of_sum) = log_sum_exp(logits.iter().map(|&z| f64::from(z)));
            let log_sum =
                Rough { value: largest + log_of_sum, error: log_sum_exp_error(logits.len() as u32, 6.0, magnitude(logits), exp) };
            let none = Rough::exact(LEAST);
            let mut alphas: Vec<Rough> = match trace.alphas.last() {
                None => (0..lattice.states()).map(|s| if s < 2 { Rough::exact(0.0) } else { none }).collect(),
                Some(before) => {
                    let entered = |s: usize| if s > 0 { before[s - 1] } else { none };
                    let skipped = |s: usize| if lattice.may_skip(s) { before[s - 2] } else { none };
                    (0..lattice.states()).map(|s| log_add([before[s], entered(s), skipped(s)], exp)).collect()
                }
            };
            for (s, alpha) in alphas.iter_mut().enumerate() {
                *alpha = plus(*alpha, emission(logits, lattice.class(s), log_sum));
            }
            let largest = alphas.iter().fold(LEAST, |largest, alpha| largest.max(alpha.value));
            total = total.plus(Rough::exact(largest));
            alphas.iter_mut().for_each(|alpha| *alpha = plus(*alpha, Rough::exact(-largest)));
            trace.log_sums.push(log_sum);
            trace.alphas.push(alphas);
        }
        if let Some(last) = trace.alphas.last() {
            let end = |back: usize| last.iter().rev().nth(back).copied().unwrap_or(Rough::exact(LEAST));
            let sum = total.plus(log_add([end(0), end(1), Rough::exact(LEAST)], exp));
            let (value, length) = (-sum.value / lattice.length(), lattice.length());
            trace.loss = Rough { value, error: sum.error / length + 6.0 * EPSILON * value.abs() };
        }
        trace
    }
}

impl Ctc {
    fn traces(&self, m: &HostMem, exp: Exp) -> Vec<Forward> {
        let (logits, steps, targets) = (m.f32(self.logits), m.u32(self.steps), m.u32(self.targets));
        let time = self.steps.cols() as usize;
        let trace = |sample: usize| {
            let lattice = Lattice::of(steps.row(sample), targets.row(sample));
            Forward::of(&lattice, |step| logits.row(sample * time + step), exp)
        };
        (0..self.steps.rows() as usize).into_par_iter().map(trace).collect()
    }
}

impl Kernel for Ctc {
    interface! {
        self runs "ctc" after "log_sum_exp", "ctc_walk";
        bufs { logits, steps, targets, loss, log_sums, alphas }
        params {
            ..params(self.steps, self.targets, self.logits, self.log_sums, self.alphas),
            batch: self.steps.rows(),
            loss_stride: self.loss.shape.stride(),
        }
        constants { ..constants(self.targets), }
        invocations { u64::from(self.steps.rows()) * u64::from(WG) }
    }

    fn check_shapes(&self) -> Result<(), String> {
        check(self.steps, self.targets, self.logits, self.log_sums, self.alphas)?;
        has("loss", self.loss, 1, self.steps.rows())
    }

    fn twin(&self, m: &HostMem) {
        let (traces, time) = (self.traces(m, Exp::Specified), self.steps.cols() as usize);
        m.f32_mut(self.loss).for_each_row(|_, row| {
            row.iter_mut().zip(&traces).for_each(|(loss, trace)| *loss = trace.loss.value as f32);
        });
        let write = |to: &mut [f32], from: &[Rough]| {
            to.fill(0.0);
            to.iter_mut().zip(from).for_each(|(to, from)| *to = from.value as f32);
        };
        m.f32_mut(self.log_sums).for_each_row(|r, row| write(row, &traces[r].log_sums));
        m.f32_mut(self.alphas).for_each_row(|r, row| write(row, traces[r / time].alphas.get(r % time).map_or(&[], Vec::as_slice)));
    }

    /// Errors go on from step to step; that of the largest forward variable of a step is in all of them.
    fn tolerance(&self, output: &str, m: &HostMem, exp: Exp) -> Tolerance {
        let (time, states) = (self.steps.cols() as usize, states_of(self.targets.cols()) as usize);
        let traces = self.traces(m, exp);
        let of_alphas = |alphas: &Vec<Rough>| {
            let most = alphas.iter().fold(0.0, |most: f64, alpha| most.max(alpha.error));
            alphas.iter().map(|alpha| if is_possible(alpha) { alpha.error + most } else { 0.0 }).collect::<Vec<f64>>()
        };
        let filled = |mut bounds: Vec<f64>, count: usize| {
            bounds.resize(count, 0.0);
            bounds
        };
        let of_sample = |trace: &Forward| match output {
            "loss" => vec![trace.loss.error],
            "log_sums" => filled(trace.log_sums.iter().map(|sum| sum.error).collect(), time),
            _ => filled(trace.alphas.iter().flat_map(|step| filled(of_alphas(step), states)).collect(), time * states),
        };
        Tolerance::Each(traces.iter().flat_map(of_sample).collect())
    }
}

/// Samples whose letters are drawn from few, and steps that are as many as their targets want, one less, or more.
pub(super) struct CaseSamples {
    pub(super) steps: Vec<u32>,
    pub(super) targets: Vec<u32>,
    pub(super) logits: Vec<f32>,
}

/// (batch, time, longest target, classes, magnitude of logits): one step, no letters, odd sizes, more states and classes than invocations.
pub(super) const SIZES: [(u32, u32, u32, u32, f32); 7] = [
    (1, 1, 1, 2, 1.0),
    (3, 4, 1, 3, 30.0),
    (9, 13, 5, 7, 3.0),
    (8, 24, 8, 3, 1.0),
    (5, 70, 20, 67, 6.0),
    (2, 90, 41, 11, 1.0),
    (4, 37, 9, 130, 300.0),
];

pub(super) fn case_samples((batch, time, longest, classes, size): (u32, u32, u32, u32, f32)) -> CaseSamples {
    let draw = |salt: u32, a: u32, b: u32| threefry([salt, classes], [a, b])[0];
    let letters = |sample: u32| match sample {
        0 => longest,
        1 => 0,
        _ => draw(1, sample, 0) % (longest + 1),
    };
    let letter = |sample: u32, i: u32| if i < letters(sample) { 1 + draw(2, sample, i) % (classes - 1).min(3) } else { NO_TOKEN };
    let target = |sample: u32| (0..longest).map(move |i| letter(sample, i));
    let targets: Vec<u32> = (0..batch).flat_map(target).collect();
    let mut steps = case_tokens(batch, time);
    for (sample, (steps, target)) in steps.chunks_mut(time as usize).zip(targets.chunks(longest as usize)).enumerate() {
        let letters = tokens_of(target);
        let wanted = letters.len() + letters.windows(2).filter(|pair| pair[0] == pair[1]).count();
        // Exactly enough, and one too few.
        let count = [None, None, None, Some(wanted), Some(wanted.max(1) - 1), None][sample % 6];
        if let Some(count) = count {
            steps.iter_mut().enumerate().for_each(|(i, step)| *step = if i < count { i as u32 } else { NO_TOKEN });
        }
    }
    let value = |row: usize, class: u32| match steps[row] {
        NO_TOKEN => f32::NAN,
        _ => size * signed_unit(draw(3, row as u32, class)),
    };
    let logits = (0..steps.len()).flat_map(|row| (0..classes).map(move |class| value(row, class))).collect();
    CaseSamples { steps, targets, logits }
}

pub fn cases(c: &mut Cases<'_>) {
    for size @ (batch, time, longest, classes, _) in SIZES {
        let CaseSamples { steps, targets, logits } = case_samples(size);
        let logits = c.filled(shape(batch * time, classes), Fill::F32(logits));
        let steps = c.filled(shape(batch, time), Fill::U32(steps));
        let targets = c.filled(shape(batch, longest), Fill::U32(targets));
        let (loss, log_sums, alphas) = (c.output(1, batch), c.output(batch, time), c.output(batch * time, states_of(longest)));
        c.add(Ctc { logits, steps, targets, loss, log_sums, alphas });
    }
}

/// What [`Ctc`] leaves of them for the gradient: (log sums, forward variables).
pub(super) fn case_trace(samples: &CaseSamples, (batch, time, longest, classes, _): (u32, u32, u32, u32, f32)) -> (Vec<f32>, Vec<f32>) {
    let (states, classes) = (states_of(longest) as usize, classes as usize);
    let [mut log_sums, mut alphas] = [vec![f32::NAN; (batch * time) as usize], vec![f32::NAN; (batch * time) as usize * states]];
    for (sample, steps) in samples.steps.chunks(time as usize).enumerate() {
        let lattice = Lattice::of(steps, &samples.targets[sample * longest as usize..][..longest as usize]);
        let first = sample * time as usize;
        let trace = Forward::of(&lattice, |step| &samples.logits[(first + step) * classes..][..classes], Exp::Specified);
        for (row, (log_sum, of_step)) in (first..).zip(trace.log_sums.iter().zip(&trace.alphas)) {
            log_sums[row] = log_sum.value as f32;
            alphas[row * states..].iter_mut().zip(of_step).for_each(|(to, alpha)| *to = alpha.value as f32);
        }
    }
    (log_sums, alphas)
}
