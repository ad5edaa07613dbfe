//! A transformer of one's own on texts: pretraining by hidden tokens and by dropout, fine-tuning, and what is refused, as a user runs it.

use crate::common;

use std::fs;
use std::path::Path;
use std::sync::OnceLock;

use common::binary::{json, refused as fails};
use common::files::{even, folder, put};
use tempfile::TempDir;

const CLASSES: [&str; 3] = ["weather", "money", "music"];

/// Sentences of three kinds, of several lengths.
fn table() -> String {
    let things = [["rain", "snow", "sun", "wind"], ["dollars", "savings", "account", "payment"], ["song", "guitar", "album", "singer"]];
    let begin = ["tell me about the", "what of the", "please say more of the", "any", "is there anything that you know of the"];
    let end = ["today", "for my friend", "now", "in this town", "again please"];
    let row = |i: usize| {
        let (class, n) = (i % 3, i / 3);
        let more = if n.is_multiple_of(4) { format!(" and {}", things[class][n % 3]) } else { String::new() };
        format!("{},{} {}{more} {}\n", CLASSES[class], begin[n % 5], things[class][n % 4], end[n * 7 % 5])
    };
    std::iter::once("topic,sentence\n".into()).chain((0..120).map(row)).collect()
}

const SMALL: [&str; 10] = ["--features", "24", "--layers", "1", "--heads", "3", "--batch", "16", "--device", "cpu"];

/// A folder with the table, and a run that predicted hidden tokens.
fn runs() -> &'static Path {
    static DIR: OnceLock<TempDir> = OnceLock::new();
    DIR.get_or_init(|| {
        let dir = folder();
        put(dir.path(), "topics.csv", table());
        let pretrain = ["pretrain", "--data", "topics.csv", "--method", "masked-tokens", "--steps", "150", "--lr", "0.01", "--out", "pre"];
        let found = json(dir.path(), &[&pretrain[..], &SMALL].concat());
        // A token of 60 or so by chance has 4.1.
        let loss = found["masked_token_loss"].as_f64().expect("a loss of held-out texts");
        assert!(loss < 3.5 && found["final_loss"].as_f64() < Some(2.7), "{found}");
        dir
    })
    .path()
}

#[test]
fn what_predicted_hidden_tokens_is_fine_tuned_and_found() {
    let dir = runs();
    let found = json(
        dir,
        &["finetune", "--from", "pre", "--data", "topics.csv", "--steps", "100", "--lr", "0.005", "--device", "cpu", "--out", "tuned"],
    );
    assert!(found["test_accuracy"].as_f64() > Some(0.6), "{found}");
    let eval = |_: u32| json(dir, &["eval", "tuned", "--device", "cpu"])["test_loss"].to_string();
    assert_eq!(eval(0), eval(1), "nothing is dropped in evaluation");
    let found = json(dir, &["search", "pre", "snow now", "--count", "2", "--device", "cpu"]);
    assert!(found["found"][0]["text"].is_string(), "{found}");
}

#[test]
fn runs_with_dropout_go_on_to_the_same_bytes() {
    let dir = runs();
    let weights = |out: &str| fs::read(dir.join(out).join("checkpoints/last.safetensors")).expect("it is there");
    for method in ["simcse", "masked-tokens"] {
        let run = ["pretrain", "--data", "topics.csv", "--method", method, "--val", "0", "--schedule", "constant"];
        let out = |part: &str| format!("{method}-{part}");
        json(dir, &[&run[..], &SMALL, &["--steps", "13", "--out", &out("whole")]].concat());
        json(dir, &[&run[..], &SMALL, &["--steps", "6", "--out", &out("parts")]].concat());
        json(dir, &["pretrain", "--resume", "--out", &out("parts"), "--steps", "13"]);
        assert!(weights(&out("whole")) == weights(&out("parts")), "{method}");
        json(dir, &[&run[..], &SMALL, &["--steps", "13", "--dropout", "0.2", "--out", &out("more")]].concat());
        assert!(weights(&out("whole")) != weights(&out("more")), "{method}: dropout is no matter");
    }
}

#[test]
fn views_of_dropout_alone_attract() {
    let dir = runs();
    let run = ["pretrain", "--data", "topics.csv", "--method", "simcse", "--steps", "60", "--lr", "0.005", "--out", "attracted"];
    let found = json(dir, &[&run[..], &SMALL].concat());
    // 32 views: without learning anything the loss is ln 31 = 3.4.
    assert!(found["final_loss"].as_f64() < Some(2.8) && found["embedding_std"].as_f64() > Some(0.3), "{found}");
}

#[test]
fn what_makes_no_sense_is_refused() {
    // Of its own: nothing in it may change.
    let own = folder();
    let dir = own.path();
    put(dir, "topics.csv", table());
    put(dir, "pictures/a/0.png", even(1));
    put(dir, "pictures/a/1.png", even(2));
    let of_texts = |more: &[&'static str]| [&["pretrain", "--data", "topics.csv", "--device", "cpu", "--steps", "2"], more].concat();
    fails(dir, &of_texts(&["--dropout", "0.1"]), 2, &["--dropout means nothing to bag"]);
    fails(dir, &of_texts(&["--method", "simcse", "--dropout", "0"]), 2, &["--method simcse needs dropout"]);
    fails(dir, &of_texts(&["--method", "simcse", "--model", "bag"]), 2, &["--method simcse needs dropout", "--model transformer"]);
    fails(dir, &of_texts(&["--method", "simcse", "--augment", "words"]), 2, &["dropout alone"]);
    fails(dir, &of_texts(&["--method", "masked-tokens", "--model", "bag"]), 2, &["tells tokens apart", "--model transformer"]);
    fails(dir, &of_texts(&["--model", "transformer", "--features", "10"]), 2, &["10 features cannot be shared by 4 heads"]);
    fails(dir, &["pretrain", "--data", "pictures", "--method", "masked-tokens", "--device", "cpu"], 2, &["is for texts", "simclr"]);
}
