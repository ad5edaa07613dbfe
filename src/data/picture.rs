//! A user's picture as the training data were.

use std::path::Path;

use anyhow::{Context, Result};

use super::decode;
pub use super::decode::{Look, PictureOptions, Remarks};
use super::kinds::{self, Kind};
use super::tree;

/// Reads a picture of any size as `options` say: upright, keeping its proportions.
pub fn load_picture(path: &Path, options: &PictureOptions) -> Result<(Vec<u8>, Remarks)> {
    let bytes = read(path)?;
    let seen = decode::decode(&bytes, options).with_context(|| path.display().to_string())?;
    Ok((seen.bytes, seen.remarks))
}

fn read(path: &Path) -> Result<Vec<u8>> {
    tree::ensure_file(path)?;
    std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

/// Size and kind of a picture, without decoding it.
pub fn look_at(path: &Path) -> Result<Look> {
    let bytes = read(path)?;
    decode::look(&bytes, decode::MOST_BYTES).with_context(|| path.display().to_string())
}

/// Whether a file is a picture, in a format that is read or not, by its name or by how it begins.
pub fn looks_like_picture(path: &Path) -> bool {
    matches!(kinds::kind(&path.to_string_lossy(), || tree::head_of(path)), Kind::Picture | Kind::Foreign(..))
}
