//! What tells the tasks of fine-tuning apart: the head, the truth, the loss, and what predictions are worth.

use anyhow::{Context, Result};

use super::checkpoint::{Record, Stage, Target};
use super::settings::{ClassWeights, FinetuneSettings, RegressionLoss};
use super::shards::BatchOutput;
use crate::core::buffer::{Buf, Dtype, Fill, Role, shape};
use crate::core::tape::Tape;
use crate::data::{self, Dataset, Scale, Split, Truth};
use crate::error::UsageError;
use crate::host::views::Ranges;
use crate::metrics::{Confusion, Regression, Segmentation, accuracy_and_loss, first_largest};
use crate::models::{self, ModelSettings, Place};
use crate::ops::{Batch, OUTSIDE, Value, batch_labels, batch_masks, batch_targets, cross_entropy, huber, mse, pixel_cross_entropy};

/// What predictions are worth.
#[derive(Clone, Debug, PartialEq)]
pub struct Scores {
    /// What `best` is chosen by; larger is better.
    pub score: Option<f64>,
    pub samples: u32,
    /// By name; `None` where a measure is not defined.
    pub values: Vec<(&'static str, Option<f64>)>,
    /// For people.
    pub text: String,
}

impl Scores {
    pub fn value(&self, name: &str) -> Option<f64> {
        self.values.iter().find(|(known, _)| *known == name)?.1
    }
}

pub trait Task {
    /// For people: what is predicted.
    fn describe(&self) -> String;

    /// Names of what [`judge`](Task::judge) measures.
    fn measures(&self) -> &'static [&'static str];

    /// Whether the truth about `split` is known.
    fn knows(&self, split: &Split) -> bool;

    /// `split` as it is trained on.
    fn to_train_on(&self, split: &Split) -> Split {
        split.clone()
    }

    /// What the network makes of samples `x`, with the encoder and the head in these places.
    fn output(&self, t: &mut Tape<'_>, model: &ModelSettings, places: [Place; 2], x: Value) -> Buf;

    /// `[1, 1]`. `ranges`: `output` is of the one view of each sample that this program has drawn within them; of the samples as
    /// they are if there are none.
    fn loss(&self, t: &mut Tape<'_>, batch: Batch, ranges: Ranges, output: Buf) -> Buf;

    /// Outputs as users want them.
    fn finished(&self, output: Vec<f32>) -> Vec<f32> {
        output
    }

    /// Compares outputs for the samples of `truth`, in order, with what is known of them.
    fn judge(&self, outputs: &mut EachOutput<'_>, truth: &Split) -> Result<Scores>;
}

/// Calls what it is given for each batch.
pub type EachOutput<'a> = dyn FnMut(&mut BatchOutput<'_>) -> Result<()> + 'a;

/// The task of a run that trains on `train`; notes in `record` what predictions need to know.
pub(super) fn of_run(settings: &FinetuneSettings, data: &Dataset, train: &Split, record: &mut Record) -> Result<Box<dyn Task>> {
    Ok(match settings.task {
        data::Task::Classify => {
            record.stage = Stage::Classifier;
            record.class_names = data.class_names.clone();
            Box::new(Classify { classes: data.classes, label_smoothing: settings.label_smoothing })
        }
        data::Task::Regress => {
            record.stage = Stage::Regressor;
            record.targets = vec![standardised(settings, train)?];
            Box::new(Regress { targets: record.targets.clone(), loss: settings.loss })
        }
        data::Task::Segment => {
            record.stage = Stage::Segmenter;
            record.class_names = data.class_names.clone();
            (record.mask_values, record.mask_palette) = (data.mask_values.clone(), data.mask_palette.clone());
            let weights = class_weights(settings.class_weights, data.classes, train);
            Box::new(Segment { weights, names: data.class_names.clone() })
        }
    })
}

/// The task that a checkpoint was trained for.
pub(super) fn of_record(record: &Record) -> Result<Box<dyn Task>> {
    Ok(match record.stage {
        Stage::Pretrained => {
            return Err(UsageError("this checkpoint is a pretrained encoder without a head; `finetune --from` it first".into()).into());
        }
        Stage::Classifier => Box::new(Classify { classes: record.classes, label_smoothing: 0.0 }),
        Stage::Regressor => Box::new(Regress { targets: record.targets.clone(), loss: RegressionLoss::Mse }),
        Stage::Segmenter => Box::new(Segment { weights: vec![1.0; record.classes as usize], names: record.class_names.clone() }),
    })
}

/// All outputs, one batch after the other.
fn all(outputs: &mut EachOutput<'_>) -> Result<Vec<f32>> {
    let mut rows = Vec::new();
    outputs(&mut |_, results| {
        rows.extend(results);
        Ok(())
    })?;
    Ok(rows)
}

/// A class per sample.
struct Classify {
    classes: u32,
    label_smoothing: f32,
}

impl Task for Classify {
    fn describe(&self) -> String {
        format!("{} classes", self.classes)
    }

    fn measures(&self) -> &'static [&'static str] {
        &["accuracy", "loss"]
    }

    fn knows(&self, split: &Split) -> bool {
        split.truth.labels.is_some()
    }

    fn output(&self, t: &mut Tape<'_>, model: &ModelSettings, [encoder, _]: [Place; 2], x: Value) -> Buf {
        let features = models::encoder(t, model, encoder, x);
        models::classifier(t, model, self.classes, features)
    }

    fn loss(&self, t: &mut Tape<'_>, batch: Batch, _: Ranges, output: Buf) -> Buf {
        let targets = batch_labels(t, batch);
        cross_entropy(t, "loss", output, targets, self.label_smoothing)
    }

    fn judge(&self, outputs: &mut EachOutput<'_>, truth: &Split) -> Result<Scores> {
        let labels = truth.truth.labels.as_deref().unwrap_or_default();
        let (accuracy, loss) = accuracy_and_loss(&all(outputs)?, self.classes as usize, labels);
        Ok(Scores {
            score: Some(accuracy),
            samples: truth.len(),
            values: vec![("accuracy", Some(accuracy)), ("loss", Some(loss))],
            text: format!("accuracy {:.2} %, loss {loss:.4}, {} images", 100.0 * accuracy, truth.len()),
        })
    }
}

/// Mean and deviation of what is trained on.
fn standardised(settings: &FinetuneSettings, train: &Split) -> Result<Target> {
    let name = settings.run.target.clone().unwrap_or_else(|| "target".into());
    let values: Vec<f64> = train.truth.targets.iter().flatten().map(|&value| f64::from(value)).collect();
    let scale = if values.is_empty() { Scale { mean: 0.0, std: 1.0 } } else { Scale::of(&values) };
    if scale.is_constant() {
        return Err(UsageError(format!("`{name}` is {} in all training samples; there is nothing to learn", scale.mean)).into());
    }
    Ok(Target { name, scale })
}

/// Numbers per sample, standardised while they are learnt.
struct Regress {
    targets: Vec<Target>,
    loss: RegressionLoss,
}

impl Regress {
    /// Calls `f(value, scale)` for the values of rows.
    fn each(&self, mut rows: Vec<f32>, f: impl Fn(f64, Scale) -> f64) -> Vec<f32> {
        let scales = self.targets.iter().map(|target| target.scale).cycle();
        rows.iter_mut().zip(scales).for_each(|(value, scale)| *value = f(f64::from(*value), scale) as f32);
        rows
    }
}

impl Task for Regress {
    fn describe(&self) -> String {
        self.targets.iter().map(|target| target.name.as_str()).collect::<Vec<_>>().join(", ")
    }

    fn measures(&self) -> &'static [&'static str] {
        &["r2", "mae", "rmse"]
    }

    fn knows(&self, split: &Split) -> bool {
        split.truth.targets.is_some()
    }

    fn to_train_on(&self, split: &Split) -> Split {
        let scaled = |targets: Vec<f32>| self.each(targets, |value, scale| (value - scale.mean) / scale.std);
        let truth = Truth { targets: split.truth.targets.clone().map(scaled), ..split.truth.clone() };
        Split { truth, ..split.clone() }
    }

    fn output(&self, t: &mut Tape<'_>, model: &ModelSettings, [encoder, _]: [Place; 2], x: Value) -> Buf {
        let features = models::encoder(t, model, encoder, x);
        models::classifier(t, model, self.targets.len() as u32, features)
    }

    fn loss(&self, t: &mut Tape<'_>, batch: Batch, _: Ranges, output: Buf) -> Buf {
        let wanted = batch_targets(t, batch);
        match self.loss {
            RegressionLoss::Mse => mse(t, "loss", output, wanted),
            RegressionLoss::Huber => huber(t, "loss", output, wanted, 1.0),
        }
    }

    fn finished(&self, output: Vec<f32>) -> Vec<f32> {
        self.each(output, |value, scale| value * scale.std + scale.mean)
    }

    fn judge(&self, outputs: &mut EachOutput<'_>, truth: &Split) -> Result<Scores> {
        let predicted = self.finished(all(outputs)?);
        let names: Vec<String> = self.targets.iter().map(|target| target.name.clone()).collect();
        let found = Regression::of(&predicted, truth.truth.targets.as_deref().unwrap_or_default(), names.len(), &names)?;
        Ok(Scores {
            score: found.r2,
            samples: truth.len(),
            values: vec![("r2", found.r2), ("mae", Some(found.mae)), ("rmse", Some(found.rmse))],
            text: found.to_string(),
        })
    }
}

/// A weight for each class: all 1, or such that each class weighs as much as the others in the pixels of `train`.
fn class_weights(weights: ClassWeights, classes: u32, train: &Split) -> Vec<f32> {
    let mut counts = vec![0_u64; classes as usize];
    for &class in train.truth.masks.iter().flat_map(|masks| masks.iter().flatten()) {
        if let Some(count) = counts.get_mut(class as usize) {
            *count += 1;
        }
    }
    let (all, present) = (counts.iter().sum::<u64>() as f64, counts.iter().filter(|&&count| count > 0).count() as f64);
    let balanced = |&count: &u64| if count > 0 { (all / (present * count as f64)) as f32 } else { 0.0 };
    match weights {
        ClassWeights::None => vec![1.0; classes as usize],
        ClassWeights::Balanced => counts.iter().map(balanced).collect(),
    }
}

/// A class per pixel.
struct Segment {
    /// One per class.
    weights: Vec<f32>,
    names: Vec<String>,
}

impl Task for Segment {
    fn describe(&self) -> String {
        format!("{} classes of pixels", self.weights.len())
    }

    fn measures(&self) -> &'static [&'static str] {
        &["mean_iou", "foreground_iou", "mean_dice", "accuracy"]
    }

    fn knows(&self, split: &Split) -> bool {
        split.truth.masks.is_some()
    }

    fn output(&self, t: &mut Tape<'_>, model: &ModelSettings, places: [Place; 2], x: Value) -> Buf {
        models::segmenter(t, model, places, self.weights.len() as u32, x)
    }

    fn loss(&self, t: &mut Tape<'_>, batch: Batch, ranges: Ranges, output: Buf) -> Buf {
        let targets = batch_masks(t, batch, ranges);
        let fill = Fill::F32(self.weights.clone());
        let weights = t.arena.buffer("class weights", Role::Input, Dtype::F32, shape(1, self.weights.len() as u32), fill);
        pixel_cross_entropy(t, "loss", output, targets, weights, OUTSIDE)
    }

    /// Logits become classes.
    fn finished(&self, output: Vec<f32>) -> Vec<f32> {
        output.chunks(self.weights.len()).map(|logits| first_largest(logits) as f32).collect()
    }

    fn judge(&self, outputs: &mut EachOutput<'_>, truth: &Split) -> Result<Scores> {
        let mut confusion = Confusion::new(self.weights.len()).ignoring(OUTSIDE);
        let mut masks = truth.truth.masks.iter().flat_map(|masks| masks.iter());
        outputs(&mut |_, logits| {
            let predicted: Vec<u32> = logits.chunks(self.weights.len()).map(|logits| first_largest(logits) as u32).collect();
            let mut known = Vec::new();
            while known.len() < predicted.len() {
                known.extend(masks.next().context("a mask for each sample")?.iter().map(|&class| u32::from(class)));
            }
            confusion.add(&known, &predicted)
        })?;
        let found = Segmentation::of(&confusion, &self.names)?;
        let (iou, dice) = (Some(found.mean_iou), Some(found.mean_dice));
        Ok(Scores {
            score: iou,
            samples: truth.len(),
            values: vec![
                ("mean_iou", iou),
                ("foreground_iou", found.foreground_iou),
                ("mean_dice", dice),
                ("accuracy", Some(found.accuracy)),
            ],
            text: found.to_string(),
        })
    }
}
