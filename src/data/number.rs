//! Numbers as people and their programs write them: with decimal commas, thousands separators, percent and currency signs.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A column of which at least this share are numbers is meant to be one of numbers.
const MOSTLY: f64 = 0.9;

/// Signs that may stand before or behind a number.
const UNITS: &str = "%‰$€£¥₹₽₩₺₪₫₴฿¢";

/// Digits between thousands separators.
const GROUP: usize = 3;

/// Words for a number that is missing.
const MISSING: [&str; 13] = ["", "na", "n/a", "#n/a", "<na>", "nan", "null", "none", "?", "-", "--", "–", "—"];

/// Nothing, in one of the ways that programs write it into a column of numbers.
pub(super) fn is_missing(cell: &str) -> bool {
    MISSING.iter().any(|word| word.eq_ignore_ascii_case(cell))
}

/// How the numbers of a column are written. Typographic minus signs, a leading `+` and spaces around are read in any of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Notation {
    /// A point or a comma.
    decimal: char,
    /// What stands between groups of three digits. A space means all kinds of spaces, `'` all kinds of apostrophes.
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<char>,
    /// A percent or currency sign at each number.
    #[serde(skip_serializing_if = "Option::is_none")]
    unit: Option<char>,
}

impl Default for Notation {
    fn default() -> Self {
        Notation { decimal: '.', group: None, unit: None }
    }
}

/// All notations but for units, usual ones first.
const NOTATIONS: [(char, Option<char>); 8] = [
    ('.', None),
    (',', None),
    ('.', Some(',')),
    (',', Some('.')),
    ('.', Some(' ')),
    (',', Some(' ')),
    ('.', Some('\'')),
    (',', Some('\'')),
];

/// A cell taken apart.
struct Written {
    negative: bool,
    unit: Option<char>,
    /// Digits and separators, these in one form.
    digits: String,
}

impl Written {
    fn of(cell: &str) -> Self {
        let (mut rest, mut sign, mut unit) = (cell.trim(), None, None);
        while let Some(first) = rest.chars().next() {
            let place = match first {
                '-' | '\u{2212}' | '\u{2013}' | '+' => &mut sign,
                first if UNITS.contains(first) => &mut unit,
                _ => break,
            };
            if place.replace(first).is_some() {
                break;
            }
            rest = rest[first.len_utf8()..].trim_start();
        }
        if let Some(last) = rest.chars().next_back().filter(|last| unit.is_none() && UNITS.contains(*last)) {
            unit = Some(last);
            rest = rest[..rest.len() - last.len_utf8()].trim_end();
        }
        let one_form = |c: char| match c {
            '\u{2019}' | '\u{02BC}' => '\'',
            '\u{2212}' => '-',
            c if c.is_whitespace() && c != '\n' => ' ',
            c => c,
        };
        Written { negative: sign.is_some_and(|sign| sign != '+'), unit, digits: rest.chars().map(one_form).collect() }
    }

    /// Infinite where it is too large.
    fn value(&self, (decimal, group): (char, Option<char>)) -> Option<f64> {
        let (mantissa, exponent) = match self.digits.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
            None => (self.digits.as_str(), 0),
        };
        let (whole, fraction) = mantissa.split_once(decimal).unwrap_or((mantissa, ""));
        let groups = group.map_or(Some(Cow::Borrowed(whole)), |group| ungrouped(whole, group))?;
        let are_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if !are_digits(&groups) || !are_digits(fraction) || groups.len() + fraction.len() == 0 {
            return None;
        }
        let value: f64 = format!("{groups}.{fraction}e{exponent}").parse().ok()?;
        Some(if self.negative { -value } else { value })
    }
}

/// Without what stands between groups of three digits; `None` where groups are of other sizes.
fn ungrouped(whole: &str, group: char) -> Option<Cow<'_, str>> {
    let Some((first, others)) = whole.split_once(group) else { return Some(Cow::Borrowed(whole)) };
    let sound = (1..=3).contains(&first.len()) && !first.starts_with('0') && others.split(group).all(|part| part.len() == 3);
    sound.then(|| Cow::Owned(whole.replace(group, "")))
}

/// In the usual notation; finite.
pub(super) fn number(cell: &str) -> Option<f64> {
    Notation::default().read(cell).filter(|value| value.is_finite())
}

/// By an example.
impl std::fmt::Display for Notation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = |sign: Option<char>| sign.map_or(String::new(), String::from);
        let thousand = self.group.map_or(String::new(), |group| format!("1{group}23"));
        write!(f, "{thousand}4{}5{}", self.decimal, text(self.unit))
    }
}

impl Notation {
    pub(super) fn with_comma() -> Self {
        Notation { decimal: ',', ..Self::default() }
    }

    /// The number in a cell; infinite where it is too large.
    pub(super) fn read(&self, cell: &str) -> Option<f64> {
        if *self == Self::default()
            && let Some(value) = cell.parse().ok().filter(|value: &f64| value.is_finite())
        {
            return Some(value);
        }
        Some(Written::of(cell)).filter(|written| written.unit == self.unit)?.value((self.decimal, self.group))
    }

    pub(super) fn is_usual(&self) -> bool {
        *self == Self::default()
    }

    /// What is said about a cell that programs would not read as the same number.
    pub(super) fn conversion(&self, cell: &str) -> Option<String> {
        let said = |(is, words): (bool, &str)| is.then(|| words.to_string());
        let value = self.read(cell)?;
        if cell.parse() == Ok(value) {
            return None;
        }
        let written = Written::of(cell);
        let group = self.group.filter(|group| written.digits.contains(*group));
        let words: Vec<String> = [
            (written.digits.contains(',') && self.decimal == ',', "decimal commas"),
            (group.is_some(), "thousands separators"),
            (matches!(self.unit, Some('%' | '‰')), "percent signs, which are dropped"),
            (self.unit.is_some_and(|unit| !"%‰".contains(unit)), "currency signs, which are dropped"),
            (!cell.is_ascii() && written.negative, "typographic minus signs"),
        ]
        .into_iter()
        .filter_map(said)
        .collect();
        Some(if words.is_empty() { "signs and spaces".into() } else { words.join(", ") })
    }
}

/// What the cells of a column are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Guess {
    /// Most are numbers in this notation. It is sure where they are not the same digits in another one.
    Numbers {
        notation: Notation,
        sure: bool,
    },
    /// Numbers in either notation, with other values.
    Either([Notation; 2]),
    /// Numbers, but in several notations.
    Mixed,
    Other,
}

impl Guess {
    /// Of cells that are not missing. `usual` is what other columns have for a decimal point.
    pub fn of<'a>(cells: impl Iterator<Item = &'a str>, usual: Option<char>) -> Self {
        // Whole numbers are the same in all notations.
        let (mut all, mut whole, mut some, mut fits) = (0_usize, 0_usize, 0_usize, [0_usize; NOTATIONS.len()]);
        let mut longest_whole = 0;
        let mut units = BTreeMap::new();
        // Whether two notations have different values for a cell, and whether a cell has a decimal sign at all.
        let mut differ = [[false; NOTATIONS.len()]; NOTATIONS.len()];
        let mut pointed = false;
        for cell in cells {
            all += 1;
            if cell.bytes().all(|byte| byte.is_ascii_digit()) {
                whole += 1;
                longest_whole = longest_whole.max(cell.len());
                continue;
            }
            let written = Written::of(cell);
            let values = NOTATIONS.map(|notation| written.value(notation));
            if values.iter().any(Option::is_some) {
                some += 1;
                *units.entry(written.unit).or_insert(0_usize) += 1;
            }
            pointed |= written.digits.contains(['.', ',']);
            for (i, value) in values.iter().enumerate().filter(|(_, value)| value.is_some()) {
                fits[i] += 1;
                for (j, other) in values.iter().enumerate() {
                    differ[i][j] |= other.is_some() && other != value;
                }
            }
        }
        fits.iter_mut().for_each(|count| *count += whole);
        some += whole;
        *units.entry(None).or_insert(0) += whole;
        let mostly = |count: usize| count > 0 && count as f64 >= MOSTLY * all as f64;
        let most = fits.iter().copied().max().unwrap_or(0);
        let unit = units.iter().max_by_key(|(_, count)| **count).and_then(|(unit, _)| *unit);
        if !mostly(some) {
            return Guess::Other;
        }
        if !mostly(most) || !mostly(units.get(&unit).copied().unwrap_or(0)) {
            return Guess::Mixed;
        }
        let mut best: Vec<usize> = (0..NOTATIONS.len()).filter(|&i| fits[i] == most).collect();
        best.sort_by_key(|&i| usual.is_some_and(|usual| NOTATIONS[i].0 != usual));
        let named = |i: usize| Notation { decimal: NOTATIONS[i].0, group: NOTATIONS[i].1, unit };
        let rival = best.iter().copied().find(|&i| differ[best[0]][i]);
        // Numbers of up to three digits, and others with three after each point: `1.234` beside `501`.
        let grouped = (1..=GROUP).contains(&longest_whole) && some - whole >= GROUP;
        match rival {
            None => Guess::Numbers { notation: named(best[0]), sure: pointed },
            Some(rival) if usual.is_none() && (best[0] != 0 || grouped) => Guess::Either([named(best[0]), named(rival)]),
            Some(_) => Guess::Numbers { notation: named(best[0]), sure: false },
        }
    }

    /// Of each of several columns, which have one decimal sign in common if they are sure of one.
    pub fn of_all<'a, C: Iterator<Item = &'a str>>(columns: usize, cells: impl Fn(usize) -> C) -> Vec<Self> {
        let alone: Vec<Guess> = (0..columns).map(|column| Guess::of(cells(column), None)).collect();
        let has =
            |decimal| alone.iter().any(|guess| matches!(guess, Guess::Numbers { notation, sure: true } if notation.decimal == decimal));
        let usual = match (has('.'), has(',')) {
            (true, false) => '.',
            (false, true) => ',',
            _ => return alone,
        };
        if usual == '.' && !alone.iter().any(|guess| matches!(guess, Guess::Either(_))) {
            return alone;
        }
        (0..columns).map(|column| Guess::of(cells(column), Some(usual))).collect()
    }
}

/// A date, a time, or both, in one of the usual forms.
pub(super) fn is_date(cell: &str) -> bool {
    let is_number =
        |text: &str, least: usize, most: usize| (least..=most).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_time = |text: &str| {
        let text = text.trim_end_matches(['Z', 'z']).split(['+', '-', '.']).next().unwrap_or_default();
        let parts: Vec<&str> = text.split(':').collect();
        parts.len() > 1 && parts.iter().all(|part| is_number(part, 1, 2))
    };
    let is_day = |text: &str| {
        let parts: Vec<&str> = text.split(['-', '/', '.', ' ']).collect();
        let month = |text: &str| {
            let names = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
            is_number(text, 1, 2) || names.iter().any(|name| text.to_ascii_lowercase().starts_with(name))
        };
        match parts.as_slice() {
            [year, middle] => is_number(year, 4, 4) && is_number(middle, 1, 2) && text.contains(['-', '/']),
            [year, middle, day] if is_number(year, 4, 4) => month(middle) && is_number(day, 1, 2),
            [day, middle, year] => is_number(day, 1, 2) && month(middle) && (is_number(year, 4, 4) || is_number(year, 2, 2)),
            _ => false,
        }
    };
    let cell = cell.trim();
    is_day(cell)
        || is_time(cell)
        || cell.match_indices(['T', ' ']).any(|(at, mark)| is_day(&cell[..at]) && is_time(cell[at + mark.len()..].trim_start()))
}
