//! How a training command begins: its settings, its folder, and where a run goes on that was begun before.

use std::path::Path;

use anyhow::Result;
use serde::Serialize;
use serde_json::Value;

use super::output::Inputs;
use super::{Said, resolve};
use crate::cli::OutputArgs;
use crate::core::sample::{SampleType, Subject};
use crate::core::settings::Settings;
use crate::core::settings::typed;
use crate::data::Dataset;
use crate::error::UsageError;
use crate::files::{self, RUN_CONFIG, RUN_CONFIG_START};
use crate::say;
use crate::train::{Checkpoint, Plan, RUNS, RunFolder, Schedule, checkpoint_path, latest};

/// Settings, folder and checkpoint of a training command.
pub struct Opened<T> {
    pub settings: T,
    /// The checkpoint to go on from; none of a run that stopped before its first one.
    pub resume: Option<Checkpoint>,
    /// None of a run that goes on, whose settings say all.
    pub said: Option<Said>,
    /// Of a run that goes on.
    folder: Option<RunFolder>,
    /// Of a run that goes on for longer: what its `config.toml` is to say.
    longer: Option<String>,
    /// Steps, or else epochs, that a run which goes on was to have.
    length: Option<(Option<u32>, u32)>,
}

/// The settings as the text of `config.toml`.
fn config_text<T: Serialize>(command: &str, settings: &T) -> Result<String> {
    Ok(format!("{RUN_CONFIG_START}{command} --config FILE repeats this run\ncommand = \"{command}\"\n{}", toml::to_string(settings)?))
}

pub fn open_settings<T: Settings>(command: &str, output: &OutputArgs, flags: &Value) -> Result<Opened<T>> {
    if !output.resume {
        let (settings, said) = resolve(command, output.config.as_deref(), flags)?;
        return Ok(Opened { settings, said: Some(said), resume: None, folder: None, longer: None, length: None });
    }
    let path = output.out.clone().or_else(|| latest(command));
    let path = path.ok_or_else(|| UsageError(format!("there is no runs/{command}-N to --resume; name one with --out")))?;
    let config = path.join(RUN_CONFIG);
    if !config.is_file() {
        return Err(UsageError(format!("{} is no run folder: there is nothing to --resume", path.display())).into());
    }
    let folder = RunFolder::open(&path)?;
    let checkpoint = checkpoint_path(&path, "last");
    let resume = if checkpoint.is_file() { Some(Checkpoint::load(&checkpoint)?) } else { None };
    let (stored, _) = resolve::<T>(command, Some(&config), &Value::Null)?;
    let settings = Said::read(command, output.config.as_deref(), flags)?.over(&stored)?;
    let (mut before, now) = (serde_json::to_value(&stored)?, serde_json::to_value(&settings)?);
    if let Some(contradiction) = contradiction(&before, &now) {
        return Err(UsageError(format!("{}: {contradiction}", path.display())).into());
    }
    let number = |key: &str| before["run"][key].as_u64().map(|number| number as u32);
    let length = Some((number("steps"), number("epochs").unwrap_or(0)));
    let longer = LENGTH.iter().any(|key| before["run"][key] != now["run"][key]);
    // The device that the run began on stays in its settings.
    LENGTH.iter().for_each(|key| before["run"][key] = now["run"][key].clone());
    let longer = longer.then(|| config_text(command, &serde_json::from_value::<T>(before)?)).transpose()?;
    Ok(Opened { settings, said: None, resume, folder: Some(folder), longer, length })
}

/// Settings that say how long a run is, and those that may differ whenever it goes on.
const LENGTH: [&str; 2] = ["steps", "epochs"];
const FREE: [&str; 2] = ["device", "threads"];

/// What cannot be had of a run that goes on, by the settings that it was begun with and those that are asked for.
fn contradiction(before: &Value, now: &Value) -> Option<String> {
    let (name, before, now) = differing("", before, now)?;
    Some(format!("{name} is {} in this run, not {}: leave it out, or begin another run", shown(before), shown(now)))
}

/// The first setting that differs and may not: its flag and both values.
fn differing<'a>(name: &str, before: &'a Value, now: &'a Value) -> Option<(String, &'a Value, &'a Value)> {
    let (Some(old), Some(new)) = (before.as_object(), now.as_object()) else {
        return (before != now && !same_place(before, now)).then(|| (name.to_string(), before, now));
    };
    let all = old.keys().chain(new.keys().filter(|key| !old.contains_key(*key)));
    all.filter(|key| !LENGTH.iter().chain(&FREE).any(|free| free == key)).find_map(|key| {
        let flag = match (name, key.as_str()) {
            ("--augment", _) => format!("--augment ({key})"),
            ("--model", "kind") => "--model".into(),
            _ => format!("--{}", key.replace('_', "-")),
        };
        differing(&flag, &before[key], &now[key])
    })
}

/// Whether both are paths to one file or folder.
fn same_place(a: &Value, b: &Value) -> bool {
    let place = |value: &Value| Path::new(value.as_str()?).canonicalize().ok();
    place(a).is_some_and(|a| place(b) == Some(a))
}

fn shown(value: &Value) -> String {
    if value.is_null() { "not given".into() } else { typed(value) }
}

impl<T: Settings> Opened<T> {
    /// Fails, before data are read, where the settings make no sense, whatever the data are.
    pub fn check_early(&self, check: impl Fn(&T) -> Result<(), UsageError>) -> Result<()> {
        match &self.said {
            Some(said) => said.check_early(&self.settings, check),
            None => Ok(check(&self.settings)?),
        }
    }

    /// Settles, once the type of samples is known, what nobody said. Fails where what was said makes no sense of them.
    pub fn suit(&mut self, kind: SampleType, subject: Subject, check: impl Fn(&T) -> Result<(), UsageError>) -> Result<()> {
        if let Some(said) = &self.said {
            said.suit(&mut self.settings, kind, subject)?;
            check(&self.settings)?;
        }
        Ok(())
    }
}

impl<T: Serialize> Opened<T> {
    /// Fails, before all work, where the command's results cannot be written or would replace what they must not.
    pub fn claim(&self, output: &OutputArgs, inputs: &Inputs) -> Result<()> {
        if let Some(preview) = &output.augment_preview {
            return inputs.declare([preview], output.overwrite);
        }
        if output.dry_run || output.resume {
            return Ok(());
        }
        if output.overwrite && output.out.is_none() {
            return Err(UsageError("--overwrite is for what --out names: without it, a run has a folder of its own".into()).into());
        }
        let Some(path) = &output.out else { return files::can_write(&Path::new(RUNS).join("new")) };
        if let Some(input) = inputs.within(path).filter(|_| output.overwrite) {
            let text = format!("{} holds an input of this command, {}: choose another --out", path.display(), input.display());
            return Err(UsageError(text).into());
        }
        RunFolder::examine(path, output.overwrite)
    }

    /// Fails where a run is to go on with other data than it began with.
    pub fn same_data(&self, data: &Dataset) -> Result<()> {
        let before = self.resume.as_ref().and_then(|checkpoint| checkpoint.record.data.as_ref());
        match before.map(|before| (before, data.fingerprint())) {
            Some((before, now)) if *before != now => {
                let text = format!("{} changed since this run began: it was {before}, it is {now}; begin another run", data.name);
                Err(UsageError(text).into())
            }
            _ => Ok(()),
        }
    }

    /// Says how a run goes on that is to be longer than it was. Fails where it is to be shorter.
    pub fn same_length(&self, plan: &Plan) -> Result<()> {
        let (total, done) = (plan.training.total_steps, self.resume.as_ref().map_or(0, |checkpoint| checkpoint.record.step));
        let Some((steps, epochs)) = self.length else { return Ok(()) };
        let before = steps.unwrap_or(epochs.saturating_mul(plan.training.steps_per_epoch)).max(done);
        if total < before {
            let text =
                format!("the run was begun with {before} steps, not {total}: --resume goes on with as many --steps or --epochs, or more");
            return Err(UsageError(text).into());
        }
        if self.longer.is_some() {
            let schedule = match plan.settings.schedule {
                Schedule::Constant => "stays as it was".to_string(),
                Schedule::Cosine => format!("falls along a cosine over all of them: it is {} here", plan.settings.lr_at(done, total)),
            };
            say!("going on after step {done}, now of {total}; the learning rate {schedule}");
        }
        Ok(())
    }

    /// The folder for a run: a new one, or the one it goes on in.
    pub fn open_folder(&mut self, command: &str, output: &OutputArgs) -> Result<RunFolder> {
        if let Some(folder) = self.folder.take() {
            self.longer.take().map_or(Ok(()), |config| folder.configure(&config))?;
            return Ok(folder);
        }
        let config = config_text(command, &self.settings)?;
        match &output.out {
            Some(path) => RunFolder::create(path, output.overwrite, &config),
            None => RunFolder::create_next(command, &config),
        }
    }
}
