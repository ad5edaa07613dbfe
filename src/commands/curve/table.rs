//! What a curve says: a row for each budget, on the terminal, in JSON, in a CSV file and as a plot.

use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::cli::Budget;
use crate::commands::percents;
use crate::files;
use crate::metrics::spread;
use crate::report::{Line, Plot, Point, save_png};

/// Ways to use labels. All see the same ones in each draw; those that train share augmentation, steps and seed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Arm {
    Pretrained,
    /// A linear probe of the pretrained encoder: convex, so it has no learning rate.
    Probe,
    /// Another pretrained encoder.
    Beside,
    Scratch,
}

impl Arm {
    pub fn name(self) -> &'static str {
        match self {
            Arm::Pretrained => "pretrained",
            Arm::Probe => "probe",
            Arm::Beside => "beside",
            Arm::Scratch => "scratch",
        }
    }

    /// Of its column on the terminal.
    fn width(self) -> usize {
        if self == Arm::Probe { 14 } else { 22 }
    }
}

/// What one arm came to with one budget.
pub struct Tried {
    /// None of a probe.
    pub lr: Option<f32>,
    /// Test accuracy of each draw.
    pub accuracy: Vec<f64>,
}

/// A line of the table: what each arm came to.
pub struct BudgetRow {
    pub budget: Budget,
    /// Labelled images in all.
    pub labelled: u32,
    /// From scratch at least, and pretrained.
    pub tried: Vec<(Arm, Tried)>,
}

/// What stands above the lines of [`BudgetRow::line`].
pub fn heading(arms: &[(Arm, String)]) -> String {
    let column = |(arm, _): &(Arm, String)| format!("  {:>1$}", if *arm == Arm::Probe { "linear probe" } else { arm.name() }, arm.width());
    format!("{:>16}{}  {:>14}", "labels per class", arms.iter().map(column).collect::<String>(), "gain")
}

impl BudgetRow {
    fn of(&self, arm: Arm) -> &Tried {
        &self.tried.iter().find(|(tried, _)| *tried == arm).expect("an arm of this curve").1
    }

    /// What pretraining gains over scratch in each draw, by fine-tuning or by a probe.
    fn gains(&self, arm: Arm) -> Vec<f64> {
        self.of(arm).accuracy.iter().zip(&self.of(Arm::Scratch).accuracy).map(|(p, s)| p - s).collect()
    }

    /// Within its own standard error of nothing, a gain is none.
    fn no_gain(&self) -> bool {
        let gains = self.gains(Arm::Pretrained);
        let (gain, deviation) = spread(&gains);
        gain <= deviation / (gains.len() as f64).sqrt()
    }

    pub fn line(&self) -> String {
        let column = |(arm, Tried { lr, accuracy }): &(Arm, Tried)| {
            let rate = lr.map_or(String::new(), |lr| format!(" (lr {lr})"));
            format!("  {:>1$}", format!("{}{rate}", percents(accuracy)), arm.width())
        };
        let columns: String = self.tried.iter().map(column).collect();
        let verdict = if self.no_gain() { "  no gain" } else { "" };
        let gain = percents(&self.gains(Arm::Pretrained));
        format!("{:>16}{columns}  {gain:>14}{verdict}", self.budget.to_string())
    }

    pub fn json(&self) -> Value {
        // As it was written, not as the nearest f32 is in f64.
        let rate = |lr: f32| lr.to_string().parse::<f64>().ok();
        let rates = self.tried.iter().filter_map(|(arm, tried)| Some((arm.name().to_string(), json!(rate(tried.lr?)))));
        let mut row = json!({
            "labels_per_class": self.budget.per_class().map_or(json!("all"), |count| json!(count)),
            "labelled": self.labelled,
            "lr": rates.collect::<serde_json::Map<_, _>>(),
            "no_gain": self.no_gain(),
        });
        for (arm, Tried { accuracy, .. }) in &self.tried {
            let (mean, deviation) = spread(accuracy);
            row[arm.name()] = json!(accuracy);
            row[format!("{}_mean", arm.name())] = json!(mean);
            row[format!("{}_std", arm.name())] = json!(deviation);
        }
        for (arm, name) in [(Arm::Pretrained, "gain"), (Arm::Probe, "probe_gain")] {
            let (gain, deviation) = spread(&self.gains(arm));
            row[name] = json!(gain);
            row[format!("{name}_std")] = json!(deviation);
        }
        row
    }
}

/// Writes what there is so far.
pub fn write_csv(path: &Path, rows: &[BudgetRow]) -> Result<()> {
    let mut csv = csv::Writer::from_writer(Vec::new());
    csv.write_record(["labels_per_class", "labelled", "arm", "lr", "draw", "accuracy"])?;
    for row in rows {
        for (arm, Tried { lr, accuracy }) in &row.tried {
            for (draw, accuracy) in accuracy.iter().enumerate() {
                let lr = lr.map_or(String::new(), |lr| lr.to_string());
                let cells =
                    [row.budget.to_string(), row.labelled.to_string(), arm.name().into(), lr, draw.to_string(), accuracy.to_string()];
                csv.write_record(cells)?;
            }
        }
    }
    let csv = csv.into_inner().context("memory takes all")?;
    files::write(path, |file| file.write_all(&csv))
}

/// Draws what there is so far: a line for each arm, under these names. `classes` tells how many labels of each there are where all
/// are used.
pub fn draw_plot(path: &Path, rows: &[BudgetRow], title: String, arms: &[(Arm, String)], classes: u32) -> Result<()> {
    let line = |(arm, name): &(Arm, String)| {
        let point = |row: &BudgetRow| {
            let (mean, deviation) = spread(&row.of(*arm).accuracy);
            let mean_per_class = (f64::from(row.labelled) / f64::from(classes)).round().max(1.0);
            Point { x: row.budget.per_class().map_or(mean_per_class, f64::from), mean, deviation }
        };
        Line { name: name.clone(), points: rows.iter().map(point).collect() }
    };
    let draws = rows.first().map_or(0, |row| row.of(Arm::Scratch).accuracy.len());
    let plot = Plot {
        title,
        x_label: "labels per class".into(),
        y_label: format!("test accuracy in percent; mean and standard deviation of {draws} draws"),
        lines: arms.iter().map(line).collect(),
    };
    save_png(&plot.draw()?, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(pretrained: &[f64], scratch: &[f64]) -> BudgetRow {
        let tried = |lr, accuracy: &[f64]| Tried { lr, accuracy: accuracy.to_vec() };
        BudgetRow {
            budget: Budget::All,
            labelled: 30,
            tried: vec![
                (Arm::Pretrained, tried(Some(0.1), pretrained)),
                (Arm::Probe, tried(None, &[0.5])),
                (Arm::Scratch, tried(Some(0.03), scratch)),
            ],
        }
    }

    #[test]
    fn no_gain_is_said_in_those_words() {
        assert!(row(&[0.8, 0.7, 0.9], &[0.6, 0.6, 0.6]).line().ends_with("20.00 ± 10.00"));
        // 0.1, -0.2 and 0.2: 0.03 on average, with a standard error of 0.12.
        assert!(row(&[0.7, 0.4, 0.8], &[0.6, 0.6, 0.6]).line().ends_with("3.33 ± 20.82  no gain"));
        assert!(row(&[0.5], &[0.6]).line().ends_with("-10.00  no gain") && row(&[0.6], &[0.6]).no_gain() && !row(&[0.7], &[0.6]).no_gain());
    }

    #[test]
    fn files_hold_every_draw() {
        let folder = tempfile::tempdir().expect("a folder");
        let rows = [row(&[0.75, 1.0], &[0.5, 0.25])];
        write_csv(&folder.path().join("x.csv"), &rows).expect("it is written");
        let text = std::fs::read_to_string(folder.path().join("x.csv")).expect("it is there");
        assert_eq!(
            text,
            "labels_per_class,labelled,arm,lr,draw,accuracy\nall,30,pretrained,0.1,0,0.75\nall,30,pretrained,0.1,1,1\n\
             all,30,probe,,0,0.5\nall,30,scratch,0.03,0,0.5\nall,30,scratch,0.03,1,0.25\n"
        );
        draw_plot(
            &folder.path().join("x.png"),
            &rows,
            "title".into(),
            &[(Arm::Probe, "probe".into()), (Arm::Scratch, "scratch".into())],
            3,
        )
        .expect("it is drawn");
        assert_eq!(rows[0].json()["labels_per_class"], "all");
        assert_eq!(rows[0].json()["lr"]["scratch"], 0.03);
    }
}
