//! The command line: types only.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Parser, Subcommand};
use serde::Serialize;
use serde_json::{Value, json};

use crate::data::{MOST_SIDE, Task};
use crate::exec::DeviceSpec;
use crate::kernels::augment_draw::Ranges;
use crate::models::ModelKind;
use crate::train::{ClassWeights, Corruption, Method, OptimizerKind, RegressionLoss, RunSettings, Schedule, augment_preset, overlay};

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
    /// Measure a fine-tuned run on the test images
    Eval(EvalArgs),
    /// Predict classes, numbers or masks with a fine-tuned run
    Predict(PredictArgs),
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
    #[arg(long)]
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
    /// Replace an earlier run in that folder
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
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    run: RunArgs,
    #[command(flatten)]
    pub output: OutputArgs,
}

#[derive(Clone, Debug, Default, Args)]
struct ModelArgs {
    /// Network [default: mlp]
    #[arg(long)]
    model: Option<ModelKind>,
    /// Widths of the hidden layers, separated by commas
    #[arg(long, value_delimiter = ',', value_name = "WIDTHS")]
    hidden: Option<Vec<u32>>,
    /// How far training images are varied: none, light, medium or strong
    #[arg(long, value_parser = augment_preset)]
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
    /// Train the classifier only (linear probe)
    #[arg(long, num_args = 0..=1, default_missing_value = "true")]
    freeze: Option<bool>,
    /// The encoder's learning rate as a share of the classifier's
    #[arg(long, value_parser = finite::<f32>, value_name = "SHARE")]
    encoder_lr_scale: Option<f32>,
    /// Share of the target spread over all classes
    #[arg(long, value_parser = finite::<f32>)]
    label_smoothing: Option<f32>,
    #[command(flatten)]
    model: ModelArgs,
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
    #[command(flatten)]
    pub data: DataArgs,
    #[command(flatten)]
    pub device: DeviceArgs,
}

#[derive(Clone, Debug, Args)]
pub struct PredictArgs {
    /// A run folder (its best checkpoint) or a checkpoint file
    pub run: PathBuf,
    /// PNG or JPEG pictures of any size; for a run that was trained on a table, tables with its columns
    #[arg(required = true)]
    pub files: Vec<PathBuf>,
    /// Folder for the masks that a segmentation run predicts
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// The pictures are dark on light, the training images light on dark
    #[arg(long)]
    pub invert: bool,
    #[command(flatten)]
    pub device: DeviceArgs,
}

#[derive(Clone, Debug, Args)]
pub struct CurveArgs {
    /// A pretrained run folder or checkpoint file
    #[arg(long, value_name = "RUN|FILE")]
    pub from: PathBuf,
    /// Label budgets
    #[arg(long, value_delimiter = ',', value_name = "N,...", default_value = "1,10")]
    pub labels_per_class: Vec<u32>,
    /// Label draws (seeds of subset and training) per budget
    #[arg(long, default_value_t = 5)]
    pub draws: u32,
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
    /// How far training images are varied, in both arms: none, light, medium or strong
    #[arg(long, default_value = "medium", value_parser = augment_preset)]
    pub augment: Ranges,
    #[command(flatten)]
    pub data: DataArgs,
    #[command(flatten)]
    pub device: DeviceArgs,
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
    #[arg(conflicts_with_all = ["of", "model", "hidden", "batch", "data", "target", "size", "grey"])]
    pub run: Option<PathBuf>,
    /// Whose step
    #[arg(long, value_name = "VERB", default_value = "pretrain")]
    pub of: Verb,
    /// Network [default: mlp]
    #[arg(long)]
    pub model: Option<ModelKind>,
    /// Widths of the hidden layers, separated by commas
    #[arg(long, value_delimiter = ',', value_name = "WIDTHS")]
    pub hidden: Option<Vec<u32>>,
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
        let DataArgs { data, target, size, grey } = self.clone();
        run.data = data.or(run.data.take());
        run.target = target.or(run.target.take());
        run.size = size.or(run.size);
        run.grey = grey.or(run.grey);
    }
}

impl ModelArgs {
    fn settings(&self) -> Value {
        json!({ "kind": self.model, "hidden": self.hidden })
    }
}

impl PretrainArgs {
    /// What was given, as a tree to lay over the settings.
    pub fn settings(&self) -> Value {
        let mut settings = json!({
            "method": self.method,
            "corrupt": self.corrupt,
            "temperature": self.temperature,
            "projection": self.projection,
            "model": self.model.settings(),
            "augment": self.model.augment,
            "run": self.run,
        });
        if self.method == Some(Method::Autoencoder) && self.output.config.is_none() {
            // Defaults of its own: those for contrasting views are no good to it.
            let mut own = json!({ "augment": augment_preset("none").ok(), "run": { "optimizer": "adamw", "lr": 0.001 } });
            overlay(&mut own, settings);
            settings = own;
        }
        settings
    }
}

impl FinetuneArgs {
    /// What was given, as a tree to lay over the settings.
    pub fn settings(&self) -> Value {
        json!({
            "from": self.from,
            "task": self.task,
            "labels_per_class": self.labels_per_class,
            "labels": self.labels,
            "loss": self.loss,
            "class_weights": self.class_weights,
            "freeze": self.freeze,
            "encoder_lr_scale": self.encoder_lr_scale,
            "label_smoothing": self.label_smoothing,
            "model": self.model.settings(),
            "augment": self.model.augment,
            "run": self.run,
        })
    }
}
