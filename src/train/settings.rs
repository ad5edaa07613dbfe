//! What a run is asked to do: the declarations of all settings. A run folder's `config.toml` is exactly this, resolved.

use std::path::PathBuf;

use anyhow::Result;

use super::checkpoint::Record;
use super::methods::{self, Corruption, METHODS, Method, Pretext};
use super::optimizer::OptimizerKind;
use super::presets::augment_preset;
use super::tasks::{ClassWeights, RegressionLoss, TASKS, Task, TaskSettings};
use super::weights::beginning;
use crate::core::sample::{SampleType, Subject};
use crate::core::settings::{self, Settings};
use crate::data::{MOST_SIDE, Masking, ReadOptions, Resize, Spectrogram, Split, TruthKind};
use crate::error::UsageError;
use crate::exec::DeviceSpec;
use crate::kernels::adam::AdamSettings;
use crate::kernels::augment_draw::Ranges;
use crate::kernels::sgd::SgdSettings;
use crate::models::{ModelKind, ModelSettings};
use crate::ops::Optimizer;
use crate::{settings, variants};

variants! {
    /// How the learning rate goes on after the warm-up.
    pub enum Schedule {
        /// It stays.
        Constant = "constant",
        /// Half a cosine from the full rate to zero.
        Cosine = "cosine",
    }
}

settings! {
    /// Settings that all training shares. Defaults are the reference recipe.
    pub struct RunSettings {
        /// Images: a folder of PNG and JPEG files, a .tar.gz of one, MNIST's IDX or CIFAR-10's binary files. Sounds: a folder of WAV, FLAC
        /// or MP3 files. Texts: a CSV, TSV or JSON
        /// Lines file, plain lines, a folder of .txt files for each class, or CoNLL files of words with tags
        data: Option<PathBuf> = None => value("PATH").absent("the embedded digits; of a run folder, its own"),
        /// Column that is to be predicted: of texts, of a table, or of the index.csv of an image folder
        target: Option<String> = None => value("COLUMN").absent("of texts, the one that is called label, class or the like"),
        /// Column that has the texts
        text: Option<String> = None => value("COLUMN").absent("the one that is called text or the like, or has most words"),
        /// Lines of plain text up to a blank one are one text
        documents: Option<bool> = None => absent("if they are three or more on average"),
        /// Size that images get; of sounds, pitches and moments
        size: Option<[u32; 2]> = None
            => value("SIDE|HEIGHTxWIDTH").absent("that of the weights that are begun with, else the one that all have and that is no larger than 256, else 32; of sounds, 40x32").at_least(1.0).at_most(MOST_SIDE as f64),
        /// Read images as grey, or with `false` as colour
        grey: Option<bool> = None => absent("as most are"),
        /// Bits of each value of a picture that are used, for instance 12 of a microscope's 16; stretched over the whole range
        bits: Option<u32> = None => absent("all").at_least(1.0).at_most(16.0),
        /// How pictures of other proportions get their size: letterbox has borders, crop takes the middle; crop:SHARE:FILTER takes that share
        /// of what the size would hold and scales by a filter, bilinear or bicubic
        resize: Option<Resize> = None => value("letterbox|crop").absent("as for the weights that are begun with, else letterbox"),
        /// Samples per second that sounds get
        rate: Option<u32> = None
            => value("HERTZ").absent("that of the run that is begun with, else that of most sounds, at most 16000").at_least(*Spectrogram::RATES.start() as f64).at_most(*Spectrogram::RATES.end() as f64),
        /// auto, cpu, an index, or BACKEND:NAME, for instance vulkan:llvmpipe (see `devices`)
        device: String = "auto".into() => read_by(|word| word.parse::<DeviceSpec>().map(|_| word.into())),
        /// Threads of the CPU path; 0 is all cores
        threads: usize = 0,
        /// Seed of everything random; equal seeds give equal bits on one device
        seed: u64 = 0,
        /// Passes over the training images
        epochs: u32 = 10 => instead_of("steps"),
        /// Steps, instead of epochs
        steps: Option<u32> = None => at_least(1.0),
        /// Images per step
        batch: u32 = 64 => at_least(1.0),
        /// Learning rate
        lr: f32 = 0.01 => positive(),
        /// What makes steps of gradients
        optimizer: OptimizerKind = OptimizerKind::Sgd,
        /// Momentum of SGD
        momentum: f32 = 0.9 => at_least(0.0).below(1.0),
        /// Nesterov's momentum
        nesterov: bool = false,
        /// How much of its two moments Adam keeps from step to step, separated by a comma
        betas: [f32; 2] = [0.9, 0.999] => value("BETA1,BETA2").at_least(0.0).below(1.0),
        /// Share of the values that dropout makes zero in training, for --model transformer, gru, lstm and bert
        dropout: Option<f32> = None => value("SHARE").absent("0.1 of a transformer, of gru and of lstm, and of --method simcse; else 0").at_least(0.0).below(1.0),
        /// L2 penalty, added to gradients; with adamw, the share of the weights that a step takes away, times --lr
        weight_decay: f32 = 0.0 => at_least(0.0),
        /// How the learning rate goes on after the warm-up
        schedule: Schedule = Schedule::Constant,
        /// Steps over which the learning rate rises at the start
        warmup: u32 = 0 => value("STEPS"),
        /// Scale gradients down to this norm; 0 leaves them alone
        clip_norm: f32 = 0.0 => value("NORM").at_least(0.0),
        /// Share of the training images held out, by seed, to choose the best checkpoint
        val: f64 = 0.0 => value("FRACTION").at_least(0.0).below(0.9),
        /// Stop early, after this many epochs without a better score on the held-out images; 0 never does
        patience: u32 = 0 => value("EPOCHS"),
        /// Steps between checkpoints; 0 saves at ends of epochs, at least 100 steps apart
        checkpoint_every: u32 = 0 => value("STEPS"),
    }
}

settings! {
    /// What `pretrain` is asked to do.
    pub struct PretrainSettings {
        /// How to pretrain
        method: Method = Method::SIMCLR,
        /// Temperature of the contrastive loss
        temperature: f32 = 0.2 => at_least(0.01).idle(),
        /// What an autoencoder sees of an image
        corrupt: Corruption = Corruption::None,
        /// Widths of the projection head, separated by commas; none leaves it out
        projection: Vec<u32> = vec![256, 64] => value("WIDTHS").at_least(1.0).or_none().idle(),
        /// Begin with the weights in a file: safetensors or .pth, of torchvision, of timm or of a run
        init_from: Option<PathBuf> = None => value("FILE"),
        /// Images that pass through the encoder at once, where the whole --batch is too large for that; its gradient stays that of the
        /// whole
        micro_batch: Option<u32> = None => value("IMAGES").absent("the whole batch"),
        /// The encoder.
        model: ModelSettings = ModelSettings::default(),
        /// What all training shares.
        run: RunSettings = RunSettings {
            epochs: 4,
            batch: 128,
            lr: 0.2,
            weight_decay: 1e-4,
            schedule: Schedule::Cosine,
            warmup: 50,
            val: 0.1,
            ..RunSettings::default()
        },
        /// How training images are varied; the table `augment` of a --config file says it number by number
        augment: Ranges = preset("strokes") => value("NAME"),
    }
}

settings! {
    /// What `finetune` is asked to do.
    pub struct FinetuneSettings {
        /// A run folder, a checkpoint file, or `scratch`
        from: String = "scratch".into() => value("RUN|FILE|scratch"),
        /// What to learn
        task: Task = Task::CLASSIFY,
        /// Begin with the weights in a file, with --from scratch: safetensors or .pth, of torchvision, of timm or of a run
        init_from: Option<PathBuf> = None => value("FILE"),
        /// Train on this many labelled images of each class, drawn by seed
        labels_per_class: Option<u32> = None => value("N").absent("all").at_least(1.0),
        /// Train on this many labelled samples in all, drawn by seed
        labels: Option<u32> = None => value("N").absent("all").at_least(1.0),
        /// What regression makes small
        loss: RegressionLoss = RegressionLoss::Mse,
        /// What the classes of pixels count in segmentation
        class_weights: ClassWeights = ClassWeights::None,
        /// Train on the labels in this CSV file, as `label` writes it, in the place of the data's own
        pseudo_labels: Option<PathBuf> = None => value("FILE.csv"),
        /// Of those labels, leave out what is less certain than this (0 to 1)
        min_confidence: f64 = 0.0 => value("SHARE").at_least(0.0).at_most(1.0),
        /// Train the classifier only (linear probe)
        freeze: bool = false,
        /// Train from this layer on; those before it keep their weights and statistics (names as in the checkpoint, for instance
        /// layer3, or encoder.layer2)
        freeze_until: Option<String> = None => value("LAYER"),
        /// Batch norm of trained layers normalises by the running statistics that the encoder came with, which stay as they are
        freeze_norm: bool = false,
        /// The encoder's learning rate as a share of the classifier's
        encoder_lr_scale: f32 = 1.0 => value("SHARE").at_least(0.0),
        /// Steps at the start in which the head learns alone
        head_steps: u32 = 0 => value("STEPS"),
        /// A class whose samples belong to none of the others: they are not learnt, and choose, with what --val holds out, the threshold
        /// of `predict --threshold auto`
        out_of_scope: Option<String> = None => value("CLASS"),
        /// Share of the target spread over all classes
        label_smoothing: f32 = 0.0 => at_least(0.0).below(1.0),
        /// The encoder.
        model: ModelSettings = ModelSettings::mlp(vec![128]),
        /// What all training shares.
        run: RunSettings = RunSettings::default(),
        /// How training images are varied; the table `augment` of a --config file says it number by number. Classes learnt --from a
        /// pretrained run get half of what that varied
        augment: Ranges = Ranges::NONE => value("NAME"),
    }
}

/// Settings of a run that say how data are read.
pub const DATA_SETTINGS: &[&str] = &["data", "target", "text", "documents", "size", "grey", "bits", "resize", "rate"];

/// Micro-batches are multiples of this many samples: so parts of buffers begin where bindings may.
pub const MICRO_UNIT: u32 = 16;

/// With few labels, epochs are counted so that at least this many steps are taken.
pub const MIN_FEW_LABEL_STEPS: u32 = 500;

/// The same, of a network that others have trained.
pub const MIN_PUBLISHED_STEPS: u32 = 200;

/// The augmentation of pretraining on images in colour, where nobody chose another.
pub const COLOUR_AUGMENTATION: &str = "photos-strong";

/// The augmentation of pretraining on sounds, where nobody chose another.
pub const SOUND_AUGMENTATION: &str = "sounds";

/// Steps of pretraining on texts, and features of the encoder, by default.
const TEXT_STEPS: u32 = 1000;
const TEXT_FEATURES: u32 = 256;

/// Steps of pretraining on sounds, by default.
const SOUND_STEPS: u32 = 400;

/// Learning rate of states of tokens that are learnt from scratch.
const STATES_LR: f32 = 5e-4;
/// Where letters are learnt.
const STEPS_LR: f32 = 2e-3;

fn preset(name: &str) -> Ranges {
    augment_preset(name).expect("a preset")
}

/// Settings that were found to make sense: what a run is made of.
#[derive(Clone, Debug)]
pub struct Checked<T>(T);

impl<T> Checked<T> {
    pub fn into_inner(self) -> T {
        self.0
    }
}

/// The encoder of texts that nobody chose another for.
fn of_texts(kind: ModelKind, model: ModelSettings) -> ModelSettings {
    ModelSettings { kind, features: TEXT_FEATURES, ..model }
}

/// The first of the checks that found something wrong.
fn first<const N: usize>(checks: [(bool, &str); N]) -> Option<String> {
    checks.into_iter().find(|(wrong, _)| *wrong).map(|(_, text)| text.to_string())
}

impl RunSettings {
    /// How the data are read, for a run that needs labels or does not.
    pub fn read_options(&self, want_labels: bool) -> ReadOptions {
        let truth = want_labels.then_some(TruthKind::Classes);
        let (target, text, size, grey, bits) = (self.target.clone(), self.text.clone(), self.size, self.grey, self.bits);
        let resize = self.resize.unwrap_or_default();
        let (documents, rate) = (self.documents, self.rate);
        ReadOptions { target, text, documents, size, grey, bits, resize, rate, truth, want_labels, ..ReadOptions::default() }
    }

    /// Reads images as those that a checkpoint was trained on, unless told otherwise.
    pub fn read_as(&mut self, record: &Record) {
        if let Some(image) = record.samples.image() {
            self.size.get_or_insert([image.height, image.width]);
            self.grey.get_or_insert(image.channels == 1);
        }
        self.bits = self.bits.or(record.bits);
        self.rate = self.rate.or(record.sound_form.map(|form| form.rate()));
        self.resize = self.resize.or(Some(record.resize).filter(|resize| *resize != Resize::Letterbox));
    }

    /// The rate of dropout in training such a model, where `usual` is another than its own.
    pub fn dropout_of(&self, model: &ModelSettings, usual: Option<f32>) -> f32 {
        self.dropout.or(usual).or(model.kind.dropout()).unwrap_or(0.0)
    }

    /// What is wrong where a network is to drop values that has no dropout.
    pub fn dropout_problem(&self, model: &ModelSettings) -> Option<String> {
        (self.dropout.is_some() && model.kind.dropout().is_none())
            .then(|| format!("--dropout means nothing to {model}, which drops nothing"))
    }

    /// Settings that do not go together.
    fn contradiction(&self) -> Option<String> {
        let adam = self.optimizer != OptimizerKind::Sgd;
        first([
            (self.steps.is_none() && self.epochs == 0, "there is nothing to train: --epochs is 0"),
            (self.patience > 0 && self.val == 0.0, "--patience waits for a better score on what --val holds out, and that is nothing"),
            (self.nesterov && self.momentum == 0.0, "--nesterov needs a --momentum"),
            (adam && self.nesterov, "--nesterov is a kind of SGD's momentum: leave it out, or say --optimizer sgd"),
            (adam && self.lr >= 0.1, "Adam moves every weight by up to --lr in each step, which is too far here: try --lr 0.001"),
        ])
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

impl Settings for RunSettings {}

impl Settings for PretrainSettings {
    fn defaults() -> Vec<(String, Self)> {
        let by = |method: &Method| (format!("--method {method}"), Self::by(*method));
        let colour = PretrainSettings { augment: preset(COLOUR_AUGMENTATION), ..Self::default() };
        let all = std::iter::once((String::new(), Self::default())).chain(METHODS.iter().map(by));
        all.chain([("images in colour".into(), colour)]).collect()
    }

    fn suited(&self) -> Result<Self> {
        let settings = Self::by(self.method);
        let (model, resize) = beginning(self.init_from.as_deref(), settings.model)?;
        Ok(PretrainSettings { model, run: RunSettings { resize, ..settings.run }, ..settings })
    }

    /// The default augmentation is for what is drawn in strokes.
    fn suited_to(&self, kind: SampleType, subject: Subject) -> Option<Self> {
        match kind {
            SampleType::Image(_) if subject == Subject::Sounds => Some(self.clone().of_sounds()),
            SampleType::Image(image) if image.channels > 1 && self.method.unaugmented().is_none() => {
                Some(PretrainSettings { augment: preset(COLOUR_AUGMENTATION), ..self.clone() })
            }
            SampleType::Tokens { .. } => Some(self.clone().of_texts()),
            _ => None,
        }
    }
}

impl PretrainSettings {
    /// With what was best for spoken digits.
    fn of_sounds(self) -> Self {
        let plain = self.method.unaugmented().is_some();
        let recipe = self.method.recipe();
        let lr = if recipe.optimizer == OptimizerKind::Sgd { recipe.lr / 2.0 } else { recipe.lr };
        let run = RunSettings { steps: Some(SOUND_STEPS), lr, ..self.run };
        PretrainSettings { augment: if plain { Ranges::NONE } else { preset(SOUND_AUGMENTATION) }, run, ..self }
    }

    /// With what was best for sentences: half of the words left out of each view, no head between features and loss.
    fn of_texts(self) -> Self {
        let run =
            RunSettings { batch: 256, steps: Some(TEXT_STEPS), optimizer: OptimizerKind::Adamw, lr: 0.002, weight_decay: 0.0, ..self.run };
        let published = self.init_from.is_some() && !self.model.kind.published().is_empty();
        let recipe = self.method.recipe();
        let ordered = self.method.encoder_of_texts() != ModelKind::BAG;
        let run = RunSettings {
            lr: if published {
                5e-5
            } else if ordered {
                recipe.lr
            } else {
                run.lr
            },
            ..run
        };
        let model = if self.init_from.is_some() { self.model } else { of_texts(self.method.encoder_of_texts(), self.model) };
        let augment = if self.method.unaugmented().is_some() { Ranges::NONE } else { preset("words") };
        PretrainSettings { augment, projection: Vec::new(), model, run, ..self }
    }

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
    pub fn pretext(&self, classes: u32, masking: Option<Masking>) -> Pretext<'_> {
        let augmentation = methods::augmentation(self.augment, self.run.seed);
        let dropout = self.run.dropout_of(&self.model, self.method.dropout());
        Pretext { model: &self.model, projection: &self.projection, augmentation, corrupt: self.corrupt, dropout, masking, classes }
    }

    /// The first setting that makes no sense.
    pub fn problem(&self) -> Option<String> {
        let augmented = || self.method.unaugmented().filter(|_| !self.augment.is_none()).map(String::from);
        let found = settings::problem(self).or_else(|| self.run.contradiction()).or_else(augmented);
        found.or_else(|| self.micro_batch_problem()).or_else(|| self.model.problem()).or_else(|| self.augment.problem())
    }

    /// For [`Pretrain::prepare`](super::Pretrain::prepare). Fails where a setting makes no sense.
    pub fn checked(self) -> Result<Checked<Self>, UsageError> {
        self.check()?;
        Ok(Checked(self))
    }

    /// Fails where a setting makes no sense.
    pub fn check(&self) -> Result<(), UsageError> {
        self.problem().map_or(Ok(()), |problem| Err(UsageError(problem)))
    }

    fn micro_batch_problem(&self) -> Option<String> {
        let (micro, batch) = (self.micro_batch?, self.run.batch);
        if micro == 0 || !micro.is_multiple_of(MICRO_UNIT) {
            return Some(format!("--micro-batch must be a multiple of {MICRO_UNIT}"));
        }
        (!batch.is_multiple_of(micro)).then(|| format!("--batch {batch} is no multiple of --micro-batch {micro}"))
    }
}

impl Settings for FinetuneSettings {
    fn defaults() -> Vec<(String, Self)> {
        let by = |task: &Task| (format!("--task {task}"), Self::by(*task));
        let all = std::iter::once((String::new(), Self::default())).chain(TASKS.iter().map(by));
        all.chain([("classes from a pretrained run".into(), Self::default().of_encoder(OptimizerKind::Sgd))]).collect()
    }

    fn suited(&self) -> Result<Self> {
        if self.from != "scratch" {
            return self.suited_to_encoder();
        }
        let settings = Self::by(self.task);
        let (model, resize) = beginning(self.init_from.as_deref(), settings.model)?;
        // Masks are of whole pictures.
        let resize = resize.filter(|_| !self.task.of_maps());
        Ok(FinetuneSettings { model, run: RunSettings { resize, ..settings.run }, ..settings })
    }

    fn suited_to(&self, kind: SampleType, subject: Subject) -> Option<Self> {
        let begun = self.from != "scratch" || self.init_from.is_some();
        let published = begun && !self.model.kind.published().is_empty();
        if matches!(kind, SampleType::Frames { .. }) {
            return Some(self.clone().of_frames(begun));
        }
        if subject == Subject::Sounds && (!begun || published || self.init_from.is_some()) {
            // A pretrained run of ours has an augmentation of its own.
            // Letters of voices that were never heard were more often right with the stronger one.
            let augment = preset(if self.task.of_steps() { "sounds" } else { "sounds-light" });
            return Some(FinetuneSettings { augment, ..self.clone() });
        }
        matches!(kind, SampleType::Tokens { .. }).then(|| if published { self.clone().of_language() } else { self.clone().of_texts() })
    }
}

impl FinetuneSettings {
    /// With what was best for sentences.
    fn of_texts(self) -> Self {
        let begun = self.from != "scratch" || self.init_from.is_some();
        let run = RunSettings { optimizer: OptimizerKind::Adamw, lr: 0.002, schedule: Schedule::Cosine, ..self.run };
        if self.task.of_states() {
            // Each word is wanted.
            return FinetuneSettings { augment: Ranges::NONE, run: RunSettings { lr: STATES_LR, batch: 32, ..run }, ..self };
        }
        let model = if begun { self.model } else { of_texts(ModelKind::BAG, self.model) };
        FinetuneSettings { augment: preset("words-light"), model, run, ..self }
    }

    /// With what was best for a published network of sounds, of a few tried on held-out recordings of digits; frames are not varied.
    fn of_frames(self, begun: bool) -> Self {
        let freeze_until = if self.freeze || !begun { None } else { self.model.kind.trained_from(self.has_few_labels()) };
        let run = RunSettings { optimizer: OptimizerKind::Adamw, lr: 1e-3, schedule: Schedule::Cosine, batch: 32, ..self.run };
        let encoder_lr_scale = if begun { 0.3 } else { self.encoder_lr_scale };
        FinetuneSettings { augment: Ranges::NONE, encoder_lr_scale, freeze_norm: false, freeze_until, run, ..self }
    }

    /// With what was best for a published language network.
    fn of_language(self) -> Self {
        let freeze_until = if self.freeze { None } else { self.model.kind.trained_from(self.has_few_labels()) };
        let run = RunSettings { optimizer: OptimizerKind::Adamw, lr: 3e-3, schedule: Schedule::Cosine, batch: 32, ..self.run };
        FinetuneSettings { augment: Ranges::NONE, encoder_lr_scale: 0.1, freeze_norm: false, freeze_until, run, ..self }
    }

    /// The defaults of a task.
    pub fn by(task: Task) -> Self {
        let settings = Self::default();
        let model = ModelSettings { kind: task.default_model(), ..settings.model };
        let run = if task.of_steps() {
            // Rates that shrink: letters are told apart late.
            RunSettings { optimizer: OptimizerKind::Adamw, lr: STEPS_LR, schedule: Schedule::Cosine, batch: 32, epochs: 30, ..settings.run }
        } else {
            settings.run
        };
        FinetuneSettings { task, model, run, ..settings }
    }

    /// Whether it is told to train on some of the labels alone.
    pub fn has_few_labels(&self) -> bool {
        self.labels.is_some() || self.labels_per_class.is_some()
    }

    /// Reads images as those that a checkpoint was trained on, unless told otherwise. Returns what a user should know.
    pub fn read_as(&mut self, record: &Record) -> Option<String> {
        let given = self.run.resize;
        self.run.read_as(record);
        // Masks are of whole pictures.
        let whole = self.task.of_maps() && given.is_none() && self.run.resize.take().is_some();
        whole.then(|| {
            format!(
                "masks are of whole pictures: they get borders (--resize letterbox), those of {} had --resize {}",
                self.from, record.resize
            )
        })
    }

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
        let contradiction = || {
            first([
                (self.labels.is_some() && self.labels_per_class.is_some(), "--labels and --labels-per-class say different things"),
                (self.freeze && self.head_steps > 0, "--freeze trains the head only, throughout: leave out --head-steps, or --freeze"),
                (self.freeze && self.freeze_until.is_some(), "--freeze trains the classifier only: leave out --freeze-until, or --freeze"),
                (
                    self.init_from.is_some() && self.from != "scratch",
                    "--from goes on with a run of wgraft, --init-from begins with weights of any origin: say one of the two",
                ),
                (
                    self.out_of_scope.is_some() && self.run.val == 0.0,
                    "--out-of-scope chooses a threshold on what --val holds out, and that is nothing: try --val 0.1",
                ),
                (
                    self.min_confidence > 0.0 && self.pseudo_labels.is_none(),
                    "--min-confidence is about --pseudo-labels; name the file that `label` wrote",
                ),
            ])
        };
        let found = settings::problem(self).or_else(|| self.run.contradiction()).or_else(contradiction);
        found.or_else(|| self.model.problem()).or_else(|| self.augment.problem())
    }

    /// For [`Finetune::prepare`](super::Finetune::prepare). Fails where a setting makes no sense.
    pub fn checked(self) -> Result<Checked<Self>, UsageError> {
        self.check()?;
        Ok(Checked(self))
    }

    /// Fails where a setting makes no sense.
    pub fn check(&self) -> Result<(), UsageError> {
        self.problem().map_or(Ok(()), |problem| Err(UsageError(problem)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::settings::overlay;

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
        let run = RunSettings { lr: 1.0, warmup: 10, schedule: Schedule::Cosine, ..RunSettings::default() };
        assert!((run.lr_at(0, 100) - 0.1).abs() < 1e-6);
        assert!((run.lr_at(50, 100) - 0.5).abs() < 1e-6);
        assert!(run.lr_at(99, 100) < 1e-3);
    }
}
