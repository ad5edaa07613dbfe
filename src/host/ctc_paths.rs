//! What steps say, by connectionist temporal classification (Graves et al., 2006): letters by the classes of each step, of which 0 is a
//! blank. Of a path, classes that follow each other are one, then blanks are left out.

/// The letter that a class is; `None` of the blank.
fn letter(class: usize) -> Option<u32> {
    class.checked_sub(1).map(|letter| letter as u32)
}

/// The logarithms of the probabilities of each class in each step of `logits`, `[steps, classes]`.
fn log_probabilities(logits: &[f32], classes: usize) -> Vec<Vec<f64>> {
    let of_step = |logits: &[f32]| {
        let largest = logits.iter().fold(f64::NEG_INFINITY, |largest, &z| largest.max(z.into()));
        let sum = largest + logits.iter().map(|&z| (f64::from(z) - largest).exp()).sum::<f64>().ln();
        logits.iter().map(|&z| f64::from(z) - sum).collect()
    };
    logits.chunks(classes).map(of_step).collect()
}

fn log_add(a: f64, b: f64) -> f64 {
    let (less, more) = if a < b { (a, b) } else { (b, a) };
    if less == f64::NEG_INFINITY { more } else { more + (less - more).exp().ln_1p() }
}

/// The letters, from 0, of the path that takes the most probable class of each step, the first of equals.
pub fn best_path(logits: &[f32], classes: usize) -> Vec<u32> {
    let (mut letters, mut before) = (Vec::new(), 0);
    for logits in logits.chunks(classes) {
        let class = (1..logits.len()).fold(0, |best, class| if logits[class] > logits[best] { class } else { best });
        if class != before {
            letters.extend(letter(class));
        }
        before = class;
    }
    letters
}

/// The logarithm of the probability that the steps say these letters, by all paths that do.
pub fn log_probability(logits: &[f32], classes: usize, letters: &[u32]) -> f64 {
    let class = |state: usize| if state.is_multiple_of(2) { 0 } else { letters[state / 2] as usize + 1 };
    let mut alphas = vec![f64::NEG_INFINITY; 2 * letters.len() + 1];
    for (step, probabilities) in log_probabilities(logits, classes).iter().enumerate() {
        let before = alphas.clone();
        for (s, alpha) in alphas.iter_mut().enumerate() {
            let skips = s > 2 && s % 2 == 1 && class(s) != class(s - 2);
            let arriving = match step {
                0 if s < 2 => 0.0,
                0 => f64::NEG_INFINITY,
                _ => (1..=s.min(if skips { 2 } else { 1 })).fold(before[s], |sum, back| log_add(sum, before[s - back])),
            };
            *alpha = arriving + probabilities[class(s)];
        }
    }
    if logits.is_empty() {
        return if letters.is_empty() { 0.0 } else { f64::NEG_INFINITY };
    }
    alphas.iter().rev().take(2).copied().fold(f64::NEG_INFINITY, log_add)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::core::random::{signed_unit, threefry};

    fn logits(steps: u32, classes: u32, salt: u32) -> Vec<f32> {
        (0..steps * classes).map(|i| 2.0 * signed_unit(threefry([salt, classes], [i, 0])[0])).collect()
    }

    /// The probability of all strings, path by path.
    fn by_paths(logits: &[f32], classes: usize) -> BTreeMap<Vec<u32>, f64> {
        let (probabilities, mut all) = (log_probabilities(logits, classes), BTreeMap::new());
        for path in 0..classes.pow(probabilities.len() as u32) {
            let path: Vec<usize> = (0..probabilities.len()).map(|step| path / classes.pow(step as u32) % classes).collect();
            let log: f64 = path.iter().zip(&probabilities).map(|(&class, of)| of[class]).sum();
            let mut classes = path.clone();
            classes.dedup();
            *all.entry(classes.into_iter().filter_map(letter).collect()).or_insert(0.0) += log.exp();
        }
        all
    }

    #[test]
    fn probabilities_are_those_of_all_paths() {
        for (steps, classes, salt) in [(1, 2, 1), (4, 3, 2), (5, 4, 3)] {
            let logits = logits(steps, classes, salt);
            let all = by_paths(&logits, classes as usize);
            assert!((all.values().sum::<f64>() - 1.0).abs() < 1e-9);
            for (letters, probability) in &all {
                let found = log_probability(&logits, classes as usize, letters).exp();
                assert!((found - probability).abs() < 1e-12, "{letters:?}: {found} for {probability}");
            }
            assert_eq!(log_probability(&logits, classes as usize, &vec![0; steps as usize + 1]), f64::NEG_INFINITY);
        }
    }

    #[test]
    fn classes_that_follow_each_other_are_one_letter() {
        let one_hot = |classes: &[usize]| -> Vec<f32> {
            classes.iter().flat_map(|&class| (0..3).map(move |c| if c == class { 9.0 } else { 0.0 })).collect()
        };
        // Two letters, though one is said twice, unless a blank is between.
        assert_eq!(best_path(&one_hot(&[1, 1, 0, 1, 2, 2, 0]), 3), [0, 0, 1]);
        assert_eq!(best_path(&one_hot(&[1, 1, 1, 1, 2, 2, 0]), 3), [0, 1]);
        assert_eq!(best_path(&one_hot(&[0, 0]), 3), [0; 0]);
        assert_eq!(best_path(&[], 3), [0; 0]);
    }
}
