//! Tables of numbers to predict from: CSV files, numbers standardised, categories one-hot. Everything that is computed from values (medians,
//! means, deviations, categories) is computed from the training rows alone.

use std::collections::BTreeSet;
#[cfg(feature = "files")]
use std::ops::Range;
#[cfg(feature = "files")]
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};

#[cfg(feature = "files")]
use super::label_sets::{LabelSets, SetCell, are_sets};
use super::names::{folded, some_of};
use super::number::{Guess, Notation, is_date, is_missing};
#[cfg(feature = "files")]
use super::reader::Reader;
use super::sheet::Sheet;
#[cfg(feature = "files")]
use super::split::Part;
#[cfg(feature = "files")]
use super::tree::Tree;
#[cfg(feature = "files")]
use super::{Dataset, Format, ReadOptions, Samples, Split, Truth, recognise, tree};

/// A column with more categories than this is left out: it holds names or free text.
const MOST_CATEGORIES: usize = 64;
/// A column of numbers may have so many words for a missing one.
const MOST_WORDS: usize = 3;
/// More columns than this are not all named.
const MOST_NAMED: usize = 50;
/// A column of which at least this share are dates holds dates; one of which as many begin like numbers should hold numbers.
const MOSTLY: f64 = 0.9;

/// A table with a number to predict in each row.
#[derive(Clone, Debug)]
pub struct Table {
    pub name: String,
    /// The column that is predicted.
    pub target: String,
    /// Names of the features; `COLUMN=CATEGORY` for one-hot ones.
    pub columns: Vec<String>,
    pub train: TableRows,
    pub test: Option<TableRows>,
    /// Of the training targets.
    pub target_scale: Scale,
    /// Makes features of other files with these columns.
    pub encoding: Encoding,
    /// What a user must be told.
    pub notes: Vec<String>,
}

/// Rows of a table, one after the other.
#[derive(Clone, Debug, PartialEq)]
pub struct TableRows {
    /// `[rows, columns]`
    pub features: Vec<f32>,
    /// As they are in the file.
    pub targets: Vec<f32>,
}

/// Mean and standard deviation (n).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scale {
    pub mean: f64,
    pub std: f64,
}

/// How the columns of a file become features.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Encoding {
    columns: Vec<EncodedColumn>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct EncodedColumn {
    name: String,
    kind: ColumnKind,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ColumnKind {
    /// Standardised; the median where nothing is.
    Number {
        median: f64,
        scale: Scale,
        #[serde(default, skip_serializing_if = "Notation::is_usual")]
        notation: Notation,
    },
    /// A feature for each; all are zero where nothing is, or another category than those of the training rows.
    Categories(Vec<String>),
}

impl TableRows {
    pub fn len(&self) -> usize {
        self.targets.len()
    }

    pub fn is_empty(&self) -> bool {
        self.targets.is_empty()
    }
}

impl Scale {
    /// Of values, at least one.
    pub fn of(values: &[f64]) -> Self {
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        Scale { mean, std: (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / n).sqrt() }
    }

    /// Whether the values are equal, but for rounding.
    pub fn is_constant(self) -> bool {
        self.std <= 1e-12 * self.mean.abs()
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { 0.5 * (values[middle - 1] + values[middle]) }
}

impl Encoding {
    /// Names of the features.
    pub fn features(&self) -> Vec<String> {
        let names = |column: &EncodedColumn| match &column.kind {
            ColumnKind::Number { .. } => vec![column.name.clone()],
            ColumnKind::Categories(categories) => categories.iter().map(|category| format!("{}={category}", column.name)).collect(),
        };
        self.columns.iter().flat_map(names).collect()
    }

    #[cfg(feature = "files")]
    /// Features of the rows of a CSV file, plain or gzipped, `[rows, features]`. It must have the columns that this was made of;
    /// others do not matter. What a user must be told goes to `notes`.
    pub fn read(&self, path: &Path, notes: &mut Vec<String>) -> Result<Vec<f32>> {
        let sheet = Sheet::parse(&tree::read(path)?, &path.display().to_string())?;
        let rows: Vec<usize> = (0..sheet.len()).collect();
        let features = self.encode(&sheet, &rows)?;
        self.gaps(&sheet, &rows, "row", notes);
        Ok(features)
    }

    /// Says which cells have no value or no known category. `what` they lie in, for a sentence.
    fn gaps(&self, sheet: &Sheet, rows: &[usize], what: &str, notes: &mut Vec<String>) {
        for EncodedColumn { name, kind } in &self.columns {
            let Some(place) = self.place(sheet, name) else { continue };
            let cells = rows.iter().map(|&row| sheet.cell(row, place));
            match kind {
                ColumnKind::Number { median, .. } => {
                    let (missing, words) = sheet.missing(rows.iter().copied(), place);
                    if missing > 0 {
                        notes.push(format!("`{name}`: {missing} missing values are taken as the training median, {median}{words}"));
                    }
                }
                ColumnKind::Categories(known) => {
                    let empty = cells.clone().filter(|cell| cell.is_empty()).count();
                    if empty > 0 {
                        notes.push(format!("`{name}`: {empty} missing values are of no category"));
                    }
                    let unknown: BTreeSet<&str> = cells.filter(|cell| !cell.is_empty() && !known.iter().any(|k| k == cell)).collect();
                    if !unknown.is_empty() {
                        let unknown = some_of(&unknown.into_iter().collect::<Vec<_>>());
                        notes.push(format!("`{name}`: no training row has {unknown}; such {what}s are of no category"));
                    }
                }
            }
        }
    }

    /// Where a column of the model is; in other capitals if the model has no column that differs from it in that.
    fn place(&self, sheet: &Sheet, name: &str) -> Option<usize> {
        let alike = self.columns.iter().filter(|column| folded(&column.name) == folded(name)).count();
        if alike > 1 { sheet.columns.iter().position(|column| column == name) } else { sheet.find(name) }
    }

    /// What makes no sense of one that was read from a file.
    pub fn problem(&self) -> Option<String> {
        let unsound = |scale: &Scale| !(scale.mean.is_finite() && scale.std.is_normal() && scale.std > 0.0);
        let bad = self.columns.iter().find(|column| match &column.kind {
            ColumnKind::Number { median, scale, .. } => !median.is_finite() || unsound(scale),
            ColumnKind::Categories(categories) => categories.is_empty(),
        });
        match bad {
            Some(column) => Some(format!("the scale of column `{}` makes no sense", column.name)),
            None => self.columns.is_empty().then(|| "its table has no columns".into()),
        }
    }

    fn encode(&self, sheet: &Sheet, rows: &[usize]) -> Result<Vec<f32>> {
        let place = |column: &EncodedColumn| {
            let missing = || format!("{} has no column `{}`, which the model was trained on", sheet.name, column.name);
            self.place(sheet, &column.name).with_context(missing)
        };
        let places = self.columns.iter().map(place).collect::<Result<Vec<_>>>()?;
        let mut features = Vec::new();
        for &row in rows {
            for (column, &place) in self.columns.iter().zip(&places) {
                match &column.kind {
                    ColumnKind::Number { median, scale, notation } => {
                        let value = sheet.number(row, place, *notation)?.unwrap_or(*median);
                        features.push(((value - scale.mean) / scale.std) as f32);
                    }
                    ColumnKind::Categories(categories) => {
                        let cell = sheet.cell(row, place);
                        features.extend(categories.iter().map(|category| if category == cell { 1.0 } else { 0.0 }));
                    }
                }
            }
        }
        Ok(features)
    }
}

/// Three capital letters, or `Rs`.
fn is_currency(word: &str) -> bool {
    (word.len() == 3 && word.bytes().all(|byte| byte.is_ascii_uppercase())) || matches!(word, "Rs" | "Rs.")
}

impl EncodedColumn {
    /// How `place` becomes features, by the rows in `train`; `None` with a reason if it says nothing. `all` are the rows used.
    fn of(sheet: &Sheet, place: usize, guess: Guess, all: &[usize], train: &[usize]) -> Result<Result<Self, &'static str>> {
        let name = sheet.columns[place].clone();
        let cell = |&row: &usize| sheet.cell(row, place);
        if train.iter().map(cell).all(str::is_empty) {
            return Ok(Err("empty"));
        }
        if let Some(notation) = sheet.notation(place, guess)? {
            let values =
                |rows: &[usize]| rows.iter().filter_map(|&row| sheet.number(row, place, notation).transpose()).collect::<Result<Vec<_>>>();
            // Fails at the first that is none.
            values(all)?;
            let values = values(train)?;
            if values.is_empty() {
                return Ok(Err("empty"));
            }
            let scale = Scale::of(&values);
            let column = EncodedColumn { name, kind: ColumnKind::Number { median: median(values), scale, notation } };
            return Ok(if scale.is_constant() { Err("constant") } else { Ok(column) });
        }
        let filled: Vec<&usize> = all.iter().filter(|row| !is_missing(cell(row))).collect();
        let mostly =
            |is: &dyn Fn(&str) -> bool| filled.iter().filter(|row| is(cell(row))).count() as f64 >= (MOSTLY * filled.len() as f64).max(1.0);
        if mostly(&is_date) {
            return Ok(Err("one of dates or times"));
        }
        let distinct: BTreeSet<&str> = filled.iter().map(|row| cell(row)).collect();
        let varied = distinct.len() > MOST_CATEGORIES || 2 * distinct.len() > filled.len();
        let begins = |cell: &str| {
            // `USD 12`, `Rs. 5`
            let rest = cell.split_once([' ', '\u{a0}']).filter(|(unit, _)| is_currency(unit)).map_or(cell, |(_, rest)| rest);
            rest.trim_start_matches(|c: char| !c.is_alphanumeric()).starts_with(|c: char| c.is_numeric())
        };
        let is_number = |cell: &str| Notation::default().read(cell).is_some();
        let words: BTreeSet<&str> = distinct.iter().copied().filter(|cell| !is_number(cell)).collect();
        let numbers = filled.iter().filter(|row| is_number(cell(row))).count();
        if varied && 2 * numbers >= filled.len() && words.len() <= MOST_WORDS && !words.iter().any(|word| begins(word)) {
            bail!(
                "{}: column `{name}` has numbers, but for {}: leave such cells empty if nothing is known, or remove the column",
                sheet.name,
                some_of(&words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>())
            );
        }
        if varied && mostly(&begins) {
            let some: Vec<String> = filled.iter().take(3).map(|row| format!("`{}` in line {}", cell(row), sheet.line(**row))).collect();
            bail!(
                "{}: column `{name}` seems to be one of numbers, but they cannot be read: {}; write plain numbers, such as 3.1, or remove \
                 the column",
                sheet.name,
                some.join(", ")
            );
        }
        let categories: BTreeSet<&str> = train.iter().map(cell).filter(|cell| !cell.is_empty()).collect();
        let kind = ColumnKind::Categories(categories.iter().map(|category| category.to_string()).collect());
        Ok(match categories.len() {
            1 => Err("constant"),
            n if n > MOST_CATEGORIES => Err("of too many categories"),
            _ => Ok(EncodedColumn { name, kind }),
        })
    }
}

#[cfg(feature = "files")]
pub(super) static READER: Sheets = Sheets;

#[cfg(feature = "files")]
pub(super) struct Sheets;

#[cfg(feature = "files")]
impl Reader for Sheets {
    fn name(&self) -> &'static str {
        "a table"
    }

    fn help(&self) -> &'static str {
        "Any other CSV or TSV file, plain or .gz: rows of numbers and categories, of which --target names what is predicted."
    }

    fn is_of_files(&self) -> bool {
        true
    }

    fn is_in(&self, tree: &Tree) -> bool {
        tree.root.is_file() && names_a_table(&tree.root)
    }

    fn read(&self, tree: &Tree, options: &ReadOptions) -> Result<Dataset> {
        let sheet = DividedSheet::load(&tree.root, options)?;
        match are_sets(options, sheet.sheet.column(sheet.target)) {
            true => sheet.with_sets(options),
            false => Dataset::of_table(sheet.with_numbers()?),
        }
    }
}

#[cfg(feature = "files")]
/// Whether a file is called as tables are.
pub(super) fn names_a_table(path: &Path) -> bool {
    let name = path.file_name().map_or(String::new(), |name| name.to_string_lossy().to_ascii_lowercase());
    [".csv", ".csv.gz", ".tsv", ".tsv.gz"].iter().any(|ending| name.ends_with(ending))
}

#[cfg(feature = "files")]
impl Table {
    /// A CSV file, plain or gzipped, or a folder with nothing else. `options.target` names the column to predict.
    pub fn load(path: &Path, options: &ReadOptions) -> Result<Self> {
        DividedSheet::load(path, options)?.with_numbers()
    }
}

#[cfg(feature = "files")]
/// A table whose rows are divided, with the column to predict.
struct DividedSheet {
    path: PathBuf,
    sheet: Sheet,
    target: usize,
    parts: Vec<Part>,
    /// The column that says what rows are for.
    split: Option<usize>,
    notes: Vec<String>,
}

#[cfg(feature = "files")]
impl DividedSheet {
    fn load(path: &Path, options: &ReadOptions) -> Result<Self> {
        let (format, path) = recognise(path)?;
        ensure!(
            matches!(format, Format::Table | Format::Texts) && names_a_table(&path),
            "{} holds images or texts, a table (.csv, .csv.gz) is wanted here",
            path.display()
        );
        let sheet = Sheet::parse(&tree::read(&path)?, &path.display().to_string())?;
        let target = sheet.target(options.target.as_deref())?;
        let mut notes = Vec::new();
        let count = sheet.len();
        let given = sheet.parts()?;
        let mut parts = match &given {
            Some((_, parts)) => parts.clone(),
            None => {
                let divided = Part::divide(&vec![""; count], &vec![""; count]);
                notes.push(divided.note("row"));
                divided.parts
            }
        };
        notes.extend(Part::settle(&mut parts));
        if let Some((split, _)) = &given {
            notes.push(format!("column `{}` says which rows are for training and which for testing", sheet.columns[*split]));
        }
        Ok(DividedSheet { path, sheet, target, parts, split: given.map(|(split, _)| split), notes })
    }

    /// The rows of a part that `are` so.
    fn rows(&self, part: Part, are: impl Fn(usize) -> bool) -> Vec<usize> {
        (0..self.sheet.len()).filter(|&row| self.parts[row] == part && are(row)).collect()
    }

    /// How the columns of these rows, to train on and to test, become features.
    fn encoding(&mut self, [train, test]: [&[usize]; 2], guesses: &[Guess]) -> Result<Encoding> {
        let all = [train, test].concat();
        Encoding::of(&self.sheet, guesses, [&all, train], &[Some(self.target), self.split], &mut self.notes)
    }

    fn with_numbers(mut self) -> Result<Table> {
        let (count, guesses) = (self.sheet.len(), self.sheet.guesses());
        let written = self.sheet.notation(self.target, guesses[self.target])?.unwrap_or_default();
        let mut targets = vec![None; count];
        for (row, value) in targets.iter_mut().enumerate() {
            *value = self.sheet.number(row, self.target, written)?.map(|value| value as f32);
        }
        let [train, test] = [Part::Train, Part::Test].map(|part| self.rows(part, |row| targets[row].is_some()));
        let column = self.sheet.columns[self.target].clone();
        let dropped = targets.iter().filter(|value| value.is_none()).count();
        if dropped > 0 {
            let (_, words) = self.sheet.missing(0..count, self.target);
            self.notes.push(format!("{dropped} of {count} rows have no `{column}` and are left out{words}"));
        }
        ensure!(train.len() > 1, "{} has {} training rows with a `{column}`; at least 2 are needed", self.sheet.name, train.len());
        let target_scale = Scale::of(&train.iter().filter_map(|&row| targets[row]).map(f64::from).collect::<Vec<_>>());
        ensure!(
            !target_scale.is_constant(),
            "`{column}` is {} in all training rows of {}; there is nothing to learn",
            target_scale.mean,
            self.sheet.name
        );

        let encoding = self.encoding([&train, &test], &guesses)?;
        let DividedSheet { sheet, target, mut notes, .. } = self;
        let numbers = encoding.notations(&sheet).chain([(target, written)]);
        notes.extend(sheet.conversions(numbers));
        let rows = |rows: &[usize]| -> Result<TableRows> {
            Ok(TableRows { features: encoding.encode(&sheet, rows)?, targets: rows.iter().filter_map(|&row| targets[row]).collect() })
        };
        let test = if test.is_empty() { None } else { Some(rows(&test)?) };
        let (columns, train) = (encoding.features(), rows(&train)?);
        Ok(Table { name: tree::name_of(&self.path), target: column, columns, train, test, target_scale, encoding, notes })
    }

    /// With sets of labels in the column to predict.
    fn with_sets(mut self, options: &ReadOptions) -> Result<Dataset> {
        let guesses = self.sheet.guesses();
        let [train, test] = [Part::Train, Part::Test].map(|part| self.rows(part, |_| true));
        let used = [&train[..], &test].concat();
        let cells: Vec<SetCell<'_>> = used.iter().map(|&row| (self.sheet.cell(row, self.target), self.parts[row] == Part::Train)).collect();
        let column = &self.sheet.columns[self.target];
        // Whoever reads a table wants what is to be predicted.
        let options = ReadOptions { want_labels: true, ..options.clone() };
        let sets = LabelSets::of(&self.sheet.name, ("row", column), &cells, &options, &mut self.notes)?.context("labels are wanted")?;
        let encoding = self.encoding([&train, &test], &guesses)?;
        self.notes.extend(self.sheet.conversions(encoding.notations(&self.sheet)));
        let split = |rows: &[usize], places: Range<usize>| -> Result<Split> {
            let truth = Truth { label_sets: Some(sets.select(&places.collect::<Vec<_>>())), ..Truth::default() };
            Ok(Split::new(Samples::rows(encoding.encode(&self.sheet, rows)?, encoding.features().len() as u32), truth))
        };
        let tested = if test.is_empty() { None } else { Some(split(&test, train.len()..used.len())?) };
        let mut data = Dataset::new(tree::name_of(&self.path), split(&train, 0..train.len())?, tested)?;
        (data.classes, data.class_names, data.notes) = (sets.names.len() as u32, sets.names, self.notes);
        Ok(Dataset { encoding: Some(encoding), ..data })
    }
}

impl Encoding {
    /// Of all columns but those `besides`, by the rows that are used and those to train on.
    fn of(
        sheet: &Sheet,
        guesses: &[Guess],
        [all, train]: [&[usize]; 2],
        besides: &[Option<usize>],
        notes: &mut Vec<String>,
    ) -> Result<Self> {
        let (mut columns, mut left_out) = (Vec::new(), Vec::new());
        for place in (0..sheet.columns.len()).filter(|place| !besides.contains(&Some(*place))) {
            let name = &sheet.columns[place];
            if name.is_empty() {
                left_out.push(format!("column {} has no name", place + 1));
                continue;
            }
            match EncodedColumn::of(sheet, place, guesses[place], all, train)? {
                Ok(column) => columns.push(column),
                Err(why) => left_out.push(format!("column `{name}` is {why}")),
            }
        }
        let encoding = Encoding { columns };
        notes.push(encoding.types(&left_out));
        ensure!(!encoding.columns.is_empty(), "{} has no column to predict from: {}", sheet.name, left_out.join("; "));
        encoding.gaps(sheet, all, "test row", notes);
        Ok(encoding)
    }

    /// What each column is taken for, for a sentence.
    fn types(&self, left_out: &[String]) -> String {
        let (mut numbers, mut categories) = (Vec::new(), Vec::new());
        for EncodedColumn { name, kind } in &self.columns {
            match kind {
                ColumnKind::Number { .. } => numbers.push(format!("`{name}`")),
                ColumnKind::Categories(known) => categories.push(format!("`{name}` ({})", known.len())),
            }
        }
        // Pixels in columns would fill the screen.
        let list = |names: &[String], mark: &str| if names.len() > MOST_NAMED { some_of(names) } else { names.join(mark) };
        let said = [("numbers", list(&numbers, ", ")), ("categories", list(&categories, ", ")), ("left out", list(left_out, "; "))];
        let said = said.iter().filter(|(_, columns)| !columns.is_empty()).map(|(what, columns)| format!("{what}: {columns}"));
        said.collect::<Vec<_>>().join("; ")
    }

    /// Where numbers are, and how they are written.
    fn notations(&self, sheet: &Sheet) -> impl Iterator<Item = (usize, Notation)> {
        let of = |EncodedColumn { name, kind }: &EncodedColumn| match kind {
            ColumnKind::Number { notation, .. } => Some((sheet.find(name)?, *notation)),
            ColumnKind::Categories(_) => None,
        };
        self.columns.iter().filter_map(of)
    }
}
