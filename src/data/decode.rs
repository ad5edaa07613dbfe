//! Pictures as networks see them: upright, of one size, grey or in colour, bytes from 0 (dark) to 255. Readers of data sets
//! and `predict` share this, so that training and use see the same.

use std::io::Cursor;

use anyhow::{Context, Result, bail, ensure};
use fast_image_resize::images::Image as Pixels;
use fast_image_resize::{FilterType as Kernel, PixelType, ResizeAlg, ResizeOptions, Resizer};
use image::codecs::png::PngDecoder;
use image::codecs::webp::WebPDecoder;
use image::imageops::{self, FilterType};
use image::metadata::Orientation;
use image::{ColorType, DynamicImage, GrayImage, ImageBuffer, ImageDecoder, ImageFormat, ImageReader, Limits, Pixel, Rgb, RgbImage};
use rayon::prelude::*;
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::kinds::{HEAD, foreign, foreign_sound, is_sound, misnamed};
use super::resize::{Interpolation, Resize};
use super::samples::{Samples, SharedRows};
use super::sound_form::SoundForm;
use super::tiff::Directory;
use crate::core::sample::Image;

/// A picture may take this much memory when decoded (89 megapixels in colour): as many are in memory as there are cores.
pub const MOST_BYTES: u64 = 256 << 20;

/// Half the width of a bicubic kernel, in pixels of the larger grid.
const WIDEST_KERNEL: f64 = 2.0;

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
    /// How it gets its size.
    pub resize: Resize,
    /// Of sounds: how they become pictures, or frames of numbers, which are bytes then, the lowest first.
    pub sound_form: Option<SoundForm>,
    /// A picture may take this much memory when decoded.
    pub most_bytes: u64,
}

impl PictureOptions {
    /// As it is, as `image`.
    pub fn plain(image: Image) -> Self {
        PictureOptions { image, invert: false, bits: None, resize: Resize::Letterbox, sound_form: None, most_bytes: MOST_BYTES }
    }
}

/// A decoded picture.
pub(super) struct Seen {
    pub bytes: Vec<u8>,
    pub remarks: Remarks,
}

/// Samples as `options` said they become, of which the longest has so many bytes.
pub(super) fn samples<'a>(seen: impl Iterator<Item = &'a Seen>, options: &PictureOptions, longest: usize) -> Result<Samples> {
    let Some(frames) = options.sound_form.as_ref().and_then(SoundForm::frames) else {
        return Ok(Samples::images(seen.map(|seen| seen.bytes.as_slice()).collect::<Vec<_>>().concat(), options.image));
    };
    let numbers = |seen: &Seen| seen.bytes.as_chunks().0.iter().map(|&number| f32::from_le_bytes(number)).collect::<Vec<f32>>();
    let longest = u32::try_from(longest / 4)? / frames.bands;
    Samples::frames(seen.map(numbers), frames.bands, longest.max(1))
}

/// What a user should know of a decoded picture or sound.
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
    /// Of a sound: it ends early.
    pub ends_early: bool,
    /// All of its samples are alike.
    pub silent: bool,
    /// It is shorter than a window.
    pub short: bool,
    /// It has samples that are NaN or infinite.
    pub no_numbers: bool,
    /// It has another rate than pictures of sounds are made at.
    pub resampled: bool,
    /// It has several channels.
    pub mixed: bool,
}

/// Whether a remark is of a kind, and what is said of pictures with such.
type RemarkKind = (fn(&Remarks) -> bool, &'static str);

impl Remarks {
    /// Each kind of remark, and what is said of pictures that it fits.
    pub(super) const KINDS: [RemarkKind; 11] = [
        (|r| r.cut, "ends early or is damaged and is used as far as it goes (what is missing is grey)"),
        (|r| r.more_frames, "has several frames or pages, of which the first is read"),
        (|r| r.on_white, "is dark on transparent ground: it lies on white, others on black"),
        (|r| r.constant, "is of one even colour"),
        (|r| r.clipped, "has values beyond --bits, which became the largest"),
        (|r| r.ends_early, "ends early or is damaged and is used as far as it goes"),
        (|r| r.silent, "is silent"),
        (|r| r.short, "is shorter than one window of a spectrogram"),
        (|r| r.no_numbers, "has samples that are no numbers, which became silence"),
        (|r| r.resampled, "has another rate and is resampled"),
        (|r| r.mixed, "has several channels, which are mixed into one"),
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
        (None, _) if bytes.is_empty() => bail!("is empty, not a picture"),
        (None, _) if is_sound(&bytes[..bytes.len().min(HEAD)]) || foreign_sound(&bytes[..bytes.len().min(HEAD)]).is_some() => {
            bail!("is a sound or a video, not a picture")
        }
        (None, _) => bail!("is no picture in a format that is read: PNG, JPEG, WebP, GIF, BMP or TIFF"),
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
    ensure!(width > 0 && height > 0, "has no pixels");
    // Resizing works on whole lines of numbers.
    ensure!(width.max(height) <= LONGEST_SIDE, "is {width} x {height} pixels large; sides may be at most {LONGEST_SIDE}");
    ensure_memory(height, width, size, most)?;
    // The first frame is decoded whole before it is cut to the picture.
    if let (Gif, Some((width, height))) = (format, gif_frames(bytes).next()) {
        ensure_memory(height, width, 4 * u64::from(width) * u64::from(height), most)?;
    }
    decoder.set_limits(limits).with_context(unreadable)?;
    Ok((format, decoder))
}

/// Width and height of each frame of a GIF, none of which is decoded, up to the first that is damaged.
fn gif_frames(bytes: &[u8]) -> impl Iterator<Item = (u32, u32)> {
    let mut options = gif::DecodeOptions::new();
    options.skip_frame_decoding(true);
    let mut decoder = options.read_info(Cursor::new(bytes)).ok();
    std::iter::from_fn(move || {
        let frame = decoder.as_mut()?.next_frame_info().ok()??;
        Some((u32::from(frame.width), u32::from(frame.height)))
    })
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
    let grey = !decoder.color_type().has_color();
    use Orientation::{Rotate90, Rotate90FlipH, Rotate270, Rotate270FlipH};
    let orientation = decoder.orientation()?;
    let lying = matches!(orientation, Rotate90 | Rotate270 | Rotate90FlipH | Rotate270FlipH);
    let (height, width) = if lying { (width, height) } else { (height, width) };
    Ok(Look { height, width, grey, turned: orientation != Orientation::NoTransforms })
}

/// A picture as `options.image`, keeping its proportions. What is transparent lies on zeros, or where what it shows is dark, on white.
/// 16 bits become 8.
pub(super) fn decode(bytes: &[u8], options: &PictureOptions) -> Result<Seen> {
    let (format, mut decoder) = open(bytes, options.most_bytes)?;
    let orientation = decoder.orientation()?;
    let mut remarks = Remarks { more_frames: has_more(format, bytes), ..Remarks::default() };
    let strictly = if format == ImageFormat::Jpeg { whole_jpeg(bytes, &*decoder) } else { Err(false) };
    let mut picture = match strictly {
        Ok(picture) => picture,
        Err(cut) => {
            remarks.cut = cut;
            DynamicImage::from_decoder(decoder).context("is damaged or cut off")?
        }
    };
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
        DynamicImage::ImageLuma8(grey) => fit(grey, image, options.resize)?,
        colour => fit(colour.into_rgb8(), image, options.resize)?,
    };
    Ok(Seen { bytes, remarks })
}

/// A JPEG that is whole and sound; of others, whether something is missing or damaged, which `decoder` fills up with grey. What ends
/// early with the mark of an end looks whole.
fn whole_jpeg(bytes: &[u8], decoder: &dyn ImageDecoder) -> Result<DynamicImage, bool> {
    let (width, height) = decoder.dimensions();
    let colours = match decoder.color_type() {
        ColorType::L8 => ColorSpace::Luma,
        ColorType::Rgb8 => ColorSpace::RGB,
        _ => return Err(has_no_end(bytes)),
    };
    let options = DecoderOptions::default().set_strict_mode(true).set_max_width(usize::MAX).set_max_height(usize::MAX);
    let mut strict = JpegDecoder::new_with_options(ZCursor::new(bytes), options.jpeg_set_out_colorspace(colours));
    // Heads that are odd say nothing of what follows.
    strict.decode_headers().map_err(|_| has_no_end(bytes))?;
    let pixels = strict.decode().map_err(|_| true)?;
    let picture = match colours {
        ColorSpace::Luma => GrayImage::from_raw(width, height, pixels).map(DynamicImage::from),
        _ => RgbImage::from_raw(width, height, pixels).map(DynamicImage::from),
    };
    picture.ok_or(true)
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
        ImageFormat::Gif => gif_frames(bytes).nth(1).is_some(),
        ImageFormat::Png => PngDecoder::new(cursor).is_ok_and(|png| png.is_apng().unwrap_or(false)),
        ImageFormat::WebP => WebPDecoder::new(cursor).is_ok_and(|webp| webp.has_animation()),
        ImageFormat::Tiff => Directory::first(bytes).is_some_and(|directory| directory.more),
        _ => false,
    }
}

/// Notes how many bits values have and need. Those of fewer `bits` than they are stored with are stretched over all.
fn stretch(picture: &mut DynamicImage, bits: Option<u32>, remarks: &mut Remarks) -> Result<()> {
    fn of<T: Copy + Into<u32> + TryFrom<u32>>(values: &mut [T], step: usize, depth: u32, bits: Option<u32>, remarks: &mut Remarks) {
        (remarks.depth, remarks.needed) = (depth, needed(values, step, depth));
        let Some(bits) = bits.filter(|bits| *bits < depth) else { return };
        let most = (1_u32 << depth) - 1;
        for value in values.chunks_exact_mut(step).flat_map(|pixel| &mut pixel[..colours(step)]) {
            let wide = u64::from((*value).into()) * u64::from(most) / u64::from((1_u32 << bits) - 1);
            remarks.clipped |= wide > u64::from(most);
            *value = T::try_from(wide.min(u64::from(most)) as u32).unwrap_or(*value);
        }
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

/// Of the channels of pixels, all but alpha.
fn colours(channels: usize) -> usize {
    if channels.is_multiple_of(2) { channels - 1 } else { channels }
}

/// Bits that all but one in a thousand of these values need at most.
fn needed<T: Copy + Into<u32>>(values: &[T], channels: usize, depth: u32) -> u32 {
    /// Pixels between looks at whether there are enough, as there are of most pictures near their beginning.
    const PIXELS: usize = 4096;
    let (colours, all) = (colours(channels), values.len() / channels * colours(channels));
    let need = |bits: u32| {
        let needs = |value: &&T| (**value).into() >> (bits - 1) > 0;
        let mut count = 0;
        values.chunks(channels * PIXELS).any(|part| {
            count += match colours == channels {
                true => part.iter().filter(needs).count(),
                false => part.chunks_exact(channels).flat_map(|pixel| &pixel[..colours]).filter(needs).count(),
            };
            1000 * count > all
        })
    };
    (1..=depth).rev().find(|bits| need(*bits)).unwrap_or(0)
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

/// Pixels of this size, grey or in colour as they were.
fn fit<P: Pixel<Subpixel = u8> + 'static>(picture: ImageBuffer<P, Vec<u8>>, image: Image, resize: Resize) -> Result<Vec<u8>> {
    if (picture.width(), picture.height()) == (image.width, image.height) {
        return Ok(picture.into_raw());
    }
    let (height, width) = (picture.height(), picture.width());
    if let Resize::Crop(crop) = resize {
        let crop = crop.of(height, width, image);
        return scaled(picture.into_raw(), [height, width], crop.part(height, width, image), image, crop.filter);
    }
    let (left, top, width, height) = place(height, width, image);
    let small = imageops::resize(&picture, width, height, FilterType::Triangle);
    let mut canvas = ImageBuffer::<P, _>::new(image.width, image.height);
    imageops::replace(&mut canvas, &small, left.into(), top.into());
    Ok(canvas.into_raw())
}

/// A part (left, top, width, height) of a picture of some height and width as `image`. Kernels see what lies beside the part.
fn scaled(
    pixels: Vec<u8>,
    [height, width]: [u32; 2],
    [left, top, across, high]: [f64; 4],
    image: Image,
    filter: Interpolation,
) -> Result<Vec<u8>> {
    let kind = if image.channels == 1 { PixelType::U8 } else { PixelType::U8x3 };
    let filter = match filter {
        Interpolation::Bilinear => Kernel::Bilinear,
        Interpolation::Bicubic => Kernel::CatmullRom,
    };
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(filter)).use_alpha(false);
    let mut resizer = Resizer::new();
    // Across first, as Pillow does: bytes between the two directions cut off what goes beyond them. Of lines, those that are needed.
    let reach = WIDEST_KERNEL * f64::max(1.0, high / f64::from(image.height)) + 1.0;
    let (first, end) = ((top - reach).floor().max(0.0), (top + high + reach).ceil().min(f64::from(height)));
    let picture = Pixels::from_vec_u8(width, height, pixels, kind)?;
    let mut lines = Pixels::new(image.width, (end - first) as u32, kind);
    resizer.resize(&picture, &mut lines, &options.crop(left, first, across, end - first))?;
    let mut small = Pixels::new(image.width, image.height, kind);
    let below = top - first;
    resizer.resize(&lines, &mut small, &options.crop(0.0, below, image.width.into(), high.min(end - first - below)))?;
    Ok(small.into_vec())
}

/// A grey picture as `image`, each direction scaled for itself; in colour, all channels are alike.
pub(super) fn stretched(pixels: Vec<u8>, height: u32, width: u32, image: Image) -> Result<Vec<u8>> {
    let grey = Image { channels: 1, ..image };
    let all = [0.0, 0.0, width.into(), height.into()];
    let small = if (height, width) == (image.height, image.width) {
        pixels
    } else {
        scaled(pixels, [height, width], all, grey, Interpolation::Bilinear)?
    };
    Ok(small.into_iter().flat_map(|value| std::iter::repeat_n(value, image.channels as usize)).collect())
}

/// Images of a format without files of their own, in another size, grey or in colour.
pub(super) fn conform(samples: Samples, image: Image, resize: Resize) -> Result<Samples> {
    Ok(match samples {
        Samples::Images { pixels, image: from } if from != image => Samples::images(converted(&pixels, from, image, resize)?, image),
        as_wanted => as_wanted,
    })
}

fn converted(pixels: &SharedRows<u8>, Image { height, width, channels }: Image, image: Image, resize: Resize) -> Result<Vec<u8>> {
    let convert = |bytes: &[u8]| {
        let picture = match channels {
            1 => GrayImage::from_raw(width, height, bytes.to_vec()).map(DynamicImage::from),
            _ => RgbImage::from_raw(width, height, bytes.to_vec()).map(DynamicImage::from),
        };
        let picture = picture.expect("a sample has the bytes of its size");
        if image.channels == 1 { fit(picture.into_luma8(), image, resize) } else { fit(picture.into_rgb8(), image, resize) }
    };
    let converted: Vec<Vec<u8>> = (0..pixels.len()).into_par_iter().map(|sample| convert(pixels.row(sample))).collect::<Result<_>>()?;
    Ok(converted.concat())
}

#[cfg(test)]
mod tests {
    use safetensors::SafeTensors;
    use serde_json::Value;

    use super::*;

    /// PyTorch's antialiased resizing in float64, of a part that is cut out first.
    #[test]
    fn filters_are_those_of_pytorch() {
        let Some(folder) = std::env::var_os("WGRAFT_GOLDEN") else {
            eprintln!("SKIPPED: WGRAFT_GOLDEN names no folder with PyTorch's pictures");
            return;
        };
        let numbers =
            |value: &Value| value.as_array().map(|all| all.iter().map(|n| n.as_u64().expect("a number") as usize).collect::<Vec<_>>());
        let mut cases = 0;
        while let Ok(bytes) = std::fs::read(std::path::Path::new(&folder).join(format!("resize_antialias_{cases}.safetensors"))) {
            cases += 1;
            let (_, metadata) = SafeTensors::read_metadata(&bytes).expect("a header");
            let params = &metadata.metadata().as_ref().expect("metadata")["params"];
            let params: Value = serde_json::from_str(params).expect("JSON");
            let tensors = SafeTensors::deserialize(&bytes).expect("tensors");
            let (picture, expected) = (tensors.tensor("in.image").expect("there"), tensors.tensor("out.y").expect("there"));
            let (rows, columns) = (picture.shape()[1], picture.shape()[2]);
            let [top, left, height, width] = numbers(&params["crop"]).expect("a part")[..] else { panic!("four numbers") };
            let side = params["size"].as_u64().expect("a size") as usize;
            let channel = |i: usize| i % 3 * rows * columns + (top + i / 3 / width) * columns + left + i / 3 % width;
            let pixels = (0..height * width * 3).map(|i| picture.data()[channel(i)]).collect();
            let filter = if params["filter"] == "bicubic" { Interpolation::Bicubic } else { Interpolation::Bilinear };
            let image = Image { height: side as u32, width: side as u32, channels: 3 };
            let all = [0.0, 0.0, width as f64, height as f64];
            let found = scaled(pixels, [height as u32, width as u32], all, image, filter).expect("it is scaled");
            let kept = numbers(&params["rows"]).unwrap_or_else(|| (0..side).collect());
            let mut cut_off = 0;
            for (i, value) in expected.data().as_chunks::<8>().0.iter().enumerate() {
                let (channel, row, column) = (i / side / kept.len(), kept[i / side % kept.len()], i % side);
                let found = f64::from(found[(row * side + column) * 3 + channel]);
                let far = (found - f64::from_le_bytes(*value).clamp(0.0, 255.0)).abs();
                // Bytes between the two directions cut off what a cubic has beyond them, in Pillow too.
                let beyond = filter == Interpolation::Bicubic && far > 1.3;
                cut_off += usize::from(beyond);
                assert!(beyond || far <= 1.3, "case {cases}, {filter:?}, row {row}, column {column}: {far}");
            }
            assert!(200 * cut_off <= side * kept.len() * 3, "case {cases}, {filter:?}: {cut_off} values are far");
        }
        assert!(cases > 0, "there are none in {}", folder.display());
    }

    #[test]
    fn values_need_as_many_bits_as_nearly_all_of_them() {
        let plain = |values: &[u16], channels: usize, depth: u32| {
            let mut counts = [0; 17];
            let kept = values.chunks_exact(channels).flat_map(|pixel| &pixel[..colours(channels)]);
            kept.for_each(|value| counts[(u16::BITS - value.leading_zeros()) as usize] += 1);
            let (all, mut above) = (counts.iter().sum::<usize>(), 0);
            let found = (0..=depth as usize).rev().find(|&bits| {
                above += counts[bits];
                1000 * above > all
            });
            found.unwrap_or(0) as u32
        };
        for channels in 1..=4 {
            for shift in 0..=16 {
                for bright in [0, 1, 12, 13, 5000] {
                    let value = |i: usize| if i % 6000 < bright { (1_u32 << shift).min(0xFFFF) as u16 } else { (i % 3) as u16 };
                    let values: Vec<u16> = (0..channels * 12_000).map(value).collect();
                    assert_eq!(needed(&values, channels, 16), plain(&values, channels, 16), "{channels}, {shift}, {bright}");
                }
            }
        }
        assert_eq!(needed::<u8>(&[], 3, 8), 0);
    }
}
