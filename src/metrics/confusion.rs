//! Which class was taken for which: the counts that classification and segmentation are judged by.

use anyhow::{Result, ensure};

/// Counts of (true class, predicted class), over as many batches as are added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confusion {
    classes: usize,
    /// A true label that does not count, as the border of objects in some segmentation data.
    ignored: Option<u32>,
    /// `[truth, prediction]`
    counts: Vec<u64>,
}

/// How a class and the predictions of it overlap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Overlap {
    pub truth: u64,
    pub predicted: u64,
    pub both: u64,
}

impl Overlap {
    pub fn precision(self) -> Option<f64> {
        share(self.both, self.predicted)
    }

    pub fn recall(self) -> Option<f64> {
        share(self.both, self.truth)
    }

    /// Harmonic mean of precision and recall. Of regions it is called Dice's coefficient.
    pub fn f1(self) -> Option<f64> {
        share(2 * self.both, self.truth + self.predicted)
    }

    /// Intersection over union, Jaccard's index.
    pub fn iou(self) -> Option<f64> {
        share(self.both, self.truth + self.predicted - self.both)
    }
}

/// `None` of nothing.
fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

impl Confusion {
    pub fn new(classes: usize) -> Self {
        Confusion { classes, ignored: None, counts: vec![0; classes * classes] }
    }

    /// Samples whose true label is `label` are not to count.
    pub fn ignoring(self, label: u32) -> Self {
        Confusion { ignored: Some(label), ..self }
    }

    /// The counts of one set of samples.
    pub fn of(truth: &[u32], predicted: &[u32], classes: usize) -> Result<Self> {
        let mut confusion = Self::new(classes);
        confusion.add(truth, predicted)?;
        Ok(confusion)
    }

    /// Counts more samples. Fails, and counts none of them, where lengths differ or a label is no class.
    pub fn add(&mut self, truth: &[u32], predicted: &[u32]) -> Result<()> {
        ensure!(truth.len() == predicted.len(), "{} labels for {} predictions", truth.len(), predicted.len());
        let counted = |&(_, (&truth, _)): &(usize, (&u32, &u32))| self.ignored != Some(truth);
        let pairs = || truth.iter().zip(predicted).enumerate().filter(counted);
        for (sample, (&truth, &predicted)) in pairs() {
            for (label, what) in [(truth, "the label"), (predicted, "the prediction")] {
                ensure!((label as usize) < self.classes, "{what} of sample {sample} is {label}, there are {} classes", self.classes);
            }
        }
        let places: Vec<usize> = pairs().map(|(_, (&truth, &predicted))| truth as usize * self.classes + predicted as usize).collect();
        places.into_iter().for_each(|place| self.counts[place] += 1);
        Ok(())
    }

    pub fn classes(&self) -> usize {
        self.classes
    }

    /// Samples of class `truth` that were taken for `predicted`.
    pub fn count(&self, truth: usize, predicted: usize) -> u64 {
        self.counts[truth * self.classes + predicted]
    }

    /// A row for each true class.
    pub fn rows(&self) -> impl Iterator<Item = &[u64]> {
        self.counts.chunks(self.classes.max(1))
    }

    pub fn samples(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Share of samples that were taken for what they are.
    pub fn accuracy(&self) -> Option<f64> {
        share((0..self.classes).map(|class| self.count(class, class)).sum(), self.samples())
    }

    pub(super) fn overlap(&self, class: usize) -> Overlap {
        Overlap {
            truth: (0..self.classes).map(|other| self.count(class, other)).sum(),
            predicted: (0..self.classes).map(|other| self.count(other, class)).sum(),
            both: self.count(class, class),
        }
    }

    /// All classes but the first, taken as one.
    pub(super) fn foreground(&self) -> Overlap {
        let background = if self.classes > 0 { self.overlap(0) } else { Overlap { truth: 0, predicted: 0, both: 0 } };
        let samples = self.samples();
        Overlap {
            truth: samples - background.truth,
            predicted: samples - background.predicted,
            both: samples + background.both - background.truth - background.predicted,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_by_hand() {
        let mut confusion = Confusion::of(&[0, 0, 1, 2], &[0, 1, 1, 0], 4).expect("sound labels");
        confusion.add(&[2], &[2]).expect("sound labels");
        assert_eq!(confusion.rows().collect::<Vec<_>>(), [&[1, 1, 0, 0], &[0, 1, 0, 0], &[1, 0, 1, 0], &[0, 0, 0, 0]]);
        assert_eq!(confusion.accuracy(), Some(0.6));
        let one = confusion.overlap(1);
        assert_eq!(one, Overlap { truth: 1, predicted: 2, both: 1 });
        assert_eq!((one.precision(), one.recall(), one.f1(), one.iou()), (Some(0.5), Some(1.0), Some(2.0 / 3.0), Some(0.5)));
        let absent = confusion.overlap(3);
        assert_eq!((absent.precision(), absent.recall(), absent.f1(), absent.iou()), (None, None, None, None));
        // Samples 1 to 4 are none of class 0; predictions 1, 2 and 4 are none.
        assert_eq!(confusion.foreground(), Overlap { truth: 3, predicted: 3, both: 2 });
    }

    #[test]
    fn what_is_no_class_is_refused_and_nothing_counted() {
        let mut confusion = Confusion::new(2);
        let mut refused = |truth: &[u32], predicted: &[u32]| confusion.add(truth, predicted).expect_err("refused").to_string();
        assert!(refused(&[0], &[0, 1]).contains("1 labels for 2 predictions"));
        assert!(refused(&[0, 2], &[0, 0]).contains("the label of sample 1 is 2, there are 2 classes"));
        assert!(refused(&[0, 1], &[0, 5]).contains("the prediction of sample 1 is 5"));
        assert_eq!((confusion.samples(), confusion.accuracy()), (0, None));
    }

    #[test]
    fn ignored_labels_do_not_count() {
        let mut confusion = Confusion::new(2).ignoring(255);
        confusion.add(&[0, 255, 1], &[0, 1, 0]).expect("255 is ignored");
        assert_eq!((confusion.samples(), confusion.accuracy()), (2, Some(0.5)));
        assert!(confusion.add(&[1], &[255]).is_err(), "it is no class to predict");
    }
}
