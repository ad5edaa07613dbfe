//! From packed data to the batch of a step: order, gathering, augmentation. Nothing here has a gradient.

use super::value::{Form, Value};
use super::vocabulary_cross_entropy::predicting_rows;
use crate::core::buffer::{Buf, Dtype, Fill, Role, shape};
use crate::core::sample::{Image, SampleType};
use crate::core::tape::Tape;
use crate::host::views::DrawColumn;
use crate::kernels::augment::Augment;
use crate::kernels::augment_bands::AugmentBands;
use crate::kernels::augment_draw::{AugmentDraw, Ranges};
use crate::kernels::augment_local::AugmentLocal;
use crate::kernels::gather::Gather;
use crate::kernels::gather_frames::GatherFrames;
use crate::kernels::gather_labels::GatherLabels;
use crate::kernels::gather_rows::GatherRows;
use crate::kernels::gather_tokens::GatherTokens;
use crate::kernels::mask_tokens::MaskTokens;
use crate::kernels::normalize_pixels::{CHANNELS, NormalizePixels};
use crate::kernels::shuffle::{Order, Shuffle};

/// A data set on the device.
#[derive(Clone, Copy, Debug)]
pub struct DataBufs {
    /// A sample in each row, as [`SampleType::stored`] says.
    pub samples: Buf,
    /// `[1, samples]`.
    pub labels: Option<Buf>,
    /// Numbers to predict, `[samples, targets]`: of sets of labels 1 or 0, and below zero what is not known.
    pub targets: Option<Buf>,
    /// A packed byte per pixel, `[samples, pixels / 4]`.
    pub masks: Option<Buf>,
    /// A class per token, `[samples, longest]`; of those that are not to be learnt, one that there is not.
    pub tags: Option<Buf>,
    /// A string per sample: its letters' classes, from 1, `[samples, longest]`, and how many they are, `[1, samples]`.
    pub transcripts: Option<[Buf; 2]>,
    /// Of sequences, `[1, samples]`.
    pub lengths: Option<Buf>,
    /// The type of the samples.
    pub kind: SampleType,
}

impl DataBufs {
    /// The size of the images. Panics where samples are none, which callers have ruled out.
    pub fn image(&self) -> Image {
        self.kind.image().expect("samples that are images")
    }
}

/// The samples of a step: `indices` `[1, batch]` into `data`.
#[derive(Clone, Copy, Debug)]
pub struct Batch {
    pub data: DataBufs,
    pub indices: Buf,
}

/// Computes which samples form the step that `clock` shows.
pub fn batch_indices(t: &mut Tape<'_>, data: DataBufs, clock: Buf, order: Order, batch: u32) -> Batch {
    let indices = t.scratch_of("indices", Dtype::U32, shape(1, batch));
    t.call("order", Shuffle { clock, indices, order });
    Batch { data, indices }
}

/// The samples as they are; the values of images from 0 to 1. Panics where they cannot take this form, which callers have ruled
/// out by [`Form::suits`].
pub fn batch_samples(t: &mut Tape<'_>, batch: Batch, form: Form) -> Value {
    samples_of(t, "images", batch, form)
}

/// [`batch_samples`] by a name of its own, where a program needs them twice.
pub fn samples_of(t: &mut Tape<'_>, name: &str, batch: Batch, form: Form) -> Value {
    let Batch { data: DataBufs { samples: data, kind, lengths, .. }, indices } = batch;
    let x = t.scratch_of(name, form.dtype(), form.shape(indices.cols(), kind));
    match (kind, form) {
        (SampleType::Tokens { .. }, Form::Tokens) => gather_tokens(t, name, batch, data, None, x, Augmentation::NONE),
        (SampleType::Image(_), _) => t.call(name, Gather { data, indices, x }),
        (SampleType::Frames { .. }, Form::Sequence | Form::Clips) => t.call(name, GatherFrames { data, indices, x }),
        (SampleType::Row(_) | SampleType::Frames { .. }, _) => t.call(name, GatherRows { data, indices, x }),
        (SampleType::Tokens { .. }, _) => panic!("{kind} as {form:?}"),
    }
    let lengths = lengths.filter(|_| matches!(form, Form::Sequence | Form::Clips)).map(|labels| {
        let targets = t.scratch_of(&format!("{name} lengths"), Dtype::U32, shape(1, indices.cols()));
        t.call("lengths", GatherLabels { labels, indices, targets });
        targets
    });
    form.value(x, kind, lengths)
}

/// Tokens of `data` into rows of `tokens`: those of the samples, then of their second views, and so on. Without a clock nothing may be
/// left out.
fn gather_tokens(
    t: &mut Tape<'_>,
    name: &str,
    batch: Batch,
    data: Buf,
    clock: Option<Buf>,
    tokens: Buf,
    Augmentation { ranges, key }: Augmentation,
) {
    let indices = batch.indices;
    let lengths = batch.data.lengths.expect("texts have lengths");
    let clock = clock.unwrap_or(indices);
    t.call(name, GatherTokens { clock, data, lengths, indices, tokens, span: ranges.span, drop: ranges.words, key });
}

/// The class of each token, `[1, batch * width]`, of texts as they are; of those that are not to be learnt, and behind the last one of a
/// text, one that there is not. Panics if the data have none, which callers have ruled out.
pub fn batch_tags(t: &mut Tape<'_>, batch: Batch) -> Buf {
    let tags = batch.data.tags.expect("data with tags");
    let targets = t.scratch_of("targets", Dtype::U32, Form::Tokens.shape(batch.indices.cols(), batch.data.kind));
    gather_tokens(t, "tags", batch, tags, None, targets, Augmentation::NONE);
    // Rows of whole quads lie one behind the other.
    Buf { shape: shape(1, targets.rows() * targets.cols()), ..targets }
}

/// The classes of the letters of each sample, `[batch, longest]`, `NO_TOKEN` behind the last one. Panics if the data have none, which callers
/// have ruled out.
pub fn batch_transcripts(t: &mut Tape<'_>, batch: Batch) -> Buf {
    let [data, lengths] = batch.data.transcripts.expect("data with transcripts");
    let (indices, key) = (batch.indices, [0; 2]);
    let tokens = t.scratch_of("targets", Dtype::U32, shape(indices.cols(), GatherTokens::width(data.cols())));
    t.call("targets", GatherTokens { clock: indices, data, lengths, indices, tokens, span: 0, drop: 0.0, key });
    tokens
}

/// Steps of so many samples, of each equally many, for [`ctc`](super::ctc): `[samples, count]`.
pub fn steps_of(t: &mut Tape<'_>, samples: u32, count: u32) -> Buf {
    let fill = Fill::U32((0..samples * count).map(|i| i % count).collect());
    t.arena.buffer(&format!("{count} steps of {samples}"), Role::Input, Dtype::U32, shape(samples, count), fill)
}

/// Images of one channel or three by the mean and the standard deviation of each of three channels, which they have from now on.
pub fn normalize_pixels(t: &mut Tape<'_>, name: &str, images: Value, mean_and_std: [[f32; 3]; 2]) -> Value {
    let (x, channels) = (images.buf(), images.channels());
    let y = t.scratch(name, shape(x.rows(), x.cols() / channels * CHANNELS));
    let fill = Fill::F32(mean_and_std.concat());
    let mean_and_std = t.arena.buffer("mean and deviation of pixels", Role::Input, Dtype::F32, shape(2, CHANNELS), fill);
    t.call(name, NormalizePixels { x, mean_and_std, y, channels });
    images.with(y, CHANNELS)
}

/// How samples are varied.
#[derive(Clone, Copy, Debug)]
pub struct Augmentation {
    pub ranges: Ranges,
    pub key: [u32; 2],
}

impl Augmentation {
    /// Samples as they are.
    const NONE: Self = Augmentation { ranges: Ranges::NONE, key: [0; 2] };
}

/// The random decisions behind views, a row each: see [`AugmentDraw`].
#[derive(Clone, Copy, Debug)]
pub struct Draws {
    pub draws: Buf,
    pub keys: Buf,
}

/// Draws for `rows` views in the step that `clock` shows.
pub fn draw_views(t: &mut Tape<'_>, rows: u32, image: Image, clock: Buf, Augmentation { ranges, key }: Augmentation) -> Draws {
    let draws = t.scratch("augmentation", shape(rows, DrawColumn::COUNT));
    let keys = t.scratch_of("augmentation keys", Dtype::U32, shape(rows, 4));
    t.call("draw augmentation", AugmentDraw { clock, draws, keys, width: image.width, height: image.height, key, ranges });
    Draws { draws, keys }
}

/// The views that were drawn: all first versions of the samples, then all second ones, and so on.
pub fn views(t: &mut Tape<'_>, batch: Batch, Draws { draws, keys }: Draws, ranges: Ranges, form: Form) -> Value {
    let (data, kind, image, indices) = (batch.data.samples, batch.data.kind, batch.data.image(), batch.indices);
    let (local, bands) = (ranges.local(), ranges.bands());
    let shape = form.shape(draws.rows(), kind);
    // What is not the last step leaves its views to the next one.
    let step = |t: &mut Tape<'_>, name: &str, last: bool| t.scratch(if last { "views" } else { name }, shape);
    let mut x = step(t, "resampled views", !local && !bands);
    t.call("augment", Augment { data, indices, draws, keys, x, image, ranges: if local { ranges.unfinished() } else { ranges } });
    if local {
        let y = step(t, "changed views", !bands);
        t.call("augment, neighbours", AugmentLocal { x, draws, keys, y, image, ranges });
        x = y;
    }
    if bands {
        let y = step(t, "", true);
        t.call("augment, bands", AugmentBands { x, keys, y, image, ranges });
        x = y;
    }
    form.value(x, kind, None)
}

/// `number` augmented versions of each sample: all first versions, then all second ones.
pub fn augmented_views(t: &mut Tape<'_>, batch: Batch, clock: Buf, number: u32, augmentation: Augmentation, form: Form) -> Value {
    let kind = batch.data.kind;
    if matches!(kind, SampleType::Tokens { .. }) {
        let tokens = t.scratch_of("views", form.dtype(), form.shape(number * batch.indices.cols(), kind));
        gather_tokens(t, "views", batch, batch.data.samples, Some(clock), tokens, augmentation);
        return form.value(tokens, kind, None);
    }
    let draws = draw_views(t, number * batch.indices.cols(), batch.data.image(), clock, augmentation);
    views(t, batch, draws, augmentation.ranges, form)
}

/// The labels of the samples, `[1, batch]`. Panics if the data have none, which callers have ruled out.
pub fn batch_labels(t: &mut Tape<'_>, batch: Batch) -> Buf {
    let labels = batch.data.labels.expect("labelled data");
    let targets = t.scratch_of("targets", Dtype::U32, shape(1, batch.indices.cols()));
    t.call("labels", GatherLabels { labels, indices: batch.indices, targets });
    targets
}

/// How tokens are hidden that are to be predicted.
#[derive(Clone, Copy, Debug)]
pub struct MaskedTokens {
    /// `[1, n]`, of which the first number is the step.
    pub clock: Buf,
    /// The token that stands for those that are hidden.
    pub mask: u32,
    /// Special tokens at the beginning and the end of each text, which stay.
    pub before: u32,
    pub after: u32,
    pub key: [u32; 2],
}

/// Texts of which some tokens are hidden; with where these are among all, and what, `[1, n]` each (see [`MaskTokens`]).
pub fn mask_tokens(t: &mut Tape<'_>, x: Value, by: MaskedTokens) -> (Value, [Buf; 2]) {
    let MaskedTokens { clock, mask, before, after, key } = by;
    let (tokens, vocabulary) = x.tokens();
    let count = predicting_rows(tokens.rows().saturating_mul(MaskTokens::slots(tokens.cols())), vocabulary);
    let masked = t.scratch_of("texts with hidden tokens", Dtype::U32, tokens.shape);
    let [places, targets] = ["places of hidden tokens", "hidden tokens"].map(|name| t.scratch_of(name, Dtype::U32, shape(1, count)));
    let shares = MaskTokens::SHARES;
    t.call("hide tokens", MaskTokens { clock, tokens, masked, places, targets, mask, before, after, vocabulary, shares, key });
    (x.with(masked, 1), [places, targets])
}
