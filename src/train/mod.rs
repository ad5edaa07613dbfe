//! Training runs: what they are asked to do, the programs they record, the loop that drives them, and what they leave.

mod checkpoint;
mod driver;
mod embed;
mod finetune;
mod folder;
mod foreign;
mod methods;
mod micro;
mod optimizer;
mod passes;
mod plan;
mod presets;
mod pretrain;
mod pretrained;
mod preview;
mod recording;
mod settings;
mod shards;
mod task;
mod weights;

pub use crate::core::settings::overlay;
pub use checkpoint::{Checkpoint, Record, Stage, Target};
pub use driver::{Driver, Judgement, Outcome, Session, Terminal};
pub use embed::Features;
pub use finetune::{Finetune, judge, predict_each, predict_images};
pub use folder::{RUNS, RunFolder, checkpoint_path, config_of, find_checkpoint, latest, lock_run};
pub use methods::{Corruption, METHODS, Method, PretrainMethod};
pub use optimizer::OptimizerKind;
pub use passes::{Evaluation, Pass};
pub use plan::{Plan, RING, Training, TrainingOptions};
pub use presets::{AUGMENTATIONS, AugmentPreset, augment_preset};
pub use pretrain::{Pretrain, Pretrained};
pub use preview::augmentation_sheet;
pub use recording::Recording;
pub use settings::{
    COLOUR_AUGMENTATION, Checked, ClassWeights, DATA_SETTINGS, FinetuneSettings, MICRO_UNIT, MIN_FEW_LABEL_STEPS, PretrainSettings,
    RegressionLoss, RunSettings, Schedule,
};
pub use task::{Scores, Task};
pub use weights::{Fitted, Weights};
