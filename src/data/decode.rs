//! Pictures as networks see them: upright, of one size, grey or in colour, bytes from 0 (dark) to 255. Readers of data sets
//! and `predict` share this, so that training and use see the same.

use std::io::Cursor;

use anyhow::{Context, Result, bail, ensure};
use image::codecs::gif::GifDecoder;
use image::codecs::png::PngDecoder;
use image::codecs::webp::WebPDecoder;
use image::imageops::{self, FilterType};
use image::metadata::Orientation;
use image::{AnimationDecoder, DynamicImage, GrayImage, ImageBuffer, ImageDecoder, ImageFormat, ImageReader, Limits, Pixel, Rgb, RgbImage};
use rayon::prelude::*;
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::kinds::{HEAD, foreign, misnamed};
use super::samples::{Samples, SharedRows};
use super::tiff::Directory;
use crate::core::sample::Image;

/// A picture may take this much memory when decoded (89 megapixels in colour): as many are in memory as there are cores.
pub const MOST_BYTES: u64 = 256 << 20;

/// Of a picture in a file.
const LONGEST_SIDE: u32 = 1 << 16;

/// What the head of a file tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Look {
    /// Size when upright.
    pub height: u32,
    pub width: u32,
    pub grey: bool,
    /// It is stored lying or mirrored.
    pub turned: bool,
}

/// What a picture is made into.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PictureOptions {
    pub image: Image,
    /// Dark ink on light paper becomes light on dark.
    pub invert: bool,
    /// Of each value of a picture, the bits that are used: they are stretched over the whole range.
    pub bits: Option<u32>,
    /// A picture may take this much memory when decoded.
    pub most_bytes: u64,
}

impl PictureOptions {
    /// As it is, as `image`.
    pub fn plain(image: Image) -> Self {
        PictureOptions { image, invert: false, bits: None, most_bytes: MOST_BYTES }
    }
}

/// A decoded picture.
pub(super) struct Seen {
    pub bytes: Vec<u8>,
    pub remarks: Remarks,
}

/// What a user should know of a decoded picture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Remarks {
    /// The file ends early; what is missing is grey.
    pub cut: bool,
    /// There are more frames or pages than the first, which is read.
    pub more_frames: bool,
    /// What it shows is dark on transparent ground: it lies on white.
    pub on_white: bool,
    /// All pixels are alike.
    pub constant: bool,
    /// Values above those that `bits` allow became the largest.
    pub clipped: bool,
    /// Bits of a value, and of those that nearly all values need: 0 where they are no whole numbers.
    pub depth: u32,
    pub needed: u32,
}

/// Whether a remark is of a kind, and what is said of pictures with such.
type RemarkKind = (fn(&Remarks) -> bool, &'static str);

impl Remarks {
    /// Each kind of remark, and what is said of pictures that it fits.
    pub(super) const KINDS: [RemarkKind; 5] = [
        (|r| r.cut, "ends early or is damaged and is used as far as it goes (what is missing is grey)"),
        (|r| r.more_frames, "has several frames or pages, of which the first is read"),
        (|r| r.on_white, "is dark on transparent ground: it lies on white, others on black"),
        (|r| r.constant, "is of one even colour"),
        (|r| r.clipped, "has values beyond --bits, which became the largest"),
    ];

    /// What is to be said of a picture of which `bits` are read.
    pub fn said(&self, bits: Option<u32>) -> Vec<&'static str> {
        let dark = (bits.is_none() && self.nearly_black()).then_some("is nearly black, as most of its bits are used by few values or none");
        Self::KINDS.iter().filter(|(fits, _)| fits(self)).map(|(_, said)| *said).chain(dark).collect()
    }

    /// Nearly all values lie in a quarter of the range, or less, which is not all that there is.
    pub fn nearly_black(&self) -> bool {
        self.needed > 0 && self.needed + 2 <= self.depth
    }
}

fn open(bytes: &[u8], most: u64) -> Result<(ImageFormat, Box<dyn ImageDecoder + '_>)> {
    let reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format()?;
    use ImageFormat::{Bmp, Gif, Jpeg, Png, Tiff, WebP};
    let format = match (reader.format(), foreign(&bytes[..bytes.len().min(HEAD)])) {
        (_, Some((format, how))) => bail!("is in {format}: {how}"),
        (Some(format @ (Png | Jpeg | WebP | Gif | Bmp | Tiff)), _) => format,
        (Some(other), _) => bail!("is in the format {other:?}, which is not read: make it a PNG"),
        (None, _) if misnamed(&bytes[..bytes.len().min(HEAD)]).is_some() => {
            bail!("{}", misnamed(&bytes[..bytes.len().min(HEAD)]).unwrap_or_default())
        }
        (None, _) if bytes.is_empty() => bail!("is empty, not a PNG or JPEG"),
        (None, _) => bail!("is not a PNG or JPEG, nor in another format that is read"),
    };
    if let (Tiff, Some(directory)) = (format, Directory::first(bytes)) {
        directory.ensure_within(bytes)?;
    }
    let mut limits = Limits::default();
    limits.max_alloc = Some(2 * most);
    let cursor = Cursor::new(bytes);
    let unreadable = || format!("is not a {format:?} that can be read");
    let mut decoder: Box<dyn ImageDecoder + '_> = match format {
        Png => Box::new(PngDecoder::with_limits(cursor, limits.clone()).with_context(unreadable)?),
        _ => {
            let mut reader = ImageReader::with_format(cursor, format);
            reader.limits(limits.clone());
            Box::new(reader.into_decoder().with_context(unreadable)?)
        }
    };
    let ((width, height), size) = (decoder.dimensions(), decoder.total_bytes());
    // Resizing works on whole lines of numbers.
    ensure!(width.max(height) <= LONGEST_SIDE, "is {width} x {height} pixels large; sides may be at most {LONGEST_SIDE}");
    ensure_memory(height, width, size, most)?;
    decoder.set_limits(limits).with_context(unreadable)?;
    Ok((format, decoder))
}

/// Refuses what would take too much memory.
pub(super) fn ensure_memory(height: u32, width: u32, bytes: u64, most: u64) -> Result<()> {
    ensure!(
        bytes <= most,
        "is {width} x {height} pixels large, {} MiB when decoded; {} MiB are allowed, make it smaller first",
        bytes >> 20,
        most >> 20
    );
    Ok(())
}

/// Size and kind of a picture, without decoding it.
pub(super) fn look(bytes: &[u8], most: u64) -> Result<Look> {
    let (_, mut decoder) = open(bytes, most)?;
    let (width, height) = decoder.dimensions();
    ensure!(width > 0 && height > 0, "has no pixels");
    let grey = !decoder.color_type().has_color();
    use Orientation::{Rotate90, Rotate90FlipH, Rotate270, Rotate270FlipH};
    let orientation = decoder.orientation()?;
    let lying = matches!(orientation, Rotate90 | Rotate270 | Rotate90FlipH | Rotate270FlipH);
    let (height, width) = if lying { (width, height) } else { (height, width) };
    Ok(Look { height, width, grey, turned: orientation != Orientation::NoTransforms })
}

/// A picture as `options.image`, keeping its proportions: what has other ones gets a border of zeros. What is transparent lies on
/// zeros, or where what it shows is dark, on white. 16 bits become 8.
pub(super) fn decode(bytes: &[u8], options: &PictureOptions) -> Result<Seen> {
    let (format, mut decoder) = open(bytes, options.most_bytes)?;
    let orientation = decoder.orientation()?;
    let mut picture = DynamicImage::from_decoder(decoder).context("is damaged or cut off")?;
    let mut remarks =
        Remarks { cut: format == ImageFormat::Jpeg && is_cut(bytes), more_frames: has_more(format, bytes), ..Remarks::default() };
    picture.apply_orientation(orientation);
    stretch(&mut picture, options.bits, &mut remarks)?;
    if picture.color().has_alpha() {
        (picture, remarks.on_white) = opaque(picture);
    }
    if options.invert {
        picture.invert();
    }
    let image = options.image;
    let whole = match image.channels {
        1 => DynamicImage::from(picture.into_luma8()),
        _ => DynamicImage::from(picture.into_rgb8()),
    };
    let pixels = whole.as_bytes();
    remarks.constant = pixels.chunks_exact(image.channels as usize).all(|pixel| pixel == &pixels[..image.channels as usize]);
    let bytes = match whole {
        DynamicImage::ImageLuma8(grey) => fit(grey, image),
        colour => fit(colour.into_rgb8(), image),
    };
    Ok(Seen { bytes, remarks })
}

/// Whether something of a JPEG is missing or damaged, which decoders fill up with grey unless they are strict. What ends early with
/// the mark of an end looks whole.
fn is_cut(bytes: &[u8]) -> bool {
    let options = DecoderOptions::default().set_strict_mode(true).jpeg_set_out_colorspace(ColorSpace::YCbCr);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    // Heads that are odd say nothing of what follows.
    if decoder.decode_headers().is_ok() { decoder.decode().is_err() } else { has_no_end(bytes) }
}

/// Whether a JPEG has no end. In the data of a scan, its mark stands for nothing else.
fn has_no_end(bytes: &[u8]) -> bool {
    const SCAN: [u8; 2] = [0xFF, 0xDA];
    const END: [u8; 2] = [0xFF, 0xD9];
    let mut at = 2;
    // Segments before the first scan may hold a small picture, with an end of its own.
    while bytes.get(at) == Some(&0xFF) && bytes.get(at..at + 2) != Some(&SCAN[..]) {
        let Some(length) = bytes.get(at + 2..at + 4) else { break };
        at += 2 + usize::from(u16::from_be_bytes([length[0], length[1]]));
    }
    !bytes.get(at..).unwrap_or_default().windows(2).any(|pair| pair == END)
}

/// Whether there are more frames or pages than the first.
fn has_more(format: ImageFormat, bytes: &[u8]) -> bool {
    let cursor = Cursor::new(bytes);
    match format {
        ImageFormat::Gif => GifDecoder::new(cursor).is_ok_and(|gif| gif.into_frames().take(2).count() > 1),
        ImageFormat::Png => PngDecoder::new(cursor).is_ok_and(|png| png.is_apng().unwrap_or(false)),
        ImageFormat::WebP => WebPDecoder::new(cursor).is_ok_and(|webp| webp.has_animation()),
        ImageFormat::Tiff => Directory::first(bytes).is_some_and(|directory| directory.more),
        _ => false,
    }
}

/// Largest values, and those of fewer bits than they are stored with stretched over all.
fn stretch(picture: &mut DynamicImage, bits: Option<u32>, remarks: &mut Remarks) -> Result<()> {
    fn of<T: Copy + Into<u32> + TryFrom<u32>>(values: &mut [T], step: usize, depth: u32, bits: Option<u32>, remarks: &mut Remarks) {
        // Every channel but alpha.
        let colours = if step.is_multiple_of(2) { step - 1 } else { step };
        let most = (1_u32 << depth) - 1;
        // Of values, by the number of bits that they need.
        let mut counts = [0_usize; 17];
        for pixel in values.chunks_exact_mut(step) {
            for value in &mut pixel[..colours] {
                counts[(u32::BITS - (*value).into().leading_zeros()) as usize] += 1;
                if let Some(bits) = bits.filter(|bits| *bits < depth) {
                    let wide = u64::from((*value).into()) * u64::from(most) / u64::from((1_u32 << bits) - 1);
                    remarks.clipped |= wide > u64::from(most);
                    *value = T::try_from(wide.min(u64::from(most)) as u32).unwrap_or(*value);
                }
            }
        }
        // All but one in a thousand.
        let (all, mut above) = (counts.iter().sum::<usize>(), 0);
        let needed = (0..counts.len()).rev().find(|&bits| {
            above += counts[bits];
            1000 * above > all
        });
        (remarks.depth, remarks.needed) = (depth, needed.unwrap_or(0) as u32);
    }
    match picture {
        DynamicImage::ImageLuma8(p) => of(p, 1, 8, bits, remarks),
        DynamicImage::ImageLumaA8(p) => of(p, 2, 8, bits, remarks),
        DynamicImage::ImageRgb8(p) => of(p, 3, 8, bits, remarks),
        DynamicImage::ImageRgba8(p) => of(p, 4, 8, bits, remarks),
        DynamicImage::ImageLuma16(p) => of(p, 1, 16, bits, remarks),
        DynamicImage::ImageLumaA16(p) => of(p, 2, 16, bits, remarks),
        DynamicImage::ImageRgb16(p) => of(p, 3, 16, bits, remarks),
        DynamicImage::ImageRgba16(p) => of(p, 4, 16, bits, remarks),
        DynamicImage::ImageRgb32F(p) => in_range(p)?,
        DynamicImage::ImageRgba32F(p) => in_range(p)?,
        _ => {}
    }
    Ok(())
}

/// Fails where numbers are none of a picture: what is beyond 0 to 1 would be cut off.
fn in_range(values: &[f32]) -> Result<()> {
    let beyond = values.iter().find(|value| !(0.0..=1.0).contains(*value));
    ensure!(beyond.is_none(), "holds floating point numbers beyond 0 to 1 ({}): save it with 8 or 16 bits", beyond.unwrap_or(&0.0));
    Ok(())
}

/// Puts a picture with transparency over black, or over white where what it shows is dark. Returns whether it is white.
fn opaque(picture: DynamicImage) -> (DynamicImage, bool) {
    /// On average: what is lighter can be told from black.
    const DARK: u64 = 64;
    let weighed = |pixels: &mut dyn Iterator<Item = (u8, u8)>| {
        let add =
            |(light, all): (u64, u64), (value, alpha): (u8, u8)| (light + u64::from(value) * u64::from(alpha), all + u64::from(alpha));
        let (light, all) = pixels.fold((0, 0), add);
        all > 0 && light < DARK * all
    };
    let over = |value: u8, alpha: u8, ground: u8| {
        let (value, alpha, ground) = (u32::from(value), u32::from(alpha), u32::from(ground));
        ((value * alpha + ground * (255 - alpha) + 127) / 255) as u8
    };
    let grey = picture.to_luma_alpha8();
    let transparent = grey.pixels().any(|pixel| pixel.0[1] < 255);
    let white = transparent && weighed(&mut grey.pixels().map(|pixel| (pixel.0[0], pixel.0[1])));
    let ground = if white { 255 } else { 0 };
    let flat = if picture.color().has_color() {
        let rgba = picture.into_rgba8();
        let pixel = |x, y| rgba.get_pixel(x, y).0;
        let over = |[r, g, b, a]: [u8; 4]| Rgb([r, g, b].map(|value| over(value, a, ground)));
        RgbImage::from_fn(rgba.width(), rgba.height(), |x, y| over(pixel(x, y))).into()
    } else {
        let over = |[value, a]: [u8; 2]| image::Luma([over(value, a, ground)]);
        GrayImage::from_fn(grey.width(), grey.height(), |x, y| over(grey.get_pixel(x, y).0)).into()
    };
    (flat, white)
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

/// Images of a format without files of their own, in another size, grey or in colour.
pub(super) fn conform(samples: Samples, image: Image) -> Samples {
    match samples {
        Samples::Images { pixels, image: from } if from != image => Samples::images(converted(&pixels, from, image), image),
        as_wanted => as_wanted,
    }
}

fn converted(pixels: &SharedRows<u8>, Image { height, width, channels }: Image, image: Image) -> Vec<u8> {
    let convert = |bytes: &[u8]| {
        let picture = match channels {
            1 => GrayImage::from_raw(width, height, bytes.to_vec()).map(DynamicImage::from),
            _ => RgbImage::from_raw(width, height, bytes.to_vec()).map(DynamicImage::from),
        };
        let picture = picture.expect("a sample has the bytes of its size");
        if image.channels == 1 { fit(picture.into_luma8(), image) } else { fit(picture.into_rgb8(), image) }
    };
    (0..pixels.len()).into_par_iter().map(|sample| pixels.row(sample)).flat_map_iter(convert).collect()
}
