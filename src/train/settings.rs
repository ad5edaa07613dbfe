//! What a run is asked to do. A run folder's `config.toml` is exactly this, resolved.
//!
//! Flags and files are laid over the defaults as trees of values, so that every setting is declared once.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::checkpoint::Record;
use super::methods::{self, Corruption, Method, Pretext};
use super::optimizer::OptimizerKind;
use super::presets::augment_preset;
use super::tasks::{ClassWeights, RegressionLoss, Task, TaskSettings};
use crate::cache;
use crate::data::{MOST_SIDE, ReadOptions, Split, TruthKind};
use crate::kernels::adam::AdamSettings;
use crate::kernels::augment_draw::Ranges;
use crate::kernels::sgd::SgdSettings;
use crate::models::{ModelKind, ModelSettings, widths_problem};
use crate::ops::Optimizer;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Schedule {
    Constant,
    /// Half a cosine from the full rate to zero.
    Cosine,
}

/// Settings that all training shares.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunSettings {
    /// A folder or a file; the embedded digits if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<PathBuf>,
    /// See [`ReadOptions`], also for the next three.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<[u32; 2]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grey: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bits: Option<u32>,
    pub device: String,
    pub threads: usize,
    pub seed: u64,
    pub epochs: u32,
    /// Overrides `epochs`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub steps: Option<u32>,
    pub batch: u32,
    pub lr: f32,
    pub optimizer: OptimizerKind,
    /// Of SGD.
    pub momentum: f32,
    pub nesterov: bool,
    /// Of Adam.
    pub betas: [f32; 2],
    pub weight_decay: f32,
    pub schedule: Schedule,
    /// Steps of linear rise at the start.
    pub warmup: u32,
    /// 0: no clipping.
    pub clip_norm: f32,
    /// Share of the training images held out for choosing `best`.
    pub val: f64,
    /// Epochs without a better score on what is held out, after which a run stops; 0: it never does.
    #[serde(default)]
    pub patience: u32,
    /// Steps; 0: at the end of epochs, at least 100 steps apart.
    pub checkpoint_every: u32,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PretrainSettings {
    pub method: Method,
    pub temperature: f32,
    /// Of an autoencoder.
    pub corrupt: Corruption,
    /// Widths of the projection head.
    pub projection: Vec<u32>,
    /// A file of weights to begin with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub init_from: Option<PathBuf>,
    /// Samples that pass through the encoder at once, where that is not the whole batch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub micro_batch: Option<u32>,
    pub model: ModelSettings,
    pub run: RunSettings,
    pub augment: Ranges,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FinetuneSettings {
    /// A run folder, a checkpoint, or `scratch`.
    pub from: String,
    pub task: Task,
    /// A file of weights to begin with, where `from` is `scratch`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub init_from: Option<PathBuf>,
    /// All labels if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels_per_class: Option<u32>,
    /// Labelled samples in all; as many as there are if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels: Option<u32>,
    /// Of regression.
    pub loss: RegressionLoss,
    /// Of segmentation.
    pub class_weights: ClassWeights,
    /// Labels in the place of the data's own: a CSV file, see [`Dataset::given_labels`](crate::data::Dataset::given_labels).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pseudo_labels: Option<PathBuf>,
    /// How certain those must be.
    pub min_confidence: f64,
    /// Train the classifier alone (linear probe).
    pub freeze: bool,
    /// Train from this layer on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub freeze_until: Option<String>,
    /// The encoder's learning rate as a share of the classifier's.
    pub encoder_lr_scale: f32,
    /// Steps at the start in which the encoder's weights stay as they are.
    #[serde(default)]
    pub head_steps: u32,
    pub label_smoothing: f32,
    pub model: ModelSettings,
    pub run: RunSettings,
    pub augment: Ranges,
}

/// Micro-batches are multiples of this many samples: so parts of buffers begin where bindings may.
pub const MICRO_UNIT: u32 = 16;

/// With few labels, epochs are counted so that at least this many steps are taken.
pub const MIN_FEW_LABEL_STEPS: u32 = 500;

/// The reference recipe: SGD, learning rate 0.01, momentum 0.9, batch 64, 10 epochs.
fn reference_run() -> RunSettings {
    RunSettings {
        data: None,
        target: None,
        size: None,
        grey: None,
        bits: None,
        device: "auto".into(),
        threads: 0,
        seed: 0,
        epochs: 10,
        steps: None,
        batch: 64,
        lr: 0.01,
        optimizer: OptimizerKind::Sgd,
        momentum: 0.9,
        nesterov: false,
        betas: [0.9, 0.999],
        weight_decay: 0.0,
        schedule: Schedule::Constant,
        warmup: 0,
        clip_norm: 0.0,
        val: 0.0,
        patience: 0,
        checkpoint_every: 0,
    }
}

impl Default for PretrainSettings {
    fn default() -> Self {
        PretrainSettings {
            method: Method::SIMCLR,
            temperature: 0.2,
            corrupt: Corruption::None,
            projection: vec![256, 64],
            init_from: None,
            micro_batch: None,
            model: ModelSettings { kind: ModelKind::CNN, ..ModelSettings::mlp(vec![256, 128]) },
            run: RunSettings {
                epochs: 4,
                batch: 128,
                lr: 0.2,
                weight_decay: 1e-4,
                schedule: Schedule::Cosine,
                warmup: 50,
                val: 0.1,
                ..reference_run()
            },
            augment: augment_preset("strokes").expect("a preset"),
        }
    }
}

impl Default for FinetuneSettings {
    fn default() -> Self {
        FinetuneSettings {
            from: "scratch".into(),
            task: Task::CLASSIFY,
            init_from: None,
            labels_per_class: None,
            labels: None,
            loss: RegressionLoss::Mse,
            class_weights: ClassWeights::None,
            pseudo_labels: None,
            min_confidence: 0.0,
            freeze: false,
            freeze_until: None,
            encoder_lr_scale: 1.0,
            head_steps: 0,
            label_smoothing: 0.0,
            model: ModelSettings::mlp(vec![128]),
            run: reference_run(),
            augment: Ranges::NONE,
        }
    }
}

/// Lays `over` on `base`: tables merge, null leaves alone, anything else replaces.
pub fn overlay(base: &mut Value, over: Value) {
    match (base, over) {
        (_, Value::Null) => {}
        (Value::Object(base), Value::Object(over)) => {
            for (key, value) in over {
                overlay(base.entry(key).or_insert(Value::Null), value);
            }
        }
        (base, over) => *base = over,
    }
}

impl RunSettings {
    /// How the data are read, for a run that needs labels or does not.
    pub fn read_options(&self, want_labels: bool) -> ReadOptions {
        let truth = want_labels.then_some(TruthKind::Classes);
        let (target, size, grey, bits) = (self.target.clone(), self.size, self.grey, self.bits);
        ReadOptions { target, size, grey, bits, truth, want_labels, cache: cache::folder(), ..ReadOptions::default() }
    }

    /// Reads images as those that a checkpoint was trained on, unless told otherwise.
    pub fn read_as(&mut self, record: &Record) {
        if let Some(image) = record.samples.image() {
            self.size.get_or_insert([image.height, image.width]);
            self.grey.get_or_insert(image.channels == 1);
        }
        self.bits = self.bits.or(record.bits);
    }

    /// The first setting that makes no sense, said as a user would say it.
    pub fn problem(&self) -> Option<String> {
        let adam = self.optimizer != OptimizerKind::Sgd;
        let checks = [
            (
                !self.size.is_none_or(|sides| sides.iter().all(|side| (1..=MOST_SIDE).contains(side))),
                "--size must be at least 1 and at most 4096",
            ),
            (!self.bits.is_none_or(|bits| (1..=16).contains(&bits)), "--bits must be at least 1 and at most 16"),
            (self.batch == 0, "--batch must be at least 1"),
            (self.steps == Some(0) || (self.steps.is_none() && self.epochs == 0), "there is nothing to train: --epochs or --steps is 0"),
            (!(self.lr.is_finite() && self.lr > 0.0), "--lr must be a positive number"),
            (!(0.0..1.0).contains(&self.momentum), "--momentum must be at least 0 and below 1"),
            (!(self.weight_decay.is_finite() && self.weight_decay >= 0.0), "--weight-decay must not be negative"),
            (!(self.clip_norm.is_finite() && self.clip_norm >= 0.0), "--clip-norm must not be negative"),
            (!(0.0..0.9).contains(&self.val), "--val is a share of the training images: at least 0 and below 0.9"),
            (self.patience > 0 && self.val == 0.0, "--patience waits for a better score on what --val holds out, and that is nothing"),
            (self.nesterov && self.momentum == 0.0, "--nesterov needs a --momentum"),
            (adam && self.nesterov, "--nesterov is a kind of SGD's momentum: leave it out, or say --optimizer sgd"),
            (adam && self.lr >= 0.1, "Adam moves every weight by up to --lr in each step, which is too far here: try --lr 0.001"),
            (!self.betas.iter().all(|beta| (0.0..1.0).contains(beta)), "--betas must both be at least 0 and below 1"),
        ];
        checks.iter().find(|(wrong, _)| *wrong).map(|(_, text)| text.to_string())
    }

    /// What a user must be told where a share of the training samples was to be held out, and that came to none.
    pub fn nothing_held_out(&self, held_out: &Split, samples: u32) -> Option<String> {
        let said =
            || format!("--val {} of {samples} training samples is none: nothing is held out, and `best` is the last checkpoint", self.val);
        (self.val > 0.0 && held_out.is_empty()).then(said)
    }

    /// What the settings say of the optimiser.
    pub fn update_rule(&self) -> Optimizer {
        let RunSettings { momentum, weight_decay, nesterov, betas, .. } = *self;
        let decoupled = match self.optimizer {
            OptimizerKind::Sgd => return Optimizer::Sgd(SgdSettings { momentum, weight_decay, nesterov, max_norm: self.clip_norm }),
            OptimizerKind::Adam => false,
            OptimizerKind::Adamw => true,
        };
        Optimizer::Adam(AdamSettings { betas, eps: AdamSettings::EPS, weight_decay, decoupled, max_norm: self.clip_norm })
    }

    /// The learning rate of `step` (counted from 0) among `total`.
    pub fn lr_at(&self, step: u32, total: u32) -> f32 {
        let rise = if self.warmup == 0 { 1.0 } else { (f64::from(step + 1) / f64::from(self.warmup)).min(1.0) };
        let fall = match self.schedule {
            Schedule::Constant => 1.0,
            Schedule::Cosine => 0.5 * (1.0 + (std::f64::consts::PI * f64::from(step) / f64::from(total)).cos()),
        };
        (f64::from(self.lr) * rise * fall) as f32
    }
}

impl PretrainSettings {
    /// The defaults of a method.
    pub fn by(method: Method) -> Self {
        let settings = Self::default();
        let recipe = method.recipe();
        PretrainSettings {
            augment: if method.unaugmented().is_some() { Ranges::NONE } else { settings.augment },
            run: RunSettings { optimizer: recipe.optimizer, lr: recipe.lr, ..settings.run },
            method,
            ..settings
        }
    }

    /// What its method knows of a run over so many classes.
    pub fn pretext(&self, classes: u32) -> Pretext<'_> {
        let augmentation = methods::augmentation(self.augment, self.run.seed);
        Pretext { model: &self.model, projection: &self.projection, augmentation, corrupt: self.corrupt, classes }
    }

    /// The first setting that makes no sense.
    pub fn problem(&self) -> Option<String> {
        let cold = !(self.temperature.is_finite() && self.temperature >= 0.01);
        let temperature = cold.then(|| "--temperature must be at least 0.01".to_string());
        let widths = self.model.problem().or_else(|| widths_problem(&self.projection, "--projection"));
        let corrupts = |method: &Method| method.settings().contains(&"corrupt");
        let corrupt = self.corrupt != Corruption::None && !corrupts(&self.method);
        let corrupt = corrupt.then(|| format!("--corrupt is for --method {}", Method::which(corrupts)));
        let method = self.method.unaugmented().filter(|_| !self.augment.is_none()).map(String::from).or(corrupt);
        let found = self.run.problem().or(temperature).or(widths).or(method);
        found.or_else(|| self.micro_batch_problem()).or_else(|| self.augment.problem())
    }

    fn micro_batch_problem(&self) -> Option<String> {
        let micro = self.micro_batch?;
        if micro == 0 || !micro.is_multiple_of(MICRO_UNIT) {
            return Some(format!("--micro-batch must be a multiple of {MICRO_UNIT}"));
        }
        if !self.run.batch.is_multiple_of(micro) {
            return Some(format!("--batch {} is no multiple of --micro-batch {micro}", self.run.batch));
        }
        let compares = |method: &Method| method.comparison().is_some();
        let other = !compares(&self.method);
        other.then(|| format!("--micro-batch is for losses that compare all images of a batch: --method {}", Method::which(compares)))
    }
}

impl FinetuneSettings {
    /// Those that only some tasks have.
    pub fn of_task(&self) -> TaskSettings<'_> {
        let FinetuneSettings { label_smoothing, loss, class_weights, .. } = *self;
        TaskSettings { target: self.run.target.as_deref(), label_smoothing, loss, class_weights }
    }

    /// The learning rates of encoder and head in `step` (counted from 0) among `total`.
    pub fn lrs_at(&self, step: u32, total: u32) -> [f32; 2] {
        let lr = self.run.lr_at(step, total);
        [if step < self.head_steps { 0.0 } else { lr * self.encoder_lr_scale }, lr]
    }

    /// The first setting that makes no sense.
    pub fn problem(&self) -> Option<String> {
        let of_some_tasks = [
            (self.labels_per_class.is_some(), "labels_per_class"),
            (self.pseudo_labels.is_some(), "pseudo_labels"),
            (self.label_smoothing != 0.0, "label_smoothing"),
            (self.loss != RegressionLoss::Mse, "loss"),
            (self.class_weights != ClassWeights::None, "class_weights"),
        ];
        let strange = of_some_tasks.into_iter().find(|(given, setting)| *given && !self.task.settings().contains(setting));
        if let Some((_, setting)) = strange {
            let (flag, tasks) = (setting.replace('_', "-"), Task::which(|task| task.settings().contains(&setting)));
            let instead = if setting == "labels_per_class" { "; --labels says how many in all" } else { "" };
            return Some(format!("--{flag} is for --task {tasks}{instead}"));
        }
        let checks = [
            (self.labels_per_class == Some(0), "--labels-per-class must be at least 1"),
            (self.labels == Some(0), "--labels must be at least 1"),
            (self.labels.is_some() && self.labels_per_class.is_some(), "--labels and --labels-per-class say different things"),
            (self.freeze && self.head_steps > 0, "--freeze trains the head only, throughout: leave out --head-steps, or --freeze"),
            (self.freeze && self.freeze_until.is_some(), "--freeze trains the classifier only: leave out --freeze-until, or --freeze"),
            (
                self.init_from.is_some() && self.from != "scratch",
                "--from goes on with a run of wgraft, --init-from begins with weights of any origin: say one of the two",
            ),
            (!(0.0..=1.0).contains(&self.min_confidence), "--min-confidence is a share: at least 0 and at most 1"),
            (
                self.min_confidence > 0.0 && self.pseudo_labels.is_none(),
                "--min-confidence is about --pseudo-labels; name the file that `label` wrote",
            ),
            (!(0.0..1.0).contains(&self.label_smoothing), "--label-smoothing must be at least 0 and below 1"),
            (!(self.encoder_lr_scale.is_finite() && self.encoder_lr_scale >= 0.0), "--encoder-lr-scale must not be negative"),
        ];
        let found = checks.iter().find(|(wrong, _)| *wrong).map(|(_, text)| text.to_string());
        self.run.problem().or(found).or_else(|| self.model.problem()).or_else(|| self.augment.problem())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlay_keeps_what_is_not_said_and_unknown_keys_are_refused() {
        let mut value = serde_json::to_value(PretrainSettings::default()).expect("plain data");
        overlay(&mut value, serde_json::json!({ "temperature": 0.5, "run": { "seed": 7, "lr": null } }));
        let settings: PretrainSettings = serde_json::from_value(value.clone()).expect("still settings");
        assert_eq!((settings.temperature, settings.run.seed, settings.run.lr), (0.5, 7, PretrainSettings::default().run.lr));
        overlay(&mut value, serde_json::json!({ "run": { "learning_rate": 1 } }));
        let error = serde_json::from_value::<PretrainSettings>(value).expect_err("an unknown key").to_string();
        assert!(error.contains("learning_rate"), "{error}");
    }

    #[test]
    fn settings_that_contradict_each_other_are_named() {
        let micro = |micro, batch, method| {
            let mut settings = PretrainSettings { micro_batch: Some(micro), method, ..Default::default() };
            settings.run.batch = batch;
            settings.problem().unwrap_or_default()
        };
        assert_eq!(micro(32, 128, Method::SIMCLR), "");
        assert!(micro(24, 48, Method::SIMCLR).contains("--micro-batch must be a multiple of 16"));
        assert!(micro(0, 48, Method::SIMCLR).contains("--micro-batch must be a multiple of 16"));
        assert!(micro(32, 48, Method::SIMCLR).contains("--batch 48 is no multiple of --micro-batch 32"));
        assert!(micro(32, 128, Method::SUPERVISED).contains("--method simclr"));

        let problem = |settings: FinetuneSettings| settings.problem().unwrap_or_default();
        let frozen = FinetuneSettings { freeze: true, freeze_until: Some("encoder.1".into()), ..Default::default() };
        assert!(problem(frozen).contains("--freeze-until"));
        let both = FinetuneSettings { from: "runs/pretrain-1".into(), init_from: Some("w.safetensors".into()), ..Default::default() };
        assert!(problem(both).contains("--init-from"));
    }

    #[test]
    fn the_head_learns_alone_at_first() {
        let settings = FinetuneSettings { head_steps: 3, encoder_lr_scale: 0.5, ..Default::default() };
        let encoder = |step| settings.lrs_at(step, 10)[0];
        assert_eq!((encoder(2), encoder(3), settings.lrs_at(2, 10)[1]), (0.0, 0.5 * settings.run.lr, settings.run.lr));
        assert!(FinetuneSettings { freeze: true, ..settings }.problem().is_some_and(|text| text.contains("--head-steps")));
    }

    #[test]
    fn the_schedule_rises_then_falls() {
        let run = RunSettings { lr: 1.0, warmup: 10, schedule: Schedule::Cosine, ..reference_run() };
        assert!((run.lr_at(0, 100) - 0.1).abs() < 1e-6);
        assert!((run.lr_at(50, 100) - 0.5).abs() < 1e-6);
        assert!(run.lr_at(99, 100) < 1e-3);
    }
}
