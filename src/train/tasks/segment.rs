//! A class per pixel.

use anyhow::{Context, Result};

use super::super::outputs::Outputs;
use super::objective::{EachOutput, Objective, Prediction, Scores};
use super::task::{FinetuneTask, TaskSettings};
use crate::core::buffer::{Buf, Dtype, Fill, Role, shape};
use crate::core::tape::Tape;
use crate::data::{Dataset, Truth, TruthKind};
use crate::host::views::Ranges;
use crate::metrics::{Confusion, Segmentation, first_largest};
use crate::models::{self, ModelKind, ModelSettings, Place};
use crate::ops::{Batch, OUTSIDE, Value, batch_masks, pixel_cross_entropy};
use crate::variants;

variants! {
    /// What the classes of pixels count.
    pub enum ClassWeights {
        /// Every pixel counts alike.
        None = "none",
        /// Every class counts alike, however few pixels it has.
        Balanced = "balanced",
    }
}

pub(super) static TASK: Segment = Segment;

pub(super) struct Segment;

impl FinetuneTask for Segment {
    fn name(&self) -> &'static str {
        "segment"
    }

    fn help(&self) -> &'static str {
        "A class per pixel."
    }

    fn stage(&self) -> &'static str {
        "segmenter"
    }

    fn truth(&self) -> TruthKind {
        TruthKind::Masks
    }

    fn settings(&self) -> &'static [&'static str] {
        &["class_weights"]
    }

    fn measures(&self) -> &'static [&'static str] {
        &["mean_iou", "foreground_iou", "mean_dice", "accuracy"]
    }

    fn of_maps(&self) -> bool {
        true
    }

    fn default_model(&self) -> ModelKind {
        ModelKind::CNN
    }

    fn begin(&self, settings: &TaskSettings<'_>, data: &Dataset, train: &Truth, outputs: &mut Outputs) -> Result<Box<dyn Objective>> {
        outputs.class_names = data.class_names.clone();
        (outputs.mask_values, outputs.mask_palette) = (data.mask_values.clone(), data.mask_palette.clone());
        Ok(Box::new(Pixels { weights: class_weights(settings.class_weights, data.classes, train), names: data.class_names.clone() }))
    }

    fn recall(&self, outputs: &Outputs) -> Box<dyn Objective> {
        Box::new(Pixels { weights: vec![1.0; outputs.classes as usize], names: outputs.class_names.clone() })
    }
}

/// A weight for each class: all 1, or such that each class weighs as much as the others in the pixels of `train`.
fn class_weights(weights: ClassWeights, classes: u32, train: &Truth) -> Vec<f32> {
    let mut counts = vec![0_u64; classes as usize];
    for &class in train.masks.iter().flat_map(|masks| masks.iter().flatten()) {
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

struct Pixels {
    /// One per class.
    weights: Vec<f32>,
    names: Vec<String>,
}

impl Pixels {
    fn classes(&self, logits: &[f32]) -> Vec<u8> {
        logits.chunks(self.weights.len().max(1)).map(|logits| first_largest(logits) as u8).collect()
    }
}

impl Objective for Pixels {
    fn describe(&self) -> String {
        format!("{} classes of pixels", self.weights.len())
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

    fn predictions(&self, outputs: &[f32], samples: u32) -> Vec<Prediction> {
        let classes = self.classes(outputs);
        classes.chunks((classes.len() / samples.max(1) as usize).max(1)).map(|mask| Prediction::Mask(mask.to_vec())).collect()
    }

    fn judge(&self, outputs: &mut EachOutput<'_>, truth: &Truth, _detailed: bool) -> Result<Scores> {
        let mut confusion = Confusion::new(self.weights.len()).ignoring(OUTSIDE);
        let masks = truth.masks.as_ref().context("there are no masks to compare with")?;
        let mut done = 0;
        outputs(&mut |samples, logits| {
            let predicted: Vec<u32> = self.classes(&logits).into_iter().map(u32::from).collect();
            let known: Vec<u32> = (done..done + samples).flat_map(|sample| masks.row(sample)).map(|&class| class.into()).collect();
            done += samples;
            confusion.add(&known, &predicted)
        })?;
        let found = Segmentation::of(&confusion, &self.names)?;
        let (iou, dice) = (Some(found.mean_iou), Some(found.mean_dice));
        Ok(Scores {
            score: iou,
            samples: masks.len(),
            values: vec![
                ("mean_iou", iou),
                ("foreground_iou", found.foreground_iou),
                ("mean_dice", dice),
                ("accuracy", Some(found.accuracy)),
            ],
            text: found.to_string(),
            details: None,
        })
    }
}
