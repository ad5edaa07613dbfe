//! One file per verb, and what verbs share: resolving settings, opening devices, run folders.

mod bench;
mod check;
mod control;
mod curve;
mod devices;
mod embed;
mod eval;
mod finetune;
mod inputs;
mod label;
mod opened_run;
mod output;
mod predict;
mod pretrain;
mod profile;
mod search;
mod show;
mod start;
mod timed_step;
mod tune;
mod weights;

use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::cache;
use crate::cli::{Command, implied_kind, is_unfit};
use crate::core;
use crate::core::program::RecordError;
use crate::core::sample::{SampleType, Subject};
use crate::core::settings::Settings;
use crate::data::{Dataset, Format, ReadOptions, SoundForm, Split, Tokenizer, TruthKind, recognise};
use crate::error::{DeviceError, UsageError};
use crate::exec::Device;
use crate::kernels::augment_draw::Ranges;
use crate::metrics;
use crate::models::{ModelKind, ModelSettings};
use crate::report::save_png;
use crate::say;
use crate::train::{
    Checkpoint, Observer, Outcome, Plan, RunFolder, RunSettings, Session, TASKS, Task, Terminal, augmentation_sheet, overlay, tokenizer_of,
};

/// Exit code after Ctrl-C, so that scripts do not go on with half a run.
const INTERRUPTED: u8 = 130;

/// Set by Ctrl-C.
static STOP: AtomicBool = AtomicBool::new(false);

/// Why results could not be written to stdout. What else a command does is done nevertheless, then it fails.
static UNWRITTEN: Mutex<Option<std::io::Error>> = Mutex::new(None);

/// Runs a command; returns the exit code of one that did not fail outright.
pub fn run(command: Command) -> Result<u8> {
    if let Some(device) = command.device() {
        start_threads(device.threads)?;
    }
    let code = run_verb(command)?;
    let unwritten = UNWRITTEN.lock().expect("nobody panics with it").take();
    unwritten.map_or(Ok(code), |error| Err(error).context("results cannot be written to stdout"))
}

fn run_verb(command: Command) -> Result<u8> {
    match command {
        Command::Pretrain(args) => pretrain::run(&args),
        Command::Finetune(args) => finetune::run(&args),
        Command::Eval(args) => eval::run(&args),
        Command::Predict(args) => predict::run(&args),
        Command::Label(args) => label::run(&args),
        Command::Embed(args) => embed::run(&args),
        Command::Search(args) => search::run(&args),
        Command::Curve(args) => curve::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Profile(args) => profile::run(&args),
        Command::Tune(args) => tune::run(&args),
        Command::Devices(args) => devices::run(&args),
        Command::Weights(args) => weights::run(&args),
        Command::Show(args) => show::run(&args),
    }
}

/// What was said of a run: a file, and flags over it.
#[derive(Clone)]
struct Said {
    file: Option<(PathBuf, Value)>,
    flags: Value,
    /// The file is of a run, which says everything.
    repeats: bool,
}

impl Said {
    /// `command` guards against the config of another verb.
    fn read(command: &str, config: Option<&Path>, flags: &Value) -> Result<Self> {
        let Some(path) = config else { return Ok(Said { file: None, flags: flags.clone(), repeats: false }) };
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        let invalid = |e: &dyn std::fmt::Display| UsageError(format!("{}: {e}", path.display()));
        let mut table: toml::Table = toml::from_str(&text).map_err(|e| invalid(&e))?;
        let of = table.remove("command");
        if let Some(other) = of.as_ref().filter(|of| of.as_str() != Some(command)) {
            return Err(UsageError(format!("{} is the config of {other}, not of `{command}`", path.display())).into());
        }
        if let Some(key) = not_finite(&table) {
            return Err(invalid(&format!("`{key}` is not a finite number")).into());
        }
        Ok(Said { file: Some((path.into(), serde_json::to_value(table)?)), flags: flags.clone(), repeats: of.is_some() })
    }

    /// Whether somebody chose this setting.
    fn chose(&self, key: &str) -> bool {
        !self.flags[key].is_null() || self.file.as_ref().is_some_and(|(_, file)| !file[key].is_null())
    }

    /// Settings under all that was said.
    fn over<T: Settings>(&self, settings: &T) -> Result<T> {
        let mut settings = serde_json::to_value(settings)?;
        // Of the two that say how long a run is, what was said last counts.
        let overlay = |settings: &mut Value, over: Value| {
            if !over["run"]["epochs"].is_null() && over["run"]["steps"].is_null() {
                settings["run"]["steps"] = Value::Null;
            }
            overlay(settings, over);
        };
        if let Some((path, file)) = &self.file {
            if file.get("augment").is_some() {
                // What the table does not name is off, so that files mean later what they meant when they were written.
                settings["augment"] = Value::Object(Default::default());
            }
            overlay(&mut settings, file.clone());
            serde_json::from_value::<T>(settings.clone()).map_err(|e| UsageError(format!("{}: {e}", path.display())))?;
        }
        overlay(&mut settings, self.flags.clone());
        serde_json::from_value(settings).map_err(|e| UsageError(e.to_string()).into())
    }

    /// What nobody said becomes the default for samples of this type. Fails where what was said goes with none.
    fn suit<T: Settings>(&self, settings: &mut T, kind: SampleType, subject: Subject) -> Result<()> {
        let Some(suited) = settings.suited_to(kind, subject).filter(|_| !self.repeats) else { return Ok(()) };
        let said = |key: &str| {
            let file = self.file.as_ref().map_or(&Value::Null, |(_, file)| &file["run"][key]);
            if self.flags["run"][key].is_null() { file } else { &self.flags["run"][key] }
        };
        if matches!(kind, SampleType::Tokens { .. }) && said("optimizer") == "sgd" && said("lr").is_null() {
            let text = "--optimizer sgd needs an --lr: the default of texts is for Adam";
            return Err(UsageError(text.into()).into());
        }
        *settings = self.over(&suited)?;
        ensure_fit(settings, &self.flags)
    }

    /// Fails, before data are read, where the settings make no sense, whatever the data are.
    fn check_early<T: Settings>(&self, settings: &T, check: impl Fn(&T) -> Result<(), UsageError>) -> Result<()> {
        let Err(error) = check(settings) else { return Ok(()) };
        // Texts have defaults of their own.
        let mut of_texts = self.over(settings)?;
        let suited = self.suit(&mut of_texts, TEXTS, Subject::default()).is_ok() && check(&of_texts).is_ok();
        if suited { Ok(()) } else { Err(error.into()) }
    }
}

/// The first key of a number that is none.
fn not_finite(table: &toml::Table) -> Option<String> {
    table.iter().find_map(|(key, value)| match value {
        toml::Value::Float(number) if !number.is_finite() => Some(key.clone()),
        toml::Value::Table(table) => not_finite(table).map(|inner| format!("{key}.{inner}")),
        toml::Value::Array(all) => all.iter().any(|one| one.as_float().is_some_and(|number| !number.is_finite())).then(|| key.clone()),
        _ => None,
    })
}

/// Defaults, then the file, then the flags; and what was said. Fails where a flag means nothing to what was chosen.
fn resolve<T: Settings>(command: &str, config: Option<&Path>, flags: &Value) -> Result<(T, Said)> {
    let said = Said::read(command, config, flags)?;
    // Where nobody says which kind of network it is, what only one kind has does, unless the data are for another.
    let kind = implied_kind(&flags["model"]).filter(|_| said.file.as_ref().is_none_or(|(_, file)| file["model"]["kind"].is_null()));
    let settled = |said: &Said| -> Result<T> {
        let settings = said.over(&T::default())?;
        if said.repeats { Ok(settings) } else { Ok(said.over(&settings.suited()?)?) }
    };
    let mut settings = settled(&said)?;
    // The network of a task may have it, too.
    let chosen = serde_json::to_value(&settings)?;
    if let Some(kind) = kind.filter(|_| flags["model"]["kind"].is_null() && is_unfit(&flags["model"], &chosen["model"])) {
        let mut implied = said.clone();
        implied.flags["model"]["kind"] = serde_json::to_value(kind)?;
        settings = settled(&implied)?;
    }
    ensure_fit(&settings, flags)?;
    Ok((settings, said))
}

/// Fails where a flag means nothing to what was chosen.
fn ensure_fit<T: Settings>(settings: &T, flags: &Value) -> Result<()> {
    let chosen = serde_json::to_value(settings)?;
    // Whether a network is the one that was asked for is known once that of a checkpoint is.
    let mut given = core::settings::flags::<T>().into_iter().filter(|flag| flag.tables.is_empty() && !flag.of(flags).is_null());
    given.find_map(|flag| flag.unfit(&chosen)).map_or(Ok(()), |text| Err(UsageError(text).into()))
}

/// Where the labels of data come from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum LabelSource {
    /// The data must have them.
    Data,
    /// The data may have them.
    DataIfAny,
    /// A file beside the data.
    File,
}

impl LabelSource {
    fn needed(needed: bool) -> Self {
        if needed { LabelSource::Data } else { LabelSource::DataIfAny }
    }
}

/// What makes samples for a run that knows: tokens of texts, pictures or frames of sounds.
#[derive(Clone, Default)]
struct Makers {
    /// Learned from the training texts if absent.
    tokenizer: Option<Tokenizer>,
    /// Whether pieces of words are learned: see [`ReadOptions::pieces`].
    pieces: bool,
    sound_form: Option<SoundForm>,
    subject: Option<Subject>,
}

impl Makers {
    /// Those of a run that begins with the weights in a file: those are of tokens that they were trained on.
    fn to_begin_with(init_from: Option<&Path>) -> Result<Self> {
        Ok(Makers { tokenizer: init_from.map_or(Ok(None), tokenizer_of)?, ..Makers::default() })
    }

    /// Those that a checkpoint was trained with. Published weights take pictures of anything.
    fn of(checkpoint: &Checkpoint) -> Self {
        let record = &checkpoint.record;
        let subject = (!checkpoint.is_published() || record.sound_form.is_some()).then_some(record.subject());
        Makers { tokenizer: record.tokenizer.clone(), pieces: false, sound_form: record.sound_form, subject }
    }

    /// With what encoders want, whatever the data turn out to be: of sounds what that of `settings` does, of texts what that does which
    /// the run would have with these. `kind` tells the encoder of settings.
    fn wanted<T: Settings>(mut self, settings: &T, said: Option<&Said>, kind: fn(&T) -> ModelKind) -> Result<Self> {
        self.sound_form = self.sound_form.or(kind(settings).sounds());
        let Some(said) = said else { return Ok(Makers { pieces: kind(settings).takes_pieces(), ..self }) };
        let mut of_texts = said.over(settings)?;
        // What makes no sense of texts may make sense of these data.
        let suited = said.suit(&mut of_texts, TEXTS, Subject::Pictures).is_ok();
        Ok(Makers { pieces: kind(if suited { &of_texts } else { settings }).takes_pieces(), ..self })
    }

    fn over(self, options: ReadOptions) -> ReadOptions {
        ReadOptions { tokenizer: self.tokenizer, pieces: self.pieces, sound_form: self.sound_form, subject: self.subject, ..options }
    }
}

/// Texts of no data in particular.
const TEXTS: SampleType = SampleType::Tokens { vocabulary: 1, longest: 1 };

/// Reads the data of a run, as `makers` make samples, and says what a user must know about them.
fn load_data(run: &RunSettings, labels: LabelSource, makers: Makers) -> Result<Dataset> {
    let options = makers.over(run.read_options(labels == LabelSource::Data));
    let options = ReadOptions { cache: cache::folder(), labels_given: labels == LabelSource::File, guess_sets: true, ..options };
    let data = match &run.data {
        Some(path) => Dataset::load_unlabelled(path, &options)?,
        None => Dataset::embedded().conform(&options)?,
    };
    say_of(&data);
    if labels == LabelSource::Data && data.knows(TruthKind::LabelSets) {
        let tasks = Task::which(|task| task.truth() == TruthKind::LabelSets);
        let text = format!(
            "{} has several labels to a sample, one is wanted here: `finetune --task {tasks}` learns several; where `|` is a part of a \
             name, write the name without it",
            data.name
        );
        return Err(UsageError(text).into());
    }
    Ok(data)
}

/// Says what a user must know about data.
fn say_of(data: &Dataset) {
    data.notes.iter().cloned().chain(data.class_counts()).for_each(|note| say!("{}: {note}", data.name));
}

/// Reads the data of a task; says which task they are for where it is another one. `open`: nobody chose the task, so that data whose
/// cells are sets of labels may.
fn load_task_data(run: &RunSettings, task: Task, open: bool, makers: Makers) -> Result<Dataset> {
    let data = read_known_data(run, task, ReadOptions { guess_sets: open, ..makers.over(run.read_options(true)) }, Ok)?;
    say_of(&data);
    Ok(data)
}

/// [`load_task_data`] with options beyond those of the run, changed; nothing is said about them yet.
fn read_known_data(
    run: &RunSettings,
    task: Task,
    options: ReadOptions,
    change: impl FnOnce(Dataset) -> Result<Dataset>,
) -> Result<Dataset> {
    let options = ReadOptions { truth: Some(task.truth()), cache: cache::folder(), ..options };
    let data = match &run.data {
        None => Dataset::embedded().conform(&options)?,
        Some(path) if recognise(path)?.0 == Format::Table && options.text.is_none() => {
            if let Some(flag) = options.of_pictures() {
                return Err(UsageError(format!("{flag} is for pictures, {} is a table", path.display())).into());
            }
            let of_sets = |data: &Dataset| data.knows(TruthKind::LabelSets);
            match task.truth().is_of_tables() {
                true => Dataset::load(path, &options)?,
                false => Some(&options)
                    .filter(|options| options.guess_sets)
                    .and_then(|options| Dataset::load(path, options).ok())
                    .filter(of_sets)
                    .ok_or_else(|| {
                        let others = Task::which(|task| task.truth().is_of_tables());
                        UsageError(format!(
                            "{} is a table, which is for --task {others}; of texts, --text names their column",
                            path.display()
                        ))
                    })?,
            }
        }
        Some(path) => Dataset::load(path, &options).map_err(|error| {
            let anything = Dataset::load(path, &ReadOptions { truth: None, guess_sets: true, ..options }).ok();
            // Of cells, it is said already what is wrong with them.
            let other = |fitting: &&Task| **fitting != task && !(fitting.truth().is_of_cells() && task.truth().is_of_cells());
            let fitting = anything.and_then(|data| TASKS.iter().find(|task| data.knows(task.truth()))).filter(other);
            match fitting {
                Some(fitting) => UsageError(format!("{error:#}; these data are for --task {fitting}")).into(),
                None => error,
            }
        })?,
    };
    change(data)
}

/// Fixes the number of threads; 0 is all cores. Called before anything starts the pool, as decoding pictures does. This thread is one
/// of them: it need not wait until others wake up, and memory that it let go serves its loops.
fn start_threads(threads: usize) -> Result<()> {
    /// More than any machine has, and few enough to be started.
    const MOST: usize = 1024;
    ensure!(threads <= MOST, UsageError(format!("--threads {threads}: at most {MOST}")));
    rayon::ThreadPoolBuilder::new().num_threads(threads).use_current_thread().build_global().context("cannot start that many threads")
}

/// Opens the device and says which it is and why.
fn open_device(spec: &str) -> Result<Device> {
    let (device, why) = Device::choose(&spec.parse().map_err(UsageError)?)?;
    let choices = tune::choices(&device);
    let device = device.with_choices(choices);
    say!("device: {}{why}", device.name());
    Ok(device)
}

/// Names the limit and the largest batch (a multiple of `unit`) that stays within it, where a batch was too large.
fn explain_too_large<T>(result: Result<T>, batch: u32, unit: u32, fits: impl Fn(u32) -> bool) -> Result<T> {
    result.map_err(|error| match error.downcast_ref::<RecordError>() {
        Some(RecordError::TooLarge { too_large, .. }) => {
            let (mut fitting, mut failing) = (0, batch / unit);
            while failing - fitting > 1 {
                let middle = fitting + (failing - fitting) / 2;
                if fits(middle * unit) { fitting = middle } else { failing = middle }
            }
            let hint = match fitting {
                0 => "no batch fits: the data or the model are too large for it".to_string(),
                _ => format!("the largest --batch that fits is {}", fitting * unit),
            };
            DeviceError(format!("--batch {batch} does not fit on this device: {too_large}; {hint}")).into()
        }
        _ => error,
    })
}

/// A run in `folder` that people see on the terminal.
fn session(device: &Device, folder: RunFolder, resume: Option<Checkpoint>) -> Result<Session<'_>> {
    if matches!(device, Device::Gpu(_)) {
        say!("compiling kernels ...");
    }
    let observers: Vec<Box<dyn Observer>> = vec![Box::new(Terminal::default())];
    Session { resume, observers, ..Session::new(device, &STOP) }.in_folder(folder)
}

/// From now on, Ctrl-C asks the run to save and stop; a second one stops at once.
fn catch_interrupts() {
    // Without a handler the run can still be resumed from its last checkpoint.
    let _ = ctrlc::set_handler(|| {
        if STOP.swap(true, Ordering::Relaxed) {
            std::process::exit(INTERRUPTED.into());
        }
    });
}

/// What `--dry-run` says.
fn describe(plan: &Plan, device: &Device, model: &str, json: bool) -> Result<u8> {
    let training = &plan.training;
    let count = |groups: &[u8]| -> u64 { groups.iter().flat_map(|&g| plan.arena.params(g)).map(|b| plan.arena.elements(b)).sum() };
    let (parameters, trained) = (count(&plan.arena.groups()), count(&training.trained));
    let bytes = device.bytes_of(&plan.arena, &plan.programs);
    say!("model          {model}");
    for group in plan.arena.groups() {
        for buf in plan.arena.params(group) {
            say!("  {:22} {}x{}", plan.arena.name(buf), buf.rows(), buf.cols());
        }
    }
    say!("parameters     {parameters}, of which {trained} are trained");
    say!("batch          {}", training.batch);
    let widths: Vec<u32> = training.kinds().iter().map(|kind| kind.len()).collect();
    if widths.len() > 1 {
        say!("widths         {}", widths.iter().map(u32::to_string).collect::<Vec<_>>().join(", "));
    }
    say!("steps          {} ({} per epoch)", training.total_steps, training.steps_per_epoch);
    say!("device memory  {:.1} MiB", bytes as f64 / f64::from(1 << 20));
    print_json(json, || {
        serde_json::json!({
            "device": device.name(),
            "parameters": parameters,
            "trained_parameters": trained,
            "batch": training.batch,
            "steps": training.total_steps,
            "steps_per_epoch": training.steps_per_epoch,
            "device_bytes": bytes,
        })
    });
    Ok(0)
}

/// What `--augment-preview` asks for: a sheet instead of a run.
fn preview(
    path: &Path,
    device: &Device,
    data: &Dataset,
    augment: Ranges,
    model: &ModelSettings,
    run: &RunSettings,
    json: bool,
) -> Result<u8> {
    if augment.is_none() {
        return Err(UsageError("training images are not varied, so there is nothing to preview: add --augment NAME".into()).into());
    }
    if data.train.kind().image().is_none() {
        return Err(UsageError(format!("--augment-preview is for images, not for {}", data.train.kind().called())).into());
    }
    let (images, _) = data.train.hold_out(run.val, run.seed);
    save_png(&augmentation_sheet(device, &images, augment, model, run.seed)?, path)?;
    say!("wrote {}: images, and augmented versions beside them", path.display());
    print_json(json, || serde_json::json!({ "device": device.name(), "preview": path }));
    Ok(0)
}

/// How long a run took, and how much of that the device worked.
fn duration(outcome: &Outcome) -> String {
    let busy = outcome.device_busy.map_or(String::new(), |share| format!(" (device busy {:.0} %)", 100.0 * share));
    format!("{:.0} s{busy}", outcome.seconds)
}

/// After Ctrl-C: how to go on.
fn interrupted(command: &str, path: &Path, outcome: &Outcome) -> u8 {
    say!("interrupted after step {}, saved; go on with: wgraft {command} --resume --out {}", outcome.steps, path.display());
    INTERRUPTED
}

/// Shares in percent: their mean, and their standard deviation where there are several.
fn percents(shares: &[f64]) -> String {
    let (mean, deviation) = metrics::spread(shares);
    match shares.len() {
        0 => "-".into(),
        1 => format!("{:.2}", 100.0 * mean),
        _ => format!("{:.2} ± {:.2}", 100.0 * mean, 100.0 * deviation),
    }
}

/// What a sample of a part of the data is called: its file, or where there are none, its text or its place.
fn name_of(split: &Split, part: &str, index: u32) -> String {
    match split.names.get(index as usize) {
        Some(name) => name.to_string(),
        None if split.samples.text(index).is_some() => split.samples.text(index).unwrap_or_default().into(),
        None if part.is_empty() => format!("index {index}"),
        None => format!("{part}:{index}"),
    }
}

/// Results go to stdout. A reader that has gone away (`| head`) is no failure; a full disk is one.
fn print(text: impl std::fmt::Display) {
    if let Err(error) = writeln!(std::io::stdout(), "{text}")
        && error.kind() != ErrorKind::BrokenPipe
    {
        UNWRITTEN.lock().expect("nobody panics with it").get_or_insert(error);
    }
}

fn print_json(wanted: bool, value: impl FnOnce() -> Value) {
    if wanted {
        print(value());
    }
}
