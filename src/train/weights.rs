//! Weights of any origin to begin with: a safetensors file with PyTorch's names and shapes, such as torchvision's and timm's.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Result;
use safetensors::tensor::Dtype as TensorType;

use super::checkpoint::{StoredTensors, read_tensors};
use crate::buffer::{Arena, Buf, NamedBuf, Role, Tensor, is_of};
use crate::error::UsageError;
use crate::kernels::augment::Image;
use crate::models::{self, ModelKind, ModelSettings};

/// Channels of the images that published weights were trained on.
const COLOURS: usize = 3;
/// Problems that an error names before it counts the rest.
const NAMED: usize = 6;

/// The tensors of a file.
pub struct Weights {
    tensors: StoredTensors,
    source: String,
}

/// What a file has for a model.
pub struct Fitted {
    /// Padded words of each buffer.
    pub contents: Vec<(Buf, Vec<u32>)>,
    /// What a user should know, as sentences.
    pub notes: Vec<String>,
}

impl Weights {
    pub fn load(path: &Path) -> Result<Self> {
        let (tensors, _) = read_tensors(path)?;
        Ok(Weights { tensors, source: path.display().to_string() })
    }

    /// Contents for the parameters and statistics of a model: all of its encoder's, which must be there, and its classifier's
    /// where they fit.
    ///
    /// The last layers of an encoder, which a decoder does without, may be in the file all the same.
    pub fn fit(&self, arena: &Arena, model: &ModelSettings, image: Image) -> Result<Fitted> {
        let in_head = |b: &NamedBuf| b.role.group() == Some(models::HEAD);
        let (head, encoder): (Vec<_>, Vec<_>) = arena.bufs().iter().filter(|b| b.role.group().is_some()).partition(|b| in_head(b));
        let mut notes = Vec::new();
        let mut contents = Vec::new();
        let mut problems = self.strangers(&encoder, &models::encoder_layers(model, image));
        for b in &encoder {
            match self.values(b) {
                Ok(values) => contents.push((b.buf, values)),
                Err(problem) => problems.push(problem),
            }
        }
        if !problems.is_empty() {
            return Err(UsageError(self.misfit(&problems, &encoder, model)).into());
        }
        if let Some(stem) = encoder.iter().find(|b| self.is_summed(b)) {
            notes.push(format!("{}: `{}` is for images in colour; summed over the channels, it takes grey ones", self.source, stem.name));
        }
        let layer = format!("{}.", model.classifier_name());
        let classifier: Vec<_> = head.into_iter().filter(|b| b.name.starts_with(&layer)).collect();
        match classifier.iter().map(|b| Ok((b.buf, self.values(b)?))).collect::<Result<Vec<_>, String>>() {
            Ok(fitting) => contents.extend(fitting),
            Err(why) => notes.push(format!("{}: {why}; the classifier begins as usual", self.source)),
        }
        notes.insert(0, format!("{}: {} tensors to begin with", self.source, contents.len()));
        Ok(Fitted { contents, notes })
    }

    /// The tensor of a buffer as padded words, or what is wrong with it.
    fn values(&self, b: &NamedBuf) -> Result<Vec<u32>, String> {
        let wanted = b.tensor.torch_shape();
        let Some((found, kind, bytes)) = self.tensors.get(&b.name) else { return Err(format!("there is no `{}`", b.name)) };
        if *kind != TensorType::F32 {
            return Err(format!("`{}` is of type {kind:?}, not F32", b.name));
        }
        let values: Vec<f32> = bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
        let values = if *found == wanted {
            values
        } else if self.is_summed(b) {
            let taps = wanted[2] * wanted[3];
            let sum = |filter: &[f32], tap: usize| filter.iter().skip(tap).step_by(taps).sum();
            values.chunks(COLOURS * taps).flat_map(|filter| (0..taps).map(move |tap| sum(filter, tap))).collect()
        } else {
            return Err(format!("`{}` has shape {found:?}, the model wants {wanted:?}", b.name));
        };
        Ok(b.tensor.from_torch(&values.into_iter().map(f32::to_bits).collect::<Vec<_>>()))
    }

    /// Whether these are filters over one channel, which the file has over three.
    fn is_summed(&self, b: &NamedBuf) -> bool {
        let Tensor::Filters(taps) = b.tensor else { return false };
        let mut theirs = b.tensor.torch_shape();
        theirs[1] = COLOURS;
        taps.inputs == 1 && self.tensors.get(&b.name).is_some_and(|(found, ..)| *found == theirs)
    }

    /// Tensors beside those of the encoder that its own layers would have in a larger model. Those of `layers`, which are all that it
    /// can have, may be there for a model that leaves a layer out.
    fn strangers(&self, encoder: &[&NamedBuf], layers: &[String]) -> Vec<String> {
        let part = |name: &str| name.split('.').next().map(str::to_string);
        let parts: BTreeSet<_> = encoder.iter().map(|b| part(&b.name)).collect();
        let ours: BTreeSet<&str> = encoder.iter().map(|b| b.name.as_str()).collect();
        let strange = |name: &&String| {
            let layer = name.rsplit_once('.').map_or("", |(layer, _)| layer);
            let unused = layers.iter().any(|known| known == layer) && !encoder.iter().any(|b| is_of(&b.name, layer));
            parts.contains(&part(name)) && !ours.contains(name.as_str()) && !unused && !name.ends_with(".num_batches_tracked")
        };
        self.tensors.keys().filter(strange).map(|name| format!("`{name}` has no place in the model")).collect()
    }

    /// Says what is wrong, and what to do where that is known.
    fn misfit(&self, problems: &[String], encoder: &[&NamedBuf], model: &ModelSettings) -> String {
        let more = problems.len().saturating_sub(NAMED);
        let more = if more > 0 { format!(", and {more} more") } else { String::new() };
        let named = problems[..problems.len().min(NAMED)].join("; ");
        let residual = self.tensors.contains_key("layer1.0.conv1.weight");
        let shapes = |b: &&NamedBuf| Some((b.tensor.torch_shape(), self.tensors.get(&b.name)?.0.clone()));
        let stem = encoder.iter().find(|b| matches!(b.role, Role::Param { .. })).and_then(shapes);
        let hint = match stem {
            _ if residual && model.kind != ModelKind::Resnet18 => "; these are weights of a residual network: say --model resnet18",
            Some((ours, theirs)) if ours.ends_with(&[3, 3]) && theirs.ends_with(&[7, 7]) => {
                "; images of up to 64 pixels a side get a smaller first layer than these weights have: say --size 224"
            }
            _ => "",
        };
        format!("the weights in {} do not fit {model}: {named}{more}{hint}", self.source)
    }
}
