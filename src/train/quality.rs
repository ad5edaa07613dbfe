//! What results are worth: accuracy, loss, kNN accuracy, spread of embeddings. Computed on the host in f64.

use rayon::prelude::*;

/// Share of rows whose largest logit is the label's, and the mean cross-entropy. `logits`: `[samples, classes]`.
pub fn accuracy_and_loss(logits: &[f32], classes: usize, labels: &[u32]) -> (f64, f64) {
    let rows = logits.chunks(classes).zip(labels);
    let (mut right, mut loss) = (0_u64, 0.0);
    for (row, &label) in rows {
        right += u64::from(best(row).0 == label as usize);
        loss -= log_softmax(row)[label as usize];
    }
    (right as f64 / labels.len() as f64, loss / labels.len() as f64)
}

/// The largest value's place and its softmax probability.
pub fn best(logits: &[f32]) -> (usize, f64) {
    let first_largest = |a: usize, b: usize| if logits[b] > logits[a] { b } else { a };
    let class = (0..logits.len()).reduce(first_largest).unwrap_or(0);
    (class, log_softmax(logits)[class].exp())
}

fn log_softmax(logits: &[f32]) -> Vec<f64> {
    let largest = logits.iter().fold(f64::NEG_INFINITY, |a, &z| a.max(f64::from(z)));
    let log_sum = logits.iter().map(|&z| (f64::from(z) - largest).exp()).sum::<f64>().ln();
    logits.iter().map(|&z| f64::from(z) - largest - log_sum).collect()
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
    let count = (unit.len() / columns) as f64;
    let deviation = |c: usize| {
        let values = || unit.iter().skip(c).step_by(columns).map(|&v| f64::from(v));
        let mean = values().sum::<f64>() / count;
        (values().map(|v| (v - mean).powi(2)).sum::<f64>() / count).sqrt()
    };
    (0..columns).map(deviation).sum::<f64>() / columns as f64 * (columns as f64).sqrt()
}

/// Accuracy of a vote of the 20 most similar `bank` rows, each weighing exp(cosine / 0.1): the usual protocol for judging
/// embeddings without training anything (Wu et al., 2018). All rows have unit length.
pub fn knn_accuracy(bank: &[f32], bank_labels: &[u32], queries: &[f32], labels: &[u32], columns: usize, classes: usize) -> f64 {
    const NEIGHBOURS: usize = 20;
    let right = queries.par_chunks(columns).zip(labels).filter(|(query, label)| {
        let mut similar: Vec<(f32, u32)> = bank.chunks(columns).zip(bank_labels).map(|(row, &label)| (dot(row, query), label)).collect();
        let count = NEIGHBOURS.min(similar.len());
        similar.select_nth_unstable_by(count - 1, |a, b| b.0.total_cmp(&a.0));
        let mut votes = vec![0.0; classes];
        for &(similarity, label) in &similar[..count] {
            votes[label as usize] += (similarity / 0.1).exp();
        }
        best(&votes).0 == **label as usize
    });
    right.count() as f64 / labels.len() as f64
}

/// In eight strands, which the compiler turns into vector instructions.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut strands = [0.0_f32; 8];
    let (a8, b8) = (a.chunks_exact(8), b.chunks_exact(8));
    let rest: f32 = a8.remainder().iter().zip(b8.remainder()).map(|(a, b)| a * b).sum();
    for (a, b) in a8.zip(b8) {
        strands.iter_mut().zip(a.iter().zip(b)).for_each(|(strand, (a, b))| *strand += a * b);
    }
    strands.iter().sum::<f32>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accuracy_counts_the_largest_logit() {
        let (accuracy, loss) = accuracy_and_loss(&[1.0, 2.0, 5.0, 0.0], 2, &[1, 1]);
        assert_eq!(accuracy, 0.5);
        let expected = (-(1.0_f64 / (1.0 + (-1.0_f64).exp())).ln() + 5.0 + (1.0 + (-5.0_f64).exp()).ln()) / 2.0;
        assert!((loss - expected).abs() < 1e-12);
    }

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
        assert_eq!(knn_accuracy(&bank, &[0, 0, 1], &unit_rows(&[2.0, 0.3, -3.0, 0.0], 2), &[0, 1], 2, 2), 1.0);
    }
}
