//! CSV files with an image in each row: perhaps a column `label`, then `pixel0`, `pixel1` ... or `1x1`, `1x2` ..., as MNIST is
//! published in many places.

use std::io::{BufRead, BufReader, Read};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use flate2::read::MultiGzDecoder;

use super::split::Part;
use super::{Dataset, Split, source};
use crate::kernels::augment::Image;

const LABEL: &str = "label";
/// Bytes of a first line that is looked at: names of 65,536 pixels.
const LONGEST: u64 = 1 << 20;

/// Whether these columns are the pixels of a square, in order; with or without a label before them. Returns the side.
fn side(columns: &[&str]) -> Option<(bool, u32)> {
    let labelled = columns.first().is_some_and(|column| column.eq_ignore_ascii_case(LABEL) || column.eq_ignore_ascii_case("class"));
    let pixels = &columns[usize::from(labelled)..];
    let side = (pixels.len() as f64).sqrt().round() as usize;
    let numbered =
        |from: usize| pixels.iter().zip(from..).all(|(name, i)| name.strip_prefix("pixel").is_some_and(|rest| rest == i.to_string()));
    let placed = |from: usize| (0..side * side).all(|i| pixels[i] == format!("{}x{}", i / side + from, i % side + from));
    let square = side > 1 && side * side == pixels.len();
    (square && (numbered(0) || numbered(1) || placed(1) || placed(0))).then_some((labelled, side as u32))
}

fn split_line(line: &str) -> Vec<&str> {
    line.trim_start_matches('\u{feff}').trim_end().split(',').map(|cell| cell.trim().trim_matches('"')).collect()
}

/// Whether a file begins with the names of pixels.
pub(super) fn is(path: &Path) -> bool {
    let first_line = || -> Option<String> {
        let mut reader = BufReader::new(std::fs::File::open(path).ok()?);
        let gzipped = reader.fill_buf().ok()?.starts_with(&source::GZIP);
        let reader: Box<dyn Read> = if gzipped { Box::new(MultiGzDecoder::new(reader)) } else { Box::new(reader) };
        let mut line = String::new();
        BufReader::new(reader.take(LONGEST)).read_line(&mut line).ok()?;
        Some(line)
    };
    first_line().is_some_and(|line| side(&split_line(&line)).is_some())
}

/// The tables in a folder, by name; those of pixels that are named after a part, with that.
fn tables(folder: &Path) -> Vec<(PathBuf, Option<Part>)> {
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let part = |path: PathBuf| {
        let name = path.file_name()?.to_string_lossy().to_lowercase();
        let stem = name.strip_suffix(".gz").unwrap_or(&name).strip_suffix(".csv").filter(|stem| !stem.starts_with('.'))?;
        let part = stem.split(|c: char| !c.is_alphanumeric()).find_map(Part::named).filter(|_| is(&path));
        Some((path, part))
    };
    let mut found: Vec<_> = files.filter_map(part).collect();
    found.sort();
    found
}

/// Whether a folder holds a training table of pixels.
pub(super) fn is_in(folder: &Path) -> bool {
    tables(folder).iter().any(|(_, part)| *part == Some(Part::Train))
}

/// A table, or those of a folder for training and for testing. A test table without labels tests nothing. Without a test table,
/// rows are divided [by index](Split::by_index).
pub(super) fn read(path: &Path) -> Result<Dataset> {
    let name = source::name_of(path);
    let whole = |path: &Path| table(path).with_context(|| path.display().to_string());
    let mut notes = Vec::new();
    let mut of_part: BTreeMap<Part, (PathBuf, Split)> = BTreeMap::new();
    if path.is_dir() {
        for (file, part) in tables(path) {
            let Some(part) = part else {
                notes.push(format!("{} is left out: it is no table of pixels, or its name does not say what for", source::name_of(&file)));
                continue;
            };
            let split = whole(&file)?;
            if part != Part::Train && split.labels.is_none() {
                notes.push(format!("{} is left out: it has no labels to test by", source::name_of(&file)));
            } else if let Some((other, _)) = of_part.insert(part, (file.clone(), split)) {
                let names = [&other, &file].map(|file| source::name_of(file));
                bail!("{} holds two tables of {part} images, {}: put those of one set into a folder of its own", path.display(), names.join(" and "));
            }
        }
    } else {
        of_part.insert(Part::Train, (path.to_path_buf(), whole(path)?));
    }
    let mut take = |part| of_part.remove(&part).map(|(_, split)| split);
    let (train, test, val) = (take(Part::Train).context("a table for training was found")?, take(Part::Test), take(Part::Val));
    if let Some(val) = &val {
        notes.extend(Part::settle(&mut [vec![Part::Val; val.len() as usize], vec![Part::Test; usize::from(test.is_some())]].concat()));
    }
    let (train, test) = match test.or(val) {
        Some(test) => (train, Some(test)),
        None => {
            notes.push(Part::rule("row", train.len() as usize));
            train.by_index()
        }
    };
    let mut data = Dataset::new(name, train, test)?;
    data.notes = notes;
    data.number_classes(&BTreeMap::new());
    Ok(data)
}

fn table(path: &Path) -> Result<Split> {
    let bytes = source::read(path)?;
    let text = std::str::from_utf8(&bytes).ok().context("is not UTF-8 text: save it as UTF-8")?;
    let mut lines = text.lines().enumerate();
    let header = split_line(lines.next().context("is empty")?.1);
    let (labelled, side) = side(&header).context("does not begin with the names of pixels")?;
    let (mut images, mut labels) = (Vec::new(), Vec::new());
    for (line, text) in lines.filter(|(_, text)| !text.trim().is_empty()) {
        let cells = split_line(text);
        ensure!(cells.len() == header.len(), "line {} has {} cells, the header has {} columns", line + 1, cells.len(), header.len());
        for (cell, column) in cells.iter().zip(&header).skip(usize::from(labelled)) {
            match cell.parse::<u8>() {
                Ok(value) => images.push(value),
                Err(_) => bail!("line {}: `{cell}` in column `{column}` is no pixel, which are whole numbers from 0 to 255", line + 1),
            }
        }
        if labelled {
            let label = cells[0].parse::<u32>().ok().filter(|&label| label < 1 << 16);
            labels.push(label.with_context(|| format!("line {}: `{}` is no class, which are whole numbers", line + 1, cells[0]))?);
        }
    }
    let image = Image { height: side, width: side, channels: 1 };
    Ok(Split { labels: labelled.then_some(labels), ..Split::unlabelled(images, image) })
}
