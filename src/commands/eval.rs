use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::control::{Designs, WordWeights};
use super::opened_run::{Finished, test_samples};
use super::{LabelSource, open_device, percents, print_json};
use crate::cli::EvalArgs;
use crate::data::{Dataset, Split};
use crate::error::UsageError;
use crate::exec::Device;
use crate::metrics::{Embeddings, embedding_std, knn_accuracy, probe_accuracy, spread, unit_rows};
use crate::say;
use crate::train::{judge, scope_score, scope_text};

pub fn run(args: &EvalArgs) -> Result<u8> {
    let mut finished = Finished::of_anything(&args.run)?;
    let task = finished.checkpoint.record.task;
    let pretrained = task.is_none();
    if let Some(count) = args.labels_per_class.filter(|&count| !pretrained || count == 0 || args.draws == 0) {
        let text = match pretrained {
            true => format!("--labels-per-class {count} --draws {}: both must be at least 1", args.draws),
            false => "--labels-per-class is for linear probes of a pretrained run; this one has learnt its task already".to_string(),
        };
        return Err(UsageError(text).into());
    }
    if args.words.is_some() && !pretrained {
        return Err(UsageError("--words is for linear probes of a pretrained run; this one has learnt its task already".into()).into());
    }
    if args.raw && !pretrained {
        return Err(UsageError("--raw is a control for pretrained runs; this one has learnt its task already".into()).into());
    }
    let data = match task {
        Some(task) => finished.task_data(&args.data, task)?,
        None => finished.data(&args.data, LabelSource::DataIfAny)?,
    };
    let test = test_samples(&data)?;
    let found = match task {
        Some(_) => predictions(&finished, &data, test, args)?,
        None => encoder(args, &finished, &data, test, &device(args)?)?,
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

/// What a run predicts for test samples.
fn predictions(finished: &Finished, data: &Dataset, test: &Split, args: &EvalArgs) -> Result<Value> {
    let device = device(args)?;
    let scores = judge(&device, &finished.checkpoint, test).with_context(|| data.name.clone())?;
    scores.details.iter().for_each(|details| say!("{}", details.text));
    say!("test: {}", scores.text);
    let mut found = json!({ "device": device.name() });
    for (name, value) in &scores.values {
        found[format!("test_{name}")] = json!(value);
    }
    if let Some(details) = scores.details {
        found[details.name] = details.json;
    }
    let outputs = &finished.checkpoint.record.outputs;
    if let Some(score) = scope_score(&device, &finished.checkpoint, test, data.out_of_scope[1].as_ref())? {
        let probability = outputs.threshold.as_ref().map_or(0.0, |threshold| threshold.probability);
        say!("test, below {probability:.4} out of scope: {}", scope_text(&score));
        found["out_of_scope"] = json!(score);
        found["out_of_scope"]["threshold"] = json!(probability);
    }
    Ok(found)
}

/// What an encoder is worth, without training it any further: among the training images, the nearest of each test image
/// vote, and a linear probe is fitted to them.
fn encoder(args: &EvalArgs, finished: &Finished, data: &Dataset, test: &Split, device: &Device) -> Result<Value> {
    finished.own_up();
    let words = WordWeights::beside(&finished.checkpoint, data, args.words)?;
    let with_words = words.is_some();
    let designs = Designs::of(finished.features(device, &data.train)?, Some(finished.features(device, test)?), words);
    if with_words {
        say!("linear probes see weights of words (TF-IDF) beside embeddings; --words false leaves them out");
    }
    let mut found = judged(args, data, &designs, None, "")?;
    found["words"] = json!(with_words);
    if args.raw {
        let control = Designs::of_control(data);
        let of = format!("{}: ", Designs::name_of_control(data.train.kind()));
        found["raw"] = judged(args, data, &control, Some(&control.words_alone()), &of)?;
    }
    found["device"] = json!(device.name());
    Ok(found)
}

/// What features of training and of test samples are worth, to probes as `probed` has them where that is something else; `of` says on the
/// terminal which these are.
fn judged(args: &EvalArgs, data: &Dataset, designs: &Designs, probed: Option<&Designs>, of: &str) -> Result<Value> {
    let test = test_samples(data)?;
    let (columns, classes) = (designs.train.columns, data.classes as usize);
    let (unit_bank, unit) = (unit_rows(&designs.train.dense, columns), unit_rows(&designs.queries()?.dense, columns));
    let labels = data.train.truth.labels.as_deref().zip(test.truth.labels.as_deref());
    let knn = labels.map(|(train, test)| knn_accuracy(&unit_bank, train, &unit, test, columns, classes)).transpose()?;
    let judged = Embeddings { samples: unit.len() / columns, columns, embedding_std: embedding_std(&unit, columns), knn_accuracy: knn };
    say!("{of}test {} of {}: {judged}", test.kind().called(), data.name);
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
        match data.train.truth.label_sets {
            Some(_) => say!("{} has several labels to a sample: nearest neighbours and probes are measured by one", data.name),
            None => say!("{} has no labels: there is nothing to measure accuracy by", data.name),
        }
        return Ok(found);
    };
    let probed = probed.unwrap_or(designs);
    let accuracy = probe_accuracy(&probed.train, train, probed.queries()?, test, classes)?;
    say!("{of}linear probe with all {} labels: {:.2} %", train.len(), 100.0 * accuracy);
    found["probe_accuracy"] = json!(accuracy);
    if let Some(count) = args.labels_per_class {
        let few = |draw: u32| {
            let rows = data.train.draw_per_class(count, &data.class_names, draw.into())?;
            let labels: Vec<u32> = rows.iter().map(|&row| train[row as usize]).collect();
            probe_accuracy(&probed.train.select(&rows), &labels, probed.queries()?, test, classes)
        };
        let few = (0..args.draws).map(few).collect::<Result<Vec<f64>>>()?;
        say!("{of}linear probe with {count} labels per class, {} draws: {} %", args.draws, percents(&few));
        let (mean, deviation) = spread(&few);
        found["few_labels"] = json!({ "labels_per_class": count, "accuracy": few, "mean": mean, "std": deviation });
    }
    Ok(found)
}
