//! Networks of inverted residual blocks (Sandler et al., 2018): few channels between blocks, many within, each of which is convolved by
//! itself.

use super::encoder::Encoder;
use super::layers::{POINTWISE, Place, conv_norm, depthwise_norm, filters_linear};
use super::{ModelSettings, Published};
use crate::core::buffer::{Buf, Maps};
use crate::core::tape::Tape;
use crate::kernels::conv2d::Geometry;
use crate::ops::{Activation, Function, Value, add, channel_scale, global_avg_pool};

/// An entry of the registry.
pub(super) struct InvertedResidual {
    pub name: &'static str,
    pub help: &'static str,
    /// Channels of the first convolution, which halves the sides of images.
    pub stem: (u32, Activation),
    pub blocks: &'static [InvertedBlock],
    /// Channels of the last convolution, which are the features.
    pub head: (u32, Activation),
    pub same_padding: bool,
    /// What batch norm adds to variances.
    pub eps: f32,
    pub names: &'static dyn Names,
    pub classifier: &'static str,
    pub published: &'static [Published],
}

/// From `x` to `expanded` channels, unless there are as many, over depthwise taps to `outputs`.
pub(super) struct InvertedBlock {
    pub kernel: u32,
    pub stride: u32,
    pub expanded: u32,
    /// Channels of squeeze and excitation (Hu et al., 2018), where a block has it.
    pub squeezed: Option<u32>,
    pub outputs: u32,
    pub activation: Activation,
}

/// A part of a block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum BlockPart {
    Expand,
    Depthwise,
    /// Its names are of two linear layers.
    Squeeze,
    Project,
}

/// What publishers call layers: a convolution and its batch norm.
pub(super) trait Names: Sync {
    fn stem(&self) -> [String; 2];

    /// Of a part of block `block`.
    fn part(&self, block: usize, of: &InvertedBlock, expands: bool, part: BlockPart) -> [String; 2];

    fn head(&self) -> [String; 2];
}

pub(super) const RELU6: Activation = Activation::Of(Function::Relu6);
pub(super) const HARD_SWISH: Activation = Activation::Of(Function::HardSwish);

impl Encoder for InvertedResidual {
    fn name(&self) -> &'static str {
        self.name
    }

    fn help(&self) -> &'static str {
        self.help
    }

    /// Averages over the maps of the last convolution.
    fn features(&self, t: &mut Tape<'_>, _model: &ModelSettings, place: Place, x: Value) -> Buf {
        let place = Place { eps: self.eps, ..place };
        let last = *self.maps(t, place, x.maps()).last().expect("a stem");
        let [conv, norm] = self.names.head();
        let (channels, activation) = self.head;
        let maps = conv_norm(t, [&conv, &norm], place, last, channels, POINTWISE, activation);
        global_avg_pool(t, "avgpool", maps)
    }

    fn stages(&self, t: &mut Tape<'_>, _model: &ModelSettings, place: Place, x: Maps) -> Option<Vec<Maps>> {
        Some(self.maps(t, Place { eps: self.eps, ..place }, x))
    }

    fn classifier(&self) -> &'static str {
        self.classifier
    }

    fn trained_from(&self, few: bool) -> Option<String> {
        let halves = self.blocks.iter().rposition(|block| block.stride > 1).filter(|_| !few);
        let [first, _] = halves.map_or(self.names.head(), |at| self.names.part(at, &self.blocks[at], true, BlockPart::Expand));
        Some(first)
    }

    fn published(&self) -> &'static [Published] {
        self.published
    }
}

impl InvertedResidual {
    fn geometry(&self, kernel: u32, stride: u32) -> Geometry {
        if self.same_padding { Geometry::same(kernel, stride) } else { Geometry::square(kernel, stride, kernel / 2) }
    }

    /// Maps after the stem and after each block.
    fn maps(&self, t: &mut Tape<'_>, place: Place, x: Maps) -> Vec<Maps> {
        let ([conv, norm], (channels, activation)) = (self.names.stem(), self.stem);
        let mut x = conv_norm(t, [&conv, &norm], place, x, channels, self.geometry(3, 2), activation);
        let mut maps = vec![x];
        for (i, block) in self.blocks.iter().enumerate() {
            x = self.block(t, place, x, i, block);
            maps.push(x);
        }
        maps
    }

    fn block(&self, t: &mut Tape<'_>, place: Place, x: Maps, index: usize, block: &InvertedBlock) -> Maps {
        let &InvertedBlock { kernel, stride, expanded, squeezed, outputs, activation } = block;
        let expands = expanded != x.channels();
        let name = |part| self.names.part(index, block, expands, part);
        let mut h = x;
        if expands {
            let [conv, norm] = name(BlockPart::Expand);
            h = conv_norm(t, [&conv, &norm], place, h, expanded, POINTWISE, activation);
        }
        let [conv, norm] = name(BlockPart::Depthwise);
        h = depthwise_norm(t, [&conv, &norm], place, h, self.geometry(kernel, stride), activation);
        if let Some(squeezed) = squeezed {
            let [first, second] = name(BlockPart::Squeeze);
            let pooled = global_avg_pool(t, &format!("{first} input"), h);
            let s = filters_linear(t, &first, place.group, pooled, squeezed, Activation::Relu);
            let factors = filters_linear(t, &second, place.group, s, expanded, Activation::Of(Function::HardSigmoid));
            h = channel_scale(t, &format!("{second}: scaled"), h, factors);
        }
        let [conv, norm] = name(BlockPart::Project);
        h = conv_norm(t, [&conv, &norm], place, h, outputs, POINTWISE, Activation::None);
        match stride == 1 && x.channels() == outputs {
            true => h.with(add(t, &format!("block {index}"), h.buf, x.buf, Activation::None)),
            false => h,
        }
    }
}

/// torchvision's: blocks are `features.1` and on, and parts are numbered as they come.
pub(super) struct Torchvision {
    /// What a block calls its list of parts.
    pub list: &'static str,
    /// Of the last convolution among the features.
    pub head: usize,
    /// The projection of a block is two entries of its list.
    pub flat_projection: bool,
}

impl Names for Torchvision {
    fn stem(&self) -> [String; 2] {
        ["features.0.0".into(), "features.0.1".into()]
    }

    fn part(&self, block: usize, of: &InvertedBlock, expands: bool, part: BlockPart) -> [String; 2] {
        let number = match part {
            BlockPart::Expand => 0,
            BlockPart::Depthwise => usize::from(expands),
            BlockPart::Squeeze => usize::from(expands) + 1,
            BlockPart::Project => usize::from(expands) + 1 + usize::from(of.squeezed.is_some()),
        };
        let list = format!("features.{}.{}", block + 1, self.list);
        match part {
            BlockPart::Squeeze => [format!("{list}.{number}.fc1"), format!("{list}.{number}.fc2")],
            BlockPart::Project if self.flat_projection => [format!("{list}.{number}"), format!("{list}.{}", number + 1)],
            _ => [format!("{list}.{number}.0"), format!("{list}.{number}.1")],
        }
    }

    fn head(&self) -> [String; 2] {
        [format!("features.{}.0", self.head), format!("features.{}.1", self.head)]
    }
}
