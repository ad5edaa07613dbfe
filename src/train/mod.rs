//! Training runs: what they are asked to do, the programs they record, the loop that drives them, and what they leave.

mod buckets;
mod checkpoint;
mod driver;
mod embed;
mod evaluation;
mod finetune;
#[cfg(feature = "files")]
mod folder;
mod foreign;
mod keep;
#[cfg(feature = "files")]
mod kept_features;
#[cfg(feature = "files")]
mod language_files;
mod methods;
mod micro;
mod observers;
mod onnx;
mod optimizer;
mod outputs;
mod presets;
mod pretrain;
mod pretrained;
#[cfg(feature = "files")]
mod preview;
#[cfg(feature = "files")]
mod pth;
mod recording;
mod scope;
mod settings;
mod tasks;
mod training;
mod weights;
mod windows;

pub use crate::core::settings::overlay;
pub use checkpoint::{Checkpoint, Record};
pub use driver::{Driver, Session};
pub use embed::Features;
pub use evaluation::{Evaluation, Pass};
pub use finetune::{Finetune, Finetuned, judge, predict_each, scope_score};
#[cfg(feature = "files")]
pub use folder::{RUNS, RunFolder, checkpoint_path, config_of, find_checkpoint, latest, lock_run};
pub use keep::Keep;
pub use methods::{Corruption, METHODS, Method, PretrainMethod};
#[cfg(feature = "files")]
pub use observers::Journal;
#[cfg(feature = "cli")]
pub use observers::Terminal;
pub use observers::{JudgedRow, Judgement, Observer, Outcome, Start, StepRow};
pub use optimizer::OptimizerKind;
pub use outputs::{Outputs, Target};
pub use presets::{AUGMENTATIONS, AugmentPreset, augment_preset};
pub use pretrain::{Pretrain, Pretrained};
#[cfg(feature = "files")]
pub use preview::augmentation_sheet;
pub use recording::Recording;
pub use scope::{Threshold, scope_text};
pub use settings::{
    COLOUR_AUGMENTATION, Checked, DATA_SETTINGS, FinetuneSettings, MICRO_UNIT, MIN_FEW_LABEL_STEPS, PretrainSettings, RunSettings,
    SOUND_AUGMENTATION, Schedule,
};
pub use tasks::{ClassWeights, Details, FinetuneTask, Objective, Prediction, RegressionLoss, Scores, TASKS, Task};
pub use training::{Phase, Plan, RING, Training, TrainingOptions};
#[cfg(feature = "files")]
pub use weights::tokenizer_of;
pub use weights::{Fitted, PUBLISHED_IMAGE, Weights};
