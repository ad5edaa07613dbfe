//! Several labels at once: how well each ranks samples, and what is right of those that are predicted.

use std::fmt;

use anyhow::{Result, ensure};
use serde::Serialize;

use super::confusion::Overlap;
use super::table::{TextTable, percent};
use super::{mean, names_for};

/// How well sets of labels were predicted: a label is where its logit is above 0, its probability above one half.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MultiLabel {
    pub samples: usize,
    /// Mean of the labels' average precision; `None` where no label is right for any sample.
    pub mean_average_precision: Option<f64>,
    /// F1 of all labels' decisions taken together; `None` where no label is right or predicted.
    pub micro_f1: Option<f64>,
    /// Mean F1 of the labels that are right or predicted somewhere.
    pub macro_f1: Option<f64>,
    /// Mean binary cross-entropy of a label, summed over the labels of a sample as in training; `None` where nothing is known.
    pub loss: Option<f64>,
    pub labels: Vec<LabelScore>,
}

/// How well one label was predicted.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LabelScore {
    pub name: String,
    /// Those that it is right for.
    pub samples: u64,
    /// `None` where it is right for none.
    pub average_precision: Option<f64>,
    /// `None` where it was never predicted.
    pub precision: Option<f64>,
    /// `None` where it is right for none.
    pub recall: Option<f64>,
    /// `None` where it is neither right nor predicted.
    pub f1: Option<f64>,
}

/// The mean of precision over the samples that are right, each taken with all samples that score no less: Σ (Rₙ - Rₙ₋₁) Pₙ over the
/// distinct scores from the largest down, as scikit-learn's `average_precision_score`. `None` where nothing is right.
pub fn average_precision(scores: &[f32], right: &[bool]) -> Option<f64> {
    let mut order: Vec<usize> = (0..scores.len().min(right.len())).collect();
    order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
    let (mut taken, mut found, mut sum) = (0_u64, 0_u64, 0.0);
    for equal in order.chunk_by(|&a, &b| scores[a] == scores[b]) {
        let more = equal.iter().filter(|&&i| right[i]).count() as u64;
        (taken, found) = (taken + equal.len() as u64, found + more);
        sum += more as f64 * found as f64 / taken as f64;
    }
    (found > 0).then(|| sum / found as f64)
}

impl MultiLabel {
    /// `logits`, `truth`: `[samples, labels]`, whether each label is right, `None` where that is not known. Fails where they do not
    /// fit each other or there are none; without names labels are numbers.
    pub fn of(logits: &[f32], truth: &[Option<bool>], labels: usize, names: &[String]) -> Result<Self> {
        ensure!(logits.len() == truth.len(), "{} logits for {} labels of samples", logits.len(), truth.len());
        ensure!(labels > 0 && !truth.is_empty() && truth.len().is_multiple_of(labels), "there are no samples to judge predictions by");
        let mut all = Overlap { truth: 0, predicted: 0, both: 0 };
        let mut score = |(label, name): (usize, String)| {
            let known = logits.iter().zip(truth).skip(label).step_by(labels).filter_map(|(&logit, right)| Some((logit, (*right)?)));
            let (scores, right): (Vec<f32>, Vec<bool>) = known.unzip();
            let count =
                |counts: &dyn Fn(f32, bool) -> bool| scores.iter().zip(&right).filter(|(z, right)| counts(**z, **right)).count() as u64;
            let of_label =
                Overlap { truth: count(&|_, right| right), predicted: count(&|z, _| z > 0.0), both: count(&|z, right| right && z > 0.0) };
            all = Overlap {
                truth: all.truth + of_label.truth,
                predicted: all.predicted + of_label.predicted,
                both: all.both + of_label.both,
            };
            LabelScore {
                name,
                samples: of_label.truth,
                average_precision: average_precision(&scores, &right),
                precision: of_label.precision(),
                recall: of_label.recall(),
                f1: of_label.f1(),
            }
        };
        let scores: Vec<LabelScore> = names_for(names, labels, "labels")?.into_iter().enumerate().map(&mut score).collect();
        Ok(MultiLabel {
            samples: truth.len() / labels,
            mean_average_precision: mean(scores.iter().map(|label| label.average_precision)),
            micro_f1: all.f1(),
            macro_f1: mean(scores.iter().map(|label| label.f1)),
            loss: mean(logits.iter().zip(truth).map(|(&z, right)| right.map(|right| cross_entropy(z.into(), right))))
                .map(|loss| loss * labels as f64),
            labels: scores,
        })
    }
}

/// -log σ(z) of what is right, -log (1 - σ(z)) of what is not.
fn cross_entropy(z: f64, right: bool) -> f64 {
    z.max(0.0) - if right { z } else { 0.0 } + (-z.abs()).exp().ln_1p()
}

impl fmt::Display for MultiLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = TextTable::new(&["label", "samples", "AP", "precision", "recall", "F1"]);
        for label in &self.labels {
            let shares = [label.average_precision, label.precision, label.recall, label.f1].map(percent);
            table.row(&label.name, std::iter::once(label.samples.to_string()).chain(shares));
        }
        write!(f, "{table}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn average_precision_is_scikit_learns() {
        // By scikit-learn 1.9.1's average_precision_score; of the second, three scores are equal.
        let right = |text: &str| text.bytes().map(|byte| byte == b'1').collect::<Vec<_>>();
        let cases: [(&[f32], &str, f64); 4] = [
            (&[0.1, 0.4, 0.35, 0.8], "0011", 0.833_333_333_333_333_3),
            (&[0.5, 0.5, 0.2, 0.5, 0.9, 0.1], "100101", 0.5),
            (&[3.0, 2.0, 1.0, 0.0, -1.0], "00001", 0.2),
            (&[-0.3, 1.7, 0.2, -2.5, 0.2, 0.9, -0.3], "1010011", 0.583_333_333_333_333_3),
        ];
        for (scores, truth, expected) in cases {
            let found = average_precision(scores, &right(truth)).expect("some are right");
            assert!((found - expected).abs() < 1e-12, "{scores:?}: {found}, not {expected}");
        }
        assert_eq!(average_precision(&[1.0, 2.0], &[false, false]), None);
    }

    #[test]
    fn labels_are_judged_apart_and_together() {
        let truth = [[true, false], [true, true], [false, false], [false, true]].concat().into_iter().map(Some).collect::<Vec<_>>();
        let logits = [2.0, 1.0, -1.0, 3.0, 1.0, -2.0, -3.0, -1.0];
        let names = ["a", "b"].map(String::from);
        let judged = MultiLabel::of(&logits, &truth, 2, &names).expect("they fit");
        // Of a: predicted 0 and 2, right 0 and 1. Of b: predicted 0 and 1, right 1 and 3.
        assert_eq!((judged.micro_f1, judged.macro_f1, judged.samples), (Some(0.5), Some(0.5), 4));
        assert_eq!((judged.labels[0].precision, judged.labels[0].recall, judged.labels[0].samples), (Some(0.5), Some(0.5), 2));
        // a: right at ranks 1 and 3; b: at 1 and 3.
        let ap = (1.0 + 2.0 / 3.0) / 2.0;
        assert!(judged.labels.iter().all(|label| label.average_precision.is_some_and(|found| (found - ap).abs() < 1e-12)), "{judged:?}");
        assert!(
            judged
                .to_string()
                .starts_with("label  samples     AP  precision  recall     F1\na            2  83.33      50.00   50.00  50.00"),
            "{judged}"
        );
        let loss: f64 = [(2.0, 1.0), (1.0, 0.0), (-1.0, 1.0), (3.0, 1.0), (1.0, 0.0), (-2.0, 0.0), (-3.0, 0.0), (-1.0, 1.0)]
            .iter()
            .map(|(z, y): &(f64, f64)| -y * (1.0 / (1.0 + (-z).exp())).ln() - (1.0 - y) * (1.0 / (1.0 + z.exp())).ln())
            .sum();
        assert!((judged.loss.expect("known") - loss / 4.0).abs() < 1e-12);
    }

    #[test]
    fn what_is_not_known_does_not_count() {
        let truth = [Some(true), None, Some(false), None];
        let judged = MultiLabel::of(&[1.0, 9.0, -1.0, -9.0], &truth, 2, &[]).expect("they fit");
        assert_eq!((judged.micro_f1, judged.mean_average_precision), (Some(1.0), Some(1.0)));
        assert_eq!((judged.labels[1].average_precision, judged.labels[1].f1, judged.labels[1].samples), (None, None, 0));
        assert!(MultiLabel::of(&[1.0], &truth, 2, &[]).is_err() && MultiLabel::of(&[], &[], 2, &[]).is_err());
    }
}
