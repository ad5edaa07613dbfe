//! Each task from the command line, on small data made here: what is learnt, what is reported, what is predicted.

use crate::common;

use std::fmt::Write;
use std::path::Path;
use std::process::{Command, Output};

use common::files::{encoded, folder, put};
use image::{GrayImage, ImageFormat, Luma};
use serde_json::Value;

fn wgraft(dir: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wgraft"));
    command.args(args).args(["--device", "cpu"]).current_dir(dir).env("WGRAFT_CACHE", dir.join("cache")).output().expect("the binary runs")
}

/// The JSON object on the last line of stdout, of a command that succeeded.
fn json(dir: &Path, args: &[&str]) -> Value {
    let output = wgraft(dir, &[args, &["--json"]].concat());
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(text.lines().last().expect("a last line")).expect("the last line is JSON")
}

/// Fails unless the command is refused as wrong use, and says `part`.
fn refused(dir: &Path, args: &[&str], part: &str) {
    let output = wgraft(dir, args);
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(2) && text.contains(part), "{args:?}: no `{part}` in: {text}");
}

fn number(found: &Value, key: &str) -> f64 {
    found[key].as_f64().unwrap_or_else(|| panic!("no `{key}` in {found}"))
}

const SIDE: u32 = 15;

/// Whether a pixel lies in disc `i`, and how many do.
fn in_disc(i: u32, x: u32, y: u32) -> bool {
    let (cx, cy, radius) = (4 + i * 7 % 8, 4 + i * 5 % 7, 2 + i % 4);
    (x.abs_diff(cx).pow(2) + y.abs_diff(cy).pow(2)) < radius * radius
}

fn area(i: u32) -> u32 {
    (0..SIDE * SIDE).filter(|p| in_disc(i, p % SIDE, p / SIDE)).count() as u32
}

/// Bright discs on a dark ground in `data/images`, their masks in `data/masks`, their areas in `data/index.csv`.
fn discs(dir: &Path, count: u32) {
    let mut index = "file,area\n".to_string();
    for i in 0..count {
        let of = |pixel: &dyn Fn(bool, u32) -> u8| {
            encoded(GrayImage::from_fn(SIDE, SIDE, |x, y| Luma([pixel(in_disc(i, x, y), x + y)])), ImageFormat::Png)
        };
        let shade = |inside: bool, at: u32| if inside { 200 } else { 40 } + ((i * 13 + at * 29) % 31) as u8;
        put(dir, &format!("data/images/{i:03}.png"), of(&shade));
        put(dir, &format!("data/masks/{i:03}.png"), of(&|inside, _| inside.into()));
        writeln!(index, "{i:03}.png,{}", area(i)).expect("a string");
    }
    put(dir, "data/index.csv", index);
}

/// What `finetune` said at its end, `eval` says again.
fn same_scores(tuned: &Value, found: &Value, keys: &[&str]) {
    for key in keys {
        let (then, now) = (number(tuned, key), number(found, key));
        assert!((then - now).abs() < 1e-6 * (1.0 + then.abs()), "{key}: {then}, by eval {now}");
    }
}

const CNN: &[&str] = &["--model", "cnn", "--optimizer", "adamw", "--lr", "0.005", "--schedule", "cosine", "--batch", "16"];

#[test]
fn masks_are_learnt_and_predicted_also_from_an_autoencoder() {
    let dir = folder();
    let dir = dir.path();
    discs(dir, 60);
    let pretrain = ["pretrain", "--method", "autoencoder", "--corrupt", "mask", "--data", "data", "--model", "cnn", "--batch", "16"];
    let before = json(dir, &[&pretrain[..], &["--steps", "2", "--out", "early"]].concat());
    let pretrained = json(dir, &[&pretrain[..], &["--steps", "60", "--out", "pre"]].concat());
    assert!(number(&pretrained, "reconstruction") < 0.5 * number(&before, "reconstruction"), "{before} {pretrained}");
    assert!(pretrained["knn_accuracy"].is_null(), "there are no labels: {pretrained}");
    let segment = [
        "finetune",
        "--task",
        "segment",
        "--data",
        "data",
        "--batch",
        "16",
        "--optimizer",
        "adamw",
        "--lr",
        "0.005",
        "--augment",
        "light",
        "--class-weights",
        "balanced",
    ];
    let tuned = json(dir, &[&segment[..], &["--from", "pre", "--steps", "60", "--val", "0.1", "--out", "tuned"]].concat());
    assert_eq!(tuned["samples"], 12);
    for key in ["test_mean_iou", "test_foreground_iou", "test_mean_dice", "test_accuracy"] {
        assert!(number(&tuned, key) > 0.8, "{key}: {tuned}");
    }
    let untrained = json(dir, &[&segment[..], &["--steps", "1", "--out", "untrained"]].concat());
    assert!(number(&untrained, "test_foreground_iou") < number(&tuned, "test_foreground_iou"), "{untrained}");

    let found = json(dir, &["eval", "tuned"]);
    same_scores(&tuned, &found, &["test_mean_iou", "test_foreground_iou", "test_mean_dice", "test_accuracy", "samples"]);

    let predicted = json(dir, &["predict", "tuned", "data/images/004.png", "--out", "masks"]);
    assert_eq!(predicted["predictions"][0]["mask"], "masks/004.png");
    let mask = image::open(dir.join("masks/004.png")).expect("a PNG").into_luma8();
    assert_eq!(mask.dimensions(), (SIDE, SIDE));
    let right = mask.enumerate_pixels().filter(|(x, y, class)| class.0[0] == u8::from(in_disc(4, *x, *y))).count();
    assert!(right > 200, "{right} of {} pixels", SIDE * SIDE);

    refused(dir, &["predict", "tuned", "data/images/004.png"], "--out DIR");
    refused(dir, &["finetune", "--data", "data"], "--task segment");
    // Weights without a run: the encoder's last layer, which masks have no use for, may be among them.
    let weights = "pre/checkpoints/last.safetensors";
    json(dir, &[&segment[..], &["--init-from", weights, "--steps", "1", "--out", "begun"]].concat());
    refused(dir, &["finetune", "--data", "data", "--task", "segment", "--model", "mlp"], "--model cnn");
    refused(dir, &["finetune", "--data", "data", "--task", "segment", "--features", "64"], "--features");
    refused(dir, &["finetune", "--data", "data", "--task", "segment", "--labels-per-class", "1", "--model", "cnn"], "--labels");
}

#[test]
fn numbers_are_learnt_from_pictures() {
    let dir = folder();
    let dir = dir.path();
    discs(dir, 120);
    let regress = [&["finetune", "--task", "regress", "--data", "data", "--target", "area", "--steps", "120"][..], CNN].concat();
    let tuned = json(dir, &[&regress[..], &["--val", "0.1", "--out", "tuned"]].concat());
    assert!(number(&tuned, "test_r2") > 0.8, "{tuned}");
    same_scores(&tuned, &json(dir, &["eval", "tuned"]), &["test_r2", "test_mae", "test_rmse", "samples"]);
    // Nothing is learnt, so the first score stays the best.
    let patient = [&regress[..2], &["regress", "--data", "data", "--target", "area", "--model", "cnn", "--batch", "16"]].concat();
    let still = ["--lr", "1e-12", "--epochs", "9", "--val", "0.1", "--patience", "2", "--out", "still"];
    assert_eq!(json(dir, &[&patient[..], &still].concat())["steps"], 3 * 6, "stopped after the third of nine epochs");
    let huber = json(dir, &[&regress[..], &["--loss", "huber", "--labels", "40", "--out", "huber"]].concat());
    assert!(number(&huber, "test_r2") > 0.5 && number(&huber, "test_mae") < 8.0, "{huber}");
    // In pixels, as in the file: not in deviations.
    let predicted = json(dir, &["predict", "tuned", "data/images/004.png"]);
    let found = number(&predicted["predictions"][0]["values"], "area");
    assert!((found - f64::from(area(4))).abs() < 8.0, "{found} for {}", area(4));
    refused(dir, &["finetune", "--task", "regress"], "no numbers");
    refused(dir, &["finetune", "--data", "data", "--target", "area", "--loss", "huber"], "--task regress");
}

#[test]
fn numbers_are_learnt_from_a_table() {
    let dir = folder();
    let dir = dir.path();
    let mut table = "a,b,kind,price\n".to_string();
    for i in 0..400_u32 {
        let (a, b, kind) = (f64::from(i * 37 % 101), f64::from(i * 53 % 89), ["x", "y"][(i % 2) as usize]);
        writeln!(table, "{a},{b},{kind},{}", 1000.0 + 20.0 * a - 10.0 * b + if i % 2 == 0 { 500.0 } else { 0.0 }).expect("a string");
    }
    put(dir, "prices.csv", table);
    let regress = ["finetune", "--task", "regress", "--data", "prices.csv", "--target", "price", "--hidden", "32", "--optimizer", "adamw"];
    let tuned = json(dir, &[&regress[..], &["--lr", "0.01", "--schedule", "cosine", "--epochs", "30", "--out", "tuned"]].concat());
    assert!(number(&tuned, "test_r2") > 0.95 && tuned["samples"] == 80, "{tuned}");
    same_scores(&tuned, &json(dir, &["eval", "tuned"]), &["test_r2", "test_mae", "test_rmse", "samples"]);
    refused(dir, &["embed", "tuned", "prices.csv", "--out", "x.csv"], "trained on a table");
    put(dir, "new.csv", "kind,b,a\nx,40,50\ny,40,50\n");
    let predicted = json(dir, &["predict", "tuned", "new.csv"]);
    for (row, expected) in [(0, 2100.0), (1, 1600.0)] {
        let found = number(&predicted["predictions"][row]["values"], "price");
        assert!((found - expected).abs() < 200.0, "{found} for {expected}");
    }
    refused(dir, &["finetune", "--data", "prices.csv", "--target", "price"], "--task regress");
    refused(dir, &["finetune", "--data", "prices.csv", "--target", "price", "--task", "regress", "--model", "cnn"], "--model mlp");
    refused(dir, &["finetune", "--data", "prices.csv", "--target", "price", "--task", "regress", "--augment", "light"], "--augment");
}
