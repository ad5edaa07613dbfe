//! Networks, built from ops one line per layer: a file for each encoder, and a line in [`ENCODERS`]. Parameter names and shapes are
//! PyTorch's.

mod bag;
mod bert;
mod cnn;
mod crnn;
mod decoder;
mod efficientnet_lite0;
mod encoder;
mod inverted_residual;
mod layers;
mod mlp;
mod mobilenet_v2;
mod mobilenet_v3_small;
mod recurrent;
mod resnet;
mod resnet18;
mod resnet34;
mod resnet50;
mod speech_embedding;
mod static_embeddings;
mod transformer;
mod vit;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

pub use encoder::{Encoder, Published, ShapeOf, TokenStates};
pub use layers::{Place, residual_block};
use layers::{dense, dense_norm, row_norm};

use crate::core::buffer::{Arena, Buf, Dtype, Fill, Role, Tensor, is_of, shape};
use crate::core::sample::{Image, SampleType};
use crate::core::settings::{Settable, SettingForm, Settings, beyond};
use crate::core::tape::Tape;
use crate::data::SoundForm;
use crate::ops::{
    Activation, Batch, Form, Function, Statistics, Value, batch_samples, embedding, normalize_pixels, vocabulary_cross_entropy,
};
use crate::{choice, settings};

choice! {
    /// A kind of encoder.
    ModelKind of dyn encoder::Encoder, ENCODERS:
    MLP = mlp::ENCODER,
    CNN = cnn::ENCODER,
    CRNN = crnn::ENCODER,
    RESNET18 = resnet18::ENCODER,
    RESNET34 = resnet34::ENCODER,
    RESNET50 = resnet50::ENCODER,
    MOBILENET_V2 = mobilenet_v2::ENCODER,
    MOBILENET_V3_SMALL = mobilenet_v3_small::ENCODER,
    EFFICIENTNET_LITE0 = efficientnet_lite0::ENCODER,
    VIT = vit::ENCODER,
    DINOV2 = vit::DINOV2,
    BAG = bag::ENCODER,
    TRANSFORMER = transformer::ENCODER,
    GRU = recurrent::GRU,
    LSTM = recurrent::LSTM,
    BERT = bert::ENCODER,
    STATIC = static_embeddings::ENCODER,
    SPEECH_EMBEDDING = speech_embedding::ENCODER,
}

impl ModelKind {
    /// The encoder that published weights are of, by the names of tensors.
    pub fn of_weights<'a>(names: impl IntoIterator<Item = &'a str> + Clone) -> Option<Self> {
        let forms = ENCODERS.iter().flat_map(|kind| kind.published().iter().map(|form| (*kind, form)));
        let whole = forms.filter_map(|(kind, form)| {
            let layers = encoder_layers(&ModelSettings { kind, ..ModelSettings::mlp(vec![1]) }, kind.usual_samples());
            let held: BTreeSet<String> = names.clone().into_iter().flat_map(|name| form.readings(name)).map(|(_, ours)| ours).collect();
            let held: BTreeSet<String> = held.into_iter().flat_map(|name| kind.fused(&name).unwrap_or_else(|| vec![name])).collect();
            let holds = |layer: &String| held.range(format!("{layer}.")..).next().is_some_and(|name| is_of(name, layer));
            // One layer alone may be any network's.
            let told = layers.len() > 1 || names.clone().into_iter().count() <= 2;
            (told && layers.iter().all(holds)).then_some((layers.len(), kind))
        });
        // A smaller network's names may all be among a larger one's.
        whole.max_by_key(|(layers, _)| *layers).map(|(_, kind)| kind)
    }

    /// The values of a tensor of places for as many as a model has; `None` where that is not how shapes differ.
    pub fn refitted(self, name: &str, found: &[usize], values: &[f32], wanted: &[usize]) -> Option<Vec<f32>> {
        match (found, wanted) {
            (&[1, from, width], &[1, to, wide]) if width == wide && values.len() == from * width => {
                self.refit(name, values, [u32::try_from(from).ok()?, u32::try_from(to).ok()?])
            }
            _ => None,
        }
    }

    /// Samples such as published networks of this kind take.
    pub fn usual_samples(self) -> SampleType {
        match self.form() {
            Form::Tokens => SampleType::Tokens { vocabulary: 1, longest: 4 },
            _ => match self.sounds() {
                Some(SoundForm::Frames(frames)) => frames.samples(),
                _ => SampleType::Image(Image { height: 224, width: 224, channels: 3 }),
            },
        }
    }

    /// The first encoder to which all of these settings mean something, else the first to which one of them does.
    pub fn with(settings: &[&str]) -> Option<Self> {
        let (first, _) = settings.split_first()?;
        let all = |kind: &Self| settings.iter().all(|setting| kind.settings().contains(setting));
        ENCODERS.iter().copied().find(all).or_else(|| ENCODERS.iter().copied().find(|kind| kind.settings().contains(first)))
    }
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
        let whose = if *self == Self::IMAGENET { "ImageNet's " } else { "" };
        write!(f, "{whose}mean {:?} and standard deviation {:?}", self.mean, self.std)
    }
}

/// How large a transformer is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TransformerShape {
    pub width: u32,
    pub layers: u32,
    /// Of attention; they share the width evenly.
    pub heads: u32,
    /// Width between the two linear layers behind attention.
    pub inner: u32,
    /// Tokens that it knows places of.
    pub positions: u32,
    /// Kinds of tokens, of which one is used.
    pub types: u32,
    /// Side of the patches that a picture is divided into, in pixels.
    #[serde(default)]
    pub patch: u32,
    /// What layer norm adds to variances.
    pub eps: f32,
    /// GELU is its approximation by tanh.
    #[serde(default)]
    pub by_tanh: bool,
}

impl Default for TransformerShape {
    fn default() -> Self {
        Self::MINILM
    }
}

impl TransformerShape {
    /// One layer as those of MiniLM.
    pub const MINILM: Self =
        TransformerShape { width: 384, layers: 1, heads: 12, inner: 1536, positions: 512, types: 2, patch: 0, eps: 1e-12, by_tanh: false };

    /// What stands between its linear layers.
    pub fn gelu(&self) -> Function {
        if self.by_tanh { Function::GeluTanh } else { Function::Gelu }
    }

    /// What makes no sense of it, if anything.
    pub fn problem(&self) -> Option<String> {
        let sizes = [self.width, self.layers, self.heads, self.inner, self.positions, self.types];
        let sound = sizes.iter().all(|size| (1..=1 << 16).contains(size)) && self.eps.is_finite() && self.eps > 0.0;
        if !sound || self.layers > 1 << 10 {
            return Some("the sizes of the transformer make no sense".into());
        }
        let uneven = !self.width.is_multiple_of(self.heads);
        uneven.then(|| format!("a transformer {} wide cannot have {} heads", self.width, self.heads))
    }
}

/// In files alone.
impl Settable for TransformerShape {
    const FORM: SettingForm = SettingForm::File;
}

/// Of the first convolution; later ones have four times as many.
const MOST_CHANNELS: f64 = 1024.0;
const MOST_FEATURES: f64 = 16384.0;
const MOST_LAYERS: f64 = 64.0;

/// In files alone.
impl Settable for Normalization {
    const FORM: SettingForm = SettingForm::File;
}

settings! {
    /// Which encoder, and how large.
    pub struct ModelSettings {
        /// Network
        kind: ModelKind = ModelKind::CNN => flag("model"),
        /// Widths of the hidden layers, separated by commas; the last one is the number of features
        hidden: Vec<u32> = vec![256, 128] => value("WIDTHS").at_least(1.0).idle(),
        /// Channels of the first convolution
        #[serde(default = "ModelSettings::default_width")]
        width: u32 = 16 => value("CHANNELS").at_least(1.0).at_most(MOST_CHANNELS).idle(),
        /// Features that it ends in: more of them serve a linear probe with many labels
        #[serde(default = "ModelSettings::default_features")]
        features: u32 = 128 => at_least(1.0).at_most(MOST_FEATURES).idle(),
        /// Layers of attention
        #[serde(default = "ModelSettings::default_layers")]
        layers: u32 = 4 => at_least(1.0).at_most(MOST_LAYERS).idle(),
        /// Heads of attention; they share the features evenly
        #[serde(default = "ModelSettings::default_heads")]
        heads: u32 = 4 => at_least(1.0).at_most(MOST_FEATURES).idle(),
        /// Recurrent layers, each over the states of the one before
        #[serde(default = "ModelSettings::default_recurrent_layers")]
        recurrent_layers: u32 = 1 => value("LAYERS").at_least(1.0).at_most(MOST_LAYERS).idle(),
        /// Recurrent layers go in both directions, which share the features evenly
        #[serde(default = "ModelSettings::default_bidirectional")]
        bidirectional: bool = true => idle(),
        /// What the encoder does to images first; none leaves values 0 to 1
        normalize: Option<Normalization> = None,
        /// How large a transformer is; of published weights their own
        shape: Option<TransformerShape> = None,
    }
}

impl Settings for ModelSettings {}

impl ModelSettings {
    fn default_width() -> u32 {
        Self::default().width
    }

    fn default_features() -> u32 {
        Self::default().features
    }

    fn default_layers() -> u32 {
        Self::default().layers
    }

    fn default_heads() -> u32 {
        Self::default().heads
    }

    fn default_recurrent_layers() -> u32 {
        Self::default().recurrent_layers
    }

    fn default_bidirectional() -> bool {
        Self::default().bidirectional
    }

    /// A multi-layer perceptron with these hidden layers.
    pub fn mlp(hidden: Vec<u32>) -> Self {
        ModelSettings { kind: ModelKind::MLP, hidden, ..Self::default() }
    }

    /// The first setting that makes no sense.
    pub fn problem(&self) -> Option<String> {
        let shape = || self.shape.and_then(|shape| shape.problem());
        beyond(self)
            .or_else(|| self.normalize.and_then(|normalization| normalization.problem()))
            .or_else(shape)
            .or_else(|| self.kind.problem(self))
    }

    /// How large a transformer is.
    pub fn transformer(&self) -> TransformerShape {
        self.shape.unwrap_or_default()
    }
}

impl std::fmt::Display for ModelSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.kind.describe(self))
    }
}

/// Parameter group of encoders.
pub const ENCODER: u8 = 0;
/// Parameter group of heads: projection heads in pretraining, classifiers in fine-tuning.
pub const HEAD: u8 = 1;

/// Features of samples `x`, which have the [`Encoder::form`] that it takes. Returns `[batch, features]`.
pub fn encoder(t: &mut Tape<'_>, model: &ModelSettings, place: Place, x: Value) -> Buf {
    let x = normalized(t, model, x);
    model.kind.features(t, model, place, x)
}

/// Samples as the first layer wants them.
fn normalized(t: &mut Tape<'_>, model: &ModelSettings, x: Value) -> Value {
    match model.normalize {
        None => x,
        Some(Normalization { mean, std }) => normalize_pixels(t, "normalised images", x, [mean, std]),
    }
}

/// Features of a batch of samples as they are, in evaluation.
pub fn features(t: &mut Tape<'_>, model: &ModelSettings, batch: Batch) -> Buf {
    let x = batch_samples(t, batch, model.kind.form());
    encoder(t, model, Place::evaluation(ENCODER), x)
}

/// Names of the layers that have parameters, in the order of the program, of what `output` makes of a sample. Panics where the
/// encoder does not take samples of this type.
pub fn layers(model: &ModelSettings, kind: SampleType, output: &dyn Fn(&mut Tape<'_>, Value)) -> Vec<String> {
    let mut arena = Arena::outline();
    record_sample(&mut arena, model, kind, output);
    let params = arena.bufs().iter().filter(|b| matches!(b.role, Role::Param { .. }));
    let mut names: Vec<String> = params.filter_map(|b| Some(b.name.rsplit_once('.')?.0.to_string())).collect();
    names.dedup();
    names
}

/// Declares in `arena` what `output` makes of a sample, and returns it.
fn record_sample<T>(arena: &mut Arena, model: &ModelSettings, kind: SampleType, output: impl FnOnce(&mut Tape<'_>, Value) -> T) -> T {
    let form = model.kind.form();
    let lengths = kind.is_sequence().then(|| arena.input("length", Dtype::U32, shape(1, 1)));
    let x = form.value(arena.input("sample", form.dtype(), form.shape(1, kind)), kind, lengths);
    output(&mut Tape::new(arena, "layers", &[]), x)
}

/// [`layers`] of the encoder, up to its features.
pub fn encoder_layers(model: &ModelSettings, kind: SampleType) -> Vec<String> {
    layers(model, kind, &|t, x| {
        encoder(t, model, Place::evaluation(ENCODER), x);
    })
}

/// Declares the encoder's parameters and statistics in `arena`. Returns the features of a sample.
pub fn record_encoder(arena: &mut Arena, model: &ModelSettings, kind: SampleType) -> Buf {
    record_sample(arena, model, kind, |t, x| encoder(t, model, Place::evaluation(ENCODER), x))
}

/// SimCLR's head, dropped after pretraining: hidden layers with ReLU, and with batch norm if the encoder has it, and a linear
/// one on top. Returns `[batch, last width]`.
pub fn projection_head(t: &mut Tape<'_>, model: &ModelSettings, statistics: Statistics, widths: &[u32], features: Buf) -> Buf {
    let place = Place::new(HEAD, statistics);
    widths.iter().enumerate().fold(features, |x, (i, &width)| {
        let name = format!("projection.{i}");
        match (i + 1 < widths.len(), model.kind.has_batch_norm()) {
            (false, _) => dense(t, &name, HEAD, x, width, Activation::None),
            (true, false) => dense(t, &name, HEAD, x, width, Activation::Relu),
            (true, true) => dense_norm(t, [&name, &format!("projection.bn{i}")], place, x, width),
        }
    })
}

/// The mean loss of predicting the tokens `targets`, `[1, n]`, that are at `places` among those of texts, which see others there: as in
/// BERT a layer with GELU and layer norm, and products with the embeddings that the encoder begins with. So a rare token's embedding learns
/// where it is predicted too, and there is no second matrix of that size. Panics where the encoder does not tell tokens apart, which
/// callers have ruled out by [`Encoder::has_states`].
pub fn predicted_tokens(t: &mut Tape<'_>, model: &ModelSettings, encoder: Place, x: Value, [places, targets]: [Buf; 2]) -> Buf {
    let TokenStates { rows, table, eps } = model.kind.states(t, model, encoder, x).expect("an encoder of states");
    let chosen = embedding(t, "chosen tokens", places, rows);
    let h = dense(t, "prediction.dense", HEAD, chosen, rows.cols(), Activation::Of(Function::Gelu));
    let h = row_norm(t, "prediction.norm", HEAD, h, eps);
    let bias = t.param("prediction.bias", HEAD, Tensor::Vector(table.rows()), Fill::Zero);
    vocabulary_cross_entropy(t, "loss", h, table, bias, targets)
}

/// Logits `[batch, classes]`; for regression, numbers.
pub fn classifier(t: &mut Tape<'_>, model: &ModelSettings, classes: u32, features: Buf) -> Buf {
    dense(t, model.kind.classifier(), HEAD, features, classes, Activation::None)
}

/// Logits of a class for each pixel, `[batch * height * width, classes]`, by the encoder's stages and a decoder. Panics if the
/// encoder has none, which callers have ruled out by [`Encoder::form`].
pub fn segmenter(t: &mut Tape<'_>, model: &ModelSettings, [encoder, head]: [Place; 2], classes: u32, x: Value) -> Buf {
    let x = normalized(t, model, x).maps();
    let stages = model.kind.stages(t, model, encoder, x).expect("an encoder of maps");
    let decoded = decoder::unet(t, head, &stages, [x.height, x.width]);
    dense(t, "head", head.group, decoded.buf, classes, Activation::None)
}

/// Logits of a class for each token, `[texts * width, classes]`, by the encoder's states. Panics if the encoder has none, which callers
/// have ruled out by [`Encoder::has_states`].
pub fn tagger(t: &mut Tape<'_>, model: &ModelSettings, [encoder, head]: [Place; 2], classes: u32, x: Value) -> Buf {
    let states = model.kind.states(t, model, encoder, x).expect("an encoder of states");
    dense(t, "head", head.group, states.rows, classes, Activation::None)
}

/// Logits of a class for each step of samples, `[samples * steps, classes]`. Panics if the encoder has none, which callers have ruled out by
/// [`Encoder::has_steps`].
pub fn recogniser(t: &mut Tape<'_>, model: &ModelSettings, [encoder, head]: [Place; 2], classes: u32, x: Value) -> Buf {
    let x = normalized(t, model, x);
    let steps = model.kind.steps(t, model, encoder, x).expect("an encoder of steps");
    dense(t, "head", head.group, steps, classes, Activation::None)
}

/// Images that an autoencoder makes of features, a pixel a row.
pub fn reconstruction(t: &mut Tape<'_>, head: Place, features: Buf, image: Image) -> Buf {
    decoder::images(t, head, features, image)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::Form;

    const IMAGE: SampleType = SampleType::Image(Image { height: 28, width: 28, channels: 3 });

    #[test]
    fn entries_are_known_by_their_names_and_say_what_they_are() {
        for kind in ENCODERS {
            assert_eq!(ModelKind::named(kind.name()), Some(*kind), "names are not there twice");
            assert!(kind.help().ends_with('.') && kind.help().len() > 10, "{kind:?}");
            let model = ModelSettings { kind: *kind, ..ModelSettings::mlp(vec![7]) };
            assert!(kind.describe(&model).starts_with(kind.name()), "{kind:?}");
            let text = serde_json::to_string(&model).expect("plain data");
            assert_eq!(serde_json::from_str::<ModelSettings>(&text).expect("as it was written"), model);
        }
        assert!(serde_json::from_str::<ModelKind>("\"vgg\"").expect_err("unknown").to_string().contains("mlp, cnn"));
    }

    #[test]
    fn entries_make_features_of_samples() {
        const TEXT: SampleType = SampleType::Tokens { vocabulary: 50, longest: 8 };
        for kind in ENCODERS {
            let model = ModelSettings { kind: *kind, ..ModelSettings::mlp(vec![7]) };
            let (mut arena, images, form) = (Arena::new(0, u64::MAX), 5, kind.form());
            let sample = match form {
                Form::Tokens => TEXT,
                Form::Clips => SampleType::Frames { channels: 32, longest: 84 },
                _ => IMAGE,
            };
            let buf = arena.input("samples", form.dtype(), form.shape(images, sample));
            let lengths = (form == Form::Clips).then(|| arena.input("lengths", Dtype::U32, shape(1, images)));
            let x = form.value(buf, sample, lengths);
            let mut tape = Tape::new(&mut arena, "features", &[]);
            let features = encoder(&mut tape, &model, Place::evaluation(ENCODER), x);
            assert!(features.rows() == images && features.cols() > 0, "{kind:?}");
            if kind.has_stages() {
                let mut tape = Tape::new(&mut arena, "stages", &[]);
                let stages = kind.stages(&mut tape, &model, Place::evaluation(ENCODER), x.maps()).expect("an encoder of maps has stages");
                assert!(stages.windows(2).all(|two| two[0].height >= two[1].height), "{kind:?}: largest first");
            }
            if kind.has_states() {
                let mut tape = Tape::new(&mut arena, "states", &[]);
                let states = kind.states(&mut tape, &model, Place::evaluation(ENCODER), x).expect("an encoder of states has some");
                assert!(states.rows.rows() == x.tokens().0.rows() * x.tokens().0.cols(), "{kind:?}: one for each token");
            }
            if kind.has_steps() {
                let mut tape = Tape::new(&mut arena, "steps", &[]);
                let steps = kind.steps(&mut tape, &model, Place::evaluation(ENCODER), x).expect("an encoder of steps has some");
                assert!(steps.rows() > images && steps.rows().is_multiple_of(images), "{kind:?}: several of each sample");
            }
            let layers = encoder_layers(&model, sample);
            assert!(!layers.is_empty(), "{kind:?}");
            let norms = arena.bufs().iter().any(|b| matches!(b.role, Role::Statistic { .. }));
            assert_eq!(norms, kind.has_batch_norm(), "{kind:?}");
            for from in [false, true].into_iter().filter_map(|few| kind.trained_from(few)) {
                assert!(layers.iter().any(|layer| is_of(layer, &from)), "{kind:?}: {from}");
            }
            if !kind.published().is_empty() {
                let names = layers.iter().map(|layer| format!("{layer}.weight")).collect::<Vec<_>>();
                assert_eq!(ModelKind::of_weights(names.iter().map(String::as_str)), Some(*kind), "it is known by its names");
            }
        }
    }
}
