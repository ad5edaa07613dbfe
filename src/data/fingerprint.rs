//! Whether data are those that they were.

use super::{Dataset, Samples, SharedRows, Split};
use crate::core::sample::Image;

/// Of data as a run sees them: samples and the truth about them. Equal for equal data, on every machine.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Fingerprint {
    train: u32,
    test: u32,
    hash: u64,
}

impl std::fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} training and {} test samples ({:016x})", self.train, self.test, self.hash)
    }
}

impl Fingerprint {
    /// Training and test samples.
    pub fn samples(&self) -> u32 {
        self.train + self.test
    }

    /// Test samples.
    pub fn tests(&self) -> u32 {
        self.test
    }
}

impl Dataset {
    pub fn fingerprint(&self) -> Fingerprint {
        let mut hash = Hash(0xCBF2_9CE4_8422_2325);
        hash.bytes(self.class_names.join("\n").as_bytes());
        self.bytes_beside().iter().for_each(|bytes| hash.bytes(bytes));
        for split in [Some(&self.train), self.test.as_ref()] {
            hash.word(split.map_or(u64::MAX, |split| split.len().into()));
            split.iter().for_each(|split| hash.split(split));
        }
        self.out_of_scope.iter().flatten().for_each(|split| hash.split(split));
        Fingerprint { train: self.train.len(), test: self.test.as_ref().map_or(0, Split::len), hash: hash.0 }
    }
}

impl Dataset {
    /// What belongs to the truth of masks and tables: values, colours, columns and their categories. None of other data.
    fn bytes_beside(&self) -> Vec<Vec<u8>> {
        let columns = self.encoding.as_ref().map(|encoding| encoding.features().join("\n").into_bytes());
        let masks = [self.mask_values.clone(), self.mask_palette.clone()];
        masks.into_iter().chain(columns).filter(|bytes| !bytes.is_empty()).collect()
    }
}

/// FNV-1a over words, with a rotation for the high bits.
struct Hash(u64);

impl Hash {
    fn word(&mut self, word: u64) {
        self.0 = (self.0 ^ word).wrapping_mul(0x0100_0000_01B3).rotate_left(23);
    }

    /// The length first, so that what follows is never taken for a part of it.
    fn bytes(&mut self, bytes: &[u8]) {
        self.pieces(bytes.len() as u64, std::iter::once(bytes));
    }

    /// Rows of bytes, as if they lay one after the other.
    fn rows(&mut self, rows: &SharedRows<u8>) {
        self.pieces(u64::from(rows.len()) * u64::from(rows.width()), rows.iter());
    }

    fn pieces<'a>(&mut self, length: u64, pieces: impl Iterator<Item = &'a [u8]>) {
        self.word(length);
        let (mut word, mut held) = ([0; 8], 0);
        for mut bytes in pieces {
            while !bytes.is_empty() {
                let (taken, rest) = bytes.split_at(bytes.len().min(word.len() - held));
                word[held..held + taken.len()].copy_from_slice(taken);
                (held, bytes) = (held + taken.len(), rest);
                if held == word.len() {
                    self.word(u64::from_le_bytes(word));
                    (word, held) = ([0; 8], 0);
                }
            }
        }
        self.word(u64::from_le_bytes(word));
    }

    fn words(&mut self, count: usize, words: impl Iterator<Item = u32>) {
        self.word(count as u64);
        words.for_each(|word| self.word(word.into()));
    }

    fn split(&mut self, split: &Split) {
        let Split { samples, truth, .. } = split;
        let (kind, none) = (samples.kind(), SharedRows::new(Vec::new(), 1));
        let channels = kind.channels();
        let Image { height, width, channels } = kind.image().unwrap_or(Image { height: 1, width: kind.places(), channels });
        self.words(3, [height, width, channels].into_iter());
        let (pixels, rows) = match samples {
            Samples::Images { pixels, .. } => (pixels, None),
            Samples::Rows(rows) | Samples::Frames { numbers: rows, .. } => (&none, Some(rows)),
            Samples::Tokens { .. } => (&none, None),
        };
        self.rows(pixels);
        let numbers = || rows.iter().flat_map(|rows| rows.iter().flatten());
        self.words(numbers().count(), numbers().map(|value| value.to_bits()));
        if let Some(lengths) = samples.lengths() {
            self.words(lengths.len(), lengths.into_iter());
        }
        if let Samples::Tokens { tokens, vocabulary, .. } = samples {
            self.words(*vocabulary as usize, tokens.iter().flatten().copied());
        }
        let labels = truth.labels.as_deref().unwrap_or_default();
        self.words(labels.len(), labels.iter().copied());
        let targets = truth.targets.as_deref().unwrap_or_default();
        self.words(targets.len(), targets.iter().map(|value| value.to_bits()));
        self.rows(truth.masks.as_ref().unwrap_or(&none));
        truth.label_sets.iter().for_each(|sets| self.rows(sets));
        if let Some(tags) = &truth.tags {
            self.words(tags.classes().count(), tags.classes());
        }
        if let Some(transcripts) = &truth.transcripts {
            let lengths = transcripts.lengths();
            self.words(lengths.len(), lengths.into_iter());
            self.words(transcripts.numbers().count(), transcripts.numbers());
        }
    }
}
