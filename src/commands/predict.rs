use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::output::Inputs;
use super::{open_device, print, print_json};
use crate::cli::PredictArgs;
use crate::data::{Encoding, PictureOptions, Split, load_picture};
use crate::error::UsageError;
use crate::exec::Device;
use crate::kernels::augment::Image;
use crate::metrics::best;
use crate::report::save_png;
use crate::say;
use crate::train::{Checkpoint, Stage, find_checkpoint, predict_each, predict_images};

pub fn run(args: &PredictArgs) -> Result<u8> {
    let checkpoint = Checkpoint::load(&find_checkpoint(&args.run)?)?;
    let segments = checkpoint.record.stage == Stage::Segmenter;
    if segments != args.out.is_some() {
        let text = match segments {
            true => "this run predicts masks: --out DIR says where they go",
            false => "--out is for masks, this run predicts none",
        };
        return Err(UsageError(text.into()).into());
    }
    if let Some(folder) = &args.out {
        apart(&args.files)?;
        let masks = args.files.iter().map(|file| mask_path(folder, file));
        Inputs::of(args.files.iter().chain([&find_checkpoint(&args.run)?])).declare(masks, args.overwrite)?;
    }
    let Samples { names, samples } = match &checkpoint.record.encoding {
        Some(encoding) => rows(args, encoding)?,
        None => pictures(args, &checkpoint),
    };
    let device = open_device(&args.device.device)?;
    let found = if names.is_empty() { Vec::new() } else { found(args, &device, &checkpoint, &names, &samples)? };
    if !args.device.json {
        found.iter().zip(&names).for_each(|(found, name)| print(format_args!("{name}  {found}")));
    }
    print_json(args.device.json, || {
        let predictions = names.iter().zip(&found).map(|(name, found)| found.json(name));
        json!({ "predictions": predictions.collect::<Vec<_>>() })
    });
    let failed = if checkpoint.record.encoding.is_some() { 0 } else { args.files.len() - names.len() };
    if failed > 0 {
        say!("{failed} of {} pictures could not be read", args.files.len());
    }
    Ok(u8::from(failed > 0))
}

/// What was predicted for a sample.
enum Found {
    /// With its probability, and its name where it has one.
    Class(usize, f64, Option<String>),
    /// By the names of what was predicted.
    Numbers(Vec<(String, f32)>),
    /// Where it was written.
    Mask(PathBuf),
}

impl Found {
    fn json(&self, file: &str) -> Value {
        match self {
            Found::Class(class, probability, name) => json!({ "file": file, "class": class, "name": name, "probability": probability }),
            Found::Numbers(numbers) => json!({ "file": file, "values": numbers.iter().cloned().collect::<BTreeMap<_, _>>() }),
            Found::Mask(path) => json!({ "file": file, "mask": path }),
        }
    }
}

impl std::fmt::Display for Found {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Found::Class(_, probability, Some(name)) => write!(f, "{name}  {probability:.4}"),
            Found::Class(class, probability, None) => write!(f, "{class}  {probability:.4}"),
            Found::Numbers(numbers) => {
                let numbers = numbers.iter().map(|(name, number)| format!("{name} {number}"));
                write!(f, "{}", numbers.collect::<Vec<_>>().join("  "))
            }
            Found::Mask(path) => write!(f, "{}", path.display()),
        }
    }
}

/// One for each sample.
fn found(args: &PredictArgs, device: &Device, checkpoint: &Checkpoint, names: &[String], samples: &Split) -> Result<Vec<Found>> {
    let record = &checkpoint.record;
    if let Some(folder) = &args.out {
        let mut masks = Vec::new();
        predict_each(device, checkpoint, samples, &mut |_, classes| {
            for mask in classes.chunks((samples.image.height * samples.image.width) as usize) {
                masks.push(write_mask(folder, &names[masks.len()], mask, samples.image)?);
            }
            Ok(())
        })?;
        return Ok(masks.into_iter().map(Found::Mask).collect());
    }
    let outputs = predict_images(device, checkpoint, samples)?;
    let numbers = |row: &[f32]| Found::Numbers(record.targets.iter().map(|target| target.name.clone()).zip(row.iter().copied()).collect());
    let class = |logits: &[f32]| {
        let (class, probability) = best(logits);
        Found::Class(class, probability, record.class_names.get(class).cloned())
    };
    Ok(match record.stage {
        Stage::Regressor => outputs.chunks(record.targets.len().max(1)).map(numbers).collect(),
        _ => outputs.chunks(record.classes.max(1) as usize).map(class).collect(),
    })
}

/// What is to be predicted for, with a name for each.
struct Samples {
    names: Vec<String>,
    samples: Split,
}

/// The pictures that can be read; says which cannot.
fn pictures(args: &PredictArgs, checkpoint: &Checkpoint) -> Samples {
    let image = checkpoint.record.image;
    let mut names = Vec::new();
    let mut samples = Split::unlabelled(Vec::new(), image);
    for file in &args.files {
        match load_picture(file, &PictureOptions { invert: args.invert, ..PictureOptions::plain(image) }) {
            Ok((bytes, _)) => {
                samples.images.extend(bytes);
                names.push(file.display().to_string());
            }
            Err(error) => say!("error: {error:#}"),
        }
    }
    Samples { names, samples }
}

/// The rows of all tables, counted from 1 below the header.
fn rows(args: &PredictArgs, encoding: &Encoding) -> Result<Samples> {
    let columns = encoding.features().len();
    let (mut names, mut features) = (Vec::new(), Vec::new());
    for file in &args.files {
        let mut notes = Vec::new();
        let read = encoding.read(file, &mut notes)?;
        notes.iter().for_each(|note| say!("{}: {note}", file.display()));
        names.extend((1..=read.len() / columns).map(|row| format!("{}:{row}", file.display())));
        features.extend(read);
    }
    Ok(Samples { names, samples: Split::of_rows(features, None, columns as u32) })
}

/// Writes a mask whose values are classes; returns its path.
fn write_mask(folder: &Path, picture: &str, mask: &[f32], size: Image) -> Result<PathBuf> {
    let path = mask_path(folder, Path::new(picture));
    let classes = mask.iter().map(|&class| class as u8).collect();
    let image = image::GrayImage::from_raw(size.width, size.height, classes).context("a mask of another size")?;
    save_png(&image, &path)?;
    Ok(path)
}

/// Where the mask of a picture goes.
fn mask_path(folder: &Path, picture: &Path) -> PathBuf {
    folder.join(format!("{}.png", picture.file_stem().unwrap_or_default().to_string_lossy()))
}

/// Fails if two pictures would have one mask.
fn apart(files: &[PathBuf]) -> Result<()> {
    let mut known = BTreeMap::new();
    for file in files {
        if let Some(other) = known.insert(file.file_stem(), file) {
            let text = format!("{} and {} would have masks of one name: predict them into two folders", other.display(), file.display());
            return Err(UsageError(text).into());
        }
    }
    Ok(())
}
