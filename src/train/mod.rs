//! Training runs: what they are asked to do, the programs they record, the loop that drives them, and what they leave.

mod checkpoint;
mod driver;
mod finetune;
mod folder;
mod passes;
mod plan;
mod pretrain;
mod settings;
mod task;

pub use checkpoint::{Checkpoint, Record, Stage, Target};
pub use driver::{Driver, Judgement, Outcome, Session, Terminal};
pub use finetune::{Finetune, predict_each, predict_images};
pub use folder::{RunFolder, checkpoint_path, find_checkpoint, latest, next_free};
pub use passes::{Evaluation, Pass};
pub use plan::{Plan, RING, Recording, Training, TrainingOptions};
pub use pretrain::{Pretrain, Pretrained};
pub use settings::{
    ClassWeights, Corruption, FinetuneSettings, MIN_FEW_LABEL_STEPS, Method, OptimizerKind, PretrainSettings, RegressionLoss, RunSettings,
    Schedule, augment_preset, overlay,
};
pub use task::{Scores, Task};
