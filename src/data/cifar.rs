//! The binary formats of CIFAR-10 and CIFAR-100: records of a label byte or two, then a square image as a red, a green and a blue
//! plane.

use std::collections::BTreeSet;

use anyhow::{Context, Result, bail, ensure};

use super::reader::{Reader, finished};
use super::tree::{self, Entry, Tree};
use super::{Dataset, ReadOptions, Samples, Split, Truth};
use crate::core::sample::Image;

/// Sides that are thought of where several fit; CIFAR's own first.
const LARGEST_SIDE: usize = 256;
/// The most classes where no names tell how many.
const MOST_CLASSES: usize = 100;
/// Bytes of a CIFAR-100 record before its image: a group of classes, then the class.
const FINE_LABELS: usize = 2;
const FINE_NAMES: &str = "fine_label_names.txt";
const NAMES: &str = "batches.meta.txt";

/// Files for training and for testing, in order of names: those that are called as CIFAR's are, plain or `.gz`.
fn files(tree: &Tree) -> (Vec<&Entry>, Vec<&Entry>) {
    let (mut train, mut test) = (Vec::new(), Vec::new());
    let mut stems = BTreeSet::new();
    for entry in &tree.files {
        let name = entry.file_name().to_ascii_lowercase();
        let Some(stem) = name.strip_suffix(".gz").unwrap_or(&name).strip_suffix(".bin") else { continue };
        // Of copies the first one counts.
        if !stems.insert(stem.to_string()) {
            continue;
        }
        let numbered = stem.strip_prefix("data_batch_").is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit()));
        match stem {
            "data_batch" | "train_batch" | "train" => train.push(entry),
            _ if numbered => train.push(entry),
            "test_batch" | "test" => test.push(entry),
            _ => {}
        }
    }
    (train, test)
}

pub(super) static READER: Cifar = Cifar;

pub(super) struct Cifar;

impl Reader for Cifar {
    fn name(&self) -> &'static str {
        "CIFAR's binary files"
    }

    fn help(&self) -> &'static str {
        "CIFAR-10's and CIFAR-100's binary files, plain or .gz, and files of their kind with images of other sides."
    }

    fn is_in(&self, tree: &Tree) -> bool {
        let (train, test) = files(tree);
        !train.is_empty() || !test.is_empty()
    }

    fn read(&self, tree: &Tree, options: &ReadOptions) -> Result<Dataset> {
        let (data, taken) = read(tree)?;
        finished(tree, data, &taken, options)
    }
}

/// `data_batch_1` and so on, or `train_batch`, or CIFAR-100's `train`, and perhaps `test_batch` or `test`, and perhaps class names,
/// one a line, in `batches.meta.txt` or `fine_label_names.txt`. Returns the files that are read, too.
fn read(tree: &Tree) -> Result<(Dataset, Vec<&Entry>)> {
    let (train, test) = files(tree);
    let root = tree.root.display();
    ensure!(!train.is_empty(), "{root} holds test records, but none to train on (data_batch_1.bin)");
    let called = |wanted: &str| tree.files.iter().find(|entry| entry.file_name() == wanted);
    let fine = called(FINE_NAMES);
    let meta = fine.or_else(|| called(NAMES));
    let names = match meta {
        None => Vec::new(),
        Some(meta) => {
            let text = String::from_utf8(meta.unpacked()?).with_context(|| format!("{} in {root} is no text", meta.name))?;
            text.lines().map(str::trim).filter(|line| !line.is_empty()).map(String::from).collect()
        }
    };
    let taken = train.iter().chain(&test).copied().chain(meta).collect();
    let unpack =
        |entries: Vec<&Entry>| entries.into_iter().map(|entry| Ok((entry.unpacked()?, entry.name.clone()))).collect::<Result<Vec<_>>>();
    let (train, test) = (unpack(train)?, unpack(test)?);
    let all: Vec<&RecordFile> = train.iter().chain(&test).collect();
    let (labels, side) = shape(&all, if names.is_empty() { MOST_CLASSES } else { names.len() }, fine.is_some())?;
    let test = Some(split(&test, labels, side)).filter(|test| !test.is_empty());
    let mut data = Dataset::new(tree::name_of(&tree.root), split(&train, labels, side), test).with_context(|| root.to_string())?;
    if !names.is_empty() {
        (data.classes, data.class_names) = (names.len() as u32, names);
    }
    Ok((data, taken))
}

/// Contents of a file and its name.
type RecordFile = (Vec<u8>, String);

/// Label bytes and side of the images of the records: such as fill every file, and begin with a label.
fn shape(files: &[&RecordFile], classes: usize, fine: bool) -> Result<(usize, usize)> {
    let hundred = FINE_LABELS + 3 * 32 * 32;
    let filled = |length: usize| files.iter().all(|(bytes, _)| !bytes.is_empty() && bytes.len() % length == 0);
    if fine || (filled(hundred) && !filled(hundred - 1)) {
        let odd = files.iter().find(|(bytes, _)| bytes.is_empty() || bytes.len() % hundred != 0);
        let odd = odd.map_or(("", 0), |(bytes, name)| (name.as_str(), bytes.len()));
        ensure!(
            odd.0.is_empty(),
            "{} has {} bytes, which are no whole number of CIFAR-100's records ({hundred} bytes): is it cut off?",
            odd.0,
            odd.1
        );
        let beyond = files.iter().find(|(bytes, _)| bytes.chunks(hundred).any(|record| record[FINE_LABELS - 1] as usize >= classes));
        ensure!(beyond.is_none(), "{} has labels above {}, the last of its classes", beyond.map_or("", |(_, name)| name), classes - 1);
        return Ok((FINE_LABELS, 32));
    }
    Ok((1, side(files, classes)?))
}

/// The side of the images: records of this length fill every file, and begin with a label.
fn side(files: &[&RecordFile], classes: usize) -> Result<usize> {
    let fills = |side: usize| files.iter().find(|(bytes, _)| bytes.is_empty() || bytes.len() % (1 + 3 * side * side) != 0);
    let labelled =
        |side: usize| files.iter().all(|(bytes, _)| bytes.chunks(1 + 3 * side * side).all(|record| (record[0] as usize) < classes));
    let fitting: Vec<usize> = (1..=LARGEST_SIDE).filter(|&side| fills(side).is_none() && labelled(side)).collect();
    match fitting.as_slice() {
        [one] => Ok(*one),
        several if several.contains(&32) => Ok(32),
        [] => match fills(32) {
            Some((bytes, name)) => bail!(
                "{} has {} bytes, which are no whole number of records (3073 bytes for 32x32 images): is it cut off?",
                name,
                bytes.len()
            ),
            None => bail!("{} has labels above {}, the last of its classes", files[0].1, classes - 1),
        },
        several => bail!("{} may hold images of sides {several:?}", files[0].1),
    }
}

/// Images with the last of their label bytes.
fn split(files: &[RecordFile], labels: usize, side: usize) -> Split {
    let plane = side * side;
    let records = || files.iter().flat_map(|(bytes, _)| bytes.chunks_exact(labels + 3 * plane));
    let pixels = |record: &'_ [u8]| -> Vec<u8> {
        let image = &record[labels..];
        (0..plane).flat_map(|i| [image[i], image[plane + i], image[2 * plane + i]]).collect()
    };
    let image = Image { height: side as u32, width: side as u32, channels: 3 };
    let classes = records().map(|record| u32::from(record[labels - 1])).collect();
    Split::new(Samples::images(records().flat_map(pixels).collect(), image), Truth::labels(classes))
}
