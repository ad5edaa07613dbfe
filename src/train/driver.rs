//! The loop behind every run: queue steps, collect their metrics, judge, save, stop when asked to.

use std::collections::VecDeque;
use std::io::IsTerminal;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use super::checkpoint::{Checkpoint, Record};
use super::folder::{RunFolder, checkpoint_path};
use super::plan::{Plan, RING, Training};
use crate::core::time::Timer;
use crate::exec::{Device, Executor, Programs};
use crate::kernels::metrics::Row;
use crate::ops::StepSettings;
use crate::say;

/// Chunks of steps on their way at once: one runs while the other's metrics come back.
const IN_FLIGHT: usize = 2;

/// Where a run speaks to people: a progress bar on a terminal, plain lines elsewhere.
pub struct Terminal {
    bar: Option<ProgressBar>,
    last_line: Timer,
    /// Say nothing: for runs within runs.
    pub quiet: bool,
}

impl Terminal {
    pub fn new(quiet: bool) -> Self {
        Terminal { bar: None, last_line: Timer::start(), quiet }
    }

    /// A line that stays.
    pub fn say(&self, line: &str) {
        match &self.bar {
            _ if self.quiet => {}
            Some(bar) => bar.suspend(|| say!("{line}")),
            None => say!("{line}"),
        }
    }

    fn start(&mut self, total: u32) {
        if !self.quiet && std::io::stderr().is_terminal() {
            let style = ProgressStyle::with_template("{bar:24} {pos}/{len}  {msg}  {eta} left").expect("a valid template");
            self.bar = Some(ProgressBar::new(total.into()).with_style(style));
        }
    }

    fn step(&mut self, done: u32, total: u32, text: &str) {
        match &self.bar {
            Some(bar) => {
                bar.set_message(text.to_string());
                bar.set_position(done.into());
            }
            None if self.last_line.seconds() > 5.0 => {
                self.say(&format!("step {done}/{total}  {text}"));
                self.last_line = Timer::start();
            }
            None => {}
        }
    }

    fn finish(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

/// What judging found: a score (larger is better) that chooses `best`, and values to report by name.
#[derive(Clone, Debug, Default)]
pub struct Judgement {
    pub score: Option<f64>,
    pub values: Vec<(String, f64)>,
}

/// How a run ended.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub steps: u32,
    /// Mean loss of the last whole epoch, or of what there was of it.
    pub final_loss: f64,
    pub interrupted: bool,
    pub seconds: f64,
    /// The share of those seconds that the device was at work, where it has a clock.
    pub device_busy: Option<f64>,
    pub judgement: Judgement,
}

/// Where and how a plan is carried out.
pub struct Session<'a> {
    pub device: &'a Device,
    /// Where results go; a run within a run has none.
    pub folder: Option<RunFolder>,
    /// Go on from here instead of starting.
    pub resume: Option<Checkpoint>,
    /// Set by Ctrl-C.
    pub stop: &'a AtomicBool,
    pub terminal: Terminal,
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
    folder: Option<RunFolder>,
    terminal: Terminal,
    stop: &'a AtomicBool,
    best: Option<Checkpoint>,
}

/// Judges the state of a run on data held out from training.
pub type Judge<'a> = dyn FnMut(&mut dyn Executor, &Programs) -> Result<Judgement> + 'a;

impl<'a> Driver<'a> {
    /// Loads a plan on its device. `hyper`: see [`Plan::memory`].
    pub fn start(plan: &'a Plan, hyper: &'a dyn Fn(u32) -> StepSettings, session: Session<'a>) -> Result<Self> {
        let Session { device, mut folder, resume, stop, terminal } = session;
        if matches!(device, Device::Gpu(_)) {
            terminal.say("compiling kernels ...");
        }
        let mut exec = device.load(&plan.arena, plan.memory(hyper), plan.programs.clone())?;
        let mut record = plan.record.clone();
        if let Some(checkpoint) = resume {
            checkpoint.restore(&plan.arena, &mut *exec, &|_| true)?;
            if let Some(folder) = &mut folder {
                folder.cut_metrics(checkpoint.record.step)?;
            }
            // Checkpoints of earlier versions do not tell their data.
            record = Record { data: record.data, ..checkpoint.record };
        }
        let (training, device) = (&plan.training, device.name());
        Ok(Driver { plan, training, device, exec, record, window: 0, hyper, scheduled: RING, folder, terminal, stop, best: None })
    }

    /// The best weights: judged so in this run or in the one it resumed. `None` if that file is gone.
    pub fn best(&self) -> Result<Option<Checkpoint>> {
        let saved = self.folder.as_ref().map(|folder| checkpoint_path(folder.path(), "best")).filter(|path| path.is_file());
        match (&self.best, saved) {
            (None, Some(path)) => Checkpoint::load(&path).map(Some),
            (best, _) => Ok(best.clone()),
        }
    }

    /// Trains from where the record stands to the end, or until told to stop; saves before it returns.
    pub fn run(&mut self, mut judge: Option<&mut Judge<'_>>) -> Result<Outcome> {
        let timer = Timer::start();
        let total = self.training.total_steps;
        self.terminal.start(total);
        self.log(&format!("{}: steps {} to {total}, {} images each", self.device, self.record.step + 1, self.training.batch));
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
                self.report(&judgement)?;
                if judgement.score.is_some_and(|score| self.record.best.is_none_or(|(best, _)| score > best)) {
                    self.record.best = judgement.score.map(|score| (score, step));
                    self.save_best()?;
                }
                early = step < total && self.is_stale();
                if early {
                    self.say(&format!(
                        "no better for {} epochs: stopped early, the best was at step {}",
                        self.plan.settings.patience,
                        self.best_step()
                    ));
                }
            }
            if interrupted || early || step == total || step.is_multiple_of(save_every) {
                self.save_last()?;
            }
        }
        self.terminal.finish();
        if !interrupted && self.record.best.is_none() {
            // Nothing was held out to choose by: the last weights are the best there are.
            self.save_best()?;
        }
        let how = if interrupted { "interrupted" } else { "finished" };
        self.log(&format!("{how} after step {}: loss {:.4}", self.record.step, self.mean_loss()));
        let seconds = timer.seconds();
        // A run that is done is done, whether or not the device can tell the time.
        let device_busy = self.exec.busy_seconds().ok().flatten().map(|busy| busy / seconds.max(1e-9));
        Ok(Outcome { steps: self.record.step, final_loss: self.mean_loss(), interrupted, seconds, device_busy, judgement })
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

    /// Sees to it that the settings of steps `from..to` are on the device, where those of earlier steps were.
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
        let mut last = (0.0, 0.0);
        for step in from..to {
            let at = (step % RING) as usize * 4;
            let Row { steps_done: done, loss, norm } = Row::from_bits([ring[at], ring[at + 1], ring[at + 2], ring[at + 3]]);
            if done != step + 1 {
                bail!(
                    "the device returned stale results for step {}; a driver may have stopped a long dispatch: try a smaller --batch",
                    step + 1
                );
            }
            if !loss.is_finite() || !norm.is_finite() {
                bail!(
                    "step {done}: the loss is {loss}, the gradient norm {norm}; a smaller --lr or --clip-norm 1 may help{}",
                    if self.folder.is_some() { "; the last checkpoint is from before" } else { "" }
                );
            }
            self.record.epoch_loss.0 += f64::from(loss);
            self.record.epoch_loss.1 += 1;
            if done % self.training.steps_per_epoch == 0 {
                self.record.last_epoch_loss = std::mem::take(&mut self.record.epoch_loss);
            }
            rows.push(json!({
                "step": done,
                "epoch": step / self.training.steps_per_epoch + 1,
                "loss": loss,
                "lr": self.plan.settings.lr_at(step, total),
                "grad_norm": norm,
                "samples_per_s": samples_per_s.round(),
            }));
            last = (loss, self.plan.settings.lr_at(step, total));
        }
        self.record.step = to;
        self.terminal.step(to, total, &format!("loss {:.4}  lr {:.3e}  {samples_per_s:.0} samples/s", last.0, last.1));
        self.write_metrics(&rows)
    }

    fn report(&mut self, judgement: &Judgement) -> Result<()> {
        let epoch = f64::from(self.record.step) / f64::from(self.training.steps_per_epoch);
        let values = judgement.values.iter().map(|(name, value)| format!("{} {value:.4}", name.replace('_', " ")));
        let line = format!("epoch {epoch:.1}  loss {:.4}  {}", self.mean_loss(), values.collect::<Vec<_>>().join("  "));
        self.say(&line);
        let mut row = json!({ "step": self.record.step, "epoch": epoch });
        judgement.values.iter().for_each(|(name, value)| row[name.as_str()] = json!(value));
        self.write_metrics(&[row])
    }

    fn write_metrics(&mut self, rows: &[Value]) -> Result<()> {
        self.folder.as_mut().map_or(Ok(()), |folder| folder.metrics(rows))
    }

    /// A line for people and for `train.log`.
    pub fn say(&mut self, line: &str) {
        self.terminal.say(line);
        self.log(line);
    }

    fn log(&mut self, line: &str) {
        if let Some(folder) = &mut self.folder {
            folder.log(line);
        }
    }

    fn take(&mut self) -> Result<Checkpoint> {
        Checkpoint::take(&self.plan.arena, &mut *self.exec, self.record.clone())
    }

    fn save_best(&mut self) -> Result<()> {
        let checkpoint = self.take()?;
        if let Some(folder) = &self.folder {
            folder.save("best", &checkpoint)?;
        }
        self.best = Some(checkpoint);
        Ok(())
    }

    fn save_last(&mut self) -> Result<()> {
        if self.folder.is_some() {
            let checkpoint = self.take()?;
            self.folder.as_ref().expect("just looked").save("last", &checkpoint)?;
        }
        Ok(())
    }
}
