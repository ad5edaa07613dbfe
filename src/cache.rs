//! What is kept between runs and can be made anew: tuned choices, decoded pictures, features.

use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::core::time::touch;
use crate::files;

/// Names another folder than the user's cache folder.
const VARIABLE: &str = "WGRAFT_CACHE";

/// `None` where the system knows no such folder and the user names none.
pub fn folder() -> Option<PathBuf> {
    std::env::var_os(VARIABLE).map(PathBuf::from).or_else(|| Some(dirs::cache_dir()?.join("wgraft")))
}

/// The file in which something waits: its key is all that the contents depend on besides what the head tells.
pub struct CacheFile {
    path: PathBuf,
    key: String,
}

/// What a file begins with, behind its length; the contents follow.
#[derive(Serialize, Deserialize)]
struct Envelope<H> {
    key: String,
    crc: u32,
    head: H,
}

impl CacheFile {
    /// In `folder`, one for each key.
    pub fn new(folder: &Path, key: String) -> Self {
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        CacheFile { path: folder.join(format!("{:016x}", hasher.finish())), key }
    }

    /// Head and contents, whole and undamaged, if they are there.
    pub fn load<H: DeserializeOwned>(&self) -> Option<(H, Vec<u8>)> {
        let mut bytes = std::fs::read(&self.path).ok()?;
        let length = u64::from_le_bytes(bytes.get(..8)?.try_into().ok()?);
        let start = usize::try_from(length).ok()?.checked_add(8)?;
        let Envelope { key, crc, head } = serde_json::from_slice(bytes.get(8..start)?).ok()?;
        let contents = bytes.split_off(start);
        (key == self.key && crc_of(&[&contents]) == crc).then_some((head, contents))
    }

    /// In the place of what was there.
    pub fn save<H: Serialize>(&self, head: H, contents: &[&[u8]]) -> Result<()> {
        let envelope = serde_json::to_vec(&Envelope { key: self.key.clone(), crc: crc_of(contents), head })?;
        files::write(&self.path, |file| {
            file.write_all(&(envelope.len() as u64).to_le_bytes())?;
            file.write_all(&envelope)?;
            contents.iter().try_for_each(|bytes| file.write_all(bytes))
        })
    }

    /// It is the last of its folder to be given up by [`keep_within`].
    pub fn used(&self) {
        // A clock that cannot be set only makes it go sooner.
        let _ = File::options().append(true).open(&self.path).and_then(|file| touch(&file));
    }
}

/// Removes the files of `folder` that were used longest ago, until the others take at most `most` bytes.
pub fn keep_within(folder: &Path, most: u64) -> std::io::Result<()> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let about = entry.metadata()?;
        files.push((about.modified()?, about.len(), entry.path()));
    }
    files.sort();
    let mut left: u64 = files.iter().map(|(_, bytes, _)| bytes).sum();
    for (_, bytes, path) in files {
        if left <= most {
            break;
        }
        std::fs::remove_file(path)?;
        left -= bytes;
    }
    Ok(())
}

fn crc_of(parts: &[&[u8]]) -> u32 {
    let mut crc = flate2::Crc::new();
    parts.iter().for_each(|part| crc.update(part));
    crc.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_damaged_or_of_another_key_is_none() {
        let folder = tempfile::tempdir().expect("a folder");
        let kept = CacheFile::new(folder.path(), "one".into());
        assert!(kept.load::<u32>().is_none(), "nothing is there yet");
        kept.save(7_u32, &[b"con", b"tents"]).expect("it is written");
        assert_eq!(kept.load::<u32>(), Some((7, b"contents".to_vec())));
        let moved = CacheFile { path: kept.path.clone(), key: "two".into() };
        assert!(moved.load::<u32>().is_none(), "keys that fall together are told apart");
        let mut bytes = std::fs::read(&kept.path).expect("it is there");
        for at in [3, 12, bytes.len() - 1] {
            bytes[at] ^= 0x10;
            std::fs::write(&kept.path, &bytes).expect("it is written");
            assert!(kept.load::<u32>().is_none(), "byte {at} is damaged");
            bytes[at] ^= 0x10;
        }
        std::fs::write(&kept.path, &bytes[..bytes.len() - 1]).expect("it is written");
        assert!(kept.load::<u32>().is_none(), "the end is missing");
    }

    #[test]
    fn what_was_used_longest_ago_goes_first() {
        let folder = tempfile::tempdir().expect("a folder");
        let kept = ["a", "b", "c"].map(|key| CacheFile::new(folder.path(), key.into()));
        let wait = || std::thread::sleep(std::time::Duration::from_millis(20));
        for kept in &kept {
            kept.save((), &[&[0; 1000]]).expect("it is written");
            wait();
        }
        kept[0].used();
        keep_within(folder.path(), 2500).expect("they are removed");
        assert_eq!(kept.each_ref().map(|kept| kept.load::<()>().is_some()), [true, false, true]);
    }
}
