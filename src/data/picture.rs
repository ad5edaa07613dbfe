//! A user's picture as the training data were: grey, the model's size, light on dark.

use std::path::Path;

use anyhow::{Context, Result};
use image::imageops::FilterType;
use image::{GrayImage, Luma, imageops};

use crate::kernels::augment::Image;

/// Reads a PNG or JPEG of any size as `size`, keeping its proportions: what is not square gets a dark border. `invert`
/// is for dark ink on light paper.
pub fn load_picture(path: &Path, size: Image, invert: bool) -> Result<Vec<u8>> {
    let reader = image::ImageReader::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    let reader = reader.with_guessed_format().with_context(|| format!("cannot read {}", path.display()))?;
    let picture = reader.decode().with_context(|| format!("{} is not a PNG or JPEG that can be read", path.display()))?;
    let mut grey = picture.to_luma8();
    if invert {
        imageops::invert(&mut grey);
    }
    if (grey.width(), grey.height()) == (size.width, size.height) {
        return Ok(grey.into_raw());
    }
    let scale = f64::min(f64::from(size.width) / f64::from(grey.width()), f64::from(size.height) / f64::from(grey.height()));
    let scaled = |side: u32, most: u32| ((f64::from(side) * scale).round() as u32).clamp(1, most);
    let (width, height) = (scaled(grey.width(), size.width), scaled(grey.height(), size.height));
    let small = imageops::resize(&grey, width, height, FilterType::Triangle);
    let mut canvas = GrayImage::from_pixel(size.width, size.height, Luma([0]));
    imageops::replace(&mut canvas, &small, i64::from((size.width - width) / 2), i64::from((size.height - height) / 2));
    Ok(canvas.into_raw())
}
