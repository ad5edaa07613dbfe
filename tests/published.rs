//! Networks whose weights others have published: files of PyTorch's hold what safetensors do, a file stands where a run may, and where
//! `WGRAFT_WEIGHTS` and `WGRAFT_GOLDEN` name folders, real ones are compared with PyTorch's features.

use crate::common;

use std::path::Path;

use common::binary::{json, refused, stderr, wgraft};
use common::files::{encoded, folder, put, zipped};
use common::weights::{IMAGE, Named, le_bytes, safetensors, weights};
use image::{ImageFormat, Rgb, RgbImage};
use safetensors::tensor::SafeTensors;
use wgraft::data::{LogMel, Resize, Samples, Split, Truth};
use wgraft::exec::Device;
use wgraft::models::ModelKind;
use wgraft::train::Checkpoint;

/// What pickle has of a text, a number and a tuple of numbers.
fn text(text: &str) -> Vec<u8> {
    [&b"X"[..], &(text.len() as u32).to_le_bytes(), text.as_bytes()].concat()
}

fn number(number: usize) -> Vec<u8> {
    [&b"J"[..], &(number as u32).to_le_bytes()].concat()
}

fn tuple(numbers: &[usize]) -> Vec<u8> {
    [b"(".to_vec(), numbers.iter().flat_map(|&n| number(n)).collect(), b"t".to_vec()].concat()
}

/// What `torch.save` pickles of a checkpoint `{"epoch": 3, "state_dict": tensors}`. Tensors lie in storages of their own, those of four
/// axes with channels innermost.
fn pickled(tensors: &[Named]) -> Vec<u8> {
    const DICT: &[u8] = b"ccollections\nOrderedDict\n)R";
    let entry = |(i, (name, shape, values)): (usize, &Named)| {
        let mut strides: Vec<usize> = (0..shape.len()).map(|axis| shape[axis + 1..].iter().product()).collect();
        if let [_, channels, height, width] = shape[..] {
            strides = vec![height * width * channels, 1, width * channels, channels];
        }
        let storage =
            [b"(".to_vec(), text("storage"), b"ctorch\nFloatStorage\n".to_vec(), text(&i.to_string()), text("cpu"), number(values.len())];
        let arguments = [storage.concat(), b"tQ".to_vec(), number(0), tuple(shape), tuple(&strides), b"\x89".to_vec(), DICT.to_vec()];
        [text(name), b"ctorch._utils\n_rebuild_tensor_v2\n(".to_vec(), arguments.concat(), b"tRs".to_vec()].concat()
    };
    let entries: Vec<u8> = tensors.iter().enumerate().flat_map(entry).collect();
    // With the versions of modules, which are an attribute of the dictionary.
    let versions = [b"}".to_vec(), text("_metadata"), DICT.to_vec(), b"sb".to_vec()].concat();
    let parts =
        [b"\x80\x02}".to_vec(), text("epoch"), b"K\x03s".to_vec(), text("state_dict"), DICT.to_vec(), entries, versions, b"s.".to_vec()];
    parts.concat()
}

/// The values of a tensor as its storage has them.
fn stored((_, shape, values): &Named) -> Vec<u8> {
    let [_, channels, height, width] = shape[..] else { return le_bytes(values) };
    let pixels = height * width;
    let innermost = |i: usize| values[i / (pixels * channels) * pixels * channels + i % channels * pixels + i / channels % pixels];
    le_bytes(&(0..values.len()).map(innermost).collect::<Vec<_>>())
}

fn zip(tensors: &[Named]) -> Vec<u8> {
    let members = tensors.iter().enumerate().map(|(i, tensor)| (format!("net/data/{i}"), stored(tensor)));
    let first = [("net/data.pkl".to_string(), pickled(tensors)), ("net/byteorder".to_string(), b"little".to_vec())];
    let members: Vec<_> = first.into_iter().chain(members).collect();
    zipped(&members.iter().map(|(name, contents)| (name.as_str(), contents.as_slice())).collect::<Vec<_>>(), zip::CompressionMethod::Stored)
}

fn stream(tensors: &[Named]) -> Vec<u8> {
    let keys = (0..tensors.len()).flat_map(|i| text(&i.to_string())).collect::<Vec<u8>>();
    let head = [
        &b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."[..],
        b"\x80\x02M\xe9\x03.",
        b"\x80\x02}.",
        &pickled(tensors),
        b"\x80\x02](",
        &keys,
        b"e.",
    ];
    let storages = tensors.iter().flat_map(|tensor| [(tensor.2.len() as u64).to_le_bytes().to_vec(), stored(tensor)].concat());
    head.concat().into_iter().chain(storages).collect()
}

fn bytes_of(checkpoint: &Checkpoint) -> Vec<u8> {
    checkpoint.to_bytes().expect("it is written")
}

fn pictures(root: &Path) {
    for (class, name) in ["bright", "dark"].into_iter().enumerate() {
        for i in 0..5_u8 {
            let value = |x: u32, y: u32| (x * 5 + y * 3) as u8 / 2 + if class == 0 { 150 } else { 20 } + i;
            let picture = RgbImage::from_fn(16, 16, |x, y| Rgb([value(x, y), value(y, x), value(x, x)]));
            put(root, &format!("data/{name}/{i}.png"), encoded(picture, ImageFormat::Png));
        }
    }
}

#[test]
fn files_of_pytorch_hold_what_safetensors_do() {
    let (dir, tensors) = (folder(), weights(ModelKind::MOBILENET_V3_SMALL));
    let root = dir.path();
    put(root, "a.safetensors", safetensors(&tensors));
    put(root, "a.pth", zip(&tensors));
    put(root, "old.pth", stream(&tensors));
    let open = |name: &str| Checkpoint::open(&root.join(name)).unwrap_or_else(|e| panic!("{e:#}"));
    let (expected, notes) = open("a.safetensors");
    assert_eq!(expected.record.model.kind, ModelKind::MOBILENET_V3_SMALL);
    assert!(notes.iter().any(|note| note.contains("weights of mobilenet_v3_small")), "{notes:?}");
    for name in ["a.pth", "old.pth"] {
        let (found, notes) = open(name);
        assert!(bytes_of(&found) == bytes_of(&expected), "{name}");
        assert!(notes.iter().any(|note| note.contains("`state_dict.`")), "{notes:?}");
    }
    // A value more in the file is a value more here: the comparison looks.
    let mut other = tensors.clone();
    other[0].2[0] += 1.0;
    put(root, "other.pth", zip(&other));
    assert!(bytes_of(&open("other.pth").0) != bytes_of(&expected));
    for bytes in [&zip(&tensors)[..50_000], &stream(&tensors)[..200_000]] {
        put(root, "cut.pth", bytes);
        let error = Checkpoint::open(&root.join("cut.pth")).map(drop).expect_err("it is cut off");
        assert!(format!("{error:#}").contains("cut off"), "{error:#}");
    }
}

#[test]
fn files_that_promise_more_than_they_hold_are_refused() {
    let dir = folder();
    let root = dir.path();
    let large = [&b"\x8a\x06"[..], &[0, 0, 0, 0, 0, 1]].concat();
    let storage = [&b"(("[..], &text("storage"), b"ctorch\nFloatStorage\n", &text("0"), &text("cpu"), &large, b"tQK\x00"].concat();
    let repeated = [&storage[..], b"(", &large, b"t(K\x00t\x89N"].concat();
    let tensor = [&b"\x80\x02}"[..], &text("a"), b"ctorch._utils\n_rebuild_tensor_v2\n", &repeated, b"tRs."].concat();
    // Each dictionary has the one before ten times.
    let nested = (1..31_u8).flat_map(|i| {
        let entries = (b'a'..b'k').flat_map(|key| [text(&char::from(key).to_string()), vec![b'h', i - 1, b's']].concat());
        [b'0', b'}', b'q', i].into_iter().chain(entries.collect::<Vec<_>>())
    });
    let nested = [&b"\x80\x02}q\x00"[..], &nested.collect::<Vec<_>>(), b"."].concat();
    let deep = [&b"\x80\x02"[..], &b"N".repeat(5 << 20), b"."].concat();
    let cases = [(tensor, "reaches beyond its 1 values"), (nested, "more than 320000 entries"), (deep, "more than 4194304 values")];
    for (pickle, reason) in cases {
        let keys = [&b"\x80\x02]("[..], &text("0"), b"e."].concat();
        let head = [&b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."[..], b"\x80\x02M\xe9\x03.", b"\x80\x02}.", &pickle, &keys].concat();
        put(root, "old.pth", [&head[..], &1_u64.to_le_bytes(), &[0; 4]].concat());
        let pickled = ("a/data.pkl", pickle.as_slice());
        put(root, "a.pth", zipped(&[pickled, ("a/data/0", &[0; 4])], zip::CompressionMethod::Stored));
        for name in ["old.pth", "a.pth"] {
            let error = format!("{:#}", Checkpoint::open(&root.join(name)).map(drop).expect_err("it is refused"));
            assert!(error.contains(reason), "{name}: {error}");
        }
    }
}

#[test]
fn names_of_a_package_are_known() {
    let ours = weights(ModelKind::EFFICIENTNET_LITE0);
    let form = ModelKind::EFFICIENTNET_LITE0.published().last().expect("that of the package");
    let theirs = |block: usize, part: &str, what: &str| format!("_blocks.{block}.{part}.{what}");
    let some = [
        ("_conv_stem.weight".to_string(), "conv_stem.weight"),
        ("_bn1.running_var".to_string(), "bn2.running_var"),
        ("_fc.bias".to_string(), "classifier.bias"),
        (theirs(0, "_bn1", "bias"), "blocks.0.0.bn1.bias"),
        (theirs(0, "_project_conv", "weight"), "blocks.0.0.conv_pw.weight"),
        (theirs(15, "_bn0", "weight"), "blocks.6.0.bn1.weight"),
        (theirs(15, "_bn2", "running_mean"), "blocks.6.0.bn3.running_mean"),
        (theirs(10, "_depthwise_conv", "weight"), "blocks.4.2.conv_dw.weight"),
    ];
    for (name, expected) in &some {
        assert_eq!((form.ours)(name).as_deref(), Some(*expected), "{name}");
        assert!(expected.starts_with("classifier") || ours.iter().any(|(known, ..)| known == expected), "{expected}");
    }
    for stranger in ["_blocks.16._bn0.weight", "_blocks.x._bn0.weight", "conv_stem.weight", "_blocks.1._se.weight"] {
        assert_eq!((form.ours)(stranger), None, "{stranger}");
    }
}

#[test]
fn weights_stand_where_a_run_may() {
    let dir = folder();
    let root = dir.path();
    pictures(root);
    put(root, "net.pth", zip(&weights(ModelKind::MOBILENET_V2)));
    let cpu = ["--device", "cpu"];
    let of = |args: &[&str]| json(root, &[args, &cpu[..]].concat());
    assert_eq!(of(&["embed", "net.pth", "data", "--out", "e.csv"])["columns"], 1280);
    of(&["label", "net.pth", "--data", "data", "--size", "32", "--labels-per-class", "1", "--out", "labels"]);
    let eval = ["eval", "net.pth", "--data", "data", "--size", "32", "--device", "cpu"];
    let said = stderr(&wgraft(root, &eval));
    assert!(said.contains("8 of 8 images were embedded before") && said.contains("linear probe"), "{said}");
    let train = ["--steps", "1", "--batch", "2", "--data", "data", "--size", "32"];
    of(&[&["finetune", "--from", "net.pth", "--out", "tuned"], &train[..]].concat());
    of(&[&["pretrain", "--init-from", "net.pth", "--out", "pretrained"], &train[..]].concat());
    let gentle = stderr(&wgraft(root, &[&["finetune", "--from", "net.pth", "--out", "again"], &train[..], &cpu].concat()));
    assert!(gentle.contains("augmentation for photographs") && gentle.contains("batch norm as it came"), "{gentle}");
    for run in ["tuned", "pretrained"] {
        let model = Checkpoint::load(&root.join(run).join("checkpoints/last.safetensors")).expect("a checkpoint").record.model;
        assert!(model.kind == ModelKind::MOBILENET_V2 && model.normalize.is_some(), "{run}: {model:?}");
    }
    // The size of training is that of the tuned run, unasked.
    let again = wgraft(root, &["predict", "tuned", "data/dark/0.png", "--device", "cpu"]);
    assert!(again.status.success(), "{}", stderr(&again));
    // What it does to a picture stays with the run: beyond the middle nothing is seen.
    let record = |run: &str| Checkpoint::load(&root.join(run).join("checkpoints/last.safetensors")).expect("a checkpoint").record;
    let published = ModelKind::MOBILENET_V2.published()[0].resize;
    assert_eq!([record("tuned").resize, record("pretrained").resize], [published; 2]);
    for (name, edge) in [("one", 0), ("two", 255)] {
        let picture =
            RgbImage::from_fn(96, 32, |x, y| Rgb(if (24..72).contains(&x) { [(x * 5) as u8, (y * 7) as u8, 90] } else { [edge; 3] }));
        put(root, &format!("wide/{name}.png"), encoded(picture, ImageFormat::Png));
    }
    of(&[&["finetune", "--from", "net.pth", "--out", "bordered", "--resize", "letterbox"], &train[..]].concat());
    assert_eq!(record("bordered").resize, Resize::Letterbox);
    for (run, same) in [("tuned", true), ("bordered", false)] {
        let found = of(&["predict", run, "wide"]);
        let probability = |i: usize| found["predictions"][i]["probability"].as_f64().expect("a number");
        assert_eq!(probability(0) == probability(1), same, "{run}: {found}");
    }
    let said = |args: &[&str]| stderr(&wgraft(root, &[args, &cpu[..]].concat()));
    assert!(said(&["eval", "tuned"]).contains("the shorter side to 32 (bilinear)"), "{}", said(&["eval", "tuned"]));
    assert!(said(&["eval", "bordered"]).contains("resized to 32x32, with borders"), "{}", said(&["eval", "bordered"]));
    let text = said(&["embed", "net.pth", "wide", "--size", "32", "--resize", "letterbox", "--out", "w.csv"]);
    assert!(text.contains("resized to 32x32, with borders"), "{text}");
    let found = of(&["search", "net.pth", "wide/one.png", "--in", "wide", "--size", "32"]);
    assert!(found["found"][1]["similarity"].as_f64() > Some(0.999_99), "{found}");
    let listed = json(root, &["weights", "net.pth"]);
    assert_eq!(listed["resize"], "crop:0.965:bilinear");
    refused(
        root,
        &["embed", "tuned", "wide/one.png", "--size", "64", "--out", "x.csv", "--device", "cpu"],
        2,
        &["takes pictures of 32x32"],
    );
    refused(root, &["embed", "net.pth", "wide", "--resize", "crop:7", "--out", "x.csv"], 2, &["--resize", "0.1 to 1"]);
    put(root, "resnet18.pth", zip(&weights(ModelKind::RESNET18)));
    let small = ["eval", "resnet18.pth", "--data", "data", "--size", "32", "--device", "cpu"];
    refused(root, &small, 2, &["another `conv1.weight` for pictures of 32x32 pixels", "--size 224"]);
    refused(root, &["eval", "net.pth", "--device", "cpu"], 2, &["net.pth is no run with data of its own", "--data"]);
    refused(root, &["predict", "net.pth", "data/dark/0.png", "--device", "cpu"], 2, &["without a head"]);
}

/// A file of the golden folder, with its tensors as f32.
fn golden(folder: &Path, file: &str) -> std::collections::BTreeMap<String, Vec<f32>> {
    let bytes = std::fs::read(folder.join(file)).expect("a golden file");
    let tensors = SafeTensors::deserialize(&bytes).expect("tensors");
    let floats = |data: &[u8]| data.as_chunks().0.iter().map(|&number| f32::from_le_bytes(number)).collect();
    tensors.iter().map(|(name, tensor)| (name.to_string(), floats(tensor.data()))).collect()
}

/// The largest difference, as a share of the largest value.
fn apart(found: &[f32], expected: &[f32]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let largest = common::worst(expected.iter().map(|value| f64::from(value.abs())));
    common::worst(found.iter().zip(expected).map(|(found, expected)| f64::from((found - expected).abs()))) / largest
}

/// What ONNX Runtime makes of a sound, by the front end and the network as they are published.
#[test]
fn features_of_sounds_are_those_of_the_published_graph() {
    let (Some(weights), Some(folder)) = (std::env::var_os("WGRAFT_WEIGHTS"), std::env::var_os("WGRAFT_GOLDEN")) else {
        eprintln!("SKIPPED: WGRAFT_WEIGHTS and WGRAFT_GOLDEN name no folders with real weights and features");
        return;
    };
    let golden = golden(Path::new(&folder), "speech_embedding_sound.safetensors");
    let as_published = LogMel { around: 0, ..LogMel::SPEECH_EMBEDDING };
    let wave: Vec<f64> = golden["in.wave"].iter().map(|sample| f64::from(*sample) / 32768.0).collect();
    let frames = as_published.frames(&wave);
    let front_end = apart(&frames, &golden["out.frames"]);
    println!("frames: {front_end:.1e} of the largest");
    assert!(front_end <= 1e-5, "{front_end:.1e}");
    // The control: an edge, or another window, would be noticed.
    assert!(apart(&as_published.frames(&wave.iter().map(|sample| 1.001 * sample).collect::<Vec<_>>()), &golden["out.frames"]) > 1e-5);
    let (windows, bands) = (golden["in.mel"].chunks(76 * 32), 32);
    let windows = Split::new(Samples::frames(windows, bands, 76).expect("whole frames"), Truth::default());
    for (file, device) in [
        ("speech_embedding.safetensors", Some(Device::Cpu)),
        ("embedding_model.onnx", Some(Device::Cpu)),
        ("speech_embedding.safetensors", common::gpu().map(Device::Gpu)),
    ] {
        let Some(device) = device else { continue };
        let (checkpoint, notes) =
            Checkpoint::open(&Path::new(&weights).join("speech_embedding").join(file)).expect("a network that is known");
        assert!(notes[0].contains("weights of speech_embedding, for sounds"), "{notes:?}");
        let found = checkpoint.features(&device, &windows).expect("features").values;
        let worst = apart(&found, &golden["out.embedding"]);
        println!("{file} on {}: {worst:.1e} of the largest", device.name());
        assert!(worst <= 1e-4, "{file}: {worst:.1e} of the largest");
    }
}

/// PyTorch's features of real pictures from real weights, in each form of file.
#[test]
fn features_are_those_of_pytorch() {
    let (Some(weights), Some(golden)) = (std::env::var_os("WGRAFT_WEIGHTS"), std::env::var_os("WGRAFT_GOLDEN")) else {
        eprintln!("SKIPPED: WGRAFT_WEIGHTS and WGRAFT_GOLDEN name no folders with real weights and PyTorch's features");
        return;
    };
    let bytes = std::fs::read(Path::new(&golden).join("efficientnet_lite0_pictures.safetensors")).expect("PyTorch's features");
    let golden = SafeTensors::deserialize(&bytes).expect("tensors");
    let (pictures, features) = (golden.tensor("in.pictures").expect("there"), golden.tensor("out.features").expect("there"));
    let expected: Vec<f64> = features.data().chunks_exact(8).map(|b| f64::from_le_bytes(b.try_into().expect("8 bytes"))).collect();
    let largest = expected.iter().fold(0.0_f64, |largest, v| common::worst([largest, v.abs()]));
    let side = (IMAGE.height * IMAGE.width) as usize;
    let by_pixels = (0..pictures.data().len()).map(|i| pictures.data()[i / (3 * side) * 3 * side + i % 3 * side + i / 3 % side]);
    let samples = Split::unlabelled(by_pixels.collect(), IMAGE);
    for file in ["efficientnet_lite0.safetensors", "efficientnet_lite0.pth", "efficientnet-lite0-57934424.pth"] {
        let (checkpoint, _) =
            Checkpoint::open(&Path::new(&weights).join("efficientnet_lite0").join(file)).expect("a network that is known");
        let found = checkpoint.features(&Device::Cpu, &samples).expect("features").values;
        let errors = found.iter().zip(&expected).map(|(found, expected)| (f64::from(*found) - expected).abs() / largest);
        let worst = errors.fold(0.0_f64, |worst, error| common::worst([worst, error]));
        println!("{file}: {worst:.1e} of the largest");
        assert!(found.len() == expected.len() && worst <= 1e-4, "{file}: {worst:.1e} of the largest");
    }
}
