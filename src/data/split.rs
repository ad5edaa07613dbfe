//! Samples of one size with everything known about them, and how they are divided.

use std::ops::Range;

use anyhow::{Context, Result, ensure};

use crate::buffer::{Dtype, Shape, pad_rows, shape};
use crate::kernels::augment::Image;
use crate::random;

/// Samples of one size, one after the other, and the truth about them, where it is known.
#[derive(Clone, Debug, PartialEq)]
pub struct Split {
    /// Bytes of each sample line by line, channels innermost.
    pub images: Vec<u8>,
    pub image: Image,
    /// A class per sample.
    pub labels: Option<Vec<u32>>,
    /// A number per sample.
    pub targets: Option<Vec<f32>>,
    /// A class per pixel.
    pub masks: Option<Vec<u8>>,
    /// Of rows of a table, which have no images: as many numbers each as `image` is wide.
    pub features: Vec<f32>,
    /// File names; empty where samples have none.
    pub names: Vec<String>,
}

impl Split {
    /// Samples of which nothing else is known.
    pub fn unlabelled(images: Vec<u8>, image: Image) -> Self {
        Split { images, image, labels: None, targets: None, masks: None, features: Vec::new(), names: Vec::new() }
    }

    /// Rows of a table, `features` numbers each.
    pub fn of_rows(rows: Vec<f32>, targets: Option<Vec<f32>>, features: u32) -> Self {
        let image = Image { height: 1, width: features, channels: 1 };
        Split { features: rows, targets, ..Split::unlabelled(Vec::new(), image) }
    }

    pub fn len(&self) -> u32 {
        (self.images.len().max(self.features.len()) / self.image.len() as usize) as u32
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The samples themselves, without names and what is known of them.
    pub fn bare(&self) -> Split {
        Split { features: self.features.clone(), ..Split::unlabelled(self.images.clone(), self.image) }
    }

    /// The bytes of one sample.
    pub fn pixels(&self, sample: u32) -> &[u8] {
        let size = self.image.len() as usize;
        &self.images[sample as usize * size..(sample as usize + 1) * size]
    }

    /// Shape of the packed images in device memory.
    pub fn packed_shape(&self) -> Shape {
        shape(self.len(), self.image.len().div_ceil(4))
    }

    /// Rows of bytes packed in words, lowest byte first, padded.
    pub fn packed(&self) -> Vec<u32> {
        packed(&self.images, self.image.len())
    }

    /// How samples lie in device memory: as packed bytes, or as the numbers of a table.
    pub fn stored_as(&self) -> (Dtype, Shape) {
        match self.features.is_empty() {
            true => (Dtype::U32, self.packed_shape()),
            false => (Dtype::F32, shape(self.len(), self.image.len())),
        }
    }

    /// The words of [`stored_as`](Self::stored_as), padded.
    pub fn stored(&self) -> Vec<u32> {
        if self.features.is_empty() {
            return self.packed();
        }
        let words: Vec<u32> = self.features.iter().map(|value| value.to_bits()).collect();
        pad_rows(self.stored_as().1, &words)
    }

    /// Shape of packed masks.
    pub fn masks_shape(&self) -> Shape {
        shape(self.len(), (self.image.height * self.image.width).div_ceil(4))
    }

    /// Masks as images are packed, if there are any.
    pub fn packed_masks(&self) -> Option<Vec<u32>> {
        self.masks.as_ref().map(|masks| packed(masks, self.image.height * self.image.width))
    }

    /// Samples next to each other.
    pub fn range(&self, indices: Range<u32>) -> Split {
        self.select(&indices.collect::<Vec<_>>())
    }

    /// The first `count` samples, or all if there are no more.
    pub fn first(&self, count: u32) -> Split {
        if count < self.len() { self.range(0..count) } else { self.clone() }
    }

    /// The samples with these indices, in this order.
    pub fn select(&self, indices: &[u32]) -> Split {
        /// Rows of `size` values each.
        fn rows<T: Clone>(values: &[T], size: u32, indices: &[u32]) -> Vec<T> {
            let size = size as usize;
            indices.iter().map(|&i| &values[i as usize * size..(i as usize + 1) * size]).collect::<Vec<_>>().concat()
        }
        let pixels = self.image.height * self.image.width;
        Split {
            images: if self.images.is_empty() { Vec::new() } else { rows(&self.images, self.image.len(), indices) },
            features: if self.features.is_empty() { Vec::new() } else { rows(&self.features, self.image.len(), indices) },
            image: self.image,
            labels: self.labels.as_ref().map(|labels| rows(labels, 1, indices)),
            targets: self.targets.as_ref().map(|targets| rows(targets, 1, indices)),
            masks: self.masks.as_ref().map(|masks| rows(masks, pixels, indices)),
            names: if self.names.is_empty() { Vec::new() } else { rows(&self.names, 1, indices) },
        }
    }

    /// Holds out a share of the samples: (what remains, what is held out), each in file order. Files of a folder are mixed
    /// instead: they come a class after the other, and the first ones of a split are to be as good as any of it.
    pub fn hold_out(&self, fraction: f64, seed: u64) -> (Split, Split) {
        const STREAM: u32 = 1;
        const MIX_STREAM: u32 = 998;
        let count = (f64::from(self.len()) * fraction).round() as u32;
        let mut held = random::sample_without_replacement(random::key(seed, STREAM), self.len(), count);
        held.sort_unstable();
        let rest: Vec<u32> = (0..self.len()).filter(|i| held.binary_search(i).is_err()).collect();
        let parts = [rest, held].map(|indices| {
            if self.names.is_empty() {
                return self.select(&indices);
            }
            let count = indices.len() as u32;
            let mixed = random::sample_without_replacement(random::key(seed, MIX_STREAM), count, count);
            self.select(&mixed.into_iter().map(|i| indices[i as usize]).collect::<Vec<_>>())
        });
        parts.into()
    }

    /// `count` samples drawn by `seed`, in file order. Fails if there are fewer.
    pub fn some(&self, count: u32, seed: u64) -> Result<Split> {
        const STREAM: u32 = 999;
        ensure!(count <= self.len(), "there are {} training samples, --labels asks for {count}", self.len());
        let mut chosen = random::sample_without_replacement(random::key(seed, STREAM), self.len(), count);
        chosen.sort_unstable();
        Ok(self.select(&chosen))
    }

    /// `count` samples of each class, drawn by `seed`. Fails if there are no labels or a class has fewer.
    pub fn per_class(&self, count: u32, classes: u32, seed: u64) -> Result<Split> {
        Ok(self.select(&self.draw_per_class(count, classes, seed)?))
    }

    /// The indices of [`per_class`](Self::per_class), class by class.
    pub fn draw_per_class(&self, count: u32, classes: u32, seed: u64) -> Result<Vec<u32>> {
        const STREAM: u32 = 1000;
        let labels = self.labels.as_ref().context("the training images have no labels to choose from")?;
        let mut chosen = Vec::new();
        for class in 0..classes {
            let members: Vec<u32> = (0..self.len()).filter(|&i| labels[i as usize] == class).collect();
            ensure!(
                members.len() >= count as usize,
                "class {class} has {} training images, --labels-per-class asks for {count}",
                members.len()
            );
            let key = random::key(seed, STREAM + class);
            chosen.extend(random::sample_without_replacement(key, members.len() as u32, count).iter().map(|&i| members[i as usize]));
        }
        Ok(chosen)
    }

    /// Training and test samples by [`Part::by_index`]; no test samples where there are too few for one.
    pub(super) fn by_index(&self) -> (Split, Option<Split>) {
        let of = |part| (0..self.len()).filter(|&i| Part::by_index(i as usize) == part).collect::<Vec<_>>();
        let test = of(Part::Test);
        (self.select(&of(Part::Train)), (!test.is_empty()).then(|| self.select(&test)))
    }
}

/// Rows of `size` bytes packed in words, lowest byte first, padded.
fn packed(bytes: &[u8], size: u32) -> Vec<u32> {
    let rows = shape((bytes.len() / size as usize) as u32, size.div_ceil(4));
    let mut words = vec![0_u32; rows.words() as usize];
    for (row, bytes) in words.chunks_mut(rows.stride() as usize).zip(bytes.chunks(size as usize)) {
        for (i, &byte) in bytes.iter().enumerate() {
            row[i / 4] |= u32::from(byte) << (8 * (i % 4));
        }
    }
    words
}

impl std::fmt::Display for Image {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}x{} pixels{}", self.height, self.width, if self.channels == 1 { "" } else { " in colour" })
    }
}

/// What a sample is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    Train,
    Test,
    /// The test samples where there are no others, else nothing: a share of the training samples is held out for that.
    Val,
}

impl Part {
    /// By the usual names of folders and of values in a column `split`.
    pub(super) fn named(name: &str) -> Option<Part> {
        match name.trim().to_ascii_lowercase().as_str() {
            "train" | "training" => Some(Part::Train),
            "test" | "testing" => Some(Part::Test),
            "val" | "valid" | "validation" | "dev" => Some(Part::Val),
            _ => None,
        }
    }

    /// Where nothing says what is for what: every fifth sample is a test sample.
    pub(super) fn by_index(index: usize) -> Part {
        if index % 5 == 4 { Part::Test } else { Part::Train }
    }

    /// Makes validation samples the test samples if there are no others. Returns what a user must be told.
    pub(super) fn settle(parts: &mut [Part]) -> Option<String> {
        let validation = parts.iter().filter(|&&part| part == Part::Val).count();
        if validation == 0 {
            return None;
        }
        if parts.contains(&Part::Test) {
            return Some(format!("{validation} validation samples are left out: --val holds out a share of the training samples instead"));
        }
        parts.iter_mut().filter(|part| **part == Part::Val).for_each(|part| *part = Part::Test);
        Some(format!("the {validation} validation samples are the test set, as there is no other"))
    }

    /// What is said about a split [by index](Part::by_index).
    pub(super) fn rule(what: &str, count: usize) -> String {
        match count / 5 {
            0 => format!("no test set is given, and {count} samples are too few to take one from"),
            test => format!("no test set is given: every fifth {what} (index 4, 9, ...) is a test sample, {test} of {count}"),
        }
    }
}
