//! Self-training: a linear probe learns what spread labels and a probe of the given ones find together, where they are certain.

use anyhow::Result;
use rayon::prelude::*;

use super::LabelScores;
use super::graph::{even_out, to_shares};
use crate::metrics::{Design, Probe, ProbeSettings};

/// Of all rows, those that the second probe learns from: the most certain.
const SHARE: f64 = 0.7;
/// It learns from many labels, of which some are wrong: no use in following them to the end, or by words that few samples have.
const AGAIN: ProbeSettings = ProbeSettings { l2: Some(0.01), iterations: 100, tolerance: 1e-4, least_samples: 5 };

/// What rows are by a probe that learnt from spread labels.
pub struct Refitted {
    pub scores: LabelScores,
    probe: Probe,
}

impl LabelScores {
    /// Pseudo-labels in the sense of Lee (2013): the product of these shares and those of a probe of the `labelled` rows, (row, class),
    /// is taken for true where it is most certain, and another probe fitted to that. `balance`: classes share the product as they share
    /// what was spread. Labelled rows keep their class. Fails where features are not finite.
    pub fn refitted(&self, design: &Design, labelled: &[(u32, u32)], balance: bool) -> Result<Refitted> {
        let (classes, rows) = (self.classes, self.values.len() / self.classes.max(1));
        let fit = |rows: &mut dyn Iterator<Item = (u32, u32)>, settings: &ProbeSettings| {
            let (rows, labels): (Vec<u32>, Vec<u32>) = rows.unzip();
            Probe::fit(&design.select(&rows), &labels, classes, settings)
        };
        let given = fit(&mut labelled.iter().copied(), &ProbeSettings::default())?;
        let by_probe = LabelScores::of_logits(given.logits(design), classes);
        let mut both: Vec<f64> = by_probe.values.iter().zip(&self.values).map(|(a, b)| f64::from(*a) * f64::from(*b)).collect();
        to_shares(&mut both, classes);
        if balance {
            even_out(&mut both, classes);
        }
        let mut both = LabelScores { classes, values: both.into_iter().map(|share| share as f32).collect() };
        both.keep(labelled);
        let assigned = both.assigned();
        let mut order: Vec<u32> = (0..rows as u32).collect();
        order.sort_by(|&a, &b| assigned[b as usize].confidence.total_cmp(&assigned[a as usize].confidence));
        order.truncate((SHARE * rows as f64) as usize);
        let mut certain: Vec<(u32, u32)> = order.into_iter().map(|row| (row, assigned[row as usize].class)).collect();
        // A class that is never certain is known from its labels at least.
        let others: Vec<(u32, u32)> = labelled.iter().copied().filter(|pair| !certain.contains(pair)).collect();
        certain.extend(others);
        let probe = fit(&mut certain.into_iter(), &AGAIN)?;
        let mut scores = LabelScores::of_logits(probe.logits(design), classes);
        scores.keep(labelled);
        Ok(Refitted { scores, probe })
    }

    /// Softmax of `[rows, classes]`.
    fn of_logits(mut logits: Vec<f32>, classes: usize) -> Self {
        logits.par_chunks_mut(classes).for_each(|row| {
            let largest = row.iter().fold(f32::NEG_INFINITY, |a, &z| a.max(z));
            row.iter_mut().for_each(|z| *z = (*z - largest).exp());
            let sum: f32 = row.iter().sum();
            row.iter_mut().for_each(|z| *z /= sum);
        });
        LabelScores { classes, values: logits }
    }

    /// Rows whose class was given have it, for certain.
    pub(super) fn keep(&mut self, labelled: &[(u32, u32)]) {
        for &(row, class) in labelled {
            let scores = &mut self.values[row as usize * self.classes..][..self.classes];
            scores.fill(0.0);
            scores[class as usize] = 1.0;
        }
    }
}

impl Refitted {
    /// Of rows that nothing was learnt from.
    pub fn of(&self, design: &Design) -> LabelScores {
        LabelScores::of_logits(self.probe.logits(design), self.scores.classes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::random::{signed_unit, threefry};
    use crate::metrics::unit_rows;
    use crate::propagate::{Graph, PropagationSettings};

    #[test]
    fn what_is_certain_teaches_what_is_not() {
        // Two long clouds side by side, one label at an end of each: a probe of these two rows alone is misled by their lengths.
        let row = |i: u32| {
            let noise = threefry([5, 6], [i, 0]).map(signed_unit);
            [1.5 * noise[0], if i.is_multiple_of(2) { 0.5 } else { -0.5 } + 0.2 * noise[1], 3.0]
        };
        let features: Vec<f32> = (0..400).flat_map(row).collect();
        let ends = [0_u32, 1].map(|of| {
            let left = |i: &u32| features[3 * *i as usize] * if of == 0 { 1.0 } else { -1.0 };
            (of..400).step_by(2).min_by(|a, b| left(a).total_cmp(&left(b))).expect("rows")
        });
        let labelled = [(ends[0], 0), (ends[1], 1)];
        let right = |scores: &LabelScores| scores.assigned().iter().zip(0..).filter(|(found, row)| found.class == row % 2).count();
        let design = Design::dense(&features, 3);
        let alone = Probe::fit(&design.select(&ends), &[0, 1], 2, &Default::default());
        let alone = LabelScores::of_logits(alone.expect("it fits").logits(&design), 2);
        let settings = PropagationSettings { neighbours: 8, temperature: 0.01, ..Default::default() };
        let spread = Graph::of(&unit_rows(&features, 3), 3, &settings).and_then(|graph| graph.spread(&labelled, 2)).expect("sound rows");
        let refitted = spread.refitted(&design, &labelled, false).expect("sound features");
        assert!(right(&refitted.scores) > right(&alone) + 20, "{} of 400, a probe has {}", right(&refitted.scores), right(&alone));
        assert_eq!(refitted.scores.assigned()[ends[1] as usize].confidence, 1.0, "labelled rows keep their class");
        let halves = |balance| {
            let found = spread.refitted(&design, &labelled, balance).expect("sound features").scores;
            found.assigned().iter().filter(|found| found.class == 0).count().abs_diff(200)
        };
        assert!(halves(true) <= halves(false), "{} of 200 too many, balanced {}", halves(false), halves(true));
        assert_eq!(refitted.of(&design.select(&[0])).assigned()[0].class, refitted.scores.assigned()[0].class);
    }
}
