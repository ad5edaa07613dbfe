//! A threshold for the largest probability, below which a classifier says that a sample is of none of its classes.

use serde::{Deserialize, Serialize};

use crate::metrics::{InScope, ScopeScore, balanced_threshold, quantile_threshold};

/// Where no samples of none of the classes are known, this share of the others is rejected.
const REJECTED: f64 = 0.05;

/// The threshold of a run, and what it came to on the held-out samples that chose it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Threshold {
    pub probability: f64,
    pub held_out: ScopeScore,
}

impl Threshold {
    /// By held-out samples of the classes and of none: the sum of in-scope accuracy and out-of-scope recall is to be large; without
    /// samples of none, 5 % of the others are to be rejected. `None` where there are too few.
    pub fn choose(inside: &[InScope], outside: &[f64]) -> Option<Self> {
        let probability = if outside.is_empty() { quantile_threshold(inside, REJECTED) } else { balanced_threshold(inside, outside) }?;
        Some(Threshold { probability, held_out: ScopeScore::at(probability, inside, outside) })
    }

    /// For people: how it was chosen.
    pub fn rule(&self) -> String {
        let ScopeScore { in_scope, out_of_scope, .. } = self.held_out;
        match out_of_scope {
            0 => format!("by {:.0} % of {in_scope} held-out samples, which are below it", 100.0 * REJECTED),
            _ => format!(
                "for the sum of in-scope accuracy and recall on {in_scope} held-out samples of the classes and {out_of_scope} of none"
            ),
        }
    }
}

/// For people: what a threshold came to.
pub fn scope_text(score: &ScopeScore) -> String {
    let percent = |share: f64| format!("{:.2} %", 100.0 * share);
    let parts = [
        score.in_scope_accuracy.map(|share| format!("in-scope accuracy {}", percent(share))),
        score.rejected.map(|share| format!("{} of these rejected", percent(share))),
        score.recall.map(|share| format!("out-of-scope recall {} of {}", percent(share), score.out_of_scope)),
        score.auroc.map(|area| format!("AUROC {area:.3}")),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}
