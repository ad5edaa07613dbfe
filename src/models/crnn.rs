//! Pictures column after column, such as sounds moment after moment: convolutions, then gated recurrent units over what they make of each
//! column (Shi et al., 2017).

use super::ModelSettings;
use super::encoder::Encoder;
use super::layers::{Place, constant_ids, conv_norm, recurrent_layer, row_norm, three_by_three};
use super::recurrent::{directions, units_problem};
use crate::core::buffer::{Buf, Maps};
use crate::core::sample::NO_TOKEN;
use crate::core::tape::Tape;
use crate::ops::{Activation, Cell, LAYER_NORM_EPS, Value, embedding, flatten, masked_mean};

pub(super) static ENCODER: Crnn = Crnn;

pub(super) struct Crnn;

impl Encoder for Crnn {
    fn name(&self) -> &'static str {
        "crnn"
    }

    fn help(&self) -> &'static str {
        "Sounds moment after moment, or pictures column after column: convolutions, then gated recurrent units, averaged."
    }

    fn settings(&self) -> &'static [&'static str] {
        &["width", "features", "recurrent_layers", "bidirectional"]
    }

    fn describe(&self, model: &ModelSettings) -> String {
        format!("crnn of width {} and {} features", model.width, model.features)
    }

    fn problem(&self, model: &ModelSettings) -> Option<String> {
        let near =
            || format!("crnn has a width that is a multiple of 4, not {}: try --width {}", model.width, model.width.next_multiple_of(4));
        (!model.width.is_multiple_of(4)).then(near).or_else(|| units_problem(model))
    }

    /// Its last states are of columns: nothing is as fine as pixels.
    fn has_stages(&self) -> bool {
        false
    }

    /// The mean over columns.
    fn features(&self, t: &mut Tape<'_>, model: &ModelSettings, place: Place, x: Value) -> Buf {
        let (rows, steps) = states(t, model, place, x);
        masked_mean(t, "mean of columns", rows, steps)
    }

    fn has_steps(&self) -> bool {
        true
    }

    /// Of every second column.
    fn steps(&self, t: &mut Tape<'_>, model: &ModelSettings, place: Place, x: Value) -> Option<Buf> {
        Some(states(t, model, place, x).0)
    }
}

/// The states of columns, `[batch * columns, features]`, and the columns as tokens, `[batch, columns]`.
fn states(t: &mut Tape<'_>, model: &ModelSettings, place: Place, x: Value) -> (Buf, Buf) {
    let width = model.width;
    let x = conv_norm(t, ["encoder.conv1", "encoder.bn1"], place, x.maps(), width, three_by_three(2), Activation::Relu);
    let x = conv_norm(t, ["encoder.conv2", "encoder.bn2"], place, x, 2 * width, three_by_three(1), Activation::Relu);
    let steps = constant_ids(t, "columns", [x.batch, x.width], |_, column| column);
    let mut rows = columns(t, x);
    for layer in 0..model.recurrent_layers {
        rows = recurrent_layer(t, "encoder.gru", layer, place.group, (Cell::Gru, directions(model)), (rows, steps), model.features);
    }
    let rows = row_norm(t, "encoder.norm", place.group, rows, LAYER_NORM_EPS);
    (rows, steps)
}

/// A column of maps in each row, from top to bottom, `[batch * width, height * channels]`, with zeros below until the height is a multiple
/// of four.
fn columns(t: &mut Tape<'_>, x: Maps) -> Buf {
    let room = x.height.next_multiple_of(4);
    let pixels = constant_ids(t, "pixels of columns", [x.batch * x.width, room], |column, line| {
        let (picture, column) = (column / x.width, column % x.width);
        if line < x.height { (picture * x.height + line) * x.width + column } else { NO_TOKEN }
    });
    let rows = embedding(t, "columns of pixels", pixels, x.buf);
    flatten(t, "columns as rows", Maps::new(rows, pixels.rows(), room, 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_fit() {
        let model = |width, features| ModelSettings { width, features, ..ModelSettings::mlp(vec![1]) };
        assert_eq!(ENCODER.problem(&model(8, 32)), None);
        assert!(ENCODER.problem(&model(10, 32)).is_some_and(|text| text.contains("--width 12")));
        assert!(ENCODER.problem(&model(8, 33)).is_some_and(|text| text.contains("--features 34")));
    }
}
