//! What people look at or take elsewhere: contact sheets and plots as PNG, embeddings as `.npy` and CSV.

mod glyphs;
mod matrices;
mod plot;
mod sheet;

use std::path::Path;

use anyhow::{Context, Result};
use image::{EncodableLayout, ImageBuffer, PixelWithColorType, Rgb};

use crate::files;

pub use matrices::{write_csv, write_npy};
pub use plot::{Line, Plot, Point};
pub use sheet::{ContactSheet, Tile, Tone};

const WHITE: Rgb<u8> = Rgb([255, 255, 255]);
/// Of text.
const INK: Rgb<u8> = Rgb([38, 42, 48]);
/// Of text that is less important.
const PALE_INK: Rgb<u8> = Rgb([108, 114, 122]);
/// Of frames and grids.
const HAIR: Rgb<u8> = Rgb([218, 221, 225]);

/// Writes a picture as PNG, whatever the path's ending.
pub fn save_png<P>(picture: &ImageBuffer<P, Vec<P::Subpixel>>, path: &Path) -> Result<()>
where
    P: PixelWithColorType,
    [P::Subpixel]: EncodableLayout,
{
    let mut png = std::io::Cursor::new(Vec::new());
    picture.write_to(&mut png, image::ImageFormat::Png).context("the picture cannot be encoded")?;
    files::write(path, |file| file.write_all(png.get_ref()))
}
