//! What samples are: the types that readers, programs, models and checkpoints agree on.

use serde::{Deserialize, Serialize};

use super::buffer::Dtype;

/// The bit of a stored token that says that a word begins with it; the others are its number.
pub const BEGINS_WORD: u32 = 1 << 31;
/// What stands in a batch behind the last token of a text.
pub const NO_TOKEN: u32 = u32::MAX;

/// The type that all samples of a data set have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SampleType {
    /// Pictures of one size, a byte per value.
    Image(Image),
    /// Rows of so many numbers.
    Row(u32),
    /// Sequences of at most `longest` tokens, each a number below `vocabulary`.
    Tokens { vocabulary: u32, longest: u32 },
    /// Sequences of at most `longest` frames, of `channels` numbers each.
    Frames { channels: u32, longest: u32 },
}

impl SampleType {
    /// Values of a sample, of the longest one where lengths differ.
    pub fn len(self) -> u32 {
        match self {
            SampleType::Image(image) => image.len(),
            SampleType::Row(columns) => columns,
            SampleType::Tokens { longest, .. } => longest,
            SampleType::Frames { channels, longest } => channels * longest,
        }
    }

    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// The places that a sample has values at: pixels, columns, tokens or frames.
    pub fn places(self) -> u32 {
        self.len() / self.channels()
    }

    /// Values that each place has.
    pub fn channels(self) -> u32 {
        match self {
            SampleType::Image(image) => image.channels,
            SampleType::Row(_) | SampleType::Tokens { .. } => 1,
            SampleType::Frames { channels, .. } => channels,
        }
    }

    /// The size of pictures; other samples have none.
    pub fn image(self) -> Option<Image> {
        match self {
            SampleType::Image(image) => Some(image),
            _ => None,
        }
    }

    /// What people call such samples.
    pub fn called(self) -> &'static str {
        match self {
            SampleType::Image(_) => "images",
            SampleType::Row(_) => "rows",
            SampleType::Tokens { .. } => "texts",
            SampleType::Frames { .. } => "sounds",
        }
    }

    /// Whether what takes samples of this type takes those of the other too: the same, or sequences that are no longer.
    pub fn takes(self, other: SampleType) -> bool {
        match (self, other) {
            (SampleType::Tokens { vocabulary, longest }, SampleType::Tokens { vocabulary: theirs, longest: shorter }) => {
                vocabulary == theirs && shorter <= longest
            }
            (SampleType::Frames { channels, longest }, SampleType::Frames { channels: theirs, longest: shorter }) => {
                channels == theirs && shorter <= longest
            }
            _ => self == other,
        }
    }

    /// Whether each sample has a length of its own.
    pub fn is_sequence(self) -> bool {
        matches!(self, SampleType::Tokens { .. } | SampleType::Frames { .. })
    }

    /// How a sample lies in device memory: the type of its words, and how many they are. Zeros follow what is shorter than the
    /// longest.
    pub fn stored(self) -> (Dtype, u32) {
        match self {
            SampleType::Image(image) => (Dtype::U32, image.len().div_ceil(4)),
            SampleType::Tokens { longest, .. } => (Dtype::U32, longest),
            SampleType::Row(_) | SampleType::Frames { .. } => (Dtype::F32, self.len()),
        }
    }
}

impl std::fmt::Display for SampleType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            SampleType::Image(image) => image.fmt(f),
            SampleType::Row(columns) => write!(f, "{columns} numbers"),
            SampleType::Tokens { vocabulary, longest } => write!(f, "up to {longest} tokens of {vocabulary}"),
            SampleType::Frames { channels, longest } => write!(f, "up to {longest} frames of {channels} numbers"),
        }
    }
}

/// What images are pictures of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Subject {
    /// What is seen.
    #[default]
    Pictures,
    /// What is heard: rows are pitches, columns are moments.
    Sounds,
}

impl Subject {
    /// One of them, for people.
    pub fn one(self) -> &'static str {
        match self {
            Subject::Pictures => "picture",
            Subject::Sounds => "sound",
        }
    }

    /// Some of them, for people.
    pub fn many(self) -> &'static str {
        match self {
            Subject::Pictures => "pictures",
            Subject::Sounds => "sounds",
        }
    }
}

/// Size of one picture, stored line by line, channels innermost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    pub height: u32,
    pub width: u32,
    pub channels: u32,
}

impl Image {
    pub fn len(self) -> u32 {
        self.height * self.width * self.channels
    }

    pub fn is_empty(self) -> bool {
        self.len() == 0
    }
}

impl std::fmt::Display for Image {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}x{} pixels{}", self.height, self.width, if self.channels == 1 { "" } else { " in colour" })
    }
}
