//! Strings of letters without their alignment: from files to predictions, and a step on the GPU.

use crate::common;

use std::f64::consts::TAU;
use std::path::Path;
use std::sync::Arc;

use common::binary::{json, refused, stderr, wgraft};
use common::files::{folder, load, mask, put};
use wgraft::core::buffer::{Arena, Buf, Dtype, Fill, Role, shape};
use wgraft::core::memory::HostMem;
use wgraft::core::program::Exp;
use wgraft::core::random::threefry;
use wgraft::core::sample::{Image, NO_TOKEN, SampleType};
use wgraft::core::tape::Tape;
use wgraft::data::{Dataset, ReadOptions, Samples, TruthKind};
use wgraft::exec::{Cpu, Executor, Gpu, Programs};
use wgraft::models::{self, ModelKind, ModelSettings, Place};
use wgraft::ops::{self, Form};
use wgraft::verify::{Lockstep, lockstep};

const ALPHABET: [&str; 3] = ["I", "T", "ß"];
const HEIGHT: u32 = 8;
const WIDTH: u32 = 40;

fn draw(salt: u32, a: u32, b: u32) -> u32 {
    threefry([salt, 5], [a, b])[0]
}

/// One to four letters.
fn transcript(sample: u32) -> Vec<usize> {
    (0..1 + draw(1, sample, 0) % 4).map(|i| draw(2, sample, i) as usize % ALPHABET.len()).collect()
}

fn text_of(letters: &[usize]) -> String {
    letters.iter().map(|&letter| ALPHABET[letter]).collect()
}

/// Letters side by side, at places that differ: a bar, a bar under a line, and two bars.
fn line(letters: &[usize], salt: u32) -> Vec<u8> {
    let mut pixels: Vec<u8> = (0..HEIGHT * WIDTH).map(|i| (draw(3, salt, i) % 40) as u8).collect();
    let mut at = draw(4, salt, 0) % 5;
    for &letter in letters {
        let strokes: &[(u32, u32, u32)] = match letter {
            0 => &[(2, 1, 7)],
            1 => &[(2, 1, 7), (0, 1, 2), (1, 1, 2), (3, 1, 2), (4, 1, 2)],
            _ => &[(1, 1, 7), (4, 1, 7)],
        };
        for &(column, from, to) in strokes {
            (from..to).for_each(|row| pixels[(row * WIDTH + at + column) as usize] = 220 + (draw(5, salt, row) % 30) as u8);
        }
        at += 7 + draw(6, salt, at) % 3;
    }
    pixels
}

/// A folder of lines, the first ones for training, with what they say.
fn lines(root: &Path, train: u32, test: u32) {
    let mut index = "file,text,split\n".to_string();
    for i in 0..train + test {
        let letters = transcript(i);
        put(root, &format!("{i:03}.png"), mask(HEIGHT, WIDTH, &line(&letters, i)));
        index += &format!("{i:03}.png,{},{}\n", text_of(&letters), if i < train { "train" } else { "test" });
    }
    put(root, "index.csv", index);
}

/// Tones one after the other, each of a third of a second and a pause.
fn tones(letters: &[usize], salt: u32) -> Vec<u8> {
    const RATE: u32 = 8000;
    let mut samples = Vec::new();
    for &letter in letters {
        let hertz = [350.0, 900.0, 2200.0][letter] * (1.0 + f64::from(draw(7, salt, samples.len() as u32) % 100) / 1000.0);
        let count = 1800 + draw(8, salt, samples.len() as u32) % 900;
        samples.extend((0..count).map(|i| (0.5 * (TAU * hertz * f64::from(i) / f64::from(RATE)).sin() * 32_767.0) as i16));
        samples.extend(std::iter::repeat_n(0_i16, 400));
    }
    let data: Vec<u8> = samples.iter().flat_map(|sample| sample.to_le_bytes()).collect();
    let chunk = |id: &[u8], data: &[u8]| [id, &(data.len() as u32).to_le_bytes(), data].concat();
    let format = [&[1, 0, 1, 0][..], &RATE.to_le_bytes(), &(2 * RATE).to_le_bytes(), &[2, 0, 16, 0]].concat();
    chunk(b"RIFF", &[&b"WAVE"[..], &chunk(b"fmt ", &format), &chunk(b"data", &data)].concat())
}

const SMALL: [&str; 10] = ["--width", "4", "--features", "32", "--batch", "16", "--val", "0", "--device", "cpu"];
const TASK: [&str; 3] = ["finetune", "--task", "recognise"];

#[test]
fn lines_of_letters_are_read_off_pictures() {
    let dir = folder();
    let dir = dir.path();
    lines(&dir.join("lines"), 160, 40);
    let train = [&TASK[..], &["--data", "lines", "--out", "read", "--steps", "300", "--lr", "0.01"], &SMALL].concat();
    let found = json(dir, &train);
    let rate = found["test_cer"].as_f64().expect("it is measured");
    assert!(rate < 0.1 && found["test_exact"].as_f64() > Some(0.7), "{found}");
    // The control: letters of others' lines are other letters.
    let index = std::fs::read_to_string(dir.join("lines/index.csv")).expect("it is there");
    let (head, rows) = index.split_once('\n').expect("a head");
    let files: Vec<Vec<&str>> = rows.lines().map(|row| row.split(',').collect()).collect();
    let moved = |i: usize| format!("{},{},{}\n", files[i][0], files[(i + 1) % files.len()][1], files[i][2]);
    put(dir, "lines/index.csv", format!("{head}\n{}", (0..files.len()).map(moved).collect::<String>()));
    let control = json(dir, &["eval", "read", "--device", "cpu"])["test_cer"].as_f64().expect("it is measured");
    assert!(control > 0.5, "{control}");
    put(dir, "lines/index.csv", &index);
    let again = json(dir, &["eval", "read", "--device", "cpu"]);
    assert!((again["test_cer"].as_f64().expect("it is measured") - rate).abs() < 1e-9, "{again}");
    let edits = &again["recognition"]["edits"];
    let sum = ["substitutions", "insertions", "deletions"].iter().filter_map(|kind| edits[kind].as_f64()).sum::<f64>();
    assert!((sum / again["recognition"]["letters"].as_f64().expect("counted") - rate).abs() < 1e-9, "{again}");

    for (name, letters) in [("one", vec![2]), ("twice", vec![1, 1, 0])] {
        put(dir, &format!("new/{name}.png"), mask(HEIGHT, WIDTH, &line(&letters, 1000)));
    }
    let found = json(dir, &["predict", "read", "new", "--device", "cpu"]);
    let of = |i: usize| (found["predictions"][i]["text"].as_str(), found["predictions"][i]["probability"].as_f64().expect("one"));
    assert_eq!([of(0).0, of(1).0], [Some("ß"), Some("TTI")], "{found}");
    assert!((0..2).all(|i| of(i).1 > 0.3 && of(i).1 <= 1.0), "{found}");
    let text = String::from_utf8_lossy(&wgraft(dir, &["predict", "read", "new/twice.png", "--device", "cpu"]).stdout).into_owned();
    assert!(text.starts_with("new/twice.png  TTI  0."), "{text}");
    // Its features serve as those of other runs do.
    assert!(json(dir, &["embed", "read", "lines", "--device", "cpu", "--out", "vectors.csv"])["columns"] == 32);

    refused(dir, &["curve", "--from", "read", "--labels-per-class", "1", "--device", "cpu"], 2, &["read"]);
    refused(
        dir,
        &["predict", "read", "new", "--threshold", "0.5", "--device", "cpu"],
        2,
        &["--threshold is for runs that predict one class"],
    );
}

#[test]
fn sounds_are_not_stretched_and_what_they_say_is_heard() {
    let dir = folder();
    let dir = dir.path();
    let mut index = "file,transcript,split\n".to_string();
    for i in 0..150 {
        let letters = transcript(i);
        put(dir, &format!("tones/{i:03}.wav"), tones(&letters, i));
        index += &format!("{i:03}.wav,{},{}\n", text_of(&letters), if i < 120 { "train" } else { "test" });
    }
    put(dir, "tones/index.csv", index);
    let options = ReadOptions { truth: Some(TruthKind::Transcripts), want_labels: true, ..ReadOptions::default() };
    let data = load(&dir.join("tones"), &options);
    let image = data.train.kind().image().expect("pictures");
    let lit = |sample: u32| {
        let (pixels, _) = data.train.samples.as_images().expect("images");
        let line = |column: u32| (0..image.height).any(|row| pixels.row(sample)[(row * image.width + column) as usize] > 0);
        (0..image.width).filter(|&column| line(column)).count()
    };
    let of_length = |letters: usize| (0..120).find(|&i| transcript(i).len() == letters).expect("there is one");
    assert!(lit(of_length(4)) > 2 * lit(of_length(1)), "longer sounds are wider");

    let train = ["--data", "tones", "--size", "16x112", "--out", "heard", "--steps", "200", "--lr", "0.01", "--augment", "none"];
    let found = json(dir, &[&TASK[..], &train, &SMALL].concat());
    assert!(found["test_cer"].as_f64() < Some(0.1), "{found}");
    // What has more moments than the run has room for is refused by name, and the rest is predicted.
    put(dir, "new/long.wav", tones(&[0; 12], 1));
    put(dir, "new/short.wav", tones(&[2, 0], 2));
    let output = wgraft(dir, &["predict", "heard", "new", "--device", "cpu"]);
    let said = stderr(&output);
    assert!(output.status.code() == Some(1) && said.contains("long.wav") && said.contains("112 are the most"), "{said}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("short.wav  ßI  "), "{said}");
}

#[test]
fn what_cannot_be_learnt_is_said() {
    let dir = folder();
    let dir = dir.path();
    lines(&dir.join("lines"), 20, 4);
    let run = |more: &[&'static str]| [&TASK[..], &["--data", "lines", "--steps", "2", "--device", "cpu", "--val", "0"], more].concat();
    refused(dir, &run(&["--model", "cnn"]), 2, &["step by step", "--model crnn"]);
    refused(dir, &run(&["--augment", "objects"]), 2, &["mirrors", "--augment none"]);
    refused(dir, &[&TASK[..], &["--device", "cpu", "--steps", "2"]].concat(), 2, &["no transcripts"]);
    refused(dir, &run(&["--target", "nonsense"]), 1, &["nonsense"]);
    // Letters that no training line has, and lines with more letters than steps.
    let index = std::fs::read_to_string(dir.join("lines/index.csv")).expect("it is there");
    let (head, rows) = index.split_once('\n').expect("a head");
    let long = "IT".repeat(20);
    let changed: String = rows
        .lines()
        .enumerate()
        .map(|(i, row)| {
            let mut cells: Vec<&str> = row.split(',').collect();
            match i {
                0 => cells[1] = &long,
                22 => cells[1] = "I?I",
                _ => {}
            }
            cells.join(",") + "\n"
        })
        .collect();
    put(dir, "lines/index.csv", format!("{head}\n{changed}"));
    let output = wgraft(dir, &run(&["--out", "said"]));
    let said = stderr(&output);
    assert!(output.status.success(), "{said}");
    for part in ["1 characters of transcripts", "`?`", "1 of 20 training transcripts do not fit into the 20 steps"] {
        assert!(said.contains(part), "no `{part}` in {said}");
    }
    put(dir, "none/0.png", mask(HEIGHT, WIDTH, &line(&[0], 0)));
    put(dir, "none/index.csv", "file,size\n0.png,3\n");
    refused(dir, &[&TASK[..], &["--data", "none", "--device", "cpu", "--steps", "2"]].concat(), 1, &["no column `text`"]);
}

/// Digits of MNIST side by side: real letters, of many hands.
#[test]
fn rows_of_digits_become_lines() {
    const DIGIT: u32 = 28;
    let digits = Dataset::embedded();
    let labels = digits.train.truth.labels.as_ref().expect("labelled");
    let Samples::Images { pixels, .. } = &digits.train.samples else { panic!("images") };
    let dir = folder();
    let (count, width) = (3, 3 * DIGIT);
    let mut index = "file,label\n".to_string();
    for i in 0..10_u32 {
        let chosen: Vec<u32> = (0..count).map(|place| i * count + place).collect();
        let at = |place: u32| {
            let (row, column) = (place / width, place % width);
            pixels.row(chosen[(column / DIGIT) as usize])[(row * DIGIT + column % DIGIT) as usize]
        };
        put(dir.path(), &format!("{i}.png"), mask(DIGIT, width, &(0..DIGIT * width).map(at).collect::<Vec<u8>>()));
        let text: String = chosen.iter().map(|&digit| labels[digit as usize].to_string()).collect();
        index += &format!("{i}.png,{text}\n");
    }
    put(dir.path(), "index.csv", index);
    // Digits are letters here, not numbers: zeros in front stay.
    let options = ReadOptions { truth: Some(TruthKind::Transcripts), want_labels: true, undivided: true, ..ReadOptions::default() };
    let data = load(dir.path(), &options);
    assert_eq!(data.train.kind().image(), Some(Image { height: DIGIT, width, channels: 1 }));
    let known = data.train.truth.transcripts.as_ref().expect("they are known");
    for i in 0..10_u32 {
        let said: String = known.letters(i).map(|letter| data.class_names[letter.expect("known") as usize].as_str()).collect();
        let wanted: String = (0..count).map(|place| labels[(i * count + place) as usize].to_string()).collect();
        assert_eq!(said, wanted);
    }
}

/// A step that learns letters, with everything it is made of.
fn step() -> (Arena, Programs, Buf) {
    const IMAGE: Image = Image { height: 8, width: 24, channels: 1 };
    let batch = 5;
    let mut arena = Arena::new(3, 1 << 30);
    let kind = SampleType::Image(IMAGE);
    let pixels = arena.buffer("pixels", Role::Input, Dtype::F32, Form::Maps.shape(batch, kind), Fill::Uniform(1.0));
    let letters: [&[u32]; 5] = [&[1, 2, 3], &[2, 2], &[], &[3, 1, 3, 1], &[1; 7]];
    let targets = letters.iter().flat_map(|row| (0..8).map(|i| row.get(i).copied().unwrap_or(NO_TOKEN))).collect();
    let targets = arena.buffer("targets", Role::Input, Dtype::U32, shape(batch, 8), Fill::U32(targets));
    let mut t = Tape::new(&mut arena, "step", &[models::ENCODER, models::HEAD]);
    let model = ModelSettings { kind: ModelKind::CRNN, width: 4, features: 8, ..Default::default() };
    let places = [models::ENCODER, models::HEAD].map(|group| Place::training(&mut t, group));
    let logits = models::recogniser(&mut t, &model, places, 4, Form::Maps.value(pixels, kind, None));
    let steps = ops::steps_of(&mut t, batch, logits.rows() / batch);
    let loss = ops::ctc(&mut t, "loss", logits, steps, targets);
    t.backward(loss, loss);
    let programs = Arc::new(vec![t.finish().expect("the step is valid")]);
    (arena, programs, targets)
}

#[test]
fn a_whole_step_agrees_in_lockstep() {
    let Some(device) = common::gpu() else { return };
    let (arena, programs, targets) = step();
    for mode in [Lockstep::Resynced(Exp::of(device.class())), Lockstep::FreeRunning { limit: 1e-4 }] {
        let mem = HostMem::new(&arena);
        let mut gpu = Gpu::load(device.clone(), &arena, &mem, programs.clone(), &Default::default()).expect("it loads");
        let mut cpu = Cpu::reference(mem.clone(), programs.clone());
        let found = lockstep(&mut gpu, &mut cpu, &programs, 0, mode).expect("both run");
        assert!(found.is_empty(), "{mode:?}: {:?}", found.first());
        // The control: another letter on the device alone shows first in the losses.
        let mut words = gpu.read(targets).expect("it reads");
        words[1] = 1;
        gpu.write(targets, &words).expect("it writes");
        if let Lockstep::FreeRunning { .. } = mode {
            let found = lockstep(&mut gpu, &mut cpu, &programs, 0, mode).expect("both run");
            assert_eq!(found.first().map(|d| d.label.clone()), Some("loss per sample".to_string()), "{found:?}");
        }
    }
}
