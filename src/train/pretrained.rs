//! Defaults for fine-tuning an encoder that is trained already.

use std::path::Path;

#[cfg(feature = "files")]
use anyhow::Context;
use anyhow::Result;

#[cfg(feature = "files")]
use super::folder::{config_of, find_checkpoint};
use super::optimizer::OptimizerKind;
use super::presets::augment_preset;
use super::settings::{FinetuneSettings, RunSettings, Schedule};
#[cfg(feature = "files")]
use super::weights::published_in;
#[cfg(feature = "files")]
use crate::error::UsageError;
use crate::kernels::augment_draw::Ranges;
use crate::models::ModelKind;

/// The augmentation that goes with published weights.
const PHOTOGRAPHS: &str = "photos-medium";

impl FinetuneSettings {
    /// Defaults that suit the task from the encoder that `from` names, a run folder or a checkpoint: for classes, chosen on held-out
    /// images of digits, clothes and flowers; for anything else, the defaults of `scratch`. Fails where the file or the run's
    /// `config.toml` cannot be read.
    pub(super) fn suited_to_encoder(&self) -> Result<Self> {
        let settings = FinetuneSettings { from: self.from.clone(), ..Self::by(self.task) };
        if !self.task.has_gentle_defaults() {
            return Ok(settings);
        }
        let gentle = settings.of_encoder(self.run.optimizer);
        #[cfg(feature = "files")]
        if let Some(kind) = published_in(&find_checkpoint(Path::new(&self.from)).unwrap_or_else(|_| self.from.clone().into()))? {
            // A probe trains no layer of the encoder.
            let published = gentle.of_published(kind, self.has_few_labels());
            return Ok(FinetuneSettings { freeze_until: published.freeze_until.filter(|_| !self.freeze), ..published });
        }
        Ok(FinetuneSettings { augment: weaker_augmentation(Path::new(&self.from))?, ..gentle })
    }

    /// With the learning rates of classes that a pretrained encoder tells apart.
    pub(super) fn of_encoder(self, optimizer: OptimizerKind) -> Self {
        let lr = if optimizer == OptimizerKind::Sgd { 0.03 } else { 0.001 };
        FinetuneSettings { run: RunSettings { lr, optimizer, schedule: Schedule::Cosine, ..self.run }, ..self }
    }

    /// With what keeps a network that others trained on many photographs from forgetting what it knows: its batch norms stay, and the
    /// last of its layers learn. Chosen with EfficientNet-Lite0 on held-out photographs of flowers.
    pub fn of_published(self, kind: ModelKind, few: bool) -> Self {
        let augment = augment_preset(PHOTOGRAPHS).expect("a preset");
        let encoder_lr_scale = if few { 1.0 } else { 0.1 };
        let run = RunSettings { batch: 32, ..self.run };
        FinetuneSettings { freeze_norm: true, freeze_until: kind.trained_from(few), encoder_lr_scale, augment, run, ..self }
    }
}

/// Half of what pretraining varied, which was to make its task hard; what a fine-tuning run varied, as it was. None where no
/// `config.toml` says.
#[cfg(feature = "files")]
fn weaker_augmentation(from: &Path) -> Result<Ranges> {
    let Some(path) = config_of(from) else { return Ok(Ranges::NONE) };
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let read = || -> Result<Ranges, toml::de::Error> {
        let mut config: toml::Table = text.parse()?;
        let Some(augment) = config.remove("augment") else { return Ok(Ranges::NONE) };
        let augment: Ranges = augment.try_into()?;
        let pretrained = config.get("command").and_then(toml::Value::as_str) == Some("pretrain");
        Ok(if pretrained { augment.halved() } else { augment })
    };
    read().map_err(|e| UsageError(format!("{}: {e}", path.display())).into())
}

/// What is in memory alone has no `config.toml`.
#[cfg(not(feature = "files"))]
fn weaker_augmentation(_: &Path) -> Result<Ranges> {
    Ok(Ranges::NONE)
}
