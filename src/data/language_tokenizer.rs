//! How the texts of a language network that others have trained become tokens.

use std::collections::HashMap;

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize, Serializer};

use super::bpe::{Bpe, BpeRules};
use super::wordpiece::{BertNormalizer, WordPiece, WordPieceRules, each_word};

/// What SentencePiece puts for spaces.
const METASPACE: char = '▁';
/// BERT's name of the token that stands for those that are to be predicted.
pub(super) const MASK: &str = "[MASK]";

/// Makes the tokens that a pretrained network knows a text by. Serialised, it is what it was made from.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "TokenizerParts")]
pub struct LanguageTokenizer {
    parts: TokenizerParts,
    model: Model,
    /// Found in a text as it is.
    added: AddedTokens,
    /// Found in what the normalizer makes of a text.
    added_normalized: AddedTokens,
}

/// The tokens of a text.
#[derive(Clone, Debug, PartialEq)]
pub struct Encoded {
    pub ids: Vec<u32>,
    /// Whether some are left out, as there were too many.
    pub cut: bool,
}

/// All that a tokenizer is made of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TokenizerParts {
    /// Of the model, in order of its tokens.
    pub vocabulary: Vec<String>,
    /// In order of their tokens. Those that are not in the vocabulary follow it.
    pub added: Vec<AddedToken>,
    pub normalizer: Option<Normalizer>,
    pub pre_tokenizer: Option<PreTokenizer>,
    pub rules: ModelRules,
    /// Tokens before each text.
    pub before: Vec<u32>,
    /// Tokens after each text.
    pub after: Vec<u32>,
    pub pad: Option<u32>,
    /// Unknown words are left out.
    #[serde(default)]
    pub known_alone: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum ModelRules {
    WordPiece(WordPieceRules),
    Bpe(BpeRules),
}

#[derive(Clone, Debug, PartialEq)]
enum Model {
    WordPiece(WordPiece),
    Bpe(Bpe),
}

/// A token that is found in a text before this is split, such as "[MASK]".
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AddedToken {
    pub id: u32,
    pub content: String,
    pub single_word: bool,
    /// White space before it belongs to it.
    pub lstrip: bool,
    /// White space after it belongs to it.
    pub rstrip: bool,
    pub normalized: bool,
    pub special: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", deny_unknown_fields)]
pub(super) enum Normalizer {
    BertNormalizer(BertNormalizer),
    Prepend { prepend: String },
    Replace { pattern: Pattern, content: String },
    Sequence { normalizers: Vec<Normalizer> },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum Pattern {
    String(String),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", deny_unknown_fields)]
pub(super) enum PreTokenizer {
    BertPreTokenizer {},
    /// Words begin with a mark that is put for each space.
    Metaspace {
        replacement: char,
        prepend_scheme: Option<PrependScheme>,
        /// What old files have for the scheme.
        add_prefix_space: Option<bool>,
        split: Option<bool>,
        /// The replacement again, in old files.
        str_rep: Option<String>,
    },
}

/// Where a mark is put before a text that does not begin with it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum PrependScheme {
    Always,
    /// Not after an added token.
    First,
    Never,
}

impl LanguageTokenizer {
    /// One that puts no tokens before and after a text.
    pub fn without_special_tokens(mut self) -> Self {
        self.parts.before.clear();
        self.parts.after.clear();
        self
    }

    /// One that leaves out what stands for unknown words, which says nothing by itself.
    pub fn without_unknown(mut self) -> Self {
        self.parts.known_alone = true;
        self
    }

    fn unknown(&self) -> Option<u32> {
        match &self.parts.rules {
            ModelRules::WordPiece(rules) => Some(rules.unknown),
            ModelRules::Bpe(rules) => rules.unknown,
        }
    }

    /// The tokens of a text, and the special ones before and after it. They are `longest` at most: the end of the text is left out.
    pub fn encode(&self, text: &str, longest: usize) -> Encoded {
        let mut ids = self.parts.before.clone();
        self.append(text, &mut ids);
        self.ended(ids, longest)
    }

    /// [`encode`](Self::encode) of a text of these words, and the place of the first token of each; none of those that are left out.
    pub fn encode_words(&self, words: &[&str], longest: usize) -> (Encoded, Vec<Option<usize>>) {
        let (mut ids, mut places) = (self.parts.before.clone(), Vec::new());
        for (at, word) in words.iter().enumerate() {
            let begin = ids.len();
            self.append(word, &mut ids);
            // Some tokenizers know by the space before it that a word begins.
            if at > 0 && ids.get(begin).is_some_and(|&first| !self.begins_word(first)) {
                ids.truncate(begin);
                self.append(&format!(" {word}"), &mut ids);
            }
            places.push((ids.len() > begin).then_some(begin));
        }
        let kept = longest.saturating_sub(self.parts.after.len());
        (self.ended(ids, longest), places.into_iter().map(|place| place.filter(|&place| place < kept)).collect())
    }

    /// Adds the tokens of a text, without special ones.
    fn append(&self, text: &str, ids: &mut Vec<u32>) {
        let from = ids.len();
        for (begin, section) in self.added.sections(text) {
            let section = match section {
                Section::Text(section) => {
                    self.parts.normalizer.iter().fold(section.to_string(), |text, normalizer| normalizer.normalize(&text))
                }
                Section::Token(id) => {
                    ids.push(id);
                    continue;
                }
            };
            for (within, section) in self.added_normalized.sections(&section) {
                match section {
                    Section::Text(section) => self.each_word(section, begin + within == 0, |word| self.model.tokens(word, ids)),
                    Section::Token(id) => ids.push(id),
                }
            }
        }
        if self.parts.known_alone {
            let known: Vec<u32> = ids.drain(from..).filter(|&id| Some(id) != self.unknown()).collect();
            ids.extend(known);
        }
    }

    /// With the special tokens behind a text, `longest` at most.
    fn ended(&self, mut ids: Vec<u32>, longest: usize) -> Encoded {
        let after = &self.parts.after;
        let cut = ids.len() + after.len() > longest;
        ids.truncate(longest.saturating_sub(after.len()));
        ids.extend(after);
        ids.truncate(longest);
        Encoded { ids, cut }
    }

    /// Different tokens.
    pub fn vocabulary(&self) -> usize {
        self.parts.all()
    }

    /// The token that stands for one that is to be predicted, if there is one.
    pub fn mask(&self) -> Option<u32> {
        let vocabulary = self.parts.vocabulary.iter().map(String::as_str).zip(0..);
        let mut known = vocabulary.chain(self.parts.added.iter().map(|token| (token.content.as_str(), token.id)));
        known.find(|(token, _)| *token == MASK || *token == "<mask>").map(|(_, id)| id)
    }

    /// How many special tokens are before and after each text.
    pub fn around(&self) -> [u32; 2] {
        [&self.parts.before, &self.parts.after].map(|special| special.len() as u32)
    }

    /// Whether a word, or what stands for one, begins with this token.
    pub fn begins_word(&self, token: u32) -> bool {
        let text = self.parts.vocabulary.get(token as usize).map_or("", String::as_str);
        match (&self.parts.rules, &self.parts.pre_tokenizer) {
            (ModelRules::WordPiece(rules), _) => !text.starts_with(&rules.prefix),
            (ModelRules::Bpe(_), Some(PreTokenizer::Metaspace { replacement, .. })) => text.starts_with(*replacement),
            (ModelRules::Bpe(_), _) => text.starts_with(METASPACE),
        }
    }

    fn each_word(&self, text: &str, first: bool, mut f: impl FnMut(&str)) {
        match &self.parts.pre_tokenizer {
            None => f(text),
            Some(PreTokenizer::BertPreTokenizer {}) => each_word(text, f),
            Some(metaspace @ PreTokenizer::Metaspace { replacement: mark, split, .. }) => {
                let mut marked = text.replace(' ', mark.encode_utf8(&mut [0; 4]));
                let scheme = metaspace.scheme();
                if !marked.starts_with(*mark) && (scheme == PrependScheme::Always || scheme == PrependScheme::First && first) {
                    marked.insert(0, *mark);
                }
                let mut begin = 0;
                if split.unwrap_or(true) {
                    for (at, _) in marked.match_indices(*mark).filter(|&(at, _)| at > 0) {
                        f(&marked[begin..at]);
                        begin = at;
                    }
                }
                f(&marked[begin..]);
            }
        }
    }
}

impl Serialize for LanguageTokenizer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.parts.serialize(serializer)
    }
}

impl TryFrom<TokenizerParts> for LanguageTokenizer {
    type Error = anyhow::Error;

    /// All parts are checked here, be they from a file of the network or a saved run.
    fn try_from(parts: TokenizerParts) -> Result<Self> {
        let TokenizerParts { vocabulary, added, normalizer, rules, .. } = &parts;
        let index: HashMap<String, u32> = vocabulary.iter().cloned().zip(0..).collect();
        ensure!(!vocabulary.is_empty(), "the vocabulary is empty");
        ensure!(index.len() == vocabulary.len(), "a token is in the vocabulary twice");
        ensure!(added.is_sorted_by(|a, b| a.id < b.id), "two added tokens have the same id");
        for (token, expected) in added.iter().filter(|token| token.id as usize >= vocabulary.len()).zip(vocabulary.len()..) {
            ensure!(token.id as usize == expected, "there is no token {expected}, but an added token {}", token.id);
        }
        let mut sets = [HashMap::new(), HashMap::new()];
        for token in added {
            let content = &token.content;
            let known = vocabulary.get(token.id as usize);
            let agree = known.map_or(!index.contains_key(content), |known| known == content);
            ensure!(agree, "the added token \"{content}\" has the id {}, but not in the vocabulary", token.id);
            ensure!(!token.single_word, "the added token \"{content}\" is for single words (single_word), which is not supported");
            let found = match (token.normalized, normalizer) {
                (true, Some(normalizer)) => normalizer.normalize(content),
                _ => content.clone(),
            };
            let first = found.chars().next().with_context(|| format!("the added token \"{content}\" has no characters"))?;
            let same: &mut Vec<AddedToken> = sets[usize::from(token.normalized)].entry(first).or_default();
            ensure!(same.iter().all(|other| other.content != found), "the added token \"{content}\" has two ids");
            same.push(AddedToken { content: found, ..token.clone() });
        }
        sets.iter_mut().flat_map(HashMap::values_mut).for_each(|same| same.sort_by_key(|token| std::cmp::Reverse(token.content.len())));
        let [added, added_normalized] = sets.map(AddedTokens);
        let bounded = normalizer.as_ref().is_none_or(Normalizer::is_bounded);
        ensure!(bounded, "the normalizer replaces a text by a longer one, which is not supported");
        if let Some(metaspace @ PreTokenizer::Metaspace { add_prefix_space: Some(false), .. }) = &parts.pre_tokenizer {
            ensure!(metaspace.scheme() == PrependScheme::Never, "the pre_tokenizer has an add_prefix_space and another prepend_scheme");
        }
        let special = parts.before.iter().chain(&parts.after).chain(&parts.pad);
        if let Some(missing) = special.copied().find(|&id| id as usize >= parts.all()) {
            bail!("the special token {missing} is not in the vocabulary");
        }
        let model = match rules {
            ModelRules::WordPiece(rules) => Model::WordPiece(WordPiece::new(rules.clone(), index)?),
            ModelRules::Bpe(rules) => Model::Bpe(Bpe::new(rules, vocabulary, &index)?),
        };
        Ok(LanguageTokenizer { parts, model, added, added_normalized })
    }
}

impl TokenizerParts {
    /// Tokens of the vocabulary and those after it.
    fn all(&self) -> usize {
        let last = self.added.last().map_or(0, |token| token.id as usize + 1);
        last.max(self.vocabulary.len())
    }
}

impl Model {
    fn tokens(&self, word: &str, ids: &mut Vec<u32>) {
        match self {
            Model::WordPiece(model) => model.tokens(word, ids),
            Model::Bpe(model) => model.tokens(word, ids),
        }
    }
}

impl Normalizer {
    fn normalize(&self, text: &str) -> String {
        match self {
            Normalizer::BertNormalizer(bert) => bert.normalize(text),
            Normalizer::Prepend { prepend } => {
                if text.is_empty() {
                    String::new()
                } else {
                    format!("{prepend}{text}")
                }
            }
            Normalizer::Replace { pattern: Pattern::String(pattern), content } => text.replace(pattern, content),
            Normalizer::Sequence { normalizers } => {
                normalizers.iter().fold(text.to_string(), |text, normalizer| normalizer.normalize(&text))
            }
        }
    }

    /// Whether no text gets more characters by what is replaced: else a bad file could fill the memory.
    fn is_bounded(&self) -> bool {
        match self {
            Normalizer::BertNormalizer(_) | Normalizer::Prepend { .. } => true,
            Normalizer::Replace { pattern: Pattern::String(pattern), content } => {
                (1..=pattern.chars().count()).contains(&content.chars().count().max(1))
            }
            Normalizer::Sequence { normalizers } => normalizers.iter().all(Normalizer::is_bounded),
        }
    }
}

impl PreTokenizer {
    fn scheme(&self) -> PrependScheme {
        match *self {
            PreTokenizer::Metaspace { prepend_scheme: Some(scheme), .. } => scheme,
            PreTokenizer::Metaspace { add_prefix_space: None | Some(true), .. } => PrependScheme::Always,
            _ => PrependScheme::Never,
        }
    }
}

/// By their first characters, the longest first.
#[derive(Clone, Debug, PartialEq)]
struct AddedTokens(HashMap<char, Vec<AddedToken>>);

enum Section<'a> {
    Token(u32),
    Text(&'a str),
}

impl AddedTokens {
    /// The added tokens of a text and what is between these, each with where it begins.
    fn sections<'a>(&self, text: &'a str) -> Vec<(usize, Section<'a>)> {
        let mut sections = Vec::new();
        let (mut done, mut at) = (0, 0);
        while let Some(first) = text[at..].chars().next() {
            let same = self.0.get(&first).map_or(&[][..], Vec::as_slice);
            let Some(token) = same.iter().find(|token| text[at..].starts_with(&token.content)) else {
                at += first.len_utf8();
                continue;
            };
            let before = if token.lstrip { text[done..at].trim_end() } else { &text[done..at] };
            let after = &text[at + token.content.len()..];
            let after = if token.rstrip { after.trim_start() } else { after };
            sections.extend((!before.is_empty()).then_some((done, Section::Text(before))));
            sections.push((at, Section::Token(token.id)));
            at = text.len() - after.len();
            done = at;
        }
        sections.extend((done < text.len()).then(|| (done, Section::Text(&text[done..]))));
        sections
    }
}
