//! The registry of what fine-tuning learns: a file each, and a line in [`TASKS`].

mod classify;
mod multilabel;
mod objective;
mod recognise;
mod regress;
mod segment;
mod tag;
mod task;

pub use objective::{BatchOutput, Details, Objective, Prediction, Scores};
pub use regress::RegressionLoss;
pub use segment::ClassWeights;
pub use task::{FinetuneTask, TaskSettings};

use crate::choice;

choice! {
    /// A task of fine-tuning.
    Task of dyn FinetuneTask, TASKS:
    CLASSIFY = classify::TASK,
    REGRESS = regress::TASK,
    MULTILABEL = multilabel::TASK,
    SEGMENT = segment::TASK,
    TAG = tag::TASK,
    RECOGNISE = recognise::TASK,
}

impl Task {
    /// Names of the tasks that are so, for a sentence.
    pub fn which(are: impl Fn(&Task) -> bool) -> String {
        let names: Vec<&str> = TASKS.iter().filter(|task| are(task)).map(|task| task.name()).collect();
        names.join(" or ")
    }
}

/// A checkpoint's word for what its weights are for: a task, or none of a pretrained encoder.
pub mod stage {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    use super::{TASKS, Task};

    const PRETRAINED: &str = "pretrained";

    pub fn serialize<S: Serializer>(task: &Option<Task>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(task.map_or(PRETRAINED, |task| task.stage()))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Task>, D::Error> {
        let word = String::deserialize(deserializer)?;
        let task = TASKS.iter().copied().find(|task| task.stage() == word);
        if task.is_none() && word != PRETRAINED {
            return Err(D::Error::custom(format!("`{word}` is no stage of a run that is known")));
        }
        Ok(task)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_known_by_their_names_and_say_what_they_are() {
        for task in TASKS {
            assert_eq!(Task::named(task.name()), Some(*task), "names are not there twice");
            assert!(task.help().ends_with('.') && task.help().len() > 10, "{task}");
            assert_eq!(TASKS.iter().filter(|other| other.stage() == task.stage()).count(), 1, "{task}");
            assert!(!task.measures().is_empty(), "{task}");
        }
        assert_eq!(Task::which(|task| task.of_maps()), "segment");
    }
}
