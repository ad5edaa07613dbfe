//! Reading what users have: every format from small files made here, and a clear sentence for each kind of bad input.

use crate::common;

use std::fs;
use std::path::Path;

use common::files::{
    even, folder, gzipped, image_of, labelled, load, masks_of, noted, pixels_of, put, refused, target, test_of, two_classes,
};
use flate2::Compression;
use flate2::write::GzEncoder;
use wgraft::core::sample::Image;
use wgraft::data::{Format, NO_PLACE, ReadOptions, Samples, SharedRows, Split, Tags, Truth, TruthKind, recognise};

#[test]
fn class_folders_give_labels_and_a_fifth_of_each_class_is_test_pictures() {
    let dir = folder();
    two_classes(dir.path());
    put(dir.path(), ".hidden/x.png", "");
    put(dir.path(), "cats/notes.txt", "no picture");
    put(dir.path(), "cats/old.jxl", "no picture that is read");
    let data = load(dir.path(), &labelled());
    assert_eq!(data.class_names, ["cats", "dogs"]);
    assert_eq!((data.classes, image_of(&data.train)), (2, Image { height: 4, width: 5, channels: 1 }));
    assert_eq!(data.train.truth.labels.as_deref(), Some(&[0, 0, 0, 0, 1, 1, 1, 1][..]));
    assert_eq!(test_of(&data).truth.labels.as_deref(), Some(&[0, 1][..]));
    let value = |name: &str, first: u8| first + name.rsplit('/').next().and_then(|file| file[..1].parse::<u8>().ok()).expect("a number");
    let of = test_of(&data).names.iter().zip([10, 20]).map(|(name, first)| [value(name, first); 20]);
    assert_eq!(pixels_of(test_of(&data)), of.collect::<Vec<_>>().concat(), "pictures are those of their names");
    noted(&data, "2 of 10 pictures are test pictures, drawn from each class, the same in all runs");
    noted(&data, "1 pictures in JPEG XL are left out (`djxl` makes PNG of it): cats/old.jxl");
    noted(&data, "1 files that are no pictures are left out: cats/notes.txt");
    noted(&data, "1 pictures in hidden places, or in folders that systems make, are left out: .hidden/x.png");
    assert_eq!(load(dir.path(), &labelled()).train, data.train, "drawn alike each time");
    // Whole numbers are in order of their values.
    let dir = folder();
    (0..6).for_each(|i| put(dir.path(), &format!("{}/{i}.png", [10, 9][i % 2]), even(1)));
    assert_eq!(load(dir.path(), &labelled()).class_names, ["9", "10"]);
}

#[test]
fn folders_called_train_and_test_are_the_split() {
    let dir = folder();
    for part in ["train", "Test", "val"] {
        two_classes(&dir.path().join("set").join(part));
    }
    put(dir.path(), "set/extra/x.png", even(1));
    let data = load(dir.path(), &labelled());
    assert_eq!((data.train.len(), test_of(&data).len()), (10, 10));
    assert!(test_of(&data).names.iter().all(|name| name.starts_with("set/Test/")) && data.class_names == ["cats", "dogs"]);
    noted(&data, "10 validation samples are left out");
    noted(&data, "set/extra/x.png");
    fs::remove_dir_all(dir.path().join("set/Test")).expect("it is removed");
    let data = load(dir.path(), &labelled());
    assert!(test_of(&data).names.iter().all(|name| name.starts_with("set/val/")));
    fs::remove_dir_all(dir.path().join("set/val")).expect("it is removed");
    put(dir.path(), "set/test/1.png", even(1));
    let data = load(dir.path(), &labelled());
    assert!(test_of(&data).truth.labels.is_none() && data.train.truth.labels.is_some());
    noted(&data, "the test pictures have no classes");
}

#[test]
fn pictures_without_labels_are_for_pretraining_alone() {
    let dir = folder();
    (0..6).for_each(|i| put(dir.path(), &format!("{i}.png"), even(i)));
    let data = load(dir.path(), &ReadOptions::default());
    assert!(data.train.len() == 6 && data.train.truth.labels.is_none() && data.test.is_none() && data.classes == 0);
    refused(dir.path(), &labelled(), &["no class folders", "--target"]);
    put(dir.path(), "cats/1.png", even(1));
    assert_eq!(load(dir.path(), &ReadOptions::default()).train.len(), 7);
    refused(dir.path(), &labelled(), &["6 pictures lie outside", "0.png"]);
}

#[test]
fn bad_class_folders_are_named() {
    let dir = folder();
    fs::create_dir(dir.path().join("cats")).expect("it is made");
    refused(dir.path(), &labelled(), &["holds nothing to train on", "PNG", "train-images-idx3-ubyte"]);
    (0..6).for_each(|i| put(dir.path(), &format!("cats/{i}.png"), even(i)));
    refused(dir.path(), &labelled(), &["one class, `cats`"]);
    fs::create_dir(dir.path().join("dogs")).expect("it is made");
    refused(dir.path(), &labelled(), &["class folder `dogs`", "holds no picture in a format that is read"]);
    let data = load(dir.path(), &ReadOptions::default());
    assert!(data.train.truth.labels.is_none());
    noted(&data, "class folder `dogs`");
    noted(&data, "there are no labels: ");
    noted(&data, "one class, `cats`");
    // The only picture of its class is for training.
    put(dir.path(), "dogs/1.png", even(1));
    let data = load(dir.path(), &labelled());
    assert_eq!(
        (data.train.truth.labels.as_deref(), test_of(&data).truth.labels.as_deref()),
        (Some(&[0, 0, 0, 0, 0, 1][..]), Some(&[0][..]))
    );
    fs::remove_dir_all(dir.path().join("dogs")).and_then(|()| fs::create_dir(dir.path().join("dogs"))).expect("it is emptied");
    refused(dir.path(), &target("age"), &["no index.csv", "age"]);
    refused(dir.path(), &ReadOptions { truth: Some(TruthKind::Masks), ..labelled() }, &["no masks"]);
    refused(dir.path(), &ReadOptions { truth: Some(TruthKind::Numbers), ..labelled() }, &["index.csv", "--target"]);
}

#[test]
fn an_index_gives_classes_numbers_and_the_split() {
    let dir = folder();
    (0..6).for_each(|i| put(dir.path(), &format!("images/{i}.png"), even(i)));
    put(dir.path(), "images/unlisted.png", even(1));
    let index = "\u{feff}file,split,kind,age\nimages/0.png,train,b,1.5\n1.png,train,a,2\n./images/2.png,test,b,3\n3,train,a,4\nimages\\4.png,train,\"a\",\n5,val,a,6\n";
    put(dir.path(), "index.csv", index);
    let data = load(dir.path(), &target("kind"));
    assert_eq!(data.class_names, ["a", "b"]);
    assert_eq!(data.train.truth.labels.as_deref(), Some(&[1, 0, 0, 0][..]));
    assert_eq!((test_of(&data).names.len(), test_of(&data).name(0)), (1, "images/2.png"));
    noted(&data, "unlisted.png");
    let data = load(dir.path(), &target("age"));
    assert_eq!((data.train.truth.targets.as_deref(), data.classes), (Some(&[1.5, 2.0, 4.0][..]), 0));
    assert_eq!(test_of(&data).truth.targets.as_deref(), Some(&[3.0][..]));
    noted(&data, "1 pictures without a value in column `age`");
    // Numbers are classes where the task says so.
    put(dir.path(), "index.csv", "file,floor\n0,10\n1,9\n2,9\n3,10\n4,9\n5,9\n");
    let data = load(dir.path(), &ReadOptions { truth: Some(TruthKind::Classes), ..target("floor") });
    assert_eq!((&data.train.truth.targets, &data.class_names[..]), (&None, &["9", "10"].map(String::from)[..]));
    let floor = |split: &Split, i: usize| [1, 0, 0, 1, 0, 0][split.names[i].as_bytes()["images/".len()] as usize - b'0' as usize];
    for split in [&data.train, test_of(&data)] {
        let floors: Vec<u32> = (0..split.names.len()).map(|i| floor(split, i)).collect();
        assert_eq!(split.truth.labels.as_deref(), Some(&floors[..]));
    }
    assert_eq!((data.train.len(), test_of(&data).len()), (5, 1));
}

#[test]
fn a_bad_index_is_named() {
    let dir = folder();
    for name in ["a/0.png", "a/1.png", "a/2.png", "a/3.png", "b/0.png", "b/1.jpg"] {
        put(dir.path(), name, even(1));
    }
    let said = |index: &str, column: &str, parts: &[&str]| {
        put(dir.path(), "index.csv", index);
        refused(dir.path(), &target(column), parts);
    };
    said("file,age\na/0.png,1\n", "size", &["no column `size`", "file, age"]);
    said("picture,age\na/0.png,1\n", "age", &["no column `file`", "picture, age"]);
    said("file,age\n0.png,1\n", "age", &["line 2", "`0.png` may be any of a/0.png, b/0.png"]);
    said("file,age\n1,1\n", "age", &["`1` may be any of a/1.png, b/1.jpg"]);
    said("file,age\na/0.png,1\na/0,2\n", "age", &["names a/0.png twice", "2 and 3"]);
    said("file,age\na/0.png,1\na/9.png,2\n", "age", &["1 pictures that are not there", "a/9.png"]);
    said("file,age,split\na/0.png,1,later\n", "age", &["line 2", "`later`", "split"]);
    said("file,age\na/0.png,1,2\n", "age", &["line 2 has 3 cells", "2 columns"]);
    said("file,age\n", "age", &["no rows"]);
    said("", "age", &["is empty"]);
    said("file,age,age\na/0.png,1,2\n", "age", &["two columns called `age`"]);
    said("file,age\na/0.png,\n", "age", &["column `age`", "is empty"]);
    put(dir.path(), "index.csv", "file,age\na/0.png,1\na/1.png,old\na/2.png,3\n");
    refused(dir.path(), &ReadOptions { truth: Some(TruthKind::Numbers), ..target("age") }, &["line 3", "`old`", "no number"]);
    said("file,id\na/0.png,p\na/1.png,q\na/2.png,r\na/3.png,s\n", "id", &["4 different values", "not a class"]);
    put(dir.path(), "index.csv", b"file,age\na/0.png,\xff\n");
    refused(dir.path(), &target("age"), &["line 2", "UTF-8"]);
}

/// Files below `root`, packed.
fn archive(root: &Path) -> Vec<u8> {
    let mut builder = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    builder.append_dir_all("top", root).expect("it is packed");
    builder.into_inner().and_then(GzEncoder::finish).expect("it is packed")
}

#[test]
fn an_archive_is_read_as_the_folder_in_it() {
    let (dir, packed) = (folder(), folder());
    two_classes(dir.path());
    put(dir.path(), "__MACOSX/cats/._0.png", "");
    let whole = archive(dir.path());
    put(packed.path(), "set.tar.gz", &whole);
    let (a, b) = (load(dir.path(), &labelled()), load(&packed.path().join("set.tar.gz"), &labelled()));
    assert_eq!((pixels_of(&a.train), &a.train.truth.labels, &a.class_names), (pixels_of(&b.train), &b.train.truth.labels, &b.class_names));
    assert_eq!(b.train.name(0), "top/cats/0.png");
    // A folder with nothing but the archive means the archive.
    assert_eq!(recognise(packed.path()).expect("it is known").0, Format::Archive);
    put(packed.path(), "other.csv", "a,b\n1,2\n");
    refused(packed.path(), &labelled(), &["several archives or tables", "other.csv", "set.tar.gz"]);
    fs::remove_file(packed.path().join("other.csv")).expect("it is removed");
    for length in [whole.len() - 4, whole.len() / 2, 30] {
        put(packed.path(), "set.tar.gz", &whole[..length]);
        refused(packed.path(), &labelled(), &["set.tar.gz", "damaged or cut off"]);
    }
    put(packed.path(), "set.tar.gz", gzipped(b"no archive at all"));
    refused(packed.path(), &labelled(), &["set.tar.gz", "damaged or cut off"]);
    put(packed.path(), "set.tar.gz", archive(folder().path()));
    refused(packed.path(), &labelled(), &["set.tar.gz", "holds no picture in a format that is read"]);
}

#[test]
fn cifars_records_give_colour_images_of_the_side_that_fits() {
    let record = |label: u8, side: u32| -> Vec<u8> {
        std::iter::once(label).chain((0..3 * side * side).map(|i| 100 + (i * 7 % 150) as u8)).collect()
    };
    for side in [8, 32] {
        let dir = folder();
        put(dir.path(), "data_batch_1.bin", [record(0, side), record(2, side)].concat());
        put(dir.path(), "data_batch_2.bin.gz", gzipped(&record(1, side)));
        put(dir.path(), "test_batch.bin", record(1, side));
        put(dir.path(), "batches.meta.txt", "red\ngreen\nblue\n\n");
        let data = load(dir.path(), &labelled());
        assert_eq!(image_of(&data.train), Image { height: side, width: side, channels: 3 });
        assert_eq!((data.train.truth.labels.as_deref(), data.classes), (Some(&[0, 2, 1][..]), 3));
        assert_eq!(data.class_names, ["red", "green", "blue"]);
        let (bytes, plane) = (record(1, side), (side * side) as usize);
        assert_eq!(pixels_of(test_of(&data))[3..6], [bytes[2], bytes[2 + plane], bytes[2 + 2 * plane]]);
        let grey = load(dir.path(), &ReadOptions { grey: Some(true), size: Some([4, 4]), ..labelled() });
        assert_eq!((grey.train.kind().len(), pixels_of(&grey.train).len()), (16, 48));
        put(dir.path(), "test_batch.bin", &record(1, side)[1..]);
        refused(dir.path(), &labelled(), &["_batch", "bytes", "cut off"]);
        put(dir.path(), "test_batch.bin", record(3, side));
        refused(dir.path(), &labelled(), &[]);
        fs::remove_file(dir.path().join("data_batch_1.bin"))
            .and_then(|()| fs::remove_file(dir.path().join("data_batch_2.bin.gz")))
            .expect("");
        refused(dir.path(), &labelled(), &["none to train on"]);
    }
}

#[test]
fn idx_without_a_test_pair_is_divided() {
    let dir = folder();
    let images: Vec<u8> = [0, 0, 8, 3, 0, 0, 0, 10, 0, 0, 0, 1, 0, 0, 0, 2].into_iter().chain(0..20).collect();
    let labels: Vec<u8> = [0, 0, 8, 1, 0, 0, 0, 10].into_iter().chain((0..10).map(|i| i % 2)).collect();
    put(dir.path(), "images-idx3-ubyte.gz", gzipped(&images));
    put(dir.path(), "labels-idx1-ubyte", labels);
    let data = load(dir.path(), &ReadOptions { size: Some([1, 2]), ..labelled() });
    assert_eq!((data.train.len(), data.classes, test_of(&data).truth.labels.as_deref()), (8, 2, Some(&[0, 1][..])));
    noted(&data, "2 of 10 images are test images, drawn from each class");
    refused(dir.path(), &target("age"), &["--target age"]);
    assert_eq!(load(dir.path(), &ReadOptions { grey: Some(false), ..labelled() }).train.kind().channels(), 3);
    refused(&dir.path().join("labels-idx1-ubyte"), &labelled(), &["name the folder"]);
    refused(&dir.path().join("nowhere"), &labelled(), &["there is no ", "nowhere"]);
}

#[test]
fn what_belongs_to_a_sample_stays_with_it() {
    let image = Image { height: 1, width: 2, channels: 3 };
    let places: Vec<Vec<u32>> = (0..10).map(|i| [0, NO_PLACE][..1 + i % 2].to_vec()).collect();
    let truth = Truth {
        labels: Some((0..10).map(|i| i % 2).collect()),
        targets: Some((0..10).map(|i| i as f32).collect()),
        masks: Some(SharedRows::new((0..20).collect(), 2)),
        tags: Some(Tags::new(&(0..10).map(|i| [i, 10][..1 + i as usize % 2].to_vec()).collect::<Vec<_>>(), &places).expect("even")),
        ..Truth::default()
    };
    let names = (0..10).map(|i| i.to_string().into()).collect();
    let split = Split { names, ..Split::new(Samples::images((0..60).collect(), image), truth) };
    let (rest, held) = split.hold_out(0.4, 3);
    let few = split.per_class(2, &["even", "odd"].map(String::from), 1).expect("there are enough");
    assert_eq!((rest.len(), held.len(), few.len()), (6, 4, 4));
    let stored = |split: &Split| split.samples.as_images().expect("images").0.clone();
    for part in [rest, held, few] {
        assert!(stored(&part).shares(&stored(&split)), "no sample is copied");
        for (i, name) in part.names.iter().enumerate() {
            let n: u8 = name.parse().expect("a number");
            assert_eq!(pixels_of(&part)[6 * i..6 * i + 6], [6 * n, 6 * n + 1, 6 * n + 2, 6 * n + 3, 6 * n + 4, 6 * n + 5]);
            assert_eq!(part.truth.labels.as_ref().expect("labels")[i], u32::from(n % 2));
            assert_eq!(part.truth.targets.as_ref().expect("targets")[i], f32::from(n));
            assert_eq!(masks_of(&part)[2 * i..2 * i + 2], [2 * n, 2 * n + 1]);
            let tags = part.truth.tags.as_ref().expect("tags").words(i as u32).collect::<Vec<_>>();
            assert_eq!(tags, [(u32::from(n), Some(0)), (10, None)][..1 + usize::from(n) % 2]);
        }
    }
}
