//! Fine-tuning: an encoder, pretrained or from scratch, and a classifier, trained on labels. Test images are only ever
//! evaluated, after training.

use anyhow::{Context, Result, ensure};

use super::checkpoint::{Checkpoint, Record, Stage};
use super::driver::{Driver, Judgement, Outcome, Session};
use super::plan::{AUGMENT_STREAM, Evaluation, Plan, Recording, Training, TrainingOptions};
use super::pretrain::evaluate_split;
use super::settings::{FinetuneSettings, MIN_FEW_LABEL_STEPS};
use crate::buffer::Buf;
use crate::data::{Dataset, Split};
use crate::error::UsageError;
use crate::exec::{Device, Executor, Programs};
use crate::kernels::sgd::SgdSettings;
use crate::metrics::accuracy_and_loss;
use crate::models::{self, ModelSettings};
use crate::ops::{augmented_views, batch_images, batch_labels, cross_entropy};
use crate::random;
use crate::tape::Tape;

/// A fine-tuning run, recorded for one device.
pub struct Finetune {
    pub settings: FinetuneSettings,
    pub plan: Plan,
    /// Labelled images that are trained on.
    pub labelled: u32,
    pretrained: Option<Checkpoint>,
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
        let evaluated = evaluate_split(r, name, split, &|t, x| logits(t, model, classes, x))?;
        Ok(evaluated.and_then(|(evaluation, labels)| Some(Labelled { evaluation, labels: labels? })))
    }

    fn run(&self, exec: &mut dyn Executor, programs: &Programs) -> Result<Classified> {
        let logits = self.evaluation.run(exec, programs)?;
        let (accuracy, loss) = accuracy_and_loss(&logits, self.evaluation.columns(), &self.labels);
        Ok(Classified { accuracy, loss, samples: self.labels.len() as u32 })
    }
}

fn logits(t: &mut Tape<'_>, model: &ModelSettings, classes: u32, x: Buf) -> Buf {
    let features = models::encoder(t, model, x);
    models::classifier(t, classes, features)
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
            ensure!(
                ours == theirs,
                "{} was trained on {}x{} images, {} has {}x{}",
                settings.from,
                theirs.height,
                theirs.width,
                data.name,
                ours.height,
                ours.width
            );
            settings.model = checkpoint.record.model.clone();
        }
        let (rest, held_out) = data.train.hold_out(run.val, run.seed);
        let train = match settings.labels_per_class {
            Some(count) => rest.per_class(count, classes, run.seed)?,
            None => rest,
        };
        if settings.labels_per_class.is_none() && run.batch > train.len() {
            let text =
                format!("--batch {} is larger than the {} training images; the largest batch is {}", run.batch, train.len(), train.len());
            return Err(UsageError(text).into());
        }
        let mut r = Recording::new(run.seed, binding_limit);
        let bufs = r.data("training", &train);
        let both = [models::ENCODER, models::HEAD];
        let options = TrainingOptions {
            data: bufs,
            samples: train.len(),
            batch: run.batch,
            drop_tail: false,
            trained: if settings.freeze { &both[1..] } else { &both },
            sgd: SgdSettings { momentum: run.momentum, weight_decay: run.weight_decay, nesterov: run.nesterov, max_norm: run.clip_norm },
            seed: run.seed,
            total_steps: &|epoch| {
                let least = if settings.labels_per_class.is_some() { MIN_FEW_LABEL_STEPS } else { 0 };
                run.steps.unwrap_or((run.epochs * epoch).max(least))
            },
        };
        let training = Training::record(&mut r, &options, &|t, batch, clock| {
            let targets = batch_labels(t, batch);
            let key = random::key(run.seed, AUGMENT_STREAM);
            let x = match settings.augment.is_none() {
                true => batch_images(t, batch),
                false => augmented_views(t, batch, clock.clock, 1, key, settings.augment),
            };
            let logits = logits(t, &settings.model, classes, x);
            cross_entropy(t, "loss", logits, targets, settings.label_smoothing)
        })?;
        let held_out = Labelled::record(&mut r, "held-out", &held_out, &settings.model, classes)?;
        let test = match &data.test {
            Some(test) => Labelled::record(&mut r, "test", test, &settings.model, classes)?,
            None => None,
        };
        let record = Record::new(Stage::Classifier, &settings.model, train.image, classes, run.seed);
        let plan = r.finish(training, run, record);
        Ok(Finetune { labelled: train.len(), settings, plan, pretrained, held_out, test })
    }

    /// Trains to the end, or until told to stop; then classifies the test images with the best weights.
    pub fn run(&self, session: Session<'_>) -> Result<(Outcome, Option<Classified>)> {
        let hyper = |step| {
            let lr = self.settings.run.lr_at(step, self.plan.training.total_steps);
            [0.0, lr * self.settings.encoder_lr_scale, lr, 0.0]
        };
        let resumes = session.resume.is_some();
        let mut driver = Driver::start(&self.plan, &hyper, session)?;
        if let Some(checkpoint) = self.pretrained.as_ref().filter(|_| !resumes) {
            checkpoint.restore(&self.plan.arena, &mut *driver.exec, &|name| name.starts_with("encoder."))?;
        }
        let outcome = match &self.held_out {
            Some(held_out) => driver.run(Some(&mut |exec: &mut dyn Executor, programs: &Programs| {
                let found = held_out.run(exec, programs)?;
                Ok(Judgement { score: Some(found.accuracy), values: vec![("val_accuracy", found.accuracy), ("val_loss", found.loss)] })
            }))?,
            None => driver.run(None)?,
        };
        if outcome.interrupted {
            return Ok((outcome, None));
        }
        if let Some(best) = driver.best()? {
            best.restore(&self.plan.arena, &mut *driver.exec, &|name| !name.starts_with("state."))?;
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
    let mut r = Recording::new(0, device.binding_limit());
    let unlabelled = Split { labels: None, ..images.clone() };
    let (evaluation, _) =
        evaluate_split(&mut r, "images", &unlabelled, &|t, x| logits(t, model, *classes, x))?.context("there are no images")?;
    let programs = std::sync::Arc::new(std::mem::take(&mut r.programs));
    let mut exec = device.load(&r.arena, r.memory(), programs.clone())?;
    checkpoint.restore(&r.arena, &mut *exec, &|name| !name.starts_with("state."))?;
    Ok(evaluation.run(&mut *exec, &programs)?)
}
