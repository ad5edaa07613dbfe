//! Folders, archives and files as people have them: what they are taken for, and what is said of what is left out.

use crate::common;

use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use common::files::{
    encoded, even, folder, gzipped, image_of, labelled, load, noted, pixels_of, put, refused, test_of, two_classes, zipped,
};
use image::{ImageFormat, Luma, Rgb, RgbImage, Rgba, RgbaImage};
use wgraft::core::sample::Image;
use wgraft::data::{Dataset, PictureOptions, ReadOptions, Resize, load_picture};

/// Five pictures of each of two classes below each of these folders.
fn parts(root: &Path, folders: &[&str]) {
    for (n, folder) in (0..).zip(folders) {
        for i in 0..5 {
            put(root, &format!("{folder}/cats/{i}.png"), even(10 + 40 * n + i));
            put(root, &format!("{folder}/dogs/{i}.png"), even(20 + 40 * n + i));
        }
    }
}

fn sizes(data: &Dataset) -> (u32, u32) {
    (data.train.len(), data.test.as_ref().map_or(0, |test| test.len()))
}

#[test]
fn folders_named_after_parts_are_no_classes() {
    for folders in [
        ["seg_train/seg_train", "seg_test/seg_test"],
        ["training_set/training_set", "test_set/test_set"],
        ["train", "eval"],
        ["train", "test1"],
        ["train_images", "test_images"],
        ["Train", "Validation"],
        ["pets-train", "pets-test"],
        ["set/set/train", "set/set/test"],
        ["archive/data/trainset", "archive/data/testset"],
        ["train", "holdout"],
        ["trn", "unseen"],
    ] {
        let dir = folder();
        parts(dir.path(), &folders);
        let data = load(dir.path(), &labelled());
        assert_eq!((sizes(&data), &data.class_names[..]), ((10, 10), &["cats", "dogs"].map(String::from)[..]), "{folders:?}");
        assert!(test_of(&data).names.iter().all(|name| name.starts_with(folders[1])), "{folders:?}");
    }
    // A vehicle is a train too.
    let dir = folder();
    for class in ["train", "car", "bus"] {
        (0..5).for_each(|i| put(dir.path(), &format!("{class}/{i}.png"), even(i)));
    }
    assert_eq!(load(dir.path(), &labelled()).class_names, ["bus", "car", "train"]);
}

#[test]
fn folders_that_hold_the_same_folders_are_no_classes() {
    let dir = folder();
    parts(dir.path(), &["camera1", "camera2"]);
    let data = load(dir.path(), &labelled());
    assert_eq!((sizes(&data), &data.class_names[..]), ((16, 4), &["cats", "dogs"].map(String::from)[..]));
    noted(&data, "camera1, camera2 hold folders of the same names: these are taken for the classes");
    // Each class divided for itself.
    let dir = folder();
    for class in ["cats", "dogs"] {
        (0..4).for_each(|i| put(dir.path(), &format!("{class}/train/{i}.png"), even(i)));
        put(dir.path(), &format!("{class}/test/x.png"), even(99));
    }
    let data = load(dir.path(), &labelled());
    assert_eq!((sizes(&data), &data.class_names[..]), ((8, 2), &["cats", "dogs"].map(String::from)[..]));
}

#[test]
fn one_picture_or_folder_too_many_takes_no_labels_away() {
    let dir = folder();
    two_classes(dir.path());
    put(dir.path(), "stray.png", even(1));
    fs::create_dir(dir.path().join("empty")).expect("it is made");
    let data = load(dir.path(), &ReadOptions::default());
    assert!(data.train.truth.labels.is_some() && data.class_names == ["cats", "dogs"]);
    noted(&data, "1 pictures lie outside of the class folders and are left out: stray.png");
    noted(&data, "the class folder `empty`");
    refused(dir.path(), &labelled(), &["1 pictures lie outside", "stray.png"]);
}

#[test]
fn the_only_picture_of_a_class_is_trained_on() {
    let dir = folder();
    (0..6).for_each(|i| put(dir.path(), &format!("c{i}/a.png"), even(i)));
    let data = load(dir.path(), &labelled());
    assert_eq!((sizes(&data), data.classes), ((6, 0), 6));
    noted(&data, "6 pictures are too few to take one from");
}

#[test]
fn folders_of_runs_are_no_data() {
    let dir = folder();
    two_classes(dir.path());
    let plain = load(dir.path(), &labelled());
    put(dir.path(), "runs/pretrain-1/config.toml", "# wgraft pretrain --config FILE repeats this run\ncommand = \"pretrain\"\n");
    put(dir.path(), "runs/pretrain-1/ask-next.png", even(1));
    fs::create_dir_all(dir.path().join("runs/pretrain-1/checkpoints")).expect("it is made");
    let data = load(dir.path(), &labelled());
    assert_eq!((&data.train, &data.class_names), (&plain.train, &plain.class_names));
    noted(&data, "1 folders of runs of wgraft are left out: runs/pretrain-1");
    refused(&dir.path().join("runs/pretrain-1"), &labelled(), &["is the folder of a run of wgraft"]);
}

#[test]
fn pictures_win_over_files_that_look_like_records() {
    let dir = folder();
    two_classes(dir.path());
    put(dir.path(), "my_train_model.bin", [1; 3073]);
    put(dir.path(), "cats/train.bin", [1; 3073]);
    let data = load(dir.path(), &labelled());
    assert_eq!((sizes(&data), image_of(&data.train)), ((8, 2), Image { height: 4, width: 5, channels: 1 }));
    noted(&data, "2 files that are no pictures are left out: cats/train.bin, my_train_model.bin");
}

/// IDX files of `count` images of 2x3 pixels and their labels from `first` on.
fn idx(count: u8, first: u8) -> [Vec<u8>; 2] {
    let images = [0, 0, 8, 3, 0, 0, 0, count, 0, 0, 0, 2, 0, 0, 0, 3].into_iter().chain((0..6 * count).map(|i| i + first)).collect();
    let labels = [0, 0, 8, 1, 0, 0, 0, count].into_iter().chain((0..count).map(|i| first + i % 3)).collect();
    [images, labels]
}

#[test]
fn mnists_files_are_known_by_all_names_that_they_are_published_under() {
    let names: [[&str; 4]; 4] = [
        ["train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"],
        ["train-images.idx3-ubyte", "train-labels.idx1-ubyte", "t10k-images.idx3-ubyte", "t10k-labels.idx1-ubyte"],
        ["train-images-idx3-ubyte", "train-labels-idx1-ubyte", "test-images-idx3-ubyte", "test-labels-idx1-ubyte"],
        [
            "a/train-images-idx3-ubyte/train-images-idx3-ubyte",
            "b/train-labels-idx1-ubyte",
            "c/t10k-images-idx3-ubyte",
            "d/t10k-labels-idx1-ubyte",
        ],
    ];
    let [train, test] = [idx(9, 0), idx(3, 0)];
    for names in names {
        for packed in [false, true] {
            let dir = folder();
            for (name, bytes) in names.iter().zip(train.iter().chain(&test)) {
                let (name, bytes) = if packed { (format!("{name}.gz"), gzipped(bytes)) } else { (name.to_string(), bytes.clone()) };
                put(dir.path(), &name, bytes);
            }
            let data = load(dir.path(), &labelled());
            assert_eq!((sizes(&data), data.classes), ((9, 3), 3), "{names:?}");
            assert_eq!(test_of(&data).truth.labels.as_deref(), Some(&[0, 1, 2][..]));
        }
    }
    let dir = folder();
    put(dir.path(), "emnist-letters-train-images-idx3-ubyte", &idx(9, 1)[0]);
    put(dir.path(), "emnist-letters-train-labels-idx1-ubyte", &idx(9, 1)[1]);
    put(dir.path(), "emnist-letters-test-images-idx3-ubyte", &idx(3, 1)[0]);
    put(dir.path(), "emnist-letters-test-labels-idx1-ubyte", &idx(3, 1)[1]);
    put(dir.path(), "my-test-set.bin", "something");
    let data = load(dir.path(), &labelled());
    assert_eq!((data.classes, &data.class_names[..]), (3, &["1", "2", "3"].map(String::from)[..]));
    assert_eq!(
        (image_of(&data.train), &pixels_of(&data.train)[..6]),
        (Image { height: 3, width: 2, channels: 1 }, &[1, 4, 2, 5, 3, 6][..])
    );
    assert_eq!(data.train.truth.labels.as_deref().map(|labels| &labels[..4]), Some(&[0, 1, 2, 0][..]));
    noted(&data, "set upright");
    noted(&data, "1 other files are left out: my-test-set.bin");
    put(dir.path(), "emnist-letters-mapping.txt", "1 65 97\n2 66 98\n3 67 99\n");
    assert_eq!(load(dir.path(), &labelled()).class_names, ["Aa", "Bb", "Cc"]);
    put(dir.path(), "emnist-digits-train-images-idx3-ubyte", &idx(9, 1)[0]);
    refused(dir.path(), &labelled(), &["holds several sets (emnist-digits, emnist-letters)"]);
}

#[test]
fn cifar_100_has_two_labels_of_which_the_second_is_the_class() {
    let record = |coarse: u8, fine: u8| [coarse, fine].into_iter().chain((0..3072).map(|i| (i % 251) as u8)).collect::<Vec<u8>>();
    let dir = folder();
    put(dir.path(), "cifar-100-binary/train.bin", [record(9, 0), record(9, 2)].concat());
    put(dir.path(), "cifar-100-binary/test.bin", record(9, 1));
    put(dir.path(), "cifar-100-binary/fine_label_names.txt", "apple\nbear\nchair\n");
    put(dir.path(), "cifar-100-binary/coarse_label_names.txt", "thing\n");
    let data = load(dir.path(), &labelled());
    assert_eq!((data.train.truth.labels.as_deref(), test_of(&data).truth.labels.as_deref()), (Some(&[0, 2][..]), Some(&[1][..])));
    assert_eq!(
        (&data.class_names[..], &pixels_of(&data.train)[..2]),
        (&["apple", "bear", "chair"].map(String::from)[..], &[0, (1024 % 251) as u8][..])
    );
    put(dir.path(), "cifar-100-binary/test.bin", &record(9, 1)[..3000]);
    refused(dir.path(), &labelled(), &["test.bin has 3000 bytes", "CIFAR-100's", "cut off"]);
    // Without names, sizes tell.
    put(dir.path(), "cifar-100-binary/test.bin", record(9, 1));
    fs::remove_file(dir.path().join("cifar-100-binary/fine_label_names.txt")).expect("it is removed");
    assert_eq!(load(dir.path(), &labelled()).train.truth.labels.as_deref(), Some(&[0, 2][..]));
}

#[test]
fn tables_of_pixels_are_images() {
    let table = |rows: u32, labelled: bool| {
        let first = if labelled { "label," } else { "" };
        let row = |i: u32| format!("{}{},{},{},{}\n", if labelled { format!("{},", i % 2) } else { String::new() }, i, i + 1, i + 2, i + 3);
        format!("{first}pixel0,pixel1,pixel2,pixel3\n{}", (0..rows).map(row).collect::<String>())
    };
    let dir = folder();
    put(dir.path(), "train.csv", table(10, true));
    put(dir.path(), "test.csv", table(4, false));
    put(dir.path(), "sample_submission.csv", "ImageId,Label\n1,0\n");
    let data = load(dir.path(), &labelled());
    assert_eq!((sizes(&data), data.classes, image_of(&data.train)), ((8, 2), 2, Image { height: 2, width: 2, channels: 1 }));
    assert_eq!((&pixels_of(&data.train)[4..8], data.train.truth.labels.as_ref().map(|labels| labels[1])), (&[1, 2, 3, 4][..], Some(1)));
    noted(&data, "test.csv has no labels to test by");
    put(dir.path(), "test.csv", table(4, true));
    assert_eq!(sizes(&load(dir.path(), &labelled())), (10, 4));
    assert_eq!(sizes(&load(&dir.path().join("train.csv"), &labelled())), (8, 2));
    put(dir.path(), "train.csv", table(10, true).replace(",3,", ",300,"));
    refused(&dir.path().join("train.csv"), &labelled(), &["train.csv", "line 3", "`300`", "from 0 to 255"]);
}

#[cfg(unix)]
#[test]
fn what_cannot_be_read_stops_nothing() {
    use std::os::unix::ffi::OsStrExt;
    let dir = folder();
    two_classes(dir.path());
    let plain = load(dir.path(), &labelled());
    let link = |target: &str, name: &str| std::os::unix::fs::symlink(target, dir.path().join(name)).expect("a link");
    link("nowhere.png", "cats/gone.png");
    link("nowhere", ".hidden");
    link("/nonexistent", "notes.txt");
    link("..", "cats/up");
    assert!(std::process::Command::new("mkfifo").arg(dir.path().join("cats/pipe.png")).status().expect("mkfifo runs").success());
    let data = load(dir.path(), &labelled());
    assert_eq!(data.train, plain.train);
    noted(&data, "4 files or folders are left out");
    noted(&data, "cats/gone.png is a link that leads nowhere");
    noted(&data, "cats/pipe.png is a pipe, a socket or a device");
    noted(&data, "cats/up is a link to a folder above it");
    // Names that are no text stay apart.
    let dir = folder();
    for byte in [0xE8, 0xE9] {
        let class = dir.path().join(std::ffi::OsStr::from_bytes(&[b'c', byte]));
        fs::create_dir(&class).expect("it is made");
        (0..3).for_each(|i| put(&class, &format!("{i}.png"), even(byte / 2 + i)));
    }
    assert_eq!(load(dir.path(), &labelled()).class_names, ["c\\xE8", "c\\xE9"]);
}

#[test]
fn names_in_other_unicode_forms_are_the_same_names() {
    let dir = folder();
    for i in 0..3 {
        put(dir.path(), &format!("train/caf\u{e9}/{i}.png"), even(i));
        put(dir.path(), &format!("train/bar/{i}.png"), even(10 + i));
        put(dir.path(), &format!("test/cafe\u{301}/{i}.png"), even(20 + i));
    }
    let data = load(dir.path(), &labelled());
    assert_eq!((data.class_names.len(), test_of(&data).truth.labels.as_deref()), (2, Some(&[1, 1, 1][..])));
}

#[test]
fn pictures_are_known_by_their_contents() {
    let dir = folder();
    let picture = |i: u8| RgbImage::from_fn(6, 4, |x, y| Rgb([i * 20, x as u8 * 40, y as u8 * 60]));
    let formats = [ImageFormat::WebP, ImageFormat::Gif, ImageFormat::Bmp, ImageFormat::Tiff, ImageFormat::Jpeg, ImageFormat::Png];
    for (i, (format, name)) in (0..).zip(formats.into_iter().zip(["w.webp", "g.gif", "b.bmp", "t.tif", "j.jfif", "noending"])) {
        put(dir.path(), &format!("a/{name}"), encoded(picture(i), format));
        put(dir.path(), &format!("b/{name}"), encoded(picture(i + 6), format));
    }
    put(dir.path(), "a/@eaDir/w.webp/SYNOPHOTO_THUMB_S.jpg", encoded(picture(1), ImageFormat::Jpeg));
    let data = load(dir.path(), &labelled());
    assert_eq!((sizes(&data), image_of(&data.train)), ((10, 2), Image { height: 4, width: 6, channels: 3 }));
    noted(&data, "1 pictures in hidden places");
    put(dir.path(), "a/phone.jpg", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic");
    noted(&load(dir.path(), &labelled()), "a/phone.jpg is in HEIC: `heif-convert`");
}

#[test]
fn what_decoding_cannot_keep_is_said() {
    let dir = folder();
    let grain = |i: u32| RgbImage::from_fn(64, 64, |x, y| Rgb([(x * 7 + y * 13 + i * 31) as u8, (x * y) as u8, (x + y) as u8]));
    for i in 0..4 {
        put(dir.path(), &format!("a/{i}.jpg"), encoded(grain(i), ImageFormat::Jpeg));
        put(dir.path(), &format!("b/{i}.jpg"), encoded(grain(i + 9), ImageFormat::Jpeg));
    }
    let whole = load(dir.path(), &labelled());
    assert!(!whole.notes.iter().any(|note| note.contains("ends early")), "{:?}", whole.notes);
    let bytes = encoded(grain(1), ImageFormat::Jpeg);
    put(dir.path(), "a/half.jpg", &bytes[..bytes.len() / 2]);
    put(dir.path(), "a/even.jpg", encoded(RgbImage::from_pixel(64, 64, Rgb([9, 9, 9])), ImageFormat::Jpeg));
    let data = load(dir.path(), &labelled());
    noted(&data, "1 pictures of which each ends early or is damaged and is used as far as it goes (what is missing is grey): a/half.jpg");
    noted(&data, "1 pictures of which each is of one even colour: a/even.jpg");
    let image = Image { height: 64, width: 64, channels: 3 };
    let plain = PictureOptions::plain(image);
    let is_cut = |bytes: &[u8]| {
        put(dir.path(), "one.jpg", bytes);
        load_picture(&dir.path().join("one.jpg"), &plain).expect("it is read").1.cut
    };
    let half = &bytes[..bytes.len() / 2];
    assert!(is_cut(half), "half");
    assert!(is_cut(&[half, &bytes].concat()), "half, then the whole");
    let grey = encoded(image::DynamicImage::from(grain(1)).to_luma8(), ImageFormat::Jpeg);
    assert!(!is_cut(&grey) && is_cut(&grey[..grey.len() / 2]), "in grey");
    assert!(!is_cut(&bytes) && !is_cut(&[&bytes[..], &[0; 40]].concat()), "whole, with a tail too");

    // 12 bits in 16.
    let dir = folder();
    let deep = |i: u16| image::ImageBuffer::<Luma<u16>, _>::from_fn(4, 4, |x, y| Luma([(x * 1000 + y * 300) as u16 + i]));
    (0..5).for_each(|i| put(dir.path(), &format!("a/{i}.png"), encoded(deep(i), ImageFormat::Png)));
    (0..5).for_each(|i| put(dir.path(), &format!("b/{i}.tiff"), encoded(deep(100 + i), ImageFormat::Tiff)));
    let data = load(dir.path(), &labelled());
    noted(&data, "10 pictures of 16 bits have (nearly) no value above 4095 and are nearly black: --bits 12 stretches");
    assert!(pixels_of(&data.train).iter().all(|&value| value < 17));
    let stretched = load(dir.path(), &ReadOptions { bits: Some(12), ..labelled() });
    assert_eq!(pixels_of(&stretched.train).iter().max(), Some(&249));
    noted(&load(dir.path(), &ReadOptions { bits: Some(11), ..labelled() }), "has values beyond --bits");

    // Black on nothing is laid on white, white on nothing on black.
    let dir = folder();
    for i in 0..3 {
        let icon = |ink: u8| RgbaImage::from_fn(3, 1, |x, _| Rgba([ink, ink, ink, if x == i { 255 } else { 0 }]));
        put(dir.path(), &format!("black/{i}.png"), encoded(icon(0), ImageFormat::Png));
        put(dir.path(), &format!("white/{i}.png"), encoded(icon(255), ImageFormat::Png));
    }
    let data = load(dir.path(), &ReadOptions { grey: Some(true), ..ReadOptions::default() });
    noted(&data, "3 pictures of which each is dark on transparent ground: it lies on white, others on black");
    for (name, pixels) in data.train.names.iter().zip(pixels_of(&data.train).chunks(3)) {
        assert_eq!(
            pixels.iter().filter(|&&value| value == if name.starts_with("black") { 0 } else { 255 }).count(),
            1,
            "{name}: {pixels:?}"
        );
    }
}

#[test]
fn pages_and_frames_beyond_the_first_are_said() {
    let dir = folder();
    two_classes(dir.path());
    let mut gif = Vec::new();
    let frame = |value: u8| image::Frame::new(RgbaImage::from_pixel(5, 4, Rgba([value, value, value, 255])));
    image::codecs::gif::GifEncoder::new(&mut gif).encode_frames([frame(9), frame(99)]).expect("it is encoded");
    put(dir.path(), "cats/moves.gif", gif);
    put(dir.path(), "cats/still.gif", encoded(RgbImage::from_pixel(5, 4, Rgb([50; 3])), ImageFormat::Gif));
    noted(
        &load(dir.path(), &labelled()),
        "1 pictures of which each has several frames or pages, of which the first is read: cats/moves.gif",
    );
}

#[test]
fn frames_that_are_larger_than_their_picture_are_refused_before_they_are_decoded() {
    let dir = folder();
    two_classes(dir.path());
    let mut gif = encoded(RgbImage::from_pixel(5, 4, Rgb([50; 3])), ImageFormat::Gif);
    // Of the frame: separator, left, top, width, height.
    let frame = gif.windows(9).position(|bytes| bytes == [0x2C, 0, 0, 0, 0, 5, 0, 4, 0]).expect("it has one");
    gif[frame + 5..frame + 9].copy_from_slice(&[0x60, 0x6D, 0x60, 0x6D]);
    put(dir.path(), "cats/huge.gif", gif);
    noted(&load(dir.path(), &labelled()), "cats/huge.gif is 28000 x 28000 pixels large, 2990 MiB when decoded; 256 MiB are allowed");
}

#[test]
fn pictures_without_pixels_are_refused_however_they_would_be_resized() {
    let mut gif = encoded(RgbImage::from_pixel(5, 4, Rgb([50; 3])), ImageFormat::Gif);
    gif[6..8].copy_from_slice(&[0, 0]);
    let dir = folder();
    put(dir.path(), "flat.gif", gif);
    for resize in [Resize::Letterbox, "crop:0.5".parse().expect("a way")] {
        let image = Image { height: 8, width: 8, channels: 3 };
        let error = load_picture(&dir.path().join("flat.gif"), &PictureOptions { resize, ..PictureOptions::plain(image) }).map(drop);
        assert!(format!("{:#}", error.expect_err("there is nothing to see")).contains("has no pixels"));
    }
}

#[test]
fn archives_keep_links_and_zips_are_read() {
    let dir = folder();
    two_classes(dir.path());
    let plain = load(dir.path(), &labelled());
    let packed = folder();
    let mut builder = tar::Builder::new(Vec::new());
    builder.append_dir_all(".", dir.path()).expect("it is packed");
    let mut link = |kind, name: &str, target: &str| {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(0);
        builder.append_link(&mut header, name, target).expect("it is packed");
    };
    link(tar::EntryType::Link, "cats/hard.png", "cats/0.png");
    link(tar::EntryType::Symlink, "cats/soft.png", "../dogs/deep/0.png");
    link(tar::EntryType::Symlink, "cats/gone.png", "../../0.png");
    link(tar::EntryType::Symlink, "cats/all.png", "../dogs");
    put(packed.path(), "set.tar", builder.into_inner().expect("it is packed"));
    let data = load(&packed.path().join("set.tar"), &labelled());
    let all = |data: &Dataset| data.train.len() + test_of(data).len();
    assert_eq!(all(&data), all(&plain) + 2);
    noted(&data, "cats/gone.png is a link to what is not in the archive");
    noted(&data, "cats/all.png is a link to a folder");

    let classes = [("cats", 10), ("dogs/deep", 20)];
    let members: Vec<(String, Vec<u8>)> =
        (0..5).flat_map(|i| classes.map(|(class, first)| (format!("set/{class}/{i}.png"), even(first + i)))).collect();
    let bytes = zipped(
        &members.iter().map(|(name, contents)| (name.as_str(), contents.as_slice())).collect::<Vec<_>>(),
        zip::CompressionMethod::Deflated,
    );
    put(packed.path(), "other.zip", &bytes);
    let data = load(&packed.path().join("other.zip"), &labelled());
    assert_eq!((pixels_of(&data.train), &data.class_names), (pixels_of(&plain.train), &plain.class_names));
    put(packed.path(), "other.zip", &bytes[..bytes.len() / 2]);
    refused(&packed.path().join("other.zip"), &labelled(), &["other.zip is damaged or cut off"]);
}

#[test]
fn test_pictures_that_were_trained_on_are_said() {
    let dir = folder();
    parts(dir.path(), &["train", "test"]);
    fs::copy(dir.path().join("train/cats/3.png"), dir.path().join("test/cats/copy.png")).expect("it is copied");
    noted(&load(dir.path(), &labelled()), "1 of 11 test images are equal to training images");
    noted(&load(dir.path(), &labelled()), "test/cats/copy.png = train/cats/3.png");
}

#[test]
fn copies_of_one_source_are_not_divided() {
    let dir = folder();
    for source in 0..8_u8 {
        for copy in 0..5 {
            put(dir.path(), &format!("cats/{source:02}_aug{copy}.png"), even(source * 10 + copy));
            put(dir.path(), &format!("dogs/{source:02}_aug{copy}.png"), even(100 + source * 10 + copy));
        }
    }
    let data = load(dir.path(), &labelled());
    assert_eq!(sizes(&data), (60, 20));
    let source = |name: &Arc<str>| name.split('_').next().map(String::from);
    let trained: Vec<_> = data.train.names.iter().map(source).collect();
    assert!(test_of(&data).names.iter().all(|name| !trained.contains(&source(name))));
    noted(&data, "80 whose names begin alike (cats/00_aug0.png");
}

#[test]
fn what_lies_beside_the_data_takes_nothing_away() {
    let pictures = |root: &Path, folders: &[&str]| {
        for (n, folder) in (0..).zip(folders) {
            (0..5).for_each(|i| put(root, &format!("{folder}/{i}.png"), even(10 * n + i)));
        }
    };
    let classes = |folders: &[&str], also: &[&str]| {
        let dir = folder();
        pictures(dir.path(), folders);
        also.iter().for_each(|name| put(dir.path(), name, if name.ends_with("png") { even(99) } else { b"text".to_vec() }));
        load(dir.path(), &labelled())
    };
    // Parts win over folders that are named after more than a part.
    let data = classes(&["train/a", "train/b", "test/a", "test/b", "test_hard/a"], &["train_labels/x.txt"]);
    assert_eq!((sizes(&data), data.class_names.len()), ((10, 10), 2));
    noted(&data, "5 pictures beside the folders of the data are left out: test_hard/a/0.png");
    // A data set in a folder beside its documents.
    for also in ["docs/figure.png", "docs/readme.md", "cover.png"] {
        let data = classes(&["set/train/a", "set/train/b", "set/test/a", "set/test/b"], &[also]);
        assert_eq!((sizes(&data), &data.class_names[..]), ((10, 10), &["a", "b"].map(String::from)[..]), "{also}");
        noted(&data, also);
    }
    assert_eq!(classes(&["data/images/a", "data/images/b"], &["results/plot.png"]).class_names, ["a", "b"]);
    // Nearly the same folders, and folders that count clips.
    let data = classes(&["day1/a", "day1/b", "day1/c", "day2/a", "day2/b"], &[]);
    assert_eq!(data.class_names, ["a", "b", "c"]);
    assert_eq!(classes(&["a/clip1", "a/clip2", "b/clip1", "b/clip2"], &[]).class_names, ["a", "b"]);
    let data = classes(&["v1/train/a", "v1/train/b", "v1/test/a", "v1/test/b", "v2/train/a", "v2/train/b"], &[]);
    assert_eq!((sizes(&data), &data.class_names[..]), ((20, 10), &["a", "b"].map(String::from)[..]));
    // What is guessed is said.
    noted(&classes(&["cats_train", "cats_test", "dogs_train", "dogs_test"], &[]), "taken for classes, though named as parts of data are");
    noted(&classes(&["a/x", "a/y", "b"], &[]), "a: taken for one class each, with all folders in them");
    // What other verbs left.
    let dir = folder();
    pictures(dir.path(), &["a", "b"]);
    put(dir.path(), "found/ask-next.png", even(1));
    put(dir.path(), "found/labels.csv", "file,label\n");
    let data = load(dir.path(), &labelled());
    assert_eq!(data.class_names, ["a", "b"]);
    noted(&data, "2 results of wgraft are left out");
}

#[test]
fn tables_of_pixels_come_in_many_forms() {
    let dir = folder();
    let csv = |head: &str, row: &dyn Fn(u32) -> String| format!("{head}\n{}", (0..20).map(|i| row(i) + "\n").collect::<String>());
    let data = |text: String| {
        put(dir.path(), "t.csv", text);
        load(&dir.path().join("t.csv"), &labelled())
    };
    let first = data(csv("label,pixel0,pixel1,pixel2,pixel3", &|i| format!("{},{i},2,3,4", i % 5)));
    // Each class in both parts.
    assert_eq!((sizes(&first), first.class_counts().expect("classes")), ((15, 5), "5 classes: 0 (3), 1 (3), 2 (3), 3 (3), 4 (3)".into()));
    let last = data(csv("id;px_1;px_2;px_3;px_4;label", &|i| format!("{i};{i};2;3;4;{}", i % 5)));
    assert_eq!((pixels_of(&last.train), &last.train.truth.labels), (pixels_of(&first.train), &first.train.truth.labels));
    let colour = data(csv("pixel0,pixel1,pixel2,pixel3,pixel4,pixel5,pixel6,pixel7,pixel8,pixel9,pixel10,pixel11,class", &|i| {
        format!("{}{}", "9,".repeat(12), 1 + 6 * (i % 2))
    }));
    assert_eq!(
        (image_of(&colour.train), &colour.class_names[..]),
        (Image { height: 2, width: 2, channels: 3 }, &["1", "7"].map(String::from)[..])
    );
    noted(&colour, "labels are not all of 0 to 7: the classes are called 1, 7");
    // As they are downloaded.
    let table = csv("label,pixel0,pixel1,pixel2,pixel3", &|i| format!("{},{i},2,3,4", i % 2));
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, text) in
        [("train.csv", table.as_str()), ("test.csv", "pixel0,pixel1,pixel2,pixel3\n1,2,3,4\n"), ("sample_submission.csv", "a,b\n1,2\n")]
    {
        zip.start_file(name, zip::write::SimpleFileOptions::default())
            .and_then(|()| Ok(zip.write_all(text.as_bytes())?))
            .expect("it is packed");
    }
    put(dir.path(), "kaggle.zip", zip.finish().expect("it is packed").into_inner());
    let data = load(&dir.path().join("kaggle.zip"), &labelled());
    assert_eq!(sizes(&data), (16, 4));
    noted(&data, "test.csv has no labels to test by");
    noted(&data, "sample_submission.csv");
    let both = folder();
    ["mnist_train.csv", "mnist_test.csv", "mnist_test2.csv"].iter().for_each(|name| put(both.path(), name, &table));
    refused(both.path(), &labelled(), &["two tables of test images, mnist_test.csv and mnist_test2.csv"]);
}

#[test]
fn archives_are_named_for_what_they_are() {
    let dir = folder();
    for (name, bytes, said) in [
        ("a.zip", &b"Rar!\x1a\x07\x00"[..], "is packed by a method that is not read"),
        ("b.tar.gz", b"<!doctype html><p>404", "is a web page"),
        ("c.zip", b"version https://git-lfs.github.com/spec/v1", "is a pointer of Git LFS"),
        ("d.tar", b"", "is empty"),
        ("e.tar.bz2", b"BZh91AY", "is packed by a method that is not read"),
    ] {
        put(dir.path(), name, bytes);
        refused(&dir.path().join(name), &labelled(), &[said]);
    }
    // An empty folder whose parents are not listed, and two files of one name.
    let mut tar = tar::Builder::new(Vec::new());
    let mut add = |name: &str, kind: tar::EntryType, bytes: &[u8]| {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        header.set_entry_type(kind);
        header.set_mode(0o755);
        header.set_cksum();
        tar.append_data(&mut header, name, bytes).expect("it is packed");
    };
    add("x/y/z", tar::EntryType::Directory, &[]);
    for i in 0..5 {
        add(&format!("a/{i}.png"), tar::EntryType::Regular, &even(i));
        add(&format!("b/{i}.png"), tar::EntryType::Regular, &even(50 + i));
    }
    add("a/0.png", tar::EntryType::Regular, &even(7));
    put(dir.path(), "deep.tar", tar.into_inner().expect("it is packed"));
    let options = ReadOptions { want_labels: false, ..labelled() };
    let data = load(&dir.path().join("deep.tar"), &options);
    assert_eq!(data.class_names, ["a", "b"]);
    noted(&data, "a/0.png is there twice");
}

#[test]
fn records_are_counted_once_and_read_beside_their_labels() {
    let dir = folder();
    let records: Vec<u8> = (0..4).flat_map(|i| [vec![i % 2], vec![i; 3 * 32 * 32]].concat()).collect();
    put(dir.path(), "data_batch_1.bin", &records);
    put(dir.path(), "data_batch_1.bin.gz", gzipped(&records));
    put(dir.path(), "test_batch.bin", &records);
    assert_eq!(sizes(&load(dir.path(), &labelled())), (4, 4));
    let dir = folder();
    let ([images, labels], [others, _]) = (idx(10, 0), idx(10, 0));
    put(dir.path(), "a/train-images-idx3-ubyte", &others);
    put(dir.path(), "b/train-images-idx3-ubyte", &images);
    put(dir.path(), "b/train-labels-idx1-ubyte", &labels);
    noted(&load(dir.path(), &labelled()), "1 other files are left out: a/train-images-idx3-ubyte");
}

#[cfg(unix)]
#[test]
fn links_to_what_the_data_are_in_are_not_followed() {
    let dir = folder();
    two_classes(&dir.path().join("data"));
    std::os::unix::fs::symlink("..", dir.path().join("data/up")).expect("it is linked");
    let data = load(&dir.path().join("data"), &labelled());
    assert_eq!(data.class_names, ["cats", "dogs"]);
    noted(&data, "up is a link to a folder that this one is in");
}

#[test]
fn what_is_held_out_holds_no_copies_of_what_remains() {
    let dir = folder();
    for class in ["a", "b"] {
        for i in 0..50 {
            put(dir.path(), &format!("train/{class}/{:02}_aug{}.png", i / 5, i % 5), even(i));
        }
    }
    put(dir.path(), "test/a/0.png", even(200));
    put(dir.path(), "test/b/0.png", even(201));
    let (rest, held) = load(dir.path(), &labelled()).train.hold_out(0.2, 3);
    assert_eq!((rest.len(), held.len()), (80, 20));
    let sources = |split: &wgraft::data::Split| {
        split.names.iter().map(|name| name[..name.find('_').expect("a copy")].to_string()).collect::<std::collections::BTreeSet<_>>()
    };
    assert!(sources(&rest).is_disjoint(&sources(&held)));
}
