//! VICReg (Bardes et al., 2022).

use super::super::optimizer::OptimizerKind;
use super::{PretrainMethod, Recipe, ViewLoss};
use crate::kernels::vicreg::VicregWeights;
use crate::ops::vicreg;

pub(super) static METHOD: Vicreg = Vicreg;

pub(super) struct Vicreg;

impl PretrainMethod for Vicreg {
    fn name(&self) -> &'static str {
        "vicreg"
    }

    fn help(&self) -> &'static str {
        "Two augmented views of each image agree, features vary and differ from each other (VICReg): no image repels another. Needs no \
         labels."
    }

    fn settings(&self) -> &'static [&'static str] {
        &["projection", "micro_batch"]
    }

    fn recipe(&self) -> Recipe {
        Recipe { optimizer: OptimizerKind::Sgd, lr: 0.05 }
    }

    fn comparison(&self) -> Option<ViewLoss> {
        Some(|t, _, embeddings, _| vicreg(t, "loss", embeddings, VicregWeights::default()))
    }
}
