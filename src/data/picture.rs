//! A user's picture or sound as the training data were.

use std::path::Path;

use anyhow::{Context, Result};

use super::decode::{self, Seen};
pub use super::decode::{Look, PictureOptions, Remarks};
use super::kinds::{self, Kind};
use super::samples::Samples;
use super::sound;
use super::tree::{self, FileBytes};
use crate::core::sample::Subject;

/// Reads a picture of any size as `options` say: upright, keeping its proportions; or a sound, where they say how it becomes a picture, or
/// frames, whose numbers are bytes then, the lowest first.
pub fn load_picture(path: &Path, options: &PictureOptions) -> Result<(Vec<u8>, Remarks)> {
    let Seen { bytes, remarks } = load(path, options)?;
    Ok((bytes, remarks))
}

/// [`load_picture`] as a sample.
pub fn load_sample(path: &Path, options: &PictureOptions) -> Result<(Samples, Remarks)> {
    let seen = load(path, options)?;
    Ok((decode::samples(std::iter::once(&seen), options, seen.bytes.len())?, seen.remarks))
}

fn load(path: &Path, options: &PictureOptions) -> Result<Seen> {
    let seen = if options.sound_form.is_some() {
        tree::ensure_file(path)?;
        let source = FileBytes::of_file(path).with_context(|| path.display().to_string())?;
        sound::decode(source, None, options)
    } else {
        decode::decode(&read(path)?, options)
    };
    seen.with_context(|| path.display().to_string())
}

fn read(path: &Path) -> Result<Vec<u8>> {
    tree::ensure_file(path)?;
    std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

/// Size and kind of a picture, without decoding it.
pub fn look_at(path: &Path) -> Result<Look> {
    let bytes = read(path)?;
    decode::look(&bytes, decode::MOST_BYTES).with_context(|| path.display().to_string())
}

/// What a file is a sample of, in a format that is read or not, by its name or by how it begins.
pub fn subject_of(path: &Path) -> Option<Subject> {
    match kinds::kind(&path.to_string_lossy(), || tree::head_of(path)) {
        Kind::Sample(subject) | Kind::Foreign(subject, ..) => Some(subject),
        Kind::Data | Kind::Other => None,
    }
}
