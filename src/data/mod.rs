//! Data sets in memory: images as bytes, or the rows of a table, with the truth about them where it is known.
//!
//! `Dataset::load` reads what users have.

// What reads tables serves files alone, but is no stranger to memory.
#![cfg_attr(not(feature = "files"), allow(dead_code))]

mod bpe;
#[cfg(feature = "files")]
mod cifar;
mod classes;
mod column;
#[cfg(feature = "files")]
mod decode;
#[cfg(feature = "files")]
mod decode_cache;
mod divided_text;
#[cfg(feature = "files")]
mod excerpt;
#[cfg(feature = "files")]
mod finder;
mod fingerprint;
#[cfg(feature = "files")]
mod folder;
#[cfg(feature = "files")]
mod given_labels;
#[cfg(feature = "files")]
mod guard;
#[cfg(feature = "files")]
mod idx;
#[cfg(feature = "files")]
mod index;
mod kinds;
mod label_sets;
mod language_tokenizer;
#[cfg(feature = "files")]
mod layout;
#[cfg(feature = "files")]
mod load;
mod log_mel;
#[cfg(feature = "files")]
mod mask;
mod names;
mod number;
#[cfg(feature = "files")]
mod picture;
#[cfg(feature = "files")]
mod picture_truth;
mod pieces;
#[cfg(feature = "files")]
mod pixel_table;
#[cfg(feature = "files")]
mod reader;
mod resize;
mod samples;
mod sheet;
#[cfg(feature = "files")]
mod sound;
mod sound_form;
#[cfg(feature = "files")]
mod sounds;
mod spans;
mod spectrogram;
mod split;
mod table;
#[cfg(feature = "files")]
mod tagged;
mod tags;
#[cfg(feature = "files")]
mod text_rows;
#[cfg(feature = "files")]
mod texts;
#[cfg(feature = "files")]
mod tiff;
mod tokenizer;
mod tokenizer_file;
mod transcripts;
#[cfg(feature = "files")]
mod tree;
mod unicode_tables;
mod word_tokenizer;
mod wordpiece;

use std::path::PathBuf;

use anyhow::{Result, ensure};

use crate::core::sample::Subject;

pub use divided_text::DividedText;
pub use fingerprint::Fingerprint;
#[cfg(feature = "files")]
pub use given_labels::{GivenLabels, GivenSets};
pub use kinds::misnamed;
pub use label_sets::{RIGHT, UNKNOWN, WRONG};
pub use language_tokenizer::{Encoded, LanguageTokenizer};
#[cfg(feature = "files")]
pub use load::{Format, formats, implied_truth, may_be_read, recognise};
pub use log_mel::LogMel;
#[cfg(feature = "files")]
pub use mask::{paint, restore};
pub use names::beginning_of;
#[cfg(feature = "files")]
pub use picture::{Look, PictureOptions, Remarks, load_picture, load_sample, look_at, subject_of};
pub use resize::{CenterCrop, Interpolation, Resize};
pub use samples::{Samples, SharedRows};
pub use sound_form::SoundForm;
pub use spans::{TaggedSpan, mark_spans, spans};
pub use spectrogram::Spectrogram;
pub use split::{Split, Truth};
pub use table::{Encoding, Scale, Table, TableRows};
pub use tags::Tags;
#[cfg(feature = "files")]
pub use texts::LoadedTexts;
pub use tokenizer::{Masking, NO_PLACE, Tokenizer, WordTokens};
pub use transcripts::Transcripts;
#[cfg(feature = "files")]
pub use tree::leads_above;

/// Sides of images are at most this.
pub const MOST_SIDE: u32 = 4096;

/// Samples of a data set may take this much memory.
const MOST_SAMPLE_BYTES: u64 = 64 << 30;

/// What is to be known of samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TruthKind {
    /// A class of each.
    Classes,
    /// Any number of labels of each.
    LabelSets,
    /// A number of each.
    Numbers,
    /// A class of each pixel.
    Masks,
    /// A class of each word.
    Tags,
    /// What each says, letter by letter.
    Transcripts,
}

impl TruthKind {
    /// Whether that is classes, which are known by their names; letters are their own.
    pub fn is_of_names(self) -> bool {
        matches!(self, TruthKind::Classes | TruthKind::LabelSets | TruthKind::Tags | TruthKind::Transcripts)
    }

    /// Whether it is what a cell names: a class, or several.
    pub fn is_of_cells(self) -> bool {
        matches!(self, TruthKind::Classes | TruthKind::LabelSets)
    }

    /// Whether tables of numbers may have it.
    pub fn is_of_tables(self) -> bool {
        matches!(self, TruthKind::Numbers | TruthKind::LabelSets)
    }

    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            TruthKind::Classes => "labels",
            TruthKind::LabelSets => "sets of labels",
            TruthKind::Numbers => "numbers",
            TruthKind::Masks => "masks",
            TruthKind::Tags => "tags of words",
            TruthKind::Transcripts => "transcripts",
        }
    }
}

/// How data are to be read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ReadOptions {
    /// The column to be predicted, of a table, of texts or of an image folder's `index.csv`.
    pub target: Option<String>,
    /// The column that has texts. Without it, the one that is called so or has most words.
    pub text: Option<String>,
    /// Whether lines up to a blank one are a text. Without it, if they are three or more on average.
    pub documents: Option<bool>,
    /// What makes tokens of texts; learned from the training texts if absent.
    pub tokenizer: Option<Tokenizer>,
    /// Whether what is learned is one token for each place of a text, pieces of words in their order, not words with all their pieces.
    pub pieces: bool,
    /// Height and width that images get. Without it image folders take the size that all pictures have, if they have one and it
    /// is no larger than 256, else 32x32; other formats keep theirs.
    pub size: Option<[u32; 2]>,
    /// Grey (true) or colour. Without it most pictures decide.
    pub grey: Option<bool>,
    /// Of each value of a picture, the bits that are used; they are stretched over the whole range.
    pub bits: Option<u32>,
    /// How pictures of other proportions get their size.
    pub resize: Resize,
    /// Samples per second that sounds get. Without it, as many as most have, at most [`Spectrogram::USUAL_RATE`].
    pub rate: Option<u32>,
    /// How sounds become samples for a run that knows.
    pub sound_form: Option<SoundForm>,
    /// Images of another subject than this are an error.
    pub subject: Option<Subject>,
    /// Without it the data decide: masks, a column of numbers, classes.
    pub truth: Option<TruthKind>,
    /// Nobody said that labels are classes: they are sets where a share of the cells has `|`.
    pub guess_sets: bool,
    /// Whether data without labels are an error.
    pub want_labels: bool,
    /// Labels come from elsewhere: it goes without saying that the data have none.
    pub labels_given: bool,
    /// No test samples are drawn where none are given.
    pub undivided: bool,
    /// The classes that a run knows already, which the data need not all have.
    pub known_classes: Option<Vec<String>>,
    /// The values that the classes of a run have in masks.
    pub known_values: Vec<u8>,
    /// The colours of those values.
    pub known_palette: Vec<u8>,
    /// Where decoded pictures are kept for the next run; nowhere without it.
    pub cache: Option<PathBuf>,
    /// Memory that a picture may take when decoded; 256 MiB if absent.
    pub most_picture_bytes: Option<u64>,
}

impl ReadOptions {
    /// The flag of the first option that means something to texts alone.
    pub fn of_texts(&self) -> Option<&'static str> {
        self.text.is_some().then_some("--text").or(self.documents.map(|_| "--documents"))
    }

    /// The flag of the first option that means nothing to a table.
    pub fn of_pictures(&self) -> Option<&'static str> {
        let given = [
            (self.size.is_some(), "--size"),
            (self.resize != Resize::Letterbox, "--resize"),
            (self.grey.is_some(), "--grey"),
            (self.bits.is_some(), "--bits"),
        ];
        given.into_iter().find(|(given, _)| *given).map(|(_, flag)| flag)
    }
}

/// What a run can see. Training and model selection use `train` alone.
#[derive(Clone, Debug)]
pub struct Dataset {
    pub name: String,
    /// What it was read from; empty for the embedded digits.
    pub root: PathBuf,
    pub train: Split,
    pub test: Option<Split>,
    /// Of training and of test samples, those that belong to none of the classes, as somebody said.
    pub out_of_scope: [Option<Split>; 2],
    /// Number of classes of labels, of sets of labels or of masks: the largest one plus one, 0 without any.
    pub classes: u32,
    /// As many as there are classes.
    pub class_names: Vec<String>,
    /// The value that each class has in masks; none where there are no masks.
    pub mask_values: Vec<u8>,
    /// Colours (red, green, blue) of the values in masks that were read from palette PNGs.
    pub mask_palette: Vec<u8>,
    /// What a user must be told: files that were left out, the split rule, a change of size.
    pub notes: Vec<String>,
    /// Of a table: how other files with its columns become samples.
    pub encoding: Option<Encoding>,
    /// Of texts: how others become samples.
    pub tokenizer: Option<Tokenizer>,
    /// Of sounds: how others become samples.
    pub sound_form: Option<SoundForm>,
}

impl Dataset {
    /// What its images are pictures of.
    pub fn subject(&self) -> Subject {
        if self.sound_form.is_some() { Subject::Sounds } else { Subject::Pictures }
    }

    /// What people call its samples.
    pub fn called(&self) -> &'static str {
        match self.subject() {
            Subject::Sounds => Subject::Sounds.many(),
            Subject::Pictures => self.train.kind().called(),
        }
    }

    /// Whether this is known of its training samples, and there is something to learn.
    pub fn knows(&self, truth: TruthKind) -> bool {
        let least = match truth {
            TruthKind::Numbers => 0,
            TruthKind::LabelSets | TruthKind::Transcripts => 1,
            TruthKind::Classes | TruthKind::Masks | TruthKind::Tags => 2,
        };
        self.train.truth.knows(truth) && self.classes >= least
    }

    /// The classes and how many training samples each has, for people; `None` without labels.
    pub fn class_counts(&self) -> Option<String> {
        /// All of these are named; of more classes, these with the fewest samples.
        const NAMED: usize = 12;
        let mut counts = vec![0; self.class_names.len()];
        let what = match &self.train.truth {
            Truth { labels: Some(labels), .. } => {
                labels.iter().for_each(|&label| counts[label as usize] += 1);
                "classes"
            }
            Truth { label_sets: Some(sets), .. } => {
                sets.iter().for_each(|set| counts.iter_mut().zip(set).for_each(|(count, &said)| *count += usize::from(said == RIGHT)));
                "labels, of which each sample has any number"
            }
            _ => return None,
        };
        let mut classes: Vec<(usize, &String)> = counts.into_iter().zip(&self.class_names).collect();
        let all = classes.len();
        if all > NAMED {
            classes.sort();
        }
        let named: Vec<String> = classes.iter().take(NAMED).map(|(count, name)| format!("{name} ({count})")).collect();
        let rest = if all > NAMED { format!("; the other {} have more", all - NAMED) } else { String::new() };
        Some(format!("{all} {what}: {}{rest}", named.join(", ")))
    }

    /// Samples of one type, the test samples' included. Fails where there is nothing to train on.
    pub fn new(name: String, train: Split, test: Option<Split>) -> Result<Self> {
        ensure!(!train.is_empty(), "there are no training samples");
        if let Some(test) = &test {
            let (ours, theirs) = (train.kind(), test.kind());
            ensure!(ours == theirs, "training samples are of {ours}, test samples of {theirs}");
        }
        let labels = || [Some(&train), test.as_ref()].into_iter().flatten().filter_map(|s| s.truth.labels.as_ref()).flatten();
        let classes = labels().max().map_or(0, |largest| largest + 1);
        let class_names = (0..classes).map(|class| class.to_string()).collect();
        Ok(Dataset {
            name,
            root: PathBuf::new(),
            train,
            test,
            out_of_scope: [None, None],
            classes,
            class_names,
            mask_values: Vec::new(),
            mask_palette: Vec::new(),
            notes: Vec::new(),
            encoding: None,
            tokenizer: None,
            sound_form: None,
        })
    }
}
