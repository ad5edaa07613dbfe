//! Checkpoints of the first format, as former versions wrote them: they are read, and predict what they predicted.

use std::path::{Path, PathBuf};

use wgraft::core::sample::{Image, SampleType};
use wgraft::data::{Resize, Samples, Split, Truth};
use wgraft::exec::Device;
use wgraft::train::{Checkpoint, Prediction, Record, Task, predict_each};

fn load(name: &str) -> Checkpoint {
    let path: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/format1").join(name);
    let checkpoint = Checkpoint::load(&path).expect("it is read");
    let bytes = checkpoint.to_bytes().expect("it is written");
    let again = Checkpoint::from_bytes(&bytes, "bytes").expect("it is read again");
    assert_eq!((again.record.format, &again.record), (Record::FORMAT, &checkpoint.record), "as this version writes them");
    again
}

fn predicted(checkpoint: &Checkpoint, samples: Samples) -> Prediction {
    let mut found = Vec::new();
    let samples = Split::new(samples, Truth::default());
    predict_each(&Device::Cpu, checkpoint, &samples, &mut |prediction| {
        found.push(prediction);
        Ok(())
    })
    .expect("it predicts");
    found.remove(0)
}

#[test]
fn images_are_images() {
    let (checkpoint, image) = (load("images.safetensors"), Image { height: 3, width: 4, channels: 1 });
    assert_eq!(checkpoint.record.resize, Resize::Letterbox);
    assert_eq!((checkpoint.record.samples, checkpoint.record.task), (SampleType::Image(image), Some(Task::CLASSIFY)));
    let Prediction::Class { class, probability, name } = predicted(&checkpoint, Samples::images((0..12).map(|i| 20 * i).collect(), image))
    else {
        panic!("a class");
    };
    assert_eq!((class, name.as_deref()), (1, Some("b")));
    assert!((probability - 0.5631696459).abs() < 1e-6, "{probability}");
}

#[test]
fn rows_of_tables_are_rows() {
    let checkpoint = load("table.safetensors");
    assert_eq!((checkpoint.record.samples, checkpoint.record.task), (SampleType::Row(3), Some(Task::REGRESS)));
    let (dir, mut notes) = (tempfile::tempdir().expect("a place for files"), Vec::new());
    let path = dir.path().join("rows.csv");
    std::fs::write(&path, "x,kind\n2.5,b\n").expect("it is written");
    let row = checkpoint.record.encoding.as_ref().expect("of a table").read(&path, &mut notes).expect("it has the columns");
    let Prediction::Numbers(numbers) = predicted(&checkpoint, Samples::rows(row, 3)) else { panic!("a number") };
    assert!(numbers[0].0 == "y" && (numbers[0].1 - 32.815685).abs() < 1e-4, "{numbers:?}");
}
