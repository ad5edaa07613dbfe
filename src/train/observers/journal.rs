//! Writes down in its folder what a run measures, a row of `metrics.jsonl` for each step and each judgement, and what it says, in
//! `train.log`.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::{JudgedRow, Observer, Outcome, Start, StepRow};
use crate::files;

pub const METRICS: &str = "metrics.jsonl";
pub const LOG: &str = "train.log";

/// Of a run folder. Goes on where its files end.
pub struct Journal {
    path: PathBuf,
    metrics: Option<File>,
    log: File,
}

impl Journal {
    /// Makes the files in the folder `run` where there are none.
    pub fn open(run: &Path) -> Result<Self> {
        Ok(Journal { path: run.join(METRICS), metrics: Some(append(&run.join(METRICS))?), log: append(&run.join(LOG))? })
    }

    /// Appends rows to the metrics.
    fn write(&mut self, rows: &[Value]) -> Result<()> {
        let text: String = rows.iter().map(|row| format!("{row}\n")).collect();
        let file = self.metrics.as_mut().context("the metrics are open")?;
        file.write_all(text.as_bytes()).with_context(|| format!("cannot write {}", self.path.display()))
    }

    /// Cuts the metrics back to what was measured up to `step`.
    fn cut(&mut self, step: u32) -> Result<()> {
        let file = File::open(&self.path).with_context(|| format!("cannot read {}", self.path.display()))?;
        let keep = |line: &String| {
            let row: Option<Value> = serde_json::from_str(line).ok();
            row.and_then(|row| row["step"].as_u64()).is_some_and(|s| s <= u64::from(step))
        };
        let lines = BufReader::new(file).lines().map_while(Result::ok).take_while(keep);
        let kept: String = lines.map(|line| line + "\n").collect();
        // Not every platform replaces a file that is open.
        self.metrics = None;
        files::write(&self.path, |file| file.write_all(kept.as_bytes()))?;
        self.metrics = Some(append(&self.path)?);
        Ok(())
    }
}

impl Observer for Journal {
    fn started(&mut self, start: &Start) -> Result<()> {
        let Start { device, done, total, batch } = start;
        // What stopped a run may have left more steps there than its checkpoint has.
        self.cut(*done)?;
        self.said(&format!("{device}: steps {} to {total}, {batch} images each", done + 1))
    }

    fn stepped(&mut self, rows: &[StepRow]) -> Result<()> {
        self.write(&rows.iter().map(serde_json::to_value).collect::<Result<Vec<_>, _>>()?)
    }

    fn judged(&mut self, row: &JudgedRow<'_>) -> Result<()> {
        self.said(&row.to_string())?;
        let mut values = json!({ "step": row.step, "epoch": row.epoch });
        row.judgement.values.iter().for_each(|(name, value)| values[name.as_str()] = json!(value));
        self.write(&[values])
    }

    /// What a full disk keeps from the log must not stop a run.
    fn said(&mut self, line: &str) -> Result<()> {
        let _ = writeln!(self.log, "{line}");
        Ok(())
    }

    fn ended(&mut self, outcome: &Outcome) -> Result<()> {
        let how = if outcome.interrupted { "interrupted" } else { "finished" };
        self.said(&format!("{how} after step {}: loss {:.4}", outcome.steps, outcome.final_loss))
    }
}

fn append(path: &Path) -> Result<File> {
    OpenOptions::new().create(true).append(true).open(path).with_context(|| format!("cannot write {}", path.display()))
}
