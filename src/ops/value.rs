//! What flows through a network.

use crate::core::buffer::{Buf, Maps, Shape, shape};
use crate::core::sample::SampleType;

/// A batch of samples, or what layers have made of them.
#[derive(Clone, Copy, Debug)]
pub enum Value {
    /// A sample in each row, `[samples, values]`. Of images, the `channels` values of a pixel lie side by side.
    Rows { buf: Buf, channels: u32 },
    /// A pixel in each row.
    Maps(Maps),
}

/// How an encoder takes samples.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    Rows,
    Maps,
}

impl Form {
    /// Of a matrix with this many samples.
    pub fn shape(self, samples: u32, kind: SampleType) -> Shape {
        match self {
            Form::Rows => shape(samples, kind.len()),
            Form::Maps => shape(samples.saturating_mul(kind.places()), kind.channels()),
        }
    }

    /// A matrix of [that shape](Self::shape). Panics where samples without height and width are to be maps, which callers have ruled
    /// out by [`Form::suits`].
    pub fn value(self, buf: Buf, kind: SampleType) -> Value {
        match (self, kind.image()) {
            (Form::Rows, _) => Value::Rows { buf, channels: kind.channels() },
            (Form::Maps, Some(image)) => Value::Maps(Maps::new(buf, buf.rows() / (image.height * image.width), image.height, image.width)),
            (Form::Maps, None) => panic!("{kind} are no maps"),
        }
    }

    /// Whether samples of this type can take this form.
    pub fn suits(self, kind: SampleType) -> bool {
        self == Form::Rows || kind.image().is_some()
    }
}

impl Value {
    pub fn buf(self) -> Buf {
        match self {
            Value::Rows { buf, .. } => buf,
            Value::Maps(maps) => maps.buf,
        }
    }

    /// Values that each place of a sample has.
    pub fn channels(self) -> u32 {
        match self {
            Value::Rows { channels, .. } => channels,
            Value::Maps(maps) => maps.channels(),
        }
    }

    /// The same samples as another matrix, with so many channels.
    pub fn with(self, buf: Buf, channels: u32) -> Self {
        match self {
            Value::Rows { .. } => Value::Rows { buf, channels },
            Value::Maps(maps) => Value::Maps(maps.with(buf)),
        }
    }

    /// Maps. Panics where these are rows: only an encoder that takes maps may ask.
    pub fn maps(self) -> Maps {
        match self {
            Value::Maps(maps) => maps,
            Value::Rows { buf, .. } => panic!("{} rows are no maps", buf.rows()),
        }
    }
}
