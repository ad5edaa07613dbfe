//! The graph of nearest neighbours, and how scores flow along its edges.

use anyhow::{Context, Result, ensure};
use rayon::prelude::*;

use super::{LabelScores, PropagationSettings, is_zero};
use crate::host::neighbours::nearest_others;

/// Rows and their edges, ready for any set of labels.
pub struct Graph {
    settings: PropagationSettings,
    /// Where each row's edges begin, and where the last one's end.
    starts: Vec<usize>,
    /// (other row, entry of S), ascending within a row.
    edges: Vec<(u32, f32)>,
}

/// Classes that are spread together: their scores are a line of the cache.
const WIDTH: usize = 8;
type Lanes = [f64; WIDTH];

impl Graph {
    /// Joins each of `unit`, rows of unit length `[rows, columns]`, with its nearest others. Edges lead both ways; where
    /// both rows are among the other's nearest, their weights add up. A row of zeros is like nothing: it has no edges.
    pub fn of(unit: &[f32], columns: usize, settings: &PropagationSettings) -> Result<Graph> {
        settings.check()?;
        let nearest = nearest_others(unit, columns, settings.neighbours).context("labels cannot be spread")?;
        let zero: Vec<bool> = unit.chunks(columns).map(is_zero).collect();
        let mut lists: Vec<Vec<(u32, f64)>> = vec![Vec::new(); zero.len()];
        for row in (0..zero.len()).filter(|&row| !zero[row]) {
            for (other, cosine) in nearest.of(row).filter(|&(other, _)| !zero[other]) {
                let weight = settings.weight(cosine);
                lists[row].push((other as u32, weight));
                lists[other].push((row as u32, weight));
            }
        }
        lists.par_iter_mut().for_each(|list| {
            list.sort_by_key(|&(other, _)| other);
            list.dedup_by(|again, edge| {
                let same = again.0 == edge.0;
                edge.1 += if same { again.1 } else { 0.0 };
                same
            });
            // Too small for a number: no edge, and nothing to divide by.
            list.retain(|&(_, weight)| weight > f64::MIN_POSITIVE);
        });
        let degrees: Vec<f64> = lists.iter().map(|list| list.iter().map(|&(_, weight)| weight).sum()).collect();
        let mut starts = vec![0];
        let mut edges = Vec::with_capacity(lists.iter().map(Vec::len).sum());
        for (list, degree) in lists.iter().zip(&degrees) {
            let entry = |&(other, weight): &(u32, f64)| (other, (weight / degree.sqrt() / degrees[other as usize].sqrt()) as f32);
            edges.extend(list.iter().map(entry));
            starts.push(edges.len());
        }
        Ok(Graph { settings: *settings, starts, edges })
    }

    pub fn rows(&self) -> usize {
        self.starts.len() - 1
    }

    /// Spreads `labelled`, pairs of a row and its class, over all rows. A labelled row keeps its class; one that nothing
    /// reaches has no score for any. Fails without labels, or where a row or a class does not exist or a row has two.
    pub fn spread(&self, labelled: &[(u32, u32)], classes: usize) -> Result<LabelScores> {
        ensure!(!labelled.is_empty(), "there are no labels to spread");
        let mut given: Vec<Option<u32>> = vec![None; self.rows()];
        for &(row, class) in labelled {
            ensure!((row as usize) < self.rows(), "row {row} is labelled, there are {} rows", self.rows());
            ensure!((class as usize) < classes, "the label of row {row} is {class}, there are {classes} classes");
            let before = given[row as usize].replace(class).unwrap_or(class);
            ensure!(before == class, "row {row} is labelled both {before} and {class}");
        }
        let mut values = vec![0.0; self.rows() * classes];
        for first in (0..classes).step_by(WIDTH) {
            let spread = self.spread_some(&given, first as u32);
            values.par_chunks_mut(classes).zip(&spread).for_each(|(row, lanes)| {
                row[first..].iter_mut().zip(lanes).for_each(|(to, &from)| *to = from);
            });
        }
        to_shares(&mut values, classes);
        if self.settings.balance {
            even_out(&mut values, classes);
        }
        let mut scores = LabelScores { classes, values: values.into_iter().map(|value| value as f32).collect() };
        scores.keep(labelled);
        Ok(scores)
    }

    /// The scores of the classes from `first`, of every row.
    fn spread_some(&self, given: &[Option<u32>], first: u32) -> Vec<Lanes> {
        let label = |class: &Option<u32>| {
            let lane = class.and_then(|class| class.checked_sub(first));
            std::array::from_fn(|at| f64::from(u8::from(lane == Some(at as u32))))
        };
        let labels: Vec<Lanes> = given.iter().map(label).collect();
        let alpha = self.settings.alpha;
        let (mut scores, mut next) = (labels.clone(), labels.clone());
        for _ in 0..self.settings.iterations {
            next.par_iter_mut().with_min_len(1024).enumerate().for_each(|(row, next)| {
                let mut sums = [0.0; WIDTH];
                for &(other, entry) in &self.edges[self.starts[row]..self.starts[row + 1]] {
                    sums.iter_mut().zip(&scores[other as usize]).for_each(|(sum, score)| *sum += f64::from(entry) * score);
                }
                next.iter_mut().zip(sums).zip(&labels[row]).for_each(|((next, sum), label)| *next = alpha * sum + (1.0 - alpha) * label);
            });
            std::mem::swap(&mut scores, &mut next);
        }
        scores
    }
}

/// Divides each row by its sum; rows of zeros stay.
pub(super) fn to_shares(values: &mut [f64], classes: usize) {
    values.par_chunks_mut(classes).for_each(|row| {
        let sum: f64 = row.iter().sum();
        if sum > 0.0 {
            row.iter_mut().for_each(|value| *value /= sum);
        }
    });
}

/// Class mass normalisation (Zhu et al., 2003) towards equal masses, a few times over: each time the rows are shares again,
/// and the masses closer to each other.
pub(super) fn even_out(values: &mut [f64], classes: usize) {
    const ROUNDS: u32 = 10;
    for _ in 0..ROUNDS {
        let mut masses = vec![0.0; classes];
        for row in values.chunks(classes) {
            masses.iter_mut().zip(row).for_each(|(mass, value)| *mass += value);
        }
        let present = masses.iter().filter(|&&mass| mass > 0.0).count();
        let equal = masses.iter().sum::<f64>() / present.max(1) as f64;
        // A class without labels has no mass to weigh.
        let factors: Vec<f64> = masses.iter().map(|&mass| if mass > 0.0 { equal / mass } else { 1.0 }).collect();
        values.par_chunks_mut(classes).for_each(|row| row.iter_mut().zip(&factors).for_each(|(value, factor)| *value *= factor));
        to_shares(values, classes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::random::{signed_unit, threefry};
    use crate::metrics::unit_rows;
    use crate::propagate::Assigned;

    fn settings(neighbours: usize) -> PropagationSettings {
        PropagationSettings { neighbours, temperature: 0.5, ..Default::default() }
    }

    #[test]
    fn two_steps_by_hand() {
        // Row 0 and 1 are each other's nearest, row 2's nearest is 1: W = 2a between 0 and 1, b between 1 and 2.
        let unit = unit_rows(&[1.0, 0.0, 0.8, 0.6, 0.0, 1.0], 2);
        let graph = Graph::of(&unit, 2, &PropagationSettings { alpha: 0.5, iterations: 2, ..settings(1) }).expect("sound rows");
        let (a, b) = ((-0.2_f64 / 0.5).exp(), (-0.4_f64 / 0.5).exp());
        let (s01, s12) = (2.0 * a / (2.0 * a * (2.0 * a + b)).sqrt(), b / (b * (2.0 * a + b)).sqrt());
        // Row 0 is class 0, row 2 is class 1. After one step either has half of its label, after two row 1 has half of what
        // these had, through its two edges.
        let scores = graph.spread(&[(0, 0), (2, 1)], 2).expect("sound labels");
        let expected = s01 / (s01 + s12);
        assert!((f64::from(scores.values[2]) - expected).abs() < 1e-6, "{scores:?} is not {expected}");
        assert_eq!((scores.values[0], scores.values[5]), (1.0, 1.0), "labelled rows keep their class");
    }

    /// Two clusters of `count` rows around (1, 0) and (0, 1), one after the other.
    fn clusters(count: u32) -> Vec<f32> {
        let row = |i: u32| {
            let noise = 0.2 * signed_unit(threefry([1, 2], [i, 0])[0]);
            if i < count { [1.0, noise] } else { [noise, 1.0] }
        };
        unit_rows(&(0..2 * count).flat_map(row).collect::<Vec<f32>>(), 2)
    }

    #[test]
    fn a_label_fills_its_cluster_and_no_other() {
        let graph = Graph::of(&clusters(40), 2, &settings(15)).expect("sound rows");
        let both = graph.spread(&[(3, 1), (60, 9)], 10).expect("sound labels").assigned();
        assert!(both[..40].iter().all(|row| row.class == 1 && row.confidence > 0.99), "{both:?}");
        assert!(both[40..].iter().all(|row| row.class == 9 && row.confidence > 0.99), "{both:?}");
        // A component without labels: nothing is known.
        let one = graph.spread(&[(3, 1)], 10).expect("sound labels").assigned();
        assert!(one[..40].iter().all(|row| row.class == 1));
        assert!(one[40..].iter().all(|row| *row == Assigned { class: 0, confidence: 0.0 }));
    }

    #[test]
    fn threads_change_nothing() {
        let run = || Graph::of(&clusters(1500), 2, &settings(7)).and_then(|graph| graph.spread(&[(0, 0), (2000, 1)], 2)).expect("sound");
        let alone = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("a thread").install(run);
        assert_eq!(run(), alone);
    }

    #[test]
    fn duplicates_and_rows_of_zeros_are_no_nan() {
        let rows = unit_rows(&[1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0, -1.0, 0.0], 2);
        let sharp = PropagationSettings { temperature: 1e-3, balance: true, ..settings(2) };
        let found = Graph::of(&rows, 2, &sharp).expect("sound rows").spread(&[(1, 1)], 3).expect("sound labels");
        assert!(found.values.iter().all(|value| value.is_finite()), "{found:?}");
        let confidence: Vec<f32> = found.assigned().iter().map(|row| row.confidence).collect();
        // Rows 0 and 1, 0 and 2 and so on are joined; the zeros are nothing, and the opposite row is too far.
        assert_eq!(confidence, [1.0, 1.0, 1.0, 1.0, 0.0, 0.0]);
        let labelled = Graph::of(&rows, 2, &sharp).expect("sound rows").spread(&[(4, 2)], 3).expect("sound labels").assigned();
        assert_eq!(labelled[4], Assigned { class: 2, confidence: 1.0 });
        assert!(labelled.iter().enumerate().all(|(row, found)| row == 4 || found.confidence == 0.0));
    }

    #[test]
    fn balance_evens_masses_out() {
        // Masses 1.9 and 0.6 of three rows.
        let mut values = vec![1.0, 0.0, 0.6, 0.4, 0.3, 0.2];
        to_shares(&mut values, 2);
        let before: f64 = values.iter().step_by(2).sum();
        even_out(&mut values, 2);
        let after: f64 = values.iter().step_by(2).sum();
        assert!(before > 2.1 && (after - 1.5).abs() < 0.1, "{before}, {after}");
        assert!(values.chunks(2).all(|row| (row[0] + row[1] - 1.0).abs() < 1e-12));
        // A class that nothing has stays empty, and nothing is divided by it.
        let mut values = vec![1.0, 0.0, 1.0, 0.0];
        even_out(&mut values, 2);
        assert_eq!(values, [1.0, 0.0, 1.0, 0.0]);
    }

    #[test]
    fn unsound_labels_and_settings_are_refused() {
        let graph = Graph::of(&clusters(4), 2, &settings(2)).expect("sound rows");
        let refused = |labelled: &[(u32, u32)]| graph.spread(labelled, 2).expect_err("refused").to_string();
        assert!(refused(&[]).contains("no labels to spread"));
        assert!(refused(&[(8, 0)]).contains("row 8 is labelled, there are 8 rows"));
        assert!(refused(&[(0, 2)]).contains("the label of row 0 is 2, there are 2 classes"));
        assert!(refused(&[(3, 0), (3, 1)]).contains("row 3 is labelled both 0 and 1"));
        assert!(graph.spread(&[(3, 1), (3, 1)], 2).is_ok(), "the same twice is no contradiction");
        let bad = |settings| Graph::of(&clusters(4), 2, &settings).err().expect("refused").to_string();
        assert!(bad(settings(0)).contains("at least one neighbour"));
        assert!(bad(PropagationSettings { temperature: 0.0, ..settings(2) }).contains("temperature"));
        assert!(bad(PropagationSettings { alpha: 1.0, ..settings(2) }).contains("alpha"));
        assert!(Graph::of(&[1.0, 0.0], 2, &settings(2)).is_err(), "one row has no neighbours");
    }
}
