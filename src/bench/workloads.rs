//! The workloads that trainers are compared by. Contents are pseudo-random: speed does not depend on them.

use std::sync::Arc;

use anyhow::Result;

use crate::core::buffer::{Arena, Buf, Dtype, Fill, Role, shape};
use crate::core::memory::HostMem;
use crate::core::program::{Program, RecordError};
use crate::core::random;
use crate::core::sample::Image;
use crate::core::tape::Tape;
use crate::data::{Samples, Split, Truth};
use crate::exec::{Programs, Span, repeat};
use crate::kernels::matmul::{Layout, Matmul};
use crate::kernels::sgd::SgdSettings;
use crate::models::{self, ModelSettings};
use crate::ops::{Clock, Optimizer, batch_labels, cross_entropy, normalize, nt_xent};
use crate::train::{Recording, Training, TrainingOptions};

/// Something to time: spans of programs over an arena, to be run again and again.
pub struct Workload {
    pub name: String,
    /// Multiplications and additions of one repetition that the result needs; what is computed twice counts once.
    pub flops: u64,
    pub arena: Arena,
    pub programs: Programs,
    pub work: Vec<Span>,
    /// Something small to read back, to know that the work is done.
    pub read: Buf,
    memory: Option<HostMem>,
}

impl Workload {
    pub fn memory(&self) -> HostMem {
        self.memory.as_ref().map_or_else(|| HostMem::new(&self.arena), HostMem::clone)
    }

    /// One program, all of its calls.
    pub fn program(name: impl Into<String>, arena: Arena, program: Program, read: Buf) -> Self {
        let programs: Programs = Arc::new(vec![program]);
        let work = repeat(&programs, 0, 1);
        let flops = programs[0].calls.iter().map(|call| call.kernel.flops()).sum();
        Workload { name: name.into(), flops, arena, programs, work, read, memory: None }
    }
}

/// A whole training step of a classifier with one hidden layer on 28x28 images, drawing the batch included.
pub fn train_step(hidden: u32, batch: u32, binding_limit: u64) -> Result<Workload> {
    const CLASSES: u32 = 10;
    const STEPS: u32 = 1 << 17;
    let image = Image { height: 28, width: 28, channels: 1 };
    let samples = 8 * batch;
    let images = (0..samples * image.len()).map(|i| random::threefry([1, 2], [i, 0])[0] as u8).collect();
    let truth = Truth::labels((0..samples).map(|i| i % CLASSES).collect());
    let split = Split::new(Samples::images(images, image), truth);
    let mut r = Recording::new(0, binding_limit);
    let model = ModelSettings::mlp(vec![hidden]);
    let optimizer = Optimizer::Sgd(SgdSettings { momentum: 0.9, weight_decay: 0.0, nesterov: false, max_norm: 0.0 });
    let options = TrainingOptions {
        samples: &split,
        batch,
        drop_tail: true,
        by_length: false,
        trained: &[models::ENCODER, models::HEAD],
        optimizer,
        seed: 0,
        total_steps: &|_| STEPS,
    };
    let training = Training::record(&mut r, &options, &|t, batch, _| {
        let targets = batch_labels(t, batch);
        let features = models::features(t, &model, batch);
        let logits = models::classifier(t, &model, CLASSES, features);
        cross_entropy(t, "loss", logits, targets, 0.0)
    })?;
    let memory = r.memory();
    memory.write(training.clock.schedule, &training.schedule(0, &|step| Clock::row(0.0, &[0.01, 0.01], &optimizer, step)));
    let programs: Programs = Arc::new(r.programs);
    let work = training.spans(&programs, 0, 1);
    let flops = programs[work[0].program].calls.iter().map(|call| call.kernel.flops()).sum();
    let name = format!("mlp 784-{hidden}-10 batch {batch}");
    Ok(Workload { name, flops, work, read: training.clock.clock, arena: r.arena, programs, memory: Some(memory) })
}

/// c = a·b, with sizes as in BLAS: `c` is `[m, n]`, sums run over k.
pub fn matmul(layout: Layout, m: u32, n: u32, k: u32, binding_limit: u64) -> Result<Workload, RecordError> {
    let mut arena = Arena::new(0, binding_limit);
    let mut input = |name: &str, rows, cols| arena.buffer(name, Role::Input, Dtype::F32, shape(rows, cols), Fill::Uniform(1.0));
    let (a, b) = match layout {
        Layout::NN => (input("a", m, k), input("b", k, n)),
        Layout::NT => (input("a", m, k), input("b", n, k)),
        Layout::TN => (input("a", k, m), input("b", k, n)),
    };
    let c = arena.scratch("c", Dtype::F32, shape(m, n));
    let read = Buf { shape: shape(1, 4), ..c };
    let mut program = Program::new("matmul");
    program.push(&arena, "product", Matmul::new(layout, a, b, c))?;
    let name = if m == n && n == k { format!("matmul {m}") } else { format!("matmul {layout:?} {m}x{k}x{n}") };
    Ok(Workload::program(name, arena, program, read))
}

/// NT-Xent of `pairs` pairs of embeddings of width 128, normalised first, with the gradient of the embeddings.
pub fn contrastive(pairs: u32, binding_limit: u64) -> Result<Workload, RecordError> {
    const WIDTH: u32 = 128;
    let mut arena = Arena::new(0, binding_limit);
    let input = |arena: &mut Arena, name: &str, shape, fill| arena.buffer(name, Role::Input, Dtype::F32, shape, fill);
    let z = input(&mut arena, "embeddings", shape(2 * pairs, WIDTH), Fill::Uniform(1.0));
    let hyper = input(&mut arena, "settings", shape(1, 4), Fill::F32(vec![0.5; 4]));
    let mut tape = Tape::new(&mut arena, "loss", &[]);
    let t = &mut tape;
    t.want(z);
    let unit = normalize(t, "unit", z);
    let loss = nt_xent(t, "nt-xent", unit, hyper);
    t.backward(loss, loss);
    let program = tape.finish()?;
    // The similarities once, and one product of their gradient with the embeddings.
    let rows = u64::from(2 * pairs);
    let flops = 2 * 2 * rows * rows * u64::from(WIDTH);
    Ok(Workload { flops, ..Workload::program(format!("nt_xent {pairs} pairs"), arena, program, loss) })
}

/// What `bench` runs, in the order of its table.
pub fn standard(binding_limit: u64) -> Result<Vec<Workload>> {
    Ok(vec![
        train_step(128, 64, binding_limit)?,
        train_step(512, 256, binding_limit)?,
        matmul(Layout::NT, 64, 128, 784, binding_limit)?,
        matmul(Layout::TN, 784, 128, 64, binding_limit)?,
        matmul(Layout::NT, 64, 10, 128, binding_limit)?,
        matmul(Layout::NN, 256, 256, 256, binding_limit)?,
        matmul(Layout::NN, 1024, 1024, 1024, binding_limit)?,
        contrastive(256, binding_limit)?,
        contrastive(1024, binding_limit)?,
    ])
}
