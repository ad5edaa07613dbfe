//! Byte-pair encoding as Llama 2 has it (Sennrich et al., 2016; Kudo and Richardson, 2018).

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

/// How [`Bpe`] splits a word.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BpeRules {
    /// The token of a character that is not known.
    pub unknown: Option<u32>,
    /// Unknown characters side by side are one token.
    pub fuse_unknown: bool,
    /// A character that is not known becomes its bytes, whose tokens are `<0x00>` to `<0xFF>`.
    pub byte_fallback: bool,
    /// Two tokens that become one, the first of these before all others.
    pub merges: Vec<(u32, u32)>,
}

/// Splits a word into characters and merges these, pair by pair.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Bpe {
    unknown: Option<u32>,
    fuse_unknown: bool,
    characters: HashMap<char, u32>,
    /// The token of each byte; empty where there is no fallback to them.
    bytes: Vec<u32>,
    /// The rank of a pair and what it becomes.
    merges: HashMap<(u32, u32), (usize, u32)>,
}

/// A token in a list that can lose some; no place is as one beyond the last.
struct Symbol {
    token: u32,
    previous: usize,
    next: usize,
    merged_into_previous: bool,
}

impl Bpe {
    /// `vocabulary` is in order of the tokens, which `index` has for each. Fails where the rules need a token that is not there.
    pub fn new(rules: &BpeRules, vocabulary: &[String], index: &HashMap<String, u32>) -> Result<Self> {
        let BpeRules { unknown, fuse_unknown, .. } = *rules;
        ensure!(unknown.is_some() || rules.byte_fallback, "there is no token of unknown characters");
        ensure!(unknown.is_none_or(|token| (token as usize) < vocabulary.len()), "the unknown token is not in the vocabulary");
        let token_of = |text: &str| index.get(text).copied().with_context(|| format!("the token \"{text}\" is not in the vocabulary"));
        let bytes = if rules.byte_fallback { 0..256 } else { 0..0 };
        let bytes = bytes.map(|byte| token_of(&format!("<0x{byte:02X}>"))).collect::<Result<_>>()?;
        let text_of = |token: u32| {
            vocabulary.get(token as usize).with_context(|| format!("a merge has the token {token}, which is not in the vocabulary"))
        };
        let merges = rules.merges.iter().enumerate().map(|(rank, &(left, right))| {
            let merged = token_of(&format!("{}{}", text_of(left)?, text_of(right)?)).context("a merge makes what is no token")?;
            Ok(((left, right), (rank, merged)))
        });
        let merges = merges.collect::<Result<_>>()?;
        let only_character = |text: &String| text.chars().next().filter(|c| c.len_utf8() == text.len());
        let characters = vocabulary.iter().zip(0..).filter_map(|(text, token)| Some((only_character(text)?, token))).collect();
        Ok(Bpe { unknown, fuse_unknown, characters, bytes, merges })
    }

    /// Appends the tokens of a word. The time is that of sorting it.
    pub fn tokens(&self, word: &str, tokens: &mut Vec<u32>) {
        let mut symbols = self.symbols(word);
        let merge_at = |symbols: &[Symbol], at: usize| {
            let left = symbols.get(at)?;
            let (rank, merged) = *self.merges.get(&(left.token, symbols.get(left.next)?.token))?;
            Some(Reverse((rank, at, merged)))
        };
        let mut queue: BinaryHeap<_> = (0..symbols.len()).filter_map(|at| merge_at(&symbols, at)).collect();
        while let Some(Reverse((_, at, merged))) = queue.pop() {
            // Other merges may have changed what was queued.
            let stands = merge_at(&symbols, at).is_some_and(|Reverse((.., now))| now == merged);
            if symbols[at].merged_into_previous || !stands {
                continue;
            }
            let right = symbols[at].next;
            symbols[right].merged_into_previous = true;
            symbols[at].token = merged;
            symbols[at].next = symbols[right].next;
            let Symbol { previous, next, .. } = symbols[at];
            if let Some(next) = symbols.get_mut(next) {
                next.previous = at;
            }
            queue.extend(merge_at(&symbols, previous));
            queue.extend(merge_at(&symbols, at));
        }
        tokens.extend(symbols.iter().filter(|symbol| !symbol.merged_into_previous).map(|symbol| symbol.token));
    }

    /// The tokens of a word before any merge.
    fn symbols(&self, word: &str) -> Vec<Symbol> {
        let mut symbols: Vec<Symbol> = Vec::with_capacity(word.len());
        let mut push = |token| {
            let at = symbols.len();
            symbols.push(Symbol { token, previous: at.wrapping_sub(1), next: at + 1, merged_into_previous: false });
        };
        let mut after_unknown = false;
        for c in word.chars() {
            let known = self.characters.get(&c);
            let unknown = known.is_none() && self.bytes.is_empty();
            match known {
                Some(&token) => push(token),
                None if unknown && after_unknown && self.fuse_unknown => {}
                None if unknown => self.unknown.into_iter().for_each(&mut push),
                None => c.encode_utf8(&mut [0; 4]).bytes().for_each(|byte| push(self.bytes[usize::from(byte)])),
            }
            after_unknown = unknown;
        }
        symbols
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of a vocabulary in order and merges of two texts each.
    fn bpe(vocabulary: &[&str], merges: &[[&str; 2]], fuse_unknown: bool, byte_fallback: bool) -> Result<Bpe> {
        let vocabulary: Vec<String> = vocabulary.iter().map(|text| text.to_string()).collect();
        let index: HashMap<String, u32> = vocabulary.iter().cloned().zip(0..).collect();
        let merges = merges.iter().map(|[left, right]| (index[*left], index[*right])).collect();
        Bpe::new(&BpeRules { unknown: Some(0), fuse_unknown, byte_fallback, merges }, &vocabulary, &index)
    }

    fn tokens_of(bpe: &Bpe, word: &str) -> Vec<u32> {
        let mut tokens = Vec::new();
        bpe.tokens(word, &mut tokens);
        tokens
    }

    #[test]
    fn the_first_merge_comes_first_and_then_from_the_left() {
        let bpe = bpe(&["?", "a", "b", "c", "bc", "ab", "aa", "abc"], &[["b", "c"], ["a", "b"], ["a", "a"], ["ab", "c"]], false, false);
        let bpe = bpe.expect("sound");
        assert_eq!(tokens_of(&bpe, "abc"), [1, 4], "not ab and c");
        assert_eq!(tokens_of(&bpe, "aaaab"), [6, 1, 5]);
        assert_eq!(tokens_of(&bpe, "aaa"), [6, 1]);
        assert_eq!(tokens_of(&bpe, "axxb"), [1, 0, 0, 2]);
        assert!(tokens_of(&bpe, "").is_empty());
        let long = tokens_of(&bpe, &"a".repeat(1 << 18));
        assert!(long.len() == 1 << 17 && long.iter().all(|&token| token == 6));
    }

    #[test]
    fn what_is_unknown_is_fused_or_becomes_bytes() {
        let fused = bpe(&["?", "a"], &[], true, false).expect("sound");
        assert_eq!(tokens_of(&fused, "xyazé"), [0, 1, 0]);
        let bytes: Vec<String> = (0..256).map(|byte| format!("<0x{byte:02X}>")).collect();
        let vocabulary: Vec<&str> = std::iter::once("?").chain(bytes.iter().map(String::as_str)).chain(["a"]).collect();
        let fallback = bpe(&vocabulary, &[], true, true).expect("sound");
        assert_eq!(tokens_of(&fallback, "aé\0"), [257, 1 + 0xC3, 1 + 0xA9, 1]);
        assert!(bpe(&vocabulary[..200], &[], true, true).is_err(), "a byte without a token");
    }

    #[test]
    fn rules_without_their_tokens_are_refused() {
        let refused = bpe(&["?", "a", "b"], &[["a", "b"]], false, false).expect_err("ab is no token");
        assert!(format!("{refused:#}").contains("\"ab\""), "{refused:#}");
        let vocabulary = ["a".to_string()];
        let index = HashMap::from([("a".to_string(), 0)]);
        let rules = |unknown, merges| BpeRules { unknown, fuse_unknown: false, byte_fallback: false, merges };
        for bad in [rules(None, Vec::new()), rules(Some(1), Vec::new()), rules(Some(0), vec![(0, 1)])] {
            assert!(Bpe::new(&bad, &vocabulary, &index).is_err(), "{bad:?}");
        }
    }
}
