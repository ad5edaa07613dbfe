//! IDX, the format of MNIST and its kin: two zero bytes, element type, number of dimensions, sizes as big-endian u32, then the
//! elements.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail, ensure};

use super::names::some_of;
use super::reader::{Reader, finished};
use super::split::Part;
use super::tree::{self, Entry, Tree};
use super::{Dataset, ReadOptions, Samples, Split, Truth};
use crate::core::sample::Image;

/// Ends of the names of images and labels; some copies have dots for hyphens.
const KINDS: [&str; 2] = ["images-idx3-ubyte", "labels-idx1-ubyte"];
/// EMNIST's images are stored column by column.
const TRANSPOSED: &str = "emnist";

pub(super) enum Source<'a> {
    File(&'a Entry),
    /// With a name for errors.
    Bytes(&'static [u8], &'static str),
}

/// Files by the data set and the part that they are named after: images, labels.
type Pairs<'a> = BTreeMap<(String, Part), [Option<&'a Entry>; 2]>;

/// The files that are named as MNIST's, in folders of any name.
fn pairs<'a>(tree: &'a Tree) -> Pairs<'a> {
    let mut found: BTreeMap<(String, Part), [Vec<&'a Entry>; 2]> = BTreeMap::new();
    for entry in &tree.files {
        let name = entry.file_name().to_lowercase().replace('.', "-");
        let name = name.strip_suffix("-gz").unwrap_or(&name);
        let Some((kind, prefix)) = (0..2).find_map(|kind| Some((kind, name.strip_suffix(KINDS[kind])?))) else { continue };
        let words: Vec<&str> = prefix.split('-').filter(|word| !word.is_empty()).collect();
        let (part, set) = match words.split_last() {
            Some((&"train", set)) => (Part::Train, set),
            Some((&("t10k" | "test"), set)) => (Part::Test, set),
            _ => (Part::Val, &words[..]),
        };
        found.entry((set.join("-"), part)).or_default()[kind].push(entry);
    }
    // Those of one folder belong together; of copies the first ones count.
    let folder = |entry: &Entry| entry.name.rsplit_once('/').map_or(String::new(), |(folder, _)| folder.to_string());
    let pair = |[images, labels]: [Vec<&'a Entry>; 2]| {
        let beside = |image: &&&'a Entry| labels.iter().find(|label| folder(label) == folder(image)).map(|label| (**image, *label));
        match images.iter().find_map(|image| beside(&image)) {
            Some((image, label)) => [Some(image), Some(label)],
            None => [images.first().copied(), labels.first().copied()],
        }
    };
    found.into_iter().map(|(key, files)| (key, pair(files))).collect()
}

pub(super) static READER: Idx = Idx;

pub(super) struct Idx;

impl Reader for Idx {
    fn name(&self) -> &'static str {
        "MNIST's files"
    }

    fn help(&self) -> &'static str {
        "IDX files of images and labels, plain or .gz, as MNIST, Fashion-MNIST and EMNIST are published."
    }

    fn is_in(&self, tree: &Tree) -> bool {
        !pairs(tree).is_empty()
    }

    fn read(&self, tree: &Tree, options: &ReadOptions) -> Result<Dataset> {
        let (data, taken) = read(tree)?;
        finished(tree, data, &taken, options)
    }
}

/// Files named as MNIST's or EMNIST's, plain or `.gz`. Training labels and the test pair may be missing. Without `train-`, `test-`
/// or `t10k-` in their names there is one pair, which is [divided](Split::divide). Returns the files that are read, too.
fn read(tree: &Tree) -> Result<(Dataset, Vec<&Entry>)> {
    let (pairs, path) = (pairs(tree), tree.root.display());
    let sets: Vec<&String> = pairs.keys().map(|(set, _)| set).collect::<BTreeSet<_>>().into_iter().collect();
    ensure!(sets.len() < 2, "{path} holds several sets ({}): put the files of one into a folder of its own", some_of(&sets));
    let set = sets[0].clone();
    let mut taken = Vec::new();
    let mut pair = |part: Part| -> Result<Option<Split>> {
        let [images, labels] = pairs.get(&(set.clone(), part)).copied().unwrap_or_default();
        taken.extend([images, labels].into_iter().flatten());
        match (images, labels) {
            (None, None) => Ok(None),
            (None, Some(labels)) => bail!("{} in {path} has no images beside it ({})", labels.name, KINDS[0]),
            (Some(images), labels) => Ok(Some(split(Source::File(images), labels.map(Source::File))?)),
        }
    };
    let name = tree::name_of(&tree.root);
    let mut notes = Vec::new();
    let (train, test) = match (pair(Part::Train)?, pair(Part::Test)?) {
        (Some(train), test) => (train, test),
        (None, None) => {
            // There is a pair, or there would be no set.
            let both = pair(Part::Val)?.context("neither images nor labels")?;
            let (train, test, note) = both.divide("image");
            notes.push(note);
            (train, test)
        }
        (None, Some(_)) => bail!("{path} holds no train-{}, plain or .gz", KINDS[0]),
    };
    let lying = set.starts_with(TRANSPOSED);
    let upright = |split: Split| Split { samples: if lying { transposed(split.samples) } else { split.samples }, ..split };
    if lying {
        notes.push("EMNIST's images are stored lying: they are set upright".into());
    }
    let mut data = Dataset::new(name, upright(train), test.map(upright)).with_context(|| path.to_string())?;
    data.notes = notes;
    let mapping = tree.files.iter().find(|entry| entry.file_name() == format!("{set}-mapping.txt"));
    taken.extend(mapping);
    let named = mapping.map(characters).transpose()?.unwrap_or_default();
    data.number_classes(&named);
    Ok((data, taken))
}

/// EMNIST's list of the character that each label stands for: lines of a label and its codes.
fn characters(mapping: &Entry) -> Result<BTreeMap<u32, String>> {
    let text = String::from_utf8(mapping.unpacked()?).with_context(|| format!("{} is no text", mapping.name))?;
    let line = |line: &str| {
        let mut numbers = line.split_whitespace().map_while(|word| word.parse::<u32>().ok());
        let label = numbers.next()?;
        Some((label, numbers.filter_map(char::from_u32).collect::<String>())).filter(|(_, text)| !text.is_empty())
    };
    Ok(text.lines().filter_map(line).collect())
}

/// Images with rows and columns exchanged.
fn transposed(samples: Samples) -> Samples {
    let Samples::Images { pixels, image: Image { height, width, channels } } = samples else { return samples };
    let (lines, columns) = (height as usize, width as usize);
    let turn = |image: &[u8]| (0..columns).flat_map(|x| (0..lines).map(move |y| y * columns + x)).map(|at| image[at]).collect::<Vec<_>>();
    Samples::images(pixels.iter().flat_map(turn).collect(), Image { height: width, width: height, channels })
}

/// Images with the labels that belong to them.
pub(super) fn split(images: Source<'_>, labels: Option<Source<'_>>) -> Result<Split> {
    let (image_name, bytes) = contents(images)?;
    let ([count, height, width], pixels) = parse(&bytes, "images").with_context(|| image_name.clone())?;
    let image = Image { height, width, channels: 1 };
    ensure!(
        [height, width].iter().all(|side| (1..=super::MOST_SIDE).contains(side)),
        "{image_name}: images of {height}x{width} pixels; sides may be 1 to {}",
        super::MOST_SIDE
    );
    let labels = match labels {
        None => None,
        Some(labels) => {
            let (label_name, bytes) = contents(labels)?;
            let ([label_count], labels) = parse(&bytes, "labels").with_context(|| label_name.clone())?;
            ensure!(
                label_count == count,
                "{image_name} holds {count} images, but {label_name} {label_count} labels: they do not belong together"
            );
            Some(labels.iter().map(|&label| u32::from(label)).collect())
        }
    };
    Ok(Split::new(Samples::images(pixels.to_vec(), image), Truth { labels, ..Truth::default() }))
}

fn contents(source: Source<'_>) -> Result<(String, Vec<u8>)> {
    match source {
        Source::Bytes(bytes, name) => Ok((name.to_string(), tree::unpacked(bytes.to_vec(), name)?)),
        Source::File(entry) => Ok((entry.name.clone(), entry.unpacked()?)),
    }
}

/// Sizes and elements of an IDX file of unsigned bytes with `N` dimensions.
fn parse<'a, const N: usize>(bytes: &'a [u8], what: &str) -> Result<([u32; N], &'a [u8])> {
    let header = 4 + 4 * N;
    match bytes {
        [0, 0, 0x08, dims, ..] if *dims as usize == N => {}
        [0, 0, 0x08, dims, ..] => bail!("holds {dims}-dimensional data, {what} have {N} dimensions; are image and label files swapped?"),
        [0, 0, kind, ..] => bail!("element type {kind:#04x}, expected unsigned bytes (0x08)"),
        _ => bail!("is not an IDX file (it starts with {:02x?})", &bytes[..bytes.len().min(4)]),
    }
    ensure!(bytes.len() >= header, "is cut off within its header");
    let sizes: [u32; N] = std::array::from_fn(|i| u32::from_be_bytes(std::array::from_fn(|k| bytes[4 + 4 * i + k])));
    let expected = sizes.iter().try_fold(1_u64, |a, &s| a.checked_mul(u64::from(s))).context("sizes overflow")?;
    let elements = &bytes[header..];
    ensure!(
        elements.len() as u64 == expected,
        "the header promises {} = {expected} bytes, the file holds {}: it is {}",
        sizes.map(|s| s.to_string()).join(" x "),
        elements.len(),
        if (elements.len() as u64) < expected { "cut off" } else { "too long" }
    );
    Ok((sizes, elements))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damaged_files_are_named_for_what_they_are() {
        let error = |bytes: &[u8]| parse::<3>(bytes, "images").expect_err("damaged").to_string();
        assert!(error(b"hello").contains("not an IDX file"));
        assert!(error(&[]).contains("not an IDX file"));
        assert!(error(&[0, 0, 8, 1, 0, 0, 0, 1, 5]).contains("swapped"));
        assert!(error(&[0, 0, 0x0D, 3]).contains("element type"));
        assert!(error(&[0, 0, 8, 3, 0, 0]).contains("header"));
        let mut whole = vec![0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2, 1, 2, 3, 4];
        assert_eq!(parse::<3>(&whole, "images").expect("sound"), ([2, 1, 2], &[1, 2, 3, 4][..]));
        whole.pop();
        assert!(error(&whole).contains("2 x 1 x 2 = 4 bytes, the file holds 3: it is cut off"));
    }
}
