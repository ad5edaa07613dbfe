//! Texts with a tag for each word, in columns as the shared tasks of CoNLL have them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

use super::kinds;
use super::names::in_order;
use super::names::{beginning_of, some_of};
use super::reader::Reader;
use super::sheet::text_of;
use super::spans::{TagScheme, has_type, is_of_spans, spans};
use super::split::Part;
use super::text_rows::PEEK;
use super::tree::{self, Entry, Tree};
use super::{Dataset, ReadOptions, Samples, Split, Tags, Tokenizer, Truth, TruthKind};

pub(super) static READER: Tagged = Tagged;

pub(super) struct Tagged;

/// What files of it are called, and files that are some by what is in them.
const CALLED: [&str; 4] = ["conll", "bio", "iob", "iob2"];
const MAY_BE: [&str; 2] = ["txt", "tsv"];
/// The first column of lines between documents.
const BETWEEN_DOCUMENTS: &str = "-DOCSTART-";
/// A file of one sentence with more words than this has lost its blank lines.
const LONGEST_SENTENCE: usize = 1000;

impl Reader for Tagged {
    fn name(&self) -> &'static str {
        "words with tags"
    }

    fn help(&self) -> &'static str {
        "CoNLL files: a word on each line, its tag in the last column, a blank line after each sentence; .conll, .bio and .iob, and .txt and \
         .tsv whose tags are such as B-PER and O; plain or .gz; or files train, val and test of that kind."
    }

    fn implies(&self) -> Option<TruthKind> {
        Some(TruthKind::Tags)
    }

    fn is_in(&self, tree: &Tree) -> bool {
        if tree.is_one_file() {
            return is_one(&tree.files[0]);
        }
        let parts = parts_of(tree);
        match parts.is_empty() {
            true => tree.root.is_file() && lone(tree).is_some(),
            false => parts.iter().filter(|(_, part)| *part == Part::Train).all(|(entry, _)| is_one(entry)),
        }
    }

    fn read(&self, tree: &Tree, options: &ReadOptions) -> Result<Dataset> {
        read(tree, options)
    }
}

/// The ending of a name, plain or gzipped.
fn ending(name: &str) -> String {
    let name = name.to_ascii_lowercase();
    kinds::extension(name.strip_suffix(".gz").unwrap_or(&name))
}

fn is_called_so(name: &str) -> bool {
    CALLED.contains(&ending(name).as_str())
}

/// Whether a file is one, by its name or by what it begins with.
fn is_one(entry: &Entry) -> bool {
    let begins = || entry.reader().is_ok_and(begins_with_tags);
    is_called_so(&entry.name) || MAY_BE.contains(&ending(&entry.name).as_str()) && begins()
}

/// Whether a file is one.
pub(super) fn is(path: &Path) -> bool {
    let name = path.file_name().map_or(String::new(), |name| name.to_string_lossy().into_owned());
    let begins = || std::fs::File::open(path).is_ok_and(|file| begins_with_tags(tree::unpacking(file)));
    is_called_so(&name) || MAY_BE.contains(&ending(&name).as_str()) && begins()
}

/// Whether all lines that a file begins with have a word and a tag of spans, and equally many columns.
fn begins_with_tags(reader: impl Read) -> bool {
    let mut head = Vec::new();
    // What cannot be read is said by who reads all of it.
    let _ = reader.take(PEEK).read_to_end(&mut head);
    let whole = if head.len() < PEEK as usize { head.len() } else { head.iter().rposition(|&byte| byte == b'\n').unwrap_or(0) };
    let Ok(text) = text_of(&head[..whole]) else { return false };
    let tabs = has_tabs(&text);
    let mut lines = text.lines().map(|line| columns(line, tabs)).filter(|columns| !is_between(columns)).peekable();
    let count = lines.peek().map_or(0, Vec::len);
    let (mut typed, mut alike) = (false, count > 1);
    for columns in lines {
        let tag = columns.last().copied().unwrap_or_default();
        alike &= columns.len() == count && is_of_spans(tag);
        typed |= has_type(tag);
    }
    alike && typed
}

/// Whether tabs separate the columns of a text, by its first line that has some.
fn has_tabs(text: &str) -> bool {
    text.lines().find(|line| !is_between(&columns(line, false))).is_some_and(|line| line.contains('\t'))
}

/// Of a line; none of a blank one. Other spaces than ASCII's are words, which some texts have.
fn columns(line: &str, tabs: bool) -> Vec<&str> {
    if line.trim_matches([' ', '\t']).is_empty() {
        return Vec::new();
    }
    match tabs && line.contains('\t') {
        true => line.split('\t').map(|column| column.trim_matches(' ')).collect(),
        false => line.split([' ', '\t']).filter(|column| !column.is_empty()).collect(),
    }
}

/// Whether that is no word's line.
fn is_between(columns: &[&str]) -> bool {
    columns.first().is_none_or(|first| *first == BETWEEN_DOCUMENTS)
}

/// Files of a tree that are named after parts, such as train.conll and test.conll.
fn parts_of(tree: &Tree) -> Vec<(&Entry, Part)> {
    let part = |entry: &Entry| {
        let name = entry.file_name().to_lowercase();
        let stem = name.strip_suffix(".gz").unwrap_or(&name).rsplit_once('.')?.0.to_string();
        let ending = ending(&name);
        let taken = CALLED.iter().chain(&MAY_BE).any(|known| *known == ending) && !entry.name.contains('/');
        if taken { Part::named(&stem) } else { None }
    };
    let found: Vec<_> = tree.files.iter().filter_map(|entry| part(entry).map(|part| (entry, part))).collect();
    if found.iter().any(|(_, part)| *part == Part::Train) { found } else { Vec::new() }
}

/// The one file of an archive that is one.
fn lone(tree: &Tree) -> Option<&Entry> {
    let told = |entry: &&Entry| !kinds::is_documentation(entry.file_name());
    let found: Vec<&Entry> = tree.files.iter().filter(told).filter(|entry| is_one(entry)).collect();
    if let [one] = found[..] { Some(one) } else { None }
}

/// The words of a text, and a tag for each.
struct Sentence {
    words: Vec<String>,
    /// By number among all tags.
    tags: Vec<u32>,
    part: Option<Part>,
}

/// Tags, by number in the order in which they were met, and where.
#[derive(Default)]
struct TagNames {
    numbers: HashMap<String, u32>,
    names: Vec<String>,
    /// File and line.
    places: Vec<String>,
}

impl TagNames {
    fn number(&mut self, tag: &str, place: impl Fn() -> String) -> u32 {
        if let Some(&number) = self.numbers.get(tag) {
            return number;
        }
        let number = self.names.len() as u32;
        self.numbers.insert(tag.into(), number);
        self.names.push(tag.into());
        self.places.push(place());
        number
    }

    fn of<'a>(&'a self, sentence: &Sentence) -> Vec<&'a str> {
        sentence.tags.iter().map(|&tag| self.names[tag as usize].as_str()).collect()
    }
}

/// Calls `f` with the number and the columns of each line of a file, and with none at the end of each sentence. Fails where lines have
/// not equally many columns, or less than `least`.
fn each_line(text: &str, name: &str, least: usize, mut f: impl FnMut(u32, &[&str])) -> Result<()> {
    let (tabs, mut count) = (has_tabs(text), None);
    for (line, row) in (1..).zip(text.lines().map(|line| columns(line, tabs))) {
        if is_between(&row) {
            f(line, &[]);
            continue;
        }
        let wanted = *count.get_or_insert(row.len());
        if row.len() < least {
            let word = beginning_of(row[0]);
            bail!("{name}, line {line}: `{word}` stands alone: a word and its tag are wanted, in the first and in the last column");
        }
        if row.len() != wanted {
            let comment = row[0].starts_with('#');
            let hint = if comment { ": comments, such as CoNLL-U has, are not known here" } else { "" };
            bail!("{name}, line {line} has {} columns, the lines before it have {wanted}{hint}", row.len());
        }
        if let Some(what) = row[0].is_empty().then_some("word").or(row[wanted - 1].is_empty().then_some("tag")) {
            bail!("{name}, line {line} has no {what}");
        }
        f(line, &row);
    }
    f(0, &[]);
    Ok(())
}

fn content(bytes: &[u8], name: &str) -> Result<String> {
    Ok(text_of(bytes).map_err(|error| anyhow::anyhow!("{name}: {error}"))?.into_owned())
}

/// The sentences of a file; what a user must be told of it into `notes`.
fn sentences(entry: &Entry, part: Option<Part>, names: &mut TagNames, notes: &mut Vec<String>) -> Result<Vec<Sentence>> {
    let (name, text) = (&entry.name, content(&entry.unpacked()?, &entry.name)?);
    let empty = || Sentence { words: Vec::new(), tags: Vec::new(), part };
    let (mut found, mut sentence) = (Vec::new(), empty());
    each_line(&text, name, 2, |line, columns| match columns {
        [word, .., tag] => {
            sentence.words.push(word.to_string());
            sentence.tags.push(names.number(tag, || format!("{name}, line {line}")));
        }
        _ if sentence.words.is_empty() => {}
        _ => found.push(std::mem::replace(&mut sentence, empty())),
    })?;
    if let [one] = &found[..]
        && one.words.len() > LONGEST_SENTENCE
    {
        notes.push(format!("{name} has no blank line: its {} words are taken for one sentence", one.words.len()));
    }
    Ok(found)
}

/// The words of each sentence of a file, where that is one of words in columns; what is said of them, if anything is, is passed over.
pub(super) fn words_of(entry: &Entry) -> Result<Option<Vec<Vec<String>>>> {
    if !is_one(entry) {
        return Ok(None);
    }
    let text = content(&entry.unpacked()?, &entry.name)?;
    let (mut found, mut words) = (Vec::new(), Vec::new());
    each_line(&text, &entry.name, 1, |_, columns| match columns.first() {
        Some(word) => words.push(word.to_string()),
        None => found.extend((!words.is_empty()).then(|| std::mem::take(&mut words))),
    })?;
    Ok(Some(found))
}

/// Whether no line of a file has more than a word.
fn is_untagged(entry: &Entry) -> Result<bool> {
    let (mut one, mut more) = (false, false);
    each_line(&content(&entry.unpacked()?, &entry.name)?, &entry.name, 1, |_, columns| {
        one |= columns.len() == 1;
        more |= columns.len() > 1;
    })?;
    Ok(one && !more)
}

/// All sentences of a tree.
fn all_sentences(tree: &Tree, names: &mut TagNames, notes: &mut Vec<String>) -> Result<Vec<Sentence>> {
    let mut parts = parts_of(tree);
    if tree.is_one_file() || parts.is_empty() {
        let file = if tree.is_one_file() { tree.files.first() } else { lone(tree) };
        let file = file.with_context(|| format!("{} holds no words with tags, or several files of them", tree.root.display()))?;
        return sentences(file, None, names, notes);
    }
    parts.sort_by_key(|(_, part)| *part);
    let mut all = Vec::new();
    for (entry, part) in parts {
        if part != Part::Train && is_untagged(entry).unwrap_or(false) {
            notes.push(format!("{} has no tags to measure by and is left out (`predict` takes it)", entry.name));
            continue;
        }
        all.extend(sentences(entry, Some(part), names, notes)?);
    }
    Ok(all)
}

fn read(tree: &Tree, options: &ReadOptions) -> Result<Dataset> {
    let name = tree.root.display().to_string();
    if let Some(flag) = options.of_pictures() {
        bail!("{flag} is for pictures, {name} has words with tags");
    }
    ensure!(options.target.is_none(), "--target is for tables; the tags of {name} are in its last column");
    if let Some(truth) = options.truth.filter(|truth| options.want_labels && *truth != TruthKind::Tags) {
        bail!("{name} has texts with a tag for each word, not {}", truth.name());
    }
    let (mut names, mut notes) = (TagNames::default(), tree.notes.clone());
    let mut all = all_sentences(tree, &mut names, &mut notes)?;
    ensure!(!all.is_empty(), "{name} has no words");
    settle_parts(&mut all, options, &mut notes);
    let of_part = |part: Part| all.iter().filter(move |sentence| sentence.part == Some(part));
    ensure!(of_part(Part::Train).next().is_some(), "{name} has test sentences, but none to train on");
    let scheme = scheme_of(&name, &all, &names)?;
    // Numbers of tags in the order of their names.
    let kept: BTreeSet<u32> = all.iter().flat_map(|sentence| sentence.tags.iter().copied()).collect();
    let ordered = in_order(kept.iter().map(|&tag| names.names[tag as usize].as_str()).collect());
    if options.want_labels && options.known_classes.is_none() {
        ensure!(ordered.len() > 1, "{name}: all words are tagged `{}`; there is nothing to learn", beginning_of(ordered[0]));
    }
    let class: HashMap<&str, u32> = ordered.iter().copied().zip(0..).collect();
    notes.push(counted(scheme, &all, &names, ordered.len()));
    notes.extend(remarks(scheme, &all, &names));
    let words_of = |part: Part| of_part(part).map(|sentence| sentence.words.iter().map(String::as_str).collect()).collect::<Vec<Vec<_>>>();
    let (train, test) = (words_of(Part::Train), words_of(Part::Test));
    let lines: Vec<String> = train.iter().map(|words| words.join(" ")).collect();
    let tokenizer = match &options.tokenizer {
        Some(tokenizer) => tokenizer.clone().fitted(lines.iter().map(String::as_str)),
        // Names are told by their capitals.
        None if options.pieces => Tokenizer::learn_pieces(lines.iter().map(String::as_str), true).context(name.clone())?,
        None => Tokenizer::learn(lines.iter().map(String::as_str)).context(name.clone())?,
    };
    let (mut cut, mut lost) = (0, 0);
    let mut split = |words: &[Vec<&str>], part: Part| -> Result<Split> {
        let classes = |sentence: &Sentence| names.of(sentence).iter().map(|tag| class[tag]).collect();
        let classes: Vec<Vec<u32>> = of_part(part).map(classes).collect();
        let (samples, places, long) = Samples::of_words(words, &tokenizer)?;
        let tags = Tags::new(&classes, &places)?;
        cut += long;
        lost += (0..tags.len()).flat_map(|text| tags.words(text)).filter(|(_, place)| place.is_none()).count();
        Ok(Split::new(samples, Truth { tags: Some(tags), ..Truth::default() }))
    };
    let train = split(&train, Part::Train)?;
    let test = if test.is_empty() { None } else { Some(split(&test, Part::Test)?) };
    notes.extend(tokenizer.note(cut));
    if lost > 0 {
        notes.push(format!(
            "{lost} words have no token, as texts are cut off or tokens know none of their characters: nothing is predicted for them"
        ));
    }
    let class_names: Vec<String> = ordered.iter().map(|name| name.to_string()).collect();
    let mut data = Dataset::new(tree::name_of(&tree.root), train, test).context(name)?;
    (data.classes, data.class_names) = (class_names.len() as u32, class_names);
    (data.notes, data.tokenizer) = (notes, Some(tokenizer));
    Ok(data)
}

/// Settles what each sentence is for: as files say; else a fifth of them is for testing, unless they are to stay undivided.
fn settle_parts(all: &mut [Sentence], options: &ReadOptions, notes: &mut Vec<String>) {
    if all.iter().any(|sentence| sentence.part.is_some()) {
        let mut parts: Vec<Part> = all.iter().map(|sentence| sentence.part.unwrap_or(Part::Train)).collect();
        notes.extend(Part::settle(&mut parts));
        all.iter_mut().zip(&parts).for_each(|(sentence, part)| sentence.part = Some(*part));
        if parts.contains(&Part::Test) {
            return;
        }
    }
    if options.undivided {
        all.iter_mut().for_each(|sentence| sentence.part = Some(Part::Train));
        return;
    }
    let divided = Part::divide(&vec![""; all.len()], &vec![""; all.len()]);
    notes.push(divided.note("text"));
    all.iter_mut().zip(&divided.parts).for_each(|(sentence, part)| sentence.part = Some(*part));
}

/// How the tags of training sentences mark spans. Fails where only some do, or where there are as many tags as words.
fn scheme_of(name: &str, all: &[Sentence], names: &TagNames) -> Result<TagScheme> {
    let mark = |tag: &String| has_type(tag);
    let odd = names.names.iter().position(|tag| !is_of_spans(tag)).filter(|_| names.names.iter().any(mark));
    if let Some(odd) = odd {
        let (tag, other) = (beginning_of(&names.names[odd]), names.names.iter().find(|tag| mark(tag)).map_or("", String::as_str));
        bail!("{}: `{tag}` marks no span as `{other}` and others do: B-, I-, E- or S- and a type are wanted, or O", names.places[odd]);
    }
    let (words, count) = (all.iter().map(|sentence| sentence.words.len()).sum::<usize>(), names.names.len());
    ensure!(
        2 * count <= words.max(4) || names.names.iter().any(mark),
        "{name}: there are {count} different tags for {words} words: is the last column that of the tags?"
    );
    let trained = all.iter().filter(|sentence| sentence.part == Some(Part::Train));
    Ok(match TagScheme::of(trained.map(|sentence| names.of(sentence))) {
        // Spans may be in test sentences alone.
        TagScheme::Plain if names.names.iter().any(mark) => TagScheme::Bio,
        scheme => scheme,
    })
}

/// How many sentences, words and tags there are, for people.
fn counted(scheme: TagScheme, all: &[Sentence], names: &TagNames, tags: usize) -> String {
    let words: usize = all.iter().map(|sentence| sentence.words.len()).sum();
    let begin = format!("words are in the first column, tags in the last: {words} words in {} texts, {tags} tags", all.len());
    if scheme == TagScheme::Plain {
        return format!("{begin}, which mark no spans");
    }
    let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
    for sentence in all {
        spans(&names.of(sentence)).iter().for_each(|span| *kinds.entry(span.kind).or_default() += 1);
    }
    let kinds: Vec<String> = kinds.iter().map(|(kind, count)| format!("{kind} ({count})")).collect();
    format!("{begin} in {}: {}", scheme.name(), kinds.join(", "))
}

/// What a user must be told of tags: those that break their scheme, and those that none can learn.
fn remarks(scheme: TagScheme, all: &[Sentence], names: &TagNames) -> Vec<String> {
    let mut notes = Vec::new();
    let broken: usize = all.iter().map(|sentence| scheme.broken(&names.of(sentence))).sum();
    if broken > 0 {
        notes.push(format!("{broken} tags break {}: spans are counted as conlleval does, from where their type begins", scheme.name()));
    }
    let mut counts: BTreeMap<u32, usize> = BTreeMap::new();
    for sentence in all {
        sentence.tags.iter().for_each(|&tag| *counts.entry(tag).or_default() += usize::from(sentence.part == Some(Part::Test)));
    }
    let trained: BTreeSet<u32> = all.iter().filter(|s| s.part == Some(Part::Train)).flat_map(|s| s.tags.iter().copied()).collect();
    let foreign = counts.iter().filter(|(tag, count)| !trained.contains(tag) && **count > 0);
    let foreign: Vec<String> = foreign.map(|(tag, count)| format!("{} ({count})", names.names[*tag as usize])).collect();
    if !foreign.is_empty() {
        notes.push(format!("tags of test words that no training word has, which nothing can learn: {}", some_of(&foreign)));
    }
    notes
}
