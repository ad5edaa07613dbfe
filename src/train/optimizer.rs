//! Which rule turns gradients into steps.

use crate::variants;

variants! {
    /// What makes steps of gradients.
    pub enum OptimizerKind {
        /// Stochastic gradient descent, with momentum.
        Sgd = "sgd",
        /// Weight decay is an L2 penalty, added to gradients.
        Adam = "adam",
        /// Weight decay shrinks the weights themselves, apart from the gradients.
        Adamw = "adamw",
    }
}
