//! Features that are kept for the next run: an encoder that does not learn embeds each picture once.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;

use anyhow::Result;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::checkpoint::Checkpoint;
use super::embed::Features;
use crate::cache::{CacheFile, keep_within};
use crate::core::sample::SampleType;
use crate::data::Split;
use crate::exec::Device;

/// Grows when the same weights and pictures come to other features.
const VERSION: u32 = 2;

/// Of all that is kept.
const MOST_BYTES: u64 = 2 << 30;

/// What is kept of an encoder; rows of features follow, in the order of the pictures.
#[derive(Serialize, Deserialize)]
struct Embedded {
    columns: usize,
    /// Hashes of samples: that some two of a million fall together has a chance of 1 in 30 million.
    pictures: Vec<u64>,
}

/// Features of an encoder that are known, in a file for each encoder and device.
struct KnownFeatures {
    kept: CacheFile,
    head: Embedded,
    /// `[pictures, columns]`
    rows: Vec<u8>,
    /// Where the row of a picture is.
    places: HashMap<u64, usize>,
}

impl KnownFeatures {
    fn load(folder: &Path, key: String) -> Self {
        let kept = CacheFile::new(folder, key);
        let found = kept.load().filter(|(head, rows): &(Embedded, Vec<u8>)| rows.len() == 4 * head.columns * head.pictures.len());
        let (head, rows) = found.unwrap_or((Embedded { columns: 0, pictures: Vec::new() }, Vec::new()));
        let places = head.pictures.iter().copied().zip(0..).collect();
        KnownFeatures { kept, head, rows, places }
    }

    fn row(&self, picture: u64) -> Option<Vec<f32>> {
        let width = 4 * self.head.columns;
        let bytes = &self.rows[self.places.get(&picture)? * width..][..width];
        Some(bytes.as_chunks().0.iter().map(|&number| f32::from_le_bytes(number)).collect())
    }

    /// Adds features of pictures that were not known. Where all would be too many, they take the place of the others.
    fn add(&self, pictures: &[u64], features: &Features, folder: &Path) -> Result<()> {
        let rows: Vec<u8> = features.values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let (before, old): (&[u64], &[u8]) = match (self.rows.len() + rows.len()) as u64 {
            all if all <= MOST_BYTES => (&self.head.pictures, &self.rows),
            _ => (&[], &[]),
        };
        if rows.len() as u64 <= MOST_BYTES {
            let head = Embedded { columns: features.columns, pictures: [before, pictures].concat() };
            self.kept.save(head, &[old, &rows])?;
            keep_within(folder, MOST_BYTES)?;
        }
        Ok(())
    }
}

impl Checkpoint {
    /// [`features`](Self::features) of images, texts or sounds, those that are known from what is kept in `cache`, where the others join
    /// them. Returns with them what a user should know.
    pub fn features_kept(&self, device: &Device, images: &Split, cache: &Path) -> Result<(Features, Option<String>)> {
        let kept = !matches!(images.kind(), SampleType::Row(_));
        if !kept || !self.record.samples.takes(images.kind()) {
            return Ok((self.features(device, images)?, None));
        }
        let folder = cache.join("features");
        let on = device.identity().unwrap_or_else(|| "cpu".into());
        let known = KnownFeatures::load(&folder, format!("{VERSION}: {} by {:016x} on {on}", self.record.samples, self.fingerprint()));
        let pictures: Vec<u64> = (0..images.len()).into_par_iter().map(|row| hash_of(&images.samples.bytes(row))).collect();
        // Each once, though it be there twice.
        let mut seen = HashSet::new();
        let fresh: Vec<u32> = (0..images.len())
            .filter(|&row| !known.places.contains_key(&pictures[row as usize]) && seen.insert(pictures[row as usize]))
            .collect();
        let mut note = None;
        let mut computed = Features { values: Vec::new(), columns: known.head.columns };
        if fresh.is_empty() {
            known.kept.used();
        } else {
            computed = self.features(device, &images.select(&fresh))?;
            let of_fresh: Vec<u64> = fresh.iter().map(|&row| pictures[row as usize]).collect();
            note = known.add(&of_fresh, &computed, &folder).err().map(|e| format!("features were not kept for the next run: {e:#}"));
        }
        let places: HashMap<u64, usize> = fresh.iter().map(|&row| pictures[row as usize]).zip(0..).collect();
        let columns = computed.columns;
        let row = |picture: &u64| match places.get(picture) {
            Some(place) => computed.values[place * columns..][..columns].to_vec(),
            None => known.row(*picture).expect("it is known if it was not computed"),
        };
        let values = pictures.iter().flat_map(row).collect();
        let before = pictures.iter().filter(|picture| known.places.contains_key(picture)).count();
        let said = || format!("{before} of {} {} were embedded before: their features were kept", images.len(), images.kind().called());
        Ok((Features { values, columns }, note.or_else(|| (before > 0).then(said))))
    }
}

fn hash_of(sample: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    sample.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::sample::{Image, SampleType};
    use crate::models::ModelSettings;
    use crate::train::{Recording, checkpoint::Record};
    use std::sync::Arc;

    fn checkpoint(seed: u64) -> Checkpoint {
        let image = SampleType::Image(Image { height: 4, width: 4, channels: 1 });
        let model = ModelSettings::mlp(vec![3]);
        let mut r = Recording::new(seed, u64::MAX);
        crate::models::record_encoder(&mut r.arena, &model, image);
        let mut exec = r.load(&Device::Cpu, Arc::new(Vec::new())).expect("it fits");
        Checkpoint::take(&r.arena, &mut *exec, Record::new(None, &model, image, 0, seed)).expect("it is read")
    }

    #[test]
    fn pictures_are_embedded_once_by_each_encoder() {
        let folder = tempfile::tempdir().expect("a folder");
        let image = Image { height: 4, width: 4, channels: 1 };
        // The third is the first again.
        let pixels: Vec<u8> = [1_u8, 50, 1, 200].iter().flat_map(|&value| (0..16).map(move |i| value.wrapping_mul(i + 3))).collect();
        let (all, few) = (Split::unlabelled(pixels.clone(), image), Split::unlabelled(pixels[..32].to_vec(), image));
        let one = checkpoint(1);
        let kept = |of: &Checkpoint, images: &Split| of.features_kept(&Device::Cpu, images, folder.path()).expect("it runs");
        let said = |of: &Checkpoint, images: &Split| {
            let (features, note) = kept(of, images);
            assert_eq!(features, of.features(&Device::Cpu, images).expect("it runs"));
            note.unwrap_or_default()
        };
        assert_eq!(said(&one, &few), "");
        assert!(said(&one, &all).starts_with("3 of 4 images were embedded before"));
        assert!(said(&one, &all).starts_with("4 of 4 images"));
        // Other weights know nothing of it.
        assert_eq!(said(&checkpoint(2), &all), "");
        // What is damaged is made anew.
        for file in std::fs::read_dir(folder.path().join("features")).expect("it is there") {
            let path = file.expect("it is there").path();
            let mut bytes = std::fs::read(&path).expect("it is read");
            *bytes.last_mut().expect("it is not empty") ^= 1;
            std::fs::write(&path, bytes).expect("it is written");
        }
        assert_eq!(said(&one, &all), "");
    }
}
