//! Samples from memory, of which no file tells anything: training takes them or says why not, and its checkpoints can be read.

use crate::common;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use common::keep::Last;
use wgraft::core::sample::SampleType;
use wgraft::core::tape::Tape;
use wgraft::data::{Dataset, Samples, Split, Truth};
use wgraft::exec::{Cpu, Device, Executor, repeat};
use wgraft::kernels::shuffle::Order;
use wgraft::models::ModelKind;
use wgraft::ops::{Clock, Form, Value, batch_indices, batch_samples};
use wgraft::train::{
    Checkpoint, Finetune, FinetuneSettings, Method, Prediction, Pretrain, PretrainSettings, Recording, Session, Task, predict_each,
};

/// Rows of three numbers, and their sum.
fn rows() -> Dataset {
    let numbers: Vec<f32> = (0..60).map(|i| (i * 7 % 11) as f32).collect();
    let targets = numbers.chunks(3).map(|row| row.iter().sum()).collect();
    let truth = Truth { targets: Some(targets), ..Truth::default() };
    Dataset::new("rows".into(), Split::new(Samples::rows(numbers, 3), truth), None).expect("there are some")
}

fn settings() -> FinetuneSettings {
    let mut settings = FinetuneSettings::by(Task::REGRESS);
    (settings.model.hidden, settings.run.batch, settings.run.steps) = (vec![4], 5, Some(2));
    settings
}

#[test]
fn a_checkpoint_of_rows_without_an_encoding_can_be_read() {
    let plan = Finetune::prepare(settings().checked().expect("sound settings"), &rows(), None, u64::MAX).expect("it fits").plan;
    let mut exec = Device::Cpu.fresh(&plan.arena, plan.programs.clone()).expect("it loads");
    let bytes = Checkpoint::take(&plan.arena, &mut *exec, plan.record.clone()).and_then(|taken| taken.to_bytes()).expect("it is written");
    let read = Checkpoint::from_bytes(&bytes, "bytes").expect("it is read");
    assert_eq!((&read.record, &read.record.encoding), (&plan.record, &None));
    let (mark, mut later) = (b"format\\\":2", bytes.clone());
    let at = later.windows(mark.len()).position(|part| part == mark).expect("the record says its format");
    later[at + mark.len() - 1] = b'3';
    let error = Checkpoint::from_bytes(&later, "later").map(drop).expect_err("of a later version");
    assert!(format!("{error:#}").contains("format 3, this program reads 1 to 2"), "{error:#}");
}

#[test]
fn what_wants_images_says_so() {
    for method in [Method::SIMCLR, Method::AUTOENCODER] {
        let mut settings = PretrainSettings::by(method);
        settings.run.batch = 5;
        let error = Pretrain::prepare(settings.checked().expect("sound settings"), &rows(), u64::MAX).map(drop).expect_err("no images");
        assert!(error.to_string().contains("images or texts are wanted here"), "{error}");
    }
    // Before the file is looked for.
    let mut settings = settings();
    (settings.model.kind, settings.init_from) = (ModelKind::CNN, Some("nowhere.safetensors".into()));
    let error = Finetune::prepare(settings.checked().expect("sound settings"), &rows(), None, u64::MAX).map(drop).expect_err("no maps");
    assert!(error.to_string().contains("a table needs --model mlp"), "{error}");
}

/// Sequences of one to three frames of two numbers, which tell the class.
fn frames() -> Samples {
    let sequences = (0..60).map(|i| vec![if i % 2 == 0 { 1.0 } else { -1.0 }; 2 * (1 + i % 3)]);
    Samples::frames(sequences, 2, 3).expect("whole frames")
}

#[test]
fn sequences_of_frames_are_learned_from() {
    let labels = Truth::labels((0..60).map(|i| i % 2).collect());
    let data = Dataset::new("frames".into(), Split::new(frames(), labels), None).expect("there are some");
    let mut settings = FinetuneSettings::by(Task::CLASSIFY);
    (settings.model.kind, settings.model.hidden, settings.run.batch, settings.run.steps) = (ModelKind::MLP, vec![8], 20, Some(60));
    let prepare =
        |settings: &FinetuneSettings| Finetune::prepare(settings.clone().checked().expect("sound settings"), &data, None, u64::MAX);
    let (last, stop) = (Last::default(), AtomicBool::new(false));
    let session = Session { keep: Some(Box::new(last.clone())), ..Session::new(&Device::Cpu, &stop) };
    prepare(&settings).expect("it fits").run(session).expect("it trains");
    let kept = last.take().expect("it was saved");
    let read = Checkpoint::from_bytes(&kept.to_bytes().expect("it is written"), "bytes").expect("it is read");
    assert_eq!(read.record.samples, SampleType::Frames { channels: 2, longest: 3 });
    let mut right = 0;
    predict_each(&Device::Cpu, &read, &data.train.bare(), &mut |prediction| {
        let Prediction::Class { class, .. } = prediction else { panic!("a class") };
        right += usize::from(class == right % 2);
        Ok(())
    })
    .expect("it predicts");
    assert_eq!(right, 60, "in order, each after one that was right");

    settings.model.kind = ModelKind::CNN;
    let error = prepare(&settings).map(drop).expect_err("no maps");
    assert!(error.to_string().contains("up to 3 frames of 2 numbers needs --model mlp"), "{error}");
}

#[test]
fn tokens_are_no_numbers() {
    let tokens = Samples::tokens((0..60).map(|i| vec![i % 7; 1 + i as usize % 4]), 7, 4).expect("of the vocabulary");
    let data =
        Dataset::new("words".into(), Split::new(tokens, Truth::labels((0..60).map(|i| i % 2).collect())), None).expect("there are some");
    let mut settings = FinetuneSettings::by(Task::CLASSIFY);
    (settings.model.kind, settings.run.batch) = (ModelKind::MLP, 20);
    let error = Finetune::prepare(settings.checked().expect("sound settings"), &data, None, u64::MAX).map(drop).expect_err("names");
    assert!(error.to_string().contains("does not take texts: try --model bag"), "{error}");
}

#[test]
fn a_batch_of_sequences_has_frames_in_rows_and_lengths() {
    let mut recording = Recording::new(1, u64::MAX);
    let data = recording.data("frames", &Split::new(frames(), Truth::default()));
    let order = Order::as_they_lie(60, 5, 12);
    let clock = Clock::of_pass(&mut recording.arena, "", 1);
    let mut tape = Tape::new(&mut recording.arena, "batch", &[]);
    let batch = batch_indices(&mut tape, data, clock.clock, order, 5);
    let Value::Sequence { buf, lengths } = batch_samples(&mut tape, batch, Form::Sequence) else { panic!("a sequence") };
    recording.programs.push(tape.finish().expect("it is recorded"));
    let programs = Arc::new(std::mem::take(&mut recording.programs));
    let mut cpu = Cpu::new(recording.memory(), programs.clone());
    cpu.run(&repeat(&programs, 0, 1)).expect("it runs");
    let rows: Vec<f32> = (0..5).flat_map(|i| (0..3).flat_map(move |frame| [frame_of(i, frame); 2])).collect();
    assert_eq!((cpu.mem().dense_f32(buf), cpu.mem().u32(lengths).row(0)), (rows, &[1, 2, 3, 1, 2][..]));
}

/// A number of a frame of [`frames`]; zero after the end.
fn frame_of(sequence: u32, frame: u32) -> f32 {
    let sign = if sequence.is_multiple_of(2) { 1.0 } else { -1.0 };
    if frame <= sequence % 3 { sign } else { 0.0 }
}
