//! Pictures as networks see them: upright, of one size, grey or in colour, bytes from 0 (dark) to 255. Readers of data sets
//! and `predict` share this, so that training and use see the same.

use std::io::Cursor;

use anyhow::{Context, Result, bail, ensure};
use image::imageops::{self, FilterType};
use image::metadata::Orientation;
use image::{DynamicImage, GrayImage, ImageBuffer, ImageDecoder, ImageFormat, ImageReader, Limits, Pixel, Rgb, RgbImage};

use super::split::Split;
use crate::kernels::augment::Image;

/// A picture may take this much memory when decoded (89 megapixels in colour): as many are in memory as there are cores.
pub(super) const MOST_BYTES: u64 = 256 << 20;
/// A side of a picture is at most this.
const LONGEST: u32 = 1 << 16;

/// What the head of a file tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct Look {
    /// Size when upright.
    pub height: u32,
    pub width: u32,
    pub grey: bool,
}

fn open(bytes: &[u8], most: u64) -> Result<impl ImageDecoder + '_> {
    let mut reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format()?;
    match reader.format() {
        Some(ImageFormat::Png | ImageFormat::Jpeg) => {}
        Some(other) => bail!("is in the format {other:?}, not a PNG or JPEG"),
        None => bail!("is not a PNG or JPEG"),
    }
    let mut limits = Limits::default();
    limits.max_alloc = Some(2 * most);
    reader.limits(limits);
    let decoder = reader.into_decoder().context("is not a PNG or JPEG that can be read")?;
    let ((width, height), bytes) = (decoder.dimensions(), decoder.total_bytes());
    ensure_memory(height, width, bytes, most)?;
    Ok(decoder)
}

/// Refuses what would take too much memory.
pub(super) fn ensure_memory(height: u32, width: u32, bytes: u64, most: u64) -> Result<()> {
    ensure!(
        bytes <= most,
        "is {width} x {height} pixels large, {} MiB when decoded; {} MiB are allowed, make it smaller first",
        bytes >> 20,
        most >> 20
    );
    // Resizing works on whole lines of four floats a pixel, however few lines there are.
    ensure!(
        height.max(width) <= LONGEST,
        "is {width} x {height} pixels large; sides of up to {LONGEST} are allowed, make it smaller first"
    );
    Ok(())
}

/// Size and kind of a picture, without decoding it.
pub(super) fn look(bytes: &[u8], most: u64) -> Result<Look> {
    let mut decoder = open(bytes, most)?;
    let (width, height) = decoder.dimensions();
    let grey = !decoder.color_type().has_color();
    use Orientation::{Rotate90, Rotate90FlipH, Rotate270, Rotate270FlipH};
    let lying = matches!(decoder.orientation()?, Rotate90 | Rotate270 | Rotate90FlipH | Rotate270FlipH);
    let (height, width) = if lying { (width, height) } else { (height, width) };
    Ok(Look { height, width, grey })
}

/// A PNG or JPEG as `image`, keeping its proportions: what has other ones gets a border of zeros. What is transparent is
/// zero too. 16 bits become 8. `invert` is for dark ink on light paper.
pub(super) fn decode(bytes: &[u8], image: Image, invert: bool, most: u64) -> Result<Vec<u8>> {
    let mut decoder = open(bytes, most)?;
    let orientation = decoder.orientation()?;
    let mut picture = DynamicImage::from_decoder(decoder).context("is damaged or cut off")?;
    picture.apply_orientation(orientation);
    let background = if invert { 255 } else { 0 };
    if picture.color().has_alpha() {
        picture = opaque(picture, background);
    }
    if invert {
        picture.invert();
    }
    Ok(match image.channels {
        1 => fit(picture.into_luma8(), image),
        _ => fit(picture.into_rgb8(), image),
    })
}

/// Puts a picture with transparency over an even background.
fn opaque(picture: DynamicImage, background: u8) -> DynamicImage {
    let over = |value: u8, alpha: u8| {
        let (value, alpha, background) = (u32::from(value), u32::from(alpha), u32::from(background));
        ((value * alpha + background * (255 - alpha) + 127) / 255) as u8
    };
    if picture.color().has_color() {
        let rgba = picture.into_rgba8();
        let pixel = |x, y| rgba.get_pixel(x, y).0;
        let over = |[r, g, b, a]: [u8; 4]| Rgb([r, g, b].map(|value| over(value, a)));
        RgbImage::from_fn(rgba.width(), rgba.height(), |x, y| over(pixel(x, y))).into()
    } else {
        let grey = picture.into_luma_alpha8();
        let pixel = |x, y| grey.get_pixel(x, y).0;
        let over = |[value, a]: [u8; 2]| image::Luma([over(value, a)]);
        GrayImage::from_fn(grey.width(), grey.height(), |x, y| over(pixel(x, y))).into()
    }
}

/// Where a picture lies in a frame of other proportions: (left, top, width, height).
pub(super) fn place(height: u32, width: u32, frame: Image) -> (u32, u32, u32, u32) {
    let scale = f64::min(f64::from(frame.width) / f64::from(width), f64::from(frame.height) / f64::from(height));
    let scaled = |side: u32, most: u32| ((f64::from(side) * scale).round() as u32).clamp(1, most);
    let (width, height) = (scaled(width, frame.width), scaled(height, frame.height));
    ((frame.width - width) / 2, (frame.height - height) / 2, width, height)
}

fn fit<P: Pixel<Subpixel = u8> + 'static>(picture: ImageBuffer<P, Vec<u8>>, image: Image) -> Vec<u8> {
    if (picture.width(), picture.height()) == (image.width, image.height) {
        return picture.into_raw();
    }
    let (left, top, width, height) = place(picture.height(), picture.width(), image);
    let small = imageops::resize(&picture, width, height, FilterType::Triangle);
    let mut canvas = ImageBuffer::<P, _>::new(image.width, image.height);
    imageops::replace(&mut canvas, &small, left.into(), top.into());
    canvas.into_raw()
}

impl Split {
    /// The samples of a format without files of their own, in another size, grey or in colour.
    pub(super) fn conform(self, image: Image) -> Split {
        use rayon::prelude::*;
        let Image { height, width, channels } = self.image;
        if self.image == image {
            return self;
        }
        let convert = |bytes: &[u8]| {
            let picture = match channels {
                1 => GrayImage::from_raw(width, height, bytes.to_vec()).map(DynamicImage::from),
                _ => RgbImage::from_raw(width, height, bytes.to_vec()).map(DynamicImage::from),
            };
            let picture = picture.expect("a sample has the bytes of its size");
            if image.channels == 1 { fit(picture.into_luma8(), image) } else { fit(picture.into_rgb8(), image) }
        };
        let images = self.images.par_chunks(self.image.len() as usize).flat_map_iter(convert).collect();
        Split { images, image, ..self }
    }
}
