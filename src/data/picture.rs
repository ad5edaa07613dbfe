//! A user's picture as the training data were.

use std::io::{Cursor, Read};
use std::path::Path;

use anyhow::{Context, Result};
use image::metadata::Orientation;
use image::{ImageDecoder, ImageFormat, ImageReader};

use super::{decode, layout};
use crate::kernels::augment::Image;

/// Reads a PNG or JPEG of any size as `size`: upright, keeping its proportions, what is not covered dark. `invert` is for
/// dark ink on light paper.
pub fn load_picture(path: &Path, size: Image, invert: bool) -> Result<Vec<u8>> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    decode::decode(&bytes, size, invert).with_context(|| path.display().to_string())
}

/// How large a picture is when it lies upright, and whether it had to be turned or mirrored for that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Upright {
    pub height: u32,
    pub width: u32,
    pub turned: bool,
}

pub fn upright(path: &Path) -> Result<Upright> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let look = decode::look(&bytes).with_context(|| path.display().to_string())?;
    let orientation = ImageReader::new(Cursor::new(&bytes)).with_guessed_format()?.into_decoder()?.orientation()?;
    Ok(Upright { height: look.height, width: look.width, turned: orientation != Orientation::NoTransforms })
}

/// Whether a file is a picture by its name or by how it begins.
pub fn looks_like_picture(path: &Path) -> bool {
    let extension = path.extension().map_or(String::new(), |e| e.to_string_lossy().to_ascii_lowercase());
    let mut head = Vec::new();
    let mut read = || std::fs::File::open(path)?.take(16).read_to_end(&mut head);
    layout::PICTURES.contains(&extension.as_str())
        || (path.is_file() && read().is_ok() && matches!(image::guess_format(&head), Ok(ImageFormat::Png | ImageFormat::Jpeg)))
}
