//! Many files decoded at once, and the decoded copies kept for the next run.

use std::collections::HashMap;
use std::path::Path;

use anyhow::Result;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::ReadOptions;
use super::decode::{Look, MOST_BYTES, PictureOptions, Remarks, Seen};
use super::tree::{Entry, Stamp};
use crate::cache;
use crate::core::sample::Image;
use crate::error::chain;

/// More than this is decoded anew each time rather than kept.
const MOST_KEPT: usize = 4 << 30;

/// Grows when the meaning of kept bytes changes.
const VERSION: u32 = 4;

/// How one kind of file is read.
pub(super) struct Codec {
    pub kind: &'static str,
    pub look: fn(&[u8], u64) -> Result<Look>,
    pub decode: fn(&[u8], &PictureOptions) -> Result<Seen>,
}

/// A file that was read.
pub(super) struct Read {
    pub look: Look,
    pub seen: Seen,
}

/// Files that were read, in the order asked for; a reason in place of each that could not be.
pub(super) struct Decoded {
    pub image: Image,
    pub files: Vec<Result<Read, String>>,
    /// What a user must be told.
    pub note: Option<String>,
}

/// Where decoded copies wait.
pub(super) struct Store(cache::CacheFile);

/// The head of a store; the decoded files follow, one after the other.
#[derive(Serialize, Deserialize)]
struct Head {
    image: Image,
    files: Vec<Kept>,
}

#[derive(Serialize, Deserialize)]
struct Kept {
    name: String,
    stamp: Stamp,
    look: Look,
    remarks: Remarks,
}

impl Store {
    pub fn new(folder: &Path, root: &Path, kind: &str, options: &str) -> Self {
        let root = root.canonicalize().unwrap_or_else(|_| root.to_path_buf());
        Store(cache::CacheFile::new(&folder.join("decoded"), format!("{VERSION}: {kind} of {} with {options}", root.display())))
    }

    /// What is there, whole and undamaged.
    fn load(&self) -> Option<(Head, Vec<u8>)> {
        let (head, contents): (Head, _) = self.0.load()?;
        (contents.len() == head.files.len() * head.image.len() as usize).then_some((head, contents))
    }

    fn save(&self, entries: &[&Entry], decoded: &Decoded) -> Result<()> {
        let whole = || entries.iter().zip(&decoded.files).filter_map(|(entry, file)| Some((entry, file.as_ref().ok()?)));
        let contents: Vec<&[u8]> = whole().map(|(_, read)| read.seen.bytes.as_slice()).collect();
        let kept =
            whole().map(|(entry, read)| Kept { name: entry.name.clone(), stamp: entry.stamp, look: read.look, remarks: read.seen.remarks });
        self.0.save(Head { image: decoded.image, files: kept.collect() }, &contents)
    }
}

/// Reads files in parallel, from the store where they have not changed since. `choose` gives the size and the channels of all,
/// by a look at each.
pub(super) fn decode_all(
    entries: &[&Entry],
    codec: &Codec,
    store: Option<&Store>,
    asked: &ReadOptions,
    choose: impl FnOnce(&[Look]) -> Image,
) -> Decoded {
    let kept = store.and_then(Store::load);
    let files = kept.iter().flat_map(|(head, _)| head.files.iter().enumerate());
    let known: HashMap<(&str, Stamp), (&Kept, usize)> =
        files.map(|(index, file)| ((file.name.as_str(), file.stamp), (file, index))).collect();
    let find = |entry: &Entry| known.get(&(entry.name.as_str(), entry.stamp)).copied();
    let most = asked.most_picture_bytes.unwrap_or(MOST_BYTES);
    let said = |error: anyhow::Error| chain(&error);
    let look = |entry: &&Entry| match find(entry) {
        Some((kept, _)) => Ok(kept.look),
        None => entry.read().and_then(|bytes| (codec.look)(&bytes, most)).map_err(said),
    };
    let looks: Vec<Result<Look, String>> = entries.par_iter().map(look).collect();
    let image = choose(&looks.iter().filter_map(|look| look.as_ref().ok().copied()).collect::<Vec<_>>());
    let size = image.len() as usize;
    let options = PictureOptions { bits: asked.bits, resize: asked.resize, most_bytes: most, ..PictureOptions::plain(image) };
    let usable = kept.as_ref().filter(|(head, _)| head.image == image).map(|(_, contents)| contents);
    let decode = |(entry, look): (&&Entry, Result<Look, String>)| {
        let look = look?;
        let kept = usable.and_then(|contents| {
            let (kept, index) = find(entry)?;
            Some(Seen { bytes: contents[index * size..(index + 1) * size].to_vec(), remarks: kept.remarks })
        });
        let seen = match kept {
            Some(seen) => seen,
            None => entry.read().and_then(|bytes| (codec.decode)(&bytes, &options)).map_err(said)?,
        };
        Ok(Read { look, seen })
    };
    let files: Vec<_> = entries.par_iter().zip(looks).map(decode).collect();
    let mut decoded = Decoded { image, files, note: None };
    let unchanged = usable.is_some_and(|_| {
        let whole = entries.iter().zip(&decoded.files).filter(|(_, file)| file.is_ok());
        whole.clone().count() == known.len() && whole.clone().all(|(entry, _)| find(entry).is_some())
    });
    if let Some(store) = store.filter(|_| !unchanged && entries.len() * size <= MOST_KEPT) {
        let failed = store.save(entries, &decoded).err();
        decoded.note = failed.map(|e| format!("decoded {} were not kept for the next run: {e:#}", codec.kind));
    }
    decoded
}
