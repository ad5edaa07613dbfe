//! An image folder's `index.csv`: for each picture what it is for, and what is to be predicted of it.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::excerpt::Excerpt;
use super::finder::Finder;
use super::label_sets::are_sets;
use super::layout::Placed;
use super::names::{normalized, some_of};
use super::number::{Guess, Notation, is_missing};
use super::sheet::Sheet;
use super::split::Part;
use super::{ReadOptions, TruthKind};
use crate::core::sample::Subject;

/// Columns that may name the picture, the usual one first.
const FILE_COLUMNS: [&str; 16] = [
    "file",
    "filename",
    "file_name",
    "file name",
    "filepath",
    "file_path",
    "image",
    "image_path",
    "image_name",
    "image_file",
    "image_id",
    "img",
    "img_path",
    "path",
    "name",
    "id",
];

/// Columns that often hold what is to be predicted.
const LABEL_COLUMNS: [&str; 5] = ["label", "labels", "class", "category", "target"];

/// Columns that often hold what samples say.
const TRANSCRIPT_COLUMNS: [&str; 7] = ["text", "transcript", "transcription", "sentence", "words", "label", "labels"];

/// Columns that may say where in a recording a sample begins and ends, in seconds.
const START_COLUMNS: [&str; 4] = ["start", "start_time", "begin", "onset"];
const END_COLUMNS: [&str; 4] = ["end", "end_time", "stop", "offset"];

/// What the index says about a picture.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct IndexRow {
    pub part: Option<Part>,
    /// As it is written, numbers as programs write them; `None` where nothing is, or no column is asked for.
    pub target: Option<String>,
    /// Of a sound, the part of it that is meant.
    pub excerpt: Option<Excerpt>,
    pub line: u32,
}

/// The column that names pictures, which is none of `besides`.
pub(super) fn file_column(sheet: &Sheet, besides: Option<usize>) -> Option<usize> {
    FILE_COLUMNS.iter().filter_map(|column| sheet.find(column)).find(|column| Some(*column) != besides)
}

/// The column that has what samples say, where none was named.
pub(super) fn transcript_column(sheet: &Sheet) -> Result<&str> {
    let found = TRANSCRIPT_COLUMNS.iter().find_map(|column| sheet.find(column)).with_context(|| {
        format!("{} has no column `text` of transcripts (--target names another); its columns are {}", sheet.name, sheet.columns.join(", "))
    })?;
    Ok(&sheet.columns[found])
}

/// What an index says of pictures.
#[derive(Default)]
pub(super) struct IndexRows {
    /// Of each picture: nothing for those it does not name, more for a sound of which it names several parts.
    pub rows: Vec<Vec<IndexRow>>,
    /// Whether what is to be predicted are sets of labels.
    pub sets: bool,
}

/// Finds for each picture below `root` what the index says about it. See [`Finder`] for how pictures may be named. What a user must
/// be told goes to `notes`.
pub(super) fn rows(
    sheet: &Sheet,
    pictures: &[Placed<'_>],
    subject: Subject,
    options: &ReadOptions,
    root: &str,
    notes: &mut Vec<String>,
) -> Result<IndexRows> {
    let (name, one, many) = (&sheet.name, subject.one(), subject.many());
    let target = options.target.as_deref().map(|column| sheet.target(Some(column))).transpose()?;
    let file = file_column(sheet, target)
        .with_context(|| format!("{name} has no column `file` that names the {many}; its columns are {}", sheet.columns.join(", ")))?;
    let label = LABEL_COLUMNS.iter().filter_map(|column| sheet.find(column)).find(|column| *column != file);
    if let (None, Some(label)) = (target, label) {
        notes.push(format!("{name} has a column `{0}`, which `--target {0}` would predict", sheet.columns[label]));
    }
    let sets = target.is_some_and(|column| are_sets(options, sheet.column(column)));
    let truth = if sets { Some(TruthKind::LabelSets) } else { options.truth };
    let targets = target.map(|column| targets(sheet, column, truth, notes)).transpose()?;
    let parts = sheet.parts()?;
    if let Some((column, _)) = &parts {
        notes.push(format!("column `{}` of {name} says which {many} are for training and which for testing", sheet.columns[*column]));
    }
    let [start, end] = [START_COLUMNS, END_COLUMNS].map(|names| sheet.find_any(&names).filter(|_| subject == Subject::Sounds));
    let noted = |column: Option<usize>| -> Result<Option<(usize, Notation)>> {
        let Some(column) = column else { return Ok(None) };
        Ok(Some((column, sheet.notation(column, sheet.guesses()[column])?.unwrap_or_default())))
    };
    let (start, end) = (noted(start)?, noted(end)?);
    for (column, what) in [(start, "begins"), (end, "ends")].into_iter().filter_map(|(column, what)| Some((column?.0, what))) {
        notes.push(format!("column `{}` of {name} says at which second of its sound a sample {what}", sheet.columns[column]));
    }
    let excerpt = |row: usize| -> Result<Option<Excerpt>> {
        let second = |column: Option<(usize, Notation)>| match column {
            Some((column, notation)) => sheet.number(row, column, notation),
            None => Ok(None),
        };
        let (start, end) = (second(start)?, second(end)?);
        if start.is_none() && end.is_none() { Ok(None) } else { Ok(Some(Excerpt::new(start.unwrap_or(0.0), end)?)) }
    };
    let mut finder = Finder::new(pictures.iter().map(|picture| [picture.entry.name.as_str(), picture.rest]), Path::new(root));
    let mut found: Vec<Vec<IndexRow>> = vec![Vec::new(); pictures.len()];
    let (mut absent, mut twice) = (Vec::new(), 0);
    for row in 0..sheet.len() {
        let (cell, line) = (sheet.cell(row, file), sheet.line(row));
        if cell.is_empty() {
            ensure!((0..sheet.columns.len()).all(|column| sheet.cell(row, column).is_empty()), "{name}, line {line} names no {one}");
            continue;
        }
        let Some(index) = finder.find(cell).with_context(|| format!("{name}, line {line}"))? else {
            absent.push(cell);
            continue;
        };
        let target = targets.as_ref().and_then(|targets| targets[row].clone());
        let excerpt = excerpt(row).with_context(|| format!("{name}, line {line}"))?;
        let said = IndexRow { part: parts.as_ref().map(|(_, parts)| parts[row]), target, excerpt, line };
        if let Some(earlier) = found[index].iter().find(|earlier| earlier.excerpt == said.excerpt) {
            let picture = &pictures[index].entry.name;
            let agree = (earlier.part, &earlier.target) == (said.part, &said.target);
            ensure!(agree, "{name} names {picture} twice, in lines {} and {line}, and does not say the same of it", earlier.line);
            twice += 1;
        } else {
            found[index].push(said);
        }
    }
    ensure!(absent.is_empty(), "{name} names {} {many} that are not there, of {}: {}", absent.len(), sheet.len(), some_of(&absent));
    notes.extend(finder.notes(name));
    if twice > 0 {
        notes.push(format!("{twice} lines of {name} repeat others"));
    }
    Ok(IndexRows { rows: found, sets })
}

/// What is to be predicted in each row; `None` where nothing is, in a column of numbers also where a word such as `NA` says so.
fn targets(sheet: &Sheet, column: usize, truth: Option<TruthKind>, notes: &mut Vec<String>) -> Result<Vec<Option<String>>> {
    // Of sets, nothing is something.
    let says = |cell: &str| !cell.is_empty() || truth == Some(TruthKind::LabelSets);
    let texts = |sheet: &Sheet| sheet.column(column).map(|cell| says(cell).then(|| normalized(cell).into_owned())).collect();
    let (forms, names) = (sheet.column(column).collect::<BTreeSet<_>>(), sheet.column(column).map(normalized).collect::<BTreeSet<_>>());
    if names.len() < forms.len() {
        notes.push(format!("names in column `{}` of {} that differ in Unicode form only are one", sheet.columns[column], sheet.name));
    }
    let Some(notation) = (match truth {
        Some(TruthKind::Classes | TruthKind::LabelSets | TruthKind::Masks | TruthKind::Tags | TruthKind::Transcripts) => None,
        Some(TruthKind::Numbers) => Some(sheet.notation(column, sheet.guesses()[column])?.unwrap_or_default()),
        None => all_numbers(sheet, column)?,
    }) else {
        return Ok(texts(sheet));
    };
    notes.extend(sheet.conversions([(column, notation)].into_iter()));
    let (_, words) = sheet.missing(0..sheet.len(), column);
    if !words.is_empty() {
        notes.push(format!("column `{}` of {}{words}", sheet.columns[column], sheet.name));
    }
    let text = |row: usize| match sheet.number(row, column, notation) {
        Ok(number) => Ok(number.map(|number| number.to_string())),
        Err(error) => Err(error),
    };
    (0..sheet.len()).map(text).collect()
}

/// The notation of a column that has nothing but numbers.
fn all_numbers(sheet: &Sheet, column: usize) -> Result<Option<Notation>> {
    let guess = sheet.guesses()[column];
    let filled = || sheet.column(column).filter(|cell| !is_missing(cell));
    let Some(notation) = (if guess == Guess::Other { None } else { sheet.notation(column, guess)? }) else { return Ok(None) };
    Ok(Some(notation).filter(|notation| filled().all(|cell| notation.read(cell).is_some())))
}
