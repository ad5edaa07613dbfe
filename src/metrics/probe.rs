//! A linear probe: multinomial logistic regression on fixed features tells how far classes can be told apart by planes.

use anyhow::{Result, bail, ensure};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::lbfgs::minimise;
use super::{accuracy_and_loss, column_moments};
use crate::host::gemm::Layout;
use crate::host::gemm::gemm;
use crate::host::neighbours::check_rows;

/// Rows of features that a thread takes at a time.
const ROWS: usize = 1024;

/// How a probe is fitted.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProbeSettings {
    /// Factor of the sum of squared weights in the loss; `None`: the larger, the fewer samples there are, 0.1 / samples.
    pub l2: Option<f64>,
    /// At most as many steps.
    pub iterations: u32,
    /// Fitting ends where no derivative of the loss is larger.
    pub tolerance: f64,
}

impl Default for ProbeSettings {
    fn default() -> Self {
        ProbeSettings { l2: None, iterations: 200, tolerance: 1e-5 }
    }
}

/// A fitted linear classifier of features.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Probe {
    pub classes: usize,
    /// Mean of each feature over the training samples.
    pub means: Vec<f32>,
    /// Factor of each feature after the mean is taken off.
    pub scales: Vec<f32>,
    /// `[features, classes]`, of standardised features.
    pub weights: Vec<f32>,
    pub bias: Vec<f32>,
    /// Mean cross-entropy of the training samples, and the penalty on weights.
    pub loss: f64,
    /// Steps of the minimiser.
    pub iterations: u32,
}

impl Probe {
    /// Fits features `[samples, columns]` with `samples` labels. The loss is convex, so where it is minimal depends neither
    /// on a start nor on a learning rate; the same features give the same bits, on however many threads.
    ///
    /// Features are divided by their standard deviation plus a tenth of the mean one, which keeps features that hardly vary
    /// from becoming noise. Fails where labels do not fit features or classes, or a value is not finite.
    pub fn fit(features: &[f32], labels: &[u32], classes: usize, settings: &ProbeSettings) -> Result<Probe> {
        ensure!(!labels.is_empty() && classes > 0, "there are no labelled samples to fit a probe to");
        ensure!(features.len().is_multiple_of(labels.len()), "{} labels for {} features", labels.len(), features.len());
        let columns = features.len() / labels.len();
        check_rows(features, columns, "feature")?;
        if let Some(sample) = labels.iter().position(|&label| label as usize >= classes) {
            bail!("the label of sample {sample} is {}, there are {classes} classes", labels[sample]);
        }
        let l2 = settings.l2.unwrap_or(0.1 / labels.len() as f64);
        ensure!(l2 >= 0.0 && l2.is_finite(), "a probe's l2 is a number of at least 0, not {l2}");
        let (means, deviations) = column_moments(features, columns);
        let floor = 0.1 * deviations.iter().sum::<f64>() / columns as f64 + 1e-5;
        let mut probe = Probe {
            classes,
            means: means.iter().map(|&mean| mean as f32).collect(),
            scales: deviations.iter().map(|deviation| (1.0 / (deviation + floor)) as f32).collect(),
            weights: vec![0.0; columns * classes],
            bias: vec![0.0; classes],
            loss: 0.0,
            iterations: 0,
        };
        let standard = probe.standardised(features);
        let end = minimise(vec![0.0; (columns + 1) * classes], settings.iterations, settings.tolerance, |at, gradient| {
            probe.set(at);
            let loss = probe.cross_entropy(&standard, labels, gradient);
            let weights = &at[..columns * classes];
            gradient.iter_mut().zip(weights).for_each(|(g, w)| *g += 2.0 * l2 * w);
            loss + l2 * weights.iter().map(|w| w * w).sum::<f64>()
        });
        probe.set(&end.point);
        (probe.loss, probe.iterations) = (end.value, end.iterations);
        Ok(probe)
    }

    /// `[samples, classes]` for features `[samples, columns]`. Panics where the features are not as wide as those fitted.
    pub fn logits(&self, features: &[f32]) -> Vec<f32> {
        assert_eq!(features.len() % self.means.len(), 0, "features as wide as those that the probe was fitted to");
        let columns = self.means.len();
        let mut logits = vec![0.0; features.len() / columns * self.classes];
        let rows = logits.par_chunks_mut(ROWS * self.classes).zip(features.par_chunks(ROWS * columns));
        rows.for_each(|(logits, features)| self.of_standardised(&self.standardised(features), logits));
        logits
    }

    fn set(&mut self, point: &[f64]) {
        let into = self.weights.iter_mut().chain(&mut self.bias);
        into.zip(point).for_each(|(to, &from)| *to = from as f32);
    }

    fn standardised(&self, features: &[f32]) -> Vec<f32> {
        let mut rows = features.to_vec();
        rows.par_chunks_mut(self.means.len()).for_each(|row| {
            row.iter_mut().zip(&self.means).zip(&self.scales).for_each(|((v, mean), scale)| *v = (*v - mean) * scale);
        });
        rows
    }

    fn of_standardised(&self, rows: &[f32], logits: &mut [f32]) {
        let columns = self.means.len();
        gemm(Layout::NN, [rows.len() / columns, self.classes, columns], rows, &self.weights, logits);
        logits.chunks_mut(self.classes).for_each(|row| row.iter_mut().zip(&self.bias).for_each(|(z, b)| *z += b));
    }

    /// Mean cross-entropy; its gradient by weights and bias goes to `gradient`. Sums are cut into parts by the shape alone
    /// and added in order.
    fn cross_entropy(&self, rows: &[f32], labels: &[u32], gradient: &mut [f64]) -> f64 {
        let (columns, classes, count) = (self.means.len(), self.classes, labels.len());
        // A part has a gradient of its own: no more of them than take 128 MiB.
        let parts = count.div_ceil(ROWS).min((1 << 25) / self.weights.len()).max(2);
        let size = count.div_ceil(parts);
        let part = |(rows, labels): (&[f32], &[u32])| {
            let mut slopes = vec![0.0; labels.len() * classes];
            self.of_standardised(rows, &mut slopes);
            let mut by_bias = vec![0.0_f64; classes];
            let mut loss = 0.0;
            for (row, &label) in slopes.chunks_mut(classes).zip(labels) {
                loss += slope(row, label as usize);
                by_bias.iter_mut().zip(&*row).for_each(|(sum, &s)| *sum += f64::from(s));
            }
            let mut by_weights = vec![0.0; columns * classes];
            gemm(Layout::TN, [columns, classes, labels.len()], rows, &slopes, &mut by_weights);
            (loss, by_weights, by_bias)
        };
        let parts: Vec<_> = rows.par_chunks(size * columns).zip(labels.par_chunks(size)).map(part).collect();
        gradient.fill(0.0);
        let scale = 1.0 / count as f64;
        let mut sum = 0.0;
        for (loss, by_weights, by_bias) in parts {
            sum += loss;
            let slopes = by_weights.into_iter().map(f64::from).chain(by_bias);
            gradient.iter_mut().zip(slopes).for_each(|(g, s)| *g += scale * s);
        }
        scale * sum
    }
}

/// Accuracy on `queries` of a probe that is fitted to `features` and their labels.
pub fn probe_accuracy(features: &[f32], labels: &[u32], queries: &[f32], truth: &[u32], classes: usize) -> Result<f64> {
    let probe = Probe::fit(features, labels, classes, &ProbeSettings::default())?;
    Ok(accuracy_and_loss(&probe.logits(queries), classes, truth).0)
}

/// Turns logits into softmax - one-hot(label), the slope of the cross-entropy, which is returned.
pub(super) fn slope(logits: &mut [f32], label: usize) -> f64 {
    let largest = logits.iter().fold(f32::NEG_INFINITY, |a, &z| a.max(z));
    let of_label = logits[label] - largest;
    logits.iter_mut().for_each(|z| *z = (*z - largest).exp());
    let sum: f32 = logits.iter().sum();
    logits.iter_mut().for_each(|z| *z /= sum);
    logits[label] -= 1.0;
    f64::from(sum.ln() - of_label)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::random::{signed_unit, threefry};

    /// Three overlapping clouds in the plane, beside a feature that never varies.
    fn clouds(samples: u32) -> (Vec<f32>, Vec<u32>) {
        let centres = [[0.0, 0.0], [1.0, 0.2], [0.3, 9.0]];
        let labels: Vec<u32> = (0..samples).map(|i| i % 3).collect();
        let row = |i: u32| {
            let noise = threefry([3, 4], [i, 0]).map(signed_unit);
            let centre: [f32; 2] = centres[(i % 3) as usize];
            [centre[0] + 0.6 * noise[0], centre[1] + noise[1], 7.0]
        };
        ((0..samples).flat_map(row).collect(), labels)
    }

    #[test]
    fn two_points_by_hand() {
        // Features -1 and 1 become -s and s with s = 1 / 1.10001. By symmetry the weights are -w and w, the bias 0, and with
        // z = 2 s w the loss is ln(1 + exp(-z)) + 2 l2 w²; its slope by w, -2 s / (1 + exp(z)) + 4 l2 w, is zero.
        let probe = Probe::fit(&[-1.0, 1.0], &[0, 1], 2, &ProbeSettings { l2: Some(0.1), ..Default::default() }).expect("it fits");
        let (s, w) = (1.0 / 1.10001_f64, f64::from(probe.weights[1]));
        assert!((-2.0 * s / (1.0 + (2.0 * s * w).exp()) + 0.4 * w).abs() < 1e-4, "{probe:?}");
        assert!((probe.weights[0] + probe.weights[1]).abs() < 1e-5 && probe.bias.iter().all(|b| b.abs() < 1e-5));
        assert!((probe.loss - ((1.0 + (-2.0 * s * w).exp()).ln() + 0.2 * w * w)).abs() < 1e-6);
        let logits = probe.logits(&[-1.0, 0.0, 3.0]);
        assert!(logits[0] > logits[1] && (logits[2] - logits[3]).abs() < 1e-5 && logits[5] > logits[4]);
    }

    #[test]
    fn clouds_are_told_apart_and_the_same_each_time() {
        let (features, labels) = clouds(3 * ROWS as u32 + 7);
        let fit = || Probe::fit(&features, &labels, 3, &ProbeSettings::default()).expect("it fits");
        let probe = fit();
        let (accuracy, loss) = accuracy_and_loss(&probe.logits(&features), 3, &labels);
        // A third is the far cloud; a twelfth of each near one lies beyond the middle between them: 94.4 % at least.
        assert!((0.944..0.97).contains(&accuracy), "accuracy {accuracy}");
        assert!((loss - probe.loss).abs() < 0.01, "{loss} is not {}", probe.loss);
        let alone = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("a thread").install(fit);
        assert_eq!(probe, alone);
    }

    #[test]
    fn the_gradient_is_that_of_the_loss() {
        let (features, labels) = clouds(50);
        let mut probe = Probe::fit(&features, &labels, 3, &ProbeSettings { iterations: 2, ..Default::default() }).expect("it fits");
        let standard = probe.standardised(&features);
        let point: Vec<f64> = probe.weights.iter().chain(&probe.bias).map(|&w| f64::from(w)).collect();
        let mut gradient = vec![0.0; point.len()];
        probe.cross_entropy(&standard, &labels, &mut gradient);
        for at in 0..point.len() {
            let mut loss = |step: f64| {
                let mut point = point.clone();
                point[at] += step;
                probe.set(&point);
                probe.cross_entropy(&standard, &labels, &mut vec![0.0; point.len()])
            };
            let slope = (loss(0.01) - loss(-0.01)) / 0.02;
            assert!((slope - gradient[at]).abs() < 1e-4, "variable {at}: {slope} is not {}", gradient[at]);
        }
    }

    #[test]
    fn unsound_features_and_labels_are_refused() {
        let refused =
            |features: &[f32], labels: &[u32]| Probe::fit(features, labels, 2, &ProbeSettings::default()).expect_err("refused").to_string();
        assert!(refused(&[], &[]).contains("no labelled samples"));
        assert!(refused(&[1.0, 2.0, 3.0], &[0, 1]).contains("2 labels for 3 features"));
        assert!(refused(&[1.0, 2.0], &[0, 2]).contains("the label of sample 1 is 2"));
        assert!(refused(&[1.0, f32::NAN], &[0, 1]).contains("feature row 1"));
        // Features that never vary: nothing can be told apart, and nothing is NaN.
        let probe = Probe::fit(&[5.0, 5.0], &[0, 1], 2, &ProbeSettings::default()).expect("it fits");
        assert!(probe.logits(&[5.0]).iter().all(|z| z.abs() < 1e-6));
    }
}
