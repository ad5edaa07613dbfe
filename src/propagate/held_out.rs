//! How far spread labels can be trusted: given labels that are left out in turn, and found from the others.

use std::collections::HashSet;

use anyhow::{Result, ensure};

use super::LabelScores;
use crate::metrics::{Confusion, first_largest};

/// Parts that are left out, one after the other.
const FOLDS: usize = 5;
/// Of fewer labels too little can be told.
const LEAST: usize = 20;
/// Temperatures between which the best one is looked for.
const TEMPERATURES: [f64; 2] = [0.1, 20.0];

/// Given labels, each found without itself.
#[derive(Clone, Debug, PartialEq)]
pub struct HeldOut {
    /// What they were taken for. What no other label reaches does not count.
    pub confusion: Confusion,
    /// The temperature at which shares are the best probabilities, above 1 where they are too sure.
    pub temperature: f64,
}

impl HeldOut {
    /// Cross-validation: the labels of each class are dealt to five parts, and each part is found by what `scores` makes of the other
    /// four. `labelled`: (row, class); `scores`: of all rows, from some of the labels. A class with one label keeps it. `None` where
    /// fewer than twenty labels can be left out, or found.
    pub fn of(labelled: &[(u32, u32)], classes: usize, scores: impl Fn(&[(u32, u32)]) -> Result<LabelScores>) -> Result<Option<Self>> {
        let mut of_class: Vec<Vec<(u32, u32)>> = vec![Vec::new(); classes];
        for &(row, class) in labelled {
            ensure!((class as usize) < classes, "label {class} is none of {classes} classes");
            of_class[class as usize].push((row, class));
        }
        of_class.retain(|labels| labels.len() > 1);
        // Classes begin at different parts, so that none is left out of many at once.
        let dealt = of_class.iter().enumerate().flat_map(|(at, labels)| labels.iter().zip(at..));
        let dealt: Vec<((u32, u32), usize)> = dealt.map(|(&label, at)| (label, at % FOLDS)).collect();
        if dealt.len() < LEAST {
            return Ok(None);
        }
        let (mut confusion, mut found) = (Confusion::new(classes), Vec::new());
        for fold in 0..FOLDS {
            let left_out: HashSet<(u32, u32)> = dealt.iter().filter(|(_, part)| *part == fold).map(|(label, _)| *label).collect();
            let others: Vec<(u32, u32)> = labelled.iter().copied().filter(|label| !left_out.contains(label)).collect();
            let scores = scores(&others)?;
            for &(row, class) in labelled.iter().filter(|label| left_out.contains(label)) {
                let shares = &scores.values[row as usize * classes..][..classes];
                if shares.iter().any(|&share| share > 0.0) {
                    confusion.add(&[class], &[first_largest(shares) as u32])?;
                    found.push((class, shares.to_vec()));
                }
            }
        }
        Ok((found.len() >= LEAST).then(|| HeldOut { confusion, temperature: temperature(&found) }))
    }
}

/// The least cross-entropy of shares at another temperature (Guo et al., "On calibration of modern neural networks", 2017), where the
/// true class is to have (n + 1) / (n + 2) of n rows, as nothing is certain that was seen n times (Platt, 1999).
fn temperature(found: &[(u32, Vec<f32>)]) -> f64 {
    let target = (found.len() + 1) as f64 / (found.len() + 2) as f64;
    let loss = |temperature: f64| {
        let of_one = |(class, shares): &(u32, Vec<f32>)| {
            let others = (1.0 - target) / (shares.len().max(2) - 1) as f64;
            let logs: Vec<f64> = shares.iter().map(|&share| log(share) / temperature).collect();
            let largest = logs.iter().fold(f64::NEG_INFINITY, |a, &b| a.max(b));
            let norm = largest + logs.iter().map(|z| (z - largest).exp()).sum::<f64>().ln();
            let log_of = |(at, z): (usize, &f64)| if at == *class as usize { target * (norm - z) } else { others * (norm - z) };
            logs.iter().enumerate().map(log_of).sum::<f64>()
        };
        found.iter().map(of_one).sum::<f64>()
    };
    // It is convex over inverse temperatures: a third that is worse than the other can be cut off.
    let [mut low, mut high] = TEMPERATURES.map(f64::ln);
    for _ in 0..50 {
        let (a, b) = (low + (high - low) / 3.0, high - (high - low) / 3.0);
        if loss(a.exp()) <= loss(b.exp()) { high = b } else { low = a }
    }
    (0.5 * (low + high)).exp()
}

/// Of a share, which may be too small for its number.
fn log(share: f32) -> f64 {
    f64::from(share.max(f32::MIN_POSITIVE)).ln()
}

impl LabelScores {
    /// Shares as softmax would have them at another temperature; nothing remains nothing, and what is certain remains so.
    pub fn tempered(mut self, temperature: f64) -> Self {
        for row in self.values.chunks_mut(self.classes.max(1)) {
            let largest = row.iter().fold(0.0_f32, |a, &b| a.max(b));
            if largest == 0.0 {
                continue;
            }
            let shares: Vec<f64> = row.iter().map(|&share| (f64::from(share) / f64::from(largest)).powf(1.0 / temperature)).collect();
            let sum: f64 = shares.iter().sum();
            row.iter_mut().zip(shares).for_each(|(share, tempered)| *share = (tempered / sum) as f32);
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::random::{signed_unit, threefry};

    /// Twenty-two labels of two classes on rows 0 to 21, and one of a third class on row 22.
    fn labelled() -> Vec<(u32, u32)> {
        (0..22).map(|row| (row, row % 2)).chain([(22, 2)]).collect()
    }

    #[test]
    fn each_label_is_found_without_itself() {
        let right = |row: u32| if row == 22 { [0.0, 0.0, 1.0] } else { [[0.8, 0.2, 0.0], [0.2, 0.8, 0.0]][(row % 2) as usize] };
        let asked = std::cell::RefCell::new(Vec::new());
        let scores = |known: &[(u32, u32)]| {
            asked.borrow_mut().push(known.to_vec());
            // Without its label, row 3 is taken for class 0, and row 4 is not reached.
            let of_row = |row: u32| match (row, known.iter().any(|(known, _)| *known == row)) {
                (3, false) => [0.9, 0.1, 0.0],
                (4, false) => [0.0; 3],
                _ => right(row),
            };
            Ok(LabelScores { classes: 3, values: (0..23).flat_map(of_row).collect() })
        };
        let held_out = HeldOut::of(&labelled(), 3, scores).expect("sound labels").expect("enough of them");
        let asked = asked.into_inner();
        assert_eq!(asked.len(), 5);
        let absent = |row: u32| asked.iter().filter(|known| known.iter().all(|(other, _)| *other != row)).count();
        assert!((0..22).all(|row| absent(row) == 1), "each is left out once");
        assert_eq!(absent(22), 0, "a class keeps its only label");
        let confusion = held_out.confusion;
        assert_eq!((confusion.samples(), confusion.count(1, 0), confusion.accuracy()), (21, 1, Some(20.0 / 21.0)));
        assert_eq!(HeldOut::of(&labelled()[..19], 3, |_| anyhow::bail!("not asked")).expect("sound labels"), None);
    }

    /// The confidence at which rows end whose true class has `share` in `right` of 100 rows, and the other one in the rest.
    fn confidence(share: f32, right: u32) -> (f64, f32) {
        let of = |i: u32| (0, if i < right { vec![share, 1.0 - share] } else { vec![1.0 - share, share] });
        let temperature = temperature(&(0..100).map(of).collect::<Vec<_>>());
        (temperature, LabelScores { classes: 2, values: of(0).1 }.tempered(temperature).assigned()[0].confidence)
    }

    #[test]
    fn shares_become_what_they_are_worth() {
        for (share, right) in [(0.99, 70), (0.75, 95), (0.9, 90)] {
            let (temperature, confidence) = confidence(share, right);
            assert_eq!((temperature > 1.05, temperature < 0.95), (share == 0.99, share == 0.75), "{temperature}");
            assert!((confidence - right as f32 / 100.0).abs() < 0.01, "{right} of 100 are right: {confidence}");
        }
        // Those that are always right are never sure.
        assert!((f64::from(confidence(0.9, 100).1) - 101.0 / 102.0).abs() < 1e-3);
    }

    #[test]
    fn what_is_certain_or_unknown_stays() {
        let random: Vec<f32> = (0..8).map(|i| signed_unit(threefry([1, 2], [i, 0])[0]).abs()).collect();
        let values = [&[0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0][..], &random].concat();
        let tempered = LabelScores { classes: 4, values: values.clone() }.tempered(3.0);
        assert_eq!(&tempered.values[..8], &values[..8]);
        for (before, after) in values[8..].chunks(4).zip(tempered.values[8..].chunks(4)) {
            assert_eq!(first_largest(before), first_largest(after));
            assert!((after.iter().sum::<f32>() - 1.0).abs() < 1e-6);
        }
    }
}
