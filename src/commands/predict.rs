use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::inputs::{self, Input};
use super::opened_run::Finished;
use super::output::Inputs;
use super::{open_device, print, print_json};
use crate::cli::{PredictArgs, Rejection};
use crate::core::sample::Subject;
use crate::data::{
    DividedText, Encoding, LoadedTexts, Look, Samples, Split, Tokenizer, Truth, TruthKind, look_at, mark_spans, paint, restore, spans,
};
use crate::error::UsageError;
use crate::exec::Device;
use crate::files;
use crate::say;
use crate::train::{Checkpoint, Outputs, Prediction, Record, find_checkpoint, predict_each};

/// Pictures are read, predicted and let go in portions of at most this many bytes.
const PORTION: usize = 256 << 20;

pub fn run(args: &PredictArgs) -> Result<u8> {
    let finished = Finished::of_anything(&args.run)?;
    let checkpoint = &finished.checkpoint;
    let segments = checkpoint.record.task.is_some_and(|task| task.truth() == TruthKind::Masks);
    if segments != args.out.is_some() {
        let text = match segments {
            true => "this run predicts masks: --out DIR says where they go",
            false => "--out is for masks, this run predicts none",
        };
        return Err(UsageError(text.into()).into());
    }
    rejection(args, &checkpoint.record)?;
    let Outputs { threshold, out_of_scope, .. } = &checkpoint.record.outputs;
    if let (None, Some(threshold), Some(class)) = (args.threshold, threshold, out_of_scope) {
        let probability = threshold.probability;
        say!("this run can tell what is none of its classes (`{class}`): --threshold auto says so below a probability of {probability:.4}");
    }
    let Record { encoding, tokenizer, samples: kind, .. } = &checkpoint.record;
    let of_files = checkpoint.record.takes_files();
    let subject = checkpoint.record.subject();
    if args.invert && (!of_files || subject == Subject::Sounds) {
        let called = if of_files { subject.many() } else { kind.called() };
        return Err(UsageError(format!("--invert is for pictures, this run predicts for {called}")).into());
    }
    let of_texts_alone = args.text.as_ref().map(|_| "--text").or(args.documents.map(|_| "--documents"));
    if let Some(flag) = of_texts_alone.filter(|_| tokenizer.is_none()) {
        return Err(UsageError(format!("{flag} is for texts, this run predicts for {}", kind.called())).into());
    }
    if let Some(tokenizer) = tokenizer {
        return of_texts(args, &finished, tokenizer);
    }
    let (inputs, mut failed) = if of_files { inputs::samples(&args.files, subject)? } else { (inputs::named(&args.files)?, 0) };
    let all = inputs.len() + failed;
    if inputs.is_empty() {
        return Err(anyhow::anyhow!("there is nothing to predict"));
    }
    if let Some(folder) = &args.out {
        inputs::apart(&inputs, mask_name)?;
        let read = inputs.iter().map(|input| input.path.clone()).chain([find_checkpoint(&args.run)?]);
        Inputs::of(read).declare(inputs.iter().map(|input| folder.join(mask_name(input))), args.overwrite)?;
    }
    let portion = if of_files { (PORTION / kind.len() as usize).max(1) } else { inputs.len() };
    let device = open_device(&args.device.device)?;
    let mut predictions = Vec::new();
    for inputs in inputs.chunks(portion) {
        let samples = match encoding {
            Some(encoding) => rows(inputs, encoding)?,
            None => pictures(inputs, args, checkpoint)?,
        };
        if of_files {
            failed += inputs.len() - samples.names.len();
        }
        let found = if samples.names.is_empty() { Vec::new() } else { found(args, &device, checkpoint, &samples)? };
        for (found, name) in found.iter().zip(&samples.names) {
            match args.device.json {
                true => predictions.push(found.json("file", name)),
                false => print(format_args!("{name}  {found}")),
            }
        }
    }
    print_json(args.device.json, || json!({ "predictions": predictions }));
    if failed > 0 {
        say!("{failed} of {all} files or folders could not be read");
    }
    Ok(u8::from(failed > 0))
}

/// Predicts for texts in files, or line by line on stdin: what was found comes first, as texts may be long.
fn of_texts(args: &PredictArgs, finished: &Finished, tokenizer: &Tokenizer) -> Result<u8> {
    let tags = finished.checkpoint.record.task.is_some_and(|task| task.truth() == TruthKind::Tags);
    // Where each came from: its file, and its row there.
    let (mut texts, mut places) = (Vec::new(), Vec::new());
    for path in &args.files {
        if tags
            && path.as_os_str() != "-"
            && let Some(found) = DividedText::of_file(path)?
        {
            say!("{}: a word on each line, in the first column", path.display());
            places.extend((1..).take(found.len()).map(|row| (path.display().to_string(), row)));
            texts.extend(found);
            continue;
        }
        let name = if path.as_os_str() == "-" { "stdin".to_string() } else { path.display().to_string() };
        let found = if path.as_os_str() == "-" {
            if args.text.is_some() {
                return Err(UsageError("--text is for tables: lines on stdin are texts".into()).into());
            }
            let mut lines = Vec::new();
            std::io::stdin().lock().read_to_end(&mut lines).context("cannot read the texts on stdin")?;
            LoadedTexts::of_lines(&lines).context("stdin")?
        } else {
            let (like, documents) = finished.read_texts_as();
            LoadedTexts::of_file(path, args.text.as_deref(), like, args.documents.or(documents))?
        };
        found.notes.iter().for_each(|note| say!("{name}: {note}"));
        for (row, text) in found.texts {
            places.push((name.clone(), row));
            texts.push(DividedText::of_line(&text));
        }
    }
    if texts.is_empty() {
        return Err(anyhow::anyhow!("there is nothing to predict"));
    }
    let (samples, tokens, cut) = match tags {
        true => Samples::of_words(&texts.iter().map(DividedText::words).collect::<Vec<_>>(), tokenizer)?,
        false => {
            let (samples, cut) = Samples::of_texts(&texts.iter().map(DividedText::text).collect::<Vec<_>>(), tokenizer)?;
            (samples, Vec::new(), cut)
        }
    };
    tokenizer.note(cut).iter().for_each(|note| say!("{note}"));
    let device = open_device(&args.device.device)?;
    let words = texts.iter().zip(tokens).map(|(text, tokens)| PlacedWords { text, tokens }).collect();
    let wanted = Wanted { words, ..Wanted::of(Split::new(samples, Truth::default())) };
    let found = found(args, &device, &finished.checkpoint, &wanted)?;
    for (found, text) in found.iter().zip(&texts).filter(|_| !args.device.json) {
        // A line for each, whatever a text has in it.
        print(format_args!("{found}  {}", text.text().split(['\n', '\r']).collect::<Vec<_>>().join(" ")));
    }
    print_json(args.device.json, || {
        let prediction = |((found, text), (file, row)): ((&Answer, &DividedText), &(String, u32))| {
            let mut all = found.json("text", text.text());
            (all["file"], all["row"]) = (json!(file), json!(row));
            all
        };
        json!({ "predictions": found.iter().zip(&texts).zip(&places).map(prediction).collect::<Vec<_>>() })
    });
    Ok(0)
}

/// Below which probability of the most likely class an answer is none: as asked for.
fn rejection(args: &PredictArgs, record: &Record) -> Result<f64> {
    let threshold = record.outputs.threshold.as_ref().map(|threshold| threshold.probability);
    match (args.threshold, threshold) {
        (Some(_), _) if !record.task.is_some_and(|task| task.truth() == TruthKind::Classes) => {
            Err(UsageError("--threshold is for runs that predict one class of each sample, which this one does not".into()).into())
        }
        (Some(Rejection::Below(probability)), _) => Ok(probability),
        (Some(Rejection::Auto), Some(probability)) => Ok(probability),
        (Some(Rejection::Auto), None) => {
            let text = "this run has no threshold of its own: `finetune --val 0.1` chooses one on what it holds out, and --threshold takes \
                        a probability";
            Err(UsageError(text.into()).into())
        }
        (None, _) => Ok(0.0),
    }
}

/// What was predicted for a sample.
enum Answer {
    /// With its probability, and its name where it has one.
    Class(usize, f64, Option<String>),
    /// None of the classes, as the most likely one has no more than this probability.
    OutOfScope(f64),
    /// Every label's name and probability.
    Labels(Vec<(String, f64)>),
    Numbers(Vec<(String, f32)>),
    /// Where a mask was written.
    Mask(PathBuf),
    /// With its probability.
    Text(String, f64),
    /// Parts of a text: spans of words, or each word.
    Parts {
        spans: bool,
        parts: Vec<TaggedPart>,
    },
}

/// A part of a text, and what it is.
struct TaggedPart {
    tag: String,
    text: String,
    /// Where it begins and ends, in characters.
    place: [usize; 2],
    /// Of spans, that of the word that is least certain.
    probability: f64,
}

/// The words of a text, and where among its tokens each begins.
struct PlacedWords<'a> {
    text: &'a DividedText,
    tokens: Vec<u32>,
}

impl PlacedWords<'_> {
    /// What the classes of tokens, with their probabilities, say of them. What has no token is taken to be outside of all.
    fn tagged(&self, tokens: &[(usize, f64)], names: &[String]) -> Answer {
        let of_word = |&place: &u32| {
            let (class, probability) = tokens.get(place as usize).copied()?;
            Some((names.get(class)?.as_str(), probability))
        };
        let words: Vec<Option<(&str, f64)>> = self.tokens.iter().map(of_word).collect();
        let part = |tag: &str, words_of: std::ops::Range<usize>| {
            let (text, place) = self.text.part(words_of.clone());
            let probability = words[words_of].iter().flatten().map(|(_, probability)| *probability).fold(1.0, f64::min);
            TaggedPart { tag: tag.into(), text: text.into(), place, probability }
        };
        let spans_are_marked = mark_spans(names);
        let parts = match spans_are_marked {
            true => {
                let tags: Vec<&str> = words.iter().map(|word| word.map_or("O", |(tag, _)| tag)).collect();
                spans(&tags).into_iter().map(|span| part(span.kind, span.words)).collect()
            }
            false => (0..words.len()).filter_map(|at| Some(part(words[at]?.0, at..at + 1))).collect(),
        };
        Answer::Parts { spans: spans_are_marked, parts }
    }
}

impl Answer {
    /// `what` the sample is known by: a file, or a text.
    fn json(&self, what: &str, name_of_sample: &str) -> Value {
        let mut all = match self {
            Answer::Class(class, probability, name) => json!({ "class": class, "name": name, "probability": probability }),
            Answer::OutOfScope(probability) => {
                json!({ "class": null, "name": null, "probability": probability, "out_of_scope": true })
            }
            Answer::Labels(labels) => {
                let likely: Vec<&str> = likely(labels).map(|(name, _)| name.as_str()).collect();
                json!({ "labels": likely, "probabilities": labels.iter().cloned().collect::<BTreeMap<_, _>>() })
            }
            Answer::Numbers(numbers) => json!({ "values": numbers.iter().cloned().collect::<BTreeMap<_, _>>() }),
            Answer::Mask(path) => json!({ "mask": path }),
            Answer::Text(text, probability) => json!({ "text": text, "probability": probability }),
            Answer::Parts { spans, parts } => {
                let part = |part: &TaggedPart| {
                    let [begin, end] = part.place;
                    json!({ "tag": part.tag, "text": part.text, "begin": begin, "end": end, "probability": part.probability })
                };
                let what = if *spans { "entities" } else { "words" };
                json!({ what: parts.iter().map(part).collect::<Vec<_>>() })
            }
        };
        all[what] = json!(name_of_sample);
        all
    }
}

impl std::fmt::Display for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Answer::Class(_, probability, Some(name)) => write!(f, "{name}  {probability:.4}"),
            Answer::Class(class, probability, None) => write!(f, "{class}  {probability:.4}"),
            Answer::OutOfScope(probability) => write!(f, "out of scope  {probability:.4}"),
            Answer::Labels(labels) => {
                let likely: Vec<String> = likely(labels).map(|(name, probability)| format!("{name} {probability:.4}")).collect();
                f.write_str(&if likely.is_empty() { "none of the labels".to_string() } else { likely.join("  ") })
            }
            Answer::Numbers(numbers) => {
                let numbers = numbers.iter().map(|(name, number)| format!("{name} {number}"));
                write!(f, "{}", numbers.collect::<Vec<_>>().join("  "))
            }
            Answer::Mask(path) => write!(f, "{}", path.display()),
            Answer::Text(text, probability) => write!(f, "{text}  {probability:.4}"),
            Answer::Parts { parts, .. } if parts.is_empty() => f.write_str("-"),
            Answer::Parts { spans: false, parts } => {
                let words = parts.iter().map(|part| format!("{}/{}", part.text, part.tag));
                write!(f, "{}", words.collect::<Vec<_>>().join(" "))
            }
            Answer::Parts { spans: true, parts } => {
                let part = |TaggedPart { tag, text, place: [begin, end], .. }: &TaggedPart| {
                    format!("{tag} {begin}-{end} {}", text.split_whitespace().collect::<Vec<_>>().join(" "))
                };
                write!(f, "{}", parts.iter().map(part).collect::<Vec<_>>().join("; "))
            }
        }
    }
}

/// The labels that are right rather than not.
fn likely(labels: &[(String, f64)]) -> impl Iterator<Item = &(String, f64)> {
    labels.iter().filter(|(_, probability)| *probability > 0.5)
}

/// One for each sample.
fn found(args: &PredictArgs, device: &Device, checkpoint: &Checkpoint, samples: &Wanted<'_>) -> Result<Vec<Answer>> {
    let (mut found, least) = (Vec::new(), rejection(args, &checkpoint.record)?);
    predict_each(device, checkpoint, &samples.samples, &mut |prediction| {
        found.push(match prediction {
            Prediction::Class { probability, .. } if probability < least => Answer::OutOfScope(probability),
            Prediction::Class { class, probability, name } => Answer::Class(class, probability, name),
            Prediction::Labels(labels) => Answer::Labels(labels),
            Prediction::Numbers(numbers) => Answer::Numbers(numbers),
            Prediction::Mask(classes) => {
                let folder = args.out.as_deref().context("--out says where masks go")?;
                Answer::Mask(write_mask(folder, samples.inputs[found.len()], &classes, &checkpoint.record)?)
            }
            Prediction::Text { text, probability } => Answer::Text(text, probability),
            Prediction::Tags(tokens) => samples.words[found.len()].tagged(&tokens, &checkpoint.record.outputs.class_names),
        });
        Ok(())
    })?;
    Ok(found)
}

/// What is to be predicted for, with a name for each.
struct Wanted<'a> {
    names: Vec<String>,
    /// Of pictures.
    inputs: Vec<&'a Input>,
    /// Of texts whose words are tagged.
    words: Vec<PlacedWords<'a>>,
    samples: Split,
}

impl Wanted<'_> {
    fn of(samples: Split) -> Self {
        Wanted { names: Vec::new(), inputs: Vec::new(), words: Vec::new(), samples }
    }
}

/// The pictures that can be read; says which cannot.
fn pictures<'a>(inputs: &'a [Input], args: &PredictArgs, checkpoint: &Checkpoint) -> Result<Wanted<'a>> {
    let options = checkpoint.record.picture_options(args.invert)?;
    let (inputs, samples) = inputs::read(inputs, &options)?;
    let names = inputs.iter().map(|input| input.path.display().to_string()).collect();
    // Nothing is predicted for none.
    let samples = samples.unwrap_or_else(|| Split::unlabelled(Vec::new(), options.image));
    Ok(Wanted { names, inputs, ..Wanted::of(samples) })
}

/// The rows of all tables, counted from 1 below the header.
fn rows<'a>(inputs: &'a [Input], encoding: &Encoding) -> Result<Wanted<'a>> {
    let columns = encoding.features().len();
    let (mut names, mut features) = (Vec::new(), Vec::new());
    for Input { path, .. } in inputs {
        let mut notes = Vec::new();
        let read = encoding.read(path, &mut notes)?;
        notes.iter().for_each(|note| say!("{}: {note}", path.display()));
        names.extend((1..=read.len() / columns).map(|row| format!("{}:{row}", path.display())));
        features.extend(read);
    }
    let samples = Split::new(Samples::rows(features, columns as u32), Truth::default());
    Ok(Wanted { names, ..Wanted::of(samples) })
}

/// Where the mask of a picture goes, below the folder for masks: nowhere above it.
fn mask_name(input: &Input) -> PathBuf {
    let below = input.rest.components().filter(|part| matches!(part, Component::Normal(_))).collect::<PathBuf>();
    below.with_extension("png")
}

/// Writes a mask of classes at the size of its picture, with the values that masks had in training; returns its path.
fn write_mask(folder: &Path, input: &Input, mask: &[u8], record: &Record) -> Result<PathBuf> {
    let path = folder.join(mask_name(input));
    let Look { height, width, turned, .. } = look_at(&input.path)?;
    let value = |&class: &u8| record.outputs.mask_values.get(usize::from(class)).copied().unwrap_or(class);
    let values = restore(&mask.iter().map(value).collect::<Vec<u8>>(), record.image()?, height, width);
    if turned {
        say!("{}: its mask is for the picture as it lies upright (it is turned or mirrored by its EXIF orientation)", input.path.display());
    }
    let bytes = paint(&values, height, width, &record.outputs.mask_palette)?;
    files::write(&path, |file| file.write_all(&bytes))?;
    Ok(path)
}
