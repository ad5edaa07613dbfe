//! Weights of any origin to begin with: a file with PyTorch's names and shapes, such as torchvision's and timm's.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;

use anyhow::{Context, Result, bail};
use safetensors::tensor::Dtype as TensorType;

use super::checkpoint::{Checkpoint, Record, read_tensors};
use super::foreign::StoredTensors;
#[cfg(feature = "files")]
use super::language_files::read_beside;
use crate::core::buffer::{Arena, Buf, NamedBuf, Role, is_of};
use crate::core::sample::{Image, SampleType};
use crate::data::{Resize, Split, Tokenizer};
use crate::error::UsageError;
use crate::models::{self, ModelKind, ModelSettings, Normalization, Published};
use crate::ops::Form;

/// What published networks were trained on.
pub const PUBLISHED_IMAGE: Image = Image { height: 224, width: 224, channels: 3 };
/// Channels of images in colour.
const COLOURS: usize = 3;
/// Problems that an error names before it counts the rest.
const NAMED: usize = 6;

/// The tensors of a file, for a model.
pub struct Weights {
    /// By the model's names.
    tensors: StoredTensors,
    /// Of a checkpoint of ours.
    record: Option<Record>,
    /// How its pictures got their size, as far as that is known.
    resize: Option<Resize>,
    /// Those that the model's encoder can have.
    layers: Vec<String>,
    kind: ModelKind,
    source: String,
    /// What a user should know, as sentences.
    notes: Vec<String>,
}

/// What a file has for a model.
pub struct Fitted {
    /// Padded words of each buffer.
    pub contents: Vec<(Buf, Vec<u32>)>,
    /// What a user should know, as sentences.
    pub notes: Vec<String>,
}

/// The model that the weights in `file` are of, and how their pictures get their size, as far as that is known; without a file, or
/// where it is not, `otherwise`.
pub(super) fn beginning(file: Option<&Path>, otherwise: ModelSettings) -> Result<(ModelSettings, Option<Resize>)> {
    let Some(file) = file else { return Ok((otherwise, None)) };
    let (tensors, record) = read_tensors(file)?;
    if let Some(record) = record {
        let resize = Some(record.resize).filter(|resize| *resize != Resize::Letterbox);
        return Ok((ModelSettings { normalize: otherwise.normalize, ..record.model }, resize));
    }
    let Some(kind) = ModelKind::of_weights(tensors.keys().map(String::as_str)) else { return Ok((otherwise, None)) };
    let PublishedNetwork { mut model, samples, .. } = PublishedNetwork::of(kind, &tensors, file)?;
    let features = if samples.image().is_some() { otherwise.features } else { model.features };
    let otherwise = ModelSettings { kind, features, shape: model.shape, ..otherwise };
    Ok((otherwise, Weights::named(tensors, None, file, &mut model, samples)?.resize))
}

/// What made tokens of the texts that the weights in `file` were trained on; `None` where it were none, or nothing says so.
#[cfg(feature = "files")]
pub fn tokenizer_of(file: &Path) -> Result<Option<Tokenizer>> {
    let (tensors, record) = read_tensors(file)?;
    if let Some(record) = record {
        return Ok(record.tokenizer);
    }
    let Some(kind) = ModelKind::of_weights(tensors.keys().map(String::as_str)) else { return Ok(None) };
    Ok(PublishedNetwork::of(kind, &tensors, file)?.tokenizer)
}

/// The network that others have published the weights of in `file`; `None` where it is a run of ours, or not known.
#[cfg(feature = "files")]
pub(super) fn published_in(file: &Path) -> Result<Option<ModelKind>> {
    if file.is_dir() {
        return Ok(None);
    }
    let (tensors, record) = read_tensors(file)?;
    Ok(if record.is_some() { None } else { ModelKind::of_weights(tensors.keys().map(String::as_str)) })
}

/// A network that others have published the weights of, as their file and what lies beside it describe it.
struct PublishedNetwork {
    model: ModelSettings,
    samples: SampleType,
    /// Of one that takes texts.
    tokenizer: Option<Tokenizer>,
    /// What a user should know, as sentences.
    notes: Vec<String>,
}

impl PublishedNetwork {
    fn of(kind: ModelKind, tensors: &StoredTensors, file: &Path) -> Result<Self> {
        let mut model = ModelSettings { kind, ..ModelSettings::default() };
        let mut shapes: HashMap<String, &[usize]> = HashMap::new();
        for (name, (shape, ..)) in tensors {
            let readings = kind.published().iter().flat_map(|form| form.readings(name));
            // The first one counts: our own names.
            for (_, ours) in readings {
                shapes.entry(ours).or_insert(shape.as_slice());
            }
        }
        let shape_of = |name: &str| shapes.get(name)?.iter().map(|&side| u32::try_from(side).ok()).collect();
        match kind.size(&mut model, &shape_of) {
            None if kind.form() == Form::Tokens => bail!("{}: its table of tokens has no rows and columns", file.display()),
            None => Ok(PublishedNetwork { model, samples: kind.usual_samples(), tokenizer: None, notes: Vec::new() }),
            Some(vocabulary) => {
                let (tokenizer, notes) = read_beside(file, &mut model, vocabulary)?;
                let samples = SampleType::Tokens { vocabulary, longest: tokenizer.longest() };
                Ok(PublishedNetwork { model, samples, tokenizer: Some(tokenizer), notes })
            }
        }
    }
}

/// Tokenizers lie beside weights in files.
#[cfg(not(feature = "files"))]
fn read_beside(weights: &Path, _: &mut ModelSettings, _: u32) -> Result<(Tokenizer, Vec<String>)> {
    bail!("{}: this program was built without the feature `files`, which reads tokenizers", weights.display())
}

impl Checkpoint {
    /// A run's checkpoint, or a network whose weights others have published, in a file of theirs. Beside it, what a user should know, as
    /// sentences.
    pub fn open(file: &Path) -> Result<(Self, Vec<String>)> {
        let (tensors, record) = read_tensors(file)?;
        let kind = match record {
            Some(_) => None,
            None => ModelKind::of_weights(tensors.keys().map(String::as_str)),
        };
        let Some(kind) = kind else { return Ok((Self::of((tensors, record), file)?, Vec::new())) };
        let PublishedNetwork { mut model, samples, tokenizer, notes: beside } = PublishedNetwork::of(kind, &tensors, file)?;
        let weights = Weights::named(tensors, None, file, &mut model, samples)?;
        let mut arena = Arena::outline();
        models::record_encoder(&mut arena, &model, samples);
        let resize = weights.resize.unwrap_or_default();
        let mut record = Record { resize, tokenizer, ..Record::new(None, &model, samples, 0, 0) };
        record.take_sounds(model.kind.sounds());
        let Fitted { contents, mut notes } = weights.fit(&arena, &record)?;
        // They are said one below the other.
        let of_file = format!("{}: ", file.display());
        notes.iter_mut().for_each(|note| *note = note.strip_prefix(&of_file).map_or(note.clone(), |note| format!("  {note}")));
        let named: HashMap<Buf, &NamedBuf> = arena.bufs().iter().map(|b| (b.buf, b)).collect();
        let stored = contents.into_iter().map(|(buf, words)| {
            let NamedBuf { name, tensor, .. } = named[&buf];
            // What is refitted to the size of pictures stays as it is until that is known.
            if let Some((shape, ty, bytes)) = weights.tensors.get(name).filter(|(shape, ..)| *shape != tensor.torch_shape()) {
                let values = floats(*ty, bytes).unwrap_or_default();
                return (name.clone(), (shape.clone(), TensorType::F32, values.iter().flat_map(|value| value.to_le_bytes()).collect()));
            }
            let bytes = tensor.to_torch(&words).iter().flat_map(|word| word.to_le_bytes()).collect();
            (name.clone(), (tensor.torch_shape(), TensorType::F32, bytes))
        });
        notes.extend(beside.into_iter().map(|note| format!("  {note}")));
        let taken = match samples.image() {
            Some(image) => format!(
                "for pictures of {} pixels unless --size says otherwise, {} unless --resize does",
                image.width,
                resize.described(image)
            ),
            None if record.sound_form.is_some() => "for sounds".into(),
            None => "for texts".into(),
        };
        notes.insert(0, format!("{}: weights of {model}, {taken}", file.display()));
        Ok((Self::of_published(record, stored.collect(), file.display().to_string()), notes))
    }
}

impl Weights {
    /// Reads `file`, if there is one, for a model that is to be trained on `samples`. Where the settings do not say how the encoder
    /// normalises images, it does from now on what these weights were trained with, as far as that is known.
    pub fn of(file: Option<&Path>, model: &mut ModelSettings, samples: &Split) -> Result<Option<Self>> {
        let Some(file) = file else { return Ok(None) };
        let (tensors, record) = read_tensors(file)?;
        let mut weights = Self::named(tensors, record, file, model, samples.kind())?;
        if let Some(resize) = weights.resize.filter(|resize| *resize != Resize::Letterbox) {
            weights.notes.push(format!("{}: its own pictures had --resize {resize}", weights.source));
        }
        Ok(Some(weights))
    }

    /// [`of`](Self::of) tensors that were read from `file`.
    fn named(tensors: StoredTensors, record: Option<Record>, file: &Path, model: &mut ModelSettings, samples: SampleType) -> Result<Self> {
        let tensors = apart(tensors, model.kind);
        let (layers, source) = (models::encoder_layers(model, samples), file.display().to_string());
        let (tensors, form) = in_our_names(tensors, model.kind.published(), &layers);
        let prefix = prefix(&tensors, &layers).with_context(|| format!("the weights in {source} cannot be told apart"))?;
        let resize = record.as_ref().map(|record| record.resize);
        let mut weights = Weights { tensors, record, resize, layers, kind: model.kind, source, notes: Vec::new() };
        if let Some(form) = form.filter(|form| form.by != model.kind.published()[0].by) {
            weights.notes.push(format!("{}: names are those of {}", weights.source, form.by));
        }
        if !prefix.is_empty() {
            weights.notes.push(format!("{}: names begin with `{prefix}`, which is left out", weights.source));
            let (inside, outside): (StoredTensors, _) = weights.tensors.into_iter().partition(|(name, _)| name.starts_with(&prefix));
            let stripped = inside.into_iter().map(|(name, tensor)| (name[prefix.len()..].to_string(), tensor));
            weights.tensors = outside.into_iter().chain(stripped).collect();
        }
        if let Some(image) = samples.image() {
            weights.settle(model, image, form);
        }
        Ok(weights)
    }

    /// Gives `model` the normalisation of these weights, unless it has one, and notes which it is.
    fn settle(&mut self, model: &mut ModelSettings, image: Image, form: Option<&Published>) {
        let stem = self.layers.first().and_then(|layer| self.tensors.get(&format!("{layer}.weight")));
        let in_colour = stem.is_some_and(|(shape, ..)| shape.len() == 4 && shape[1] == COLOURS);
        let published = form.filter(|_| in_colour);
        let known = self.record.as_ref().map_or(published.map(|form| form.normalization), |record| record.model.normalize);
        self.resize = self.resize.or(published.map(|form| form.resize));
        let grey = in_colour && image.channels == 1;
        let note = match (model.normalize, known) {
            (Some(given), known) if self.record.is_some() && known != Some(given) => {
                format!("images are normalised by {given}, as the settings say, which those of that run were not")
            }
            (Some(given), _) => format!("images are normalised by {given}, as the settings say"),
            (None, Some(known)) if self.record.is_some() => format!("images are normalised by {known}, as those of that run were"),
            (None, Some(known)) => format!(
                "images are normalised by {known}, as weights of {} want; for others, name theirs under [model.normalize] in a --config",
                published.map_or("others", |form| form.by)
            ),
            (None, None) if self.record.is_none() => "nothing says how its images were normalised: they stay 0 to 1".into(),
            (None, None) => String::new(),
        };
        let grey_note = if grey { "grey images are repeated over the three channels that its first layer takes" } else { "" };
        model.normalize = model.normalize.or(known).or(grey.then_some(Normalization::NONE));
        let said = [note.as_str(), grey_note].into_iter().filter(|note| !note.is_empty());
        self.notes.extend(said.map(|note| format!("{}: {note}", self.source)));
    }

    /// Contents for the parameters and statistics of the model of `run`: all of its encoder's, which must be there, and its
    /// classifier's where they fit and are for the same classes.
    ///
    /// The last layers of an encoder, which a decoder does without, may be in the file all the same.
    pub fn fit(&self, arena: &Arena, run: &Record) -> Result<Fitted> {
        let in_head = |b: &NamedBuf| b.role.group() == Some(models::HEAD);
        let (head, encoder): (Vec<_>, Vec<_>) = arena.bufs().iter().filter(|b| b.role.group().is_some()).partition(|b| in_head(b));
        let mut problems = self.strangers(&encoder);
        let mut found = Vec::new();
        for b in &encoder {
            match self.values(b) {
                Ok(values) => found.push((*b, values)),
                Err(problem) => problems.push(problem),
            }
        }
        let layer = format!("{}.", run.model.kind.classifier());
        let classifier: Vec<_> = head.into_iter().filter(|b| b.name.starts_with(&layer)).collect();
        let mut notes = self.notes.clone();
        match self.classifier(&classifier, run) {
            Ok(fitting) => {
                let predicted = run.outputs.class_names.first().or(run.outputs.targets.first().map(|target| &target.name));
                if let Some(first) = predicted.filter(|_| self.record.is_none() && !fitting.is_empty()) {
                    notes.push(format!(
                        "{}: it does not name what it predicts; its classifier is taken as if in the order of the data, from {first} on",
                        self.source
                    ));
                }
                found.extend(fitting);
            }
            Err(why) => notes.push(format!("{}: {why}; the classifier begins as usual", self.source)),
        }
        let negative = found.iter().filter(|(b, values)| b.name.ends_with("running_var") && values.iter().any(|value| *value < 0.0));
        problems.extend(negative.map(|(b, _)| format!("`{}` holds variances below 0", b.name)));
        let unsound = found.iter().filter(|(_, values)| values.iter().any(|value| !value.is_finite()));
        problems.extend(unsound.map(|(b, _)| format!("`{}` holds values that are NaN or infinite", b.name)));
        if !problems.is_empty() {
            return Err(UsageError(self.misfit(&problems, &encoder, &run.model)).into());
        }
        for kind in [TensorType::F16, TensorType::BF16, TensorType::F64] {
            let count = found.iter().filter(|(b, _)| self.tensors[&b.name].1 == kind).count();
            if count > 0 {
                notes.insert(0, format!("{}: {count} of them are of type {kind:?} and become F32", self.source));
            }
        }
        notes.insert(0, format!("{}: {} tensors to begin with", self.source, found.len()));
        let used: BTreeSet<&str> = found.iter().map(|(b, _)| b.name.as_str()).collect();
        let unused: Vec<String> =
            self.tensors.keys().filter(|name| !used.contains(name.as_str()) && !is_bookkeeping(name)).cloned().collect();
        // Those of our own checkpoints are known: heads and the optimiser's state.
        if self.record.is_none() && !unused.is_empty() {
            notes.push(match unused.iter().all(|name| name.starts_with(&layer)) {
                true => format!("{}: its own classifier is left out", self.source),
                false => {
                    format!("{}: {} tensors have no place in the encoder and are left out: {}", self.source, unused.len(), listed(&unused))
                }
            });
        }
        let words =
            |(b, values): (&NamedBuf, Vec<f32>)| (b.buf, b.tensor.from_torch(&values.into_iter().map(f32::to_bits).collect::<Vec<_>>()));
        Ok(Fitted { contents: found.into_iter().map(words).collect(), notes })
    }

    /// The values of a buffer in PyTorch's order, or what is wrong with them.
    fn values(&self, b: &NamedBuf) -> Result<Vec<f32>, String> {
        let wanted = b.tensor.torch_shape();
        let Some((found, kind, bytes)) = self.tensors.get(&b.name) else { return Err(format!("there is no `{}`", b.name)) };
        let values = floats(*kind, bytes).ok_or_else(|| format!("`{}` is of type {kind:?}, not F32, F16, BF16 or F64", b.name))?;
        let misfit = || format!("`{}` has shape {found:?}, the model wants {wanted:?}", b.name);
        if *found == wanted { Ok(values) } else { self.kind.refitted(&b.name, found, &values, &wanted).ok_or_else(misfit) }
    }

    /// The values of the classifier's buffers, each row where the class of its name is in `run`, or why they are not for it.
    fn classifier<'a>(&self, classifier: &[&'a NamedBuf], run: &Record) -> Result<Vec<(&'a NamedBuf, Vec<f32>)>, String> {
        let found = classifier.iter().map(|&b| Ok((b, self.values(b)?))).collect::<Result<Vec<_>, String>>()?;
        let Some(record) = self.record.as_ref().filter(|_| !found.is_empty()) else { return Ok(found) };
        if record.outputs.targets != run.outputs.targets {
            return Err("its head is for other numbers, or for the same on another scale".into());
        }
        if run.outputs.class_names == record.outputs.class_names
            && (!record.outputs.targets.is_empty() || !run.outputs.class_names.is_empty())
        {
            return Ok(found);
        }
        let place = |name: &String| record.outputs.class_names.iter().position(|known| known == name);
        let rows: BTreeSet<usize> = run.outputs.class_names.iter().filter_map(place).collect();
        if record.outputs.class_names.is_empty() {
            return Err("it does not name the classes of its classifier".into());
        }
        if rows.len() != run.outputs.class_names.len() || rows.len() != record.outputs.class_names.len() {
            let (theirs, ours) = (listed(&record.outputs.class_names), listed(&run.outputs.class_names));
            return Err(format!("its classifier is for the classes {theirs}, not for {ours}"));
        }
        let by_name = |(b, values): (_, Vec<f32>)| {
            let columns = values.len() / rows.len();
            let row = |name| &values[place(name).expect("every class has a row") * columns..][..columns];
            (b, run.outputs.class_names.iter().flat_map(row).copied().collect())
        };
        Ok(found.into_iter().map(by_name).collect())
    }

    /// Tensors of the encoder's own parts that no layer takes, but for layers that this model leaves out.
    fn strangers(&self, encoder: &[&NamedBuf]) -> Vec<String> {
        let part = |name: &str| name.split('.').next().map(str::to_string);
        let parts: BTreeSet<_> = encoder.iter().map(|b| part(&b.name)).collect();
        let ours: BTreeSet<&str> = encoder.iter().map(|b| b.name.as_str()).collect();
        let strange = |name: &&String| {
            let layer = name.rsplit_once('.').map_or("", |(layer, _)| layer);
            let unused = self.layers.iter().any(|known| known == layer) && !encoder.iter().any(|b| is_of(&b.name, layer));
            parts.contains(&part(name)) && !ours.contains(name.as_str()) && !unused && !is_bookkeeping(name)
        };
        self.tensors.keys().filter(strange).map(|name| format!("`{name}` has no place in the model")).collect()
    }

    /// Says what is wrong, and what to do where that is known.
    fn misfit(&self, problems: &[String], encoder: &[&NamedBuf], model: &ModelSettings) -> String {
        let more = problems.len().saturating_sub(NAMED);
        let more = if more > 0 { format!(", and {more} more") } else { String::new() };
        let named = problems[..problems.len().min(NAMED)].join("; ");
        let another = ModelKind::of_weights(self.tensors.keys().map(String::as_str)).filter(|kind| *kind != model.kind);
        let say_model = another.map_or(String::new(), |kind| format!("; these are weights of {0}: say --model {0}", kind.name()));
        let shapes = |b: &&NamedBuf| Some((b.tensor.torch_shape(), self.tensors.get(&b.name)?.0.clone()));
        let stem = encoder.iter().find(|b| matches!(b.role, Role::Param { .. })).and_then(shapes);
        let transformers = self.tensors.keys().any(|name| name.ends_with("embedder.convolution.weight"));
        let hint = match stem {
            _ if transformers => {
                "; these are the names of Hugging Face's transformers: the same network has torchvision's names, which are wanted here, in \
                 timm's files"
            }
            _ if another.is_some() => &say_model,
            Some((ours, theirs)) if ours.ends_with(&[3, 3]) && theirs.ends_with(&[7, 7]) => {
                "; images of up to 64 pixels a side get a smaller first layer than these weights have: say --size 224"
            }
            _ => "",
        };
        format!("the weights in {} do not fit {model}: {named}{more}{hint}", self.source)
    }
}

/// PyTorch's batch norms count batches, and its embeddings of places and kinds of tokens may have these places and kinds: nothing here
/// needs them.
fn is_bookkeeping(name: &str) -> bool {
    [".num_batches_tracked", ".position_ids", ".token_type_ids"].iter().any(|end| name.ends_with(end))
}

/// Some of these names, for an error.
fn listed(names: &[String]) -> String {
    let more = names.len().saturating_sub(NAMED);
    let named = names[..names.len() - more].join(", ");
    if more > 0 { format!("{named} and {more} more") } else { named }
}

/// The tensors of a file by our names, and the form in which its weights were published, where it is one of these.
fn in_our_names(tensors: StoredTensors, forms: &'static [Published], layers: &[String]) -> (StoredTensors, Option<&'static Published>) {
    // The first form may have our names already.
    let known = forms.iter().find(|form| {
        let named = tensors
            .keys()
            .filter(|name| form.readings(name).next().is_some_and(|(_, ours)| layers.iter().any(|layer| is_of(&ours, layer))));
        2 * named.count() > layers.len()
    });
    let Some(form) = known else { return (tensors, forms.first()) };
    let ours = |name: String| form.readings(&name).next().map_or(name.clone(), |(wrap, ours)| format!("{wrap}{ours}"));
    (tensors.into_iter().map(|(name, tensor)| (ours(name), tensor)).collect(), Some(form))
}

/// What names in a file have before those of these layers: nothing, or what wraps the model, such as `module.`.
fn prefix(tensors: &StoredTensors, layers: &[String]) -> Result<String> {
    let held = |prefix: &str| layers.iter().filter(|layer| tensors.contains_key(&format!("{prefix}{layer}.weight"))).count();
    let before = |name: &'_ str| -> BTreeSet<String> {
        let Some(of) = name.strip_suffix(".weight") else { return BTreeSet::new() };
        let prefixes = layers.iter().filter_map(|layer| of.strip_suffix(layer.as_str()));
        prefixes.filter(|prefix| prefix.ends_with('.')).map(String::from).collect()
    };
    let prefixes: BTreeSet<String> = tensors.keys().flat_map(|name| before(name)).collect();
    let most = prefixes.iter().map(|prefix| held(prefix)).max().unwrap_or(0);
    // Layers of other networks end in the same words: a wrapper has more than half of the layers behind it.
    if most <= held("") || 2 * most <= layers.len() {
        return Ok(String::new());
    }
    let best: Vec<String> = prefixes.into_iter().filter(|prefix| held(prefix) == most).collect();
    match best.as_slice() {
        [prefix] => Ok(prefix.clone()),
        several => bail!(UsageError(format!("they are there more than once, under {}: keep one in the file", listed(several)))),
    }
}

/// Tensors of which each stands for itself.
fn apart(tensors: StoredTensors, kind: ModelKind) -> StoredTensors {
    let mut all = StoredTensors::new();
    for (name, (shape, ty, bytes)) in tensors {
        let parts = kind.fused(&name).filter(|parts| !shape.is_empty() && shape[0].is_multiple_of(parts.len()));
        let Some(parts) = parts else {
            all.insert(name, (shape, ty, bytes));
            continue;
        };
        let of_part: Vec<usize> = std::iter::once(shape[0] / parts.len()).chain(shape[1..].iter().copied()).collect();
        let length = bytes.len() / parts.len();
        all.extend(
            parts.iter().zip(bytes.chunks(length.max(1))).map(|(part, bytes)| (part.clone(), (of_part.clone(), ty, bytes.to_vec()))),
        );
    }
    all
}

/// Little-endian numbers as f32, of the types that weights come in.
fn floats(kind: TensorType, bytes: &[u8]) -> Option<Vec<f32>> {
    let half = |b: &[u8]| u16::from_le_bytes([b[0], b[1]]);
    Some(match kind {
        TensorType::F32 => bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect(),
        TensorType::F16 => bytes.chunks_exact(2).map(|b| from_f16(half(b))).collect(),
        TensorType::BF16 => bytes.chunks_exact(2).map(|b| f32::from_bits(u32::from(half(b)) << 16)).collect(),
        TensorType::F64 => bytes.as_chunks().0.iter().map(|&b| f64::from_le_bytes(b) as f32).collect(),
        _ => return None,
    })
}

/// A number of IEEE's half precision.
fn from_f16(bits: u16) -> f32 {
    let (sign, exponent, fraction) = (u32::from(bits >> 15) << 31, u32::from(bits >> 10 & 0x1f), u32::from(bits & 0x3ff));
    let size = match exponent {
        0 => fraction as f32 / (1 << 24) as f32,
        31 => f32::from_bits(0x7f80_0000 | fraction << 13),
        _ => f32::from_bits((exponent + 127 - 15) << 23 | fraction << 13),
    };
    f32::from_bits(sign | size.to_bits())
}
