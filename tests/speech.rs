//! A published network of sounds: its file stands where a run may, and what it makes of clips.

use crate::common;

use std::f64::consts::PI;
use std::path::Path;

use common::binary::{json, refused, stderr, wgraft};
use common::files::{folder, load, put};
use common::weights::{Named, le_bytes, safetensors, weights};
use wgraft::data::{Dataset, LogMel, ReadOptions, Samples, SoundForm, Split, Truth};
use wgraft::exec::Device;
use wgraft::models::ModelKind;
use wgraft::train::{Checkpoint, Features};

const RATE: u32 = 8000;

/// The network by a formula, under the names of the published graph; with the constant that this has beside them.
fn graph() -> Vec<Named> {
    let of_graph = |(name, shape, values): Named| {
        let (layer, what) = name.rsplit_once('.').expect("a layer");
        let name = match (layer, what) {
            ("conv2d_19", _) => format!("model/{layer}/Conv2D/ReadVariableOp:0"),
            (_, "bias") => format!("model/{layer}/Conv2D_bias_fused_bn"),
            _ => format!("model/{layer}/Conv2D_weights_fused_bn"),
        };
        (name, shape, values)
    };
    let constant = ("const_fold_opt__287".to_string(), vec![1; 4], vec![-0.4]);
    weights(ModelKind::SPEECH_EMBEDDING).into_iter().map(of_graph).chain([constant]).collect()
}

/// The same where the weights of each filter sum to zero, so that it sees where sounds change and not how loud silence is, and are large
/// enough for twenty layers. Roundings grow through those too: it is nothing to compare devices by.
fn steep_graph() -> Vec<Named> {
    let steep = |(name, shape, mut values): Named| {
        if shape.len() == 4 && values.len() > 1 {
            values.chunks_mut(shape[1..].iter().product()).for_each(|filter| {
                let mean = filter.iter().sum::<f32>() / filter.len() as f32;
                filter.iter_mut().for_each(|weight| *weight = 2.0 * (*weight - mean));
            });
        }
        (name, shape, values)
    };
    graph().into_iter().map(steep).collect()
}

/// A field of protobuf's that holds bytes.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut length = bytes.len();
    let mut all = vec![number << 3 | 2];
    while length >= 0x80 {
        all.push(length as u8 | 0x80);
        length >>= 7;
    }
    [&all[..], &[length as u8], bytes].concat()
}

/// An ONNX model with these constants, and one of integers.
fn onnx(tensors: &[Named]) -> Vec<u8> {
    let tensor = |(i, (name, shape, values)): (usize, &Named)| {
        // Sizes stand alone or packed, numbers raw or as floats: all that writers do.
        let sizes: Vec<u8> = match i % 2 {
            0 => shape.iter().flat_map(|side| [1 << 3, *side as u8]).collect(),
            _ => field(1, &shape.iter().map(|side| *side as u8).collect::<Vec<_>>()),
        };
        let numbers = field(if i % 3 == 0 { 4 } else { 9 }, &le_bytes(values));
        field(5, &[&sizes[..], &[2 << 3, 1], &field(8, name.as_bytes()), &numbers].concat())
    };
    let integers = field(5, &[&[1 << 3, 1, 2 << 3, 7][..], &field(8, b"new_shape"), &field(9, &[0; 8])].concat());
    let graph: Vec<u8> = tensors.iter().enumerate().flat_map(tensor).chain(integers).collect();
    [&[1 << 3, 7][..], &field(2, b"a writer"), &field(7, &graph)].concat()
}

/// A tone that jumps from one pitch to another in the middle, of so many seconds, in 16 bits.
fn wav([first, second]: [f64; 2], seconds: f64, loudness: f64) -> Vec<u8> {
    let count = (f64::from(RATE) * seconds) as usize;
    let tone = |i: usize| loudness * (2.0 * PI * if 2 * i < count { first } else { second } * i as f64 / f64::from(RATE)).sin();
    let data: Vec<u8> = (0..count).flat_map(|i| ((tone(i) * 32_767.0).round() as i16).to_le_bytes()).collect();
    let chunk = |id: &[u8], data: &[u8]| [id, &(data.len() as u32).to_le_bytes(), data].concat();
    let format = [&[1, 0, 1, 0][..], &RATE.to_le_bytes(), &(2 * RATE).to_le_bytes(), &[2, 0, 16, 0]].concat();
    chunk(b"RIFF", &[&b"WAVE"[..], &chunk(b"fmt ", &format), &chunk(b"data", &data)].concat())
}

/// Tones of three kinds, of several lengths.
fn tones(root: &Path) {
    for i in 0..5 {
        let (shift, seconds) = (f64::from(i) * 12.0, 0.2 + 0.04 * f64::from(i % 4));
        for (class, pitches) in [("low", [300.0, 300.0]), ("high", [2000.0, 2000.0]), ("rising", [300.0, 2000.0])] {
            put(root, &format!("{class}/{i}.wav"), wav(pitches.map(|hertz| hertz + shift), seconds, 0.5));
        }
    }
}

fn frames() -> ReadOptions {
    ReadOptions { sound_form: Some(SoundForm::Frames(LogMel::SPEECH_EMBEDDING)), want_labels: true, ..ReadOptions::default() }
}

fn opened(root: &Path) -> Checkpoint {
    put(root, "net.safetensors", safetensors(&graph()));
    Checkpoint::open(&root.join("net.safetensors")).expect("a network that is known").0
}

/// The largest difference, as a share of the largest value.
fn apart(found: &[f32], expected: &[f32]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let largest = common::worst(expected.iter().map(|value| f64::from(value.abs())));
    common::worst(found.iter().zip(expected).map(|(found, expected)| f64::from((found - expected).abs()))) / largest
}

#[test]
fn a_clip_is_the_mean_of_its_windows_on_every_device() {
    let dir = folder();
    let net = opened(dir.path());
    let clip = |count: usize, seed: usize| -> Vec<f32> {
        (0..count * 32).map(|i| 7.0 + 2.0 * ((i * i + seed * 31 * i) as f32 * 0.37).sin()).collect()
    };
    let split = |clips: &[Vec<f32>]| {
        let longest = clips.iter().map(|clip| clip.len() / 32).max().expect("a clip");
        Split::new(Samples::frames(clips, 32, longest as u32).expect("whole frames"), Truth::default())
    };
    // Of several lengths, which come in parts of their own; what is behind the last window does not count.
    let clips: Vec<Vec<f32>> = [100, 76, 83, 104].into_iter().enumerate().map(|(seed, count)| clip(count, seed)).collect();
    let of = |device: &Device, samples: &Split| net.features(device, samples).expect("features");
    let Features { values, columns } = of(&Device::Cpu, &split(&clips));
    assert_eq!((columns, values.len()), (96, 4 * 96));
    for (clip, found) in clips.iter().zip(values.chunks(96)) {
        let windows: Vec<Vec<f32>> = (0..=(clip.len() / 32 - 76) / 8).map(|k| clip[k * 8 * 32..][..76 * 32].to_vec()).collect();
        let each = of(&Device::Cpu, &split(&windows)).values;
        let mean: Vec<f32> = (0..96).map(|i| each.iter().skip(i).step_by(96).sum::<f32>() / windows.len() as f32).collect();
        assert!(apart(found, &mean) < 1e-5, "{} windows: {:.1e}", windows.len(), apart(found, &mean));
        // The control: with fewer windows it is something else.
        assert!(windows.len() == 1 || apart(found, &each[..96]) > 1e-4);
    }
    if let Some(gpu) = common::gpu().map(Device::Gpu) {
        let some = split(&[clips[0][..84 * 32].to_vec(), clips[1].clone()]);
        let both = [&Device::Cpu, &gpu].map(|device| of(device, &some).values);
        assert!(apart(&both[1], &both[0]) < 1e-5, "{:.1e}", apart(&both[1], &both[0]));
    }
}

#[test]
fn an_onnx_model_holds_what_safetensors_do() {
    let dir = folder();
    let (root, tensors) = (dir.path(), graph());
    let expected = opened(root).to_bytes().expect("it is written");
    put(root, "net.onnx", onnx(&tensors));
    let (found, notes) = Checkpoint::open(&root.join("net.onnx")).expect("a network that is known");
    assert!(found.to_bytes().expect("it is written") == expected);
    assert!(notes[0].contains("weights of speech_embedding, for sounds"), "{notes:?}");
    assert!(notes.iter().any(|note| note.contains("1 tensors have no place") && note.contains("const_fold_opt__287")), "{notes:?}");
    // A value more in the file is a value more here: the comparison looks.
    let mut other = tensors.clone();
    other[3].2[0] += 1.0;
    put(root, "other.onnx", onnx(&other));
    assert!(Checkpoint::open(&root.join("other.onnx")).expect("it is known").0.to_bytes().expect("it is written") != expected);
    let short = ("model/conv2d/Conv2D_weights_fused_bn".to_string(), vec![24, 1, 3, 3], vec![0.0; 7]);
    let external = field(7, &field(5, &[14 << 3, 1]));
    for (bytes, reason) in [
        (onnx(&tensors)[..9000].to_vec(), "cut off"),
        (onnx(&[short]), "has 28 bytes for `model/conv2d/Conv2D_weights_fused_bn` of shape [24, 1, 3, 3]"),
        ([&[8, 7][..], &field(2, b"x"), &external].concat(), "has its weights in another file"),
        ([&[8, 7][..], &field(2, b"x"), &[0x3b]].concat(), "a field of type 3"),
        (onnx(&tensors[..9]), "of none of the networks that are known so"),
    ] {
        put(root, "bad.onnx", bytes);
        let error = format!("{:#}", Checkpoint::open(&root.join("bad.onnx")).map(drop).expect_err("it is refused"));
        assert!(error.contains("ONNX model") && error.contains(reason), "{reason}: {error}");
    }
}

#[test]
fn sounds_become_frames_of_their_own_length() {
    let dir = folder();
    let root = dir.path().join("tones");
    tones(&root);
    let options = ReadOptions { cache: Some(dir.path().join("cache")), ..frames() };
    let data = load(&root, &options);
    let lengths = data.train.samples.lengths().expect("each has its own");
    // Of 0.2 s at 16 kHz: (3200 + 2 · 72 · 160 - 512) / 160 + 1 frames.
    assert_eq!((lengths.iter().min(), lengths.iter().max()), (Some(&161), Some(&173)), "{lengths:?}");
    let again = load(&root, &options);
    assert_eq!((&again.train, &again.test), (&data.train, &data.test), "what was kept is what was read");
    assert_eq!(load(&root, &frames()).train, data.train, "and what is read without keeping any");
    assert!(data.notes.iter().any(|note| note.contains("frames of 32 mel bands")), "{:?}", data.notes);
    for (options, part) in [
        (ReadOptions { size: Some([40, 32]), ..frames() }, "--size is for pictures"),
        (ReadOptions { grey: Some(true), ..frames() }, "--grey is for pictures"),
        (ReadOptions { rate: Some(8000), ..frames() }, "the run takes sounds of 16000 samples per second"),
    ] {
        let error = format!("{:#}", Dataset::load(&root, &options).expect_err("it makes no sense"));
        assert!(error.contains(part), "{error}");
    }
    put(&root, "low/long.wav", wav([300.0; 2], 59.0, 0.5));
    let notes = load(&root, &frames()).notes.join("\n");
    assert!(notes.contains("low/long.wav is longer than 58.6 s, which is the most: cut it into parts"), "{notes}");
}

#[test]
fn its_file_stands_where_a_run_may() {
    let dir = folder();
    let root = dir.path();
    put(root, "net.safetensors", safetensors(&steep_graph()));
    tones(&root.join("tones"));
    let cpu = ["--device", "cpu"];
    let of = |args: &[&str]| json(root, &[args, &cpu[..]].concat());
    let listed = json(root, &["weights"]);
    let entry = listed["networks"].as_array().expect("a list").iter().find(|entry| entry["model"] == "speech_embedding");
    let published = &entry.expect("it is listed")["published"][0];
    assert!(published["licence"] == "Apache-2.0" && published["normalization"].is_null(), "{published}");
    let described = json(root, &["weights", "net.safetensors"]);
    assert!(described["features"] == 96 && described["published"] == true, "{described}");
    let labels = of(&["label", "net.safetensors", "--data", "tones", "--labels-per-class", "1", "--draws", "2", "--out", "labels"]);
    assert!(labels["test_mean"].is_number() && labels["refit"] == false, "{labels}");
    assert!(root.join("labels/ask-next.png").exists());
    let eval = stderr(&wgraft(root, &["eval", "net.safetensors", "--data", "tones", "--device", "cpu"]));
    assert!(eval.contains("sounds were embedded before") && eval.contains("linear probe"), "{eval}");
    assert_eq!(of(&["embed", "net.safetensors", "tones", "--out", "all.csv"])["columns"], 96);
    let searched = of(&["search", "net.safetensors", "tones/high/3.wav", "--in", "tones", "--out", "found.png"]);
    assert!(searched["found"][0]["file"] == "high/3.wav" && searched["found"][0]["similarity"].as_f64() > Some(0.9999), "{searched}");
    let train = ["--data", "tones", "--batch", "6", "--steps", "12"];
    let tuned = of(&[&["finetune", "--from", "net.safetensors", "--out", "tuned"], &train[..]].concat());
    // Of three classes, ln 3 is what one knows who knows nothing.
    assert!(tuned["final_loss"].as_f64().is_some_and(|loss| loss < 1.05), "{tuned}");
    let begun = of(&[&["finetune", "--init-from", "net.safetensors", "--out", "begun"], &train[..4], &["--steps", "2"]].concat());
    assert!(begun["test_accuracy"].is_number(), "{begun}");
    let curve = ["curve", "--from", "net.safetensors", "--data", "tones", "--labels-per-class", "2", "--draws", "1", "--choose-draws", "1"];
    of(&[&curve[..], &["--lr-grid", "0.01", "--steps", "3", "--batch", "4", "--out", "curve"]].concat());
    // Files of other lengths, one by one and together.
    put(root, "new/a.wav", wav([2010.0; 2], 0.9, 0.3));
    put(root, "new/b.wav", wav([320.0; 2], 0.15, 0.4));
    let found = of(&["predict", "tuned", "new"]);
    let name = |i: usize| found["predictions"][i]["name"].clone();
    assert!((0..2).all(|i| ["high", "low", "rising"].map(serde_json::Value::from).contains(&name(i))), "{found}");
    let alone = of(&["predict", "tuned", "new/b.wav"]);
    let probability = |found: &serde_json::Value, i: usize| found["predictions"][i]["probability"].as_f64().expect("a number");
    assert!((probability(&alone, 0) - probability(&found, 1)).abs() < 1e-6, "{alone} {found}");
    refused(root, &["predict", "tuned", "new/a.wav", "--invert", "--device", "cpu"], 2, &["--invert is for pictures", "sounds"]);
    refused(
        root,
        &["pretrain", "--init-from", "net.safetensors", "--data", "tones", "--device", "cpu", "--out", "x"],
        2,
        &["frames of 32 numbers, images or texts are wanted here"],
    );
    refused(root, &["eval", "net.safetensors", "--data", "tones", "--size", "40x32", "--device", "cpu"], 1, &["--size is for pictures"]);
    put(root, "pictures/a/1.png", common::files::even(1));
    put(root, "pictures/b/1.png", common::files::even(9));
    refused(root, &["embed", "net.safetensors", "pictures", "--out", "x.csv", "--device", "cpu"], 1, &["the run takes sounds"]);
}
