//! Pictures and classes by the names that people give them in CSV files.

use crate::common;

use std::fs;
use std::path::Path;

use common::binary;
use common::files::{even, folder, load, noted, put, refused, target, test_of};
use wgraft::data::{ReadOptions, TruthKind};

/// Six pictures of the classes `a` and `b`, of which the last is a test picture, and an index of what `name` makes of their paths.
fn indexed(root: &Path, header: &str, name: impl Fn(&str) -> String) {
    let mut index = format!("{header}\n");
    for i in 0..6_u8 {
        let file = format!("pics/{}_{i}.png", ["a", "b"][usize::from(i % 2)]);
        put(root, &file, even(i));
        index += &format!("{},{},{}\n", name(&file), ["a", "b"][usize::from(i % 2)], if i == 5 { "test" } else { "train" });
    }
    put(root, "index.csv", index);
}

#[test]
fn pictures_are_found_by_what_an_index_calls_them() {
    let (dir, notes) = (folder(), [String::new(), "in other capitals".into(), "by another ending".into(), "leads elsewhere".into()]);
    let root = dir.path().canonicalize().expect("it is there");
    let base = |file: &str| file.rsplit('/').next().unwrap_or_default().to_string();
    let outside = root.file_name().expect("a name").to_string_lossy().into_owned();
    type Name<'a> = &'a dyn Fn(&str) -> String;
    let cases: [(Name<'_>, usize); 12] = [
        (&|file| file.into(), 0),
        (&|file| base(file), 0),
        (&|file| format!("./{file}"), 0),
        (&|file| file.replace('/', "\\"), 0),
        (&|file| file.replace(".png", ""), 0),
        (&|file| root.join(file).display().to_string(), 0),
        (&|file| format!("{outside}/{file}"), 0),
        (&|file| file.to_uppercase(), 1),
        (&|file| file.replace(".png", ".JPG"), 2),
        (&|file| base(file).replace(".png", ".tif"), 2),
        (&|file| format!("/home/them/set/{file}"), 3),
        (&|file| format!("C:\\set\\{}", base(file)), 3),
    ];
    for (case, (name, note)) in cases.into_iter().enumerate() {
        indexed(&root, "file,label,split", name);
        let data = load(&root, &target("label"));
        assert_eq!(
            (data.train.truth.labels.as_deref(), test_of(&data).names.len(), test_of(&data).name(0)),
            (Some(&[0, 0, 0, 1, 1][..]), 1, "pics/b_5.png")
        );
        let odd: Vec<&String> = data.notes.iter().filter(|text| text.contains("are found")).collect();
        assert_eq!(odd.len(), usize::from(note > 0), "{case}: {odd:?}");
        noted(&data, &notes[note]);
    }
}

#[test]
fn columns_of_an_index_are_found_in_any_capitals() {
    let dir = folder();
    for column in ["file", "Filename", "IMAGE", "path", "image_id", "ID", "img", "File_Name", "filepath", "image_path"] {
        indexed(dir.path(), &format!("{column},Label,Split"), |file| file.into());
        let data = load(dir.path(), &target("label"));
        assert_eq!((data.train.len(), test_of(&data).len()), (5, 1), "{column}");
        noted(&data, "column `Split` of index.csv says");
    }
    indexed(dir.path(), "file,label,split", |file| file.into());
    refused(dir.path(), &target("lable"), &["no column `lable`", "file, label, split"]);
}

#[test]
fn unicode_forms_of_names_do_not_matter() {
    let dir = folder();
    let mut index = "file,label\n".to_string();
    for i in 0..6_u8 {
        put(dir.path(), &format!("e\u{301}{i}.png"), even(i));
        index += &format!("\u{e9}{i}.png,{}\n", ["caf\u{e9}", "cafe\u{301}", "b"][usize::from(i % 3)]);
    }
    put(dir.path(), "index.csv", index);
    let data = load(dir.path(), &target("label"));
    assert_eq!(data.class_names, ["b", "caf\u{e9}"]);
    let labels = dir.path().join("labels.csv");
    fs::write(&labels, format!("Filename,Class\n{},cafe\u{301}\n", data.train.names[0])).expect("it is written");
    let given = data.given_labels(&labels, 0.0).expect("it is sound");
    assert_eq!(given.labelled, [(0, 1)]);
}

#[test]
fn lines_that_agree_are_one_and_absent_pictures_are_counted() {
    let dir = folder();
    for i in 0..6 {
        put(dir.path(), &format!("{i}.png"), even(i));
    }
    let index = "file,label\n0.png,a\n1.png,b\n2.png,a\n3.png,b\n4.png,b\n0,a\n";
    put(dir.path(), "index.csv", index);
    let data = load(dir.path(), &target("label"));
    noted(&data, "1 lines of index.csv repeat others");
    assert_eq!(data.train.len() + test_of(&data).len(), 5);
    put(dir.path(), "index.csv", format!("{index}0,b\n"));
    refused(dir.path(), &target("label"), &["names 0.png twice", "2 and 8"]);
    put(dir.path(), "index.csv", format!("{index}8.png,b\n9.png,b\n"));
    refused(dir.path(), &target("label"), &["2 pictures that are not there, of 8: 8.png, 9.png"]);
}

#[test]
fn only_an_empty_cell_is_no_class() {
    let dir = folder();
    let dir = dir.path();
    let mut index = "file,label,size\n".to_string();
    for i in 0..12_u8 {
        put(dir, &format!("data/{i}.png"), even(10 * i));
        let label = ["none", "NA", "nan", "?", "null", ""][usize::from(i % 6)];
        index += &format!("{i}.png,{label},{}\n", if i == 4 { "NA".into() } else { format!("\"{i},5\"") });
    }
    put(dir, "data/index.csv", &index);
    let data = load(&dir.join("data"), &ReadOptions { truth: Some(TruthKind::Classes), ..target("label") });
    assert_eq!(data.class_names, ["?", "NA", "nan", "none", "null"]);
    noted(&data, "2 pictures without a value in column `label`");
    // Among numbers the words are no values.
    let data = load(&dir.join("data"), &target("size"));
    assert_eq!(data.train.truth.targets.as_ref().map(|targets| targets[1]), Some(1.5));
    noted(&data, "1 cells `NA` are taken as missing");
    noted(&data, "`size` is read with decimal commas");
    put(dir, "data/index.csv", "file,size\n0.png,1\n1.png,2\n2.png,1e300\n");
    refused(&dir.join("data"), &ReadOptions { truth: Some(TruthKind::Numbers), ..target("size") }, &["line 4", "1e300", "too large"]);

    // From the command line: labels by hand.
    (0..6).for_each(|i| put(dir, &format!("flat/{i}.png"), even(40 * i)));
    put(dir, "labels.csv", "File,Label\n0.png,none\n1.png,NA\n2.png,none\n3.png,NA\n5.png,\n");
    let tune = ["finetune", "--data", "flat", "--device", "cpu", "--batch", "2", "--steps", "2"];
    let tuned = binary::wgraft(dir, &[&tune[..], &["--pseudo-labels", "labels.csv", "--out", "run"]].concat());
    let text = binary::stderr(&tuned);
    assert!(tuned.status.success() && text.contains("flat: 4 labels from labels.csv") && text.contains("2 classes"), "{text}");
    binary::json(dir, &["pretrain", "--data", "flat", "--device", "cpu", "--batch", "2", "--steps", "2", "--out", "pre"]);
    let found = binary::json(dir, &["label", "pre", "--labels", "labels.csv", "--out", "spread", "--device", "cpu"]);
    assert_eq!(found["given"], 4);
}

#[test]
fn few_whole_numbers_are_classes_where_nobody_says_what_they_are() {
    let dir = folder();
    let mut index = "file,digit,age\n".to_string();
    for i in 0..8_u8 {
        put(dir.path(), &format!("{i}.png"), even(10 * i));
        index += &format!("{i}.png,{},{}\n", 7 + i % 2, 30 + i);
    }
    put(dir.path(), "index.csv", index);
    let unsaid = |column| ReadOptions { want_labels: false, ..target(column) };
    let digits = load(dir.path(), &unsaid("digit"));
    assert_eq!((&digits.class_names[..], digits.train.truth.targets.is_none()), (&["7".to_string(), "8".to_string()][..], true));
    noted(&digits, "column `digit` of index.csv has few whole numbers: they are taken for classes");
    let ages = load(dir.path(), &unsaid("age"));
    assert!(ages.class_names.is_empty() && ages.train.truth.targets.is_some());
    let asked = load(dir.path(), &ReadOptions { truth: Some(TruthKind::Numbers), ..target("digit") });
    assert!(asked.train.truth.targets.is_some(), "who asks for numbers has them");
}

#[test]
fn unknown_classes_are_listed() {
    let dir = folder();
    common::files::two_classes(dir.path());
    let data = load(dir.path(), &common::files::labelled());
    let labels = dir.path().join("labels.csv");
    fs::write(&labels, "file,label\ncats/0.png,cats\ncats/1.png,bird\ncats/2.png,ant\n").expect("it is written");
    let error = format!("{:#}", data.given_labels(&labels, 0.0).expect_err("it is refused"));
    assert!(error.contains("line 3: `ant`, `bird` are none of the classes") && error.contains("cats, dogs"), "{error}");
    fs::write(&labels, "file,label\nCATS/0.png,cats\n").expect("it is written");
    let given = data.given_labels(&labels, 0.0).expect("it is found");
    assert!(given.notes.iter().any(|note| note.contains("in other capitals: CATS/0.png is cats/0.png")), "{:?}", given.notes);
}
