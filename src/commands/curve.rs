use std::path::Path;
use std::sync::atomic::Ordering;

use anyhow::{Result, bail, ensure};
use serde_json::json;

use super::{INTERRUPTED, STOP, catch_interrupts, load_data, open_device, print_json, session};
use crate::cli::CurveArgs;
use crate::data::Dataset;
use crate::error::UsageError;
use crate::exec::Device;
use crate::say;
use crate::train::{Checkpoint, Finetune, FinetuneSettings, Schedule, find_checkpoint};

/// Both arms share subset, augmentation, model, steps and seed; only the encoder's first weights differ.
struct Arm<'a> {
    name: &'static str,
    pretrained: Option<&'a Checkpoint>,
}

/// Mean and standard deviation (n - 1) over draws.
fn spread(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0).max(1.0);
    (mean, variance.sqrt())
}

/// What all fine-tunings of a curve have in common.
struct Trials<'a> {
    args: &'a CurveArgs,
    device: &'a Device,
    from: &'a Checkpoint,
    labels_per_class: u32,
}

impl Trials<'_> {
    /// Accuracy on the test images of `data` for each draw of labels.
    fn run(&self, arm: &Arm<'_>, data: &Dataset, lr: f32) -> Result<Vec<f64>> {
        (0..self.args.draws).map(|draw| self.accuracy(arm, data, lr, draw.into())).collect()
    }

    fn accuracy(&self, arm: &Arm<'_>, data: &Dataset, lr: f32, seed: u64) -> Result<f64> {
        let Trials { args, device, from, labels_per_class } = *self;
        let mut settings = FinetuneSettings {
            from: arm.name.into(),
            labels_per_class: Some(labels_per_class),
            model: from.record.model.clone(),
            augment: args.augment,
            encoder_lr_scale: if arm.pretrained.is_some() { args.encoder_lr_scale } else { 1.0 },
            ..FinetuneSettings::default()
        };
        settings.run.seed = seed;
        settings.run.lr = lr;
        settings.run.batch = args.batch;
        settings.run.steps = Some(args.steps);
        settings.run.schedule = Schedule::Cosine;
        settings.run.warmup = 20.min(args.steps / 10);
        let run = Finetune::prepare(settings, data, arm.pretrained.cloned(), device.binding_limit())?;
        let (outcome, test) = run.run(session(device, None, None, true))?;
        match test {
            Some(test) => Ok(test.score.unwrap_or(f64::MIN)),
            None if outcome.interrupted => bail!("interrupted"),
            None => bail!("there are no labelled images to measure accuracy on"),
        }
    }
}

pub fn run(args: &CurveArgs) -> Result<u8> {
    ensure!(args.draws > 0 && !args.lr_grid.is_empty(), UsageError("--draws and --lr-grid must not be empty".into()));
    ensure!((0.01..0.9).contains(&args.choose_on), UsageError("--choose-on is a share: at least 0.01 and below 0.9".into()));
    let from = Checkpoint::load(&find_checkpoint(Path::new(&args.from))?)?;
    let data = {
        let mut run = FinetuneSettings::default().run;
        args.data.lay_over(&mut run);
        run.read_as(from.record.image);
        load_data(&run, true)?
    };
    ensure!(data.test.is_some(), "{} has no test images", data.name);
    let device = open_device(&args.device.device, args.device.threads)?;
    catch_interrupts();
    // Rates are chosen on images that are neither trained on nor tested on: here they take the place of the test images.
    let (rest, chosen_on) = data.train.hold_out(args.choose_on, u64::MAX);
    say!(
        "learning rates chosen from {:?} on {} held-out training images; {} steps of {}, {} draws",
        args.lr_grid,
        chosen_on.len(),
        args.steps,
        args.batch,
        args.draws
    );
    let choosing = Dataset { test: Some(chosen_on), train: rest.clone(), ..data.clone() };
    let testing = Dataset { train: rest, ..data.clone() };
    let arms = [Arm { name: "pretrained", pretrained: Some(&from) }, Arm { name: "scratch", pretrained: None }];
    let mut table = Vec::new();
    say!("{:>16}  {:>22}  {:>22}  {:>16}", "labels per class", "pretrained", "scratch", "gain");
    for &labels in &args.labels_per_class {
        let trials = Trials { args, device: &device, from: &from, labels_per_class: labels };
        let mut rates = Vec::new();
        let mut results: Vec<Vec<f64>> = Vec::new();
        for arm in &arms {
            let mut best = (f64::MIN, 0.0);
            for &lr in &args.lr_grid {
                // A rate at which training diverges is no candidate.
                let score = trials.run(arm, &choosing, lr).map_or(f64::MIN, |scores| spread(&scores).0);
                if STOP.load(Ordering::Relaxed) {
                    return Ok(INTERRUPTED);
                }
                best = if score > best.0 { (score, lr) } else { best };
            }
            ensure!(best.0 > f64::MIN, "{}: training diverges at every rate of the grid", arm.name);
            rates.push(best.1);
            results.push(trials.run(arm, &testing, best.1)?);
        }
        let gains: Vec<f64> = results[0].iter().zip(&results[1]).map(|(p, s)| p - s).collect();
        let percent = |values: &[f64]| {
            let (mean, deviation) = spread(values);
            format!("{:.2} ± {:.2}", 100.0 * mean, 100.0 * deviation)
        };
        // Within its own standard error of nothing, a gain is none.
        let (gain, deviation) = spread(&gains);
        let verdict = if gain > deviation / f64::from(args.draws).sqrt() { "" } else { "  no gain" };
        let column = |arm: usize| format!("{} (lr {})", percent(&results[arm]), rates[arm]);
        say!("{labels:>16}  {:>22}  {:>22}  {:>16}{verdict}", column(0), column(1), percent(&gains));
        // As it was written, not as the nearest f32 is in f64.
        let rate = |arm: usize| rates[arm].to_string().parse::<f64>().unwrap_or_default();
        table.push(json!({
            "labels_per_class": labels,
            "pretrained": results[0],
            "scratch": results[1],
            "pretrained_mean": spread(&results[0]).0,
            "scratch_mean": spread(&results[1]).0,
            "gain": gain,
            "gain_std": deviation,
            "lr": { "pretrained": rate(0), "scratch": rate(1) },
        }));
    }
    print_json(args.device.json, || json!({ "device": device.name(), "budgets": table }));
    Ok(0)
}
