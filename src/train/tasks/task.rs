//! What an entry of the registry of tasks is.

use anyhow::Result;

use super::super::outputs::Outputs;
use super::objective::Objective;
use super::{ClassWeights, RegressionLoss};
use crate::data::{Dataset, Truth, TruthKind};
use crate::models::ModelKind;

/// The settings that only some tasks have.
#[derive(Clone, Debug)]
pub struct TaskSettings<'a> {
    /// The column that is predicted, where one was named.
    pub target: Option<&'a str>,
    pub label_smoothing: f32,
    pub loss: RegressionLoss,
    pub class_weights: ClassWeights,
}

/// A task of fine-tuning.
pub trait FinetuneTask: Sync {
    /// What `--task` and settings call it.
    fn name(&self) -> &'static str;

    /// A sentence for `--help`.
    fn help(&self) -> &'static str;

    /// What checkpoints call a run that has learnt it.
    fn stage(&self) -> &'static str;

    /// What must be known of the samples that it is learnt from.
    fn truth(&self) -> TruthKind;

    /// Of the settings of fine-tuning that only some tasks have, its own by their names.
    fn settings(&self) -> &'static [&'static str];

    /// Names of what [`Objective::judge`] measures.
    fn measures(&self) -> &'static [&'static str];

    /// Whether it is learnt from the maps on an encoder's way, not from its features.
    fn of_maps(&self) -> bool {
        false
    }

    /// Whether it is learnt from an encoder's states of tokens, not from its features.
    fn of_states(&self) -> bool {
        false
    }

    /// Whether it is learnt from an encoder's steps along samples, not from its features.
    fn of_steps(&self) -> bool {
        false
    }

    /// The encoder that learns it from scratch, unless told otherwise.
    fn default_model(&self) -> ModelKind {
        ModelKind::MLP
    }

    /// Whether fine-tuning a pretrained encoder has defaults of its own, chosen on held-out samples.
    fn has_gentle_defaults(&self) -> bool {
        false
    }

    /// The objective of a run that trains on samples of which `train` is known; notes in `outputs` what predictions need. Fails
    /// where there is nothing to learn.
    fn begin(&self, settings: &TaskSettings<'_>, data: &Dataset, train: &Truth, outputs: &mut Outputs) -> Result<Box<dyn Objective>>;

    /// The objective of a run that is done, by what it noted.
    fn recall(&self, outputs: &Outputs) -> Box<dyn Objective>;
}
