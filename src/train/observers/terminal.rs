//! Shows a run to people: a progress bar on a terminal, plain lines elsewhere.

use std::io::IsTerminal;

use anyhow::Result;
use indicatif::{ProgressBar, ProgressStyle};

use super::{JudgedRow, Observer, Outcome, Start, StepRow};
use crate::core::time::Timer;
use crate::say;

/// Seconds between plain lines.
const PAUSE: f64 = 5.0;

/// On stderr.
pub struct Terminal {
    bar: Option<ProgressBar>,
    since_line: Timer,
    total: u32,
}

impl Default for Terminal {
    fn default() -> Self {
        Terminal { bar: None, since_line: Timer::start(), total: 0 }
    }
}

impl Observer for Terminal {
    fn started(&mut self, start: &Start) -> Result<()> {
        self.total = start.total;
        if std::io::stderr().is_terminal() {
            let style = ProgressStyle::with_template("{bar:24} {pos}/{len}  {msg}  {eta} left").expect("a valid template");
            self.bar = Some(ProgressBar::new(start.total.into()).with_style(style));
        }
        Ok(())
    }

    fn stepped(&mut self, rows: &[StepRow]) -> Result<()> {
        let Some(StepRow { step, loss, lr, samples_per_s, .. }) = rows.last() else { return Ok(()) };
        let text = format!("loss {loss:.4}  lr {lr:.3e}  {samples_per_s:.0} samples/s");
        match &self.bar {
            Some(bar) => {
                bar.set_message(text);
                bar.set_position((*step).into());
            }
            None if self.since_line.seconds() > PAUSE => {
                say!("step {step}/{}  {text}", self.total);
                self.since_line = Timer::start();
            }
            None => {}
        }
        Ok(())
    }

    fn judged(&mut self, row: &JudgedRow<'_>) -> Result<()> {
        self.said(&row.to_string())
    }

    /// A line that stays.
    fn said(&mut self, line: &str) -> Result<()> {
        match &self.bar {
            Some(bar) => bar.suspend(|| say!("{line}")),
            None => say!("{line}"),
        }
        Ok(())
    }

    fn ended(&mut self, _: &Outcome) -> Result<()> {
        self.bar.take().iter().for_each(ProgressBar::finish_and_clear);
        Ok(())
    }
}
