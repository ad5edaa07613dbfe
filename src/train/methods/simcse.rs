//! SimCSE without labels (Gao et al., 2021).

use super::super::optimizer::OptimizerKind;
use super::{Method, PretrainMethod, Recipe, ViewLoss};
use crate::models::ModelKind;

pub(super) static METHOD: Simcse = Simcse;

pub(super) struct Simcse;

impl PretrainMethod for Simcse {
    fn name(&self) -> &'static str {
        "simcse"
    }

    fn help(&self) -> &'static str {
        "Two views of each text that differ by the encoder's dropout alone attract, all others repel (NT-Xent). Needs no labels."
    }

    fn settings(&self) -> &'static [&'static str] {
        &["temperature", "projection", "micro_batch"]
    }

    fn takes_images(&self) -> bool {
        false
    }

    fn unaugmented(&self) -> Option<&'static str> {
        Some("SimCSE's views differ by dropout alone: --augment none, or --method simclr")
    }

    fn recipe(&self) -> Recipe {
        Recipe { optimizer: OptimizerKind::Adamw, lr: 0.001 }
    }

    fn dropout(&self) -> Option<f32> {
        Some(0.1)
    }

    fn encoder_of_texts(&self) -> ModelKind {
        ModelKind::TRANSFORMER
    }

    fn comparison(&self) -> Option<ViewLoss> {
        Method::SIMCLR.comparison()
    }
}
