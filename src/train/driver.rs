//! The loop behind every run: queue steps, collect their metrics, judge, save, stop when asked to.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Result, bail};

use super::checkpoint::{Checkpoint, Record};
use super::keep::Keep;
use super::observers::{JudgedRow, Judgement, Observer, Outcome, Start, StepRow};
use super::training::{Plan, RING, Training};
use crate::core::time::Timer;
use crate::exec::{Device, Executor, Programs};
use crate::kernels::metrics::StepMetrics;
use crate::ops::StepSettings;

/// Chunks of steps on their way at once: one runs while the other's metrics come back.
const IN_FLIGHT: usize = 2;

/// Where and how a plan is carried out.
pub struct Session<'a> {
    pub device: &'a Device,
    /// Where checkpoints go; a run within a run has none.
    pub keep: Option<Box<dyn Keep>>,
    /// Go on from here instead of starting.
    pub resume: Option<Checkpoint>,
    /// Set by Ctrl-C.
    pub stop: &'a AtomicBool,
    /// Who sees it.
    pub observers: Vec<Box<dyn Observer + 'a>>,
}

impl<'a> Session<'a> {
    /// A run that nobody sees and that leaves nothing: one within another.
    pub fn new(device: &'a Device, stop: &'a AtomicBool) -> Self {
        Session { device, keep: None, resume: None, stop, observers: Vec::new() }
    }
}

/// A run in motion.
pub struct Driver<'a> {
    plan: &'a Plan,
    training: &'a Training,
    device: String,
    pub exec: Box<dyn Executor>,
    pub record: Record,
    /// The window of training samples on the device, where not all are.
    window: u32,
    hyper: &'a dyn Fn(u32) -> StepSettings,
    /// The first step whose settings are not on the device yet.
    scheduled: u32,
    keep: Option<Box<dyn Keep>>,
    observers: Vec<Box<dyn Observer + 'a>>,
    stop: &'a AtomicBool,
    best: Option<Checkpoint>,
}

/// Judges the state of a run on data held out from training.
pub type Judge<'a> = dyn FnMut(&mut dyn Executor, &Programs) -> Result<Judgement> + 'a;

impl<'a> Driver<'a> {
    /// Loads a plan on its device. `hyper`: see [`Plan::load`].
    pub fn start(plan: &'a Plan, hyper: &'a dyn Fn(u32) -> StepSettings, session: Session<'a>) -> Result<Self> {
        let Session { device, keep, resume, stop, observers } = session;
        let mut exec = plan.load(device, hyper)?;
        let mut record = plan.record.clone();
        if let Some(checkpoint) = resume {
            checkpoint.restore(&plan.arena, &mut *exec, &|_| true)?;
            // Checkpoints of earlier versions do not tell their data.
            record = Record { data: record.data, ..checkpoint.record };
        }
        let (training, device) = (&plan.training, device.name());
        Ok(Driver { plan, training, device, exec, record, window: 0, hyper, scheduled: RING, keep, observers, stop, best: None })
    }

    /// The best weights: judged so in this run or in the one it resumed. `None` if that file is gone.
    pub fn best(&self) -> Result<Option<Checkpoint>> {
        match (&self.best, &self.keep) {
            (None, Some(keep)) => keep.saved("best"),
            (best, _) => Ok(best.clone()),
        }
    }

    /// Trains from where the record stands to the end, or until told to stop; saves before it returns.
    pub fn run(&mut self, mut judge: Option<&mut Judge<'_>>) -> Result<Outcome> {
        let timer = Timer::start();
        let total = self.training.total_steps;
        let start = Start { device: self.device.clone(), done: self.record.step, total, batch: self.training.batch };
        self.tell(|observer| observer.started(&start))?;
        let (judge_every, save_every) = self.intervals();
        let mut judgement = Judgement::default();
        let (mut interrupted, mut early) = (false, false);
        while self.record.step < total && !interrupted && !early {
            let next = |every: u32| (self.record.step / every + 1).saturating_mul(every);
            let until = next(judge_every).min(next(save_every)).min(total);
            let before = self.record.step;
            interrupted = self.advance(until)?;
            let step = self.record.step;
            // Ctrl-C between two steps makes no progress: what stands here was judged when it was reached.
            let due = step > before && (step == total || step.is_multiple_of(judge_every));
            if let Some(judge) = judge.as_mut().filter(|_| due) {
                judgement = judge(&mut *self.exec, &self.plan.programs)?;
                let epoch = f64::from(step) / f64::from(self.training.steps_per_epoch);
                let row = JudgedRow { step, epoch, loss: self.mean_loss(), judgement: &judgement };
                self.tell(|observer| observer.judged(&row))?;
                if judgement.score.is_some_and(|score| self.record.best.is_none_or(|(best, _)| score > best)) {
                    self.record.best = judgement.score.map(|score| (score, step));
                    self.save_best()?;
                }
                early = step < total && self.is_stale();
                if early {
                    let (patience, best) = (self.plan.settings.patience, self.best_step());
                    let line = format!("no better for {patience} epochs: stopped early, the best was at step {best}");
                    self.tell(|observer| observer.said(&line))?;
                }
            }
            if interrupted || early || step == total || step.is_multiple_of(save_every) {
                self.save_last()?;
            }
        }
        if !interrupted && self.record.best.is_none() {
            // Nothing was held out to choose by: the last weights are the best there are.
            self.save_best()?;
        }
        let seconds = timer.seconds();
        // A run that is done is done, whether or not the device can tell the time.
        let device_busy = self.exec.busy_seconds().ok().flatten().map(|busy| busy / seconds.max(1e-9));
        let outcome = Outcome { steps: self.record.step, final_loss: self.mean_loss(), interrupted, seconds, device_busy, judgement };
        self.tell(|observer| observer.ended(&outcome))?;
        Ok(outcome)
    }

    /// The step that `best` is of; this one if nothing chose it.
    fn best_step(&self) -> u32 {
        self.record.best.map_or(self.record.step, |(_, step)| step)
    }

    /// Whether patience is at an end.
    fn is_stale(&self) -> bool {
        let patience = self.plan.settings.patience.saturating_mul(self.training.steps_per_epoch);
        patience > 0 && self.record.step - self.best_step() >= patience
    }

    /// Of the last whole epoch, or of what there was of the first.
    fn mean_loss(&self) -> f64 {
        let (sum, count) = if self.record.last_epoch_loss.1 > 0 { self.record.last_epoch_loss } else { self.record.epoch_loss };
        sum / f64::from(count.max(1))
    }

    /// Steps between judgements and between checkpoints: whole epochs, about five in a run, at least 100 steps. Patience is
    /// counted in epochs, so each is judged.
    fn intervals(&self) -> (u32, u32) {
        let epoch = self.training.steps_per_epoch;
        let steps = (self.training.total_steps / 5).max(100);
        let epochs = epoch * (steps + epoch / 2).div_euclid(epoch).max(1);
        (
            if self.plan.settings.patience > 0 { epoch } else { epochs },
            if self.plan.settings.checkpoint_every > 0 { self.plan.settings.checkpoint_every } else { epochs },
        )
    }

    /// Runs to step `until` or to where Ctrl-C finds it; true if that happened. All metrics have arrived on return.
    fn advance(&mut self, until: u32) -> Result<bool> {
        let mut queued = self.record.step;
        let mut on_their_way: VecDeque<(u32, u32)> = VecDeque::new();
        let mut chunk = 1;
        let mut since_arrival = Timer::start();
        loop {
            let stopping = self.stop.load(Ordering::Relaxed);
            while queued < until && !stopping && on_their_way.len() < IN_FLIGHT {
                let to = self.window_of(queued)?.min(until).min(queued.saturating_add(chunk));
                self.schedule(queued, to)?;
                self.exec.run(&self.training.spans(&self.plan.programs, queued, to))?;
                self.exec.read_later(self.training.ring)?;
                on_their_way.push_back((queued, to));
                queued = to;
            }
            let Some((from, to)) = on_their_way.pop_front() else { return Ok(stopping && queued < until) };
            let Some(ring) = self.exec.arrived(true)? else { bail!("the device returned no metrics") };
            let seconds = since_arrival.lap();
            self.collect(&ring, from, to, seconds)?;
            // A quarter of a second of work at a time: soon enough for Ctrl-C, rare enough to cost nothing.
            let rate = f64::from(to - from) / seconds.max(1e-6);
            chunk = ((rate / 4.0) as u32).clamp(1, (2 * chunk).min(RING));
        }
    }

    /// Sees to it that the samples of a step are on the device. Returns the first step whose samples need not be.
    fn window_of(&mut self, step: u32) -> Result<u32> {
        let Some(windows) = &self.training.windows else { return Ok(u32::MAX) };
        let window = windows.window_of_step(step);
        if window != self.window {
            windows.load(&mut *self.exec, self.training.data, window)?;
            self.window = window;
        }
        Ok(windows.end(window))
    }

    /// Sees to it that the settings of steps `from..to` are on the device: in the places of earlier ones, which are queued.
    fn schedule(&mut self, from: u32, to: u32) -> Result<()> {
        if to > self.scheduled {
            self.exec.write(self.training.clock.schedule, &self.training.schedule(from, self.hyper))?;
            self.scheduled = from.saturating_add(RING);
        }
        Ok(())
    }

    /// Takes the metrics of steps `from..to` out of a copy of the ring.
    fn collect(&mut self, ring: &[u32], from: u32, to: u32, seconds: f64) -> Result<()> {
        let total = self.training.total_steps;
        let samples_per_s = f64::from(to - from) * f64::from(self.training.batch) / seconds.max(1e-9);
        let mut rows = Vec::new();
        for step in from..to {
            let at = (step % RING) as usize * 4;
            let StepMetrics { steps_done: done, loss, norm } = StepMetrics::from_bits([ring[at], ring[at + 1], ring[at + 2], ring[at + 3]]);
            if done != step + 1 {
                bail!(
                    "the device returned stale results for step {}; a driver may have stopped a long dispatch: try a smaller --batch",
                    step + 1
                );
            }
            if !loss.is_finite() || !norm.is_finite() {
                bail!(
                    "step {done}: the loss is {loss}, the gradient norm {norm}; a smaller --lr or --clip-norm 1 may help{}",
                    if self.keep.is_some() { "; the last checkpoint is from before" } else { "" }
                );
            }
            self.record.epoch_loss.0 += f64::from(loss);
            self.record.epoch_loss.1 += 1;
            if done % self.training.steps_per_epoch == 0 {
                self.record.last_epoch_loss = std::mem::take(&mut self.record.epoch_loss);
            }
            rows.push(StepRow {
                step: done,
                epoch: step / self.training.steps_per_epoch + 1,
                loss,
                lr: self.plan.settings.lr_at(step, total),
                grad_norm: norm,
                samples_per_s: samples_per_s.round(),
            });
        }
        self.record.step = to;
        self.tell(|observer| observer.stepped(&rows))
    }

    /// Tells all observers what happened.
    fn tell(&mut self, what: impl Fn(&mut dyn Observer) -> Result<()>) -> Result<()> {
        self.observers.iter_mut().try_for_each(|observer| what(&mut **observer))
    }

    fn take(&mut self) -> Result<Checkpoint> {
        Checkpoint::take(&self.plan.arena, &mut *self.exec, self.record.clone())
    }

    fn save_best(&mut self) -> Result<()> {
        let checkpoint = self.take()?;
        if let Some(keep) = &self.keep {
            keep.save("best", &checkpoint)?;
        }
        self.best = Some(checkpoint);
        Ok(())
    }

    /// The best weights with something more noted of them.
    pub fn replace_best(&mut self, best: Checkpoint) -> Result<()> {
        self.keep.as_ref().map_or(Ok(()), |keep| keep.save("best", &best))?;
        self.best = Some(best);
        Ok(())
    }

    fn save_last(&mut self) -> Result<()> {
        if self.keep.is_some() {
            let checkpoint = self.take()?;
            self.keep.as_ref().expect("just looked").save("last", &checkpoint)?;
        }
        Ok(())
    }
}
