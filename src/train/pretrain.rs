//! Pretraining an encoder without labels, by contrasting views or by giving images back, or supervised as a control.

use anyhow::Result;

use super::checkpoint::{Record, Stage};
use super::driver::{Driver, Judgement, Outcome, Session};
use super::micro::Cached;
use super::passes::{Evaluation, Pass, Recalibration};
use super::plan::{AUGMENT_STREAM, Plan, Training, TrainingOptions};
use super::recording::Recording;
use super::settings::{Method, PretrainSettings};
use super::shards::watched;
use super::weights::Weights;
use crate::core::buffer::{Buf, Role};
use crate::core::image::Image;
use crate::core::random;
use crate::core::tape::Tape;
use crate::data::{Dataset, Split};
use crate::error::UsageError;
use crate::exec::{Executor, Programs};
use crate::kernels::vicreg::VicregWeights;
use crate::metrics::{embedding_std, knn_accuracy, unit_rows};
use crate::models::{self, ModelSettings, Place};
use crate::ops::{
    Augmentation, Batch, Clock, Pixels, Statistics, augmented_views, batch_images, batch_labels, cross_entropy, mse, normalize, nt_xent,
    pixels_of, sup_con, vicreg,
};

/// Labelled training images that held-out ones are compared with.
const BANK: u32 = 5_000;

/// The name of an autoencoder's error over held-out images.
const RECONSTRUCTION: &str = "reconstruction";

/// A pretraining run, recorded for one device.
pub struct Pretrain {
    pub settings: PretrainSettings,
    pub plan: Plan,
    /// Training images, without those held out.
    pub samples: u32,
    /// What a user should know before it starts.
    pub notes: Vec<String>,
    monitor: Monitor,
}

/// How a pretraining run ended.
pub struct Pretrained {
    pub outcome: Outcome,
    pub knn_accuracy: Option<f64>,
    /// Of an autoencoder: mean squared error over held-out images.
    pub reconstruction: Option<f64>,
    pub embedding_std: f64,
}

/// Watches the embeddings of images as they are: their spread always, their kNN accuracy where there are labels. Of an
/// autoencoder also how well held-out images are given back.
struct Monitor {
    recalibration: Option<Recalibration>,
    bank: Evaluation,
    bank_labels: Option<Vec<u32>>,
    held_out: Option<(Evaluation, Option<Vec<u32>>)>,
    /// Leaves the mean squared error of a batch.
    reconstruction: Option<Pass>,
    classes: usize,
}

impl Monitor {
    fn judge(&self, exec: &mut dyn Executor, programs: &Programs) -> Result<Judgement> {
        if let Some(recalibration) = &self.recalibration {
            recalibration.run(exec, programs)?;
        }
        let columns = self.bank.columns();
        let bank = unit_rows(&self.bank.run(exec, programs)?, columns);
        let held_out = match &self.held_out {
            Some((evaluation, labels)) => Some((unit_rows(&evaluation.run(exec, programs)?, columns), labels)),
            None => None,
        };
        let judged = held_out.as_ref().map_or(&bank, |(rows, _)| rows);
        let mut values = vec![("embedding_std".to_string(), embedding_std(judged, columns))];
        let mut score = None;
        if let (Some((queries, Some(labels))), Some(bank_labels)) = (&held_out, &self.bank_labels) {
            let accuracy = knn_accuracy(&bank, bank_labels, queries, labels, columns, self.classes)?;
            values.insert(0, ("knn_accuracy".into(), accuracy));
            score = Some(accuracy);
        }
        if let Some(pass) = &self.reconstruction {
            let (mut sum, mut count) = (0.0, 0.0);
            pass.each(exec, programs, &mut |samples, loss| {
                sum += f64::from(samples) * loss.iter().map(|&loss| f64::from(loss)).sum::<f64>();
                count += f64::from(samples);
                Ok(())
            })?;
            values.push((RECONSTRUCTION.into(), sum / count));
            score = score.or(Some(-sum / count));
        }
        Ok(Judgement { score, values })
    }
}

impl Pretrain {
    /// Records the run. Fails with a [`UsageError`] where settings and data do not fit each other.
    pub fn prepare(mut settings: PretrainSettings, data: &Dataset, binding_limit: u64) -> Result<Self> {
        let weights = Weights::of(settings.init_from.as_deref(), &mut settings.model, &data.train)?;
        let run = &settings.run;
        let (train, held_out) = data.train.hold_out(run.val, run.seed);
        if run.batch > train.len() {
            let text =
                format!("--batch {} is larger than the {} training images; the largest batch is {}", run.batch, train.len(), train.len());
            return Err(UsageError(text).into());
        }
        if settings.method.compares() && run.batch < 2 {
            return Err(UsageError("--batch 1 has nothing to compare an image with: at least 2 are needed".into()).into());
        }
        if settings.method.needs_labels() && train.labels.is_none() {
            return Err(UsageError(format!("{} has no labels, --method {} needs them", data.name, settings.method)).into());
        }
        let mut r = Recording::new(run.seed, binding_limit);
        let options = TrainingOptions {
            samples: &train,
            batch: run.batch,
            drop_tail: true,
            trained: &[models::ENCODER, models::HEAD],
            optimizer: run.update_rule(),
            seed: run.seed,
            total_steps: &|epoch| run.steps.unwrap_or(run.epochs.saturating_mul(epoch)),
        };
        let training = match settings.micro_batch {
            None => Training::record(&mut r, &options, &|t, batch, clock| step(t, &settings, data.classes, batch, clock))?,
            Some(micro) => {
                let cached = Cached {
                    micro,
                    augmentation: augmentation(&settings),
                    pixels: settings.model.pixels(),
                    embed: &|t, x, statistics| embed(t, &settings, statistics, x, train.image),
                    loss: &|t, batch, embeddings, clock| compare(t, &settings, batch, embeddings, clock),
                };
                Training::record_cached(&mut r, &options, &cached)?
            }
        };
        let mut record = Record::new(Stage::Pretrained, &settings.model, train.image, data.classes, run.seed);
        (record.data, record.bits) = (Some(data.fingerprint()), settings.run.bits);
        let mut notes = r.begin_with(weights.as_ref(), &Record { class_names: data.class_names.clone(), ..record.clone() })?;
        notes.extend(run.nothing_held_out(&held_out, data.train.len()));
        let statistics = r.arena.bufs().iter().any(|b| matches!(b.role, Role::Statistic { .. }));
        if let Some(micro) = settings.micro_batch.filter(|_| statistics) {
            notes.push(format!("batch norm normalises by the statistics of each micro-batch of {micro} images, not of the whole batch"));
        }
        let (bank_size, looked_at) = (watched(&train, BANK), watched(&train, Recalibration::SAMPLES));
        let first = training.first_samples(&mut r, "first training", &train, bank_size.max(looked_at));
        let recalibration = Recalibration::record(&mut r, first, looked_at, &|t, batch, statistics| {
            let places = [models::ENCODER, models::HEAD].map(|group| Place { group, statistics });
            match settings.method {
                Method::Autoencoder => reconstruct(t, &settings.model, places, batch, None)[0],
                _ => {
                    let x = batch_images(t, batch, settings.model.pixels());
                    models::encoder(t, &settings.model, places[0], x, batch.data.image)
                }
            }
        })?;
        let held_out = held_out.first(watched(&held_out, u32::MAX));
        let features = |t: &mut Tape<'_>, batch: Batch| models::features(t, &settings.model, batch);
        let bank = Evaluation::record(&mut r, "bank", first, bank_size, &features)?;
        let reconstruction = if settings.method == Method::Autoencoder && !held_out.is_empty() {
            let data = r.data("given back", &held_out.bare());
            let places = [models::ENCODER, models::HEAD].map(Place::evaluation);
            Some(Pass::record(&mut r, "reconstruction", data, held_out.len(), &|t, batch, _, _| {
                let [images, wanted] = reconstruct(t, &settings.model, places, batch, None);
                mse(t, "loss", images, wanted)
            })?)
        } else {
            None
        };
        let held_out = evaluate_split(&mut r, "held-out", &held_out, &features)?;
        let bank_labels = train.labels.as_ref().map(|labels| labels[..bank_size as usize].to_vec());
        let monitor = Monitor { recalibration, bank, bank_labels, held_out, reconstruction, classes: data.classes as usize };
        let plan = Plan::new(r, training, settings.run.clone(), record);
        Ok(Pretrain { plan, samples: train.len(), notes, monitor, settings })
    }

    /// Trains to the end, or until told to stop.
    pub fn run(&self, session: Session<'_>) -> Result<Pretrained> {
        let run = &self.settings.run;
        let hyper = |step| {
            let lr = run.lr_at(step, self.plan.training.total_steps);
            Clock::row(self.settings.temperature, &[lr, lr], &run.update_rule(), step)
        };
        let mut driver = Driver::start(&self.plan, &hyper, session)?;
        let mut judge = |exec: &mut dyn Executor, programs: &Programs| self.monitor.judge(exec, programs);
        let outcome = driver.run(Some(&mut judge))?;
        let last = if outcome.judgement.values.is_empty() {
            self.monitor.judge(&mut *driver.exec, &self.plan.programs)?
        } else {
            outcome.judgement.clone()
        };
        let value = |name: &str| last.values.iter().find(|(n, _)| n == name).map(|(_, v)| *v);
        Ok(Pretrained {
            knn_accuracy: value("knn_accuracy"),
            reconstruction: value(RECONSTRUCTION),
            embedding_std: value("embedding_std").unwrap_or(0.0),
            outcome,
        })
    }
}

fn augmentation(settings: &PretrainSettings) -> Augmentation {
    Augmentation { ranges: settings.augment, key: random::key(settings.run.seed, AUGMENT_STREAM) }
}

/// From images to embeddings.
fn embed(t: &mut Tape<'_>, settings: &PretrainSettings, statistics: Statistics, x: Buf, image: Image) -> Buf {
    let features = models::encoder(t, &settings.model, Place { group: models::ENCODER, statistics }, x, image);
    models::projection_head(t, &settings.model, statistics, &settings.projection, features)
}

/// From embeddings of two views to loss, by a method that compares them.
fn compare(t: &mut Tape<'_>, settings: &PretrainSettings, batch: Batch, embeddings: Buf, clock: Clock) -> Buf {
    match settings.method {
        Method::Vicreg => vicreg(t, "loss", embeddings, VicregWeights::default()),
        Method::Supcon => {
            let labels = batch_labels(t, batch);
            let z = normalize(t, "unit embeddings", embeddings);
            sup_con(t, "loss", z, labels, clock.hyper)
        }
        Method::Simclr => {
            let z = normalize(t, "unit embeddings", embeddings);
            nt_xent(t, "loss", z, clock.hyper)
        }
        Method::Supervised | Method::Autoencoder => unreachable!("these compare no views"),
    }
}

/// One step from batch to loss.
fn step(t: &mut Tape<'_>, settings: &PretrainSettings, classes: u32, batch: Batch, clock: Clock) -> Buf {
    let (model, image, augmentation) = (&settings.model, batch.data.image, augmentation(settings));
    match settings.method {
        Method::Simclr | Method::Vicreg | Method::Supcon => {
            let x = augmented_views(t, batch, clock.clock, 2, augmentation, model.pixels());
            let statistics = Statistics::batch(t.arena);
            let embeddings = embed(t, settings, statistics, x, image);
            compare(t, settings, batch, embeddings, clock)
        }
        Method::Supervised => {
            let targets = batch_labels(t, batch);
            let x = images(t, batch, clock, augmentation, model);
            let place = Place::training(t, models::ENCODER);
            let features = models::encoder(t, model, place, x, image);
            let logits = models::classifier(t, model, classes, features);
            cross_entropy(t, "loss", logits, targets, 0.0)
        }
        Method::Autoencoder => {
            let corruption = Augmentation { ranges: settings.corrupt.ranges(image.height, image.width), ..augmentation };
            let places = [models::ENCODER, models::HEAD].map(|group| Place::training(t, group));
            let [images, wanted] = reconstruct(t, model, places, batch, Some((clock, corruption)));
            mse(t, "loss", images, wanted)
        }
    }
}

/// What an autoencoder makes of a batch, spoilt if told so, and the batch as it is: a pixel a row.
fn reconstruct(
    t: &mut Tape<'_>,
    model: &ModelSettings,
    [encoder, head]: [Place; 2],
    batch: Batch,
    spoilt: Option<(Clock, Augmentation)>,
) -> [Buf; 2] {
    let x = match spoilt {
        Some((clock, corruption)) => images(t, batch, clock, corruption, model),
        None => batch_images(t, batch, model.pixels()),
    };
    let wanted = pixels_of(t, "images to give back", batch, Pixels::Rows);
    let features = models::encoder(t, model, encoder, x, batch.data.image);
    [models::reconstruction(t, head, features, batch.data.image), wanted]
}

/// The batch as it is, or augmented.
pub(super) fn images(t: &mut Tape<'_>, batch: Batch, clock: Clock, augmentation: Augmentation, model: &ModelSettings) -> Buf {
    match augmentation.ranges.is_none() {
        true => batch_images(t, batch, model.pixels()),
        false => augmented_views(t, batch, clock.clock, 1, augmentation, model.pixels()),
    }
}

/// An evaluation over a split with its labels, unless the split is empty.
fn evaluate_split(
    r: &mut Recording,
    name: &str,
    split: &Split,
    forward: &dyn Fn(&mut Tape<'_>, Batch) -> Buf,
) -> Result<Option<(Evaluation, Option<Vec<u32>>)>> {
    if split.is_empty() {
        return Ok(None);
    }
    let bufs = r.data(name, split);
    Ok(Some((Evaluation::record(r, name, bufs, split.len(), forward)?, split.labels.clone())))
}
