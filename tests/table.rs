//! Tables as users have them, from small files made here.

mod common;

use std::fs;
use std::path::PathBuf;

use tempfile::TempDir;
use wgraft::data::{Dataset, Format, ReadOptions, Rows, Table, recognise};

fn file(text: impl AsRef<[u8]>) -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().expect("a place for files");
    let path = dir.path().join("houses.csv");
    fs::write(&path, text).expect("it is written");
    (dir, path)
}

fn target(column: &str) -> ReadOptions {
    ReadOptions { target: Some(column.into()), ..ReadOptions::default() }
}

fn load(text: &str, column: &str) -> Table {
    Table::load(&file(text).1, &target(column)).unwrap_or_else(|e| panic!("{e:#}"))
}

fn refused(text: &str, column: &str, parts: &[&str]) {
    let (_dir, path) = file(text);
    let error = Table::load(&path, &target(column)).map(|table| table.notes).expect_err("it is refused");
    let text = format!("{error:#}");
    parts.iter().for_each(|part| assert!(text.contains(part), "no `{part}` in: {text}"));
}

const HOUSES: &str =
    "rooms,place,price,split,id\n1,sea,10,train,\n3,land,20,train,\n,sea,30,train,\n5,,40,train,\n7,moon,50,test,\n9,sea,,test,\n";

#[test]
fn numbers_are_standardised_and_categories_one_hot_by_the_training_rows() {
    let (_dir, path) = file(HOUSES);
    let table = Table::load(&path, &target("price")).expect("it is sound");
    assert_eq!(table.columns, ["rooms", "place=land", "place=sea"]);
    // Rooms 1, 3, 5 of the training rows: mean 3, median 3, variance 8 / 3.
    let unit = (3.0_f32 / 8.0).sqrt();
    let train = [-2.0 * unit, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 2.0 * unit, 0.0, 0.0];
    assert_eq!(table.train.targets, [10.0, 20.0, 30.0, 40.0]);
    let close = |a: &[f32], b: &[f32]| a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-6);
    assert!(close(&table.train.features, &train), "{:?}", table.train.features);
    let Some(Rows { features, targets }) = &table.test else { panic!("there are test rows") };
    assert!(close(features, &[4.0 * unit, 0.0, 0.0]) && targets == &[50.0], "{features:?}");
    assert_eq!((table.target_scale.mean, table.target_scale.std), (25.0, 125.0_f64.sqrt()));
    for part in [
        "1 of 6 rows have no `price`",
        "`rooms`: 1 missing values are taken as the training median, 3",
        "`place`: 1 missing values are of no category",
        "no training row has moon",
        "column `id` is empty",
    ] {
        assert!(table.notes.iter().any(|note| note.contains(part)), "no `{part}` in {:?}", table.notes);
    }
    // The encoding makes the same of the file, also after it was written and read, and of columns in another order.
    let text = serde_json::to_string(&table.encoding).expect("plain data");
    let encoding: wgraft::data::Encoding = serde_json::from_str(&text).expect("as it was written");
    let all = encoding.read(&path).expect("it is sound");
    assert!(close(&all[..12], &table.train.features) && all.len() == 18);
    let (_other, path) = file("place;rooms\nsea;1\n");
    assert!(close(&encoding.read(&path).expect("it is sound"), &train[..3]));
    let (_other, path) = file("place\nsea\n");
    assert!(format!("{:#}", encoding.read(&path).expect_err("a column is missing")).contains("no column `rooms`"));
}

#[test]
fn without_a_split_every_fifth_row_is_a_test_row() {
    let rows: String = (0..10).map(|i| format!("{i},{},{}\n", 2 * i, i % 3)).collect();
    let table = load(&format!(",x,y\n{rows}"), "y");
    assert_eq!((table.train.len(), table.columns), (8, vec!["x".to_string()]));
    assert_eq!(table.test.expect("test rows").targets, [1.0, 0.0]);
    assert!(table.notes.iter().any(|note| note.contains("every fifth row")), "{:?}", table.notes);
    assert!(table.notes.iter().any(|note| note.contains("column 1 has no name")), "{:?}", table.notes);
    // A column `split` with other words is a feature.
    let rows: String = (0..10).map(|i| format!("{},{i}\n", ["banana", "half"][i % 2])).collect();
    assert_eq!(load(&format!("split,y\n{rows}"), "y").columns, ["split=banana", "split=half"]);
}

#[test]
fn bad_tables_are_named() {
    refused("x,y\n1,2\n2,3\n", "z", &["no column `z`", "x, y"]);
    refused("x,y\n1,2\n2,many\n", "y", &["line 3", "`many`", "`y`", "no number"]);
    refused("x,y\n1,\n2,3\n", "y", &["1 training rows", "at least 2"]);
    refused("x,y\n1,3\n2,3\n", "y", &["`y` is 3 in all training rows"]);
    refused("x,y\n1,2\n1,3\n", "y", &["no column to predict from"]);
    refused("x,y\n", "y", &["no rows"]);
    refused("", "y", &["empty"]);
    refused("1,2\n3,4\n", "y", &["starts with numbers", "name the columns"]);
    refused("x,y\n1,2\n1\n", "y", &["line 3 has 1 cells"]);
    let typo: String = (0..20).map(|i| format!("{},{i}\n", if i == 7 { "1o".into() } else { i.to_string() })).collect();
    refused(&format!("x,y\n{typo}"), "y", &["line 9", "`1o`", "column `x`"]);
    let (_dir, path) = file(HOUSES);
    let error = format!("{:#}", Table::load(&path, &ReadOptions::default()).expect_err("no target"));
    assert!(error.contains("--target") && error.contains("rooms, place, price"), "{error}");
    let names: String = (0..100).map(|i| format!("name{i},{i},{i}\n")).collect();
    let table = load(&format!("who,x,y\n{names}"), "y");
    assert!(table.columns == ["x"] && table.notes.iter().any(|note| note.contains("`who` is of too many categories")), "{:?}", table.notes);
}

#[test]
fn tables_and_images_are_told_apart() {
    let (dir, path) = file(HOUSES);
    assert_eq!(recognise(dir.path()).expect("it is known"), (Format::Table, path.clone()));
    let error = Dataset::load(&path, &ReadOptions::default()).expect_err("no images").to_string();
    assert!(error.contains("is a table"), "{error}");
    fs::write(dir.path().join("a.png"), "").expect("it is written");
    let error = Table::load(dir.path(), &target("price")).expect_err("no table").to_string();
    assert!(error.contains("holds images"), "{error}");
    let packed = common::files::gzipped(HOUSES.as_bytes());
    let path = dir.path().join("houses.csv.gz");
    fs::write(&path, &packed).expect("it is written");
    assert_eq!(Table::load(&path, &target("price")).expect("it is sound").train.len(), 4);
    fs::write(&path, &packed[..packed.len() / 2]).expect("it is written");
    let error = format!("{:#}", Table::load(&path, &target("price")).expect_err("cut off"));
    assert!(error.contains("cut off"), "{error}");
}
