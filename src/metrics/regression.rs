//! Regression: errors in the units of the target, and the share of its variance that is explained.

use std::fmt;

use anyhow::{Result, ensure};
use serde::Serialize;

use super::table::TextTable;
use super::{column_moments, mean, names_for};
use crate::host::neighbours::check_rows;

/// How close predictions are. With several targets: over all values, and for each.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Regression {
    pub samples: usize,
    /// Mean absolute error.
    pub mae: f64,
    /// Root of the mean squared error.
    pub rmse: f64,
    /// Coefficient of determination; with several targets the mean of theirs. `None` where no target varies.
    pub r2: Option<f64>,
    pub targets: Vec<TargetScore>,
}

/// How close the predictions of one target are.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TargetScore {
    pub name: String,
    pub mae: f64,
    pub rmse: f64,
    /// 1 - squared error / squared deviation from the mean: 1 is exact, 0 is no better than the mean.
    pub r2: Option<f64>,
}

impl Regression {
    /// `predicted` and `truth` are `[samples, targets]`. Fails where they do not fit each other, are empty, or hold a value
    /// that is not finite.
    pub fn of(predicted: &[f32], truth: &[f32], targets: usize, names: &[String]) -> Result<Self> {
        check_rows(predicted, targets, "prediction")?;
        check_rows(truth, targets, "target")?;
        ensure!(predicted.len() == truth.len(), "{} predicted values for {} true ones", predicted.len(), truth.len());
        ensure!(!truth.is_empty(), "there are no samples to judge predictions by");
        let samples = truth.len() / targets;
        let deviations = column_moments(truth, targets).1;
        let score = |(target, name): (usize, String)| {
            let pairs = predicted.iter().zip(truth).skip(target).step_by(targets);
            let errors = pairs.map(|(&p, &t)| f64::from(p) - f64::from(t));
            let (absolute, squared) =
                errors.fold((0.0, 0.0), |(absolute, squared), error| (absolute + error.abs(), squared + error * error));
            let (mae, mse) = (absolute / samples as f64, squared / samples as f64);
            let variance = deviations[target].powi(2);
            TargetScore { name, mae, rmse: mse.sqrt(), r2: (variance > 0.0).then(|| 1.0 - mse / variance) }
        };
        let targets: Vec<TargetScore> = names_for(names, targets, "targets")?.into_iter().enumerate().map(score).collect();
        let over_all = |value: &dyn Fn(&TargetScore) -> f64| mean(targets.iter().map(|target| Some(value(target)))).unwrap_or(0.0);
        let (mae, rmse) = (over_all(&|target| target.mae), over_all(&|target| target.rmse.powi(2)).sqrt());
        Ok(Regression { samples, mae, rmse, r2: mean(targets.iter().map(|target| target.r2)), targets })
    }
}

impl fmt::Display for Regression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let r2 = |r2: Option<f64>| r2.map_or_else(|| "-".into(), |r2| format!("{r2:.4}"));
        if self.targets.len() > 1 {
            let mut table = TextTable::new(&["target", "MAE", "RMSE", "R2"]);
            for target in &self.targets {
                table.row(&target.name, [format!("{:.4}", target.mae), format!("{:.4}", target.rmse), r2(target.r2)]);
            }
            writeln!(f, "{table}\n")?;
        }
        write!(f, "MAE {:.4}, RMSE {:.4}, R2 {}, {} samples", self.mae, self.rmse, r2(self.r2), self.samples)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_by_hand() {
        // Errors 1, -1, 0, 2; the targets' mean is 2.5, their squared deviations sum to 5.
        let judged = Regression::of(&[2.0, 1.0, 3.0, 6.0], &[1.0, 2.0, 3.0, 4.0], 1, &[]).expect("sound values");
        assert_eq!((judged.mae, judged.rmse), (1.0, 1.5_f64.sqrt()));
        assert!((judged.r2.expect("targets vary") + 0.2).abs() < 1e-12);
        assert_eq!(judged.to_string(), "MAE 1.0000, RMSE 1.2247, R2 -0.2000, 4 samples");
    }

    #[test]
    fn targets_are_judged_apart_and_together() {
        let names = ["a", "b"].map(String::from);
        let judged = Regression::of(&[1.0, 7.0, 3.0, 4.0], &[1.0, 5.0, 3.0, 5.0], 2, &names).expect("sound values");
        assert_eq!((judged.targets[0].mae, judged.targets[0].r2), (0.0, Some(1.0)));
        // A constant target leaves nothing to explain.
        assert_eq!((judged.targets[1].mae, judged.targets[1].r2), (1.5, None));
        assert_eq!((judged.mae, judged.rmse, judged.r2), (0.75, 1.25_f64.sqrt(), Some(1.0)));
        assert!(judged.to_string().contains("b       1.5000  1.5811       -"), "{judged}");
    }

    #[test]
    fn unsound_values_are_refused() {
        let refused = |predicted: &[f32], truth: &[f32]| Regression::of(predicted, truth, 1, &[]).expect_err("refused").to_string();
        assert!(refused(&[], &[]).contains("no samples"));
        assert!(refused(&[1.0], &[1.0, 2.0]).contains("1 predicted values for 2"));
        assert!(refused(&[1.0, f32::INFINITY], &[1.0, 2.0]).contains("prediction row 1"));
        assert!(Regression::of(&[1.0, 2.0], &[1.0, 2.0], 2, &["x".into()]).is_err(), "one name for two targets");
    }
}
