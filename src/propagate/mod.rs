//! A few labels spread over many unlabelled rows along the graph of nearest neighbours (Zhou et al., "Learning with local
//! and global consistency", 2004): z = α S z + (1 - α) y, again and again, from the labels y.
//!
//! S holds the weights of edges, each divided by the root of the product of the sums of weights at its ends.

mod graph;
mod held_out;
mod refit;

use anyhow::{Context, Result, ensure};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

pub use graph::Graph;
pub use held_out::HeldOut;
pub use refit::Refitted;

use crate::host::neighbours::nearest;
use crate::metrics::first_largest;

/// How labels spread.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PropagationSettings {
    /// Others that a row is joined with.
    pub neighbours: usize,
    /// An edge weighs exp((cosine - 1) / temperature).
    pub temperature: f64,
    /// Share of a row's scores that comes from its neighbours, at each iteration.
    pub alpha: f64,
    pub iterations: u32,
    /// Weigh classes so that each gets about an equal share of all rows: right for data in which classes are about equally
    /// frequent, and then worth much where labels are few.
    pub balance: bool,
}

impl Default for PropagationSettings {
    fn default() -> Self {
        PropagationSettings { neighbours: 20, temperature: 0.03, alpha: 0.99, iterations: 100, balance: false }
    }
}

impl PropagationSettings {
    /// For features of published networks, which were not learnt from these rows, and of texts: neighbours are less alike there, and
    /// labels that go far go wrong. Chosen with held-out photographs and held-out sentences.
    pub const NEAR: Self = PropagationSettings { neighbours: 20, temperature: 0.1, alpha: 0.9, iterations: 100, balance: false };

    fn check(&self) -> Result<()> {
        let PropagationSettings { neighbours, temperature, alpha, .. } = *self;
        ensure!(neighbours > 0, "labels need at least one neighbour to spread to");
        ensure!(temperature > 0.0 && temperature.is_finite(), "the temperature is above 0, not {temperature}");
        ensure!((0.0..1.0).contains(&alpha), "alpha is a share: at least 0 and below 1, not {alpha}");
        Ok(())
    }

    /// Of an edge between rows of this cosine.
    fn weight(&self, cosine: f32) -> f64 {
        ((f64::from(cosine) - 1.0) / self.temperature).exp()
    }
}

/// What a row was found to be.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Assigned {
    /// 0 where nothing is known.
    pub class: u32,
    /// The class's share of all scores; 0 where nothing is known.
    pub confidence: f32,
}

/// How much each class has of each row.
#[derive(Clone, Debug, PartialEq)]
pub struct LabelScores {
    pub classes: usize,
    /// `[rows, classes]`: shares that add up to at most 1, and to 0 where nothing is known.
    pub values: Vec<f32>,
}

impl LabelScores {
    /// The class of each row, and how sure that is.
    pub fn assigned(&self) -> Vec<Assigned> {
        let assign = |row: &[f32]| {
            let class = first_largest(row);
            Assigned { class: class as u32, confidence: row[class] }
        };
        self.values.chunks(self.classes.max(1)).map(assign).collect()
    }

    /// LabelScores of rows outside the graph: the mean of those of their voters. Panics where a voter has no scores.
    pub fn vote(&self, voters: &Voters) -> LabelScores {
        let mut values = vec![0.0; voters.lists.len() * self.classes];
        values.par_chunks_mut(self.classes.max(1)).zip(&voters.lists).for_each(|(scores, list)| {
            for &(row, weight) in list {
                let given = &self.values[row as usize * self.classes..][..self.classes];
                scores.iter_mut().zip(given).for_each(|(score, given)| *score += weight * given);
            }
        });
        LabelScores { classes: self.classes, values }
    }
}

/// Whom rows outside the graph take after, ready for any scores.
pub struct Voters {
    /// (row of the graph, share of the vote) for each row outside. A row of zeros has nobody.
    lists: Vec<Vec<(u32, f32)>>,
}

impl Voters {
    /// The nearest of `unit`, the rows of the graph, to each of `queries`, weighing as edges do. Both are rows of unit
    /// length, `columns` wide.
    pub fn of(queries: &[f32], unit: &[f32], columns: usize, settings: &PropagationSettings) -> Result<Voters> {
        settings.check()?;
        let nearest = nearest(queries, unit, columns, settings.neighbours).context("no vote can be held")?;
        let voters = |(query, features): (usize, &[f32])| {
            let is_voter = |&(row, _): &(usize, f32)| !is_zero(features) && !is_zero(&unit[row * columns..(row + 1) * columns]);
            let near: Vec<(usize, f32)> = nearest.of(query).filter(is_voter).collect();
            // Relative to the nearest, however far that is: no sum of weights is zero.
            let best = near.first().map_or(0.0, |&(_, cosine)| cosine);
            let weights: Vec<f64> = near.iter().map(|&(_, cosine)| settings.weight(1.0 + cosine - best)).collect();
            let all: f64 = weights.iter().sum();
            near.iter().zip(weights).map(|(&(row, _), weight)| (row as u32, (weight / all) as f32)).collect()
        };
        Ok(Voters { lists: queries.par_chunks(columns).enumerate().map(voters).collect() })
    }
}

fn is_zero(row: &[f32]) -> bool {
    row.iter().all(|&value| value == 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::unit_rows;

    #[test]
    fn voters_weigh_as_edges_do() {
        let unit = unit_rows(&[1.0, 0.0, 0.0, 1.0, 0.0, 0.0], 2);
        let settings = PropagationSettings { neighbours: 3, temperature: 1.0, ..Default::default() };
        let scores = LabelScores { classes: 2, values: vec![1.0, 0.0, 0.0, 0.5, 0.0, 0.0] };
        let voted = |queries: &[f32]| scores.vote(&Voters::of(&unit_rows(queries, 2), &unit, 2, &settings).expect("sound rows"));
        // Cosines 0.8 and 0.6; the row of zeros has no vote.
        let share = 1.0 / (1.0 + (-0.2_f64).exp());
        let found = voted(&[4.0, 3.0]);
        assert!((f64::from(found.values[0]) - share).abs() < 1e-6 && (f64::from(found.values[1]) - 0.5 * (1.0 - share)).abs() < 1e-6);
        assert_eq!(found.assigned()[0], Assigned { class: 0, confidence: found.values[0] });
        assert_eq!(voted(&[0.0, 0.0]).assigned(), [Assigned { class: 0, confidence: 0.0 }]);
    }

    #[test]
    fn far_voters_at_any_temperature_are_no_nan() {
        let settings = PropagationSettings { temperature: 1e-4, ..Default::default() };
        let voters = Voters::of(&[-1.0, 0.0], &[1.0, 0.0, 0.0, 1.0], 2, &settings).expect("sound rows");
        assert_eq!(voters.lists, [vec![(1, 1.0), (0, 0.0)]]);
        assert!(Voters::of(&[1.0, 0.0], &[], 2, &settings).is_err(), "nobody to vote");
        assert!(Voters::of(&[f32::NAN, 0.0], &[1.0, 0.0], 2, &settings).is_err());
    }
}
