//! Labels in a CSV file: those that a user gives by hand, or that were spread from them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

use super::sheet::{Sheet, is_missing, some_of};
use super::{Dataset, source};

/// Labels of training samples.
#[derive(Clone, Debug, PartialEq)]
pub struct GivenLabels {
    /// (training sample, class), ascending.
    pub labelled: Vec<(u32, u32)>,
    /// Those of the data, or where these have none, those of the file.
    pub class_names: Vec<String>,
    /// Rows that were left out, as they are less certain than asked for.
    pub uncertain: usize,
}

impl GivenLabels {
    /// Samples of each class.
    pub fn per_class(&self) -> Vec<usize> {
        let mut counts = vec![0; self.class_names.len()];
        self.labelled.iter().for_each(|&(_, class)| counts[class as usize] += 1);
        counts
    }
}

impl Dataset {
    /// Reads a CSV file with a column `file` or `index` that names training samples, a column `label` with the names of
    /// classes, and perhaps one called `confidence`, of which `least` is enough. Rows without a label are passed over. Fails
    /// where a row names a test sample, or none; a class that the data do not have; or a sample twice with different labels.
    pub fn given_labels(&self, path: &Path, least: f64) -> Result<GivenLabels> {
        let sheet = Sheet::parse(&source::read(path)?, &path.display().to_string())?;
        let find = |names: &[&str]| names.iter().find_map(|name| sheet.find(name));
        let has = || format!("{} has the columns {}", sheet.name, sheet.columns.join(", "));
        let label = find(&["label", "class"]).with_context(|| format!("{}: one called `label` is wanted", has()))?;
        let confidence = find(&["confidence"]);
        let sample_of = self.samples_by_name(&sheet, has)?;
        let labelled = |&row: &usize| !is_missing(sheet.cell(row, label));
        let rows: Vec<usize> = (0..sheet.rows.len()).filter(labelled).collect();
        let class_names = self.names_of_classes(rows.iter().map(|&row| sheet.cell(row, label)));
        let class_of: HashMap<&str, u32> = class_names.iter().map(String::as_str).zip(0..).collect();
        let (mut found, mut uncertain) = (BTreeMap::new(), 0);
        for row in rows {
            let (cell, line) = (sheet.cell(row, label), sheet.line(row));
            let Some(&class) = class_of.get(cell) else {
                bail!("{}, line {line}: `{cell}` is none of the classes of {}: {}", sheet.name, self.name, some_of(&class_names));
            };
            let sample = sample_of(row).with_context(|| format!("{}, line {line}", sheet.name))?;
            let certainty = match confidence {
                Some(column) => sheet.number(row, column)?.unwrap_or(1.0),
                None => 1.0,
            };
            if certainty < least {
                uncertain += 1;
                continue;
            }
            let before = found.insert(sample, class).unwrap_or(class);
            ensure!(before == class, "{}, line {line}: another line has `{}` for this sample", sheet.name, class_names[before as usize]);
        }
        if found.is_empty() {
            let why = if uncertain > 0 { format!(": {uncertain} are less certain than {least}") } else { String::new() };
            bail!("{} has no labels{why}", sheet.name);
        }
        Ok(GivenLabels { labelled: found.into_iter().collect(), class_names, uncertain })
    }

    /// The samples with given labels, and those labels in the place of their own, as the training samples.
    pub fn labelled_by(mut self, given: &GivenLabels) -> Dataset {
        let (rows, labels): (Vec<u32>, Vec<u32>) = given.labelled.iter().copied().unzip();
        self.train = self.train.select(&rows);
        self.train.labels = Some(labels);
        (self.classes, self.class_names) = (given.class_names.len() as u32, given.class_names.clone());
        self
    }

    /// Finds the training sample that a row of the sheet is about.
    fn samples_by_name<'a>(&'a self, sheet: &'a Sheet, has: impl Fn() -> String) -> Result<Box<dyn Fn(usize) -> Result<u32> + 'a>> {
        if let Some(column) = sheet.find("file").filter(|_| !self.train.names.is_empty()) {
            let known: HashMap<&str, u32> = self.train.names.iter().map(String::as_str).zip(0..).collect();
            let test: BTreeSet<&str> = self.test.iter().flat_map(|test| &test.names).map(String::as_str).collect();
            return Ok(Box::new(move |row| {
                let name = sheet.cell(row, column);
                let found = known.get(name.trim_start_matches("./")).copied();
                found.with_context(|| match test.contains(name) {
                    true => format!("{name} is a test image of {}, which must not be trained on", self.name),
                    false => format!("{name} is none of the training images of {}, such as {}", self.name, self.train.names[0]),
                })
            }));
        }
        let column = sheet.find("index").with_context(|| match self.train.names.is_empty() {
            true => format!("{}: one called `index` is wanted, as the images of {} have no file names", has(), self.name),
            false => format!("{}: one called `file` or `index` is wanted", has()),
        })?;
        Ok(Box::new(move |row| {
            let (cell, count) = (sheet.cell(row, column), self.train.len());
            let found = cell.parse().ok().filter(|&index: &u32| index < count);
            found.with_context(|| format!("index `{cell}` is none of the {count} training images of {}, counted from 0", self.name))
        }))
    }

    /// Those of the data; of data without classes, those that are given, numbers by size.
    fn names_of_classes<'a>(&self, given: impl Iterator<Item = &'a str>) -> Vec<String> {
        if self.classes > 0 {
            return self.class_names.clone();
        }
        let mut names: Vec<&str> = given.collect::<BTreeSet<_>>().into_iter().collect();
        names.sort_by_key(|name| name.parse::<u64>().unwrap_or(u64::MAX));
        names.into_iter().map(String::from).collect()
    }
}
