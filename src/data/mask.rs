//! Masks: PNGs whose values are classes. They are read as they are stored, a palette's indices included.

use std::io::Cursor;

use anyhow::{Context, Result, bail, ensure};
use png::{BitDepth, ColorType, Decoder, Limits, Reader, Transformations};

use super::decode::{Look, MOST_BYTES, ensure_memory, place};
use super::names::some_of;
use crate::core::sample::Image;

fn open(bytes: &[u8], most: u64) -> Result<Reader<Cursor<&[u8]>>> {
    let mut decoder = Decoder::new_with_limits(Cursor::new(bytes), Limits { bytes: most as usize });
    decoder.set_transformations(Transformations::IDENTITY);
    let reader = decoder.read_info().context("is not a PNG that can be read")?;
    let size = reader.output_buffer_size().map_or(u64::MAX, |bytes| bytes as u64);
    ensure_memory(reader.info().height, reader.info().width, size, most)?;
    Ok(reader)
}

pub(super) fn look(bytes: &[u8], most: u64) -> Result<Look> {
    let reader = open(bytes, most)?;
    Ok(Look { height: reader.info().height, width: reader.info().width, grey: true, turned: false })
}

/// A mask in the frame of its picture: each pixel takes the class of the nearest one, the border that of zero.
pub(super) fn decode(bytes: &[u8], image: Image, most: u64) -> Result<Vec<u8>> {
    let (height, width, values) = values(bytes, most)?;
    if (height, width) == (image.height, image.width) {
        return Ok(values);
    }
    let (left, top, scaled_width, scaled_height) = place(height, width, image);
    let mut mask = vec![0; (image.height * image.width) as usize];
    let nearest = |at: u32, scaled: u32, stored: u32| ((u64::from(2 * at + 1) * u64::from(stored)) / u64::from(2 * scaled)) as usize;
    for y in 0..scaled_height {
        let row = &values[nearest(y, scaled_height, height) * width as usize..][..width as usize];
        for x in 0..scaled_width {
            mask[((top + y) * image.width + left + x) as usize] = row[nearest(x, scaled_width, width)];
        }
    }
    Ok(mask)
}

/// (height, width, one value per pixel)
fn values(bytes: &[u8], most: u64) -> Result<(u32, u32, Vec<u8>)> {
    let mut reader = open(bytes, most)?;
    let mut buffer = vec![0; reader.output_buffer_size().context("is too large")?];
    let info = reader.next_frame(&mut buffer).context("is damaged or cut off")?;
    let (width, lines) = (info.width as usize, buffer.chunks(info.line_size).take(info.height as usize));
    let unpack = |line: &[u8]| -> Result<Vec<u8>> {
        let depth = info.bit_depth as usize;
        match (info.color_type, info.bit_depth) {
            (ColorType::Grayscale | ColorType::Indexed, BitDepth::Sixteen) => {
                ensure!(line.chunks(2).all(|value| value[0] == 0), "has values above 255; the values of a mask are classes");
                Ok(line.chunks(2).map(|value| value[1]).collect())
            }
            (ColorType::Grayscale | ColorType::Indexed, BitDepth::Eight) => Ok(line.to_vec()),
            (ColorType::Grayscale | ColorType::Indexed, _) => {
                let value = |x: usize| (line[x * depth / 8] >> (8 - depth - x * depth % 8)) & (0xFF_u16 >> (8 - depth)) as u8;
                Ok((0..width).map(value).collect())
            }
            (ColorType::Rgb | ColorType::Rgba | ColorType::GrayscaleAlpha, BitDepth::Eight) => {
                // Grey that some program has saved as colours.
                let samples = info.color_type.samples();
                let colours = samples - usize::from(info.color_type != ColorType::Rgb);
                let grey = line.chunks(samples).all(|pixel| pixel[..colours].iter().all(|value| *value == pixel[0]));
                ensure!(grey, "is in colour; a mask is a grey or palette PNG whose values are classes");
                Ok(line.chunks(samples).map(|pixel| pixel[0]).collect())
            }
            _ => bail!("is in colour with 16 bits; a mask is a grey or palette PNG whose values are classes"),
        }
    };
    let values: Vec<Vec<u8>> = lines.map(unpack).collect::<Result<_>>()?;
    Ok((info.height, info.width, values.concat()))
}

/// The colours of a palette PNG: red, green and blue of each value.
pub(super) fn palette(bytes: &[u8]) -> Option<Vec<u8>> {
    let reader = open(bytes, MOST_BYTES).ok().filter(|reader| reader.info().color_type == ColorType::Indexed)?;
    reader.info().palette.as_ref().map(|palette| palette.to_vec())
}

/// Makes classes of the values in masks, as a run has numbered them; 255 that is none of them does not count, but for masks with
/// nothing but 0 and 255, where it is the run's class 1. Fails where there are others.
pub(super) fn number_as<'a>(masks: impl Iterator<Item = &'a mut Vec<u8>>, known: &[u8], notes: &mut Vec<String>) -> Result<()> {
    let mut masks: Vec<&mut Vec<u8>> = masks.collect();
    let used = |masks: &[&mut Vec<u8>]| masks.iter().flat_map(|mask| mask.iter().copied()).collect::<std::collections::BTreeSet<u8>>();
    let as_one = known == [0, 1] && used(&masks).into_iter().eq([0, 255]);
    if as_one {
        notes.push("masks have the values 0 and 255: 255 is the run's class 1".into());
    }
    let class_of = |value: u8| match known.iter().position(|&known| known == value) {
        None if as_one && value == u8::MAX => Some(1),
        class => class.map(|class| class as u8),
    };
    let (mut unknown, mut outside) = (std::collections::BTreeSet::new(), false);
    for value in masks.iter_mut().flat_map(|mask| mask.iter_mut()) {
        match class_of(*value) {
            Some(class) => *value = class,
            None if *value == u8::MAX => outside = true,
            None => drop(unknown.insert(*value)),
        }
    }
    let texts = |values: &mut dyn Iterator<Item = u8>| some_of(&values.map(|value| value.to_string()).collect::<Vec<_>>());
    ensure!(
        unknown.is_empty(),
        "masks have values that the run does not know: {}; it knows {}",
        texts(&mut unknown.iter().copied()),
        texts(&mut known.iter().copied())
    );
    if outside {
        notes.push("masks have the value 255, which is none of the run's classes: such pixels do not count".into());
    }
    Ok(())
}

/// A mask in `frame` as one of the picture's own size, without borders: the inverse of how masks are read.
pub fn restore(mask: &[u8], frame: Image, height: u32, width: u32) -> Vec<u8> {
    let (left, top, scaled_width, scaled_height) = place(height, width, frame);
    let nearest = |at: u32, stored: u32, scaled: u32| (u64::from(2 * at + 1) * u64::from(scaled) / (2 * u64::from(stored))) as u32;
    let columns: Vec<u32> = (0..width).map(|x| left + nearest(x, width, scaled_width)).collect();
    let row = |y: u32| &mask[((top + nearest(y, height, scaled_height)) * frame.width) as usize..][..frame.width as usize];
    (0..height).flat_map(|y| columns.iter().map(move |&x| row(y)[x as usize])).collect()
}

/// The PNG of a mask: with a palette, or grey where there is none.
pub fn paint(values: &[u8], height: u32, width: u32, palette: &[u8]) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_depth(BitDepth::Eight);
    encoder.set_color(if palette.is_empty() { ColorType::Grayscale } else { ColorType::Indexed });
    if !palette.is_empty() {
        // Another mask's palette may have been longer.
        let most = values.iter().copied().max().map_or(0, usize::from);
        let mut palette = palette.to_vec();
        palette.resize(palette.len().max(3 * (most + 1)), 0);
        encoder.set_palette(palette);
    }
    encoder.write_header()?.write_image_data(values)?;
    Ok(bytes)
}
