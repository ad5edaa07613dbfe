//! Networks, built from ops one line per layer. Parameter names and shapes are PyTorch's.

mod cnn;
mod decoder;
mod layers;
pub mod resnet;

use serde::{Deserialize, Serialize};

pub use layers::{Place, residual_block};
use layers::{dense, dense_norm};

use crate::core::buffer::{Arena, Buf, Dtype, Maps, Role};
use crate::core::image::Image;
use crate::core::tape::Tape;
use crate::ops::{Activation, Batch, Pixels, Statistics, batch_images, normalize_pixels};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum ModelKind {
    /// Linear layers with ReLU.
    Mlp,
    /// A small residual network, for images of 28 to 64 pixels a side.
    Cnn,
    /// ResNet-18, with torchvision's parameter names.
    Resnet18,
}

/// How images are normalised before the first layer, channel by channel: `(x - mean) / std`, of values 0 to 1. Grey images are
/// repeated over the three channels.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Normalization {
    pub mean: [f32; 3],
    pub std: [f32; 3],
}

impl Normalization {
    /// Of the images that the published weights of torchvision and timm were trained on.
    pub const IMAGENET: Self = Normalization { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] };
    /// Values as they are.
    pub const NONE: Self = Normalization { mean: [0.0; 3], std: [1.0; 3] };

    /// What makes no sense of it, if anything.
    pub fn problem(&self) -> Option<String> {
        let sound = self.mean.iter().all(|mean| mean.is_finite()) && self.std.iter().all(|&std| std.is_normal() && std > 0.0);
        (!sound).then(|| format!("[model.normalize] needs finite means and positive standard deviations, not {self}"))
    }
}

impl std::fmt::Display for Normalization {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "mean {:?} and standard deviation {:?}", self.mean, self.std)
    }
}

/// Of the first convolution; later ones have four times as many.
const MOST_CHANNELS: u32 = 1024;
const MOST_FEATURES: u32 = 16384;

/// What makes no sense of the widths of layers that `flag` gives.
pub fn widths_problem(widths: &[u32], flag: &str) -> Option<String> {
    (widths.is_empty() || widths.contains(&0)).then(|| format!("{flag} needs widths of at least 1, for instance 512,256"))
}

/// Which encoder, and how large.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelSettings {
    pub kind: ModelKind,
    /// `mlp`: widths of the hidden layers; the last one is the number of features.
    pub hidden: Vec<u32>,
    /// `cnn`: channels of the first convolution.
    #[serde(default = "ModelSettings::default_width")]
    pub width: u32,
    /// `cnn`: features that the encoder ends in.
    #[serde(default = "ModelSettings::default_features")]
    pub features: u32,
    /// What the encoder does to images first; none leaves values 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub normalize: Option<Normalization>,
}

impl ModelSettings {
    pub fn default_width() -> u32 {
        16
    }

    pub fn default_features() -> u32 {
        128
    }

    /// A multi-layer perceptron with these hidden layers.
    pub fn mlp(hidden: Vec<u32>) -> Self {
        let (width, features) = (Self::default_width(), Self::default_features());
        ModelSettings { kind: ModelKind::Mlp, hidden, width, features, normalize: None }
    }

    /// The first setting that makes no sense.
    pub fn problem(&self) -> Option<String> {
        let limits = [("--width", self.width, MOST_CHANNELS), ("--features", self.features, MOST_FEATURES)];
        let beyond = limits.into_iter().find(|(_, value, most)| !(1..=*most).contains(value));
        let beyond = beyond.map(|(flag, _, most)| format!("{flag} must be at least 1 and at most {most}"));
        let normalization = self.normalize.and_then(|normalization| normalization.problem());
        widths_problem(&self.hidden, "--hidden").or(beyond).or(normalization)
    }

    /// The layer from features to logits.
    pub fn classifier_name(&self) -> &'static str {
        match self.kind {
            ModelKind::Mlp | ModelKind::Cnn => "head",
            ModelKind::Resnet18 => "fc",
        }
    }

    /// How the encoder takes images.
    pub fn pixels(&self) -> Pixels {
        match self.kind {
            ModelKind::Mlp => Pixels::Flat,
            ModelKind::Cnn | ModelKind::Resnet18 => Pixels::Rows,
        }
    }
}

impl std::fmt::Display for ModelSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.kind {
            ModelKind::Mlp => write!(f, "mlp {:?}", self.hidden),
            ModelKind::Cnn => write!(f, "cnn of width {} and {} features", self.width, self.features),
            ModelKind::Resnet18 => write!(f, "resnet18"),
        }
    }
}

/// Parameter group of encoders.
pub const ENCODER: u8 = 0;
/// Parameter group of heads: projection heads in pretraining, classifiers in fine-tuning.
pub const HEAD: u8 = 1;

/// Features of images `x`, which lie as [`ModelSettings::pixels`] says. Returns `[batch, features]`.
pub fn encoder(t: &mut Tape<'_>, model: &ModelSettings, place: Place, x: Buf, image: Image) -> Buf {
    let Image { height, width, .. } = image;
    let x = normalized(t, model, x, image);
    let maps = || Maps::new(x, x.rows() / (height * width), height, width);
    match model.kind {
        ModelKind::Mlp => mlp_encoder(t, &model.hidden, x),
        ModelKind::Cnn => cnn::encoder(t, place, model.width, model.features, maps()),
        ModelKind::Resnet18 => resnet::encoder(t, place, maps()),
    }
}

/// Images as the first layer wants them.
fn normalized(t: &mut Tape<'_>, model: &ModelSettings, x: Buf, image: Image) -> Buf {
    match model.normalize {
        None => x,
        Some(Normalization { mean, std }) => normalize_pixels(t, "normalised images", x, image.channels, [mean, std]),
    }
}

/// Features of a batch of samples as they are, in evaluation.
pub fn features(t: &mut Tape<'_>, model: &ModelSettings, batch: Batch) -> Buf {
    let x = batch_images(t, batch, model.pixels());
    encoder(t, model, Place::evaluation(ENCODER), x, batch.data.image)
}

/// Maps of the encoder on its way to features, largest first. `None` if it has none.
fn stages(t: &mut Tape<'_>, model: &ModelSettings, place: Place, x: Maps) -> Option<Vec<Maps>> {
    match model.kind {
        ModelKind::Mlp => None,
        ModelKind::Cnn => Some(cnn::stages(t, place, model.width, x)),
        ModelKind::Resnet18 => Some(resnet::stages(t, place, x)),
    }
}

/// Names of the layers that have parameters, in the order of the program, of what `output` makes of an image.
pub fn layers(model: &ModelSettings, image: Image, output: &dyn Fn(&mut Tape<'_>, Buf)) -> Vec<String> {
    let mut arena = Arena::new(0, u64::MAX);
    let x = arena.input("image", Dtype::F32, model.pixels().shape(1, image));
    output(&mut Tape::new(&mut arena, "layers", &[]), x);
    let params = arena.bufs().iter().filter(|b| matches!(b.role, Role::Param { .. }));
    let mut names: Vec<String> = params.filter_map(|b| Some(b.name.rsplit_once('.')?.0.to_string())).collect();
    names.dedup();
    names
}

/// [`layers`] of the encoder, up to its features.
pub fn encoder_layers(model: &ModelSettings, image: Image) -> Vec<String> {
    layers(model, image, &|t, x| {
        encoder(t, model, Place::evaluation(ENCODER), x, image);
    })
}

/// A linear layer with ReLU for each width in `hidden`. Returns `[batch, last width]`.
fn mlp_encoder(t: &mut Tape<'_>, hidden: &[u32], x: Buf) -> Buf {
    hidden.iter().enumerate().fold(x, |x, (i, &width)| dense(t, &format!("encoder.{i}"), ENCODER, x, width, Activation::Relu))
}

/// SimCLR's head, dropped after pretraining: hidden layers with ReLU, and with batch norm if the encoder has it, and a linear
/// one on top. Returns `[batch, last width]`.
pub fn projection_head(t: &mut Tape<'_>, model: &ModelSettings, statistics: Statistics, widths: &[u32], features: Buf) -> Buf {
    let place = Place { group: HEAD, statistics };
    widths.iter().enumerate().fold(features, |x, (i, &width)| {
        let name = format!("projection.{i}");
        match (i + 1 < widths.len(), model.kind) {
            (false, _) => dense(t, &name, HEAD, x, width, Activation::None),
            (true, ModelKind::Mlp) => dense(t, &name, HEAD, x, width, Activation::Relu),
            (true, _) => dense_norm(t, [&name, &format!("projection.bn{i}")], place, x, width),
        }
    })
}

/// Logits `[batch, classes]`; for regression, numbers.
pub fn classifier(t: &mut Tape<'_>, model: &ModelSettings, classes: u32, features: Buf) -> Buf {
    dense(t, model.classifier_name(), HEAD, features, classes, Activation::None)
}

/// Logits of a class for each pixel, `[batch * height * width, classes]`, by the encoder's stages and a decoder. Panics if the
/// encoder has none, which callers have ruled out by [`ModelSettings::pixels`].
pub fn segmenter(t: &mut Tape<'_>, model: &ModelSettings, [encoder, head]: [Place; 2], classes: u32, x: Buf, image: Image) -> Buf {
    let x = normalized(t, model, x, image);
    let maps = Maps::new(x, x.rows() / (image.height * image.width), image.height, image.width);
    let stages = stages(t, model, encoder, maps).expect("an encoder of maps");
    let decoded = decoder::unet(t, head, &stages, image);
    dense(t, "head", head.group, decoded.buf, classes, Activation::None)
}

/// Images that an autoencoder makes of features, a pixel a row.
pub fn reconstruction(t: &mut Tape<'_>, head: Place, features: Buf, image: Image) -> Buf {
    decoder::images(t, head, features, image)
}
