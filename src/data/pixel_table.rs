//! CSV files with an image in each row: a column `label`, perhaps, and `pixel0`, `pixel1` ... or `1x1`, `1x2` ..., as MNIST and its
//! kin are published in many places.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

use super::reader::{Reader, finished};
use super::split::Part;
use super::tree::{self, Entry, Tree};
use super::{Dataset, ReadOptions, Samples, Split, Truth};
use crate::core::sample::Image;

/// Names of the column with the class.
const LABELS: [&str; 4] = ["label", "class", "y", "target"];
/// Names of columns that say nothing.
const INDICES: [&str; 5] = ["", "id", "index", "idx", "unnamed: 0"];
/// Bytes of a first line that is looked at: names of 65,536 pixels.
const LONGEST: u64 = 1 << 20;

/// What the columns are.
struct Columns<'a> {
    names: Vec<&'a str>,
    separator: char,
    label: Option<usize>,
    /// Of the pixels line by line, channels innermost.
    pixels: Vec<usize>,
    image: Image,
}

impl<'a> Columns<'a> {
    /// `None` if they are not a label and the pixels of a square, grey or in colour, in order.
    fn of(header: &'a str) -> Option<Self> {
        [',', ';', '\t'].into_iter().find_map(|separator| Self::separated(header, separator))
    }

    fn separated(header: &'a str, separator: char) -> Option<Self> {
        let names: Vec<&str> = cells(header.trim_start_matches('\u{feff}'), separator).collect();
        let among = |known: &[&str], name: &str| known.iter().any(|known| known.eq_ignore_ascii_case(name));
        let label = names.iter().position(|name| among(&LABELS, name));
        let says_nothing = |&at: &usize| Some(at) == label || among(&INDICES, names[at]);
        let pixels: Vec<usize> = (0..names.len()).filter(|at| !says_nothing(at)).collect();
        let count = pixels.len();
        let root = |count: usize| Some((count as f64).sqrt().round() as usize).filter(|side| side * side == count && *side > 1);
        let (side, channels) = root(count)
            .map(|side| (side, 1))
            .or_else(|| count.is_multiple_of(3).then(|| root(count / 3)).flatten().map(|side| (side, 3)))?;
        let number = |name: &str| {
            let digits = ["pixel", "pix", "px"].iter().find_map(|word| name.strip_prefix(word)).or(label.map(|_| name))?;
            digits.trim_start_matches(['_', ' ']).parse::<usize>().ok()
        };
        let numbered = |from: usize| pixels.iter().zip(from..).all(|(&at, i)| number(names[at]) == Some(i));
        let placed = |from: usize| {
            channels == 1 && pixels.iter().enumerate().all(|(i, &at)| names[at] == format!("{}x{}", i / side + from, i % side + from))
        };
        let image = Image { height: side as u32, width: side as u32, channels };
        (numbered(0) || numbered(1) || placed(1) || placed(0)).then_some(Columns { names, separator, label, pixels, image })
    }
}

fn cells(line: &str, separator: char) -> impl Iterator<Item = &str> {
    line.trim_end_matches(['\r', '\n']).split(separator).map(|cell| cell.trim().trim_matches('"'))
}

/// Whether a file begins with the names of pixels.
pub(super) fn begins(reader: impl Read) -> bool {
    let mut line = String::new();
    BufReader::new(reader.take(LONGEST)).read_line(&mut line).is_ok() && Columns::of(&line).is_some()
}

/// Whether a file is such a table.
pub(super) fn is(path: &Path) -> bool {
    std::fs::File::open(path).is_ok_and(|file| begins(tree::unpacking(file)))
}

/// The tables of pixels at the top of a tree that are named after a part.
fn tables(tree: &Tree) -> Vec<(&Entry, Part)> {
    let part = |entry: &Entry| {
        let name = entry.file_name().to_lowercase();
        let stem = name.strip_suffix(".gz").unwrap_or(&name).strip_suffix(".csv")?;
        let part = stem.split(|c: char| !c.is_alphanumeric()).find_map(Part::named)?;
        entry.reader().is_ok_and(begins).then_some(part)
    };
    tree.files.iter().filter_map(|entry| Some((entry, part(entry)?))).collect()
}

pub(super) static READER: PixelTable = PixelTable;

pub(super) struct PixelTable;

impl Reader for PixelTable {
    fn name(&self) -> &'static str {
        "a table of pixels"
    }

    fn help(&self) -> &'static str {
        "A CSV file with an image in each row, a pixel in each column, and perhaps a label; or train.csv and test.csv of that kind."
    }

    fn is_of_files(&self) -> bool {
        true
    }

    fn is_in(&self, tree: &Tree) -> bool {
        is(&tree.root) || tables(tree).iter().any(|(_, part)| *part == Part::Train)
    }

    fn read(&self, tree: &Tree, options: &ReadOptions) -> Result<Dataset> {
        if is(&tree.root) {
            return read(&tree.root)?.conform(options);
        }
        let (data, taken) = of_tree(tree)?;
        finished(tree, data, &taken, options)
    }
}

/// Tables for training and for testing. Returns the files that are read, too. A test table without labels tests nothing. Without a
/// test table, rows are [divided](Split::divide).
fn of_tree(tree: &Tree) -> Result<(Dataset, Vec<&Entry>)> {
    let root = tree.root.display();
    let mut of_part: BTreeMap<Part, (&Entry, Split)> = BTreeMap::new();
    let mut notes = Vec::new();
    for (entry, part) in tables(tree) {
        let split = table(&entry.unpacked()?).with_context(|| entry.name.clone())?;
        if part != Part::Train && split.truth.labels.is_none() {
            notes.push(format!("{} has no labels to test by", entry.name));
        } else if let Some((other, _)) = of_part.insert(part, (entry, split)) {
            bail!(
                "{root} holds two tables of {part} images, {} and {}: put those of one set into a folder of its own",
                other.name,
                entry.name
            );
        }
    }
    let taken = of_part.values().map(|(entry, _)| *entry).collect();
    let mut take = |part| of_part.remove(&part).map(|(_, split)| split);
    let (train, test, val) = (take(Part::Train).context("there is a table for training")?, take(Part::Test), take(Part::Val));
    if let Some(val) = &val {
        notes.extend(Part::settle(&mut [vec![Part::Val; val.len() as usize], vec![Part::Test; usize::from(test.is_some())]].concat()));
    }
    Ok((data(tree::name_of(&tree.root), train, test.or(val), notes).with_context(|| root.to_string())?, taken))
}

/// One table, whose rows are [divided](Split::divide).
fn read(path: &Path) -> Result<Dataset> {
    let train = table(&tree::read(path)?).with_context(|| path.display().to_string())?;
    data(tree::name_of(path), train, None, Vec::new())
}

fn data(name: String, train: Split, test: Option<Split>, mut notes: Vec<String>) -> Result<Dataset> {
    let (train, test) = match test {
        Some(test) => (train, Some(test)),
        None => {
            let (train, test, note) = train.divide("row");
            notes.push(note);
            (train, test)
        }
    };
    let mut data = Dataset::new(name, train, test)?;
    data.notes = notes;
    data.number_classes(&BTreeMap::new());
    Ok(data)
}

fn table(bytes: &[u8]) -> Result<Split> {
    let text = std::str::from_utf8(bytes).ok().context("is not UTF-8 text: save it as UTF-8")?;
    let mut lines = text.lines().enumerate();
    let columns = Columns::of(lines.next().context("is empty")?.1).context("does not begin with the names of pixels")?;
    let (mut images, mut labels) = (Vec::new(), Vec::new());
    for (line, text) in lines.filter(|(_, text)| !text.trim().is_empty()) {
        let cells: Vec<&str> = cells(text, columns.separator).collect();
        ensure!(
            cells.len() == columns.names.len(),
            "line {} has {} cells, the header has {} columns",
            line + 1,
            cells.len(),
            columns.names.len()
        );
        for &at in &columns.pixels {
            match cells[at].parse::<u8>() {
                Ok(value) => images.push(value),
                Err(_) => bail!(
                    "line {}: `{}` in column `{}` is no pixel, which are whole numbers from 0 to 255",
                    line + 1,
                    cells[at],
                    columns.names[at]
                ),
            }
        }
        if let Some(at) = columns.label {
            let label = cells[at].parse::<u32>().ok().filter(|&label| label < 1 << 16);
            labels.push(label.with_context(|| format!("line {}: `{}` is no class, which are whole numbers", line + 1, cells[at]))?);
        }
    }
    let truth = Truth { labels: columns.label.map(|_| labels), ..Truth::default() };
    Ok(Split::new(Samples::images(images, columns.image), truth))
}
