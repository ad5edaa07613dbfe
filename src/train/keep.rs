//! Where a run's checkpoints stay.

use anyhow::Result;

use super::checkpoint::Checkpoint;

/// Keeps checkpoints by name: `last`, from which a run goes on, and `best`.
pub trait Keep {
    /// Replaces what was kept by this name.
    fn save(&self, name: &str, checkpoint: &Checkpoint) -> Result<()>;

    /// `None` if nothing is kept by this name.
    fn saved(&self, name: &str) -> Result<Option<Checkpoint>>;
}
