//! Samples in memory, of any type: stored once, shared by all views of them.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use rayon::prelude::*;

use super::tokenizer::{Tokenizer, WordTokens};
use crate::core::buffer::{Shape, pad_rows, shape};
use crate::core::sample::{BEGINS_WORD, Image, SampleType};

/// Rows of equal length, or each with its own: those that are stored, or some of them, in some order. Views share what is stored.
#[derive(Clone)]
pub struct SharedRows<T> {
    stored: Arc<Vec<T>>,
    width: usize,
    /// Where each of the stored rows ends; without it, all are `width` long.
    ends: Option<Arc<[usize]>>,
    /// The place of each row of this view among those that are stored; without it, it is all of them.
    chosen: Option<Arc<[u32]>>,
}

impl<T: Clone> SharedRows<T> {
    /// Rows of `width` values each, at least one, one after the other. Panics if the last one is cut off.
    pub fn new(stored: Vec<T>, width: u32) -> Self {
        let width = width as usize;
        assert!(width > 0 && stored.len().is_multiple_of(width), "{} values in rows of {width}", stored.len());
        SharedRows { stored: Arc::new(stored), width, ends: None, chosen: None }
    }

    /// Rows of at most `width` values each. Fails if one is longer.
    pub fn ragged<R: AsRef<[T]>>(rows: impl IntoIterator<Item = R>, width: u32) -> Result<Self> {
        let (mut stored, mut ends, width) = (Vec::new(), Vec::new(), width as usize);
        for row in rows {
            let row = row.as_ref();
            ensure!(row.len() <= width, "row {} has {} values, {width} are the most", ends.len(), row.len());
            stored.extend_from_slice(row);
            ends.push(stored.len());
        }
        Ok(SharedRows { stored: Arc::new(stored), width, ends: Some(ends.into()), chosen: None })
    }

    pub fn len(&self) -> u32 {
        let stored = || self.ends.as_ref().map_or_else(|| self.stored.len() / self.width, |ends| ends.len());
        self.chosen.as_ref().map_or_else(stored, |chosen| chosen.len()) as u32
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Values of a row, at most where each has its own length.
    pub fn width(&self) -> u32 {
        self.width as u32
    }

    pub fn row(&self, row: u32) -> &[T] {
        let place = self.chosen.as_ref().map_or(row, |chosen| chosen[row as usize]) as usize;
        match &self.ends {
            Some(ends) => &self.stored[place.checked_sub(1).map_or(0, |before| ends[before])..ends[place]],
            None => &self.stored[place * self.width..(place + 1) * self.width],
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = &[T]> {
        (0..self.len()).map(|row| self.row(row))
    }

    /// A view of these rows, in this order.
    pub fn select(&self, rows: &[u32]) -> Self {
        let place = |&row: &u32| self.chosen.as_ref().map_or(row, |chosen| chosen[row as usize]);
        SharedRows { chosen: Some(rows.iter().map(place).collect()), ..self.clone() }
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
    /// A number below `vocabulary` each, perhaps with [`BEGINS_WORD`].
    Tokens {
        tokens: SharedRows<u32>,
        vocabulary: u32,
        /// What they are the tokens of; empty where nobody said.
        texts: SharedRows<u8>,
    },
    /// One frame after the other, of `channels` numbers.
    Frames {
        numbers: SharedRows<f32>,
        channels: u32,
    },
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

    /// Sequences of at most `longest` tokens. Fails if one is longer, or has a token that is not of the vocabulary.
    pub fn tokens<R: AsRef<[u32]>>(sequences: impl IntoIterator<Item = R>, vocabulary: u32, longest: u32) -> Result<Self> {
        let tokens = SharedRows::ragged(sequences, longest)?;
        let unknown = tokens.stored.iter().map(|token| token & !BEGINS_WORD).find(|&token| token >= vocabulary);
        ensure!(unknown.is_none(), "token {} is not of a vocabulary of {vocabulary}", unknown.unwrap_or(0));
        let texts = SharedRows::ragged((0..tokens.len()).map(|_| []), 0)?;
        Ok(Samples::Tokens { tokens, vocabulary, texts })
    }

    /// [`tokens`](Self::tokens) of texts, which they stand for; and how many of these have more tokens than are taken.
    pub fn of_texts(texts: &[&str], tokenizer: &Tokenizer) -> Result<(Self, usize)> {
        let (tokens, cut): (Vec<_>, Vec<_>) = texts.par_iter().map(|text| tokenizer.tokens(text)).unzip();
        let samples = Self::with_texts(tokens, texts, tokenizer)?;
        Ok((samples, cut.into_iter().filter(|&cut| cut).count()))
    }

    /// [`of_texts`](Self::of_texts) of texts whose words are known, with one space between them; with the places of words, and how many
    /// texts were cut off.
    pub fn of_words(texts: &[Vec<&str>], tokenizer: &Tokenizer) -> Result<(Self, Vec<Vec<u32>>, usize)> {
        let joined: Vec<String> = texts.iter().map(|words| words.join(" ")).collect();
        let found: Vec<WordTokens> = texts.par_iter().map(|words| tokenizer.tokens_of_words(words)).collect();
        let cut = found.iter().filter(|found| found.cut).count();
        let (tokens, places): (Vec<_>, Vec<_>) = found.into_iter().map(|found| (found.tokens, found.places)).unzip();
        Ok((Self::with_texts(tokens, &joined, tokenizer)?, places, cut))
    }

    fn with_texts<T: AsRef<str>>(tokens: Vec<Vec<u32>>, texts: &[T], tokenizer: &Tokenizer) -> Result<Self> {
        let longest = texts.iter().map(|text| text.as_ref().len()).max().unwrap_or(0);
        let texts = SharedRows::ragged(texts.iter().map(|text| text.as_ref()), u32::try_from(longest)?)?;
        let mut samples = Self::tokens(tokens, tokenizer.vocabulary(), tokenizer.longest())?;
        if let Samples::Tokens { texts: none, .. } = &mut samples {
            *none = texts;
        }
        Ok(samples)
    }

    /// The same sequences, of which none is longer than `longest`, with no room for more.
    pub(crate) fn cut_off(self, longest: u32) -> Self {
        match self {
            Samples::Frames { numbers, channels } => {
                Samples::Frames { numbers: SharedRows { width: (longest * channels) as usize, ..numbers }, channels }
            }
            Samples::Tokens { tokens, vocabulary, texts } => {
                Samples::Tokens { tokens: SharedRows { width: longest as usize, ..tokens }, vocabulary, texts }
            }
            others => others,
        }
    }

    /// The text of a sample, where it is one.
    pub fn text(&self, sample: u32) -> Option<&str> {
        match self {
            Samples::Tokens { texts, .. } => std::str::from_utf8(texts.row(sample)).ok().filter(|text| !text.is_empty()),
            _ => None,
        }
    }

    /// Sequences of at most `longest` frames of `channels` numbers. Fails if one is longer, or ends within a frame.
    pub fn frames<R: AsRef<[f32]>>(sequences: impl IntoIterator<Item = R>, channels: u32, longest: u32) -> Result<Self> {
        let width = channels.checked_mul(longest).filter(|&width| width > 0);
        let numbers = SharedRows::ragged(sequences, width.context("sequences of no frames, or of more than can be counted")?)?;
        let cut = numbers.iter().position(|row| !row.len().is_multiple_of(channels as usize));
        ensure!(cut.is_none(), "sequence {} ends within a frame of {channels} numbers", cut.unwrap_or(0));
        Ok(Samples::Frames { numbers, channels })
    }

    /// Pictures of one size, or frames of as many numbers, one after the other; `None` of nothing. Fails where they do not go together.
    pub fn joined(all: &[Samples]) -> Result<Option<Self>> {
        let longest = all.iter().map(|samples| samples.kind().places()).max().unwrap_or(0);
        Ok(match all.first() {
            None => None,
            Some(&Samples::Images { image, .. }) => {
                let pixels = all.iter().map(|samples| Ok(samples.as_images()?.0)).collect::<Result<Vec<_>>>()?;
                Some(Samples::images(pixels.into_iter().flat_map(SharedRows::iter).collect::<Vec<_>>().concat(), image))
            }
            Some(&Samples::Frames { channels, .. }) => {
                let rows = |samples: &'_ Samples| match samples {
                    Samples::Frames { numbers, channels: theirs } if *theirs == channels => {
                        Ok(numbers.iter().map(<[f32]>::to_vec).collect::<Vec<_>>())
                    }
                    other => bail!("samples of {} beside sounds of {channels} numbers", other.kind()),
                };
                Some(Samples::frames(all.iter().map(rows).collect::<Result<Vec<_>>>()?.into_iter().flatten(), channels, longest)?)
            }
            Some(other) => bail!("samples of {} are none of files", other.kind()),
        })
    }

    /// The type of each of them.
    pub fn kind(&self) -> SampleType {
        match self {
            Samples::Images { image, .. } => SampleType::Image(*image),
            Samples::Rows(rows) => SampleType::Row(rows.width()),
            Samples::Tokens { tokens, vocabulary, .. } => SampleType::Tokens { vocabulary: *vocabulary, longest: tokens.width() },
            Samples::Frames { numbers, channels } => SampleType::Frames { channels: *channels, longest: numbers.width() / channels },
        }
    }

    /// How many tokens or frames each has; `None` where all have the same number of values.
    pub fn lengths(&self) -> Option<Vec<u32>> {
        match self {
            Samples::Tokens { tokens, .. } => Some(tokens.iter().map(|row| row.len() as u32).collect()),
            Samples::Frames { numbers, channels } => Some(numbers.iter().map(|row| row.len() as u32 / channels).collect()),
            Samples::Images { .. } | Samples::Rows(_) => None,
        }
    }

    /// The bytes of images, and their size. Fails where samples are none.
    pub fn as_images(&self) -> Result<(&SharedRows<u8>, Image)> {
        match self {
            Samples::Images { pixels, image } => Ok((pixels, *image)),
            other => bail!("images are wanted here, these are samples of {}", other.kind()),
        }
    }

    /// A sample as people look at it: a picture as it is; of frames a grey one, the first number at the bottom, from the least to the
    /// largest. Fails where it is neither.
    pub fn shown(&self, sample: u32) -> Result<(Cow<'_, [u8]>, Image)> {
        /// Of pictures of frames.
        const WIDTH: u32 = 64;
        let Samples::Frames { numbers, channels } = self else {
            let (pixels, image) = self.as_images()?;
            return Ok((Cow::Borrowed(pixels.row(sample)), image));
        };
        let (row, bands) = (numbers.row(sample), *channels as usize);
        let (least, most) = row.iter().fold((f32::MAX, f32::MIN), |(least, most), &value| (least.min(value), most.max(value)));
        let image = Image { height: *channels, width: WIDTH, channels: 1 };
        let pixel = |i: usize| {
            let (band, column) = (bands - 1 - i / WIDTH as usize, i % WIDTH as usize);
            let frame = column * (row.len() / bands) / WIDTH as usize;
            row.get(frame * bands + band).map_or(0, |value| (255.0 * (value - least) / (most - least).max(f32::MIN_POSITIVE)) as u8)
        };
        Ok((Cow::Owned((0..image.len() as usize).map(pixel).collect()), image))
    }

    pub fn len(&self) -> u32 {
        match self {
            Samples::Images { pixels, .. } => pixels.len(),
            Samples::Rows(rows) | Samples::Frames { numbers: rows, .. } => rows.len(),
            Samples::Tokens { tokens, .. } => tokens.len(),
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
            Samples::Tokens { tokens, vocabulary, texts } => {
                Samples::Tokens { tokens: tokens.select(indices), vocabulary: *vocabulary, texts: texts.select(indices) }
            }
            Samples::Frames { numbers, channels } => Samples::Frames { numbers: numbers.select(indices), channels: *channels },
        }
    }

    /// What tells a sample from others.
    pub fn bytes(&self, sample: u32) -> Cow<'_, [u8]> {
        match self {
            Samples::Images { pixels, .. } => Cow::Borrowed(pixels.row(sample)),
            Samples::Rows(rows) | Samples::Frames { numbers: rows, .. } => {
                rows.row(sample).iter().flat_map(|number| number.to_le_bytes()).collect()
            }
            Samples::Tokens { tokens, .. } => tokens.row(sample).iter().flat_map(|token| token.to_le_bytes()).collect(),
        }
    }

    /// A sample as numbers: the values of an image from 0 to 1, zeros after the end of a sequence.
    pub fn numbers(&self, sample: u32) -> Vec<f32> {
        match self {
            Samples::Images { pixels, .. } => pixels.row(sample).iter().map(|&byte| f32::from(byte) / 255.0).collect(),
            Samples::Rows(rows) | Samples::Frames { numbers: rows, .. } => filled(rows.row(sample).iter().copied(), rows.width()).collect(),
            Samples::Tokens { tokens, .. } => filled(tokens.row(sample).iter().map(|&token| token as f32), tokens.width()).collect(),
        }
    }

    /// Some of the samples as [`SampleType::stored`] says, padded.
    pub fn words(&self, samples: Range<u32>) -> Vec<u32> {
        match self {
            Samples::Images { pixels, .. } => pixels.packed(samples),
            Samples::Rows(rows) | Samples::Frames { numbers: rows, .. } => rows.padded(samples, |number| number.to_bits()),
            Samples::Tokens { tokens, .. } => tokens.padded(samples, |token| token),
        }
    }
}

impl<T: Copy> SharedRows<T> {
    /// Some rows as words, zeros after the end of each, padded.
    fn padded(&self, rows: Range<u32>, word: impl Fn(T) -> u32) -> Vec<u32> {
        let all = shape(rows.len() as u32, self.width as u32);
        let words: Vec<u32> = rows.flat_map(|row| filled(self.row(row).iter().map(|&value| word(value)), all.cols)).collect();
        pad_rows(all, &words)
    }
}

/// So many values: those that there are, and zeros.
fn filled<T: Default>(values: impl Iterator<Item = T>, count: u32) -> impl Iterator<Item = T> {
    values.chain(std::iter::repeat_with(T::default)).take(count as usize)
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

    #[test]
    fn sequences_keep_their_lengths() {
        let frames = Samples::frames([vec![1.0, 2.0, 3.0, 4.0], vec![], vec![5.0, 6.0]], 2, 3).expect("whole frames");
        assert_eq!(frames.kind(), SampleType::Frames { channels: 2, longest: 3 });
        let some = frames.select(&[2, 1, 0]);
        assert_eq!((some.lengths(), some.len(), some.numbers(0)), (Some(vec![1, 0, 2]), 3, vec![5.0, 6.0, 0.0, 0.0, 0.0, 0.0]));
        assert_eq!(some.words(2..3), pad_rows(shape(1, 6), &[1.0, 2.0, 3.0, 4.0, 0.0, 0.0].map(f32::to_bits)));
        let tokens = Samples::tokens([[7, 8, 9].as_slice(), &[1]], 10, 4).expect("of the vocabulary");
        assert_eq!((tokens.kind(), tokens.lengths()), (SampleType::Tokens { vocabulary: 10, longest: 4 }, Some(vec![3, 1])));
        assert_eq!(tokens.select(&[1]).words(0..1), [1, 0, 0, 0]);
        assert_ne!(tokens.bytes(0), tokens.bytes(1));
        let refused = [
            (Samples::frames([[1.0; 3]], 2, 3), "sequence 0 ends within a frame of 2 numbers"),
            (Samples::frames([[1.0; 8]], 2, 3), "row 0 has 8 values, 6 are the most"),
            (Samples::frames([[]], 0, 3), "sequences of no frames, or of more than can be counted"),
            (Samples::tokens([[10]], 10, 4), "token 10 is not of a vocabulary of 10"),
        ];
        for (samples, reason) in refused {
            assert_eq!(samples.expect_err("no such samples").to_string(), reason);
        }
    }
}
