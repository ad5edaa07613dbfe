//! Barlow Twins (Zbontar et al., 2021).

use super::super::optimizer::OptimizerKind;
use super::{PretrainMethod, Recipe, ViewLoss};
use crate::ops::barlow;

/// What redundancy counts beside invariance: that of the paper's own program.
const LAMBDA: f32 = 0.0051;

pub(super) static METHOD: Barlow = Barlow;

pub(super) struct Barlow;

impl PretrainMethod for Barlow {
    fn name(&self) -> &'static str {
        "barlow"
    }

    fn help(&self) -> &'static str {
        "Each feature correlates with itself in the other of two augmented views of each image, and with no other feature (Barlow \
         Twins): no image repels another. Needs no labels."
    }

    fn settings(&self) -> &'static [&'static str] {
        &["projection", "micro_batch"]
    }

    fn recipe(&self) -> Recipe {
        Recipe { optimizer: OptimizerKind::Sgd, lr: 0.001 }
    }

    fn comparison(&self) -> Option<ViewLoss> {
        Some(|t, _, embeddings, _| barlow(t, "loss", embeddings, LAMBDA))
    }
}
