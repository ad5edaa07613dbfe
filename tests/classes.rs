//! Classes are known by their names, and masks by the values that they were read with.

use crate::common;

use std::path::Path;

use common::binary::{json, refused, stderr, wgraft};
use common::files::{encoded, even, folder, mask, put};
use image::{GrayImage, ImageFormat, Luma};

/// Six even pictures of each class, whose values tell which it is.
fn classes(root: &Path, names: &[(&str, u8)]) {
    for (name, value) in names {
        (0..6).for_each(|i| put(root, &format!("{name}/{i}.png"), even(value + i)));
    }
}

#[test]
fn classes_of_other_data_are_those_of_the_same_names() {
    let dir = folder();
    let (a, b, c) = (("a", 0), ("b", 120), ("c", 240));
    classes(&dir.path().join("train"), &[a, b, c]);
    let tune = [
        "finetune", "--data", "train", "--hidden", "16", "--batch", "6", "--steps", "300", "--lr", "0.1", "--device", "cpu", "--out", "run",
    ];
    assert_eq!(json(dir.path(), &tune)["test_accuracy"], 1.0);
    classes(&dir.path().join("some"), &[b, c]);
    classes(&dir.path().join("one"), &[c]);
    classes(&dir.path().join("others"), &[b, ("d", 240)]);
    for data in ["some", "one"] {
        assert_eq!(json(dir.path(), &["eval", "run", "--data", data, "--device", "cpu"])["test_accuracy"], 1.0, "{data}");
    }
    refused(dir.path(), &["eval", "run", "--data", "others", "--device", "cpu"], 1, &["d", "a, b, c"]);
}

#[test]
fn predicted_masks_are_as_those_that_were_read() {
    let dir = folder();
    let picture = |i: u32| encoded(GrayImage::from_fn(24, 12, |x, _| Luma([if x < 6 + i { 220 } else { 20 }])), ImageFormat::Png);
    for i in 0..5 {
        put(dir.path(), &format!("data/images/{i}.png"), picture(i));
        let values: Vec<u8> = (0..12 * 24).map(|at| if at % 24 < 6 + i { 255 } else { 0 }).collect();
        put(dir.path(), &format!("data/masks/{i}.png"), mask(12, 24, &values));
    }
    let tune = ["finetune", "--task", "segment", "--data", "data", "--size", "16", "--width", "4", "--optimizer", "adamw", "--lr", "0.01"];
    json(dir.path(), &[&tune[..], &["--batch", "4", "--steps", "60", "--device", "cpu", "--out", "run"]].concat());
    let output = wgraft(dir.path(), &["predict", "run", "data/images", "--out", "found", "--device", "cpu"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let found = image::open(dir.path().join("found/2.png")).expect("it was written").into_luma8();
    assert_eq!(found.dimensions(), (24, 12));
    assert!(found.pixels().all(|pixel| [0, 255].contains(&pixel.0[0])));
    assert_eq!((found.get_pixel(1, 6).0, found.get_pixel(22, 6).0), ([255], [0]));
}
