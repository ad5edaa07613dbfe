//! Fine-tuning: an encoder, pretrained or from scratch, and a head for some task, trained on what is known. Test samples are only
//! ever evaluated, after training.

use std::cell::Cell;

use anyhow::{Result, ensure};

use super::checkpoint::{Checkpoint, Record};
use super::driver::{Driver, Session};
use super::embed::LengthParts;
use super::evaluation::{Pass, Recalibration};
use super::methods;
use super::methods::images;
use super::observers::{Judgement, Outcome};
use super::recording::Recording;
use super::scope::Threshold;
use super::settings::{Checked, FinetuneSettings, MIN_FEW_LABEL_STEPS, MIN_PUBLISHED_STEPS};
use super::tasks::{BatchOutput, Objective, Prediction, Scores, Task};
use super::training::{Plan, Training, TrainingOptions};
use super::weights::Weights;
use super::windows::{Shards, watched};
use crate::core::buffer::{Role, is_of};
use crate::core::sample::SampleType;
use crate::data::{Dataset, Split};
use crate::error::UsageError;
use crate::exec::{Device, Executor, Programs};
use crate::metrics::{InScope, ScopeScore};
use crate::models::{self, ModelSettings, Place};
use crate::ops::{Clock, DataBufs, DropoutStep, Form, Statistics, batch_samples};

/// A fine-tuning run, recorded for one device.
pub struct Finetune {
    pub settings: FinetuneSettings,
    pub plan: Plan,
    /// Labelled samples that are trained on.
    pub labelled: u32,
    pub objective: Box<dyn Objective>,
    /// What a user should know before it starts.
    pub notes: Vec<String>,
    pretrained: Option<Checkpoint>,
    recalibration: Option<Recalibration>,
    held_out: Option<Known>,
    /// Training samples of none of the classes.
    out_of_scope: Option<Known>,
    test: Option<Known>,
}

/// What a run came to.
pub struct Finetuned {
    pub outcome: Outcome,
    /// By the best weights, where there is something to test.
    pub test: Option<Scores>,
    /// Of classes, where samples were held out; `None` of a run that was interrupted.
    pub threshold: Option<Threshold>,
}

/// Samples with the truth to compare predictions with.
struct Known {
    shards: Shards,
    pass: Pass,
    samples: Split,
}

impl Known {
    /// `None` if there are no samples or no truth about them.
    fn record(
        r: &mut Recording,
        name: &str,
        split: &Split,
        model: &ModelSettings,
        task: Task,
        objective: &dyn Objective,
    ) -> Result<Option<Self>> {
        if split.is_empty() || !split.truth.knows(task.truth()) {
            return Ok(None);
        }
        Ok(Some(Self::of(r, name, split, model, objective)?))
    }

    /// Of samples, at least one.
    fn of(r: &mut Recording, name: &str, split: &Split, model: &ModelSettings, objective: &dyn Objective) -> Result<Self> {
        let shards = Shards::declare(r, name, &split.bare(), u32::MAX);
        let pass = outputs(r, shards.data, name, shards.size, model, objective)?;
        Ok(Known { shards, pass, samples: split.clone() })
    }
}

/// A pass that leaves the outputs for the first `count` samples of `data`.
fn outputs(r: &mut Recording, data: DataBufs, name: &str, count: u32, model: &ModelSettings, objective: &dyn Objective) -> Result<Pass> {
    let places = [models::ENCODER, models::HEAD].map(Place::evaluation);
    Ok(Pass::record(r, name, data, count, &|t, batch, _, _| {
        let x = batch_samples(t, batch, model.kind.form());
        objective.output(t, model, places, x)
    })?)
}

/// Layers by the first words of their names, in order: for people to choose from.
fn outlined(layers: &[String]) -> String {
    let outline = |name: &String| {
        let words = if name.starts_with("encoder.") { 2 } else { 1 };
        name.split('.').take(words).collect::<Vec<_>>().join(".")
    };
    let mut names: Vec<String> = layers.iter().map(outline).collect();
    names.dedup();
    names.join(", ")
}

impl Finetune {
    /// Records the run. `pretrained` is what `settings.from` names; its encoder sets the model.
    pub fn prepare(
        settings: Checked<FinetuneSettings>,
        data: &Dataset,
        pretrained: Option<Checkpoint>,
        binding_limit: u64,
    ) -> Result<Self> {
        let mut settings = settings.into_inner();
        let run = settings.run.clone();
        if let Some(checkpoint) = &pretrained {
            let (ours, theirs) = (data.train.kind(), checkpoint.record.samples);
            ensure!(theirs.takes(ours), "{} was trained on samples of {theirs}, {} has {ours}", settings.from, data.name);
            settings.model = checkpoint.record.model.clone();
        }
        suits(&settings, data)?;
        let weights = Weights::of(settings.init_from.as_deref(), &mut settings.model, &data.train)?;
        let (rest, held_out) = data.train.hold_out(run.val, run.seed);
        let train = match (settings.labels_per_class, settings.labels) {
            (Some(count), _) => rest.per_class(count, &data.class_names, run.seed)?,
            (None, Some(count)) => rest.some(count, run.seed)?,
            (None, None) => rest.clone(),
        };
        let labelled = train.len();
        let few = settings.has_few_labels();
        let repeated = !few && run.batch > train.len();
        let few = few || repeated;
        let mut record = Record::new(Some(settings.task), &settings.model, train.kind(), data.classes, run.seed);
        let objective = settings.task.begin(&settings.of_task(), data, &train.truth, &mut record.outputs)?;
        (record.encoding, record.tokenizer) = (data.encoding.clone(), data.tokenizer.clone());
        (record.data, record.bits) = (Some(data.fingerprint()), run.bits);
        record.resize = run.resize.unwrap_or_default();
        record.take_sounds(data.sound_form);
        record.outputs.out_of_scope.clone_from(&settings.out_of_scope);
        let mut r = Recording::new(run.seed, binding_limit);
        let both = [models::ENCODER, models::HEAD];
        if let Some(layer) = &settings.freeze_until {
            let layers = models::layers(&settings.model, train.kind(), &|t, x| {
                objective.output(t, &settings.model, both.map(Place::evaluation), x);
            });
            if !layers.iter().any(|name| is_of(name, layer)) {
                return Err(UsageError(format!("there is no layer {layer} to --freeze-until; there are {}", outlined(&layers))).into());
            }
            r.arena.freeze_until(layer);
        }
        let least = match &pretrained {
            _ if !few => 0,
            Some(checkpoint) if checkpoint.is_published() => MIN_PUBLISHED_STEPS,
            _ => MIN_FEW_LABEL_STEPS,
        };
        let to_train_on = Split { truth: objective.to_train_on(train.truth.clone()), samples: train.samples.clone(), names: Vec::new() };
        let options = TrainingOptions {
            samples: &to_train_on,
            batch: run.batch,
            drop_tail: false,
            // Labels compare no sample of a batch with another.
            by_length: true,
            trained: if settings.freeze { &both[1..] } else { &both },
            optimizer: run.update_rule(),
            seed: run.seed,
            total_steps: &|epoch| run.steps.unwrap_or(run.epochs.saturating_mul(epoch).max(least)),
        };
        // Frozen layers are those of evaluation.
        let place = |group, statistics| Place::new(group, if options.trained.contains(&group) { statistics } else { Statistics::Running });
        let rate = run.dropout_of(&settings.model, None);
        let rows = Cell::new(0);
        let training = Training::record(&mut r, &options, &|t, batch, clock| {
            let dropout = Some(DropoutStep { clock: clock.clock, rate });
            let augmentation = methods::augmentation(settings.augment, run.seed);
            let statistics = if settings.freeze_norm { Statistics::Running } else { Statistics::batch(t.arena) };
            let x = images(t, batch, clock, augmentation, &settings.model);
            let places = both.map(|group| Place { dropout, ..place(group, statistics) });
            let output = objective.output(t, &settings.model, places, x);
            rows.set(output.rows() / batch.indices.cols());
            objective.loss(t, batch, settings.augment, output)
        })?;
        if settings.head_steps >= training.total_steps && settings.head_steps > 0 {
            let text = format!("--head-steps {} leaves none of the {} steps to the encoder", settings.head_steps, training.total_steps);
            return Err(UsageError(text).into());
        }
        let is_trained = |role| matches!(role, Role::Statistic { group } if options.trained.contains(&group));
        let recalibration = if !settings.freeze_norm && r.arena.bufs().iter().any(|named| is_trained(named.role)) {
            // Without their labels, all training images may say what means and variances are.
            let (all, more) = if rest.len() > train.len() { (&rest, true) } else { (&train, false) };
            let count = watched(all, Recalibration::SAMPLES);
            let images = match more {
                true => r.data("unlabelled", &all.first(count).bare()),
                false => training.first_samples(&mut r, "first training", all, count),
            };
            Recalibration::record(&mut r, images, count, &|t, batch, statistics| {
                let x = batch_samples(t, batch, settings.model.kind.form());
                objective.output(t, &settings.model, both.map(|group| place(group, statistics)), x)
            })?
        } else {
            None
        };
        let mut notes = r.begin_with(weights.as_ref(), &record)?;
        if repeated {
            notes.push(format!(
                "{} labelled samples are fewer than --batch {}: a step has some of them more than once",
                labelled, run.batch
            ));
        }
        notes.extend(objective.note(&train.truth, rows.get())?);
        notes.extend(run.nothing_held_out(&held_out, data.train.len()));
        let held_out = Known::record(&mut r, "held-out", &held_out, &settings.model, settings.task, &*objective)?;
        // They are not trained on: all of them are held out.
        let outside = data.out_of_scope[0].as_ref().filter(|_| held_out.is_some());
        let out_of_scope = outside.map(|split| Known::of(&mut r, "out-of-scope", split, &settings.model, &*objective)).transpose()?;
        let test = match &data.test {
            Some(test) => Known::record(&mut r, "test", test, &settings.model, settings.task, &*objective)?,
            None => None,
        };
        let plan = Plan::new(r, training, run, record)?;
        Ok(Finetune { labelled, notes, recalibration, settings, plan, objective, pretrained, held_out, out_of_scope, test })
    }

    fn judge(&self, exec: &mut dyn Executor, known: &Known) -> Result<Scores> {
        let batches = |exec: &mut dyn Executor, f: &mut BatchOutput<'_>| known.pass.each(exec, &self.plan.programs, f);
        self.objective.judge(&mut |f| known.shards.outputs(exec, &known.samples, &batches, f), &known.samples.truth, false)
    }

    /// The class of each sample and its probability; none where other things are predicted.
    fn classes(&self, exec: &mut dyn Executor, known: Option<&Known>) -> Result<Vec<(usize, f64)>> {
        let Some(known) = known else { return Ok(Vec::new()) };
        let mut found = Vec::new();
        let batches = |exec: &mut dyn Executor, f: &mut BatchOutput<'_>| known.pass.each(exec, &self.plan.programs, f);
        known.shards.outputs(exec, &known.samples, &batches, &mut |count, output| {
            found.extend(self.objective.predictions(&output, count).iter().filter_map(class_of));
            Ok(())
        })?;
        Ok(found)
    }

    /// The threshold that held-out samples choose for the weights as they are.
    fn threshold(&self, exec: &mut dyn Executor) -> Result<Option<Threshold>> {
        let Some(labels) = self.held_out.as_ref().and_then(|known| known.samples.truth.labels.as_ref()) else { return Ok(None) };
        let inside = self.classes(exec, self.held_out.as_ref())?;
        let outside = self.classes(exec, self.out_of_scope.as_ref())?;
        Ok(Threshold::choose(&in_scope(&inside, labels), &probabilities(&outside)))
    }

    /// Trains to the end, or until told to stop; then judges predictions for the test samples by the best weights, and notes their
    /// threshold in `best`.
    pub fn run(&self, session: Session<'_>) -> Result<Finetuned> {
        let run = &self.settings.run;
        let hyper = |step| Clock::row(0.0, &self.settings.lrs_at(step, self.plan.training.total_steps), &run.update_rule(), step);
        let resumes = session.resume.is_some();
        let mut driver = Driver::start(&self.plan, &hyper, session)?;
        if let Some(checkpoint) = self.pretrained.as_ref().filter(|_| !resumes) {
            checkpoint.restore(&self.plan.arena, &mut *driver.exec, &|role| role.group().is_some_and(|group| group != models::HEAD))?;
        }
        let mut judge = |exec: &mut dyn Executor, programs: &Programs| {
            if let Some(recalibration) = &self.recalibration {
                recalibration.run(exec, programs)?;
            }
            let Some(held_out) = &self.held_out else { return Ok(Judgement::default()) };
            let found = self.judge(exec, held_out)?;
            let values = found.values.iter().filter_map(|(name, value)| Some((format!("val_{name}"), (*value)?)));
            Ok(Judgement { score: found.score, values: values.collect() })
        };
        // What is judged is also what is saved: so statistics are re-estimated though nothing is held out.
        let judges = self.held_out.is_some() || self.recalibration.is_some();
        let outcome = driver.run(if judges { Some(&mut judge) } else { None })?;
        if outcome.interrupted {
            return Ok(Finetuned { outcome, test: None, threshold: None });
        }
        let best = driver.best()?;
        if let Some(best) = &best {
            best.restore(&self.plan.arena, &mut *driver.exec, &|role| role.group().is_some())?;
        }
        let threshold = self.threshold(&mut *driver.exec)?;
        if let Some(mut best) = best.filter(|best| best.record.outputs.threshold != threshold) {
            best.record.outputs.threshold.clone_from(&threshold);
            driver.replace_best(best)?;
        }
        let test = self.test.as_ref().map(|test| self.judge(&mut *driver.exec, test)).transpose()?;
        Ok(Finetuned { outcome, test, threshold })
    }
}

/// Fails where settings ask of the data what they have not.
fn suits(settings: &FinetuneSettings, data: &Dataset) -> Result<()> {
    let (kind, form) = (data.train.kind(), settings.model.kind.form());
    let (imageless, mapless) = (kind.image().is_none(), !settings.model.kind.has_stages());
    let [varies_texts, varies_others] = settings.augment.of_texts();
    let is_text = matches!(kind, SampleType::Tokens { .. });
    let what = match kind {
        SampleType::Row(_) => "a table".to_string(),
        SampleType::Tokens { .. } => "texts".into(),
        other => other.to_string(),
    };
    let refused = settings.model.kind.refuses(&settings.model, kind);
    let undropped = settings.run.dropout_problem(&settings.model);
    let wrong = [
        (refused.is_some(), refused.unwrap_or_default()),
        (undropped.is_some(), undropped.unwrap_or_default()),
        (!data.knows(settings.task.truth()), format!("{} has no {} to fine-tune on", data.name, settings.task.truth().name())),
        (
            settings.task.of_maps() && mapless,
            format!(
                "--task {} needs a network of maps, {} is none: try --model {}",
                settings.task,
                settings.model,
                settings.task.default_model()
            ),
        ),
        (
            settings.task.of_states() && !settings.model.kind.has_states(),
            format!(
                "--task {} needs a network that sees words beside each other, {} does not: try --model {}, or --from published weights of one",
                settings.task,
                settings.model,
                settings.task.default_model()
            ),
        ),
        (
            settings.task.of_states() && !settings.augment.is_none(),
            format!("--task {} needs every word, --augment leaves some out: say --augment none", settings.task),
        ),
        (
            settings.task.of_steps() && !settings.model.kind.has_steps(),
            format!(
                "--task {} needs a network that goes along pictures and sounds step by step, {} does not: try --model {}",
                settings.task,
                settings.model,
                settings.task.default_model()
            ),
        ),
        (
            settings.task.of_steps() && (settings.augment.flip > 0.0 || settings.augment.crop > 0.0),
            format!("--task {} reads all letters in their order, --augment mirrors or crops them: try --augment none", settings.task),
        ),
        (is_text && form != Form::Tokens, format!("{} does not take texts: try --model bag", settings.model)),
        (imageless && !mapless, format!("{} is for images; {what} needs --model mlp", settings.model)),
        (!form.suits(kind), format!("{} does not take samples of {what}", settings.model)),
        (imageless && settings.model.normalize.is_some(), format!("[model.normalize] is for images, not for {what}")),
        (is_text && varies_others, "--augment of images means nothing to texts: try words".into()),
        (imageless && !is_text && !settings.augment.is_none(), format!("--augment is for images, not for {what}")),
        (!imageless && varies_texts, "--augment of words means nothing to images".into()),
    ];
    wrong.into_iter().find(|(wrong, _)| *wrong).map_or(Ok(()), |(_, text)| Err(UsageError(text).into()))
}

/// Calls `f` with the outputs of a fine-tuned checkpoint, a batch of `samples` at a time.
fn outputs_each(
    device: &Device,
    checkpoint: &Checkpoint,
    objective: &dyn Objective,
    samples: &Split,
    f: &mut BatchOutput<'_>,
) -> Result<()> {
    let record = |r: &mut Recording, name: &str, data, count| outputs(r, data, name, count, &checkpoint.record.model, objective);
    let parts = LengthParts::of(samples, checkpoint.record.model.kind.form());
    if let [whole] = &parts.splits[..] {
        return checkpoint.pass_over(device, std::slice::from_ref(whole), &record, &mut |exec, programs, _, pass, shards| {
            shards.outputs(exec, whole, &|exec, f| pass.each(exec, programs, f), f)
        });
    }
    let mut found = Vec::new();
    checkpoint.pass_over(device, &parts.splits, &record, &mut |exec, programs, part, pass, shards| {
        let mut values = Vec::new();
        shards.outputs(exec, &parts.splits[part], &|exec, f| pass.each(exec, programs, f), &mut |_, output| {
            values.extend(output);
            Ok(())
        })?;
        found.push(values);
        Ok(())
    })?;
    f(samples.len(), parts.in_order(found).0)
}

/// What the predictions of a fine-tuned checkpoint for `samples` are worth. Fails where the truth about them is not known.
pub fn judge(device: &Device, checkpoint: &Checkpoint, samples: &Split) -> Result<Scores> {
    let objective = checkpoint.record.objective()?;
    let truth = checkpoint.record.task.map(|task| task.truth()).filter(|truth| !samples.truth.knows(*truth));
    ensure!(truth.is_none(), "the samples have no {} to compare predictions with", truth.map_or("", |truth| truth.name()));
    objective.judge(&mut |f| outputs_each(device, checkpoint, &*objective, samples, f), &samples.truth, true)
}

fn class_of(prediction: &Prediction) -> Option<(usize, f64)> {
    match prediction {
        Prediction::Class { class, probability, .. } => Some((*class, *probability)),
        _ => None,
    }
}

fn in_scope(found: &[(usize, f64)], labels: &[u32]) -> Vec<InScope> {
    found.iter().zip(labels).map(|(&(class, probability), &label)| (probability, class == label as usize)).collect()
}

fn probabilities(found: &[(usize, f64)]) -> Vec<f64> {
    found.iter().map(|(_, probability)| *probability).collect()
}

/// What the threshold of a fine-tuned classifier comes to on samples of its classes and perhaps of none; `None` where it has none.
pub fn scope_score(device: &Device, checkpoint: &Checkpoint, inside: &Split, outside: Option<&Split>) -> Result<Option<ScopeScore>> {
    let (Some(threshold), Some(labels)) = (&checkpoint.record.outputs.threshold, &inside.truth.labels) else { return Ok(None) };
    let classes = |samples: &Split| -> Result<Vec<(usize, f64)>> {
        let mut found = Vec::new();
        predict_each(device, checkpoint, samples, &mut |prediction| {
            found.extend(class_of(&prediction));
            Ok(())
        })?;
        Ok(found)
    };
    let outside = outside.map(classes).transpose()?.unwrap_or_default();
    Ok(Some(ScopeScore::at(threshold.probability, &in_scope(&classes(inside)?, labels), &probabilities(&outside))))
}

/// Calls `f` with what a fine-tuned checkpoint predicts for each of `samples`, in order.
pub fn predict_each(device: &Device, checkpoint: &Checkpoint, samples: &Split, f: &mut dyn FnMut(Prediction) -> Result<()>) -> Result<()> {
    let objective = checkpoint.record.objective()?;
    outputs_each(device, checkpoint, &*objective, samples, &mut |count, output| {
        objective.predictions(&output, count).into_iter().try_for_each(&mut *f)
    })
}
