//! Sets of labels: cells that name several of them, any number of which may be right for a sample.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, bail, ensure};

use super::names::{in_order, normalized, note_alike, some_of};
use super::samples::SharedRows;
use super::{ReadOptions, TruthKind};

/// What stands between the names in a cell.
pub(super) const SEPARATOR: char = '|';

/// What is known of a label and a sample: that it is right, that it is not, or nothing.
pub const RIGHT: u8 = 1;
pub const WRONG: u8 = 0;
pub const UNKNOWN: u8 = 255;

/// Before a name of which it is not known whether it is right; alone, nothing is known.
const DOUBT: char = '?';

/// Cells of which this share has several names are sets, unless somebody says otherwise.
const LEAST_SHARE: f64 = 0.05;

/// Labels of samples, in their order.
pub(super) struct LabelSets {
    /// Of the labels, in the order of their numbers.
    pub names: Vec<String>,
    /// What each sample has of each label.
    rows: Vec<Vec<u8>>,
}

/// What is said of a sample: its cell, and whether it is for training.
pub(super) type SetCell<'a> = (&'a str, bool);

/// The names in a cell, without the space around them, each with whether it is doubted.
fn names_in(cell: &str) -> impl Iterator<Item = (String, bool)> {
    let names = cell.split(SEPARATOR).map(str::trim).filter(|name| !name.is_empty());
    names.map(|name| match name.strip_prefix(DOUBT) {
        Some(name) => (normalized(name.trim()).into_owned(), true),
        None => (normalized(name).into_owned(), false),
    })
}

/// Whether nobody said if labels are classes or sets.
pub(super) fn leave_open(options: &ReadOptions) -> bool {
    options.guess_sets && matches!(options.truth, None | Some(TruthKind::Classes))
}

/// Whether cells are to be taken as sets: as `options` say, or where these leave it open, as they seem to be.
pub(super) fn are_sets<'a>(options: &ReadOptions, cells: impl Iterator<Item = &'a str>) -> bool {
    options.truth == Some(TruthKind::LabelSets) || (leave_open(options) && seem_sets(cells))
}

/// Whether a share of the cells has several names, of which some occur in other cells too: names may have bars in them.
fn seem_sets<'a>(cells: impl Iterator<Item = &'a str>) -> bool {
    let filled: Vec<&str> = cells.filter(|cell| !cell.is_empty()).collect();
    let several = filled.iter().filter(|cell| cell.contains(SEPARATOR)).count();
    let distinct: BTreeSet<&str> = filled.iter().copied().collect();
    let mut seen = BTreeSet::new();
    let again = distinct.iter().any(|cell| {
        let names: BTreeSet<String> = names_in(cell).map(|(name, _)| name).collect();
        names.into_iter().filter(|name| !seen.insert(name.clone())).count() > 0
    });
    several > 0 && several as f64 >= LEAST_SHARE * filled.len() as f64 && again
}

/// What separates names in cells that have no bar, and a cell that has it: what divides cells into names that are fewer than the cells.
fn other_separator<'a>(cells: &BTreeSet<&'a str>) -> Option<(&'static str, &'a str)> {
    // Spaces are in many a name.
    const KNOWN: [(&str, usize); 6] = [(";", 1), (",", 1), ("/", 1), ("+", 1), ("&", 1), (" ", 2)];
    let divides = |&(separator, factor): &(&'static str, usize)| {
        let names: BTreeSet<&str> = cells.iter().flat_map(|cell| cell.split(separator)).map(str::trim).collect();
        let example = cells.iter().copied().find(|cell| cell.contains(separator))?;
        (factor * names.len() < cells.len()).then_some((separator, example))
    };
    KNOWN.iter().find_map(divides)
}

impl LabelSets {
    /// Of the cells of `name`; what a sample is called, and the column that has them. Labels on test samples alone are left out, which
    /// is said, as is all else that is taken to be meant. Fails where there is nothing to tell apart, or names are separated by
    /// something else; none where that is so and nobody wants labels.
    pub fn of(
        name: &str,
        (what, column): (&str, &str),
        cells: &[SetCell<'_>],
        options: &ReadOptions,
        notes: &mut Vec<String>,
    ) -> Result<Option<Self>> {
        let several = cells.iter().map(|(cell, _)| *cell).find(|cell| cell.contains(SEPARATOR));
        if let Some(cell) = several.filter(|_| leave_open(options)) {
            notes.push(format!(
                "column `{column}` has cells with `{SEPARATOR}` (`{cell}`), which are taken for sets of labels (--task multilabel); \
                 --task classify takes each cell for one"
            ));
        }
        match Self::read(name, what, cells, options, notes) {
            Err(error) if !options.want_labels => {
                notes.push(format!("there are no labels: {error:#}"));
                Ok(None)
            }
            found => found.map(Some),
        }
    }

    fn read(name: &str, what: &str, cells: &[SetCell<'_>], options: &ReadOptions, notes: &mut Vec<String>) -> Result<Self> {
        let (all, known) = (cells.len(), options.known_classes.is_some());
        let distinct: BTreeSet<&str> = cells.iter().map(|(cell, _)| *cell).filter(|cell| !cell.is_empty()).collect();
        let several = distinct.iter().any(|cell| cell.contains(SEPARATOR));
        if let Some((separator, example)) = other_separator(&distinct).filter(|_| !several && !known) {
            let said = if separator == " " { "a space".to_string() } else { format!("`{separator}`") };
            bail!("{name}: the labels of a cell seem to be separated by {said} (`{example}`): write `{SEPARATOR}` between them");
        }
        let mut counts: BTreeMap<String, [usize; 2]> = BTreeMap::new();
        let (mut doubled, mut gaps, mut empty, mut unknown) = (Vec::new(), 0, 0, 0);
        let mut rows = Vec::new();
        for (cell, trained) in cells {
            let (mut row, mut doubts) = (BTreeMap::new(), false);
            for (label, doubt) in names_in(cell) {
                doubts |= doubt && label.is_empty();
                let said = if doubt { UNKNOWN } else { RIGHT };
                if !label.is_empty() && row.insert(label, said).is_some() {
                    doubled.push(*cell);
                }
            }
            row.keys().for_each(|label| counts.entry(label.clone()).or_default()[usize::from(!trained)] += 1);
            gaps += usize::from(!cell.is_empty() && cell.split(SEPARATOR).any(|name| name.trim().is_empty()));
            empty += usize::from(row.is_empty() && !doubts);
            unknown += usize::from(doubts || row.values().any(|&said| said == UNKNOWN));
            rows.push((row, if doubts { UNKNOWN } else { WRONG }));
        }
        ensure!(!counts.is_empty(), "{name}: no {what} has a label: the column for them is empty");
        let trains = cells.iter().any(|(_, trained)| *trained);
        let of_tests: BTreeSet<String> =
            counts.iter().filter(|(_, [train, _])| trains && *train == 0).map(|(label, _)| label.clone()).collect();
        let names = in_order(counts.keys().filter(|label| !of_tests.contains(*label)).cloned().collect::<BTreeSet<_>>());
        let row = |(row, otherwise): &(BTreeMap<String, u8>, u8)| {
            names.iter().map(|name| row.get(name).copied().unwrap_or(*otherwise)).collect::<Vec<u8>>()
        };
        let sets = LabelSets { rows: rows.iter().map(row).collect(), names };
        if !known {
            sets.ensure_tell_apart(name, what, cells, notes)?;
        }
        let said = [
            (!of_tests.is_empty(), {
                let labels: Vec<&String> = of_tests.iter().collect();
                format!("labels that no training {what} has are left out, as nothing can be learnt of them: {}", some_of(&labels))
            }),
            (empty > 0, format!("{empty} of {all} {what}s have an empty cell: none of the labels is right for them")),
            (
                unknown > 0,
                format!("{unknown} {what}s have a `{DOUBT}` among their labels: what is not known is neither learnt nor measured"),
            ),
            (!doubled.is_empty(), {
                let (count, cell) = (doubled.len(), doubled.first().unwrap_or(&""));
                format!("{count} cells name a label twice, which counts once: `{cell}`")
            }),
            (gaps > 0, format!("{gaps} cells have nothing between two `{SEPARATOR}`, or at an end, which is no label")),
            (!several && !known, format!("no {what} has more than one label: --task classify learns one of each")),
        ];
        notes.extend(said.into_iter().filter(|(is, _)| *is).map(|(_, text)| text));
        note_alike(&sets.names.iter().map(String::as_str).collect::<Vec<_>>(), notes);
        Ok(sets)
    }

    /// Fails where training samples do not differ in labels, or where these are too many to be labels.
    fn ensure_tell_apart(&self, name: &str, what: &str, cells: &[SetCell<'_>], notes: &mut Vec<String>) -> Result<()> {
        let (many, all) = (self.names.len(), cells.len());
        ensure!(
            2 * many <= all.max(4),
            "{name}: there are {many} different labels for {all} {what}s: these are numbers or names, not labels"
        );
        let trained = || self.rows.iter().zip(cells).filter(|(_, (_, trained))| *trained).map(|(row, _)| row);
        let on_all = |label: &usize| trained().all(|row| row[*label] != WRONG);
        let constant: Vec<&String> = (0..many).filter(on_all).map(|label| &self.names[label]).collect();
        ensure!(
            constant.len() < many,
            "{name}: all {what}s are labelled {}; there is nothing to tell apart",
            some_of(&constant.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>())
        );
        if !constant.is_empty() {
            notes.push(format!("all training {what}s are labelled {}: there is nothing to learn of that", some_of(&constant)));
        }
        Ok(())
    }

    /// Of the samples with these indices.
    pub fn select(&self, indices: &[usize]) -> SharedRows<u8> {
        SharedRows::new(indices.iter().flat_map(|&i| self.rows[i].iter().copied()).collect(), self.names.len() as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(cells: &[SetCell<'_>]) -> (Result<LabelSets>, String) {
        let mut notes = Vec::new();
        let found = LabelSets::read("x.csv", "text", cells, &ReadOptions::default(), &mut notes);
        (found, notes.join("\n"))
    }

    fn trained<'a>(cells: &[&'a str]) -> Vec<SetCell<'a>> {
        cells.iter().map(|cell| (*cell, true)).collect()
    }

    #[test]
    fn cells_become_rows() {
        let (found, notes) = read(&trained(&["b | a", "", "a|?b", "?", "a|a", "b|"]));
        let found = found.expect("sets");
        assert_eq!(found.names, ["a", "b"]);
        let rows: Vec<Vec<u8>> = found.select(&[0, 1, 2, 3, 4, 5]).iter().map(<[u8]>::to_vec).collect();
        let x = UNKNOWN;
        assert_eq!(rows, [[1, 1], [0, 0], [1, x], [x, x], [1, 0], [0, 1]]);
        for part in [
            "1 of 6 texts have an empty cell",
            "2 texts have a `?`",
            "1 cells name a label twice, which counts once: `a|a`",
            "1 cells have nothing between",
        ] {
            assert!(notes.contains(part), "no `{part}` in: {notes}");
        }
    }

    #[test]
    fn mistakes_have_a_sentence() {
        let refused = |cells: &[&str], part: &str| {
            let error = read(&trained(cells)).0.err().map_or(String::new(), |error| error.to_string());
            assert!(error.contains(part), "no `{part}` in: {error}");
        };
        refused(&["a, b", "a", "b, c", "b", "a, c"], "separated by `,` (`a, b`): write `|` between them");
        refused(&["a;b", "a", "b;a", "b"], "separated by `;`");
        refused(&["a b", "a", "b a", "b", "b b"], "separated by a space");
        refused(&["a", "a", "a", "a"], "all texts are labelled `a`; there is nothing to tell apart");
        refused(&["a|b", "b|a", "a|b"], "all texts are labelled `a`, `b`");
        refused(&["", "", "", ""], "no text has a label");
        refused(&["a|b", "c", "d", "e|f"], "6 different labels for 4 texts");
        assert!(
            read(&trained(&["new york", "new jersey", "old york", "old york", "new york", "new jersey"])).0.is_ok(),
            "names may have spaces"
        );
        assert!(read(&trained(&["a", "b", "a", "b"])).1.contains("no text has more than one label: --task classify"));
        assert!(
            read(&trained(&["a|all", "all", "all|a", "all"])).1.contains("all training texts are labelled all: there is nothing to learn")
        );
    }

    #[test]
    fn labels_of_test_samples_alone_are_left_out() {
        let (found, notes) = read(&[("a|b", true), ("a", true), ("b", true), ("c|a", false), ("", true)]);
        let found = found.expect("sets");
        assert_eq!((found.names.len(), found.select(&[3]).row(0)), (2, &[1, 0][..]));
        assert!(notes.contains("labels that no training text has are left out, as nothing can be learnt of them: c"), "{notes}");
    }

    #[test]
    fn sets_are_known_by_names_that_come_again() {
        let sets = |cells: &[&str]| seem_sets(cells.iter().copied());
        assert!(sets(&["a|b", "a", "", "b"]) && sets(&["a|b", "b|c"]));
        assert!(!sets(&["a", "b"]) && !sets(&["left|right", "up|down", "left|right"]) && !sets(&[]));
        let rare: Vec<&str> = std::iter::repeat_n("a", 99).chain(["a|b"]).collect();
        assert!(!sets(&rare), "one in a hundred may be a slip");
    }
}
