//! The binary as a user runs it: help, exit codes, what it leaves behind, and what it says to bad input.

use crate::common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use common::binary::{json, refused, stderr, wgraft};
use common::files::own_copy;
use serde_json::Value;
use tempfile::TempDir;

const SMALL: &[&str] = &["pretrain", "--device", "cpu", "--hidden", "24", "--projection", "12,8", "--batch", "32", "--steps", "40"];
/// How one learns from scratch.
const REFERENCE: &[&str] = &["--schedule", "constant", "--augment", "none"];

/// A folder with a small pretrained run `pre` and a classifier `tuned` made from it, for each test its own.
fn runs() -> &'static Path {
    static RUNS: OnceLock<TempDir> = OnceLock::new();
    let dir = RUNS.get_or_init(|| {
        let dir = tempfile::tempdir().expect("a place for runs");
        let pretrained = json(dir.path(), &[SMALL, &["--out", "pre"]].concat());
        for key in ["run", "steps", "final_loss", "knn_accuracy", "embedding_std", "device", "seconds"] {
            assert!(!pretrained[key].is_null(), "pretrain: no `{key}` in {pretrained}");
        }
        assert_eq!(pretrained["steps"], 40);
        let tune =
            ["finetune", "--device", "cpu", "--from", "pre", "--labels-per-class", "5", "--steps", "150", "--lr", "0.05", "--out", "tuned"];
        let tuned = json(dir.path(), &[&tune[..], REFERENCE].concat());
        assert!(tuned["test_accuracy"].as_f64().is_some_and(|a| a > 0.4 && a < 1.0), "{tuned}");
        assert!(tuned["test_loss"].is_f64() && tuned["samples"] == 10_000, "{tuned}");
        dir
    });
    own_copy(dir.path())
}

/// A copy of a shared run that a test may damage.
fn copy_of(run: &str) -> TempDir {
    let dir = tempfile::tempdir().expect("a place for a copy");
    fs::create_dir_all(dir.path().join("run/checkpoints")).expect("a folder");
    for file in ["config.toml", "metrics.jsonl", "checkpoints/last.safetensors", "checkpoints/best.safetensors"] {
        fs::copy(runs().join(run).join(file), dir.path().join("run").join(file)).expect("the run has this file");
    }
    dir
}

fn picture(path: &Path, width: u32, height: u32, dark_on_light: bool) {
    let stroke = |x: u32| 4 * x >= width && 4 * x < 3 * width;
    let image = image::GrayImage::from_fn(width, height, |x, _| image::Luma([if stroke(x) != dark_on_light { 255 } else { 0 }]));
    image.save(path).expect("the picture is written");
}

fn mnist(dir: &Path, images: usize, labels: usize) {
    let mut file = vec![0, 0, 8, 3];
    [images as u32, 4, 5].iter().for_each(|n| file.extend(n.to_be_bytes()));
    file.extend((0..images * 20).map(|i| (i * 37 % 251) as u8));
    fs::write(dir.join("train-images-idx3-ubyte"), file).expect("it is written");
    let mut file = vec![0, 0, 8, 1];
    file.extend((labels as u32).to_be_bytes());
    file.extend((0..labels).map(|i| (i % 3) as u8));
    fs::write(dir.join("train-labels-idx1-ubyte"), file).expect("it is written");
}

#[test]
fn help_tells_every_verb_and_flag() {
    let dir = tempfile::tempdir().expect("a folder");
    let help = |args: &[&str]| String::from_utf8_lossy(&wgraft(dir.path(), args).stdout).into_owned();
    let all = help(&["--help"]);
    for verb in ["pretrain", "finetune", "eval", "predict", "label", "embed", "search", "curve", "check", "devices", "show"] {
        assert!(all.contains(verb), "--help does not name {verb}");
        assert!(help(&[verb, "--help"]).contains("Usage"), "{verb} --help");
    }
    let flags = "--device --threads --seed --epochs --steps --batch --lr --optimizer --betas --momentum --weight-decay --schedule --warmup --clip-norm --val \
                 --checkpoint-every --out --overwrite --resume --config --dry-run --json --data --temperature --method";
    let pretrain = help(&["pretrain", "--help"]);
    flags.split_whitespace().for_each(|flag| assert!(pretrain.contains(flag), "pretrain --help does not name {flag}"));
}

#[test]
fn a_run_folder_is_complete_and_repeats() {
    let run = runs().join("pre");
    for file in ["config.toml", "metrics.jsonl", "train.log", "checkpoints/last.safetensors", "checkpoints/best.safetensors"] {
        assert!(fs::metadata(run.join(file)).is_ok_and(|m| m.len() > 0), "{file} is missing or empty");
    }
    let rows = fs::read_to_string(run.join("metrics.jsonl")).expect("it is there");
    let first: Value = serde_json::from_str(rows.lines().next().expect("a row")).expect("JSON");
    for key in ["step", "epoch", "loss", "lr", "grad_norm", "samples_per_s"] {
        assert!(first[key].is_number(), "no `{key}` in {first}");
    }
    let dir = tempfile::tempdir().expect("a folder");
    let config = run.join("config.toml");
    json(dir.path(), &["pretrain", "--config", config.to_str().expect("UTF-8"), "--out", "again"]);
    let bytes = |run: PathBuf| fs::read(run.join("checkpoints/last.safetensors")).expect("it is there");
    assert!(bytes(run) == bytes(dir.path().join("again")), "the same config gave another checkpoint");
}

#[test]
fn adamw_is_a_matter_of_flags_and_its_state_is_saved() {
    let dir = tempfile::tempdir().expect("a folder");
    let flags = ["--optimizer", "adamw", "--betas", "0.8,0.99", "--lr", "0.01", "--weight-decay", "0.1"];
    json(dir.path(), &[&SMALL[..SMALL.len() - 1], &["6"], &flags, &["--out", "first"]].concat());
    let config = fs::read_to_string(dir.path().join("first/config.toml")).expect("it is there");
    assert!(config.contains("optimizer = \"adamw\"") && config.contains("betas = ["), "{config}");
    json(dir.path(), &["pretrain", "--config", "first/config.toml", "--out", "again"]);
    let bytes = |run: &str| fs::read(dir.path().join(run).join("checkpoints/last.safetensors")).expect("it is there");
    assert!(bytes("first") == bytes("again"), "the same config gave another checkpoint");
    let (whole, sgd) = (bytes("first"), fs::read(runs().join("pre/checkpoints/last.safetensors")).expect("it is there"));
    let file = safetensors::SafeTensors::deserialize(&whole).expect("it is safetensors");
    let second = file.tensor("state.second_moment.encoder.0.weight").expect("the second moment is saved");
    assert_eq!(second.shape(), [24, 784]);
    assert!(second.data().iter().any(|&byte| byte != 0));
    let file = safetensors::SafeTensors::deserialize(&sgd).expect("it is safetensors");
    assert!(file.names().iter().all(|name| !name.contains("second_moment")), "SGD has no second moments");
}

#[test]
fn a_preview_shows_images_and_what_becomes_of_them() {
    let dir = tempfile::tempdir().expect("a folder");
    let draw = |args: &[&str], file: &str| {
        json(dir.path(), &[args, &["--device", "cpu", "--augment-preview", file]].concat());
        image::open(dir.path().join(file)).expect("a picture").into_rgb8()
    };
    let (strong, light) = (draw(&["pretrain"], "strong.png"), draw(&["finetune", "--augment", "light"], "light.png"));
    assert!(!dir.path().join("runs").exists(), "nothing is trained");
    assert_eq!(strong.dimensions(), light.dimensions());
    // Pixels of a tile: eight in a line.
    let pitch = (strong.width() - 40 + 12) / 8;
    let tile = |sheet: &image::RgbImage, column: u32| -> Vec<u8> {
        let part = image::imageops::crop_imm(sheet, 20 + column * pitch, 56, pitch - 12, sheet.height() - 76);
        part.to_image().into_raw()
    };
    for sheet in [&strong, &light] {
        let tiles: Vec<Vec<u8>> = (0..8).map(|column| tile(sheet, column)).collect();
        for version in 1..8 {
            assert!(tiles[..version].iter().all(|other| *other != tiles[version]), "version {version} is another one");
        }
    }
    let away = |sheet| tile(sheet, 0).iter().zip(tile(sheet, 3)).map(|(a, b)| u64::from(a.abs_diff(b))).sum::<u64>();
    assert!(away(&light) < away(&strong), "light changes less than strong: {} and {}", away(&light), away(&strong));
    refused(dir.path(), &["finetune", "--device", "cpu", "--augment-preview", "x.png"], 2, &["nothing to preview", "--augment"]);
    refused(dir.path(), &["pretrain", "--augment", "loud"], 2, &["photos-strong"]);
}

#[test]
fn older_augment_tables_mean_what_they_meant() {
    let dir = tempfile::tempdir().expect("a folder");
    let table = "[augment]\nrotation = 12.0\nscale = 0.1\naspect = 0.0\nshear = 0.0\nshift = 0.1\ncontrast = 0.2\nbrightness = 0.0\n\
                 noise = 0.05\nerase = 4\n";
    fs::write(dir.path().join("old.toml"), table).expect("it is written");
    json(dir.path(), &[&SMALL[..SMALL.len() - 1], &["2", "--config", "old.toml", "--out", "run"]].concat());
    let config: toml::Table = fs::read_to_string(dir.path().join("run/config.toml")).expect("it is there").parse().expect("TOML");
    let number = |key: &str| config["augment"][key].as_float().unwrap_or_else(|| panic!("no number `{key}`"));
    assert_eq!((number("rotation"), number("elastic"), number("thickness"), number("flip")), (12.0, 0.0, 0.0, 0.0));
    fs::write(dir.path().join("wrong.toml"), "[augment]\nflip = 2.0\n").expect("it is written");
    refused(dir.path(), &["pretrain", "--config", "wrong.toml"], 2, &["flip is 2", "at most 1"]);
}

#[test]
fn weights_have_plain_names_and_pytorchs_shapes() {
    let bytes = fs::read(runs().join("tuned/checkpoints/last.safetensors")).expect("it is there");
    let file = safetensors::SafeTensors::deserialize(&bytes).expect("it is safetensors");
    let shape = |name: &str| file.tensor(name).unwrap_or_else(|_| panic!("no {name}")).shape().to_vec();
    assert_eq!(shape("encoder.0.weight"), [24, 784]);
    assert_eq!(shape("encoder.0.bias"), [24]);
    assert_eq!(shape("head.weight"), [10, 24]);
    assert_eq!(shape("state.momentum.head.bias"), [10]);
    assert!(file.names().iter().all(|name| !name.starts_with("projection")), "the projection head is dropped");
}

#[test]
fn eval_and_predict_use_the_run() {
    let tuned = json(runs(), &["eval", "tuned", "--device", "cpu"]);
    assert_eq!(tuned["samples"], 10_000);
    let dir = tempfile::tempdir().expect("a folder");
    let run = runs().join("tuned");
    picture(&dir.path().join("one.png"), 28, 28, false);
    picture(&dir.path().join("dark.jpg"), 280, 280, true);
    let predict = |files: &[&str]| json(dir.path(), &[&["predict", run.to_str().expect("UTF-8"), "--device", "cpu"], files].concat());
    let found = predict(&["one.png"])["predictions"].clone();
    assert_eq!(found[0]["file"], "one.png");
    assert!(found[0]["class"].as_u64().is_some_and(|c| c < 10) && found[0]["probability"].as_f64().is_some_and(|p| p > 0.0 && p <= 1.0));
    assert_eq!(predict(&["--invert", "dark.jpg"])["predictions"][0]["class"], found[0]["class"], "the same stroke, other size and paper");
    // One of three cannot be read: the others are predicted, and the exit code says so.
    fs::write(dir.path().join("broken.png"), b"not a picture").expect("it is written");
    let output = wgraft(
        dir.path(),
        &["predict", run.to_str().expect("UTF-8"), "one.png", "broken.png", "missing.png", "dark.jpg", "--device", "cpu"],
    );
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(String::from_utf8_lossy(&output.stdout).lines().count(), 2);
    assert!(stderr(&output).contains("broken.png") && stderr(&output).contains("missing.png"), "{}", stderr(&output));
}

#[test]
fn wrong_use_is_refused_with_code_2() {
    let dir = runs();
    refused(dir, &["pretrain", "--no-such-flag"], 2, &["--no-such-flag"]);
    refused(dir, &["pretrain", "--out", "pre"], 2, &["pre exists", "--overwrite"]);
    refused(dir, &["pretrain", "--resume", "--out", "nowhere"], 2, &["nowhere", "no run folder"]);
    refused(dir, &["pretrain", "--device", "cpu", "--batch", "20000", "--out", "x"], 2, &["20000", "9000"]);
    refused(dir, &["pretrain", "--device", "cpu", "--batch", "0", "--out", "x"], 2, &["--batch"]);
    refused(dir, &["pretrain", "--device", "cpu", "--lr", "nan", "--out", "x"], 2, &["--lr"]);
    refused(dir, &["pretrain", "--device", "cpu", "--optimizer", "adam", "--out", "x"], 2, &["--lr 0.001"]);
    refused(dir, &["pretrain", "--device", "cpu", "--optimizer", "adam", "--betas", "0.9", "--out", "x"], 2, &["0.9,0.999"]);
    refused(dir, &["pretrain", "--device", "cpu", "--betas", "0.9,1", "--out", "x"], 2, &["--betas"]);
    refused(dir, &["pretrain", "--device", "cpu", "--temperature", "0", "--out", "x"], 2, &["--temperature"]);
    refused(dir, &["pretrain", "--config", "tuned/config.toml", "--out", "x"], 2, &["finetune"]);
    refused(dir, &["finetune", "--from", "pre", "--hidden", "7", "--out", "x"], 2, &["24"]);
    refused(dir, &["pretrain", "--model", "cnn", "--hidden", "7", "--out", "x"], 2, &["cnn of width 16", "--hidden"]);
    refused(dir, &["finetune", "--model", "mlp", "--width", "7", "--out", "x"], 2, &["mlp [128]", "--width"]);
    refused(dir, &["finetune", "--from", "pre", "--width", "7", "--out", "x"], 2, &["pre is mlp [24]", "--width"]);
    refused(dir, &["pretrain", "--width", "0", "--out", "x"], 2, &["--width must be at least 1"]);
    refused(dir, &["pretrain", "--features", "0", "--out", "x"], 2, &["--features must be at least 1"]);
    refused(dir, &["pretrain", "--method", "vicreg", "--temperature", "1", "--out", "x"], 2, &["--temperature", "vicreg"]);
    refused(dir, &["finetune", "--steps", "9", "--head-steps", "9", "--device", "cpu", "--out", "x"], 2, &["--head-steps 9"]);
    refused(dir, &["check", "--kernel", "zzz", "--device", "cpu"], 2, &["matmul"]);
    assert!(!dir.join("x").exists(), "a refused command left a folder behind");
}

#[test]
fn unknown_devices_are_listed_with_what_there_is() {
    refused(runs(), &["pretrain", "--device", "vulkan:no such adapter", "--out", "x"], 2, &["no such adapter", "cpu"]);
    refused(runs(), &["check", "--device", "99"], 2, &["`99`", "cpu"]);
    refused(runs(), &["check", "--self-test", "--device", "cpu"], 3, &["adapter"]);
}

#[test]
fn damaged_data_are_named() {
    let dir = tempfile::tempdir().expect("a folder");
    let pretrain = |code, parts: &[&str]| {
        refused(dir.path(), &["pretrain", "--device", "cpu", "--data", ".", "--batch", "4", "--out", "x"], code, parts)
    };
    refused(dir.path(), &["pretrain", "--data", "missing", "--out", "x"], 1, &["there is no missing"]);
    pretrain(1, &["train-images-idx3-ubyte"]);
    mnist(dir.path(), 30, 29);
    pretrain(1, &["30 images", "29 labels"]);
    mnist(dir.path(), 30, 30);
    let images = dir.path().join("train-images-idx3-ubyte");
    let whole = fs::read(&images).expect("it is there");
    fs::write(&images, &whole[..whole.len() - 1]).expect("it is written");
    pretrain(1, &["train-images-idx3-ubyte", "cut off"]);
    fs::copy(dir.path().join("train-labels-idx1-ubyte"), &images).expect("it is copied");
    pretrain(1, &["train-images-idx3-ubyte", "swapped"]);
    fs::write(&images, [0x1F, 0x8B, 8, 0, 0, 0]).expect("it is written");
    pretrain(1, &["gzip"]);
    assert!(!dir.path().join("x").exists(), "a refused command left a folder behind");
    // Sound, and with no labels at all: pretraining is still possible.
    fs::write(&images, whole).expect("it is written");
    fs::remove_file(dir.path().join("train-labels-idx1-ubyte")).expect("it is removed");
    let done = json(
        dir.path(),
        &["pretrain", "--device", "cpu", "--data", ".", "--batch", "8", "--steps", "4", "--hidden", "8", "--out", "unlabelled"],
    );
    assert!(done["knn_accuracy"].is_null() && done["embedding_std"].is_f64(), "{done}");
    refused(dir.path(), &["finetune", "--device", "cpu", "--data", ".", "--out", "x"], 2, &["no labels"]);
}

#[test]
fn image_folders_are_trained_on_and_their_options_repeat() {
    let dir = tempfile::tempdir().expect("a folder");
    let write = |name: &str, side: u32| {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("it is made");
        picture(&path, side, side, name.starts_with("photos/light"));
    };
    (0..10).for_each(|i| write(&format!("photos/light/{i}.png"), 20 + i));
    (0..10).for_each(|i| write(&format!("photos/dark/{i}.png"), 20 + i));
    let small = ["--device", "cpu", "--data", "photos", "--batch", "4", "--steps", "30"];
    refused(dir.path(), &["pretrain", "--data", "photos", "--size", "0", "--out", "x"], 2, &["--size", "48x64"]);
    json(dir.path(), &[&["pretrain", "--size", "12x10", "--hidden", "8", "--out", "pre"], &small[..]].concat());
    let config = fs::read_to_string(dir.path().join("pre/config.toml")).expect("it is there");
    assert!(config.contains("size = [\n    12,\n    10,\n]") || config.contains("size = [12, 10]"), "{config}");
    json(dir.path(), &["pretrain", "--config", "pre/config.toml", "--out", "again"]);
    let bytes = |run: &str| fs::read(dir.path().join(run).join("checkpoints/last.safetensors")).expect("it is there");
    assert!(bytes("pre") == bytes("again"), "the same config gave another checkpoint");
    // Fine-tuning and evaluation take the size of the encoder; the digits are resized to it.
    let tuned = json(dir.path(), &[&["finetune", "--from", "pre", "--lr", "0.1", "--out", "tuned"], &small[..], REFERENCE].concat());
    assert!(tuned["test_accuracy"] == 1.0 && tuned["samples"] == 4, "light and dark are easy to tell apart: {tuned}");
    assert_eq!(json(dir.path(), &["eval", "tuned", "--device", "cpu"])["test_accuracy"], 1.0);
    let found = json(dir.path(), &["predict", "tuned", "photos/light/3.png", "photos/dark/3.png", "--device", "cpu"]);
    assert!(found["predictions"][0]["class"] == 1 && found["predictions"][1]["class"] == 0, "{found}");
    let name = |i: usize| found["predictions"][i]["name"].as_str().unwrap_or_default().to_string();
    assert!(name(0) > name(1) && !name(1).is_empty(), "classes are numbered as their names are sorted: {found}");
    let output = wgraft(dir.path(), &["finetune", "--from", "pre", "--device", "cpu", "--steps", "2", "--out", "digits"]);
    assert!(output.status.success() && stderr(&output).contains("resized to 12x10"), "{}", stderr(&output));
    refused(dir.path(), &["finetune", "--data", "photos/dark", "--device", "cpu", "--out", "x"], 1, &["no class folders"]);
}

#[test]
fn damaged_checkpoints_are_named() {
    let dir = copy_of("tuned");
    let best = dir.path().join("run/checkpoints/best.safetensors");
    let eval = |code, parts: &[&str]| refused(dir.path(), &["eval", "run", "--device", "cpu"], code, parts);
    let whole = fs::read(&best).expect("it is there");
    fs::write(&best, &whole[..whole.len() / 2]).expect("it is written");
    eval(1, &["best.safetensors", "cut off"]);
    fs::write(&best, b"something else entirely").expect("it is written");
    eval(1, &["best.safetensors", "safetensors"]);
    let tensor = safetensors::tensor::TensorView::new(safetensors::Dtype::F32, vec![1], &[0; 4]).expect("a tensor");
    fs::write(&best, safetensors::serialize([("w", tensor)], None).expect("a file")).expect("it is written");
    eval(1, &["none of wgraft's"]);
    // Of another model: the record says one thing, the tensors another.
    let at = whole.windows(4).position(|bytes| bytes == b"[24]").expect("the record names the model");
    let mut other = whole;
    other[at..at + 4].copy_from_slice(b"[25]");
    fs::write(&best, other).expect("it is written");
    eval(1, &["encoder.0", "another model"]);
    refused(dir.path(), &["eval", "missing.safetensors", "--device", "cpu"], 1, &["missing.safetensors"]);
}

#[test]
fn places_that_cannot_be_written_are_named() {
    refused(runs(), &[SMALL, &["--out", "/proc/wgraft"]].concat(), 1, &["/proc/wgraft"]);
    let dir = tempfile::tempdir().expect("a folder");
    fs::create_dir(dir.path().join("photos")).and_then(|()| fs::write(dir.path().join("photos/cat.txt"), "mine")).expect("a file");
    refused(dir.path(), &[SMALL, &["--out", "photos", "--overwrite"]].concat(), 2, &["photos", "no run folder"]);
    assert_eq!(fs::read_to_string(dir.path().join("photos/cat.txt")).expect("it is still there"), "mine");
}

#[test]
fn a_dry_run_trains_nothing() {
    let dir = tempfile::tempdir().expect("a folder");
    let said = json(dir.path(), &["pretrain", "--dry-run", "--device", "cpu"]);
    for key in ["parameters", "batch", "steps", "device_bytes", "device"] {
        assert!(!said[key].is_null(), "no `{key}` in {said}");
    }
    // What would run for a century is described at once, and takes no more room.
    for (flag, count) in [("--steps", "4"), ("--steps", "10000000"), ("--steps", "4294967295"), ("--epochs", "10000000")] {
        let other = json(dir.path(), &["pretrain", "--dry-run", "--device", "cpu", flag, count]);
        assert_eq!(other["device_bytes"], said["device_bytes"], "{flag} {count}");
    }
    let made = fs::read_dir(dir.path()).expect("it is there").flatten().map(|entry| entry.file_name());
    assert_eq!(made.filter(|name| name != "cache").count(), 0);
}

/// The most bytes of memory that a process has had at once; `None` once it has ended, and where there is no /proc.
fn peak_of(process: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(1024 * peak.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?)
}

#[test]
fn a_process_takes_the_memory_that_a_dry_run_foretells() {
    if peak_of("self").is_none() {
        wgraft::say!("\n*** SKIPPED: no /proc tells of the memory of processes: what --dry-run foretells was NOT tested ***\n");
        return;
    }
    for (model, small, large) in [("mlp", "64", "4096"), ("cnn", "16", "256")] {
        let [few, many] = [small, large].map(|batch| {
            let dir = tempfile::tempdir().expect("a folder");
            let args = ["pretrain", "--device", "cpu", "--steps", "3", "--model", model, "--batch", batch];
            let foretold = json(dir.path(), &[&args[..], &["--dry-run"]].concat())["device_bytes"].as_f64().expect("a number");
            let mut command = Command::new(env!("CARGO_BIN_EXE_wgraft"));
            let mut child = command.args(args).current_dir(dir.path()).stderr(Stdio::null()).spawn().expect("the binary runs");
            let (process, mut peak) = (child.id().to_string(), 0);
            let status = loop {
                peak = peak_of(&process).unwrap_or(peak);
                if let Some(status) = child.try_wait().expect("it is ours") {
                    break status;
                }
                std::thread::sleep(std::time::Duration::from_millis(2));
            };
            assert!(status.success(), "{args:?}");
            [foretold, peak as f64]
        });
        // What a process takes for any batch, for images and checkpoints above all, is in both.
        let [foretold, taken] = [0, 1].map(|i| many[i] - few[i]);
        println!("{model}, batch {large} instead of {small}: {foretold} more bytes foretold, {taken} taken");
        assert!(foretold > 1e8 && (taken / foretold - 1.0).abs() < 0.1, "{model}: {foretold} more bytes foretold, {taken} taken");
    }
}

#[test]
fn show_prints_a_call_per_line_with_shapes() {
    let dir = tempfile::tempdir().expect("a folder");
    let output = wgraft(dir.path(), &["show", "finetune"]);
    let text = String::from_utf8_lossy(&output.stdout);
    for part in ["train (", "encoder.0", "matmul", "[64x784]", "[128x784]", "update group 0", "tail ("] {
        assert!(text.contains(part), "no `{part}` in {text}");
    }
}

#[test]
fn check_and_devices_report_as_documented() {
    let checked = json(runs(), &["check", "--device", "cpu"]);
    assert_eq!(checked["ok"], true);
    let kernels = checked["kernels"].as_array().expect("a list");
    assert_eq!(kernels.len(), wgraft::kernels::KERNELS.len());
    for kernel in kernels {
        assert!(kernel["name"].is_string() && kernel["cases"].is_u64() && kernel["worst"].is_f64() && kernel["ok"] == true, "{kernel}");
    }
    assert!(json(runs(), &["devices"])["adapters"].is_array());
}

#[cfg(unix)]
#[test]
fn ctrl_c_saves_and_resume_ends_with_the_same_bytes() {
    let dir = tempfile::tempdir().expect("a folder");
    let long = [&SMALL[..SMALL.len() - 1], &["3000"]].concat();
    json(dir.path(), &[&long[..], &["--out", "whole"]].concat());
    let mut child = Command::new(env!("CARGO_BIN_EXE_wgraft"))
        .args([&long[..], &["--out", "parts"]].concat())
        .current_dir(dir.path())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    let metrics = dir.path().join("parts/metrics.jsonl");
    while fs::metadata(&metrics).map_or(0, |m| m.len()) < 1000 {
        assert!(child.try_wait().expect("it is ours").is_none(), "it ended before it was interrupted");
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill runs");
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(130), "{}", stderr(&output));
    assert!(stderr(&output).contains("--resume --out parts"), "{}", stderr(&output));
    json(dir.path(), &["pretrain", "--resume", "--out", "parts"]);
    for name in ["last", "best"] {
        let bytes = |run: &str| fs::read(dir.path().join(run).join(format!("checkpoints/{name}.safetensors"))).expect("it was saved");
        assert!(bytes("whole") == bytes("parts"), "`{name}` differs after Ctrl-C and --resume");
    }
}

#[test]
fn bench_and_profile_measure() {
    let dir = tempfile::tempdir().expect("a place for files");
    let found = json(dir.path(), &["bench", "--device", "cpu", "--only", "64x128x10"]);
    assert!(["fma_gflops", "copy_gb_per_s"].iter().all(|limit| found["roofline"][limit].as_f64().is_some_and(|v| v > 0.0)), "{found}");
    let workload = &found["workloads"][0];
    let numbers = ["ms", "gflops", "fraction_of_peak", "device_bytes"].map(|key| workload[key].as_f64().unwrap_or(0.0));
    assert!(workload["name"] == "matmul NT 64x128x10" && numbers.iter().all(|&n| n > 0.0), "{found}");
    refused(dir.path(), &["bench", "--device", "cpu", "--only", "nothing"], 2, &["no workload matches", "matmul 256"]);

    let found = json(dir.path(), &["profile", "--device", "cpu", "--of", "finetune", "--hidden", "8", "--batch", "4"]);
    let calls = found["calls"].as_array().expect("a list of calls");
    assert!(calls.iter().any(|call| call["label"] == "encoder.0: weight and bias gradient" && call["kernel"] == "matmul"), "{found}");
    let sum: f64 = calls.iter().map(|call| call["ms"].as_f64().expect("a time")).sum();
    assert!((sum / found["sum_ms"].as_f64().expect("a time") - 1.0).abs() < 1e-9, "{found}");
    let sorted = calls.windows(2).all(|pair| pair[0]["ms"].as_f64() >= pair[1]["ms"].as_f64());
    assert!(sorted, "{found}");
    let of_run = json(runs(), &["profile", "tuned", "--device", "cpu"]);
    assert!(of_run["step"].as_str().is_some_and(|step| step.contains("finetune") && step.contains("[24]")), "{of_run}");
    refused(dir.path(), &["profile", "nowhere", "--device", "cpu"], 2, &["nowhere", "no run folder"]);
    refused(dir.path(), &["tune", "--device", "cpu"], 3, &["nothing to tune", "devices"]);
}

#[test]
fn tuned_choices_are_kept_and_a_broken_file_is_no_obstacle() {
    if common::gpu().is_none() {
        return;
    }
    let dir = tempfile::tempdir().expect("a place for files");
    let device = common::test_device();
    let found = json(dir.path(), &["tune", "--device", &device, "--of", "finetune", "--hidden", "8", "--batch", "4"]);
    let kinds = found["kinds"].as_array().expect("a list of kinds");
    let one = |kind: &Value, key: &str| kind["candidates"].as_array().map_or(0, |all| all.iter().filter(|c| c[key] == true).count());
    assert!(kinds.len() > 3 && kinds.iter().all(|kind| one(kind, "chosen") == 1 && one(kind, "default") == 1), "{found}");
    let file = dir.path().join("cache/tuned.json");
    let kept: Value = serde_json::from_str(&fs::read_to_string(&file).expect("choices were kept")).expect("it is JSON");
    let choices = kept.as_object().and_then(|adapters| adapters.values().next()).and_then(Value::as_object).expect("one adapter");
    assert_eq!(choices.len(), kinds.len());

    fs::write(&file, "{").expect("it writes");
    let dry = ["finetune", "--from", "scratch", "--hidden", "8", "--labels-per-class", "1", "--dry-run", "--device", &device];
    let output = wgraft(dir.path(), &dry);
    assert!(output.status.success() && stderr(&output).contains("going on without tuned choices"), "{}", stderr(&output));
}
