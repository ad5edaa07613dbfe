//! Run folders: `config.toml`, `metrics.jsonl`, `train.log`, `checkpoints/`. Files appear whole or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::Value;

use super::checkpoint::Checkpoint;
use crate::error::UsageError;

/// A run's place on disk.
pub struct RunFolder {
    path: PathBuf,
    metrics: Option<File>,
    log: Option<File>,
}

impl RunFolder {
    /// A new folder. One that exists is refused, or with `overwrite` emptied of an earlier run's files.
    pub fn create(path: &Path, overwrite: bool, config: &str) -> Result<Self> {
        if path.exists() {
            let ours = path.join("config.toml").is_file() || fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_none());
            if !overwrite && !fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_none()) {
                return Err(UsageError(format!("{} exists; choose another --out, or say --overwrite or --resume", path.display())).into());
            }
            if !ours {
                return Err(UsageError(format!("{} exists and is no run folder; --overwrite does not touch it", path.display())).into());
            }
            for name in ["metrics.jsonl", "train.log", "config.toml", "labels.csv", "ask-next.png", "curve.csv", "curve.png"] {
                let file = path.join(name);
                if file.exists() {
                    fs::remove_file(&file).with_context(|| format!("cannot remove {}", file.display()))?;
                }
            }
            let checkpoints = path.join("checkpoints");
            if checkpoints.exists() {
                fs::remove_dir_all(&checkpoints).with_context(|| format!("cannot remove {}", checkpoints.display()))?;
            }
        }
        fs::create_dir_all(path.join("checkpoints")).with_context(|| format!("cannot create the run folder {}", path.display()))?;
        write_atomically(&path.join("config.toml"), config.as_bytes())?;
        Self::open(path)
    }

    /// The folder of a run that exists.
    pub fn open(path: &Path) -> Result<Self> {
        let append = |name: &str| {
            let path = path.join(name);
            OpenOptions::new().create(true).append(true).open(&path).with_context(|| format!("cannot write {}", path.display()))
        };
        Ok(RunFolder { path: path.to_path_buf(), metrics: Some(append("metrics.jsonl")?), log: Some(append("train.log")?) })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Appends rows to `metrics.jsonl`.
    pub fn metrics(&mut self, rows: &[Value]) -> Result<()> {
        let text: String = rows.iter().map(|row| format!("{row}\n")).collect();
        let file = self.metrics.as_mut().context("the run folder is open")?;
        file.write_all(text.as_bytes()).with_context(|| format!("cannot write {}", self.path.join("metrics.jsonl").display()))
    }

    /// Cuts `metrics.jsonl` back to what was measured up to `step`.
    pub fn cut_metrics(&mut self, step: u32) -> Result<()> {
        let path = self.path.join("metrics.jsonl");
        let file = File::open(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let keep = |line: &String| {
            let row: Option<Value> = serde_json::from_str(line).ok();
            row.and_then(|row| row["step"].as_u64()).is_some_and(|s| s <= u64::from(step))
        };
        let lines = BufReader::new(file).lines().map_while(Result::ok).take_while(keep);
        let kept: String = lines.map(|line| line + "\n").collect();
        self.metrics = None;
        write_atomically(&path, kept.as_bytes())?;
        self.metrics = Self::open(&self.path)?.metrics;
        Ok(())
    }

    /// Appends a line to `train.log`. What a full disk keeps from the log must not stop a run.
    pub fn log(&mut self, line: &str) {
        if let Some(file) = &mut self.log {
            let _ = writeln!(file, "{line}");
        }
    }

    /// Writes `checkpoints/NAME.safetensors`.
    pub fn save(&self, name: &str, checkpoint: &Checkpoint) -> Result<()> {
        write_atomically(&checkpoint_path(&self.path, name), &checkpoint.to_bytes()?)
    }
}

/// Where a run keeps the checkpoint called `name`.
pub fn checkpoint_path(run: &Path, name: &str) -> PathBuf {
    run.join("checkpoints").join(format!("{name}.safetensors"))
}

/// The checkpoint that a user means by a run folder (its best) or by a file.
pub fn find_checkpoint(from: &Path) -> Result<PathBuf> {
    if !from.is_dir() {
        return Ok(from.to_path_buf());
    }
    let found = ["best", "last"].map(|name| checkpoint_path(from, name)).into_iter().find(|path| path.is_file());
    found.with_context(|| {
        format!("{} holds no checkpoint; is it a run folder, and has the run come to its first checkpoint?", from.display())
    })
}

/// Writes beside the target, then renames: a reader sees the old file or the new one, never half of one.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<()> {
    let folder = path.parent().context("a file is in a folder")?;
    let write = || -> std::io::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        #[cfg(unix)]
        {
            // Temporary files are private; results are as readable as anything else their owner writes.
            use std::os::unix::fs::PermissionsExt;
            file.as_file().set_permissions(fs::Permissions::from_mode(0o644))?;
        }
        file.persist(path)?;
        Ok(())
    };
    write().with_context(|| format!("cannot write {}; what was there before is untouched", path.display()))
}

/// `runs/NAME-1`, or the first number after it that is free.
pub fn next_free(name: &str) -> PathBuf {
    (1..).map(|i| PathBuf::from(format!("runs/{name}-{i}"))).find(|path| !path.exists()).expect("numbers do not run out")
}

/// The run of this name with the highest number.
pub fn latest(name: &str) -> Option<PathBuf> {
    (1..).map(|i| PathBuf::from(format!("runs/{name}-{i}"))).take_while(|path| path.exists()).last()
}
