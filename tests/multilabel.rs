//! Several labels at once, from every kind of data, as a user runs it.

use crate::common;

use std::fmt::Write;
use std::path::Path;

use common::binary::{json, refused, stderr, stdout_of, wgraft};
use common::files::{encoded, folder, put};
use image::{GrayImage, ImageFormat, Luma};
use serde_json::Value;
use wgraft::data::{Dataset, RIGHT, ReadOptions, TruthKind, UNKNOWN};

const LABELS: [&str; 3] = ["rain", "money", "music"];

/// Which labels sample `i` has: none, one, two or all.
fn set(i: usize) -> Vec<&'static str> {
    (0..3).filter(|label| (i * 5 % 8) >> label & 1 == 1).map(|label| LABELS[label]).collect()
}

/// A sentence that has a word for each of its labels.
fn sentence(i: usize) -> String {
    let words = [["shower", "wet"], ["dollars", "savings"], ["song", "guitar"]];
    let of = |label: &&'static str| words[LABELS.iter().position(|known| known == label).expect("a label")][i / 8 % 2];
    let begin = ["tell me about", "please say more of", "what is there on", "do you know"][i / 3 % 4];
    format!("{begin} {} number {}", set(i).iter().map(of).collect::<Vec<_>>().join(" and "), i % 13)
}

fn texts(count: usize) -> String {
    (0..count).fold("text,labels\n".into(), |mut all, i| {
        writeln!(all, "{},{}", sentence(i), set(i).join("|")).expect("a string");
        all
    })
}

fn table(count: usize) -> String {
    (0..count).fold("a,b,c,tags\n".into(), |mut all, i| {
        let of = |label: usize| if set(i).contains(&LABELS[label]) { 5.0 } else { -5.0 } + (i * (label + 3) % 17) as f64 * 0.1;
        writeln!(all, "{:.1},{:.1},{:.1},{}", of(0), of(1), of(2), set(i).join(" | ")).expect("a string");
        all
    })
}

/// Bright at the top, at the left or in the middle.
fn pictures(dir: &Path, count: usize) {
    let mut index = "file,labels\n".to_string();
    for i in 0..count {
        let bright = |x: u32, y: u32| {
            let places = [y < 4, x < 4, (5..8).contains(&x) && (5..8).contains(&y)];
            (0..3).any(|label| places[label] && set(i).contains(&LABELS[label]))
        };
        let shade = |x: u32, y: u32| ((x * 7 + y * 13 + i as u32 * 29) % 30) as u8;
        let image = GrayImage::from_fn(12, 12, |x, y| Luma([shade(x, y) + if bright(x, y) { 180 } else { 10 }]));
        put(dir, &format!("data/images/{i:03}.png"), encoded(image, ImageFormat::Png));
        writeln!(index, "{i:03}.png,{}", set(i).join("|")).expect("a string");
    }
    put(dir, "data/index.csv", index);
}

fn number(found: &Value, key: &str) -> f64 {
    found[key].as_f64().unwrap_or_else(|| panic!("no `{key}` in {found}"))
}

const CPU: [&str; 2] = ["--device", "cpu"];

fn sets_of(path: &Path, target: Option<&str>) -> Dataset {
    let truth = Some(TruthKind::LabelSets);
    let options = ReadOptions { truth, want_labels: true, target: target.map(String::from), ..ReadOptions::default() };
    Dataset::load(path, &options).unwrap_or_else(|error| panic!("{error:#}"))
}

#[test]
fn tables_of_texts_and_lists_say_the_same() {
    let dir = folder();
    put(dir.path(), "a.csv", texts(80));
    let object = |i: usize| format!("{{\"text\": {:?}, \"labels\": {:?}}}\n", sentence(i), set(i));
    put(dir.path(), "b.jsonl", (0..80).map(object).collect::<String>());
    let [a, b] = ["a.csv", "b.jsonl"].map(|name| sets_of(&dir.path().join(name), None));
    assert_eq!((&a.train, &a.test, &a.class_names), (&b.train, &b.test, &b.class_names));
    assert_eq!(a.class_names, ["money", "music", "rain"]);
    let sets = a.train.truth.label_sets.as_ref().expect("sets");
    for sample in 0..a.train.len() {
        let text = a.train.samples.text(sample).expect("a text");
        let right = |label: usize| sets.row(sample)[label] == RIGHT;
        assert_eq!(right(1), text.contains("song") || text.contains("guitar"), "{text}");
    }
    assert!(a.notes.iter().any(|note| note.contains("of 80 texts have an empty cell: none of the labels is right")), "{:?}", a.notes);
    put(dir.path(), "c.jsonl", "{\"text\": \"some good words\", \"labels\": [\"a|b\"]}\n{\"text\": \"more good words\", \"labels\": []}\n");
    let options = ReadOptions { truth: Some(TruthKind::LabelSets), want_labels: true, ..ReadOptions::default() };
    let error = Dataset::load(&dir.path().join("c.jsonl"), &options).expect_err("a bar in a name");
    assert!(format!("{error:#}").contains("line 1: `labels` is neither a text nor a list of names without `|`"), "{error:#}");
    // What is doubted stays so.
    put(dir.path(), "d.csv", format!("{}some words here,?rain|money\n", texts(40)));
    let data = sets_of(&dir.path().join("d.csv"), None);
    let known = |split: &wgraft::data::Split| split.truth.label_sets.iter().any(|sets| sets.iter().flatten().any(|&said| said == UNKNOWN));
    assert!(known(&data.train) || data.test.as_ref().is_some_and(known));
}

#[test]
fn texts_teach_them() {
    let dir = folder();
    let dir = dir.path();
    put(dir, "a.csv", texts(240));
    let tune = ["finetune", "--data", "a.csv", "--model", "bag", "--features", "32", "--batch", "32", "--val", "0.2"];
    let output = wgraft(dir, &[&tune[..], &["--epochs", "20", "--out", "tuned"], &CPU].concat());
    let said = stderr(&output);
    assert!(output.status.success(), "{said}");
    for part in ["column `labels` has cells with `|`", "--task multilabel, as the data are", "mean average precision"] {
        assert!(said.contains(part), "no `{part}` in: {said}");
    }
    let found = json(dir, &[&["eval", "tuned"][..], &CPU].concat());
    assert!(number(&found, "test_mean_average_precision") > 0.95 && number(&found, "test_micro_f1") > 0.9, "{found}");
    assert!(found["labels"][0]["name"] == "money" && found["labels"][2]["average_precision"].is_number(), "{found}");
    let line = stdout_of(dir, &["predict", "tuned", "-", "--device", "cpu"], "tell me about shower and song number 3\n");
    assert!(line.contains("music 0.") && line.contains("rain 0.") && !line.contains("money 0."), "{line}");
    put(dir, "new.txt", "what is there on savings number 2\nplease say more of number 5\n");
    let found = json(dir, &[&["predict", "tuned", "new.txt"][..], &CPU].concat());
    assert_eq!(found["predictions"][0]["labels"], serde_json::json!(["money"]), "{found}");
    assert!(found["predictions"][1]["probabilities"]["rain"].as_f64().is_some_and(|p| p < 0.5), "{found}");
    // A run that goes on ends where one at a stretch does.
    let short = [&tune[..], &["--steps", "20", "--task", "multilabel"], &CPU].concat();
    json(dir, &[&short[..], &["--out", "whole"]].concat());
    json(dir, &[&short[..], &["--out", "parts", "--schedule", "constant"]].concat());
    let stopped = [&tune[..], &["--steps", "10", "--task", "multilabel", "--schedule", "constant", "--out", "half"], &CPU].concat();
    json(dir, &stopped);
    json(dir, &["finetune", "--resume", "--out", "half", "--steps", "20"]);
    let weights = |run: &str| std::fs::read(dir.join(run).join("checkpoints/last.safetensors")).expect("a checkpoint");
    assert!(weights("half") == weights("parts") && weights("half") != weights("whole"));
    // Other verbs say what they want.
    let pretrain = ["pretrain", "--data", "a.csv", "--steps", "2", "--batch", "32", "--features", "32", "--out", "pre"];
    json(dir, &[&pretrain[..], &CPU].concat());
    let several = "a.csv has several labels to a sample, one is wanted here: `finetune --task multilabel`";
    refused(dir, &["label", "pre", "--labels-per-class", "1", "--device", "cpu"], 2, &[several]);
    refused(dir, &["curve", "--from", "pre", "--device", "cpu"], 2, &[several]);
    put(dir, "mine.csv", format!("index,label\n0,{}\n1,rain|money\n2,rain\n", "rain"));
    refused(dir, &["label", "pre", "--labels", "mine.csv", "--device", "cpu"], 2, &["mine.csv has cells with several labels between `|`"]);
    let eval = stderr(&wgraft(dir, &["eval", "pre", "--device", "cpu"]));
    assert!(eval.contains("several labels to a sample"), "{eval}");
    let flag = [&tune[..], &["--label-smoothing", "0.1", "--out", "x"], &CPU].concat();
    refused(dir, &flag, 2, &["--label-smoothing means nothing to --task multilabel"]);
}

#[test]
fn tables_and_pictures_teach_them_too() {
    let dir = folder();
    let dir = dir.path();
    put(dir, "table.csv", table(240));
    let tune = ["finetune", "--data", "table.csv", "--target", "tags", "--epochs", "20", "--batch", "16", "--out", "of-table"];
    let found = json(dir, &[&tune[..], &CPU].concat());
    assert!(number(&found, "test_mean_average_precision") > 0.98 && number(&found, "test_macro_f1") > 0.95, "{found}");
    let again = json(dir, &[&["eval", "of-table"][..], &CPU].concat());
    assert!((number(&found, "test_loss") - number(&again, "test_loss")).abs() < 1e-6, "{found} {again}");
    put(dir, "new.csv", "a,b,c\n5,-5,5\n-5,-5,-5\n");
    let found = json(dir, &[&["predict", "of-table", "new.csv"][..], &CPU].concat());
    assert_eq!(found["predictions"][0]["labels"], serde_json::json!(["music", "rain"]), "{found}");
    assert_eq!(
        stdout_of(dir, &["predict", "of-table", "new.csv", "--device", "cpu"], "").lines().last(),
        Some("new.csv:2  none of the labels")
    );
    refused(
        dir,
        &["finetune", "--data", "table.csv", "--target", "a", "--out", "x"],
        2,
        &["is a table, which is for --task regress or multilabel"],
    );

    pictures(dir, 160);
    let tune =
        ["finetune", "--data", "data", "--target", "labels", "--epochs", "30", "--batch", "16", "--lr", "0.03", "--out", "of-pictures"];
    let found = json(dir, &[&tune[..], &CPU].concat());
    assert!(number(&found, "test_mean_average_precision") > 0.98 && found["samples"] == 32, "{found}");
    let found = json(dir, &[&["predict", "of-pictures", "data/images/003.png"][..], &CPU].concat());
    assert_eq!(found["predictions"][0]["labels"], serde_json::json!(["money", "music", "rain"]), "{found}");
    refused(
        dir,
        &["finetune", "--data", "data", "--task", "multilabel", "--out", "x"],
        1,
        &["needs an index.csv, and --target names a column"],
    );
    // A few of them from a file, in the place of the data's own.
    let given = (0..60).fold("file,label\n".to_string(), |all, i| format!("{all}images/{i:03}.png,{}\n", set(i).join("|")));
    let options =
        ReadOptions { target: Some("labels".into()), truth: Some(TruthKind::LabelSets), want_labels: true, ..ReadOptions::default() };
    let test = Dataset::load(&dir.join("data"), &options).expect("it is read").test.expect("test pictures");
    let rows: Vec<&str> = given.lines().filter(|line| !test.names.iter().any(|name| line.starts_with(&**name))).collect();
    put(dir, "mine.csv", rows.join("\n"));
    let of_file = ["finetune", "--data", "data", "--target", "labels", "--pseudo-labels", "mine.csv", "--steps", "20", "--out", "given"];
    let output = wgraft(dir, &[&of_file[..], &CPU].concat());
    let said = stderr(&output);
    assert!(output.status.success() && said.contains(&format!("labels of {} samples from mine.csv", rows.len() - 1)), "{said}");
    put(dir, "other.csv", format!("{}\nimages/159.png,rain|hail\n", rows.join("\n")).replace("images/000.png,\n", ""));
    let other = ["finetune", "--data", "data", "--target", "labels", "--pseudo-labels", "other.csv", "--steps", "20", "--out", "x"];
    refused(dir, &[&other[..], &CPU].concat(), 1, &["hail are none of the labels of data: money, music, rain"]);
}

#[test]
fn what_strangers_get_wrong_is_said() {
    let dir = folder();
    let dir = dir.path();
    let fails = |name: &str, content: String, parts: &[&str]| {
        put(dir, name, content);
        refused(dir, &["finetune", "--task", "multilabel", "--data", name, "--out", "x", "--device", "cpu"], 1, parts);
    };
    fails(
        "comma.tsv",
        texts(80).replace(',', "\t").replace('|', ", "),
        &["comma.tsv", "seem to be separated by `,`", "write `|` between them"],
    );
    fails("semicolon.csv", texts(80).replace('|', ";"), &["separated by `;`"]);
    let one = (0..20).fold("text,label\n".to_string(), |all, i| format!("{all}{},rain\n", sentence(i)));
    fails("one.csv", one, &["all texts are labelled `rain`; there is nothing to tell apart"]);
    fails("empty.csv", (0..20).fold("text,label\n".to_string(), |all, i| format!("{all}{},\n", sentence(i))), &["no text has a label"]);
    // These are taken to be meant, and said.
    let said = |name: &str| stderr(&wgraft(dir, &["finetune", "--data", name, "--dry-run", "--device", "cpu"]));
    put(dir, "slips.csv", format!("{}some words here,rain| rain\nmore words here,rain||money\n", texts(80)));
    let text = said("slips.csv");
    for part in ["cells name a label twice, which counts once: `rain| rain`", "1 cells have nothing between two `|`", "have an empty cell"]
    {
        assert!(text.contains(part), "no `{part}` in: {text}");
    }
    put(dir, "parts/train.csv", texts(80));
    put(dir, "parts/test.csv", format!("{}some words here,rain|hail\n", texts(20)));
    let text = said("parts");
    assert!(text.contains("labels that no training text has are left out, as nothing can be learnt of them: hail"), "{text}");
    json(dir, &["finetune", "--data", "parts", "--steps", "3", "--device", "cpu", "--out", "tuned"]);
    json(dir, &["eval", "tuned", "--device", "cpu"]);
    put(dir, "others.csv", texts(20).replace("rain", "hail"));
    refused(dir, &["eval", "tuned", "--data", "others.csv", "--device", "cpu"], 1, &["hail", "the run does not know"]);
    // Whoever says so has each cell taken for a class.
    put(dir, "classes.csv", texts(80));
    let output = wgraft(dir, &["finetune", "--task", "classify", "--data", "classes.csv", "--dry-run", "--device", "cpu"]);
    assert!(stderr(&output).contains("rain|money"), "{}", stderr(&output));
}
