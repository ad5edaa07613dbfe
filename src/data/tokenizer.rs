//! How texts become tokens: by words that were learned from them, or as a network takes them that others have trained.

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::language_tokenizer::{Encoded, LanguageTokenizer};
use super::pieces;
use super::word_tokenizer::{WordTokenizer, usual_longest};
use crate::core::sample::BEGINS_WORD;

/// What makes tokens of texts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Tokenizer {
    /// Learned from training texts.
    Words(WordTokenizer),
    /// Of a language network.
    Language(Box<OfNetwork>),
}

/// The tokenizer of a language network, and how many tokens of a text are taken.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OfNetwork {
    language: LanguageTokenizer,
    /// Tokens of a text, at most; what goes beyond is cut off.
    longest: u32,
    /// Rows of the network's table of embeddings, where these are more than there are tokens.
    #[serde(default)]
    rows: u32,
    /// Whether texts have not yet said how many that need be.
    #[serde(skip)]
    unfitted: bool,
}

/// How tokens are hidden from a network that is to predict them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Masking {
    /// The token that stands for them.
    pub mask: u32,
    /// Special tokens before and after each text, which stay.
    pub before: u32,
    pub after: u32,
    pub vocabulary: u32,
}

/// The place of a word that has no token: it was cut off, or has no character that a tokenizer knows.
pub const NO_PLACE: u32 = u32::MAX;

/// The tokens of a text whose words are known.
#[derive(Clone, Debug, PartialEq)]
pub struct WordTokens {
    pub tokens: Vec<u32>,
    /// Whether some were cut off.
    pub cut: bool,
    /// Of each word, where its first token is; [`NO_PLACE`] if it has none.
    pub places: Vec<u32>,
}

impl OfNetwork {
    /// Tokens with [`BEGINS_WORD`] where a word begins.
    fn marked(&self, mut ids: Vec<u32>) -> Vec<u32> {
        ids.iter_mut().filter(|id| self.language.begins_word(**id)).for_each(|id| *id |= BEGINS_WORD);
        ids
    }
}

impl Tokenizer {
    /// Tokens of a text, at most.
    pub const MOST_TOKENS: u32 = WordTokenizer::MOST_TOKENS;

    /// Of training texts. Fails where they have no word.
    pub fn learn<'a>(texts: impl Iterator<Item = &'a str> + Clone) -> Result<Self> {
        WordTokenizer::learn(texts).map(Tokenizer::Words)
    }

    /// Of pieces of words, learned from training texts; `cased`: capitals are letters of their own. Fails where they have no word.
    pub fn learn_pieces<'a>(texts: impl Iterator<Item = &'a str> + Clone, cased: bool) -> Result<Self> {
        Ok(Self::of_network(pieces::learn(texts.clone(), cased)?, Self::MOST_TOKENS, 0).fitted(texts))
    }

    /// How tokens are hidden that are to be predicted; `None` of a tokenizer that has nothing to put in their place.
    pub fn masking(&self) -> Option<Masking> {
        match self {
            Tokenizer::Words(_) => None,
            Tokenizer::Language(network) => {
                let ([before, after], vocabulary) = (network.language.around(), network.language.vocabulary() as u32);
                network.language.mask().map(|mask| Masking { mask, before, after, vocabulary })
            }
        }
    }

    /// Of a network that takes up to `longest` tokens; its table of embeddings has `rows`, or as many as there are tokens.
    pub fn of_network(language: LanguageTokenizer, longest: u32, rows: u32) -> Self {
        Tokenizer::Language(Box::new(OfNetwork { language, longest, rows, unfitted: true }))
    }

    /// One that was read from a file, ready for use.
    pub fn indexed(self) -> Self {
        match self {
            Tokenizer::Words(words) => Tokenizer::Words(words.indexed()),
            language => language,
        }
    }

    /// One of a network takes no more tokens from now on than nearly all of these texts have; others stay.
    pub fn fitted<'a>(self, texts: impl Iterator<Item = &'a str>) -> Self {
        match self {
            Tokenizer::Language(network) if network.unfitted => {
                let OfNetwork { language, longest, rows, .. } = *network;
                let needed = usual_longest(texts.map(|text| language.encode(text, longest as usize).ids.len()).collect());
                Tokenizer::Language(Box::new(OfNetwork { language, longest: needed.min(longest), rows, unfitted: false }))
            }
            others => others,
        }
    }

    /// What makes no sense of one that was read from a file.
    pub fn problem(&self) -> Option<String> {
        match self {
            Tokenizer::Words(words) => words.problem(),
            Tokenizer::Language(network) => {
                let sound = (1..=WordTokenizer::MOST_TOKENS).contains(&network.longest);
                (!sound).then(|| format!("{} tokens of a text make no sense", network.longest))
            }
        }
    }

    /// Different tokens, and rows of a table that stand for none.
    pub fn vocabulary(&self) -> u32 {
        match self {
            Tokenizer::Words(words) => words.vocabulary(),
            Tokenizer::Language(network) => network.rows.max(network.language.vocabulary() as u32),
        }
    }

    /// Tokens of a text, at most.
    pub fn longest(&self) -> u32 {
        match self {
            Tokenizer::Words(words) => words.longest(),
            Tokenizer::Language(network) => network.longest,
        }
    }

    /// What it knows, for people.
    pub fn known(&self) -> String {
        match self {
            Tokenizer::Words(words) => format!("{} words that occur twice or more", words.words()),
            Tokenizer::Language(network) => format!("{} words and pieces of words", network.language.vocabulary()),
        }
    }

    /// The tokens of a text, the first of each word with [`BEGINS_WORD`]; and whether some were cut off.
    pub fn tokens(&self, text: &str) -> (Vec<u32>, bool) {
        match self {
            Tokenizer::Words(words) => words.tokens(text),
            Tokenizer::Language(network) => {
                let Encoded { ids, cut } = network.language.encode(text, network.longest as usize);
                (network.marked(ids), cut)
            }
        }
    }

    /// [`tokens`](Self::tokens) of a text of these words, and where each of them begins.
    pub fn tokens_of_words(&self, words: &[&str]) -> WordTokens {
        let (tokens, cut, places) = match self {
            Tokenizer::Words(own) => own.tokens_of_words(words),
            Tokenizer::Language(network) => {
                let (Encoded { ids, cut }, places) = network.language.encode_words(words, network.longest as usize);
                (network.marked(ids), cut, places)
            }
        };
        WordTokens { tokens, cut, places: places.into_iter().map(|place| place.map_or(NO_PLACE, |place| place as u32)).collect() }
    }

    /// What is said where so many texts were cut off.
    pub fn note(&self, cut: usize) -> Option<String> {
        let said =
            || format!("{cut} texts have more than {} tokens (words and pieces of words): what goes beyond is cut off", self.longest());
        (cut > 0).then(said)
    }
}
