//! Where bytes come from: files, plain or gzipped, folders, and archives that are read as folders in memory.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufReader, Cursor, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use anyhow::{Context, Result, bail, ensure};
use flate2::read::MultiGzDecoder;
use unicode_normalization::{UnicodeNormalization, is_nfc};

use super::kinds::{self, HEAD, Kind};
use crate::core::sample::Subject;
use crate::files::{RUN_CONFIG, RUN_CONFIG_START, absent, is_run_folder};

const GZIP: [u8; 2] = [0x1F, 0x8B];
const ZIP: [&[u8]; 2] = [b"PK\x03\x04", b"PK\x05\x06"];

/// Bytes that are unpacked into memory, at most.
const MOST_UNPACKED_BYTES: u64 = 8 << 30;
/// Folders in folders.
const MOST_DEPTH: usize = 64;
/// Links that lead to links are followed as far as this.
const MOST_LINKS: usize = 8;

/// The contents of a file, unpacked if they are gzipped.
pub(super) fn read(path: &Path) -> Result<Vec<u8>> {
    ensure_file(path)?;
    let raw = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    unpacked(raw, &path.display().to_string())
}

/// `raw`, or what is gzipped in it. `name` is for errors.
pub(super) fn unpacked(raw: Vec<u8>, name: &str) -> Result<Vec<u8>> {
    if !raw.starts_with(&GZIP) {
        return Ok(raw);
    }
    let mut bytes = Vec::new();
    MultiGzDecoder::new(raw.as_slice())
        .take(MOST_UNPACKED_BYTES + 1)
        .read_to_end(&mut bytes)
        .with_context(|| format!("{name}: the gzip data are damaged or cut off after {} bytes", bytes.len()))?;
    ensure!(bytes.len() as u64 <= MOST_UNPACKED_BYTES, "{name} is more than {} GiB when unpacked", MOST_UNPACKED_BYTES >> 30);
    Ok(bytes)
}

/// Whether a file is a zip archive, whatever it is called.
pub(super) fn is_zip(path: &Path) -> bool {
    let head = head_of(path);
    ZIP.iter().any(|magic| head.starts_with(magic))
}

/// What is in a file, unpacked if it is gzipped.
pub(super) fn unpacking<'a>(file: impl Read + 'a) -> Box<dyn Read + 'a> {
    let mut reader = BufReader::new(file);
    let gzipped = std::io::BufRead::fill_buf(&mut reader).is_ok_and(|start| start.starts_with(&GZIP));
    if gzipped { Box::new(MultiGzDecoder::new(reader)) } else { Box::new(reader) }
}

/// The name that a user knows a file or folder by.
pub(super) fn name_of(path: &Path) -> String {
    let path = path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
    path.file_name().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned())
}

/// Text of a name, in composed form (NFC), as file systems differ in that. Bytes that are no UTF-8 are written as `\xE9`, so that
/// different names stay different.
fn text(name: &[u8]) -> String {
    let mut all = String::new();
    for chunk in name.utf8_chunks() {
        all.push_str(chunk.valid());
        chunk.invalid().iter().for_each(|byte| all.push_str(&format!("\\x{byte:02X}")));
    }
    if is_nfc(&all) { all } else { all.nfc().collect() }
}

/// A file of a [`Tree`].
pub(super) struct Entry {
    /// Its path within the tree, with `/`.
    pub name: String,
    pub kind: Kind,
    pub stamp: Stamp,
    contents: Origin,
}

/// Equal as long as a file has not changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub(super) struct Stamp {
    bytes: u64,
    /// Time of the last change of contents in nanoseconds; 0 if unknown.
    modified: u64,
    /// Time of the last change of any kind, which no program can set back, and the file's number; 0 where a system has none.
    changed: u64,
    number: u64,
}

enum Origin {
    Disk(PathBuf),
    /// Shared by links to one file.
    Memory(Arc<[u8]>),
}

impl Stamp {
    fn of(metadata: &std::fs::Metadata) -> Self {
        let since = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        #[cfg(unix)]
        let (changed, number) = {
            use std::os::unix::fs::MetadataExt;
            (metadata.ctime().wrapping_mul(1_000_000_000).wrapping_add(metadata.ctime_nsec()) as u64, metadata.ino())
        };
        #[cfg(not(unix))]
        let (changed, number) = (0, 0);
        Stamp { bytes: metadata.len(), modified: since.map_or(0, |time| time.as_nanos() as u64), changed, number }
    }
}

impl Entry {
    pub fn read(&self) -> Result<Cow<'_, [u8]>> {
        match &self.contents {
            Origin::Memory(bytes) => Ok(Cow::Borrowed(bytes)),
            Origin::Disk(path) => Ok(Cow::Owned(std::fs::read(path).context("cannot be read")?)),
        }
    }

    /// Its contents, to be read from any place.
    pub fn source(&self) -> Result<FileBytes> {
        match &self.contents {
            Origin::Memory(bytes) => Ok(FileBytes::Memory(Cursor::new(bytes.clone()))),
            Origin::Disk(path) => FileBytes::of_file(path),
        }
    }

    /// Its contents from the beginning, unpacked.
    pub fn reader(&self) -> Result<Box<dyn Read + '_>> {
        Ok(match &self.contents {
            Origin::Memory(bytes) => unpacking(&bytes[..]),
            Origin::Disk(path) => unpacking(File::open(path).context("cannot be read")?),
        })
    }

    /// What [`unpacked`] makes of it.
    pub fn unpacked(&self) -> Result<Vec<u8>> {
        unpacked(self.read().with_context(|| self.name.clone())?.into_owned(), &self.name)
    }

    /// The last part of its name.
    pub fn file_name(&self) -> &str {
        self.name.rsplit('/').next().unwrap_or(&self.name)
    }
}

/// Bytes that can be read from any place, of which not all need to be in memory.
pub(super) enum FileBytes {
    Disk(File),
    Memory(Cursor<Arc<[u8]>>),
}

impl FileBytes {
    pub fn of_file(path: &Path) -> Result<Self> {
        Ok(FileBytes::Disk(File::open(path).context("cannot be read")?))
    }
}

impl Read for FileBytes {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        match self {
            FileBytes::Disk(file) => file.read(into),
            FileBytes::Memory(bytes) => bytes.read(into),
        }
    }
}

impl Seek for FileBytes {
    fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
        match self {
            FileBytes::Disk(file) => file.seek(to),
            FileBytes::Memory(bytes) => bytes.seek(to),
        }
    }
}

/// Files and folders below a root.
pub(super) struct Tree {
    pub root: PathBuf,
    /// In order of names.
    pub files: Vec<Entry>,
    /// In order of names.
    pub folders: Vec<String>,
    /// What a user must be told of what is not among them.
    pub notes: Vec<String>,
}

/// Hidden files, and what operating systems leave in folders and archives.
fn hidden(component: &str) -> bool {
    component.starts_with('.') || ["__MACOSX", "@eaDir", "$RECYCLE.BIN", "System Volume Information", "lost+found"].contains(&component)
}

/// What is found below a root, on its way to a [`Tree`].
#[derive(Default)]
struct Found {
    files: BTreeMap<String, (Kind, Stamp, Origin)>,
    folders: BTreeSet<String>,
    /// Names with reasons.
    left_out: Vec<String>,
    /// Pictures and sounds in hidden places.
    hidden: Vec<String>,
    /// Folders whose names differ in Unicode form only.
    merged: Vec<String>,
}

impl Tree {
    /// How many files are samples that are read.
    pub fn count(&self, subject: Subject) -> usize {
        self.files.iter().filter(|file| file.kind == Kind::Sample(subject)).count()
    }

    /// Everything below a folder. Links are followed. What cannot be read is left out and named, as is what is hidden and would
    /// be a sample.
    pub fn of_folder(root: &Path) -> Result<Self> {
        let mut found = Found::default();
        let within = |path: &Path| {
            let parts = path.strip_prefix(root).unwrap_or(path).components();
            parts.map(|c| text(c.as_os_str().as_encoded_bytes())).collect::<Vec<_>>().join("/")
        };
        let is_hidden = |path: &Path| path.file_name().is_some_and(|name| hidden(&name.to_string_lossy()));
        let mut walk = walkdir::WalkDir::new(root).max_depth(MOST_DEPTH).follow_links(true).sort_by_file_name().into_iter();
        while let Some(entry) = walk.next() {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => {
                    let path = error.path().unwrap_or(root);
                    ensure!(path != root, "cannot read {}: {error}", root.display());
                    let why = match error.io_error().map(std::io::Error::kind) {
                        _ if error.loop_ancestor().is_some() => "is a link to a folder above it".to_string(),
                        Some(std::io::ErrorKind::NotFound) => "is a link that leads nowhere".into(),
                        Some(kind) => format!("cannot be read ({kind})"),
                        None => format!("cannot be read ({error})"),
                    };
                    if !is_hidden(path) {
                        found.left_out.push(format!("{} {why}", within(path)));
                    }
                    continue;
                }
            };
            let (name, path) = (within(entry.path()), entry.path());
            if entry.path_is_symlink() && entry.file_type().is_dir() && leads_above(path, root) {
                found.left_out.push(format!("{name} is a link to a folder that this one is in"));
                walk.skip_current_dir();
                continue;
            }
            if name.split('/').any(hidden) {
                if entry.file_type().is_file() && kinds::is_called_sample(&name) {
                    found.hidden.push(name);
                }
            } else if entry.file_type().is_dir() {
                if entry.depth() > 0 && !found.folders.insert(name.clone()) {
                    found.merged.push(name);
                }
            } else if !entry.file_type().is_file() {
                // To open a pipe is to wait for who writes into it.
                found.left_out.push(format!("{name} is a pipe, a socket or a device"));
            } else if let (Ok(metadata), false) = (entry.metadata(), found.files.contains_key(&name)) {
                let kind = kinds::kind(&name, || head_of(path));
                found.files.insert(name, (kind, Stamp::of(&metadata), Origin::Disk(path.to_path_buf())));
            } else {
                found.left_out.push(format!("{name} cannot be read, or differs from another in Unicode form only"));
            }
        }
        found.tree(root)
    }

    /// One file.
    pub fn of_file(path: &Path) -> Result<Self> {
        let metadata = std::fs::metadata(path).with_context(|| format!("cannot read {}", path.display()))?;
        let name = name_of(path);
        let entry =
            Entry { kind: kinds::kind(&name, || head_of(path)), name, stamp: Stamp::of(&metadata), contents: Origin::Disk(path.into()) };
        Ok(Tree { root: path.to_path_buf(), files: vec![entry], folders: Vec::new(), notes: Vec::new() })
    }

    /// Whether it is one [file](Self::of_file), no folder or archive of them.
    pub fn is_one_file(&self) -> bool {
        matches!(&self.files[..], [Entry { contents: Origin::Disk(path), .. }] if *path == self.root)
    }

    /// The files in a `.tar`, `.tar.gz` or `.zip`; pictures, sounds and [data](Kind::Data) in memory.
    pub fn of_archive(path: &Path) -> Result<Self> {
        let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
        let stamp = Stamp::of(&file.metadata()?);
        let mut reader = BufReader::new(file);
        let start = std::io::BufRead::fill_buf(&mut reader).unwrap_or_default();
        ensure!(!start.is_empty(), "{} is empty", path.display());
        let (zipped, gzipped) = (ZIP.iter().any(|magic| start.starts_with(magic)), start.starts_with(&GZIP));
        let mut unpacking = Unpacking { found: Found::default(), links: Vec::new(), total: 0, stamp };
        let done = match (zipped, gzipped) {
            (true, _) => unpacking.zip(reader),
            (_, true) => unpacking.tar(MultiGzDecoder::new(reader)),
            _ => unpacking.tar(reader),
        };
        if let Err(error) = done {
            if unpacking.total > MOST_UNPACKED_BYTES || error.is::<Refused>() {
                bail!("{} {error:#}", path.display());
            }
            if let Some(what) = kinds::misnamed(&head_of(path)) {
                bail!("{} {what}", path.display());
            }
            bail!("{} is damaged or cut off (after {} files): {error:#}", path.display(), unpacking.found.files.len());
        }
        unpacking.finish().tree(path)
    }
}

/// Whether a link leads to a folder that `root` is in: it would be read again, with all that lies beside it.
pub fn leads_above(link: &Path, root: &Path) -> bool {
    match (link.canonicalize(), root.canonicalize()) {
        (Ok(target), Ok(root)) => root != target && root.starts_with(target),
        _ => false,
    }
}

/// Fails where there is nothing at `path`, or no file that can be read to its end. Pipes that a shell makes for a command are.
pub(super) fn ensure_file(path: &Path) -> Result<()> {
    ensure!(path.exists(), "{}", absent(path));
    let by_shell = path.starts_with("/dev/fd") || path.starts_with("/proc");
    let special = std::fs::metadata(path).is_ok_and(|found| !found.is_file() && !found.is_dir());
    ensure!(!special || by_shell, "{} is a pipe, a socket or a device, not a file", path.display());
    Ok(())
}

/// The first bytes of a file; none of one that cannot be read.
pub(super) fn head_of(path: &Path) -> Vec<u8> {
    let mut head = Vec::new();
    // What cannot be read is named by who wants its contents.
    let _ = File::open(path).and_then(|file| file.take(HEAD as u64).read_to_end(&mut head));
    head
}

impl Found {
    fn tree(mut self, root: &Path) -> Result<Tree> {
        let mut notes = Vec::new();
        let mut say = |names: &[String], what: &str| {
            if !names.is_empty() {
                notes.push(format!("{} {what}: {}", names.len(), super::names::some_of(names)));
            }
        };
        say(&self.left_out, "files or folders are left out");
        let sounds = !self.hidden.is_empty() && self.hidden.iter().all(|name| !kinds::PICTURES.contains(&kinds::extension(name).as_str()));
        let what = if sounds { "sounds" } else { "pictures" };
        say(&self.hidden, &format!("{what} in hidden places, or in folders that systems make, are left out"));
        say(&self.merged, "folders are there in two Unicode forms and are taken for one");
        let results = self.take_results();
        say(&results, "results of wgraft are left out");
        let runs = self.take_runs();
        ensure!(!runs.contains(""), "{} is the folder of a run of wgraft, not of data", root.display());
        say(&runs.into_iter().collect::<Vec<_>>(), "folders of runs of wgraft are left out");
        let entry = |(name, (kind, stamp, contents))| Entry { name, kind, stamp, contents };
        let files = self.files.into_iter().map(entry).collect();
        Ok(Tree { root: root.to_path_buf(), files, folders: self.folders.into_iter().collect(), notes })
    }

    /// Removes what `label` and `curve` leave: pictures that lie beside the tables of the same verb.
    fn take_results(&mut self) -> Vec<String> {
        const RESULTS: [[&str; 2]; 3] = [["ask-next.png", "labels.csv"], ["ask-next.csv", "labels.csv"], ["curve.png", "curve.csv"]];
        let folders: BTreeSet<String> = self.files.keys().map(|name| name[..name.rfind('/').map_or(0, |at| at + 1)].to_string()).collect();
        let mut taken = Vec::new();
        for folder in folders {
            for pair in RESULTS.map(|pair| pair.map(|name| format!("{folder}{name}"))) {
                if pair.iter().all(|name| self.files.contains_key(name)) {
                    pair.iter().for_each(|name| drop(self.files.remove(name)));
                    taken.extend(pair);
                }
            }
            let empty = !folder.is_empty() && !self.files.keys().chain(&self.folders).any(|name| name.starts_with(&folder));
            if empty {
                self.folders.remove(folder.trim_end_matches('/'));
            }
        }
        taken
    }

    /// Removes run folders, and the folders that hold nothing else. Returns their names.
    fn take_runs(&mut self) -> BTreeSet<String> {
        let ours = |contents: &Origin| match contents {
            Origin::Memory(bytes) => bytes.starts_with(RUN_CONFIG_START.as_bytes()),
            Origin::Disk(path) => path.parent().is_some_and(is_run_folder),
        };
        let folder = |name: &str| Some(name.strip_suffix(RUN_CONFIG)?).filter(|f| f.is_empty() || f.ends_with('/')).map(str::to_string);
        let configs = self.files.iter().filter_map(|(name, (.., contents))| Some((folder(name)?, contents)));
        let runs: BTreeSet<String> =
            configs.filter(|(_, contents)| ours(contents)).map(|(folder, _)| folder.trim_end_matches('/').to_string()).collect();
        let within = |name: &str| runs.iter().any(|run| name == run || name.strip_prefix(run).is_some_and(|rest| rest.starts_with('/')));
        self.files.retain(|name, _| !within(name));
        self.folders.retain(|name| !within(name));
        for run in &runs {
            for (at, _) in run.rmatch_indices('/') {
                let above = format!("{}/", &run[..at]);
                if self.files.keys().chain(&self.folders).any(|name| name.starts_with(&above)) {
                    break;
                }
                self.folders.remove(&run[..at]);
            }
        }
        runs
    }
}

/// Why a sound archive is not read.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Refused(&'static str);

/// An archive on its way to a [`Tree`].
struct Unpacking {
    found: Found,
    /// (link, what it leads to)
    links: Vec<(String, String)>,
    total: u64,
    stamp: Stamp,
}

/// The path `target`, seen from the folder of `link`. `None` if it leaves the archive.
fn resolve(link: &str, target: &str) -> Option<String> {
    let above = link.rsplit_once('/').map_or("", |(above, _)| above);
    let mut parts: Vec<&str> = above.split('/').filter(|part| !part.is_empty()).collect();
    for part in target.split('/').filter(|part| !part.is_empty() && *part != ".") {
        match part {
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

impl Unpacking {
    /// The name of a path in an archive; `None` for what is not looked at.
    fn name(&mut self, path: &[u8], is_file: bool) -> Option<String> {
        let path = text(path).replace('\\', "/");
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
        let name = parts.join("/");
        if parts.iter().any(|part| hidden(part)) {
            if is_file && kinds::is_called_sample(&name) {
                self.found.hidden.push(name);
            }
            return None;
        }
        if parts.len() > MOST_DEPTH {
            self.found.left_out.push(format!("{}... lies more than {MOST_DEPTH} folders deep", parts[..2].join("/")));
            return None;
        }
        (!name.is_empty()).then_some(name)
    }

    /// Takes a file of `size` bytes.
    fn take(&mut self, name: String, size: u64, contents: &mut dyn Read) -> Result<()> {
        let mut bytes = Vec::new();
        contents.take(HEAD as u64).read_to_end(&mut bytes)?;
        let kind = kinds::kind(&name, || bytes.clone());
        if matches!(kind, Kind::Sample(_) | Kind::Data) {
            self.total = self.total.saturating_add(size);
            ensure!(self.total <= MOST_UNPACKED_BYTES, "holds more than {} GiB: unpack it, and name the folder", MOST_UNPACKED_BYTES >> 30);
            contents.take(size.saturating_sub(bytes.len() as u64)).read_to_end(&mut bytes)?;
            ensure!(bytes.len() as u64 == size, "{name} ends early");
        }
        let stamp = Stamp { bytes: size, ..self.stamp };
        let contents = Origin::Memory(bytes.into());
        // As when the archive is unpacked, the last one counts.
        if self.found.files.insert(name.clone(), (kind, stamp, contents)).is_some() {
            self.found.left_out.push(format!("{name} is there twice, or differs from another in Unicode form only: the last one counts"));
        }
        Ok(())
    }

    fn tar(&mut self, reader: impl Read) -> Result<()> {
        let mut archive = tar::Archive::new(reader);
        for entry in archive.entries()? {
            let mut entry = entry?;
            let kind = entry.header().entry_type();
            let Some(name) = self.name(&entry.path_bytes(), kind.is_file()) else { continue };
            if kind.is_dir() {
                self.found.folders.insert(name);
            } else if kind.is_file() {
                let size = entry.size();
                self.take(name, size, &mut entry)?;
            } else if let (true, Some(target)) = (kind.is_hard_link() || kind.is_symlink(), entry.link_name_bytes()) {
                let target = text(&target).replace('\\', "/");
                // A hard link names a path from the top of the archive.
                let target = if kind.is_hard_link() { resolve("", &target) } else { resolve(&name, &target) };
                self.links.push((name, target.unwrap_or_default()));
            } else {
                self.found.left_out.push(format!("{name} is neither a file nor a folder"));
            }
        }
        // The sum at the end of gzip data is looked at only by who reads that far.
        std::io::copy(&mut archive.into_inner(), &mut std::io::sink())?;
        Ok(())
    }

    fn zip(&mut self, reader: BufReader<File>) -> Result<()> {
        let mut archive = zip::ZipArchive::new(reader)?;
        for index in 0..archive.len() {
            let encrypted = archive.by_index_raw(index).is_ok_and(|entry| entry.encrypted());
            ensure!(!encrypted, Refused("has encrypted files: unpack it with its password, and name the folder"));
            let mut entry = archive.by_index(index).map_err(|error| match error {
                zip::result::ZipError::UnsupportedArchive(_) => {
                    Refused("is packed by a method that is not read: unpack it, and name the folder").into()
                }
                error => anyhow::Error::from(error),
            })?;
            let path = entry.name().map_or_else(|_| entry.name_raw().to_vec(), |name| name.into_owned().into_bytes());
            let Some(name) = self.name(&path, entry.is_file()) else { continue };
            if entry.is_dir() {
                self.found.folders.insert(name);
            } else if entry.is_symlink() {
                let mut target = Vec::new();
                (&mut entry).take(HEAD as u64 * HEAD as u64).read_to_end(&mut target)?;
                let target = resolve(&name, &text(&target));
                self.links.push((name, target.unwrap_or_default()));
            } else {
                let size = entry.size();
                self.take(name, size, &mut entry)?;
            }
        }
        Ok(())
    }

    /// Follows links to files of the archive; the others are left out.
    fn finish(mut self) -> Found {
        for _ in 0..MOST_LINKS {
            self.links.retain(|(link, target)| {
                let Some((kind, stamp, Origin::Memory(bytes))) = self.found.files.get(target) else { return true };
                let copy = (*kind, *stamp, Origin::Memory(bytes.clone()));
                self.found.files.insert(link.clone(), copy);
                false
            });
        }
        for (link, target) in self.links {
            let where_to = if self.found.folders.contains(&target) { "a folder" } else { "what is not in the archive" };
            self.found.left_out.push(format!("{link} is a link to {where_to}"));
        }
        let names = self.found.files.keys().chain(&self.found.folders);
        let above: Vec<String> = names.flat_map(|name| name.match_indices('/').map(|(at, _)| name[..at].to_string())).collect();
        self.found.folders.extend(above);
        self.found
    }
}
