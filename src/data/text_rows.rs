//! Texts with what is said of them: rows of tables, JSON Lines, plain lines, and files in folders.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};

use super::ReadOptions;
use super::kinds;
use super::names::folded;
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
const LABELS: [&str; 13] =
    ["label", "labels", "class", "target", "category", "intent", "sentiment", "topic", "emotion", "polarity", "tag", "stars", "rating"];
/// A column of texts has at least this many words to a cell on average, unless it is called so.
const LEAST_WORDS: f64 = 3.0;
/// A line may have this many bytes.
const LONGEST_TEXT: usize = 1 << 20;
/// Lines between blank ones that are documents rather than lines, on average: between these.
const LINES_OF_DOCUMENT: std::ops::RangeInclusive<usize> = 3..=200;
/// Folders beside those of classes whose texts belong to none.
const UNLABELLED: [&str; 4] = ["unsup", "unlabeled", "unlabelled", "unsupervised"];
/// Bytes of a file that tell what it is.
pub(super) const PEEK: u64 = 1 << 16;

/// A text with what is said of it.
pub(super) struct TextRow {
    pub text: String,
    /// Empty if nothing is.
    pub label: String,
    /// Of what is said of it the part by which test texts are drawn: that is the same, whatever is to be predicted. Empty for those
    /// that are none.
    pub stratum: String,
    pub part: Option<Part>,
}

/// KnownColumns of a table, by name.
#[derive(Clone, Default)]
pub(super) struct KnownColumns {
    pub text: String,
    pub label: Option<String>,
}

/// Rows of files, and what was taken for what.
#[derive(Default)]
pub(super) struct TextRows {
    pub rows: Vec<TextRow>,
    /// Whether something said what the rows' labels are.
    pub labelled: bool,
    /// Where labels are lists of names.
    pub listed: Option<String>,
    /// Of a table.
    pub columns: Option<KnownColumns>,
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
    let utf16 = head.starts_with(&[0xFF, 0xFE]) || head.starts_with(&[0xFE, 0xFF]);
    let ends = || (0..head.len()).rev().filter(|&at| head[at] == b'\n').map(|at| if utf16 { at & !1 } else { at });
    // The last line is cut off, perhaps within quotes that began on a line before it.
    let closed = |end: &usize| head[..*end].iter().filter(|&&byte| byte == b'"').count().is_multiple_of(2);
    let cuts = [ends().next(), ends().find(closed)].into_iter().flatten().map(|end| &head[..end]);
    let has_texts = |whole: &[u8]| Sheet::parse(whole, "").is_ok_and(|sheet| text_column(&sheet).is_some());
    cuts.chain([head]).any(has_texts)
}

/// Which columns have what, as a user says or by their names.
struct TextColumns {
    text: usize,
    label: Option<usize>,
    /// The one that is called like a column of labels, whatever is to be predicted.
    stratum: Option<usize>,
    part: Option<(usize, Vec<Part>)>,
}

impl TextColumns {
    /// `like`: what was taken in a table that this one lies beside.
    fn of(sheet: &Sheet, options: &ReadOptions, like: Option<&KnownColumns>) -> Result<Self> {
        let has = || format!("{} has the columns {}", sheet.name, sheet.columns.join(", "));
        let named = |name: &str, flag: &str| sheet.find(name).with_context(|| format!("there is no column `{name}` ({flag}): {}", has()));
        let text = match &options.text {
            Some(name) => named(name, "--text")?,
            None => like
                .and_then(|like| sheet.find(&like.text))
                .or_else(|| text_column(sheet))
                .or_else(|| sheet.find_any(&TEXTS))
                .with_context(|| format!("{}: say with --text which of them has the texts", has()))?,
        };
        let part = sheet.parts()?.filter(|(column, _)| *column != text);
        let free = |column: &usize| *column != text && part.as_ref().is_none_or(|(part, _)| part != column);
        let stratum = LABELS.iter().filter_map(|name| sheet.find(name)).find(free);
        let label = match (&options.target, like) {
            // What is not to be trained on may lack it.
            (Some(name), Some(_)) => sheet.find(name),
            (Some(name), None) => Some(named(name, "--target")?),
            (None, Some(like)) => like.label.as_ref().and_then(|name| sheet.find(name)),
            (None, None) => stratum,
        };
        sheet.ensure_plain(text)?;
        Ok(TextColumns { text, label, stratum: stratum.or(label), part })
    }
}

impl TextRows {
    /// Rows of a table. `part`: what all of them are for.
    fn of_sheet(sheet: &Sheet, options: &ReadOptions, like: Option<&KnownColumns>, part: Option<Part>) -> Result<Self> {
        let columns = TextColumns::of(sheet, options, like)?;
        let said = |column: usize| format!("`{}`", sheet.columns[column]);
        let label = columns.label.map_or(String::new(), |label| format!(", labels are in column {}", said(label)));
        let split = columns.part.as_ref().map_or(String::new(), |(split, _)| format!(", column {} says what is for what", said(*split)));
        let notes = vec![format!("texts are in column {}{label}{split}", said(columns.text))];
        let cell = |row: usize, column: Option<usize>| column.map_or(String::new(), |column| sheet.cell(row, column).to_string());
        let row = |row: usize| TextRow {
            text: cell(row, Some(columns.text)),
            label: cell(row, columns.label),
            stratum: cell(row, columns.stratum),
            part: part.or(columns.part.as_ref().map(|(_, parts)| parts[row])),
        };
        let name = |column: usize| sheet.columns[column].clone();
        let lists = columns.label.map(|column| sheet.has_lists(column)).transpose()?.unwrap_or(false);
        Ok(TextRows {
            listed: lists.then(|| format!("{}: {} has lists", sheet.name, columns.label.map_or(String::new(), said))),
            rows: (0..sheet.len()).map(row).collect(),
            labelled: columns.label.is_some(),
            columns: Some(KnownColumns { text: name(columns.text), label: columns.label.map(name) }),
            notes,
        })
    }

    /// A text on each line, or in lines up to a blank one, if `documents` says so or there are several on average.
    pub fn of_lines(content: &str, documents: Option<bool>, part: Option<Part>) -> Self {
        let row = |text: String| TextRow { text, label: String::new(), stratum: String::new(), part };
        let lines = || content.lines().map(str::trim);
        let blocks: Vec<Vec<&str>> = lines().collect::<Vec<_>>().split(|line| line.is_empty()).map(<[_]>::to_vec).collect();
        let blocks: Vec<Vec<&str>> = blocks.into_iter().filter(|block| !block.is_empty()).collect();
        let count: usize = blocks.iter().map(Vec::len).sum();
        if documents.unwrap_or(blocks.len() > 1 && LINES_OF_DOCUMENT.contains(&(count / blocks.len()))) {
            let note = format!("blank lines separate {} texts of {count} lines (--documents false takes each line for one)", blocks.len());
            let rows = blocks.into_iter().map(|block| row(block.join("\n"))).collect();
            return TextRows { rows, notes: vec![note], ..TextRows::default() };
        }
        TextRows { rows: lines().map(|line| row(line.to_string())).collect(), ..TextRows::default() }
    }

    /// What a file holds. `like`: what was taken in a table that this one lies beside.
    pub fn of_file(
        entry: &Entry,
        format: TextFormat,
        options: &ReadOptions,
        like: Option<&KnownColumns>,
        part: Option<Part>,
    ) -> Result<Self> {
        let name = &entry.name;
        let lines = format == TextFormat::Lines;
        ensure!(lines || options.documents.is_none(), "--documents is for plain lines, {name} is a table");
        let bytes = entry.unpacked()?;
        let content = || text_of(&bytes).map_err(|error| anyhow::anyhow!("{name}: {error}"));
        let found = match format {
            TextFormat::Table => Self::of_sheet(&Sheet::parse(&bytes, name)?, options, like, part)?,
            TextFormat::JsonLines => Self::of_sheet(&Sheet::of_json_lines(&content()?, name)?, options, like, part)?,
            TextFormat::Lines => {
                let flag = options.text.as_ref().map(|_| "--text").or(options.target.as_ref().map(|_| "--target"));
                ensure!(flag.is_none(), "{} is for tables and JSON Lines; {name} has a text on each line", flag.unwrap_or_default());
                Self::of_lines(&content()?, options.documents, part)
            }
        };
        for (row, TextRow { text, .. }) in (1..).zip(&found.rows) {
            ensure_length(text, || format!("{name}: text {row}"))?;
        }
        Ok(found)
    }

    /// The one file of an archive that has texts; one with columns before plain lines, which may be about it.
    pub fn lone(tree: &Tree) -> Option<(&Entry, TextFormat)> {
        let told = |entry: &'_ Entry| (!kinds::is_documentation(entry.file_name())).then(|| TextFormat::of(&entry.name)).flatten();
        let all: Vec<(&Entry, TextFormat)> = tree.files.iter().filter_map(|entry| Some((entry, told(entry)?))).collect();
        let columns: Vec<_> = all.iter().filter(|(_, format)| *format != TextFormat::Lines).copied().collect();
        let found = if columns.is_empty() { all } else { columns };
        if let [one] = found[..] { Some(one) } else { None }
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
            ensure_length(&text, || entry.name.clone())?;
            let label = if UNLABELLED.contains(&folded(class).as_str()) { "" } else { class };
            Ok(TextRow { text, label: label.into(), stratum: label.into(), part: *part })
        };
        Ok(TextRows { rows: files.iter().map(row).collect::<Result<_>>()?, labelled: true, ..TextRows::default() })
    }
}

/// Fails where a text is longer than any is; `what` it is called.
fn ensure_length(text: &str, what: impl Fn() -> String) -> Result<()> {
    ensure!(text.len() <= LONGEST_TEXT, "{} has more than {} MiB: are line ends missing?", what(), LONGEST_TEXT >> 20);
    Ok(())
}
