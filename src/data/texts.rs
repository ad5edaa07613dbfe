//! Texts with labels or numbers, or just so: what reads them, and makes tokens of them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

use super::number::number;
use super::picture_truth::in_order;
use super::reader::Reader;
use super::sheet::text_of;
use super::split::Part;
use super::text_rows::{PEEK, TextFormat, TextRow, TextRows, begins_with_texts};
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
        if tree.root.is_file() && tree.files.len() == 1 && tree.folders.is_empty() && TextFormat::of(&tree.files[0].name).is_some() {
            return is(&tree.root);
        }
        let parts = TextRows::parts_of(tree);
        let texts = |(entry, format, _): &(&tree::Entry, TextFormat, Part)| {
            *format != TextFormat::Table || entry.reader().is_ok_and(|reader| begins_with_texts(&head(reader)))
        };
        let mut trained = parts.iter().filter(|(.., part)| *part == Part::Train);
        (!parts.is_empty() && trained.all(texts)) || !TextRows::classes_of(tree).is_empty()
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

/// The texts in a file of any format that is read, as they stand there, but for those that are empty. `column` has them in a table.
pub fn load_texts(path: &Path, column: Option<&str>) -> Result<Vec<String>> {
    let tree = Tree::of_file(path)?;
    let format = tree.files.first().and_then(|entry| TextFormat::of(&entry.name)).unwrap_or(TextFormat::Lines);
    let options =
        ReadOptions { text: column.map(String::from), documents: (format == TextFormat::Lines).then_some(false), ..ReadOptions::default() };
    let found = TextRows::of_file(&tree.files[0], format, &options, None)?;
    Ok(found.rows.into_iter().map(|row| row.text.trim().to_string()).filter(|text| !text.is_empty()).collect())
}

/// The texts in plain lines, but for empty ones.
pub fn texts_in_lines(bytes: &[u8]) -> Result<Vec<String>> {
    Ok(text_of(bytes)?.lines().map(|line| line.trim().to_string()).filter(|line| !line.is_empty()).collect())
}

/// All texts of a tree, each with its part or none.
fn rows(tree: &Tree, options: &ReadOptions) -> Result<TextRows> {
    let (text, target) = (options.text.as_deref(), options.target.as_deref());
    let parts = TextRows::parts_of(tree);
    if !parts.is_empty() && !tree.root.is_file() {
        let mut all = TextRows { labelled: true, ..TextRows::default() };
        for (entry, format, part) in parts {
            let found = TextRows::of_file(entry, format, options, Some(part))?;
            all.rows.extend(found.rows);
            all.labelled &= found.labelled;
            all.notes.extend(found.notes);
        }
        all.notes.dedup();
        return Ok(all);
    }
    let classes = TextRows::classes_of(tree);
    if !classes.is_empty() {
        let flag = text.map(|_| "--text").or(target.map(|_| "--target"));
        ensure!(flag.is_none(), "{} is for tables, {} is a folder of files", flag.unwrap_or_default(), tree.root.display());
        return TextRows::of_classes(&classes);
    }
    let entry = tree.files.first().with_context(|| format!("{} is empty", tree.root.display()))?;
    let format = TextFormat::of(&entry.name).with_context(|| format!("{} holds no texts", entry.name))?;
    TextRows::of_file(entry, format, options, None)
}

/// What is to be known of each text.
enum TextTruth {
    Nothing,
    /// By number, and their names.
    Classes(Vec<u32>, Vec<String>),
    Numbers(Vec<f32>),
}

fn read(tree: &Tree, options: &ReadOptions) -> Result<Dataset> {
    let name = tree.root.display().to_string();
    if let Some(flag) = options.of_pictures() {
        bail!("{flag} is for pictures, {name} has texts");
    }
    let TextRows { mut rows, labelled, mut notes } = rows(tree, options)?;
    notes.extend(tree.notes.clone());
    let wanted = options.want_labels.then(|| options.truth.unwrap_or(TruthKind::Classes));
    if let Some(truth) = wanted {
        ensure!(truth != TruthKind::Masks, "{name} has texts, which have no masks");
        ensure!(
            labelled,
            "{name} has no {}: --target names the column that has them (there is none called label, class or the like)",
            truth.name()
        );
    }
    let mut drop_where = |empty: &dyn Fn(&TextRow) -> bool, what: &str| {
        let before = rows.len();
        rows.retain(|row| !empty(row));
        if rows.len() < before {
            notes.push(format!("{} {what} are left out", before - rows.len()));
        }
    };
    drop_where(&|row| row.text.trim().is_empty(), "empty texts");
    if wanted.is_some() {
        drop_where(&|row| row.label.is_empty(), "texts without a label");
    }
    ensure!(!rows.is_empty(), "{name} has no texts");
    let truth = truth(&name, &rows, labelled, options, &mut notes)?;
    let parts = parts(&rows, &truth, options, &mut notes)?;
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
        Some(tokenizer) => tokenizer.clone(),
        None => Tokenizer::learn(train.iter().map(|&row| rows[row].text.as_str())).context(name.clone())?,
    };
    let split = |chosen: &[usize]| -> Result<Split> {
        let texts: Vec<&str> = chosen.iter().map(|&row| rows[row].text.trim()).collect();
        let truth = match &truth {
            TextTruth::Nothing => Truth::default(),
            TextTruth::Classes(labels, _) => Truth::labels(chosen.iter().map(|&row| labels[row]).collect()),
            TextTruth::Numbers(numbers) => Truth { targets: Some(chosen.iter().map(|&row| numbers[row]).collect()), ..Truth::default() },
        };
        Ok(Split::new(Samples::of_texts(&texts, &tokenizer)?, truth))
    };
    let (train, test) = (split(&train)?, (!test.is_empty()).then(|| split(&test)).transpose()?);
    note_length(&tokenizer, [Some(&train), test.as_ref()].into_iter().flatten(), options, &mut notes);
    let mut data = Dataset::new(tree::name_of(&tree.root), train, test).context(name)?;
    if let TextTruth::Classes(_, names) = truth {
        (data.classes, data.class_names) = (names.len() as u32, names);
    }
    (data.notes, data.tokenizer) = (notes, Some(tokenizer));
    Ok(data)
}

/// Says how long texts are, and which are too long or have no word that is known.
fn note_length<'a>(tokenizer: &Tokenizer, splits: impl Iterator<Item = &'a Split>, options: &ReadOptions, notes: &mut Vec<String>) {
    let lengths: Vec<u32> = splits.flat_map(|split| split.samples.lengths().unwrap_or_default()).collect();
    let (count, longest) = (lengths.len(), tokenizer.longest());
    let mean = lengths.iter().map(|&length| f64::from(length)).sum::<f64>() / count.max(1) as f64;
    if options.tokenizer.is_none() {
        notes.push(format!(
            "{count} texts, {} words that occur twice or more, {mean:.0} tokens (words and pieces of words) in a text, {} at most",
            tokenizer.words(),
            lengths.iter().max().unwrap_or(&0)
        ));
    }
    let cut = lengths.iter().filter(|&&length| length == longest).count();
    if cut > 1 {
        notes.push(format!("{cut} texts have {longest} tokens or more: what goes beyond is cut off"));
    }
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
        1 if options.known_classes.is_none() => Some(format!("all texts are labelled `{}`; there is nothing to tell apart", names[0])),
        many if options.known_classes.is_none() && 2 * many > rows.len().max(4) => {
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

/// Says which labels differ in capitals only: they are rarely meant to.
fn note_alike(names: &[&str], notes: &mut Vec<String>) {
    let mut alike: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    names.iter().for_each(|name| alike.entry(super::names::folded(name)).or_default().push(name));
    for names in alike.into_values().filter(|names| names.len() > 1) {
        notes.push(format!("labels {} differ in capitals only and are classes of their own", names.join(", ")));
    }
}

/// What each text is for: as files or a column say, else a fifth of each class is for testing where something is to be measured.
fn parts(rows: &[TextRow], truth: &TextTruth, options: &ReadOptions, notes: &mut Vec<String>) -> Result<Vec<Part>> {
    let given: Option<Vec<Part>> = rows.iter().map(|row| row.part).collect();
    if let Some(mut parts) = given.filter(|parts| parts.contains(&Part::Train)) {
        notes.extend(Part::settle(&mut parts));
        if parts.contains(&Part::Test) {
            return Ok(parts);
        }
    }
    if matches!(truth, TextTruth::Nothing) && !options.want_labels {
        return Ok(vec![Part::Train; rows.len()]);
    }
    let strata: Vec<&str> = match truth {
        TextTruth::Classes(..) => rows.iter().map(|row| row.label.as_str()).collect(),
        _ => vec![""; rows.len()],
    };
    let divided = Part::divide(&strata, &vec![""; rows.len()]);
    notes.push(divided.note("text"));
    Ok(divided.parts)
}
