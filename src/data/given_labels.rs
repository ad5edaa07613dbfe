//! Labels in a CSV file: those that a user gives by hand, or that were spread from them.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

use super::finder::Finder;
use super::label_sets::{LabelSets, SetCell, are_sets};
use super::names::{beginning_of, find_name, in_order, normalized, note_alike, some_of};
use super::number::Notation;
use super::sheet::Sheet;
use super::split::Part;
use super::text_rows::text_column;
use super::{Dataset, ReadOptions, SharedRows, Split, Truth, TruthKind, WRONG, index, tree};

/// Labels of training samples.
#[derive(Clone, Debug, PartialEq)]
pub struct GivenLabels {
    /// (training sample, class), ascending.
    pub labelled: Vec<(u32, u32)>,
    /// Those of the data, or where these have none, those of the file.
    pub class_names: Vec<String>,
    /// Rows that were left out, as they are less certain than asked for.
    pub uncertain: usize,
    /// What a user must be told.
    pub notes: Vec<String>,
}

impl GivenLabels {
    /// Samples of each class.
    pub fn per_class(&self) -> Vec<usize> {
        let mut counts = vec![0; self.class_names.len()];
        self.labelled.iter().for_each(|&(_, class)| counts[class as usize] += 1);
        counts
    }

    /// Fails where all are of one class; `file` is where they were read.
    pub fn ensure_tell_apart(&self, file: &Path) -> Result<()> {
        let mut seen = self.per_class().into_iter().zip(&self.class_names).filter(|(count, _)| *count > 0);
        let (first, more) = (seen.next(), seen.next().is_some());
        let class = first.map_or("", |(_, class)| class);
        ensure!(more, "all labels of {} are `{class}`: there is nothing to tell apart", file.display());
        Ok(())
    }
}

/// Sets of labels of training samples.
#[derive(Clone, Debug, PartialEq)]
pub struct GivenSets {
    /// Training samples, ascending.
    pub labelled: Vec<u32>,
    /// Theirs, as in [`Truth::label_sets`].
    pub sets: SharedRows<u8>,
    /// Those of the data, or where these have none, those of the file.
    pub class_names: Vec<String>,
    /// What a user must be told.
    pub notes: Vec<String>,
}

/// What rows say of training samples, ascending.
struct GivenRows<T> {
    labelled: Vec<(u32, T)>,
    /// Rows that are less certain than asked for, and of texts for testing.
    uncertain: usize,
    of_test: usize,
    notes: Vec<String>,
}

fn columns_of(sheet: &Sheet) -> String {
    format!("{} has the columns {}", sheet.name, sheet.columns.join(", "))
}

fn label_column(sheet: &Sheet) -> Result<usize> {
    let has = || format!("{}: one called `label` is wanted, as after a first line `file,label`", columns_of(sheet));
    sheet.find_any(&["label", "labels", "class"]).with_context(has)
}

/// The training samples that the rows of a sheet are about.
struct Named<'a> {
    data: &'a Dataset,
    sheet: &'a Sheet,
    column: usize,
    /// Of files, the training samples' first.
    finder: Option<Finder<'a>>,
    /// Of texts; without this and without a finder the column has indices.
    texts: Option<SamplesByText<'a>>,
}

/// Samples by their texts.
struct SamplesByText<'a> {
    /// Training samples with each, ascending.
    train: HashMap<&'a str, Vec<u32>>,
    test: HashSet<&'a str>,
    /// The column that may tell which of equal ones is meant.
    index: Option<usize>,
    /// Rows that name test texts.
    of_test: usize,
}

impl<'a> SamplesByText<'a> {
    fn of(data: &'a Dataset, index: Option<usize>) -> Self {
        let of = |split: &'a Split| (0..split.len()).filter_map(move |sample| Some((split.samples.text(sample)?, sample)));
        let mut train: HashMap<&str, Vec<u32>> = HashMap::new();
        of(&data.train).for_each(|(text, sample)| train.entry(text).or_default().push(sample));
        let test = data.test.iter().flat_map(of).map(|(text, _)| text).collect();
        SamplesByText { train, test, index, of_test: 0 }
    }
}

impl Named<'_> {
    /// None where a row names a text that is for testing.
    fn of(&mut self, row: usize) -> Result<Vec<u32>> {
        let (data, cell, count) = (self.data, self.sheet.cell(row, self.column), self.data.train.len());
        if let Some(texts) = &mut self.texts {
            let equal = texts.train.get(cell).cloned().unwrap_or_default();
            if equal.is_empty() && texts.test.contains(cell) {
                texts.of_test += 1;
            } else if equal.is_empty() {
                bail!("`{}` is none of the training texts of {}", beginning_of(cell), data.name);
            }
            let meant = texts.index.and_then(|column| self.sheet.cell(row, column).parse().ok());
            return Ok(match meant.filter(|meant| equal.contains(meant)) {
                Some(meant) => vec![meant],
                None => equal,
            });
        }
        let Some(finder) = &mut self.finder else {
            let found = cell.parse().ok().filter(|&index: &u32| index < count);
            let what = data.train.kind().called();
            return found
                .map(|index| vec![index])
                .with_context(|| format!("index `{cell}` is none of the {count} training {what} of {}, counted from 0", data.name));
        };
        match finder.find(cell)? {
            Some(index) if index < count as usize => Ok(vec![index as u32]),
            Some(_) => bail!("{cell} is a test image of {}, which must not be trained on", data.name),
            None => bail!("{cell} is none of the training images of {}, such as {}", data.name, data.train.names[0]),
        }
    }
}

impl Dataset {
    /// Reads a CSV file as [`given_labels`](Self::given_labels) does, whose labels are sets: in any of its cells, several may stand
    /// between `|`, and none in one that is empty. `sets`: whether they are; where nobody said so, as they seem to be. `None` where they
    /// are not.
    pub fn given_sets(&self, path: &Path, least: f64, sets: Option<bool>) -> Result<Option<GivenSets>> {
        let sheet = Sheet::parse(&tree::read(path)?, &path.display().to_string())?;
        let truth = sets.map(|sets| if sets { TruthKind::LabelSets } else { TruthKind::Classes });
        let own = self.train.truth.label_sets.is_some();
        let options = ReadOptions { truth, guess_sets: sets.is_none(), want_labels: true, ..ReadOptions::default() };
        let label = label_column(&sheet)?;
        if !are_sets(&options, sheet.column(label)) {
            return Ok(None);
        }
        let cells: Vec<SetCell<'_>> = sheet.column(label).map(|cell| (cell, true)).collect();
        let mut notes = Vec::new();
        let read =
            LabelSets::of(&sheet.name, ("row", &sheet.columns[label]), &cells, &options, &mut notes)?.context("labels are wanted")?;
        let names = if own { self.class_names.clone() } else { read.names.clone() };
        let place: Vec<Option<usize>> = read.names.iter().map(|name| find_name(&names, name)).collect();
        let unknown: Vec<&String> = read.names.iter().zip(&place).filter(|(_, place)| place.is_none()).map(|(name, _)| name).collect();
        ensure!(unknown.is_empty(), "{}: {} are none of the labels of {}: {}", sheet.name, some_of(&unknown), self.name, some_of(&names));
        let rows: Vec<usize> = (0..sheet.len()).collect();
        let all = read.select(&rows);
        let of_row = |row: usize| {
            let mut set = vec![WRONG; names.len()];
            all.row(row as u32).iter().zip(&place).for_each(|(&said, place)| place.iter().for_each(|&place| set[place] = said));
            set
        };
        let found = self.said_in(&sheet, label, &rows, least, of_row)?;
        let uncertain = found.uncertain;
        notes.extend(found.notes);
        ensure!(!found.labelled.is_empty(), "{} has no labels: {uncertain} are less certain than {least}", sheet.name);
        if uncertain > 0 {
            notes.push(format!("{uncertain} rows of {} are less certain than {least} and are left out", sheet.name));
        }
        let (labelled, sets): (Vec<u32>, Vec<Vec<u8>>) = found.labelled.into_iter().unzip();
        Ok(Some(GivenSets { labelled, sets: SharedRows::new(sets.concat(), names.len() as u32), class_names: names, notes }))
    }

    /// The samples with given sets of labels, and those in the place of their own, as the training samples.
    pub fn labelled_by_sets(mut self, given: &GivenSets) -> Dataset {
        self.train = self.train.select(&given.labelled);
        self.train.truth = Truth { label_sets: Some(given.sets.clone()), ..Truth::default() };
        (self.classes, self.class_names) = (given.class_names.len() as u32, given.class_names.clone());
        self
    }

    /// Reads a CSV file with a column `file`, `text` or `index` that names training samples, a column `label` with the names of
    /// classes, and perhaps one called `confidence`, of which `least` is enough. Rows with an empty label are passed over. Fails
    /// where a row names a test sample, or none; a class that the data do not have; or a sample twice with different labels.
    pub fn given_labels(&self, path: &Path, least: f64) -> Result<GivenLabels> {
        let sheet = Sheet::parse(&tree::read(path)?, &path.display().to_string())?;
        let label = label_column(&sheet)?;
        let rows: Vec<usize> = (0..sheet.len()).filter(|&row| !sheet.cell(row, label).is_empty()).collect();
        let empty = sheet.len() - rows.len();
        let class_names = self.names_of_classes(rows.iter().map(|&row| sheet.cell(row, label)));
        let class_of: HashMap<Cow<'_, str>, u32> = class_names.iter().map(|name| normalized(name)).zip(0..).collect();
        let class = |row: usize| class_of.get(&normalized(sheet.cell(row, label))).copied();
        let strange: Vec<usize> = rows.iter().copied().filter(|&row| class(row).is_none()).collect();
        if let Some(&first) = strange.first() {
            let unknown: BTreeSet<String> = strange.iter().map(|&row| format!("`{}`", sheet.cell(row, label))).collect();
            let unknown: Vec<String> = unknown.into_iter().collect();
            let (line, are) = (sheet.line(first), if unknown.len() > 1 { "are" } else { "is" });
            bail!(
                "{}, line {line}: {} {are} none of the classes of {}: {}",
                sheet.name,
                some_of(&unknown),
                self.name,
                some_of(&class_names)
            );
        }
        let found = self.said_in(&sheet, label, &rows, least, |row| class(row).unwrap_or(0))?;
        let GivenRows { labelled, uncertain, of_test, mut notes } = found;
        if labelled.is_empty() {
            let why = match (uncertain, of_test) {
                (0, 0) => String::new(),
                (0, tests) => format!(": its {tests} texts are for testing"),
                (uncertain, _) => format!(": {uncertain} are less certain than {least}"),
            };
            bail!("{} has no labels{why}", sheet.name);
        }
        if empty > 0 {
            notes.push(format!("{empty} rows of {} have an empty label and are left out", sheet.name));
        }
        note_alike(&class_names.iter().map(String::as_str).collect::<Vec<_>>(), &mut notes);
        Ok(GivenLabels { labelled, class_names, uncertain, notes })
    }

    /// What `rows` of a sheet say of training samples, each as `value` reads it.
    fn said_in<T: Clone + PartialEq>(
        &self,
        sheet: &Sheet,
        label: usize,
        rows: &[usize],
        least: f64,
        value: impl Fn(usize) -> T,
    ) -> Result<GivenRows<T>> {
        let confidence = sheet.find("confidence");
        let mut samples = self.samples_by_name(sheet, label, || columns_of(sheet))?;
        let parts = sheet.parts()?.filter(|(column, _)| *column != label);
        if let Some(row) = parts.as_ref().and_then(|(_, parts)| parts.iter().position(|&part| part != Part::Train)) {
            let column = parts.map_or(0, |(column, _)| column);
            bail!(
                "{}, line {}: column `{}` says `{}`, but all rows are trained on: remove those that are not to be",
                sheet.name,
                sheet.line(row),
                sheet.columns[column],
                sheet.cell(row, column)
            );
        }
        let (mut found, mut uncertain) = (BTreeMap::new(), 0);
        for &row in rows {
            let (said, line) = (value(row), sheet.line(row));
            let named = samples.of(row).with_context(|| format!("{}, line {line}", sheet.name))?;
            let cell = |column: usize| sheet.cell(row, column);
            // What a person wrote has none.
            let certainty = match confidence.filter(|&column| !cell(column).is_empty()) {
                Some(column) => sheet.number(row, column, Notation::default())?.unwrap_or(f64::NAN),
                None => 1.0,
            };
            ensure!(
                (0.0..=1.0).contains(&certainty),
                "{}, line {line}: a confidence is a share, 0 to 1, not `{}`",
                sheet.name,
                confidence.map_or("", cell)
            );
            if certainty < least {
                uncertain += 1;
                continue;
            }
            for sample in named {
                let (before, other) = found.insert(sample, (said.clone(), row)).unwrap_or_else(|| (said.clone(), row));
                ensure!(before == said, "{}, line {line}: another line has `{}` for this sample", sheet.name, sheet.cell(other, label));
            }
        }
        let of_test = samples.texts.as_ref().map_or(0, |texts| texts.of_test);
        let mut notes: Vec<String> = samples.finder.iter().flat_map(|finder| finder.notes(&sheet.name)).collect();
        if of_test > 0 {
            notes.push(format!("{of_test} rows of {} are of texts that are for testing, and are left out", sheet.name));
        }
        let labelled = found.into_iter().map(|(sample, (said, _))| (sample, said)).collect();
        Ok(GivenRows { labelled, uncertain, of_test, notes })
    }

    /// The samples with given labels, and those labels in the place of their own, as the training samples.
    pub fn labelled_by(mut self, given: &GivenLabels) -> Dataset {
        let (rows, labels): (Vec<u32>, Vec<u32>) = given.labelled.iter().copied().unzip();
        self.train = self.train.select(&rows);
        self.train.truth.labels = Some(labels);
        (self.classes, self.class_names) = (given.class_names.len() as u32, given.class_names.clone());
        self
    }

    /// Training samples by what the rows of the sheet call them, which is not in the column `label`.
    fn samples_by_name<'a>(&'a self, sheet: &'a Sheet, label: usize, has: impl Fn() -> String) -> Result<Named<'a>> {
        if let Some(column) = index::file_column(sheet, Some(label)).filter(|_| !self.train.names.is_empty()) {
            let names = self.train.names.iter().chain(self.test.iter().flat_map(|test| &test.names));
            let finder = Finder::new(names.map(|name| [&**name; 2]), &self.root);
            return Ok(Named { data: self, sheet, column, finder: Some(finder), texts: None });
        }
        let text = || sheet.find("text").or_else(|| text_column(sheet)).filter(|&column| column != label);
        if let Some(column) = text().filter(|_| self.train.samples.text(0).is_some()) {
            let texts = SamplesByText::of(self, sheet.find("index").filter(|&index| index != column && index != label));
            return Ok(Named { data: self, sheet, column, finder: None, texts: Some(texts) });
        }
        let column = sheet.find("index").with_context(|| match self.train.names.is_empty() {
            true => format!(
                "{}: one called `index` is wanted, as the {} of {} have no file names",
                has(),
                self.train.kind().called(),
                self.name
            ),
            false => format!("{}: one called `file` or `index` is wanted", has()),
        })?;
        Ok(Named { data: self, sheet, column, finder: None, texts: None })
    }

    /// Those of the data; of data whose samples have no labels, those that are given.
    fn names_of_classes<'a>(&self, given: impl Iterator<Item = &'a str>) -> Vec<String> {
        if self.classes > 0 && self.train.truth.labels.is_some() {
            return self.class_names.clone();
        }
        in_order(given.map(|name| normalized(name).into_owned()).collect())
    }
}
