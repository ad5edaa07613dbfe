//! The verb `label`: a few labels spread over all training images, along the nearest neighbours of their embeddings.

use std::collections::HashSet;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::control::{Designs, WordWeights};
use super::opened_run::Finished;
use super::{LabelSource, name_of, open_device, percents, print_json};
use crate::cli::LabelArgs;
use crate::core::sample::{Image, SampleType};
use crate::data::{Dataset, Split};
use crate::error::UsageError;
use crate::files;
use crate::metrics::{spread, unit_rows};
use crate::propagate::{Assigned, Graph, HeldOut, LabelScores, PropagationSettings, Refitted, Voters};
use crate::report::{ContactSheet, Tile, Tone, save_png};
use crate::say;

/// The labels to start from: (training image, class), for each draw.
struct KnownLabels {
    draws: Vec<Vec<(u32, u32)>>,
    class_names: Vec<String>,
}

impl KnownLabels {
    fn of(args: &LabelArgs, data: &Dataset) -> Result<Self> {
        if let Some(path) = &args.labels {
            let several = data.given_sets(path, 0.0, None)?.is_some();
            let text = || format!("{} has cells with several labels between `|`: `label` spreads one of each sample", path.display());
            ensure!(!several, UsageError(text()));
            let given = data.given_labels(path, 0.0)?;
            given.ensure_tell_apart(path)?;
            given.notes.iter().for_each(|note| say!("{}: {note}", data.name));
            return Ok(KnownLabels { draws: vec![given.labelled], class_names: given.class_names });
        }
        let count = args.labels_per_class.context("clap asks for one of the two")?;
        let labels = data.train.truth.labels.as_ref().with_context(|| {
            UsageError(format!("{} has no labels to draw from: --labels FILE.csv names a few images and their classes", data.name))
        })?;
        let draw = |draw: u32| {
            let rows = data.train.draw_per_class(count, &data.class_names, args.seed + u64::from(draw))?;
            Ok(rows.into_iter().map(|row| (row, labels[row as usize])).collect())
        };
        Ok(KnownLabels { draws: (0..args.draws).map(draw).collect::<Result<_>>()?, class_names: data.class_names.clone() })
    }

    /// The images that the first draw labels.
    fn given(&self) -> HashSet<u32> {
        self.draws[0].iter().map(|&(row, _)| row).collect()
    }
}

/// What labels that spread over some features came to.
struct Spread {
    /// Of each training image, from the first draw.
    assigned: Vec<Assigned>,
    /// The labels of the first draw, each found from the others.
    held_out: Option<HeldOut>,
    /// Accuracy for each draw, where the truth is known: of votes on test images, and of the other training images' labels.
    test: Vec<f64>,
    others: Vec<f64>,
}

impl Spread {
    fn over(designs: &Designs, data: &Dataset, start: &KnownLabels, settings: &PropagationSettings, refit: bool) -> Result<Self> {
        let Designs { train, test } = designs;
        let (columns, classes) = (train.columns, start.class_names.len());
        let unit = unit_rows(&train.dense, columns);
        let graph = Graph::of(&unit, columns, settings)?;
        let outside = test.as_ref().filter(|_| !refit);
        let voters = outside.map(|test| Voters::of(&unit_rows(&test.dense, columns), &unit, columns, settings)).transpose()?;
        let of_test = |(spread, refitted): &(LabelScores, Option<Refitted>)| match (refitted, test.as_ref()) {
            (Some(refitted), Some(test)) => Some(refitted.of(test)),
            _ => voters.as_ref().map(|voters| spread.vote(voters)),
        };
        let scores_of = |labelled: &[(u32, u32)]| -> Result<(LabelScores, Option<Refitted>)> {
            let spread = graph.spread(labelled, classes)?;
            let refitted = if refit { Some(spread.refitted(train, labelled, settings.balance)?) } else { None };
            Ok((spread, refitted))
        };
        let of_train = |(spread, refitted): (LabelScores, Option<Refitted>)| refitted.map_or(spread, |refitted| refitted.scores);
        let mut found = Spread { assigned: Vec::new(), held_out: None, test: Vec::new(), others: Vec::new() };
        for (draw, labelled) in start.draws.iter().enumerate() {
            let scores = scores_of(labelled)?;
            if let (Some(of_test), Some(truth)) = (of_test(&scores), data.test.as_ref().and_then(|test| test.truth.labels.as_ref())) {
                found.test.extend(share_right(&of_test.assigned(), truth, |_| true));
            }
            let mut scores = of_train(scores);
            if let Some(truth) = &data.train.truth.labels {
                let assigned = scores.assigned();
                let mut others: Vec<bool> = vec![true; assigned.len()];
                labelled.iter().for_each(|&(row, _)| others[row as usize] = false);
                found.others.extend(share_right(&assigned, truth, |row| others[row]));
            }
            if draw == 0 {
                found.held_out = HeldOut::of(labelled, classes, |known| Ok(of_train(scores_of(known)?)))?;
                if let Some(held_out) = &found.held_out {
                    scores = scores.tempered(held_out.temperature);
                }
                found.assigned = scores.assigned();
            }
        }
        Ok(found)
    }

    fn json(&self) -> Value {
        let ((test, test_std), (others, others_std)) = (spread(&self.test), spread(&self.others));
        let known = |values: &[f64], value: f64| if values.is_empty() { Value::Null } else { json!(value) };
        json!({
            "test_accuracy": self.test,
            "test_mean": known(&self.test, test),
            "test_std": known(&self.test, test_std),
            "train_accuracy": self.others,
            "train_mean": known(&self.others, others),
            "train_std": known(&self.others, others_std),
            "held_out": self.held_out.as_ref().map(|held_out| {
                let HeldOut { confusion, temperature } = held_out;
                json!({ "labels": confusion.samples(), "accuracy": confusion.accuracy(), "temperature": temperature })
            }),
        })
    }
}

/// How many of those that count are right. What nothing is known about is not right. `None` where none count.
fn share_right(assigned: &[Assigned], truth: &[u32], counts: impl Fn(usize) -> bool) -> Option<f64> {
    let counted = || assigned.iter().zip(truth).enumerate().filter(|(row, _)| counts(*row));
    let right = counted().filter(|(_, (assigned, truth))| assigned.confidence > 0.0 && assigned.class == **truth).count();
    let all = counted().count();
    (all > 0).then(|| right as f64 / all as f64)
}

pub fn run(args: &LabelArgs) -> Result<u8> {
    ensure!(
        args.draws > 0 && args.labels_per_class != Some(0) && args.ask > 0,
        UsageError("--labels-per-class, --draws and --ask must be at least 1".into())
    );
    let mut finished = Finished::open(&args.run)?;
    // Texts can be written into the table that asks for their labels.
    let of_texts = finished.checkpoint.record.tokenizer.is_some();
    let [labels, ask] = finished.places(args.out.as_deref(), ["labels.csv", if of_texts { "ask-next.csv" } else { "ask-next.png" }]);
    let inputs = finished.inputs(&args.data, &[args.labels.as_deref()]);
    let _lock = finished.lock(args.out.as_deref())?;
    inputs.declare([&labels, &ask], args.overwrite)?;
    if let Some(folder) = &args.sort {
        let source = finished.data_path(&args.data).filter(|path| path.is_dir());
        can_sort(folder, source.with_context(|| UsageError("--sort copies pictures: --data must be a folder of them".into()))?)?;
    }
    let data = finished.data(&args.data, if args.labels.is_some() { LabelSource::File } else { LabelSource::Data })?;
    let start = KnownLabels::of(args, &data)?;
    if args.sort.is_some() {
        ensure!(!data.train.names.is_empty(), UsageError(format!("--sort copies pictures, {} has none in files of their own", data.name)));
        if let Some(part) = (0..data.train.len()).map(|row| data.train.name(row)).find(|name| !data.root.join(name).is_file()) {
            return Err(UsageError(format!("--sort copies files, `{part}` of {} is a part of one", data.name)).into());
        }
        let folders: HashSet<String> = start.class_names.iter().map(|class| folder_of(class)).collect();
        ensure!(folders.len() == start.class_names.len(), UsageError("--sort: two labels would have one folder: rename one".into()));
    }
    let published = finished.checkpoint.is_published();
    let near = published || of_texts;
    let of_encoder = if near { PropagationSettings::NEAR } else { PropagationSettings::default() };
    let settings = PropagationSettings { neighbours: args.neighbours, balance: args.balance, ..of_encoder };
    // Of sounds, votes were better on training recordings of digits that were held out.
    let refit = args.refit.unwrap_or(near && !matches!(data.train.kind(), SampleType::Frames { .. }));
    finished.own_up();
    let device = open_device(&args.device.device)?;
    let what = data.train.kind().called();
    let given = start.draws[0].len();
    say!(
        "{}: {given} labels of {} classes, {} training {what}, {} draws",
        data.name,
        start.class_names.len(),
        data.train.len(),
        start.draws.len()
    );
    let features = |images: &Split| finished.features(&device, images);
    // Test images without known classes need no vote.
    let test = data.test.as_ref().filter(|test| test.truth.labels.is_some());
    ensure!(refit || args.words != Some(true), UsageError("--words is for the probe of --refit, which is off here".into()));
    let words = if refit { WordWeights::beside(&finished.checkpoint, &data, args.words)? } else { None };
    let with_words = words.is_some();
    if with_words {
        say!("the probe sees weights of words (TF-IDF) beside embeddings; --words false leaves them out");
    }
    let designs = Designs::of(features(&data.train)?, test.map(features).transpose()?, words);
    let spread = Spread::over(&designs, &data, &start, &settings, refit)?;
    // A gain of the graph is none of the encoder: the same one is drawn for texts without one.
    let as_control = if of_texts { (settings, refit) } else { (PropagationSettings::default(), false) };
    let of_control = || {
        let control = Designs::of_control(&data);
        let control = Designs { test: control.test.filter(|_| test.is_some()), ..control };
        Spread::over(&control, &data, &start, &as_control.0, as_control.1)
    };
    let raw = args.raw.then(of_control).transpose()?;
    let control_name = Designs::name_of_control(data.train.kind());
    if !spread.test.is_empty() || !spread.others.is_empty() {
        let test = format!("test {what} ({})", if refit { "probe" } else { "vote" });
        say!("{:>24}  {test:>22}  {:>22}", "accuracy in percent", format!("other training {what}"));
        for (name, spread) in [("embeddings", Some(&spread)), (control_name, raw.as_ref())] {
            match spread {
                Some(spread) => say!("{name:>24}  {:>22}  {:>22}", percents(&spread.test), percents(&spread.others)),
                None => say!("{name:>24}  not measured: --raw spreads the same labels over it"),
            }
        }
    }
    match &spread.held_out {
        Some(held_out) => say!("{}", held_out_text(held_out, raw.as_ref(), control_name, &start.class_names)),
        None if args.labels.is_some() => {
            say!(
                "how many of the spread labels are right, nothing tells yet: with twenty given labels, two or more of a kind, they are judged by each other"
            );
        }
        None => {}
    }
    write_labels(&labels, &data, &start, &spread.assigned)?;
    let unknown = spread.assigned.iter().filter(|assigned| assigned.confidence == 0.0).count();
    let unreached = if unknown > 0 { format!(", {unknown} that no label reaches") } else { String::new() };
    say!("{}: {given} labels as given, {} spread{unreached}", labels.display(), spread.assigned.len() - given - unknown);
    summary(&start, &spread.assigned).iter().for_each(|summary| say!("{summary}"));
    if let Some(folder) = &args.sort {
        let count = sort_pictures(folder, &data, &start, &spread.assigned)?;
        say!("{}: copies of {count} pictures, in a folder for each label", folder.display());
    }
    let least = least_certain(args.ask, &start, &spread.assigned);
    let drawn = !least.is_empty();
    if drawn && of_texts {
        ask_for_texts(&ask, &least, &data, &start, &spread.assigned)?;
        say!("{}: the least certain texts, worth labelling next: fill in the column `label`", ask.display());
    } else if drawn {
        ask_for_images(&ask, &least, &data, &start, &spread.assigned)?;
        say!("{}: the least certain {what}, worth labelling next", ask.display());
    }
    let of = finished.data_path(&args.data).map_or(String::new(), |path| format!(" --data {}", path.display()));
    let size = args.data.given["size"]
        .as_array()
        .map_or(String::new(), |sides| format!(" --size {}", sides.iter().map(Value::to_string).collect::<Vec<_>>().join("x")));
    say!("next: wgraft finetune --from {}{of}{size} --pseudo-labels {}", args.run.display(), labels.display());
    print_json(args.device.json, || {
        let mut all = json!({
            "run": args.run,
            "labels_per_class": args.labels_per_class,
            "given": given,
            "spread": spread.assigned.len() - given - unknown,
            "unknown": unknown,
            "draws": start.draws.len(),
            "refit": refit,
            "words": with_words,
            "raw": raw.as_ref().map(Spread::json),
            "labels": labels,
            "ask_next": drawn.then_some(&ask),
            "device": device.name(),
        });
        crate::train::overlay(&mut all, spread.json());
        all
    });
    Ok(0)
}

/// How many of the given labels are found from each other, which of them are not, and what that makes of confidences.
fn held_out_text(held_out: &HeldOut, raw: Option<&Spread>, control: &str, names: &[String]) -> String {
    const SHOWN: usize = 3;
    let HeldOut { confusion, temperature } = held_out;
    let share = |held_out: &HeldOut| held_out.confusion.accuracy().map_or(0.0, |accuracy| 100.0 * accuracy);
    let (share, against) = (share(held_out), raw.and_then(|raw| raw.held_out.as_ref()).map(share));
    let against = against.map_or(String::new(), |share| format!(" ({control}: {share:.0} %)"));
    let count = confusion.samples();
    // Of a share of independent samples.
    let deviation = (share * (100.0 - share) / count as f64).sqrt();
    let pairs = (0..names.len()).flat_map(|truth| (0..names.len()).map(move |taken| (truth, taken)));
    let wrong = pairs.filter(|(truth, taken)| truth != taken).map(|(truth, taken)| (confusion.count(truth, taken), truth, taken));
    let mut wrong: Vec<(u64, usize, usize)> = wrong.filter(|(count, ..)| *count > 0).collect();
    wrong.sort_by_key(|(count, ..)| std::cmp::Reverse(*count));
    let told: Vec<String> =
        wrong.iter().take(SHOWN).map(|&(count, truth, taken)| format!("{} taken for {} ({count})", names[truth], names[taken])).collect();
    let told = if told.is_empty() { String::new() } else { format!("; most often {}", told.join(", ")) };
    format!(
        "of {count} given labels, each found from the others, {share:.0} ± {deviation:.0} % are right{against}, and about as many of the spread \
         ones will be{told}; confidences are scaled to fit that (temperature {temperature:.2})"
    )
}

/// How many samples got each label, and how many of these are less than certain; of more classes than fit on a line, of the most
/// frequent. `None` where nothing was spread.
fn summary(start: &KnownLabels, assigned: &[Assigned]) -> Option<String> {
    const SHOWN: usize = 12;
    const CERTAIN: f32 = 0.9;
    let given = start.given();
    let mut counts: Vec<(usize, usize, &String)> = start.class_names.iter().map(|name| (0, 0, name)).collect();
    for (_, found) in (0..).zip(assigned).filter(|(row, found)| found.confidence > 0.0 && !given.contains(row)) {
        let (count, uncertain, _) = &mut counts[found.class as usize];
        (*count, *uncertain) = (*count + 1, *uncertain + usize::from(found.confidence < CERTAIN));
    }
    let all: usize = counts.iter().map(|(count, ..)| count).sum();
    let uncertain: usize = counts.iter().map(|(_, uncertain, _)| uncertain).sum();
    counts.sort_by_key(|(count, ..)| std::cmp::Reverse(*count));
    let named: Vec<String> = counts.iter().take(SHOWN).map(|(count, _, name)| format!("{name} {count}")).collect();
    let more = if counts.len() > SHOWN { format!(" and {} more", counts.len() - SHOWN) } else { String::new() };
    (all > 0).then(|| format!("spread to {}{more}; {uncertain} of {all} with a confidence below {CERTAIN}", named.join(", ")))
}

/// Fails where pictures of `source` cannot be copied into `folder`, or would be read as data there.
fn can_sort(folder: &Path, source: &Path) -> Result<()> {
    let refuse = |why: &str| Err(UsageError(format!("--sort {} {why}", folder.display())).into());
    if std::fs::symlink_metadata(folder).is_ok() && !std::fs::read_dir(folder).is_ok_and(|mut within| within.next().is_none()) {
        return refuse("exists and is no empty folder: name a new one");
    }
    let above =
        folder.ancestors().skip(1).find_map(|above| if above.as_os_str().is_empty() { Path::new(".") } else { above }.canonicalize().ok());
    if above.zip(source.canonicalize().ok()).is_some_and(|(above, source)| above.starts_with(source)) {
        return refuse("lies in the data, and would be read as a part of them: name another place");
    }
    files::can_write(&folder.join("picture"))
}

/// The name of a label's folder: labels may have any characters.
fn folder_of(class: &str) -> String {
    let name = class.replace(['/', '\\'], "_");
    if name.trim_matches('.').is_empty() { format!("_{name}") } else { name }
}

/// Copies each picture that has a label into a folder that is called so; returns how many.
fn sort_pictures(folder: &Path, data: &Dataset, start: &KnownLabels, assigned: &[Assigned]) -> Result<usize> {
    let mut count = 0;
    for (row, found) in (0..).zip(assigned).filter(|(_, found)| found.confidence > 0.0) {
        let class = folder_of(&start.class_names[found.class as usize]);
        let (from, to) = (data.root.join(data.train.name(row)), folder.join(class).join(data.train.name(row)));
        std::fs::create_dir_all(to.parent().unwrap_or(folder)).with_context(|| format!("cannot make a folder for {}", to.display()))?;
        std::fs::copy(&from, &to).with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))?;
        count += 1;
    }
    Ok(count)
}

/// A line for each training sample; where nothing is known, without a label.
fn write_labels(path: &Path, data: &Dataset, start: &KnownLabels, assigned: &[Assigned]) -> Result<()> {
    let given = start.given();
    let train = &data.train;
    let mut csv = csv::Writer::from_writer(Vec::new());
    // Of equal texts, the index tells which one is meant.
    let columns: &[&str] = match (train.names.is_empty(), train.samples.text(0)) {
        (false, _) => &["file"],
        (true, Some(_)) => &["index", "text"],
        (true, None) => &["index"],
    };
    csv.write_record(columns.iter().chain(&["label", "confidence", "source"]))?;
    for (row, assigned) in (0..).zip(assigned) {
        let label = if assigned.confidence > 0.0 { &start.class_names[assigned.class as usize] } else { "" };
        let source = if given.contains(&row) { "given" } else { "spread" };
        let names = columns.iter().map(|&column| if column == "index" { row.to_string() } else { name_of(train, "", row) });
        csv.write_record(names.chain([label.into(), format!("{:.4}", assigned.confidence), source.into()]))?;
    }
    let csv = csv.into_inner().context("memory takes all")?;
    files::write(path, |file| file.write_all(&csv))
}

/// The `count` samples whose labels are the least certain, least certain first.
fn least_certain(count: usize, start: &KnownLabels, assigned: &[Assigned]) -> Vec<u32> {
    let given = start.given();
    let mut order: Vec<u32> = (0..assigned.len() as u32).filter(|row| !given.contains(row)).collect();
    order.sort_by(|&a, &b| assigned[a as usize].confidence.total_cmp(&assigned[b as usize].confidence));
    order.truncate(count);
    order
}

/// Writes texts with room for their labels, each with what it was taken for.
fn ask_for_texts(path: &Path, rows: &[u32], data: &Dataset, start: &KnownLabels, assigned: &[Assigned]) -> Result<()> {
    let mut csv = csv::Writer::from_writer(Vec::new());
    csv.write_record(["index", "text", "label", "guess", "confidence"])?;
    for &row in rows {
        let Assigned { class, confidence } = assigned[row as usize];
        let guess = if confidence > 0.0 { &start.class_names[class as usize] } else { "" };
        csv.write_record([&row.to_string(), &*name_of(&data.train, "", row), "", guess, &format!("{confidence:.4}")])?;
    }
    let csv = csv.into_inner().context("memory takes all")?;
    files::write(path, |file| file.write_all(&csv))
}

/// Draws images, each with what it was taken for.
fn ask_for_images(path: &Path, rows: &[u32], data: &Dataset, start: &KnownLabels, assigned: &[Assigned]) -> Result<()> {
    let tile = |&row: &u32| {
        let Assigned { class, confidence } = assigned[row as usize];
        let guess = match confidence > 0.0 {
            true => format!("{}? {:.0} %", start.class_names[class as usize], 100.0 * confidence),
            false => "unknown".into(),
        };
        let (pixels, image) = data.train.samples.shown(row)?;
        Ok((Tile { pixels, caption: format!("{guess}\n{}", name_of(&data.train, "", row)), tone: Tone::Plain }, image))
    };
    let title = format!("{}: what to label next, least certain first", data.name);
    let (tiles, images): (Vec<Tile<'_>>, Vec<Image>) = rows.iter().map(tile).collect::<Result<Vec<_>>>()?.into_iter().unzip();
    let image = images.first().copied().context("there is something to ask for")?;
    save_png(&ContactSheet { title, image, columns: None, tiles }.draw()?, path)
}
