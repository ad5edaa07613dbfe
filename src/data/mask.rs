//! Masks: PNGs whose values are classes. They are read as they are stored, a palette's indices included.

use std::io::Cursor;

use anyhow::{Context, Result, bail, ensure};
use png::{BitDepth, ColorType, Decoder, Limits, Reader, Transformations};

use super::decode::{Look, ensure_memory, place};
use crate::kernels::augment::Image;

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
    Ok(Look { height: reader.info().height, width: reader.info().width, grey: true })
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
