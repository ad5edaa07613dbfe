//! How sounds become pictures: the definition that a run keeps.

use serde::{Deserialize, Serialize};

use crate::core::sample::Image;
use crate::host::mel::{MelBank, MelScale};

/// The picture of a sound is grey: a row for each mel band, the lowest pitch at the bottom, and a column for each of some moments. The sound
/// is stretched over them, or they are equally long for all sounds, and black ones are before and after it.
///
/// The power of a frame, |X|² over the sum of the squared window, is that of a periodic Hann window of `window` ms, centred every `hop`
/// ms, with zeros beyond the ends. Bands are triangles of height 1 over bins. Their decibels go straight from 0, `range` dB under the
/// loudest band of the sound, to 255 at that.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spectrogram {
    /// Samples per second; sounds of another rate are resampled to it.
    pub rate: u32,
    /// Length of a frame, and time from one to the next, in milliseconds.
    pub window: f64,
    pub hop: f64,
    pub scale: MelScale,
    /// Where the bands begin and end, in hertz.
    pub low: f64,
    pub high: f64,
    /// Decibels from black to white.
    pub range: f64,
    /// Frames at both ends that are weaker than the strongest by more decibels than this are left out.
    pub trim: f64,
    /// Milliseconds of a column; `None` where sounds are stretched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<f64>,
}

impl Spectrogram {
    /// Bands and moments of a picture, unless a user says otherwise.
    pub const SIZE: [u32; 2] = [40, 32];
    /// Samples per second.
    pub const RATES: std::ops::RangeInclusive<u32> = 1000..=384_000;
    /// What is above half of this tells little; more is for who asks for it.
    pub const USUAL_RATE: u32 = 16_000;
    /// Transforms are at most this many times as long as a window.
    const MOST_ZEROS: usize = 16;

    /// Milliseconds of a column where letters are read off: a fraction of the shortest sound of speech.
    const COLUMN: f64 = 20.0;

    /// The usual one, of sounds of a rate.
    pub fn of_rate(rate: u32) -> Self {
        Spectrogram {
            rate,
            window: 32.0,
            hop: 10.0,
            scale: MelScale::Htk,
            low: 60.0,
            high: f64::from(rate) / 2.0,
            range: 50.0,
            trim: 40.0,
            column: None,
        }
    }

    /// With columns that are equally long for all sounds.
    pub fn unstretched(self) -> Self {
        Spectrogram { column: Some(Self::COLUMN), ..self }
    }

    /// Columns of so many milliseconds; 1 if sounds are stretched.
    pub fn columns(&self, milliseconds: f64) -> u32 {
        self.column.map_or(1, |column| (milliseconds / column).ceil().clamp(1.0, f64::from(u32::MAX)) as u32)
    }

    /// Samples of a window: an even number.
    pub fn window_samples(&self) -> usize {
        2 * ((self.window * f64::from(self.rate) / 2000.0).round() as usize).max(1)
    }

    /// Samples from one frame to the next.
    pub fn hop_samples(&self) -> usize {
        ((self.hop * f64::from(self.rate) / 1000.0).round() as usize).max(1)
    }

    /// The bands, and the length of the transform that has a bin in each: that of a window, or longer by zeros. `None` where no length
    /// does.
    pub fn bank(&self, bands: u32) -> Option<(MelBank, usize)> {
        let corners = self.scale.corners(bands, [self.low, self.high]);
        let lengths = std::iter::successors(Some(1), |zeros| Some(2 * zeros)).take_while(|zeros| *zeros <= Self::MOST_ZEROS);
        let mut banks = lengths.map(|zeros| zeros * self.window_samples()).map(|fft| (MelBank::new(&corners, self.rate, fft), fft));
        banks.find(|(bank, _)| bank.is_full())
    }

    /// For people.
    pub fn described(&self, image: Image) -> String {
        let scale = match self.scale {
            MelScale::Htk => "HTK's",
            MelScale::Slaney => "Slaney's",
        };
        format!(
            "sounds are pictures of {} mel bands ({scale}) from {} to {} Hz by {} moments: {} Hz, one channel, windows of {} ms every {} ms, \
             {} dB from black to white; ends {} dB under the loudest moment are left out, {}",
            image.height,
            self.low,
            self.high,
            image.width,
            self.rate,
            self.window,
            self.hop,
            self.range,
            self.trim,
            match self.column {
                None => "the rest is stretched".to_string(),
                Some(column) => format!("of the rest each moment is {column} ms, with black before and after"),
            }
        )
    }

    /// What makes no sense of one that was read from a file.
    pub fn problem(&self) -> Option<String> {
        let half = f64::from(self.rate) / 2.0;
        let within = |value: f64, least: f64, most: f64| (least..=most).contains(&value);
        let checks = [
            (Self::RATES.contains(&self.rate), "rate"),
            (within(self.window, 1.0, 1000.0), "window"),
            (within(self.hop, 1.0, self.window), "hop"),
            (within(self.low, 0.0, half) && within(self.high, self.low + 1.0, half), "bands"),
            (within(self.range, 1.0, 300.0), "range"),
            (within(self.trim, 0.0, 300.0), "trim"),
            (self.column.is_none_or(|column| within(column, 1.0, 1000.0)), "columns"),
        ];
        checks.into_iter().find(|(sound, _)| !sound).map(|(_, what)| format!("{what} of sounds"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_one_makes_sense_at_every_rate() {
        for rate in [1000, 8000, 11_025, 16_000, 22_050, 44_100, 48_000, 192_000, 384_000] {
            let usual = Spectrogram::of_rate(rate);
            assert_eq!(usual.problem(), None, "{rate}");
            let (_, fft) = usual.bank(Spectrogram::SIZE[0]).expect("bins for each band");
            assert!(fft >= usual.window_samples() && usual.hop_samples() <= usual.window_samples(), "{rate}");
        }
        let at_8000 = Spectrogram::of_rate(8000);
        assert_eq!((at_8000.window_samples(), at_8000.hop_samples()), (256, 80));
        assert!(at_8000.bank(4096).is_none());
        for wrong in [Spectrogram { high: 4001.0, ..at_8000 }, Spectrogram { hop: f64::NAN, ..at_8000 }, Spectrogram { rate: 0, ..at_8000 }]
        {
            assert!(wrong.problem().is_some(), "{wrong:?}");
        }
    }
}
