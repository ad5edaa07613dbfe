//! The command line: types only. Flags of settings are made of their declarations, those of verbs are declared here.

use std::fmt::Debug;
use std::marker::PhantomData;
use std::path::PathBuf;
use std::str::FromStr;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser, ValueParser};
use clap::{Arg, ArgAction, ArgMatches, Args, FromArgMatches, Parser, Subcommand};
use serde_json::{Value, json};

use crate::core::settings::{self, Flag, SettingForm, Settings, Words, default_trees};
use crate::error::UsageError;
use crate::exec::DeviceSpec;
use crate::kernels::augment_draw::Ranges;
use crate::models::{ModelKind, ModelSettings};
use crate::train::{DATA_SETTINGS, FinetuneSettings, PretrainSettings, RunSettings, augment_preset, overlay};

/// Pretrain on unlabelled data, fine-tune on a few labels, on any vendor's GPU.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100, help_expected = true)]
pub struct Cli {
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Train an encoder without labels (on the embedded digits, unless told otherwise)
    Pretrain(PretrainArgs),
    /// Learn classes, several labels at once, numbers or masks, from a pretrained encoder or from scratch
    Finetune(FinetuneArgs),
    /// Measure a run on the test samples: its classes, labels, numbers or masks, or what a pretrained encoder is worth as it is
    Eval(EvalArgs),
    /// Predict classes, labels, numbers or masks with a fine-tuned run
    Predict(PredictArgs),
    /// Spread a few labels over all training samples, along the nearest neighbours of their embeddings
    Label(LabelArgs),
    /// Write the embeddings of images or texts to a file, for other programs
    Embed(EmbedArgs),
    /// Find the images most like a picture, the sounds most like a sound, or the texts most like some words
    Search(SearchArgs),
    /// Does pretraining pay? Fine-tune and train from scratch side by side, for several label budgets
    Curve(CurveArgs),
    /// Compare every kernel on this device with its CPU twin (exit code 0: agree, 1: disagree, 3: could not run)
    Check(CheckArgs),
    /// Measure what this device can do, and how much of that the standard workloads get
    Bench(BenchArgs),
    /// Time every kernel call of a training step, and say how near the device's limit each comes
    Profile(StepArgs),
    /// Find the fastest variant of each kernel of a training step on this device, and keep the choice for training
    Tune(StepArgs),
    /// List the adapters of this machine
    Devices(DevicesArgs),
    /// List the networks whose published weights are known, or say what a file of weights is
    Weights(WeightsArgs),
    /// Print the programs that a run would execute, one kernel call per line
    Show(ShowArgs),
}

impl Command {
    /// Where a verb that trains nothing of its own runs.
    pub fn device(&self) -> Option<&DeviceArgs> {
        match self {
            Command::Eval(args) => Some(&args.device),
            Command::Predict(args) => Some(&args.device),
            Command::Label(args) => Some(&args.device),
            Command::Embed(args) => Some(&args.device),
            Command::Search(args) => Some(&args.device),
            Command::Curve(args) => Some(&args.device),
            Command::Check(args) => Some(&args.device),
            Command::Bench(args) => Some(&args.device),
            Command::Profile(args) | Command::Tune(args) => Some(&args.device),
            Command::Pretrain(_) | Command::Finetune(_) | Command::Devices(_) | Command::Weights(_) | Command::Show(_) => None,
        }
    }
}

/// Which settings have flags in a verb.
pub trait Flagged: 'static {
    fn flags() -> Vec<Flag>;

    /// Trees of defaults, the first of which is for all that the others are not for.
    fn defaults() -> Vec<(String, Value)>;
}

impl<T: Settings + 'static> Flagged for T {
    fn flags() -> Vec<Flag> {
        settings::flags::<T>()
    }

    fn defaults() -> Vec<(String, Value)> {
        default_trees::<T>()
    }
}

/// How data are read.
#[derive(Clone, Debug, Default)]
pub struct DataFlags;

impl Flagged for DataFlags {
    fn flags() -> Vec<Flag> {
        settings::flags::<RunSettings>().into_iter().filter(|flag| DATA_SETTINGS.contains(&flag.setting.name)).collect()
    }

    fn defaults() -> Vec<(String, Value)> {
        default_trees::<RunSettings>()
    }
}

/// How pictures get their size.
#[derive(Clone, Debug)]
pub struct LookFlags;

impl Flagged for LookFlags {
    fn flags() -> Vec<Flag> {
        DataFlags::flags().into_iter().filter(|flag| ["size", "resize"].contains(&flag.setting.name)).collect()
    }

    fn defaults() -> Vec<(String, Value)> {
        DataFlags::defaults()
    }
}

/// The size of a training step, but for what it is of.
#[derive(Clone, Debug)]
pub struct StepFlags;

impl Flagged for StepFlags {
    fn flags() -> Vec<Flag> {
        let of_step = |flag: &Flag| flag.setting.name == "batch" || flag.tables == ["model"];
        settings::flags::<PretrainSettings>().into_iter().filter(of_step).collect()
    }

    fn defaults() -> Vec<(String, Value)> {
        vec![(String::new(), json!(PretrainSettings::default())), ("--of finetune".into(), json!(FinetuneSettings::default()))]
    }
}

/// Flags that are made of declared settings.
#[derive(Clone, Debug)]
pub struct Flags<F> {
    /// What was given, as a tree to lay over settings.
    pub given: Value,
    of: PhantomData<F>,
}

impl<F> Default for Flags<F> {
    fn default() -> Self {
        Flags { given: json!({}), of: PhantomData }
    }
}

impl<F: Flagged> Args for Flags<F> {
    fn augment_args(command: clap::Command) -> clap::Command {
        let defaults = F::defaults();
        command.args(F::flags().iter().map(|flag| arg(flag, &defaults)))
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Self::augment_args(command)
    }
}

impl<F: Flagged> FromArgMatches for Flags<F> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut flags = Self::default();
        flags.update_from_arg_matches(matches)?;
        Ok(flags)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        for flag in F::flags() {
            let Some(values) = matches.get_many::<Value>(&flag.setting.flag_name()) else { continue };
            let place = flag.tables.iter().fold(&mut self.given, |tree, table| &mut tree[*table]);
            // Of a list, each occurrence has a part.
            place[flag.setting.name] = values.cloned().reduce(joined).unwrap_or_default();
        }
        Ok(())
    }
}

fn joined(before: Value, after: Value) -> Value {
    match (before, after) {
        (Value::Array(before), Value::Array(after)) => before.into_iter().chain(after).collect(),
        (_, after) => after,
    }
}

/// A flag as clap knows it.
fn arg(flag: &Flag, defaults: &[(String, Value)]) -> Arg {
    let setting = flag.setting;
    let notes = [("for", flag.whose()), ("default:", flag.default_text(defaults))];
    let notes = notes.into_iter().filter_map(|(what, text)| Some(format!(" [{what} {}]", text?)));
    let help = setting.help().to_string() + &notes.collect::<String>();
    let arg = Arg::new(setting.flag_name()).long(setting.flag_name()).value_name(setting.value_name()).help(help);
    let arg = arg.conflicts_with_all(setting.instead_of).allow_negative_numbers(true);
    let SettingForm::Word { read, choices, words } = setting.form else { return arg };
    let choices = choices().into_iter().map(|choice| match choice.help {
        "" => PossibleValue::new(choice.name),
        help => PossibleValue::new(choice.name).help(help),
    });
    let choices: Vec<PossibleValue> = choices.collect();
    let arg = arg.value_parser(match choices.is_empty() {
        true => ValueParser::from(move |word: &str| read(word)),
        false => PossibleValuesParser::new(choices).try_map(move |word| read(&word)).into(),
    });
    match words {
        Words::One => arg,
        Words::Switch => arg.num_args(0..=1).default_missing_value("true"),
        Words::List => arg.action(ArgAction::Append),
    }
}

/// Where a run goes, and how.
#[derive(Clone, Debug, Default, Args)]
pub struct OutputArgs {
    /// Run folder [default: runs/COMMAND-N]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Replace an earlier run in that folder, or the file that --augment-preview names
    #[arg(long, conflicts_with = "resume")]
    pub overwrite: bool,
    /// Go on with the run in --out (or the latest one) where its last checkpoint stands
    #[arg(long)]
    pub resume: bool,
    /// Settings in TOML, such as the config.toml of a run folder; flags override it
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Say what would be trained, and with how much memory; train nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Draw what the encoder would see of a few training images, as PNG; train nothing
    #[arg(long, value_name = "FILE", conflicts_with = "dry_run")]
    pub augment_preview: Option<PathBuf>,
    /// Print one JSON object as the last line of stdout
    #[arg(long)]
    pub json: bool,
}

#[derive(Clone, Debug, Default, Args)]
pub struct PretrainArgs {
    #[command(flatten)]
    pub settings: Flags<PretrainSettings>,
    #[command(flatten)]
    pub output: OutputArgs,
}

#[derive(Clone, Debug, Default, Args)]
pub struct FinetuneArgs {
    #[command(flatten)]
    pub settings: Flags<FinetuneSettings>,
    #[command(flatten)]
    pub output: OutputArgs,
}

#[derive(Clone, Debug, Args)]
pub struct DeviceArgs {
    /// auto, cpu, an index, or BACKEND:NAME, for instance vulkan:llvmpipe (see `devices`)
    #[arg(long, default_value = "auto", value_parser = device)]
    pub device: String,
    /// Threads of the CPU path; 0 is all cores
    #[arg(long, default_value_t = 0)]
    pub threads: usize,
    /// Print one JSON object as the last line of stdout
    #[arg(long)]
    pub json: bool,
}

#[derive(Clone, Debug, Args)]
pub struct EvalArgs {
    /// A run folder (its best checkpoint), a checkpoint file, or weights that others published
    pub run: PathBuf,
    /// Of a pretrained run: fit a linear probe to this many labels of each class too
    #[arg(long, value_name = "N")]
    pub labels_per_class: Option<u32>,
    /// Draws of those labels
    #[arg(long, default_value_t = 5)]
    pub draws: u32,
    /// Of a pretrained run of texts: let linear probes see weights of words (TF-IDF) beside embeddings [default: true, but false for
    /// published weights]
    #[arg(long, value_name = "true|false", num_args = 0..=1, default_missing_value = "true")]
    pub words: Option<bool>,
    /// Of a pretrained run: measure pixels in the same way, to see what the encoder is worth
    #[arg(long)]
    pub raw: bool,
    #[command(flatten)]
    pub data: Flags<DataFlags>,
    #[command(flatten)]
    pub device: DeviceArgs,
}

#[derive(Clone, Debug, Args)]
pub struct PredictArgs {
    /// A run folder (its best checkpoint), a checkpoint file, or weights that others published
    pub run: PathBuf,
    /// Pictures of any size or sounds, folders of them, quoted patterns, or - for a list of paths on stdin; for a run that was trained on a
    /// table, tables with its columns; for one that was trained on texts, files of texts, or - for lines of text on stdin;
    /// for one that tags words, also CoNLL files
    #[arg(required = true)]
    pub files: Vec<PathBuf>,
    /// Column that has the texts [default: the one that is called text or the like, or has most words]
    #[arg(long, value_name = "COLUMN")]
    pub text: Option<String>,
    /// Take plain lines up to a blank one for a text, or with `false` each line [default: as in training, or if they are three or more on
    /// average]
    #[arg(long, value_name = "true|false", num_args = 0..=1, default_missing_value = "true")]
    pub documents: Option<bool>,
    /// Folder for the masks that a segmentation run predicts
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Replace masks that exist there
    #[arg(long, requires = "out")]
    pub overwrite: bool,
    /// The pictures are dark on light, the training images light on dark
    #[arg(long)]
    pub invert: bool,
    /// Of classes: where the largest probability is below this, say `out of scope` instead; `auto` is the threshold that the run's own
    /// held-out samples chose
    #[arg(long, value_name = "P|auto")]
    pub threshold: Option<Rejection>,
    #[command(flatten)]
    pub device: DeviceArgs,
}

/// Below which probability an answer is none.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rejection {
    Below(f64),
    Auto,
}

impl FromStr for Rejection {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.trim() {
            "auto" => Ok(Rejection::Auto),
            number => match number.parse() {
                Ok(number) if (0.0..=1.0).contains(&number) => Ok(Rejection::Below(number)),
                _ => Err("a probability, 0 to 1, or `auto`".into()),
            },
        }
    }
}

#[derive(Clone, Debug, Args)]
#[command(group(clap::ArgGroup::new("which labels").required(true).args(["labels_per_class", "labels"])))]
pub struct LabelArgs {
    /// A run folder (its best checkpoint), a checkpoint file, or weights that others published
    pub run: PathBuf,
    /// Start from this many labelled images of each class, drawn by seed, to measure how well that works
    #[arg(long, value_name = "N")]
    pub labels_per_class: Option<u32>,
    /// Start from the labels in this file: a column `file`, `text` or `index` (counted from 0), and a column `label`
    #[arg(long, value_name = "FILE.csv")]
    pub labels: Option<PathBuf>,
    /// Draws of labels that accuracy is measured for; the files are of the first
    #[arg(long, default_value_t = 1, conflicts_with = "labels")]
    pub draws: u32,
    /// Seed of the first draw
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Others that an image is joined with
    #[arg(long, default_value_t = 20)]
    pub neighbours: usize,
    /// Weigh classes so that each gets about an equal share of the images: for data in which they are about equally frequent
    #[arg(long)]
    pub balance: bool,
    /// Let a linear probe learn what the spread labels and a probe of the given ones are most certain of, and decide [default: true for
    /// published weights, but of sounds, and for texts, else false]
    #[arg(long, value_name = "true|false", num_args = 0..=1, default_missing_value = "true")]
    pub refit: Option<bool>,
    /// Let that probe see weights of words (TF-IDF) beside embeddings, of texts [default: true, but false for published weights]
    #[arg(long, value_name = "true|false", num_args = 0..=1, default_missing_value = "true")]
    pub words: Option<bool>,
    /// Spread the same labels over pixels too, to see what the encoder is worth (slow for many images)
    #[arg(long)]
    pub raw: bool,
    /// Also copy each picture into a folder in this one that is called like its label; it must be new or empty
    #[arg(long, value_name = "DIR")]
    pub sort: Option<PathBuf>,
    /// Images on ask-next.png, or texts in ask-next.csv
    #[arg(long, value_name = "COUNT", default_value_t = 40)]
    pub ask: usize,
    /// Folder for labels.csv and ask-next.png, of texts ask-next.csv [default: the run folder, of published weights the current one]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Replace files of these names that exist there
    #[arg(long)]
    pub overwrite: bool,
    #[command(flatten)]
    pub data: Flags<DataFlags>,
    #[command(flatten)]
    pub device: DeviceArgs,
}

#[derive(Clone, Debug, Args)]
pub struct EmbedArgs {
    /// A run folder (its best checkpoint), a checkpoint file, or weights that others published
    pub run: PathBuf,
    /// Images, in any format that --data of `pretrain` takes (training images come first, then test images); or a picture, a sound, a pattern
    /// such as 'photos/*.jpg', or - for a list of files on stdin
    #[arg(value_name = "DATA")]
    pub images: PathBuf,
    /// A .npy file, with the names of the images in a .files.csv beside it, or a .csv file
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// Replace a file that exists
    #[arg(long)]
    pub overwrite: bool,
    #[command(flatten)]
    pub look: Flags<LookFlags>,
    #[command(flatten)]
    pub device: DeviceArgs,
}

#[derive(Clone, Debug, Args)]
pub struct SearchArgs {
    /// A run folder (its best checkpoint), a checkpoint file, or weights that others published
    pub run: PathBuf,
    /// A PNG or JPEG picture, or a sound, or the name of one of the images: a file, or without files, train:INDEX or test:INDEX; of texts, any words
    #[arg(value_name = "IMAGE|WORDS")]
    pub query: PathBuf,
    /// Where to look, in any format that --data of `pretrain` takes [default: the data of the run]
    #[arg(long = "in", value_name = "DATA")]
    pub images: Option<PathBuf>,
    /// How many to find
    #[arg(long, default_value_t = 12)]
    pub count: usize,
    /// The picture is dark on light, the training images light on dark
    #[arg(long)]
    pub invert: bool,
    /// Draw the picture and what was found to this PNG file
    #[arg(long, value_name = "FILE.png")]
    pub out: Option<PathBuf>,
    /// Replace a file that exists
    #[arg(long, requires = "out")]
    pub overwrite: bool,
    #[command(flatten)]
    pub look: Flags<LookFlags>,
    #[command(flatten)]
    pub device: DeviceArgs,
}

#[derive(Clone, Debug, Args)]
pub struct CurveArgs {
    /// A pretrained run folder or checkpoint file
    #[arg(long, value_name = "RUN|FILE")]
    pub from: PathBuf,
    /// Another pretrained encoder to compare with, fine-tuned in the same way; from scratch, its network is trained then
    #[arg(long, value_name = "RUN|FILE")]
    pub beside: Option<PathBuf>,
    /// Label budgets: numbers of labels per class, or `all`; those that the data cannot fill are skipped
    #[arg(long, value_delimiter = ',', value_name = "N,...", default_value = "1,2,5,10,50,100,all")]
    pub labels_per_class: Vec<Budget>,
    /// Label draws (seeds of subset and training) per budget
    #[arg(long, default_value_t = 5)]
    pub draws: u32,
    /// Draws that each learning rate is judged by; the chosen one is then measured in all
    #[arg(long, default_value_t = 2)]
    pub choose_draws: u32,
    /// Learning rates that each arm chooses from [default: 0.01,0.03,0.1,0.3; of texts and of frames of sounds 0.001,0.003,0.01]
    #[arg(long, value_parser = finite::<f32>, value_delimiter = ',', value_name = "LR,...")]
    pub lr_grid: Option<Vec<f32>>,
    /// Training images held out to choose learning rates by
    #[arg(long, value_parser = finite::<f64>, value_name = "FRACTION", default_value_t = 0.1)]
    pub choose_on: f64,
    /// Steps of each fine-tuning
    #[arg(long, default_value_t = 500)]
    pub steps: u32,
    /// Images per step
    #[arg(long, default_value_t = 64)]
    pub batch: u32,
    /// The pretrained encoder's learning rate as a share of the classifier's (from scratch, both learn alike) [default: 0.3; of
    /// published weights as `finetune` has it]
    #[arg(long, value_parser = finite::<f32>, value_name = "SHARE")]
    pub encoder_lr_scale: Option<f32>,
    /// Steps in which the head on a pretrained encoder learns alone [default: a fifth of --steps]
    #[arg(long, value_name = "STEPS")]
    pub head_steps: Option<u32>,
    /// How far training images are varied, in all arms; see `finetune` [default: medium, of images in colour photos-medium]
    #[arg(long, value_name = "NAME", value_parser = augment_preset)]
    pub augment: Option<Ranges>,
    /// Folder for curve.csv and curve.png [default: the run folder]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Replace files of these names that exist there
    #[arg(long)]
    pub overwrite: bool,
    #[command(flatten)]
    pub data: Flags<DataFlags>,
    #[command(flatten)]
    pub device: DeviceArgs,
}

/// How many labels there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Budget {
    PerClass(u32),
    All,
}

impl Budget {
    /// Of each class; `None` for all.
    pub fn per_class(self) -> Option<u32> {
        match self {
            Budget::PerClass(count) => Some(count),
            Budget::All => None,
        }
    }
}

impl FromStr for Budget {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.trim() {
            "all" => Ok(Budget::All),
            count => match count.parse() {
                Ok(count) if count > 0 => Ok(Budget::PerClass(count)),
                _ => Err("a number of at least 1, or `all`".into()),
            },
        }
    }
}

impl std::fmt::Display for Budget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Budget::PerClass(count) => write!(f, "{count}"),
            Budget::All => write!(f, "all"),
        }
    }
}

#[derive(Clone, Debug, Args)]
pub struct CheckArgs {
    /// Put mistakes into the shaders, and fail unless each is noticed
    #[arg(long)]
    pub self_test: bool,
    /// Only kernels whose name contains this
    #[arg(long, value_name = "NAME")]
    pub kernel: Option<String>,
    #[command(flatten)]
    pub device: DeviceArgs,
}

#[derive(Clone, Debug, Args)]
pub struct BenchArgs {
    /// Only workloads whose name contains this
    #[arg(long, value_name = "NAME")]
    pub only: Option<String>,
    /// Also what takes minutes: contrastive batches of up to 32,768 pairs
    #[arg(long)]
    pub large: bool,
    #[command(flatten)]
    pub device: DeviceArgs,
}

/// Which training step is meant.
#[derive(Clone, Debug, Args)]
pub struct StepArgs {
    /// The step of this run folder [default: that of the verb below]
    #[arg(conflicts_with_all = of_a_step())]
    pub run: Option<PathBuf>,
    /// Whose step
    #[arg(long, value_name = "VERB", default_value = "pretrain")]
    pub of: Verb,
    #[command(flatten)]
    pub step: Flags<StepFlags>,
    #[command(flatten)]
    pub data: Flags<DataFlags>,
    #[command(flatten)]
    pub device: DeviceArgs,
}

/// Flags that say which step, where no run does.
fn of_a_step() -> Vec<String> {
    let flags = StepFlags::flags().into_iter().chain(DataFlags::flags());
    flags.map(|flag| flag.setting.flag_name()).chain(["of".into()]).collect()
}

/// What trains.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum Verb {
    Pretrain,
    Finetune,
}

#[derive(Clone, Debug, Args)]
pub struct DevicesArgs {
    /// Print one JSON object as the last line of stdout
    #[arg(long)]
    pub json: bool,
}

#[derive(Clone, Debug, Args)]
pub struct WeightsArgs {
    /// A file of weights: safetensors, or PyTorch's .pth
    pub file: Option<PathBuf>,
    /// Print one JSON object as the last line of stdout
    #[arg(long)]
    pub json: bool,
}

#[derive(Clone, Debug, Args)]
pub struct ShowArgs {
    /// Which run [default: pretrain]
    #[command(subcommand)]
    pub what: Option<ShowWhat>,
}

#[derive(Clone, Debug, Subcommand)]
pub enum ShowWhat {
    /// The programs of `pretrain` with these settings
    Pretrain(PretrainArgs),
    /// The programs of `finetune` with these settings
    Finetune(FinetuneArgs),
}

/// A number; NaN and infinity are none.
fn finite<T: FromStr + Copy + Into<f64>>(text: &str) -> Result<T, String> {
    text.parse().ok().filter(|value: &T| (*value).into().is_finite()).ok_or_else(|| "not a finite number".into())
}

fn device(text: &str) -> Result<String, String> {
    text.parse::<DeviceSpec>().map(|_| text.to_string())
}

impl Flags<DataFlags> {
    /// As if `--data` had been given, and what `look` has.
    pub fn of(data: Option<&std::path::Path>, look: &Flags<LookFlags>) -> Self {
        let mut flags = Flags { given: look.given.clone(), of: PhantomData };
        if let Some(path) = data {
            flags.given["data"] = json!(path);
        }
        flags
    }

    /// Settings of a run under what was given. Fails where that is beyond limits.
    pub fn over(&self, run: &RunSettings) -> Result<RunSettings, UsageError> {
        let mut settings = json!(run);
        overlay(&mut settings, self.given.clone());
        let settings: RunSettings = serde_json::from_value(settings).map_err(|e| UsageError(e.to_string()))?;
        settings::beyond(&settings).map_or(Ok(settings), |text| Err(UsageError(text)))
    }
}

impl OutputArgs {
    /// Whether the run that goes on, or the file, has this table or key. A file that cannot be read is reported where it is
    /// used.
    pub fn settles(&self, table: &str) -> bool {
        let text = self.config.as_ref().and_then(|path| std::fs::read_to_string(path).ok());
        let in_file = text.and_then(|text| text.parse::<toml::Table>().ok()).is_some_and(|tables| tables.contains_key(table));
        in_file || self.resume
    }

    /// What `show`, which trains and writes nothing, would have to ignore.
    pub fn unfit_for_show(&self) -> Option<String> {
        let given = [
            (self.out.is_some(), "--out"),
            (self.overwrite, "--overwrite"),
            (self.resume, "--resume"),
            (self.dry_run, "--dry-run"),
            (self.augment_preview.is_some(), "--augment-preview"),
            (self.json, "--json"),
        ];
        let (_, flag) = given.into_iter().find(|(given, _)| *given)?;
        Some(format!("{flag} means nothing to `show`, which prints the programs of a run and trains nothing"))
    }
}

/// The network that settings imply which only one kind has.
pub fn implied_kind(given: &Value) -> Option<ModelKind> {
    let flags = settings::flags::<ModelSettings>();
    let said = flags.iter().filter(|flag| flag.whose.is_some() && !flag.of(given).is_null()).map(|flag| flag.setting.name);
    ModelKind::with(&said.collect::<Vec<_>>())
}

/// Whether a network makes nothing of some setting that is given.
pub fn is_unfit(given: &Value, model: &Value) -> bool {
    settings::flags::<ModelSettings>().iter().any(|flag| !flag.of(given).is_null() && flag.unfit(model).is_some())
}

/// Fails where the network that `of` is to have, or has, is not the one that was asked for.
pub fn suits(given: &Value, model: &ModelSettings, of: &str) -> Result<(), UsageError> {
    let settings = json!(model);
    for flag in settings::flags::<ModelSettings>().iter().filter(|flag| !flag.of(given).is_null()) {
        let whose = flag.unfit(&settings).and_then(|_| flag.whose()).map_or(String::new(), |whose| format!(", which is for {whose},"));
        if !whose.is_empty() || flag.of(given) != flag.of(&settings) {
            return Err(UsageError(format!("{of} is {model}: --{}{whose} does not fit that", flag.setting.flag_name())));
        }
    }
    Ok(())
}
