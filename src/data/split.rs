//! Samples with everything known about them, and how they are divided.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};

use super::TruthKind;
use super::names::some_of;
use super::samples::{Samples, SharedRows};
use super::tags::Tags;
use super::transcripts::Transcripts;
use crate::core::random;
use crate::core::sample::{Image, SampleType};

/// Samples, and what is known of them. It is a view: those that are made of it share its samples.
#[derive(Clone, Debug, PartialEq)]
pub struct Split {
    pub samples: Samples,
    pub truth: Truth,
    /// File names; empty where samples have none.
    pub names: Vec<Arc<str>>,
}

/// What is known of samples, in their order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Truth {
    /// A class per sample.
    pub labels: Option<Vec<u32>>,
    /// [`RIGHT`](super::RIGHT), [`WRONG`](super::WRONG) or [`UNKNOWN`](super::UNKNOWN) of each label, a row per sample.
    pub label_sets: Option<SharedRows<u8>>,
    /// A number per sample.
    pub targets: Option<Vec<f32>>,
    /// A class per pixel.
    pub masks: Option<SharedRows<u8>>,
    /// A class per word.
    pub tags: Option<Tags>,
    /// A string per sample.
    pub transcripts: Option<Transcripts>,
}

impl Truth {
    pub fn labels(labels: Vec<u32>) -> Self {
        Truth { labels: Some(labels), ..Truth::default() }
    }

    /// Whether this is known.
    pub fn knows(&self, kind: TruthKind) -> bool {
        match kind {
            TruthKind::Classes => self.labels.is_some(),
            TruthKind::LabelSets => self.label_sets.is_some(),
            TruthKind::Numbers => self.targets.is_some(),
            TruthKind::Masks => self.masks.is_some(),
            TruthKind::Tags => self.tags.is_some(),
            TruthKind::Transcripts => self.transcripts.is_some(),
        }
    }

    /// Of the samples with these indices.
    fn select(&self, indices: &[u32]) -> Self {
        fn chosen<T: Copy>(values: &[T], indices: &[u32]) -> Vec<T> {
            indices.iter().map(|&i| values[i as usize]).collect()
        }
        Truth {
            labels: self.labels.as_ref().map(|labels| chosen(labels, indices)),
            label_sets: self.label_sets.as_ref().map(|sets| sets.select(indices)),
            targets: self.targets.as_ref().map(|targets| chosen(targets, indices)),
            masks: self.masks.as_ref().map(|masks| masks.select(indices)),
            tags: self.tags.as_ref().map(|tags| tags.select(indices)),
            transcripts: self.transcripts.as_ref().map(|transcripts| transcripts.select(indices)),
        }
    }
}

impl Split {
    /// Samples without names.
    pub fn new(samples: Samples, truth: Truth) -> Self {
        Split { samples, truth, names: Vec::new() }
    }

    /// Images of which nothing else is known.
    pub fn unlabelled(pixels: Vec<u8>, image: Image) -> Self {
        Split::new(Samples::images(pixels, image), Truth::default())
    }

    pub fn len(&self) -> u32 {
        self.samples.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The type of its samples.
    pub fn kind(&self) -> SampleType {
        self.samples.kind()
    }

    /// The samples themselves, without names and what is known of them.
    pub fn bare(&self) -> Split {
        Split::new(self.samples.clone(), Truth::default())
    }

    /// What a sample is called; empty where samples have no names.
    pub fn name(&self, sample: u32) -> &str {
        self.names.get(sample as usize).map_or("", |name| name)
    }

    /// What tells a sample from others: itself, and of rows of numbers also what is to be predicted.
    pub(super) fn bytes(&self, sample: u32) -> Cow<'_, [u8]> {
        let bytes = self.samples.bytes(sample);
        match (&self.samples, &self.truth) {
            (Samples::Rows(_), Truth { targets: Some(targets), .. }) => [&*bytes, &targets[sample as usize].to_le_bytes()].concat().into(),
            (Samples::Rows(_), Truth { label_sets: Some(sets), .. }) => [&*bytes, sets.row(sample)].concat().into(),
            _ => bytes,
        }
    }

    /// A view of samples next to each other.
    pub fn range(&self, indices: Range<u32>) -> Split {
        self.select(&indices.collect::<Vec<_>>())
    }

    /// A view of the first `count` samples, or of all if there are no more.
    pub fn first(&self, count: u32) -> Split {
        if count < self.len() { self.range(0..count) } else { self.clone() }
    }

    /// A view of the samples with these indices, in this order.
    pub fn select(&self, indices: &[u32]) -> Split {
        Split {
            samples: self.samples.select(indices),
            truth: self.truth.select(indices),
            names: if self.names.is_empty() { Vec::new() } else { indices.iter().map(|&i| self.names[i as usize].clone()).collect() },
        }
    }

    /// Holds out a share of the samples: (what remains, what is held out), each in file order. Files of a folder are mixed
    /// instead: they come a class after the other, and the first ones of a split are to be as good as any of it. Those whose names
    /// tell that they belong together stay together.
    pub fn hold_out(&self, fraction: f64, seed: u64) -> (Split, Split) {
        const STREAM: u32 = 1;
        const MIX_STREAM: u32 = 998;
        let count = (f64::from(self.len()) * fraction).round() as u32;
        let mut held = random::sample_without_replacement(random::key(seed, STREAM), self.len(), count);
        let groups = self.groups();
        if groups.iter().any(|group| group.len() > 1) {
            let group_of: BTreeMap<u32, usize> =
                (0..).zip(&groups).flat_map(|(at, group)| group.iter().map(move |&i| (i as u32, at))).collect();
            let (drawn, mut whole) = (held, BTreeSet::new());
            for group in drawn.iter().map(|i| &groups[group_of[i]]) {
                if whole.len() + group.len() <= count as usize || whole.is_empty() {
                    whole.extend(group.iter().map(|&i| i as u32));
                }
            }
            held = whole.into_iter().collect();
        }
        held.sort_unstable();
        let rest: Vec<u32> = (0..self.len()).filter(|i| held.binary_search(i).is_err()).collect();
        let parts = [rest, held].map(|indices| {
            if self.names.is_empty() && !self.kind().is_sequence() {
                return self.select(&indices);
            }
            let count = indices.len() as u32;
            let mixed = random::sample_without_replacement(random::key(seed, MIX_STREAM), count, count);
            self.select(&mixed.into_iter().map(|i| indices[i as usize]).collect::<Vec<_>>())
        });
        parts.into()
    }

    /// Samples of a class, or without labels of a folder, that their names hold together.
    fn groups(&self) -> Vec<Vec<usize>> {
        let paths: Vec<&str> = self.names.iter().map(|name| &**name).collect();
        let mut strata: BTreeMap<(u32, &str), Vec<usize>> = BTreeMap::new();
        for (i, path) in paths.iter().enumerate() {
            let stratum = match &self.truth.labels {
                Some(labels) => (labels[i], ""),
                None => (0, path.rsplit_once('/').map_or("", |(folder, _)| folder)),
            };
            strata.entry(stratum).or_default().push(i);
        }
        strata.into_values().flat_map(|members| groups(&members, &paths).0).collect()
    }

    /// `count` samples drawn by `seed`, in file order. Fails if there are fewer.
    pub fn some(&self, count: u32, seed: u64) -> Result<Split> {
        const STREAM: u32 = 999;
        ensure!(count <= self.len(), "there are {} training samples, --labels asks for {count}", self.len());
        let mut chosen = random::sample_without_replacement(random::key(seed, STREAM), self.len(), count);
        chosen.sort_unstable();
        Ok(self.select(&chosen))
    }

    /// `count` samples of each of the classes with these names, drawn by `seed`. Fails if there are no labels or a class has fewer.
    pub fn per_class(&self, count: u32, classes: &[String], seed: u64) -> Result<Split> {
        Ok(self.select(&self.draw_per_class(count, classes, seed)?))
    }

    /// The indices of [`per_class`](Self::per_class), class by class.
    pub fn draw_per_class(&self, count: u32, classes: &[String], seed: u64) -> Result<Vec<u32>> {
        const STREAM: u32 = 1000;
        let what = self.kind().called();
        let labels = self.truth.labels.as_ref().context("the training samples have no labels to choose from")?;
        let members = |class: u32| (0..self.len()).filter(|&i| labels[i as usize] == class).collect::<Vec<u32>>();
        let all: Vec<Vec<u32>> = (0..classes.len() as u32).map(members).collect();
        let fewest = all.iter().map(Vec::len).min().unwrap_or(0);
        let mut chosen = Vec::new();
        for ((class, name), members) in (0..).zip(classes).zip(all) {
            ensure!(
                members.len() >= count as usize,
                "class `{name}` has {} training {what} besides test {what}, --labels-per-class asks for {count}: {fewest} are the most \
                 that every class has",
                members.len()
            );
            let key = random::key(seed, STREAM + class);
            chosen.extend(random::sample_without_replacement(key, members.len() as u32, count).iter().map(|&i| members[i as usize]));
        }
        Ok(chosen)
    }

    /// Training and test samples as [`Part::divide`] draws them; no test samples where there are too few for one. `what` a sample is
    /// called, for what is said of it.
    pub(super) fn divide(&self, what: &str) -> (Split, Option<Split>, String) {
        let classes: Vec<String> = match &self.truth.labels {
            Some(labels) => labels.iter().map(u32::to_string).collect(),
            None => vec![String::new(); self.len() as usize],
        };
        let divided = Part::divide(&classes.iter().map(String::as_str).collect::<Vec<_>>(), &vec![""; classes.len()]);
        let of = |part| (0..self.len()).filter(|&i| divided.parts[i as usize] == part).collect::<Vec<_>>();
        let test = of(Part::Test);
        (self.select(&of(Part::Train)), (!test.is_empty()).then(|| self.select(&test)), divided.note(what))
    }
}

/// What a sample is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    Train,
    Test,
    /// The test samples where there are no others, else nothing: a share of the training samples is held out for that.
    Val,
}

impl Part {
    /// By the usual names of folders and of values in a column `split`: `train`, `Test1`, `validation_set`, `test images`.
    pub(super) fn named(name: &str) -> Option<Part> {
        Part::within(name).filter(|(_, rest)| rest.is_empty()).map(|(part, _)| part)
    }

    /// Whether a name is that of a part, perhaps of several sets.
    pub(super) fn speaks_of_one(name: &str) -> bool {
        Part::within(name).is_some()
    }

    /// The parts that folders side by side are named after, as `flowers_train` and `flowers_test` are: some are for training,
    /// and others or none are not. `None` for a folder that is named after none, or, beside folders that have the plain names, after
    /// more than a part. Empty where they are no parts.
    pub(super) fn of_siblings<'a>(names: &[&'a str]) -> BTreeMap<&'a str, Option<Part>> {
        let found: Vec<_> = names.iter().map(|name| Part::within(name)).collect();
        let known: Vec<&(Part, Vec<String>)> = found.iter().flatten().collect();
        let parts: BTreeSet<Part> = known.iter().map(|(part, _)| *part).collect();
        let plain = |found: &Option<(Part, Vec<String>)>| found.as_ref().filter(|(_, rest)| rest.is_empty()).map(|(part, _)| *part);
        let plainly: BTreeSet<Part> = found.iter().filter_map(plain).collect();
        if plainly.contains(&Part::Train) && plainly.len() > 1 {
            return names.iter().zip(&found).map(|(name, found)| (*name, plain(found))).collect();
        }
        let alike = known.iter().all(|(_, rest)| *rest == known[0].1);
        if !(alike && parts.contains(&Part::Train) && (parts.len() > 1 || names.len() == 1)) {
            return BTreeMap::new();
        }
        names.iter().zip(found).map(|(name, found)| (*name, found.map(|(part, _)| part))).collect()
    }

    /// Whether that is its plain name, of which nothing need be said.
    pub(super) fn is_called(self, name: &str) -> bool {
        let plain: &[&str] = match self {
            Part::Train => &["train", "training"],
            Part::Test => &["test", "testing"],
            Part::Val => &["val", "valid", "validation", "dev"],
        };
        plain.iter().any(|plain| name.eq_ignore_ascii_case(plain))
    }

    /// The one part that a name speaks of, and its other words but for those that say nothing.
    fn within(name: &str) -> Option<(Part, Vec<String>)> {
        const SILENT: [&str; 13] =
            ["set", "data", "dataset", "images", "image", "imgs", "img", "pictures", "photos", "samples", "seg", "split", "out"];
        let name = name.trim().to_lowercase();
        let (mut part, mut rest) = (None, Vec::new());
        for word in name.split(|c: char| !c.is_alphanumeric()) {
            let word = word.trim_end_matches(|c: char| c.is_ascii_digit());
            let stem = SILENT.iter().find_map(|silent| word.strip_suffix(silent).filter(|stem| !stem.is_empty())).unwrap_or(word);
            let named = match stem {
                "" => continue,
                "train" | "training" | "trn" => Part::Train,
                "test" | "testing" | "tst" | "hold" | "holdout" | "held" | "heldout" | "unseen" => Part::Test,
                "val" | "valid" | "validation" | "validate" | "dev" | "eval" | "evaluation" => Part::Val,
                _ if SILENT.contains(&word) => continue,
                _ => {
                    rest.push(word.to_string());
                    continue;
                }
            };
            if part.replace(named).is_some() {
                return None;
            }
        }
        Some((part?, rest))
    }

    /// Divides samples where nothing says what is for what: of each stratum (a class), about a fifth are test samples, drawn by a
    /// seed that is the same in all runs, as what one run tests no other may have trained on. Pictures of a stratum whose names
    /// tell that they belong together stay together.
    pub(super) fn divide<'a>(strata: &[&str], paths: &[&'a str]) -> Divided<'a> {
        const SEED: u64 = 0;
        const STREAM: u32 = 997;
        let mut members: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        strata.iter().enumerate().for_each(|(i, stratum)| members.entry(stratum).or_default().push(i));
        let strata = members.len();
        let (mut parts, mut together, mut torn) = (vec![Part::Train; paths.len()], Vec::new(), Vec::new());
        for (stream, members) in (0..).zip(members.into_values()) {
            let (groups, apart) = groups(&members, paths);
            torn.extend(apart.iter().map(|&i| paths[i]));
            together.extend(groups.iter().filter(|group| group.len() > 1).flatten().map(|&i| paths[i]));
            let wanted = (members.len() as f64 / 5.0).round();
            let mut taken = 0;
            let count = groups.len() as u32;
            let order = random::sample_without_replacement(random::key(SEED, STREAM + 1000 * stream), count, count);
            for group in order.into_iter().map(|i| &groups[i as usize]) {
                let off = |count: usize| (count as f64 - wanted).abs();
                if off(taken + group.len()) < off(taken) && taken + group.len() < members.len() {
                    group.iter().for_each(|&i| parts[i] = Part::Test);
                    taken += group.len();
                }
            }
        }
        Divided { parts, together, torn, strata }
    }

    /// Makes validation samples the test samples if there are no others. Returns what a user must be told.
    pub(super) fn settle(parts: &mut [Part]) -> Option<String> {
        let validation = parts.iter().filter(|&&part| part == Part::Val).count();
        if validation == 0 {
            return None;
        }
        if parts.contains(&Part::Test) {
            return Some(format!("{validation} validation samples are left out: --val holds out a share of the training samples instead"));
        }
        parts.iter_mut().filter(|part| **part == Part::Val).for_each(|part| *part = Part::Test);
        Some(format!("the {validation} validation samples are the test set, as there is no other"))
    }
}

/// Samples that were [divided](Part::divide).
pub(super) struct Divided<'a> {
    pub parts: Vec<Part>,
    /// Those whose names tell that they belong to others, which are in the same part.
    together: Vec<&'a str>,
    /// Those whose names may tell so, and that are not.
    torn: Vec<&'a str>,
    strata: usize,
}

impl Divided<'_> {
    /// What is said about them; `what` they are called.
    pub fn note(&self, what: &str) -> String {
        let (count, test) = (self.parts.len(), self.parts.iter().filter(|&&part| part == Part::Test).count());
        if test == 0 {
            return format!("no test set is given, and {count} {what}s are too few to take one from");
        }
        let together = match self.together.len() {
            0 => String::new(),
            kept => format!("; {kept} whose names begin alike ({}) stay on one side", some_of(&self.together)),
        };
        let torn = match self.torn.len() {
            0 => String::new(),
            count => format!(
                "; names of {count} begin alike too ({}), too many of one to keep on one side: if they show the same, folders `train` and \
                 `test` must say what is for what",
                some_of(&self.torn)
            ),
        };
        let each = if self.strata > 1 { ", drawn from each class" } else { "" };
        format!("no test set is given: {test} of {count} {what}s are test {what}s{each}, the same in all runs{together}{torn}")
    }
}

impl std::fmt::Display for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Part::Train => "training",
            Part::Test => "test",
            Part::Val => "validation",
        })
    }
}

/// First words of names that say how a copy differs from its source, or where in it a frame lies.
const CHANGES: [&str; 26] = [
    "aug",
    "augmented",
    "blur",
    "blurred",
    "bright",
    "contrast",
    "copy",
    "crop",
    "cropped",
    "dark",
    "flip",
    "flipped",
    "frame",
    "hflip",
    "jitter",
    "mirror",
    "mirrored",
    "noise",
    "noisy",
    "rot",
    "rotate",
    "rotated",
    "scale",
    "shift",
    "vflip",
    "zoom",
];

/// Members that their names hold together, in groups; each alone where names say nothing of the kind. Copies and frames of one
/// source are named after it and numbered: `00_aug3`, `cat (2)`, `clip7-frame12`. Also those that are alone although their names
/// may hold them together.
fn groups(members: &[usize], paths: &[&str]) -> (Vec<Vec<usize>>, Vec<usize>) {
    /// Words of a name that may name the source, at most.
    const MOST_WORDS: usize = 6;
    let stem =
        |path: &'_ str| path.rsplit_once('.').filter(|(stem, _)| !stem.ends_with('/')).map_or(path.to_string(), |(s, _)| s.to_string());
    let stems: Vec<String> = members.iter().map(|&i| stem(paths[i])).collect();
    // The first words of a name: `clip7` of `clip7-frame12`, and of `clip7/12`.
    let first_words = |count: usize| {
        move |stem: &str| {
            let starts = stem.char_indices().zip(std::iter::once(' ').chain(stem.chars()));
            let ends = starts.filter(|((_, c), before)| !c.is_alphanumeric() && before.is_alphanumeric()).map(|((at, _), _)| at);
            ends.skip(count - 1).find(|&end| stem[end..].contains(char::is_alphanumeric)).map(|end| stem[..end].to_string())
        }
    };
    // `7b`: a letter after a number; `07aug3`: a number after a word after a number.
    let by_ending = |stem: &str| {
        let rest = stem.trim_end_matches(|c: char| c.is_ascii_digit());
        let source = rest.trim_end_matches(char::is_alphabetic);
        (source.len() < rest.len() && source.ends_with(|c: char| c.is_ascii_digit())).then(|| source.to_string())
    };
    // `rot90_img07`, `Copy of cat`.
    let behind_change = |stem: &str| {
        let (first, rest) = stem.split_once(|c: char| !c.is_alphanumeric())?;
        let word = first.trim_end_matches(|c: char| c.is_ascii_digit()).to_lowercase();
        let rest = rest.trim_start_matches(|c: char| !c.is_alphanumeric());
        CHANGES.contains(&word.as_str()).then(|| rest.strip_prefix("of ").unwrap_or(rest).to_string())
    };
    type Key<'a> = Box<dyn Fn(&str) -> Option<String> + 'a>;
    let mut keys: Vec<Key<'_>> = vec![Box::new(behind_change)];
    keys.extend((1..=MOST_WORDS).map(|count| Box::new(first_words(count)) as Key<'_>));
    keys.push(Box::new(by_ending));
    let mut torn = Vec::new();
    for key in keys {
        let mut found: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (stem, &member) in stems.iter().zip(members) {
            // The source itself belongs to its copies.
            found.entry(key(stem).unwrap_or_else(|| stem.clone())).or_default().push(member);
        }
        let largest = found.values().map(Vec::len).max().unwrap_or(0);
        // A name that most have is the name of the class or of a camera, and the number counts pictures.
        let many = found.len() >= 5 && 5 * largest <= 2 * members.len();
        let few = found.len() >= 3 && 2 * largest <= members.len();
        if largest > 1 && (many || few) {
            return (found.into_values().collect(), Vec::new());
        }
        // Of several sources, each with many: frames of few clips, or cameras.
        if found.len() > 1 && found.values().all(|group| group.len() >= 3) && torn.is_empty() {
            torn = members.to_vec();
        }
    }
    (members.iter().map(|&member| vec![member]).collect(), torn)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_known_by_their_names() {
        let named = |name| Part::named(name);
        for name in ["train", "Training", "training_set", "trainset", "seg_train", "train_images", "Train 1", "TRAIN-data"] {
            assert_eq!(named(name), Some(Part::Train), "{name}");
        }
        for (name, part) in [
            ("test1", Part::Test),
            ("holdout", Part::Test),
            ("Held-out", Part::Test),
            ("testing", Part::Test),
            ("eval", Part::Val),
            ("val2017", Part::Val),
        ] {
            assert_eq!(named(name), Some(part), "{name}");
        }
        for name in ["trainers", "cats", "train_test", "", "contest", "flowers_train", "set"] {
            assert_eq!(named(name), None, "{name}");
        }
        assert_eq!(Part::of_siblings(&["flowers_train", "flowers_test"]).len(), 2);
        let beside = Part::of_siblings(&["test", "test_hard", "train", "train_extra"]);
        assert_eq!(beside.into_values().collect::<Vec<_>>(), [Some(Part::Test), None, Some(Part::Train), None]);
        assert!(Part::of_siblings(&["toy_train", "real_test"]).is_empty() && Part::of_siblings(&["train", "car", "bus"]).is_empty());
    }

    #[test]
    fn what_belongs_together_stays_on_one_side() {
        let of = |names: &[String]| {
            let paths: Vec<&str> = names.iter().map(String::as_str).collect();
            let Divided { parts, together, .. } = Part::divide(&vec!["a"; names.len()], &paths);
            (parts.iter().filter(|&&part| part == Part::Test).count(), together.len(), parts)
        };
        let copies = |text: &dyn Fn(usize, usize) -> String| {
            (0..8).flat_map(|i| (0..5).map(move |k| (i, k))).map(|(i, k)| text(i, k)).collect::<Vec<_>>()
        };
        let kinds: [&dyn Fn(usize, usize) -> String; 12] = [
            &|i, k| format!("rot{k}_img{i}.png"),
            &|i, k| format!("{}cat {i}.png", ["", "Copy of ", "Flip of ", "Blur of ", "Crop of "][k]),
            &|i, k| format!("clip{i}/{k:03}.png"),
            &|i, k| format!("person{i:02}_cam{k}_2024.png"),
            &|i, k| format!("slide{i}_x{}_y{}.png", k / 2, k % 2),
            &|i, k| format!("img_{i:02}{}.png", ["", "_rot90_flip", "_aug_1", "_aug_2", " - Copy (2)"][k]),
            &|i, k| format!("{i:02}_aug{k}.png"),
            &|i, k| format!("clip{i}-frame{k}.jpg"),
            &|i, k| if k == 0 { format!("cat {i}.png") } else { format!("cat {i} ({k}).png") },
            &|i, k| format!("{i}{}.png", ["a", "b", "c", "d", "e"][k]),
            &|i, k| format!("x/{i}_{}.png", ["flip", "blur", "crop", "dark", "grey"][k]),
            &|i, k| if k == 0 { format!("img_{i}.png") } else { format!("img_{i}_{k}.png") },
        ];
        for text in kinds {
            let names = copies(text);
            let (test, together, parts) = of(&names);
            assert_eq!((test, together), (10, 40), "{names:?}");
            assert!(parts.chunks(5).all(|five| five.iter().all(|part| *part == five[0])), "{names:?} {parts:?}");
        }
        // A counter is no source.
        for text in
            [|i: usize| format!("cat_{i:04}.png"), |i| format!("IMG_2026_{i}.png"), |i| format!("{i}.png"), |i| format!("cat.{i}.jpg")]
        {
            assert_eq!(of(&(0..40).map(text).collect::<Vec<_>>()).0, 8);
            assert_eq!(of(&(0..40).map(text).collect::<Vec<_>>()).1, 0);
        }
        assert_eq!(of(&["0.png".into(), "1.png".into()]).0, 0, "too few");
        let scans: Vec<String> = (0..30).map(|i| format!("scan_{}_{}.png", i / 10, i % 10)).collect();
        assert_eq!(of(&scans).0, 10, "one of three");
        let clips: Vec<String> = (0..40).map(|i| format!("clip{}-frame{}.png", i / 20, i % 20)).collect();
        let note = Part::divide(&[""; 40], &clips.iter().map(String::as_str).collect::<Vec<_>>()).note("picture");
        assert!(note.contains("names of 40 begin alike too") && !note.contains("each class"), "{note}");
    }
}
