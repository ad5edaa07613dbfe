//! Names as they are compared, and as they are listed.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use unicode_normalization::{UnicodeNormalization, is_nfc};

/// The first few of many names, for a sentence.
pub(super) fn some_of<T: AsRef<str>>(names: &[T]) -> String {
    const SHOWN: usize = 4;
    let shown: Vec<&str> = names.iter().take(SHOWN).map(AsRef::as_ref).collect();
    let more = if names.len() > SHOWN { format!(" and {} more", names.len() - SHOWN) } else { String::new() };
    format!("{}{more}", shown.join(", "))
}

/// The beginning of a text, on one line, for a sentence about it.
pub fn beginning_of(text: &str) -> String {
    const SHOWN: usize = 60;
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{} ...", &line[..end]),
        None => line,
    }
}

/// In the Unicode form in which equal texts are equal bytes (NFC): systems write `é` as one character or as two.
pub(super) fn normalized(text: &str) -> Cow<'_, str> {
    if is_nfc(text) { Cow::Borrowed(text) } else { Cow::Owned(text.nfc().collect()) }
}

/// As [`normalized`], capitals being equal to small letters.
pub(super) fn folded(text: &str) -> String {
    // Small letters of composed ones may be two.
    normalized(text).to_lowercase().nfc().collect()
}

/// Which of `names` is called `name`; one that differs in case or Unicode form only, where there is but one.
pub(super) fn find_name(names: &[String], name: &str) -> Option<usize> {
    let alike = || {
        let mut alike = (0..names.len()).filter(|&at| folded(&names[at]) == folded(name));
        alike.next().filter(|_| alike.next().is_none())
    };
    names.iter().position(|known| known == name).or_else(alike)
}

/// Names of classes in the order that they are numbered in: by their values, if all are whole numbers.
pub(super) fn in_order<T: AsRef<str> + Ord>(names: BTreeSet<T>) -> Vec<T> {
    let mut names: Vec<T> = names.into_iter().collect();
    if names.iter().all(|name| name.as_ref().parse::<i64>().is_ok()) {
        names.sort_by_key(|name| name.as_ref().parse::<i64>().ok());
    }
    names
}

/// Says which labels differ in capitals, spaces, marks between words, or an s at the end only: they are rarely meant to.
pub(super) fn note_alike(names: &[&str], notes: &mut Vec<String>) {
    let letters = |name: &str| {
        let letters: String = folded(name).chars().filter(|c| !c.is_whitespace() && !matches!(c, '-' | '_')).collect();
        letters.strip_suffix('s').map_or(letters.clone(), str::to_string)
    };
    let mut alike: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    names.iter().for_each(|name| alike.entry(letters(name)).or_default().push(name));
    for names in alike.into_values().filter(|names| names.len() > 1) {
        let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
        notes.push(format!("labels {} are spelt almost alike, and are classes of their own", quoted.join(" and ")));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_spelt_almost_alike_are_told() {
        let mut notes = Vec::new();
        note_alike(&["rose", "Roses", "tulip", "bus stop", "bus-stops", "s", "glass"], &mut notes);
        assert_eq!(notes.len(), 2, "{notes:?}");
        assert!(notes[0].contains("`bus stop` and `bus-stops`") && notes[1].contains("`rose` and `Roses`"), "{notes:?}");
    }
}
