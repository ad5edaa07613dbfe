//! CIFAR-10's binary format: records of a label byte, then a square image as a red, a green and a blue plane.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use super::{Dataset, Split, source};
use crate::kernels::augment::Image;

/// Sides that are thought of where several fit; CIFAR's own first.
const LARGEST_SIDE: usize = 256;
/// The most classes where no names tell how many.
const MOST_CLASSES: usize = 100;

/// Files for training and for testing, in order of names.
fn files(dir: &Path) -> Result<(Vec<PathBuf>, Vec<PathBuf>)> {
    let (mut train, mut test) = (Vec::new(), Vec::new());
    for entry in std::fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))? {
        let path = entry?.path();
        let name = path.file_name().map_or(String::new(), |name| name.to_string_lossy().to_ascii_lowercase());
        let binary = path.is_file() && (name.ends_with(".bin") || name.ends_with(".bin.gz"));
        match () {
            () if !binary || name.starts_with('.') => {}
            () if name.starts_with("data_batch") || name.contains("train") => train.push(path),
            () if name.starts_with("test") => test.push(path),
            () => {}
        }
    }
    train.sort();
    test.sort();
    Ok((train, test))
}

/// Whether a folder holds what [`folder`] reads.
pub(super) fn is_in(dir: &Path) -> bool {
    files(dir).is_ok_and(|(train, test)| !train.is_empty() || !test.is_empty())
}

/// A folder with `data_batch*` or `*train*` and perhaps `test*`, `.bin` or `.bin.gz`, and perhaps class names, one a line, in
/// `batches.meta.txt`.
pub(super) fn folder(dir: &Path) -> Result<Dataset> {
    let (train, test) = files(dir)?;
    ensure!(!train.is_empty(), "{} holds test records, but none to train on (data_batch*.bin)", dir.display());
    let meta = dir.join("batches.meta.txt");
    let names: Vec<String> = match std::fs::read_to_string(&meta) {
        Ok(text) => text.lines().map(str::trim).filter(|line| !line.is_empty()).map(String::from).collect(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(error) => bail!("cannot read {}: {error}", meta.display()),
    };
    let read = |paths: Vec<PathBuf>| paths.into_iter().map(|path| Ok((source::read(&path)?, path))).collect::<Result<Vec<_>>>();
    let (train, test) = (read(train)?, read(test)?);
    let all: Vec<&(Vec<u8>, PathBuf)> = train.iter().chain(&test).collect();
    let side = side(&all, if names.is_empty() { MOST_CLASSES } else { names.len() })?;
    let test = Some(split(&test, side)).filter(|test| !test.is_empty());
    let mut data = Dataset::new(source::name_of(dir), split(&train, side), test).with_context(|| dir.display().to_string())?;
    if !names.is_empty() {
        (data.classes, data.class_names) = (names.len() as u32, names);
    }
    Ok(data)
}

/// The side of the images: records of this length fill every file, and begin with a label.
fn side(files: &[&(Vec<u8>, PathBuf)], classes: usize) -> Result<usize> {
    let fills = |side: usize| files.iter().find(|(bytes, _)| bytes.is_empty() || bytes.len() % (1 + 3 * side * side) != 0);
    let labelled =
        |side: usize| files.iter().all(|(bytes, _)| bytes.chunks(1 + 3 * side * side).all(|record| (record[0] as usize) < classes));
    let fitting: Vec<usize> = (1..=LARGEST_SIDE).filter(|&side| fills(side).is_none() && labelled(side)).collect();
    match fitting.as_slice() {
        [one] => Ok(*one),
        several if several.contains(&32) => Ok(32),
        [] => match fills(32) {
            Some((bytes, path)) => bail!(
                "{} has {} bytes, which are no whole number of records (3073 bytes for 32x32 images): is it cut off?",
                path.display(),
                bytes.len()
            ),
            None => bail!("{} has labels above {}, the last of its classes", files[0].1.display(), classes - 1),
        },
        several => bail!("{} may hold images of sides {several:?}", files[0].1.display()),
    }
}

fn split(files: &[(Vec<u8>, PathBuf)], side: usize) -> Split {
    let plane = side * side;
    let records = || files.iter().flat_map(|(bytes, _)| bytes.chunks_exact(1 + 3 * plane));
    let pixels = |record: &'_ [u8]| -> Vec<u8> {
        (0..plane).flat_map(|i| [record[1 + i], record[1 + plane + i], record[1 + 2 * plane + i]]).collect()
    };
    let image = Image { height: side as u32, width: side as u32, channels: 3 };
    let labels = records().map(|record| u32::from(record[0])).collect();
    Split { labels: Some(labels), ..Split::unlabelled(records().flat_map(pixels).collect(), image) }
}
