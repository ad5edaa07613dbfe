//! Checkpoints: one safetensors file with the weights under plain names, the optimiser's state beside them as `state.*`,
//! and the host's record as the only metadata. Equal runs write equal bytes.
//!
//! For other programs: names and shapes of the weights are PyTorch's, of `resnet18` torchvision's. What begins with `state.` and
//! the metadata are ours alone and may be dropped; the counts of batches that PyTorch's batch norms keep
//! (`num_batches_tracked`) are not there. `load_state_dict(tensors, strict=False)` does both.

use std::collections::BTreeMap;
#[cfg(feature = "files")]
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use safetensors::SafeTensorError;
use safetensors::tensor::{Dtype as TensorType, SafeTensors, TensorInfo, TensorView};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::foreign::{self, StoredTensors};
use super::onnx;
use super::outputs::Outputs;
#[cfg(feature = "files")]
use super::pth;
use super::tasks::{Objective, Task, stage};
use crate::core::buffer::{Arena, Buf, Dtype, NamedBuf, Role};
use crate::core::sample::{Image, SampleType, Subject};
#[cfg(feature = "files")]
use crate::data::PictureOptions;
use crate::data::{Encoding, Fingerprint, MOST_SIDE, Resize, SoundForm, Tokenizer};
use crate::error::UsageError;
use crate::exec::Executor;
use crate::models::{self, ModelKind, ModelSettings};

/// safetensors writes its metadata in random order: one key keeps files equal.
const KEY: &str = "wgraft";

/// What the optimiser's state begins with.
const STATE: &str = "state.";

/// A header takes many times its length in memory, which must not be much beside that of the tensors that it describes.
const MOST_HEADER_BYTES: u64 = 8 << 20;
const MOST_TENSORS: usize = 20_000;

/// All tensors of a safetensors file, and our record if it has one.
pub(super) fn read_tensors(path: &Path) -> Result<(StoredTensors, Option<Record>)> {
    tensors_in(&contents(path)?, path)
}

#[cfg(feature = "files")]
fn contents(path: &Path) -> Result<Vec<u8>> {
    let source = path.display();
    ensure!(path.exists(), "{}", crate::files::absent(path));
    let cannot_read = || format!("cannot read {source}");
    ensure!(std::fs::metadata(path).with_context(cannot_read)?.is_file(), "{source} is not a file, but weights are in one");
    std::fs::read(path).with_context(cannot_read)
}

#[cfg(not(feature = "files"))]
fn contents(path: &Path) -> Result<Vec<u8>> {
    bail!("cannot read {}: this program was built without the feature `files`", path.display())
}

/// [`read_tensors`] of a file's bytes; `path`, for errors, says whose they are.
fn tensors_in(bytes: &[u8], path: &Path) -> Result<(StoredTensors, Option<Record>)> {
    let source = path.display();
    #[cfg(feature = "files")]
    if pth::is_one(bytes) {
        let tensors = pth::tensors(bytes).with_context(|| format!("{source} is a file of PyTorch's that cannot be read"))?;
        return Ok((tensors, None));
    }
    if foreign::is_onnx(bytes) && bytes.get(8) != Some(&b'{') {
        let tensors = onnx::tensors(bytes).with_context(|| format!("{source} is an ONNX model that cannot be read"))?;
        if ModelKind::of_weights(tensors.keys().map(String::as_str)).is_some() {
            return Ok((tensors, None));
        }
    }
    // The length of the header, then the header, an object of JSON.
    let promised = bytes.first_chunk().map_or(0, |length| u64::from_le_bytes(*length));
    if promised > MOST_HEADER_BYTES || bytes.get(8) != Some(&b'{') {
        let what = foreign::described(bytes, path).unwrap_or_else(|| "is not a safetensors file, nor anything else that is known".into());
        bail!("{source} {what}");
    }
    let header = &bytes[8..bytes.len().min(8 + promised as usize)];
    let count = header.windows(7).filter(|text| text == b"\"dtype\"").count();
    ensure!(count <= MOST_TENSORS, "{source} describes {count} tensors, more than the {MOST_TENSORS} that are read");
    let damaged = |e| match e {
        SafeTensorError::MetadataIncompleteBuffer | SafeTensorError::InvalidHeaderLength => {
            format!("{source} is not a whole safetensors file ({e}); was it cut off?")
        }
        e => format!("{source} is not a sound safetensors file ({e})"),
    };
    let (header_bytes, header) = SafeTensors::read_metadata(bytes).map_err(|e| anyhow::Error::msg(damaged(e)))?;
    let parse = |text: &String| Record::parse(text).with_context(|| source.to_string());
    let record: Option<Record> = header.metadata().as_ref().and_then(|m| m.get(KEY)).map(parse).transpose()?;
    if let Some(problem) = record.as_ref().and_then(Record::problem) {
        bail!("{source}: the record makes no sense: {problem}");
    }
    let data = &bytes[8 + header_bytes..];
    let tensor = |(name, info): (String, &TensorInfo)| {
        let (from, to) = info.data_offsets;
        (name, (info.shape.clone(), info.dtype, data[from..to].to_vec()))
    };
    Ok((header.tensors().into_iter().map(tensor).collect(), record))
}

/// The host's side of a run's state. Holds no time, no path and nothing else that differs between equal runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    pub format: u32,
    /// What it has learnt; nothing yet of a pretrained encoder.
    #[serde(rename = "stage", with = "stage")]
    pub task: Option<Task>,
    pub model: ModelSettings,
    /// The type of the samples that it takes.
    pub samples: SampleType,
    #[serde(flatten)]
    pub outputs: Outputs,
    /// Of pictures, where not all bits of their values are used: see [`PictureOptions`](crate::data::PictureOptions).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bits: Option<u32>,
    /// How its pictures got their size; files of earlier versions do not say.
    #[serde(default, skip_serializing_if = "is_letterbox")]
    pub resize: Resize,
    /// Of sounds: how they become samples.
    #[serde(default, rename = "spectrogram", skip_serializing_if = "Option::is_none")]
    pub sound_form: Option<SoundForm>,
    /// Of a table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encoding: Option<Encoding>,
    /// Of texts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokenizer: Option<Tokenizer>,
    /// Of the data that it was trained on; files of earlier versions have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Fingerprint>,
    pub seed: u64,
    /// Steps done.
    pub step: u32,
    /// Score of the best evaluation so far (larger is better) and the step it was made at.
    pub best: Option<(f64, u32)>,
    /// Sum of the losses of the current epoch so far, and of the last whole one, with their counts.
    pub epoch_loss: (f64, u32),
    pub last_epoch_loss: (f64, u32),
}

impl Record {
    /// Reads a record of this format, or of the first one.
    fn parse(text: &str) -> Result<Self> {
        let unread = "the record cannot be read";
        let mut record: Value = serde_json::from_str(text).context(unread)?;
        let format = record["format"].as_u64().context(unread)?;
        ensure!((1..=u64::from(Self::FORMAT)).contains(&format), "it has format {format}, this program reads 1 to {}", Self::FORMAT);
        if format == 1 {
            // It had the size of images for all samples: a row of a table was as wide as it has numbers.
            let image = record["image"].take();
            record["samples"] = if record["encoding"].is_null() { json!({ "image": image }) } else { json!({ "row": image["width"] }) };
            record["format"] = json!(Self::FORMAT);
        }
        let mut record: Record = serde_json::from_value(record).context(unread)?;
        record.tokenizer = record.tokenizer.map(Tokenizer::indexed);
        Ok(record)
    }

    /// The size of the images that it takes. Fails where it takes other samples.
    pub fn image(&self) -> Result<Image> {
        self.samples.image().with_context(|| format!("images are wanted here, this run takes samples of {}", self.samples))
    }

    /// What the images that it takes are pictures of.
    pub fn subject(&self) -> Subject {
        if self.sound_form.is_some() { Subject::Sounds } else { Subject::Pictures }
    }

    /// How it takes single files. Fails where it takes other samples than images and sounds.
    #[cfg(feature = "files")]
    pub fn picture_options(&self, invert: bool) -> Result<PictureOptions> {
        let Record { bits, resize, sound_form, .. } = *self;
        let of_frames = sound_form.as_ref().and_then(SoundForm::frames);
        let image = match of_frames {
            Some(frames) => Image { height: frames.bands, width: 1, channels: 1 },
            None => self.image()?,
        };
        Ok(PictureOptions { invert, bits, resize, sound_form, ..PictureOptions::plain(image) })
    }

    /// Whether it takes pictures or sounds, each from a file.
    pub fn takes_files(&self) -> bool {
        self.samples.image().is_some() || self.sound_form.is_some()
    }

    /// Takes sounds as data has them: where they are frames, of any length.
    pub(super) fn take_sounds(&mut self, form: Option<SoundForm>) {
        self.sound_form = form;
        if let Some(frames) = form.as_ref().and_then(SoundForm::frames) {
            self.samples = frames.samples();
        }
    }

    /// Whether sounds of this form are its samples.
    fn has_form(&self, form: SoundForm) -> bool {
        match form {
            SoundForm::Picture(_) => self.samples.image().is_some(),
            SoundForm::Frames(frames) => self.samples == frames.samples(),
        }
    }

    /// The objective that it was trained for. Fails with a [`UsageError`] of a pretrained encoder.
    pub fn objective(&self) -> Result<Box<dyn Objective>> {
        let task = self
            .task
            .ok_or_else(|| UsageError("this checkpoint is a pretrained encoder without a head; `finetune --from` it first".into()))?;
        Ok(task.recall(&self.outputs))
    }

    /// What makes no sense of one that was read from a file.
    fn problem(&self) -> Option<String> {
        let sound = match self.samples {
            SampleType::Image(Image { height, width, channels }) => {
                [height, width].iter().all(|side| (1..=MOST_SIDE).contains(side)) && matches!(channels, 1 | 3) && self.encoding.is_none()
            }
            SampleType::Row(columns) => {
                columns > 0 && self.encoding.as_ref().is_none_or(|encoding| columns as usize == encoding.features().len())
            }
            SampleType::Tokens { vocabulary: values, longest } | SampleType::Frames { channels: values, longest } => {
                let fits = |tokenizer: &Tokenizer| [values, longest] == [tokenizer.vocabulary(), tokenizer.longest()];
                let counted = values > 0 && longest > 0 && values.checked_mul(longest).is_some();
                counted && self.encoding.is_none() && self.tokenizer.as_ref().is_none_or(fits)
            }
        };
        let Outputs { classes, class_names, .. } = &self.outputs;
        let named = class_names.is_empty() || self.task.is_none() || class_names.len() == *classes as usize;
        let checks = [
            (!sound || !self.model.kind.form().suits(self.samples), format!("samples of {}", self.samples)),
            (self.sound_form.is_some_and(|form| !self.has_form(form)), "sounds that do not become its samples".into()),
            (!named, format!("{} names for {classes} classes", class_names.len())),
            (!self.bits.is_none_or(|bits| (1..=16).contains(&bits)), "bits of pictures".into()),
        ];
        let found = checks.into_iter().find(|(wrong, _)| *wrong).map(|(_, what)| what);
        found
            .or_else(|| self.outputs.problem())
            .or_else(|| self.sound_form.as_ref().and_then(SoundForm::problem))
            .or_else(|| self.encoding.as_ref().and_then(Encoding::problem))
            .or_else(|| self.tokenizer.as_ref().and_then(Tokenizer::problem))
            .or_else(|| self.model.problem())
    }
}

/// A checkpoint in memory.
#[derive(Clone)]
pub struct Checkpoint {
    pub record: Record,
    tensors: StoredTensors,
    /// For errors.
    source: String,
    /// Of a network that others have published: its weights are for pictures of many sizes.
    published: bool,
}

impl Checkpoint {
    /// Every Param, Statistic and State buffer of a run. State of evaluation is not the run's.
    pub fn take(arena: &Arena, exec: &mut dyn Executor, record: Record) -> Result<Self> {
        let mut tensors = BTreeMap::new();
        for named in arena.bufs() {
            if let Some(name) = saved_as(named) {
                let words = named.tensor.to_torch(&exec.read(named.buf)?);
                let bytes = words.iter().flat_map(|w| w.to_le_bytes()).collect();
                tensors.insert(name, (named.tensor.torch_shape(), tensor_type(named.buf), bytes));
            }
        }
        Ok(Checkpoint { record, tensors, source: "this run".into(), published: false })
    }

    /// The file's bytes.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let views = self.tensors.iter().map(|(name, (shape, ty, bytes))| Ok((name.as_str(), TensorView::new(*ty, shape.clone(), bytes)?)));
        let views: Vec<_> = views.collect::<Result<_, safetensors::SafeTensorError>>()?;
        let metadata = std::iter::once((KEY.to_string(), serde_json::to_string(&self.record)?)).collect();
        Ok(safetensors::serialize(views, Some(metadata))?)
    }

    /// Reads and examines a file.
    pub fn load(path: &Path) -> Result<Self> {
        Self::of(read_tensors(path)?, path)
    }

    /// Examines what [`to_bytes`](Self::to_bytes) made; `name`, for errors, says where it is from.
    pub fn from_bytes(bytes: &[u8], name: &str) -> Result<Self> {
        Self::of(tensors_in(bytes, Path::new(name))?, Path::new(name))
    }

    pub(super) fn of((tensors, record): (StoredTensors, Option<Record>), path: &Path) -> Result<Self> {
        let source = path.display().to_string();
        let Some(record) = record else {
            bail!(
                "{source} is none of wgraft's checkpoints (it has no `{KEY}` record), and not the weights of a network that is known: \
                 `wgraft weights` lists those that are; `--init-from` with `--model` takes others by their names"
            );
        };
        Ok(Checkpoint { record, tensors, source, published: false })
    }

    /// Of an encoder whose weights others have published, by our names.
    pub(super) fn of_published(record: Record, tensors: StoredTensors, source: String) -> Self {
        Checkpoint { record, tensors, source, published: true }
    }

    /// Whether others have published these weights. What they were trained on is no run of ours.
    pub fn is_published(&self) -> bool {
        self.published
    }

    /// Of what makes features: the model and its weights.
    #[cfg(feature = "files")]
    pub(super) fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        format!("{:?}", self.record.model).hash(&mut hasher);
        let weights = self.tensors.iter().filter(|(name, _)| !name.starts_with(STATE));
        weights.for_each(|(name, (shape, _, bytes))| (name, shape, bytes).hash(&mut hasher));
        hasher.finish()
    }

    /// A published network takes pictures of this size from now on; others stay with that of their training. Fails where the network
    /// has other layers for such pictures.
    pub fn take_size(&mut self, size: Option<[u32; 2]>) -> Result<()> {
        let (true, Some([height, width]), SampleType::Image(image)) = (self.published, size, &mut self.record.samples) else {
            return Ok(());
        };
        (image.height, image.width) = (height, width);
        if let Some(why) = self.record.model.kind.refuses(&self.record.model, self.record.samples) {
            return Err(UsageError(format!("{}: {why}", self.source)).into());
        }
        let mut arena = Arena::outline();
        models::record_encoder(&mut arena, &self.record.model, self.record.samples);
        let kind = self.record.model.kind;
        let fits = |b: &NamedBuf| {
            let refits = |shape: &[usize], values: &[f32]| kind.refitted(&b.name, shape, values, &b.tensor.torch_shape()).is_some();
            self.tensors.get(&b.name).is_some_and(|(shape, _, bytes)| *shape == b.tensor.torch_shape() || refits(shape, &floats_of(bytes)))
        };
        match arena.bufs().iter().find(|b| b.role.group().is_some() && !fits(b)) {
            Some(b) => {
                let text = format!(
                    "{}: {} has another `{}` for pictures of {height}x{width} pixels than these weights: say --size 224",
                    self.source, self.record.model, b.name
                );
                Err(UsageError(text).into())
            }
            None => Ok(()),
        }
    }

    /// Writes the saved tensors into a run's buffers: those whose role `wanted` accepts, all of which must be there.
    pub fn restore(&self, arena: &Arena, exec: &mut dyn Executor, wanted: &dyn Fn(Role) -> bool) -> Result<()> {
        for named in arena.bufs().iter().filter(|named| wanted(named.role)) {
            let Some(name) = saved_as(named) else { continue };
            let shape = named.tensor.torch_shape();
            let Some((found, ty, bytes)) = self.tensors.get(&name) else {
                bail!("{} holds no `{name}`: it is of another model", self.source);
            };
            let refitted = || self.record.model.kind.refitted(&name, found, &floats_of(bytes), &shape);
            let refitted = if *found == shape { None } else { refitted() };
            ensure!(
                *found == shape || refitted.is_some(),
                "{}: `{name}` has shape {found:?}, the model wants {shape:?}: it is of another model",
                self.source
            );
            let wanted = tensor_type(named.buf);
            ensure!(
                *ty == wanted,
                "{}: `{name}` is of type {ty:?}, a checkpoint has {wanted:?}: --init-from converts weights",
                self.source
            );
            let words: Vec<u32> = match refitted {
                Some(values) => values.into_iter().map(f32::to_bits).collect(),
                None => bytes.chunks_exact(4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect(),
            };
            let unsound = named.role.group().is_some() && words.iter().any(|&word| !f32::from_bits(word).is_finite());
            ensure!(!unsound, "{}: `{name}` holds values that are NaN or infinite", self.source);
            exec.write(named.buf, &named.tensor.from_torch(&words))?;
        }
        Ok(())
    }
}

impl Record {
    pub const FORMAT: u32 = 2;

    /// Before the first step.
    pub fn new(task: Option<Task>, model: &ModelSettings, samples: SampleType, classes: u32, seed: u64) -> Self {
        let none = (0.0, 0);
        Record {
            format: Self::FORMAT,
            task,
            model: model.clone(),
            samples,
            outputs: Outputs::classes(classes),
            bits: None,
            resize: Resize::Letterbox,
            sound_form: None,
            encoding: None,
            tokenizer: None,
            data: None,
            seed,
            step: 0,
            best: None,
            epoch_loss: none,
            last_epoch_loss: none,
        }
    }
}

/// The values of a tensor that is saved as F32.
fn floats_of(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks().0.iter().map(|&number| f32::from_le_bytes(number)).collect()
}

fn is_letterbox(resize: &Resize) -> bool {
    *resize == Resize::Letterbox
}

/// The name under which a buffer is saved, if it is.
fn saved_as(named: &NamedBuf) -> Option<String> {
    match named.role {
        Role::Param { .. } | Role::Statistic { .. } => Some(named.name.clone()),
        Role::State => Some(format!("{STATE}{}", named.name)),
        _ => None,
    }
}

fn tensor_type(buf: Buf) -> TensorType {
    match buf.dtype {
        Dtype::F32 => TensorType::F32,
        Dtype::U32 => TensorType::U32,
    }
}
