//! Learns pieces of words from texts, for networks that begin without weights: frequent neighbours become one, again and again (Sennrich et
//! al., 2016), and words are split into the longest pieces (WordPiece).

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap};

use anyhow::{Result, ensure};

use super::language_tokenizer::{LanguageTokenizer, MASK, ModelRules, Normalizer, PreTokenizer, TokenizerParts};
use super::wordpiece::{BertNormalizer, WordPieceRules, each_word};

/// Tokens, at most.
const MOST_PIECES: usize = 8192;
/// Two neighbours that occur together less often stay two.
const LEAST_OCCURRENCES: u64 = 2;
/// What a piece within a word begins with.
const PREFIX: &str = "##";
/// A longer word is unknown.
const LONGEST_WORD: usize = 100;
/// Before the pieces; the names are BERT's.
const SPECIAL: [&str; 3] = ["[PAD]", "[UNK]", MASK];

/// Two tokens side by side.
type Pair = [u32; 2];

/// A word as its tokens so far, and how often it occurs.
struct Word {
    tokens: Vec<u32>,
    count: u64,
}

impl Word {
    fn pairs(&self) -> impl Iterator<Item = Pair> {
        self.tokens.windows(2).map(|pair| [pair[0], pair[1]])
    }
}

/// How often pairs occur, and in which words they may.
#[derive(Default)]
struct PairCounts {
    counts: HashMap<Pair, (u64, Vec<usize>)>,
    /// The most frequent one first, then that of the lowest tokens; a pair whose count has changed is there again.
    heap: BinaryHeap<(u64, Reverse<Pair>)>,
}

impl PairCounts {
    fn add(&mut self, words: &[Word], place: usize) {
        for pair in words[place].pairs() {
            let (count, places) = self.counts.entry(pair).or_default();
            *count += words[place].count;
            if places.last() != Some(&place) {
                places.push(place);
            }
        }
    }

    fn remove(&mut self, words: &[Word], place: usize) {
        for pair in words[place].pairs() {
            if let Some((count, _)) = self.counts.get_mut(&pair) {
                *count -= words[place].count;
            }
        }
    }

    /// PairCounts of a word may have become more frequent, or less.
    fn remember(&mut self, word: &Word) {
        self.heap.extend(word.pairs().map(|pair| (self.counts[&pair].0, Reverse(pair))));
    }

    /// The most frequent pair, with the words that may have it.
    fn most_frequent(&mut self) -> Option<(Pair, Vec<usize>)> {
        while let Some((count, Reverse(pair))) = self.heap.pop() {
            let now = self.counts.get(&pair).map_or(0, |(count, _)| *count);
            if now == count {
                return (count >= LEAST_OCCURRENCES).then(|| (pair, self.counts.remove(&pair).map_or(Vec::new(), |(_, places)| places)));
            }
            if now > 0 {
                self.heap.push((now, Reverse(pair)));
            }
        }
        None
    }
}

/// A tokenizer that lower-cases texts as BERT's does, unless they are `cased`. Fails where they have no words.
pub(super) fn learn<'a>(texts: impl Iterator<Item = &'a str>, cased: bool) -> Result<LanguageTokenizer> {
    let normalizer = BertNormalizer { clean_text: true, handle_chinese_chars: true, strip_accents: None, lowercase: !cased };
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for text in texts {
        each_word(&normalizer.normalize(text), |word| *counts.entry(word.into()).or_default() += 1);
    }
    counts.retain(|word, _| word.chars().count() <= LONGEST_WORD);
    ensure!(!counts.is_empty(), "the texts have no words");
    let rules = WordPieceRules { unknown: 1, prefix: PREFIX.into(), longest_word: LONGEST_WORD };
    LanguageTokenizer::try_from(TokenizerParts {
        vocabulary: vocabulary(&counts),
        added: Vec::new(),
        normalizer: Some(Normalizer::BertNormalizer(normalizer)),
        pre_tokenizer: Some(PreTokenizer::BertPreTokenizer {}),
        rules: ModelRules::WordPiece(rules),
        before: Vec::new(),
        after: Vec::new(),
        pad: None,
        known_alone: false,
    })
}

/// The special tokens, characters at the beginning of words and within them, and what neighbours become.
fn vocabulary(counts: &BTreeMap<String, u64>) -> Vec<String> {
    let spelled = |word: &str| -> Vec<String> {
        word.chars().enumerate().map(|(i, c)| if i == 0 { c.to_string() } else { format!("{PREFIX}{c}") }).collect()
    };
    let mut of_characters: BTreeMap<String, u64> = BTreeMap::new();
    for (word, count) in counts {
        spelled(word).into_iter().for_each(|piece| *of_characters.entry(piece).or_default() += count);
    }
    let mut characters: Vec<(String, u64)> = of_characters.into_iter().collect();
    // Of scripts with thousands of characters, those that are rarest are unknown.
    characters.sort_by(|(a, more), (b, fewer)| fewer.cmp(more).then_with(|| a.cmp(b)));
    characters.truncate(MOST_PIECES - SPECIAL.len());
    let mut pieces: Vec<String> = SPECIAL.iter().map(|token| token.to_string()).chain(characters.into_iter().map(|(c, _)| c)).collect();
    let mut known: HashMap<String, u32> = pieces.iter().cloned().zip(0..).collect();
    let tokens = |word: &str| spelled(word).iter().map(|piece| known.get(piece).copied()).collect::<Option<Vec<u32>>>();
    let mut words: Vec<Word> = counts.iter().filter_map(|(word, &count)| tokens(word).map(|tokens| Word { tokens, count })).collect();
    let mut pairs = PairCounts::default();
    (0..words.len()).for_each(|place| pairs.add(&words, place));
    words.iter().for_each(|word| pairs.remember(word));
    while pieces.len() < MOST_PIECES {
        let Some((pair @ [first, second], places)) = pairs.most_frequent() else { break };
        let joined = format!("{}{}", pieces[first as usize], pieces[second as usize].trim_start_matches(PREFIX));
        // The same piece may come about in two ways.
        let token = *known.entry(joined.clone()).or_insert_with(|| {
            pieces.push(joined);
            pieces.len() as u32 - 1
        });
        for place in places {
            if !words[place].pairs().any(|other| other == pair) {
                continue;
            }
            pairs.remove(&words, place);
            let tokens = &mut words[place].tokens;
            let mut at = 0;
            while at + 1 < tokens.len() {
                if tokens[at..at + 2] == pair {
                    tokens[at] = token;
                    tokens.remove(at + 1);
                }
                at += 1;
            }
            pairs.add(&words, place);
            pairs.remember(&words[place]);
        }
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces_of(texts: &[&str]) -> Vec<String> {
        let mut counts = BTreeMap::new();
        texts.iter().for_each(|text| each_word(text, |word| *counts.entry(word.to_string()).or_default() += 1));
        vocabulary(&counts)
    }

    #[test]
    fn frequent_neighbours_become_one() {
        let pieces = pieces_of(&["low low low lower newer newer wider", "a"]);
        for piece in ["[MASK]", "l", "##o", "low", "##er", "newer"] {
            assert!(pieces.iter().any(|known| known == piece), "{piece} is not in {pieces:?}");
        }
        assert!(!pieces.iter().any(|piece| piece == "wider"), "once is not often: {pieces:?}");
        let mut sorted = pieces.clone();
        sorted.sort();
        sorted.dedup();
        assert_eq!(sorted.len(), pieces.len(), "none is there twice");
        assert_eq!(pieces, pieces_of(&["a newer wider lower", "newer low low low"]), "in whatever order texts come");
        // Neighbours that overlap: two pairs of three of a kind.
        assert!(pieces_of(&["aaaa aaaa bb"]).contains(&"aaaa".to_string()));
    }

    #[test]
    fn texts_become_pieces() {
        let texts = ["Show me my balance, please", "show the balance of my account", "block my account"];
        let tokenizer = learn(texts.into_iter(), false).expect("words");
        let known = tokenizer.encode("Show my account", 100);
        assert_eq!(known.ids.len(), 3, "words that occur twice are tokens");
        assert!(known.ids.iter().all(|&id| tokenizer.begins_word(id)));
        let new = tokenizer.encode("shows 天", 100).ids;
        assert_eq!(new.last(), Some(&1), "a character that no text has is unknown: {new:?}");
        assert!(learn(["", " "].into_iter(), false).is_err());
        let cased = learn(texts.into_iter(), true).expect("words");
        assert_ne!(cased.encode("Show", 9), cased.encode("show", 9));
        assert_eq!(tokenizer.encode("Show", 9), tokenizer.encode("show", 9));
    }
}
