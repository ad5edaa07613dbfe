//! Segmentation: how predicted regions overlap the true ones, counted in pixels.

use std::fmt;

use anyhow::{Context, Result};
use serde::Serialize;

use super::confusion::Confusion;
use super::table::{TextTable, percent};
use super::{mean, names_for};

/// How well pixels were assigned. Means are over classes that are in the truth or in the prediction.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Segmentation {
    pub pixels: u64,
    pub accuracy: f64,
    pub mean_iou: f64,
    pub mean_dice: f64,
    /// Of all classes but the first, the background, taken as one; `None` where all is background.
    pub foreground_iou: Option<f64>,
    pub classes: Vec<RegionScore>,
}

/// How the pixels of a class and those predicted as it overlap.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RegionScore {
    pub name: String,
    pub pixels: u64,
    /// Intersection over union; `None` where the class is neither in the truth nor in the prediction.
    pub iou: Option<f64>,
    /// Dice's coefficient: twice the intersection over the sum of both sizes.
    pub dice: Option<f64>,
}

impl Segmentation {
    /// Of pixels of any number of images, counted together. Fails where there are none, or names do not fit the classes.
    pub fn of(confusion: &Confusion, names: &[String]) -> Result<Self> {
        let names = names_for(names, confusion.classes(), "classes")?;
        let score = |(class, name)| {
            let overlap = confusion.overlap(class);
            RegionScore { name, pixels: overlap.truth, iou: overlap.iou(), dice: overlap.f1() }
        };
        let classes: Vec<RegionScore> = names.into_iter().enumerate().map(score).collect();
        Ok(Segmentation {
            pixels: confusion.samples(),
            accuracy: confusion.accuracy().context("there are no labelled pixels to judge predictions by")?,
            mean_iou: mean(classes.iter().map(|class| class.iou)).unwrap_or(0.0),
            mean_dice: mean(classes.iter().map(|class| class.dice)).unwrap_or(0.0),
            foreground_iou: confusion.foreground().iou(),
            classes,
        })
    }
}

impl fmt::Display for Segmentation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = TextTable::new(&["class", "pixels", "IoU", "Dice"]);
        for class in &self.classes {
            table.row(&class.name, [class.pixels.to_string(), percent(class.iou), percent(class.dice)]);
        }
        let [accuracy, iou, dice] = [self.accuracy, self.mean_iou, self.mean_dice].map(percent);
        let foreground = percent(self.foreground_iou);
        writeln!(f, "{table}\n")?;
        write!(f, "mean IoU {iou} %, foreground IoU {foreground} %, mean Dice {dice} %, accuracy {accuracy} %, {} pixels", self.pixels)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlaps_by_hand() {
        // Background 0: 3 true, 2 predicted, 2 both. Class 1: 2, 2, 1. Class 2: 1, 2, 1. Class 3: nowhere.
        let confusion = Confusion::of(&[0, 0, 0, 1, 1, 2], &[0, 0, 1, 1, 2, 2], 4).expect("sound labels");
        let judged = Segmentation::of(&confusion, &[]).expect("pixels");
        let scores: Vec<_> = judged.classes.iter().map(|class| (class.iou, class.dice)).collect();
        assert_eq!(scores[0], (Some(2.0 / 3.0), Some(0.8)));
        assert_eq!(scores[1], (Some(1.0 / 3.0), Some(0.5)));
        assert_eq!(scores[2], (Some(0.5), Some(2.0 / 3.0)));
        assert_eq!(scores[3], (None, None));
        assert!((judged.mean_iou - 0.5).abs() < 1e-15);
        assert!((judged.mean_dice - (0.8 + 0.5 + 2.0 / 3.0) / 3.0).abs() < 1e-15);
        // Truth and prediction are both foreground in 3 pixels, one of them in 4.
        assert_eq!((judged.foreground_iou, judged.accuracy), (Some(0.75), 4.0 / 6.0));
        assert!(judged.to_string().contains("mean IoU 50.00 %, foreground IoU 75.00 %"), "{judged}");
        assert_eq!(serde_json::to_value(&judged).expect("plain data")["classes"][3]["iou"], serde_json::Value::Null);
    }

    #[test]
    fn what_is_not_there_does_not_count() {
        let all_background = Segmentation::of(&Confusion::of(&[0, 0], &[0, 0], 2).expect("sound"), &[]).expect("pixels");
        assert_eq!((all_background.mean_iou, all_background.foreground_iou), (1.0, None));
        assert!(all_background.to_string().contains("foreground IoU - %"));
        assert!(Segmentation::of(&Confusion::new(2), &[]).is_err(), "no pixels");
    }
}
