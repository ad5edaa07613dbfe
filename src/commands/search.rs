use anyhow::{Result, ensure};
use serde_json::json;

use super::embed::all_images;
use super::opened_run::Finished;
use super::{open_device, print, print_json};
use crate::cli::{Flags, SearchArgs};
use crate::data::{PictureOptions, Split, load_picture};
use crate::error::UsageError;
use crate::host::neighbours::nearest;
use crate::metrics::unit_rows;
use crate::report::{ContactSheet, Tile, Tone, save_png};
use crate::say;

pub fn run(args: &SearchArgs) -> Result<u8> {
    ensure!(args.count > 0, UsageError("--count must be at least 1".into()));
    let mut finished = Finished::open(&args.run)?;
    let searched = Flags::of(args.images.as_deref(), &args.look);
    finished.inputs(&searched, &[Some(&args.image)]).declare(&args.out, args.overwrite)?;
    let data = finished.data(&searched, false)?;
    let images = all_images(&data);
    let split_of = |part: &str| data.test.as_ref().filter(|_| part == "test").unwrap_or(&data.train);
    // A picture of one's own, or one of those that are searched: that is not its own neighbour.
    let text = args.image.to_string_lossy();
    let own = images.iter().position(|(.., name)| !args.image.exists() && *name == text);
    let picture = match own {
        Some(_) if args.invert => {
            return Err(UsageError(format!("--invert is for a picture of one's own, {text} is one of the data")).into());
        }
        Some(at) => split_of(images[at].0).samples.as_images()?.0.row(images[at].1).to_vec(),
        None if args.image.exists() => {
            let record = &finished.checkpoint.record;
            let options =
                PictureOptions { invert: args.invert, bits: record.bits, resize: record.resize, ..PictureOptions::plain(record.image()?) };
            let (pixels, remarks) = load_picture(&args.image, &options)?;
            remarks.said(options.bits).iter().for_each(|said| say!("{text}: {said}"));
            pixels
        }
        None => {
            let text = format!("{text} is neither a file nor the name of an image of {}, such as {}", data.name, images[0].2);
            return Err(UsageError(text).into());
        }
    };
    let device = open_device(&args.device.device)?;
    let mut bank = finished.features(&device, &data.train)?;
    if let Some(test) = &data.test {
        bank.values.extend(finished.features(&device, test)?.values);
    }
    let query = finished.checkpoint.features(&device, &Split::unlabelled(picture.clone(), finished.checkpoint.record.image()?))?;
    let unit = |rows: &[f32]| unit_rows(rows, bank.columns);
    let nearest = nearest(&unit(&query.values), &unit(&bank.values), bank.columns, args.count + usize::from(own.is_some()))?;
    let found: Vec<(usize, f32)> = nearest.of(0).filter(|&(row, _)| Some(row) != own).take(args.count).collect();
    let class_of = |row: usize| {
        let (part, index, _) = &images[row];
        let label = split_of(part).truth.labels.as_ref().map(|labels| labels[*index as usize] as usize);
        label.and_then(|label| data.class_names.get(label))
    };
    if !args.device.json {
        for &(row, similarity) in &found {
            let class = class_of(row).map_or(String::new(), |class| format!("  {class}"));
            print(format_args!("{similarity:.4}  {}{class}", images[row].2));
        }
    }
    if let Some(path) = &args.out {
        let query = Tile { pixels: &picture, caption: format!("query\n{text}"), tone: Tone::Right };
        let tile = |&(row, similarity): &(usize, f32)| {
            let (part, index, name) = &images[row];
            let class = class_of(row).map_or(String::new(), |class| format!("{class} · "));
            let pixels = split_of(part).samples.as_images()?.0.row(*index);
            Ok(Tile { pixels, caption: format!("{class}{similarity:.3}\n{name}"), tone: Tone::Plain })
        };
        let tiles = std::iter::once(Ok(query)).chain(found.iter().map(tile)).collect::<Result<_>>()?;
        let title = format!("nearest of {} images of {}", images.len(), data.name);
        save_png(&ContactSheet { title, image: finished.checkpoint.record.image()?, columns: None, tiles }.draw()?, path)?;
        say!("{}: the query and its nearest", path.display());
    }
    print_json(args.device.json, || {
        let row = |&(row, similarity): &(usize, f32)| {
            let (part, _, name) = &images[row];
            json!({ "file": name, "split": part, "class": class_of(row), "similarity": similarity })
        };
        json!({ "query": text, "images": images.len(), "found": found.iter().map(row).collect::<Vec<_>>(), "sheet": args.out, "device": device.name() })
    });
    Ok(0)
}
