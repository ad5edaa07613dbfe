//! The verb `curve`: for several label budgets, what is gained by pretraining.

mod table;

use std::path::Path;
use std::sync::atomic::Ordering;

use anyhow::{Context, Result, bail, ensure};
use serde_json::json;

use super::opened_run::{Finished, test_samples};
use super::{INTERRUPTED, LabelSource, STOP, catch_interrupts, open_device, print_json};
use crate::cli::{Budget, CurveArgs, DataFlags, Flags};
use crate::core::settings::Settings;
use crate::data::{Dataset, Split};
use crate::error::UsageError;
use crate::exec::Device;
use crate::metrics::{Design, probe_accuracy, spread};
use crate::say;
use crate::train::{Checkpoint, Features, Finetune, FinetuneSettings, Finetuned, Schedule, Session, augment_preset, find_checkpoint};
use table::{Arm, BudgetRow, Tried, draw_plot, heading, write_csv};

/// Of images that are grey, and in colour, where nobody chose another.
const AUGMENTATION: [&str; 2] = ["medium", "photos-medium"];

/// Learning rates that arms choose from, unless told otherwise: of SGD, and of Adam, which texts are learnt by.
const RATES: [&[f32]; 2] = [&[0.01, 0.03, 0.1, 0.3], &[0.001, 0.003, 0.01]];

/// A pretrained encoder, and the data as it takes them.
struct Contender {
    checkpoint: Checkpoint,
    /// Training images to draw from, those by which rates are chosen, and test images, which choose nothing.
    choosing: Dataset,
    testing: Dataset,
}

impl Contender {
    fn of(finished: &mut Finished, data: &Flags<DataFlags>, choose_on: f64) -> Result<Self> {
        let data = finished.data(data, LabelSource::Data)?;
        ensure!(data.classes > 1 && data.train.truth.labels.is_some(), "{} has no labels", data.name);
        test_samples(&data)?;
        // Rates are chosen on images that are neither trained on nor tested on: here they take the place of the test images.
        let (rest, chosen_on) = data.train.hold_out(choose_on, u64::MAX);
        let few = || format!("{} training images are too few to hold any out (--choose-on)", data.train.len());
        ensure!(!chosen_on.is_empty() && !rest.is_empty(), few());
        let choosing = Dataset { test: Some(chosen_on), train: rest.clone(), ..data.clone() };
        Ok(Contender { checkpoint: finished.checkpoint.clone(), choosing, testing: Dataset { train: rest, ..data } })
    }

    /// What it is called in the picture.
    fn name(&self) -> String {
        let pretrained = if self.checkpoint.is_published() { "" } else { "pretrained " };
        format!("{pretrained}{}", self.checkpoint.record.model.kind.name())
    }
}

/// What all trials of a curve have in common.
struct Trials<'a> {
    args: &'a CurveArgs,
    device: &'a Device,
    lr_grid: Vec<f32>,
    from: Contender,
    beside: Option<Contender>,
    /// Of the images to draw from, and of the test images, as `from` has them.
    features: [Features; 2],
}

impl Trials<'_> {
    /// Each with its name in the picture.
    fn arms(&self) -> Vec<(Arm, String)> {
        let beside = self.beside.as_ref().map(|beside| (Arm::Beside, format!("{}, fine-tuned", beside.name())));
        let scratch = format!("{} from scratch", self.of(Arm::Scratch).checkpoint.record.model.kind.name());
        let name = self.from.name();
        let first = [(Arm::Pretrained, format!("{name}, fine-tuned")), (Arm::Probe, format!("{name}, linear probe"))];
        first.into_iter().chain(beside).chain([(Arm::Scratch, scratch)]).collect()
    }

    /// The encoder of an arm; from scratch it is the smaller one of two as a rule, which is trained here.
    fn of(&self, arm: Arm) -> &Contender {
        match (arm, &self.beside) {
            (Arm::Beside | Arm::Scratch, Some(beside)) => beside,
            _ => &self.from,
        }
    }

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
        let of = self.of(arm);
        let mut best = (f64::MIN, 0.0);
        for &lr in &self.lr_grid {
            // A rate at which training diverges is no candidate.
            let score = draws(self.args.choose_draws.min(self.args.draws), &of.choosing, lr).map_or(f64::MIN, |found| spread(&found).0);
            if STOP.load(Ordering::Relaxed) {
                return Ok(None);
            }
            best = if score > best.0 { (score, lr) } else { best };
        }
        ensure!(best.0 > f64::MIN, "{}: training diverges at every rate of the grid", arm.name());
        let accuracy = draws(self.args.draws, &of.testing, best.1);
        if STOP.load(Ordering::Relaxed) {
            return Ok(None);
        }
        Ok(Some(Tried { lr: Some(best.1), accuracy: accuracy? }))
    }

    /// Accuracy on the test images of `data`.
    fn trained(&self, arm: Arm, budget: Budget, data: &Dataset, lr: f32, seed: u64) -> Result<f64> {
        let (args, device) = (self.args, self.device);
        let pretrained = (arm != Arm::Scratch).then(|| self.of(arm).checkpoint.clone());
        let mut settings = settings(args, self.of(arm), arm, budget, lr);
        settings.run.seed = seed;
        settings.run.batch = args.batch.min(data.train.len());
        let run = Finetune::prepare(settings.checked()?, data, pretrained, device.binding_limit())?;
        let Finetuned { outcome, test, .. } = run.run(Session::new(device, &STOP))?;
        match test {
            Some(test) => Ok(test.score.unwrap_or(f64::MIN)),
            None if outcome.interrupted => bail!("interrupted"),
            None => bail!("there are no labelled images to measure accuracy on"),
        }
    }

    /// Test accuracy of a linear probe.
    fn probed(&self, budget: Budget, seed: u64) -> Result<f64> {
        let Dataset { train, test, classes, class_names, .. } = &self.from.testing;
        let rows = match budget.per_class() {
            Some(count) => train.draw_per_class(count, class_names, seed)?,
            None => (0..train.len()).collect(),
        };
        let chosen = labels_of(train)?;
        let labels: Vec<u32> = rows.iter().map(|&row| chosen[row as usize]).collect();
        let truth = labels_of(test.as_ref().context("there are test images")?)?;
        let [train, test] = &self.features;
        let queries = Design::dense(&test.values, test.columns);
        probe_accuracy(&Design::dense(&train.select(&rows), train.columns), &labels, &queries, truth, *classes as usize)
    }

    /// Why a budget cannot be had, if it cannot.
    fn lacks(&self, budget: Budget) -> Option<String> {
        let (testing, count) = (&self.from.testing, budget.per_class()?);
        let train = &testing.train;
        let of_class = |class: u32| train.truth.labels.iter().flatten().filter(|&&label| label == class).count();
        let (fewest, class) = (0..testing.classes).map(|class| (of_class(class), class)).min()?;
        (fewest < count as usize).then(|| {
            let name = &testing.class_names[class as usize];
            format!("{count} labels per class: skipped, as class {name} has {fewest} training images besides those held out")
        })
    }
}

/// How an arm that trains does so.
fn settings(args: &CurveArgs, of: &Contender, arm: Arm, budget: Budget, lr: f32) -> FinetuneSettings {
    let Contender { checkpoint, testing, .. } = of;
    let (kind, defaults) = (testing.train.kind(), FinetuneSettings::default());
    let in_colour = kind.channels() > 1;
    let of_kind = defaults.suited_to(kind, testing.subject()).unwrap_or_else(|| FinetuneSettings {
        augment: augment_preset(AUGMENTATION[usize::from(in_colour)]).expect("a preset"),
        ..defaults
    });
    let mut settings = FinetuneSettings {
        from: arm.name().into(),
        labels_per_class: budget.per_class(),
        model: checkpoint.record.model.clone(),
        augment: args.augment.unwrap_or(of_kind.augment),
        ..of_kind
    };
    if arm != Arm::Scratch {
        settings.encoder_lr_scale = 0.3;
        if checkpoint.is_published() {
            let augment = settings.augment;
            settings = FinetuneSettings { augment, ..settings.of_published(checkpoint.record.model.kind, budget != Budget::All) };
        }
        settings.encoder_lr_scale = args.encoder_lr_scale.unwrap_or(settings.encoder_lr_scale);
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
        counts.iter().all(|&count| count > 0)
            && args.lr_grid.as_ref().is_none_or(|grid| !grid.is_empty())
            && !args.labels_per_class.is_empty(),
        UsageError("--labels-per-class, --draws, --choose-draws, --steps, --batch and --lr-grid must not be empty or 0".into())
    );
    ensure!((0.01..0.9).contains(&args.choose_on), UsageError("--choose-on is a share: at least 0.01 and below 0.9".into()));
    ensure!(
        args.head_steps.is_none_or(|head| head < args.steps),
        UsageError("--head-steps must leave some of --steps to the encoder".into())
    );
    let open = |path: &Path| -> Result<Finished> {
        let finished = Finished::open(path)?;
        let learnt = finished.checkpoint.record.task.is_some();
        let text = || format!("{} is a classifier: a curve is drawn for a pretrained encoder, made without these labels", path.display());
        if learnt { Err(UsageError(text()).into()) } else { Ok(finished) }
    };
    let mut finished = open(&args.from)?;
    let mut beside = args.beside.as_deref().map(open).transpose()?;
    let [csv, png] = finished.places(args.out.as_deref(), ["curve.csv", "curve.png"]);
    let _lock = finished.lock(args.out.as_deref())?;
    let other = args.beside.as_deref().map(find_checkpoint).transpose()?;
    finished.inputs(&args.data, &[other.as_deref()]).declare([&csv, &png], args.overwrite)?;
    let from = Contender::of(&mut finished, &args.data, args.choose_on)?;
    let data_beside = finished.data_of_another(&args.data);
    let compared = beside.as_mut().map(|beside| Contender::of(beside, &data_beside, args.choose_on)).transpose()?;
    if let Some(compared) = &compared {
        let labels = |of: &Contender| of.testing.train.truth.labels.clone();
        ensure!(labels(&from) == labels(compared), "the two encoders do not read the same pictures of {}", from.testing.name);
    }
    let by_adam = from.testing.train.kind().image().is_none();
    let lr_grid = args.lr_grid.clone().unwrap_or_else(|| RATES[usize::from(by_adam)].to_vec());
    for (&lr, of) in lr_grid.iter().flat_map(|lr| [Some(&from), compared.as_ref()].into_iter().flatten().map(move |of| (lr, of))) {
        settings(args, of, Arm::Pretrained, Budget::All, lr).check()?;
    }
    [Some(&finished), beside.as_ref()].into_iter().flatten().for_each(Finished::own_up);
    let device = open_device(&args.device.device)?;
    catch_interrupts();
    say!(
        "learning rates chosen from {lr_grid:?} on {} held-out training {} (draws: {}); {} steps of {}, {} draws",
        test_samples(&from.choosing)?.len(),
        from.testing.train.kind().called(),
        args.choose_draws.min(args.draws),
        args.steps,
        args.batch,
        args.draws
    );
    let features = [finished.features(&device, &from.testing.train)?, finished.features(&device, test_samples(&from.testing)?)?];
    let trials = Trials { args, device: &device, lr_grid, from, beside: compared, features };
    let Dataset { name, classes, train, .. } = &trials.from.testing;
    let arms = trials.arms();
    let (mut rows, mut skipped) = (Vec::new(), Vec::new());
    let title = match &trials.beside {
        Some(_) => format!("Accuracy by labels: {name}"),
        None => format!("Does pretraining pay? {name}, {}", trials.from.checkpoint.record.model),
    };
    say!("{}", heading(&arms));
    for &budget in &args.labels_per_class {
        if let Some(why) = trials.lacks(budget) {
            say!("{why}");
            skipped.push(json!({ "labels_per_class": budget.per_class(), "why": why }));
            continue;
        }
        let mut tried = Vec::new();
        for (arm, _) in &arms {
            let Some(found) = trials.run(*arm, budget)? else { return Ok(INTERRUPTED) };
            tried.push((*arm, found));
        }
        let labelled = budget.per_class().map_or(train.len(), |count| count * classes);
        rows.push(BudgetRow { budget, labelled, tried });
        say!("{}", rows[rows.len() - 1].line());
        let seen = u64::from(args.steps) * u64::from(args.batch);
        if u64::from(labelled) > seen {
            say!("{:>16}  training saw {seen} of {labelled} labelled images, the probe all of them; --steps makes it more", "");
        }
        // A curve takes long: what there is of it is there to look at.
        write_csv(&csv, &rows)?;
        draw_plot(&png, &rows, title.clone(), &arms, *classes)?;
    }
    ensure!(!rows.is_empty(), "no budget can be had from {name}");
    say!("{} and {}", csv.display(), png.display());
    print_json(args.device.json, || {
        json!({
            "device": device.name(),
            "budgets": rows.iter().map(BudgetRow::json).collect::<Vec<_>>(),
            "skipped": skipped,
            "chosen_on": trials.from.choosing.test.as_ref().map(Split::len),
            "csv": csv,
            "png": png,
        })
    });
    Ok(0)
}
