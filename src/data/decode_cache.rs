//! Many files decoded at once, and the decoded copies kept for the next run.

use std::collections::HashMap;
use std::path::Path;

use anyhow::Result;
use rayon::prelude::*;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::ReadOptions;
use super::decode::{MOST_BYTES, PictureOptions, Remarks, Seen};
use super::excerpt::Excerpt;
use super::sound_form::SoundForm;
use super::tree::{Entry, Stamp};
use crate::cache;
use crate::core::sample::Image;
use crate::error::chain;

/// More than this is decoded anew each time rather than kept.
const MOST_KEPT: usize = 4 << 30;

/// Grows when the meaning of kept bytes changes.
const VERSION: u32 = 7;

/// How one kind of file is read.
pub(super) trait Codec {
    /// What the head of a file tells.
    type Look: Copy + Send + Sync + Serialize + DeserializeOwned;
    /// For people.
    const KIND: &'static str;

    /// A look at a file that may take so many bytes when decoded.
    fn look(entry: &Entry, most: u64) -> Result<Self::Look>;

    /// A file, or a part of it.
    fn decode(entry: &Entry, excerpt: Option<Excerpt>, options: &PictureOptions) -> Result<Seen>;
}

/// What becomes a sample: a file, or a part of it.
pub(super) struct FilePart<'a> {
    /// That of the file, and where it is a part, of that.
    pub name: String,
    pub entry: &'a Entry,
    pub excerpt: Option<Excerpt>,
}

impl<'a> FilePart<'a> {
    pub fn whole(entry: &'a Entry) -> Self {
        FilePart { name: entry.name.clone(), entry, excerpt: None }
    }
}

/// A file that was read.
pub(super) struct Read<L> {
    pub look: L,
    pub seen: Seen,
}

/// Pieces that were read, in the order asked for; a reason in place of each that could not be.
pub(super) struct Decoded<L> {
    /// What they were read as.
    pub options: PictureOptions,
    pub files: Vec<Result<Read<L>, String>>,
    /// What a user must be told.
    pub note: Option<String>,
}

/// Where decoded copies wait.
pub(super) struct Store(cache::CacheFile);

/// The head of a store; the decoded files follow, one after the other.
#[derive(Serialize, Deserialize)]
struct Head<L> {
    image: Image,
    /// How sounds became what they are.
    sound_form: Option<SoundForm>,
    files: Vec<Kept<L>>,
}

#[derive(Serialize, Deserialize)]
struct Kept<L> {
    name: String,
    stamp: Stamp,
    look: L,
    remarks: Remarks,
    /// Where its bytes end.
    end: usize,
}

impl<L> Head<L> {
    /// Where the bytes of a file are.
    fn place(&self, index: usize) -> std::ops::Range<usize> {
        index.checked_sub(1).map_or(0, |before| self.files[before].end)..self.files[index].end
    }

    /// Whether its files are what follows it, so many bytes.
    fn describes(&self, length: usize) -> bool {
        self.files.is_sorted_by_key(|file| file.end) && self.files.last().map_or(0, |last| last.end) == length
    }
}

impl Store {
    pub fn new(folder: &Path, root: &Path, kind: &str, options: &str) -> Self {
        let root = root.canonicalize().unwrap_or_else(|_| root.to_path_buf());
        Store(cache::CacheFile::new(&folder.join("decoded"), format!("{VERSION}: {kind} of {} with {options}", root.display())))
    }

    /// What is there, whole and undamaged.
    fn load<L: DeserializeOwned>(&self) -> Option<(Head<L>, Vec<u8>)> {
        let (head, contents): (Head<L>, _) = self.0.load()?;
        head.describes(contents.len()).then_some((head, contents))
    }

    fn save<L: Copy + Serialize>(&self, pieces: &[FilePart<'_>], decoded: &Decoded<L>) -> Result<()> {
        let whole = || pieces.iter().zip(&decoded.files).filter_map(|(piece, file)| Some((piece, file.as_ref().ok()?)));
        let contents: Vec<&[u8]> = whole().map(|(_, read)| read.seen.bytes.as_slice()).collect();
        let mut end = 0;
        let kept = |(piece, read): (&FilePart<'_>, &Read<L>)| {
            end += read.seen.bytes.len();
            Kept { name: piece.name.clone(), stamp: piece.entry.stamp, look: read.look, remarks: read.seen.remarks, end }
        };
        let PictureOptions { image, sound_form, .. } = decoded.options;
        self.0.save(Head { image, sound_form, files: whole().map(kept).collect() }, &contents)
    }
}

/// Reads pieces in parallel, from the store where their files have not changed since. `choose` says by a look at each what all become.
pub(super) fn decode_all<C: Codec>(
    pieces: &[FilePart<'_>],
    store: Option<&Store>,
    asked: &ReadOptions,
    choose: impl FnOnce(&[(C::Look, Option<Excerpt>)]) -> Result<PictureOptions>,
) -> Result<Decoded<C::Look>> {
    let kept = store.and_then(Store::load::<C::Look>);
    let files = kept.iter().flat_map(|(head, _)| head.files.iter().enumerate());
    let known: HashMap<(&str, Stamp), _> = files.map(|(index, file)| ((file.name.as_str(), file.stamp), (file, index))).collect();
    let find = |piece: &FilePart<'_>| known.get(&(piece.name.as_str(), piece.entry.stamp)).copied();
    let most = asked.most_picture_bytes.unwrap_or(MOST_BYTES);
    let said = |error: anyhow::Error| chain(&error);
    let look = |piece: &FilePart<'_>| match find(piece) {
        Some((kept, _)) => Ok(kept.look),
        None => C::look(piece.entry, most).map_err(said),
    };
    let looks: Vec<Result<C::Look, String>> = pieces.par_iter().map(look).collect();
    let seen = pieces.iter().zip(&looks).filter_map(|(piece, look)| Some((*look.as_ref().ok()?, piece.excerpt)));
    let options = choose(&seen.collect::<Vec<_>>())?;
    let options = PictureOptions { bits: asked.bits, resize: asked.resize, most_bytes: most, ..options };
    let same = |head: &Head<C::Look>| (head.image, head.sound_form) == (options.image, options.sound_form);
    let usable = kept.as_ref().filter(|(head, _)| same(head));
    let decode = |(piece, look): (&FilePart<'_>, Result<C::Look, String>)| {
        let look = look?;
        let kept = usable.and_then(|(head, contents)| {
            let (kept, index) = find(piece)?;
            Some(Seen { bytes: contents[head.place(index)].to_vec(), remarks: kept.remarks })
        });
        let seen = match kept {
            Some(seen) => seen,
            None => C::decode(piece.entry, piece.excerpt, &options).map_err(said)?,
        };
        Ok(Read { look, seen })
    };
    let files: Vec<_> = pieces.par_iter().zip(looks).map(decode).collect();
    let mut decoded = Decoded { options, files, note: None };
    let unchanged = usable.is_some_and(|_| {
        let whole = pieces.iter().zip(&decoded.files).filter(|(_, file)| file.is_ok());
        whole.clone().count() == known.len() && whole.clone().all(|(piece, _)| find(piece).is_some())
    });
    let bytes: usize = decoded.files.iter().flatten().map(|read| read.seen.bytes.len()).sum();
    if let Some(store) = store.filter(|_| !unchanged && bytes <= MOST_KEPT) {
        let failed = store.save(pieces, &decoded).err();
        decoded.note = failed.map(|e| format!("decoded {} were not kept for the next run: {e:#}", C::KIND));
    }
    Ok(decoded)
}
