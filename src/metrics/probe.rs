//! A linear probe: multinomial logistic regression on fixed features tells how far classes can be told apart by planes.

use anyhow::{Result, bail, ensure};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::design::{ByColumn, Design, SparseRows, add_product};
use super::lbfgs::minimise;
use super::{accuracy_and_loss, column_moments};
use crate::host::gemm::Layout;
use crate::host::gemm::gemm;
use crate::host::neighbours::check_rows;

/// Rows of features that a thread takes at a time.
const ROWS: usize = 1024;

/// Squared length of sparse rows beside that of dense ones, which is about one for each of their columns: chosen with held-out sentences,
/// whose weights of words stood beside embeddings. Alone it makes them scikit-learn's logistic regression with C = 10.
const SHARE_OF_SPARSE: f32 = 0.5;
const SQUARED_LENGTH_ALONE: f32 = 2.0;

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
    /// Sparse columns that fewer samples have are left out.
    pub least_samples: usize,
}

impl Default for ProbeSettings {
    fn default() -> Self {
        ProbeSettings { l2: None, iterations: 200, tolerance: 1e-5, least_samples: 1 }
    }
}

/// A fitted linear classifier of features.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Probe {
    pub classes: usize,
    /// Mean of each dense column over the training samples.
    pub means: Vec<f32>,
    /// Factor of each dense column after the mean is taken off.
    pub scales: Vec<f32>,
    /// The sparse columns that training samples have, ascending, and what all of them are multiplied by.
    pub sparse_columns: Vec<u32>,
    pub sparse_scale: f32,
    /// `[columns, classes]`, of standardised dense columns, which the sparse ones follow.
    pub weights: Vec<f32>,
    pub bias: Vec<f32>,
    /// Mean cross-entropy of the training samples, and the penalty on weights.
    pub loss: f64,
    /// Steps of the minimiser.
    pub iterations: u32,
}

/// Samples as the weights of a probe want them.
struct Standardised {
    /// `[samples, columns]`
    dense: Vec<f32>,
    columns: usize,
    /// (place among the sparse columns that are known, value) of each sample; empty where there are none.
    sparse: Vec<Vec<(u32, f32)>>,
    samples: usize,
}

impl Probe {
    /// Fits the samples of `design` with as many labels. The loss is convex, so where it is minimal depends neither
    /// on a start nor on a learning rate; the same features give the same bits, on however many threads.
    ///
    /// Dense columns are divided by their standard deviation plus a tenth of the mean one, which keeps features that hardly vary
    /// from becoming noise; sparse rows get one length. Fails where labels do not fit features or classes, or a value is not finite.
    pub fn fit(design: &Design, labels: &[u32], classes: usize, settings: &ProbeSettings) -> Result<Probe> {
        ensure!(!labels.is_empty() && classes > 0, "there are no labelled samples to fit a probe to");
        let Design { dense, columns, sparse } = design;
        let fits = dense.len() == columns * labels.len() && (*columns > 0 || sparse.is_some());
        ensure!(fits, "{} labels for {} features in {columns} columns", labels.len(), dense.len());
        ensure!(design.len() == labels.len(), "{} labels for {} rows", labels.len(), design.len());
        if *columns > 0 {
            check_rows(dense, *columns, "feature")?;
        }
        if let Some(sample) = labels.iter().position(|&label| label as usize >= classes) {
            bail!("the label of sample {sample} is {}, there are {classes} classes", labels[sample]);
        }
        let l2 = settings.l2.unwrap_or(0.1 / labels.len() as f64);
        ensure!(l2 >= 0.0 && l2.is_finite(), "a probe's l2 is a number of at least 0, not {l2}");
        let (means, deviations) = if *columns > 0 { column_moments(dense, *columns) } else { Default::default() };
        let floor = 0.1 * deviations.iter().sum::<f64>() / (*columns).max(1) as f64 + 1e-5;
        let mut by_column = sparse.as_ref().map_or(Vec::new(), SparseRows::by_column);
        by_column.retain(|(_, entries)| entries.len() >= settings.least_samples);
        let squared = if *columns > 0 { SHARE_OF_SPARSE * *columns as f32 } else { SQUARED_LENGTH_ALONE };
        let all = columns + by_column.len();
        let mut probe = Probe {
            classes,
            means: means.iter().map(|&mean| mean as f32).collect(),
            scales: deviations.iter().map(|deviation| (1.0 / (deviation + floor)) as f32).collect(),
            sparse_columns: by_column.iter().map(|(column, _)| *column).collect(),
            sparse_scale: squared.sqrt(),
            weights: vec![0.0; all * classes],
            bias: vec![0.0; classes],
            loss: 0.0,
            iterations: 0,
        };
        by_column.iter_mut().flat_map(|(_, entries)| entries).for_each(|(_, value)| *value *= probe.sparse_scale);
        let standard = probe.standardised(design);
        let end = minimise(vec![0.0; (all + 1) * classes], settings.iterations, settings.tolerance, |at, gradient| {
            probe.set(at);
            let loss = probe.cross_entropy(&standard, &by_column, labels, gradient);
            let weights = &at[..all * classes];
            gradient.iter_mut().zip(weights).for_each(|(g, w)| *g += 2.0 * l2 * w);
            loss + l2 * weights.iter().map(|w| w * w).sum::<f64>()
        });
        probe.set(&end.point);
        (probe.loss, probe.iterations) = (end.value, end.iterations);
        Ok(probe)
    }

    /// `[samples, classes]`. Panics where the design has not the columns of that which was fitted.
    pub fn logits(&self, design: &Design) -> Vec<f32> {
        assert_eq!(design.columns, self.means.len(), "features as wide as those that the probe was fitted to");
        let rows = self.standardised(design);
        let mut logits = vec![0.0; rows.samples * self.classes];
        logits.par_chunks_mut(ROWS * self.classes).enumerate().for_each(|(part, logits)| self.of_standardised(&rows, part * ROWS, logits));
        logits
    }

    fn set(&mut self, point: &[f64]) {
        let into = self.weights.iter_mut().chain(&mut self.bias);
        into.zip(point).for_each(|(to, &from)| *to = from as f32);
    }

    fn standardised(&self, design: &Design) -> Standardised {
        let mut dense = design.dense.clone();
        dense.par_chunks_mut(design.columns.max(1)).for_each(|row| {
            row.iter_mut().zip(&self.means).zip(&self.scales).for_each(|((v, mean), scale)| *v = (*v - mean) * scale);
        });
        let place =
            |&(column, value): &(u32, f32)| Some((self.sparse_columns.binary_search(&column).ok()? as u32, value * self.sparse_scale));
        let placed = |row: &Vec<(u32, f32)>| row.iter().filter_map(place).collect();
        let sparse = design.sparse.as_ref().map_or(Vec::new(), |sparse| sparse.rows.par_iter().map(placed).collect());
        Standardised { dense, columns: design.columns, sparse, samples: design.len() }
    }

    /// Logits of the rows from `first`, as many as there is room for.
    fn of_standardised(&self, rows: &Standardised, first: usize, logits: &mut [f32]) {
        let (columns, count) = (rows.columns, logits.len() / self.classes);
        let (of_dense, of_sparse) = self.weights.split_at(columns * self.classes);
        if columns > 0 {
            gemm(Layout::NN, [count, self.classes, columns], &rows.dense[first * columns..][..count * columns], of_dense, logits);
        } else {
            logits.fill(0.0);
        }
        for (row, logits) in (first..).zip(logits.chunks_mut(self.classes)) {
            if let Some(sparse) = rows.sparse.get(row) {
                add_product(sparse, of_sparse, logits);
            }
            logits.iter_mut().zip(&self.bias).for_each(|(z, b)| *z += b);
        }
    }

    /// Mean cross-entropy; its gradient by weights and bias goes to `gradient`. `by_column` are the sparse columns of `rows`. Sums are
    /// cut into parts by the shape alone and added in order.
    fn cross_entropy(&self, rows: &Standardised, by_column: &ByColumn, labels: &[u32], gradient: &mut [f64]) -> f64 {
        let (columns, classes, count) = (rows.columns, self.classes, labels.len());
        // A part has a gradient of its own: no more of them than take 128 MiB.
        let parts = count.div_ceil(ROWS).min((1 << 25) / (columns * classes).max(1)).max(2);
        let size = count.div_ceil(parts);
        let part = |(part, labels): (usize, &[u32])| {
            let mut slopes = vec![0.0; labels.len() * classes];
            self.of_standardised(rows, part * size, &mut slopes);
            let mut by_bias = vec![0.0_f64; classes];
            let mut loss = 0.0;
            for (row, &label) in slopes.chunks_mut(classes).zip(labels) {
                loss += slope(row, label as usize);
                by_bias.iter_mut().zip(&*row).for_each(|(sum, &s)| *sum += f64::from(s));
            }
            let mut by_weights = vec![0.0; columns * classes];
            if columns > 0 {
                let dense = &rows.dense[part * size * columns..][..labels.len() * columns];
                gemm(Layout::TN, [columns, classes, labels.len()], dense, &slopes, &mut by_weights);
            }
            (loss, by_weights, by_bias, if by_column.is_empty() { Vec::new() } else { slopes })
        };
        let parts: Vec<_> = labels.par_chunks(size).enumerate().map(part).collect();
        gradient.fill(0.0);
        let scale = 1.0 / count as f64;
        let (of_dense, rest) = gradient.split_at_mut(columns * classes);
        let (of_sparse, of_bias) = rest.split_at_mut(by_column.len() * classes);
        of_sparse.par_chunks_mut(classes).zip(by_column).for_each(|(gradient, (_, entries))| {
            let mut sums = vec![0.0_f32; classes];
            for &(row, value) in entries {
                let (part, row) = (row as usize / size, row as usize % size);
                sums.iter_mut().zip(&parts[part].3[row * classes..]).for_each(|(sum, s)| *sum += value * s);
            }
            gradient.iter_mut().zip(sums).for_each(|(g, sum)| *g = scale * f64::from(sum));
        });
        let mut sum = 0.0;
        for (loss, by_weights, by_bias, _) in parts {
            sum += loss;
            of_dense.iter_mut().zip(by_weights).for_each(|(g, s)| *g += scale * f64::from(s));
            of_bias.iter_mut().zip(by_bias).for_each(|(g, s)| *g += scale * s);
        }
        scale * sum
    }
}

/// Accuracy on `queries` of a probe that is fitted to `design` and its labels.
pub fn probe_accuracy(design: &Design, labels: &[u32], queries: &Design, truth: &[u32], classes: usize) -> Result<f64> {
    let probe = Probe::fit(design, labels, classes, &ProbeSettings::default())?;
    Ok(accuracy_and_loss(&probe.logits(queries), classes, truth).0)
}

/// Turns logits into softmax - one-hot(label), the slope of the cross-entropy, which is returned.
fn slope(logits: &mut [f32], label: usize) -> f64 {
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
    fn clouds(samples: u32) -> (Design, Vec<u32>) {
        let centres = [[0.0, 0.0], [1.0, 0.2], [0.3, 9.0]];
        let labels: Vec<u32> = (0..samples).map(|i| i % 3).collect();
        let row = |i: u32| {
            let noise = threefry([3, 4], [i, 0]).map(signed_unit);
            let centre: [f32; 2] = centres[(i % 3) as usize];
            [centre[0] + 0.6 * noise[0], centre[1] + noise[1], 7.0]
        };
        (Design::dense(&(0..samples).flat_map(row).collect::<Vec<f32>>(), 3), labels)
    }

    #[test]
    fn two_points_by_hand() {
        // Features -1 and 1 become -s and s with s = 1 / 1.10001. By symmetry the weights are -w and w, the bias 0, and with
        // z = 2 s w the loss is ln(1 + exp(-z)) + 2 l2 w²; its slope by w, -2 s / (1 + exp(z)) + 4 l2 w, is zero.
        let probe = Probe::fit(&Design::dense(&[-1.0, 1.0], 1), &[0, 1], 2, &ProbeSettings { l2: Some(0.1), ..Default::default() })
            .expect("it fits");
        let (s, w) = (1.0 / 1.10001_f64, f64::from(probe.weights[1]));
        assert!((-2.0 * s / (1.0 + (2.0 * s * w).exp()) + 0.4 * w).abs() < 1e-4, "{probe:?}");
        assert!((probe.weights[0] + probe.weights[1]).abs() < 1e-5 && probe.bias.iter().all(|b| b.abs() < 1e-5));
        assert!((probe.loss - ((1.0 + (-2.0 * s * w).exp()).ln() + 0.2 * w * w)).abs() < 1e-6);
        let logits = probe.logits(&Design::dense(&[-1.0, 0.0, 3.0], 1));
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

    /// The clouds, each sample with a column of its class and one of its place that is mostly zero.
    fn clouds_with_words(samples: u32) -> (Design, Vec<u32>) {
        let (dense, labels) = clouds(samples);
        let row = |i: u32| vec![(2 * (i % 3), 0.8), (10 + i % 7, 0.6)];
        (Design { sparse: Some(SparseRows { columns: 20, rows: (0..samples).map(row).collect() }), ..dense }, labels)
    }

    #[test]
    fn columns_of_both_kinds_tell_more_than_either() {
        let (design, labels) = clouds_with_words(2 * ROWS as u32 + 60);
        let fit = || Probe::fit(&design, &labels, 3, &ProbeSettings::default()).expect("it fits");
        let probe = fit();
        assert_eq!((probe.sparse_columns.len(), probe.weights.len(), probe.sparse_scale), (10, 39, 1.5_f32.sqrt()));
        assert_eq!(accuracy_and_loss(&probe.logits(&design), 3, &labels).0, 1.0);
        let alone = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("a thread").install(fit);
        assert_eq!(probe, alone);
        // A column that no training sample has counts for nothing.
        let with = |column: u32| Design {
            sparse: Some(SparseRows { columns: 20, rows: vec![vec![(column, 1.0)]] }),
            ..Design::dense(&design.dense[..3], 3)
        };
        assert_eq!(probe.logits(&with(19)), probe.logits(&with(18)));
        assert_ne!(probe.logits(&with(2)), probe.logits(&with(18)));
        assert_eq!(design.select(&[4, 0]).select(&[1]), design.select(&[0]));
        let settings = ProbeSettings { least_samples: labels.len() / 4, ..Default::default() };
        assert_eq!(Probe::fit(&design, &labels, 3, &settings).expect("it fits").sparse_columns, [0, 2, 4], "rare columns are left out");
        let fewer = Design { sparse: design.sparse.as_ref().map(|sparse| sparse.select(&[0])), ..design.clone() };
        assert!(Probe::fit(&fewer, &labels, 3, &ProbeSettings::default()).is_err(), "rows of both kinds are of the same samples");
    }

    #[test]
    fn the_gradient_is_that_of_the_loss() {
        let (features, labels) = clouds_with_words(50);
        let mut probe = Probe::fit(&features, &labels, 3, &ProbeSettings { iterations: 2, ..Default::default() }).expect("it fits");
        let standard = probe.standardised(&features);
        let mut by_column = features.sparse.as_ref().map(SparseRows::by_column).expect("sparse rows");
        by_column.iter_mut().flat_map(|(_, entries)| entries).for_each(|(_, value)| *value *= probe.sparse_scale);
        let point: Vec<f64> = probe.weights.iter().chain(&probe.bias).map(|&w| f64::from(w)).collect();
        let mut gradient = vec![0.0; point.len()];
        probe.cross_entropy(&standard, &by_column, &labels, &mut gradient);
        for at in 0..point.len() {
            let mut loss = |step: f64| {
                let mut point = point.clone();
                point[at] += step;
                probe.set(&point);
                probe.cross_entropy(&standard, &by_column, &labels, &mut vec![0.0; point.len()])
            };
            let slope = (loss(0.01) - loss(-0.01)) / 0.02;
            assert!((slope - gradient[at]).abs() < 1e-4, "variable {at}: {slope} is not {}", gradient[at]);
        }
    }

    #[test]
    fn unsound_features_and_labels_are_refused() {
        let refused = |values: &[f32], labels: &[u32]| {
            Probe::fit(&Design::dense(values, 1), labels, 2, &ProbeSettings::default()).expect_err("refused").to_string()
        };
        assert!(refused(&[], &[]).contains("no labelled samples"));
        assert!(refused(&[1.0, 2.0, 3.0], &[0, 1]).contains("2 labels for 3 features"));
        assert!(refused(&[1.0, 2.0], &[0, 2]).contains("the label of sample 1 is 2"));
        assert!(refused(&[1.0, f32::NAN], &[0, 1]).contains("feature row 1"));
        // Features that never vary: nothing can be told apart, and nothing is NaN.
        let probe = Probe::fit(&Design::dense(&[5.0, 5.0], 1), &[0, 1], 2, &ProbeSettings::default()).expect("it fits");
        assert!(probe.logits(&Design::dense(&[5.0], 1)).iter().all(|z| z.abs() < 1e-6));
    }
}
