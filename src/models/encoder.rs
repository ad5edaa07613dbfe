//! What an entry of the registry of encoders is.

use super::layers::Place;
use super::{ModelSettings, Normalization};
use crate::core::buffer::{Buf, Maps};
use crate::core::sample::SampleType;
use crate::core::tape::Tape;
use crate::data::{Interpolation, Resize, SoundForm};
use crate::ops::{Form, Value};

/// A kind of encoder.
pub trait Encoder: Sync {
    /// What `--model`, settings and checkpoints call it.
    fn name(&self) -> &'static str;

    /// A sentence for `--help`.
    fn help(&self) -> &'static str;

    /// Of the settings of models that are not for all encoders, those that mean something to it.
    fn settings(&self) -> &'static [&'static str] {
        &[]
    }

    /// How it takes samples.
    fn form(&self) -> Form {
        Form::Maps
    }

    /// Whether it wants of texts one token for each place, pieces of words in their order, not words with all their pieces.
    fn takes_pieces(&self) -> bool {
        false
    }

    /// Whether what it computes of a text grows with the longest one of its batch, so that batches of like length spare time.
    fn pays_for_padding(&self) -> bool {
        true
    }

    /// The usual rate of dropout in its training; `None` where it drops nothing.
    fn dropout(&self) -> Option<f32> {
        None
    }

    /// What it is, with its settings, for a sentence.
    fn describe(&self, _model: &ModelSettings) -> String {
        self.name().into()
    }

    /// Which of its settings do not go together.
    fn problem(&self, _model: &ModelSettings) -> Option<String> {
        None
    }

    /// What it wants of sounds, if that is not a picture as others take it.
    fn sounds(&self) -> Option<SoundForm> {
        None
    }

    /// Why it cannot take samples of this type, as far as that is not a matter of their [`form`](Self::form).
    fn refuses(&self, _model: &ModelSettings, _samples: SampleType) -> Option<String> {
        None
    }

    /// Features of samples `x`, which have the [`form`](Self::form) that it takes. Returns `[batch, features]`.
    fn features(&self, t: &mut Tape<'_>, model: &ModelSettings, place: Place, x: Value) -> Buf;

    /// Whether it has [`stages`](Self::stages).
    fn has_stages(&self) -> bool {
        self.form() == Form::Maps
    }

    /// Maps on its way to features, largest first, for a decoder that makes masks of them. `None` if it has none.
    fn stages(&self, _t: &mut Tape<'_>, _model: &ModelSettings, _place: Place, _x: Maps) -> Option<Vec<Maps>> {
        None
    }

    /// Whether it has [`states`](Self::states).
    fn has_states(&self) -> bool {
        false
    }

    /// What it makes of each token of texts `x` on its way to features, by those around it: for a class of each word, or to predict
    /// tokens. `None` if it has none.
    fn states(&self, _t: &mut Tape<'_>, _model: &ModelSettings, _place: Place, _x: Value) -> Option<TokenStates> {
        None
    }

    /// Whether it has [`steps`](Self::steps).
    fn has_steps(&self) -> bool {
        false
    }

    /// What it makes of pictures `x` from left to right, and of sounds in time, on its way to features, by what is around: a step in each
    /// row, of each sample equally many, one after the other. `None` if it has none.
    fn steps(&self, _t: &mut Tape<'_>, _model: &ModelSettings, _place: Place, _x: Value) -> Option<Buf> {
        None
    }

    /// The layer from features to logits.
    fn classifier(&self) -> &'static str {
        "head"
    }

    /// The layer from which on labels train it if others have trained all before: with `few`, one of the last; else that where maps get
    /// their last size. `None` where no weights of it are published.
    fn trained_from(&self, _few: bool) -> Option<String> {
        None
    }

    /// Whether it has batch norm, which a projection head has then too.
    fn has_batch_norm(&self) -> bool {
        true
    }

    /// Gives `model` the sizes of the network that tensors of these shapes are of, as far as it has any. Returns how many different
    /// tokens that knows, if it takes texts.
    fn size(&self, _model: &mut ModelSettings, _shape_of: &ShapeOf<'_>) -> Option<u32> {
        None
    }

    /// The parts, one below the other, that a published tensor holds under one name; `None` of one that stands for itself.
    fn fused(&self, _name: &str) -> Option<Vec<String>> {
        None
    }

    /// The values of a tensor of places, `[1, rows, cols]`, for another number of them; `None` of tensors that have one size alone.
    fn refit(&self, _name: &str, _values: &[f32], _rows: [u32; 2]) -> Option<Vec<f32>> {
        None
    }

    /// In what forms others publish weights of it; the first has our names of tensors.
    fn published(&self) -> &'static [Published] {
        &[]
    }
}

/// What an encoder of texts makes of their tokens.
#[derive(Clone, Copy, Debug)]
pub struct TokenStates {
    /// A token in each row, `[texts * length, state]`.
    pub rows: Buf,
    /// The embeddings that it begins with, `[vocabulary, width]`.
    pub table: Buf,
    /// What its layer norms add to variances.
    pub eps: f32,
}

/// The shape of a tensor by our name of it; `None` if there is none.
pub type ShapeOf<'a> = dyn Fn(&str) -> Option<Vec<u32>> + 'a;

/// A form in which others publish weights.
pub struct Published {
    /// Who does.
    pub by: &'static str,
    pub trained_on: &'static str,
    /// Under which they are published.
    pub licence: &'static str,
    /// A command that makes a file of them, where Python and the packages it names are, or what package has one.
    pub made: &'static str,
    /// Of pictures in colour.
    pub normalization: Normalization,
    /// How pictures got the size that it was judged with.
    pub resize: Resize,
    /// What a tensor that they call so is called here; `None` if it is none of theirs.
    pub ours: fn(&str) -> Option<String>,
}

/// Names within names that are looked behind, of what wraps a model.
const MOST_WRAPS: usize = 12;

impl Published {
    /// What a tensor of a file may be called here, with what wraps the model in that file, such as `module.`.
    pub fn readings<'a>(&self, name: &'a str) -> impl Iterator<Item = (&'a str, String)> + use<'a> {
        let ours = self.ours;
        let wraps = std::iter::once(0).chain(name.match_indices('.').map(|(dot, _)| dot + 1));
        // Wrappers are few; a name of nothing but dots would have as many readings as bytes.
        wraps.take(MOST_WRAPS).filter_map(move |at| Some((&name[..at], ours(&name[at..])?)))
    }
}

/// What torchvision's first weights of a network are judged with: 224 of 256 pixels.
pub(super) const OF_256: Resize = Resize::crop(0.875, Interpolation::Bilinear);
/// And later ones (`IMAGENET1K_V2`): 224 of 232.
pub(super) const OF_232: Resize = Resize::crop(0.965, Interpolation::Bilinear);

/// torchvision's, in our names, made by a command.
pub(super) const fn torchvision(by: &'static str, made: &'static str, resize: Resize) -> Published {
    Published {
        by,
        trained_on: "ImageNet-1k",
        licence: "BSD-3-Clause",
        made,
        normalization: Normalization::IMAGENET,
        resize,
        ours: |name| Some(name.into()),
    }
}
