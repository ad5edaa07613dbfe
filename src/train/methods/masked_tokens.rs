//! Masked language modelling (Devlin et al., 2018).

use super::super::optimizer::OptimizerKind;
use super::{Loss, Pretext, PretrainMethod, Recipe};
use crate::core::buffer::Buf;
use crate::core::tape::Tape;
use crate::data::Masking;
use crate::models::{self, ModelKind, Place};
use crate::ops::{Batch, Clock, MaskedTokens, batch_samples, mask_tokens};

pub(super) static METHOD: Masked = Masked;

pub(super) struct Masked;

impl PretrainMethod for Masked {
    fn name(&self) -> &'static str {
        "masked-tokens"
    }

    fn help(&self) -> &'static str {
        "Masked language modelling: 15 % of a text's tokens from the others. Needs no labels."
    }

    fn settings(&self) -> &'static [&'static str] {
        &[]
    }

    fn takes_texts(&self) -> bool {
        true
    }

    fn takes_images(&self) -> bool {
        false
    }

    fn unaugmented(&self) -> Option<&'static str> {
        Some("masked tokens are predicted from all others: --augment none")
    }

    fn recipe(&self) -> Recipe {
        Recipe { optimizer: OptimizerKind::Adamw, lr: 0.001 }
    }

    fn encoder_of_texts(&self) -> ModelKind {
        ModelKind::TRANSFORMER
    }

    fn masks(&self) -> bool {
        true
    }

    fn step(&self, t: &mut Tape<'_>, pretext: &Pretext<'_>, batch: Batch, clock: Clock) -> Buf {
        let place = pretext.place(t, clock);
        predicted(t, pretext, place, batch, clock.clock)
    }

    fn held_out_loss(&self) -> Option<(&'static str, Loss)> {
        // Which tokens are hidden is a matter of the batch, whenever it is looked at.
        Some(("masked_token_loss", |t, pretext, batch| predicted(t, pretext, Place::evaluation(models::ENCODER), batch, batch.indices)))
    }
}

/// The loss of the hidden tokens of a batch. `clock`: its first number tells which are hidden.
fn predicted(t: &mut Tape<'_>, pretext: &Pretext<'_>, place: Place, batch: Batch, clock: Buf) -> Buf {
    let Masking { mask, before, after, .. } = pretext.masking.expect("a tokenizer with a mask");
    let x = batch_samples(t, batch, pretext.model.kind.form());
    let (x, hidden) = mask_tokens(t, x, MaskedTokens { clock, mask, before, after, key: pretext.augmentation.key });
    models::predicted_tokens(t, pretext.model, place, x, hidden)
}
