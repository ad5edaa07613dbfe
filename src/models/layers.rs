//! Layers with parameters, as models put them together.

use super::TransformerShape;
use crate::core::buffer::{Buf, Dtype, Fill, Maps, Role, Tensor, shape};
use crate::core::layout::Taps;
use crate::core::tape::Tape;
use crate::kernels::activation::Function;
use crate::kernels::conv2d::Geometry;
use crate::ops::{
    Activation, BatchNormLayer, Cell, DropoutStep, RecurrentLayer, Statistics, Value, add, apply, attention, batch_norm, channel_scale,
    concat, conv2d, depthwise_conv2d, dropout, embedding, embedding_bag, flatten, layer_norm, linear, normalize, project, recurrent,
};

/// Where a layer stands: whose parameters it has, and by which statistics its batch norm normalises.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    pub group: u8,
    pub statistics: Statistics,
    /// What batch norm adds to variances.
    pub eps: f32,
    /// Of a step of training, where values are dropped.
    pub dropout: Option<DropoutStep>,
}

impl Place {
    /// With PyTorch's epsilon.
    pub fn new(group: u8, statistics: Statistics) -> Self {
        Place { group, statistics, eps: BatchNormLayer::EPS, dropout: None }
    }

    /// `x`, or `x` after dropout. Layers that are not trained, and come before all that are, run as in evaluation.
    pub fn dropped(self, t: &mut Tape<'_>, name: &str, x: Buf) -> Buf {
        match self.dropout {
            Some(of) if of.rate > 0.0 && t.wants(x) => dropout(t, name, x, of),
            _ => x,
        }
    }

    /// Normalises by the batch; running statistics follow.
    pub fn training(t: &mut Tape<'_>, group: u8) -> Self {
        Place::new(group, Statistics::batch(t.arena))
    }

    /// Normalises by running statistics: evaluation, and frozen layers.
    pub fn evaluation(group: u8) -> Self {
        Place::new(group, Statistics::Running)
    }
}

/// 3 x 3 taps that keep the size of maps, or halve it with a stride of 2.
pub fn three_by_three(stride: u32) -> Geometry {
    Geometry::square(3, stride, 1)
}

/// A linear layer with PyTorch's initialisation: weights and biases uniform within 1 / sqrt(inputs).
pub fn dense(t: &mut Tape<'_>, name: &str, group: u8, x: Buf, outputs: u32, activation: Activation) -> Buf {
    let bound = Fill::Uniform(1.0 / (x.cols() as f32).sqrt());
    let w = t.param(&format!("{name}.weight"), group, shape(outputs, x.cols()), bound.clone());
    let b = t.param(&format!("{name}.bias"), group, Tensor::Vector(outputs), bound);
    linear(t, name, x, w, b, activation)
}

/// The sum of the embeddings of each text's tokens, `[texts, cols]`.
pub fn embedded_bag(t: &mut Tape<'_>, name: &str, group: u8, x: Value, cols: u32) -> Buf {
    /// What follows divides by the scale; against it, a step of Adam is a few percent.
    const SCALE: f32 = 0.1;
    let (tokens, vocabulary) = x.tokens();
    let table = t.param(&format!("{name}.weight"), group, shape(vocabulary, cols), Fill::Uniform(SCALE));
    embedding_bag(t, name, tokens, table)
}

/// A table and the embedding of each of `tokens` by it, a row each: a table of `vocabulary` rows, normal with a deviation of 0.02 as BERT's begins.
pub fn embedded(t: &mut Tape<'_>, name: &str, group: u8, tokens: Buf, [vocabulary, cols]: [u32; 2]) -> [Buf; 2] {
    /// Uniform numbers deviate as much.
    const BOUND: f32 = 0.02 * 1.732_050_8;
    let table = t.param(&format!("{name}.weight"), group, shape(vocabulary, cols), Fill::Uniform(BOUND));
    [table, embedding(t, name, tokens, table)]
}

/// Ids that are the same whatever the samples are, `[rows, cols]`, by row and place. Batches may differ in size: so do the names.
pub fn constant_ids(t: &mut Tape<'_>, name: &str, [rows, cols]: [u32; 2], id: impl Fn(u32, u32) -> u32) -> Buf {
    let ids = (0..rows * cols).map(|i| id(i / cols, i % cols)).collect();
    t.arena.buffer(&format!("{name} of {rows}x{cols}"), Role::Input, Dtype::U32, shape(rows, cols), Fill::U32(ids))
}

/// Attention of several heads within sequences (see [`attention`]): queries, keys and values of `x` by linear layers of these names, and one
/// more for what the heads find.
pub fn self_attention(t: &mut Tape<'_>, name: &str, layers: [&str; 4], group: u8, x: Buf, tokens: Buf, heads: u32) -> Buf {
    let [query, key, value, output] = layers;
    let [q, k, v] = [query, key, value].map(|of| dense(t, of, group, x, x.cols(), Activation::None));
    let mixed = attention(t, name, q, k, v, tokens, heads);
    dense(t, output, group, mixed, x.cols(), Activation::None)
}

/// Layer number `layer` of the recurrent network called `name`, in PyTorch's names, with `units` in all directions together; each of
/// `directions` says whether it goes in reverse. Returns their states side by side, a token's in each row.
pub fn recurrent_layer(
    t: &mut Tape<'_>,
    name: &str,
    layer: u32,
    group: u8,
    (cell, directions): (Cell, &[bool]),
    (x, tokens): (Buf, Buf),
    units: u32,
) -> Buf {
    let width = units / directions.len() as u32;
    let (rows, fill) = (cell.gates() * width, Fill::Uniform(1.0 / (width as f32).sqrt()));
    let in_direction = |t: &mut Tape<'_>, reverse: bool| {
        let suffix = if reverse { "_reverse" } else { "" };
        let mut param = |what: &str, tensor: Tensor| t.param(&format!("{name}.{what}_l{layer}{suffix}"), group, tensor, fill.clone());
        let (w_ih, w_hh) = (param("weight_ih", shape(rows, x.cols()).into()), param("weight_hh", shape(rows, width).into()));
        let [b_ih, b_hh] = ["bias_ih", "bias_hh"].map(|what| param(what, Tensor::Vector(rows)));
        let of = RecurrentLayer { cell, reverse, w_ih, w_hh, b_ih, b_hh };
        recurrent(t, &format!("{name}.{layer}{suffix}"), x, tokens, of).steps
    };
    let states = directions.iter().map(|&reverse| in_direction(t, reverse)).collect::<Vec<_>>();
    let side_by_side = |x: Buf, y: Buf| {
        let [x, y] = [x, y].map(|steps| Maps::new(steps, 1, steps.rows(), 1));
        concat(t, &format!("{name}.{layer} in both directions"), x, y).buf
    };
    states.into_iter().reduce(side_by_side).expect("a layer has a direction")
}

/// Two linear layers of these names with GELU between them.
pub fn feed_forward(t: &mut Tape<'_>, [first, second]: [&str; 2], group: u8, x: Buf, shape: TransformerShape) -> Buf {
    let wide = dense(t, first, group, x, shape.inner, Activation::Of(shape.gelu()));
    dense(t, second, group, wide, x.cols(), Activation::None)
}

/// A layer of a transformer with layer norm before its two parts, in timm's names. `adjust` makes of each part, called `ls1` and `ls2`, what
/// is added.
pub fn pre_norm_block(
    t: &mut Tape<'_>,
    name: &str,
    group: u8,
    x: Buf,
    tokens: Buf,
    shape: TransformerShape,
    adjust: &dyn Fn(&mut Tape<'_>, &str, Buf) -> Buf,
) -> Buf {
    let TransformerShape { heads, eps, .. } = shape;
    let part = |part: &str| format!("{name}.{part}");
    let h = row_norm(t, &part("norm1"), group, x, eps);
    let layers = ["attn.q", "attn.k", "attn.v", "attn.proj"].map(part);
    let h = self_attention(t, &part("attn"), layers.each_ref().map(|name| &**name), group, h, tokens, heads);
    let h = adjust(t, &part("ls1"), h);
    let x = add(t, &part("attention"), x, h, Activation::None);
    let h = row_norm(t, &part("norm2"), group, x, eps);
    let layers = ["mlp.fc1", "mlp.fc2"].map(part);
    let h = feed_forward(t, layers.each_ref().map(|name| &**name), group, h, shape);
    let h = adjust(t, &part("ls2"), h);
    add(t, name, x, h, Activation::None)
}

/// Rows in their direction, whose numbers are 1 in size on average: of length sqrt(cols). What follows them begins as it does behind a
/// layer norm.
pub fn directions(t: &mut Tape<'_>, name: &str, x: Buf) -> Buf {
    let unit = normalize(t, &format!("{name} of length 1"), x);
    let length = (x.cols() as f32).sqrt();
    let fill = Fill::F32(vec![length; x.cols() as usize]);
    let factors = t.arena.buffer(&format!("{name} length"), Role::Input, Dtype::F32, shape(1, x.cols()), fill);
    channel_scale(t, name, Maps::new(unit, 1, unit.rows(), 1), factors).buf
}

/// Layer norm over the columns of each row.
pub fn row_norm(t: &mut Tape<'_>, name: &str, group: u8, x: Buf, eps: f32) -> Buf {
    let gamma = t.param(&format!("{name}.weight"), group, Tensor::Vector(x.cols()), Fill::F32(vec![1.0; x.cols() as usize]));
    let beta = t.param(&format!("{name}.bias"), group, Tensor::Vector(x.cols()), Fill::Zero);
    layer_norm(t, name, x, gamma, beta, eps)
}

/// Weights uniform within sqrt(6 / inputs): the variance that ReLU layers keep (He et al., 2015).
fn he(inputs: u32) -> Fill {
    Fill::Uniform((6.0 / inputs as f32).sqrt())
}

/// Batch norm, and ReLU if told so. Frozen layers run in evaluation.
fn normalized(t: &mut Tape<'_>, name: &str, place: Place, x: Buf, activation: Activation) -> Buf {
    let layer = BatchNormLayer::new(t, name, place.group, x.cols(), place.eps);
    let statistics = if layer.is_frozen(t.arena) { Statistics::Running } else { place.statistics };
    batch_norm(t, name, x, layer, statistics, activation)
}

/// A convolution without bias called `conv`, then batch norm called `norm`.
pub fn conv_norm(
    t: &mut Tape<'_>,
    [conv, norm]: [&str; 2],
    place: Place,
    x: Maps,
    outputs: u32,
    geometry: Geometry,
    activation: Activation,
) -> Maps {
    let h = self::conv(t, conv, place.group, x, outputs, geometry);
    h.with(normalized(t, norm, place, h.buf, activation))
}

fn convolution_filters(t: &mut Tape<'_>, name: &str, group: u8, x: Maps, outputs: u32, geometry: Geometry) -> Buf {
    t.param(&format!("{name}.weight"), group, geometry.filters(x.channels(), outputs), he(x.channels() * geometry.taps()))
}

/// A convolution without bias.
pub fn conv(t: &mut Tape<'_>, name: &str, group: u8, x: Maps, outputs: u32, geometry: Geometry) -> Maps {
    let w = convolution_filters(t, name, group, x, outputs, geometry);
    conv2d(t, name, x, w, None, geometry)
}

/// A convolution with a bias, and what follows it.
pub fn conv_bias(t: &mut Tape<'_>, name: &str, group: u8, x: Maps, outputs: u32, geometry: Geometry, function: Function) -> Maps {
    let w = convolution_filters(t, name, group, x, outputs, geometry);
    let b = t.param(&format!("{name}.bias"), group, Tensor::Vector(outputs), Fill::Zero);
    let h = conv2d(t, name, x, w, Some(b), geometry);
    h.with(apply(t, &format!("{name}, {function:?}"), h.buf, function))
}

/// Patches of pictures, side by side and none over another, as maps of `outputs` channels.
pub fn patches(t: &mut Tape<'_>, name: &str, group: u8, x: Maps, outputs: u32, side: u32) -> Maps {
    let geometry = Geometry::square(side, side, 0);
    let bound = Fill::Uniform(1.0 / ((x.channels() * side * side) as f32).sqrt());
    let w = t.param(&format!("{name}.weight"), group, geometry.filters(x.channels(), outputs), bound.clone());
    let b = t.param(&format!("{name}.bias"), group, Tensor::Vector(outputs), bound);
    conv2d(t, name, x, w, Some(b), geometry)
}

/// A depthwise convolution without bias called `conv`, then batch norm called `norm`.
pub fn depthwise_norm(
    t: &mut Tape<'_>,
    [conv, norm]: [&str; 2],
    place: Place,
    x: Maps,
    geometry: Geometry,
    activation: Activation,
) -> Maps {
    let kernels = geometry.depthwise(x.channels());
    let w = t.param(&format!("{conv}.weight"), place.group, kernels, he(geometry.taps()));
    let h = depthwise_conv2d(t, conv, x, w, None, geometry);
    h.with(normalized(t, norm, place, h.buf, activation))
}

/// A linear layer whose weights are published as those of a 1 x 1 convolution.
pub fn filters_linear(t: &mut Tape<'_>, name: &str, group: u8, x: Buf, outputs: u32, activation: Activation) -> Buf {
    let bound = Fill::Uniform(1.0 / (x.cols() as f32).sqrt());
    let w = t.param(&format!("{name}.weight"), group, POINTWISE.filters(x.cols(), outputs), bound.clone());
    let b = t.param(&format!("{name}.bias"), group, Tensor::Vector(outputs), bound);
    linear(t, name, x, w, b, activation)
}

/// A linear layer without bias over maps laid out flat, then batch norm and ReLU. Returns `[batch, outputs]`.
pub fn flat_norm(t: &mut Tape<'_>, [name, norm]: [&str; 2], place: Place, x: Maps, outputs: u32) -> Buf {
    let taps = Taps { outputs, inputs: x.channels(), height: x.height, width: x.width };
    let flat = flatten(t, &format!("{name} input"), x);
    let w = t.param(&format!("{name}.weight"), place.group, Tensor::Flattened(taps), he(flat.cols()));
    let h = project(t, name, flat, w);
    normalized(t, norm, place, h, Activation::Relu)
}

/// A linear layer without bias, then batch norm and ReLU. Returns `[batch, outputs]`.
pub fn dense_norm(t: &mut Tape<'_>, [name, norm]: [&str; 2], place: Place, x: Buf, outputs: u32) -> Buf {
    let w = t.param(&format!("{name}.weight"), place.group, shape(outputs, x.cols()), he(x.cols()));
    let h = project(t, name, x, w);
    normalized(t, norm, place, h, Activation::Relu)
}

/// A block of a residual network: name, place, maps, channels, stride.
pub type Block = fn(&mut Tape<'_>, &str, Place, Maps, u32, u32) -> Maps;

/// The basic block of residual networks (He et al., 2016): two 3 x 3 convolutions with batch norm and a way around them. Names are
/// torchvision's.
pub fn residual_block(t: &mut Tape<'_>, name: &str, place: Place, x: Maps, outputs: u32, stride: u32) -> Maps {
    around(t, name, place, x, stride, &[(outputs, three_by_three(stride)), (outputs, three_by_three(1))])
}

/// 1 x 1 taps.
pub const POINTWISE: Geometry = Geometry::square(1, 1, 0);

/// Convolutions with batch norm, called `conv1`, `bn1` and so on, and a way around them, which is a 1 x 1 convolution where sizes
/// change.
pub fn around(t: &mut Tape<'_>, name: &str, place: Place, x: Maps, stride: u32, layers: &[(u32, Geometry)]) -> Maps {
    let mut layer = |conv: String, norm: String, x: Maps, (outputs, geometry): (u32, Geometry), activation| {
        conv_norm(t, [&format!("{name}.{conv}"), &format!("{name}.{norm}")], place, x, outputs, geometry, activation)
    };
    let (mut h, mut outputs) = (x, x.channels());
    for (i, &of) in (1..).zip(layers) {
        let activation = if i < layers.len() { Activation::Relu } else { Activation::None };
        (h, outputs) = (layer(format!("conv{i}"), format!("bn{i}"), h, of, activation), of.0);
    }
    let around = match stride == 1 && x.channels() == outputs {
        true => x,
        false => layer("downsample.0".into(), "downsample.1".into(), x, (outputs, Geometry { stride, ..POINTWISE }), Activation::None),
    };
    h.with(add(t, name, h.buf, around.buf, Activation::Relu))
}
