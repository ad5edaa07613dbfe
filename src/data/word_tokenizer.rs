//! How texts become tokens: words that training texts have, and pieces of words.

use std::collections::HashMap;

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

use super::names::normalized;
use crate::core::sample::BEGINS_WORD;

/// Characters in the pieces of a word, with a mark at its beginning and its end.
const PIECES: std::ops::RangeInclusive<usize> = 3..=5;
/// A word that occurs less often has pieces alone.
const LEAST_OCCURRENCES: u32 = 2;
/// Words that are known, the most frequent ones; against memory, as each has an embedding.
const MOST_WORDS: usize = 50_000;
/// Pieces are told apart by so many numbers.
const BUCKETS: u32 = 1 << 15;
/// Texts that are longer than this many times those that nearly all are as long as are cut off: room is taken for the longest.
const LONGER: usize = 4;
/// A word is looked at up to this many characters: what is longer is no word.
const LONGEST_WORD: usize = 64;

/// Lower-cased words or single punctuation marks; each is a token if it is known, and so is each of its pieces, which are known by
/// hashes (Bojanowski et al., 2017).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WordTokenizer {
    /// In order of their tokens.
    words: Vec<String>,
    buckets: u32,
    /// Tokens of a text, at most; what goes beyond is cut off.
    longest: u32,
    #[serde(skip)]
    index: HashMap<String, u32>,
}

impl WordTokenizer {
    /// Tokens of a text, at most.
    pub const MOST_TOKENS: u32 = 4096;

    /// Of training texts. Fails where they have no word.
    pub fn learn<'a>(texts: impl Iterator<Item = &'a str> + Clone) -> Result<Self> {
        let mut counts: HashMap<String, u32> = HashMap::new();
        for text in texts.clone() {
            each_word(text, |word| match counts.get_mut(word) {
                Some(count) => *count += 1,
                None => drop(counts.insert(word.to_string(), 1)),
            });
        }
        ensure!(!counts.is_empty(), "the texts have no words");
        let mut words: Vec<(String, u32)> = counts.into_iter().filter(|(_, count)| *count >= LEAST_OCCURRENCES).collect();
        words.sort_by(|(a, more), (b, fewer)| fewer.cmp(more).then_with(|| a.cmp(b)));
        words.truncate(MOST_WORDS);
        let words = words.into_iter().map(|(word, _)| word).collect();
        let mut tokenizer = WordTokenizer { words, buckets: BUCKETS, longest: Self::MOST_TOKENS, index: HashMap::new() }.indexed();
        tokenizer.longest = usual_longest(texts.map(|text| tokenizer.tokens(text).0.len()).collect());
        Ok(tokenizer)
    }

    /// One that was read from a file, ready for use.
    pub fn indexed(mut self) -> Self {
        self.index = self.words.iter().cloned().zip(0..).collect();
        self
    }

    /// What makes no sense of one that was read from a file.
    pub fn problem(&self) -> Option<String> {
        let words = self.words.len();
        let sound = words <= MOST_WORDS && (1..=1 << 24).contains(&self.buckets) && (1..=Self::MOST_TOKENS).contains(&self.longest);
        (!sound).then(|| format!("{words} words, {} pieces and {} tokens of a text make no sense", self.buckets, self.longest))
    }

    /// Different tokens.
    pub fn vocabulary(&self) -> u32 {
        self.words.len() as u32 + self.buckets
    }

    /// Tokens of a text, at most.
    pub fn longest(&self) -> u32 {
        self.longest
    }

    /// Known words.
    pub fn words(&self) -> usize {
        self.words.len()
    }

    /// The tokens of a text, the first of each word with [`BEGINS_WORD`]; and whether some were cut off.
    pub fn tokens(&self, text: &str) -> (Vec<u32>, bool) {
        let mut tokens = Vec::new();
        self.append(text, &mut tokens);
        let cut = tokens.len() > self.longest as usize;
        tokens.truncate(self.longest as usize);
        (tokens, cut)
    }

    /// [`tokens`](Self::tokens) of a text of these words, which others have divided, and the place of the first token of each; none of
    /// those that were cut off.
    pub fn tokens_of_words(&self, words: &[&str]) -> (Vec<u32>, bool, Vec<Option<usize>>) {
        let (mut tokens, longest) = (Vec::new(), self.longest as usize);
        let place = |word: &&str| {
            let begin = tokens.len();
            self.append(word, &mut tokens);
            (tokens.len() > begin && begin < longest).then_some(begin)
        };
        let places = words.iter().map(place).collect();
        let cut = tokens.len() > longest;
        tokens.truncate(longest);
        (tokens, cut, places)
    }

    fn append(&self, text: &str, tokens: &mut Vec<u32>) {
        each_word(text, |word| {
            let begin = tokens.len();
            tokens.extend(self.index.get(word));
            each_piece(word, |piece| tokens.push(self.words.len() as u32 + hash(piece) % self.buckets));
            tokens[begin] |= BEGINS_WORD;
        });
    }
}

/// The length that texts of these lengths are cut off at: that of the longest, unless it is one of few that are far longer than others.
/// A multiple of four.
pub(super) fn usual_longest(mut lengths: Vec<usize>) -> u32 {
    lengths.sort_unstable();
    let at = |place: usize| lengths.get(place).copied().unwrap_or(1);
    let (usual, longest) = (at(lengths.len() * 19 / 20), at(lengths.len().saturating_sub(1)));
    (longest.min(LONGER * usual.max(64)) as u32).next_multiple_of(4)
}

/// FNV-1a.
fn hash(piece: &str) -> u32 {
    piece.bytes().fold(0x811C_9DC5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

/// Calls `f` with each word of a text: letters, digits and underscores side by side, or one other character that is no space. Where a
/// script has no spaces between words, each pair of characters side by side stands for one.
fn each_word(text: &str, mut f: impl FnMut(&str)) {
    let text = normalized(text).to_lowercase();
    let mut rest = text.as_str();
    while let Some(first) = rest.chars().next() {
        let (joined, within) = (is_joined(first), |c: char| c.is_alphanumeric() || c == '_' || is_mark(c));
        let alike = |c: char| within(c) && is_joined(c) == joined;
        let end = match within(first) {
            true => rest.find(|c| !alike(c)).unwrap_or(rest.len()),
            false => first.len_utf8(),
        };
        if joined && within(first) {
            each_pair(&rest[..end], &mut f);
        } else if !first.is_whitespace() && !first.is_control() {
            f(&rest[..end]);
        }
        rest = &rest[end..];
    }
}

/// Calls `f` with each pair of characters side by side, of one alone with that.
fn each_pair(text: &str, f: &mut impl FnMut(&str)) {
    let places: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
    match places.len() {
        0..=2 => f(text),
        _ => places.windows(3).for_each(|pair| f(&text[pair[0]..pair[2]])),
    }
}

/// Whether a character is of a script that has no spaces between words: of Thailand, Laos, Burma and Cambodia, Chinese and Japanese.
fn is_joined(c: char) -> bool {
    matches!(u32::from(c), 0x0E00..=0x0EFF | 0x1000..=0x109F | 0x1780..=0x17FF | 0x3040..=0x30FF | 0x3400..=0x4DBF | 0x4E00..=0x9FFF
        | 0xF900..=0xFAFF | 0x20000..=0x3FFFF)
}

/// Whether a character is written onto the one before it.
fn is_mark(c: char) -> bool {
    unicode_normalization::char::is_combining_mark(c)
}

/// Calls `f` with all pieces of a word. At least one: with its marks, a word has three characters.
fn each_piece(word: &str, mut f: impl FnMut(&str)) {
    let marked: String = std::iter::once('<').chain(word.chars().take(LONGEST_WORD)).chain(['>']).collect();
    let places: Vec<usize> = marked.char_indices().map(|(at, _)| at).chain([marked.len()]).collect();
    for length in PIECES {
        places.windows(length + 1).for_each(|window| f(&marked[window[0]..window[length]]));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static LONG: std::sync::LazyLock<String> = std::sync::LazyLock::new(|| "word ".repeat(1000));

    fn words_of(text: &str) -> Vec<String> {
        let mut words = Vec::new();
        each_word(text, |word| words.push(word.to_string()));
        words
    }

    #[test]
    fn words_are_letters_side_by_side_or_one_mark() {
        assert_eq!(words_of("It's  4.50€,\nÉcole_1!"), ["it", "'", "s", "4", ".", "50", "€", ",", "école_1", "!"]);
        assert_eq!(words_of("e\u{301}cole हिन्दी مَرحبا"), ["école", "हिन्दी", "مَرحبا"], "marks belong to their letters");
        assert!(words_of(" \t\u{a0}\u{7}").is_empty());
        assert_eq!(words_of("天気は 雨, wifiを"), ["天気", "気は", "雨", ",", "wifi", "を"], "pairs where words are not apart");
    }

    #[test]
    fn pieces_have_three_to_five_characters() {
        let mut pieces = Vec::new();
        each_piece("dür", |piece| pieces.push(piece.to_string()));
        assert_eq!(pieces, ["<dü", "dür", "ür>", "<dür", "dür>", "<dür>"]);
        each_piece("x", |piece| assert_eq!(piece, "<x>"));
    }

    #[test]
    fn known_words_are_tokens_and_their_pieces_too() {
        let texts = ["the cat", "the cat sat", "a dog"];
        let tokenizer = WordTokenizer::learn(texts.into_iter()).expect("words");
        assert_eq!(tokenizer.words, ["cat", "the"], "more often than once, the most frequent first");
        let (tokens, cut) = tokenizer.tokens("The dog");
        assert!(!cut && tokens[0] == BEGINS_WORD | 1, "{tokens:?}");
        let begin = tokens.iter().filter(|&&token| token & BEGINS_WORD != 0).count();
        assert_eq!((begin, tokens.len()), (2, 1 + 6 + 6));
        assert!(tokens.iter().all(|token| token & !BEGINS_WORD < tokenizer.vocabulary()));
        assert_eq!(tokenizer.tokens("dog").0[0], BEGINS_WORD | (2 + hash("<do") % BUCKETS), "an unknown word begins with a piece");
        let (long, cut) = tokenizer.tokens(&"cat ".repeat(100));
        let mostly_short = std::iter::repeat_n("a cat", 100).chain([LONG.as_str()]);
        assert_eq!(WordTokenizer::learn(mostly_short).expect("words").longest, 4 * 64, "one long text is no reason for room");
        assert!(cut && long.len() == tokenizer.longest as usize && long.len().is_multiple_of(4));
    }

    #[test]
    fn what_is_saved_is_read_back() {
        let tokenizer = WordTokenizer::learn(["a b a b c"].into_iter()).expect("words");
        let text = serde_json::to_string(&tokenizer).expect("plain data");
        let again: WordTokenizer = serde_json::from_str(&text).expect("as it was written");
        assert_eq!(again.clone().indexed(), tokenizer);
        assert_eq!(again.problem(), None);
        assert!(WordTokenizer { buckets: 0, ..tokenizer }.problem().is_some());
        assert!(WordTokenizer::learn([" "].into_iter()).is_err());
    }
}
