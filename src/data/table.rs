//! Tables for regression: CSV files, numbers standardised, categories one-hot. Everything that is computed from values (medians,
//! means, deviations, categories) is computed from the training rows alone.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};

use super::sheet::{Sheet, is_missing, number, some_of};
use super::split::Part;
use super::{Format, ReadOptions, recognise, source};

/// A column with more categories than this is left out: it holds names or free text.
const MOST_CATEGORIES: usize = 64;
/// A column of which at least this share are numbers is meant to be one of numbers.
const MOSTLY: f64 = 0.9;

/// A table with a number to predict in each row.
#[derive(Clone, Debug)]
pub struct Table {
    pub name: String,
    /// The column that is predicted.
    pub target: String,
    /// Names of the features; `COLUMN=CATEGORY` for one-hot ones.
    pub columns: Vec<String>,
    pub train: Rows,
    pub test: Option<Rows>,
    /// Of the training targets.
    pub target_scale: Scale,
    /// Makes features of other files with these columns.
    pub encoding: Encoding,
    /// What a user must be told.
    pub notes: Vec<String>,
}

/// Rows of a table, one after the other.
#[derive(Clone, Debug, PartialEq)]
pub struct Rows {
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
    columns: Vec<Column>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Column {
    name: String,
    kind: Kind,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    /// Standardised; the median where nothing is.
    Number { median: f64, scale: Scale },
    /// A feature for each; all are zero where nothing is, or another category than those of the training rows.
    Categories(Vec<String>),
}

impl Rows {
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
        let names = |column: &Column| match &column.kind {
            Kind::Number { .. } => vec![column.name.clone()],
            Kind::Categories(categories) => categories.iter().map(|category| format!("{}={category}", column.name)).collect(),
        };
        self.columns.iter().flat_map(names).collect()
    }

    /// Features of the rows of a CSV file, plain or gzipped, `[rows, features]`. It must have the columns that this was made of;
    /// others do not matter.
    pub fn read(&self, path: &Path) -> Result<Vec<f32>> {
        let sheet = Sheet::parse(&source::read(path)?, &path.display().to_string())?;
        self.encode(&sheet, &(0..sheet.rows.len()).collect::<Vec<_>>())
    }

    fn encode(&self, sheet: &Sheet, rows: &[usize]) -> Result<Vec<f32>> {
        let place = |column: &Column| {
            let missing = || format!("{} has no column `{}`, which the model was trained on", sheet.name, column.name);
            sheet.find(&column.name).with_context(missing)
        };
        let places = self.columns.iter().map(place).collect::<Result<Vec<_>>>()?;
        let mut features = Vec::new();
        for &row in rows {
            for (column, &place) in self.columns.iter().zip(&places) {
                match &column.kind {
                    Kind::Number { median, scale } => {
                        let value = sheet.number(row, place)?.unwrap_or(*median);
                        features.push(((value - scale.mean) / scale.std) as f32);
                    }
                    Kind::Categories(categories) => {
                        let cell = sheet.cell(row, place);
                        features.extend(categories.iter().map(|category| if category == cell { 1.0 } else { 0.0 }));
                    }
                }
            }
        }
        Ok(features)
    }
}

impl Column {
    /// How `place` becomes features, by the rows in `train`; `None` with a reason if it says nothing. `all` are the rows used.
    fn of(sheet: &Sheet, place: usize, all: &[usize], train: &[usize]) -> Result<Result<Self, &'static str>> {
        let name = sheet.columns[place].clone();
        let filled = |rows: &[usize]| -> Vec<usize> { rows.iter().copied().filter(|&row| !is_missing(sheet.cell(row, place))).collect() };
        let (all, train) = (filled(all), filled(train));
        let numbers = all.iter().filter(|&&row| number(sheet.cell(row, place)).is_some()).count();
        if train.is_empty() {
            return Ok(Err("empty"));
        }
        if numbers as f64 >= MOSTLY * all.len() as f64 {
            // Fails at the first that is none.
            let value = |&row: &usize| Ok(sheet.number(row, place)?.unwrap_or_default());
            all.iter().map(value).collect::<Result<Vec<_>>>()?;
            let values = train.iter().map(value).collect::<Result<Vec<_>>>()?;
            let scale = Scale::of(&values);
            let column = Column { name, kind: Kind::Number { median: median(values), scale } };
            return Ok(if scale.is_constant() { Err("constant") } else { Ok(column) });
        }
        let categories: BTreeSet<&str> = train.iter().map(|&row| sheet.cell(row, place)).collect();
        let kind = Kind::Categories(categories.iter().map(|category| category.to_string()).collect());
        Ok(match categories.len() {
            1 => Err("constant"),
            n if n > MOST_CATEGORIES => Err("of too many categories"),
            _ => Ok(Column { name, kind }),
        })
    }
}

impl Table {
    /// A CSV file, plain or gzipped, or a folder with nothing else. `options.target` names the column to predict.
    pub fn load(path: &Path, options: &ReadOptions) -> Result<Self> {
        let (format, path) = recognise(path)?;
        ensure!(format == Format::Table, "{} holds images, a table (.csv, .csv.gz) is wanted here", path.display());
        let sheet = Sheet::parse(&source::read(&path)?, &path.display().to_string())?;
        let target = sheet.target(options.target.as_deref())?;
        let mut notes = Vec::new();
        let count = sheet.rows.len();
        // A column called `split` may be a feature like any other.
        let given = sheet.parts().ok().flatten();
        let mut parts = match &given {
            Some(parts) => parts.clone(),
            None => (0..count).map(Part::by_index).collect(),
        };
        notes.extend(Part::settle(&mut parts));
        if given.is_none() {
            notes.push(Part::rule("row", count));
        }
        let mut targets = vec![None; count];
        for (row, value) in targets.iter_mut().enumerate() {
            *value = sheet.number(row, target)?.map(|value| value as f32);
        }
        let of = |part| (0..count).filter(|&row| parts[row] == part && targets[row].is_some()).collect::<Vec<_>>();
        let (train, test) = (of(Part::Train), of(Part::Test));
        let column = &sheet.columns[target];
        let dropped = targets.iter().filter(|value| value.is_none()).count();
        if dropped > 0 {
            notes.push(format!("{dropped} of {count} rows have no `{column}` and are left out"));
        }
        ensure!(train.len() > 1, "{} has {} training rows with a `{column}`; at least 2 are needed", sheet.name, train.len());
        let target_scale = Scale::of(&train.iter().filter_map(|&row| targets[row]).map(f64::from).collect::<Vec<_>>());
        ensure!(
            !target_scale.is_constant(),
            "`{column}` is {} in all training rows of {}; there is nothing to learn",
            target_scale.mean,
            sheet.name
        );

        let all = [train.as_slice(), &test].concat();
        let split = given.and(sheet.find("split"));
        let encoding = Encoding::of(&sheet, &all, &train, &[Some(target), split], &mut notes)?;
        let rows = |rows: &[usize]| -> Result<Rows> {
            Ok(Rows { features: encoding.encode(&sheet, rows)?, targets: rows.iter().filter_map(|&row| targets[row]).collect() })
        };
        let test = if test.is_empty() { None } else { Some(rows(&test)?) };
        let (columns, train) = (encoding.features(), rows(&train)?);
        Ok(Table { name: source::name_of(&path), target: column.clone(), columns, train, test, target_scale, encoding, notes })
    }
}

impl Encoding {
    /// Of all columns but those `besides`.
    fn of(sheet: &Sheet, all: &[usize], train: &[usize], besides: &[Option<usize>], notes: &mut Vec<String>) -> Result<Self> {
        let mut columns = Vec::new();
        for place in (0..sheet.columns.len()).filter(|place| !besides.contains(&Some(*place))) {
            let name = &sheet.columns[place];
            if name.is_empty() {
                notes.push(format!("column {} has no name and is left out", place + 1));
                continue;
            }
            let column = match Column::of(sheet, place, all, train)? {
                Ok(column) => column,
                Err(why) => {
                    notes.push(format!("column `{name}` is {why} and is left out"));
                    continue;
                }
            };
            let missing = all.iter().filter(|&&row| is_missing(sheet.cell(row, place))).count();
            match &column.kind {
                _ if missing == 0 => {}
                Kind::Number { median, .. } => {
                    notes.push(format!("`{name}`: {missing} missing values are taken as the training median, {median}"))
                }
                Kind::Categories(_) => notes.push(format!("`{name}`: {missing} missing values are of no category")),
            }
            if let Kind::Categories(known) = &column.kind {
                let cells = all.iter().map(|&row| sheet.cell(row, place)).filter(|cell| !is_missing(cell));
                let unknown: BTreeSet<&str> = cells.filter(|cell| !known.iter().any(|k| k == cell)).collect();
                if !unknown.is_empty() {
                    let unknown: Vec<&str> = unknown.into_iter().collect();
                    notes.push(format!("`{name}`: no training row has {}; such test rows are of no category", some_of(&unknown)));
                }
            }
            columns.push(column);
        }
        if columns.is_empty() {
            bail!("{} has no column to predict from", sheet.name);
        }
        Ok(Encoding { columns })
    }
}
