//! Data sets in memory: images as bytes, with labels where there are any.

mod idx;
mod picture;

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

pub use picture::load_picture;

use crate::buffer::{Shape, shape};
use crate::kernels::augment::Image;
use crate::random;

/// Samples of one size, one after the other, and their labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    pub images: Vec<u8>,
    pub labels: Option<Vec<u32>>,
    pub image: Image,
}

/// What a run can see. Training and model selection use `train` alone.
#[derive(Clone, Debug)]
pub struct Dataset {
    pub name: String,
    pub train: Split,
    pub test: Option<Split>,
    /// Number of classes: the largest label plus one, 0 without labels.
    pub classes: u32,
}

impl Split {
    pub fn len(&self) -> u32 {
        (self.images.len() / self.image.len() as usize) as u32
    }

    pub fn is_empty(&self) -> bool {
        self.images.is_empty()
    }

    /// Shape of the packed images in device memory.
    pub fn packed_shape(&self) -> Shape {
        shape(self.len(), self.image.len().div_ceil(4))
    }

    /// Rows of bytes packed in words, lowest byte first, padded.
    pub fn packed(&self) -> Vec<u32> {
        let (size, stride) = (self.image.len() as usize, self.packed_shape().stride() as usize);
        let mut words = vec![0_u32; self.len() as usize * stride];
        for (row, image) in words.chunks_mut(stride).zip(self.images.chunks(size)) {
            for (i, &byte) in image.iter().enumerate() {
                row[i / 4] |= u32::from(byte) << (8 * (i % 4));
            }
        }
        words
    }

    /// The samples with these indices, in this order.
    pub fn select(&self, indices: &[u32]) -> Split {
        let size = self.image.len() as usize;
        let image = |&i: &u32| &self.images[i as usize * size..(i as usize + 1) * size];
        Split {
            images: indices.iter().flat_map(image).copied().collect(),
            labels: self.labels.as_ref().map(|labels| indices.iter().map(|&i| labels[i as usize]).collect()),
            image: self.image,
        }
    }

    /// Holds out a share of the samples: (what remains, what is held out), each in file order.
    pub fn hold_out(&self, fraction: f64, seed: u64) -> (Split, Split) {
        const STREAM: u32 = 1;
        let count = (f64::from(self.len()) * fraction).round() as u32;
        let mut held = random::sample_without_replacement(random::key(seed, STREAM), self.len(), count);
        held.sort_unstable();
        let rest: Vec<u32> = (0..self.len()).filter(|i| held.binary_search(i).is_err()).collect();
        (self.select(&rest), self.select(&held))
    }

    /// `count` samples of each class, drawn by `seed`. Fails if there are no labels or a class has fewer.
    pub fn per_class(&self, count: u32, classes: u32, seed: u64) -> Result<Split> {
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
        Ok(self.select(&chosen))
    }
}

impl Dataset {
    /// The digits that come with the binary: 10,000 training and 10,000 test images of MNIST.
    pub fn embedded() -> Self {
        let split = |images, labels, name| {
            idx::split(idx::Source::Bytes(images, name), Some(idx::Source::Bytes(labels, name))).expect("the embedded data are sound")
        };
        let train = split(
            include_bytes!("../../assets/train-images-idx3-ubyte.gz"),
            include_bytes!("../../assets/train-labels-idx1-ubyte.gz"),
            "embedded training digits",
        );
        let test = split(
            include_bytes!("../../assets/t10k-images-idx3-ubyte.gz"),
            include_bytes!("../../assets/t10k-labels-idx1-ubyte.gz"),
            "embedded test digits",
        );
        Self::new("embedded digits".into(), train, Some(test)).expect("the embedded data are sound")
    }

    /// A folder with files named as MNIST's, plain or `.gz`. Training labels and the test pair may be missing.
    pub fn load(dir: &Path) -> Result<Self> {
        ensure!(dir.is_dir(), "{} is not a folder; --data takes a folder with MNIST's four files", dir.display());
        let pair = |prefix: &str| -> Result<Option<Split>> {
            let images = idx::find(dir, &format!("{prefix}-images-idx3-ubyte"));
            let labels = idx::find(dir, &format!("{prefix}-labels-idx1-ubyte"));
            match (images, labels) {
                (None, None) => Ok(None),
                (None, Some(labels)) => bail!("{} has no images beside it ({prefix}-images-idx3-ubyte)", labels.display()),
                (Some(images), labels) => Ok(Some(idx::split(idx::Source::File(images), labels.map(idx::Source::File))?)),
            }
        };
        let train = pair("train")?.with_context(|| format!("{} holds no train-images-idx3-ubyte, plain or .gz", dir.display()))?;
        let name = dir.file_name().map_or_else(|| dir.display().to_string(), |name| name.to_string_lossy().into_owned());
        Self::new(name, train, pair("t10k")?).with_context(|| dir.display().to_string())
    }

    fn new(name: String, train: Split, test: Option<Split>) -> Result<Self> {
        ensure!(!train.is_empty(), "there are no training images");
        if let Some(test) = &test {
            let [a, b] = [&train.image, &test.image].map(|i| format!("{}x{}", i.height, i.width));
            ensure!(a == b, "training images are {a}, test images {b}");
        }
        let labels = || [Some(&train), test.as_ref()].into_iter().flatten().filter_map(|s| s.labels.as_ref()).flatten();
        let classes = labels().max().map_or(0, |largest| largest + 1);
        Ok(Dataset { name, train, test, classes })
    }
}
