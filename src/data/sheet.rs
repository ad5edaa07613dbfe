//! CSV files as rows of text under named columns, for tables and for the `index.csv` of an image folder.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::names::{find_name, some_of};
use super::number::{Notation, is_missing, number};
use super::split::Part;

/// A line with more cells than this is no line of a table.
const MOST_COLUMNS: usize = 1 << 16;

/// Cells of JSON Lines, whose objects may all have keys of their own.
const MOST_CELLS: usize = 1 << 28;

/// A CSV file with a header line, or JSON Lines.
pub(super) struct Sheet {
    /// For errors.
    pub name: String,
    pub columns: Vec<String>,
    /// Row after row.
    cells: Cells,
    /// The line of the file that each row begins at.
    lines: Vec<u32>,
    /// Columns that have more than a text, a number or a truth value in some cell, and in which line.
    nested: BTreeMap<usize, u32>,
    /// Columns that have lists of names in some cell, with bars between them, and in which line.
    listed: BTreeMap<usize, u32>,
}

/// Texts one after the other.
#[derive(Default)]
struct Cells {
    text: String,
    /// Where each ends.
    ends: Vec<u32>,
}

impl Cells {
    fn get(&self, index: usize) -> &str {
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.text[start as usize..self.ends[index] as usize]
    }

    /// Ends a cell, which is what was added to `text`, without the space around it.
    fn end(&mut self) {
        let start = self.ends.last().map_or(0, |&end| end as usize);
        let cell = &self.text[start..];
        if cell.trim().len() < cell.len() {
            let cell = cell.trim().to_string();
            self.text.truncate(start);
            self.text.push_str(&cell);
        }
        self.ends.push(self.text.len() as u32);
    }
}

/// Splits text into lines of cells, which may be quoted, and may contain line ends where they are.
struct Records<'a> {
    rest: &'a str,
    delimiter: char,
    /// At the beginning of `rest`, from 1.
    line: u32,
}

impl Records<'_> {
    /// Adds the cells of the next record that is not blank; its line and the number of its cells, `None` at the end.
    fn next(&mut self, cells: &mut Cells) -> Result<Option<(u32, usize)>> {
        loop {
            let end = self.rest.find('\n').unwrap_or(self.rest.len());
            if self.rest.is_empty() {
                return Ok(None);
            }
            if self.rest[..end].contains(|c: char| !c.is_whitespace() || c == self.delimiter) {
                break;
            }
            self.line += u32::from(end < self.rest.len());
            self.rest = self.rest.get(end + 1..).unwrap_or_default();
        }
        let (line, delimiter) = (self.line, self.delimiter);
        for count in 1..=MOST_COLUMNS {
            let begin = self.rest.trim_start_matches(|c: char| c.is_whitespace() && c != '\n' && c != delimiter);
            // Tabs are hardly in texts: where they separate, most programs do not quote, and a mark may be a text's own.
            if let Some(quoted) = begin.strip_prefix('"').filter(|quoted| delimiter != '\t' || closes(quoted)) {
                self.rest = quoted;
                self.unquote(cells).with_context(|| format!("line {} opens a quote that is never closed", self.line))?;
            }
            let end = self.rest.find([delimiter, '\n']).unwrap_or(self.rest.len());
            cells.text.push_str(&self.rest[..end]);
            cells.end();
            let ended = !self.rest[end..].starts_with(delimiter);
            self.line += u32::from(self.rest[end..].starts_with('\n'));
            self.rest = self.rest.get(end + 1..).unwrap_or_default();
            if ended {
                return Ok(Some((line, count)));
            }
        }
        bail!("line {line} has more than {MOST_COLUMNS} cells");
    }

    /// Adds what is quoted up to the closing quote; `None` if there is none.
    fn unquote(&mut self, cells: &mut Cells) -> Option<()> {
        loop {
            let (inside, after) = self.rest.split_once('"')?;
            cells.text.push_str(inside);
            let lines = inside.matches('\n').count() as u32;
            let Some(quote) = after.strip_prefix('"') else {
                (self.rest, self.line) = (after, self.line + lines);
                return Some(());
            };
            cells.text.push('"');
            (self.rest, self.line) = (quote, self.line + lines);
        }
    }
}

/// Whether a quote that was opened is closed at the end of a cell that tabs separate, on the same line: one that is closed on a
/// later line may as well be another's.
fn closes(quoted: &str) -> bool {
    let mut rest = quoted.split_once('\n').map_or(quoted, |(line, _)| line);
    while let Some((_, after)) = rest.split_once('"') {
        match after.strip_prefix('"') {
            Some(quote) => rest = quote,
            None => return after.is_empty() || after.starts_with('\t'),
        }
    }
    false
}

/// Line `at` bytes into a text.
fn line_at(bytes: &[u8], at: usize) -> usize {
    let count = |end| bytes[..at].iter().filter(|&&byte| byte == end).count();
    1 + count(b'\n').max(count(b'\r'))
}

/// UTF-8, or UTF-16 with a mark, with `\n` at the ends of lines.
pub(super) fn text_of(bytes: &[u8]) -> Result<Cow<'_, str>> {
    let utf16 = |bytes: &[u8], unit: fn([u8; 2]) -> u16| {
        let units = bytes.chunks_exact(2).map(|pair| unit([pair[0], pair[1]]));
        let text: Result<String, _> = char::decode_utf16(units).collect();
        text.ok().filter(|_| bytes.len().is_multiple_of(2)).context("the UTF-16 text is damaged or cut off: save the file as UTF-8")
    };
    let text = match bytes {
        [0xFF, 0xFE, text @ ..] => Cow::Owned(utf16(text, u16::from_le_bytes)?),
        [0xFE, 0xFF, text @ ..] => Cow::Owned(utf16(text, u16::from_be_bytes)?),
        [0xEF, 0xBB, 0xBF, text @ ..] | text => match std::str::from_utf8(text) {
            Ok(text) => Cow::Borrowed(text),
            Err(error) => bail!("line {} is not UTF-8 text: save the file as UTF-8", line_at(text, error.valid_up_to())),
        },
    };
    if let Some(at) = text.find('\0') {
        bail!("line {} has a NUL byte, which no text has: save the file as UTF-8 text", line_at(text.as_bytes(), at));
    }
    ensure!(u32::try_from(text.len()).is_ok(), "the file is larger than 4 GiB");
    Ok(if text.contains('\r') { Cow::Owned(text.replace("\r\n", "\n").replace('\r', "\n")) } else { text })
}

/// What separates cells: what divides the first lines into equally many, and most of them.
fn delimiter_of(text: &str) -> char {
    const LINES: usize = 20;
    // Of equals the first: commas may be decimal ones.
    const KNOWN: [char; 4] = [';', '\t', '|', ','];
    let counts = |delimiter: char| {
        let mut records = Records { rest: text, delimiter, line: 1 };
        let next = move |_| {
            let record = records.next(&mut Cells::default());
            // What cannot be divided counts as most cells, so that it is said why.
            record.map_or(Some(MOST_COLUMNS + 1), |record| Some(record?.1))
        };
        (0..LINES).map_while(next).collect::<Vec<usize>>()
    };
    let rank = |delimiter: &char| {
        let counts = counts(*delimiter);
        let first = counts.first().copied().unwrap_or(0);
        (first > 1 && counts.iter().all(|&count| count == first), first)
    };
    KNOWN.into_iter().rev().max_by_key(rank).unwrap_or(',')
}

impl Sheet {
    /// Separated by commas, semicolons, tabs or bars, or as a first line such as `sep=;` says.
    pub fn parse(bytes: &[u8], name: &str) -> Result<Self> {
        let text = text_of(bytes).map_err(|error| anyhow::anyhow!("{name}: {error}"))?;
        let (first, after) = text.split_once('\n').unwrap_or((&text, ""));
        let first = first.trim_matches(|c: char| c == '"' || c == ' ').to_ascii_lowercase();
        let mut records = match first.strip_prefix("sep=").map(|separator| separator.chars().collect::<Vec<_>>()).as_deref() {
            Some(&[delimiter]) if delimiter.is_ascii() && delimiter != '"' => Records { rest: after, delimiter, line: 2 },
            _ => Records { rest: &text, delimiter: delimiter_of(&text), line: 1 },
        };
        let mut next = |cells: &mut Cells| records.next(cells).map_err(|error| anyhow::anyhow!("{name}: {error}"));
        let mut header = Cells::default();
        let (_, width) = next(&mut header)?.with_context(|| format!("{name} is empty"))?;
        let columns: Vec<String> = (0..width).map(|column| header.get(column).to_string()).collect();
        ensure!(
            !columns.iter().all(|column| number(column).is_some()) && !columns.iter().any(|column| is_decimal(column)),
            "{name} starts with numbers ({}); its first line must name the columns",
            some_of(&columns)
        );
        let mut seen = HashSet::new();
        let twice = columns.iter().find(|column| !column.is_empty() && !seen.insert(*column));
        ensure!(twice.is_none(), "{name} has two columns called `{}`", twice.map_or("", String::as_str));
        ensure!(columns.iter().any(|column| !column.is_empty()), "{name}: no column has a name; the first line must name the columns");
        let (mut cells, mut lines) = (Cells { text: String::with_capacity(text.len()), ends: Vec::new() }, Vec::new());
        while let Some((line, count)) = next(&mut cells)? {
            ensure!(count == width, "{name}: line {line} has {count} cells, the header has {width} columns");
            lines.push(line);
        }
        ensure!(!lines.is_empty(), "{name} has a header line and no rows");
        Ok(Sheet { name: name.into(), columns, cells, lines, nested: BTreeMap::new(), listed: BTreeMap::new() })
    }

    /// An object on each line of JSON Lines, whose keys are the columns. What an object lacks is empty.
    pub fn of_json_lines(content: &str, name: &str) -> Result<Self> {
        let (mut objects, mut lines) = (Vec::new(), Vec::new());
        for (line, content) in (1..).zip(content.lines()).filter(|(_, content)| !content.trim().is_empty()) {
            match serde_json::from_str(content) {
                Ok(Value::Object(object)) => objects.push(object),
                Ok(_) => bail!("{name}, line {line} is no object: JSON Lines have one on each line, such as {{\"text\": \"...\"}}"),
                Err(error) => bail!("{name}, line {line} is no JSON: {error}"),
            }
            lines.push(line);
        }
        ensure!(!lines.is_empty(), "{name} is empty");
        let (mut columns, mut known) = (Vec::new(), HashSet::new());
        for key in objects.iter().flat_map(|object| object.keys()) {
            if known.insert(key.as_str()) {
                columns.push(key.clone());
            }
        }
        let most = MOST_CELLS / lines.len();
        ensure!(columns.len() <= most, "{name} has {} keys, {most} are the most that {} lines may have", columns.len(), lines.len());
        let (mut cells, mut nested, mut listed) = (Cells::default(), BTreeMap::new(), BTreeMap::new());
        for (object, &line) in objects.iter().zip(&lines) {
            for (column, key) in columns.iter().enumerate() {
                match object.get(key) {
                    None | Some(Value::Null) => {}
                    Some(Value::String(text)) => cells.text.push_str(&text.replace("\r\n", "\n").replace('\r', "\n")),
                    Some(plain @ (Value::Number(_) | Value::Bool(_))) => cells.text.push_str(&plain.to_string()),
                    Some(other) => match names_of(other) {
                        Some(names) => {
                            listed.entry(column).or_insert(line);
                            cells.text.push_str(&names.join("|"));
                        }
                        None => drop(nested.entry(column).or_insert(line)),
                    },
                }
                cells.end();
            }
        }
        Ok(Sheet { name: name.into(), columns, cells, lines, nested, listed })
    }

    /// Fails where a column has lists or objects.
    pub fn ensure_plain(&self, column: usize) -> Result<()> {
        let Some(line) = self.nested.get(&column).or(self.listed.get(&column)) else { return Ok(()) };
        bail!("{}, line {line}: `{}` is a list or an object, not a text", self.name, self.columns[column])
    }

    /// Whether a column has lists of names. Fails where it has objects, or lists of something else.
    pub fn has_lists(&self, column: usize) -> Result<bool> {
        let Some(line) = self.nested.get(&column) else { return Ok(self.listed.contains_key(&column)) };
        bail!("{}, line {line}: `{}` is neither a text nor a list of names without `|` in them", self.name, self.columns[column])
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// Where the column called `name` is; in other capitals if there is but one.
    pub fn find(&self, name: &str) -> Option<usize> {
        find_name(&self.columns, name)
    }

    /// As [`find`](Self::find), for the first of `names` that there is.
    pub fn find_any(&self, names: &[&str]) -> Option<usize> {
        names.iter().find_map(|name| self.find(name))
    }

    /// As [`find`](Self::find), for the column that a user named by `--target`, or did not.
    pub fn target(&self, name: Option<&str>) -> Result<usize> {
        let has = || format!("{} has the columns {}", self.name, self.columns.join(", "));
        let name = name.with_context(|| format!("{}: say with --target which of them is to be predicted", has()))?;
        self.find(name).with_context(|| format!("there is no column `{name}` to predict: {}", has()))
    }

    pub fn cell(&self, row: usize, column: usize) -> &str {
        self.cells.get(row * self.columns.len() + column)
    }

    /// All cells of a column.
    pub fn column(&self, column: usize) -> impl Iterator<Item = &str> + Clone {
        (0..self.len()).map(move |row| self.cell(row, column))
    }

    /// The line of the file that a row starts at.
    pub fn line(&self, row: usize) -> u32 {
        self.lines[row]
    }

    /// The number in a cell; `None` if nothing is there.
    pub fn number(&self, row: usize, column: usize, notation: Notation) -> Result<Option<f64>> {
        let cell = self.cell(row, column);
        if is_missing(cell) {
            return Ok(None);
        }
        let place = || format!("{}, line {}: `{cell}` in column `{}`", self.name, self.line(row), self.columns[column]);
        let otherwise = if notation.is_usual() { String::new() } else { format!(" written like {notation}, as the others are") };
        let value = notation.read(cell).with_context(|| format!("{} is no number{otherwise}", place()))?;
        ensure!((value as f32).is_finite(), "{} is too large: numbers are at most 3.4e38", place());
        Ok(Some(value))
    }

    /// A column that says what each row is for, and what that is: one called `split`, or `set`, `usage` and the like if it has
    /// no other words. Fails where `split` has others.
    pub fn parts(&self) -> Result<Option<(usize, Vec<Part>)>> {
        let parts = |column| self.column(column).map(Part::named).collect::<Option<Vec<Part>>>();
        let Some(column) = self.find("split") else {
            let mut known =
                ["set", "subset", "partition", "usage", "phase", "fold", "dataset", "part"].iter().filter_map(|name| self.find(name));
            let of_training = |parts: &Vec<Part>| parts.contains(&Part::Train);
            return Ok(known.find_map(|column| Some((column, parts(column).filter(of_training)?))));
        };
        let unknown = (0..self.len()).find(|&row| Part::named(self.cell(row, column)).is_none());
        if let Some(row) = unknown {
            let (line, name) = (self.line(row), &self.columns[column]);
            match self.cell(row, column) {
                "" => bail!("{}, line {line}: the cell in column `{name}` is empty; it must say train, test or val", self.name),
                cell => bail!("{}, line {line}: `{cell}` in column `{name}` is neither train nor test nor val", self.name),
            }
        }
        Ok(parts(column).map(|parts| (column, parts)))
    }
}

/// The names in a list of them.
fn names_of(value: &Value) -> Option<Vec<String>> {
    let name = |item: &Value| match item {
        Value::String(name) => Some(name.clone()).filter(|name| !name.contains(['|', '\n', '\r'])),
        plain @ (Value::Number(_) | Value::Bool(_)) => Some(plain.to_string()),
        _ => None,
    };
    value.as_array()?.iter().map(name).collect()
}

/// A number with a fraction, which no column is called.
fn is_decimal(text: &str) -> bool {
    text.contains(['.', ',']) && [Notation::default(), Notation::with_comma()].iter().any(|notation| notation.read(text).is_some())
}
