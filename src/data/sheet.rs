//! CSV files as rows of text under named columns, for tables and for the `index.csv` of an image folder.

use std::collections::HashSet;

use anyhow::{Context, Result, bail, ensure};
use csv::StringRecord;

use super::split::Part;

/// A CSV file with a header line.
pub(super) struct Sheet {
    /// For errors.
    pub name: String,
    pub columns: Vec<String>,
    pub rows: Vec<StringRecord>,
}

/// Nothing, in one of the ways that programs write it.
pub(super) fn is_missing(cell: &str) -> bool {
    ["", "na", "n/a", "nan", "null", "none", "?"].contains(&cell.to_ascii_lowercase().as_str())
}

/// A finite number.
pub(super) fn number(cell: &str) -> Option<f64> {
    cell.parse().ok().filter(|value: &f64| value.is_finite())
}

/// The first few of many names, for a sentence.
pub(super) fn some_of<T: AsRef<str>>(names: &[T]) -> String {
    const SHOWN: usize = 4;
    let shown: Vec<&str> = names.iter().take(SHOWN).map(AsRef::as_ref).collect();
    let more = if names.len() > SHOWN { format!(" and {} more", names.len() - SHOWN) } else { String::new() };
    format!("{}{more}", shown.join(", "))
}

impl Sheet {
    /// Separated by commas, or by semicolons or tabs if the header line has no comma.
    pub fn parse(bytes: &[u8], name: &str) -> Result<Self> {
        let header = bytes.split(|&b| b == b'\n').next().unwrap_or_default();
        let delimiter = [b',', b';', b'\t'].into_iter().find(|d| header.contains(d)).unwrap_or(b',');
        let mut reader = csv::ReaderBuilder::new().delimiter(delimiter).trim(csv::Trim::All).from_reader(bytes);
        let damaged = |error: csv::Error| match error.kind() {
            csv::ErrorKind::UnequalLengths { pos, expected_len, len } => {
                let line = pos.as_ref().map_or(0, csv::Position::line);
                anyhow::anyhow!("{name}: line {line} has {len} cells, the header has {expected_len} columns")
            }
            csv::ErrorKind::Utf8 { pos, .. } => {
                anyhow::anyhow!("{name}: line {} is not UTF-8 text", pos.as_ref().map_or(0, csv::Position::line))
            }
            _ => anyhow::anyhow!("{name}: {error}"),
        };
        let columns: Vec<String> = reader.headers().map_err(damaged)?.iter().map(String::from).collect();
        let rows: Vec<StringRecord> = reader.into_records().collect::<Result<_, _>>().map_err(damaged)?;
        ensure!(!columns.is_empty() && columns != [""], "{name} is empty");
        ensure!(
            !columns.iter().all(|column| number(column).is_some()),
            "{name} starts with numbers ({}); its first line must name the columns",
            some_of(&columns)
        );
        let mut seen = HashSet::new();
        let twice = columns.iter().find(|column| !column.is_empty() && !seen.insert(*column));
        ensure!(twice.is_none(), "{name} has two columns called `{}`", twice.map_or("", String::as_str));
        ensure!(!rows.is_empty(), "{name} has a header line and no rows");
        Ok(Sheet { name: name.into(), columns, rows })
    }

    /// Where the column called `name` is.
    pub fn find(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column == name)
    }

    /// As [`find`](Self::find), for the column that a user named by `--target`, or did not.
    pub fn target(&self, name: Option<&str>) -> Result<usize> {
        let has = || format!("{} has the columns {}", self.name, self.columns.join(", "));
        let name = name.with_context(|| format!("{}: say with --target which of them is to be predicted", has()))?;
        self.find(name).with_context(|| format!("there is no column `{name}` to predict: {}", has()))
    }

    pub fn cell(&self, row: usize, column: usize) -> &str {
        &self.rows[row][column]
    }

    /// The line of the file that a row starts at.
    pub fn line(&self, row: usize) -> u64 {
        self.rows[row].position().map_or(0, csv::Position::line)
    }

    /// The number in a cell; `None` if nothing is there.
    pub fn number(&self, row: usize, column: usize) -> Result<Option<f64>> {
        let cell = self.cell(row, column);
        if is_missing(cell) {
            return Ok(None);
        }
        match number(cell) {
            Some(value) => Ok(Some(value)),
            None => bail!("{}, line {}: `{cell}` in column `{}` is no number", self.name, self.line(row), self.columns[column]),
        }
    }

    /// What each row is for, if a column `split` says so in words that are known.
    pub fn parts(&self) -> Result<Option<Vec<Part>>> {
        let Some(column) = self.find("split") else { return Ok(None) };
        let part = |row| Part::named(self.cell(row, column)).ok_or(row);
        match (0..self.rows.len()).map(part).collect::<Result<Vec<_>, usize>>() {
            Ok(parts) => Ok(Some(parts)),
            Err(row) => bail!(
                "{}, line {}: `{}` in column `split` is neither train nor test nor val",
                self.name,
                self.line(row),
                self.cell(row, column)
            ),
        }
    }
}
