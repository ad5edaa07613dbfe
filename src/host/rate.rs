//! Sound at another rate.

use std::sync::OnceLock;

/// Zeros of the filter on each side of its middle.
const ZEROS: usize = 24;
/// Entries of its table from one zero to the next; between them it is taken to be straight, to about 1e-6.
const STEPS: usize = 512;
/// Shape of the Kaiser window: what is filtered away is 80 dB weaker.
const BETA: f64 = 8.0;
/// Where the filter is at one half, as a share of the lower of the two Nyquist frequencies. It passes all up to 0.85 of that, and nothing
/// from 1.05 of it on.
const CUTOFF: f64 = 0.95;

/// Converts a stream of samples to another rate by a sinc under a Kaiser window, which is evaluated where each output lies: any two
/// rates will do. Output m lies at the time m / `to` (no delay); of n samples, ceil(n · `to` / `from`) are made. What lies before the first
/// sample and after the last one is zero.
pub struct RateConverter {
    /// Without common factors.
    from: u64,
    to: u64,
    /// Zeros of the filter per sample of the input.
    scale: f64,
    /// Samples that outputs still need, and the place of the first of them.
    pending: Vec<f64>,
    first: i64,
    /// The next output.
    next: u64,
    /// Samples that came in.
    taken: u64,
}

/// sin(πx) / (πx) under the window, from 0 to [`ZEROS`].
fn table() -> &'static [f64] {
    static TABLE: OnceLock<Vec<f64>> = OnceLock::new();
    TABLE.get_or_init(|| {
        let value = |i: usize| {
            let x = i as f64 / STEPS as f64;
            let beside = std::f64::consts::PI * x;
            let sinc = if i == 0 { 1.0 } else { libm::sin(beside) / beside };
            let within = (1.0 - (x / ZEROS as f64).powi(2)).max(0.0).sqrt();
            sinc * bessel(BETA * within) / bessel(BETA)
        };
        (0..=ZEROS * STEPS + 1).map(value).collect()
    })
}

/// The modified Bessel function of the first kind, of order zero, by its series.
fn bessel(x: f64) -> f64 {
    let (mut sum, mut term, mut k) = (1.0, 1.0, 1.0);
    while term > 1e-17 * sum {
        term *= (x / (2.0 * k)).powi(2);
        sum += term;
        k += 1.0;
    }
    sum
}

fn greatest_common_divisor(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

impl RateConverter {
    /// Samples per second before and after. Panics if one is zero.
    pub fn new(from: u32, to: u32) -> Self {
        assert!(from > 0 && to > 0, "a rate of zero");
        let [from, to] = [u64::from(from), u64::from(to)];
        let common = greatest_common_divisor(from, to);
        let scale = CUTOFF * (to as f64 / from as f64).min(1.0);
        RateConverter { from: from / common, to: to / common, scale, pending: Vec::new(), first: 0, next: 0, taken: 0 }
    }

    /// Takes more samples; adds to `out` what they complete.
    pub fn push(&mut self, samples: &[f64], out: &mut Vec<f64>) {
        self.taken += samples.len() as u64;
        if self.from == self.to {
            return out.extend_from_slice(samples);
        }
        self.pending.extend_from_slice(samples);
        while self.span(self.next).1 < self.taken as i64 {
            out.push(self.output(self.next));
            self.next += 1;
        }
        let unneeded = (self.span(self.next).0 - self.first).clamp(0, self.pending.len() as i64);
        self.pending.drain(..unneeded as usize);
        self.first += unneeded;
    }

    /// Adds to `out` what is left when no more samples come.
    pub fn finish(mut self, out: &mut Vec<f64>) {
        let all = (u128::from(self.taken) * u128::from(self.to)).div_ceil(u128::from(self.from)) as u64;
        while self.from != self.to && self.next < all {
            out.push(self.output(self.next));
            self.next += 1;
        }
    }

    /// Where an output lies among the samples: the one before it, and how far beyond that.
    fn place(&self, output: u64) -> (i64, f64) {
        let place = u128::from(output) * u128::from(self.from);
        let to = u128::from(self.to);
        ((place / to) as i64, (place % to) as f64 / self.to as f64)
    }

    /// The first and the last sample that an output is made of.
    fn span(&self, output: u64) -> (i64, i64) {
        let (at, beyond) = self.place(output);
        let reach = ZEROS as f64 / self.scale;
        (at + (beyond - reach).ceil() as i64, at + (beyond + reach).floor() as i64)
    }

    fn output(&self, output: u64) -> f64 {
        let ((at, beyond), (from, to), table) = (self.place(output), self.span(output), table());
        let mut sum = 0.0;
        for sample in from.max(self.first)..=to.min(self.first + self.pending.len() as i64 - 1) {
            let x = (((sample - at) as f64 - beyond) * self.scale).abs() * STEPS as f64;
            let step = (x as usize).min(ZEROS * STEPS);
            let weight = table[step] + (table[step + 1] - table[step]) * (x - step as f64);
            sum += weight * self.pending[(sample - self.first) as usize];
        }
        sum * self.scale
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn converted(from: u32, to: u32, samples: &[f64], portion: usize) -> Vec<f64> {
        let (mut converter, mut out) = (RateConverter::new(from, to), Vec::new());
        samples.chunks(portion).for_each(|samples| converter.push(samples, &mut out));
        converter.finish(&mut out);
        out
    }

    #[test]
    fn portions_do_not_matter_and_lengths_are_as_promised() {
        let samples: Vec<f64> = (0..1000).map(|i| libm::sin(f64::from(i) * 0.1)).collect();
        for (from, to) in [(44_100, 16_000), (8000, 16_000), (11_025, 8000), (192_000, 8000), (16_000, 16_000), (44_099, 15_999)] {
            let whole = converted(from, to, &samples, samples.len());
            assert_eq!(whole.len(), (1000 * u64::from(to)).div_ceil(from.into()) as usize, "{from} to {to}");
            for portion in [1, 7, 999] {
                assert_eq!(converted(from, to, &samples, portion), whole, "{from} to {to} by {portion}");
            }
            assert!(converted(from, to, &[], 1).is_empty());
            assert!(!converted(from, to, &samples[..1], 1).is_empty());
        }
    }
}
