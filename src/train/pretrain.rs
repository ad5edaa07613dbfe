//! Pretraining an encoder without labels, by contrasting views or by giving images back, or supervised as a control.

use anyhow::Result;

use super::checkpoint::Record;
use super::driver::{Driver, Session};
use super::evaluation::{Evaluation, Pass, Recalibration};
use super::micro::Cached;
use super::observers::{Judgement, Outcome};
use super::outputs::Outputs;
use super::recording::Recording;
use super::settings::{Checked, PretrainSettings};
use super::training::{Plan, Training, TrainingOptions};
use super::weights::Weights;
use super::windows::watched;
use crate::core::buffer::{Buf, Role};
use crate::core::sample::SampleType;
use crate::core::tape::Tape;
use crate::data::{Dataset, Split, Tokenizer};
use crate::error::UsageError;
use crate::exec::{Executor, Programs};
use crate::metrics::{embedding_std, knn_accuracy, unit_rows};
use crate::models::{self, Place};
use crate::ops::{Batch, Clock};

/// Labelled training images that held-out ones are compared with.
const BANK: u32 = 5_000;

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
    /// Over held-out samples, of a method that has one; with its name.
    pub held_out_loss: Option<(&'static str, f64)>,
    pub embedding_std: f64,
}

/// Watches the embeddings of images as they are: their spread always, their kNN accuracy where there are labels. Of an
/// autoencoder also how well held-out images are given back.
struct Monitor {
    recalibration: Option<Recalibration>,
    bank: Evaluation,
    bank_labels: Option<Vec<u32>>,
    held_out: Option<(Evaluation, Option<Vec<u32>>)>,
    /// Leaves the loss of a batch of held-out images; with its name.
    loss: Option<(&'static str, Pass)>,
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
        if let Some((name, pass)) = &self.loss {
            let (mut sum, mut count) = (0.0, 0.0);
            pass.each(exec, programs, &mut |samples, loss| {
                sum += f64::from(samples) * loss.iter().map(|&loss| f64::from(loss)).sum::<f64>();
                count += f64::from(samples);
                Ok(())
            })?;
            values.push((name.to_string(), sum / count));
            score = score.or(Some(-sum / count));
        }
        Ok(Judgement { score, values })
    }
}

impl Pretrain {
    /// Records the run. Fails with a [`UsageError`] where settings and data do not fit each other.
    pub fn prepare(settings: Checked<PretrainSettings>, data: &Dataset, binding_limit: u64) -> Result<Self> {
        let mut settings = settings.into_inner();
        suits(&settings, data)?;
        let weights = Weights::of(settings.init_from.as_deref(), &mut settings.model, &data.train)?;
        let run = &settings.run;
        let (train, held_out) = data.train.hold_out(run.val, run.seed);
        if run.batch > train.len() {
            let (count, what) = (train.len(), train.kind().called());
            let text = format!("--batch {} is larger than the {count} training {what}; the largest batch is {count}", run.batch);
            return Err(UsageError(text).into());
        }
        if settings.method.comparison().is_some() && run.batch < 2 {
            return Err(UsageError("--batch 1 has nothing to compare an image with: at least 2 are needed".into()).into());
        }
        if settings.method.needs_labels() && train.truth.labels.is_none() {
            return Err(UsageError(format!("{} has no labels, --method {} needs them", data.name, settings.method)).into());
        }
        let (method, pretext) = (settings.method, settings.pretext(data.classes, data.tokenizer.as_ref().and_then(Tokenizer::masking)));
        let mut r = Recording::new(run.seed, binding_limit);
        let options = TrainingOptions {
            samples: &train,
            batch: run.batch,
            drop_tail: true,
            by_length: settings.model.kind.pays_for_padding(),
            trained: &[models::ENCODER, models::HEAD],
            optimizer: run.update_rule(),
            seed: run.seed,
            total_steps: &|epoch| run.steps.unwrap_or(run.epochs.saturating_mul(epoch)),
        };
        let training = match settings.micro_batch {
            None => Training::record(&mut r, &options, &|t, batch, clock| method.step(t, &pretext, batch, clock))?,
            Some(micro) => {
                let compare = method.comparison().ok_or_else(|| UsageError(format!("--micro-batch means nothing to --method {method}")))?;
                let cached = Cached {
                    micro,
                    augmentation: pretext.augmentation,
                    form: settings.model.kind.form(),
                    embed: &|t, x, statistics| pretext.embed(t, Place::new(models::ENCODER, statistics), x),
                    loss: &compare,
                };
                Training::record_cached(&mut r, &options, &cached)?
            }
        };
        let mut record = Record::new(None, &settings.model, train.kind(), data.classes, run.seed);
        (record.data, record.bits, record.tokenizer) = (Some(data.fingerprint()), settings.run.bits, data.tokenizer.clone());
        record.resize = settings.run.resize.unwrap_or_default();
        record.take_sounds(data.sound_form);
        let mut notes = r.begin_with(
            weights.as_ref(),
            &Record { outputs: Outputs { class_names: data.class_names.clone(), ..record.outputs.clone() }, ..record.clone() },
        )?;
        notes.extend(run.nothing_held_out(&held_out, data.train.len()));
        let statistics = r.arena.bufs().iter().any(|b| matches!(b.role, Role::Statistic { .. }));
        if let Some(micro) = settings.micro_batch.filter(|_| statistics) {
            notes.push(format!("batch norm normalises by the statistics of each micro-batch of {micro} images, not of the whole batch"));
        }
        let (bank_size, looked_at) = (watched(&train, BANK), watched(&train, Recalibration::SAMPLES));
        let first = training.first_samples(&mut r, "first training", &train, bank_size.max(looked_at));
        let recalibration = Recalibration::record(&mut r, first, looked_at, &|t, batch, statistics| {
            let places = [models::ENCODER, models::HEAD].map(|group| Place::new(group, statistics));
            method.forward(t, &pretext, places, batch)
        })?;
        let held_out = held_out.first(watched(&held_out, u32::MAX));
        let features = |t: &mut Tape<'_>, batch: Batch| models::features(t, &settings.model, batch);
        let bank = Evaluation::record(&mut r, "bank", first, bank_size, &features)?;
        let loss = match method.held_out_loss().filter(|_| !held_out.is_empty()) {
            Some((name, loss)) => {
                let data = r.data("given back", &held_out.bare());
                let pass = Pass::record(&mut r, name, data, held_out.len(), &|t, batch, _, _| loss(t, &pretext, batch))?;
                Some((name, pass))
            }
            None => None,
        };
        let held_out = evaluate_split(&mut r, "held-out", &held_out, &features)?;
        let bank_labels = train.truth.labels.as_ref().map(|labels| labels[..bank_size as usize].to_vec());
        let monitor = Monitor { recalibration, bank, bank_labels, held_out, loss, classes: data.classes as usize };
        let plan = Plan::new(r, training, settings.run.clone(), record)?;
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
            held_out_loss: self.monitor.loss.as_ref().and_then(|(name, _)| Some((*name, value(name)?))),
            embedding_std: value("embedding_std").unwrap_or(0.0),
            outcome,
        })
    }
}

/// Fails where settings ask of the data what they have not.
fn suits(settings: &PretrainSettings, data: &Dataset) -> Result<(), UsageError> {
    let (kind, model, method) = (data.train.kind(), &settings.model, settings.method);
    let [varies_texts, varies_others] = settings.augment.of_texts();
    let is_image = kind.image().is_some();
    let is_text = matches!(kind, SampleType::Tokens { .. });
    let refused = settings.model.kind.refuses(&settings.model, kind);
    let undropped = settings.run.dropout_problem(model);
    let views_alike =
        method.dropout().is_some() && (model.kind.dropout().is_none() || settings.run.dropout_of(model, method.dropout()) == 0.0);
    let maskless = method.masks() && !(model.kind.has_states() && data.tokenizer.as_ref().is_some_and(|of| of.masking().is_some()));
    let wrong = [
        (refused.is_some(), refused.unwrap_or_default()),
        (undropped.is_some(), undropped.unwrap_or_default()),
        (is_image && !method.takes_images(), format!("--method {method} is for texts, {} has images: try simclr", data.name)),
        (is_text && !method.takes_texts(), format!("--method {method} is for images, {} has texts: try simclr", data.name)),
        (views_alike, format!("--method {method} needs dropout, of which {model} has none here: try --model transformer --dropout 0.1")),
        (
            is_text && maskless,
            format!("--method {method} needs a network that tells tokens apart, and a tokenizer with a mask: try --model transformer"),
        ),
        (!(is_image || is_text), format!("{} has samples of {kind}, images or texts are wanted here", data.name)),
        (!model.kind.form().suits(kind), format!("{model} does not take {} ({kind})", kind.called())),
        (is_text && settings.micro_batch.is_some(), "--micro-batch is for images".into()),
        (is_text && model.normalize.is_some(), "[model.normalize] is for images, not for texts".into()),
        (is_text && varies_others, "--augment of images means nothing to texts: try words".into()),
        (is_image && varies_texts, "--augment of words means nothing to images".into()),
    ];
    wrong.into_iter().find(|(wrong, _)| *wrong).map_or(Ok(()), |(_, text)| Err(UsageError(text)))
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
    Ok(Some((Evaluation::record(r, name, bufs, split.len(), forward)?, split.truth.labels.clone())))
}
