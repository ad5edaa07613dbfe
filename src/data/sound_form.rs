//! What sounds become: pictures, or frames of numbers.

use serde::{Deserialize, Serialize};

use super::log_mel::LogMel;
use super::spectrogram::Spectrogram;
use crate::core::sample::Image;

/// How sounds become samples, as a run keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum SoundForm {
    Picture(Spectrogram),
    Frames(LogMel),
}

impl SoundForm {
    /// Samples per second; sounds of another rate are resampled to it.
    pub fn rate(&self) -> u32 {
        match self {
            SoundForm::Picture(Spectrogram { rate, .. }) | SoundForm::Frames(LogMel { rate, .. }) => *rate,
        }
    }

    /// Where they become frames, how.
    pub fn frames(&self) -> Option<&LogMel> {
        match self {
            SoundForm::Picture(_) => None,
            SoundForm::Frames(frames) => Some(frames),
        }
    }

    /// For people; `image`: the size of pictures.
    pub fn described(&self, image: Image) -> String {
        match self {
            SoundForm::Picture(spectrogram) => spectrogram.described(image),
            SoundForm::Frames(frames) => frames.described(),
        }
    }

    /// What makes no sense of one that was read from a file.
    pub fn problem(&self) -> Option<String> {
        match self {
            SoundForm::Picture(spectrogram) => spectrogram.problem(),
            SoundForm::Frames(frames) => frames.problem(),
        }
    }
}
