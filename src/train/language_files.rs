//! What lies beside the weights of a language network, which are of no use without it: its tokenizer, and sizes that no tensor tells.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::data::{LanguageTokenizer, Tokenizer};
use crate::models::ModelSettings;

/// Files with a tokenizer, the first that there is.
const TOKENIZERS: [&str; 2] = ["tokenizer.json", "vocab.txt"];
/// Tokens of a text that are taken where nothing says how many a network was trained on.
const MOST_TOKENS: u32 = 512;
/// Rows that fill a table up to a round number of them are fewer.
const MOST_PADDING: u32 = 128;
/// GELU as such, and two names of its approximation.
const ACTIVATIONS: [&str; 3] = ["gelu", "gelu_new", "gelu_pytorch_tanh"];

/// Reads what lies beside `weights` of a network that takes texts, gives `model` what that says, and returns the tokenizer and what a
/// user should know. Fails where a network cannot be used without what is missing, or is not of this kind.
pub(super) fn read_beside(weights: &Path, model: &mut ModelSettings, vocabulary: u32) -> Result<(Tokenizer, Vec<String>)> {
    let folder = weights.parent().unwrap_or(Path::new(""));
    let mut notes = Vec::new();
    let Some(path) = TOKENIZERS.iter().map(|name| folder.join(name)).find(|path| path.is_file()) else {
        bail!(
            "{} are weights of {}, which knows texts by the tokens of its own tokenizer: its tokenizer.json or vocab.txt must lie beside it",
            weights.display(),
            model.kind
        );
    };
    let lower_case = json(&folder.join("tokenizer_config.json"))?.and_then(|config| config["do_lower_case"].as_bool());
    let of_json = path.extension().is_some_and(|ending| ending == "json");
    let mut language = LanguageTokenizer::read(&path, lower_case.filter(|_| !of_json))?;
    let known = language.vocabulary() as u32;
    // Tables are padded to round sizes: rows beyond the tokens are never looked up.
    let padded = vocabulary.is_multiple_of(8) && (known..known + MOST_PADDING).contains(&vocabulary);
    ensure!(
        known == vocabulary || padded,
        "{} is of another network: it has {known} tokens, {} has embeddings of {vocabulary}",
        path.display(),
        weights.display()
    );
    if known < vocabulary {
        notes.push(format!("{} of {vocabulary} embeddings are padding: they are of no token", vocabulary - known));
    }
    let longest = if model.shape.is_some() {
        of_transformer(folder, model, &mut notes)?
    } else {
        // The mean of embeddings is that of words, whatever stands around them.
        language = language.without_special_tokens().without_unknown();
        MOST_TOKENS
    };
    notes.push(format!("texts become tokens by {} beside it, up to {longest} of each", path.display()));
    Ok((Tokenizer::of_network(language, longest, vocabulary), notes))
}

/// What `config.json` says of the network, and `sentence_bert_config.json` of texts. Returns how many tokens are taken.
fn of_transformer(folder: &Path, model: &mut ModelSettings, notes: &mut Vec<String>) -> Result<u32> {
    let mut shape = model.transformer();
    let path = folder.join("config.json");
    match json(&path)? {
        None => notes.push(format!("no config.json lies beside it: {} heads of attention are assumed", shape.heads)),
        Some(config) => {
            let name = path.display();
            for (key, known) in [("model_type", &["bert"][..]), ("hidden_act", &ACTIVATIONS), ("position_embedding_type", &["absolute"])] {
                let said = config[key].as_str().unwrap_or(known[0]);
                ensure!(known.contains(&said), "{name}: {key} is {said}; only {} is known here", known.join(", "));
            }
            shape.by_tanh = config["hidden_act"].as_str().is_some_and(|said| said != ACTIVATIONS[0]);
            let heads = config["num_attention_heads"].as_u64().with_context(|| format!("{name} does not say num_attention_heads"))?;
            shape.heads = u32::try_from(heads).unwrap_or(0);
            shape.eps = config["layer_norm_eps"].as_f64().unwrap_or(f64::from(shape.eps)) as f32;
        }
    }
    ensure!(shape.positions > 1, "{}: it knows the places of {} tokens", folder.display(), shape.positions);
    means_of_tokens(folder)?;
    if let Some(problem) = shape.problem() {
        bail!("{}: {problem}", path.display());
    }
    model.shape = Some(shape);
    let trained = json(&folder.join("sentence_bert_config.json"))?.and_then(|config| config["max_seq_length"].as_u64());
    let longest = trained.and_then(|longest| u32::try_from(longest).ok()).unwrap_or(MOST_TOKENS);
    Ok(longest.clamp(2, shape.positions.min(Tokenizer::MOST_TOKENS)))
}

/// Fails where the files of sentence-transformers say that sentences are made of tokens otherwise than here.
fn means_of_tokens(folder: &Path) -> Result<()> {
    let path = folder.join("1_Pooling").join("config.json");
    if let Some(pooling) = json(&path)? {
        let on = |mode: &str| pooling[format!("pooling_mode_{mode}")].as_bool();
        let others = ["cls_token", "max_tokens", "mean_sqrt_len_tokens", "weightedmean_tokens", "lasttoken"];
        let plain = on("mean_tokens").unwrap_or(true) && !others.iter().any(|mode| on(mode) == Some(true));
        ensure!(plain, "{}: sentences are not the mean of their tokens, which is what is known here", path.display());
    }
    let path = folder.join("modules.json");
    let modules = json(&path)?.unwrap_or_default();
    let types = modules.as_array().into_iter().flatten().filter_map(|module| module["type"].as_str());
    let unknown =
        types.map(|name| name.rsplit('.').next().unwrap_or(name)).find(|name| !["Transformer", "Pooling", "Normalize"].contains(name));
    ensure!(
        unknown.is_none(),
        "{}: behind the mean of tokens there is a {}, which is not known here",
        path.display(),
        unknown.unwrap_or("")
    );
    Ok(())
}

/// A file of JSON; `None` if there is none.
fn json(path: &Path) -> Result<Option<Value>> {
    if !path.is_file() {
        return Ok(None);
    }
    let text = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_slice(&text).map(Some).with_context(|| format!("{} is no JSON", path.display()))
}
