use std::path::{Path, PathBuf};

use anyhow::Result;
use serde_json::{Value, json};

use super::opened_run::open_checkpoint;
use super::output::Inputs;
use super::start::open_settings;
use super::{
    LabelSource, Makers, Said, catch_interrupts, describe, duration, ensure_fit, explain_too_large, interrupted, load_data, load_task_data,
    open_device, preview, print_json, session, start_threads,
};
use crate::cli::{FinetuneArgs, suits};
use crate::core::sample::{SampleType, Subject};
use crate::core::settings::Settings;
use crate::data::{Dataset, TruthKind, implied_truth};
use crate::error::UsageError;
use crate::say;
use crate::train::{Checkpoint, Finetune, FinetuneSettings, Finetuned, RunSettings, TASKS, find_checkpoint, scope_text};

const COMMAND: &str = "finetune";

/// The checkpoint that `--from` names, for pictures of `size` if it takes others than those of its training; none for `scratch`.
pub(super) fn load_pretrained(from: &str, size: Option<[u32; 2]>) -> Result<Option<Checkpoint>> {
    if from == "scratch" {
        return Ok(None);
    }
    let mut checkpoint = open_checkpoint(Path::new(from))?;
    checkpoint.take_size(size)?;
    Ok(Some(checkpoint))
}

/// Says what was left to the defaults of a pretrained encoder, or was not.
pub(super) fn announce(settings: &FinetuneSettings, args: &FinetuneArgs, kind: SampleType, subject: Subject) -> Result<()> {
    if settings.from == "scratch" || !settings.task.has_gentle_defaults() || args.output.settles("command") {
        return Ok(());
    }
    let defaults = settings.suited()?;
    let defaults = defaults.suited_to(kind, subject).unwrap_or(defaults);
    let by_default = match settings.freeze_norm {
        _ if matches!(kind, SampleType::Tokens { .. }) => "some words left out (--augment)",
        true if subject == Subject::Sounds => "augmentation for sounds (--augment)",
        true => "augmentation for photographs (--augment none for what has no mirror image)",
        false => "the augmentation of its own training, half as strong if that was pretraining",
    };
    let augmentation = match settings.augment {
        augment if augment.is_none() => "no augmentation",
        augment if augment == defaults.augment => by_default,
        _ => "augmentation as given",
    };
    let FinetuneSettings { freeze_until, encoder_lr_scale, freeze_norm, run: RunSettings { lr, schedule, .. }, .. } = settings;
    let schedule = format!("{schedule:?}").to_lowercase();
    let share = if *encoder_lr_scale == 1.0 { String::new() } else { format!(", {encoder_lr_scale} of it for the encoder") };
    let norm = if *freeze_norm { ", batch norm as it came" } else { "" };
    let frozen = freeze_until.as_ref().map_or(String::new(), |layer| format!(", layers before {layer} as they came"));
    say!("the encoder is trained already: learning rate {lr}{share}, {schedule} schedule, {augmentation}{norm}{frozen}");
    Ok(())
}

/// The data of a run, with the labels that it is to train on. Where nobody chose the task, the data may; what was `said` must fit it.
pub(super) fn labelled_data(settings: &mut FinetuneSettings, said: Option<&Said>, pretrained: Option<&Checkpoint>) -> Result<Dataset> {
    let makers = match pretrained {
        Some(checkpoint) => Makers::of(checkpoint),
        None => Makers::to_begin_with(settings.init_from.as_deref())?,
    };
    let makers = makers.wanted(settings, said, |settings| settings.model.kind)?;
    let open = said.is_some_and(|said| !said.chose("task"));
    let data = match settings.pseudo_labels.clone() {
        Some(path) => given_data(settings, open, &path, makers)?,
        None => load_task_data(&settings.run, settings.task, open, makers)?,
    };
    let fitting = TASKS.iter().find(|task| data.knows(task.truth())).filter(|_| open && !data.knows(settings.task.truth()));
    if let Some(&fitting) = fitting {
        say!("{}: --task {fitting}, as the data are", data.name);
        settings.task = fitting;
        said.map_or(Ok(()), |said| ensure_fit(settings, &said.flags))?;
    }
    let Some(class) = &settings.out_of_scope else { return Ok(data) };
    if !data.class_names.iter().any(|name| name == class) {
        let text = format!("--out-of-scope {class} is none of the classes of {}: {}", data.name, data.class_names.join(", "));
        return Err(UsageError(text).into());
    }
    if data.classes < 3 {
        return Err(UsageError(format!("{}: besides `{class}` there is but one class, and nothing to tell apart", data.name)).into());
    }
    let data = data.apart(class)?;
    say!("{}: {}", data.name, data.notes.last().map_or("", String::as_str));
    Ok(data)
}

/// The data of a run with labels from a file in the place of their own.
fn given_data(settings: &FinetuneSettings, open: bool, path: &Path, makers: Makers) -> Result<Dataset> {
    let data = load_data(&settings.run, LabelSource::File, makers)?;
    let sets = settings.task.truth() == TruthKind::LabelSets;
    if let Some(given) = data.given_sets(path, settings.min_confidence, if open { None } else { Some(sets) })? {
        given.notes.iter().for_each(|note| say!("{}: {note}", data.name));
        say!("{}: labels of {} samples from {}", data.name, given.labelled.len(), path.display());
        let data = data.labelled_by_sets(&given);
        data.class_counts().iter().for_each(|counts| say!("{}: {counts}", data.name));
        return Ok(data);
    }
    let given = data.given_labels(path, settings.min_confidence)?;
    given.ensure_tell_apart(path)?;
    given.notes.iter().for_each(|note| say!("{}: {note}", data.name));
    let uncertain = if given.uncertain > 0 { format!(", {} less certain ones left out", given.uncertain) } else { String::new() };
    say!("{}: {} labels from {}{uncertain}", data.name, given.labelled.len(), path.display());
    let counts = given.per_class();
    let most = counts.iter().copied().max().unwrap_or(0);
    if let Some((fewest, name)) = counts.into_iter().zip(&given.class_names).min().filter(|(fewest, _)| 10 * fewest < most) {
        // Some classes are found with less certainty than others: a threshold can all but remove them.
        say!(
            "class {name} has {fewest} of these labels, another one {most}: a classifier will hardly know it; a lower --min-confidence \
             keeps more, --labels-per-class takes equally many of each"
        );
    }
    let data = data.labelled_by(&given);
    data.class_counts().iter().for_each(|counts| say!("{}: {counts}", data.name));
    Ok(data)
}

/// What was said, and the task that the data are for alone, where nobody said one and they are of such a format.
fn with_implied_task(args: &FinetuneArgs) -> Result<Value> {
    let mut given = args.settings.given.clone();
    let Some(data) = given["run"]["data"].as_str().map(PathBuf::from) else { return Ok(given) };
    if !given["task"].is_null() || args.output.settles("task") {
        return Ok(given);
    }
    // What cannot be read is said by who reads it.
    let truth = implied_truth(&data).ok().flatten();
    if let Some(task) = truth.and_then(|truth| TASKS.iter().find(|task| task.truth() == truth)) {
        say!("{}: --task {task}, as these data are for no other", data.display());
        given["task"] = serde_json::to_value(task)?;
    }
    Ok(given)
}

pub fn run(args: &FinetuneArgs) -> Result<u8> {
    let given = with_implied_task(args)?;
    let model = &given["model"];
    let mut opened = open_settings::<FinetuneSettings>(COMMAND, &args.output, &given)?;
    opened.check_early(FinetuneSettings::check)?;
    // A run that goes on has its weights in its own checkpoint.
    if opened.resume.is_some() {
        opened.settings.init_from = None;
    }
    let pretrained = if opened.resume.is_some() { None } else { load_pretrained(&opened.settings.from, opened.settings.run.size)? };
    if let Some(checkpoint) = &pretrained {
        let theirs = &checkpoint.record.model;
        suits(model, theirs, &opened.settings.from)?;
        opened.settings.model = theirs.clone();
        opened.settings.read_as(&checkpoint.record).iter().for_each(|note| say!("{note}"));
    } else {
        suits(model, &opened.settings.model, "the encoder")?;
    }
    let settings = &opened.settings;
    let from = pretrained.is_some().then(|| find_checkpoint(Path::new(&settings.from))).transpose()?;
    let inputs = [&settings.run.data, &settings.init_from, &settings.pseudo_labels, &args.output.config, &from].into_iter().flatten();
    opened.claim(&args.output, &Inputs::of(inputs))?;
    start_threads(settings.run.threads)?;
    if settings.task.of_maps() && !model["features"].is_null() {
        let text = format!("--features means nothing to --task {}, which is learnt from the maps before them", settings.task);
        return Err(UsageError(text).into());
    }
    // A run that goes on was begun with tokens of its own.
    let data = labelled_data(&mut opened.settings, opened.said.as_ref(), pretrained.as_ref().or(opened.resume.as_ref()))?;
    opened.same_data(&data)?;
    if let (Some(before), Some(test)) = (pretrained.as_ref().and_then(|checkpoint| checkpoint.record.data.as_ref()), &data.test)
        && before.tests() == 0
        && before.samples() == data.train.len() + test.len()
    {
        say!(
            "{}: it seems that pretraining saw all of these data, what is tested here among them (without what is to be predicted)",
            data.name
        );
    }
    opened.suit(data.train.kind(), data.subject(), FinetuneSettings::check)?;
    announce(&opened.settings, args, data.train.kind(), data.subject())?;
    if pretrained.is_none() {
        suits(model, &opened.settings.model, "the encoder")?;
    }
    let settings = &opened.settings;
    let device = open_device(&settings.run.device)?;
    if let Some(path) = &args.output.augment_preview {
        return preview(path, &device, &data, settings.augment, &settings.model, &settings.run, args.output.json);
    }
    let prepare = |batch: u32| {
        let mut settings = settings.clone();
        settings.run.batch = batch;
        Finetune::prepare(settings.checked()?, &data, pretrained.clone(), device.binding_limit())
    };
    let finetune = explain_too_large(prepare(settings.run.batch), settings.run.batch, 1, |batch| batch >= 1 && prepare(batch).is_ok())?;
    finetune.notes.iter().for_each(|note| say!("{note}"));
    // With the normalisation of the weights that it begins with.
    opened.settings.model = finetune.settings.model.clone();
    let settings = &opened.settings;
    let model = format!("{}, {}", settings.model, finetune.objective.describe());
    if args.output.dry_run {
        return describe(&finetune.plan, &device, &model, args.output.json);
    }
    opened.same_length(&finetune.plan)?;
    let folder = opened.open_folder(COMMAND, &args.output)?;
    let path = folder.path().to_path_buf();
    catch_interrupts();
    let training = &finetune.plan.training;
    let samples = data.train.kind().called();
    let next = match data.train.kind() {
        _ if data.subject() == Subject::Sounds => "SOUND",
        SampleType::Image(_) => "PICTURE",
        SampleType::Tokens { .. } => "TEXTS",
        SampleType::Row(_) | SampleType::Frames { .. } => "TABLE.csv",
    };
    say!(
        "{}: {} labelled training {samples}, from {}, {model}, {} steps of {}",
        data.name,
        finetune.labelled,
        finetune.settings.from,
        training.total_steps,
        training.batch
    );
    let Finetuned { outcome, test, threshold } = finetune.run(session(&device, folder, opened.resume.take())?)?;
    if outcome.interrupted {
        return Ok(interrupted(COMMAND, &path, &outcome));
    }
    say!("done in {}: training loss {:.4}", duration(&outcome), outcome.final_loss);
    match &test {
        Some(test) => say!("test: {}", test.text),
        None => say!("there are no labelled test samples to measure it on"),
    }
    if let Some(threshold) = &threshold {
        say!(
            "threshold (predict --threshold auto) {:.4}, chosen {}: {}",
            threshold.probability,
            threshold.rule(),
            scope_text(&threshold.held_out)
        );
    }
    say!("run folder: {}", path.display());
    say!("next: wgraft predict {} {next}", path.display());
    print_json(args.output.json, || {
        let mut result = json!({
            "run": path,
            "steps": outcome.steps,
            "final_loss": outcome.final_loss,
            "samples": test.as_ref().map(|t| t.samples),
            "device": device.name(),
            "seconds": outcome.seconds,
            "device_busy": outcome.device_busy,
        });
        if let Some(threshold) = &threshold {
            result["threshold"] = json!(threshold);
        }
        for measure in finetune.settings.task.measures() {
            result[format!("test_{measure}")] = json!(test.as_ref().and_then(|t| t.value(measure)));
        }
        result
    });
    Ok(0)
}
