//! What the columns of a sheet are, and what is said about it.

use std::collections::BTreeMap;

use anyhow::{Result, bail};

use super::number::{Guess, Notation, is_missing};
use super::sheet::Sheet;

impl Sheet {
    /// What each column holds.
    pub fn guesses(&self) -> Vec<Guess> {
        Guess::of_all(self.columns.len(), |column| self.column(column).filter(|cell| !is_missing(cell)))
    }

    /// How the numbers of a column are written; `None` if they are none. Fails where that cannot be told.
    pub fn notation(&self, place: usize, guess: Guess) -> Result<Option<Notation>> {
        let filled = || (0..self.len()).filter(|&row| !is_missing(self.cell(row, place)));
        let said = |row: usize| format!("`{}` in line {}", self.cell(row, place), self.line(row));
        let column = || format!("{}: column `{}`", self.name, self.columns[place]);
        match guess {
            Guess::Numbers { notation, .. } => Ok(Some(notation)),
            Guess::Other => Ok(None),
            Guess::Either(notations) => {
                let read = |row: usize| notations.map(|notation| notation.read(self.cell(row, place)).unwrap_or_default());
                let row = filled().find(|&row| read(row)[0] != read(row)[1]).unwrap_or_default();
                let [a, b] = read(row);
                bail!(
                    "{} has decimal signs or thousands separators, and nothing in the file tells which: {} is {a} or {b}; write the \
                     numbers without thousands separators and with a decimal point",
                    column(),
                    said(row)
                )
            }
            Guess::Mixed => {
                let first = filled().next().unwrap_or_default();
                let with_first = |row: usize| Guess::of([first, row].into_iter().map(|row| self.cell(row, place)), None);
                let other = filled().find(|&row| matches!(with_first(row), Guess::Mixed | Guess::Other)).unwrap_or(first);
                bail!("{} has numbers that are written in several ways, {} and {}: write all in one", column(), said(first), said(other))
            }
        }
    }

    /// How many of a column's cells have no number, and of which words these are, in brackets.
    pub fn missing(&self, rows: impl Iterator<Item = usize>, place: usize) -> (usize, String) {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        rows.map(|row| self.cell(row, place)).filter(|cell| is_missing(cell)).for_each(|cell| *counts.entry(cell).or_default() += 1);
        let all = counts.values().sum();
        counts.remove("");
        let words: Vec<String> = counts.iter().map(|(word, count)| format!("{count} cells `{word}`")).collect();
        (all, if words.is_empty() { String::new() } else { format!(" ({} are taken as missing)", words.join(", ")) })
    }

    /// What is said about columns of numbers that are not written as programs write them: a sentence for each way.
    pub fn conversions(&self, columns: impl Iterator<Item = (usize, Notation)>) -> Vec<String> {
        let mut found: BTreeMap<String, (Vec<String>, String)> = BTreeMap::new();
        for (place, notation) in columns {
            let cells = self.column(place).filter(|cell| !is_missing(cell));
            let converted = cells.filter_map(|cell| Some((cell, notation.conversion(cell)?)));
            if let Some((cell, words)) = converted.max_by_key(|(_, words)| words.len()) {
                let example = format!("`{cell}` is {}", notation.read(cell).unwrap_or_default());
                found.entry(words).or_insert((Vec::new(), example)).0.push(format!("`{}`", self.columns[place]));
            }
        }
        found.into_iter().map(|(words, (columns, example))| format!("{} is read with {words}: {example}", columns.join(", "))).collect()
    }
}
