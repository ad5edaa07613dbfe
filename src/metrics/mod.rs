//! What results are worth. Pure functions over slices on the host: counts are exact, sums are in f64, and whatever is not
//! defined (the precision of a class that was never predicted) is `None` and `null`, never NaN.
//!
//! Each result is a plain value with two forms: serde's for `--json`, and a table for terminals.

mod classification;
mod confusion;
mod design;
mod embedding;
mod label_sets;
mod lbfgs;
mod out_of_scope;
mod probe;
mod recognition;
mod regression;
mod segmentation;
mod table;
mod tagging;
mod tf_idf;

pub use classification::{ClassScore, Classification, accuracy_and_loss, best, first_largest};
pub use confusion::Confusion;
pub use design::{Design, SparseRows};
pub use embedding::{Embeddings, embedding_std, knn_accuracy, unit_rows};
pub use label_sets::{LabelScore, MultiLabel, average_precision};
pub use out_of_scope::{InScope, ScopeScore, auroc, balanced_threshold, quantile_threshold};
pub use probe::{Probe, ProbeSettings, probe_accuracy};
pub use recognition::{Edits, Recognition};
pub use regression::{Regression, TargetScore};
pub use segmentation::{RegionScore, Segmentation};
pub use tagging::{SpanCounts, Tagging, TaggingCounts, TypeScore};
pub use tf_idf::TfIdf;

/// Mean and standard deviation (n) of each column of `[samples, columns]`.
fn column_moments(rows: &[f32], columns: usize) -> (Vec<f64>, Vec<f64>) {
    let count = (rows.len() / columns) as f64;
    let mean_of = |value: &dyn Fn(usize, f32) -> f64| {
        let mut sums = vec![0.0; columns];
        for row in rows.chunks(columns) {
            sums.iter_mut().zip(row).enumerate().for_each(|(c, (sum, &v))| *sum += value(c, v));
        }
        sums.iter().map(|sum| sum / count).collect::<Vec<f64>>()
    };
    let means = mean_of(&|_, v| f64::from(v));
    let deviations = mean_of(&|c, v| (f64::from(v) - means[c]).powi(2)).iter().map(|variance| variance.sqrt()).collect();
    (means, deviations)
}

/// Mean and standard deviation (n - 1) of what several draws came to; 0 of nothing.
pub fn spread(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n.max(1.0);
    let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0).max(1.0);
    (mean, variance.sqrt())
}

/// The mean of what is defined.
fn mean(values: impl Iterator<Item = Option<f64>>) -> Option<f64> {
    let (sum, count) = values.flatten().fold((0.0, 0_u32), |(sum, count), value| (sum + value, count + 1));
    (count > 0).then(|| sum / f64::from(count))
}

/// Names for `count` classes or columns: those given, else numbers. Fails where there are others than asked for.
fn names_for(names: &[String], count: usize, what: &str) -> anyhow::Result<Vec<String>> {
    anyhow::ensure!(names.is_empty() || names.len() == count, "{} names for {count} {what}", names.len());
    Ok(if names.is_empty() { (0..count).map(|i| i.to_string()).collect() } else { names.to_vec() })
}
