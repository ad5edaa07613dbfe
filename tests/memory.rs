//! Samples from memory, of which no file tells anything: training takes them or says why not, and its checkpoints can be read.

use wgraft::data::{Dataset, Samples, Split, Truth};
use wgraft::exec::Device;
use wgraft::models::ModelKind;
use wgraft::train::{Checkpoint, Finetune, FinetuneSettings, Method, Pretrain, PretrainSettings, Task};

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
        assert!(error.to_string().contains("images are wanted here"), "{error}");
    }
    // Before the file is looked for.
    let mut settings = settings();
    (settings.model.kind, settings.init_from) = (ModelKind::CNN, Some("nowhere.safetensors".into()));
    let error = Finetune::prepare(settings.checked().expect("sound settings"), &rows(), None, u64::MAX).map(drop).expect_err("no maps");
    assert!(error.to_string().contains("a table needs --model mlp"), "{error}");
}
