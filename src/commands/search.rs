use anyhow::{Result, ensure};
use serde_json::json;

use super::embed::all_samples;
use super::opened_run::Finished;
use super::{LabelSource, open_device, print, print_json};
use crate::cli::{Flags, SearchArgs};
use crate::core::sample::Subject;
use crate::data::{Dataset, Samples, Split, Truth, load_sample};
use crate::error::UsageError;
use crate::host::neighbours::nearest;
use crate::metrics::unit_rows;
use crate::report::{ContactSheet, Tile, Tone, save_png};
use crate::say;

/// What is searched: all samples with their part, place and name.
struct Searched {
    data: Dataset,
    samples: Vec<(&'static str, u32, String)>,
}

impl Searched {
    fn split(&self, part: &str) -> &Split {
        self.data.test.as_ref().filter(|_| part == "test").unwrap_or(&self.data.train)
    }

    fn class(&self, row: usize) -> Option<&String> {
        let (part, index, _) = &self.samples[row];
        let label = self.split(part).truth.labels.as_ref().map(|labels| labels[*index as usize] as usize);
        label.and_then(|label| self.data.class_names.get(label))
    }
}

pub fn run(args: &SearchArgs) -> Result<u8> {
    ensure!(args.count > 0, UsageError("--count must be at least 1".into()));
    let mut finished = Finished::open(&args.run)?;
    let of_texts = finished.checkpoint.record.tokenizer.is_some();
    if let Some(flag) = args.invert.then_some("--invert").or(args.out.as_ref().map(|_| "--out")).filter(|_| of_texts) {
        return Err(UsageError(format!("{flag} is for pictures, {} was trained on texts", args.run.display())).into());
    }
    if args.invert && finished.checkpoint.record.subject() == Subject::Sounds {
        return Err(UsageError(format!("--invert is for pictures, {} was trained on sounds", args.run.display())).into());
    }
    let flags = Flags::of(args.images.as_deref(), &args.look);
    // Words are no file, though one may be called so.
    let input = Some(args.query.as_path()).filter(|_| !of_texts);
    finished.inputs(&flags, &[input]).declare(&args.out, args.overwrite)?;
    let data = finished.data(&flags, LabelSource::DataIfAny)?;
    let searched = Searched { samples: all_samples(&data), data };
    let text = args.query.to_string_lossy();
    let (query, own) = query(args, &finished, &searched)?;
    let device = open_device(&args.device.device)?;
    let mut bank = finished.features(&device, &searched.data.train)?;
    if let Some(test) = &searched.data.test {
        bank.values.extend(finished.features(&device, test)?.values);
    }
    let of_query = finished.checkpoint.features(&device, &query)?;
    let unit = |rows: &[f32]| unit_rows(rows, bank.columns);
    let nearest = nearest(&unit(&of_query.values), &unit(&bank.values), bank.columns, args.count + usize::from(own.is_some()))?;
    let found: Vec<(usize, f32)> = nearest.of(0).filter(|&(row, _)| Some(row) != own).take(args.count).collect();
    if !args.device.json {
        for &(row, similarity) in &found {
            let class = searched.class(row).map_or(String::new(), |class| format!("  {class}"));
            print(format_args!("{similarity:.4}  {}{class}", searched.samples[row].2));
        }
    }
    if let Some(path) = &args.out {
        let (pixels, image) = query.samples.shown(0)?;
        let query = Tile { pixels, caption: format!("query\n{text}"), tone: Tone::Right };
        let tile = |&(row, similarity): &(usize, f32)| {
            let (part, index, name) = &searched.samples[row];
            let class = searched.class(row).map_or(String::new(), |class| format!("{class} · "));
            let (pixels, _) = searched.split(part).samples.shown(*index)?;
            Ok(Tile { pixels, caption: format!("{class}{similarity:.3}\n{name}"), tone: Tone::Plain })
        };
        let tiles = std::iter::once(Ok(query)).chain(found.iter().map(tile)).collect::<Result<_>>()?;
        let title = format!("nearest of {} {} of {}", searched.samples.len(), searched.data.train.kind().called(), searched.data.name);
        save_png(&ContactSheet { title, image, columns: None, tiles }.draw()?, path)?;
        say!("{}: the query and its nearest", path.display());
    }
    print_json(args.device.json, || {
        let what = if of_texts { "text" } else { "file" };
        let row = |&(row, similarity): &(usize, f32)| {
            let (part, _, name) = &searched.samples[row];
            json!({ what: name, "split": part, "class": searched.class(row), "similarity": similarity })
        };
        let rows = found.iter().map(row).collect::<Vec<_>>();
        json!({ "query": text, searched.data.train.kind().called(): searched.samples.len(), "found": rows, "sheet": args.out, "device": device.name() })
    });
    Ok(0)
}

/// What is looked for; and its place, if it is one of those that are searched, as it is not its own neighbour.
fn query(args: &SearchArgs, finished: &Finished, searched: &Searched) -> Result<(Split, Option<usize>)> {
    let (text, record) = (args.query.to_string_lossy(), &finished.checkpoint.record);
    if let Some(tokenizer) = &record.tokenizer {
        ensure!(!text.trim().is_empty(), UsageError("there are no words to look for".into()));
        let own = searched.samples.iter().position(|(.., name)| *name == text.trim());
        return Ok((Split::new(Samples::of_texts(&[&text], tokenizer)?.0, Truth::default()), own));
    }
    let own = searched.samples.iter().position(|(.., name)| !args.query.exists() && *name == text);
    let samples = match own {
        Some(_) if args.invert => {
            return Err(UsageError(format!("--invert is for a picture of one's own, {text} is one of the data")).into());
        }
        Some(at) => searched.split(searched.samples[at].0).samples.select(&[searched.samples[at].1]),
        None if args.query.exists() => {
            let options = record.picture_options(args.invert)?;
            let (samples, remarks) = load_sample(&args.query, &options)?;
            remarks.said(options.bits).iter().for_each(|said| say!("{text}: {said}"));
            samples
        }
        None => {
            let text =
                format!("{text} is neither a file nor the name of an image of {}, such as {}", searched.data.name, searched.samples[0].2);
            return Err(UsageError(text).into());
        }
    };
    Ok((Split::new(samples, Truth::default()), own))
}
