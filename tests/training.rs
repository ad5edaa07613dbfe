//! Wiring: losses fall to where they fell before, runs repeat and resume bit for bit, inputs matter, and a whole step on
//! the GPU agrees with its twins call by call.

use crate::common;

use std::cell::RefCell;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use wgraft::core::buffer::{Buf, Dtype, Role};
use wgraft::core::program::{Exp, Program};
use wgraft::data::{Dataset, SharedRows, Split, Truth};
use wgraft::error::DeviceError;
use wgraft::exec::{Counts, Cpu, Device, Executor, Gpu, Span, Timing};
use wgraft::host::views::Ranges;
use wgraft::models::{ModelKind, ModelSettings};
use wgraft::ops::{Clock, StepSettings};
use wgraft::train::{
    Checkpoint, Driver, Finetune, FinetuneSettings, Finetuned, JudgedRow, Method, Observer, OptimizerKind, Outcome, Plan, Pretrain,
    PretrainSettings, RING, Record, RunFolder, Session, Start, StepRow, Task, augment_preset, checkpoint_path,
};
use wgraft::verify::{Lockstep, lockstep};

static GO_ON: AtomicBool = AtomicBool::new(false);

fn devices() -> Vec<Device> {
    [Some(Device::Cpu), common::gpu().map(Device::Gpu)].into_iter().flatten().collect()
}

fn small_pretrain(steps: u32) -> Pretrain {
    small_pretrain_by(OptimizerKind::Sgd, steps)
}

fn small_pretrain_by(optimizer: OptimizerKind, steps: u32) -> Pretrain {
    let mut settings = PretrainSettings {
        model: ModelSettings::mlp(vec![33]),
        projection: vec![18, 10],
        augment: augment_preset("medium").expect("a preset"),
        ..Default::default()
    };
    settings.run.optimizer = optimizer;
    settings.run.lr = if optimizer == OptimizerKind::Sgd { 0.1 } else { 0.002 };
    settings.run.batch = 32;
    settings.run.steps = Some(steps);
    settings.run.warmup = 5;
    settings.run.clip_norm = 5.0;
    settings.run.val = 0.02;
    settings.run.checkpoint_every = 1000;
    let data = Dataset::embedded();
    let first = |n: u32| (0..n).collect::<Vec<_>>();
    let data = Dataset { train: data.train.select(&first(1500)), ..data };
    Pretrain::prepare(settings.checked().expect("sound settings"), &data, 1 << 27).expect("sound settings")
}

fn small_finetune(steps: u32) -> Finetune {
    let mut settings = FinetuneSettings { labels_per_class: Some(3), ..Default::default() };
    settings.model.hidden = vec![33];
    settings.run.steps = Some(steps);
    settings.run.val = 0.02;
    settings.run.clip_norm = 5.0;
    Finetune::prepare(settings.checked().expect("sound settings"), &Dataset::embedded(), None, 1 << 27).expect("sound settings")
}

fn session(device: &Device, folder: Option<RunFolder>) -> Session<'_> {
    let session = Session::new(device, &GO_ON);
    match folder {
        None => session,
        Some(folder) => session.in_folder(folder).expect("it can be written"),
    }
}

fn hyper(plan: &Plan) -> impl Fn(u32) -> StepSettings {
    let optimizer = plan.settings.update_rule();
    move |step| Clock::row(0.2, &[0.05, 0.05], &optimizer, step)
}

/// All that a run has learned, as bits.
fn learned(plan: &Plan, exec: &mut dyn Executor) -> Vec<u32> {
    let kept = plan.arena.bufs().iter().filter(|b| matches!(b.role, Role::Param { .. } | Role::State));
    kept.flat_map(|b| exec.read(b.buf).expect("the device reads")).collect()
}

#[test]
fn losses_fall_to_where_they_fell_before() {
    for device in devices() {
        let outcome = small_pretrain(120).run(session(&device, None)).expect("it trains");
        println!("{}: contrastive loss {:.4}, spread {:.3}", device.name(), outcome.outcome.final_loss, outcome.embedding_std);
        // 64 views: without learning anything the loss is ln 63 = 4.14.
        assert!((outcome.outcome.final_loss - 3.1404).abs() < 0.1, "contrastive loss {}", outcome.outcome.final_loss);
        assert!(outcome.embedding_std > 0.2, "the embeddings collapsed: {}", outcome.embedding_std);
        let Finetuned { outcome, test, .. } = small_finetune(150).run(session(&device, None)).expect("it trains");
        let accuracy = test.and_then(|test| test.value("accuracy")).expect("the digits have test images");
        println!("{}: cross-entropy {:.4}, accuracy {:.4}", device.name(), outcome.final_loss, accuracy);
        assert!(outcome.final_loss < 0.1, "cross-entropy {}", outcome.final_loss);
        assert!(accuracy > 0.6, "accuracy {} with 30 labels", accuracy);
    }
}

#[test]
fn runs_repeat_bit_for_bit_however_steps_are_batched() {
    let pretrains = [
        small_pretrain_by(OptimizerKind::Sgd, 12),
        small_pretrain_by(OptimizerKind::Adamw, 12),
        large_batch(OptimizerKind::Sgd, ModelKind::MLP, Some(16), 12),
    ];
    for (device, plan) in devices().into_iter().flat_map(|device| pretrains.each_ref().map(|p| (device.clone(), &p.plan))) {
        let run = |chunk: u32| {
            let mut exec = device.load(&plan.arena, plan.memory(&hyper(plan)), plan.programs.clone()).expect("it loads");
            for from in (0..12).step_by(chunk as usize) {
                exec.run(&plan.training.spans(&plan.programs, from, (from + chunk).min(12))).expect("it runs");
            }
            learned(plan, &mut *exec)
        };
        let reference = run(12);
        assert!(reference.iter().any(|&w| w != 0));
        for chunk in [1, 5, 12] {
            assert!(run(chunk) == reference, "{}: {chunk} steps at a time gave other bits", device.name());
        }
    }
}

#[test]
fn every_step_of_a_long_run_has_its_own_settings() {
    let steps = 2 * RING + 60;
    let plan = small_pretrain_by(OptimizerKind::Adam, steps).plan;
    let rule = plan.settings.update_rule();
    let hyper = |step: u32| Clock::row(0.2 + step as f32 / 4096.0, &[0.002 / (step + 1) as f32; 2], &rule, step);
    for device in devices() {
        // One by one, with the settings of the step wherever it may look for them.
        let mut exec = device.load(&plan.arena, plan.memory(&hyper), plan.programs.clone()).expect("it loads");
        let mut halfway = None;
        for step in 0..steps {
            if step == RING + 44 {
                let record = Record { step, ..plan.record.clone() };
                halfway = Some(Checkpoint::take(&plan.arena, &mut *exec, record).expect("it is read"));
            }
            let everywhere = hyper(step).map(f32::to_bits).repeat(RING as usize);
            exec.write(plan.training.clock.schedule, &everywhere).expect("it writes");
            exec.run(&plan.training.spans(&plan.programs, step, step + 1)).expect("it runs");
        }
        let expected = learned(&plan, &mut *exec);
        for resume in [None, halfway] {
            let mut driver = Driver::start(&plan, &hyper, Session { resume, ..session(&device, None) }).expect("it starts");
            assert_eq!(driver.run(None).expect("it trains").steps, steps);
            assert!(learned(&plan, &mut *driver.exec) == expected, "{}: a step had the settings of another one", device.name());
        }
    }
}

#[test]
fn a_run_may_have_as_many_steps_as_can_be_counted() {
    let (long, short) = (small_pretrain(u32::MAX).plan, small_pretrain(4).plan);
    assert_eq!(long.arena.bytes(), short.arena.bytes(), "steps cost no memory");
    // What each row is for.
    let named = |step: u32| [f32::from_bits(step); Clock::SETTINGS as usize];
    for from in [0, 1, RING - 1, RING, 1000, u32::MAX - 1000, u32::MAX - RING - 1] {
        let schedule = long.training.schedule(from, &named);
        for step in from..from + RING {
            let row = &schedule[((step % RING) * Clock::SETTINGS) as usize..][..Clock::SETTINGS as usize];
            assert_eq!(row, [step; Clock::SETTINGS as usize], "of the steps from {from} on");
        }
    }
    // The last ones are made as any others.
    let done = u32::MAX - 40;
    let mut exec = run_steps(&long, &Device::Cpu, 0);
    exec.write(long.training.clock.clock, &[done - 1, done, 0, 0]).expect("it writes");
    let resume = Checkpoint::take(&long.arena, &mut *exec, Record { step: done, ..long.record.clone() }).expect("it is read");
    let hyper = hyper(&long);
    let mut driver = Driver::start(&long, &hyper, Session { resume: Some(resume), ..session(&Device::Cpu, None) }).expect("it starts");
    assert_eq!(driver.run(None).expect("it trains").steps, u32::MAX);
}

#[test]
fn an_interrupted_run_ends_as_an_uninterrupted_one() {
    let kinds: [fn(u32) -> Pretrain; 3] = [
        |steps| small_pretrain_by(OptimizerKind::Sgd, steps),
        |steps| small_pretrain_by(OptimizerKind::Adam, steps),
        |steps| large_batch(OptimizerKind::Sgd, ModelKind::MLP, Some(16), steps / 3),
    ];
    for (device, kind) in devices().into_iter().flat_map(|device| kinds.map(|kind| (device.clone(), kind))) {
        let pretrain = kind(if matches!(device, Device::Cpu) { 1500 } else { 300 });
        let steps = pretrain.plan.training.total_steps;
        let root = tempfile::tempdir().expect("a place for files");
        let folder = |name: &str| RunFolder::create(&root.path().join(name), false, "").expect("a new folder");
        pretrain.run(session(&device, Some(folder("whole")))).expect("it trains");

        let (stop, path) = (AtomicBool::new(false), root.path().join("parts"));
        let parts = folder("parts");
        let first = std::thread::scope(|scope| {
            let watched = path.join("metrics.jsonl");
            let (stop, device, pretrain) = (&stop, &device, &pretrain);
            scope.spawn(move || {
                while std::fs::metadata(&watched).map_or(0, |m| m.len()) < 400 {
                    std::thread::yield_now();
                }
                stop.store(true, Ordering::Relaxed);
            });
            pretrain.run(Session { stop, ..session(device, Some(parts)) }).expect("it trains")
        });
        let at = first.outcome.steps;
        assert!(first.outcome.interrupted && at > 0 && at < steps, "stopped at step {at} of {steps}");
        let resume = Some(Checkpoint::load(&checkpoint_path(&path, "last")).expect("it was saved"));
        // What a crash may leave behind: measurements of steps that the checkpoint does not have, and half a line.
        let folder = RunFolder::open(&path).expect("it is there");
        let unsaved = format!("{{\"loss\":9.0,\"step\":{}}}\n{{\"step", at + 1);
        std::fs::OpenOptions::new()
            .append(true)
            .open(path.join("metrics.jsonl"))
            .and_then(|mut f| std::io::Write::write_all(&mut f, unsaved.as_bytes()))
            .expect("it writes");
        let outcome = pretrain.run(Session { resume, ..session(&device, Some(folder)) }).expect("it goes on");
        assert!(!outcome.outcome.interrupted);
        for name in ["last", "best"] {
            let bytes = |run: &str| std::fs::read(checkpoint_path(&root.path().join(run), name)).expect("it was saved");
            assert!(bytes("whole") == bytes("parts"), "{}: `{name}` differs after resuming from step {at}", device.name());
        }
        let losses = |run: &str| -> Vec<(u64, String)> {
            metrics(&root.path().join(run)).iter().map(|row| (row["step"].as_u64().unwrap_or(0), row["loss"].to_string())).collect()
        };
        assert_eq!(losses("whole"), losses("parts"), "metrics differ after resuming from step {at}");
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Saw {
    Started { done: u32 },
    Step(u32),
    Judged(u32),
    Ended { steps: u32 },
}

/// Writes down what it sees, and asks for an end once it has seen a step.
struct Witness<'a> {
    saw: &'a RefCell<Vec<Saw>>,
    stop: &'a AtomicBool,
    after: u32,
}

impl Observer for Witness<'_> {
    fn started(&mut self, start: &Start) -> anyhow::Result<()> {
        self.saw.borrow_mut().push(Saw::Started { done: start.done });
        Ok(())
    }

    fn stepped(&mut self, rows: &[StepRow]) -> anyhow::Result<()> {
        self.saw.borrow_mut().extend(rows.iter().map(|row| Saw::Step(row.step)));
        self.stop.store(rows.iter().any(|row| row.step >= self.after), Ordering::Relaxed);
        Ok(())
    }

    fn judged(&mut self, row: &JudgedRow<'_>) -> anyhow::Result<()> {
        assert!(row.loss.is_finite() && !row.judgement.values.is_empty(), "{row}");
        self.saw.borrow_mut().push(Saw::Judged(row.step));
        Ok(())
    }

    fn ended(&mut self, outcome: &Outcome) -> anyhow::Result<()> {
        self.saw.borrow_mut().push(Saw::Ended { steps: outcome.steps });
        Ok(())
    }
}

#[test]
fn observers_see_each_step_once_and_a_judgement_after_the_step_it_is_of() {
    const STEPS: u32 = 400;
    let pretrain = small_pretrain(STEPS);
    let root = tempfile::tempdir().expect("a place for files");
    for (i, device) in devices().iter().enumerate() {
        let path = root.path().join(i.to_string());
        let run = |folder: RunFolder, resume: Option<Checkpoint>, after: u32| {
            let (saw, stop) = (RefCell::new(Vec::new()), AtomicBool::new(false));
            let mut session = Session { resume, stop: &stop, ..session(device, Some(folder)) };
            session.observers.push(Box::new(Witness { saw: &saw, stop: &stop, after }));
            let outcome = pretrain.run(session).expect("it trains").outcome;
            (outcome, saw.into_inner())
        };
        let (first, mut saw) = run(RunFolder::create(&path, false, "").expect("a new folder"), None, 150);
        let at = first.steps;
        assert!(first.interrupted && (150..STEPS).contains(&at), "stopped after step {at}");
        let resume = Some(Checkpoint::load(&checkpoint_path(&path, "last")).expect("it was saved"));
        let (second, saw_then) = run(RunFolder::open(&path).expect("it is there"), resume, u32::MAX);
        assert_eq!(second.steps, STEPS);
        saw.extend(saw_then);
        // The folder says which steps were judged.
        let rows = metrics(&path);
        let judged: Vec<u64> = rows.iter().filter(|row| row["grad_norm"].is_null()).filter_map(|row| row["step"].as_u64()).collect();
        assert!(judged.len() > 2 && judged.contains(&STEPS.into()), "{judged:?}");
        let expected = |from: u32, to: u32| {
            let step = |step: u32| [Some(Saw::Step(step)), judged.contains(&step.into()).then_some(Saw::Judged(step))];
            let steps = (from + 1..=to).flat_map(step).flatten();
            [vec![Saw::Started { done: from }], steps.collect(), vec![Saw::Ended { steps: to }]].concat()
        };
        assert_eq!(saw, [expected(0, at), expected(at, STEPS)].concat(), "{}", device.name());
    }
}

#[test]
fn an_observer_that_fails_ends_the_run() {
    struct Full;
    impl Observer for Full {
        fn stepped(&mut self, _: &[StepRow]) -> anyhow::Result<()> {
            anyhow::bail!("the disk is full")
        }
    }
    let mut session = session(&Device::Cpu, None);
    session.observers.push(Box::new(Full));
    let error = small_pretrain(8).run(session).map(|done| done.outcome).expect_err("it cannot go on");
    assert_eq!(error.to_string(), "the disk is full");
}

fn metrics(run: &Path) -> Vec<serde_json::Value> {
    let text = std::fs::read_to_string(run.join("metrics.jsonl")).expect("metrics were written");
    text.lines().map(|line| serde_json::from_str(line).expect("each line is JSON")).collect()
}

/// The buffers that a program reads without having written them.
fn inputs_of(plan: &Plan, program: &Program) -> Vec<(String, wgraft::core::buffer::Buf)> {
    let bound: Vec<_> = program.calls.iter().flat_map(|c| c.kernel.bufs()).map(|(_, buf)| buf).collect();
    let inputs = plan.arena.bufs().iter().filter(|b| b.role == Role::Input && bound.contains(&b.buf));
    inputs.map(|b| (b.name.clone(), b.buf)).collect()
}

/// A step of 64 images at once, or 16 at a time.
fn large_batch(optimizer: OptimizerKind, model: ModelKind, micro_batch: Option<u32>, steps: u32) -> Pretrain {
    large_batch_by(Method::SIMCLR, optimizer, model, micro_batch, steps)
}

fn large_batch_by(method: Method, optimizer: OptimizerKind, model: ModelKind, micro_batch: Option<u32>, steps: u32) -> Pretrain {
    let Pretrain { mut settings, .. } = small_pretrain_by(optimizer, steps);
    settings.method = method;
    settings.augment = augment_preset("strong").expect("a preset");
    (settings.run.batch, settings.micro_batch, settings.model.kind, settings.model.width) = (64, micro_batch, model, 4);
    let data = Dataset::embedded();
    let data = Dataset { train: data.train.select(&(0..300).collect::<Vec<_>>()), ..data };
    Pretrain::prepare(settings.checked().expect("sound settings"), &data, 1 << 27).expect("sound settings")
}

/// Runs the first steps of a plan.
fn run_steps(plan: &Plan, device: &Device, steps: u32) -> Box<dyn Executor> {
    let mut exec = device.load(&plan.arena, plan.memory(&hyper(plan)), plan.programs.clone()).expect("it loads");
    exec.run(&plan.training.spans(&plan.programs, 0, steps)).expect("it runs");
    exec
}

#[test]
fn micro_batches_add_up_to_the_step_of_the_whole_batch() {
    let methods = [Method::SIMCLR, Method::VICREG, Method::BARLOW, Method::SUPCON];
    for (device, method) in devices().into_iter().flat_map(|device| methods.map(|method| (device.clone(), method))) {
        let [whole, parts] = [None, Some(16)].map(|micro| large_batch_by(method, OptimizerKind::Sgd, ModelKind::MLP, micro, 4).plan);
        // Two steps: the second draws other samples and views.
        let mut ran = [&whole, &parts].map(|plan| run_steps(plan, &device, 2));
        // VICReg and Barlow Twins do not see what all embeddings have in common.
        let unseen = |name: &str| [Method::VICREG, Method::BARLOW].contains(&method) && name == "projection.1.bias";
        for b in whole.arena.bufs().iter().filter(|b| matches!(b.role, Role::Param { .. }) && !unseen(&b.name)) {
            let same = parts.arena.find(&b.name).expect("both have the same parameters");
            let [x, y] = [(0, b.buf), (1, same)].map(|(i, buf)| ran[i].read(buf).expect("it reads"));
            let first = whole.memory(&hyper(&whole)).read(b.buf);
            let moved = first.iter().zip(&x).map(|(a, b)| (f32::from_bits(*a) - f32::from_bits(*b)).abs());
            let moved = common::worst(moved.map(f64::from));
            let apart = common::worst(x.iter().zip(&y).map(|(a, b)| f64::from((f32::from_bits(*a) - f32::from_bits(*b)).abs())));
            // Rounding of sums in another order, beside what two steps changed.
            let what = format!("{method:?} on {}: `{}`", device.name(), b.name);
            assert!(moved > 1e-4 && apart < 1e-3 * moved, "{what} moved by {moved}, is {apart} apart");
        }
        let losses = [0, 1].map(|i| {
            let plan = [&whole, &parts][i];
            f32::from_bits(ran[i].read(plan.training.ring).expect("it reads")[5])
        });
        assert!(losses[0] > 1.0 && (losses[0] - losses[1]).abs() < 1e-5 * (10.0 + losses[0]), "{method:?}: losses {losses:?}");
    }
}

#[test]
fn data_larger_than_a_buffer_change_no_bit() {
    let data = Dataset::embedded();
    for device in devices() {
        // Room for 5,102 images: 159 of the 306 steps of an epoch, and half of the test images.
        let ends = [1 << 27, 4_000_000].map(|limit| {
            let folder = tempfile::tempdir().expect("a folder");
            let start = |name: &str| session(&device, Some(RunFolder::create(&folder.path().join(name), false, "").expect("a run folder")));
            let Pretrain { mut settings, .. } = small_pretrain(350);
            if matches!(device, Device::Cpu) {
                // With statistics, which are of the images that come first.
                settings.model = ModelSettings { kind: ModelKind::CNN, width: 4, ..settings.model };
            }
            let pretrain = Pretrain::prepare(settings.checked().expect("sound settings"), &data, limit).expect("sound settings");
            pretrain.run(start("pre")).expect("it trains");
            let mut settings = FinetuneSettings::default();
            // The last of the 304 steps of an epoch has one image.
            (settings.run.batch, settings.run.steps) = (33, Some(400));
            let finetune = Finetune::prepare(settings.checked().expect("sound settings"), &data, None, limit).expect("sound settings");
            let Finetuned { test: scores, .. } = finetune.run(start("tuned")).expect("it trains");
            let file = |name: &str| std::fs::read(folder.path().join(name).join("checkpoints/last.safetensors")).expect("a checkpoint");
            let on_device = |plan: &Plan, name| plan.arena.find(name).expect("samples").rows();
            let room = (on_device(&pretrain.plan, "training samples"), on_device(&finetune.plan, "test samples"));
            ((file("pre"), file("tuned"), scores.expect("test images").values), room)
        });
        let [(whole, all), (windows, few)] = ends;
        assert_eq!((all, few), ((9800, 10_000), (5088, 5102)));
        assert!(whole == windows, "{}", device.name());
    }
}

#[test]
fn statistics_move_in_the_replay_only() {
    let plan = large_batch(OptimizerKind::Sgd, ModelKind::CNN, Some(16), 4).plan;
    let mut exec = run_steps(&plan, &Device::Cpu, 0);
    let statistics: Vec<_> = plan.arena.bufs().iter().filter(|b| matches!(b.role, Role::Statistic { .. })).map(|b| b.buf).collect();
    let mut before: Vec<_> = statistics.iter().map(|&buf| exec.read(buf).expect("it reads")).collect();
    assert!(!before.is_empty());
    let mut moving = Vec::new();
    for span in plan.training.spans(&plan.programs, 0, 1) {
        exec.run(std::slice::from_ref(&span)).expect("it runs");
        let now: Vec<_> = statistics.iter().map(|&buf| exec.read(buf).expect("it reads")).collect();
        if now.iter().zip(&before).all(|(now, before)| now != before) {
            moving.push(plan.programs[span.program].name.as_str());
        } else {
            assert!(now == before, "{}: some statistics move, others do not", plan.programs[span.program].name);
        }
        before = now;
    }
    assert_eq!(moving, ["replay", "replay on", "replay on", "replay on"]);
}

#[test]
fn every_declared_input_matters() {
    for plan in [&small_pretrain(4).plan, &small_finetune(4).plan, &small_pretrain_by(OptimizerKind::Adam, 4).plan] {
        let program = &plan.programs[0];
        let span = [Span { program: 0, calls: 0..program.calls.len() }];
        let run = |changed: Option<(wgraft::core::buffer::Buf, usize)>| {
            let mem = plan.memory(&hyper(plan));
            if let Some((buf, column)) = changed {
                let mut words = mem.read(buf);
                for (i, word) in
                    words.iter_mut().enumerate().filter(|(i, _)| column == usize::MAX || i % Clock::SETTINGS as usize == column)
                {
                    *word = match buf.dtype {
                        Dtype::F32 => (f32::from_bits(*word) * 1.5).to_bits(),
                        // Labels stay labels, pixels stay pixels.
                        Dtype::U32 if buf.rows() == 1 => (*word + 1) % 10,
                        Dtype::U32 => word.rotate_left(8) ^ (i as u32 & 1),
                    };
                }
                mem.write(buf, &words);
            }
            let mut cpu = Cpu::new(mem, plan.programs.clone());
            cpu.run(&span).expect("the CPU runs");
            learned(plan, &mut cpu)
        };
        let reference = run(None);
        let inputs = inputs_of(plan, program);
        assert!(inputs.len() >= 3, "{inputs:?}");
        for (name, buf) in inputs.into_iter().filter(|(name, _)| name != "metrics") {
            assert!(run(Some((buf, usize::MAX))) != reference, "changing `{name}` changes nothing");
            if name == "schedule" {
                let settings: &[usize] = if plan.settings.optimizer == OptimizerKind::Sgd { &[1, 2] } else { &[1, 2, 6, 7] };
                for &column in settings {
                    assert!(run(Some((buf, column))) != reference, "changing column {column} of the schedule changes nothing");
                }
            }
        }
    }
}

/// A device that spoils the first word of a buffer whenever it has run a certain call.
struct Wrong<'a> {
    device: &'a mut dyn Executor,
    call: usize,
    buf: Buf,
}

impl Executor for Wrong<'_> {
    fn run(&mut self, work: &[Span]) -> Result<(), DeviceError> {
        self.device.run(work)?;
        if work.iter().any(|span| span.calls.contains(&self.call)) {
            let mut words = self.device.read(self.buf)?;
            words[0] = 7.5_f32.to_bits();
            self.device.write(self.buf, &words)?;
        }
        Ok(())
    }

    fn time(&mut self, work: &[Span]) -> Result<Timing, DeviceError> {
        self.device.time(work)
    }

    fn busy_seconds(&mut self) -> Result<Option<f64>, DeviceError> {
        self.device.busy_seconds()
    }

    fn device_bytes(&self) -> u64 {
        self.device.device_bytes()
    }

    fn read(&mut self, buf: Buf) -> Result<Vec<u32>, DeviceError> {
        self.device.read(buf)
    }

    fn write(&mut self, buf: Buf, words: &[u32]) -> Result<(), DeviceError> {
        self.device.write(buf, words)
    }

    fn read_later(&mut self, buf: Buf) -> Result<(), DeviceError> {
        self.device.read_later(buf)
    }

    fn arrived(&mut self, wait: bool) -> Result<Option<Vec<u32>>, DeviceError> {
        self.device.arrived(wait)
    }
}

#[test]
fn a_whole_step_agrees_in_lockstep() {
    let Some(device) = common::gpu() else { return };
    for plan in [&small_pretrain(4).plan, &small_finetune(4).plan, &small_pretrain_by(OptimizerKind::Adamw, 4).plan] {
        for mode in [Lockstep::Resynced(Exp::of(device.class())), Lockstep::FreeRunning { limit: 1e-4 }] {
            if matches!(mode, Lockstep::FreeRunning { .. }) && plan.settings.optimizer != OptimizerKind::Sgd {
                // Adam's first step is as long for a gradient of nothing but rounding errors as for any other.
                continue;
            }
            let mut gpu = Gpu::load(device.clone(), &plan.arena, &plan.memory(&hyper(plan)), plan.programs.clone(), &Default::default())
                .expect("it loads");
            let mut cpu = Cpu::reference(plan.memory(&hyper(plan)), plan.programs.clone());
            for program in 0..plan.programs.len() {
                let found = lockstep(&mut gpu, &mut cpu, &plan.programs, program, mode).expect("both run");
                assert!(found.is_empty(), "{mode:?}, {}: {:?}", plan.programs[program].name, found.first());
            }
            // The control: one weight changed on the device alone shows where both run freely, and first in the call that
            // reads it.
            let weight = plan.arena.find("encoder.0.weight").expect("the encoder has weights");
            let mut words = gpu.read(weight).expect("it reads");
            words[300] = 3.0_f32.to_bits();
            gpu.write(weight, &words).expect("it writes");
            let found = lockstep(&mut gpu, &mut cpu, &plan.programs, 0, mode).expect("both run");
            match mode {
                Lockstep::Resynced(_) => {
                    assert!(found.is_empty(), "resynced inputs are the device's own");
                    // A device that gets the third call wrong is noticed there, and nowhere else.
                    let wrong = plan.programs[0].calls[2].kernel.outputs().into_iter().next().expect("it writes something").1;
                    let mut device = Wrong { device: &mut gpu, call: 2, buf: wrong };
                    let found = lockstep(&mut device, &mut cpu, &plan.programs, 0, mode).expect("both run");
                    assert_eq!(found.iter().map(|d| d.call).collect::<Vec<_>>(), [2], "{found:?}");
                }
                Lockstep::FreeRunning { .. } => assert_eq!(found.first().map(|d| d.label.as_str()), Some("encoder.0")),
            }
        }
    }
}

#[test]
fn memory_is_foretold() {
    let data = Dataset::embedded();
    let data = Dataset { train: data.train.select(&(0..40).collect::<Vec<_>>()), test: None, ..data };
    // Micro-batches have programs of their own, and so have frozen layers.
    let pretrain = |kind, optimizer, batch, micro_batch| {
        let Pretrain { mut settings, .. } = small_pretrain_by(optimizer, 4);
        (settings.run.batch, settings.micro_batch, settings.model.kind) = (batch, micro_batch, kind);
        Pretrain::prepare(settings.checked().expect("sound settings"), &data, 1 << 30).expect("sound settings").plan
    };
    let finetune = |kind, layer: Option<&str>| {
        let mut settings = FinetuneSettings { freeze_until: layer.map(String::from), ..Default::default() };
        (settings.run.batch, settings.model.kind) = (4, kind);
        Finetune::prepare(settings.checked().expect("sound settings"), &data, None, 1 << 30).expect("sound settings").plan
    };
    let autoencoder = |kind| {
        let Pretrain { mut settings, .. } = small_pretrain_by(OptimizerKind::Adam, 4);
        (settings.method, settings.augment, settings.run.batch, settings.model.kind) = (Method::AUTOENCODER, Ranges::NONE, 8, kind);
        Pretrain::prepare(settings.checked().expect("sound settings"), &data, 1 << 30).expect("sound settings").plan
    };
    let segment = |kind| {
        let (pixels, image) = data.train.samples.as_images().expect("images");
        let masks = pixels.iter().flatten().map(|&byte| u8::from(byte > 127)).collect();
        let masks = Some(SharedRows::new(masks, image.height * image.width));
        let train = Split { truth: Truth { masks, ..Truth::default() }, ..data.train.bare() };
        let data = Dataset { train, classes: 2, class_names: vec!["paper".into(), "ink".into()], ..data.clone() };
        let mut settings = FinetuneSettings { task: Task::SEGMENT, ..Default::default() };
        (settings.run.batch, settings.model.kind) = (4, kind);
        Finetune::prepare(settings.checked().expect("sound settings"), &data, None, 1 << 30).expect("sound settings").plan
    };
    let plans = [
        autoencoder(ModelKind::MLP),
        autoencoder(ModelKind::CNN),
        segment(ModelKind::CNN),
        segment(ModelKind::RESNET18),
        pretrain(ModelKind::MLP, OptimizerKind::Sgd, 32, None),
        pretrain(ModelKind::MLP, OptimizerKind::Adam, 32, Some(16)),
        finetune(ModelKind::MLP, None),
        pretrain(ModelKind::CNN, OptimizerKind::Sgd, 32, None),
        pretrain(ModelKind::CNN, OptimizerKind::Sgd, 32, Some(16)),
        finetune(ModelKind::CNN, Some("encoder.layer2")),
        pretrain(ModelKind::RESNET18, OptimizerKind::Adam, 4, None),
        finetune(ModelKind::RESNET18, Some("layer3")),
    ];
    // The CPU path has one sum for both: `tests/cli.rs` measures what a process takes.
    let Some(device) = common::gpu().map(Device::Gpu) else { return };
    for plan in &plans {
        let predicted = device.bytes_of(&plan.arena, &plan.programs);
        let exec = device.load(&plan.arena, plan.memory(&hyper(plan)), plan.programs.clone()).expect("it loads");
        let (taken, what) = (exec.device_bytes(), format!("{}, {}", device.name(), plan.record.model));
        println!("{what}: {predicted} bytes predicted, {taken} taken");
        assert!((predicted as f64 / taken as f64 - 1.0).abs() < 0.1, "{what}: {predicted} bytes predicted, {taken} taken");
    }
}

#[test]
fn what_a_step_asks_of_the_device_is_constant() {
    let Some(device) = common::gpu() else { return };
    for plan in [&small_pretrain(24).plan, &small_finetune(24).plan] {
        let mut gpu = Gpu::load(device.clone(), &plan.arena, &plan.memory(&hyper(plan)), plan.programs.clone(), &Default::default())
            .expect("it loads");
        let gpu_bytes = gpu.device_bytes();
        let mut run = |from: u32| {
            let before = gpu.counts();
            gpu.run(&plan.training.spans(&plan.programs, from, from + 8)).expect("it runs");
            gpu.read_later(plan.training.ring).expect("it copies");
            gpu.arrived(true).expect("the copy arrives");
            let after = gpu.counts();
            Counts {
                submits: after.submits - before.submits,
                dispatches: after.dispatches - before.dispatches,
                texture_copies: after.texture_copies - before.texture_copies,
                uploaded: after.uploaded - before.uploaded,
                readbacks: after.readbacks - before.readbacks,
            }
        };
        let (predicted, taken) = (Device::Gpu(device.clone()).bytes_of(&plan.arena, &plan.programs), gpu_bytes);
        assert!((predicted as f64 / taken as f64 - 1.0).abs() < 0.1, "{predicted} bytes predicted, {taken} taken");
        // What stays the same from step to step is copied in the first one only.
        run(0);
        let counts = run(8);
        let calls = plan.programs[0].calls.len() as u64;
        let expected = Counts { submits: 1, dispatches: 8 * calls, texture_copies: counts.texture_copies, uploaded: 0, readbacks: 1 };
        assert_eq!(counts, expected, "eight steps of {calls} calls and one look at the metrics");
        assert_eq!(run(16), expected, "eight more");
        assert!(counts.texture_copies.is_multiple_of(8) && counts.texture_copies <= 2 * counts.dispatches);
    }
}
