//! Recognition: how many letters of strings are wrong.

use std::fmt;

use anyhow::{Result, ensure};
use serde::Serialize;

/// What makes one string of another with the fewest changes (Levenshtein, 1966): letters that are others, that are too many, and that are
/// missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Edits {
    pub substitutions: usize,
    pub insertions: usize,
    pub deletions: usize,
}

impl Edits {
    /// From what is `true` to what is predicted; where several ways are as short, one with as many substitutions as there may be.
    pub fn between<T: PartialEq>(truth: &[T], predicted: &[T]) -> Self {
        let step = |edits: Edits, [substitutions, insertions, deletions]: [usize; 3]| Edits {
            substitutions: edits.substitutions + substitutions,
            insertions: edits.insertions + insertions,
            deletions: edits.deletions + deletions,
        };
        // For the letters of the truth so far: the edits to each beginning of what is predicted.
        let mut row: Vec<Edits> = (0..=predicted.len()).map(|insertions| Edits { insertions, ..Edits::default() }).collect();
        for letter in truth {
            let mut across = row[0];
            row[0] = step(row[0], [0, 0, 1]);
            for (j, other) in predicted.iter().enumerate() {
                let both = step(across, [usize::from(letter != other), 0, 0]);
                across = row[j + 1];
                let ways = [both, step(row[j], [0, 1, 0]), step(across, [0, 0, 1])];
                row[j + 1] = ways.into_iter().reduce(|best, way| if way.count() < best.count() { way } else { best }).unwrap_or(both);
            }
        }
        row[predicted.len()]
    }

    /// The edit distance.
    pub fn count(self) -> usize {
        self.substitutions + self.insertions + self.deletions
    }
}

/// What recognised strings are worth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Recognition {
    pub samples: usize,
    /// Of all true strings.
    pub letters: usize,
    pub edits: Edits,
    /// Strings that are right to the last letter.
    pub exact: usize,
}

impl Recognition {
    pub fn add<T: PartialEq>(&mut self, truth: &[T], predicted: &[T]) {
        let edits = Edits::between(truth, predicted);
        self.samples += 1;
        self.letters += truth.len();
        self.exact += usize::from(edits.count() == 0);
        self.edits.substitutions += edits.substitutions;
        self.edits.insertions += edits.insertions;
        self.edits.deletions += edits.deletions;
    }

    /// Character error rate: edits over true letters, of all strings together. It may be more than 1. `None` where nothing was to be said.
    pub fn character_error_rate(&self) -> Option<f64> {
        (self.letters > 0).then(|| self.edits.count() as f64 / self.letters as f64)
    }

    /// Share of strings that are right to the last letter. Fails where there are none.
    pub fn exact_share(&self) -> Result<f64> {
        ensure!(self.samples > 0, "there are no samples to judge predictions by");
        Ok(self.exact as f64 / self.samples as f64)
    }
}

impl fmt::Display for Recognition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Edits { substitutions, insertions, deletions } = self.edits;
        write!(f, "of {} letters, {substitutions} are others, {deletions} are missing, {insertions} are too many", self.letters)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edits(truth: &str, predicted: &str) -> [usize; 3] {
        let [truth, predicted] = [truth, predicted].map(|text| text.chars().collect::<Vec<_>>());
        let Edits { substitutions, insertions, deletions } = Edits::between(&truth, &predicted);
        [substitutions, insertions, deletions]
    }

    /// By hand.
    #[test]
    fn edits_are_the_fewest() {
        assert_eq!(edits("kitten", "sitting"), [2, 1, 0]);
        assert_eq!(edits("", ""), [0, 0, 0]);
        assert_eq!(edits("", "ab"), [0, 2, 0]);
        assert_eq!(edits("ab", ""), [0, 0, 2]);
        assert_eq!(edits("1234", "1134"), [1, 0, 0]);
        assert_eq!(edits("1234", "234"), [0, 0, 1]);
        assert_eq!(edits("flaw", "lawn"), [0, 1, 1]);
        assert_eq!(edits("abc", "abc"), [0, 0, 0]);
    }

    /// By hand: 1 + 0 + 3 edits of 4 + 2 + 1 letters.
    #[test]
    fn rates_are_of_all_letters_together() {
        let mut found = Recognition::default();
        for (truth, predicted) in [("1234", "1134"), ("56", "56"), ("7", "888")] {
            found.add(truth.as_bytes(), predicted.as_bytes());
        }
        assert_eq!(found.character_error_rate(), Some(4.0 / 7.0));
        assert_eq!((found.exact, found.exact_share().expect("three")), (1, 1.0 / 3.0));
        assert_eq!(Recognition::default().character_error_rate(), None);
        assert!(Recognition::default().exact_share().is_err());
        let mut none = Recognition::default();
        none.add(b"", b"");
        assert_eq!((none.character_error_rate(), none.exact), (None, 1));
    }
}
