//! Texts with labels or numbers, or just so: what reads them, and makes tokens of them.

use std::collections::{BTreeSet, HashMap};
use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

use super::label_sets::{LabelSets, SetCell, are_sets, leave_open};
use super::names::{beginning_of, in_order, note_alike};
use super::number::number;
use super::reader::Reader;
use super::sheet::text_of;
use super::split::Part;
use super::text_rows::{KnownColumns, PEEK, TextFormat, TextRow, TextRows, begins_with_texts};
use super::tokenizer::Tokenizer;
use super::tree::{self, Tree};
use super::{Dataset, ReadOptions, Samples, Split, Truth, TruthKind};

pub(super) static READER: Texts = Texts;

pub(super) struct Texts;

impl Reader for Texts {
    fn name(&self) -> &'static str {
        "texts"
    }

    fn help(&self) -> &'static str {
        "CSV, TSV or JSON Lines with a column of texts (--text) and perhaps one of labels (--target), plain lines, or a folder of .txt \
         files for each class; plain or .gz; or files train, val and test of that kind."
    }

    fn is_in(&self, tree: &Tree) -> bool {
        let texts = |entry: &tree::Entry, format: TextFormat| {
            format != TextFormat::Table || entry.reader().is_ok_and(|reader| begins_with_texts(&head(reader)))
        };
        if tree.is_one_file() {
            return TextFormat::of(&tree.files[0].name).is_some_and(|format| texts(&tree.files[0], format));
        }
        let parts = TextRows::parts_of(tree);
        if !parts.is_empty() {
            return parts.iter().filter(|(.., part)| *part == Part::Train).all(|(entry, format, _)| texts(entry, *format));
        }
        // Of a folder's files, one is named by whoever wants it.
        let lone = || tree.root.is_file() && TextRows::lone(tree).is_some_and(|(entry, format)| texts(entry, format));
        !TextRows::classes_of(tree).is_empty() || lone()
    }

    fn read(&self, tree: &Tree, options: &ReadOptions) -> Result<Dataset> {
        read(tree, options)
    }
}

fn head(reader: impl Read) -> Vec<u8> {
    let mut head = Vec::new();
    // What cannot be read is said by who reads all of it.
    let _ = reader.take(PEEK).read_to_end(&mut head);
    head
}

/// Whether a file holds texts: by its name, of a table by its columns.
pub(super) fn is(path: &Path) -> bool {
    let name = path.file_name().map_or(String::new(), |name| name.to_string_lossy().into_owned());
    match TextFormat::of(&name) {
        Some(TextFormat::Table) => std::fs::File::open(path).is_ok_and(|file| begins_with_texts(&head(tree::unpacking(file)))),
        format => format.is_some(),
    }
}

/// Texts that were read to be predicted for, each with its row, from 1, but for those that are empty.
pub struct LoadedTexts {
    pub texts: Vec<(u32, String)>,
    /// What a user must be told.
    pub notes: Vec<String>,
}

impl LoadedTexts {
    /// Those in a file of any format that is read, plain lines unless its name says otherwise. In a table, the column `text` has them,
    /// or else one that is called `like` that which a run was trained on.
    pub fn of_file(path: &Path, text: Option<&str>, like: Option<&str>, documents: Option<bool>) -> Result<Self> {
        let tree = Tree::of_file(path)?;
        let entry = &tree.files[0];
        let known = TextFormat::of(&entry.name);
        let format = known.unwrap_or(TextFormat::Lines);
        let documents = documents.filter(|_| format == TextFormat::Lines);
        let options = ReadOptions { text: text.map(String::from), documents, ..ReadOptions::default() };
        let like = like.map(|text| KnownColumns { text: text.into(), label: None });
        let mut found = Self::of(TextRows::of_file(entry, format, &options, like.as_ref(), None)?);
        if known.is_none() {
            found.notes.push("its name does not say what it is: it is read line by line".into());
        }
        Ok(found)
    }

    /// Those in plain lines.
    pub fn of_lines(bytes: &[u8]) -> Result<Self> {
        let lines = text_of(bytes)?;
        Ok(Self::of(TextRows::of_lines(&lines, Some(false), None)))
    }

    fn of(found: TextRows) -> Self {
        let (count, mut notes) = (found.rows.len(), found.notes);
        let rows = (1..).zip(found.rows).map(|(row, text)| (row, text.text.trim().to_string()));
        let texts: Vec<(u32, String)> = rows.filter(|(_, text)| !text.is_empty()).collect();
        if texts.len() < count {
            notes.push(format!("{} of {count} texts are empty and left out", count - texts.len()));
        }
        LoadedTexts { texts, notes }
    }
}

/// All texts of a tree, each with its part or none.
fn rows(tree: &Tree, options: &ReadOptions) -> Result<TextRows> {
    if tree.is_one_file() {
        let format = TextFormat::of(&tree.files[0].name).unwrap_or(TextFormat::Lines);
        return TextRows::of_file(&tree.files[0], format, options, None, None);
    }
    let mut parts = TextRows::parts_of(tree);
    if !parts.is_empty() {
        // What the training texts have decides for the others.
        parts.sort_by_key(|(.., part)| *part);
        let mut all = TextRows { labelled: false, ..TextRows::default() };
        for (entry, format, part) in parts {
            let found = TextRows::of_file(entry, format, options, all.columns.as_ref(), Some(part))?;
            if part == Part::Train {
                all.labelled |= found.labelled;
                all.listed = all.listed.or(found.listed);
                all.columns = all.columns.or(found.columns);
            } else if all.labelled && !found.labelled {
                let count = found.rows.len();
                all.notes
                    .push(format!("{} has no labels to measure by: its {count} texts are left out (`predict` takes them)", entry.name));
                continue;
            }
            all.rows.extend(found.rows);
            all.notes.extend(found.notes);
        }
        all.notes.dedup();
        return Ok(all);
    }
    let classes = TextRows::classes_of(tree);
    if !classes.is_empty() {
        let flags = [options.text.as_ref().map(|_| "--text"), options.target.as_ref().map(|_| "--target")];
        let flag = flags.into_iter().flatten().next();
        ensure!(flag.is_none(), "{} is for tables, {} is a folder of files", flag.unwrap_or_default(), tree.root.display());
        ensure!(options.documents.is_none(), "--documents is for plain lines: each file of {} is a text", tree.root.display());
        return TextRows::of_classes(&classes);
    }
    let (entry, format) =
        TextRows::lone(tree).with_context(|| format!("{} holds no texts, or several files of them", tree.root.display()))?;
    TextRows::of_file(entry, format, options, None, None)
}

/// What is to be known of each text.
enum TextTruth {
    Nothing,
    /// By number, and their names.
    Classes(Vec<u32>, Vec<String>),
    Numbers(Vec<f32>),
    Sets(LabelSets),
}

fn read(tree: &Tree, options: &ReadOptions) -> Result<Dataset> {
    let name = tree.root.display().to_string();
    if let Some(flag) = options.of_pictures() {
        bail!("{flag} is for pictures, {name} has texts");
    }
    let TextRows { mut rows, labelled, listed, columns, mut notes } = rows(tree, options)?;
    notes.extend(tree.notes.clone());
    let wanted = options.want_labels.then(|| options.truth.unwrap_or(TruthKind::Classes));
    if let Some(truth) = wanted {
        ensure!(truth != TruthKind::Transcripts, "{name} has texts: transcripts are of pictures and sounds");
        ensure!(truth != TruthKind::Masks, "{name} has texts, which have no masks");
        ensure!(truth != TruthKind::Tags, "{name} has no tags of words: these are read from CoNLL files (.conll, .bio, .iob)");
        ensure!(
            labelled,
            "{name} has no {}: --target names the column that has them (there is none called label, class or the like)",
            truth.name()
        );
    }
    let before = rows.len();
    rows.retain(|row| !row.text.trim().is_empty());
    if rows.len() < before {
        notes.push(format!("{} empty texts are left out", before - rows.len()));
    }
    ensure!(!rows.is_empty(), "{name} has no texts");
    // Whoever wants labels and whoever does not must draw the same test texts.
    if options.undivided && !rows.iter().any(|row| row.part == Some(Part::Train)) {
        // Whoever tests on all of them needs none to train on.
        rows.iter_mut().for_each(|row| row.part = None);
    }
    // Nobody needs to guess what lists are.
    let lists = listed.is_some() && leave_open(options);
    let sets = labelled && (lists || are_sets(options, rows.iter().map(|row| row.label.as_str())));
    ensure!(sets || listed.is_none() || wanted.is_none(), "{}, which are for --task multilabel", listed.unwrap_or_default());
    settle_parts(&mut rows, labelled && !options.undivided, sets, &mut notes);
    if wanted.is_some() && !sets {
        let before = rows.len();
        rows.retain(|row| !row.label.is_empty());
        if rows.len() < before {
            notes.push(format!("{} texts without a label are left out", before - rows.len()));
        }
        ensure!(!rows.is_empty(), "{name} has no {}: the column for them is empty", wanted.map_or("", TruthKind::name));
    }
    let truth = match sets {
        true => {
            let cells: Vec<SetCell<'_>> =
                rows.iter().map(|row| (row.label.as_str(), row.part.unwrap_or(Part::Train) == Part::Train)).collect();
            let column = columns.and_then(|columns| columns.label).unwrap_or_default();
            LabelSets::of(&name, ("text", &column), &cells, options, &mut notes)?.map_or(TextTruth::Nothing, TextTruth::Sets)
        }
        false => truth(&name, &rows, labelled, options, &mut notes)?,
    };
    let parts: Vec<Part> = rows.iter().map(|row| row.part.unwrap_or(Part::Train)).collect();
    ensure!(parts.contains(&Part::Train), "{name} has test texts, but none to train on");
    if let TextTruth::Classes(labels, names) = &truth {
        let trained: BTreeSet<u32> = labels.iter().zip(&parts).filter(|(_, part)| **part == Part::Train).map(|(label, _)| *label).collect();
        let lost = (0..names.len() as u32).find(|class| !trained.contains(class)).map(|class| &names[class as usize]);
        ensure!(
            lost.is_none() || options.known_classes.is_some(),
            "{name} has no training text of class `{}`",
            lost.map_or("", String::as_str)
        );
    }
    let of_part = |part: Part| (0..rows.len()).filter(|&row| parts[row] == part).collect::<Vec<_>>();
    let (train, test) = (of_part(Part::Train), of_part(Part::Test));
    let tokenizer = match &options.tokenizer {
        Some(tokenizer) => tokenizer.clone().fitted(train.iter().map(|&row| rows[row].text.as_str())),
        None => {
            let texts = train.iter().map(|&row| rows[row].text.as_str());
            if options.pieces { Tokenizer::learn_pieces(texts, false) } else { Tokenizer::learn(texts) }.context(name.clone())?
        }
    };
    let mut cut = 0;
    let mut split = |chosen: &[usize]| -> Result<Split> {
        let texts: Vec<&str> = chosen.iter().map(|&row| rows[row].text.trim()).collect();
        let truth = match &truth {
            TextTruth::Nothing => Truth::default(),
            TextTruth::Classes(labels, _) => Truth::labels(chosen.iter().map(|&row| labels[row]).collect()),
            TextTruth::Sets(sets) => Truth { label_sets: Some(sets.select(chosen)), ..Truth::default() },
            TextTruth::Numbers(numbers) => Truth { targets: Some(chosen.iter().map(|&row| numbers[row]).collect()), ..Truth::default() },
        };
        let (samples, long) = Samples::of_texts(&texts, &tokenizer)?;
        cut += long;
        Ok(Split::new(samples, truth))
    };
    let (train, test) = (split(&train)?, (!test.is_empty()).then(|| split(&test)).transpose()?);
    if options.tokenizer.is_none() {
        notes.push(lengths(&tokenizer, [Some(&train), test.as_ref()].into_iter().flatten()));
    }
    notes.extend(tokenizer.note(cut));
    let mut data = Dataset::new(tree::name_of(&tree.root), train, test).context(name)?;
    if let TextTruth::Classes(_, names) | TextTruth::Sets(LabelSets { names, .. }) = truth {
        (data.classes, data.class_names) = (names.len() as u32, names);
    }
    (data.notes, data.tokenizer) = (notes, Some(tokenizer));
    Ok(data)
}

/// How long texts are, for people.
fn lengths<'a>(tokenizer: &Tokenizer, splits: impl Iterator<Item = &'a Split>) -> String {
    let lengths: Vec<u32> = splits.flat_map(|split| split.samples.lengths().unwrap_or_default()).collect();
    let (count, most) = (lengths.len(), lengths.iter().max().unwrap_or(&0));
    let mean = lengths.iter().map(|&length| f64::from(length)).sum::<f64>() / count.max(1) as f64;
    let known = tokenizer.known();
    format!("{count} texts, {known}, {mean:.0} tokens (words and pieces of words) in a text, {most} at most")
}

/// What labels are: classes, or numbers where these are wanted.
fn truth(name: &str, rows: &[TextRow], labelled: bool, options: &ReadOptions, notes: &mut Vec<String>) -> Result<TextTruth> {
    let without = rows.iter().filter(|row| row.label.is_empty()).count();
    if !labelled || without == rows.len() {
        return Ok(TextTruth::Nothing);
    }
    if options.truth == Some(TruthKind::Numbers) {
        let value = |row: &TextRow| {
            let found =
                number(&row.label).with_context(|| format!("{name}: `{}` is no number, which is wanted as the target", row.label))?;
            ensure!((found as f32).is_finite(), "{name}: `{}` is too large: numbers are at most 3.4e38", row.label);
            Ok(found as f32)
        };
        return Ok(TextTruth::Numbers(rows.iter().map(value).collect::<Result<_>>()?));
    }
    if without > 0 {
        notes.push(format!("{without} of {} texts have no label: none is used, `label --labels` takes those that there are", rows.len()));
        return Ok(TextTruth::Nothing);
    }
    let names = in_order(rows.iter().map(|row| row.label.as_str()).collect::<BTreeSet<_>>());
    let problem = match names.len() {
        _ if options.known_classes.is_some() => None,
        1 => Some(format!("all texts are labelled `{}`; there is nothing to tell apart", beginning_of(names[0]))),
        many if !are_classes(many, rows.len()) => {
            Some(format!("there are {many} different labels for {} texts: these are numbers or names, not classes", rows.len()))
        }
        _ => None,
    };
    if let Some(problem) = problem {
        ensure!(!options.want_labels, "{name}: {problem}");
        notes.push(format!("there are no labels: {problem}"));
        return Ok(TextTruth::Nothing);
    }
    let class: HashMap<&str, u32> = names.iter().copied().zip(0..).collect();
    let labels = rows.iter().map(|row| class[row.label.as_str()]).collect();
    note_alike(&names, notes);
    Ok(TextTruth::Classes(labels, names.iter().map(|name| name.to_string()).collect()))
}

/// Whether so many different labels of so many texts can be classes.
fn are_classes(names: usize, texts: usize) -> bool {
    2 * names <= texts.max(4)
}

/// Settles what each text is for: as files or a column say; else a fifth of those of which something is said is for testing, where
/// `labelled` says that this is known; of `sets`, something is said where nothing is.
fn settle_parts(rows: &mut Vec<TextRow>, labelled: bool, sets: bool, notes: &mut Vec<String>) {
    let trained = rows.iter().any(|row| row.part == Some(Part::Train));
    if rows.iter().any(|row| row.part.is_some()) {
        let before = rows.len();
        rows.retain(|row| row.part.is_some() || !trained);
        if rows.len() < before {
            notes.push(format!("{} texts beside those for training and testing are left out", before - rows.len()));
        }
        let mut parts: Vec<Part> = rows.iter().map(|row| row.part.unwrap_or(Part::Train)).collect();
        notes.extend(Part::settle(&mut parts));
        rows.iter_mut().zip(&parts).for_each(|(row, part)| row.part = Some(*part));
        if parts.contains(&Part::Test) {
            return;
        }
    }
    let said: Vec<usize> = (0..rows.len()).filter(|&row| sets || !rows[row].stratum.is_empty()).collect();
    if !labelled || said.is_empty() {
        return;
    }
    let names: BTreeSet<&str> = said.iter().map(|&row| rows[row].stratum.as_str()).collect();
    let strata: Vec<&str> = match are_classes(names.len(), said.len()) {
        true => said.iter().map(|&row| rows[row].stratum.as_str()).collect(),
        false => vec![""; said.len()],
    };
    let divided = Part::divide(&strata, &vec![""; said.len()]);
    let mut parts = divided.parts.clone();
    notes.push(divided.note("text"));
    // A class that is not what was drawn by must have something to train on.
    let label = |at: usize| rows[said[at]].label.as_str();
    let classes: BTreeSet<&str> = (0..said.len()).map(label).collect();
    let mut known: BTreeSet<&str> = (0..said.len()).filter(|&at| parts[at] == Part::Train).map(label).collect();
    if are_classes(classes.len(), said.len()) {
        (0..said.len()).filter(|&at| known.insert(label(at))).for_each(|at| parts[at] = Part::Train);
    }
    said.into_iter().zip(parts).for_each(|(row, part)| rows[row].part = Some(part));
}
