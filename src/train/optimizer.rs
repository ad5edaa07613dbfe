//! Which rule turns gradients into steps.

use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum OptimizerKind {
    Sgd,
    /// Weight decay is an L2 penalty, added to gradients.
    Adam,
    /// Weight decay shrinks the weights themselves, apart from the gradients.
    Adamw,
}
