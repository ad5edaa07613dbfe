//! How sounds become frames of numbers: the definition that a run keeps.

use serde::{Deserialize, Serialize};

use crate::core::sample::SampleType;
#[cfg(feature = "files")]
use crate::host::mel::{MelBank, MelScale};
#[cfg(feature = "files")]
use crate::host::stft::Stft;

/// The decibels of mel bands, frame after frame, as published networks were trained on them.
///
/// Samples are in the range of 16-bit integers. Frame j is of the `fft` samples from j · `hop` on, under a periodic Hann window of `window`
/// samples in their middle. Before a sound and after it there is as much silence as `around` frames take. Bands are triangles of area 1
/// (in hertz, as librosa's `norm="slaney"`) over the power |X|² of bins, on Slaney's scale. Numbers are decibels / 10 + 2; what is more
/// than `range` dB under the loudest band of the sound is raised to that.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogMel {
    /// Samples per second; sounds of another rate are resampled to it.
    pub rate: u32,
    /// In samples.
    pub window: u32,
    pub fft: u32,
    pub hop: u32,
    pub bands: u32,
    /// Where the bands begin and end, in hertz.
    pub low: f64,
    pub high: f64,
    /// In decibels.
    pub range: f64,
    /// Frames of silence before a sound, and after it: so a network sees it at the end of windows, in their middle and at their beginning.
    pub around: u32,
}

/// Of samples from -1 to 1.
#[cfg(feature = "files")]
const FULL_SCALE: f64 = 32768.0;
/// What is weaker is as strong.
#[cfg(feature = "files")]
const LEAST_POWER: f64 = 1e-10;

impl LogMel {
    /// Of the network of that name (`melspectrogram.onnx` beside it), with so much silence that all of its windows of 76 frames have 4 of
    /// the sound: chosen on training recordings of spoken digits.
    pub const SPEECH_EMBEDDING: Self =
        LogMel { rate: 16_000, window: 400, fft: 512, hop: 160, bands: 32, low: 60.0, high: 3800.0, range: 80.0, around: 72 };
    /// Frames that a sound has at most: a minute of them.
    pub const MOST_FRAMES: u32 = 6000;
    /// Of a definition that was read from a file.
    const MOST_SAMPLES: u32 = 1 << 16;

    /// What sounds become.
    pub fn samples(&self) -> SampleType {
        SampleType::Frames { channels: self.bands, longest: Self::MOST_FRAMES }
    }

    /// Samples of silence before a sound, and after it.
    #[cfg(feature = "files")]
    fn silence(&self) -> usize {
        (self.around * self.hop) as usize
    }

    /// Samples that a sound has at most.
    #[cfg(feature = "files")]
    pub fn most_samples(&self) -> usize {
        ((Self::MOST_FRAMES - 1) * self.hop + self.fft) as usize - 2 * self.silence()
    }

    /// The frames of a sound at its rate, one after the other. `samples`: from -1 to 1.
    #[cfg(feature = "files")]
    pub fn frames(&self, samples: &[f64]) -> Vec<f32> {
        let corners = MelScale::Slaney.corners(self.bands, [self.low, self.high]);
        let bank = MelBank::new(&corners, self.rate, self.fft as usize).of_area_one(&corners);
        let mut stft = Stft::new(self.window as usize, self.hop as usize, self.fft as usize);
        let quiet = || std::iter::repeat_n(0.0, self.silence());
        let sound = samples.iter().map(|sample| sample * FULL_SCALE);
        let mut decibels: Vec<f64> = Vec::new();
        stft.push(quiet().chain(sound).chain(quiet()), |power| {
            decibels.extend(bank.of(power).map(|power| 10.0 * libm::log10(power.max(LEAST_POWER))));
        });
        let floor = decibels.iter().copied().fold(f64::MIN, f64::max) - self.range;
        decibels.into_iter().map(|decibels| (decibels.max(floor) / 10.0 + 2.0) as f32).collect()
    }

    /// For people.
    pub fn described(&self) -> String {
        format!(
            "sounds are frames of {} mel bands (Slaney's) from {} to {} Hz: {} Hz, one channel, a window of {} samples every {}, decibels of \
             16-bit samples / 10 + 2, at most {} dB under the loudest; {} frames of silence before and after",
            self.bands, self.low, self.high, self.rate, self.window, self.hop, self.range, self.around
        )
    }

    /// What makes no sense of one that was read from a file.
    pub fn problem(&self) -> Option<String> {
        let half = f64::from(self.rate) / 2.0;
        let within = |value: f64, least: f64, most: f64| (least..=most).contains(&value);
        let checks = [
            (super::Spectrogram::RATES.contains(&self.rate), "rate"),
            ((2..=Self::MOST_SAMPLES).contains(&self.fft) && (1..=self.fft).contains(&self.window), "window"),
            ((1..=self.fft).contains(&self.hop), "hop"),
            ((1..=self.fft).contains(&self.bands) && within(self.low, 0.0, half) && within(self.high, self.low + 1.0, half), "bands"),
            (within(self.range, 1.0, 300.0), "range"),
            (self.around <= Self::MOST_FRAMES / 4, "silence"),
        ];
        checks.into_iter().find(|(sound, _)| !sound).map(|(_, what)| format!("{what} of sounds"))
    }
}

#[cfg(all(test, feature = "files"))]
mod tests {
    use super::*;

    #[test]
    fn frames_are_as_many_as_fit_with_silence_around_them() {
        let form = LogMel::SPEECH_EMBEDDING;
        assert_eq!(form.problem(), None);
        let tone = |count: usize| (0..count).map(|i| 0.1 * libm::sin(i as f64 * 0.3)).collect::<Vec<f64>>();
        for (samples, frames) in [(1, 141), (512, 145), (671, 145), (672, 146), (16_000, 241), (form.most_samples(), 6000)] {
            assert_eq!(form.frames(&tone(samples)).len(), frames * 32, "{samples} samples");
        }
        let short = form.frames(&tone(1600));
        let loudness = |frame: usize| short[frame * 32..][..32].iter().copied().fold(f32::MIN, f32::max);
        let least = short.iter().copied().fold(f32::MAX, f32::min);
        assert!(
            (loudness(75) - least - 8.0).abs() < 0.1 && [0, 68, 83].map(loudness) == [least; 3],
            "80 dB under the loudest at both ends"
        );
        // Twice as loud is 6.02 dB more everywhere: what is cut off is too.
        let louder = form.frames(&tone(16_000).iter().map(|sample| 2.0 * sample).collect::<Vec<_>>());
        let more: Vec<f32> = louder.iter().zip(form.frames(&tone(16_000))).map(|(a, b)| a - b).collect();
        assert!(more.iter().all(|more| (more - 0.602_06).abs() < 1e-4), "{more:?}");
        for wrong in [
            LogMel { hop: 0, ..form },
            LogMel { high: 8001.0, ..form },
            LogMel { range: f64::NAN, ..form },
            LogMel { bands: 0, ..form },
            LogMel { around: u32::MAX, ..form },
        ] {
            assert!(wrong.problem().is_some(), "{wrong:?}");
        }
    }
}
