//! The verbs that judge and use encoders, as a user runs them: eval, label, embed, search, curve.

use crate::common;

use std::fs;
use std::path::Path;
use std::sync::OnceLock;

use common::binary::{json, refused, stderr, wgraft};
use common::files::{encoded, labelled, load, own_copy, put, test_of};
use image::{GrayImage, ImageFormat, Luma};
use serde_json::Value;
use tempfile::TempDir;
use wgraft::data::{Dataset, ReadOptions};
use wgraft::exec::Device;
use wgraft::train::Checkpoint;

const CLASSES: [&str; 3] = ["left", "right", "top"];
const SMALL: &[&str] = &["--device", "cpu", "--model", "mlp", "--hidden", "16", "--batch", "16"];
/// How one learns from scratch.
const REFERENCE: &[&str] = &["--schedule", "constant", "--augment", "none"];

/// A picture that is bright on one side, each a little different.
fn picture(class: usize, i: u32) -> Vec<u8> {
    let bright = |x: u32, y: u32| [x < 6, x >= 6, y < 6][class];
    let noise = |x: u32, y: u32| ((x * 7 + y * 13 + i * 29 + class as u32 * 5) % 40) as u8;
    let image = GrayImage::from_fn(12, 12, |x, y| Luma([noise(x, y) + if bright(x, y) { 150 + (i % 5) as u8 * 10 } else { 10 }]));
    encoded(image, ImageFormat::Png)
}

/// 25 pictures of each class in `sides`, of which 60 train and 15 test, and the runs `pre` and `tuned`, for each test its own.
fn runs() -> &'static Path {
    static RUNS: OnceLock<TempDir> = OnceLock::new();
    let dir = RUNS.get_or_init(|| {
        let dir = common::files::folder();
        for (class, name) in CLASSES.iter().enumerate() {
            (0..25).for_each(|i| put(dir.path(), &format!("sides/{name}/{i:02}.png"), picture(class, i)));
        }
        json(dir.path(), &[&["pretrain", "--data", "sides", "--steps", "30", "--projection", "8", "--out", "pre"], SMALL].concat());
        let tune = ["finetune", "--from", "pre", "--data", "sides", "--steps", "60", "--lr", "0.1", "--batch", "16", "--device", "cpu"];
        json(dir.path(), &[&tune[..], REFERENCE, &["--out", "tuned"]].concat());
        dir
    });
    own_copy(dir.path())
}

fn list(value: &Value) -> Vec<f64> {
    value.as_array().expect("a list").iter().map(|v| v.as_f64().expect("a number")).collect()
}

fn lines(path: &Path) -> Vec<String> {
    fs::read_to_string(path).expect("it is there").lines().map(String::from).collect()
}

#[test]
fn every_method_of_comparing_views_tells_sides_apart() {
    let dir = common::files::folder();
    let data = runs().join("sides");
    let data = data.to_str().expect("UTF-8");
    let pretrain = ["pretrain", "--data", data, "--augment", "light", "--steps", "60", "--projection", "16", "--val", "0.2"];
    for (method, lr) in [("simclr", "0.1"), ("vicreg", "0.01"), ("barlow", "0.003"), ("supcon", "0.1")] {
        let found = json(dir.path(), &[&pretrain[..], SMALL, &["--method", method, "--lr", lr, "--out", method]].concat());
        let number = |key: &str| found[key].as_f64().unwrap_or_default();
        assert!(number("knn_accuracy") == 1.0 && number("embedding_std") > 0.2, "{method}: {found}");
    }
    let owned_up = stderr(&wgraft(dir.path(), &["eval", "supcon", "--device", "cpu"]));
    assert!(owned_up.contains("trained with labels"), "{owned_up}");
    put(dir.path(), "unlabelled/a.png", picture(0, 0));
    put(dir.path(), "unlabelled/b.png", picture(1, 0));
    let refuse = ["pretrain", "--data", "unlabelled", "--val", "0", "--method", "supcon", "--batch", "2", "--device", "cpu", "--out", "x"];
    refused(dir.path(), &refuse, 1, &["unlabelled", "label"]);
}

#[test]
fn a_cnn_is_as_wide_and_has_as_many_features_as_asked_for() {
    let dir = common::files::folder();
    let data = runs().join("sides");
    let data = data.to_str().expect("UTF-8");
    let network = ["--width", "4", "--features", "24", "--device", "cpu"];
    let pretrain = ["pretrain", "--data", data, "--batch", "16", "--steps", "2", "--val", "0", "--out", "cnn"];
    json(dir.path(), &[&pretrain[..], &network].concat());
    assert_eq!(json(dir.path(), &["eval", "cnn", "--device", "cpu"])["columns"], 24);
    let tune = ["finetune", "--from", "cnn", "--data", data, "--batch", "16", "--steps", "2", "--out", "tuned"];
    json(dir.path(), &[&tune[..], &network].concat());
    let other = ["finetune", "--from", "cnn", "--data", data, "--features", "32", "--device", "cpu", "--out", "x"];
    refused(dir.path(), &other, 2, &["cnn of width 4 and 24 features", "--features"]);
}

#[test]
fn an_encoder_is_judged_as_it_is() {
    let found = json(runs(), &["eval", "pre", "--labels-per-class", "2", "--draws", "3", "--device", "cpu"]);
    assert!(found["samples"] == 15 && found["bank"] == 60 && found["columns"] == 16, "{found}");
    assert!(["knn_accuracy", "probe_accuracy"].iter().all(|key| found[key] == 1.0), "sides are easy to tell apart: {found}");
    let few = list(&found["few_labels"]["accuracy"]);
    assert!(few.len() == 3 && few.iter().all(|&a| a > 0.5), "{found}");
    assert!((found["few_labels"]["mean"].as_f64().expect("a mean") - few.iter().sum::<f64>() / 3.0).abs() < 1e-12, "{found}");
    let plain = json(runs(), &["eval", "pre", "--device", "cpu"]);
    assert!(plain["few_labels"].is_null() && plain["raw"].is_null());
    let raw = &json(runs(), &["eval", "pre", "--labels-per-class", "2", "--raw", "--device", "cpu"])["raw"];
    assert!(raw["columns"] == 144 && raw["probe_accuracy"].is_number() && raw["few_labels"]["mean"].is_number(), "{raw}");
    refused(runs(), &["eval", "tuned", "--raw", "--device", "cpu"], 2, &["--raw"]);
    refused(runs(), &["eval", "pre", "--words", "--device", "cpu"], 2, &["--words is for texts, not for images"]);
    refused(runs(), &["eval", "pre", "--labels-per-class", "90", "--device", "cpu"], 1, &["20 training images", "90"]);
    refused(runs(), &["eval", "tuned", "--labels-per-class", "2", "--device", "cpu"], 2, &["learnt its task already"]);
    refused(runs(), &["predict", "pre", "sides/top/00.png", "--device", "cpu"], 2, &["finetune"]);
}

#[test]
fn a_classifier_is_judged_class_by_class() {
    let found = json(runs(), &["eval", "tuned", "--device", "cpu"]);
    let judged = &found["classification"];
    let counts: Vec<Vec<f64>> = judged["confusion"].as_array().expect("rows").iter().map(list).collect();
    let right: f64 = (0..3).map(|class| counts[class][class]).sum();
    assert!(counts.iter().all(|row| row.iter().sum::<f64>() == 5.0), "five test images of each class: {found}");
    assert_eq!(found["test_accuracy"].as_f64(), Some(right / 15.0), "{found}");
    assert!(judged["classes"][2]["name"] == "top" && judged["classes"][2]["recall"] == counts[2][2] / 5.0, "{found}");
    let text = stderr(&wgraft(runs(), &["eval", "tuned", "--device", "cpu"]));
    assert!(["precision", "true \\ as", "macro F1", "15 samples"].iter().all(|part| text.contains(part)), "{text}");
}

#[test]
fn few_labels_spread_and_train() {
    let dir = runs();
    let found = json(dir, &["label", "pre", "--labels-per-class", "2", "--draws", "3", "--raw", "--out", "spread", "--device", "cpu"]);
    assert!(found["given"] == 6 && found["spread"] == 54 && found["unknown"] == 0, "{found}");
    for result in [&found, &found["raw"]] {
        assert!(list(&result["test_accuracy"]).len() == 3 && list(&result["train_accuracy"]).len() == 3, "{found}");
        assert!(result["test_mean"].as_f64() > Some(0.8) && result["train_mean"].as_f64() > Some(0.8), "{found}");
    }
    let text = stderr(&wgraft(dir, &["label", "tuned", "--labels-per-class", "1", "--out", "known", "--device", "cpu"]));
    assert!(text.contains("tuned was trained with labels") && text.contains("--data sides --pseudo-labels known/labels.csv"), "{text}");
    let rows = lines(&dir.join("spread/labels.csv"));
    assert_eq!((rows[0].as_str(), rows.len()), ("file,label,confidence,source", 61));
    let given: Vec<&String> = rows.iter().filter(|row| row.ends_with(",1.0000,given")).collect();
    assert_eq!(given.len(), 6);
    assert!(given.iter().all(|row| row.split('/').next() == row.split(',').nth(1)), "given labels are the folders': {given:?}");
    let sheet = image::open(dir.join("spread/ask-next.png")).expect("a picture");
    assert!(sheet.width() > 500 && sheet.height() > 300);

    let tune = ["finetune", "--from", "pre", "--data", "sides", "--device", "cpu", "--steps", "60", "--lr", "0.1", "--batch", "4"];
    let pseudo = [&tune[..], REFERENCE, &["--pseudo-labels", "spread/labels.csv"]].concat();
    assert!(json(dir, &[&pseudo[..], &["--out", "pseudo"]].concat())["test_accuracy"].as_f64() > Some(0.8));
    put(dir, "unsure.csv", rows.join("\n").replace(",1.0000,spread", ",0.6,spread"));
    let unsure = [&tune[..], &["--pseudo-labels", "unsure.csv", "--min-confidence", "0.61", "--out", "sure"]].concat();
    let text = stderr(&wgraft(dir, &unsure));
    assert!(["54 less certain ones left out", "6 labelled training images"].iter().all(|part| text.contains(part)), "{text}");
    let lonely = rows.iter().filter(|row| !row.contains(",top,") || row.starts_with("top/00.png")).cloned().collect::<Vec<_>>();
    put(dir, "lonely.csv", lonely.join("\n"));
    let text = stderr(&wgraft(dir, &[&tune[..], &["--pseudo-labels", "lonely.csv", "--out", "lonely"]].concat()));
    assert!(text.contains("class top has 1 of these labels, another one 20"), "{text}");
    refused(dir, &[&tune[..], &["--min-confidence", "0.5", "--out", "x"]].concat(), 2, &["--pseudo-labels"]);
}

#[test]
fn given_labels_are_judged_by_each_other() {
    let dir = runs();
    let label = |args: &[&str]| json(dir, &[&["label", "pre", "--overwrite", "--out", "judged", "--device", "cpu"], args].concat());
    let confidences = || {
        let spread = |row: &String| row.ends_with(",spread").then(|| row.split(',').nth(2).and_then(|cell| cell.parse().ok()));
        lines(&dir.join("judged/labels.csv")).iter().filter_map(spread).map(|cell| cell.expect("a number")).collect::<Vec<f64>>()
    };
    let found = &label(&["--labels-per-class", "8", "--raw"]);
    assert!(found["held_out"]["labels"] == 24 && found["held_out"]["accuracy"].as_f64() > Some(0.9), "{found}");
    assert!(found["raw"]["held_out"]["labels"] == 24, "{found}");
    assert!(confidences().iter().sum::<f64>() > 0.8 * 36.0);
    // Labels that say nothing of what pictures show are not found again, and nothing is certain.
    let rows: Vec<String> = lines(&dir.join("judged/labels.csv")).into_iter().filter(|row| row.ends_with(",given")).collect();
    let turned =
        rows.iter().enumerate().map(|(i, row)| format!("{},{}\n", &row[..row.find(',').expect("cells")], ["left", "right", "top"][i % 3]));
    put(dir, "turned.csv", format!("file,label\n{}", turned.collect::<String>()));
    let found = label(&["--labels", "turned.csv"]);
    assert!(found["held_out"]["accuracy"].as_f64() < Some(0.6) && found["held_out"]["temperature"].as_f64() > Some(1.5), "{found}");
    assert!(confidences().iter().all(|&confidence| confidence < 0.8));
    assert!(label(&["--labels-per-class", "2"])["held_out"].is_null(), "six labels are too few");
}

#[test]
fn a_file_that_is_almost_there_is_named() {
    put(runs(), "net.safetensors", "weights");
    refused(runs(), &["eval", "net.pth", "--device", "cpu"], 1, &["there is no net.pth; is net.safetensors meant?"]);
}

#[test]
fn labels_that_do_not_belong_are_refused() {
    let dir = runs();
    let tune = |text: &str, parts: &[&str]| {
        put(dir, "bad.csv", text);
        let args = ["finetune", "--data", "sides", "--device", "cpu", "--pseudo-labels", "bad.csv", "--out", "x"];
        refused(dir, &args, 1, parts);
        refused(dir, &["label", "pre", "--labels", "bad.csv", "--device", "cpu", "--out", "x"], 1, parts);
    };
    let data = load(&dir.join("sides"), &labelled());
    let (trained, tested) = (data.train.name(0), test_of(&data).name(0));
    tune(&format!("file,label\n{tested},left\n"), &["line 2", tested, "is a test image"]);
    tune("file,label\nleft/99.png,left\n", &["line 2", "none of the training images"]);
    tune("index,label\n60,left\n", &["`60` is none of the 60 training images"]);
    tune("index,label\n-1,left\n", &["`-1`"]);
    tune(&format!("file,label\n{trained},bottom\n"), &["`bottom` is none of the classes", "left, right, top"]);
    tune(&format!("file,label\n{trained},left\n{trained},top\n"), &["line 3", "`left`"]);
    tune(&format!("file,label\n{trained},left\n"), &["all labels of bad.csv are `left`", "nothing to tell apart"]);
    tune("file,kind\nleft/00.png,left\n", &["columns file, kind", "`label`"]);
    tune("picture,label\nleft/00.png,left\n", &["columns picture, label", "`file`"]);
    tune("file,label\nleft/00.png,\n", &["no labels"]);
    refused(dir, &["label", "pre", "--device", "cpu"], 2, &["--labels"]);
    refused(dir, &["label", "pre", "--labels-per-class", "0", "--device", "cpu"], 2, &["at least 1"]);
    assert!(!dir.join("x").exists(), "a refused command left a folder behind");
}

#[test]
fn pictures_without_classes_are_labelled_from_a_file() {
    let dir = runs();
    for (class, name) in CLASSES.iter().enumerate() {
        (0..8).for_each(|i| put(dir, &format!("flat/{name}{i}.png"), picture(class, i + 40)));
    }
    put(dir, "mine.csv", "file;label\nleft0.png;a\nright0.png;b\ntop0.png;c\n");
    let found =
        json(dir, &["label", "pre", "--data", "flat", "--labels", "mine.csv", "--neighbours", "3", "--out", "mine", "--device", "cpu"]);
    assert!(found["given"] == 3 && found["test_mean"].is_null() && found["raw"].is_null(), "{found}");
    let rows = lines(&dir.join("mine/labels.csv"));
    assert!(rows.len() == 25 && rows.contains(&"right0.png,b,1.0000,given".to_string()), "{rows:?}");
    let right = |row: &&String| {
        ["left", "right", "top"]
            .iter()
            .position(|name| row.starts_with(name))
            .is_some_and(|class| row.split(',').nth(1) == Some(["a", "b", "c"][class]))
    };
    assert!(rows.iter().filter(right).count() >= 20, "{rows:?}");
    let tune = ["finetune", "--data", "flat", "--pseudo-labels", "mine/labels.csv", "--from", "pre", "--steps", "5", "--batch", "8"];
    assert!(json(dir, &[&tune[..], &["--device", "cpu", "--out", "of-mine"]].concat())["test_accuracy"].is_null());
    refused(dir, &["label", "pre", "--data", "flat", "--labels-per-class", "1", "--device", "cpu"], 1, &["no class folders"]);
}

#[test]
fn embeddings_keep_their_names() {
    let dir = runs();
    let found = json(dir, &["embed", "pre", "sides", "--out", "all.npy", "--device", "cpu"]);
    assert!(found["images"] == 75 && found["train"] == 60 && found["columns"] == 16, "{found}");
    let names = lines(&dir.join("all.files.csv"));
    let data = load(&dir.join("sides"), &labelled());
    let first = |name: &str, part: &str| format!("{name},{part}");
    assert_eq!((names.len(), names[0].as_str(), &names[1]), (76, "file,split", &first(data.train.name(0), "train")));
    assert!(names[61..].iter().all(|line| line.ends_with(",test")) && names[61] == first(test_of(&data).name(0), "test"), "{names:?}");
    json(dir, &["embed", "tuned", "sides", "--out", "tuned.csv", "--device", "cpu"]);
    json(dir, &["embed", "pre", "sides", "--out", "all.csv", "--device", "cpu"]);
    let bytes = fs::read(dir.join("all.npy")).expect("it is there");
    let numbers: Vec<f32> = bytes[128..].chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
    let rows = lines(&dir.join("all.csv"));
    assert!(rows.len() == 76 && rows != lines(&dir.join("tuned.csv")), "another encoder has other embeddings");
    for ((row, name), numbers) in rows[1..].iter().zip(&names[1..]).zip(numbers.chunks(16)) {
        let cells: Vec<&str> = row.split(',').collect();
        assert_eq!(Some(cells[0]), name.split(',').next());
        assert!(cells[1..].iter().zip(numbers).all(|(cell, number)| cell.parse() == Ok(*number)), "{row}");
    }
    refused(dir, &["embed", "pre", "sides", "--out", "all.txt", "--device", "cpu"], 2, &[".npy or .csv"]);
    refused(dir, &["embed", "pre", "nowhere", "--out", "x.csv", "--device", "cpu"], 1, &["nowhere"]);
}

#[test]
fn search_finds_what_is_alike() {
    let dir = runs();
    let search = |args: &[&str]| json(dir, &[&["search", "pre"], args, &["--count", "4", "--device", "cpu"]].concat());
    // A picture's own file finds itself; by its name, the others.
    let found = search(&["sides/right/07.png", "--in", "sides", "--out", "found.png"])["found"].clone();
    assert!(found[0]["file"] == "right/07.png" && found[0]["similarity"].as_f64() > Some(0.9999), "{found}");
    assert!((0..4).all(|i| found[i]["class"] == "right"), "{found}");
    let others = search(&["right/07.png"])["found"].clone();
    assert_eq!([&others[0], &others[1], &others[2]], [&found[1], &found[2], &found[3]]);
    assert!(image::open(dir.join("found.png")).is_ok_and(|sheet| sheet.width() > 400), "a sheet of five");
    refused(dir, &["search", "pre", "right/99.png", "--device", "cpu"], 2, &["right/99.png", "neither a file nor"]);
    refused(dir, &["search", "pre", "right/07.png", "--count", "0", "--device", "cpu"], 2, &["--count"]);
}

#[test]
fn the_curve_compares_all_arms() {
    let dir = runs();
    let curve = ["curve", "--from", "pre", "--labels-per-class", "2,50,all", "--draws", "2", "--choose-draws", "1", "--steps", "12"];
    let found = json(dir, &[&curve[..], &["--lr-grid", "0.02,0.1", "--augment", "none", "--out", "curve", "--device", "cpu"]].concat());
    let budgets = found["budgets"].as_array().expect("a list");
    assert!(budgets.len() == 2 && budgets[0]["labels_per_class"] == 2 && budgets[1]["labels_per_class"] == "all", "{found}");
    assert!(found["chosen_on"] == 6 && budgets[0]["labelled"] == 6 && budgets[1]["labelled"] == 54, "{found}");
    for row in budgets {
        for arm in ["pretrained", "probe", "scratch"] {
            let values = list(&row[arm]);
            assert!(values.len() == 2 && row[format!("{arm}_mean")].as_f64() == Some((values[0] + values[1]) / 2.0), "{row}");
        }
        let gain = row["pretrained_mean"].as_f64().zip(row["scratch_mean"].as_f64()).map(|(p, s)| p - s);
        assert!((row["gain"].as_f64().expect("a gain") - gain.expect("means")).abs() < 1e-12, "{row}");
        let rates = [&row["lr"]["pretrained"], &row["lr"]["scratch"]];
        assert!(rates.iter().all(|rate| **rate == 0.02 || **rate == 0.1), "{row}");
    }
    let why = found["skipped"][0]["why"].as_str().expect("a sentence");
    assert!(found["skipped"][0]["labels_per_class"] == 50 && why.contains("has 1"), "{found}");
    let rows = lines(&dir.join("curve/curve.csv"));
    assert_eq!((rows.len(), rows[0].as_str()), (13, "labels_per_class,labelled,arm,lr,draw,accuracy"));
    assert!(rows.iter().any(|row| row.starts_with("all,54,probe,,1,")), "{rows:?}");
    assert!(image::open(dir.join("curve/curve.png")).is_ok_and(|plot| plot.width() > 600), "a plot");
    // An encoder beside itself comes to the same.
    let twice = ["--lr-grid", "0.02", "--augment", "none", "--beside", "pre", "--out", "twice", "--device", "cpu"];
    let found = json(dir, &[&["curve", "--from", "pre", "--labels-per-class", "2", "--draws", "2", "--steps", "12"], &twice[..]].concat());
    let row = &found["budgets"][0];
    assert!(list(&row["beside"]).len() == 2 && row["beside"] == row["pretrained"] && row["scratch"] != row["beside"], "{row}");
    assert!(lines(&dir.join("twice/curve.csv")).iter().any(|row| row.starts_with("2,6,beside,0.02,1,")));
    refused(dir, &["curve", "--from", "tuned", "--device", "cpu"], 2, &["classifier", "pretrained encoder"]);
    refused(dir, &["curve", "--from", "pre", "--labels-per-class", "0", "--device", "cpu"], 2, &["`all`"]);
    refused(dir, &["curve", "--from", "pre", "--labels-per-class", "99", "--device", "cpu"], 1, &["no budget"]);
}

#[test]
fn features_do_not_depend_on_shards() {
    let dir = runs();
    json(dir, &[&["pretrain", "--steps", "2", "--out", "digits"], SMALL].concat());
    let checkpoint = Checkpoint::load(&dir.join("digits/checkpoints/last.safetensors")).expect("a checkpoint");
    let images = Dataset::embedded().train;
    let many = images.select(&(0..5_003).collect::<Vec<_>>());
    let rows: Vec<u32> = vec![0, 4_999, 5_000, 5_002];
    let features = checkpoint.features(&Device::Cpu, &many).expect("features");
    assert_eq!((features.columns, features.values.len()), (16, 16 * 5_003));
    let alone = checkpoint.features(&Device::Cpu, &images.select(&rows)).expect("features");
    let apart = common::worst(features.select(&rows).iter().zip(&alone.values).map(|(a, b)| f64::from((a - b).abs())));
    // Sums of 784 products of numbers below 1, perhaps in another order.
    assert!(apart < 1e-4 && alone.values.iter().any(|&v| v > 0.01), "{apart}");
    let other = Dataset::embedded().conform(&ReadOptions { size: Some([14, 14]), ..ReadOptions::default() }).expect("it is resized").train;
    let error = checkpoint.features(&Device::Cpu, &other).expect_err("another size").to_string();
    assert!(error.contains("28x28") && error.contains("14x14"), "{error}");
}

#[test]
fn pictures_are_sorted_by_their_labels_and_known_ones_measure_a_run() {
    let dir = runs();
    // A heap, with a label for each side.
    for (class, name) in CLASSES.iter().enumerate() {
        (0..8).for_each(|i| put(dir, &format!("heap/{name}{i}.png"), picture(class, i)));
        (30..33).for_each(|i| put(dir, &format!("known/{name}/{i}.png"), picture(class, i)));
    }
    let mine: String = CLASSES.iter().map(|name| format!("{name}0.png,{name}\n")).collect();
    put(dir, "heap.csv", format!("file,label\n{mine}"));
    let label = ["label", "pre", "--data", "heap", "--labels", "heap.csv", "--neighbours", "4", "--device", "cpu"];
    let text = stderr(&wgraft(dir, &[&label[..], &["--out", "heaped", "--sort", "sorted/all"]].concat()));
    assert!(text.contains("spread to ") && text.contains("with a confidence below 0.9"), "{text}");
    assert!(!text.contains("there are no labels"), "{text}");
    let rows = lines(&dir.join("heaped/labels.csv"));
    let sorted = |row: &&String| {
        let cells: Vec<&str> = row.split(',').collect();
        cells[1].is_empty()
            || fs::read(dir.join("sorted/all").join(cells[1]).join(cells[0]))
                .is_ok_and(|copy| Ok(copy) == fs::read(dir.join("heap").join(cells[0])).map_err(drop))
    };
    assert!(rows.len() == 1 + 8 * CLASSES.len() && rows[1..].iter().all(|row| sorted(&row)), "{rows:?}");
    refused(dir, &["finetune", "--data", "sides", "--model", "vit", "--size", "24", "--device", "cpu"], 2, &["multiples of 16 pixels"]);
    for (place, why) in [("sorted/all", "no empty folder"), ("heap/sorted", "lies in the data")] {
        refused(dir, &[&label[..], &["--out", "again", "--sort", place]].concat(), 2, &["--sort", why]);
    }
    assert!(!dir.join("again").exists(), "what is refused is refused before all work");
    let text = stderr(&wgraft(dir, &["eval", "tuned", "--data", "known", "--device", "cpu"]));
    let all = format!("measured on all {} samples of known", 3 * CLASSES.len());
    assert!(text.contains(&all), "{text}");
    // The run's own data, wherever they lie, are divided as they were.
    put(dir, "copied/README.txt", "");
    for (class, name) in CLASSES.iter().enumerate() {
        (0..25).for_each(|i| put(dir, &format!("copied/{name}/{i:02}.png"), picture(class, i)));
    }
    let text = stderr(&wgraft(dir, &["eval", "tuned", "--data", "copied", "--device", "cpu"]));
    assert!(text.contains("divided as those were") && text.contains("15 samples"), "{text}");
}
