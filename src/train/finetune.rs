//! Fine-tuning: an encoder, pretrained or from scratch, and a classifier, trained on labels. Test images are only ever
//! evaluated, after training.

use anyhow::{Result, ensure};

use super::checkpoint::{Checkpoint, Record, Stage};
use super::driver::{Driver, Judgement, Outcome, Session};
use super::plan::{AUGMENT_STREAM, Evaluation, Plan, Recalibration, Recording, Training, TrainingOptions};
use super::pretrain::{evaluate_split, images, record_recalibration};
use super::settings::{FinetuneSettings, MIN_FEW_LABEL_STEPS};
use crate::buffer::{Buf, is_of};
use crate::data::{Dataset, Split};
use crate::error::UsageError;
use crate::exec::{Device, Executor, Programs};
use crate::metrics::accuracy_and_loss;
use crate::models::{self, ModelSettings, Place};
use crate::ops::{Augmentation, Batch, Clock, batch_labels, cross_entropy};
use crate::random;
use crate::tape::Tape;

/// A fine-tuning run, recorded for one device.
pub struct Finetune {
    pub settings: FinetuneSettings,
    pub plan: Plan,
    /// Labelled images that are trained on.
    pub labelled: u32,
    /// What a user should know before it starts.
    pub notes: Vec<String>,
    pretrained: Option<Checkpoint>,
    recalibration: Option<Recalibration>,
    held_out: Option<Labelled>,
    test: Option<Labelled>,
}

/// An evaluation with the truth to compare it with.
struct Labelled {
    evaluation: Evaluation,
    labels: Vec<u32>,
}

/// Accuracy (0 to 1) and mean cross-entropy over some images.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Classified {
    pub accuracy: f64,
    pub loss: f64,
    pub samples: u32,
}

impl Labelled {
    /// `None` if there are no images or no labels.
    fn record(r: &mut Recording, name: &str, split: &Split, model: &ModelSettings, classes: u32) -> Result<Option<Self>> {
        let evaluated = evaluate_split(r, name, split, &|t, batch| logits(t, model, classes, batch))?;
        Ok(evaluated.and_then(|(evaluation, labels)| Some(Labelled { evaluation, labels: labels? })))
    }

    fn run(&self, exec: &mut dyn Executor, programs: &Programs) -> Result<Classified> {
        let logits = self.evaluation.run(exec, programs)?;
        let (accuracy, loss) = accuracy_and_loss(&logits, self.evaluation.columns(), &self.labels);
        Ok(Classified { accuracy, loss, samples: self.labels.len() as u32 })
    }
}

/// Of a batch as it is, in evaluation.
fn logits(t: &mut Tape<'_>, model: &ModelSettings, classes: u32, batch: Batch) -> Buf {
    let features = models::features(t, model, batch);
    models::classifier(t, model, classes, features)
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
    pub fn prepare(mut settings: FinetuneSettings, data: &Dataset, pretrained: Option<Checkpoint>, binding_limit: u64) -> Result<Self> {
        let run = settings.run.clone();
        let classes = data.classes;
        if classes < 2 || data.train.labels.is_none() {
            return Err(UsageError(format!("{} has no labels to fine-tune on", data.name)).into());
        }
        if let Some(checkpoint) = &pretrained {
            let (ours, theirs) = (data.train.image, checkpoint.record.image);
            ensure!(ours == theirs, "{} was trained on images of {theirs}, {} has {ours}", settings.from, data.name);
            settings.model = checkpoint.record.model.clone();
        }
        let (rest, held_out) = data.train.hold_out(run.val, run.seed);
        let train = match settings.labels_per_class {
            Some(count) => rest.per_class(count, classes, run.seed)?,
            None => rest.clone(),
        };
        if settings.labels_per_class.is_none() && run.batch > train.len() {
            let text =
                format!("--batch {} is larger than the {} training images; the largest batch is {}", run.batch, train.len(), train.len());
            return Err(UsageError(text).into());
        }
        let mut r = Recording::new(run.seed, binding_limit);
        if let Some(layer) = &settings.freeze_until {
            let layers = models::layers(&settings.model, train.image, classes);
            if !layers.iter().any(|name| is_of(name, layer)) {
                return Err(UsageError(format!("there is no layer {layer} to --freeze-until; there are {}", outlined(&layers))).into());
            }
            r.arena.freeze_until(layer);
        }
        let bufs = r.data("training", &train);
        let both = [models::ENCODER, models::HEAD];
        let options = TrainingOptions {
            data: bufs,
            samples: train.len(),
            batch: run.batch,
            drop_tail: false,
            trained: if settings.freeze { &both[1..] } else { &both },
            optimizer: run.update_rule(),
            seed: run.seed,
            total_steps: &|epoch| {
                let least = if settings.labels_per_class.is_some() { MIN_FEW_LABEL_STEPS } else { 0 };
                run.steps.unwrap_or((run.epochs * epoch).max(least))
            },
        };
        let training = Training::record(&mut r, &options, &|t, batch, clock| {
            let targets = batch_labels(t, batch);
            let augmentation = Augmentation { ranges: settings.augment, key: random::key(run.seed, AUGMENT_STREAM) };
            let place = if settings.freeze { Place::evaluation(models::ENCODER) } else { Place::training(t, models::ENCODER) };
            let x = images(t, batch, clock, augmentation, &settings.model);
            let features = models::encoder(t, &settings.model, place, x, batch.data.image);
            let logits = models::classifier(t, &settings.model, classes, features);
            cross_entropy(t, "loss", logits, targets, settings.label_smoothing)
        })?;
        // Without their labels, all training images may say what means and variances are.
        let recalibration = match settings.freeze {
            true => None,
            false => {
                let images =
                    if rest.len() > train.len() { r.data("unlabelled", &Split::unlabelled(rest.images.clone(), rest.image)) } else { bufs };
                record_recalibration(&mut r, images, rest.len().max(train.len()), &settings.model)?
            }
        };
        let notes = r.begin_with(settings.init_from.as_deref(), &settings.model)?;
        let held_out = Labelled::record(&mut r, "held-out", &held_out, &settings.model, classes)?;
        let test = match &data.test {
            Some(test) => Labelled::record(&mut r, "test", test, &settings.model, classes)?,
            None => None,
        };
        let record = Record::new(Stage::Classifier, &settings.model, train.image, classes, run.seed);
        let plan = r.finish(training, run, record);
        Ok(Finetune { labelled: train.len(), notes, recalibration, settings, plan, pretrained, held_out, test })
    }

    /// Trains to the end, or until told to stop; then classifies the test images with the best weights.
    pub fn run(&self, session: Session<'_>) -> Result<(Outcome, Option<Classified>)> {
        let run = &self.settings.run;
        let hyper = |step| {
            let lr = run.lr_at(step, self.plan.training.total_steps);
            Clock::row(0.0, &[lr * self.settings.encoder_lr_scale, lr], &run.update_rule(), step)
        };
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
            let found = held_out.run(exec, programs)?;
            Ok(Judgement { score: Some(found.accuracy), values: vec![("val_accuracy", found.accuracy), ("val_loss", found.loss)] })
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
        let classified = self.test.as_ref().map(|test| test.run(&mut *driver.exec, &self.plan.programs)).transpose()?;
        Ok((outcome, classified))
    }
}

/// Logits of `images` by a classifier's checkpoint, dense `[images, classes]`.
pub fn predict_images(device: &Device, checkpoint: &Checkpoint, images: &Split) -> Result<Vec<f32>> {
    let Record { model, classes, stage, .. } = &checkpoint.record;
    ensure!(
        *stage == Stage::Classifier,
        UsageError("this checkpoint is a pretrained encoder without a classifier; `finetune --from` it first".into())
    );
    Ok(checkpoint.evaluate(device, images, &|t, batch| logits(t, model, *classes, batch))?.0)
}
