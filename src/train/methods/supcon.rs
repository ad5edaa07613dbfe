//! Supervised contrastive learning (Khosla et al., 2020).

use super::{PretrainMethod, ViewLoss};
use crate::ops::{batch_labels, normalize, sup_con};

pub(super) static METHOD: Supcon = Supcon;

pub(super) struct Supcon;

impl PretrainMethod for Supcon {
    fn name(&self) -> &'static str {
        "supcon"
    }

    fn help(&self) -> &'static str {
        "Views of all images of a class attract, all others repel (SupCon). Needs labels."
    }

    fn needs_labels(&self) -> bool {
        true
    }

    fn settings(&self) -> &'static [&'static str] {
        &["temperature", "projection", "micro_batch"]
    }

    fn comparison(&self) -> Option<ViewLoss> {
        Some(|t, batch, embeddings, clock| {
            let labels = batch_labels(t, batch);
            let z = normalize(t, "unit embeddings", embeddings);
            sup_con(t, "loss", z, labels, clock.hyper)
        })
    }
}
