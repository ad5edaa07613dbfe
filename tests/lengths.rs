//! Batches of texts of like length: what a step computes, and that it does not matter how a run got there.

use crate::common;

use std::sync::atomic::AtomicBool;

use common::keep::Last;
use wgraft::data::{Dataset, Samples, Split, Truth};
use wgraft::exec::Device;
use wgraft::models::{ModelKind, ModelSettings, TransformerShape};
use wgraft::ops::Clock;
use wgraft::train::{Checkpoint, Finetune, FinetuneSettings, OptimizerKind, Session, Task, augment_preset};

static GO_ON: AtomicBool = AtomicBool::new(false);

fn devices() -> Vec<Device> {
    [Some(Device::Cpu), common::gpu().map(Device::Gpu)].into_iter().flatten().collect()
}

/// Texts of 1 to 32 tokens, most of them short, some of which tell the class.
fn texts(count: u32) -> Dataset {
    let length = |i: u32| 1 + i * 7 % 5 + if i.is_multiple_of(5) { i * 11 % 29 } else { 0 };
    let tokens = (0..count).map(|i| (0..length(i)).map(|k| if k == 0 { i % 3 } else { 3 + (i * 31 + k * 17) % 40 }).collect::<Vec<u32>>());
    let samples = Samples::tokens(tokens.map(|text| text.into_iter().map(|token| token | 1 << 31).collect::<Vec<u32>>()), 43, 33);
    let truth = Truth::labels((0..count).map(|i| i % 3).collect());
    Dataset::new("texts".into(), Split::new(samples.expect("known tokens"), truth), None).expect("there are some")
}

fn model() -> ModelSettings {
    let shape = TransformerShape { width: 12, layers: 1, heads: 2, inner: 20, positions: 40, types: 1, ..TransformerShape::MINILM };
    ModelSettings { kind: ModelKind::BERT, shape: Some(shape), ..ModelSettings::mlp(vec![1]) }
}

fn finetune(steps: u32, count: u32, limit: u64) -> Finetune {
    let mut settings = FinetuneSettings::by(Task::CLASSIFY);
    settings.model = model();
    settings.augment = augment_preset("words-light").expect("a preset");
    settings.run.optimizer = OptimizerKind::Adamw;
    (settings.run.lr, settings.run.batch, settings.run.steps) = (0.01, 16, Some(steps));
    Finetune::prepare(settings.checked().expect("sound settings"), &texts(count), None, limit).expect("it fits")
}

/// The weights and the optimiser's state that a run ends in, and the checkpoint with them.
fn end(device: &Device, resume: Option<Checkpoint>, run: impl FnOnce(Session<'_>)) -> (Checkpoint, Vec<u8>) {
    let last = Last::default();
    run(Session { keep: Some(Box::new(last.clone())), resume, ..Session::new(device, &GO_ON) });
    let kept = last.take().expect("it was saved");
    let bytes = kept.to_bytes().expect("it is written");
    (kept, bytes)
}

#[test]
fn programs_of_several_widths_share_their_memory() {
    let plan = finetune(3, 247, u64::MAX).plan;
    let widths: Vec<u32> = plan.training.kinds().iter().map(|kind| kind.len()).collect();
    assert!(widths.len() > 2 && widths.is_sorted() && widths.last() == Some(&32), "{widths:?}");
    // All texts of 33 tokens: one bucket, as wide as the widest.
    let long = Samples::tokens((0..247).map(|i| vec![i % 43; 32]), 43, 33).expect("known tokens");
    let truth = Truth::labels((0..247).map(|i| i % 3).collect());
    let long = Dataset::new("texts".into(), Split::new(long, truth), None).expect("there are some");
    let settings = finetune(3, 247, u64::MAX).settings;
    let alone = Finetune::prepare(settings.checked().expect("sound settings"), &long, None, u64::MAX).expect("it fits").plan;
    assert_eq!((alone.training.kinds().len(), plan.programs.len() - alone.programs.len()), (1, widths.len() - 1));
    let (several, one) = (plan.arena.bytes(), alone.arena.bytes());
    // Beside the scratch there are positions and the like of each width.
    assert!((several as f64) < 1.1 * one as f64, "{several} bytes for all widths, {one} for the widest");
}

#[test]
fn a_run_goes_on_to_the_same_bytes() {
    for device in devices() {
        // Two epochs and a bit, of 15 full batches and perhaps a tail.
        let (steps, half) = (37, 11);
        let tune =
            |steps: u32, resume| end(&device, resume, |session| drop(finetune(steps, 247, u64::MAX).run(session).expect("it trains")));
        let (whole, first) = (tune(steps, None).1, tune(half, None).0);
        assert!(tune(steps, Some(first)).1 == whole, "{}", device.name());
    }
}

#[test]
fn texts_that_are_not_on_the_device_all_at_once_change_no_bit() {
    // Of 36 words each: 700 of 903 texts, 43 of the 56 full batches of an epoch.
    let limit = 36 * 4 * 700;
    for device in devices() {
        let tuned = |limit| end(&device, None, |session| drop(finetune(60, 903, limit).run(session).expect("it trains"))).1;
        assert!(tuned(u64::MAX) == tuned(limit), "{}", device.name());
    }
}

#[test]
fn losses_of_all_widths_fall() {
    let plan = finetune(48, 247, u64::MAX).plan;
    let hyper = |step| Clock::row(0.0, &[0.01; 2], &plan.settings.update_rule(), step);
    let mut exec = plan.load(&Device::Cpu, &hyper).expect("it loads");
    exec.run(&plan.training.spans(&plan.programs, 0, 48)).expect("it runs");
    let ring = exec.read(plan.training.ring).expect("it reads");
    let epoch = |number: usize| (16 * number..16 * (number + 1)).map(|step| f32::from_bits(ring[4 * step + 1])).sum::<f32>() / 16.0;
    assert!(epoch(2) < 0.5 * epoch(0), "{} then {}", epoch(0), epoch(2));
}
