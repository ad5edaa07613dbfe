//! Whether data are those that they were.

use super::{Dataset, Split};

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

impl Dataset {
    pub fn fingerprint(&self) -> Fingerprint {
        let mut hash = Hash(0xCBF2_9CE4_8422_2325);
        hash.bytes(self.class_names.join("\n").as_bytes());
        self.bytes_beside().iter().for_each(|bytes| hash.bytes(bytes));
        for split in [Some(&self.train), self.test.as_ref()] {
            hash.word(split.map_or(u64::MAX, |split| split.len().into()));
            split.iter().for_each(|split| hash.split(split));
        }
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
        self.word(bytes.len() as u64);
        let words = bytes.chunks_exact(8);
        let mut last = [0; 8];
        last[..words.remainder().len()].copy_from_slice(words.remainder());
        words.for_each(|word| self.word(u64::from_le_bytes(word.try_into().expect("eight bytes"))));
        self.word(u64::from_le_bytes(last));
    }

    fn words(&mut self, count: usize, words: impl Iterator<Item = u32>) {
        self.word(count as u64);
        words.for_each(|word| self.word(word.into()));
    }

    fn split(&mut self, split: &Split) {
        let image = split.image;
        self.words(3, [image.height, image.width, image.channels].into_iter());
        self.bytes(&split.images);
        self.words(split.features.len(), split.features.iter().map(|value| value.to_bits()));
        let labels = split.labels.as_deref().unwrap_or_default();
        self.words(labels.len(), labels.iter().copied());
        let targets = split.targets.as_deref().unwrap_or_default();
        self.words(targets.len(), targets.iter().map(|value| value.to_bits()));
        self.bytes(split.masks.as_deref().unwrap_or_default());
    }
}
