//! Classification: accuracy and loss; precision, recall and F1 of each class; what was mistaken for what.

use std::fmt;

use anyhow::{Context, Result};
use serde::Serialize;

use super::confusion::Confusion;
use super::table::{TextTable, cut, percent};
use super::{mean, names_for};

/// Columns of a terminal that a confusion matrix may take; a wider one is not printed.
const WIDTH: usize = 100;

/// How well classes were told apart.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Classification {
    pub samples: u64,
    pub accuracy: f64,
    /// Mean F1 of the classes that occur among labels or predictions.
    pub macro_f1: f64,
    pub classes: Vec<ClassScore>,
    /// `[truth][prediction]`
    pub confusion: Vec<Vec<u64>>,
}

/// How well one class was told from the others.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ClassScore {
    pub name: String,
    pub samples: u64,
    /// Share of predictions that are right; `None` where it was never predicted.
    pub precision: Option<f64>,
    /// Share of samples that were found; `None` where there are none.
    pub recall: Option<f64>,
    /// `None` where the class is neither among labels nor predictions.
    pub f1: Option<f64>,
}

impl Classification {
    /// Fails where nothing was counted, or names do not fit the classes; without names they are numbers.
    pub fn of(confusion: &Confusion, names: &[String]) -> Result<Self> {
        let names = names_for(names, confusion.classes(), "classes")?;
        let score = |(class, name)| {
            let overlap = confusion.overlap(class);
            ClassScore { name, samples: overlap.truth, precision: overlap.precision(), recall: overlap.recall(), f1: overlap.f1() }
        };
        let classes: Vec<ClassScore> = names.into_iter().enumerate().map(score).collect();
        Ok(Classification {
            samples: confusion.samples(),
            accuracy: confusion.accuracy().context("there are no labelled samples to judge predictions by")?,
            macro_f1: mean(classes.iter().map(|class| class.f1)).unwrap_or(0.0),
            classes,
            confusion: confusion.rows().map(<[u64]>::to_vec).collect(),
        })
    }

    /// The classes that most samples of `class` were mistaken for.
    fn mistaken(&self, class: usize) -> String {
        let mut others: Vec<(usize, u64)> = self.confusion[class].iter().copied().enumerate().collect();
        others.retain(|&(other, count)| other != class && count > 0);
        others.sort_by_key(|&(other, count)| (std::cmp::Reverse(count), other));
        let text: Vec<String> = others.iter().take(2).map(|&(other, n)| format!("{} ({n})", cut(&self.classes[other].name))).collect();
        text.join(", ")
    }

    fn matrix(&self) -> TextTable {
        let counts = |row: &[u64]| row.iter().map(|&n| if n == 0 { "·".into() } else { n.to_string() }).collect::<Vec<_>>();
        let short: Vec<String> = self.classes.iter().map(|class| cut(&class.name)).collect();
        let mut table = TextTable::new(&[&["true \\ as"], &short.iter().map(String::as_str).collect::<Vec<_>>()[..]].concat());
        for (class, row) in self.classes.iter().zip(&self.confusion) {
            table.row(&class.name, counts(row));
        }
        table
    }
}

impl fmt::Display for Classification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = TextTable::new(&["class", "samples", "precision", "recall", "F1", "mistaken for"]);
        for (i, class) in self.classes.iter().enumerate() {
            let cells = [class.samples.to_string(), percent(class.precision), percent(class.recall), percent(class.f1), self.mistaken(i)];
            table.row(&class.name, cells);
        }
        writeln!(f, "{table}\n")?;
        // A column for each class is too wide at the latest then; of thousands, the matrix would fill the memory.
        let matrix = (self.classes.len() <= WIDTH).then(|| self.matrix());
        if let Some(matrix) = matrix.filter(|matrix| matrix.width() <= WIDTH) {
            writeln!(f, "{matrix}\n")?;
        }
        write!(f, "accuracy {} %, macro F1 {} %, {} samples", percent(self.accuracy), percent(self.macro_f1), self.samples)
    }
}

/// Share of rows whose largest logit is the label's, and the mean cross-entropy. `logits`: `[samples, classes]`.
pub fn accuracy_and_loss(logits: &[f32], classes: usize, labels: &[u32]) -> (f64, f64) {
    let rows = logits.chunks(classes).zip(labels);
    let (mut right, mut loss) = (0_u64, 0.0);
    for (row, &label) in rows {
        right += u64::from(best(row).0 == label as usize);
        loss -= log_softmax(row)[label as usize];
    }
    (right as f64 / labels.len() as f64, loss / labels.len() as f64)
}

/// The largest value's place, the first of equals, and its softmax probability.
pub fn best(logits: &[f32]) -> (usize, f64) {
    let class = first_largest(logits);
    (class, log_softmax(logits)[class].exp())
}

/// The largest value's place, the first of equals; 0 of nothing.
pub fn first_largest<T: PartialOrd>(values: &[T]) -> usize {
    (0..values.len()).reduce(|a, b| if values[b] > values[a] { b } else { a }).unwrap_or(0)
}

fn log_softmax(logits: &[f32]) -> Vec<f64> {
    let largest = logits.iter().fold(f64::NEG_INFINITY, |a, &z| a.max(f64::from(z)));
    let log_sum = logits.iter().map(|&z| (f64::from(z) - largest).exp()).sum::<f64>().ln();
    logits.iter().map(|&z| f64::from(z) - largest - log_sum).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accuracy_counts_the_largest_logit() {
        let (accuracy, loss) = accuracy_and_loss(&[1.0, 2.0, 5.0, 0.0], 2, &[1, 1]);
        assert_eq!(accuracy, 0.5);
        let expected = (-(1.0_f64 / (1.0 + (-1.0_f64).exp())).ln() + 5.0 + (1.0 + (-5.0_f64).exp()).ln()) / 2.0;
        assert!((loss - expected).abs() < 1e-12);
    }

    /// 0: 3 of 4 found, 1 wrong prediction; 1: 1 of 1, 1 wrong; 2: none of 1, never predicted; 3: absent.
    fn judged() -> Classification {
        let confusion = Confusion::of(&[0, 0, 0, 0, 1, 2], &[0, 0, 0, 1, 1, 0], 4).expect("sound labels");
        Classification::of(&confusion, &["cat", "dog", "fish", "newt"].map(String::from)).expect("sound names")
    }

    #[test]
    fn scores_by_hand() {
        let judged = judged();
        assert_eq!((judged.samples, judged.accuracy), (6, 4.0 / 6.0));
        let scores: Vec<_> = judged.classes.iter().map(|c| (c.precision, c.recall, c.f1)).collect();
        assert_eq!(scores[0], (Some(0.75), Some(0.75), Some(0.75)));
        assert_eq!(scores[1], (Some(0.5), Some(1.0), Some(2.0 / 3.0)));
        assert_eq!(scores[2], (None, Some(0.0), Some(0.0)));
        assert_eq!(scores[3], (None, None, None));
        // Of three classes: the absent one does not count.
        assert!((judged.macro_f1 - (0.75 + 2.0 / 3.0) / 3.0).abs() < 1e-15);
    }

    #[test]
    fn text_and_json_say_the_same() {
        let judged = judged();
        let text = judged.to_string();
        assert!(text.contains("cat          4      75.00   75.00  75.00       dog (1)"), "{text}");
        assert!(text.contains("newt         0          -       -      -"), "{text}");
        assert!(text.contains("fish         1    ·     ·     ·"), "{text}");
        assert!(text.ends_with("accuracy 66.67 %, macro F1 47.22 %, 6 samples"), "{text}");
        let json = serde_json::to_value(&judged).expect("plain data");
        assert_eq!(json["classes"][2]["precision"], serde_json::Value::Null);
        assert_eq!(json["confusion"][0], serde_json::json!([3, 1, 0, 0]));
    }

    #[test]
    fn many_classes_stay_narrow() {
        let labels: Vec<u32> = (0..100).collect();
        let confusion = Confusion::of(&labels, &labels, 100).expect("sound labels");
        let text = Classification::of(&confusion, &[]).expect("numbers for names").to_string();
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH) && text.lines().count() < 110);
    }

    #[test]
    fn nothing_to_judge_is_an_error() {
        let none = Classification::of(&Confusion::new(3), &[]).expect_err("no samples");
        assert!(none.to_string().contains("no labelled samples"));
        let misnamed = Classification::of(&Confusion::new(3), &["a".into()]).expect_err("one name");
        assert!(misnamed.to_string().contains("1 names for 3 classes"));
    }
}
