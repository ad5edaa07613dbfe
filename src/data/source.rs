//! Where bytes come from: files, plain or gzipped, folders, and archives that are read as folders in memory.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use anyhow::{Context, Result, bail, ensure};
use flate2::read::MultiGzDecoder;

const GZIP: [u8; 2] = [0x1F, 0x8B];

/// Contents of an archive that are kept in memory, at most.
const MOST_ARCHIVE_BYTES: u64 = 8 << 30;

/// The contents of a file, unpacked if they are gzipped.
pub(super) fn read(path: &Path) -> Result<Vec<u8>> {
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
        .read_to_end(&mut bytes)
        .with_context(|| format!("{name}: the gzip data are damaged or cut off after {} bytes", bytes.len()))?;
    Ok(bytes)
}

/// The name that a user knows a file or folder by.
pub(super) fn name_of(path: &Path) -> String {
    let path = path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
    path.file_name().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned())
}

/// A file of a [`Tree`].
pub(super) struct Entry {
    /// Its path within the tree, with `/`.
    pub name: String,
    pub stamp: Stamp,
    contents: Contents,
}

/// Equal as long as a file has not changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub(super) struct Stamp {
    bytes: u64,
    /// Time of the last change in nanoseconds; 0 if unknown.
    changed: u64,
}

enum Contents {
    Disk(PathBuf),
    Memory(Vec<u8>),
}

impl Stamp {
    fn of(metadata: &std::fs::Metadata) -> Self {
        let since = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        Stamp { bytes: metadata.len(), changed: since.map_or(0, |time| time.as_nanos() as u64) }
    }
}

impl Entry {
    pub fn read(&self) -> Result<Cow<'_, [u8]>> {
        match &self.contents {
            Contents::Memory(bytes) => Ok(Cow::Borrowed(bytes)),
            Contents::Disk(path) => Ok(Cow::Owned(std::fs::read(path).context("cannot be read")?)),
        }
    }

    /// The ending of its name in lower case.
    pub fn extension(&self) -> String {
        extension(&self.name)
    }
}

fn extension(name: &str) -> String {
    Path::new(name).extension().map_or(String::new(), |e| e.to_string_lossy().to_ascii_lowercase())
}

/// Files and folders below a root.
pub(super) struct Tree {
    pub root: PathBuf,
    /// In order of names.
    pub files: Vec<Entry>,
    /// In order of names.
    pub folders: Vec<String>,
}

/// Hidden files, and what operating systems leave in folders and archives.
fn hidden(component: &str) -> bool {
    component.starts_with('.') || component == "__MACOSX"
}

impl Tree {
    /// Everything below a folder that is not hidden. Links are followed.
    pub fn of_folder(root: &Path) -> Result<Self> {
        let (mut files, mut folders) = (Vec::new(), Vec::new());
        let walk = walkdir::WalkDir::new(root).min_depth(1).follow_links(true).sort_by_file_name();
        for entry in walk.into_iter().filter_entry(|e| !hidden(&e.file_name().to_string_lossy())) {
            let entry = entry.with_context(|| format!("cannot read all of {}", root.display()))?;
            let parts = entry.path().strip_prefix(root).unwrap_or(entry.path()).components();
            let name = parts.map(|c| c.as_os_str().to_string_lossy()).collect::<Vec<_>>().join("/");
            if entry.file_type().is_dir() {
                folders.push(name);
            } else {
                let stamp = Stamp::of(&entry.metadata().with_context(|| format!("cannot read {}", entry.path().display()))?);
                files.push(Entry { name, stamp, contents: Contents::Disk(entry.into_path()) });
            }
        }
        files.sort_by(|a, b| a.name.cmp(&b.name));
        folders.sort();
        Ok(Tree { root: root.to_path_buf(), files, folders })
    }

    /// The files in a `.tar` or `.tar.gz` whose endings are `wanted`, in memory.
    pub fn of_archive(path: &Path, wanted: &[&str]) -> Result<Self> {
        let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
        let stamp = Stamp::of(&file.metadata()?);
        let mut reader = BufReader::new(file);
        let gzipped = std::io::BufRead::fill_buf(&mut reader).is_ok_and(|start| start.starts_with(&GZIP));
        let reader: Box<dyn Read> = if gzipped { Box::new(MultiGzDecoder::new(reader)) } else { Box::new(reader) };
        let mut archive = tar::Archive::new(reader);
        let (mut files, mut folders, mut total) = (BTreeMap::new(), Vec::new(), 0_u64);
        let mut unpack = || -> Result<()> {
            for entry in archive.entries()? {
                let mut entry = entry?;
                let path = String::from_utf8_lossy(&entry.path_bytes()).replace('\\', "/");
                let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
                let (name, kind) = (parts.join("/"), entry.header().entry_type());
                if parts.iter().any(|part| hidden(part)) || name.is_empty() {
                    continue;
                }
                if kind.is_dir() {
                    folders.push(name);
                } else if kind.is_file() && wanted.contains(&extension(&name).as_str()) {
                    total += entry.size();
                    if total > MOST_ARCHIVE_BYTES {
                        return Ok(());
                    }
                    let mut bytes = Vec::new();
                    entry.read_to_end(&mut bytes)?;
                    ensure!(bytes.len() as u64 == entry.size(), "{name} ends early");
                    files.insert(name, bytes);
                } else if kind.is_file() {
                    // Named in what is said about files that are left out.
                    files.insert(name, Vec::new());
                }
            }
            Ok(())
        };
        let found = unpack();
        let most = MOST_ARCHIVE_BYTES >> 30;
        ensure!(total <= MOST_ARCHIVE_BYTES, "{} holds more than {most} GiB: unpack it, and name the folder", path.display());
        // The sum at the end of gzip data is looked at only by who reads that far.
        let found = found.and_then(|()| Ok(std::io::copy(&mut archive.into_inner(), &mut std::io::sink())?));
        if let Err(error) = found {
            bail!("{} is damaged or cut off (after {} files): {error:#}", path.display(), files.len());
        }
        for name in files.keys() {
            let above = name.match_indices('/').map(|(at, _)| name[..at].to_string());
            folders.extend(above);
        }
        folders.sort();
        folders.dedup();
        let entry = |(name, bytes): (String, Vec<u8>)| {
            let stamp = Stamp { bytes: bytes.len() as u64, ..stamp };
            Entry { name, stamp, contents: Contents::Memory(bytes) }
        };
        Ok(Tree { root: path.to_path_buf(), files: files.into_iter().map(entry).collect(), folders })
    }
}
