//! A user's picture as the training data were.

use std::path::Path;

use anyhow::{Context, Result};

use super::decode;
pub use super::decode::{PictureOptions, Remarks};

/// Reads a picture of any size as `options` say: upright, keeping its proportions, what is not covered dark.
pub fn load_picture(path: &Path, options: &PictureOptions) -> Result<(Vec<u8>, Remarks)> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let seen = decode::decode(&bytes, options).with_context(|| path.display().to_string())?;
    Ok((seen.bytes, seen.remarks))
}
