//! A user's picture as the training data were.

use std::path::Path;

use anyhow::{Context, Result};

use super::decode;
use crate::kernels::augment::Image;

/// Reads a PNG or JPEG of any size as `size`: upright, keeping its proportions, what is not covered dark. `invert` is for
/// dark ink on light paper.
pub fn load_picture(path: &Path, size: Image, invert: bool) -> Result<Vec<u8>> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    decode::decode(&bytes, size, invert, decode::MOST_BYTES).with_context(|| path.display().to_string())
}
