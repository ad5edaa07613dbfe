//! A small residual network for images of 28 to 64 pixels a side.

use super::ModelSettings;
use super::encoder::Encoder;
use super::layers::{Place, conv_norm, flat_norm, residual_block, three_by_three};
use crate::core::buffer::{Buf, Maps};
use crate::core::tape::Tape;
use crate::ops::{Activation, Value};

/// Maps of at most this many pixels a side have a residual block: larger ones make it expensive.
const BLOCK_SIDE: u32 = 8;
/// Maps of at most this many pixels a side are laid out flat.
const LAST_SIDE: u32 = 4;

pub(super) static ENCODER: Cnn = Cnn;

pub(super) struct Cnn;

impl Encoder for Cnn {
    fn name(&self) -> &'static str {
        "cnn"
    }

    fn help(&self) -> &'static str {
        "A small residual network, for images of 28 to 64 pixels a side."
    }

    fn settings(&self) -> &'static [&'static str] {
        &["width", "features"]
    }

    fn describe(&self, model: &ModelSettings) -> String {
        format!("cnn of width {} and {} features", model.width, model.features)
    }

    /// A linear layer on the last maps: at these sizes better than averages over them.
    fn features(&self, t: &mut Tape<'_>, model: &ModelSettings, place: Place, x: Value) -> Buf {
        let last = *stages(t, place, model.width, x.maps()).last().expect("the first convolution");
        flat_norm(t, ["encoder.fc", "encoder.bn2"], place, last, model.features)
    }

    fn stages(&self, t: &mut Tape<'_>, model: &ModelSettings, place: Place, x: Maps) -> Option<Vec<Maps>> {
        Some(stages(t, place, model.width, x))
    }
}

/// A convolution with `width` channels, then strided ones with up to four times as many until maps are 4 x 4 or smaller, and a
/// residual block in between. Returns the maps of each size, largest first.
fn stages(t: &mut Tape<'_>, place: Place, width: u32, x: Maps) -> Vec<Maps> {
    let mut x = conv_norm(t, ["encoder.conv1", "encoder.bn1"], place, x, width, three_by_three(1), Activation::Relu);
    let mut stages = vec![x];
    for stage in 1.. {
        if x.height.max(x.width) <= LAST_SIDE {
            break;
        }
        let channels = width * (1 << stage).min(4);
        let name = format!("encoder.layer{stage}");
        let names = [format!("{name}.conv"), format!("{name}.bn")];
        x = conv_norm(t, [&names[0], &names[1]], place, x, channels, three_by_three(2), Activation::Relu);
        if (LAST_SIDE + 1..=BLOCK_SIDE).contains(&x.height.max(x.width)) {
            x = residual_block(t, &format!("{name}.block"), place, x, channels, 1);
        }
        stages.push(x);
    }
    stages
}
