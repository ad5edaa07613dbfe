//! Fine-tuning: an encoder, pretrained or from scratch, and a head for some task, trained on what is known. Test samples are only
//! ever evaluated, after training.

use anyhow::{Result, ensure};

use super::checkpoint::{Checkpoint, Record, Stage};
use super::driver::{Driver, Judgement, Outcome, Session};
use super::methods;
use super::methods::images;
use super::passes::{Pass, Recalibration};
use super::plan::{Plan, Training, TrainingOptions};
use super::recording::Recording;
use super::settings::{Checked, FinetuneSettings, MIN_FEW_LABEL_STEPS};
use super::shards::{BatchOutput, Shards, watched};
use super::task::{self, Scores, Task};
use super::weights::Weights;
use crate::core::buffer::{Role, is_of};
use crate::data::{self, Dataset, Split};
use crate::error::UsageError;
use crate::exec::{Device, Executor, Programs};
use crate::models::{self, ModelSettings, Place};
use crate::ops::{Clock, DataBufs, Pixels, Statistics, batch_images};

/// A fine-tuning run, recorded for one device.
pub struct Finetune {
    pub settings: FinetuneSettings,
    pub plan: Plan,
    /// Labelled samples that are trained on.
    pub labelled: u32,
    pub task: Box<dyn Task>,
    /// What a user should know before it starts.
    pub notes: Vec<String>,
    pretrained: Option<Checkpoint>,
    recalibration: Option<Recalibration>,
    held_out: Option<Known>,
    test: Option<Known>,
}

/// Samples with the truth to compare predictions with.
struct Known {
    shards: Shards,
    pass: Pass,
    truth: Split,
}

impl Known {
    /// `None` if there are no samples or no truth about them.
    fn record(r: &mut Recording, name: &str, split: &Split, model: &ModelSettings, task: &dyn Task) -> Result<Option<Self>> {
        if split.is_empty() || !task.knows(split) {
            return Ok(None);
        }
        let shards = Shards::declare(r, name, &split.bare(), u32::MAX);
        let pass = outputs(r, shards.data, name, shards.size, model, task)?;
        Ok(Some(Known { shards, pass, truth: split.clone() }))
    }
}

/// A pass that leaves the outputs for the first `count` samples of `data`.
fn outputs(r: &mut Recording, data: DataBufs, name: &str, count: u32, model: &ModelSettings, task: &dyn Task) -> Result<Pass> {
    let places = [models::ENCODER, models::HEAD].map(Place::evaluation);
    Ok(Pass::record(r, name, data, count, &|t, batch, _, _| {
        let x = batch_images(t, batch, model.kind.pixels());
        task.output(t, model, places, x, batch.data.image)
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
            let (ours, theirs) = (data.train.image, checkpoint.record.image);
            ensure!(ours == theirs, "{} was trained on images of {theirs}, {} has {ours}", settings.from, data.name);
            settings.model = checkpoint.record.model.clone();
        }
        let weights = Weights::of(settings.init_from.as_deref(), &mut settings.model, &data.train)?;
        suits(&settings, data)?;
        let (rest, held_out) = data.train.hold_out(run.val, run.seed);
        let train = match (settings.labels_per_class, settings.labels) {
            (Some(count), _) => rest.per_class(count, &data.class_names, run.seed)?,
            (None, Some(count)) => rest.some(count, run.seed)?,
            (None, None) => rest.clone(),
        };
        let few = settings.labels_per_class.is_some() || settings.labels.is_some();
        if !few && run.batch > train.len() {
            let text =
                format!("--batch {} is larger than the {} training images; the largest batch is {}", run.batch, train.len(), train.len());
            return Err(UsageError(text).into());
        }
        let mut record = Record::new(Stage::Classifier, &settings.model, train.image, data.classes, run.seed);
        let task = task::of_run(&settings, data, &train, &mut record)?;
        record.encoding = data.encoding.clone();
        (record.data, record.bits) = (Some(data.fingerprint()), run.bits);
        let mut r = Recording::new(run.seed, binding_limit);
        let both = [models::ENCODER, models::HEAD];
        if let Some(layer) = &settings.freeze_until {
            let layers = models::layers(&settings.model, train.image, &|t, x| {
                task.output(t, &settings.model, both.map(Place::evaluation), x, train.image);
            });
            if !layers.iter().any(|name| is_of(name, layer)) {
                return Err(UsageError(format!("there is no layer {layer} to --freeze-until; there are {}", outlined(&layers))).into());
            }
            r.arena.freeze_until(layer);
        }
        let to_train_on = task.to_train_on(&train);
        let options = TrainingOptions {
            samples: &to_train_on,
            batch: run.batch,
            drop_tail: false,
            trained: if settings.freeze { &both[1..] } else { &both },
            optimizer: run.update_rule(),
            seed: run.seed,
            total_steps: &|epoch| run.steps.unwrap_or(run.epochs.saturating_mul(epoch).max(if few { MIN_FEW_LABEL_STEPS } else { 0 })),
        };
        // Frozen layers are those of evaluation.
        let place = |group, statistics| Place {
            group,
            statistics: if options.trained.contains(&group) { statistics } else { Statistics::Running },
        };
        let training = Training::record(&mut r, &options, &|t, batch, clock| {
            let augmentation = methods::augmentation(settings.augment, run.seed);
            let statistics = Statistics::batch(t.arena);
            let x = images(t, batch, clock, augmentation, &settings.model);
            let output = task.output(t, &settings.model, both.map(|group| place(group, statistics)), x, batch.data.image);
            task.loss(t, batch, settings.augment, output)
        })?;
        if settings.head_steps >= training.total_steps && settings.head_steps > 0 {
            let text = format!("--head-steps {} leaves none of the {} steps to the encoder", settings.head_steps, training.total_steps);
            return Err(UsageError(text).into());
        }
        let is_trained = |role| matches!(role, Role::Statistic { group } if options.trained.contains(&group));
        let recalibration = if r.arena.bufs().iter().any(|named| is_trained(named.role)) {
            // Without their labels, all training images may say what means and variances are.
            let (all, more) = if rest.len() > train.len() { (&rest, true) } else { (&train, false) };
            let count = watched(all, Recalibration::SAMPLES);
            let images = match more {
                true => r.data("unlabelled", &all.first(count).bare()),
                false => training.first_samples(&mut r, "first training", all, count),
            };
            Recalibration::record(&mut r, images, count, &|t, batch, statistics| {
                let x = batch_images(t, batch, settings.model.kind.pixels());
                task.output(t, &settings.model, both.map(|group| place(group, statistics)), x, batch.data.image)
            })?
        } else {
            None
        };
        let mut notes = r.begin_with(weights.as_ref(), &record)?;
        notes.extend(run.nothing_held_out(&held_out, data.train.len()));
        let held_out = Known::record(&mut r, "held-out", &held_out, &settings.model, &*task)?;
        let test = match &data.test {
            Some(test) => Known::record(&mut r, "test", test, &settings.model, &*task)?,
            None => None,
        };
        let labelled = train.len();
        let plan = Plan::new(r, training, run, record);
        Ok(Finetune { labelled, notes, recalibration, settings, plan, task, pretrained, held_out, test })
    }

    fn judge(&self, exec: &mut dyn Executor, known: &Known) -> Result<Scores> {
        let batches = |exec: &mut dyn Executor, f: &mut BatchOutput<'_>| known.pass.each(exec, &self.plan.programs, f);
        self.task.judge(&mut |f| known.shards.outputs(exec, &known.truth, &batches, f), &known.truth)
    }

    /// Trains to the end, or until told to stop; then judges predictions for the test samples by the best weights.
    pub fn run(&self, session: Session<'_>) -> Result<(Outcome, Option<Scores>)> {
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
            return Ok((outcome, None));
        }
        if let Some(best) = driver.best()? {
            best.restore(&self.plan.arena, &mut *driver.exec, &|role| role.group().is_some())?;
        }
        let scores = self.test.as_ref().map(|test| self.judge(&mut *driver.exec, test)).transpose()?;
        Ok((outcome, scores))
    }
}

/// Fails where settings ask of the data what they have not.
fn suits(settings: &FinetuneSettings, data: &Dataset) -> Result<()> {
    let table = !data.train.features.is_empty();
    let mapless = settings.model.kind.pixels() != Pixels::Rows;
    let classes = data.classes > 1;
    let (known, what) = match settings.task {
        data::Task::Classify => (classes && data.train.labels.is_some(), "labels"),
        data::Task::Regress => (data.train.targets.is_some(), "numbers"),
        data::Task::Segment => (classes && data.train.masks.is_some(), "masks"),
    };
    let wrong = [
        (!known, format!("{} has no {what} to fine-tune on", data.name)),
        (
            settings.task == data::Task::Segment && mapless,
            format!("--task segment needs a network of maps, {} is none: try --model cnn", settings.model),
        ),
        (table && !mapless, format!("{} is for images; a table needs --model mlp", settings.model)),
        (table && settings.model.normalize.is_some(), "[model.normalize] is for images, not for a table".to_string()),
        (table && !settings.augment.is_none(), "--augment is for images, not for a table".to_string()),
    ];
    wrong.into_iter().find(|(wrong, _)| *wrong).map_or(Ok(()), |(_, text)| Err(UsageError(text).into()))
}

/// Calls `f` with the outputs of a fine-tuned checkpoint, a batch of `samples` at a time.
fn outputs_each(device: &Device, checkpoint: &Checkpoint, task: &dyn Task, samples: &Split, f: &mut BatchOutput<'_>) -> Result<()> {
    let record = |r: &mut Recording, data, count| outputs(r, data, "samples", count, &checkpoint.record.model, task);
    checkpoint.pass_over(device, samples, &record, &mut |exec, programs, pass, shards| {
        shards.outputs(exec, samples, &|exec, f| pass.each(exec, programs, f), f)
    })
}

/// What the predictions of a fine-tuned checkpoint for `samples` are worth. Fails where the truth about them is not known.
pub fn judge(device: &Device, checkpoint: &Checkpoint, samples: &Split) -> Result<Scores> {
    let task = task::of_record(&checkpoint.record)?;
    ensure!(task.knows(samples), "nothing is known of these samples that predictions could be compared with");
    task.judge(&mut |f| outputs_each(device, checkpoint, &*task, samples, f), samples)
}

/// What a fine-tuned checkpoint predicts, a batch of `samples` at a time: `f` gets, dense, the logits of classes, or numbers in
/// their own units, or the class of each pixel.
pub fn predict_each(device: &Device, checkpoint: &Checkpoint, samples: &Split, f: &mut BatchOutput<'_>) -> Result<()> {
    let task = task::of_record(&checkpoint.record)?;
    outputs_each(device, checkpoint, &*task, samples, &mut |count, output| f(count, task.finished(output)))
}

/// All that [`predict_each`] finds: for a classifier logits, `[images, classes]`.
pub fn predict_images(device: &Device, checkpoint: &Checkpoint, images: &Split) -> Result<Vec<f32>> {
    let mut all = Vec::new();
    predict_each(device, checkpoint, images, &mut |_, output| {
        all.extend(output);
        Ok(())
    })?;
    Ok(all)
}
