//! What a path leads to, and reading it.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use super::reader::Reader;
use super::{Dataset, MOST_SAMPLE_BYTES, ReadOptions, Resize, Samples, Split, Table, TableRows, Truth, TruthKind};
use super::{cifar, decode, folder, idx, kinds, layout, names, pixel_table, sounds, table, tagged, texts, tree};
use crate::core::sample::{Image, Subject};
use crate::files::absent;

/// The registry of formats: a file each, and a line here. The first one that finds what it reads is taken: where there are
/// pictures, or more sounds than those, they are meant, whatever lies beside them.
static READERS: [&dyn Reader; 8] =
    [&folder::READER, &sounds::READER, &idx::READER, &cifar::READER, &pixel_table::READER, &tagged::READER, &texts::READER, &table::READER];

/// Name and description of each format that is read.
pub fn formats() -> impl Iterator<Item = [&'static str; 2]> {
    READERS.iter().map(|reader| [reader.name(), reader.help()])
}

/// What a path leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A folder of pictures or of sounds, or with the files of MNIST, CIFAR or their kin, or tables of pixels.
    Folder,
    /// A `.tar`, `.tar.gz` or `.zip` of such a folder.
    Archive,
    /// A CSV file with an image in each row, a pixel in each column.
    PixelTable,
    /// A file of texts: a CSV or TSV file with a column of them, JSON Lines, plain lines, or words with tags.
    Texts,
    /// Any other CSV file.
    Table,
}

const WANTED: &str = "no PNG or JPEG, no WAV, FLAC or MP3, no train-images-idx3-ubyte (MNIST's format), no data_batch_1.bin (CIFAR-10's), no archive or table";

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
    ensure!(path.exists(), "{}; --data is a folder, an archive (.tar.gz, .zip) or a table (.csv)", absent(path));
    ensure!(path.is_dir(), "{} is not a folder, nor an archive (.tar.gz, .zip) or a table (.csv)", path.display());
    let tree = tree::Tree::of_folder(path)?;
    if READERS.iter().any(|reader| !reader.is_of_files() && reader.is_in(&tree)) {
        return Ok((Format::Folder, path.to_path_buf()));
    }
    let told = |file: &&tree::Entry| !file.name.contains('/') && !kinds::is_documentation(&file.name);
    let files = tree.files.iter().filter(told).map(|file| path.join(&file.name));
    let mut found: Vec<(Format, PathBuf)> = files.filter_map(|file| Some((by_name(&file)?, file))).collect();
    // Plain lines beside them are about them.
    let lines = |file: &Path| kinds::extension(&tree::name_of(file).to_ascii_lowercase().replace(".gz", "")) == "txt";
    if found.iter().any(|(_, file)| !lines(file)) {
        found.retain(|(_, file)| !lines(file));
    }
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

/// What is known of all that is like what `path` holds, where its format says so; nothing of archives, which would be unpacked for that.
pub fn implied_truth(path: &Path) -> Result<Option<TruthKind>> {
    let (format, path) = recognise(path)?;
    if matches!(format, Format::Archive) {
        return Ok(None);
    }
    Ok(reader_of(&tree_of(format, &path)?).and_then(Reader::implies))
}

fn tree_of(format: Format, path: &Path) -> Result<tree::Tree> {
    match format {
        Format::Folder => tree::Tree::of_folder(path),
        Format::Archive => tree::Tree::of_archive(path),
        Format::PixelTable | Format::Texts | Format::Table => tree::Tree::of_file(path),
    }
}

fn reader_of(tree: &tree::Tree) -> Option<&'static dyn Reader> {
    READERS.iter().copied().find(|reader| reader.is_in(tree))
}

/// Whether a file in a folder may be one of those that are read: not such as `embed` writes beside pictures.
pub fn may_be_read(folder: &Path, file: &Path) -> bool {
    let name = file.file_name().map_or(String::new(), |name| name.to_string_lossy().to_lowercase());
    let sample = |file: &tree::Entry| matches!(file.kind, kinds::Kind::Sample(_));
    let of_samples = || tree::Tree::of_folder(folder).is_ok_and(|tree| tree.files.iter().any(sample));
    let index = [layout::INDEX, "train.csv", "test.csv", "val.csv"].contains(&name.as_str());
    !(name.ends_with(".npy") || name.ends_with(".csv") && !index && of_samples())
}

/// The format of a file.
fn by_name(path: &Path) -> Option<Format> {
    let name = path.file_name()?.to_string_lossy().to_ascii_lowercase();
    let ends = |endings: &[&str]| endings.iter().any(|ending| name.ends_with(ending));
    match () {
        () if !path.is_file() || name.starts_with('.') => None,
        () if table::names_a_table(path) && pixel_table::is(path) => Some(Format::PixelTable),
        () if tagged::is(path) || texts::is(path) => Some(Format::Texts),
        () if table::names_a_table(path) => Some(Format::Table),
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

    /// Samples in any of the [`formats`] that are read.
    pub fn load(path: &Path, options: &ReadOptions) -> Result<Self> {
        Self::read(recognise(path)?, options)
    }

    /// [`load`](Self::load)s images or texts. Fails where there is a table of numbers.
    pub fn load_unlabelled(path: &Path, options: &ReadOptions) -> Result<Self> {
        let found = recognise(path)?;
        ensure!(
            found.0 != Format::Table || options.text.is_some(),
            "{} is a table without a column of texts (--text names one); images or texts are wanted here",
            path.display()
        );
        Self::read(found, options)
    }

    fn read((format, path): (Format, PathBuf), options: &ReadOptions) -> Result<Self> {
        let tree = tree_of(format, &path)?;
        // What nobody finds anything in is said by who looks for pictures.
        let found = reader_of(&tree).unwrap_or(&folder::READER);
        // Whoever wants a number of each row, and names no column of texts, means the other columns.
        let numbers = options.truth == Some(TruthKind::Numbers) && options.text.is_none() && options.tokenizer.is_none();
        let reader: &dyn Reader = match format {
            Format::Texts if numbers && table::READER.is_in(&tree) => &table::READER,
            Format::Table if options.text.is_some() => &texts::READER,
            _ => found,
        };
        if let Some(flag) = options.of_texts().filter(|_| reader.name() != texts::READER.name()) {
            bail!("{flag} is for texts, {} holds {}", path.display(), reader.name());
        }
        let of_sounds = reader.name() == sounds::READER.name();
        if let Some(subject) = options.subject.filter(|subject| (*subject == Subject::Sounds) != of_sounds) {
            bail!("{} holds {}, the run takes {}", path.display(), reader.name(), subject.many());
        }
        if options.rate.is_some() && !of_sounds {
            bail!("--rate is for sounds, {} holds {}", path.display(), reader.name());
        }
        let mut data = reader.read(&tree, options)?;
        data.root = path;
        data.note_repeated();
        Ok(data)
    }

    /// Says which test samples are among the training samples too.
    pub(super) fn note_repeated(&mut self) {
        let Some(test) = &self.test else { return };
        // Tokens of different texts may be equal, where a network does not know their words.
        fn told(split: &Split, i: u32) -> Cow<'_, [u8]> {
            let words = |text: &str| text.split_whitespace().map(names::folded).collect::<Vec<_>>().join(" ").into_bytes();
            split.samples.text(i).map_or_else(|| split.bytes(i), |text| words(text).into())
        }
        let trained: HashMap<Cow<'_, [u8]>, u32> = (0..self.train.len()).map(|i| (told(&self.train, i), i)).collect();
        let name = |split: &Split, i: u32| match (split.names.get(i as usize), split.samples.text(i)) {
            (Some(name), _) => name.to_string(),
            (None, Some(text)) => format!("`{}`", names::beginning_of(text)),
            (None, None) => format!("index {i}"),
        };
        let equal = |i: u32| Some(format!("{} = {}", name(test, i), name(&self.train, *trained.get(&told(test, i))?)));
        let equal: Vec<String> = (0..test.len()).filter_map(equal).collect();
        if !equal.is_empty() {
            let (count, all) = (equal.len(), test.len());
            let what = self.called();
            self.notes.push(format!(
                "{count} of {all} test {what} are equal to training {what}, so that results look too good: {}",
                names::some_of(&equal)
            ));
        }
    }

    /// Rows of a table.
    pub(super) fn of_table(table: Table) -> Result<Self> {
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
        if let Some(flag) = options.of_texts() {
            bail!("{flag} is for texts, {} has pictures", self.name);
        }
        ensure!(options.bits.is_none(), "--bits is for files of pictures, {} has none", self.name);
        ensure!(options.rate.is_none(), "--rate is for sounds, {} has none", self.name);
        let image = self.train.kind().image();
        let Image { height, width, channels } = image.with_context(|| format!("{} has no images to resize", self.name))?;
        let [wanted_height, wanted_width] = options.size.unwrap_or([height, width]);
        let image =
            Image { height: wanted_height, width: wanted_width, channels: options.grey.map_or(channels, |grey| if grey { 1 } else { 3 }) };
        if (image.height, image.width) != (height, width) {
            // Without borders it goes without saying how.
            let how = match options.resize {
                Resize::Letterbox => String::new(),
                Resize::Crop(crop) => format!(", {}", Resize::Crop(crop.of(height, width, image)).described(image)),
            };
            self.notes.push(format!("images are {height}x{width}; resized to {wanted_height}x{wanted_width}{how}"));
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
        for split in [Some(&mut self.train), self.test.as_mut()].into_iter().flatten() {
            split.samples = decode::conform(split.samples.clone(), image, options.resize)?;
        }
        Ok(self)
    }

    /// Classes are counted from 0, labels may not be, or leave numbers out: what occurs nowhere is no class. `named` are the names of
    /// some.
    pub(super) fn number_classes(&mut self, named: &BTreeMap<u32, String>) {
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
