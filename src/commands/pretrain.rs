use std::path::Path;

use anyhow::Result;
use serde_json::json;

use super::output::Inputs;
use super::start::open_settings;
use super::{
    LabelSource, Makers, Said, catch_interrupts, describe, duration, explain_too_large, interrupted, load_data, open_device, preview,
    print_json, session, start_threads,
};
use crate::cli::{PretrainArgs, suits};
use crate::core::sample::Subject;
use crate::data::Dataset;
use crate::say;
use crate::train::{COLOUR_AUGMENTATION, Pretrain, PretrainSettings, SOUND_AUGMENTATION};

const COMMAND: &str = "pretrain";

/// Gives what nobody chose the defaults for these samples, and says which.
pub(super) fn suit(settings: &mut PretrainSettings, said: &Said, data: &Dataset) -> Result<()> {
    let before = settings.augment;
    said.suit(settings, data.train.kind(), data.subject())?;
    if settings.augment != before && data.train.kind().image().is_some() {
        let why = match data.subject() {
            Subject::Sounds => format!("{SOUND_AUGMENTATION}, as they are sounds"),
            Subject::Pictures => format!("{COLOUR_AUGMENTATION}, as the images are in colour"),
        };
        say!("augmentation: {why} (--augment names another)");
    }
    Ok(())
}

pub fn run(args: &PretrainArgs) -> Result<u8> {
    let mut opened = open_settings::<PretrainSettings>(COMMAND, &args.output, &args.settings.given)?;
    if opened.resume.is_some() {
        // The checkpoint has weights of its own by now.
        opened.settings.init_from = None;
    }
    opened.check_early(PretrainSettings::check)?;
    suits(&args.settings.given["model"], &opened.settings.model, "the encoder")?;
    let inputs = [&opened.settings.run.data, &opened.settings.init_from, &args.output.config].into_iter().flatten();
    opened.claim(&args.output, &Inputs::of(inputs))?;
    start_threads(opened.settings.run.threads)?;
    let makers = match (&opened.resume, &opened.settings.init_from) {
        (Some(checkpoint), _) => Makers::of(checkpoint),
        (None, file) => Makers::to_begin_with(file.as_deref())?,
    };
    let makers = makers.wanted(&opened.settings, opened.said.as_ref(), |settings| settings.model.kind)?;
    let data = load_data(&opened.settings.run, LabelSource::needed(opened.settings.method.needs_labels()), makers)?;
    opened.same_data(&data)?;
    if let Some(said) = &opened.said {
        suit(&mut opened.settings, said, &data)?;
        opened.settings.check()?;
        suits(&args.settings.given["model"], &opened.settings.model, "the encoder")?;
    }
    let settings = &opened.settings;
    let device = open_device(&settings.run.device)?;
    if let Some(path) = &args.output.augment_preview {
        return preview(path, &device, &data, settings.augment, &settings.model, &settings.run, args.output.json);
    }
    let prepare = |batch: u32| {
        let mut settings = settings.clone();
        settings.run.batch = batch;
        Pretrain::prepare(settings.checked()?, &data, device.binding_limit())
    };
    let unit = settings.micro_batch.unwrap_or(1);
    let pretrain = explain_too_large(prepare(settings.run.batch), settings.run.batch, unit, |batch| batch >= 2 && prepare(batch).is_ok())?;
    pretrain.notes.iter().for_each(|note| say!("{note}"));
    // With the normalisation of the weights that it begins with.
    opened.settings.model = pretrain.settings.model.clone();
    let settings = &opened.settings;
    let model = match settings.method.comparison().is_some() {
        true => format!("{}, projection {:?}", settings.model, settings.projection),
        false => format!("{}, {}", settings.model, settings.method),
    };
    if args.output.dry_run {
        return describe(&pretrain.plan, &device, &model, args.output.json);
    }
    opened.same_length(&pretrain.plan)?;
    let folder = opened.open_folder(COMMAND, &args.output)?;
    let path = folder.path().to_path_buf();
    catch_interrupts();
    let training = &pretrain.plan.training;
    let what = data.train.kind().called();
    say!("{}: {} training {what}, {model}, {} steps of {} {what}", data.name, pretrain.samples, training.total_steps, training.batch);
    let done = pretrain.run(session(&device, folder, opened.resume.take())?)?;
    let outcome = &done.outcome;
    if outcome.interrupted {
        return Ok(interrupted(COMMAND, &path, outcome));
    }
    let knn = done.knn_accuracy.map_or(String::new(), |knn| format!(", kNN accuracy {:.2} %", 100.0 * knn));
    let held_out = done.held_out_loss.map_or(String::new(), |(_, loss)| format!(", {loss:.4} on held-out {what}"));
    say!(
        "done in {}: loss {:.4}{held_out}{knn}, embedding spread {:.2} (0 is collapse, 1 is even)",
        duration(outcome),
        outcome.final_loss,
        done.embedding_std
    );
    say!("run folder: {}", path.display());
    next(&path, &pretrain.settings, &data);
    print_json(args.output.json, || {
        let mut found = json!({
            "run": path,
            "steps": outcome.steps,
            "final_loss": outcome.final_loss,
            "knn_accuracy": done.knn_accuracy,
            "embedding_std": done.embedding_std,
            "device": device.name(),
            "seconds": outcome.seconds,
            "device_busy": outcome.device_busy,
        });
        if let Some((name, loss)) = done.held_out_loss {
            found[name] = json!(loss);
        }
        found
    });
    Ok(0)
}

/// Names the commands that make the most of a pretrained encoder.
fn next(run: &Path, settings: &PretrainSettings, data: &Dataset) {
    let run = run.display();
    let of = settings.run.data.as_ref().map_or(String::new(), |path| format!(" --data {}", path.display()));
    match &data.train.truth.labels {
        Some(labels) => {
            let mut counts = vec![0; data.classes as usize];
            labels.iter().for_each(|&label| counts[label as usize] += 1);
            let even = counts.iter().min().zip(counts.iter().max()).is_some_and(|(fewest, most)| 2 * fewest >= *most);
            let balance = if even { " --balance" } else { "" };
            let what = data.train.kind().called();
            say!("next: wgraft label {run} --labels-per-class 1{balance}      (spreads one label per class over all {what})");
            say!("  or: wgraft finetune --from {run}{of} --labels-per-class 10");
        }
        None if data.train.truth.label_sets.is_some() => say!("next: wgraft finetune --from {run}{of}"),
        None => {
            let what = data.train.kind().called();
            say!("next: wgraft label {run} --labels FILE.csv      (spreads the few labels that you name over all {what})");
            say!("then: wgraft finetune --from {run}{of} --pseudo-labels {run}/labels.csv");
        }
    }
}
