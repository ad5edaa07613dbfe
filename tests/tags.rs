//! Words with tags: what they are read from, and the verbs on them, as a user runs these. The sentences are made here: which words are
//! names and of what is said by the words around them alone, as none of the names in test sentences is in a training sentence.

use crate::common;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::LazyLock;
use std::sync::atomic::AtomicBool;

use common::binary::{json, refused as fails, stderr, stdout_of, wgraft};
use common::files::{folder, gzipped, load, noted, own_copy, put, refused, test_of, zipped};
use common::weights::language_network;
use serde_json::Value;
use wgraft::data::{Dataset, ReadOptions, Split, TruthKind, spans};
use wgraft::exec::Device;
use wgraft::models::TransformerShape;
use wgraft::train::{Finetune, FinetuneSettings, RunFolder, Session, TASKS, tokenizer_of};

static GO_ON: AtomicBool = AtomicBool::new(false);

const WORDS: &str = "[PAD] [UNK] [CLS] [SEP] [MASK] lives in the mayor of met and went to ##day singer plays is rain snow . with";
const FIRST: [&[&str]; 2] = [&["Anna", "Bob", "Cleo", "Dan", "Eva"], &["Finn", "Gina", "Hugo", "Iris"]];
const LAST: [&[&str]; 2] = [&["Berg", "Stone", "Young"], &["Falk", "Ott"]];
const PLACE: [&[&str]; 2] = [&["Oslo", "Paris", "Port Said", "Rome", "San Juan"], &["Kyiv", "Lima", "New York"]];
/// `P` stands for a person, `L` for a place.
const SENTENCES: [&str; 6] = [
    "P lives in L today .",
    "the mayor of L met P .",
    "P and P went to L .",
    "in L the singer P plays .",
    "the singer of L is with P .",
    "rain in L and snow in L .",
];

/// Words and tags of a sentence; with `part` 1, names of which training sentences have none.
fn sentence(part: usize, i: usize) -> Vec<(String, String)> {
    let mut all = Vec::new();
    let mut draw = 7 * i + part;
    let mut next = |many: usize| {
        draw = (draw * 7919 + 13) % 104_729;
        draw / 7 % many
    };
    for word in SENTENCES[i % SENTENCES.len()].split(' ') {
        let (name, kind) = match word {
            "P" => {
                let first = FIRST[part][next(FIRST[part].len())];
                let last = LAST[part][next(LAST[part].len())];
                (if next(2) == 0 { first.to_string() } else { format!("{first} {last}") }, "PER")
            }
            "L" => (PLACE[part][next(PLACE[part].len())].to_string(), "LOC"),
            other => {
                all.push((other.to_string(), "O".to_string()));
                continue;
            }
        };
        all.extend(name.split(' ').enumerate().map(|(at, word)| (word.into(), format!("{}-{kind}", if at == 0 { "B" } else { "I" }))));
    }
    all
}

/// Columns of so many sentences; `row` makes a line of a word and its tag.
fn lines(part: usize, count: usize, row: impl Fn(&str, &str) -> String) -> String {
    let of = |i: usize| sentence(part, i).iter().map(|(word, tag)| row(word, tag)).collect::<String>();
    (0..count).map(of).collect::<Vec<_>>().join("\n")
}

fn conll(part: usize, count: usize) -> String {
    lines(part, count, |word, tag| format!("{word}\tX\t{tag}\n"))
}

fn tags() -> ReadOptions {
    ReadOptions { truth: Some(TruthKind::Tags), want_labels: true, ..ReadOptions::default() }
}

/// The tags of each text.
fn tags_of(data: &Dataset, split: &Split) -> Vec<Vec<String>> {
    let tags = split.truth.tags.as_ref().expect("tags");
    let name = |(class, _): (u32, _)| data.class_names[class as usize].clone();
    (0..split.len()).map(|text| tags.words(text).map(name).collect()).collect()
}

#[test]
fn columns_are_read_in_all_their_forms() {
    let dir = folder();
    let root = dir.path();
    let text = conll(0, 40);
    put(root, "a.conll", &text);
    put(root, "b.bio.gz", gzipped(lines(0, 40, |word, tag| format!("{word}   X X {tag}\n")).as_bytes()));
    put(root, "c.iob", format!("\u{feff}-DOCSTART-\tX\tO\r\n\r\n{}", text.replace('\n', "\r\n").replace("\r\n\r\n", "\r\n\r\n \r\n")));
    put(root, "d.txt", text.trim_end());
    put(root, "e.tsv", &text);
    put(root, "f.zip", zipped(&[("all.conll", text.as_bytes()), ("README.txt", b"about it\n")], zip::CompressionMethod::Deflated));
    let all: Vec<Dataset> =
        ["a.conll", "b.bio.gz", "c.iob", "d.txt", "e.tsv", "f.zip"].iter().map(|name| load(&root.join(name), &tags())).collect();
    noted(&all[0], "words are in the first column, tags in the last: 329 words in 40 texts, 5 tags in BIO: LOC (46), PER (41)");
    noted(&all[0], "no test set is given: 8 of 40 texts are test texts");
    assert_eq!(all[0].class_names, ["B-LOC", "B-PER", "I-LOC", "I-PER", "O"]);
    assert_eq!((all[0].train.len(), test_of(&all[0]).len()), (32, 8));
    for other in &all[1..] {
        assert!(other.train == all[0].train && other.test == all[0].test, "{}: {:?}", other.name, other.notes);
    }
    let first = &tags_of(&all[0], &all[0].train)[0];
    let text = all[0].train.samples.text(0).expect("a text");
    assert_eq!(text.split(' ').count(), first.len(), "{text}: {first:?}");
    // Nobody says what they are for: they are texts.
    let unlabelled = load(&root.join("a.conll"), &ReadOptions::default());
    assert_eq!(unlabelled.train.len(), 32);
    // Lines that have no tags of spans are texts.
    put(root, "words.txt", "so it is\nas it was\n");
    assert!(load(&root.join("words.txt"), &ReadOptions::default()).train.truth.tags.is_none());
}

#[test]
fn files_are_parts_and_what_is_odd_is_said() {
    let dir = folder();
    let root = dir.path();
    put(root, "parts/train.txt", conll(0, 20));
    put(root, "parts/valid.txt", conll(0, 5));
    put(root, "parts/test.txt", format!("{}\nMars\tX\tB-PLANET\nis\tX\tO\n", conll(1, 7)));
    let data = load(&root.join("parts"), &tags());
    assert_eq!((data.train.len(), test_of(&data).len()), (20, 8));
    noted(&data, "5 validation samples are left out");
    noted(&data, "tags of test words that no training word has, which nothing can learn: B-PLANET (1)");
    assert!(data.class_names.contains(&"B-PLANET".into()), "it counts as not found");
    fs::remove_file(root.join("parts/test.txt")).expect("it is there");
    noted(&load(&root.join("parts"), &tags()), "the 5 validation samples are the test set");
    put(root, "parts/test.txt", "Anna\nlives\n\nhere\n");
    noted(&load(&root.join("parts"), &tags()), "test.txt has no tags to measure by and is left out (`predict` takes it)");
    for (name, text, note) in [
        ("iob1", "a I-A\nb I-A\nc B-A\n\nd O\ne I-B\n\nf O\ng O\n", "in IOB1: A (2), B (1)"),
        ("bioes", "a B-A\nb I-A\nc E-A\n\nd O\ne S-B\n\nf O\ng O\n", "in BIOES: A (1), B (1)"),
        ("bilou", "a B-A\nb I-A\nc L-A\n\nd O\ne U-B\n\nf O\ng O\n", "in BIOES: A (1), B (1)"),
        ("broken", "a B-A\nb I-A\nc O\n\nd I-A\ne I-B\n\nf O\ng O\n", "2 tags break BIO: spans are counted as conlleval does"),
        ("plain", "a DET\nb NOUN\n\nc NOUN\nd VERB\n\ne NOUN\nf DET\n", "6 words in 3 texts, 3 tags, which mark no spans"),
        ("gaps", "\n\n\na DET\n\n\n\n\n\u{3000} DET\nb NOUN\n \n", "1 words have no token"),
    ] {
        put(root, &format!("{name}.conll"), text);
        noted(&load(&root.join(format!("{name}.conll")), &ReadOptions { undivided: true, ..tags() }), note);
    }
    put(root, "endless.conll", "word O\nOslo B-LOC\n".repeat(600));
    noted(&load(&root.join("endless.conll"), &tags()), "has no blank line: its 1200 words are taken for one sentence");
}

#[test]
fn what_is_wrong_is_refused_with_its_line() {
    let dir = folder();
    let root = dir.path();
    let good = "Anna B-PER\nsings O\n\n";
    for (name, text, parts) in [
        ("one", "Anna\nsings\n", &["one.conll, line 1: `Anna` stands alone: a word and its tag are wanted"][..]),
        ("fewer", "Anna X B-PER\nsings O\n", &["fewer.conll, line 2 has 2 columns, the lines before it have 3"]),
        ("alone", "Anna B-PER\nsings\n", &["alone.conll, line 2: `sings` stands alone"]),
        ("conllu", "# sent_id = 1\n1\tAnna\tanna\tPROPN\tX\n", &["conllu.conll, line 2 has 5 columns, the lines before it have 4"]),
        ("comment", &format!("{good}# a comment of five\n"), &["line 4 has 5 columns", "comments, such as CoNLL-U has, are not known"]),
        ("tagless", "Anna\tB-PER\nsings\t\n", &["tagless.conll, line 2 has no tag"]),
        ("wordless", "Anna\tB-PER\n\tO\n", &["wordless.conll, line 2 has no word"]),
        ("mixed", &format!("{good}Bob B_PER\n"), &["mixed.conll, line 4: `B_PER` marks no span as `B-PER` and others do"]),
        ("typeless", &format!("{good}Bob I-\n"), &["typeless.conll, line 4: `I-` marks no span"]),
        ("nothing", "\n\n-DOCSTART- O\n", &["nothing.conll has no words"]),
        ("same", "a O\nb O\nc O\n", &["all words are tagged `O`; there is nothing to learn"]),
        ("names", "a b\nc d\ne f\ng h\ni j\n", &["there are 5 different tags for 5 words: is the last column that of the tags?"]),
    ] {
        let file = format!("{name}.conll");
        put(root, &file, text);
        refused(&root.join(&file), &ReadOptions { undivided: true, ..tags() }, parts);
    }
    put(root, "bytes.conll", b"Anna B-PER\nsings \xff\n");
    refused(&root.join("bytes.conll"), &tags(), &["bytes.conll: line 2 is not UTF-8 text"]);
    put(root, "good.conll", conll(0, 20));
    refused(&root.join("good.conll"), &ReadOptions { target: Some("tag".into()), ..tags() }, &["--target is for tables"]);
    refused(&root.join("good.conll"), &ReadOptions { documents: Some(true), ..tags() }, &["--documents is for texts", "words with tags"]);
    refused(&root.join("good.conll"), &ReadOptions { grey: Some(true), ..tags() }, &["--grey is for pictures"]);
    let classes = ReadOptions { truth: Some(TruthKind::Classes), ..tags() };
    refused(&root.join("good.conll"), &classes, &["has texts with a tag for each word, not labels"]);
    put(root, "lines.txt", "a few words\nmore of them\n");
    refused(&root.join("lines.txt"), &tags(), &["has no tags of words", ".conll"]);
}

/// All of a network that knows nothing yet.
const TRAIN: [&str; 13] = [
    "finetune",
    "--from",
    "net",
    "--lr",
    "0.02",
    "--encoder-lr-scale",
    "1",
    "--freeze-until",
    "embeddings",
    "--batch",
    "16",
    "--device",
    "cpu",
];

/// The network, sentences of 120 for training and 40 for testing, and a run that has learnt them.
fn learnt() -> &'static Path {
    static SHARED: LazyLock<(tempfile::TempDir, Value)> = LazyLock::new(|| {
        let dir = folder();
        language_network(dir.path(), "net", WORDS, 16);
        put(dir.path(), "data/train.conll", conll(0, 120));
        put(dir.path(), "data/test.conll", conll(1, 40));
        let found = json(dir.path(), &[&TRAIN[..], &["--data", "data", "--steps", "300", "--val", "0.2", "--out", "run"]].concat());
        put(dir.path(), "found.json", found.to_string());
        (dir, found)
    });
    own_copy(SHARED.0.path())
}

/// F1 on test sentences of the tag that most training words of the same form have, `O` for words that there are none of.
fn f1_of_majority(data: &Dataset) -> f64 {
    let mut counts: BTreeMap<String, BTreeMap<String, usize>> = BTreeMap::new();
    let words = |split: &Split, text: u32| split.samples.text(text).expect("a text").split(' ').map(String::from).collect::<Vec<_>>();
    for (text, tags) in (0..).zip(tags_of(data, &data.train)) {
        for (word, tag) in words(&data.train, text).into_iter().zip(tags) {
            *counts.entry(word).or_default().entry(tag).or_default() += 1;
        }
    }
    let most =
        |word: &String| counts.get(word).and_then(|tags| Some(tags.iter().max_by_key(|(_, count)| **count)?.0.as_str())).unwrap_or("O");
    let (mut right, mut all) = (0, 0);
    for (text, tags) in (0..).zip(tags_of(data, test_of(data))) {
        let words = words(test_of(data), text);
        let truth: Vec<&str> = tags.iter().map(String::as_str).collect();
        let found = words.iter().map(most).collect::<Vec<_>>();
        let (truth, found) = (spans(&truth), spans(&found));
        right += 2 * found.iter().filter(|span| truth.contains(span)).count();
        all += truth.len() + found.len();
    }
    right as f64 / all as f64
}

#[test]
fn names_are_learnt_by_what_stands_beside_them() {
    let root = learnt();
    let tuned: Value = serde_json::from_slice(&fs::read(root.join("found.json")).expect("it is there")).expect("JSON");
    let data = load(&root.join("data"), &tags());
    let control = f1_of_majority(&data);
    assert!(control < 0.05, "the control cannot know names that it has not seen: {control}");
    assert!(tuned["test_f1"].as_f64() > Some(0.9) && tuned["test_accuracy"].as_f64() > Some(0.9), "{tuned}");
    let output = wgraft(root, &["eval", "run", "--device", "cpu", "--json"]);
    let said = stderr(&output);
    assert!(said.contains("type  spans  predicted  precision") && said.contains("PER") && said.contains("test: F1 "), "{said}");
    let found = json(root, &["eval", "run", "--device", "cpu"]);
    for measure in ["test_f1", "test_precision", "test_recall", "test_accuracy"] {
        assert_eq!(found[measure], tuned[measure], "{measure}: {found}");
    }
    assert_eq!(found["tagging"]["types"].as_array().map(Vec::len), Some(2), "{found}");
    // The best checkpoint is that of the best F1 on what was held out.
    let rows = fs::read_to_string(root.join("run/metrics.jsonl")).expect("it is there");
    assert!(rows.contains("val_f1") && rows.contains("val_accuracy"), "{rows}");
    // Other data, whose tags have other numbers: one of the run's is absent.
    put(root, "other.conll", "Iris B-PER\nlives O\nin O\nLima B-LOC\n. O\n\nthe O\nmayor O\nof O\nKyiv B-LOC\nmet O\nHugo B-PER\n. O\n");
    let output = wgraft(root, &["eval", "run", "--data", "other.conll", "--device", "cpu", "--json"]);
    let (said, found) = (stderr(&output), String::from_utf8_lossy(&output.stdout).into_owned());
    assert!(said.contains("2 of the run's 5 classes are absent: I-LOC, I-PER"), "{said}");
    assert!(serde_json::from_str::<Value>(&found).expect("JSON")["test_f1"].as_f64() > Some(0.7), "{found}");
    put(root, "strange.conll", "Iris B-STAR\nlives O\n\nthe O\nmayor O\n");
    fails(root, &["eval", "run", "--data", "strange.conll", "--device", "cpu"], 1, &["classes that the run does not know: B-STAR"]);
}

#[test]
fn entities_are_predicted_with_their_places() {
    let root = learnt();
    let predict = |files: &[&'static str]| [&["predict", "run", "--device", "cpu"], files].concat();
    let lines = stdout_of(root, &predict(&["-"]), "Zoë Ört lives in Lima today.\n\n\"the mayor of New York met Hugo.\"\n");
    let lines: Vec<&str> = lines.lines().collect();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].starts_with("PER 0-7 Zoë Ört; LOC 17-21 Lima  Zoë Ört lives"), "{lines:?}");
    put(root, "one.txt", "Zoë Ört lives in Lima today.\n");
    let found = json(root, &predict(&["one.txt"]));
    let entities = &found["predictions"][0]["entities"];
    assert_eq!((&entities[0]["tag"], &entities[0]["text"]), (&"PER".into(), &"Zoë Ört".into()), "{found}");
    assert_eq!((&entities[1]["begin"], &entities[1]["end"]), (&17.into(), &21.into()), "{found}");
    assert!(entities[0]["probability"].as_f64().is_some_and(|share| (0.2..=1.0).contains(&share)), "{found}");
    // Words that are divided already, with tags or without; of texts of any length.
    put(root, "words.conll", "Zoë\nlives\nin\nLima\n.\n\nin\nKyiv\nthe\nsinger\nIris\nOtt\nplays\n.\n");
    let found = json(root, &predict(&["words.conll"]));
    assert_eq!(found["predictions"][1]["text"], "in Kyiv the singer Iris Ott plays .", "{found}");
    assert_eq!(found["predictions"][0]["entities"][1]["text"], "Lima", "{found}");
    put(root, "tagged.conll", conll(1, 10));
    assert_eq!(json(root, &predict(&["tagged.conll"]))["predictions"].as_array().map(Vec::len), Some(10));
    put(root, "long.txt", format!("Zoë lives in Lima {}\nZoë lives in Lima\n", "and ".repeat(30)));
    let output = wgraft(root, &predict(&["long.txt", "--json"]));
    assert!(stderr(&output).contains("1 texts have more than 12 tokens"), "{}", stderr(&output));
    assert!(String::from_utf8_lossy(&output.stdout).contains("\"text\":\"Lima\""), "what is cut off stays outside");
    fails(root, &predict(&["one.txt", "--out", "x"]), 2, &["--out is for masks"]);
}

#[test]
fn sentences_that_are_too_long_are_cut_off_and_counted() {
    let root = learnt();
    let tail = "and\tX\tO\n".repeat(8);
    let long = format!("Anna\tX\tB-PER\nlives\tX\tO\nin\tX\tO\nOslo\tX\tB-LOC\n{tail}Rome\tX\tB-LOC\n.\tX\tO\n");
    put(root, "long/train.conll", format!("{}\n{long}", conll(0, 60)));
    put(root, "long/test.conll", &long);
    let args =
        ["finetune", "--from", "net", "--data", "long", "--steps", "100", "--lr", "0.02", "--out", "cut", "--device", "cpu", "--json"];
    let output = wgraft(root, &args);
    let said = stderr(&output);
    assert!(said.contains("2 texts have more than 12 tokens") && said.contains("8 words have no token"), "{said}");
    let found: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    // Of three spans, one is cut off.
    assert!(found["test_recall"].as_f64() <= Some(2.0 / 3.0) && found["test_accuracy"].as_f64() < Some(0.8), "{found}");
}

#[test]
fn the_task_is_that_of_the_data_and_what_means_nothing_is_refused() {
    let root = learnt();
    let with = |args: &[&'static str]| [args, &["--device", "cpu"]].concat();
    let output = wgraft(root, &with(&["finetune", "--from", "net", "--data", "data", "--steps", "1", "--out", "one"]));
    let said = stderr(&output);
    assert!(output.status.success() && said.contains("data: --task tag, as these data are for no other"), "{said}");
    assert!(!said.contains("equal to training texts"), "names differ, though the network knows none of them: {said}");
    assert!(said.contains("no augmentation") && said.contains("5 classes of words"), "{said}");
    let refuse = |args: &[&'static str], code: i32, parts: &[&str]| fails(root, &with(args), code, parts);
    refuse(&["finetune", "--task", "classify", "--data", "data"], 2, &["tag for each word, not labels", "these data are for --task tag"]);
    refuse(&["finetune", "--data", "data", "--model", "bag"], 2, &["needs a network that sees words beside each other", "--model bert"]);
    refuse(&["finetune", "--data", "data", "--from", "net", "--augment", "words"], 2, &["needs every word", "--augment none"]);
    refuse(&["finetune", "--data", "data", "--from", "net", "--labels-per-class", "2"], 2, &["--labels-per-class"]);
    refuse(&["label", "run", "--labels-per-class", "2"], 1, &["tag for each word, not labels"]);
    let text = |i: usize| sentence(0, i).into_iter().map(|(word, _)| word).collect::<Vec<_>>().join(" ");
    put(root, "some.csv", format!("text,label\n{},a\n{},b\n", text(0), text(1)));
    refuse(&["label", "run", "--labels", "some.csv"], 2, &["this run tags words"]);
    refuse(&["search", "run", "in Oslo"], 2, &["this run tags words", "not in features"]);
    refuse(&["embed", "run", "data", "--out", "x.npy"], 2, &["this run tags words"]);
    refuse(&["curve", "--from", "net", "--data", "data", "--out", "x"], 1, &["tag for each word, not labels"]);
    refuse(&["predict", "run", "-", "--invert"], 2, &["--invert is for pictures"]);
    // Pretraining takes the sentences as texts.
    let found = json(root, &with(&["pretrain", "--data", "data", "--steps", "2", "--batch", "16", "--out", "pre"]));
    assert_eq!(found["steps"], 2);
    refuse(&["finetune", "--from", "pre", "--data", "data"], 2, &["needs a network that sees words beside each other, bag of"]);
    // A network of its own.
    put(root, "small.toml", "[model.shape]\nwidth = 8\nlayers = 1\nheads = 2\ninner = 16\npositions = 64\ntypes = 1\neps = 1e-12\n");
    let own = ["finetune", "--config", "small.toml", "--data", "data", "--steps", "3", "--batch", "8", "--out", "own"];
    assert!(json(root, &with(&own))["test_accuracy"].as_f64().is_some());
    assert!(stdout_of(root, &with(&["predict", "own", "-"]), "Zoë lives in Lima\n").contains("Zoë lives in Lima"));
}

#[test]
fn classes_of_words_without_spans_are_learnt_too() {
    let root = learnt();
    let kind = |word: &str| match word {
        "lives" | "met" | "went" | "plays" | "is" => "VERB",
        "." => "PUNCT",
        _ if word.chars().next().is_some_and(char::is_uppercase) => "NAME",
        _ => "WORD",
    };
    put(root, "kinds/train.conll", lines(0, 60, |word, _| format!("{word} {}\n", kind(word))));
    put(root, "kinds/test.conll", lines(1, 20, |word, _| format!("{word} {}\n", kind(word))));
    let found = json(root, &[&TRAIN[..], &["--data", "kinds", "--steps", "150", "--val", "0.2", "--out", "kinds-run"]].concat());
    assert!(found["test_accuracy"].as_f64() > Some(0.95) && found["test_f1"].is_null(), "{found}");
    let lines = stdout_of(root, &["predict", "kinds-run", "-", "--device", "cpu"], "Zoë lives in Lima.\n");
    assert!(lines.starts_with("Zoë/NAME lives/VERB in/WORD Lima/NAME ./PUNCT"), "{lines}");
}

#[test]
fn runs_of_tags_go_on_bit_by_bit() {
    let root = learnt();
    let run = |more: &[&str]| json(root, &[&TRAIN[..], &["--data", "data"], more].concat());
    run(&["--steps", "9", "--schedule", "constant", "--out", "whole"]);
    run(&["--steps", "5", "--schedule", "constant", "--out", "part"]);
    json(root, &["finetune", "--resume", "--out", "part", "--steps", "9", "--device", "cpu", "--threads", "1"]);
    let bytes = |run: &str| fs::read(root.join(run).join("checkpoints/last.safetensors")).expect("it was saved");
    assert!(bytes("whole") == bytes("part"));
    let other = conll(0, 120).replacen("B-PER", "O", 1);
    put(root, "data/train.conll", other);
    fails(root, &["finetune", "--resume", "--out", "part", "--steps", "11", "--device", "cpu"], 2, &["data changed since this run began"]);
}

#[test]
fn sentences_in_windows_change_no_bit() {
    let root = learnt();
    put(root, "many.conll", conll(0, 3000));
    let tokenizer = tokenizer_of(&root.join("net/model.safetensors")).expect("it is there");
    let data = load(&root.join("many.conll"), &ReadOptions { tokenizer, ..tags() });
    let task = TASKS.iter().copied().find(|task| task.truth() == TruthKind::Tags).expect("it is known");
    let mut settings = FinetuneSettings::by(task);
    settings.model.shape =
        Some(TransformerShape { width: 8, layers: 1, heads: 2, inner: 8, positions: 12, types: 1, ..TransformerShape::MINILM });
    (settings.run.batch, settings.run.steps, settings.run.lr) = (8, Some(200), 0.01);
    let ends = [1 << 30, 60_000].map(|limit| {
        let checked = settings.clone().checked().expect("sound settings");
        let finetune = Finetune::prepare(checked, &data, None, limit).expect("sound settings");
        let rows = finetune.plan.arena.find("training tags").expect("tags").rows();
        let folder = folder();
        let run = RunFolder::create(&folder.path().join("run"), false, "").expect("a run folder");
        let session = Session::new(&Device::Cpu, &GO_ON).in_folder(run).expect("it can be written");
        let scores = finetune.run(session).expect("it trains").test;
        let bytes = fs::read(folder.path().join("run/checkpoints/last.safetensors")).expect("a checkpoint");
        (rows, (bytes, scores.expect("test sentences").values))
    });
    let [(all, whole), (few, windows)] = ends;
    assert!(all == 2400 && few < 1300, "{all} and {few}");
    assert!(whole == windows);
}
