//! What belongs to none of a classifier's classes: thresholds that held-out samples choose, and what is said below them.

use crate::common;

use std::fs;
use std::path::Path;
use std::sync::OnceLock;

use common::binary::{json, refused, stderr, stdout_of, wgraft};
use common::files::{encoded, folder, own_copy, put};
use image::{GrayImage, ImageFormat, Luma};
use serde_json::{Value, json};
use tempfile::TempDir;

const CPU: [&str; 2] = ["--device", "cpu"];

fn sentence(class: usize, i: usize) -> String {
    let things =
        [["rain", "snow", "sunshine", "wind"], ["dollars", "savings", "account", "payment"], ["whale", "castle", "engine", "pepper"]];
    let begin = ["tell me about the", "i want to know of", "what is there on", "please say more of the", "do you have any"];
    let end = ["today", "for my friend", "right now", "in this town", "again please", "if you can"];
    format!("{} {} and {} {}", begin[i % 5], things[class][i % 4], things[class][(i / 4 + 1) % 4], end[i * 7 % 6])
}

/// Sentences of two classes and of none, and a run on them.
fn runs() -> &'static Path {
    static RUNS: OnceLock<TempDir> = OnceLock::new();
    let dir = RUNS.get_or_init(|| {
        let dir = folder();
        let table: String = (0..180).map(|i| format!("{},{}\n", sentence(i % 3, i / 3), ["weather", "money", "oos"][i % 3])).collect();
        put(dir.path(), "a.csv", format!("text,intent\n{table}"));
        let tune = ["finetune", "--data", "a.csv", "--out-of-scope", "oos", "--val", "0.25", "--features", "32", "--epochs", "10"];
        put(dir.path(), "tuned.json", json(dir.path(), &[&tune[..], &["--out", "tuned"], &CPU].concat()).to_string());
        dir
    });
    own_copy(dir.path())
}

fn number(found: &Value, key: &str) -> f64 {
    found[key].as_f64().unwrap_or_else(|| panic!("no `{key}` in {found}"))
}

#[test]
fn held_out_sentences_choose_a_threshold() {
    let dir = runs();
    let tuned: Value = serde_json::from_str(&fs::read_to_string(dir.join("tuned.json")).expect("it is there")).expect("JSON");
    let (threshold, held_out) = (number(&tuned["threshold"], "probability"), &tuned["threshold"]["held_out"]);
    // All training sentences of none are held out, as none is trained on.
    assert_eq!((held_out["out_of_scope"].as_u64(), held_out["in_scope"].as_u64()), (Some(48), Some(24)), "{tuned}");
    assert!(threshold > 0.5 && number(held_out, "auroc") > 0.8, "{tuned}");
    assert_eq!(tuned["samples"], 24, "test sentences of none are of no class");
    let found = json(dir, &[&["eval", "tuned"][..], &CPU].concat());
    let scope = &found["out_of_scope"];
    assert_eq!((scope["out_of_scope"].as_u64(), number(scope, "threshold")), (Some(12), threshold), "{found}");
    assert!(number(scope, "recall") > 0.5 && number(scope, "in_scope_accuracy") > 0.8, "{found}");
    assert!((number(&found, "test_accuracy") - number(&tuned, "test_accuracy")).abs() < 1e-9);
    let accuracy = number(scope, "in_scope_accuracy") + number(scope, "rejected");
    assert!(accuracy <= 1.0 + 1e-9 && number(&found, "test_accuracy") >= number(scope, "in_scope_accuracy"), "{found}");

    let strange = "tell me about the whale and castle today\n";
    let line = |threshold: &[&str], text: &str| stdout_of(dir, &[&["predict", "tuned", "-"][..], threshold, &CPU].concat(), text);
    assert!(line(&["--threshold", "auto"], strange).starts_with("out of scope  0."), "{}", line(&["--threshold", "auto"], strange));
    assert!(line(&["--threshold", "auto"], "tell me about the rain and snow today\n").starts_with("weather  0."));
    assert!(line(&["--threshold", "1"], "tell me about the rain and snow today\n").starts_with("out of scope"));
    assert!(!line(&[], strange).contains("out of scope") && !line(&["--threshold", "0"], strange).contains("out of scope"));
    put(dir, "strange.txt", strange);
    let found = json(dir, &[&["predict", "tuned", "strange.txt", "--threshold", "auto"][..], &CPU].concat());
    let prediction = &found["predictions"][0];
    assert_eq!((&prediction["class"], &prediction["name"], &prediction["out_of_scope"]), (&Value::Null, &Value::Null, &json!(true)));
    assert!(number(prediction, "probability") < threshold, "{found}");
    let hint = stderr(&wgraft(dir, &["predict", "tuned", "strange.txt", "--device", "cpu"]));
    assert!(hint.contains("what is none of its classes (`oos`): --threshold auto"), "{hint}");
    for wrong in ["1.5", "-0.1", "often", "NaN"] {
        refused(dir, &["predict", "tuned", "strange.txt", &format!("--threshold={wrong}")], 2, &["a probability, 0 to 1, or `auto`"]);
    }
}

#[test]
fn a_run_that_goes_on_has_the_same_threshold() {
    let dir = runs();
    let tune = ["finetune", "--data", "a.csv", "--out-of-scope", "oos", "--val", "0.25", "--features", "32", "--schedule", "constant"];
    json(dir, &[&tune[..], &["--steps", "8", "--out", "whole"], &CPU].concat());
    json(dir, &[&tune[..], &["--steps", "4", "--out", "parts"], &CPU].concat());
    json(dir, &["finetune", "--resume", "--out", "parts", "--steps", "8"]);
    let best = |run: &str| fs::read(dir.join(run).join("checkpoints/best.safetensors")).expect("a checkpoint");
    assert!(best("whole") == best("parts"));
    assert!(String::from_utf8_lossy(&best("whole")).contains("threshold"));
    // Once more, with nothing left to do.
    json(dir, &["finetune", "--resume", "--out", "whole"]);
    assert!(best("whole") == best("parts"));
}

#[test]
fn what_cannot_be_had_is_said() {
    let dir = runs();
    let tune = ["finetune", "--data", "a.csv", "--features", "32", "--steps", "2", "--device", "cpu", "--out", "x"];
    let with = |more: &[&'static str]| [&tune[..], more].concat();
    refused(dir, &with(&["--out-of-scope", "oos"]), 2, &["--out-of-scope", "--val holds out", "--val 0.1"]);
    refused(dir, &with(&["--out-of-scope", "other", "--val", "0.1"]), 2, &["other is none of the classes", "money, oos, weather"]);
    refused(
        dir,
        &with(&["--out-of-scope", "oos", "--task", "regress", "--val", "0.1"]),
        2,
        &["--out-of-scope means nothing to --task regress"],
    );
    put(dir, "two.csv", fs::read_to_string(dir.join("a.csv")).expect("text").replace("money", "weather"));
    let two = ["finetune", "--data", "two.csv", "--val", "0.1", "--out-of-scope", "oos", "--device", "cpu", "--out", "x"];
    refused(dir, &two, 2, &["besides `oos` there is but one class"]);
    // Without samples of none, a share of the others is rejected; without any held out, there is no threshold.
    let output = wgraft(
        dir,
        &["finetune", "--data", "a.csv", "--features", "32", "--steps", "2", "--val", "0.3", "--device", "cpu", "--out", "by-share"],
    );
    assert!(stderr(&output).contains("chosen by 5 % of 43 held-out samples, which are below it"), "{}", stderr(&output));
    json(
        dir,
        &["predict", "by-share", "strange.txt", "--threshold", "auto", "--device", "cpu"]
            .map(|word| if word == "strange.txt" { "a.csv" } else { word }),
    );
    json(dir, &["finetune", "--data", "a.csv", "--features", "32", "--steps", "2", "--device", "cpu", "--out", "bare"]);
    refused(dir, &["predict", "bare", "a.csv", "--threshold", "auto", "--device", "cpu"], 2, &["no threshold of its own", "--val 0.1"]);
    put(dir, "numbers.csv", "a,b\n1,2\n2,4\n3,6\n4,8\n5,10\n6,12\n");
    json(
        dir,
        &["finetune", "--task", "regress", "--data", "numbers.csv", "--target", "b", "--steps", "2", "--device", "cpu", "--out", "numbers"],
    );
    let predict = ["predict", "numbers", "numbers.csv", "--threshold", "0.5", "--device", "cpu"];
    refused(dir, &predict, 2, &["--threshold is for runs that predict one class of each sample"]);
}

#[test]
fn pictures_too() {
    let dir = folder();
    let dir = dir.path();
    for (class, name) in ["left", "right", "neither"].iter().enumerate() {
        for i in 0..30 {
            let bright = |x: u32, y: u32| [x < 4, x >= 8, (x + y + i).is_multiple_of(3)][class];
            let noise = |x: u32, y: u32| ((x * 7 + y * 13 + i * 29) % 40) as u8;
            let image = GrayImage::from_fn(12, 12, |x, y| Luma([noise(x, y) + if bright(x, y) { 150 } else { 10 }]));
            put(dir, &format!("sides/{name}/{i:02}.png"), encoded(image, ImageFormat::Png));
        }
    }
    let tune =
        ["finetune", "--data", "sides", "--out-of-scope", "neither", "--val", "0.25", "--epochs", "20", "--batch", "16", "--out", "tuned"];
    let tuned = json(dir, &[&tune[..], &CPU].concat());
    assert!(number(&tuned["threshold"]["held_out"], "auroc") > 0.9, "{tuned}");
    let found = json(dir, &[&["eval", "tuned"][..], &CPU].concat());
    assert!(number(&found["out_of_scope"], "recall") > 0.6 && found["samples"] == 12, "{found}");
    let picture = ["predict", "tuned", "sides/neither/00.png", "--threshold", "auto", "--device", "cpu"];
    assert!(stdout_of(dir, &picture, "").contains("out of scope"), "{}", stdout_of(dir, &picture, ""));
    // Pictures of another folder, of which none is for training.
    for i in 0..4 {
        fs::create_dir_all(dir.join(format!("others/{}", ["left", "neither"][i % 2]))).expect("a folder");
        fs::copy(
            dir.join(format!("sides/{}/0{i}.png", ["left", "neither"][i % 2])),
            dir.join(format!("others/{}/{i}.png", ["left", "neither"][i % 2])),
        )
        .expect("a copy");
    }
    let found = json(dir, &["eval", "tuned", "--data", "others", "--device", "cpu"]);
    assert_eq!((found["samples"].as_u64(), found["out_of_scope"]["out_of_scope"].as_u64()), (Some(2), Some(2)), "{found}");
}
