//! Texts: what they are read from, how they become tokens, and the verbs on them, as a user runs these.

use crate::common;

use std::fs;
use std::path::Path;
use std::sync::OnceLock;

use common::binary::{json, refused as fails, stderr, stdout_of, wgraft};
use common::files::{folder, gzipped, labelled, load, noted, own_copy, put, refused, target, test_of};
use tempfile::TempDir;
use wgraft::core::sample::SampleType;
use wgraft::data::{Dataset, ReadOptions, TruthKind};

const CLASSES: [&str; 3] = ["weather", "money", "music"];

/// A sentence of a class, each a little different.
fn sentence(class: usize, i: usize) -> String {
    let things =
        [["rain", "snow", "sunshine", "wind"], ["dollars", "savings", "account", "payment"], ["song", "guitar", "album", "singer"]];
    let begin = ["tell me about the", "i want to know of", "what is there on", "please say more of the", "do you have any"];
    let end = ["today", "for my friend", "right now", "in this town", "again please", "if you can"];
    format!("{} {} and {} {}", begin[i % 5], things[class][i % 4], things[class][(i / 4 + 1) % 4], end[i * 7 % 6])
}

/// A table of 30 sentences of each class.
fn table(separator: char) -> String {
    let rows = (0..90).map(|i| format!("{}{separator}{}\n", CLASSES[i % 3], sentence(i % 3, i / 3)));
    std::iter::once(format!("topic{separator}sentence\n")).chain(rows).collect()
}

fn unlabelled() -> ReadOptions {
    ReadOptions::default()
}

fn texts_of(data: &Dataset) -> Vec<String> {
    (0..data.train.len()).map(|i| data.train.samples.text(i).expect("a text").to_string()).collect()
}

#[test]
fn tables_and_json_lines_say_the_same() {
    let dir = folder();
    put(dir.path(), "a.csv", table(','));
    put(dir.path(), "b.tsv.gz", gzipped(table('\t').as_bytes()));
    let object = |i: usize| format!("{{\"topic\": \"{}\", \"sentence\": \"{}\", \"id\": {i}}}\n", CLASSES[i % 3], sentence(i % 3, i / 3));
    put(dir.path(), "c.jsonl", (0..90).map(object).collect::<String>());
    let utf16: Vec<u8> = std::iter::once(0xFEFF_u16).chain(table(';').encode_utf16()).flat_map(u16::to_le_bytes).collect();
    put(dir.path(), "d.csv", utf16);
    let all: Vec<Dataset> =
        ["a.csv", "b.tsv.gz", "c.jsonl", "d.csv"].iter().map(|name| load(&dir.path().join(name), &labelled())).collect();
    noted(&all[0], "texts are in column `sentence`, labels are in column `topic`");
    noted(&all[0], "no test set is given: 18 of 90 texts are test texts, drawn from each class");
    assert_eq!((all[0].train.len(), test_of(&all[0]).len(), all[0].class_names.len()), (72, 18, 3));
    assert!(matches!(all[0].train.kind(), SampleType::Tokens { longest, .. } if longest % 4 == 0));
    for other in &all[1..] {
        assert!(other.train == all[0].train && other.test == all[0].test && other.tokenizer == all[0].tokenizer, "{}", other.name);
    }
}

#[test]
fn folders_and_lines_are_read() {
    let dir = folder();
    for i in 0..10 {
        put(dir.path(), &format!("reviews/train/good/{i}.txt"), format!("it was fine,\nnumber {i}"));
        put(dir.path(), &format!("reviews/train/bad/{i}.txt"), format!("it was awful, number {i}"));
        put(dir.path(), &format!("reviews/test/bad/{i}.txt"), format!("so awful {i}"));
    }
    let data = load(&dir.path().join("reviews"), &labelled());
    assert_eq!((data.train.len(), test_of(&data).len(), data.class_names.as_slice()), (20, 10, &["bad".to_string(), "good".into()][..]));
    put(dir.path(), "parts/train.tsv", "text\tlabel\nsome good words\ta\nsome bad words\tb\nmore good words\ta\n");
    put(dir.path(), "parts/test.tsv", "text\tlabel\nsome words here\tb\n");
    put(dir.path(), "parts/val.tsv", "text\tlabel\nothers\tb\n");
    let data = load(&dir.path().join("parts"), &labelled());
    assert_eq!((data.train.len(), test_of(&data).len()), (3, 1));
    noted(&data, "1 validation samples are left out");
    put(dir.path(), "lines.txt", "\u{feff}first line of words\r\n\r\nsecond line of words\n  \n");
    let data = load(&dir.path().join("lines.txt"), &unlabelled());
    assert_eq!(texts_of(&data), ["first line of words", "second line of words"]);
    assert!(data.test.is_none() && data.train.truth.labels.is_none());
    put(dir.path(), "documents.txt", "a b\nc d\ne f\n\n\ng h\ni j\nk l\n");
    let documents = load(&dir.path().join("documents.txt"), &unlabelled());
    assert_eq!(texts_of(&documents), ["a b\nc d\ne f", "g h\ni j\nk l"]);
    noted(&documents, "blank lines separate 2 texts of 6 lines (--documents false takes each line for one)");
    let lines = ReadOptions { documents: Some(false), ..unlabelled() };
    assert_eq!(load(&dir.path().join("documents.txt"), &lines).train.len(), 6);
    put(dir.path(), "pictures/a/0.png", common::files::even(1));
    refused(&dir.path().join("pictures"), &lines, &["--documents is for texts", "a folder of pictures"]);
    refused(&dir.path().join("lines.txt"), &labelled(), &["has no labels", "--target"]);
}

/// What `content` is when it is packed into a zip archive.
fn zipped(content: &[(&str, String)]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, content) in content {
        zip.start_file(*name, zip::write::SimpleFileOptions::default()).expect("a name");
        std::io::Write::write_all(&mut zip, content.as_bytes()).expect("room");
    }
    zip.finish().expect("an archive").into_inner()
}

#[test]
fn archives_are_read_as_the_folders_that_they_hold() {
    let dir = folder();
    let (train, test) = ("text\tlabel\nsome good words\ta\nsome bad words\tb\n", "text\tlabel\nsome words here\tb\n");
    put(dir.path(), "parts.zip", zipped(&[("a.txt", "what these are".into()), ("test.tsv", test.into()), ("train.tsv", train.into())]));
    let data = load(&dir.path().join("parts.zip"), &labelled());
    assert_eq!((data.train.len(), test_of(&data).len()), (2, 1));
    put(dir.path(), "one.zip", zipped(&[("README.txt", "what this is".into()), ("all.csv", table(',')), ("notes.txt", "more".into())]));
    assert_eq!(load(&dir.path().join("one.zip"), &labelled()).train.len(), 72);
    // What lies beside an archive or a table tells of it.
    for beside in ["README.txt", "LICENSE", "notes.txt"] {
        put(dir.path(), &format!("archived/{beside}"), "what this is and where it came from\n");
    }
    put(dir.path(), "archived/one.zip", zipped(&[("all.csv", table(','))]));
    assert_eq!(load(&dir.path().join("archived"), &labelled()).train.len(), 72);
    put(dir.path(), "told/LICENSE.txt", "you may do with it what you like\n");
    refused(&dir.path().join("told"), &unlabelled(), &["nothing to train on"]);
    put(dir.path(), "lines/README.txt", "what this is\n");
    put(dir.path(), "lines/all.txt", "some words\nothers\n");
    assert_eq!(load(&dir.path().join("lines"), &unlabelled()).train.len(), 2);
}

#[test]
fn test_texts_are_those_that_are_given_or_the_same_for_all() {
    let dir = folder();
    let at = |name: &str, content: String| {
        put(dir.path(), name, content);
        dir.path().join(name)
    };
    let object = |i: usize| {
        format!(
            "{{\"text\": \"{}\", \"Label\": \"{}\", \"split\": \"{}\"}}\n",
            sentence(i % 3, i),
            CLASSES[i % 3],
            ["train", "test"][i / 20]
        )
    };
    let data = load(&at("split.jsonl", (0..30).map(object).collect()), &labelled());
    assert_eq!((data.train.len(), test_of(&data).len()), (20, 10));
    refused(&at("tests.csv", "text,label,split\nsome words,a,test\nsome others,b,test\n".into()), &labelled(), &["none to train on"]);
    for (name, text) in
        [("train/good/1", "fine"), ("train/bad/1", "awful"), ("train/unsup/1", "so so"), ("test/bad/1", "bad"), ("more/bad/1", "x")]
    {
        put(dir.path(), &format!("reviews/{name}.txt"), format!("it was {text}"));
    }
    let data = load(&dir.path().join("reviews"), &labelled());
    assert_eq!((data.train.len(), test_of(&data).len(), data.class_names.len()), (2, 1, 2));
    noted(&data, "1 texts beside those for training and testing are left out");
    assert_eq!(load(&dir.path().join("reviews"), &unlabelled()).train.len(), 3, "what has no label serves pretraining");
    // Without labels or with them, of classes or numbers: the test texts are the same.
    let rows = |i: usize| format!("{},{},{i}.25\n", sentence(i % 3, i / 3), if i.is_multiple_of(4) { "" } else { CLASSES[i % 3] });
    let path = at("some.csv", format!("sentence,topic,length\n{}", (0..60).map(rows).collect::<String>()));
    let tests = |options: &ReadOptions| {
        let data = load(&path, options);
        let test = test_of(&data);
        (0..test.len()).map(|i| test.samples.text(i).expect("a text").to_string()).collect::<Vec<_>>()
    };
    let found = tests(&labelled());
    assert_eq!(found.len(), 9, "a fifth of what is labelled");
    let numbers = ReadOptions { text: Some("sentence".into()), truth: Some(TruthKind::Numbers), ..target("length") };
    assert!(tests(&unlabelled()) == found && tests(&numbers) == found);
    // As competitions have it, what is to be predicted lies beside what is to be trained on.
    put(dir.path(), "contest/train.csv", table(','));
    put(dir.path(), "contest/test.csv", "id,sentence\n1,is there rain or snow\n");
    let data = load(&dir.path().join("contest"), &labelled());
    assert_eq!((data.train.len(), test_of(&data).len()), (72, 18));
    noted(&data, "test.csv has no labels to measure by: its 1 texts are left out");
    let data = load(&dir.path().join("contest"), &target("topic"));
    assert_eq!((data.train.len(), test_of(&data).len()), (72, 18), "what is named need not be in it");
    // What the training texts are called in decides.
    put(dir.path(), "named/train.csv", "title,body,label\na b c,some words here,a\na b c,more words here,b\n");
    put(dir.path(), "named/test.csv", "text,body,label\nfar too many words to be the title,others here,a\n");
    let data = load(&dir.path().join("named"), &ReadOptions { text: Some("body".into()), ..labelled() });
    assert_eq!(test_of(&data).samples.text(0), Some("others here"));
}

#[test]
fn long_tables_are_known_by_their_beginning() {
    let dir = folder();
    let row = |i: usize| format!("{},\"{} as they\nsay, {}\"\n", CLASSES[i % 3], sentence(i % 3, i), "words and ".repeat(400));
    put(dir.path(), "long.csv", format!("topic,sentence\n{}", (0..60).map(row).collect::<String>()));
    assert_eq!(load(&dir.path().join("long.csv"), &unlabelled()).train.len(), 48);
    let units: Vec<u8> = std::iter::once(0xFEFF_u16).chain(table(',').encode_utf16()).flat_map(u16::to_be_bytes).collect();
    put(dir.path(), "big-endian.csv", units);
    assert_eq!(load(&dir.path().join("big-endian.csv"), &labelled()).train.len(), 72);
    // A mark that opens nothing swallows no rows.
    put(dir.path(), "marks.tsv", "label\ttext\nx\t\"tis one of them\ny\tfive words are in here\nx\tthe 12\" ones are good\ny\tend\"\n");
    assert_eq!(texts_of(&load(&dir.path().join("marks.tsv"), &unlabelled())).len(), 4);
    let many: String = (0..2000).map(|i| format!("sentence number {i}\n{}", if i == 1000 { "\n" } else { "" })).collect();
    put(dir.path(), "many.txt", many);
    assert_eq!(load(&dir.path().join("many.txt"), &unlabelled()).train.len(), 2000, "one blank line makes no documents");
    let mut texts: Vec<String> = (0..100).map(|i| format!("word number {i}")).collect();
    texts.push("many words ".repeat(300));
    put(dir.path(), "one-long.txt", texts.join("\n"));
    noted(&load(&dir.path().join("one-long.txt"), &unlabelled()), "1 texts have more than 256 tokens");
}

#[test]
fn quotes_belong_to_texts_where_tabs_separate() {
    let dir = folder();
    put(
        dir.path(),
        "a.tsv",
        "label\ttext\nx\t\"odd\" words here\ny\t\"whole cell, with \"\"marks\"\"\"\nx\tsome \" words\ny\tfour words are here\n",
    );
    let data = load(&dir.path().join("a.tsv"), &unlabelled());
    assert!(texts_of(&data).contains(&"\"odd\" words here".to_string()), "{:?}", texts_of(&data));
    assert!(texts_of(&data).contains(&"whole cell, with \"marks\"".to_string()), "{:?}", texts_of(&data));
    put(dir.path(), "b.csv", "label,text\nx,\"never closed\ny,some words here\n");
    fails(
        dir.path(),
        &["pretrain", "--data", "b.csv", "--text", "text", "--device", "cpu"],
        1,
        &["line 2 opens a quote that is never closed"],
    );
}

#[test]
fn what_is_odd_about_texts_is_said() {
    let dir = folder();
    let at = |name: &str, content: &[u8]| {
        put(dir.path(), name, content);
        dir.path().join(name)
    };
    let rows = "good words here,a\nbad words here,b\n".repeat(5);
    let gaps = load(&at("gaps.csv", format!("text,label\n,a\n  ,b\nmore words here,\n{rows}").as_bytes()), &labelled());
    noted(&gaps, "2 empty texts are left out");
    noted(&gaps, "1 texts without a label are left out");
    noted(&gaps, "test texts are equal to training texts");
    let gaps = load(&dir.path().join("gaps.csv"), &unlabelled());
    noted(&gaps, "1 of 11 texts have no label: none is used");
    let capitals = format!("text,label\n{rows}other words here,A\nwords of this kind,A\n");
    noted(&load(&at("capitals.csv", capitals.as_bytes()), &labelled()), "labels `A` and `a` are spelt almost alike");
    let one = format!("text,label\n{}", "some words here,a\n".repeat(6));
    refused(&at("one.csv", one.as_bytes()), &labelled(), &["all texts are labelled `a`"]);
    put(dir.path(), "lost/train.csv", format!("text,label\n{rows}"));
    put(dir.path(), "lost/test.csv", "text,label\nunseen words here,c\n");
    refused(&dir.path().join("lost"), &labelled(), &["no training text of class `c`"]);
    refused(&at("gaps.csv", format!("text,label\n{rows}").as_bytes()), &target("topic"), &["no column `topic` (--target)", "text, label"]);
    let text = ReadOptions { text: Some("body".into()), ..unlabelled() };
    refused(&dir.path().join("gaps.csv"), &text, &["no column `body` (--text)"]);
    refused(&at("bytes.txt", b"first\nsec\xFFond\n"), &unlabelled(), &["bytes.txt: line 2 is not UTF-8"]);
    refused(&at("nul.txt", b"first\nsec\0ond\n"), &unlabelled(), &["line 2 has a NUL byte"]);
    refused(&at("long.txt", &b"word ".repeat(1 << 18)), &unlabelled(), &["text 1 has more than 1 MiB"]);
    refused(&at("odd.jsonl", b"{\"text\": \"words\"}\n[1]\n"), &unlabelled(), &["line 2 is no object"]);
    refused(&at("broken.jsonl", b"{\"text\": \"words\n"), &unlabelled(), &["line 1 is no JSON"]);
    refused(&at("list.jsonl", b"{\"text\": [\"words\"]}\n"), &unlabelled(), &["line 1: `text` is a list"]);
    refused(
        &at("huge.csv", b"text,length\nsome words here,1e39\nother words here,1\n"),
        &ReadOptions { text: Some("text".into()), truth: Some(TruthKind::Numbers), ..target("length") },
        &["`1e39` is too large"],
    );
    refused(&at("spaces.txt", b" \n\t\n"), &unlabelled(), &["has no texts"]);
    let names = format!("text,label\n{}", (0..8).map(|i| format!("some words {i},name{i}\n")).collect::<String>());
    refused(&at("names.csv", names.as_bytes()), &labelled(), &["8 different labels for 8 texts"]);
    let size = ReadOptions { size: Some([8, 8]), ..unlabelled() };
    refused(&dir.path().join("gaps.csv"), &size, &["--size is for pictures"]);
}

#[test]
fn numbers_of_texts_are_targets_where_texts_are_named() {
    let dir = folder();
    let rows: String = (0..100).map(|i| format!("{} words of number {i},{i}.5\n", ["good", "bad"][i % 2])).collect();
    put(dir.path(), "stars.csv", format!("review,stars\n{rows}"));
    let numbers = |text: Option<&str>| ReadOptions { text: text.map(String::from), truth: Some(TruthKind::Numbers), ..target("stars") };
    let data = load(&dir.path().join("stars.csv"), &numbers(Some("review")));
    assert!(matches!(data.train.kind(), SampleType::Tokens { .. }) && data.train.truth.targets.is_some());
    // Without --text, the other columns are meant, of which none says anything here.
    refused(&dir.path().join("stars.csv"), &numbers(None), &["no column to predict from"]);
}

/// The table of [`sentence`]s, and the runs `pre` and `tuned`, for each test its own.
fn runs() -> &'static Path {
    static RUNS: OnceLock<TempDir> = OnceLock::new();
    let dir = RUNS.get_or_init(|| {
        let dir = folder();
        put(dir.path(), "topics.csv", table(','));
        let small = ["--features", "32", "--batch", "32", "--device", "cpu"];
        json(dir.path(), &[&["pretrain", "--data", "topics.csv", "--steps", "40", "--out", "pre"], &small[..]].concat());
        json(dir.path(), &["finetune", "--from", "pre", "--data", "topics.csv", "--steps", "40", "--out", "tuned", "--device", "cpu"]);
        dir
    });
    own_copy(dir.path())
}

#[test]
fn topics_are_told_apart() {
    let dir = runs();
    let found = json(dir, &["eval", "pre", "--labels-per-class", "2", "--device", "cpu"]);
    assert!(found["samples"] == 18 && found["columns"] == 32 && found["probe_accuracy"] == 1.0, "{found}");
    let found = json(dir, &["eval", "tuned", "--device", "cpu"]);
    assert!(found["test_accuracy"] == 1.0, "{found}");
    let found = json(dir, &["finetune", "--data", "topics.csv", "--steps", "60", "--out", "scratch", "--device", "cpu"]);
    assert!(found["test_accuracy"].as_f64() > Some(0.9), "{found}");
    let text = stderr(&wgraft(dir, &["finetune", "--data", "topics.csv", "--model", "cnn", "--device", "cpu"]));
    assert!(text.contains("does not take texts: try --model bag"), "{text}");
    let text = stderr(&wgraft(dir, &["pretrain", "--data", "topics.csv", "--augment", "strokes", "--device", "cpu"]));
    assert!(text.contains("--augment of images means nothing to texts"), "{text}");
    let text = stderr(&wgraft(dir, &["pretrain", "--augment", "words", "--device", "cpu", "--steps", "1"]));
    assert!(text.contains("--augment of words means nothing to images"), "{text}");
    let text =
        stderr(&wgraft(dir, &["pretrain", "--data", "topics.csv", "--method", "autoencoder", "--augment", "none", "--device", "cpu"]));
    assert!(text.contains("is for images") && text.contains("simclr"), "{text}");
}

#[test]
fn probes_see_the_words_of_texts() {
    let dir = runs();
    let eval = |more: &[&str]| json(dir, &[&["eval", "pre", "--labels-per-class", "1", "--device", "cpu"], more].concat());
    let (with, without) = (eval(&[]), eval(&["--words", "false"]));
    assert!(with["words"] == true && without["words"] == false, "{with} {without}");
    assert_eq!(with["knn_accuracy"], without["knn_accuracy"], "neighbours are of embeddings alone");
    assert_ne!(with["few_labels"], without["few_labels"], "a probe sees something else");
    let label = |more: &[&str]| {
        let all = ["label", "pre", "--labels-per-class", "1", "--balance", "--overwrite", "--out", "spread", "--device", "cpu"];
        json(dir, &[&all[..], more].concat())
    };
    let (with, voted) = (label(&[]), label(&["--refit", "false"]));
    let right = |found: &serde_json::Value| found["test_mean"].as_f64().expect("test texts");
    assert!(with["words"] == true && voted["words"] == false && right(&with) > right(&voted) + 0.2, "{with} {voted}");
    let text = stderr(&wgraft(dir, &["eval", "pre", "--device", "cpu"]));
    assert!(text.contains("linear probes see weights of words (TF-IDF) beside embeddings"), "{text}");
    let text = stderr(&wgraft(dir, &["eval", "pre", "--words", "false", "--device", "cpu"]));
    assert!(!text.contains("TF-IDF"), "{text}");
    fails(
        dir,
        &["label", "pre", "--labels-per-class", "1", "--refit", "false", "--words", "--out", "x", "--device", "cpu"],
        2,
        &["--words"],
    );
    fails(dir, &["eval", "tuned", "--words", "--device", "cpu"], 2, &["learnt its task already"]);
}

#[test]
fn what_is_said_holds_for_texts_too() {
    let dir = runs();
    let short = ["--data", "topics.csv", "--steps", "2", "--device", "cpu"];
    let with = |verb: &str, more: &[&str]| [&[verb], &short[..], more].concat().into_iter().map(String::from).collect::<Vec<_>>();
    let run = |verb: &str, more: &[&str]| {
        let args = with(verb, more);
        stderr(&wgraft(dir, &args.iter().map(String::as_str).collect::<Vec<_>>()))
    };
    let said = run("pretrain", &["--hidden", "16"]);
    assert!(said.contains("the encoder is bag") && said.contains("--hidden"), "{said}");
    let said = run("finetune", &["--optimizer", "sgd"]);
    assert!(said.contains("--optimizer sgd needs an --lr"), "{said}");
    let said = run("pretrain", &["--optimizer", "adamw", "--batch", "32"]);
    assert!(said.contains("done in"), "{said}");
    let said = run("finetune", &["--from", "pre"]);
    assert!(said.contains("learning rate 0.002, cosine schedule, some words left out"), "{said}");
    // Rows of a table of embeddings are of the words that these were trained on.
    put(dir, "others.txt", (0..40).map(|i| format!("quite other words, number {i}, and so on\n")).collect::<String>());
    let begun = ["pretrain", "--data", "others.txt", "--init-from", "pre/checkpoints/last.safetensors", "--batch", "16", "--steps", "2"];
    let found = json(dir, &[&begun[..], &["--device", "cpu", "--out", "begun"]].concat());
    assert!(found["steps"] == 2, "{found}");
    let record = |run: &str| {
        let bytes = fs::read(dir.join(run).join("checkpoints/last.safetensors")).expect("it is there");
        let text = String::from_utf8_lossy(&bytes).into_owned();
        text[text.find("words").expect("a tokenizer")..].chars().take(200).collect::<String>()
    };
    assert_eq!(record("begun"), record("pre"));
}

#[test]
fn equal_texts_are_told_apart_by_their_place() {
    let dir = runs();
    let rows: String = (0..12).map(|i| format!("{}\n", ["yes", "no", "well\r\nsaid", "perhaps"][i % 4].escape_default())).collect();
    put(dir, "short.jsonl", rows.lines().map(|text| format!("{{\"text\": \"{text}\"}}\n")).collect::<String>());
    put(dir, "short.csv", "text,label\nyes,good\nno,bad\n");
    let label = ["label", "pre", "--data", "short.jsonl", "--neighbours", "3", "--device", "cpu"];
    let found = json(dir, &[&label[..], &["--labels", "short.csv", "--out", "first"]].concat());
    assert!(found["given"] == 6, "a text is labelled wherever it is: {found}");
    // What is written is read back: line ends within a text, and equal texts.
    let found = json(dir, &[&label[..], &["--labels", "first/labels.csv", "--out", "second"]].concat());
    let labels = fs::read_to_string(dir.join("first/labels.csv")).expect("it is there");
    let empty = labels.matches(",,0.0000").count();
    assert!(found["given"] == 12 - empty && labels.contains("\"well\nsaid\""), "{found} {labels}");
}

#[test]
fn texts_are_predicted_from_files_and_lines() {
    let dir = runs();
    put(dir, "new.tsv", "id\ttext\n1\tis there snow or rain\n2\tthe singer with a guitar\n");
    let found = json(dir, &["predict", "tuned", "new.tsv", "--device", "cpu"]);
    let of = |i: usize| (found["predictions"][i]["name"].as_str(), found["predictions"][i]["text"].as_str());
    assert_eq!((of(0), of(1)), ((Some("weather"), Some("is there snow or rain")), (Some("music"), Some("the singer with a guitar"))));
    let lines = stdout_of(dir, &["predict", "tuned", "-", "--device", "cpu"], "my savings and my account\n\nzzz\n");
    let lines: Vec<&str> = lines.lines().collect();
    assert!(lines.len() == 2 && lines[0].starts_with("money  0.") && lines[0].ends_with("  my savings and my account"), "{lines:?}");
    put(dir, "gaps.csv", "id,sentence\n1,\n2,some snow\n");
    let found = json(dir, &["predict", "tuned", "gaps.csv", "--device", "cpu"]);
    assert!(found["predictions"][0]["row"] == 2 && found["predictions"][0]["file"] == "gaps.csv", "{found}");
    put(dir, "mails", "snow and rain\nmy account\n");
    let output = wgraft(dir, &["predict", "tuned", "gaps.csv", "mails", "--device", "cpu"]);
    let said = stderr(&output);
    assert!(said.contains("gaps.csv: 1 of 2 texts are empty") && said.contains("mails: its name does not say what it is"), "{said}");
    fails(dir, &["predict", "tuned", "-", "--text", "x", "--device", "cpu"], 2, &["--text is for tables"]);
    fails(dir, &["predict", "tuned", "none.tsv", "--device", "cpu"], 1, &["none.tsv"]);
    fails(dir, &["predict", "tuned", "new.tsv", "--text", "words", "--device", "cpu"], 1, &["no column `words` (--text)"]);
    fails(dir, &["predict", "tuned", "new.tsv", "--invert", "--device", "cpu"], 2, &["--invert is for pictures"]);
}

#[test]
fn a_few_labels_spread_over_texts_and_ask_for_more() {
    let dir = runs();
    let found = json(dir, &["label", "pre", "--labels-per-class", "2", "--out", "spread", "--device", "cpu"]);
    assert!(found["given"] == 6 && found["test_mean"].as_f64() > Some(0.6), "{found}");
    let labels = fs::read_to_string(dir.join("spread/labels.csv")).expect("it is there");
    assert!(labels.starts_with("index,text,label,confidence,source\n"), "{labels}");
    let ask = fs::read_to_string(dir.join("spread/ask-next.csv")).expect("it is there");
    assert!(ask.starts_with("index,text,label,guess,confidence\n"), "{ask}");
    // Three labels that a person fills in, one of each class; the others stay empty.
    let mut seen = Vec::new();
    let fill = |line: &str| {
        let (text, rest) = line.split_once(',').expect("an index").1.split_once(",,").expect("an empty label");
        let class = (0..3).find(|&class| (0..30).any(|i| sentence(class, i) == text)).expect("one of them");
        let known = seen.contains(&class);
        seen.push(class);
        format!("{text},{},{rest}\n", if known { "" } else { CLASSES[class] })
    };
    let filled: String = ask.lines().skip(1).map(fill).collect();
    put(dir, "mine.csv", format!("text,label,guess,confidence\n{filled}"));
    let found = json(dir, &["label", "pre", "--labels", "mine.csv", "--out", "again", "--device", "cpu"]);
    assert!(found["given"] == 3, "{found}");
    put(dir, "strange.csv", "text,label\nthese words are nowhere,money\n");
    fails(
        dir,
        &["label", "pre", "--labels", "strange.csv", "--device", "cpu"],
        1,
        &["`these words are nowhere` is none of the training texts"],
    );
    let tuned =
        ["finetune", "--from", "pre", "--data", "topics.csv", "--pseudo-labels", "again/labels.csv", "--steps", "20", "--device", "cpu"];
    assert!(json(dir, &[&tuned[..], &["--out", "pseudo"]].concat())["test_accuracy"].is_number());
}

#[test]
fn texts_are_embedded_and_found() {
    let dir = runs();
    let found = json(dir, &["embed", "pre", "topics.csv", "--out", "all.npy", "--device", "cpu"]);
    assert!(found["texts"] == 90 && found["columns"] == 32, "{found}");
    assert!(fs::read_to_string(dir.join("all.files.csv")).expect("names").contains(&sentence(0, 0)));
    let found = json(dir, &["search", "pre", "snow and rain", "--count", "3", "--device", "cpu"]);
    assert!((0..3).all(|i| found["found"][i]["class"] == "weather" && found["found"][i]["text"].is_string()), "{found}");
    fails(dir, &["search", "pre", "snow", "--out", "x.png", "--device", "cpu"], 2, &["--out is for pictures"]);
    fails(dir, &["search", "pre", " ", "--device", "cpu"], 2, &["no words"]);
}

#[test]
fn a_run_on_texts_goes_on_to_the_same_bytes() {
    let dir = runs();
    let run = ["pretrain", "--data", "topics.csv", "--features", "16", "--batch", "32", "--val", "0", "--device", "cpu"];
    let weights = |out: &str| fs::read(dir.join(out).join("checkpoints/last.safetensors")).expect("it is there");
    json(dir, &[&run[..], &["--steps", "20", "--out", "whole", "--schedule", "constant"]].concat());
    json(dir, &[&run[..], &["--steps", "10", "--out", "parts", "--schedule", "constant"]].concat());
    json(dir, &["pretrain", "--resume", "--out", "parts", "--steps", "20"]);
    assert!(weights("whole") == weights("parts"), "resuming changes nothing");
}
