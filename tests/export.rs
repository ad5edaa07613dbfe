//! Weights of runs in PyTorch: loaded into timm's and torchvision's networks by the code in `docs/weights.md`, they make of pictures
//! what wgraft makes of them.
//!
//! For that, a Python with torch, torchvision, timm and safetensors is needed: `WGRAFT_PYTHON` names one that must have them, else it
//! is `python3`, if that has them.

use crate::common;

use std::path::Path;
use std::process::{Command, Output};

use common::binary::json;
use common::files::{encoded, folder, put};
use common::weights::{safetensors, weights};
use image::{ImageFormat, Rgb, RgbImage};
use wgraft::models::{ENCODERS, ModelKind};

const CHECK: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/export/check.py");

fn python() -> Option<String> {
    let named = std::env::var("WGRAFT_PYTHON").ok();
    let python = named.clone().unwrap_or_else(|| "python3".into());
    let imports = Command::new(&python).args(["-c", "import PIL, numpy, safetensors, timm, torch, torchvision"]).output();
    let problem = match imports {
        Ok(output) if output.status.success() => return Some(python),
        Ok(output) => String::from_utf8_lossy(&output.stderr).lines().last().unwrap_or("it fails").to_string(),
        Err(e) => e.to_string(),
    };
    assert!(named.is_none(), "WGRAFT_PYTHON names {python}: {problem}");
    // Past the test harness, which would swallow it.
    wgraft::say!(
        "\n*** SKIPPED: {python}: {problem}; that PyTorch takes the weights of runs was NOT tested.\n\
         *** pip install safetensors timm torch torchvision, and WGRAFT_PYTHON=PYTHON makes this a failure ***\n"
    );
    None
}

/// Two classes of spots, 96 pixels a side, which no network makes smaller.
fn pictures(root: &Path) {
    for (class, name) in ["bright", "dark"].into_iter().enumerate() {
        for i in 0..5 {
            let value = |x: u32, y: u32, channel: u32| {
                let spot = (x / 8 * 7919 + y / 8 * 104_729 + (i * 3 + channel) * 1_299_709) % 997;
                (spot * 135 / 997) as u8 + if class == 0 { 120 } else { 20 }
            };
            let picture = RgbImage::from_fn(96, 96, |x, y| Rgb([0, 1, 2].map(|channel| value(x, y, channel))));
            put(root, &format!("data/{name}/{i}.png"), encoded(picture, ImageFormat::Png));
        }
    }
}

#[test]
fn pytorch_makes_the_same_of_a_runs_weights() {
    let Some(python) = python() else { return };
    // Deep ResNets take minutes, and their names are made as those of the smallest.
    let deep = [ModelKind::RESNET34, ModelKind::RESNET50];
    let of_pictures = |kind: &&ModelKind| !kind.published().is_empty() && kind.usual_samples().image().is_some();
    let published = ENCODERS.iter().filter(of_pictures).filter(|kind| !deep.contains(kind));
    for kind in published {
        let dir = folder();
        let root = dir.path();
        pictures(root);
        put(root, "net.safetensors", safetensors(&weights(*kind)));
        let of = |args: &[&str]| json(root, &[args, &["--device", "cpu"]].concat());
        let train = ["--data", "data", "--size", "96", "--steps", "3", "--batch", "4"];
        of(&[&["finetune", "--from", "net.safetensors", "--out", "tuned"], &train[..]].concat());
        of(&["embed", "tuned", "data", "--out", "tuned.npy"]);
        of(&["embed", "net.safetensors", "data", "--out", "net.npy"]);
        put(root, "predictions.json", of(&["predict", "tuned", "data"]).to_string());
        let check = |embeddings: &str| -> Output {
            let args = [CHECK, "tuned/checkpoints/best.safetensors", "data", embeddings, "predictions.json"];
            Command::new(&python).args(args).current_dir(root).output().expect("Python runs")
        };
        let said = |output: &Output| format!("{}{}", String::from_utf8_lossy(&output.stdout), common::binary::stderr(output));
        let same = check("tuned.npy");
        assert!(same.status.success(), "{kind:?}: {}", said(&same));
        print!("{}", said(&same));
        // Weights before they were tuned: the comparison looks.
        let other = check("net.npy");
        assert!(!other.status.success() && said(&other).contains("worst of the largest"), "{kind:?}: {}", said(&other));
    }
}
