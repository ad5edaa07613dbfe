use anyhow::{Context, Result};
use serde_json::json;

use super::inputs;
use super::opened_run::Finished;
use super::{LabelSource, name_of, open_device, print_json};
use crate::cli::{EmbedArgs, Flags};
use crate::data::Dataset;
use crate::error::UsageError;
use crate::files;
use crate::report::{write_csv, write_npy};
use crate::say;

/// All samples of `data`, training samples first: their split, index and name.
pub(super) fn all_samples(data: &Dataset) -> Vec<(&'static str, u32, String)> {
    let parts = [("train", Some(&data.train)), ("test", data.test.as_ref())];
    let of_part = |(part, split): (&'static str, Option<_>)| {
        let split: Option<&crate::data::Split> = split;
        split.into_iter().flat_map(move |split| (0..split.len()).map(move |row| (part, row, name_of(split, part, row))))
    };
    parts.into_iter().flat_map(of_part).collect()
}

pub fn run(args: &EmbedArgs) -> Result<u8> {
    let ending = args.out.extension().map_or(String::new(), |e| e.to_string_lossy().to_ascii_lowercase());
    if !["npy", "csv"].contains(&ending.as_str()) {
        return Err(UsageError(format!("--out {} must end in .npy or .csv", args.out.display())).into());
    }
    let mut finished = Finished::open(&args.run)?;
    let images = Flags::of(Some(&args.images), &args.look);
    // NumPy's format has no place for names: they go beside it, a line for each row.
    let names_file = (ending == "npy").then(|| args.out.with_extension("files.csv"));
    let outputs = || [Some(&args.out), names_file.as_ref()].into_iter().flatten();
    let (features, images, device, failed) = if inputs::are_samples(&args.images) {
        let (pictures, unreadable) = inputs::samples(std::slice::from_ref(&args.images), finished.checkpoint.record.subject())?;
        finished
            .inputs(&images, &pictures.iter().map(|picture| Some(picture.path.as_path())).collect::<Vec<_>>())
            .declare(outputs(), args.overwrite)?;
        finished.look(&images)?;
        let options = finished.checkpoint.record.picture_options(false)?;
        let (read, samples) = inputs::read(&pictures, &options)?;
        let samples = samples.context("there is nothing to embed")?;
        let device = open_device(&args.device.device)?;
        let failed = unreadable + pictures.len() - read.len();
        let names = (0..).zip(&read).map(|(row, picture)| ("", row, picture.path.display().to_string())).collect();
        (finished.features(&device, &samples)?, names, device, failed)
    } else {
        finished.inputs(&images, &[]).declare(outputs(), args.overwrite)?;
        let data = finished.data(&images, LabelSource::DataIfAny)?;
        let device = open_device(&args.device.device)?;
        let mut features = finished.features(&device, &data.train)?;
        if let Some(test) = &data.test {
            features.values.extend(finished.features(&device, test)?.values);
        }
        (features, all_samples(&data), device, 0)
    };
    if let Some(path) = &names_file {
        write_npy(&args.out, &features.values, features.columns)?;
        let mut csv = csv::Writer::from_writer(Vec::new());
        let name = if finished.checkpoint.record.tokenizer.is_some() { "text" } else { "file" };
        csv.write_record([name, "split"])?;
        images.iter().try_for_each(|(part, _, name)| csv.write_record([name, *part]))?;
        let csv = csv.into_inner().context("memory takes all")?;
        files::write(path, |file| file.write_all(&csv))?;
    } else {
        let names: Vec<String> = images.iter().map(|(.., name)| name.clone()).collect();
        write_csv(&args.out, &names, &features.values, features.columns)?;
    }
    let beside = names_file.as_ref().map_or(String::new(), |path| format!(", their names in {}", path.display()));
    let what = finished.checkpoint.record.samples.called();
    say!("{}: {} {what}, {} numbers each{beside}", args.out.display(), images.len(), features.columns);
    print_json(args.device.json, || {
        json!({
            "out": args.out,
            "files": names_file,
            what: images.len(),
            "train": images.iter().filter(|(part, ..)| *part == "train").count(),
            "columns": features.columns,
            "device": device.name(),
        })
    });
    if failed > 0 {
        say!("{failed} {} could not be read", finished.checkpoint.record.subject().many());
    }
    Ok(u8::from(failed > 0))
}
