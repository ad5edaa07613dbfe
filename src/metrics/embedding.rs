//! Embeddings, judged without training anything: their spread, and whether neighbours share a class.

use std::fmt;

use anyhow::{Result, ensure};
use rayon::prelude::*;
use serde::Serialize;

use super::classification::first_largest;
use super::column_moments;
use super::table::percent;
use crate::host::neighbours::nearest;

/// What embeddings are worth.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Embeddings {
    pub samples: usize,
    pub columns: usize,
    /// See [`embedding_std`].
    pub embedding_std: f64,
    /// See [`knn_accuracy`]; `None` without labels.
    pub knn_accuracy: Option<f64>,
}

impl fmt::Display for Embeddings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Embeddings { samples, columns, embedding_std, knn_accuracy } = self;
        let accuracy = knn_accuracy.map_or_else(String::new, |accuracy| format!("kNN accuracy {} %, ", percent(accuracy)));
        write!(f, "{samples} embeddings of width {columns}: {accuracy}spread {embedding_std:.2} (0 is collapse, 1 is even)")
    }
}

/// Rows scaled to unit length; rows of zeros stay zero.
pub fn unit_rows(features: &[f32], columns: usize) -> Vec<f32> {
    let unit = |row: &[f32]| {
        let norm = row.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>().sqrt().max(1e-12);
        row.iter().map(|&v| (f64::from(v) / norm) as f32).collect::<Vec<f32>>()
    };
    features.chunks(columns).flat_map(unit).collect()
}

/// Spread of unit embeddings: the mean over dimensions of their standard deviation, times sqrt(dimensions). 1 is spread
/// evenly around the origin, 0 is collapse to a point. `unit`: `[samples, columns]`.
pub fn embedding_std(unit: &[f32], columns: usize) -> f64 {
    column_moments(unit, columns).1.iter().sum::<f64>() / columns as f64 * (columns as f64).sqrt()
}

/// Accuracy of a vote of the 20 most similar `bank` rows, each weighing exp(cosine / 0.1): the usual protocol for judging
/// embeddings without training anything (Wu et al., 2018). All rows have unit length. Fails where labels and rows do not
/// fit each other, there are none, or a value is not finite.
pub fn knn_accuracy(bank: &[f32], bank_labels: &[u32], queries: &[f32], labels: &[u32], columns: usize, classes: usize) -> Result<f64> {
    const NEIGHBOURS: usize = 20;
    let neighbours = nearest(queries, bank, columns, NEIGHBOURS)?;
    for (rows, labels, what) in [(bank, bank_labels, "bank"), (queries, labels, "query")] {
        ensure!(rows.len() == labels.len() * columns, "{} labels for {} {what} rows", labels.len(), rows.len() / columns);
        ensure!(labels.iter().all(|&label| (label as usize) < classes), "a label of a {what} row is none of the {classes} classes");
    }
    ensure!(!labels.is_empty(), "there are no labelled rows to measure kNN accuracy on");
    let right = labels.par_iter().enumerate().filter(|&(query, &label)| {
        let mut votes = vec![0.0; classes];
        for (row, similarity) in neighbours.of(query) {
            votes[bank_labels[row] as usize] += (f64::from(similarity) / 0.1).exp();
        }
        first_largest(&votes) == label as usize
    });
    Ok(right.count() as f64 / labels.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn collapse_shows_in_the_spread() {
        let collapsed = unit_rows(&[3.0, 4.0, 6.0, 8.0, 0.3, 0.4], 2);
        assert!(embedding_std(&collapsed, 2) < 1e-6);
        let spread = unit_rows(&[1.0, 0.0, -1.0, 0.0, 0.0, 1.0, 0.0, -1.0], 2);
        assert!((embedding_std(&spread, 2) - 1.0).abs() < 1e-6);
    }

    #[test]
    fn neighbours_vote() {
        let bank = unit_rows(&[1.0, 0.1, 1.0, 0.2, -1.0, 0.1], 2);
        let queries = unit_rows(&[2.0, 0.3, -3.0, 0.0], 2);
        let accuracy = |labels: &[u32]| knn_accuracy(&bank, &[0, 0, 1], &queries, labels, 2, 2).expect("sound rows");
        assert_eq!((accuracy(&[0, 1]), accuracy(&[1, 1]), accuracy(&[1, 0])), (1.0, 0.5, 0.0));
    }

    #[test]
    fn what_cannot_be_judged_is_refused() {
        let refused = |bank: &[f32], bank_labels: &[u32], queries: &[f32], labels: &[u32]| {
            knn_accuracy(bank, bank_labels, queries, labels, 2, 2).expect_err("refused").to_string()
        };
        let row = [1.0, 0.0];
        assert!(refused(&row, &[0, 1], &row, &[0]).contains("2 labels for 1 bank rows"));
        assert!(refused(&row, &[0], &row, &[2]).contains("none of the 2 classes"));
        assert!(refused(&row, &[0], &[], &[]).contains("no labelled rows"));
        assert!(refused(&row, &[0], &[f32::NAN, 0.0], &[0]).contains("not finite"));
    }

    #[test]
    fn text_leaves_out_what_is_not_known() {
        let mut judged = Embeddings { samples: 9, columns: 2, embedding_std: 0.5, knn_accuracy: Some(0.25) };
        assert_eq!(judged.to_string(), "9 embeddings of width 2: kNN accuracy 25.00 %, spread 0.50 (0 is collapse, 1 is even)");
        judged.knn_accuracy = None;
        assert_eq!(judged.to_string(), "9 embeddings of width 2: spread 0.50 (0 is collapse, 1 is even)");
    }
}
