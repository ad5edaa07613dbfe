//! Bands of a spectrum as ears tell pitches apart.

use serde::{Deserialize, Serialize};

/// What pitch sounds have to ears, in mel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MelScale {
    /// 2595 log10(1 + f / 700), as HTK has it (O'Shaughnessy 1987).
    Htk,
    /// 3/200 of the frequency below 1000 Hz, and logarithmic above: 15 + 27 ln(f / 1000) / ln 6.4, as Slaney's Auditory Toolbox and
    /// librosa have it.
    Slaney,
}

/// Of Slaney's scale: where it begins to be logarithmic, in hertz and in mel, and its steps there.
const BREAK_HERTZ: f64 = 1000.0;
const BREAK_MEL: f64 = 15.0;
const STEPS: f64 = 27.0;
const RATIO: f64 = 6.4;

impl MelScale {
    pub fn mel(self, hertz: f64) -> f64 {
        match self {
            MelScale::Htk => 2595.0 * libm::log10(1.0 + hertz / 700.0),
            MelScale::Slaney if hertz < BREAK_HERTZ => hertz * BREAK_MEL / BREAK_HERTZ,
            MelScale::Slaney => BREAK_MEL + STEPS * libm::log(hertz / BREAK_HERTZ) / libm::log(RATIO),
        }
    }

    pub fn hertz(self, mel: f64) -> f64 {
        match self {
            MelScale::Htk => 700.0 * (libm::pow(10.0, mel / 2595.0) - 1.0),
            MelScale::Slaney if mel < BREAK_MEL => mel * BREAK_HERTZ / BREAK_MEL,
            MelScale::Slaney => BREAK_HERTZ * libm::exp((mel - BREAK_MEL) * libm::log(RATIO) / STEPS),
        }
    }

    /// The corners in hertz of `bands` triangles: `bands + 2` points, equally spaced in mel from `low` to `high`.
    pub fn corners(self, bands: u32, [low, high]: [f64; 2]) -> Vec<f64> {
        let [from, to] = [low, high].map(|hertz| self.mel(hertz));
        (0..bands + 2).map(|i| self.hertz(from + (to - from) * f64::from(i) / f64::from(bands + 1))).collect()
    }
}

/// Triangles of height 1 over a spectrum, straight in hertz.
#[derive(Clone, Debug)]
pub struct MelBank {
    bands: Vec<Band>,
}

/// Weights of neighbouring bins.
#[derive(Clone, Debug)]
struct Band {
    first: usize,
    weights: Vec<f64>,
}

impl MelBank {
    /// Of [`corners`](MelScale::corners): each triangle rises from one to the next, and falls to the one after. Bin k of a transform of
    /// `fft` samples lies at k · `rate` / `fft` hertz.
    pub fn new(corners: &[f64], rate: u32, fft: usize) -> Self {
        let band = |points: &[f64]| {
            let weight = |bin: usize| {
                let hertz = bin as f64 * f64::from(rate) / fft as f64;
                let [rise, fall] = [(hertz - points[0]) / (points[1] - points[0]), (points[2] - hertz) / (points[2] - points[1])];
                rise.min(fall).max(0.0)
            };
            let within: Vec<usize> = (0..=fft / 2).filter(|&bin| weight(bin) > 0.0).collect();
            Band { first: within.first().copied().unwrap_or(0), weights: within.into_iter().map(weight).collect() }
        };
        MelBank { bands: corners.windows(3).map(band).collect() }
    }

    /// With triangles of area 1 in place of height 1: those of [`new`](Self::new) over the same corners.
    pub fn of_area_one(mut self, corners: &[f64]) -> Self {
        for (band, points) in self.bands.iter_mut().zip(corners.windows(3)) {
            band.weights.iter_mut().for_each(|weight| *weight *= 2.0 / (points[2] - points[0]));
        }
        self
    }

    /// Whether each band has a bin.
    pub fn is_full(&self) -> bool {
        self.bands.iter().all(|band| !band.weights.is_empty())
    }

    /// The power in each band, by that of each bin.
    pub fn of<'a>(&'a self, power: &'a [f64]) -> impl Iterator<Item = f64> + 'a {
        self.bands.iter().map(|band| band.weights.iter().zip(&power[band.first..]).map(|(weight, power)| weight * power).sum())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_are_their_own_inverse_and_grow() {
        for scale in [MelScale::Htk, MelScale::Slaney] {
            for hertz in [0.0, 60.0, 999.0, 1000.0, 1001.0, 8000.0, 96_000.0] {
                assert!((scale.hertz(scale.mel(hertz)) - hertz).abs() < 1e-8 * (1.0 + hertz), "{scale:?}, {hertz}");
            }
            let corners = scale.corners(40, [60.0, 4000.0]);
            assert!(corners.len() == 42 && corners.windows(2).all(|pair| pair[0] < pair[1]), "{scale:?}");
            assert!((corners[0] - 60.0).abs() < 1e-9 && (corners[41] - 4000.0).abs() < 1e-9);
        }
        assert!((MelScale::Htk.mel(1000.0) - 1000.0).abs() < 0.02, "1000 Hz are 1000 mel");
    }

    #[test]
    fn bands_without_a_bin_are_noticed() {
        let corners = MelScale::Htk.corners(200, [60.0, 4000.0]);
        assert!(!MelBank::new(&corners, 8000, 256).is_full());
        assert!(MelBank::new(&corners, 8000, 2048).is_full());
    }
}
