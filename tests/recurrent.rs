//! Recurrent networks: over texts, as a user runs them; a whole step on the device and on the CPU; and sequences of a thousand steps.

use crate::common;

use std::path::Path;
use std::sync::Arc;

use common::binary::{json, refused as fails, stdout_of};
use common::files::{folder, mask, put};
use wgraft::core::buffer::{Arena, Buf, Dtype, Fill, NamedBuf, Role, pad_rows, shape};
use wgraft::core::memory::HostMem;
use wgraft::core::program::Exp;
use wgraft::core::random::threefry;
use wgraft::core::sample::{NO_TOKEN, SampleType};
use wgraft::core::tape::Tape;
use wgraft::exec::{Cpu, Executor, Gpu, Programs, repeat};
use wgraft::models::{self, ModelKind, ModelSettings, Place};
use wgraft::ops::{self, Form};
use wgraft::verify::{Lockstep, lockstep};

const CLASSES: [&str; 2] = ["praise", "blame"];

/// Sentences whose words are the same in both classes, and whose order is not: a bag of words cannot tell them apart.
fn table() -> String {
    let things = ["rain", "snow", "song", "album", "meal", "town", "train", "book"];
    let ends = ["today", "now", "in this town", "again"];
    let row = |i: usize| {
        let (class, thing, end) = (i % 2, things[i / 2 % 8], ends[i / 16 % 4]);
        let [first, second] = if class == 0 { ["good", "bad"] } else { ["bad", "good"] };
        format!("{},the {thing} is {first} and not {second} {end}\n", CLASSES[class])
    };
    std::iter::once("topic,sentence\n".into()).chain((0..64).map(row)).collect()
}

const SMALL: [&str; 4] = ["--features", "24", "--device", "cpu"];

fn learnt(dir: &Path, model: &str, more: &[&str], out: &str) -> serde_json::Value {
    let train = ["finetune", "--data", "topics.csv", "--target", "topic", "--model", model, "--augment", "none", "--batch", "16"];
    json(dir, &[&train[..], &SMALL, &["--steps", "120", "--lr", "0.01", "--out", out], more].concat())
}

#[test]
fn the_order_of_words_is_learnt() {
    let dir = folder();
    let dir = dir.path();
    put(dir, "topics.csv", table());
    for (model, more) in [("gru", &[][..]), ("lstm", &["--bidirectional", "false", "--recurrent-layers", "2"])] {
        let found = learnt(dir, model, more, model);
        assert!(found["test_accuracy"].as_f64() > Some(0.9), "{model}: {found}");
        let eval = |_: u32| json(dir, &["eval", model, "--device", "cpu"])["test_loss"].to_string();
        assert_eq!(eval(0), eval(1), "nothing is dropped in evaluation");
        let predicted = stdout_of(dir, &["predict", model, "-", "--device", "cpu"], "the book is bad and not good now\n");
        assert!(predicted.contains("blame"), "{predicted}");
    }
    // The control: without an order there is nothing to learn from.
    let found = learnt(dir, "bag", &[], "bag");
    assert!(found["test_accuracy"].as_f64() < Some(0.8), "bag: {found}");
}

#[test]
fn pretrained_runs_go_on_to_labels() {
    let dir = folder();
    let dir = dir.path();
    put(dir, "topics.csv", table());
    let given = |line: &str| line.split_once(',').map(|(class, text)| format!("{text},{class}\n")).expect("two columns");
    put(dir, "labels.csv", "text,label\n".to_string() + &table().lines().skip(1).take(8).map(given).collect::<String>());
    for (model, method, loss) in [("gru", "masked-tokens", "masked_token_loss"), ("lstm", "simclr", "final_loss")] {
        let pretrain = ["pretrain", "--data", "topics.csv", "--model", model, "--method", method, "--steps", "80", "--lr", "0.01"];
        let found = json(dir, &[&pretrain[..], &SMALL, &["--batch", "16", "--out", model]].concat());
        assert!(found[loss].as_f64().is_some_and(f64::is_finite), "{found}");
        let tuned = format!("{model}-tuned");
        let finetune = ["finetune", "--from", model, "--data", "topics.csv", "--steps", "60", "--lr", "0.01", "--out", &tuned];
        let found = json(dir, &[&finetune[..], &["--device", "cpu"]].concat());
        assert!(found["test_accuracy"].as_f64().is_some(), "{found}");
        let out = format!("{model}-labels");
        let found = json(dir, &["label", model, "--labels", "labels.csv", "--device", "cpu", "--out", &out]);
        assert!(found["given"].as_u64() > Some(4) && dir.join(&out).join("labels.csv").exists(), "{found}");
    }
}

#[test]
fn words_are_tagged_by_those_behind_them() {
    let dir = folder();
    let dir = dir.path();
    let names = ["Ashby", "Corby", "Derby", "Selby", "Whitby", "Rugby"];
    let sentence = |i: usize| {
        let (verb, tag) = [("sings", "B-PER"), ("burns", "B-LOC")][i % 2];
        let more = if i.is_multiple_of(3) { "again O\n" } else { "" };
        format!("{} {tag}\n{verb} O\n{more}\n", names[i / 2 % 6])
    };
    put(dir, "words.conll", (0..60).map(sentence).collect::<String>());
    let f1 = |more: &[&str], out: &str| {
        let train = ["finetune", "--task", "tag", "--data", "words.conll", "--model", "gru", "--steps", "80", "--lr", "0.01", "--out", out];
        json(dir, &[&train[..], &SMALL, more].concat())["test_f1"].as_f64().expect("it is measured")
    };
    let both = f1(&[], "both");
    assert!(both > 0.9, "{both}");
    // The control: what goes forward alone has not seen what tells.
    let forward = f1(&["--bidirectional", "false"], "forward");
    assert!(forward < 0.8, "{forward}");
}

#[test]
fn columns_of_pictures_are_learnt_in_their_order() {
    const SIDE: u32 = 16;
    let dir = folder();
    let dir = dir.path();
    // A line that goes up or down, somewhere.
    for i in 0..40 {
        let rises = i % 2 == 0;
        let bright = |at: u32| {
            let (line, column) = (at / SIDE, at % SIDE);
            let along = if rises { SIDE - 1 - column } else { column };
            if line == (along / 2 + i / 2 % 8) % SIDE { 255 } else { (at * 7 + i) as u8 % 32 }
        };
        let name = format!("{}/{i:02}.png", if rises { "rising" } else { "falling" });
        put(dir, &format!("lines/{name}"), mask(SIDE, SIDE, &(0..SIDE * SIDE).map(bright).collect::<Vec<u8>>()));
    }
    let train = ["finetune", "--data", "lines", "--model", "crnn", "--width", "4", "--batch", "16", "--augment", "none", "--steps", "60"];
    let found = json(dir, &[&train[..], &SMALL, &["--lr", "0.01", "--optimizer", "adamw", "--out", "tuned"]].concat());
    assert!(found["test_accuracy"].as_f64() > Some(0.9), "{found}");
    let line = |rises: bool| {
        let along = move |column: u32| if rises { SIDE - 1 - column } else { column };
        (0..SIDE * SIDE).map(|at| if at / SIDE == along(at % SIDE) / 2 + 4 { 255 } else { 10 }).collect::<Vec<u8>>()
    };
    put(dir, "new/up.png", mask(SIDE, SIDE, &line(true)));
    put(dir, "new/down.png", mask(SIDE, SIDE, &line(false)));
    let found = json(dir, &["predict", "tuned", "new", "--device", "cpu"]);
    // The control: the same rows of other columns are the other class.
    let names: Vec<_> = (0..2).map(|i| found["predictions"][i]["name"].as_str()).collect();
    assert_eq!(names, [Some("falling"), Some("rising")], "{found}");
    fails(dir, &["finetune", "--data", "lines", "--model", "crnn", "--width", "6", "--device", "cpu", "--steps", "2"], 2, &["--width 8"]);
}

#[test]
fn what_makes_no_sense_is_refused() {
    let dir = folder();
    let dir = dir.path();
    put(dir, "topics.csv", table());
    let of_texts = |more: &[&'static str]| [&["pretrain", "--data", "topics.csv", "--device", "cpu", "--steps", "2"], more].concat();
    fails(dir, &of_texts(&["--model", "gru", "--features", "25"]), 2, &["two directions", "--features 26"]);
    fails(dir, &of_texts(&["--model", "lstm", "--features", "600", "--bidirectional", "false"]), 2, &["too many", "--features 512"]);
    fails(
        dir,
        &of_texts(&["--model", "bag", "--recurrent-layers", "2"]),
        2,
        &["--recurrent-layers, which is for --model crnn, gru or lstm"],
    );
}

/// A step that learns to tell classes of texts apart, with everything it is made of.
struct Step {
    arena: Arena,
    programs: Programs,
    loss: Buf,
}

impl Step {
    /// Of `batch` texts of up to `length` tokens.
    fn record(model: &ModelSettings, [batch, length]: [u32; 2], tokens: Vec<u32>, classes: Vec<u32>) -> Self {
        const VOCABULARY: u32 = 12;
        let mut arena = Arena::new(3, 1 << 30);
        let tokens = arena.buffer("tokens", Role::Input, Dtype::U32, shape(batch, length), Fill::U32(tokens));
        let targets = arena.buffer("targets", Role::Input, Dtype::U32, shape(1, batch), Fill::U32(classes));
        let mut t = Tape::new(&mut arena, "step", &[models::ENCODER, models::HEAD]);
        let x = Form::Tokens.value(tokens, SampleType::Tokens { vocabulary: VOCABULARY, longest: length }, None);
        let place = Place::training(&mut t, models::ENCODER);
        let features = models::encoder(&mut t, model, place, x);
        let logits = models::classifier(&mut t, model, 2, features);
        let loss = ops::cross_entropy(&mut t, "loss", logits, targets, 0.0);
        t.backward(loss, loss);
        let programs = Arc::new(vec![t.finish().expect("the step is valid")]);
        Step { arena, programs, loss }
    }

    fn params(&self) -> impl Iterator<Item = &NamedBuf> {
        self.arena.bufs().iter().filter(|b| matches!(b.role, Role::Param { .. }))
    }
}

/// Texts of two classes, whose words are drawn from different parts of the vocabulary more often than not; of several lengths, some empty.
fn texts(batch: u32, length: u32, least: u32) -> (Vec<u32>, Vec<u32>) {
    let class = |text: u32| text % 2;
    let token = |text: u32, place: u32| {
        let [draw, bits] = threefry([text, 11], [place, 0]);
        let count = if text == 2 { least } else { length - text * 7 % (length - least + 1) };
        if place < count { 2 + draw % 5 + if bits % 4 == 0 { 0 } else { 5 * class(text) } } else { NO_TOKEN }
    };
    let tokens = (0..batch).flat_map(|text| (0..length).map(move |place| token(text, place))).collect();
    (tokens, (0..batch).map(class).collect())
}

fn model(kind: ModelKind, features: u32, recurrent_layers: u32, bidirectional: bool) -> ModelSettings {
    ModelSettings { kind, features, recurrent_layers, bidirectional, ..Default::default() }
}

#[test]
fn a_whole_step_agrees_in_lockstep() {
    let Some(device) = common::gpu() else { return };
    for (kind, layers, both) in [(ModelKind::GRU, 2, true), (ModelKind::LSTM, 2, true), (ModelKind::GRU, 1, false)] {
        let (tokens, classes) = texts(6, 12, 0);
        let step = Step::record(&model(kind, 20, layers, both), [6, 12], tokens, classes);
        for mode in [Lockstep::Resynced(Exp::of(device.class())), Lockstep::FreeRunning { limit: 1e-4 }] {
            let (mem, programs) = (HostMem::new(&step.arena), step.programs.clone());
            let mut gpu = Gpu::load(device.clone(), &step.arena, &mem, programs.clone(), &Default::default()).expect("it loads");
            let mut cpu = Cpu::reference(mem.clone(), programs.clone());
            let found = lockstep(&mut gpu, &mut cpu, &programs, 0, mode).expect("both run");
            assert!(found.is_empty(), "{kind:?}, {mode:?}: {:?}", found.first());
            if let Lockstep::FreeRunning { .. } = mode {
                // The control: a weight changed on the device alone shows first in the call that reads it.
                let name = format!("encoder.{}.weight_hh_l0", kind.name());
                let weight = step.arena.find(&name).expect("the encoder has weights");
                let mut words = gpu.read(weight).expect("it reads");
                words[3] = 3.0_f32.to_bits();
                gpu.write(weight, &words).expect("it writes");
                let found = lockstep(&mut gpu, &mut cpu, &programs, 0, mode).expect("both run");
                assert_eq!(found.first().map(|d| d.label.clone()), Some(format!("encoder.{}.0", kind.name())), "{found:?}");
            }
        }
    }
}

fn values(cpu: &mut Cpu, buf: Buf) -> Vec<f32> {
    cpu.mem().dense_f32(buf)
}

fn write(cpu: &mut Cpu, buf: Buf, values: &[f32]) {
    let bits: Vec<u32> = values.iter().map(|v| v.to_bits()).collect();
    cpu.write(buf, &pad_rows(buf.shape, &bits)).expect("the CPU writes");
}

#[test]
fn a_thousand_steps_are_learnt_and_their_gradients_are_derivatives() {
    const LENGTH: u32 = 1000;
    for kind in [ModelKind::GRU, ModelKind::LSTM] {
        let (tokens, classes) = texts(4, LENGTH, LENGTH / 2);
        let step = Step::record(&model(kind, 8, 1, true), [4, LENGTH], tokens, classes);
        let calls = &step.programs[0].calls;
        let walks = calls.iter().filter(|call| call.kernel.name().starts_with("recurrent")).count();
        assert_eq!(walks, 4, "one call for each direction and pass, however long sequences are");

        let run = |cpu: &mut Cpu| {
            cpu.run(&repeat(&step.programs, 0, 1)).expect("the CPU runs");
            values(cpu, step.loss)[0]
        };
        let mut reference = Cpu::reference(HostMem::new(&step.arena), step.programs.clone());
        run(&mut reference);
        let params: Vec<(String, Buf)> = step.params().map(|b| (b.name.clone(), b.buf)).collect();
        for (name, buf) in params.iter().filter(|(name, _)| name.contains("_l0")) {
            let grads = values(&mut reference, step.arena.grad(*buf));
            let (place, &grad) = grads.iter().enumerate().max_by(|a, b| a.1.abs().total_cmp(&b.1.abs())).expect("a tensor has elements");
            let was = values(&mut reference, *buf);
            let at = |cpu: &mut Cpu, by: f32| {
                let mut moved = was.clone();
                moved[place] += by;
                write(cpu, *buf, &moved);
                f64::from(run(cpu))
            };
            const BY: f32 = 1.0 / 256.0;
            let difference = (at(&mut reference, BY) - at(&mut reference, -BY)) / f64::from(2.0 * BY);
            write(&mut reference, *buf, &was);
            let (grad, error) = (f64::from(grad), (f64::from(grad) - difference).abs());
            assert!(grad.abs() > 1e-4, "{name}: a gradient of {grad:e} tells nothing");
            // Rounding of losses of 0.7 leaves 2^-24 / BY = 1.5e-5; a gradient two percent off would be noticed, but for the smallest.
            assert!(error < 0.01 * grad.abs() + 1.5e-5, "{kind:?} {name}: {grad:e} is recorded, {difference:e} found");
        }

        let mut cpu = Cpu::new(HostMem::new(&step.arena), step.programs.clone());
        let losses: Vec<f32> = (0..60)
            .map(|_| {
                let loss = run(&mut cpu);
                for (_, buf) in &params {
                    let grads = values(&mut cpu, step.arena.grad(*buf));
                    let moved: Vec<f32> = values(&mut cpu, *buf).iter().zip(grads).map(|(v, g)| v - 0.3 * g).collect();
                    write(&mut cpu, *buf, &moved);
                }
                loss
            })
            .collect();
        assert!(losses.iter().all(|loss| loss.is_finite()) && losses[59] < 0.2 * losses[0], "{kind:?}: {losses:?}");
    }
}
