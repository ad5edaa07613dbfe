//! Data sets in memory: images as bytes, or the rows of a table, with the truth about them where it is known.
//!
//! [`Dataset::load`] and [`Table::load`] read what users have; [`recognise`] says which of the two a path is for.

mod cifar;
mod classes;
mod column;
mod decode;
mod finder;
mod fingerprint;
mod folder;
mod given;
mod idx;
mod index;
mod kinds;
mod layout;
mod mask;
mod names;
mod number;
mod picture;
mod pixel_table;
mod sheet;
mod source;
mod split;
mod store;
mod table;
mod tiff;
mod truth;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

pub use fingerprint::Fingerprint;
pub use given::GivenLabels;
pub use kinds::misnamed;
pub use mask::{paint, restore};
pub use picture::{Look, PictureOptions, Remarks, load_picture, look_at, looks_like_picture};
pub use source::leads_above;
pub use split::Split;
pub use table::{Encoding, Rows, Scale, Table};

use crate::core::image::Image;

/// Sides of images are at most this.
pub const MOST_SIDE: u32 = 4096;

/// Samples of a data set may take this much memory.
const MOST_SAMPLE_BYTES: u64 = 64 << 30;

/// What is to be learnt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Task {
    /// A class per sample.
    Classify,
    /// A number per sample.
    Regress,
    /// A class per pixel.
    Segment,
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
    pub task: Option<Task>,
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
            let what = kinds::misnamed(&source::head_of(path)).map_or(String::new(), |what| format!("{what}; "));
            format!(
                "{}: {what}a table (.csv, .csv.gz) or an archive (.tar.gz, .tgz, .tar, .zip) is wanted; of other formats, name the folder",
                path.display()
            )
        })?;
        return Ok((format, path.to_path_buf()));
    }
    ensure!(path.exists(), "there is no {}; --data is a folder, an archive (.tar.gz, .zip) or a table (.csv)", path.display());
    ensure!(path.is_dir(), "{} is not a folder, nor an archive (.tar.gz, .zip) or a table (.csv)", path.display());
    let tree = source::Tree::of_folder(path)?;
    if tree.files.iter().any(|file| file.kind == kinds::Kind::Picture) || idx::is_in(&tree) || cifar::is_in(&tree) {
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
        several if several.iter().all(|(format, _)| matches!(format, Format::Table | Format::PixelTable)) && pixel_table::is_in(&tree) => {
            Ok((Format::Folder, path.to_path_buf()))
        }
        several => {
            let names: Vec<String> = several.iter().map(|(_, file)| source::name_of(file)).collect();
            bail!("{} holds several archives or tables; name one: {}", path.display(), names::some_of(&names))
        }
    }
}

/// Whether a file in a folder may be one of those that are read: not such as `embed` writes beside pictures.
pub fn may_be_read(folder: &Path, file: &Path) -> bool {
    let name = file.file_name().map_or(String::new(), |name| name.to_string_lossy().to_lowercase());
    let picture = |file: &source::Entry| file.kind == kinds::Kind::Picture;
    let of_pictures = || source::Tree::of_folder(folder).is_ok_and(|tree| tree.files.iter().any(picture));
    let index = [layout::INDEX, "train.csv", "test.csv", "val.csv"].contains(&name.as_str());
    !(name.ends_with(".npy") || name.ends_with(".csv") && !index && of_pictures())
}

/// The format of a file.
fn by_name(path: &Path) -> Option<Format> {
    let name = path.file_name()?.to_string_lossy().to_ascii_lowercase();
    let ends = |endings: &[&str]| endings.iter().any(|ending| name.ends_with(ending));
    match () {
        () if !path.is_file() || name.starts_with('.') => None,
        () if ends(&[".csv", ".csv.gz", ".tsv", ".tsv.gz"]) => Some(if pixel_table::is(path) { Format::PixelTable } else { Format::Table }),
        () if ends(&[".tar.gz", ".tgz", ".tar", ".zip"]) || source::is_zip(path) => Some(Format::Archive),
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

    /// Images from a folder or an archive, in any [`Format`] that holds images.
    pub fn load(path: &Path, options: &ReadOptions) -> Result<Self> {
        let (format, path) = recognise(path)?;
        let mut data = match format {
            Format::Folder => Self::of_tree(&source::Tree::of_folder(&path)?, options)?,
            Format::Archive => Self::of_tree(&source::Tree::of_archive(&path)?, options)?,
            Format::PixelTable => pixel_table::read(&path)?.conform(options)?,
            Format::Table => bail!("{} is a table, images are wanted here", path.display()),
        };
        data.root = path;
        data.note_repeated();
        Ok(data)
    }

    /// Images from files. Where there are pictures, they are meant, whatever lies beside them.
    fn of_tree(tree: &source::Tree, options: &ReadOptions) -> Result<Self> {
        let pictures = tree.files.iter().any(|file| file.kind == kinds::Kind::Picture);
        let (mut data, taken) = match () {
            () if !pictures && idx::is_in(tree) => idx::read(tree)?,
            () if !pictures && cifar::is_in(tree) => cifar::read(tree)?,
            () if !pictures && pixel_table::is_in(tree) => pixel_table::of_tree(tree)?,
            () => return folder::read(tree, options),
        };
        let others: Vec<&str> =
            tree.files.iter().filter(|file| !taken.iter().any(|taken| taken.name == file.name)).map(|file| file.name.as_str()).collect();
        data.notes.extend(tree.notes.clone());
        if !others.is_empty() {
            data.notes.push(format!("{} other files are left out: {}", others.len(), names::some_of(&others)));
        }
        data.conform(options)
    }

    /// The classes and how many training samples each has, for people; `None` without labels.
    pub fn class_counts(&self) -> Option<String> {
        /// All of these are named; of more classes, these with the fewest samples.
        const NAMED: usize = 12;
        let labels = self.train.labels.as_ref()?;
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
        let name = |split: &Split, i: u32| split.names.get(i as usize).cloned().unwrap_or_else(|| format!("index {i}"));
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

    /// Rows of a table, as samples without images.
    pub fn of_table(table: Table) -> Result<Self> {
        let features = table.columns.len() as u32;
        let split = |rows: Rows| Split::of_rows(rows.features, Some(rows.targets), features);
        let data = Self::new(table.name, split(table.train), table.test.map(split))?;
        let mut data = Dataset { notes: table.notes, encoding: Some(table.encoding), ..data };
        data.note_repeated();
        Ok(data)
    }

    /// In the size and with the channels that `options` ask for. Fails where they ask for what is for files of pictures alone.
    pub fn conform(mut self, options: &ReadOptions) -> Result<Self> {
        if let Some(target) = &options.target {
            bail!("--target {target} is for tables and for image folders with an index.csv; {} is neither", self.name);
        }
        ensure!(options.bits.is_none(), "--bits is for files of pictures, {} has none", self.name);
        let Image { height, width, channels } = self.train.image;
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
        self.train = self.train.conform(image);
        self.test = self.test.map(|test| test.conform(image));
        Ok(self)
    }

    /// Classes are counted from 0, labels may not be, or leave numbers out: what occurs nowhere is no class. `named` are the names of
    /// some.
    fn number_classes(&mut self, named: &BTreeMap<u32, String>) {
        let labels = || [Some(&self.train), self.test.as_ref()].into_iter().flatten().filter_map(|split| split.labels.as_ref()).flatten();
        let used: BTreeSet<u32> = labels().copied().collect();
        let class: HashMap<u32, u32> = used.iter().copied().zip(0..).collect();
        for split in [Some(&mut self.train), self.test.as_mut()].into_iter().flatten() {
            split.labels.iter_mut().flatten().for_each(|label| *label = class[label]);
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
            let (ours, theirs) = (train.image, test.image);
            ensure!(ours == theirs, "training images are of {ours}, test images of {theirs}");
        }
        let labels = || [Some(&train), test.as_ref()].into_iter().flatten().filter_map(|s| s.labels.as_ref()).flatten();
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
