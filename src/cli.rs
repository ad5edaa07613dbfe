//! The command line: types only.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Parser, Subcommand};
use serde::Serialize;
use serde_json::{Value, json};

use crate::data::MOST_SIDE;
use crate::error::UsageError;
use crate::exec::DeviceSpec;
use crate::kernels::augment_draw::Ranges;
use crate::models::{ENCODERS, ModelKind, ModelSettings};
use crate::train::{
    ClassWeights, Corruption, Method, OptimizerKind, PretrainSettings, RegressionLoss, RunSettings, Schedule, Task, augment_preset, overlay,
};

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
    /// Learn classes, numbers or masks, from a pretrained encoder or from scratch
    Finetune(FinetuneArgs),
    /// Measure a run on the test samples: its classes, numbers or masks, or what a pretrained encoder is worth as it is
    Eval(EvalArgs),
    /// Predict classes, numbers or masks with a fine-tuned run
    Predict(PredictArgs),
    /// Spread a few labels over all training images, along the nearest neighbours of their embeddings
    Label(LabelArgs),
    /// Write the embeddings of images to a file, for other programs
    Embed(EmbedArgs),
    /// Find the images most like a picture
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
            Command::Pretrain(_) | Command::Finetune(_) | Command::Devices(_) | Command::Show(_) => None,
        }
    }
}

/// What is read, and how.
#[derive(Clone, Debug, Default, Args, Serialize)]
pub struct DataArgs {
    /// Images: a folder of PNG and JPEG files, a .tar.gz of one, MNIST's IDX or CIFAR-10's binary files [default: the embedded
    /// digits; of a run folder, its own]
    #[arg(long, value_name = "PATH")]
    pub data: Option<PathBuf>,
    /// Column of the index.csv of an image folder that is to be predicted
    #[arg(long, value_name = "COLUMN")]
    pub target: Option<String>,
    /// Size that images get [default: the one that all have and that is no larger than 256, else 32]
    #[arg(long, value_name = "SIDE|HEIGHTxWIDTH", value_parser = size)]
    pub size: Option<[u32; 2]>,
    /// Read images as grey, or with `false` as colour [default: as most are]
    #[arg(long, num_args = 0..=1, default_missing_value = "true")]
    pub grey: Option<bool>,
    /// Bits of each value of a picture that are used, for instance 12 of a microscope's 16; stretched over the whole range
    /// [default: all]
    #[arg(long, value_name = "BITS", value_parser = clap::value_parser!(u32).range(1..=16))]
    pub bits: Option<u32>,
}

/// Settings that all training shares. What is not given comes from --config, else from the defaults.
#[derive(Clone, Debug, Default, Args, Serialize)]
pub struct RunArgs {
    #[command(flatten)]
    #[serde(flatten)]
    data: DataArgs,
    /// auto, cpu, an index, or BACKEND:NAME, for instance vulkan:llvmpipe (see `devices`)
    #[arg(long, value_parser = device)]
    device: Option<String>,
    /// Threads of the CPU path [default: all cores]
    #[arg(long)]
    threads: Option<usize>,
    /// Seed of everything random; equal seeds give equal bits on one device [default: 0]
    #[arg(long)]
    seed: Option<u64>,
    /// Passes over the training images
    #[arg(long, conflicts_with = "steps")]
    epochs: Option<u32>,
    /// Steps, instead of epochs
    #[arg(long)]
    steps: Option<u32>,
    /// Images per step
    #[arg(long)]
    batch: Option<u32>,
    /// Learning rate
    #[arg(long, value_parser = finite::<f32>)]
    lr: Option<f32>,
    /// What makes steps of gradients [default: sgd]
    #[arg(long)]
    optimizer: Option<OptimizerKind>,
    /// Momentum of SGD
    #[arg(long, value_parser = finite::<f32>)]
    momentum: Option<f32>,
    /// Nesterov's momentum
    #[arg(long, num_args = 0..=1, default_missing_value = "true")]
    nesterov: Option<bool>,
    /// How much of its two moments Adam keeps from step to step, separated by a comma [default: 0.9,0.999]
    #[arg(long, value_parser = betas, value_name = "BETA1,BETA2")]
    betas: Option<[f32; 2]>,
    /// L2 penalty, added to gradients; with adamw, the share of the weights that a step takes away, times --lr
    #[arg(long, value_parser = finite::<f32>)]
    weight_decay: Option<f32>,
    /// How the learning rate goes on after the warm-up
    #[arg(long)]
    schedule: Option<Schedule>,
    /// Steps over which the learning rate rises at the start
    #[arg(long, value_name = "STEPS")]
    warmup: Option<u32>,
    /// Scale gradients down to this norm; 0 leaves them alone
    #[arg(long, value_parser = finite::<f32>, value_name = "NORM")]
    clip_norm: Option<f32>,
    /// Share of the training images held out, by seed, to choose the best checkpoint
    #[arg(long, value_parser = finite::<f64>, value_name = "FRACTION")]
    val: Option<f64>,
    /// Stop early, after this many epochs without a better score on the held-out images
    #[arg(long, value_name = "EPOCHS")]
    patience: Option<u32>,
    /// Steps between checkpoints [default: ends of epochs, at least 100 steps apart]
    #[arg(long, value_name = "STEPS")]
    checkpoint_every: Option<u32>,
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
    /// How to pretrain [default: simclr]
    #[arg(long)]
    method: Option<Method>,
    /// What an autoencoder sees of an image: all of it, all but a square, or all of it under noise [default: none]
    #[arg(long)]
    corrupt: Option<Corruption>,
    /// Temperature of the contrastive loss
    #[arg(long, value_parser = finite::<f32>)]
    temperature: Option<f32>,
    /// Widths of the projection head, separated by commas
    #[arg(long, value_delimiter = ',', value_name = "WIDTHS")]
    projection: Option<Vec<u32>>,
    /// Images that pass through the encoder at once, where the whole --batch is too large for that; its gradient stays that of
    /// the whole
    #[arg(long, value_name = "IMAGES")]
    micro_batch: Option<u32>,
    #[command(flatten)]
    pub encoder: EncoderArgs,
    #[command(flatten)]
    run: RunArgs,
    #[command(flatten)]
    pub output: OutputArgs,
}

/// Which encoder.
#[derive(Clone, Debug, Default, Args)]
pub struct ModelArgs {
    /// Network [default: cnn, but mlp for `finetune --from scratch` of classes and numbers]
    #[arg(long)]
    model: Option<ModelKind>,
    /// Widths of the hidden layers of an mlp, separated by commas
    #[arg(long, value_delimiter = ',', value_name = "WIDTHS")]
    hidden: Option<Vec<u32>>,
    /// Channels of the first convolution of a cnn [default: 16]
    #[arg(long, value_name = "CHANNELS")]
    width: Option<u32>,
    /// Features that a cnn ends in: more of them serve a linear probe with many labels [default: 128]
    #[arg(long, value_name = "FEATURES")]
    features: Option<u32>,
}

/// How an encoder begins, and what it sees.
#[derive(Clone, Debug, Default, Args)]
pub struct EncoderArgs {
    #[command(flatten)]
    pub model: ModelArgs,
    /// Begin with the weights in a safetensors file: of torchvision, of timm or of a run, for instance resnet18.safetensors
    #[arg(long, value_name = "FILE")]
    init_from: Option<PathBuf>,
    /// How training images are varied: none, light, medium, strong, strokes-medium, strokes, objects-light, objects,
    /// photos-medium or photos-strong [default: none; of `pretrain` strokes, in colour photos-strong; for classes `--from` a
    /// pretrained run, half of what that varied]
    #[arg(long, value_name = "NAME", value_parser = augment_preset)]
    augment: Option<Ranges>,
}

#[derive(Clone, Debug, Default, Args)]
pub struct FinetuneArgs {
    /// A run folder, a checkpoint file, or `scratch`
    #[arg(long, value_name = "RUN|FILE|scratch")]
    from: Option<String>,
    /// What to learn [default: classify]
    #[arg(long)]
    task: Option<Task>,
    /// Train on this many labelled images of each class, drawn by seed [default: all]
    #[arg(long, value_name = "N")]
    labels_per_class: Option<u32>,
    /// Train on this many labelled samples in all, drawn by seed [default: all]
    #[arg(long, value_name = "N")]
    labels: Option<u32>,
    /// What regression makes small [default: mse]
    #[arg(long)]
    loss: Option<RegressionLoss>,
    /// What the classes of pixels count in segmentation [default: none]
    #[arg(long)]
    class_weights: Option<ClassWeights>,
    /// Train on the labels in this CSV file, as `label` writes it, in the place of the data's own
    #[arg(long, value_name = "FILE.csv")]
    pseudo_labels: Option<PathBuf>,
    /// Of those labels, leave out what is less certain than this (0 to 1)
    #[arg(long, value_parser = finite::<f64>, value_name = "SHARE")]
    min_confidence: Option<f64>,
    /// Train the classifier only (linear probe)
    #[arg(long, num_args = 0..=1, default_missing_value = "true")]
    freeze: Option<bool>,
    /// Train from this layer on; those before it keep their weights and statistics (names as in the checkpoint, for instance
    /// layer3, or encoder.layer2)
    #[arg(long, value_name = "LAYER")]
    freeze_until: Option<String>,
    /// The encoder's learning rate as a share of the classifier's
    #[arg(long, value_parser = finite::<f32>, value_name = "SHARE")]
    encoder_lr_scale: Option<f32>,
    /// Steps at the start in which the head learns alone
    #[arg(long, value_name = "STEPS")]
    head_steps: Option<u32>,
    /// Share of the target spread over all classes
    #[arg(long, value_parser = finite::<f32>)]
    label_smoothing: Option<f32>,
    #[command(flatten)]
    pub encoder: EncoderArgs,
    #[command(flatten)]
    run: RunArgs,
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
    /// A run folder (its best checkpoint) or a checkpoint file
    pub run: PathBuf,
    /// Of a pretrained run: fit a linear probe to this many labels of each class too
    #[arg(long, value_name = "N")]
    pub labels_per_class: Option<u32>,
    /// Draws of those labels
    #[arg(long, default_value_t = 5)]
    pub draws: u32,
    /// Of a pretrained run: measure pixels in the same way, to see what the encoder is worth
    #[arg(long)]
    pub raw: bool,
    #[command(flatten)]
    pub data: DataArgs,
    #[command(flatten)]
    pub device: DeviceArgs,
}

#[derive(Clone, Debug, Args)]
pub struct PredictArgs {
    /// A run folder (its best checkpoint) or a checkpoint file
    pub run: PathBuf,
    /// Pictures of any size, folders of them, quoted patterns, or - for a list of paths on stdin; for a run that was trained on a
    /// table, tables with its columns
    #[arg(required = true)]
    pub files: Vec<PathBuf>,
    /// Folder for the masks that a segmentation run predicts
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Replace masks that exist there
    #[arg(long, requires = "out")]
    pub overwrite: bool,
    /// The pictures are dark on light, the training images light on dark
    #[arg(long)]
    pub invert: bool,
    #[command(flatten)]
    pub device: DeviceArgs,
}

#[derive(Clone, Debug, Args)]
#[command(group(clap::ArgGroup::new("which labels").required(true).args(["labels_per_class", "labels"])))]
pub struct LabelArgs {
    /// A run folder (its best checkpoint) or a checkpoint file
    pub run: PathBuf,
    /// Start from this many labelled images of each class, drawn by seed, to measure how well that works
    #[arg(long, value_name = "N")]
    pub labels_per_class: Option<u32>,
    /// Start from the labels in this file: a column `file`, or `index` (counted from 0), and a column `label`
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
    /// Spread the same labels over pixels too, to see what the encoder is worth (slow for many images)
    #[arg(long)]
    pub raw: bool,
    /// Images on ask-next.png
    #[arg(long, value_name = "COUNT", default_value_t = 40)]
    pub ask: usize,
    /// Folder for labels.csv and ask-next.png [default: the run folder]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Replace files of these names that exist there
    #[arg(long)]
    pub overwrite: bool,
    #[command(flatten)]
    pub data: DataArgs,
    #[command(flatten)]
    pub device: DeviceArgs,
}

#[derive(Clone, Debug, Args)]
pub struct EmbedArgs {
    /// A run folder (its best checkpoint) or a checkpoint file
    pub run: PathBuf,
    /// Images, in any format that --data of `pretrain` takes (training images come first, then test images); or a picture, a pattern
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
    pub device: DeviceArgs,
}

#[derive(Clone, Debug, Args)]
pub struct SearchArgs {
    /// A run folder (its best checkpoint) or a checkpoint file
    pub run: PathBuf,
    /// A PNG or JPEG picture, or the name of one of the images: a file, or without files, train:INDEX or test:INDEX
    pub image: PathBuf,
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
    pub device: DeviceArgs,
}

#[derive(Clone, Debug, Args)]
pub struct CurveArgs {
    /// A pretrained run folder or checkpoint file
    #[arg(long, value_name = "RUN|FILE")]
    pub from: PathBuf,
    /// Label budgets: numbers of labels per class, or `all`; those that the data cannot fill are skipped
    #[arg(long, value_delimiter = ',', value_name = "N,...", default_value = "1,2,5,10,50,100,all")]
    pub labels_per_class: Vec<Budget>,
    /// Label draws (seeds of subset and training) per budget
    #[arg(long, default_value_t = 5)]
    pub draws: u32,
    /// Draws that each learning rate is judged by; the chosen one is then measured in all
    #[arg(long, default_value_t = 2)]
    pub choose_draws: u32,
    /// Learning rates that each arm chooses from
    #[arg(long, value_parser = finite::<f32>, value_delimiter = ',', value_name = "LR,...", default_value = "0.01,0.03,0.1,0.3")]
    pub lr_grid: Vec<f32>,
    /// Training images held out to choose learning rates by
    #[arg(long, value_parser = finite::<f64>, value_name = "FRACTION", default_value_t = 0.1)]
    pub choose_on: f64,
    /// Steps of each fine-tuning
    #[arg(long, default_value_t = 500)]
    pub steps: u32,
    /// Images per step
    #[arg(long, default_value_t = 64)]
    pub batch: u32,
    /// The pretrained encoder's learning rate as a share of the classifier's (from scratch, both learn alike)
    #[arg(long, value_parser = finite::<f32>, value_name = "SHARE", default_value_t = 0.3)]
    pub encoder_lr_scale: f32,
    /// Steps in which the head on a pretrained encoder learns alone [default: a fifth of --steps]
    #[arg(long, value_name = "STEPS")]
    pub head_steps: Option<u32>,
    /// How far training images are varied, in both arms; see `finetune`
    #[arg(long, value_name = "NAME", default_value = "medium", value_parser = augment_preset)]
    pub augment: Ranges,
    /// Folder for curve.csv and curve.png [default: the run folder]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Replace files of these names that exist there
    #[arg(long)]
    pub overwrite: bool,
    #[command(flatten)]
    pub data: DataArgs,
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
    #[arg(conflicts_with_all = ["of", "model", "hidden", "width", "features", "batch", "data", "target", "size", "grey", "bits"])]
    pub run: Option<PathBuf>,
    /// Whose step
    #[arg(long, value_name = "VERB", default_value = "pretrain")]
    pub of: Verb,
    #[command(flatten)]
    pub model: ModelArgs,
    /// Images per step
    #[arg(long)]
    pub batch: Option<u32>,
    #[command(flatten)]
    pub data: DataArgs,
    #[command(flatten)]
    pub device: DeviceArgs,
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

/// Two numbers.
fn betas(text: &str) -> Result<[f32; 2], String> {
    let (first, second) = text.split_once(',').ok_or("two numbers are wanted, for instance 0.9,0.999")?;
    Ok([finite(first.trim())?, finite(second.trim())?])
}

/// Height and width: both, or one for both.
fn size(text: &str) -> Result<[u32; 2], String> {
    let (height, width) = text.split_once('x').unwrap_or((text, text));
    let side = |text: &str| text.parse().ok().filter(|side| (1..=MOST_SIDE).contains(side));
    match (side(height), side(width)) {
        (Some(height), Some(width)) => Ok([height, width]),
        _ => Err(format!("say a side or HEIGHTxWIDTH, for instance 64 or 48x64, at most {MOST_SIDE}")),
    }
}

fn device(text: &str) -> Result<String, String> {
    text.parse::<DeviceSpec>().map(|_| text.to_string())
}

impl DataArgs {
    /// Lays what was given over settings.
    pub fn lay_over(&self, run: &mut RunSettings) {
        let DataArgs { data, target, size, grey, bits } = self.clone();
        run.data = data.or(run.data.take());
        run.target = target.or(run.target.take());
        run.size = size.or(run.size);
        run.grey = grey.or(run.grey);
        run.bits = bits.or(run.bits);
    }
}

impl OutputArgs {
    /// Whether the run that goes on, or the file, has this table or key. A file that cannot be read is reported where it is
    /// used.
    fn settles(&self, table: &str) -> bool {
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

impl ModelArgs {
    /// What was given, as a tree. Where no run or file says which kind of network it is, what only one kind has does.
    pub fn settings(&self, known: bool) -> Value {
        let given = self.given().into_iter().find(|(given, _)| *given && !known);
        let implied = given.and_then(|(_, setting)| ModelKind::with(setting));
        json!({ "kind": self.model.or(implied), "hidden": self.hidden, "width": self.width, "features": self.features })
    }

    /// Which of the settings that only some encoders have were given.
    fn given(&self) -> [(bool, &'static str); 3] {
        [(self.hidden.is_some(), "hidden"), (self.width.is_some(), "width"), (self.features.is_some(), "features")]
    }

    /// Whether a number of features was asked for.
    pub fn chooses_features(&self) -> bool {
        self.features.is_some()
    }

    /// Fails where the network that `of` is to have, or has, is not the one that was asked for.
    pub fn suits(&self, model: &ModelSettings, of: &str) -> Result<(), UsageError> {
        let misfit = |flag: &str| Err(UsageError(format!("{of} is {model}: {flag} does not fit that")));
        if self.model.is_some_and(|kind| kind != model.kind) {
            return misfit("--model");
        }
        if let Some((_, setting)) = self.given().into_iter().find(|(given, setting)| *given && !model.kind.settings().contains(setting)) {
            let whose: Vec<&str> = ENCODERS.iter().filter(|kind| kind.settings().contains(&setting)).map(|kind| kind.name()).collect();
            return misfit(&format!("--{setting}, which is for {},", whose.join(" and ")));
        }
        let others = [
            (self.hidden.as_ref().is_some_and(|hidden| *hidden != model.hidden), "--hidden"),
            (self.width.is_some_and(|width| width != model.width), "--width"),
            (self.features.is_some_and(|features| features != model.features), "--features"),
        ];
        others.into_iter().find(|(other, _)| *other).map_or(Ok(()), |(_, flag)| misfit(flag))
    }
}

impl PretrainArgs {
    /// Whether an augmentation was asked for, or a run that has one.
    pub fn chooses_augmentation(&self) -> bool {
        self.encoder.augment.is_some() || self.output.settles("augment")
    }

    /// What was given, as a tree to lay over the settings.
    pub fn settings(&self) -> Result<Value, UsageError> {
        let method = self.method.unwrap_or(Method::SIMCLR);
        let no_file = self.output.config.is_none() && !self.output.resume;
        let given = [(self.temperature.is_some(), "temperature"), (self.projection.is_some(), "projection")];
        if let Some((_, setting)) = given.into_iter().find(|(given, setting)| *given && no_file && !method.settings().contains(setting)) {
            return Err(UsageError(format!("--{setting} means nothing to --method {method}")));
        }
        let mut settings = json!({
            "method": self.method,
            "corrupt": self.corrupt,
            "temperature": self.temperature,
            "projection": self.projection,
            "micro_batch": self.micro_batch,
            "init_from": self.encoder.init_from,
            "model": self.encoder.model.settings(self.output.settles("model")),
            "augment": self.encoder.augment,
            "run": self.run,
        });
        if no_file {
            let PretrainSettings { augment, run, .. } = PretrainSettings::by(method);
            let mut own = json!({ "augment": augment, "run": { "optimizer": run.optimizer, "lr": run.lr } });
            overlay(&mut own, settings);
            settings = own;
        }
        Ok(settings)
    }
}

impl FinetuneArgs {
    /// Whether a run that is repeated, or goes on, says everything.
    pub fn repeats(&self) -> bool {
        self.output.settles("command")
    }

    /// What was given, as a tree to lay over the settings.
    pub fn settings(&self) -> Value {
        let settled = self.output.settles("model");
        let mut model = self.encoder.model.settings(settled);
        if let Some(task) = self.task.filter(|_| model["kind"].is_null() && !settled) {
            model["kind"] = json!(task.default_model());
        }
        json!({
            "from": self.from,
            "task": self.task,
            "labels_per_class": self.labels_per_class,
            "labels": self.labels,
            "loss": self.loss,
            "class_weights": self.class_weights,
            "pseudo_labels": self.pseudo_labels,
            "min_confidence": self.min_confidence,
            "freeze": self.freeze,
            "freeze_until": self.freeze_until,
            "encoder_lr_scale": self.encoder_lr_scale,
            "head_steps": self.head_steps,
            "label_smoothing": self.label_smoothing,
            "init_from": self.encoder.init_from,
            "model": model,
            "augment": self.encoder.augment,
            "run": self.run,
        })
    }
}
