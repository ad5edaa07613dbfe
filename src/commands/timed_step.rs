//! The training step that `profile` and `tune` are about.

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::{LabelSource, Makers, load_data, resolve};
use crate::cli::{StepArgs, Verb, suits};
use crate::core::memory::HostMem;
use crate::error::UsageError;
use crate::exec::{Device, Span};
use crate::ops::Clock;
use crate::say;
use crate::train::{Finetune, FinetuneSettings, Plan, Pretrain, PretrainSettings, overlay};

/// Steps of the recorded run: more than anyone times.
const STEPS: u32 = 1 << 17;

/// A run of which one step is wanted.
pub struct TimedStep {
    pub title: String,
    pub plan: Plan,
}

impl TimedStep {
    pub fn open(args: &StepArgs, device: &Device) -> Result<Self> {
        let config = args.run.as_ref().map(|run| run.join("config.toml"));
        let of = match &config {
            None => args.of,
            Some(path) => {
                let text = std::fs::read_to_string(path).map_err(|e| UsageError(format!("{} is no run folder: {e}", path.display())))?;
                let command = toml::from_str::<toml::Table>(&text).ok().and_then(|t| Some(t.get("command")?.as_str()? == "finetune"));
                match command.with_context(|| UsageError(format!("{} does not say which verb it is of", path.display())))? {
                    true => Verb::Finetune,
                    false => Verb::Pretrain,
                }
            }
        };
        let mut flags = json!({ "run": { "steps": STEPS, "device": args.device.device } });
        overlay(&mut flags, args.step.given.clone());
        overlay(&mut flags["run"], args.data.given.clone());
        let limit = device.binding_limit();
        let (plan, model, verb) = match of {
            Verb::Pretrain => {
                let (mut settings, said): (PretrainSettings, _) = resolve("pretrain", config.as_deref(), &flags)?;
                said.check_early(&settings, PretrainSettings::check)?;
                suits(&flags["model"], &settings.model, "the encoder")?;
                let makers =
                    Makers::to_begin_with(settings.init_from.as_deref())?.wanted(&settings, Some(&said), |settings| settings.model.kind)?;
                let data = load_data(&settings.run, LabelSource::needed(settings.method.needs_labels()), makers)?;
                super::pretrain::suit(&mut settings, &said, &data)?;
                let pretrain = Pretrain::prepare(settings.checked()?, &data, limit)?;
                (pretrain.plan, pretrain.settings.model, "pretrain")
            }
            Verb::Finetune => {
                // The weights do not matter, their shapes do: a pretrained encoder's model is in its checkpoint.
                if config.is_none() {
                    flags["from"] = Value::from("scratch");
                }
                let (mut settings, said): (FinetuneSettings, _) = resolve("finetune", config.as_deref(), &flags)?;
                said.check_early(&settings, FinetuneSettings::check)?;
                suits(&flags["model"], &settings.model, "the encoder")?;
                let pretrained = super::finetune::load_pretrained(&settings.from, settings.run.size)?;
                pretrained.iter().filter_map(|checkpoint| settings.read_as(&checkpoint.record)).for_each(|note| say!("{note}"));
                let data = super::finetune::labelled_data(&mut settings, Some(&said), pretrained.as_ref())?;
                said.suit(&mut settings, data.train.kind(), data.subject())?;
                let finetune = Finetune::prepare(settings.checked()?, &data, pretrained, limit)?;
                (finetune.plan, finetune.settings.model, "finetune")
            }
        };
        let of = match &plan.training.kinds()[..] {
            [_] => String::new(),
            _ => format!(" of {} of {}", plan.training.kind_of(0).called(), plan.training.kind_of(0)),
        };
        let title = format!("{verb} step, {model}, batch {}{of}", plan.training.batch);
        Ok(TimedStep { title, plan })
    }

    /// The work of one step.
    pub fn spans(&self) -> Vec<Span> {
        self.plan.training.spans(&self.plan.programs, 0, 1)
    }

    /// First contents of its buffers, with a learning rate of zero: timing moves no weight.
    pub fn memory(&self) -> HostMem {
        self.plan.memory(&|step| Clock::row(0.5, &[0.0, 0.0], &self.plan.settings.update_rule(), step))
    }
}
