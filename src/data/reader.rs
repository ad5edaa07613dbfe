//! What an entry of the registry of readers is.

use anyhow::Result;

use super::names::some_of;
use super::tree::{Entry, Tree};
use super::{Dataset, ReadOptions, TruthKind};

/// A format of data sets.
pub(super) trait Reader: Sync {
    /// What it reads, for people.
    fn name(&self) -> &'static str;

    /// A sentence or two on what it takes files and names for.
    fn help(&self) -> &'static str;

    /// What is known of all that it reads, where that is one thing.
    fn implies(&self) -> Option<TruthKind> {
        None
    }

    /// Whether it reads single files: a folder with nothing but one of those means that.
    fn is_of_files(&self) -> bool {
        false
    }

    /// Whether a tree holds what it reads.
    fn is_in(&self, tree: &Tree) -> bool;

    /// Reads it, where it [is there](Self::is_in), as `options` say. Fails where it is damaged, contradicts itself, or has nothing to train on.
    fn read(&self, tree: &Tree, options: &ReadOptions) -> Result<Dataset>;
}

/// What was read from files that hold many samples each, in the size that `options` ask for; says what lies beside them.
pub(super) fn finished(tree: &Tree, mut data: Dataset, taken: &[&Entry], options: &ReadOptions) -> Result<Dataset> {
    let left_out = |entry: &&Entry| !taken.iter().any(|taken| taken.name == entry.name);
    let others: Vec<&str> = tree.files.iter().filter(left_out).map(|entry| entry.name.as_str()).collect();
    data.notes.extend(tree.notes.clone());
    if !others.is_empty() {
        data.notes.push(format!("{} other files are left out: {}", others.len(), some_of(&others)));
    }
    data.conform(options)
}
