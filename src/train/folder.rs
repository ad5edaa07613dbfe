//! Run folders: `config.toml`, `metrics.jsonl`, `train.log`, `checkpoints/`. Files appear whole or not at all.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::checkpoint::Checkpoint;
use super::driver::Session;
use super::keep::Keep;
use super::observers::{Journal, LOG, METRICS};
use crate::error::UsageError;
use crate::files::{self, Lock, RUN_CONFIG, is_run_folder};

/// Where runs go that nobody names a place for.
pub const RUNS: &str = "runs";

/// What a run leaves, and what verbs that look at it leave beside it; `checkpoints` apart.
const FILES: [&str; 8] = [METRICS, LOG, RUN_CONFIG, "labels.csv", "ask-next.png", "ask-next.csv", "curve.csv", "curve.png"];

/// The lock of a run folder. It stays there: removing it would let two in.
const LOCK: &str = ".lock";

/// A run's place on disk. Nobody else trains there, or writes results there, while this lives.
pub struct RunFolder {
    path: PathBuf,
    _lock: Lock,
}

impl RunFolder {
    /// A new folder. One that exists is refused, or with `overwrite` emptied of an earlier run's files.
    pub fn create(path: &Path, overwrite: bool, config: &str) -> Result<Self> {
        Self::examine(path, overwrite)?;
        fs::create_dir_all(path).with_context(|| format!("cannot create the run folder {}", path.display()))?;
        let lock = lock_run(path)?;
        // Until here, someone may have been faster.
        Self::vacant(path, overwrite)?;
        vacate(path)?;
        Self::begin(path, lock, config)
    }

    /// `runs/NAME-N`, N being one more than the highest there is.
    pub fn create_next(name: &str, config: &str) -> Result<Self> {
        let runs = Path::new(RUNS);
        fs::create_dir_all(runs).with_context(|| format!("cannot create the folder {RUNS}"))?;
        let mut number = highest(name).unwrap_or(0);
        loop {
            number += 1;
            let path = runs.join(format!("{name}-{number}"));
            match fs::create_dir(&path) {
                Ok(()) => return Self::begin(&path, lock_run(&path)?, config),
                Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
                Err(e) => return Err(e).with_context(|| format!("cannot create the run folder {}", path.display())),
            }
        }
    }

    /// Fails where [`create`](Self::create) would, as far as that can be known; changes nothing.
    pub fn examine(path: &Path, overwrite: bool) -> Result<()> {
        if fs::symlink_metadata(path).is_ok() {
            Self::vacant(path, overwrite)?;
            if path.join(LOCK).exists() {
                lock_run(path)?;
            }
        }
        files::can_write(&path.join(RUN_CONFIG))
    }

    /// Fails unless what is at `path` may become a run's folder.
    fn vacant(path: &Path, overwrite: bool) -> Result<()> {
        let empty = fs::read_dir(path).is_ok_and(|entries| entries.flatten().all(|entry| entry.file_name() == LOCK));
        if !overwrite && !empty {
            return Err(UsageError(format!("{} exists; choose another --out, or say --overwrite or --resume", path.display())).into());
        }
        if !empty && !is_run_folder(path) {
            return Err(UsageError(format!("{} exists and is no run folder; --overwrite does not touch it", path.display())).into());
        }
        Ok(())
    }

    fn begin(path: &Path, lock: Lock, config: &str) -> Result<Self> {
        write_config(path, config)?;
        Self::opened(path, lock)
    }

    /// The folder of a run that exists.
    pub fn open(path: &Path) -> Result<Self> {
        Self::opened(path, lock_run(path)?)
    }

    fn opened(path: &Path, lock: Lock) -> Result<Self> {
        let checkpoints = path.join("checkpoints");
        fs::create_dir_all(&checkpoints).with_context(|| format!("cannot create {}", checkpoints.display()))?;
        Ok(RunFolder { path: path.to_path_buf(), _lock: lock })
    }

    /// Says other settings than before: those that the run goes on with.
    pub fn configure(&self, config: &str) -> Result<()> {
        write_config(&self.path, config)
    }

    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// As `checkpoints/NAME.safetensors`.
impl Keep for RunFolder {
    fn save(&self, name: &str, checkpoint: &Checkpoint) -> Result<()> {
        let bytes = checkpoint.to_bytes()?;
        files::write(&checkpoint_path(&self.path, name), |file| file.write_all(&bytes))
    }

    fn saved(&self, name: &str) -> Result<Option<Checkpoint>> {
        let path = checkpoint_path(&self.path, name);
        path.is_file().then(|| Checkpoint::load(&path)).transpose()
    }
}

impl Session<'_> {
    /// One that leaves its checkpoints and its journal in `folder`.
    pub fn in_folder(mut self, folder: RunFolder) -> Result<Self> {
        self.observers.push(Box::new(Journal::open(folder.path())?));
        Ok(Session { keep: Some(Box::new(folder)), ..self })
    }
}

/// Keeps others out of a run folder for as long as it is held.
pub fn lock_run(path: &Path) -> Result<Lock> {
    let busy = || UsageError(format!("another process is writing to {}: wait for it, or choose another --out", path.display()));
    Ok(Lock::try_on(&path.join(LOCK))?.ok_or_else(busy)?)
}

fn write_config(run: &Path, config: &str) -> Result<()> {
    files::write(&run.join(RUN_CONFIG), |file| file.write_all(config.as_bytes()))
}

/// Removes an earlier run's files.
fn vacate(run: &Path) -> Result<()> {
    for file in FILES.map(|name| run.join(name)).iter().filter(|file| file.exists()) {
        fs::remove_file(file).with_context(|| format!("cannot remove {}", file.display()))?;
    }
    for file in ["best", "last"].map(|name| checkpoint_path(run, name)).iter().filter(|file| file.exists()) {
        fs::remove_file(file).with_context(|| format!("cannot remove {}", file.display()))?;
    }
    Ok(())
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
    found.or_else(|| published_file(from)).with_context(|| {
        format!("{} holds no checkpoint; is it a run folder, and has the run come to its first checkpoint?", from.display())
    })
}

/// The weights in a folder of a network that others have published: the one that is called so, or the only one.
fn published_file(folder: &Path) -> Option<PathBuf> {
    const CALLED: [&str; 2] = ["model.safetensors", "pytorch_model.bin"];
    let called = CALLED.iter().map(|name| folder.join(name)).find(|path| path.is_file());
    let only = || {
        let of_weights = |path: &PathBuf| path.extension().is_some_and(|ending| ending == "safetensors") && path.is_file();
        let mut found = fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path()).filter(of_weights);
        found.next().filter(|_| found.next().is_none())
    };
    called.or_else(only)
}

/// The `config.toml` of the run that a folder or a checkpoint is of.
pub fn config_of(from: &Path) -> Option<PathBuf> {
    let run = if from.is_dir() { from } else { from.parent().filter(|folder| folder.ends_with("checkpoints"))?.parent()? };
    Some(run.join(RUN_CONFIG)).filter(|path| path.is_file())
}

/// The highest N of all `runs/NAME-N`.
fn highest(name: &str) -> Option<u64> {
    let number = |entry: fs::DirEntry| entry.file_name().to_str()?.strip_prefix(name)?.strip_prefix('-')?.parse::<u32>().ok();
    fs::read_dir(RUNS).ok()?.flatten().filter_map(number).max().map(u64::from)
}

/// The run of this name with the highest number.
pub fn latest(name: &str) -> Option<PathBuf> {
    Some(Path::new(RUNS).join(format!("{name}-{}", highest(name)?)))
}
