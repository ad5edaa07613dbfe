//! What commands write: never over what they read, over nothing unasked, known to be possible before the work, and by one at a time.

use crate::common;

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use common::binary::{json, refused, stderr, tree, wgraft};
use common::files::{encoded, mask, own_copy, put};
use image::{GrayImage, ImageFormat, Luma};
use tempfile::TempDir;

const CPU: [&str; 2] = ["--device", "cpu"];

/// Two classes of ten pictures in `data`, pictures with masks in `parts`; runs of each kind: `pre`, `tuned` and `masks`.
fn runs() -> &'static Path {
    static RUNS: OnceLock<TempDir> = OnceLock::new();
    let dir = RUNS.get_or_init(|| {
        let dir = common::files::folder();
        for i in 0..10u8 {
            put(dir.path(), &format!("data/dark/{i}.png"), noisy(20, i));
            put(dir.path(), &format!("data/light/{i}.png"), noisy(200, i));
            put(dir.path(), &format!("parts/images/{i}.png"), noisy(100, i));
            let values: Vec<u8> = (0..64).map(|pixel| u8::from(pixel % 8 < 4)).collect();
            put(dir.path(), &format!("parts/masks/{i}.png"), mask(8, 8, &values));
        }
        let train = |args: &[&str]| json(dir.path(), &[args, &["--batch", "4", "--steps", "4"], &CPU].concat());
        train(&["pretrain", "--data", "data", "--hidden", "8", "--projection", "4", "--out", "pre"]);
        train(&["finetune", "--data", "data", "--hidden", "8", "--out", "tuned"]);
        train(&["finetune", "--data", "parts", "--task", "segment", "--width", "4", "--out", "masks"]);
        dir
    });
    own_copy(dir.path())
}

fn noisy(level: u8, seed: u8) -> Vec<u8> {
    let noise = |x: u32, y: u32| ((x * 7 + y * 13) as u8).wrapping_mul(seed + 1) % 30;
    encoded(GrayImage::from_fn(8, 8, |x, y| Luma([level + noise(x, y)])), ImageFormat::Png)
}

/// A command that is over before it begins its work, with this said.
fn refuse(args: &[&str], parts: &[&str]) {
    refused(runs(), &[args, &CPU].concat(), 2, parts);
}

fn works(args: &[&str]) {
    json(runs(), &[args, &CPU].concat());
}

#[test]
fn a_changed_tree_is_noticed() {
    let dir = common::files::folder();
    put(dir.path(), "a/file", "old");
    put(dir.path(), "cache/kept", "old");
    let before = tree(dir.path());
    assert_eq!(before.keys().map(|path| path.display().to_string()).collect::<Vec<_>>(), ["a", "a/file"]);
    put(dir.path(), "cache/kept", "new");
    assert_eq!(tree(dir.path()), before, "the cache does not count");
    put(dir.path(), "a/file", "new");
    assert_ne!(tree(dir.path()), before, "other contents");
    put(dir.path(), "a/file", "old");
    assert_eq!(tree(dir.path()), before);
    fs::create_dir(dir.path().join("empty")).expect("it is made");
    assert_ne!(tree(dir.path()), before, "a folder more");
    fs::remove_dir(dir.path().join("empty")).and_then(|()| fs::remove_file(dir.path().join("a/file"))).expect("they are removed");
    assert_ne!(tree(dir.path()), before, "a file less");
}

#[test]
#[should_panic(expected = "is not as it was")]
fn what_succeeds_is_not_taken_for_a_refusal() {
    refused(runs(), &[&["embed", "pre", "data", "--out", "new.csv"][..], &CPU].concat(), 0, &[]);
}

#[test]
fn inputs_are_never_overwritten() {
    let input = ["is an input"];
    fs::copy(runs().join("parts/images/0.png"), runs().join("scene.png")).expect("it is copied");
    // A mask would have the name of its picture.
    refuse(&["predict", "masks", "scene.png", "--out", "."], &["scene.png", "is an input"]);
    refuse(&["predict", "masks", "scene.png", "--out", ".", "--overwrite"], &input);
    let around = ["predict", "masks", "parts/images/0.png", "--out", "nothing/../parts/images", "--overwrite"];
    refused(runs(), &[&around[..], &CPU].concat(), 1, &["there is no nothing"]);
    refuse(&["search", "pre", "scene.png", "--out", "./scene.png", "--overwrite"], &input);
    refuse(&["search", "pre", "scene.png", "--out", "pre/checkpoints/best.safetensors", "--overwrite"], &input);
    refuse(&["search", "pre", "dark/1.png", "--out", "data/dark/1.png", "--overwrite"], &input);
    refuse(&["pretrain", "--data", "data", "--augment-preview", "data/light/1.png", "--overwrite"], &input);
    put(runs(), "data/index.csv", "file,weight\n");
    refuse(&["embed", "pre", "data", "--out", "data/index.csv", "--overwrite"], &input);
    put(runs(), "mine/labels.csv", "file,label\ndark/0.png,dark\nlight/0.png,light\n");
    refuse(&["label", "pre", "--labels", "mine/labels.csv", "--out", "mine", "--overwrite"], &input);
    // A run that begins with what its folder holds.
    refuse(&["finetune", "--from", "pre", "--data", "data", "--out", "pre", "--overwrite"], &["pre holds an input", "best.safetensors"]);
    refuse(&["pretrain", "--config", "pre/config.toml", "--out", "pre", "--overwrite"], &["pre holds an input", "config.toml"]);
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink("scene.png", runs().join("link.png")).expect("it is linked");
        fs::hard_link(runs().join("scene.png"), runs().join("second.png")).expect("it is linked");
        for out in ["link.png", "second.png"] {
            refuse(&["search", "pre", "scene.png", "--out", out, "--overwrite"], &[out, "is an input"]);
            refuse(&["search", "pre", out, "--out", "scene.png", "--overwrite"], &["scene.png", "is an input"]);
        }
    }
}

#[test]
fn what_exists_is_replaced_only_when_asked() {
    let exists = ["exists", "--overwrite"];
    for file in
        ["all.csv", "all.npy", "some.files.csv", "found.png", "preview.png", "results/0.png", "results/ask-next.png", "results/curve.csv"]
    {
        put(runs(), file, "mine");
    }
    let curve =
        ["curve", "--from", "pre", "--labels-per-class", "1", "--draws", "1", "--choose-draws", "1", "--steps", "3", "--lr-grid", "0.1"];
    let commands: [&[&str]; 8] = [
        &["embed", "pre", "data", "--out", "all.csv"],
        &["embed", "pre", "data", "--out", "all.npy"],
        &["embed", "pre", "data", "--out", "some.npy"],
        &["search", "pre", "data/dark/0.png", "--out", "found.png"],
        &["pretrain", "--data", "data", "--augment-preview", "preview.png"],
        &["predict", "masks", "parts/images/0.png", "--out", "results"],
        &["label", "pre", "--labels-per-class", "1", "--out", "results"],
        &[&curve[..], &["--out", "results"]].concat(),
    ];
    for command in commands {
        refuse(command, &exists);
        works(&[command, &["--overwrite"]].concat());
    }
    // In the run folder, once is not twice.
    works(&["label", "pre", "--labels-per-class", "1"]);
    refuse(&["label", "pre", "--labels-per-class", "1"], &["labels.csv", "exists"]);
    works(&["label", "pre", "--labels-per-class", "1", "--overwrite"]);
    // Within the data, but none of them.
    works(&["embed", "pre", "data", "--out", "data/all.csv"]);
    works(&["embed", "pre", "data", "--out", "data/all.csv", "--overwrite"]);
    // What is no file is not replaced at all.
    refuse(&["embed", "pre", "data", "--out", "results/../folder.csv", "--overwrite", "--threads", "2000"], &["--threads 2000"]);
    fs::create_dir(runs().join("folder.csv")).expect("it is made");
    refuse(&["embed", "pre", "data", "--out", "folder.csv", "--overwrite"], &["exists and is no file"]);
}

#[test]
fn places_that_cannot_be_written_are_found_before_the_work() {
    put(runs(), "file", "mine");
    let refuse = |args: &[&str], late: &str| {
        let args = [args, &CPU].concat();
        refused(runs(), &args, 1, &["cannot write file/"]);
        assert!(!stderr(&wgraft(runs(), &args)).contains(late), "{args:?} worked first");
    };
    refuse(&["embed", "pre", "data", "--out", "file/x.csv"], "device:");
    refuse(&["search", "pre", "data/dark/0.png", "--out", "file/x.png"], "device:");
    refuse(&["predict", "masks", "parts/images/0.png", "--out", "file/x"], "device:");
    refuse(&["label", "pre", "--labels-per-class", "1", "--out", "file/x"], "device:");
    refuse(&["curve", "--from", "pre", "--out", "file/x"], "device:");
    refuse(&["pretrain", "--data", "data", "--augment-preview", "file/x.png"], "device:");
    refuse(&["finetune", "--data", "data", "--out", "file/x"], "device:");
    put(runs(), "runs", "mine");
    refused(runs(), &[&["finetune", "--data", "data"][..], &CPU].concat(), 1, &["cannot write runs/"]);
}

#[cfg(target_os = "linux")]
#[test]
fn results_that_cannot_be_printed_are_an_error_but_a_closed_pipe_is_none() {
    let status = |to: Stdio, json: &[&str]| {
        let args = [&["predict", "tuned", "data/dark/0.png"], &CPU[..], json].concat();
        let mut command = Command::new(env!("CARGO_BIN_EXE_wgraft"));
        let output = command.args(args).current_dir(runs()).stdout(to).stderr(Stdio::piped()).output().expect("it runs");
        (output.status.code(), stderr(&output))
    };
    for json in [&[][..], &["--json"]] {
        let full = fs::OpenOptions::new().write(true).open("/dev/full").expect("Linux has it");
        let (code, text) = status(full.into(), json);
        assert!(code == Some(1) && text.contains("cannot be written to stdout"), "{text}");
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        assert_eq!(status(writer.into(), json).0, Some(0));
    }
}

#[test]
fn threads_are_counted_before_pictures_are_decoded() {
    for args in [
        &["pretrain", "--data", "data", "--batch", "4", "--steps", "1", "--out", "a"][..],
        &["finetune", "--data", "data", "--batch", "4", "--steps", "1", "--out", "b"],
        &["eval", "tuned"],
        &["predict", "tuned", "data/dark/0.png"],
        &["embed", "pre", "data", "--out", "e.csv"],
        &["search", "pre", "data/dark/0.png"],
        &["label", "pre", "--labels-per-class", "1", "--out", "l"],
    ] {
        let output = wgraft(runs(), &[args, &CPU, &["--threads", "3"]].concat());
        let text = stderr(&output);
        assert!(output.status.success() && text.contains("device: cpu (3 threads)"), "{args:?}: {text}");
    }
    // And those of a file of settings.
    put(runs(), "three.toml", "[run]\nthreads = 3\nsteps = 1\nbatch = 4\ndata = \"data\"\n");
    let text = stderr(&wgraft(runs(), &["finetune", "--config", "three.toml", "--device", "cpu", "--out", "c"]));
    assert!(text.contains("device: cpu (3 threads)"), "{text}");
}

/// A run of very many steps, which is at it when this returns.
fn busy(dir: &Path, out: &[&str]) -> Child {
    let args = ["finetune", "--data", "data", "--hidden", "8", "--batch", "4", "--steps", "200000", "--checkpoint-every", "50"];
    let mut command = Command::new(env!("CARGO_BIN_EXE_wgraft"));
    let mut child = command.args([&args[..], &CPU, out].concat()).current_dir(dir).stderr(Stdio::null()).spawn().expect("it runs");
    let at_it = dir.join(out.last().map_or("runs/finetune-1", |out| out)).join("checkpoints/last.safetensors");
    while !at_it.exists() {
        assert!(child.try_wait().expect("it is ours").is_none(), "it ended before it was at it");
        std::thread::sleep(Duration::from_millis(5));
    }
    child
}

#[test]
fn a_run_folder_has_one_writer() {
    let dir = runs();
    let mut first = busy(dir, &["--out", "R"]);
    let second = |args: &[&str]| {
        let output = wgraft(dir, &[args, &CPU].concat());
        let text = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {text}");
        assert!(text.contains("another process is writing to R"), "{args:?}: {text}");
    };
    second(&["finetune", "--data", "data", "--steps", "2", "--batch", "4", "--seed", "2", "--out", "R", "--overwrite"]);
    second(&["finetune", "--resume", "--out", "R"]);
    second(&["label", "R", "--labels-per-class", "1"]);
    first.kill().and_then(|()| first.wait()).expect("it is ours");
    assert!(fs::read_to_string(dir.join("R/config.toml")).expect("it is there").contains("seed = 0"), "the first one's settings");
    // Free again, with the process gone.
    json(dir, &[&["finetune", "--data", "data", "--steps", "2", "--batch", "4", "--out", "R", "--overwrite"][..], &CPU].concat());
}

#[test]
fn runs_are_numbered_upwards() {
    let dir = runs();
    let train = ["finetune", "--data", "data", "--hidden", "8", "--batch", "4", "--steps", "4", "--device", "cpu", "--json"];
    let children: Vec<Child> = (0..3)
        .map(|_| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_wgraft"));
            command.args(train).current_dir(dir).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("it runs")
        })
        .collect();
    let run = |child: Child| {
        let output = child.wait_with_output().expect("it ends");
        assert!(output.status.success());
        serde_json::from_slice::<serde_json::Value>(&output.stdout).expect("JSON")["run"].as_str().expect("a path").to_string()
    };
    let mut named: Vec<String> = children.into_iter().map(run).collect();
    named.sort();
    assert_eq!(named, ["runs/finetune-1", "runs/finetune-2", "runs/finetune-3"], "started together, each has a folder of its own");
    // Gaps stay, and the latest is the highest.
    fs::remove_dir_all(dir.join("runs/finetune-2")).expect("it is removed");
    fs::rename(dir.join("runs/finetune-3"), dir.join("runs/finetune-10")).expect("it is renamed");
    assert_eq!(json(dir, &train[..train.len() - 1])["run"], "runs/finetune-11");
    assert_eq!(json(dir, &["finetune", "--resume", "--device", "cpu"])["run"], "runs/finetune-11");
}

#[test]
fn pretraining_names_what_comes_next() {
    let dir = runs();
    let pretrain = ["pretrain", "--hidden", "8", "--batch", "4", "--steps", "2", "--device", "cpu"];
    let said = |args: &[&str]| stderr(&wgraft(dir, &[&pretrain[..], args].concat()));
    let text = said(&["--data", "data", "--out", "a"]);
    let parts = ["label a --labels-per-class 1 --balance", "finetune --from a --data data --labels-per-class 10"];
    assert!(parts.iter().all(|part| text.contains(part)), "{text}");
    let text = said(&["--data", "data/dark", "--out", "b"]);
    let parts = ["label b --labels FILE.csv", "finetune --from b --data data/dark --pseudo-labels b/labels.csv"];
    assert!(parts.iter().all(|part| text.contains(part)), "{text}");
}

#[test]
fn settings_that_make_no_sense_are_refused_by_every_verb() {
    let dir = runs();
    refused(dir, &["show", "finetune", "--batch", "0"], 2, &["--batch must be at least 1"]);
    refused(dir, &["show", "pretrain", "--micro-batch", "0"], 2, &["--micro-batch"]);
    refused(dir, &["show", "pretrain", "--out", "x"], 2, &["--out means nothing"]);
    refused(dir, &["show", "finetune", "--from", "pre", "--data", "data", "--hidden", "7"], 2, &["--hidden"]);
    refused(dir, &["finetune", "--epochs", "2", "--steps", "3"], 2, &["--epochs", "--steps"]);
    refuse(&["curve", "--from", "pre", "--batch", "0"], &["--batch"]);
    refuse(&["curve", "--from", "pre", "--lr-grid", "0.1,-1"], &["--lr must be a positive number"]);
}

#[test]
fn software_adapters_are_for_those_who_name_them() {
    let text = stderr(&wgraft(runs(), &["eval", "tuned"]));
    let why = ["as there is no hardware GPU", "as no graphics driver was found", "as it is a hardware GPU"];
    let lines: Vec<&str> = text.lines().filter(|line| line.starts_with("device: ")).collect();
    assert!(lines.len() == 1 && why.iter().any(|why| lines[0].contains(why)), "{text}");
    let software = wgraft::exec::adapters().iter().all(|adapter| adapter.software);
    assert_eq!(lines[0].starts_with("device: cpu"), software, "{text}");
}

#[test]
fn whatever_may_be_read_is_an_input() {
    let (dir, input) = (runs(), ["is an input"]);
    let pixels = (0..8).map(|i| format!("{},{i},2,3,4\n", i % 2)).collect::<String>();
    put(dir, "pix/mnist_train.csv", format!("label,pixel0,pixel1,pixel2,pixel3\n{pixels}"));
    refuse(&["embed", "pre", "pix", "--out", "pix/mnist_train.csv", "--overwrite"], &input);
    // A folder of data is no run's because it has a file of that name.
    put(dir, "data/dark/config.toml", "lr = 1\n");
    refuse(&["search", "pre", "dark/2.png", "--in", "data", "--out", "data/dark/3.png", "--overwrite"], &input);
    #[cfg(unix)]
    {
        put(dir, "elsewhere/0.png", noisy(20, 77));
        std::os::unix::fs::symlink("../../elsewhere/0.png", dir.join("data/dark/link.png")).expect("it is linked");
        refuse(&["search", "pre", "dark/2.png", "--in", "data", "--out", "elsewhere/0.png", "--overwrite"], &input);
    }
}

#[test]
fn only_folders_of_runs_are_written_anew() {
    let dir = runs();
    put(dir, "mine/config.toml", "lr = 1\n");
    put(dir, "mine/labels.csv", "by hand\n");
    put(dir, "mine/checkpoints/mine.pt", "weights\n");
    let again = ["finetune", "--data", "data", "--hidden", "8", "--batch", "4", "--steps", "2", "--overwrite", "--out"];
    refuse(&[&again[..], &["mine"]].concat(), &["exists and is no run folder"]);
    put(dir, "tuned/checkpoints/exported.safetensors", "mine too\n");
    works(&[&again[..], &["tuned"]].concat());
    assert!(dir.join("tuned/checkpoints/exported.safetensors").is_file());
}

#[test]
fn what_means_nothing_is_refused() {
    let train = |args: &[&'static str]| [&["finetune", "--hidden", "8", "--batch", "4", "--steps", "2", "--out", "new"], args].concat();
    refused(runs(), &[&train(&["--target", "x"])[..], &CPU].concat(), 1, &["--target x is for tables"]);
    refused(runs(), &[&train(&["--bits", "12"])[..], &CPU].concat(), 1, &["--bits is for files of pictures"]);
    refuse(&["finetune", "--data", "data", "--overwrite"], &["--overwrite is for what --out names"]);
    refuse(&["predict", "tuned", "data", "--overwrite"], &["--out"]);
    refuse(&["search", "pre", "dark/2.png", "--invert"], &["--invert is for a picture of one's own"]);
    put(runs(), "table.csv", (0..9).fold("x,y\n".to_string(), |text, i| format!("{text}{i},{}\n", 2 * i)));
    refused(
        runs(),
        &["pretrain", "--data", "table.csv", "--device", "cpu"],
        1,
        &["is a table without a column of texts", "images or texts are wanted here"],
    );
    let table = ["--data", "table.csv", "--task", "regress", "--target", "y"];
    refuse(&[&train(&table)[..], &["--size", "16"]].concat(), &["--size is for pictures"]);
}

#[test]
fn records_of_checkpoints_are_examined() {
    let path = runs().join("tuned/checkpoints/best.safetensors");
    let bytes = fs::read(&path).expect("it was saved");
    for (sound, wrong, said) in [
        (r#"\"image\":{\"height\":8"#, r#"\"image\":{\"height\":0"#, "samples of 0x8 pixels"),
        (r#"\"channels\":1"#, r#"\"channels\":9"#, "samples of 8x8 pixels in colour"),
        (r#"\"classes\":2"#, r#"\"classes\":3"#, "2 names for 3 classes"),
    ] {
        let at = bytes.windows(sound.len()).position(|part| part == sound.as_bytes()).expect("it is there");
        let damaged = [&bytes[..at], wrong.as_bytes(), &bytes[at + sound.len()..]].concat();
        put(runs(), "damaged.safetensors", damaged);
        refused(runs(), &[&["predict", "damaged.safetensors", "data"][..], &CPU].concat(), 1, &["the record makes no sense", said]);
    }
}

#[test]
fn a_checkpoint_in_a_run_folder_knows_its_data() {
    let output = wgraft(runs(), &["eval", "tuned/checkpoints/best.safetensors", "--device", "cpu"]);
    assert!(output.status.success() && stderr(&output).contains("data: 2 classes: dark"), "{}", stderr(&output));
}

#[test]
fn pictures_are_embedded_as_they_are_named() {
    let rows = |args: &[&str]| json(runs(), &[&["embed", "pre", "--out", "few.csv", "--overwrite"], args, &CPU].concat())["images"].clone();
    assert_eq!(rows(&["data/dark/0.png"]), 1);
    assert_eq!(rows(&["data/*/1.png"]), 2);
    let names: Vec<String> = fs::read_to_string(runs().join("few.csv"))
        .expect("it was written")
        .lines()
        .map(|line| line.split(',').next().unwrap_or_default().to_string())
        .collect();
    assert_eq!(names[1..], ["data/dark/1.png", "data/light/1.png"]);
    let piped = |list: &str, verb: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wgraft"));
        command.args(verb).args(CPU).current_dir(runs()).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("it runs");
        std::io::Write::write_all(&mut child.stdin.take().expect("a pipe"), list.as_bytes()).expect("it is read");
        child.wait_with_output().expect("it ends")
    };
    let embed = ["embed", "pre", "-", "--out", "few.csv", "--overwrite"];
    assert!(piped("\u{feff}data/dark/0.png\r\ndata/dark/1.png\n", &embed).status.success());
    let output = piped("data/dark/0.png\0data/gone.png\0", &["predict", "tuned", "-"]);
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stdout).lines().count()), (Some(1), 1), "{}", stderr(&output));
}

#[cfg(unix)]
#[test]
fn what_cannot_be_read_in_a_folder_is_named_and_the_exit_code_is_1() {
    std::os::unix::fs::symlink("nowhere.png", runs().join("data/dark/lost.png")).expect("it is linked");
    let output = wgraft(runs(), &["predict", "tuned", "data", "--device", "cpu"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("lost.png"), "{}", stderr(&output));
    // A pipe is not waited for.
    let made = Command::new("mkfifo").arg(runs().join("pipe.png")).status().is_ok_and(|status| status.success());
    assert!(made, "mkfifo is there");
    let output = wgraft(runs(), &["predict", "tuned", "pipe.png", "--device", "cpu"]);
    assert!(stderr(&output).contains("pipe.png is a pipe, a socket or a device"), "{}", stderr(&output));
}

#[test]
fn sizes_beyond_all_machines_are_refused_at_once() {
    let dry = |args: &[&'static str]| [args, &["--dry-run"]].concat();
    refused(
        runs(),
        &[&dry(&["pretrain", "--size", "4096", "--batch", "4100"])[..], &CPU].concat(),
        1,
        &["64 are allowed", "smaller --size"],
    );
    let many = dry(&["finetune", "--data", "data", "--hidden", "8", "--batch", "4", "--epochs", "4000000000"]);
    refused(runs(), &[&many[..], &CPU].concat(), 2, &["--epochs 4000000000 of 4 steps", "too many steps"]);
    let large = dry(&["pretrain", "--data", "data", "--size", "4096", "--batch", "8", "--model", "cnn", "--width", "1024"]);
    refused(runs(), &[&large[..], &CPU].concat(), 3, &["does not fit"]);
}
