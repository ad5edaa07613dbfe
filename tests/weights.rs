//! Weights of other origin: torchvision's ResNet-18 goes in, ours has its names and shapes; and layers that stay as they came.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype as Element, SafeTensors, TensorView};
use wgraft::core::buffer::{NamedBuf, Role};
use wgraft::core::memory::HostMem;
use wgraft::core::sample::Image;
use wgraft::data::{Dataset, Samples, Split, Truth};
use wgraft::exec::{Cpu, Device};
use wgraft::models::ModelKind;
use wgraft::ops::Clock;
use wgraft::train::{Checkpoint, Finetune, FinetuneSettings, Plan, Pretrain, PretrainSettings};

type Shapes = BTreeMap<String, Vec<usize>>;

/// The layers of torchvision's `resnet18` between stem and classifier: block, inputs, outputs.
const BLOCKS: [(&str, usize, usize); 8] = [
    ("layer1.0", 64, 64),
    ("layer1.1", 64, 64),
    ("layer2.0", 64, 128),
    ("layer2.1", 128, 128),
    ("layer3.0", 128, 256),
    ("layer3.1", 256, 256),
    ("layer4.0", 256, 512),
    ("layer4.1", 512, 512),
];

/// All names and shapes of its `state_dict`, but the batches that batch norms counted.
fn torchvision() -> Shapes {
    let mut shapes = Shapes::new();
    let mut conv_norm = |conv: String, norm: String, filters: [usize; 4]| {
        shapes.insert(format!("{conv}.weight"), filters.to_vec());
        for what in ["weight", "bias", "running_mean", "running_var"] {
            shapes.insert(format!("{norm}.{what}"), vec![filters[0]]);
        }
    };
    conv_norm("conv1".into(), "bn1".into(), [64, 3, 7, 7]);
    for (block, inputs, outputs) in BLOCKS {
        conv_norm(format!("{block}.conv1"), format!("{block}.bn1"), [outputs, inputs, 3, 3]);
        conv_norm(format!("{block}.conv2"), format!("{block}.bn2"), [outputs, outputs, 3, 3]);
        if inputs != outputs {
            conv_norm(format!("{block}.downsample.0"), format!("{block}.downsample.1"), [outputs, inputs, 1, 1]);
        }
    }
    shapes.insert("fc.weight".into(), vec![1000, 512]);
    shapes.insert("fc.bias".into(), vec![1000]);
    shapes
}

/// Values that tell every element of every tensor apart from its neighbours.
fn values(name: &str, shape: &[usize]) -> Vec<f32> {
    let first = name.bytes().fold(7_u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into())) % 1000;
    (0..shape.iter().product::<usize>()).map(|i| first as f32 + (i % 4096) as f32 / 4096.0).collect()
}

/// A file with such tensors, and with the counts that PyTorch keeps beside them.
fn write(path: &Path, shapes: &Shapes) {
    let bytes = |values: Vec<f32>| values.into_iter().flat_map(f32::to_le_bytes).collect::<Vec<u8>>();
    let tensors: BTreeMap<_, _> = shapes.iter().map(|(name, shape)| (name.clone(), (shape.clone(), bytes(values(name, shape))))).collect();
    let mut views: BTreeMap<String, TensorView<'_>> = tensors
        .iter()
        .map(|(name, (shape, bytes))| (name.clone(), TensorView::new(Element::F32, shape.clone(), bytes).expect("a tensor")))
        .collect();
    let count = 12_i64.to_le_bytes();
    for name in shapes.keys().filter_map(|name| name.strip_suffix(".running_mean")) {
        views.insert(format!("{name}.num_batches_tracked"), TensorView::new(Element::I64, vec![], &count).expect("a number"));
    }
    std::fs::write(path, safetensors::serialize(views, None).expect("tensors")).expect("the file can be written");
}

/// Few images of one size, labelled with the first and the last of so many classes.
fn images(image: Image, classes: u32) -> Dataset {
    let bytes = (0..4 * image.len()).map(|i| (i * 37 % 251) as u8).collect();
    let train = Split::new(Samples::images(bytes, image), Truth::labels(vec![0, classes - 1, 0, classes - 1]));
    Dataset { train, test: None, classes, ..Dataset::embedded() }
}

const COLOUR: Image = Image { height: 65, width: 65, channels: 3 };

fn finetune(data: &Dataset, file: Option<PathBuf>) -> anyhow::Result<Finetune> {
    let mut settings = FinetuneSettings { init_from: file, ..Default::default() };
    settings.model.kind = ModelKind::RESNET18;
    (settings.run.batch, settings.run.steps) = (2, Some(1));
    Finetune::prepare(settings.checked()?, data, None, u64::MAX)
}

fn model(plan: &Plan) -> impl Iterator<Item = &NamedBuf> {
    plan.arena.bufs().iter().filter(|b| b.role.group().is_some())
}

fn begin(plan: &Plan) -> HostMem {
    plan.memory(&|step| Clock::row(0.2, &[0.05, 0.05], &plan.settings.update_rule(), step))
}

fn dense(mem: &HostMem, b: &NamedBuf) -> Vec<f32> {
    b.tensor.to_torch(&mem.read(b.buf)).into_iter().map(f32::from_bits).collect()
}

/// What a file that cannot be used is told.
fn refused(shapes: &Shapes, data: &Dataset, root: &Path) -> String {
    let file = root.join("wrong.safetensors");
    write(&file, shapes);
    let error = finetune(data, Some(file.clone())).err().expect("the file does not fit").to_string();
    assert!(error.contains(&file.display().to_string()), "{error}");
    error
}

#[test]
fn weights_of_torchvision_go_in() {
    let root = tempfile::tempdir().expect("a place for files");
    let (file, shapes) = (root.path().join("resnet18.safetensors"), torchvision());
    assert_eq!(shapes.len(), 102);
    write(&file, &shapes);

    // With a classifier for as many classes, all of it is taken.
    let whole = finetune(&images(COLOUR, 1000), Some(file.clone())).expect("it fits");
    assert_eq!(model(&whole.plan).count(), shapes.len());
    assert!(whole.notes.iter().any(|note| note.contains("does not name what it predicts")), "{:?}", whole.notes);
    let mem = begin(&whole.plan);
    for b in model(&whole.plan) {
        assert!(dense(&mem, b) == values(&b.name, &shapes[&b.name]), "`{}`", b.name);
    }

    // With another, all but that.
    let other = finetune(&images(COLOUR, 5), Some(file.clone())).expect("it fits");
    assert!(other.notes.iter().any(|note| note.contains("classifier") && note.contains("`fc.weight`")), "{:?}", other.notes);
    let (mem, plain) = (begin(&other.plan), begin(&finetune(&images(COLOUR, 5), None).expect("sound settings").plan));
    for b in model(&other.plan) {
        let wanted = if b.name.starts_with("fc.") { dense(&plain, b) } else { values(&b.name, &shapes[&b.name]) };
        assert!(dense(&mem, b) == wanted, "`{}`", b.name);
    }

    // Grey images become three channels, as the first filters have.
    let grey = finetune(&images(Image { channels: 1, ..COLOUR }, 5), Some(file.clone())).expect("it fits");
    assert!(grey.notes.iter().any(|note| note.contains("grey images are repeated")), "{:?}", grey.notes);
    let stem = model(&grey.plan).find(|b| b.name == "conv1.weight").expect("there is a stem");
    assert_eq!(dense(&begin(&grey.plan), stem), values("conv1.weight", &[64, 3, 7, 7]));

    // Pretraining begins with them, too.
    let mut settings = PretrainSettings { init_from: Some(file), ..Default::default() };
    settings.model.kind = ModelKind::RESNET18;
    (settings.run.batch, settings.run.val, settings.run.steps) = (2, 0.0, Some(1));
    let pretrain = Pretrain::prepare(settings.checked().expect("sound settings"), &images(COLOUR, 5), u64::MAX).expect("it fits");
    let mem = begin(&pretrain.plan);
    let last = model(&pretrain.plan).find(|b| b.name == "layer4.1.conv2.weight").expect("there is a last convolution");
    assert_eq!(dense(&mem, last), values(&last.name, &shapes[&last.name]));
}

#[test]
fn weights_that_do_not_fit_are_named() {
    let root = tempfile::tempdir().expect("a place for files");
    let data = images(COLOUR, 5);
    let changed = |change: &dyn Fn(&mut Shapes)| {
        let mut shapes = torchvision();
        change(&mut shapes);
        refused(&shapes, &data, root.path())
    };
    let error = changed(&|shapes| drop(shapes.remove("layer2.0.bn1.running_var")));
    assert!(error.contains("there is no `layer2.0.bn1.running_var`"), "{error}");
    let error = changed(&|shapes| drop(shapes.insert("layer3.1.conv1.weight".into(), vec![256, 256, 1, 1])));
    assert!(error.contains("`layer3.1.conv1.weight`") && error.contains("[256, 256, 1, 1]"), "{error}");
    // A larger model of the same family has all that this one has.
    let error = changed(&|shapes| drop(shapes.insert("layer1.2.conv1.weight".into(), vec![64, 64, 3, 3])));
    assert!(error.contains("`layer1.2.conv1.weight`"), "{error}");
    let small = images(Image { height: 32, width: 32, channels: 3 }, 5);
    let error = refused(&torchvision(), &small, root.path());
    assert!(error.contains("`conv1.weight`") && error.contains("--size 224"), "{error}");
}

#[test]
fn a_checkpoint_has_the_names_and_shapes_of_torchvision() {
    let plan = finetune(&images(COLOUR, 1000), None).expect("sound settings").plan;
    let mut cpu = Cpu::new(begin(&plan), plan.programs.clone());
    let checkpoint = Checkpoint::take(&plan.arena, &mut cpu, plan.record.clone()).expect("it is taken");
    let bytes = checkpoint.to_bytes().expect("it is written");
    let file = SafeTensors::deserialize(&bytes).expect("a whole file");
    let tensors = file.tensors().into_iter().filter(|(name, _)| !name.starts_with("state."));
    let found: BTreeMap<_, _> = tensors.map(|(name, view)| (name, (view.dtype(), view.shape().to_vec()))).collect();
    let wanted: BTreeMap<_, _> = torchvision().into_iter().map(|(name, shape)| (name, (Element::F32, shape))).collect();
    assert_eq!(found, wanted);
}

#[test]
fn frozen_layers_keep_weights_and_statistics() {
    let mut settings = FinetuneSettings { labels_per_class: Some(4), freeze_until: Some("encoder.layer2".into()), ..Default::default() };
    settings.model.kind = ModelKind::CNN;
    settings.model.width = 4;
    (settings.run.batch, settings.run.steps) = (16, Some(3));
    let data = Dataset::embedded();
    let plan = Finetune::prepare(settings.clone().checked().expect("sound settings"), &data, None, u64::MAX).expect("sound settings").plan;
    let before = begin(&plan);
    let mut exec = Device::Cpu.load(&plan.arena, begin(&plan), plan.programs.clone()).expect("it loads");
    exec.run(&plan.training.spans(&plan.programs, 0, 3)).expect("it runs");
    let mut counts = [0, 0];
    for b in model(&plan) {
        let frozen = ["encoder.conv1.", "encoder.bn1.", "encoder.layer1."].iter().any(|layer| b.name.starts_with(layer));
        counts[usize::from(frozen)] += 1;
        assert_eq!(exec.read(b.buf).expect("it reads") == before.read(b.buf), frozen, "`{}`", b.name);
    }
    assert!(counts[0] > 10 && counts[1] > 8, "{counts:?}");
    let trained = plan.training.trained.iter().flat_map(|&group| plan.arena.params(group)).count();
    let all = plan.arena.bufs().iter().filter(|b| matches!(b.role, Role::Param { .. })).count();
    assert!(trained > 0 && trained < all, "{trained} of {all} parameters are trained");

    settings.freeze_until = Some("layer2".into());
    let error = Finetune::prepare(settings.checked().expect("sound settings"), &data, None, u64::MAX)
        .err()
        .expect("there is no such layer")
        .to_string();
    for name in ["layer2", "encoder.conv1", "encoder.layer2", "encoder.fc", "head"] {
        assert!(error.contains(name), "{error}");
    }
}
