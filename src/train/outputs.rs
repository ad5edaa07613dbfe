//! What the numbers that a network ends in stand for.

use serde::{Deserialize, Serialize};

use super::scope::Threshold;
use crate::data::Scale;

/// A number that is predicted, and the mean and deviation that its values were standardised by.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Target {
    pub name: String,
    pub scale: Scale,
}

/// What predictions mean, as a checkpoint records it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Outputs {
    /// Of the training data; 0 if they have no labels.
    pub classes: u32,
    /// Of what is predicted: a name for each class.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub class_names: Vec<String>,
    /// Of masks: the value that each class has in them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mask_values: Vec<u8>,
    /// Of masks: the colours of those values, if there was a palette.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mask_palette: Vec<u8>,
    /// Of numbers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub targets: Vec<Target>,
    /// Of classes: what samples were called that belong to none of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub out_of_scope: Option<String>,
    /// Of classes, where samples were held out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold: Option<Threshold>,
}

impl Outputs {
    /// More classes than labels can name.
    const MOST_CLASSES: u32 = 1 << 16;

    /// Classes of which nothing else is known.
    pub fn classes(classes: u32) -> Self {
        Outputs { classes, ..Outputs::default() }
    }

    /// What makes no sense of those that were read from a file.
    pub fn problem(&self) -> Option<String> {
        let is_share = |threshold: &Threshold| (0.0..=1.0).contains(&threshold.probability);
        let checks = [
            (!self.threshold.as_ref().is_none_or(is_share), "a threshold that is no probability".into()),
            (self.classes > Self::MOST_CLASSES, format!("{} classes", self.classes)),
            (!self.mask_palette.len().is_multiple_of(3) || self.mask_palette.len() > 3 * 256, "a palette of masks".into()),
            (!self.targets.iter().all(|target| target.scale.mean.is_finite() && target.scale.std.is_finite()), "a target's scale".into()),
        ];
        checks.into_iter().find(|(wrong, _)| *wrong).map(|(_, what)| what)
    }
}
