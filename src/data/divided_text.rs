//! Texts divided into words, to be tagged.

use std::ops::Range;
#[cfg(feature = "files")]
use std::path::Path;

#[cfg(feature = "files")]
use anyhow::Result;

#[cfg(feature = "files")]
use super::{tagged, tree::Tree};

/// What stands before a word as a part of it.
const LEADING: [char; 2] = ['@', '#'];
/// Endings that are words by themselves.
const ENDINGS: [&str; 2] = ["'s", "’s"];

/// A text and its words.
#[derive(Clone, Debug, PartialEq)]
pub struct DividedText {
    text: String,
    /// In bytes.
    words: Vec<Range<usize>>,
}

impl DividedText {
    /// A text as people write it: words have spaces between them, and marks at their ends are words by themselves, but for the dots of
    /// `U.S.` and `J.`; so is the ending of `Anna's`.
    pub fn of_line(text: &str) -> Self {
        let mut words = Vec::new();
        let mut at = 0;
        for chunk in text.split_inclusive(char::is_whitespace) {
            divide(chunk.trim_end(), at, &mut words);
            at += chunk.len();
        }
        DividedText { text: text.into(), words }
    }

    /// Words, with a space between them.
    pub fn of_words(all: &[String]) -> Self {
        let mut end = 0;
        let word = |word: &String| {
            let begin = end;
            end += word.len() + 1;
            begin..begin + word.len()
        };
        DividedText { words: all.iter().map(word).collect(), text: all.join(" ") }
    }

    /// The sentences of a file that has a word on each line; `None` where it is another file.
    #[cfg(feature = "files")]
    pub fn of_file(path: &Path) -> Result<Option<Vec<Self>>> {
        let tree = Tree::of_file(path)?;
        let found = tagged::words_of(&tree.files[0])?;
        Ok(found.map(|sentences| sentences.iter().map(|words| Self::of_words(words)).collect()))
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    pub fn words(&self) -> Vec<&str> {
        self.words.iter().map(|word| &self.text[word.clone()]).collect()
    }

    /// What some words next to each other are, with all between them, and where that begins and ends, in characters. Panics where there
    /// are no such words.
    pub fn part(&self, words: Range<usize>) -> (&str, [usize; 2]) {
        let (begin, end) = (self.words[words.start].start, self.words[words.end - 1].end);
        let part = &self.text[begin..end];
        let before = self.text[..begin].chars().count();
        (part, [before, before + part.chars().count()])
    }
}

/// Adds the words of a text without spaces, which begins at `at`.
fn divide(chunk: &str, at: usize, words: &mut Vec<Range<usize>>) {
    let (mut begin, mut end) = (0, chunk.len());
    let mut behind = Vec::new();
    let is_mark = |c: char| !c.is_alphanumeric() && !unicode_normalization::char::is_combining_mark(c);
    while let Some(first) = chunk[begin..end].chars().next().filter(|&c| is_mark(c) && !LEADING.contains(&c)) {
        words.push(at + begin..at + begin + first.len_utf8());
        begin += first.len_utf8();
    }
    loop {
        let word = &chunk[begin..end];
        let stem = word.strip_suffix('.').unwrap_or_default();
        let abbreviated = stem.contains('.') || stem.chars().count() == 1 && stem.chars().all(char::is_uppercase);
        let mark = word.chars().next_back().filter(|&c| is_mark(c) && !(c == '.' && abbreviated)).map(char::len_utf8);
        let ending = || ENDINGS.iter().find(|ending| word.len() > ending.len() && word.ends_with(**ending)).map(|ending| ending.len());
        let Some(length) = mark.or_else(ending).filter(|_| !word.is_empty()) else { break };
        behind.push(at + end - length..at + end);
        end -= length;
    }
    words.extend((begin < end).then_some(at + begin..at + end));
    words.extend(behind.into_iter().rev());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_at_the_ends_of_words_are_words() {
        for (text, words) in [
            ("Angela Merkel (CDU) met J. Doe.", "Angela|Merkel|(|CDU|)|met|J.|Doe|."),
            ("\"Anna's\" U.S. trip cost $4.50, didn't it?!", "\"|Anna|'s|\"|U.S.|trip|cost|$|4.50|,|didn't|it|?|!"),
            ("  @anna #now\u{a0}New-York\t...", "@anna|#now|New-York|.|.|."),
            ("…é́cole’s 's", "…|é́cole|’s|'|s"),
            ("", ""),
            (" \t", ""),
        ] {
            assert_eq!(DividedText::of_line(text).words().join("|"), words, "{text}");
        }
    }

    #[test]
    fn parts_are_counted_in_characters() {
        let text = DividedText::of_line("Zoë and Ørsted-Å left.");
        assert_eq!(text.part(2..3), ("Ørsted-Å", [8, 16]));
        assert_eq!(text.part(0..3), ("Zoë and Ørsted-Å", [0, 16]));
        let words = DividedText::of_words(&["a".into(), "b c".into(), "d".into()]);
        assert_eq!((words.text(), words.words(), words.part(1..3)), ("a b c d", vec!["a", "b c", "d"], ("b c d", [2, 7])));
    }
}
