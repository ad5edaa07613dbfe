//! Who sees a run as it goes: a file each. The loop tells them what happens and knows none of them.

#[cfg(feature = "files")]
mod journal;
#[cfg(feature = "cli")]
mod terminal;

#[cfg(feature = "files")]
pub use journal::Journal;
#[cfg(feature = "files")]
pub(super) use journal::{LOG, METRICS};
#[cfg(feature = "cli")]
pub use terminal::Terminal;

use std::fmt;

use anyhow::Result;
use serde::Serialize;

/// Sees a run: what happens, in the order in which it happens. An error ends the run.
pub trait Observer {
    /// The first step is about to be queued.
    fn started(&mut self, _: &Start) -> Result<()> {
        Ok(())
    }

    /// Steps that follow each other are done. Each comes once; those of a run that goes on follow its checkpoint.
    fn stepped(&mut self, _: &[StepRow]) -> Result<()> {
        Ok(())
    }

    /// What the step that came last left was judged.
    fn judged(&mut self, _: &JudgedRow<'_>) -> Result<()> {
        Ok(())
    }

    /// There is something for people to read.
    fn said(&mut self, _line: &str) -> Result<()> {
        Ok(())
    }

    /// There are no more steps, and what is to stay is saved.
    fn ended(&mut self, _: &Outcome) -> Result<()> {
        Ok(())
    }
}

/// How a run begins or goes on.
#[derive(Clone, Debug)]
pub struct Start {
    /// For people.
    pub device: String,
    /// Steps done before.
    pub done: u32,
    /// Steps that the run is to have in all.
    pub total: u32,
    /// Samples of a step.
    pub batch: u32,
}

/// A step of training.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct StepRow {
    /// Steps done with it.
    pub step: u32,
    /// Counted from 1.
    pub epoch: u32,
    pub loss: f32,
    pub lr: f32,
    pub grad_norm: f32,
    /// Whole samples, on average over the steps that arrived together.
    pub samples_per_s: f64,
}

/// What judging found: a score (larger is better) that chooses `best`, and values to report by name.
#[derive(Clone, Debug, Default)]
pub struct Judgement {
    pub score: Option<f64>,
    pub values: Vec<(String, f64)>,
}

/// A judgement of what training came to.
#[derive(Clone, Copy, Debug)]
pub struct JudgedRow<'a> {
    /// Steps done.
    pub step: u32,
    /// Epochs done.
    pub epoch: f64,
    /// Mean loss of the last whole epoch, or of what there was of it.
    pub loss: f64,
    pub judgement: &'a Judgement,
}

/// For people.
impl fmt::Display for JudgedRow<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let values = self.judgement.values.iter().map(|(name, value)| format!("{} {value:.4}", name.replace('_', " ")));
        write!(f, "epoch {:.1}  loss {:.4}  {}", self.epoch, self.loss, values.collect::<Vec<_>>().join("  "))
    }
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
