//! Samples of none of the classes, told by the largest probability: those of which it is below a threshold.

use serde::{Deserialize, Serialize};

/// What a threshold comes to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScopeScore {
    /// Samples of the classes, and of none.
    pub in_scope: usize,
    pub out_of_scope: usize,
    /// Of the samples of the classes, the share that is neither rejected nor taken for another class; `None` without any.
    pub in_scope_accuracy: Option<f64>,
    /// Of the samples of the classes, the share that is rejected; `None` without any.
    pub rejected: Option<f64>,
    /// Of the samples of none, the share that is rejected; `None` without any.
    pub recall: Option<f64>,
    /// The probability that a sample of a class has a larger probability than one of none, at any threshold; `None` unless there are
    /// both.
    pub auroc: Option<f64>,
}

/// A sample of a class: its largest probability, and whether that is of the right class.
pub type InScope = (f64, bool);

fn share(part: usize, whole: usize) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

impl ScopeScore {
    /// At a threshold: what is below it is rejected.
    pub fn at(threshold: f64, inside: &[InScope], outside: &[f64]) -> Self {
        let count = |is: &dyn Fn(&InScope) -> bool| share(inside.iter().filter(|sample| is(sample)).count(), inside.len());
        ScopeScore {
            in_scope: inside.len(),
            out_of_scope: outside.len(),
            in_scope_accuracy: count(&|&(p, right)| right && p >= threshold),
            rejected: count(&|&(p, _)| p < threshold),
            recall: share(outside.iter().filter(|&&p| p < threshold).count(), outside.len()),
            auroc: auroc(&inside.iter().map(|(p, _)| *p).collect::<Vec<_>>(), outside),
        }
    }
}

/// The area under the curve of true over false positives: the share of pairs in which the one inside has more, ties being half.
pub fn auroc(inside: &[f64], outside: &[f64]) -> Option<f64> {
    let mut sorted = outside.to_vec();
    sorted.sort_by(f64::total_cmp);
    let below = |p: f64| (sorted.partition_point(|&other| other < p) + sorted.partition_point(|&other| other <= p)) as f64 / 2.0;
    let pairs = inside.len() as f64 * outside.len() as f64;
    (pairs > 0.0).then(|| inside.iter().map(|&p| below(p)).sum::<f64>() / pairs)
}

/// The threshold at which in-scope accuracy and out-of-scope recall have the largest sum, the lowest of equals: in the middle
/// between two neighbouring probabilities, or 0, which rejects nothing. `None` unless there are samples of both.
pub fn balanced_threshold(inside: &[InScope], outside: &[f64]) -> Option<f64> {
    let (all, of_none) = (inside.len() as f64, outside.len() as f64);
    let mut samples: Vec<(f64, f64)> = inside.iter().map(|&(p, right)| (p, if right { -1.0 / all } else { 0.0 })).collect();
    samples.extend(outside.iter().map(|&p| (p, 1.0 / of_none)));
    samples.sort_by(|a, b| a.0.total_cmp(&b.0));
    let groups: Vec<&[(f64, f64)]> = samples.chunk_by(|a, b| a.0 == b.0).collect();
    let (mut best, mut sum) = ((0.0, 0.0), 0.0);
    for pair in groups.windows(2) {
        // What rejecting this probability too gains.
        sum += pair[0].iter().map(|(_, gain)| gain).sum::<f64>();
        // More than what sums of shares err by.
        if sum > best.0 + 1e-9 {
            best = (sum, 0.5 * (pair[0][0].0 + pair[1][0].0));
        }
    }
    (!inside.is_empty() && !outside.is_empty()).then_some(best.1)
}

/// The threshold that rejects this share of samples of the classes, or a little less. `None` where that is not one sample.
pub fn quantile_threshold(inside: &[InScope], share: f64) -> Option<f64> {
    let mut sorted: Vec<f64> = inside.iter().map(|(p, _)| *p).collect();
    sorted.sort_by(f64::total_cmp);
    let rejected = (share * sorted.len() as f64) as usize;
    (1..sorted.len()).contains(&rejected).then(|| 0.5 * (sorted[rejected - 1] + sorted[rejected]))
}

#[cfg(test)]
mod tests {
    use super::*;

    const INSIDE: [InScope; 5] = [(0.9, true), (0.8, true), (0.75, false), (0.6, true), (0.3, false)];
    const OUTSIDE: [f64; 4] = [0.2, 0.4, 0.5, 0.8];

    #[test]
    fn scores_by_hand() {
        let found = ScopeScore::at(0.55, &INSIDE, &OUTSIDE);
        assert_eq!((found.in_scope_accuracy, found.rejected, found.recall), (Some(0.6), Some(0.2), Some(0.75)));
        // Of 20 pairs, 4 + 3.5 + 3 + 3 + 1 are in order.
        assert!((found.auroc.expect("both") - 14.5 / 20.0).abs() < 1e-12, "{found:?}");
        assert_eq!((found.in_scope, found.out_of_scope), (5, 4));
        let none = ScopeScore::at(0.5, &[], &[]);
        assert_eq!((none.in_scope_accuracy, none.recall, none.auroc), (None, None, None));
    }

    #[test]
    fn thresholds_are_between_neighbours() {
        let close =
            |found: Option<f64>, wanted: f64| assert!(found.is_some_and(|found| (found - wanted).abs() < 1e-12), "{found:?} {wanted}");
        // Above 0.5, nothing right is lost and three of four are found.
        close(balanced_threshold(&INSIDE, &OUTSIDE), 0.55);
        close(balanced_threshold(&[(0.1, true), (0.2, true)], &[0.9]), 0.0);
        assert_eq!((balanced_threshold(&INSIDE, &[]), balanced_threshold(&[], &OUTSIDE)), (None, None));
        close(quantile_threshold(&INSIDE, 0.2), 0.45);
        close(quantile_threshold(&INSIDE, 0.5), 0.675);
        assert_eq!(quantile_threshold(&INSIDE, 0.1), None);
    }
}
