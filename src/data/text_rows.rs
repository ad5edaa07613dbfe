//! Texts with what is said of them: rows of tables, JSON Lines, plain lines, and files in folders.

use std::collections::BTreeSet;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::ReadOptions;
use super::number::{Notation, is_missing};
use super::sheet::{Sheet, text_of};
use super::split::Part;
use super::tree::{Entry, Tree};

/// What columns with texts are called, and columns with what is said of them; the usual ones first.
const TEXTS: [&str; 15] = [
    "text",
    "sentence",
    "review",
    "utterance",
    "message",
    "comment",
    "content",
    "body",
    "question",
    "query",
    "tweet",
    "description",
    "document",
    "headline",
    "title",
];
const LABELS: [&str; 12] =
    ["label", "class", "target", "category", "intent", "sentiment", "topic", "emotion", "polarity", "tag", "stars", "rating"];
/// A column of texts has at least this many words to a cell on average, unless it is called so.
const LEAST_WORDS: f64 = 3.0;
/// A line may have this many bytes.
const LONGEST_TEXT: usize = 1 << 20;
/// Lines between blank ones that are documents rather than lines, on average.
const LINES_OF_DOCUMENT: usize = 3;
/// Bytes of a file that tell what it is.
pub(super) const PEEK: u64 = 1 << 16;

/// A text with what is said of it.
pub(super) struct TextRow {
    pub text: String,
    /// Empty if nothing is.
    pub label: String,
    pub part: Option<Part>,
}

/// Rows of files, and what was taken for what.
#[derive(Default)]
pub(super) struct TextRows {
    pub rows: Vec<TextRow>,
    /// Whether something said what the rows' labels are.
    pub labelled: bool,
    /// What a user must be told.
    pub notes: Vec<String>,
}

/// Formats of files with texts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum TextFormat {
    /// CSV or TSV.
    Table,
    JsonLines,
    Lines,
}

impl TextFormat {
    /// By the name of a file, plain or gzipped.
    pub fn of(name: &str) -> Option<Self> {
        let name = name.to_ascii_lowercase();
        let name = name.strip_suffix(".gz").unwrap_or(&name);
        match name.rsplit_once('.')?.1 {
            "csv" | "tsv" => Some(TextFormat::Table),
            "jsonl" | "ndjson" => Some(TextFormat::JsonLines),
            "txt" => Some(TextFormat::Lines),
            _ => None,
        }
    }
}

/// Mean number of words in the cells of a column that are no numbers.
fn mean_words(sheet: &Sheet, column: usize) -> f64 {
    let words = |cell: &str| if Notation::default().read(cell).is_some() { 0 } else { cell.split_whitespace().count() };
    let (sum, count) =
        sheet.column(column).filter(|cell| !is_missing(cell)).fold((0, 0), |(sum, count), cell| (sum + words(cell), count + 1));
    f64::from(sum as u32) / f64::from(count.max(1) as u32)
}

/// The column with texts: the one that is called so and has words, or else the one with most words, if these are enough.
pub(super) fn text_column(sheet: &Sheet) -> Option<usize> {
    let called = TEXTS.iter().filter_map(|name| sheet.find(name)).find(|&column| mean_words(sheet, column) >= LEAST_WORDS / 2.0);
    let most = || {
        let counted = (0..sheet.columns.len()).map(|column| (column, mean_words(sheet, column)));
        counted.filter(|(_, words)| *words >= LEAST_WORDS).max_by(|a, b| a.1.total_cmp(&b.1)).map(|(column, _)| column)
    };
    called.or_else(most)
}

/// Whether the beginning of a CSV or TSV file has a column of texts.
pub(super) fn begins_with_texts(head: &[u8]) -> bool {
    let whole = head.iter().rposition(|&byte| byte == b'\n').map_or(head, |end| &head[..end]);
    Sheet::parse(whole, "").is_ok_and(|sheet| text_column(&sheet).is_some())
}

/// Which columns have what, as a user says or by their names.
struct TextColumns {
    text: usize,
    label: Option<usize>,
    part: Option<(usize, Vec<Part>)>,
}

impl TextColumns {
    fn of(sheet: &Sheet, text: Option<&str>, target: Option<&str>) -> Result<Self> {
        let has = || format!("{} has the columns {}", sheet.name, sheet.columns.join(", "));
        let named = |name: &str, flag: &str| sheet.find(name).with_context(|| format!("there is no column `{name}` ({flag}): {}", has()));
        let text = match text {
            Some(name) => named(name, "--text")?,
            None => text_column(sheet)
                .or_else(|| sheet.find_any(&TEXTS))
                .with_context(|| format!("{}: say with --text which of them has the texts", has()))?,
        };
        let part = sheet.parts()?.filter(|(column, _)| *column != text);
        let free = |column: &usize| *column != text && part.as_ref().is_none_or(|(part, _)| part != column);
        let label = match target {
            Some(name) => Some(named(name, "--target")?),
            None => LABELS.iter().filter_map(|name| sheet.find(name)).find(free),
        };
        Ok(TextColumns { text, label, part })
    }
}

impl TextRows {
    /// Rows of a table. `part`: what all of them are for.
    fn of_sheet(sheet: &Sheet, text: Option<&str>, target: Option<&str>, part: Option<Part>) -> Result<Self> {
        let columns = TextColumns::of(sheet, text, target)?;
        let said = |column: usize| format!("`{}`", sheet.columns[column]);
        let label = columns.label.map_or(String::new(), |label| format!(", labels are in column {}", said(label)));
        let split = columns.part.as_ref().map_or(String::new(), |(split, _)| format!(", column {} says what is for what", said(*split)));
        let notes = vec![format!("texts are in column {}{label}{split}", said(columns.text))];
        let row = |row: usize| TextRow {
            text: sheet.cell(row, columns.text).to_string(),
            label: columns.label.map_or(String::new(), |label| sheet.cell(row, label).to_string()),
            part: part.or(columns.part.as_ref().map(|(_, parts)| parts[row])),
        };
        Ok(TextRows { rows: (0..sheet.len()).map(row).collect(), labelled: columns.label.is_some(), notes })
    }

    /// An object on each line.
    fn of_json_lines(content: &str, name: &str, text: Option<&str>, target: Option<&str>, part: Option<Part>) -> Result<Self> {
        let mut objects = Vec::new();
        for (line, content) in (1..).zip(content.lines()).filter(|(_, content)| !content.trim().is_empty()) {
            match serde_json::from_str(content) {
                Ok(Value::Object(object)) => objects.push((line, object)),
                Ok(_) => bail!("{name}, line {line} is no object: JSON Lines have one on each line, such as {{\"text\": \"...\"}}"),
                Err(error) => bail!("{name}, line {line} is no JSON: {error}"),
            }
        }
        let keys: BTreeSet<&str> = objects.iter().flat_map(|(_, object)| object.keys().map(String::as_str)).collect();
        let has = || format!("{name} has the keys {}", keys.iter().copied().collect::<Vec<_>>().join(", "));
        let named = |key: &str, flag: &str| {
            keys.get(key).copied().map(String::from).with_context(|| format!("there is no key `{key}` ({flag}): {}", has()))
        };
        let among = |known: &[&str]| known.iter().find(|known| keys.contains(**known)).map(|key| key.to_string());
        let text = match text {
            Some(key) => named(key, "--text")?,
            None => among(&TEXTS).with_context(|| format!("{}: say with --text which of them has the texts", has()))?,
        };
        let label = match target {
            Some(key) => Some(named(key, "--target")?),
            None => among(&LABELS),
        };
        let cell = |object: &serde_json::Map<String, Value>, key: &str, line: u32| match object.get(key) {
            None | Some(Value::Null) => Ok(String::new()),
            Some(Value::String(text)) => Ok(text.clone()),
            Some(plain @ (Value::Number(_) | Value::Bool(_))) => Ok(plain.to_string()),
            Some(_) => bail!("{name}, line {line}: `{key}` is a list or an object, not a text"),
        };
        let row = |(line, object): (u32, serde_json::Map<String, Value>)| {
            let label = label.as_deref().map_or(Ok(String::new()), |label| cell(&object, label, line))?;
            Ok(TextRow { text: cell(&object, &text, line)?, label, part })
        };
        let said = label.as_deref().map_or(String::new(), |label| format!(", labels are in `{label}`"));
        let notes = vec![format!("texts are in `{text}`{said}")];
        Ok(TextRows { labelled: label.is_some(), rows: objects.into_iter().map(row).collect::<Result<_>>()?, notes })
    }

    /// A text on each line, or in lines up to a blank one, if `documents` says so or there are several on average.
    fn of_lines(content: &str, documents: Option<bool>, part: Option<Part>) -> Self {
        let row = |text: String| TextRow { text, label: String::new(), part };
        let lines = || content.lines().map(str::trim);
        let blocks: Vec<Vec<&str>> = lines().collect::<Vec<_>>().split(|line| line.is_empty()).map(<[_]>::to_vec).collect();
        let blocks: Vec<Vec<&str>> = blocks.into_iter().filter(|block| !block.is_empty()).collect();
        let count: usize = blocks.iter().map(Vec::len).sum();
        if documents.unwrap_or(blocks.len() > 1 && count >= LINES_OF_DOCUMENT * blocks.len()) {
            let note = format!("blank lines separate {} texts of {count} lines (--documents false takes each line for one)", blocks.len());
            let rows = blocks.into_iter().map(|block| row(block.join("\n"))).collect();
            return TextRows { rows, notes: vec![note], ..TextRows::default() };
        }
        TextRows { rows: blocks.into_iter().flatten().map(|line| row(line.to_string())).collect(), ..TextRows::default() }
    }

    /// What a file holds.
    pub fn of_file(entry: &Entry, format: TextFormat, options: &ReadOptions, part: Option<Part>) -> Result<Self> {
        let (text, target) = (options.text.as_deref(), options.target.as_deref());
        let lines = format == TextFormat::Lines;
        ensure!(lines || options.documents.is_none(), "--documents is for plain lines, {} is a table", entry.name);
        let (bytes, name) = (entry.unpacked()?, &entry.name);
        let content = || text_of(&bytes).map_err(|error| anyhow::anyhow!("{name}: {error}"));
        let found = match format {
            TextFormat::Table => Self::of_sheet(&Sheet::parse(&bytes, name)?, text, target, part)?,
            TextFormat::JsonLines => Self::of_json_lines(&content()?, name, text, target, part)?,
            TextFormat::Lines => {
                let flag = text.map(|_| "--text").or(target.map(|_| "--target"));
                ensure!(flag.is_none(), "{} is for tables and JSON Lines; {name} has a text on each line", flag.unwrap_or_default());
                Self::of_lines(&content()?, options.documents, part)
            }
        };
        let long = found.rows.iter().position(|row| row.text.len() > LONGEST_TEXT);
        ensure!(long.is_none(), "{name}: text {} has more than {} MiB: are line ends missing?", long.unwrap_or(0) + 1, LONGEST_TEXT >> 20);
        Ok(found)
    }

    /// Files of a tree that are named after parts, such as train.tsv and test.tsv.
    pub fn parts_of(tree: &Tree) -> Vec<(&Entry, TextFormat, Part)> {
        let part = |entry: &Entry| {
            let name = entry.file_name().to_lowercase();
            let stem = name.strip_suffix(".gz").unwrap_or(&name).rsplit_once('.')?.0.to_string();
            (!entry.name.contains('/')).then_some(())?;
            Some((TextFormat::of(&name)?, Part::named(&stem)?))
        };
        let found: Vec<_> = tree.files.iter().filter_map(|entry| part(entry).map(|(format, part)| (entry, format, part))).collect();
        if found.iter().any(|(.., part)| *part == Part::Train) { found } else { Vec::new() }
    }

    /// Text files of a tree by class, the folder that they are in; above it may be one that is named after a part.
    pub fn classes_of(tree: &Tree) -> Vec<(&Entry, &str, Option<Part>)> {
        let placed = |entry: &'_ Entry| -> Option<(usize, usize, Option<Part>)> {
            (TextFormat::of(&entry.name) == Some(TextFormat::Lines)).then_some(())?;
            let (above, _) = entry.name.rsplit_once('/')?;
            let begin = above.rfind('/').map_or(0, |at| at + 1);
            let part = above[..begin].split('/').filter(|name| !name.is_empty()).find_map(Part::named);
            Part::named(&above[begin..]).is_none().then_some((begin, above.len(), part))
        };
        let found: Vec<_> =
            tree.files.iter().filter_map(|entry| placed(entry).map(|(begin, end, part)| (entry, &entry.name[begin..end], part))).collect();
        let classes: BTreeSet<&str> = found.iter().map(|(_, class, _)| *class).collect();
        if classes.len() > 1 { found } else { Vec::new() }
    }

    /// The texts in files by class.
    pub fn of_classes(files: &[(&Entry, &str, Option<Part>)]) -> Result<Self> {
        let row = |(entry, class, part): &(&Entry, &str, Option<Part>)| {
            let bytes = entry.unpacked()?;
            let text = text_of(&bytes).map_err(|error| anyhow::anyhow!("{}: {error}", entry.name))?.into_owned();
            Ok(TextRow { text, label: class.to_string(), part: *part })
        };
        Ok(TextRows { rows: files.iter().map(row).collect::<Result<_>>()?, labelled: true, notes: Vec::new() })
    }
}
