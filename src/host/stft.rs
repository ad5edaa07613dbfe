//! The spectra of a sound, window by window, as it comes in.

use std::sync::Arc;

use realfft::num_complex::Complex;
use realfft::{RealFftPlanner, RealToComplex};

/// Short-time Fourier transform of a stream. Frame j covers the samples from j · hop on, so many as the transform has; to centre frames
/// on the samples j · hop, half a transform of zeros goes in before them and after them.
pub struct Stft {
    transform: Arc<dyn RealToComplex<f64>>,
    /// Periodic Hann window, in the middle of zeros.
    window: Vec<f64>,
    hop: usize,
    /// Samples that frames still need.
    pending: Vec<f64>,
    frame: Vec<f64>,
    spectrum: Vec<Complex<f64>>,
    scratch: Vec<Complex<f64>>,
    power: Vec<f64>,
}

impl Stft {
    /// A window of `window` samples, every `hop` samples, in a transform of `fft`. Panics unless `hop` and `window` are 1 to `fft`.
    pub fn new(window: usize, hop: usize, fft: usize) -> Self {
        assert!((1..=fft).contains(&window) && (1..=fft).contains(&hop), "a window of {window}, hop {hop}, in {fft}");
        let transform = RealFftPlanner::new().plan_fft_forward(fft);
        let before = (fft - window) / 2;
        let hann = |i: usize| 0.5 - 0.5 * libm::cos(2.0 * std::f64::consts::PI * i as f64 / window as f64);
        let value = |i: usize| i.checked_sub(before).filter(|&i| i < window).map_or(0.0, hann);
        Stft {
            window: (0..fft).map(value).collect(),
            hop,
            pending: Vec::new(),
            frame: transform.make_input_vec(),
            spectrum: transform.make_output_vec(),
            scratch: transform.make_scratch_vec(),
            power: vec![0.0; fft / 2 + 1],
            transform,
        }
    }

    /// Samples of a transform.
    pub fn fft(&self) -> usize {
        self.window.len()
    }

    /// The sum of the squares of the window: white noise of variance 1 has this power in each bin.
    pub fn gain(&self) -> f64 {
        self.window.iter().map(|value| value * value).sum()
    }

    /// Takes more samples, and calls `each` with the power |X|² of the bins 0 to `fft / 2` of each frame that they complete.
    pub fn push(&mut self, samples: impl IntoIterator<Item = f64>, mut each: impl FnMut(&[f64])) {
        self.pending.extend(samples);
        let (fft, mut at) = (self.fft(), 0);
        while at + fft <= self.pending.len() {
            let windowed = self.pending[at..at + fft].iter().zip(&self.window).map(|(sample, weight)| sample * weight);
            self.frame.iter_mut().zip(windowed).for_each(|(into, value)| *into = value);
            let done = self.transform.process_with_scratch(&mut self.frame, &mut self.spectrum, &mut self.scratch);
            done.expect("buffers are those that the transform asked for");
            self.power.iter_mut().zip(&self.spectrum).for_each(|(power, bin)| *power = bin.norm_sqr());
            each(&self.power);
            at += self.hop;
        }
        self.pending.drain(..at);
    }
}
