//! Data sets in memory: images as bytes, or the rows of a table, with the truth about them where it is known.
//!
//! [`Dataset::load`] and [`Table::load`] read what users have; [`recognise`] says which of the two a path is for.

mod cifar;
mod classes;
mod column;
mod decode;
mod decode_cache;
mod finder;
mod fingerprint;
mod folder;
mod given_labels;
mod idx;
mod index;
mod kinds;
mod layout;
mod mask;
mod names;
mod number;
mod picture;
mod picture_truth;
mod pixel_table;
mod reader;
mod samples;
mod sheet;
mod split;
mod table;
mod tiff;
mod tree;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

pub use fingerprint::Fingerprint;
pub use given_labels::GivenLabels;
pub use kinds::misnamed;
pub use mask::{paint, restore};
pub use picture::{Look, PictureOptions, Remarks, load_picture, look_at, looks_like_picture};
pub use samples::{Samples, SharedRows};
pub use split::{Split, Truth};
pub use table::{Encoding, Scale, Table, TableRows};
pub use tree::leads_above;

use crate::core::sample::Image;
use reader::Reader;

/// Sides of images are at most this.
pub const MOST_SIDE: u32 = 4096;

/// Samples of a data set may take this much memory.
const MOST_SAMPLE_BYTES: u64 = 64 << 30;

/// What is to be known of samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TruthKind {
    /// A class of each.
    Classes,
    /// A number of each.
    Numbers,
    /// A class of each pixel.
    Masks,
}

impl TruthKind {
    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            TruthKind::Classes => "labels",
            TruthKind::Numbers => "numbers",
            TruthKind::Masks => "masks",
        }
    }
}

/// How data are to be read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ReadOptions {
    /// The column to be predicted, of a table or of an image folder's `index.csv`.
    pub target: Option<String>,
    /// Height and width that images get. Without it image folders take the size that all pictures have, if they have one and it
    /// is no larger than 256, else 32x32; other formats keep theirs.
    pub size: Option<[u32; 2]>,
    /// Grey (true) or colour. Without it most pictures decide.
    pub grey: Option<bool>,
    /// Of each value of a picture, the bits that are used; they are stretched over the whole range.
    pub bits: Option<u32>,
    /// Without it the data decide: masks, a column of numbers, classes.
    pub truth: Option<TruthKind>,
    /// Whether data without labels are an error.
    pub want_labels: bool,
    /// The classes that a run knows already, which the data need not all have.
    pub known_classes: Option<Vec<String>>,
    /// The values that the classes of a run have in masks.
    pub known_values: Vec<u8>,
    /// The colours of those values.
    pub known_palette: Vec<u8>,
    /// Where decoded pictures are kept for the next run; nowhere without it.
    pub cache: Option<PathBuf>,
    /// Memory that a picture may take when decoded; 256 MiB if absent.
    pub most_picture_bytes: Option<u64>,
}

impl ReadOptions {
    /// The flag of the first option that means nothing to a table.
    pub fn of_pictures(&self) -> Option<&'static str> {
        let given = [(self.size.is_some(), "--size"), (self.grey.is_some(), "--grey"), (self.bits.is_some(), "--bits")];
        given.into_iter().find(|(given, _)| *given).map(|(_, flag)| flag)
    }
}

/// What a run can see. Training and model selection use `train` alone.
#[derive(Clone, Debug)]
pub struct Dataset {
    pub name: String,
    /// What it was read from; empty for the embedded digits.
    pub root: PathBuf,
    pub train: Split,
    pub test: Option<Split>,
    /// Number of classes of labels or of masks: the largest one plus one, 0 without any.
    pub classes: u32,
    /// As many as there are classes.
    pub class_names: Vec<String>,
    /// The value that each class has in masks; none where there are no masks.
    pub mask_values: Vec<u8>,
    /// Colours (red, green, blue) of the values in masks that were read from palette PNGs.
    pub mask_palette: Vec<u8>,
    /// What a user must be told: files that were left out, the split rule, a change of size.
    pub notes: Vec<String>,
    /// Of a table: how other files with its columns become samples.
    pub encoding: Option<Encoding>,
}

/// The registry of formats: a file each, and a line here. The first one that finds what it reads is taken.
static READERS: [&dyn Reader; 5] = [&folder::READER, &idx::READER, &cifar::READER, &pixel_table::READER, &table::READER];

/// Name and description of each format that is read.
pub fn formats() -> impl Iterator<Item = [&'static str; 2]> {
    READERS.iter().map(|reader| [reader.name(), reader.help()])
}

/// What a path leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A folder of pictures, or with the files of MNIST, CIFAR or their kin, or tables of pixels.
    Folder,
    /// A `.tar`, `.tar.gz` or `.zip` of such a folder.
    Archive,
    /// A CSV file with an image in each row, a pixel in each column.
    PixelTable,
    /// Any other CSV file.
    Table,
}

const WANTED: &str = "no PNG or JPEG, no train-images-idx3-ubyte (MNIST's format), no data_batch_1.bin (CIFAR-10's), no archive or table";

/// What `path` holds, and the file or folder that holds it: a folder with nothing but one archive or table means that.
pub fn recognise(path: &Path) -> Result<(Format, PathBuf)> {
    if path.is_file() {
        let format = by_name(path).with_context(|| {
            let what = kinds::misnamed(&tree::head_of(path)).map_or(String::new(), |what| format!("{what}; "));
            format!(
                "{}: {what}a table (.csv, .csv.gz) or an archive (.tar.gz, .tgz, .tar, .zip) is wanted; of other formats, name the folder",
                path.display()
            )
        })?;
        return Ok((format, path.to_path_buf()));
    }
    ensure!(path.exists(), "there is no {}; --data is a folder, an archive (.tar.gz, .zip) or a table (.csv)", path.display());
    ensure!(path.is_dir(), "{} is not a folder, nor an archive (.tar.gz, .zip) or a table (.csv)", path.display());
    let tree = tree::Tree::of_folder(path)?;
    if READERS.iter().any(|reader| !reader.is_of_files() && reader.is_in(&tree)) {
        return Ok((Format::Folder, path.to_path_buf()));
    }
    let files = tree.files.iter().filter(|file| !file.name.contains('/')).map(|file| path.join(&file.name));
    let found: Vec<(Format, PathBuf)> = files.filter_map(|file| Some((by_name(&file)?, file))).collect();
    let left_out = tree.notes.iter().map(|note| format!("; {note}")).collect::<String>();
    match found.as_slice() {
        [one] => Ok(one.clone()),
        [] => {
            let pickled = tree.files.iter().any(|file| ["data_batch_1", "test_batch"].contains(&file.file_name()));
            let hint = if pickled { "; these are CIFAR's files for Python: the binary version is read" } else { "" };
            bail!("{} holds nothing to train on: {WANTED}{hint}{left_out}", path.display())
        }
        several
            if several.iter().all(|(format, _)| matches!(format, Format::Table | Format::PixelTable))
                && pixel_table::READER.is_in(&tree) =>
        {
            Ok((Format::Folder, path.to_path_buf()))
        }
        several => {
            let names: Vec<String> = several.iter().map(|(_, file)| tree::name_of(file)).collect();
            bail!("{} holds several archives or tables; name one: {}", path.display(), names::some_of(&names))
        }
    }
}

/// Whether a file in a folder may be one of those that are read: not such as `embed` writes beside pictures.
pub fn may_be_read(folder: &Path, file: &Path) -> bool {
    let name = file.file_name().map_or(String::new(), |name| name.to_string_lossy().to_lowercase());
    let picture = |file: &tree::Entry| file.kind == kinds::Kind::Picture;
    let of_pictures = || tree::Tree::of_folder(folder).is_ok_and(|tree| tree.files.iter().any(picture));
    let index = [layout::INDEX, "train.csv", "test.csv", "val.csv"].contains(&name.as_str());
    !(name.ends_with(".npy") || name.ends_with(".csv") && !index && of_pictures())
}

/// The format of a file.
fn by_name(path: &Path) -> Option<Format> {
    let name = path.file_name()?.to_string_lossy().to_ascii_lowercase();
    let ends = |endings: &[&str]| endings.iter().any(|ending| name.ends_with(ending));
    match () {
        () if !path.is_file() || name.starts_with('.') => None,
        () if table::names_a_table(path) => Some(if pixel_table::is(path) { Format::PixelTable } else { Format::Table }),
        () if ends(&[".tar.gz", ".tgz", ".tar", ".zip"]) || tree::is_zip(path) => Some(Format::Archive),
        () => None,
    }
}

impl Dataset {
    /// The digits that come with the binary: 10,000 training and 10,000 test images of MNIST.
    pub fn embedded() -> Self {
        let split = |images, labels, name| {
            idx::split(idx::Source::Bytes(images, name), Some(idx::Source::Bytes(labels, name))).expect("the embedded data are sound")
        };
        let train = split(
            include_bytes!("../../assets/train-images-idx3-ubyte.gz"),
            include_bytes!("../../assets/train-labels-idx1-ubyte.gz"),
            "embedded training digits",
        );
        let test = split(
            include_bytes!("../../assets/t10k-images-idx3-ubyte.gz"),
            include_bytes!("../../assets/t10k-labels-idx1-ubyte.gz"),
            "embedded test digits",
        );
        Self::new("embedded digits".into(), train, Some(test)).expect("the embedded data are sound")
    }

    /// Samples in any format of [`READERS`].
    pub fn load(path: &Path, options: &ReadOptions) -> Result<Self> {
        let (format, path) = recognise(path)?;
        let tree = match format {
            Format::Folder => tree::Tree::of_folder(&path)?,
            Format::Archive => tree::Tree::of_archive(&path)?,
            Format::PixelTable | Format::Table => tree::Tree::of_file(&path)?,
        };
        // Where there are pictures, they are meant, whatever lies beside them.
        let reader = READERS.iter().find(|reader| reader.is_in(&tree)).unwrap_or(&READERS[0]);
        let mut data = reader.read(&tree, options)?;
        data.root = path;
        data.note_repeated();
        Ok(data)
    }

    /// Whether this is known of its training samples, and there is something to learn.
    pub fn knows(&self, truth: TruthKind) -> bool {
        self.train.truth.knows(truth) && (truth == TruthKind::Numbers || self.classes > 1)
    }

    /// The classes and how many training samples each has, for people; `None` without labels.
    pub fn class_counts(&self) -> Option<String> {
        /// All of these are named; of more classes, these with the fewest samples.
        const NAMED: usize = 12;
        let labels = self.train.truth.labels.as_ref()?;
        let mut counts = vec![0; self.class_names.len()];
        labels.iter().for_each(|&label| counts[label as usize] += 1);
        let mut classes: Vec<(usize, &String)> = counts.into_iter().zip(&self.class_names).collect();
        let all = classes.len();
        if all > NAMED {
            classes.sort();
        }
        let named: Vec<String> = classes.iter().take(NAMED).map(|(count, name)| format!("{name} ({count})")).collect();
        let rest = if all > NAMED { format!("; the other {} have more", all - NAMED) } else { String::new() };
        Some(format!("{all} classes: {}{rest}", named.join(", ")))
    }

    /// Says which test samples are among the training samples too.
    fn note_repeated(&mut self) {
        let Some(test) = &self.test else { return };
        let trained: HashMap<Cow<'_, [u8]>, u32> = (0..self.train.len()).map(|i| (self.train.bytes(i), i)).collect();
        let name = |split: &Split, i: u32| split.names.get(i as usize).map_or_else(|| format!("index {i}"), |name| name.to_string());
        let equal = |i: u32| Some(format!("{} = {}", name(test, i), name(&self.train, *trained.get(&test.bytes(i))?)));
        let equal: Vec<String> = (0..test.len()).filter_map(equal).collect();
        if !equal.is_empty() {
            let (count, all) = (equal.len(), test.len());
            let what = if self.encoding.is_some() { "rows" } else { "images" };
            self.notes.push(format!(
                "{count} of {all} test {what} are equal to training {what}, so that results look too good: {}",
                names::some_of(&equal)
            ));
        }
    }

    /// TableRows of a table, as samples without images.
    pub fn of_table(table: Table) -> Result<Self> {
        let features = table.columns.len() as u32;
        let split = |rows: TableRows| {
            let truth = Truth { targets: Some(rows.targets), ..Truth::default() };
            Split::new(Samples::rows(rows.features, features), truth)
        };
        let data = Self::new(table.name, split(table.train), table.test.map(split))?;
        Ok(Dataset { notes: table.notes, encoding: Some(table.encoding), ..data })
    }

    /// In the size and with the channels that `options` ask for. Fails where they ask for what is for files of pictures alone.
    pub fn conform(mut self, options: &ReadOptions) -> Result<Self> {
        if let Some(target) = &options.target {
            bail!("--target {target} is for tables and for image folders with an index.csv; {} is neither", self.name);
        }
        ensure!(options.bits.is_none(), "--bits is for files of pictures, {} has none", self.name);
        let image = self.train.kind().image();
        let Image { height, width, channels } = image.with_context(|| format!("{} has no images to resize", self.name))?;
        let [wanted_height, wanted_width] = options.size.unwrap_or([height, width]);
        let image =
            Image { height: wanted_height, width: wanted_width, channels: options.grey.map_or(channels, |grey| if grey { 1 } else { 3 }) };
        if (image.height, image.width) != (height, width) {
            self.notes.push(format!("images are {height}x{width}; resized to {wanted_height}x{wanted_width}"));
        }
        let bytes = u64::from(image.len())
            * [Some(&self.train), self.test.as_ref()].iter().flatten().map(|split| u64::from(split.len())).sum::<u64>();
        ensure!(
            bytes <= MOST_SAMPLE_BYTES,
            "the images of {} would take {} GiB at {height}x{width}; {} are allowed: a smaller --size is needed",
            self.name,
            bytes >> 30,
            MOST_SAMPLE_BYTES >> 30,
            height = image.height,
            width = image.width
        );
        let conform = |split: Split| Split { samples: decode::conform(split.samples, image), ..split };
        self.train = conform(self.train);
        self.test = self.test.map(conform);
        Ok(self)
    }

    /// Classes are counted from 0, labels may not be, or leave numbers out: what occurs nowhere is no class. `named` are the names of
    /// some.
    fn number_classes(&mut self, named: &BTreeMap<u32, String>) {
        let labels =
            || [Some(&self.train), self.test.as_ref()].into_iter().flatten().filter_map(|split| split.truth.labels.as_ref()).flatten();
        let used: BTreeSet<u32> = labels().copied().collect();
        let class: HashMap<u32, u32> = used.iter().copied().zip(0..).collect();
        for split in [Some(&mut self.train), self.test.as_mut()].into_iter().flatten() {
            split.truth.labels.iter_mut().flatten().for_each(|label| *label = class[label]);
        }
        self.class_names = used.iter().map(|label| named.get(label).cloned().unwrap_or_else(|| label.to_string())).collect();
        if used.len() < self.classes as usize {
            self.notes.push(format!(
                "labels are not all of 0 to {}: the classes are called {}",
                self.classes - 1,
                names::some_of(&self.class_names)
            ));
        }
        self.classes = used.len() as u32;
    }

    fn new(name: String, train: Split, test: Option<Split>) -> Result<Self> {
        ensure!(!train.is_empty(), "there are no training samples");
        if let Some(test) = &test {
            let (ours, theirs) = (train.kind(), test.kind());
            ensure!(ours == theirs, "training images are of {ours}, test images of {theirs}");
        }
        let labels = || [Some(&train), test.as_ref()].into_iter().flatten().filter_map(|s| s.truth.labels.as_ref()).flatten();
        let classes = labels().max().map_or(0, |largest| largest + 1);
        let class_names = (0..classes).map(|class| class.to_string()).collect();
        Ok(Dataset {
            name,
            root: PathBuf::new(),
            train,
            test,
            classes,
            class_names,
            mask_values: Vec::new(),
            mask_palette: Vec::new(),
            notes: Vec::new(),
            encoding: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readers_say_what_they_read_and_find_nothing_in_nothing() {
        let empty = tempfile::tempdir().expect("a place for files");
        let tree = tree::Tree::of_folder(empty.path()).expect("it can be read");
        for reader in READERS {
            assert!(reader.help().ends_with('.') && reader.help().len() > 30, "{}", reader.name());
            assert_eq!(READERS.iter().filter(|other| other.name() == reader.name()).count(), 1, "{}", reader.name());
            assert!(!reader.is_in(&tree), "{}", reader.name());
        }
    }
}
