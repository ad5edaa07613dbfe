//! Tuning: what it may choose, what it must not, and that choices change the speed of a run and nothing else.

use crate::common;

use std::sync::Arc;

use wgraft::core::buffer::{Arena, Buf, Dtype, Fill, Role, shape};
use wgraft::core::memory::HostMem;
use wgraft::core::program::{Exp, Kernel, Program, Scalar, Tolerance};
use wgraft::core::shader::Variant;
use wgraft::data::Dataset;
use wgraft::exec::{Choices, Device, Executor, Gpu, GpuOptions, Span, call_key, tune};
use wgraft::ops::Clock;
use wgraft::train::{Finetune, FinetuneSettings};

/// y = 2x in three ways: slowly; at once; and as fast, with the last bit wrong.
struct Twice {
    x: Buf,
    y: Buf,
}

macro_rules! twice {
    ($body:literal) => {
        Variant::plain(
            "twice",
            &[
                "struct Params { count: u32, rounds: u32 }
                @group(0) @binding(0) var<storage, read> x: array<f32>;
                @group(0) @binding(1) var<storage, read_write> y: array<f32>;
                @group(0) @binding(2) var<uniform> params: Params;
                @compute @workgroup_size(WG)
                fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
                    let i = invocation(group, lane);
                    if (i < params.count) {",
                $body,
                "}}",
            ],
        )
    };
}

const VARIANTS: &[Variant] = &[
    twice!("var sum = 0.0; for (var k = 0u; k < params.rounds; k++) { sum += x[i] * 2.0; sum -= x[i] * 2.0; } y[i] = sum + 2.0 * x[i];"),
    Variant { default_for: &[], ..twice!("y[i] = 2.0 * x[i];") },
    Variant { default_for: &[], ..twice!("y[i] = bitcast<f32>(bitcast<u32>(2.0 * x[i]) ^ 1u);") },
];

impl Kernel for Twice {
    fn bufs(&self) -> Vec<(&'static str, Buf)> {
        vec![("x", self.x), ("y", self.y)]
    }

    fn params(&self) -> Vec<(&'static str, Scalar)> {
        vec![("count", Scalar::U32(self.x.cols())), ("rounds", Scalar::U32(200))]
    }

    fn variants(&self) -> &'static [Variant] {
        VARIANTS
    }

    fn invocations(&self, _: &Variant) -> u64 {
        self.x.cols().into()
    }

    fn check_shapes(&self) -> Result<(), String> {
        Ok(())
    }

    fn twin(&self, _: &HostMem) {}

    fn tolerance(&self, _: &str, _: &HostMem, _: Exp) -> Tolerance {
        Tolerance::Exact
    }
}

#[test]
fn a_variant_whose_bits_differ_is_never_chosen() {
    let Some(device) = common::gpu() else { return };
    let mut arena = Arena::new(1, 1 << 27);
    let x = arena.buffer("x", Role::Input, Dtype::F32, shape(1, 1 << 16), Fill::Uniform(1.0));
    let y = arena.scratch("y", Dtype::F32, x.shape);
    let mut program = Program::new("twice");
    program.push(&arena, "twice", Twice { x, y }).expect("a sound call");
    let programs = Arc::new(vec![program]);
    let tuned = tune(&device, &arena, &HostMem::new(&arena), &programs, &Span { program: 0, calls: 0..1 }, 5).expect("it runs");
    let [kind] = tuned.as_slice() else { panic!("one kind of call") };
    assert_eq!(kind.candidates.iter().map(|c| c.equal).collect::<Vec<_>>(), [true, true, false]);
    // Which of the first two is faster is the machine's business.
    assert!(kind.default == 0 && kind.chosen != 2, "variant {} was chosen", kind.chosen);
}

#[test]
fn choices_are_obeyed_and_results_stay_within_tolerance() {
    let Some(gpu) = common::gpu() else { return };
    drop(gpu);
    let mut settings = FinetuneSettings { labels_per_class: Some(3), ..Default::default() };
    settings.model.hidden = vec![33];
    let finetune =
        Finetune::prepare(settings.checked().expect("sound settings"), &Dataset::embedded(), None, 1 << 27).expect("sound settings");
    let plan = &finetune.plan;
    let calls: Vec<_> = plan.programs.iter().flat_map(|p| &p.calls).collect();
    // For each call, the last of its variants that the default is not.
    let choices: Choices = calls
        .iter()
        .filter_map(|call| {
            let other = (0..call.kernel.variants().len()).rfind(|&v| call.kernel.fits(&call.kernel.variants()[v]))?;
            Some((call_key(&*call.kernel), call.kernel.describe(other)))
        })
        .collect();
    let run = |choices: &Choices| {
        let spec = common::test_device().parse().expect("a device");
        let Device::Gpu(device) = Device::open(&spec).expect("it opens").with_choices(choices.clone()) else { panic!("it was there") };
        let memory = plan.memory(&|step| Clock::row(0.0, &[0.1, 0.1], &plan.settings.update_rule(), step));
        let mut gpu = Gpu::load(device, &plan.arena, &memory, plan.programs.clone(), &GpuOptions::default()).expect("it loads");
        gpu.run(&plan.training.spans(&plan.programs, 0, 10)).expect("it runs");
        let params: Vec<Vec<u32>> =
            plan.arena.groups().into_iter().flat_map(|g| plan.arena.params(g)).map(|buf| gpu.read(buf).expect("it reads")).collect();
        (params.concat(), gpu.counts().texture_copies)
    };
    let (untuned, untuned_copies) = run(&Choices::new());
    let (tuned, copies) = run(&choices);
    let (again, _) = run(&choices);
    assert!(copies != untuned_copies, "the choices were not obeyed: {copies} texture copies either way");
    assert!(tuned == again, "equal choices, unequal bits");
    let value = |bits: &u32| f64::from(f32::from_bits(*bits));
    let worst = untuned.iter().zip(&tuned).map(|(a, b)| (value(a) - value(b)).abs());
    let worst = common::worst(worst);
    assert!(worst < 1e-4, "weights differ by {worst}");
}
