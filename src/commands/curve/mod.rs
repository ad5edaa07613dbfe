//! The verb `curve`: for several label budgets, what is gained by pretraining.

mod table;

use std::sync::atomic::Ordering;

use anyhow::{Context, Result, bail, ensure};
use serde_json::json;

use super::opened_run::{Finished, test_samples};
use super::{INTERRUPTED, STOP, catch_interrupts, open_device, print_json};
use crate::cli::{Budget, CurveArgs};
use crate::data::{Dataset, Split};
use crate::error::UsageError;
use crate::exec::Device;
use crate::metrics::{probe_accuracy, spread};
use crate::say;
use crate::train::{Checkpoint, Features, Finetune, FinetuneSettings, Schedule, Session};
use table::{ARMS, Arm, BudgetRow, Tried, draw_plot, write_csv};

/// What all trials of a curve have in common.
struct Trials<'a> {
    args: &'a CurveArgs,
    device: &'a Device,
    from: &'a Checkpoint,
    /// Training images to draw from, those by which rates are chosen, and test images, which choose nothing.
    choosing: Dataset,
    testing: Dataset,
    /// Of the images to draw from, and of the test images.
    features: [Features; 2],
}

impl Trials<'_> {
    /// Chooses a rate, and tests it. `None` if interrupted.
    fn run(&self, arm: Arm, budget: Budget) -> Result<Option<Tried>> {
        let draws = |count: u32, data: &Dataset, lr: f32| {
            (0..count).map(|draw| self.trained(arm, budget, data, lr, draw.into())).collect::<Result<Vec<f64>>>()
        };
        if arm == Arm::Probe {
            // From all labels, each draw is the same.
            let accuracy = match budget {
                Budget::All => vec![self.probed(budget, 0)?; self.args.draws as usize],
                Budget::PerClass(_) => (0..self.args.draws).map(|draw| self.probed(budget, draw.into())).collect::<Result<_>>()?,
            };
            return Ok(Some(Tried { lr: None, accuracy }));
        }
        let mut best = (f64::MIN, 0.0);
        for &lr in &self.args.lr_grid {
            // A rate at which training diverges is no candidate.
            let score = draws(self.args.choose_draws.min(self.args.draws), &self.choosing, lr).map_or(f64::MIN, |found| spread(&found).0);
            if STOP.load(Ordering::Relaxed) {
                return Ok(None);
            }
            best = if score > best.0 { (score, lr) } else { best };
        }
        ensure!(best.0 > f64::MIN, "{}: training diverges at every rate of the grid", arm.name());
        let accuracy = draws(self.args.draws, &self.testing, best.1);
        if STOP.load(Ordering::Relaxed) {
            return Ok(None);
        }
        Ok(Some(Tried { lr: Some(best.1), accuracy: accuracy? }))
    }

    /// Accuracy on the test images of `data`.
    fn trained(&self, arm: Arm, budget: Budget, data: &Dataset, lr: f32, seed: u64) -> Result<f64> {
        let Trials { args, device, from, .. } = *self;
        let pretrained = (arm == Arm::Pretrained).then(|| from.clone());
        let mut settings = settings(args, from, arm, budget, lr);
        settings.run.seed = seed;
        settings.run.batch = args.batch.min(data.train.len());
        let run = Finetune::prepare(settings.checked()?, data, pretrained, device.binding_limit())?;
        let (outcome, test) = run.run(Session::new(device, &STOP))?;
        match test {
            Some(test) => Ok(test.score.unwrap_or(f64::MIN)),
            None if outcome.interrupted => bail!("interrupted"),
            None => bail!("there are no labelled images to measure accuracy on"),
        }
    }

    /// Test accuracy of a linear probe.
    fn probed(&self, budget: Budget, seed: u64) -> Result<f64> {
        let Dataset { train, test, classes, class_names, .. } = &self.testing;
        let rows = match budget.per_class() {
            Some(count) => train.draw_per_class(count, class_names, seed)?,
            None => (0..train.len()).collect(),
        };
        let chosen = labels_of(train)?;
        let labels: Vec<u32> = rows.iter().map(|&row| chosen[row as usize]).collect();
        let truth = labels_of(test.as_ref().context("there are test images")?)?;
        probe_accuracy(&self.features[0].select(&rows), &labels, &self.features[1].values, truth, *classes as usize)
    }

    /// Why a budget cannot be had, if it cannot.
    fn lacks(&self, budget: Budget) -> Option<String> {
        let (train, count) = (&self.testing.train, budget.per_class()?);
        let of_class = |class: u32| train.truth.labels.iter().flatten().filter(|&&label| label == class).count();
        let (fewest, class) = (0..self.testing.classes).map(|class| (of_class(class), class)).min()?;
        (fewest < count as usize).then(|| {
            let name = &self.testing.class_names[class as usize];
            format!("{count} labels per class: skipped, as class {name} has {fewest} training images besides those held out")
        })
    }
}

/// How an arm that trains does so.
fn settings(args: &CurveArgs, from: &Checkpoint, arm: Arm, budget: Budget, lr: f32) -> FinetuneSettings {
    let mut settings = FinetuneSettings {
        from: arm.name().into(),
        labels_per_class: budget.per_class(),
        model: from.record.model.clone(),
        augment: args.augment,
        ..FinetuneSettings::default()
    };
    if arm == Arm::Pretrained {
        settings.encoder_lr_scale = args.encoder_lr_scale;
        settings.head_steps = args.head_steps.unwrap_or(args.steps / 5);
    }
    settings.run.lr = lr;
    settings.run.batch = args.batch;
    settings.run.steps = Some(args.steps);
    settings.run.schedule = Schedule::Cosine;
    settings.run.warmup = 20.min(args.steps / 10);
    settings
}

fn labels_of(split: &Split) -> Result<&[u32]> {
    split.truth.labels.as_deref().context("images without labels cannot be compared")
}

pub fn run(args: &CurveArgs) -> Result<u8> {
    let counts = [args.draws, args.choose_draws, args.steps, args.batch];
    ensure!(
        counts.iter().all(|&count| count > 0) && !args.lr_grid.is_empty() && !args.labels_per_class.is_empty(),
        UsageError("--labels-per-class, --draws, --choose-draws, --steps, --batch and --lr-grid must not be empty or 0".into())
    );
    ensure!((0.01..0.9).contains(&args.choose_on), UsageError("--choose-on is a share: at least 0.01 and below 0.9".into()));
    ensure!(
        args.head_steps.is_none_or(|head| head < args.steps),
        UsageError("--head-steps must leave some of --steps to the encoder".into())
    );
    let mut finished = Finished::open(&args.from)?;
    if finished.checkpoint.record.task.is_some() {
        let text = format!("{} is a classifier: a curve is drawn for a pretrained encoder, made without these labels", args.from.display());
        return Err(UsageError(text).into());
    }
    for &lr in &args.lr_grid {
        settings(args, &finished.checkpoint, Arm::Pretrained, Budget::All, lr).check()?;
    }
    let [csv, png] = finished.places(args.out.as_deref(), ["curve.csv", "curve.png"]);
    let _lock = finished.lock(args.out.as_deref())?;
    finished.inputs(&args.data, &[]).declare([&csv, &png], args.overwrite)?;
    let data = finished.data(&args.data, true)?;
    let from = &finished.checkpoint;
    ensure!(data.classes > 1 && data.train.truth.labels.is_some(), "{} has no labels", data.name);
    let test = test_samples(&data)?;
    finished.own_up();
    let device = open_device(&args.device.device)?;
    catch_interrupts();
    // Rates are chosen on images that are neither trained on nor tested on: here they take the place of the test images.
    let (rest, chosen_on) = data.train.hold_out(args.choose_on, u64::MAX);
    ensure!(!chosen_on.is_empty() && !rest.is_empty(), "{} training images are too few to hold any out (--choose-on)", data.train.len());
    say!(
        "learning rates chosen from {:?} on {} held-out training images (draws: {}); {} steps of {}, {} draws",
        args.lr_grid,
        chosen_on.len(),
        args.choose_draws.min(args.draws),
        args.steps,
        args.batch,
        args.draws
    );
    let features = [from.features(&device, &rest)?, from.features(&device, test)?];
    let choosing = Dataset { test: Some(chosen_on), train: rest.clone(), ..data.clone() };
    let testing = Dataset { train: rest, ..data.clone() };
    let trials = Trials { args, device: &device, from, choosing, testing, features };
    let (mut rows, mut skipped) = (Vec::new(), Vec::new());
    let title = format!("Does pretraining pay? {}, {}", data.name, from.record.model);
    say!("{:>16}  {:>22}  {:>14}  {:>22}  {:>14}", "labels per class", "pretrained", "linear probe", "scratch", "gain");
    for &budget in &args.labels_per_class {
        if let Some(why) = trials.lacks(budget) {
            say!("{why}");
            skipped.push(json!({ "labels_per_class": budget.per_class(), "why": why }));
            continue;
        }
        let mut tried = Vec::new();
        for arm in ARMS {
            let Some(found) = trials.run(arm, budget)? else { return Ok(INTERRUPTED) };
            tried.push(found);
        }
        let labelled = budget.per_class().map_or(trials.testing.train.len(), |count| count * data.classes);
        rows.push(BudgetRow { budget, labelled, tried });
        say!("{}", rows[rows.len() - 1].line());
        let seen = u64::from(args.steps) * u64::from(args.batch);
        if u64::from(labelled) > seen {
            say!("{:>16}  training saw {seen} of {labelled} labelled images, the probe all of them; --steps makes it more", "");
        }
        // A curve takes long: what there is of it is there to look at.
        write_csv(&csv, &rows)?;
        draw_plot(&png, &rows, title.clone(), data.classes)?;
    }
    ensure!(!rows.is_empty(), "no budget can be had from {}", data.name);
    say!("{} and {}", csv.display(), png.display());
    print_json(args.device.json, || {
        json!({
            "device": device.name(),
            "budgets": rows.iter().map(BudgetRow::json).collect::<Vec<_>>(),
            "skipped": skipped,
            "chosen_on": trials.choosing.test.as_ref().map(Split::len),
            "csv": csv,
            "png": png,
        })
    });
    Ok(0)
}
