//! What samples say, letter by letter.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, ensure};

use super::SharedRows;
use super::names::some_of;
use crate::core::buffer::{pad_rows, shape};

/// A letter that is none of the alphabet.
const UNKNOWN: u32 = u32::MAX;
/// More characters than any script needs.
const MOST_LETTERS: usize = 1 << 15;

/// Strings of letters, which are Unicode scalar values, numbered by an alphabet. Views share what is stored.
#[derive(Clone, Debug, PartialEq)]
pub struct Transcripts {
    letters: SharedRows<u32>,
}

impl Transcripts {
    /// Each character of each text by its place in `alphabet`.
    pub fn new<T: AsRef<str>>(texts: &[T], alphabet: &[String]) -> Result<Self> {
        let places: BTreeMap<&str, u32> = alphabet.iter().map(String::as_str).zip(0..).collect();
        let mut of_character = [0; 4];
        let mut letter = |character: char| places.get(&*character.encode_utf8(&mut of_character)).copied().unwrap_or(UNKNOWN);
        let rows: Vec<Vec<u32>> = texts.iter().map(|text| text.as_ref().chars().map(&mut letter).collect()).collect();
        let longest = u32::try_from(rows.iter().map(Vec::len).max().unwrap_or(0))?;
        Ok(Transcripts { letters: SharedRows::ragged(rows, longest)? })
    }

    /// Samples.
    pub fn len(&self) -> u32 {
        self.letters.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The letters of a sample by their places in the alphabet; `None` of those that are none of it.
    pub fn letters(&self, sample: u32) -> impl ExactSizeIterator<Item = Option<u32>> {
        self.letters.row(sample).iter().map(|&letter| (letter != UNKNOWN).then_some(letter))
    }

    /// Letters of the longest, whatever a view has of all.
    pub fn longest(&self) -> u32 {
        self.letters.width()
    }

    /// All letters' numbers, sample by sample.
    pub(super) fn numbers(&self) -> impl Iterator<Item = u32> {
        self.letters.iter().flatten().copied()
    }

    /// Of the samples with these indices, in this order.
    pub(super) fn select(&self, samples: &[u32]) -> Self {
        Transcripts { letters: self.letters.select(samples) }
    }

    /// The classes of letters, from 1 on, of samples next to each other; `longest` of each, zeros behind its last one. Padded.
    pub(crate) fn classes(&self, samples: std::ops::Range<u32>, longest: u32) -> Vec<u32> {
        let class = |letter: &u32| if *letter == UNKNOWN { 0 } else { letter + 1 };
        let row = |sample: u32| {
            let row = self.letters.row(sample);
            (0..longest as usize).map(|i| row.get(i).map_or(0, class)).collect::<Vec<u32>>()
        };
        let all = shape(samples.len() as u32, longest);
        pad_rows(all, &samples.flat_map(row).collect::<Vec<u32>>())
    }

    /// Letters of each sample.
    pub(crate) fn lengths(&self) -> Vec<u32> {
        self.letters.iter().map(|letters| letters.len() as u32).collect()
    }
}

/// The characters of texts, in order. Fails where they are none, or more than any script has.
pub(super) fn alphabet<'a>(name: &str, texts: impl Iterator<Item = &'a str>) -> Result<Vec<String>> {
    let characters: BTreeSet<char> = texts.flat_map(str::chars).collect();
    ensure!(!characters.is_empty(), "{name}: the training transcripts are empty");
    ensure!(
        characters.len() <= MOST_LETTERS,
        "{name}: transcripts have {} different characters, {MOST_LETTERS} are the most",
        characters.len()
    );
    Ok(characters.into_iter().map(String::from).collect())
}

/// Says which characters of `texts` are none of the alphabet.
pub(super) fn note_unknown<'a>(alphabet: &[String], texts: impl Iterator<Item = &'a str>, notes: &mut Vec<String>) {
    let known: BTreeSet<&str> = alphabet.iter().map(String::as_str).collect();
    let mut buffer = [0; 4];
    let unknown: Vec<String> =
        texts.flat_map(str::chars).filter(|character| !known.contains(&*character.encode_utf8(&mut buffer))).map(String::from).collect();
    if !unknown.is_empty() {
        let different: Vec<String> = unknown.iter().collect::<BTreeSet<_>>().into_iter().map(|letter| format!("`{letter}`")).collect();
        notes.push(format!(
            "{} characters of transcripts are in none that the run trains on, so that they cannot be recognised and count as errors: {}",
            unknown.len(),
            some_of(&different)
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_are_characters_of_an_alphabet() {
        let letters = alphabet("x", ["bé", "ab"].into_iter()).expect("some");
        assert_eq!(letters, ["a", "b", "é"]);
        let all = Transcripts::new(&["éa", "", "b?b"], &letters).expect("few");
        assert_eq!((all.len(), all.longest(), all.lengths()), (3, 3, vec![2, 0, 3]));
        assert_eq!(all.letters(2).collect::<Vec<_>>(), [Some(1), None, Some(1)]);
        assert_eq!(all.classes(0..3, 3), pad_rows(shape(3, 3), &[3, 1, 0, 0, 0, 0, 2, 0, 2]));
        let other = all.select(&[2, 0]);
        assert_eq!((other.letters(1).collect::<Vec<_>>(), other.longest()), (vec![Some(2), Some(0)], 3));
        let mut notes = Vec::new();
        note_unknown(&letters, ["ab"].into_iter(), &mut notes);
        assert!(notes.is_empty());
        note_unknown(&letters, ["a?b!?"].into_iter(), &mut notes);
        assert!(notes[0].starts_with("3 characters") && notes[0].ends_with("`!`, `?`"), "{notes:?}");
        assert!(alphabet("x", [""].into_iter()).is_err());
    }
}
