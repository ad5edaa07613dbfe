//! Tables as users have them, from small files made here.

use crate::common;

use std::fs;
use std::path::PathBuf;

use tempfile::TempDir;
use wgraft::core::sample::SampleType;
use wgraft::data::{Dataset, Format, ReadOptions, Table, TableRows, recognise};

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
    let Some(TableRows { features, targets }) = &table.test else { panic!("there are test rows") };
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
    let all = encoding.read(&path, &mut Vec::new()).expect("it is sound");
    assert!(close(&all[..12], &table.train.features) && all.len() == 18);
    let (_other, path) = file("place;rooms\nsea;1\n");
    assert!(close(&encoding.read(&path, &mut Vec::new()).expect("it is sound"), &train[..3]));
    let (_other, path) = file("place\nsea\n");
    assert!(format!("{:#}", encoding.read(&path, &mut Vec::new()).expect_err("a column is missing")).contains("no column `rooms`"));
}

#[test]
fn without_a_split_a_fifth_of_the_rows_are_test_rows() {
    let rows: String = (0..10).map(|i| format!("{i},{},{}\n", 2 * i, i % 3)).collect();
    let table = load(&format!(",x,y\n{rows}"), "y");
    assert_eq!((table.train.len(), table.columns), (8, vec!["x".to_string()]));
    assert_eq!(table.test.expect("test rows").targets.len(), 2);
    assert!(table.notes.iter().any(|note| note.contains("2 of 10 rows are test rows, the same in all runs")), "{:?}", table.notes);
    assert!(table.notes.iter().any(|note| note.contains("column 1 has no name")), "{:?}", table.notes);
}

#[test]
fn a_split_column_has_words_that_are_known() {
    let table = |name: &str, odd: &str| {
        let word = |i: usize| if i == 3 { odd } else { ["train", "test"][i % 2] };
        (0..10).fold(format!("x,{name},y\n"), |text, i| format!("{text}{},{},{i}\n", i * i, word(i)))
    };
    for name in ["split", "Split", "SPLIT", "Set", "subset", "partition"] {
        let found = load(&table(name, "test"), "y");
        assert_eq!((found.test.expect("test rows").targets, found.columns), (vec![1.0, 3.0, 5.0, 7.0, 9.0], vec!["x".to_string()]));
        assert!(found.notes.iter().any(|note| note.contains(&format!("column `{name}` says which rows"))), "{:?}", found.notes);
    }
    for name in ["split", "Split"] {
        refused(&table(name, "later"), "y", &["line 5", "`later`", "neither train nor test nor val"]);
        refused(&table(name, ""), "y", &["line 5", "is empty", "train, test or val"]);
    }
    // Other words may be a feature like any other, but for a column `split`.
    let columns = load(&table("set", "later"), "y").columns;
    assert!(["x", "set=test", "set=train"].iter().all(|column| columns.iter().any(|known| known == column)), "{columns:?}");
}

/// A table of 40 rows, `x` being `i * step + start` for `i` from 0, written by `write`; `z` has decimal points or commas.
fn written(delimiter: char, z: &str, write: impl Fn(usize) -> String) -> String {
    let row = |i: usize| format!("{}{delimiter}{i}{z}{delimiter}{i}\n", write(i));
    format!("x{delimiter}z{delimiter}y\n{}", (0..40).map(row).collect::<String>())
}

#[test]
fn numbers_are_read_however_a_column_writes_them() {
    let plain = load(&written(',', ".5", |i| format!("{}.{}", i * 31, i % 10)), "y");
    let thousands = load(&written(',', ".5", |i| format!("{}", 1000 + i * 613)), "y");
    let group = |i: usize, sign: &str| {
        let n = 1000 + i * 613;
        format!("{}{sign}{:03}", n / 1000, n % 1000)
    };
    for (text, like, words) in [
        (written(';', ",5", |i| format!("{},{}", i * 31, i % 10)), &plain, "`x`, `z` is read with decimal commas: "),
        (written('\t', ",5", |i| format!("{},{}", i * 31, i % 10)), &plain, "decimal commas"),
        (written(',', ".5", |i| format!("\"{},{}\"", i * 31, i % 10)), &plain, "`x` is read with decimal commas"),
        (written(',', ".5", |i| format!("{}.{} %", i * 31, i % 10)), &plain, "percent signs, which are dropped: `"),
        (written(',', ".5", |i| format!("${}.{}", i * 31, i % 10)), &plain, "currency signs, which are dropped"),
        (written(';', ",5", |i| format!("{},{}\u{a0}€", i * 31, i % 10)), &plain, "decimal commas, currency signs"),
        (written(',', ".5", |i| format!("+{}.{}", i * 31, i % 10)), &plain, ""),
        (written(',', ".5", |i| format!("\u{a0}{}.{}\u{202f}", i * 31, i % 10)), &plain, ""),
        // Other columns tell that points are decimal, or commas are.
        (written(',', ".5", |i| format!("\"{}\"", group(i, ","))), &thousands, "thousands separators"),
        (written(';', ",5", |i| group(i, ".")), &thousands, "thousands separators"),
        (written(';', ",5", |i| group(i, " ")), &thousands, "thousands separators"),
        (written(',', ".5", |i| group(i, "\u{202f}")), &thousands, "thousands separators"),
        (written(',', ".5", |i| group(i, "'")), &thousands, "thousands separators"),
        (written(',', ".5", |i| group(i, "\u{2019}")), &thousands, "thousands separators"),
    ] {
        let table = load(&text, "y");
        assert_eq!(table.train, like.train, "{text}");
        assert!(table.notes.iter().any(|note| note.contains(words)), "no `{words}` in {:?}", table.notes);
        assert!(table.notes.iter().any(|note| note == "numbers: `x`, `z`"), "{:?}", table.notes);
    }
    let minus = |sign: &str| load(&written(',', ".5", |i| format!("{}{i}.25", if i % 3 == 0 { sign } else { "" })), "y").train;
    assert!(minus("-") == minus("\u{2212}") && minus("-") == minus("\u{2013}"));
    // The target, too.
    let target = load("x;y;split\n1;1.234.567,5;train\n2;2.345.678,5;train\n4;3.456.789,5;train\n", "y");
    assert_eq!(target.train.targets, [1_234_567.5, 2_345_678.5, 3_456_789.5]);
}

#[test]
fn numbers_that_may_be_others_stop_the_run() {
    let ambiguous = written(',', "", |i| format!("\"{},{:03}\"", i + 1, i * 7));
    refused(&ambiguous, "y", &["column `x`", "`1,000` in line 2 is 1 or 1000", "without thousands separators"]);
    refused("x,y\n1,\"1,234\"\n2,\"2,345\"\n", "y", &["column `y`", "`1,234` in line 2", "1.234 or 1234"]);
    // One value tells.
    assert_eq!(load("x,y\n1,\"1,234\"\n2,\"2,345,678\"\n", "y").train.targets, [1234.0, 2_345_678.0]);
    assert_eq!(load("x,y\n1,\"1,234\"\n2,\"2,5\"\n", "y").train.targets, [1.234, 2.5]);
    refused(
        &written(',', "", |i| if i % 2 == 0 { format!("{i}.5") } else { format!("\"{i},5\"") }),
        "y",
        &["column `x`", "several ways", "`0.5`"],
    );
    refused(&written(',', "", |i| if i % 2 == 0 { format!("{i}.5%") } else { format!("{i}.5") }), "y", &["column `x`", "several ways"]);
    refused(&written(',', "", |i| format!("{i}.5kg")), "y", &["column `x`", "cannot be read", ".5kg` in line", "remove the column"]);
    for huge in ["1e300", "1e999", "inf"] {
        refused(&format!("x,y\n1,2\n2,3\n3,4\n{}4,{huge}\n", "5,6\n".repeat(20)), "y", &["line 25", huge]);
        refused(&format!("y,x\n1,2\n2,3\n3,4\n{}4,{huge}\n", "5,6\n".repeat(20)), "y", &["line 25", huge]);
    }
}

#[test]
fn words_are_missing_among_numbers_and_categories_elsewhere() {
    let rows: String =
        (0..20).map(|i| format!("{},{},{}\n", [i.to_string(), "NA".into()][usize::from(i == 3)], ["none", "NA"][i % 2], i)).collect();
    let table = load(&format!("x,kind,y\n{rows}"), "y");
    assert_eq!(table.columns, ["x", "kind=NA", "kind=none"]);
    let said = |part: &str| assert!(table.notes.iter().any(|note| note.contains(part)), "no `{part}` in {:?}", table.notes);
    said("`x`: 1 missing values are taken as the training median, 10 (1 cells `NA` are taken as missing)");
    said("numbers: `x`; categories: `kind` (2)");
    let table = load("x,y\n1,2\n2,-\n3,--\n4,n/a\n5,?\n6,7\n9,8\n", "y");
    assert_eq!(table.train.targets, [2.0, 7.0, 8.0]);
    assert!(table.notes.iter().any(|note| note.contains("4 of 7 rows have no `y`") && note.contains("1 cells `--`")), "{:?}", table.notes);
}

#[test]
fn dates_are_named() {
    for form in ["2024-01-{:02}", "{:02}.01.2024", "1/{:02}/2024", "2024-01-{:02}T12:30:00Z", "{:02} Jan 2024", "12:{:02}"] {
        let rows: String = (0..20).map(|i| format!("{},{i},{i}\n", form.replace("{:02}", &format!("{:02}", i + 1)))).collect();
        let table = load(&format!("day,x,y\n{rows}"), "y");
        let left_out = "numbers: `x`; left out: column `day` is one of dates or times";
        assert!(table.columns == ["x"] && table.notes.iter().any(|note| note == left_out), "{form}: {:?}", table.notes);
    }
}

#[test]
fn other_files_are_read_in_the_same_way() {
    let rows: String = (0..20).map(|i| format!("{i},5;{};{i};train\n", ["a", "b"][i % 2])).collect();
    let table = load(&format!("x;kind;y;split\n{rows}"), "y");
    let text = serde_json::to_string(&table.encoding).expect("plain data");
    let encoding: wgraft::data::Encoding = serde_json::from_str(&text).expect("as it was written");
    assert_eq!(encoding, table.encoding);
    let (_dir, path) = file("Kind;X\na;0,5\nc;1,5\n");
    let mut notes = Vec::new();
    let read = encoding.read(&path, &mut notes).expect("it is sound");
    assert_eq!(read[..4], [table.train.features[0], 1.0, 0.0, table.train.features[3]]);
    assert_eq!(notes, ["`kind`: no training row has c; such rows are of no category"]);
    let (_dir, path) = file("kind;x\na;0.5\n");
    let error = format!("{:#}", encoding.read(&path, &mut notes).expect_err("another notation"));
    assert!(error.contains("line 2: `0.5` in column `x` is no number written like 4,5"), "{error}");
    // As it was recorded before there were notations.
    let old = r#"{"columns":[{"name":"x","kind":{"number":{"median":1.0,"scale":{"mean":1.0,"std":2.0}}}}]}"#;
    let old: wgraft::data::Encoding = serde_json::from_str(old).expect("it is known");
    let (_dir, path) = file("x\n3\n");
    assert_eq!(old.read(&path, &mut notes).expect("it is sound"), [1.0]);
}

#[test]
fn files_of_all_programs_are_read() {
    let text = "x,y,stadt,split\n1,2,\"Zürich, west\",train\n2,3,\"a \"\"b\"\"\",train\n\n3,4,\"two\nlines\",train\n";
    let plain = load(text, "y");
    assert_eq!(plain.columns, ["x", "stadt=Zürich, west", "stadt=a \"b\"", "stadt=two\nlines"]);
    let utf16 = |text: &str, to: fn(u16) -> [u8; 2]| format!("\u{feff}{text}").encode_utf16().flat_map(to).collect::<Vec<u8>>();
    for bytes in [
        format!("\u{feff}{text}").into_bytes(),
        text.replace('\n', "\r\n").into_bytes(),
        text.replace('\n', "\r").into_bytes(),
        utf16(text, u16::to_le_bytes),
        utf16(text, u16::to_be_bytes),
        format!("sep=,\n{text}").into_bytes(),
    ] {
        let (_dir, path) = file(&bytes);
        let table = Table::load(&path, &target("y")).unwrap_or_else(|e| panic!("{e:#}"));
        assert_eq!((&table.train, table.columns), (&plain.train, plain.columns.clone()));
    }
    for delimiter in [";", "\t", "|"] {
        let table = load(&"x,y,\"a, b\"\n1,2,3\n2,3,5\n".replace(",", delimiter).replace(&format!("a{delimiter}"), "a,"), "y");
        assert_eq!(table.columns, ["x", "a, b"]);
    }
    assert_eq!(load("sep=;\nx;y\n1;2\n2;3\n", "y").columns, ["x"]);
    assert_eq!(load("x,Price\n1,2\n2,3\n", "price").target, "Price");
}

#[test]
fn files_that_are_no_tables_are_named() {
    let said = |bytes: &[u8], parts: &[&str]| {
        let (_dir, path) = file(bytes);
        let error = format!("{:#}", Table::load(&path, &target("y")).map(|table| table.notes).expect_err("it is refused"));
        parts.iter().for_each(|part| assert!(error.contains(part), "no `{part}` in: {error}"));
    };
    said(b"x,y\n1,2\nZ\xfcrich,3\n", &["line 3 is not UTF-8", "save the file as UTF-8"]);
    said(b"x,y\n1,2\n\0,3\n", &["line 3 has a NUL byte"]);
    said(b"\xff\xfex\0,\0y", &["UTF-16", "cut off"]);
    said(b"x,y\n1,2\n\"2,3\n3,4\n", &["line 3 opens a quote that is never closed"]);
    said(b"sep=;\nx;y\n1;2\n1;2;3\n", &["line 4 has 3 cells"]);
    said(b"y\n1\n2\n", &["no column to predict from"]);
    said(b"3,1;2\n4,1;2\n", &["starts with numbers"]);
    said(b"5.1,3.5,setosa\n4.9,3.0,setosa\n", &["starts with numbers"]);
    said(b",\n1,2\n", &["no column has a name"]);
    said(b"\n \n", &["is empty"]);
    said(&b",".repeat(100_000), &["more than 65536 cells"]);
}

#[test]
fn no_bytes_make_a_panic() {
    let pieces: [&[u8]; 24] = [
        b",",
        b";",
        b"\t",
        b"|",
        b"\n",
        b"\r",
        b"\"",
        b"x",
        b"y",
        b"split",
        b"train",
        b"test",
        b"1",
        b"2.5",
        b"3,1",
        b"%",
        b"-",
        b"e9",
        b"sep=;",
        b"\xff\xfe",
        b"\xef\xbb\xbf",
        b"\xe2\x88\x92",
        b" ",
        b"\0",
    ];
    let (dir, path) = file("");
    let mut state = 1_u64;
    let mut next = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    let mut read = 0;
    for _ in 0..3000 {
        let mut bytes = if next(2) == 0 { b"x,y\n1,2\n".to_vec() } else { Vec::new() };
        (0..next(30)).for_each(|_| bytes.extend(pieces[next(pieces.len())]));
        fs::write(&path, bytes).expect("it is written");
        read += usize::from(Table::load(&path, &target("y")).is_ok());
    }
    assert!(read > 0, "some of {} are tables", dir.path().display());
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
    assert_eq!(Dataset::load(&path, &target("price")).expect("rows").train.kind(), SampleType::Row(3));
    fs::write(dir.path().join("a.png"), "").expect("it is written");
    let error = Table::load(dir.path(), &target("price")).expect_err("no table").to_string();
    assert!(error.contains("holds images or texts"), "{error}");
    let packed = common::files::gzipped(HOUSES.as_bytes());
    let path = dir.path().join("houses.csv.gz");
    fs::write(&path, &packed).expect("it is written");
    assert_eq!(Table::load(&path, &target("price")).expect("it is sound").train.len(), 4);
    fs::write(&path, &packed[..packed.len() / 2]).expect("it is written");
    let error = format!("{:#}", Table::load(&path, &target("price")).expect_err("cut off"));
    assert!(error.contains("cut off"), "{error}");
}

#[test]
fn what_may_be_thousands_or_money_or_missing_stops_the_run() {
    let rows = |cell: &dyn Fn(usize) -> String| format!("v;y\n{}", (0..40).map(|i| format!("{};{i}\n", cell(i))).collect::<String>());
    refused(
        &rows(&|i| if i % 2 == 0 { format!("{}.{:03}", i + 1, 7 * i) } else { (500 + i).to_string() }),
        "y",
        &["nothing in the file tells which: `1.000` in line 2 is 1 or 1000"],
    );
    load(&rows(&|i| format!("0.{:03}", 7 * i + 100)), "y");
    refused(
        &rows(&|i| if i % 4 == 0 { "not measured".into() } else { format!("{i}.5") }),
        "y",
        &["column `v` has numbers, but for `not measured`"],
    );
    refused(&rows(&|i| format!("USD {i}.50")), "y", &["seems to be one of numbers", ".50` in line"]);
    assert_eq!(load(&rows(&|i| ["1", "2", "unknown"][i % 3].into()), "y").columns, ["v=1", "v=2", "v=unknown"]);
}

#[test]
fn a_column_of_parts_is_the_split_whatever_it_is_called() {
    let rows: String = (0..10).map(|i| format!("{i},{},{}\n", ["Training", "test"][i / 8], 2 * i)).collect();
    let table = load(&format!("x,Usage,y\n{rows}"), "y");
    assert_eq!((table.train.len(), table.columns), (8, vec!["x".to_string()]));
    assert!(table.notes.iter().any(|note| note.contains("column `Usage` says which rows")), "{:?}", table.notes);
}

#[test]
fn rows_that_were_trained_on_are_said_and_columns_are_not_confused() {
    let rows: String = (0..20).map(|i| format!("{},{}\n", i % 4, i % 4 * 3)).collect();
    let data = Dataset::load(&file(format!("x,y\n{rows}")).1, &target("y")).expect("it is sound");
    assert!(data.notes.iter().any(|note| note.contains("4 of 4 test rows are equal to training rows")), "{:?}", data.notes);
    // Two columns that differ in capitals.
    let rows: String = (0..10).map(|i| format!("{i},{},{i}\n", 10 - i)).collect();
    let table = load(&format!("X,x,y\n{rows}"), "y");
    let (_dir, path) = file("x\n1\n");
    let error = table.encoding.read(&path, &mut Vec::new()).expect_err("`X` is missing");
    assert!(format!("{error:#}").contains("no column `X`"), "{error:#}");
    let table = load("X,y\n1,2\n2,4\n3,5\n4,9\n5,11\n", "y");
    assert!(table.encoding.read(&path, &mut Vec::new()).is_ok(), "in other capitals it is the same column");
}
