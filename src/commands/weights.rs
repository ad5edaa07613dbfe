//! The verb `weights`: which published networks are known, and what a file holds.

use std::path::Path;

use anyhow::Result;
use serde_json::{Value, json};

use super::{print, print_json};
use crate::cli::WeightsArgs;
use crate::core::buffer::{Arena, Role};
use crate::core::sample::SampleType;
use crate::models::{ENCODERS, ModelSettings, record_encoder};
use crate::ops::Form;
use crate::train::Checkpoint;

pub fn run(args: &WeightsArgs) -> Result<u8> {
    let found = match &args.file {
        Some(file) => describe(file, args.json)?,
        None => list(args.json),
    };
    print_json(args.json, || found);
    Ok(0)
}

/// How many parameters an encoder has, and how many features it makes of a sample.
fn sizes(model: &ModelSettings, samples: SampleType) -> (u64, u32) {
    let mut arena = Arena::outline();
    let features = record_encoder(&mut arena, model, samples).cols();
    (arena.bufs().iter().filter(|b| matches!(b.role, Role::Param { .. })).map(|b| b.tensor.len()).sum(), features)
}

fn list(quiet: bool) -> Value {
    let mut networks = Vec::new();
    for kind in ENCODERS.iter().filter(|kind| !kind.published().is_empty()) {
        let model = ModelSettings { kind: *kind, ..ModelSettings::default() };
        let (parameters, features) = sizes(&model, kind.usual_samples());
        let (of_texts, of_pictures) = (kind.form() == Form::Tokens, kind.usual_samples().image().is_some());
        if !quiet && of_texts {
            print(format_args!("{kind}  of many sizes, for texts"));
        } else if !quiet {
            let of = if kind.sounds().is_some() { ", for sounds" } else { "" };
            print(format_args!("{kind}  {:.1} million parameters, {features} features{of}", parameters as f64 / 1e6));
        }
        let mut forms = Vec::new();
        for form in kind.published() {
            if !quiet {
                print(format_args!("    of {}: trained on {}, licence {}", form.by, form.trained_on, form.licence));
                print(format_args!("      {}", form.made));
            }
            forms.push(json!({
                "by": form.by,
                "trained_on": form.trained_on,
                "licence": form.licence,
                "made": form.made,
                "normalization": of_pictures.then_some(form.normalization),
                "resize": of_pictures.then_some(form.resize),
            }));
        }
        let sized = |size: u64| (!of_texts).then_some(size);
        networks
            .push(json!({ "model": kind.name(), "parameters": sized(parameters), "features": sized(features.into()), "published": forms }));
    }
    json!({ "networks": networks })
}

fn describe(file: &Path, quiet: bool) -> Result<Value> {
    let (checkpoint, notes) = Checkpoint::open(file)?;
    let record = &checkpoint.record;
    let (parameters, features) = sizes(&record.model, record.samples);
    if !quiet {
        notes.iter().for_each(|note| print(format_args!("{note}")));
        let what = match record.task {
            Some(task) => format!("a checkpoint of a run of --task {task}"),
            None if checkpoint.is_published() => "published weights".into(),
            None => "a checkpoint of pretraining".into(),
        };
        let resize = record.samples.image().map_or(String::new(), |_| format!(" (--resize {})", record.resize));
        print(format_args!(
            "{}: {what}; {}, samples of {}{resize}, {parameters} parameters, {features} features",
            file.display(),
            record.model,
            record.samples
        ));
    }
    Ok(json!({
        "file": file,
        "model": record.model.kind.name(),
        "published": checkpoint.is_published(),
        "task": record.task.map(|task| task.to_string()),
        "samples": record.samples,
        "normalization": record.model.normalize,
        "resize": record.samples.image().map(|_| record.resize),
        "parameters": parameters,
        "features": features,
        "notes": notes,
    }))
}
