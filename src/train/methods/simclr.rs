//! SimCLR (Chen et al., 2020).

use super::{PretrainMethod, ViewLoss};
use crate::ops::{normalize, nt_xent};

pub(super) static METHOD: Simclr = Simclr;

pub(super) struct Simclr;

impl PretrainMethod for Simclr {
    fn name(&self) -> &'static str {
        "simclr"
    }

    fn help(&self) -> &'static str {
        "Two augmented views of each image attract, all others repel (NT-Xent). Needs no labels."
    }

    fn settings(&self) -> &'static [&'static str] {
        &["temperature", "projection", "micro_batch"]
    }

    fn comparison(&self) -> Option<ViewLoss> {
        Some(|t, _, embeddings, clock| {
            let z = normalize(t, "unit embeddings", embeddings);
            nt_xent(t, "loss", z, clock.hyper)
        })
    }
}
