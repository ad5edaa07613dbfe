//! How BERT's words and their pieces are found (Devlin et al., 2018; Wu et al., 2016).

use std::collections::HashMap;

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization;

use super::unicode_tables::{CHINESE, MARKS, PUNCTUATION, REMOVED, has};

/// A model that has longer words is refused: the time for one grows with its square.
const MOST_LONGEST_WORD: usize = 1000;

/// What BERT does to a text before it is split, named as in a `tokenizer.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BertNormalizer {
    /// Remove what has no shape, and make each white space a space.
    pub clean_text: bool,
    /// Put spaces around each Chinese character.
    pub handle_chinese_chars: bool,
    /// As `lowercase` where it is not told.
    pub strip_accents: Option<bool>,
    pub lowercase: bool,
}

impl BertNormalizer {
    pub fn normalize(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        for c in text.chars() {
            match c {
                _ if self.clean_text && has(REMOVED, c) => {}
                _ if self.clean_text && c.is_whitespace() => out.push(' '),
                _ if self.handle_chinese_chars && has(CHINESE, c) => out.extend([' ', c, ' ']),
                _ => out.push(c),
            }
        }
        if self.strip_accents.unwrap_or(self.lowercase) {
            out = out.nfd().filter(|&c| !has(MARKS, c)).collect();
        }
        match self.lowercase {
            // Each on its own: a sigma at the end of a word is as any other.
            true => out.chars().flat_map(char::to_lowercase).collect(),
            false => out,
        }
    }
}

/// Calls `f` with each word of a text: one punctuation mark, or what stands between these and white space.
pub(super) fn each_word(text: &str, mut f: impl FnMut(&str)) {
    for word in text.split_whitespace() {
        let parts = word.split_inclusive(|c| has(PUNCTUATION, c));
        for part in parts {
            let last = part.char_indices().next_back().filter(|&(_, c)| has(PUNCTUATION, c));
            let (before, mark) = part.split_at(last.map_or(part.len(), |(at, _)| at));
            [before, mark].into_iter().filter(|part| !part.is_empty()).for_each(&mut f);
        }
    }
}

/// How [`WordPiece`] splits a word.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WordPieceRules {
    /// The token of a word that cannot be made from pieces.
    pub unknown: u32,
    /// What a piece within a word begins with in the vocabulary.
    pub prefix: String,
    /// A word of more characters is unknown.
    pub longest_word: usize,
}

/// Splits a word into the longest piece that is known, and so on with the rest.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct WordPiece {
    rules: WordPieceRules,
    index: HashMap<String, u32>,
    /// Bytes of the longest known piece: no longer one is looked up.
    longest_piece: usize,
}

impl WordPiece {
    /// `index` has the token of each piece. Fails where the rules make no sense with it.
    pub fn new(rules: WordPieceRules, index: HashMap<String, u32>) -> Result<Self> {
        ensure!((rules.unknown as usize) < index.len(), "the token of unknown words is not in the vocabulary");
        ensure!(rules.longest_word <= MOST_LONGEST_WORD, "words of {} characters are too long", rules.longest_word);
        let longest_piece = index.keys().map(String::len).max().unwrap_or(0);
        Ok(WordPiece { rules, index, longest_piece })
    }

    /// Appends the tokens of a word.
    pub fn tokens(&self, word: &str, tokens: &mut Vec<u32>) {
        let before = tokens.len();
        let mut rest = if word.chars().count() > self.rules.longest_word { None } else { Some(word) };
        let mut piece = String::new();
        while let Some(text) = rest.filter(|text| !text.is_empty()) {
            piece.clear();
            piece.push_str(if text.len() < word.len() { &self.rules.prefix } else { "" });
            let prefix = piece.len();
            let most = self.longest_piece.min(text.len());
            piece.push_str(&text[..(0..=most).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0)]);
            while piece.len() > prefix && !self.index.contains_key(&piece) {
                piece.pop();
            }
            rest = (piece.len() > prefix).then(|| &text[piece.len() - prefix..]);
            tokens.extend(rest.and_then(|_| self.index.get(&piece)));
        }
        if rest.is_none() {
            tokens.truncate(before);
            tokens.push(self.rules.unknown);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BERT: BertNormalizer = BertNormalizer { clean_text: true, handle_chinese_chars: true, strip_accents: None, lowercase: true };

    fn words_of(text: &str) -> Vec<String> {
        let mut words = Vec::new();
        each_word(text, |word| words.push(word.to_string()));
        words
    }

    #[test]
    fn texts_are_cleaned_and_lower_cased_without_accents() {
        assert_eq!(BERT.normalize("A\0b\u{AD}c\u{FFFD}\t\u{A0}É e\u{301} İΣ ß"), "abc  e e iσ ß");
        assert_eq!(BERT.normalize("a中b"), "a 中 b");
        let cased = BertNormalizer { lowercase: false, ..BERT };
        assert_eq!(cased.normalize("Éa\u{301}"), "Éa\u{301}", "accents stay where case does");
        let plain = BertNormalizer { clean_text: false, handle_chinese_chars: false, strip_accents: Some(true), lowercase: false };
        assert_eq!(plain.normalize("É\u{7}中\t"), "E\u{7}中\t");
    }

    #[test]
    fn words_end_at_white_space_and_punctuation() {
        assert_eq!(words_of(" it's $4.50…\u{3000}a__b "), ["it", "'", "s", "$", "4", ".", "50", "…", "a", "_", "_", "b"]);
        assert!(words_of(" \t\n").is_empty() && words_of("").is_empty());
    }

    #[test]
    fn a_word_is_its_longest_pieces_or_unknown() {
        let pieces = ["[UNK]", "a", "ab", "##c", "##cd", "##é", "##"];
        let index: HashMap<String, u32> = pieces.iter().map(|piece| piece.to_string()).zip(0..).collect();
        let rules = WordPieceRules { unknown: 0, prefix: "##".into(), longest_word: 5 };
        let model = WordPiece::new(rules.clone(), index).expect("sound");
        let tokens_of = |word| {
            let mut tokens = vec![9];
            model.tokens(word, &mut tokens);
            tokens[1..].to_vec()
        };
        assert_eq!(tokens_of("abcd"), [2, 4]);
        assert_eq!(tokens_of("aécé"), [1, 5, 3, 5]);
        assert_eq!(tokens_of("abx"), [0], "not the pieces that were found before");
        assert_eq!(tokens_of("abccc"), [2, 3, 3, 3]);
        assert_eq!(tokens_of("abcccc"), [0], "too long");
        assert!(tokens_of("").is_empty());
        assert!(WordPiece::new(rules.clone(), HashMap::new()).is_err());
        assert!(WordPiece::new(WordPieceRules { longest_word: usize::MAX, ..rules }, model.index.clone()).is_err());
    }
}
