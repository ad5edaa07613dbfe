//! Tagging: how many words have the right tag, and how many spans of words were found, counted as conlleval does (Tjong Kim Sang and
//! Buchholz, 2000).

use std::collections::{BTreeMap, HashSet};
use std::fmt;

use anyhow::{Result, ensure};
use serde::Serialize;

use super::table::{TextTable, percent};
use crate::data::{TaggedSpan, mark_spans, spans};

/// How well words were tagged.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Tagging {
    pub words: u64,
    /// Share of words with the right tag.
    pub accuracy: f64,
    /// `None` where tags mark no spans.
    pub spans: Option<SpanCounts>,
    /// By type, in the order of their names; empty where tags mark no spans.
    pub types: Vec<TypeScore>,
}

/// What was found of spans.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct SpanCounts {
    /// In the truth.
    pub truth: u64,
    pub predicted: u64,
    /// With the right words, all of them, and the right type.
    pub right: u64,
}

/// What was found of the spans of a type.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TypeScore {
    pub name: String,
    pub truth: u64,
    pub predicted: u64,
    /// `None` where none was predicted.
    pub precision: Option<f64>,
    /// `None` where there is none.
    pub recall: Option<f64>,
    /// `None` where there is none and none was predicted.
    pub f1: Option<f64>,
}

fn share(part: u64, all: u64) -> Option<f64> {
    (all > 0).then(|| part as f64 / all as f64)
}

impl SpanCounts {
    /// Share of the predicted spans that are right; `None` where none was predicted.
    pub fn precision(&self) -> Option<f64> {
        share(self.right, self.predicted)
    }

    /// Share of the spans that were found; `None` where there are none.
    pub fn recall(&self) -> Option<f64> {
        share(self.right, self.truth)
    }

    /// The harmonic mean of both; `None` where there is no span and none was predicted.
    pub fn f1(&self) -> Option<f64> {
        share(2 * self.right, self.truth + self.predicted)
    }
}

/// Counts words and spans, a sentence after the other.
#[derive(Clone, Debug)]
pub struct TaggingCounts<'a> {
    names: &'a [String],
    words: u64,
    right: u64,
    /// By type.
    spans: BTreeMap<&'a str, SpanCounts>,
}

impl<'a> TaggingCounts<'a> {
    /// `names`: of the classes that tags are numbered by.
    pub fn new(names: &'a [String]) -> Self {
        TaggingCounts { names, words: 0, right: 0, spans: BTreeMap::new() }
    }

    /// Adds a sentence: the class of each word, and what was predicted; nothing was where a word has no token. Fails where there are not
    /// equally many, or a class is not among those that have names.
    pub fn add(&mut self, truth: &[u32], predicted: &[Option<u32>]) -> Result<()> {
        ensure!(truth.len() == predicted.len(), "{} words have {} predictions", truth.len(), predicted.len());
        let beyond = truth.iter().chain(predicted.iter().flatten()).find(|&&class| class as usize >= self.names.len());
        ensure!(beyond.is_none(), "the run knows {} tags, there are words of tag number {}", self.names.len(), beyond.unwrap_or(&0));
        self.words += truth.len() as u64;
        self.right += truth.iter().zip(predicted).filter(|(truth, predicted)| Some(**truth) == **predicted).count() as u64;
        let name = |class: u32| self.names[class as usize].as_str();
        let truth: Vec<&'a str> = truth.iter().map(|&class| name(class)).collect();
        let predicted: Vec<&'a str> = predicted.iter().map(|class| class.map_or("O", name)).collect();
        let [truth, predicted]: [HashSet<TaggedSpan<'a>>; 2] = [truth, predicted].map(|tags| spans(&tags).into_iter().collect());
        truth.iter().for_each(|span| self.spans.entry(span.kind).or_default().truth += 1);
        for span in &predicted {
            let found = self.spans.entry(span.kind).or_default();
            found.predicted += 1;
            found.right += u64::from(truth.contains(span));
        }
        Ok(())
    }

    /// What was counted. Fails where nothing was.
    pub fn judged(self) -> Result<Tagging> {
        ensure!(self.words > 0, "there are no tagged words to judge predictions by");
        let score = |(kind, found): (&&str, &SpanCounts)| {
            let SpanCounts { truth, predicted, .. } = *found;
            TypeScore { name: kind.to_string(), truth, predicted, precision: found.precision(), recall: found.recall(), f1: found.f1() }
        };
        let sum = |of: fn(&SpanCounts) -> u64| self.spans.values().map(of).sum();
        let all =
            || SpanCounts { truth: sum(|found| found.truth), predicted: sum(|found| found.predicted), right: sum(|found| found.right) };
        let marked = mark_spans(self.names);
        Ok(Tagging {
            words: self.words,
            accuracy: self.right as f64 / self.words as f64,
            spans: marked.then(all),
            types: self.spans.iter().filter(|_| marked).map(score).collect(),
        })
    }
}

impl fmt::Display for Tagging {
    /// Of each type; of all, [`summary`](Self::summary).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = TextTable::new(&["type", "spans", "predicted", "precision", "recall", "F1"]);
        for TypeScore { name, truth, predicted, precision, recall, f1 } in &self.types {
            let counts = [truth, predicted].map(u64::to_string);
            table.row(name, counts.into_iter().chain([*precision, *recall, *f1].map(percent)));
        }
        write!(f, "{table}")
    }
}

impl Tagging {
    /// A line for people.
    pub fn summary(&self) -> String {
        let words = format!("accuracy {} % of {} words", percent(self.accuracy), self.words);
        let Some(found) = self.spans else { return words };
        let [f1, precision, recall] = [found.f1(), found.precision(), found.recall()].map(percent);
        format!("F1 {f1} % (precision {precision} %, recall {recall} %) of {} spans, {words}", found.truth)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(names: &[&str], sentences: &[(&str, &str)]) -> Tagging {
        let names: Vec<String> = names.iter().map(|name| name.to_string()).collect();
        let class = |tag: &str| names.iter().position(|name| name == tag).map(|class| class as u32);
        let mut counts = TaggingCounts::new(&names);
        for (truth, predicted) in sentences {
            let truth: Vec<u32> = truth.split(' ').map(|tag| class(tag).expect("a tag")).collect();
            counts.add(&truth, &predicted.split(' ').map(class).collect::<Vec<_>>()).expect("as many");
        }
        counts.judged().expect("words")
    }

    /// Figures of seqeval 1.2.2 for the same tags: `classification_report(truth, predicted, output_dict=True)` and `accuracy_score`, with
    /// `O` for the word without a prediction.
    #[test]
    fn figures_are_those_of_conlleval() {
        let names = ["B-LOC", "B-ORG", "B-PER", "I-LOC", "I-ORG", "I-PER", "O"];
        let found = judged(
            &names,
            &[
                ("B-PER I-PER O O B-LOC O", "B-PER I-PER O B-LOC I-LOC O"),
                ("B-ORG I-ORG I-ORG O B-PER", "I-ORG I-ORG I-ORG O B-ORG"),
                ("O B-LOC O B-LOC I-LOC B-PER", "O B-LOC O B-LOC B-LOC B-PER"),
                ("O O B-PER I-PER", "O I-PER I-PER -"),
            ],
        );
        let spans = found.spans.expect("tags mark spans");
        assert_eq!((spans.truth, spans.predicted, spans.right), (8, 9, 4));
        let near = |a: Option<f64>, b: f64| assert!((a.expect("defined") - b).abs() < 1e-12, "{a:?} is not {b}");
        near(spans.precision(), 0.444_444_444_444_444_4);
        near(spans.recall(), 0.5);
        near(spans.f1(), 0.470_588_235_294_117_6);
        near(Some(found.accuracy), 0.619_047_619_047_619_1);
        let types: Vec<_> = found.types.iter().map(|of| (of.name.as_str(), of.precision, of.recall, of.truth)).collect();
        assert_eq!(types[0], ("LOC", Some(0.25), Some(1.0 / 3.0), 3));
        assert_eq!(types[1], ("ORG", Some(0.5), Some(1.0), 1));
        assert_eq!(types[2], ("PER", Some(2.0 / 3.0), Some(0.5), 4));
        near(found.types[0].f1, 0.285_714_285_714_285_7);
        assert!(found.summary().contains("F1 47.06 % (precision 44.44 %, recall 50.00 %) of 8 spans"), "{}", found.summary());
        assert!(found.to_string().contains("LOC"), "{found}");
    }

    #[test]
    fn what_is_not_there_is_not_defined() {
        let plain = judged(&["NOUN", "VERB"], &[("NOUN VERB VERB", "NOUN NOUN -")]);
        assert_eq!((plain.spans, plain.accuracy, plain.types.len()), (None, 1.0 / 3.0, 0));
        assert_eq!(plain.summary(), "accuracy 33.33 % of 3 words");
        let none = judged(&["B-A", "O"], &[("O O", "O O")]).spans.expect("tags mark spans");
        assert_eq!((none.precision(), none.recall(), none.f1()), (None, None, None));
        let missed = judged(&["B-A", "O"], &[("B-A O", "O O")]).spans.expect("tags mark spans");
        assert_eq!((missed.precision(), missed.recall(), missed.f1()), (None, Some(0.0), Some(0.0)));
        let names = ["O".to_string()];
        assert!(TaggingCounts::new(&names).judged().is_err());
        assert!(TaggingCounts::new(&names).add(&[1], &[None]).is_err() && TaggingCounts::new(&names).add(&[0], &[]).is_err());
    }
}
