//! What `finetune` takes unless told otherwise, from an encoder that is trained already and from scratch.

use crate::common;

use std::fs;
use std::path::Path;

use common::binary::{json, stderr, wgraft};
use common::files::{encoded, folder, put};
use image::{GrayImage, ImageFormat, Luma};
use tempfile::TempDir;

/// Pictures of two kinds, with a number each, and an encoder that was pretrained on them.
fn pretrained() -> TempDir {
    let dir = folder();
    let mut index = String::from("file,label,number\n");
    for i in 0..20 {
        put(dir.path(), &format!("data/{i}.png"), encoded(GrayImage::from_pixel(8, 8, Luma([10 * i])), ImageFormat::Png));
        index += &format!("{i}.png,{},{i}.5\n", if i % 2 == 0 { "even" } else { "odd" });
    }
    put(dir.path(), "data/index.csv", index);
    let pretrain = ["pretrain", "--data", "data", "--target", "label", "--hidden", "6", "--projection", "4", "--batch", "4"];
    json(dir.path(), &[&pretrain[..], &["--steps", "2", "--augment", "strokes", "--device", "cpu", "--out", "pre"]].concat());
    dir
}

/// What a run of two steps says, and its settings.
fn tuned(dir: &Path, out: &str, flags: &[&str]) -> (String, toml::Table) {
    let run = ["finetune", "--data", "data", "--batch", "4", "--steps", "2", "--device", "cpu", "--out", out];
    let output = wgraft(dir, &[&run[..], flags].concat());
    assert!(output.status.success(), "{flags:?}: {}", stderr(&output));
    let config = fs::read_to_string(dir.join(out).join("config.toml")).expect("it is there");
    (stderr(&output), config.parse().expect("it is TOML"))
}

/// Learning rate, schedule, and the largest rotation.
fn recipe(settings: &toml::Table) -> (f64, &str, f64) {
    let number = |table: &str, key: &str| settings[table][key].as_float().expect("a number");
    // They are single precision.
    let rounded = |value: f64| (value * 1e6).round() / 1e6;
    (rounded(number("run", "lr")), settings["run"]["schedule"].as_str().expect("a name"), rounded(number("augment", "rotation")))
}

const CLASSES: [&str; 2] = ["--target", "label"];

#[test]
fn a_pretrained_encoder_has_defaults_of_its_own() {
    let dir = pretrained();
    let classes = |out: &str, flags: &[&str]| tuned(dir.path(), out, &[&CLASSES, flags].concat());
    let (said, settings) = classes("tuned", &["--from", "pre"]);
    assert_eq!(recipe(&settings), (0.03, "cosine", 15.0));
    assert!(said.contains("learning rate 0.03, cosine schedule, the augmentation of its own training, half as strong"), "{said}");
    let (said, settings) = classes("scratch", &["--from", "scratch"]);
    assert_eq!(recipe(&settings), (0.01, "constant", 0.0));
    assert!(!said.contains("trained already"), "{said}");
    let (said, settings) = classes("adam", &["--from", "pre", "--optimizer", "adamw"]);
    assert_eq!((recipe(&settings).0, said.contains("learning rate 0.001")), (0.001, true), "{said}");
    // What is learnt besides classes was not measured.
    let (said, settings) = tuned(dir.path(), "numbers", &["--from", "pre", "--task", "regress", "--target", "number"]);
    assert_eq!((recipe(&settings), said.contains("trained already")), ((0.01, "constant", 0.0), false), "{said}");
}

#[test]
fn what_is_said_counts_more_than_the_defaults_of_a_pretrained_encoder() {
    let dir = pretrained();
    let classes = |out: &str, flags: &[&str]| tuned(dir.path(), out, &[&CLASSES, flags].concat());
    let (said, settings) = classes("given", &["--from", "pre", "--lr", "0.07", "--schedule", "constant", "--augment", "none"]);
    assert_eq!((recipe(&settings), said.contains("no augmentation")), ((0.07, "constant", 0.0), true), "{said}");
    let (said, settings) = classes("strong", &["--from", "pre", "--augment", "strong"]);
    assert_eq!((recipe(&settings), said.contains("augmentation as given")), ((0.03, "cosine", 30.0), true), "{said}");
    put(dir.path(), "some.toml", "from = 'pre'\n[run]\nlr = 0.05\n[augment]\nshift = 0.1\n");
    assert_eq!(recipe(&classes("filed", &["--config", "some.toml"]).1), (0.05, "cosine", 0.0));

    // A run's own settings are all that there is to say of it.
    let repeated = classes("again", &["--config", "strong/config.toml"]).1;
    assert_eq!(repeated, toml::from_str(&fs::read_to_string(dir.path().join("strong/config.toml")).expect("it is there")).expect("TOML"));
    let bytes = |run: &str| fs::read(dir.path().join(run).join("checkpoints/last.safetensors")).expect("it is there");
    assert!(bytes("strong") == bytes("again"), "the same config gave another checkpoint");
    put(dir.path(), "early.toml", "command = 'finetune'\nfrom = 'pre'\n");
    assert_eq!(recipe(&classes("early", &["--config", "early.toml"]).1), (0.01, "constant", 0.0));
}

#[test]
fn augmentation_is_found_with_the_run_that_a_checkpoint_is_of() {
    let dir = pretrained();
    let classes = |out: &str, from: &str| tuned(dir.path(), out, &[&CLASSES[..], &["--from", from]].concat());
    assert_eq!(recipe(&classes("inside", "pre/checkpoints/last.safetensors").1).2, 15.0);
    // What was fine-tuned has the augmentation that it needs.
    assert_eq!(recipe(&classes("onwards", "inside").1).2, 15.0);
    fs::copy(dir.path().join("pre/checkpoints/last.safetensors"), dir.path().join("lone.safetensors")).expect("it is copied");
    let (said, settings) = classes("lone", "lone.safetensors");
    assert_eq!((recipe(&settings), said.contains("no augmentation")), ((0.03, "cosine", 0.0), true), "{said}");
    put(dir.path(), "pre/config.toml", "[augment]\nrotation = 'much'\n");
    common::binary::refused(dir.path(), &["finetune", "--data", "data", "--from", "pre", "--out", "x"], 2, &["pre/config.toml"]);
}
