//! Samples in memory, of any type: stored once, shared by all views of them.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use anyhow::{Result, bail};

use crate::core::buffer::{Shape, pad_rows, shape};
use crate::core::sample::{Image, SampleType};

/// Rows of equal length: those that are stored, or some of them, in some order. Views share what is stored.
#[derive(Clone)]
pub struct SharedRows<T> {
    stored: Arc<Vec<T>>,
    width: usize,
    /// The place of each row of this view among those that are stored; without it, it is all of them.
    chosen: Option<Arc<[u32]>>,
}

impl<T: Clone> SharedRows<T> {
    /// Rows of `width` values each, at least one, one after the other. Panics if the last one is cut off.
    pub fn new(stored: Vec<T>, width: u32) -> Self {
        let width = width as usize;
        assert!(width > 0 && stored.len().is_multiple_of(width), "{} values in rows of {width}", stored.len());
        SharedRows { stored: Arc::new(stored), width, chosen: None }
    }

    pub fn len(&self) -> u32 {
        self.chosen.as_ref().map_or(self.stored.len() / self.width, |chosen| chosen.len()) as u32
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Values of a row.
    pub fn width(&self) -> u32 {
        self.width as u32
    }

    pub fn row(&self, row: u32) -> &[T] {
        let place = self.chosen.as_ref().map_or(row, |chosen| chosen[row as usize]) as usize;
        &self.stored[place * self.width..(place + 1) * self.width]
    }

    pub fn iter(&self) -> impl Iterator<Item = &[T]> {
        (0..self.len()).map(|row| self.row(row))
    }

    /// A view of these rows, in this order.
    pub fn select(&self, rows: &[u32]) -> Self {
        let place = |&row: &u32| self.chosen.as_ref().map_or(row, |chosen| chosen[row as usize]);
        SharedRows { stored: self.stored.clone(), width: self.width, chosen: Some(rows.iter().map(place).collect()) }
    }

    /// Whether both are views of what is stored in one place.
    pub fn shares(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.stored, &other.stored)
    }
}

impl SharedRows<u8> {
    /// Shape of these rows in device memory, packed in words.
    pub fn packed_shape(&self) -> Shape {
        shape(self.len(), self.width().div_ceil(4))
    }

    /// Some rows packed in words, lowest byte first, padded.
    pub fn packed(&self, rows: Range<u32>) -> Vec<u32> {
        let packed = shape(rows.len() as u32, self.width().div_ceil(4));
        let mut words = vec![0_u32; packed.words() as usize];
        for (row, words) in rows.zip(words.chunks_mut(packed.stride() as usize)) {
            for (i, &byte) in self.row(row).iter().enumerate() {
                words[i / 4] |= u32::from(byte) << (8 * (i % 4));
            }
        }
        words
    }
}

impl<T: Clone + PartialEq> PartialEq for SharedRows<T> {
    fn eq(&self, other: &Self) -> bool {
        self.width == other.width && self.len() == other.len() && self.iter().eq(other.iter())
    }
}

impl<T> std::fmt::Debug for SharedRows<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} values in rows of {}, chosen {:?}", self.stored.len(), self.width, self.chosen.as_ref().map(|chosen| chosen.len()))
    }
}

/// Samples of one type.
#[derive(Clone, Debug, PartialEq)]
pub enum Samples {
    /// Bytes line by line, channels innermost.
    Images {
        pixels: SharedRows<u8>,
        image: Image,
    },
    Rows(SharedRows<f32>),
}

impl Samples {
    /// Images one after the other.
    pub fn images(pixels: Vec<u8>, image: Image) -> Self {
        Samples::Images { pixels: SharedRows::new(pixels, image.len()), image }
    }

    /// Rows of `columns` numbers, one after the other.
    pub fn rows(numbers: Vec<f32>, columns: u32) -> Self {
        Samples::Rows(SharedRows::new(numbers, columns))
    }

    /// The type of each of them.
    pub fn kind(&self) -> SampleType {
        match self {
            Samples::Images { image, .. } => SampleType::Image(*image),
            Samples::Rows(rows) => SampleType::Row(rows.width()),
        }
    }

    /// The bytes of images, and their size. Fails where samples are none.
    pub fn as_images(&self) -> Result<(&SharedRows<u8>, Image)> {
        match self {
            Samples::Images { pixels, image } => Ok((pixels, *image)),
            other => bail!("images are wanted here, these are samples of {}", other.kind()),
        }
    }

    pub fn len(&self) -> u32 {
        match self {
            Samples::Images { pixels, .. } => pixels.len(),
            Samples::Rows(rows) => rows.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A view of the samples with these indices, in this order.
    pub fn select(&self, indices: &[u32]) -> Self {
        match self {
            Samples::Images { pixels, image } => Samples::Images { pixels: pixels.select(indices), image: *image },
            Samples::Rows(rows) => Samples::Rows(rows.select(indices)),
        }
    }

    /// What tells a sample from others.
    pub fn bytes(&self, sample: u32) -> Cow<'_, [u8]> {
        match self {
            Samples::Images { pixels, .. } => Cow::Borrowed(pixels.row(sample)),
            Samples::Rows(rows) => rows.row(sample).iter().flat_map(|number| number.to_le_bytes()).collect(),
        }
    }

    /// A sample as numbers: the values of an image from 0 to 1.
    pub fn numbers(&self, sample: u32) -> Vec<f32> {
        match self {
            Samples::Images { pixels, .. } => pixels.row(sample).iter().map(|&byte| f32::from(byte) / 255.0).collect(),
            Samples::Rows(rows) => rows.row(sample).to_vec(),
        }
    }

    /// Some of the samples as [`SampleType::stored`] says, padded.
    pub fn words(&self, samples: Range<u32>) -> Vec<u32> {
        match self {
            Samples::Images { pixels, .. } => pixels.packed(samples),
            Samples::Rows(rows) => {
                let all = shape(samples.len() as u32, rows.width());
                let words: Vec<u32> = samples.flat_map(|row| rows.row(row)).map(|number| number.to_bits()).collect();
                pad_rows(all, &words)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn views_of_views_share_what_is_stored() {
        let rows = SharedRows::new((0..12_u8).collect(), 3);
        let odd = rows.select(&[3, 1]);
        let one = odd.select(&[1, 1]);
        assert_eq!((rows.len(), odd.len(), one.len()), (4, 2, 2));
        assert_eq!((odd.row(0), one.row(1)), (&[9, 10, 11][..], &[3, 4, 5][..]));
        assert!(one.shares(&rows) && !SharedRows::new(vec![0_u8; 12], 3).shares(&rows));
        assert_eq!(odd, SharedRows::new(vec![9, 10, 11, 3, 4, 5], 3), "what is seen counts, not where it is stored");
        assert_ne!(odd, rows.select(&[1, 3]));
    }

    #[test]
    fn words_are_what_devices_hold() {
        let image = Image { height: 1, width: 5, channels: 1 };
        let images = Samples::images((1..=15).collect(), image).select(&[2, 0]);
        assert_eq!(images.kind(), SampleType::Image(image));
        let packed = pad_rows(shape(2, 2), &[0x0E0D_0C0B, 0x0F, 0x0403_0201, 0x05]);
        assert_eq!(images.words(0..2), packed);
        assert_eq!(images.words(1..2), pad_rows(shape(1, 2), &[0x0403_0201, 0x05]));
        let rows = Samples::rows(vec![0.5, 1.0, 2.0, 4.0], 2);
        assert_eq!(rows.words(1..2), pad_rows(shape(1, 2), &[2.0_f32.to_bits(), 4.0_f32.to_bits()]));
        assert_eq!((rows.kind(), rows.numbers(1), images.numbers(1)[4]), (SampleType::Row(2), vec![2.0, 4.0], 5.0 / 255.0));
        assert_ne!(rows.bytes(0), rows.bytes(1));
    }
}
