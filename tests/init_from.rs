//! Weights of others: how images are normalised for them, the names and types that they come with, and files that hold none.

use crate::common;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use common::binary::{json, refused, stderr, wgraft};
use common::files::{encoded, folder, gzipped, put, zipped};
use image::{ImageFormat, Rgb, RgbImage};
use safetensors::tensor::{Dtype as Element, SafeTensors, TensorView};
use wgraft::core::buffer::{Arena, Dtype, Fill, Role};
use wgraft::core::memory::HostMem;
use wgraft::core::sample::{Image, SampleType};
use wgraft::core::tape::Tape;
use wgraft::data::{Dataset, Samples, Split, Truth};
use wgraft::exec::{Cpu, Executor, repeat};
use wgraft::models::{self, ModelKind, ModelSettings, Normalization, Place};
use wgraft::ops::Clock;
use wgraft::train::{Checkpoint, Finetune, FinetuneSettings};

type Tensors = BTreeMap<String, (Element, Vec<usize>, Vec<u8>)>;

const MLP: &[&str] = &["finetune", "--model", "mlp", "--hidden", "6", "--steps", "1", "--batch", "4", "--device", "cpu"];

fn write(path: &Path, tensors: &Tensors) {
    let views = tensors.iter().map(|(name, (kind, shape, bytes))| {
        (name.as_str(), TensorView::new(*kind, shape.clone(), bytes).expect("as many bytes as the shape says"))
    });
    std::fs::write(path, safetensors::serialize(views, None).expect("tensors")).expect("it is written");
}

/// Multiples of 1/256 from -0.5 on, which all types hold exactly.
fn values(count: usize) -> Vec<f32> {
    (0..count).map(|i| (i * 37 % 256) as f32 / 256.0 - 0.5).collect()
}

fn le_bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn tensor(shape: &[usize]) -> (Element, Vec<usize>, Vec<u8>) {
    (Element::F32, shape.to_vec(), le_bytes(&values(shape.iter().product())))
}

/// An encoder of 6 features for the embedded digits.
fn encoder() -> Tensors {
    let pixels = Dataset::embedded().train.kind().len() as usize;
    [("encoder.0.weight", vec![6, pixels]), ("encoder.0.bias", vec![6])].map(|(name, shape)| (name.to_string(), tensor(&shape))).into()
}

/// A change of every tensor of [`encoder`], or of its name.
fn changed(change: impl Fn(&str, &[f32]) -> (String, Element, Vec<u8>)) -> Tensors {
    let changed = encoder().into_iter().map(|(name, (_, shape, _))| {
        let (name, kind, bytes) = change(&name, &values(shape.iter().product()));
        (name, (kind, shape, bytes))
    });
    changed.collect()
}

fn settings(file: &Path) -> FinetuneSettings {
    let mut settings = FinetuneSettings { init_from: Some(file.to_path_buf()), ..Default::default() };
    settings.model = ModelSettings::mlp(vec![6]);
    (settings.run.batch, settings.run.steps) = (4, Some(1));
    settings
}

/// What the buffer called `name` begins with.
fn begun(run: &Finetune, name: &str) -> Vec<f32> {
    let memory = run.plan.memory(&|step| Clock::row(0.0, &[0.1, 0.1], &run.plan.settings.update_rule(), step));
    let buf = run.plan.arena.bufs().iter().find(|b| b.name == name).expect("it is there");
    buf.tensor.to_torch(&memory.read(buf.buf)).into_iter().map(f32::from_bits).collect()
}

/// Pictures of three channels in two classes.
fn pictures(root: &Path) {
    for (class, name) in ["bright", "dark"].into_iter().enumerate() {
        for i in 0..4_u8 {
            let value = |x: u32, y: u32| (x * 5 + y * 3) as u8 + if class == 0 { 150 } else { 20 } + i;
            let picture = RgbImage::from_fn(8, 8, |x, y| Rgb([value(x, y), value(y, x), value(x, x)]));
            put(root, &format!("data/{name}/{i}.png"), encoded(picture, ImageFormat::Png));
        }
    }
}

/// All tensors of torchvision's `resnet18` with the filters that small pictures get first; tame, so that nothing overflows.
fn resnet18() -> Tensors {
    let mut tensors = Tensors::new();
    let mut layer = |conv: String, norm: String, shape: [usize; 4]| {
        let scale = (shape[1] * shape[2] * shape[3]) as f32;
        let filters: Vec<f32> = values(shape.iter().product()).iter().map(|value| value / scale.sqrt()).collect();
        tensors.insert(format!("{conv}.weight"), (Element::F32, shape.to_vec(), le_bytes(&filters)));
        for (what, value) in [("weight", 1.0), ("bias", 0.1), ("running_mean", 0.0), ("running_var", 1.0)] {
            tensors.insert(format!("{norm}.{what}"), (Element::F32, vec![shape[0]], le_bytes(&vec![value; shape[0]])));
        }
    };
    layer("conv1".into(), "bn1".into(), [64, 3, 3, 3]);
    for (i, channels) in [64, 128, 256, 512].into_iter().enumerate() {
        let inputs = if i == 0 { 64 } else { channels / 2 };
        for (block, inputs) in [inputs, channels].into_iter().enumerate() {
            let name = format!("layer{}.{block}", i + 1);
            layer(format!("{name}.conv1"), format!("{name}.bn1"), [channels, inputs, 3, 3]);
            layer(format!("{name}.conv2"), format!("{name}.bn2"), [channels, channels, 3, 3]);
            if inputs != channels {
                layer(format!("{name}.downsample.0"), format!("{name}.downsample.1"), [channels, inputs, 1, 1]);
            }
        }
    }
    tensors
}

/// Features that `model` makes of images `x` (dense), with weights that depend on their names alone.
fn features(model: &ModelSettings, image: Image, x: Vec<f32>) -> Vec<f32> {
    let mut arena = Arena::new(3, u64::MAX);
    let (form, kind) = (model.kind.form(), SampleType::Image(image));
    let x = arena.buffer("x", Role::Input, Dtype::F32, form.shape(2, kind), Fill::F32(x));
    let mut tape = Tape::new(&mut arena, "encoder", &[]);
    let y = models::encoder(&mut tape, model, Place::evaluation(models::ENCODER), form.value(x, kind, None));
    let programs = Arc::new(vec![tape.finish().expect("it is recorded")]);
    let mut cpu = Cpu::new(HostMem::new(&arena), programs.clone());
    cpu.run(&repeat(&programs, 0, 1)).expect("it runs");
    cpu.mem().dense_f32(y)
}

#[test]
fn an_encoder_normalises_by_channel_before_it_pads() {
    let Normalization { mean, std } = Normalization::IMAGENET;
    let colour = Image { height: 9, width: 7, channels: 3 };
    for kind in [ModelKind::MLP, ModelKind::CNN] {
        let plain = ModelSettings { kind, width: 4, features: 5, ..ModelSettings::mlp(vec![5]) };
        let model = ModelSettings { normalize: Some(Normalization::IMAGENET), ..plain.clone() };
        for channels in [1, 3] {
            let image = Image { channels, ..colour };
            let x: Vec<f32> = values(2 * image.len() as usize).iter().map(|value| value + 0.5).collect();
            let pixels = x.chunks(channels as usize).flat_map(|pixel| (0..3).map(|c| (pixel[c % pixel.len()] - mean[c]) / std[c]));
            let (found, wanted) = (features(&model, image, x.clone()), features(&plain, colour, pixels.collect()));
            assert!(wanted.iter().any(|value| value.abs() > 0.01), "{wanted:?}");
            let far = found.iter().zip(&wanted).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(found.len() == wanted.len() && far < 1e-5, "{kind:?}, {channels} channels: {found:?}, {wanted:?}");
        }
    }
}

#[test]
fn the_normalisation_of_a_published_network_goes_where_the_network_goes() {
    let dir = folder();
    let root = dir.path();
    pictures(root);
    write(&root.join("tv.safetensors"), &resnet18());
    let tune = ["finetune", "--data", "data", "--model", "resnet18", "--init-from", "tv.safetensors", "--freeze", "--device", "cpu"];
    let train = ["--steps", "1", "--batch", "2"];
    let output = wgraft(root, &[&tune[..], &train, &["--out", "run"]].concat());
    let said = stderr(&output);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("ImageNet") && said.contains("[0.485, 0.456, 0.406]") && said.contains("[0.229, 0.224, 0.225]"), "{said}");
    let config = std::fs::read_to_string(root.join("run/config.toml")).expect("it is there");
    assert!(config.contains("[model.normalize]"), "{config}");
    let model = |run: &str| {
        let file = root.join(run).join("checkpoints/best.safetensors");
        Checkpoint::load(&file).expect("a checkpoint").record.model
    };
    assert_eq!(model("run").normalize, Some(Normalization::IMAGENET));

    // What follows from the run has it, and a resumed run goes on with it.
    json(root, &[&["finetune", "--data", "data", "--from", "run", "--device", "cpu", "--out", "next"], &train[..]].concat());
    assert_eq!(model("next"), model("run"));
    let again = ["finetune", "--data", "data", "--model", "resnet18", "--init-from", "run/checkpoints/best.safetensors", "--device", "cpu"];
    json(root, &[&again[..], &train, &["--out", "again"]].concat());
    assert_eq!(model("again"), model("run"));
    json(root, &["finetune", "--resume", "--out", "run", "--device", "cpu"]);
    assert_eq!(model("run").normalize, Some(Normalization::IMAGENET));

    let named = root.join("none.toml");
    std::fs::write(&named, "[model.normalize]\nmean = [0.0, 0.0, 0.0]\nstd = [1.0, 1.0, 1.0]\n").expect("it is written");
    let settled = wgraft(root, &[&again[..], &train, &["--config", "none.toml", "--dry-run"]].concat());
    assert!(settled.status.success() && stderr(&settled).contains("which those of that run were not"), "{}", stderr(&settled));

    // Embeddings are those of the same network over normalised pictures; over pictures as they are they are others.
    json(root, &["embed", "run", "data", "--out", "e.csv", "--device", "cpu"]);
    let none = wgraft(root, &[&tune[..], &train, &["--config", "none.toml", "--out", "none"]].concat());
    assert!(none.status.success() && stderr(&none).contains("as the settings say"), "{}", stderr(&none));
    json(root, &["embed", "none", "data", "--out", "n.csv", "--device", "cpu"]);
    let read = |name: &str| std::fs::read_to_string(root.join(name)).expect("it is there");
    assert_ne!(read("e.csv"), read("n.csv"));
    let predicted = json(root, &["predict", "run", "data/dark/0.png", "--device", "cpu"]);
    assert!(predicted.to_string().contains("dark") || predicted.to_string().contains("bright"), "{predicted}");

    // Grey pictures become three channels.
    let grey = wgraft(root, &[&tune[..], &train, &["--grey", "--dry-run"]].concat());
    assert!(grey.status.success() && stderr(&grey).contains("grey images are repeated"), "{}", stderr(&grey));
    std::fs::write(&named, "[model.normalize]\nmean = [0.0, 0.0, 0.0]\nstd = [1.0, 0.0, 1.0]\n").expect("it is written");
    refused(root, &[&tune[..], &train, &["--config", "none.toml"]].concat(), 2, &["positive standard deviations"]);
}

#[test]
fn runs_without_such_weights_record_no_normalisation() {
    let dir = folder();
    json(dir.path(), &[MLP, &["--out", "run"]].concat());
    for file in ["config.toml", "checkpoints/best.safetensors"] {
        let bytes = std::fs::read(dir.path().join("run").join(file)).expect("it is there");
        assert!(!String::from_utf8_lossy(&bytes).contains("normalize"), "{file}");
    }
}

#[test]
fn other_types_are_converted_and_prefixes_left_out() {
    let dir = folder();
    let file = dir.path().join("w.safetensors");
    let data = Dataset::embedded();
    let half = |value: f32| match value {
        // Of the values here: sign, exponent and as many bits of the fraction as there are.
        0.0 => 0_u16,
        _ => {
            ((value.to_bits() >> 16) & 0x8000) as u16
                | ((((value.to_bits() >> 23) & 0xff) - 112) << 10) as u16
                | ((value.to_bits() >> 13) & 0x3ff) as u16
        }
    };
    let f16 = |name: &str, v: &[f32]| (name.to_string(), Element::F16, v.iter().flat_map(|&v| half(v).to_le_bytes()).collect());
    let bf16 = |name: &str, v: &[f32]| {
        (name.to_string(), Element::BF16, v.iter().flat_map(|v| ((v.to_bits() >> 16) as u16).to_le_bytes()).collect())
    };
    let f64 = |name: &str, v: &[f32]| (name.to_string(), Element::F64, v.iter().flat_map(|&v| f64::from(v).to_le_bytes()).collect());
    for (kind, tensors) in [("F16", changed(f16)), ("BF16", changed(bf16)), ("F64", changed(f64))] {
        write(&file, &tensors);
        let run = Finetune::prepare(settings(&file).checked().expect("sound settings"), &data, None, u64::MAX).expect("it fits");
        for (name, (_, shape, _)) in &tensors {
            assert!(begun(&run, name) == values(shape.iter().product()), "{kind} `{name}`");
        }
        assert!(run.notes.iter().any(|note| note.contains(&format!("2 of them are of type {kind}"))), "{:?}", run.notes);
    }
    for prefix in ["module.", "backbone.", "model.module.", "a.wrapper."] {
        write(&file, &changed(|name, v| (format!("{prefix}{name}"), Element::F32, le_bytes(v))));
        let run = Finetune::prepare(settings(&file).checked().expect("sound settings"), &data, None, u64::MAX).expect("it fits");
        assert!(begun(&run, "encoder.0.bias") == values(6), "{prefix}");
        assert!(run.notes.iter().any(|note| note.contains(&format!("`{prefix}`"))), "{:?}", run.notes);
    }
    // Twice the model: which one is meant?
    let mut twice = changed(|name, v| (format!("student.{name}"), Element::F32, le_bytes(v)));
    twice.extend(changed(|name, v| (format!("teacher.{name}"), Element::F32, le_bytes(v))));
    write(&file, &twice);
    refused(dir.path(), &[MLP, &["--init-from", "w.safetensors"]].concat(), 2, &["student.", "teacher.", "keep one"]);
}

#[test]
fn a_classifier_goes_by_the_names_of_its_classes() {
    let dir = folder();
    let file = dir.path().join("w.safetensors");
    let image = Image { height: 2, width: 2, channels: 1 };
    let data = |names: [&str; 3]| {
        let train = Split::new(Samples::images((0..16).collect(), image), Truth::labels(vec![0, 1, 2, 0]));
        Dataset { train, test: None, classes: 3, class_names: names.map(String::from).to_vec(), ..Dataset::embedded() }
    };
    let prepared = |file: Option<&Path>, names| {
        let settings = FinetuneSettings { init_from: file.map(Path::to_path_buf), ..settings(dir.path()) };
        Finetune::prepare(settings.checked().expect("sound settings"), &data(names), None, u64::MAX).expect("it fits")
    };
    let first = prepared(None, ["a", "b", "c"]);
    let memory = first.plan.memory(&|step| Clock::row(0.0, &[0.1, 0.1], &first.plan.settings.update_rule(), step));
    let mut cpu = Cpu::new(memory, first.plan.programs.clone());
    let head = first.plan.arena.find("head.weight").expect("there is a head");
    let rows = [[1.0; 8], [2.0; 8], [3.0; 8]].concat().into_iter().map(f32::to_bits).collect::<Vec<u32>>();
    cpu.write(head, &rows).expect("it is written");
    let checkpoint = Checkpoint::take(&first.plan.arena, &mut cpu, first.plan.record.clone()).expect("it is taken");
    std::fs::write(&file, checkpoint.to_bytes().expect("it is whole")).expect("it is written");

    let of = |names| begun(&prepared(Some(&file), names), "head.weight").chunks(6).map(|row| row[0]).collect::<Vec<f32>>();
    assert_eq!(of(["a", "b", "c"]), [1.0, 2.0, 3.0]);
    assert_eq!(of(["c", "a", "b"]), [3.0, 1.0, 2.0]);
    let other = prepared(Some(&file), ["a", "b", "d"]);
    assert!(other.notes.iter().any(|note| note.contains("a, b, c") && note.contains("a, b, d")), "{:?}", other.notes);
    assert_eq!(begun(&other, "head.weight"), begun(&prepared(None, ["a", "b", "d"]), "head.weight"));
}

#[test]
fn files_that_hold_no_weights_are_named_for_what_they_are() {
    let dir = folder();
    let root = dir.path();
    let zip = |name: &str| [&b"PK\x03\x04"[..], &[0; 26], name.as_bytes(), &[0; 40]].concat();
    let whole = safetensors::serialize([("a", TensorView::new(Element::F32, vec![2], &[0; 8]).expect("a tensor"))], None).expect("tensors");
    let files: [(&str, Vec<u8>, &[&str]); 15] = [
        ("a.pth", zip("archive/data.pkl"), &["PyTorch", "damaged"]),
        ("b.safetensors", b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.".to_vec(), &["PyTorch", "ends too early"]),
        ("c.bin", zip("arr_0.npy"), &[".npz"]),
        ("d.bin", zip("a.txt"), &["zip archive"]),
        ("d.pt", zip("net/code/__torch__/net.py"), &["TorchScript", "state_dict()"]),
        ("e.safetensors", b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 46807446\n".to_vec(), &["git lfs pull"]),
        ("f.safetensors", b"\n <!DOCTYPE html><title>404</title>".to_vec(), &["web page"]),
        ("g.safetensors", gzipped(&whole), &["gzip"]),
        ("h.safetensors", Vec::new(), &["is empty"]),
        ("i.onnx", b"\x08\x08\x12\x07pytorch\x1a\x052.1.0".to_vec(), &["ONNX"]),
        ("j.safetensors", whole[..whole.len() - 1].to_vec(), &["cut off"]),
        ("k.safetensors", whole[..12].to_vec(), &["cut off"]),
        ("l.safetensors", [&(90_u64 << 20).to_le_bytes()[..], b"{}"].concat(), &["not a safetensors file"]),
        ("m.safetensors", vec![7; 5], &["not a safetensors file"]),
        ("n.json", b"{\"weight_map\": {}}".to_vec(), &["JSON"]),
    ];
    for (name, bytes, parts) in &files {
        put(root, name, bytes);
        refused(root, &[MLP, &["--init-from", name]].concat(), 1, &[&[*name], *parts].concat());
        refused(root, &["finetune", "--from", name, "--device", "cpu"], 1, &[&[*name], *parts].concat());
    }
    let empty = (0..30_000).map(|i| format!("\"{i}\":{{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]}}"));
    let header = format!("{{{}}}", empty.collect::<Vec<_>>().join(","));
    put(root, "o.safetensors", [&(header.len() as u64).to_le_bytes()[..], header.as_bytes()].concat());
    refused(root, &[MLP, &["--init-from", "o.safetensors"]].concat(), 1, &["30000 tensors"]);
    std::fs::create_dir(root.join("folder")).expect("it is made");
    refused(root, &[MLP, &["--init-from", "folder"]].concat(), 1, &["folder", "not a file"]);
}

/// What a pickle says that asks for `module.name` with a text, as one does that runs something.
fn asking_for(module: &str, name: &str, text: &str) -> Vec<u8> {
    let text = [&b"X"[..], &(text.len() as u32).to_le_bytes(), text.as_bytes()].concat();
    [format!("c{module}\n{name}\n").as_bytes(), &text, b"\x85R."].concat()
}

#[test]
fn nothing_is_run_that_a_file_asks_for() {
    let dir = folder();
    let root = dir.path();
    let hostile = [
        ("posix", "system", "touch ran"),
        ("os", "system", "touch ran"),
        ("builtins", "exec", "open('ran', 'w')"),
        ("__builtin__", "eval", "open('ran', 'w')"),
        ("torch", "load", "other.pth"),
        ("torch.serialization", "load", "other.pth"),
        ("torch._utils", "_rebuild_tensor_v2.__globals__", ""),
        ("runpy", "_run_code", "open('ran', 'w')"),
    ];
    for (module, name, text) in hostile {
        let pickle = [&b"\x80\x02"[..], &asking_for(module, name, text)].concat();
        // The stream of older versions begins with three pickles of its own.
        let stream =
            [&b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."[..], b"\x80\x02M\xe9\x03.", b"\x80\x02}.", &pickle, b"\x80\x02]."].concat();
        put(root, "zip.pth", zipped(&[("archive/data.pkl", &pickle), ("archive/byteorder", b"little")], zip::CompressionMethod::Stored));
        put(root, "stream.pth", stream);
        for file in ["zip.pth", "stream.pth"] {
            refused(root, &[MLP, &["--init-from", file]].concat(), 1, &[file, &format!("`{module}.{name}`"), "nothing is run"]);
        }
    }
    assert!(!root.join("ran").exists());
}

#[test]
fn values_that_mean_nothing_are_refused_by_name() {
    let dir = folder();
    let file = dir.path().join("w.safetensors");
    let with = |name: &str, kind, bytes: Vec<u8>| {
        let mut tensors = encoder();
        let shape = tensors[name].1.clone();
        tensors.insert(name.into(), (kind, shape, bytes));
        write(&file, &tensors);
    };
    let begin = [MLP, &["--init-from", "w.safetensors"]].concat();
    for value in [f32::NAN, f32::INFINITY] {
        with("encoder.0.bias", Element::F32, le_bytes(&[0.0, value, 0.0, 0.0, 0.0, 0.0]));
        refused(dir.path(), &begin, 2, &["`encoder.0.bias`", "NaN or infinite"]);
    }
    // Too large for f32.
    with("encoder.0.bias", Element::F64, [1e300_f64; 6].iter().flat_map(|v| v.to_le_bytes()).collect());
    refused(dir.path(), &begin, 2, &["`encoder.0.bias`", "NaN or infinite"]);
    for (kind, name) in [(Element::I8, "I8"), (Element::F8_E4M3, "F8_E4M3")] {
        with("encoder.0.bias", kind, vec![0; 6]);
        refused(dir.path(), &begin, 2, &["`encoder.0.bias`", name]);
    }
    let mut others = Tensors::new();
    others.insert("resnet.embedder.embedder.convolution.weight".into(), tensor(&[64, 3, 7, 7]));
    write(&file, &others);
    refused(dir.path(), &begin, 2, &["Hugging Face's transformers"]);
}

#[test]
fn a_checkpoint_with_broken_values_is_not_used() {
    let dir = folder();
    json(dir.path(), &[MLP, &["--out", "run"]].concat());
    let file = dir.path().join("run/checkpoints/best.safetensors");
    let bytes = std::fs::read(&file).expect("it is there");
    let (header, metadata) = SafeTensors::read_metadata(&bytes).expect("a whole file");
    let from = 8 + header + metadata.info("encoder.0.bias").expect("it is there").data_offsets.0;
    let mut broken = bytes.clone();
    broken[from..from + 4].copy_from_slice(&f32::NAN.to_le_bytes());
    std::fs::write(&file, broken).expect("it is written");
    refused(dir.path(), &["eval", "run", "--device", "cpu"], 1, &["`encoder.0.bias`", "NaN or infinite"]);
}

#[test]
fn tensors_without_a_place_are_named() {
    let dir = folder();
    let mut tensors = encoder();
    tensors.insert("projector.0.weight".into(), tensor(&[3, 6]));
    write(&dir.path().join("more.safetensors"), &tensors);
    let output = wgraft(dir.path(), &[MLP, &["--init-from", "more.safetensors", "--out", "R"]].concat());
    let text = stderr(&output);
    assert!(
        output.status.success() && text.contains("1 tensors have no place in the encoder and are left out: projector.0.weight"),
        "{text}"
    );
}
