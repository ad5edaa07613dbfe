//! A finished run and the data that it is to look at: what verbs that train nothing have in common.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::Value;

use super::output::Inputs;
use super::{LabelSource, Makers, load_data, read_known_data, say_of};
use crate::cache;
use crate::cli::{DataFlags, Flags};
use crate::core::sample::SampleType;
use crate::data::{Dataset, Fingerprint, ReadOptions, Split, TruthKind};
use crate::error::UsageError;
use crate::exec::Device;
use crate::files::{Lock, is_run_folder};
use crate::say;
use crate::train::{Checkpoint, Features, Method, RunSettings, Task, config_of, find_checkpoint, lock_run, overlay};

/// The checkpoint that a user means by a run folder or a file, or the published weights in it; says what was taken.
pub(super) fn open_checkpoint(run: &Path) -> Result<Checkpoint> {
    let (checkpoint, notes) = Checkpoint::open(&find_checkpoint(run)?)?;
    if let Some((first, more)) = notes.split_first() {
        say!("{first}");
        let more: Vec<&str> = more.iter().map(|note| note.trim_start()).collect();
        // `weights` has them one below the other.
        say!("  {}", more.join("; "));
    }
    Ok(checkpoint)
}

pub struct Finished {
    pub checkpoint: Checkpoint,
    path: PathBuf,
    /// Its method of pretraining makes use of labels.
    with_labels: bool,
    /// How it read its own data. A lone checkpoint is taken to be of the embedded digits.
    settings: RunSettings,
}

impl Finished {
    /// `run`: a run folder or a checkpoint file, of images or texts, or the weights of a network that others have published.
    pub fn open(run: &Path) -> Result<Self> {
        let finished = Self::of_anything(run)?;
        if matches!(finished.checkpoint.record.samples, SampleType::Row(_)) {
            let text = format!("{} was trained on a table: `eval` and `predict` take it, this is for runs on images", run.display());
            return Err(UsageError(text).into());
        }
        Ok(finished)
    }

    /// `run`: a run folder or a checkpoint file, of anything.
    pub fn of_anything(run: &Path) -> Result<Self> {
        let checkpoint = open_checkpoint(run)?;
        let mut settings = serde_json::to_value(RunSettings::default())?;
        let mut with_labels = false;
        // Files of others may lie beside a run's.
        if let Some(config) = config_of(run).filter(|_| !checkpoint.is_published()) {
            let text = std::fs::read_to_string(&config).with_context(|| format!("cannot read {}", config.display()))?;
            let invalid = |e: toml::de::Error| UsageError(format!("{}: {e}", config.display()));
            let mut all: Value = toml::from_str(&text).map_err(invalid)?;
            with_labels = serde_json::from_value::<Method>(all["method"].take()).is_ok_and(|method| method.needs_labels());
            overlay(&mut settings, all["run"].take());
        }
        let settings = serde_json::from_value(settings).map_err(|e| UsageError(format!("{}: {e}", run.display())))?;
        Ok(Finished { checkpoint, path: run.to_path_buf(), with_labels, settings })
    }

    /// Where the data are; nowhere if they are the embedded ones.
    pub fn data_path<'a>(&'a self, args: &'a Flags<DataFlags>) -> Option<&'a Path> {
        args.given["data"].as_str().map(Path::new).or(self.settings.data.as_deref())
    }

    /// What makes another run read the data that this one does: it takes pictures as it was trained on.
    pub fn data_of_another(&self, args: &Flags<DataFlags>) -> Flags<DataFlags> {
        let mut flags = args.clone();
        let of_pictures = ["size", "grey", "bits", "resize", "rate"];
        of_pictures.iter().for_each(|key| flags.given[key] = Value::Null);
        if let Some(path) = self.data_path(args) {
            flags.given["data"] = serde_json::json!(path);
        }
        flags
    }

    /// The run's own data, or what `args` say, as images of the size that it knows. Published weights have no data of their own.
    pub fn data(&mut self, args: &Flags<DataFlags>, labels: LabelSource) -> Result<Dataset> {
        let mut run = args.over(&self.settings)?;
        if self.checkpoint.is_published() && run.data.is_none() {
            return Err(UsageError(format!("{} is no run with data of its own: name some with --data", self.path.display())).into());
        }
        self.look_as(&mut run)?;
        load_data(&run, labels, Makers::of(&self.checkpoint))
    }

    /// How it read its texts, as far as that was said: in a column of this name; whether blank lines separated them.
    pub fn read_texts_as(&self) -> (Option<&str>, Option<bool>) {
        (self.settings.text.as_deref(), self.settings.documents)
    }

    /// Takes pictures as `args` say, or as they were in training. Fails where it knows another size alone.
    pub fn look(&mut self, args: &Flags<DataFlags>) -> Result<()> {
        self.look_as(&mut args.over(&self.settings)?)
    }

    fn look_as(&mut self, run: &mut RunSettings) -> Result<()> {
        if self.checkpoint.record.samples.image().is_none() {
            return Ok(());
        }
        self.checkpoint.take_size(run.size)?;
        run.read_as(&self.checkpoint.record);
        self.checkpoint.record.resize = run.resize.unwrap_or_default();
        let image = self.checkpoint.record.image()?;
        if run.size != Some([image.height, image.width]) {
            return Err(UsageError(format!(
                "{} takes {} of {image}: leave out --size",
                self.path.display(),
                self.checkpoint.record.subject().many()
            ))
            .into());
        }
        Ok(())
    }

    /// [`data`](Self::data) with what `task` is to predict. Fails where a table is not read as the run read its own.
    pub fn task_data(&self, args: &Flags<DataFlags>, task: Task) -> Result<Dataset> {
        let (record, mut run, truth) = (&self.checkpoint.record, args.over(&self.settings)?, task.truth());
        run.read_as(record);
        let known = self.settings.target.as_ref();
        // A class is known by its name, whatever the column is called.
        if let Some(other) = args.given["target"].as_str().filter(|other| !truth.is_of_names() && known.is_some_and(|known| known != other))
        {
            let text = format!("{} predicts `{}`, not `{other}`", self.path.display(), known.map_or("", String::as_str));
            return Err(UsageError(text).into());
        }
        let known_classes = Some(record.outputs.class_names.clone()).filter(|names| truth.is_of_names() && !names.is_empty());
        // Of other data, this run has trained on none: all may be tested.
        let place = |path: &Option<PathBuf>| path.as_ref().and_then(|path| path.canonicalize().ok());
        let others = place(&run.data) != place(&self.settings.data);
        let options = ReadOptions {
            undivided: others,
            known_classes: known_classes.clone(),
            known_values: record.outputs.mask_values.clone(),
            known_palette: record.outputs.mask_palette.clone(),
            ..Makers::of(&self.checkpoint).over(run.read_options(true))
        };
        if truth != TruthKind::Numbers && record.outputs.class_names.is_empty() {
            say!("the checkpoint has no names of classes: they are taken by their numbers");
        }
        let apart = |data: Dataset| match &record.outputs.out_of_scope {
            Some(class) => data.apart(class),
            None => Ok(data),
        };
        let change = |data: Dataset| match (apart(data)?, &known_classes) {
            (data, Some(names)) => data.with_classes(names),
            // Data may lack some of the numbers.
            (data, None)
                if matches!(truth, TruthKind::Classes | TruthKind::Tags)
                    && data.classes > 0
                    && data.class_names.iter().all(|name| name.parse::<u32>().is_ok()) =>
            {
                data.with_classes(&(0..record.outputs.classes).map(|class| class.to_string()).collect::<Vec<_>>())
            }
            (data, None) => Ok(data),
        };
        let mut data = read_known_data(&run, task, options.clone(), change)?;
        let tested = record.data.as_ref().map_or(0, Fingerprint::tests);
        if others && data.test.is_none() && tested > 0 {
            // A run may have trained on some labels of its data alone, but it has left out all test samples.
            let divided = read_known_data(&run, task, ReadOptions { undivided: false, ..options }, change)?;
            if divided.test.as_ref().is_some_and(|test| test.len() == tested) {
                say!("{} may be the data that the run was trained on, in another place: it is divided as those were", data.name);
                data = divided;
            }
        }
        say_of(&data);
        match &data.test {
            Some(test) if others => {
                say!(
                    "measured on the {} test samples of {}; its {} training samples are left out",
                    test.len(),
                    data.name,
                    data.train.len()
                );
            }
            None if others && data.encoding.is_none() => {
                let (count, name) = (data.train.len(), &data.name);
                say!("measured on all {count} samples of {name}, which has no test set of its own: none of them may have been trained on");
                data.test = Some(data.train.clone());
                data.out_of_scope[1] = data.out_of_scope[0].take();
            }
            _ => {}
        }
        if data.encoding != record.encoding {
            let text = format!("{} is encoded by its own training rows, not by those of {}", data.name, self.path.display());
            return Err(UsageError(format!("{text}: only the table that it was trained on can be measured")).into());
        }
        Ok(data)
    }

    /// Features of `images`, which are kept for the next time; says so where some were.
    pub fn features(&self, device: &Device, images: &Split) -> Result<Features> {
        let Some(folder) = cache::folder() else { return self.checkpoint.features(device, images) };
        let (features, note) = self.checkpoint.features_kept(device, images, &folder)?;
        note.iter().for_each(|note| say!("{note}"));
        Ok(features)
    }

    /// Where files of these names go: into the folder `out`, else into the run folder or beside a lone checkpoint. What others published
    /// is no place for them: of that, into the current folder.
    pub fn places<const N: usize>(&self, out: Option<&Path>, names: [&str; N]) -> [PathBuf; N] {
        names.map(|name| match out {
            Some(folder) => folder.join(name),
            None if self.checkpoint.is_published() => PathBuf::from(name),
            None if self.path.is_dir() => self.path.join(name),
            None => self.path.with_file_name(name),
        })
    }

    /// Keeps others from writing to the run folder where [`places`](Self::places) are in it.
    pub fn lock(&self, out: Option<&Path>) -> Result<Option<Lock>> {
        let folder = out.unwrap_or(&self.path);
        is_run_folder(folder).then(|| lock_run(folder)).transpose()
    }

    /// The files that it was read from, its own data or those of `args`, and `more`.
    pub fn inputs(&self, args: &Flags<DataFlags>, more: &[Option<&Path>]) -> Inputs {
        let checkpoint = find_checkpoint(&self.path).ok();
        let of_run = [checkpoint, config_of(&self.path)].into_iter().flatten();
        let data = [self.data_path(args)];
        Inputs::of(of_run.chain(data.iter().chain(more).flatten().map(|path| path.to_path_buf())))
    }

    /// Says so where the encoder knows more labels than those that it is about to be judged with.
    pub fn own_up(&self) {
        if self.checkpoint.is_published() {
            let what = self.checkpoint.record.samples.called();
            say!("{} was trained by others: whether they saw these {what}, nobody here knows", self.path.display());
        } else if self.checkpoint.record.task.is_some() || self.with_labels {
            say!("{} was trained with labels: what follows says nothing about how few are enough", self.path.display());
        }
    }
}

/// The test samples of `data`.
pub fn test_samples(data: &Dataset) -> Result<&Split> {
    data.test.as_ref().with_context(|| format!("{} has no test samples", data.name))
}
