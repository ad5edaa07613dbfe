//! Runs that go on: with what they were begun with, for as long or longer, on the data that they began on.

use crate::common;

use std::fs;
use std::path::Path;

use common::binary::{json, refused, stderr, wgraft};
use common::files::{encoded, put};
use image::{GrayImage, ImageFormat, Luma};

const TRAIN: [&str; 10] = ["finetune", "--data", "data", "--hidden", "8", "--batch", "4", "--device", "cpu", "--out"];

fn pictures(root: &Path) {
    for i in 0..10u8 {
        let picture = |level: u8| encoded(GrayImage::from_fn(8, 8, |x, y| Luma([level + (x * y) as u8 % (i + 1)])), ImageFormat::Png);
        put(root, &format!("data/dark/{i}.png"), picture(20));
        put(root, &format!("data/light/{i}.png"), picture(200));
    }
}

fn resume(dir: &Path, args: &[&str]) -> (bool, String) {
    let output = wgraft(dir, &[&["finetune", "--resume", "--out", "R", "--device", "cpu"], args].concat());
    (output.status.success(), stderr(&output))
}

fn tensors(dir: &Path, run: &str) -> Vec<(String, Vec<u8>)> {
    let bytes = fs::read(dir.join(run).join("checkpoints/last.safetensors")).expect("it was saved");
    let file = safetensors::SafeTensors::deserialize(&bytes).expect("it is whole");
    let mut all: Vec<_> = file.tensors().into_iter().map(|(name, tensor)| (name, tensor.data().to_vec())).collect();
    all.sort();
    all
}

#[test]
fn what_contradicts_the_run_is_refused_by_name() {
    let dir = common::files::folder();
    pictures(dir.path());
    json(dir.path(), &[&TRAIN[..], &["R", "--epochs", "4", "--lr", "0.1"]].concat());
    put(dir.path(), "other.toml", "[run]\nseed = 5\n");
    let refuse = |args: &[&str], parts: &[&str]| {
        refused(dir.path(), &[&["finetune", "--resume", "--out", "R", "--device", "cpu"], args].concat(), 2, parts);
    };
    refuse(&["--lr", "0.5"], &["R: --lr is 0.1 in this run, not 0.5"]);
    refuse(&["--batch", "9"], &["--batch is 4", "not 9"]);
    refuse(&["--data", "nowhere"], &["--data is data", "not nowhere"]);
    refuse(&["--model", "cnn"], &["--model is mlp", "not cnn"]);
    refuse(&["--hidden", "9"], &["--hidden is [8]", "not [9]"]);
    refuse(&["--from", "R"], &["--from is scratch", "not R"]);
    refuse(&["--labels-per-class", "2"], &["--labels-per-class is not given", "not 2"]);
    refuse(&["--augment", "light"], &["--augment (", "not"]);
    refuse(&["--grey", "false"], &["--grey is not given", "not false"]);
    refuse(&["--config", "other.toml"], &["--seed is 0", "not 5"]);
    refuse(&["--epochs", "3"], &["begun with 16 steps, not 12"]);
    refuse(&["--steps", "7"], &["begun with 16 steps, not 7"]);
    // The same again, by other names too, is no contradiction; nor is where it runs.
    let (fine, text) =
        resume(dir.path(), &["--lr", "0.1", "--data", "./data", "--epochs", "4", "--threads", "2", "--config", "R/config.toml"]);
    assert!(fine, "{text}");
}

#[test]
fn steps_and_epochs_are_compared_as_what_they_come_to() {
    let dir = common::files::folder();
    pictures(dir.path());
    json(dir.path(), &[&TRAIN[..], &["R", "--steps", "18"]].concat());
    let go_on = |args: &[&'static str]| [&["finetune", "--resume", "--out", "R", "--device", "cpu"], args].concat();
    refused(dir.path(), &go_on(&["--epochs", "4"]), 2, &["begun with 18 steps, not 16"]);
    assert_eq!(json(dir.path(), &go_on(&["--epochs", "5"]))["steps"], 20);
}

#[test]
fn a_run_goes_on_for_longer() {
    let dir = common::files::folder();
    pictures(dir.path());
    json(dir.path(), &[&TRAIN[..], &["whole", "--epochs", "10"]].concat());
    json(dir.path(), &[&TRAIN[..], &["R", "--epochs", "4"]].concat());
    let (fine, text) = resume(dir.path(), &["--epochs", "10", "--threads", "1"]);
    assert!(fine && text.contains("going on after step 16, now of 40"), "{text}");
    assert!(tensors(dir.path(), "whole") == tensors(dir.path(), "R"), "a constant rate does not know when it ends");
    // So it stays, in its settings too, but for where it ran.
    let config = |run: &str| fs::read_to_string(dir.path().join(run).join("config.toml")).expect("it is there");
    assert_eq!(config("R"), config("whole"));
    assert_eq!(json(dir.path(), &["finetune", "--resume", "--out", "R", "--device", "cpu"])["steps"], 40);
    // In steps instead of epochs, along a schedule that ends with the run.
    json(dir.path(), &[&TRAIN[..], &["R", "--overwrite", "--epochs", "4", "--schedule", "cosine", "--lr", "0.1"]].concat());
    let (fine, text) = resume(dir.path(), &["--steps", "32"]);
    assert!(fine && text.contains("now of 32; the learning rate falls along a cosine over all of them: it is 0.05 here"), "{text}");
    let rows = fs::read_to_string(dir.path().join("R/metrics.jsonl")).expect("it is there");
    assert_eq!(rows.lines().filter(|row| row.contains("grad_norm")).count(), 32);
}

#[test]
fn data_that_changed_are_refused() {
    let dir = common::files::folder();
    pictures(dir.path());
    json(dir.path(), &[&TRAIN[..], &["R", "--epochs", "2"]].concat());
    let more = ["finetune", "--resume", "--out", "R", "--device", "cpu", "--epochs", "3"];
    let old = fs::read(dir.path().join("data/dark/0.png")).expect("it is there");
    put(dir.path(), "data/dark/0.png", encoded(GrayImage::from_pixel(8, 8, Luma([77])), ImageFormat::Png));
    refused(dir.path(), &more, 2, &["data changed since", "16 training and 4 test samples", "begin another run"]);
    put(dir.path(), "data/dark/0.png", old);
    put(dir.path(), "data/dark/new.png", encoded(GrayImage::from_pixel(8, 8, Luma([7])), ImageFormat::Png));
    refused(dir.path(), &more, 2, &["data changed since", "it was 16 training", "it is 17 training"]);
    fs::remove_file(dir.path().join("data/dark/new.png")).expect("it is removed");
    fs::rename(dir.path().join("data/light"), dir.path().join("data/bright")).expect("it is renamed");
    refused(dir.path(), &more, 2, &["data changed since"]);
    fs::rename(dir.path().join("data/bright"), dir.path().join("data/light")).expect("it is renamed");
    assert_eq!(json(dir.path(), &more)["steps"], 12);
}

#[test]
fn the_last_one_of_steps_and_epochs_counts() {
    let dir = common::files::folder();
    pictures(dir.path());
    json(dir.path(), &[&TRAIN[..], &["a", "--steps", "3"]].concat());
    let repeated = ["finetune", "--config", "a/config.toml", "--epochs", "2", "--device", "cpu", "--out", "b"];
    assert_eq!(json(dir.path(), &repeated)["steps"], 8);
}

#[test]
fn a_run_goes_on_when_the_one_that_it_began_with_is_gone() {
    let dir = tempfile::tempdir().expect("a folder");
    let cpu = ["--device", "cpu", "--steps"];
    json(dir.path(), &[&["pretrain", "--hidden", "4", "--out", "pre"], &cpu[..], &["1"]].concat());
    json(dir.path(), &[&["finetune", "--from", "pre", "--out", "tuned"], &cpu[..], &["2"]].concat());
    fs::remove_dir_all(dir.path().join("pre")).expect("it is removed");
    let found = json(dir.path(), &[&["finetune", "--resume", "--out", "tuned"], &cpu[..], &["3"]].concat());
    assert_eq!(found["steps"], 3);
}
