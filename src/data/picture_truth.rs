//! What is known about the pictures of a folder: classes, numbers, masks or nothing.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use anyhow::{Context, Result, bail, ensure};

use super::decode_cache::FilePart;
use super::excerpt::Excerpt;
use super::label_sets::{LabelSets, SetCell};
use super::layout::{FolderLayout, Placed, nothing};
use super::names::{in_order, note_alike, some_of};
use super::number::number;
use super::split::Part;
use super::transcripts::{alphabet, note_unknown};
use super::tree::Entry;
use super::{ReadOptions, TruthKind};
use crate::core::sample::Subject;

/// A picture with its part.
#[derive(Clone)]
pub(super) struct Sample<'a> {
    pub placed: Placed<'a>,
    pub part: Part,
    /// Of a sound, the part of it that is meant.
    pub excerpt: Option<Excerpt>,
    /// What the index says, and in which line.
    pub target: Option<(String, u32)>,
}

impl<'a> Sample<'a> {
    pub fn piece(&self) -> FilePart<'a> {
        let (entry, excerpt) = (self.placed.entry, self.excerpt);
        let name = excerpt.map_or(entry.name.clone(), |excerpt| format!("{}, {excerpt}", entry.name));
        FilePart { name, entry, excerpt }
    }
}

/// One for each sample.
pub(super) enum PictureTruth<'a> {
    Nothing,
    /// Classes and their names. Test samples may have none.
    Classes(Vec<Option<u32>>, Vec<String>),
    Numbers(Vec<f32>),
    Masks(Vec<&'a Entry>),
    Sets(LabelSets),
    /// What samples say, and the alphabet.
    Transcripts(Vec<String>, Vec<String>),
}

/// The truth about `samples`, of which targets are `sets` of labels or not. Samples whose target is missing have been dropped.
pub(super) fn of<'a>(
    name: &str,
    layout: &FolderLayout<'a>,
    samples: &[Sample<'a>],
    sets: bool,
    options: &ReadOptions,
    notes: &mut Vec<String>,
) -> Result<PictureTruth<'a>> {
    let targets: Option<Vec<&(String, u32)>> = samples.iter().map(|sample| sample.target.as_ref()).collect();
    let many = layout.subject.many();
    let unsaid = if options.truth.is_none() { targets.as_deref().unwrap_or_default() } else { &[] };
    let are_numbers = !unsaid.is_empty() && unsaid.iter().all(|(text, _)| number(text).is_some());
    let are_names = are_numbers && number_classes(unsaid);
    if are_names && !sets {
        let column = options.target.as_deref().unwrap_or_default();
        notes.push(format!("column `{column}` of index.csv has few whole numbers: they are taken for classes"));
    }
    match (options.truth, targets) {
        (_, Some(targets)) if sets => {
            let cells: Vec<SetCell<'_>> =
                targets.iter().zip(samples).map(|((text, _), sample)| (text.as_str(), sample.part == Part::Train)).collect();
            let column = options.target.as_deref().unwrap_or_default();
            Ok(LabelSets::of(name, (layout.subject.one(), column), &cells, options, notes)?
                .map_or(PictureTruth::Nothing, PictureTruth::Sets))
        }
        (Some(TruthKind::LabelSets), _) => match options.want_labels {
            true => Err(anyhow::anyhow!("{name} has no sets of labels: it needs an index.csv, and --target names a column of it")),
            false => Ok(PictureTruth::Nothing),
        },
        (Some(TruthKind::Masks), _) if layout.subject != Subject::Pictures => bail!("{name} has {many}, which have no masks"),
        (Some(TruthKind::Tags), _) => bail!("{name} has {many}, which have no words to tag"),
        (Some(TruthKind::Masks), _) => masks(name, layout, samples),
        (Some(TruthKind::Transcripts), Some(targets)) => transcripts(name, samples, &targets, options, notes),
        (Some(TruthKind::Transcripts), None) => match options.want_labels {
            true => {
                Err(anyhow::anyhow!("{name} has no transcripts: it needs an index.csv with a column `text`, or --target names another"))
            }
            false => Ok(PictureTruth::Nothing),
        },
        (None, None) if options.want_labels && !layout.masks.is_empty() => masks(name, layout, samples),
        (Some(TruthKind::Numbers), Some(targets)) => numbers(options, &targets),
        (None, Some(targets)) if are_numbers && !are_names => numbers(options, &targets),
        (Some(TruthKind::Classes) | None, Some(targets)) => {
            let classes: Vec<Option<&str>> = targets.iter().map(|(text, _)| Some(text.as_str())).collect();
            let distinct = classes.iter().flatten().collect::<BTreeSet<_>>().len();
            ensure!(
                options.known_classes.is_some() || 2 * distinct <= samples.len().max(4),
                "column `{}` of index.csv has {distinct} different values for {} {many}: that is a number or a name, not a class",
                options.target.as_deref().unwrap_or_default(),
                samples.len()
            );
            numbered(name, many, samples, &classes, options, notes)
        }
        (Some(TruthKind::Numbers), None) => match options.want_labels {
            true => Err(anyhow::anyhow!("{name} has no numbers to learn: it needs an index.csv, and --target names a column of it")),
            false => Ok(PictureTruth::Nothing),
        },
        (Some(TruthKind::Classes) | None, None) => {
            match folders(name, layout, samples, options, notes).and_then(|c| numbered(name, many, samples, &c, options, notes)) {
                Ok(truth) => Ok(truth),
                Err(error) if options.want_labels => Err(error),
                Err(error) => {
                    if !options.labels_given {
                        notes.push(format!("there are no labels: {error:#}"));
                    }
                    Ok(PictureTruth::Nothing)
                }
            }
        }
    }
}

/// Whether numbers are names, as digits are: whole, few, and of many samples each.
fn number_classes(targets: &[&(String, u32)]) -> bool {
    const MOST: usize = 100;
    let distinct: BTreeSet<&str> = targets.iter().map(|(text, _)| text.as_str()).collect();
    let whole = |text: &&str| number(text).is_some_and(|value| value >= 0.0 && value.fract() == 0.0);
    distinct.len() <= MOST && 4 * distinct.len() <= targets.len() && distinct.iter().all(whole)
}

/// The alphabet is that of a run, or of the training samples.
fn transcripts(
    name: &str,
    samples: &[Sample<'_>],
    targets: &[&(String, u32)],
    options: &ReadOptions,
    notes: &mut Vec<String>,
) -> Result<PictureTruth<'static>> {
    let texts = || targets.iter().map(|(text, _)| text.as_str());
    let letters = match &options.known_classes {
        Some(known) => known.clone(),
        None => alphabet(name, texts().zip(samples).filter(|(_, sample)| sample.part == Part::Train).map(|(text, _)| text))?,
    };
    note_unknown(&letters, texts(), notes);
    Ok(PictureTruth::Transcripts(texts().map(String::from).collect(), letters))
}

fn numbers(options: &ReadOptions, targets: &[&(String, u32)]) -> Result<PictureTruth<'static>> {
    let column = options.target.as_deref().unwrap_or_default();
    let parse = |(text, line): &&(String, u32)| {
        let value = number(text).with_context(|| format!("index.csv, line {line}: `{text}` in column `{column}` is no number"))?;
        Ok(value as f32)
    };
    Ok(PictureTruth::Numbers(targets.iter().map(parse).collect::<Result<_>>()?))
}

/// Class names of the folders that samples lie in.
fn folders<'a>(
    name: &str,
    layout: &FolderLayout<'a>,
    samples: &[Sample<'a>],
    options: &ReadOptions,
    notes: &mut Vec<String>,
) -> Result<Vec<Option<&'a str>>> {
    let many = layout.subject.many();
    let how = format!("put the {many} of each class into a folder of its own, or name a column of an index.csv with --target");
    let mut classes: Vec<Option<&str>> = samples.iter().map(|sample| sample.placed.class()).collect();
    ensure!(classes.iter().any(Option::is_some), "{name} has no class folders: {how}");
    let of = |part| move |i: &usize| samples[*i].part == part;
    let all = 0..samples.len();
    let bare_test = all.clone().filter(of(Part::Test)).all(|i| classes[i].is_none());
    let train_classed = all.clone().filter(of(Part::Train)).all(|i| classes[i].is_some());
    if !(bare_test && train_classed) {
        let outside: Vec<&str> = all.clone().filter(|&i| classes[i].is_none()).map(|i| samples[i].placed.entry.name.as_str()).collect();
        ensure!(outside.is_empty(), "{name} has class folders, but {} {many} lie outside of them: {}", outside.len(), some_of(&outside));
    } else if samples.iter().any(|sample| sample.part == Part::Test) {
        notes.push(format!("the test {many} have no classes"));
        all.filter(of(Part::Test)).for_each(|i| classes[i] = None);
    }
    let used: BTreeSet<&str> = classes.iter().flatten().copied().collect();
    let empty: Vec<&&str> = layout.classes.iter().filter(|class| !used.contains(**class)).collect();
    if !empty.is_empty() {
        let found = format!("the class folder `{}` in {name} holds {}", empty[0], nothing(layout.subject));
        ensure!(!options.want_labels, "{found}: fill it or remove it");
        notes.push(format!("{found}: it is no class"));
    }
    Ok(classes)
}

/// Numbers classes in order.
fn numbered(
    name: &str,
    many: &str,
    samples: &[Sample<'_>],
    classes: &[Option<&str>],
    options: &ReadOptions,
    notes: &mut Vec<String>,
) -> Result<PictureTruth<'static>> {
    let names = in_order(classes.iter().flatten().copied().collect());
    let known = options.known_classes.is_some();
    ensure!(known || names.len() > 1, "{name} has one class, `{}`; there is nothing to tell apart", names.concat());
    note_alike(&names, notes);
    let number: HashMap<&str, u32> = names.iter().zip(0..).map(|(name, i)| (*name, i)).collect();
    let trained: BTreeSet<&str> = classes.iter().zip(samples).filter(|(_, s)| s.part == Part::Train).filter_map(|(c, _)| *c).collect();
    let untrained: Vec<&&str> = names.iter().filter(|name| !trained.contains(**name)).collect();
    ensure!(known || untrained.is_empty(), "{name} has no training {many} of class `{}`", untrained.first().map_or("", |name| name));
    Ok(PictureTruth::Classes(
        classes.iter().map(|class| class.map(|class| number[class])).collect(),
        names.iter().map(|n| n.to_string()).collect(),
    ))
}

/// The mask of each sample: a PNG of the same stem, and nothing without its counterpart.
fn masks<'a>(name: &str, layout: &FolderLayout<'a>, samples: &[Sample<'a>]) -> Result<PictureTruth<'a>> {
    ensure!(
        !layout.masks.is_empty(),
        "{name} has no masks: it needs a folder `masks` beside `images`, with a PNG of the same name for each picture"
    );
    fn by_stem<'a>(placed: impl Iterator<Item = Placed<'a>>) -> Result<BTreeMap<(Option<Part>, &'a str), &'a Entry>> {
        let mut known = BTreeMap::new();
        for one in placed {
            if let Some(other) = known.insert((one.part, one.stem()), one.entry) {
                anyhow::bail!("{} and {} have the same name: which of them belongs to the other folder's?", other.name, one.entry.name);
            }
        }
        Ok(known)
    }
    let (pictures, mut masks) = (by_stem(layout.pictures.iter().copied())?, by_stem(layout.masks.iter().copied())?);
    let lonely: Vec<&str> = masks.iter().filter(|(key, _)| !pictures.contains_key(*key)).map(|(_, mask)| mask.name.as_str()).collect();
    ensure!(lonely.is_empty(), "{} masks in {name} have no picture: {}", lonely.len(), some_of(&lonely));
    let mut of_sample = Vec::new();
    let mut bare = Vec::new();
    for Sample { placed, .. } in samples {
        match masks.remove(&(placed.part, placed.stem())) {
            Some(mask) => of_sample.push(mask),
            None => bare.push(placed.entry.name.as_str()),
        }
    }
    ensure!(bare.is_empty(), "{} pictures in {name} have no mask: {}", bare.len(), some_of(&bare));
    Ok(PictureTruth::Masks(of_sample))
}
