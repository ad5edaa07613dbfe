//! What flows through a network.

use crate::core::buffer::{Buf, Dtype, Maps, Shape, shape};
use crate::core::sample::{Image, SampleType};
use crate::kernels::gather_tokens::GatherTokens;

/// A batch of samples, or what layers have made of them.
#[derive(Clone, Copy, Debug)]
pub enum Value {
    /// A sample in each row, `[samples, values]`. Of images, the `channels` values of a pixel lie side by side.
    Rows { buf: Buf, channels: u32 },
    /// A pixel in each row.
    Maps(Maps),
    /// A place of a sequence in each row, `[samples * longest, channels]`; how many of them a sample has, `[1, samples]`.
    Sequence { buf: Buf, lengths: Buf },
    /// Clips: maps whose lines are frames and whose columns are their numbers, of one channel; how many frames each has, `[1, samples]`.
    Clips { maps: Maps, lengths: Buf },
    /// The tokens (u32) of a sample in each row, [`NO_TOKEN`](crate::core::sample::NO_TOKEN) behind the last one; all are below
    /// `vocabulary`.
    Tokens { buf: Buf, vocabulary: u32 },
}

/// How an encoder takes samples.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    Rows,
    Maps,
    Sequence,
    Clips,
    Tokens,
}

impl Form {
    /// What a matrix of samples is made of.
    pub fn dtype(self) -> Dtype {
        if self == Form::Tokens { Dtype::U32 } else { Dtype::F32 }
    }

    /// Of a matrix with this many samples.
    pub fn shape(self, samples: u32, kind: SampleType) -> Shape {
        match self {
            Form::Rows => shape(samples, kind.len()),
            Form::Tokens => shape(samples, GatherTokens::width(kind.len())),
            Form::Clips => shape(samples.saturating_mul(kind.len()), 1),
            Form::Maps | Form::Sequence => shape(samples.saturating_mul(kind.places()), kind.channels()),
        }
    }

    /// A matrix of [that shape](Self::shape), with the lengths of sequences. Panics where samples cannot take this form, which
    /// callers have ruled out by [`Form::suits`].
    pub fn value(self, buf: Buf, kind: SampleType, lengths: Option<Buf>) -> Value {
        match (self, kind, lengths) {
            (Form::Rows, ..) => Value::Rows { buf, channels: kind.channels() },
            (Form::Maps, SampleType::Image(Image { height, width, .. }), _) => {
                Value::Maps(Maps::new(buf, buf.rows() / (height * width), height, width))
            }
            (Form::Clips, SampleType::Frames { channels, longest }, Some(lengths)) => {
                Value::Clips { maps: Maps::new(buf, buf.rows() / kind.len(), longest, channels), lengths }
            }
            (Form::Sequence, _, Some(lengths)) => Value::Sequence { buf, lengths },
            (Form::Tokens, SampleType::Tokens { vocabulary, .. }, _) => Value::Tokens { buf, vocabulary },
            _ => panic!("{kind} as {self:?}"),
        }
    }

    /// Whether samples of this type can take this form. Tokens are names, not numbers: they take no other.
    pub fn suits(self, kind: SampleType) -> bool {
        match kind {
            SampleType::Image(_) => matches!(self, Form::Rows | Form::Maps),
            SampleType::Row(_) => self == Form::Rows,
            SampleType::Frames { .. } => matches!(self, Form::Rows | Form::Sequence | Form::Clips),
            SampleType::Tokens { .. } => self == Form::Tokens,
        }
    }
}

impl Value {
    pub fn buf(self) -> Buf {
        match self {
            Value::Rows { buf, .. } | Value::Sequence { buf, .. } | Value::Tokens { buf, .. } => buf,
            Value::Maps(maps) | Value::Clips { maps, .. } => maps.buf,
        }
    }

    /// Values that each place of a sample has.
    pub fn channels(self) -> u32 {
        match self {
            Value::Rows { channels, .. } => channels,
            Value::Maps(maps) | Value::Clips { maps, .. } => maps.channels(),
            Value::Sequence { buf, .. } => buf.cols(),
            Value::Tokens { .. } => 1,
        }
    }

    /// The same samples as another matrix, with so many channels.
    pub fn with(self, buf: Buf, channels: u32) -> Self {
        match self {
            Value::Rows { .. } => Value::Rows { buf, channels },
            Value::Maps(maps) => Value::Maps(maps.with(buf)),
            Value::Clips { maps, lengths } => Value::Clips { maps: maps.with(buf), lengths },
            Value::Sequence { lengths, .. } => Value::Sequence { buf, lengths },
            Value::Tokens { vocabulary, .. } => Value::Tokens { buf, vocabulary },
        }
    }

    /// Maps. Panics where these are rows: only an encoder that takes maps may ask.
    pub fn maps(self) -> Maps {
        match self {
            Value::Maps(maps) => maps,
            other => panic!("{} rows are no maps", other.buf().rows()),
        }
    }

    /// Clips, and their lengths in frames. Panics where these are none: only an encoder that takes clips may ask.
    pub fn clips(self) -> (Maps, Buf) {
        match self {
            Value::Clips { maps, lengths } => (maps, lengths),
            other => panic!("{} rows are no clips", other.buf().rows()),
        }
    }

    /// Tokens, and how many different ones there are. Panics where these are numbers: only an encoder that takes tokens may ask.
    pub fn tokens(self) -> (Buf, u32) {
        match self {
            Value::Tokens { buf, vocabulary } => (buf, vocabulary),
            other => panic!("{} rows are no tokens", other.buf().rows()),
        }
    }
}
