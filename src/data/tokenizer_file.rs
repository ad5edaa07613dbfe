//! Files that describe the tokenizer of a language network: `tokenizer.json` and `vocab.txt` (Hugging Face's formats).

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::Value;

use super::bpe::BpeRules;
use super::language_tokenizer::{AddedToken, LanguageTokenizer, ModelRules, Normalizer, PreTokenizer, TokenizerParts};
use super::wordpiece::{BertNormalizer, WordPieceRules};

/// The token that fills up short texts has one of these names, where a file does not tell.
const PADS: [&str; 2] = ["[PAD]", "<pad>"];

/// A `tokenizer.json`. How it cuts and fills up texts is for its caller to decide; its decoder is for other uses.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only what is not listed is refused")]
struct TokenizerFile {
    version: Option<IgnoredAny>,
    truncation: Option<IgnoredAny>,
    padding: Option<Value>,
    #[serde(default)]
    added_tokens: Value,
    #[serde(default)]
    normalizer: Value,
    #[serde(default)]
    pre_tokenizer: Value,
    #[serde(default)]
    post_processor: Value,
    decoder: Option<IgnoredAny>,
    model: Value,
}

#[derive(Deserialize)]
#[serde(tag = "type", deny_unknown_fields)]
enum ModelFile {
    WordPiece {
        unk_token: String,
        continuing_subword_prefix: String,
        max_input_chars_per_word: usize,
        vocab: HashMap<String, u32>,
    },
    #[serde(rename = "BPE")]
    Bpe {
        dropout: Option<f64>,
        unk_token: Option<String>,
        continuing_subword_prefix: Option<String>,
        end_of_word_suffix: Option<String>,
        #[serde(default)]
        fuse_unk: bool,
        #[serde(default)]
        byte_fallback: bool,
        #[serde(default)]
        ignore_merges: bool,
        vocab: HashMap<String, u32>,
        merges: Vec<Merge>,
    },
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "a merge is neither \"a b\" nor [\"a\", \"b\"]")]
enum Merge {
    /// With a space between the two.
    Text(String),
    Pair(String, String),
}

#[derive(Deserialize)]
#[serde(tag = "type", deny_unknown_fields)]
#[expect(dead_code, reason = "only what is not listed is refused")]
enum PostProcessor {
    #[serde(rename = "TemplateProcessing")]
    Template { single: Vec<TemplatePiece>, pair: IgnoredAny, special_tokens: HashMap<String, TemplateToken> },
    #[serde(rename = "BertProcessing")]
    Bert { sep: (String, u32), cls: (String, u32) },
    /// What it trims is where tokens are in a text, not the tokens.
    #[serde(rename = "RobertaProcessing")]
    Roberta { sep: (String, u32), cls: (String, u32), trim_offsets: IgnoredAny, add_prefix_space: IgnoredAny },
}

#[derive(Deserialize)]
enum TemplatePiece {
    SpecialToken { id: String, type_id: u32 },
    Sequence { id: String, type_id: u32 },
}

#[derive(Deserialize)]
struct TemplateToken {
    ids: Vec<u32>,
}

impl LanguageTokenizer {
    /// From a `tokenizer.json`, or from another file with a token of BERT in each line, where letters become lower case unless it is
    /// told otherwise. Fails where a part of the file is not known: tokens that differ would make the network worse unnoticed.
    pub fn read(path: &Path, lower_case: Option<bool>) -> Result<Self> {
        let text = std::fs::read(path).with_context(|| format!("cannot read the tokenizer {}", path.display()))?;
        let read = match path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("json")) {
            true if lower_case.is_some() => Err(anyhow!("a tokenizer.json tells itself whether letters become lower case")),
            true => Self::from_json(&text),
            false => Self::from_vocabulary(&text, lower_case.unwrap_or(true)),
        };
        read.with_context(|| format!("cannot use the tokenizer {}", path.display()))
    }

    /// From the content of a `tokenizer.json`.
    pub fn from_json(json: &[u8]) -> Result<Self> {
        let file: TokenizerFile = serde_json::from_slice(json).context("this is no tokenizer.json")?;
        let (vocabulary, rules) = model(file.model)?;
        let mut added: Vec<AddedToken> = section::<Option<_>>("added_tokens", file.added_tokens)?.unwrap_or_default();
        added.sort_by_key(|token| token.id);
        let (before, after) = special_tokens(section("post_processor", file.post_processor)?)?;
        let pad = match file.padding {
            Some(padding) => Some(section("padding", padding["pad_id"].clone())?),
            None => {
                let mut all = vocabulary.iter().zip(0..).chain(added.iter().map(|token| (&token.content, token.id)));
                all.find(|(token, _)| PADS.contains(&token.as_str())).map(|(_, id)| id)
            }
        };
        let normalizer = section("normalizer", file.normalizer)?;
        let pre_tokenizer = section("pre_tokenizer", file.pre_tokenizer)?;
        TokenizerParts { vocabulary, added, normalizer, pre_tokenizer, rules, before, after, pad, known_alone: false }.try_into()
    }

    /// From the content of a `vocab.txt`, by the rules of BERT.
    pub fn from_vocabulary(text: &[u8], lower_case: bool) -> Result<Self> {
        let text = std::str::from_utf8(text).context("the vocabulary is no text in UTF-8")?;
        let vocabulary: Vec<String> = text.lines().map(str::to_string).collect();
        let special = |content: &&str| ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"].contains(content);
        let added = text.lines().zip(0..).filter(|(content, _)| special(content)).map(|(content, id)| AddedToken {
            id,
            content: content.to_string(),
            special: true,
            ..AddedToken::default()
        });
        let added: Vec<AddedToken> = added.collect();
        let id = |content: &str| added.iter().find(|token| token.content == content).map(|token| token.id);
        let needed = |content| id(content).with_context(|| format!("the vocabulary has no line {content}"));
        let (unknown, before, after) = (needed("[UNK]")?, vec![needed("[CLS]")?], vec![needed("[SEP]")?]);
        let bert = BertNormalizer { clean_text: true, handle_chinese_chars: true, strip_accents: None, lowercase: lower_case };
        let (normalizer, pre_tokenizer) = (Some(Normalizer::BertNormalizer(bert)), Some(PreTokenizer::BertPreTokenizer {}));
        let rules = ModelRules::WordPiece(WordPieceRules { unknown, prefix: "##".into(), longest_word: 100 });
        TokenizerParts { pad: id("[PAD]"), vocabulary, added, normalizer, pre_tokenizer, rules, before, after, known_alone: false }
            .try_into()
    }
}

/// A section of a `tokenizer.json`; where it has what is not known here, the message names that.
fn section<T: DeserializeOwned>(name: &str, value: Value) -> Result<T> {
    serde_json::from_value(value).map_err(|error| anyhow!("the {name} of the tokenizer is not supported: {error}"))
}

/// Vocabulary and rules of the model.
fn model(mut value: Value) -> Result<(Vec<String>, ModelRules)> {
    if let Some(model) = value.as_object_mut().filter(|model| !model.contains_key("type")) {
        // Old files do not tell their type.
        let name = if model.contains_key("merges") { "BPE" } else { "WordPiece" };
        model.insert("type".into(), name.into());
    }
    let id = |vocab: &HashMap<String, u32>, token: &str| {
        vocab.get(token).copied().with_context(|| format!("the token \"{token}\" is not in the vocabulary"))
    };
    match section("model", value)? {
        ModelFile::WordPiece { unk_token, continuing_subword_prefix: prefix, max_input_chars_per_word: longest_word, vocab } => {
            let unknown = id(&vocab, &unk_token)?;
            Ok((in_order(vocab)?, ModelRules::WordPiece(WordPieceRules { unknown, prefix, longest_word })))
        }
        ModelFile::Bpe {
            dropout,
            unk_token,
            continuing_subword_prefix,
            end_of_word_suffix,
            fuse_unk,
            byte_fallback,
            ignore_merges,
            vocab,
            merges,
        } => {
            ensure!(dropout.is_none_or(|share| share == 0.0), "dropout of the tokenizer's model is not supported");
            ensure!(!ignore_merges, "ignore_merges of the tokenizer's model is not supported");
            let plain = [continuing_subword_prefix, end_of_word_suffix].iter().flatten().all(String::is_empty);
            ensure!(plain, "continuing_subword_prefix and end_of_word_suffix of a BPE model are not supported");
            let unknown = unk_token.map(|token| id(&vocab, &token)).transpose()?;
            let pair = |merge: &Merge| {
                let (left, right) = match merge {
                    Merge::Text(text) => text
                        .split_once(' ')
                        .filter(|(_, right)| !right.contains(' '))
                        .with_context(|| format!("the merge \"{text}\" has not two tokens"))?,
                    Merge::Pair(left, right) => (left.as_str(), right.as_str()),
                };
                Ok((id(&vocab, left).context("a merge is unknown")?, id(&vocab, right)?))
            };
            let merges = merges.iter().map(pair).collect::<Result<_>>()?;
            Ok((in_order(vocab)?, ModelRules::Bpe(BpeRules { unknown, fuse_unknown: fuse_unk, byte_fallback, merges })))
        }
    }
}

/// The tokens in order of their ids, which have to be all from 0 on.
fn in_order(vocab: HashMap<String, u32>) -> Result<Vec<String>> {
    let mut tokens: Vec<(String, u32)> = vocab.into_iter().collect();
    tokens.sort_by_key(|&(_, id)| id);
    for ((token, id), expected) in tokens.iter().zip(0..) {
        ensure!(
            *id == expected,
            "the ids of the vocabulary are not 0, 1, 2 and so on, each once: \"{token}\" has {id} in place of {expected}"
        );
    }
    Ok(tokens.into_iter().map(|(token, _)| token).collect())
}

/// The tokens before and after a single text.
fn special_tokens(processor: Option<PostProcessor>) -> Result<(Vec<u32>, Vec<u32>)> {
    let (single, special_tokens) = match processor {
        None => return Ok((Vec::new(), Vec::new())),
        Some(PostProcessor::Bert { sep, cls } | PostProcessor::Roberta { sep, cls, .. }) => {
            return Ok((vec![cls.1], vec![sep.1]));
        }
        Some(PostProcessor::Template { single, special_tokens, .. }) => (single, special_tokens),
    };
    let mut sides = vec![Vec::new()];
    for piece in single {
        match piece {
            TemplatePiece::SpecialToken { id, type_id: 0 } => {
                let token = special_tokens.get(&id).with_context(|| format!("the post_processor has no special token \"{id}\""))?;
                sides.last_mut().expect("there is one").extend(&token.ids);
            }
            TemplatePiece::Sequence { id, type_id: 0 } if id == "A" => sides.push(Vec::new()),
            _ => {
                bail!("the post_processor of the tokenizer has a sequence that is not A or a type_id that is not 0, which is not supported")
            }
        }
    }
    let [before, after] =
        <[_; 2]>::try_from(sides).map_err(|_| anyhow!("the post_processor of the tokenizer does not have the text once"))?;
    Ok((before, after))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::language_tokenizer::Encoded;
    use super::*;

    const VOCABULARY: &str = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nplay\n##ing\n.\ncafe\nÀ\n";

    fn bert() -> LanguageTokenizer {
        LanguageTokenizer::from_vocabulary(VOCABULARY.as_bytes(), true).expect("sound")
    }

    /// A `tokenizer.json` as BERT has it.
    fn bert_file() -> Value {
        let vocab: HashMap<&str, usize> = VOCABULARY.lines().zip(0..).collect();
        let added = |id: u32, content: &str| {
            json!({"id": id, "content": content, "single_word": false, "lstrip": content == "[MASK]", "rstrip": false,
            "normalized": false, "special": true})
        };
        let special = |name: &str, id: u32| json!({"id": name, "ids": [id], "tokens": [name]});
        json!({
            "version": "1.0", "truncation": {"max_length": 3}, "padding": {"strategy": {"Fixed": 9}, "pad_id": 0}, "decoder": null,
            "added_tokens": [added(10, "<new>"), added(3, "[SEP]"), added(4, "[MASK]")],
            "normalizer": {"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": null, "lowercase": true},
            "pre_tokenizer": {"type": "BertPreTokenizer"},
            "post_processor": {"type": "TemplateProcessing", "pair": [], "single": [
                {"SpecialToken": {"id": "[CLS]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "[SEP]", "type_id": 0}}],
                "special_tokens": {"[CLS]": special("[CLS]", 2), "[SEP]": special("[SEP]", 3)}},
            "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100, "vocab": vocab},
        })
    }

    /// A `tokenizer.json` as Llama 2 has it, of few tokens.
    fn llama_file() -> Value {
        let mut tokens: Vec<String> = (0..256).map(|byte| format!("<0x{byte:02X}>")).collect();
        tokens.extend(["▁", "a", "b", "▁a", "ab", "▁ab"].map(String::from));
        let vocab: HashMap<String, usize> = tokens.into_iter().zip(0..).collect();
        json!({
            "normalizer": {"type": "Sequence", "normalizers": [
                {"type": "Prepend", "prepend": "▁"}, {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]},
            "model": {"type": "BPE", "unk_token": null, "byte_fallback": true, "vocab": vocab, "merges": ["a b", ["▁", "ab"], "▁ a"]},
        })
    }

    fn read(file: &Value) -> Result<LanguageTokenizer> {
        LanguageTokenizer::from_json(file.to_string().as_bytes())
    }

    /// Why a file is refused, after a change at one place.
    fn refusal(mut file: Value, place: &str, change: Value) -> String {
        let (parent, name) = place.rsplit_once('/').expect("a place");
        file.pointer_mut(parent).expect("there")[name] = change;
        format!("{:#}", read(&file).expect_err(place))
    }

    #[test]
    fn a_text_gets_the_tokens_of_bert() {
        let tokenizer = bert();
        let all = |ids: &[u32]| Encoded { ids: ids.to_vec(), cut: false };
        assert_eq!(tokenizer.encode("Playing CAFÉ.", 9), all(&[2, 5, 6, 8, 7, 3]));
        assert_eq!(tokenizer.encode("", 9), all(&[2, 3]));
        assert_eq!(tokenizer.encode("play[MASK]ing[mask", 99), all(&[2, 5, 4, 1, 1, 1, 3]));
        assert_eq!(tokenizer.encode("play play", 3), Encoded { ids: vec![2, 5, 3], cut: true });
        assert_eq!(tokenizer.encode("play", 3), all(&[2, 5, 3]));
        assert_eq!(tokenizer.encode("play", 0), Encoded { ids: vec![], cut: true });
        assert_eq!(tokenizer.encode(&"x".repeat(1 << 20), 9), all(&[2, 1, 3]));
        assert_eq!(tokenizer.vocabulary(), 10);
        assert_eq!(tokenizer.without_special_tokens().encode("play", 9), all(&[5]));
        let cased = LanguageTokenizer::from_vocabulary(VOCABULARY.as_bytes(), false).expect("sound");
        assert_eq!(cased.encode("À Play", 9), all(&[2, 9, 1, 3]));
    }

    #[test]
    fn a_file_of_bert_says_the_same_as_its_vocabulary() {
        let tokenizer = read(&bert_file()).expect("sound");
        assert_eq!(tokenizer.vocabulary(), 11);
        assert_eq!(tokenizer.encode("Playing [MASK] café <new>", 99).ids, [2, 5, 6, 4, 8, 10, 3], "its own limit of 3 does not count");
        let mut old = bert_file();
        old["model"].as_object_mut().expect("an object").remove("type");
        assert_eq!(read(&old).expect("sound"), tokenizer);
        old["post_processor"] = json!({"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]});
        assert_eq!(read(&old).expect("sound").encode("play", 9).ids, [2, 5, 3]);
    }

    #[test]
    fn a_text_gets_the_tokens_of_llama() {
        let tokenizer = read(&llama_file()).expect("sound");
        assert_eq!(tokenizer.encode("ab  aé", 99).ids, [261, 256, 259, 0xC3, 0xA9]);
        assert!(tokenizer.encode("", 99).ids.is_empty());
        let mut file = llama_file();
        file["normalizer"] = Value::Null;
        file["pre_tokenizer"] = json!({"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": true});
        file["added_tokens"] = json!([{"id": 262, "content": "<x>", "single_word": false, "lstrip": false, "rstrip": true, "normalized": false, "special": false}]);
        assert_eq!(read(&file).expect("sound").encode("ab<x>  ab", 99).ids, [261, 262, 260]);
        file["pre_tokenizer"] = json!({"type": "Metaspace", "replacement": "▁", "add_prefix_space": true});
        assert_eq!(read(&file).expect("sound").encode("ab<x>ab a", 99).ids, [261, 262, 261, 259]);
    }

    #[test]
    fn added_tokens_may_be_found_in_the_normalized_text() {
        let mut file = bert_file();
        file["added_tokens"] = json!([{"id": 10, "content": "Née", "single_word": false, "lstrip": false, "rstrip": false, "normalized": true, "special": false}]);
        assert_eq!(read(&file).expect("sound").encode("NEEplay", 9).ids, [2, 10, 5, 3]);
    }

    #[test]
    fn what_is_saved_is_read_back() {
        for tokenizer in [bert(), bert().without_special_tokens(), read(&bert_file()).expect("sound"), read(&llama_file()).expect("sound")]
        {
            let text = serde_json::to_string(&tokenizer).expect("plain data");
            let again: LanguageTokenizer = serde_json::from_str(&text).expect("as it was written");
            assert_eq!(again, tokenizer);
        }
        let mut saved = serde_json::to_value(bert()).expect("plain data");
        saved["pad"] = json!(10);
        assert!(serde_json::from_value::<LanguageTokenizer>(saved).is_err(), "what was saved is checked as well");
    }

    #[test]
    fn what_is_not_known_is_refused_by_name() {
        for (place, change, name) in [
            ("/model/type", json!("Unigram"), "Unigram"),
            ("/model/new", json!(1), "new"),
            ("/pre_tokenizer", json!({"type": "ByteLevel", "add_prefix_space": false}), "ByteLevel"),
            ("/pre_tokenizer/new", json!(1), "new"),
            ("/normalizer", json!({"type": "NFKC"}), "NFKC"),
            ("/normalizer", json!({"type": "Replace", "pattern": {"Regex": "a"}, "content": ""}), "Regex"),
            ("/post_processor", json!({"type": "ByteLevel"}), "ByteLevel"),
            ("/post_processor/single/1/Sequence/id", json!("B"), "sequence"),
            ("/added_tokens/0/single_word", json!(true), "single_word"),
            ("/new", json!(1), "new"),
        ] {
            let refused = refusal(bert_file(), place, change);
            assert!(refused.contains(name), "{place}: {refused}");
        }
        for (name, value) in [("dropout", json!(0.1)), ("ignore_merges", json!(true)), ("end_of_word_suffix", json!("</w>"))] {
            let refused = refusal(llama_file(), &format!("/model/{name}"), value);
            assert!(refused.contains(name), "{refused}");
        }
    }

    #[test]
    fn bad_files_are_refused() {
        for bad in ["", "{", "[]", "null", "7", "{}", "{\"model\": 1}", "\u{0}"] {
            assert!(LanguageTokenizer::from_json(bad.as_bytes()).is_err(), "{bad}");
        }
        for bad in ["", "\n", "[UNK]\n[CLS]", "[UNK]\n[CLS]\n[SEP]\na\na"] {
            assert!(LanguageTokenizer::from_vocabulary(bad.as_bytes(), true).is_err(), "{bad}");
        }
        assert!(LanguageTokenizer::from_vocabulary(b"[UNK]\n\xFF", true).is_err());
        let flags = |id: u32, content: &str| {
            json!([{"id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false, "special": true}])
        };
        for (place, change) in [
            ("/model/vocab", json!({})),
            ("/model/vocab/play", json!(99)),
            ("/model/vocab/play", json!(6)),
            ("/model/vocab/play", json!(-1)),
            ("/model/vocab/more", json!(u32::MAX)),
            ("/model/unk_token", json!("<unk>")),
            ("/padding/pad_id", json!(11)),
            ("/padding", json!(1)),
            ("/added_tokens", flags(11, "<gap>")),
            ("/added_tokens", flags(10, "play")),
            ("/added_tokens", flags(5, "other")),
            ("/added_tokens", flags(10, "")),
            ("/added_tokens/1/id", json!(4)),
            ("/post_processor/special_tokens/[CLS]/ids", json!([11])),
            ("/post_processor/special_tokens", json!({})),
            ("/post_processor/single", json!([])),
            ("/normalizer", json!({"type": "Replace", "pattern": {"String": ""}, "content": "a"})),
            ("/normalizer", json!({"type": "Replace", "pattern": {"String": "a"}, "content": "bb"})),
        ] {
            refusal(bert_file(), place, change);
        }
        for (place, change) in [
            ("/model/merges", json!(["a  b"])),
            ("/model/merges", json!(["ab"])),
            ("/model/merges", json!(["a x"])),
            ("/model/merges", json!(["b a"])),
            ("/model/merges", json!([["a", "b", "ab"]])),
            ("/model/merges", json!("a b")),
            ("/model/byte_fallback", json!(false)),
            ("/model/unk_token", json!("<unk>")),
            ("/model/vocab/<0x00>", json!(262)),
            ("/pre_tokenizer", json!({"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "add_prefix_space": false})),
        ] {
            refusal(llama_file(), place, change);
        }
    }
}
