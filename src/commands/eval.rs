use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::finished::{Finished, test_samples};
use super::{open_device, percents, print_json};
use crate::cli::EvalArgs;
use crate::data::{Dataset, Split, Task};
use crate::error::UsageError;
use crate::exec::Device;
use crate::metrics::{
    Classification, Confusion, Embeddings, accuracy_and_loss, best, embedding_std, knn_accuracy, probe_accuracy, spread, unit_rows,
};
use crate::say;
use crate::train::{Features, Stage, judge, predict_images};

pub fn run(args: &EvalArgs) -> Result<u8> {
    let finished = Finished::of_anything(&args.run)?;
    let stage = finished.checkpoint.record.stage;
    let pretrained = stage == Stage::Pretrained;
    if let Some(count) = args.labels_per_class.filter(|&count| !pretrained || count == 0 || args.draws == 0) {
        let text = match pretrained {
            true => format!("--labels-per-class {count} --draws {}: both must be at least 1", args.draws),
            false => "--labels-per-class is for linear probes of a pretrained run; this one has learnt its task already".to_string(),
        };
        return Err(UsageError(text).into());
    }
    if args.raw && !pretrained {
        return Err(UsageError("--raw is a control for pretrained runs; this one has learnt its task already".into()).into());
    }
    let data = match stage {
        Stage::Regressor => finished.task_data(&args.data, Task::Regress)?,
        Stage::Segmenter => finished.task_data(&args.data, Task::Segment)?,
        Stage::Classifier => finished.task_data(&args.data, Task::Classify)?,
        Stage::Pretrained => finished.data(&args.data, false)?,
    };
    let test = test_samples(&data)?;
    let found = match stage {
        Stage::Pretrained => encoder(args, &finished, &data, test, &device(args)?)?,
        Stage::Classifier => classifier(&finished, &data, test, || device(args))?,
        Stage::Regressor | Stage::Segmenter => numbers_or_masks(&finished, test, &device(args)?)?,
    };
    print_json(args.device.json, || {
        let mut all = json!({ "run": args.run, "samples": test.len() });
        crate::train::overlay(&mut all, found);
        all
    });
    Ok(0)
}

fn device(args: &EvalArgs) -> Result<Device> {
    open_device(&args.device.device)
}

/// A classifier on test images.
fn classifier(finished: &Finished, data: &Dataset, test: &Split, device: impl FnOnce() -> Result<Device>) -> Result<Value> {
    let classes = finished.checkpoint.record.classes;
    let labels = test.truth.labels.as_ref().with_context(|| format!("the test images of {} have no labels", data.name))?;
    ensure!(labels.iter().all(|&label| label < classes), "{} has {} classes, the checkpoint {classes}", data.name, data.classes);
    let device = device()?;
    let logits = predict_images(&device, &finished.checkpoint, test)?;
    let predicted: Vec<u32> = logits.chunks(classes as usize).map(|row| best(row).0 as u32).collect();
    let names = &finished.checkpoint.record.class_names;
    let judged = Classification::of(&Confusion::of(labels, &predicted, classes as usize)?, names)?;
    let (accuracy, loss) = accuracy_and_loss(&logits, classes as usize, labels);
    say!("{judged}");
    say!("test: accuracy {:.2} %, loss {loss:.4}, {} images", 100.0 * accuracy, labels.len());
    Ok(json!({ "test_accuracy": accuracy, "test_loss": loss, "classification": judged, "device": device.name() }))
}

/// Predicted numbers or masks of test samples.
fn numbers_or_masks(finished: &Finished, test: &Split, device: &Device) -> Result<Value> {
    let scores = judge(device, &finished.checkpoint, test)?;
    say!("test: {}", scores.text);
    let mut found = json!({ "device": device.name() });
    for (name, value) in scores.values {
        found[format!("test_{name}")] = json!(value);
    }
    Ok(found)
}

/// What an encoder is worth, without training it any further: among the training images, the nearest of each test image
/// vote, and a linear probe is fitted to them.
fn encoder(args: &EvalArgs, finished: &Finished, data: &Dataset, test: &Split, device: &Device) -> Result<Value> {
    finished.own_up();
    let features = |images: &Split| finished.checkpoint.features(device, images);
    let mut found = judged(args, data, &features(&data.train)?, &features(test)?, "")?;
    if args.raw {
        found["raw"] = judged(args, data, &Features::pixels(&data.train), &Features::pixels(test), "raw pixels (control): ")?;
    }
    found["device"] = json!(device.name());
    Ok(found)
}

/// What features of training and of test images are worth; `of` says on the terminal which these are.
fn judged(args: &EvalArgs, data: &Dataset, bank: &Features, queries: &Features, of: &str) -> Result<Value> {
    let test = test_samples(data)?;
    let (columns, classes) = (queries.columns, data.classes as usize);
    let (unit_bank, unit) = (unit_rows(&bank.values, columns), unit_rows(&queries.values, columns));
    let labels = data.train.truth.labels.as_deref().zip(test.truth.labels.as_deref());
    let knn = labels.map(|(train, test)| knn_accuracy(&unit_bank, train, &unit, test, columns, classes)).transpose()?;
    let judged = Embeddings { samples: unit.len() / columns, columns, embedding_std: embedding_std(&unit, columns), knn_accuracy: knn };
    say!("{of}test images of {}: {judged}", data.name);
    let mut found = json!({
        "embedding_std": judged.embedding_std,
        "knn_accuracy": knn,
        "columns": columns,
        "bank": data.train.len(),
        "probe_accuracy": null,
        "few_labels": null,
    });
    let Some((train, test)) = labels else {
        ensure!(args.labels_per_class.is_none(), "{} has no labels to fit a probe to", data.name);
        say!("{} has no labels: there is nothing to measure accuracy by", data.name);
        return Ok(found);
    };
    let accuracy = probe_accuracy(&bank.values, train, &queries.values, test, classes)?;
    say!("{of}linear probe with all {} labels: {:.2} %", train.len(), 100.0 * accuracy);
    found["probe_accuracy"] = json!(accuracy);
    if let Some(count) = args.labels_per_class {
        let few = |draw: u32| {
            let rows = data.train.draw_per_class(count, &data.class_names, draw.into())?;
            let labels: Vec<u32> = rows.iter().map(|&row| train[row as usize]).collect();
            probe_accuracy(&bank.select(&rows), &labels, &queries.values, test, classes)
        };
        let few = (0..args.draws).map(few).collect::<Result<Vec<f64>>>()?;
        say!("{of}linear probe with {count} labels per class, {} draws: {} %", args.draws, percents(&few));
        let (mean, deviation) = spread(&few);
        found["few_labels"] = json!({ "labels_per_class": count, "accuracy": few, "mean": mean, "std": deviation });
    }
    Ok(found)
}
