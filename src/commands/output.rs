//! What a command is to write is declared before it works: so nothing is lost, and nothing is worked for in vain.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::data;
use crate::error::UsageError;
use crate::files::{self, is_run_folder};

/// What a command reads, which nothing that it writes may replace.
pub struct Inputs(Vec<PathBuf>);

impl Inputs {
    /// Files, and folders with all that is read from them; what does not exist is none.
    pub fn of<P: AsRef<Path>>(paths: impl IntoIterator<Item = P>) -> Self {
        Inputs(paths.into_iter().filter_map(|path| path.as_ref().canonicalize().ok()).collect())
    }

    /// Fails where one of `outputs` is an input, exists and is not to be replaced, or cannot be written.
    pub fn declare<P: AsRef<Path>>(&self, outputs: impl IntoIterator<Item = P>, overwrite: bool) -> Result<()> {
        outputs.into_iter().try_for_each(|output| self.declare_one(output.as_ref(), overwrite))
    }

    fn declare_one(&self, output: &Path, overwrite: bool) -> Result<()> {
        let refuse = |why: &str| Err(UsageError(format!("{} {why}", output.display())).into());
        // A link is something that exists, wherever it leads.
        if fs::symlink_metadata(output).is_ok() {
            if self.contain(output) {
                return refuse("is an input of this command: it is not overwritten; choose another --out");
            }
            if !output.is_file() {
                return refuse("exists and is no file: choose another --out");
            }
            if !overwrite {
                return refuse("exists: choose another --out, or say --overwrite");
            }
        }
        files::can_write(output)
    }

    fn contain(&self, output: &Path) -> bool {
        let Ok(path) = output.canonicalize() else { return false };
        let of_a_run = |folder: &Path| path.ancestors().skip(1).take_while(|&f| f != folder).any(is_run_folder);
        let is_there = |folder: &Path| {
            let links = || walkdir::WalkDir::new(folder).follow_links(true).into_iter().flatten().filter(|entry| entry.path_is_symlink());
            path.starts_with(folder) || links().any(|entry| entry.path().canonicalize().is_ok_and(|target| path.starts_with(target)))
        };
        let read_from = |folder: &Path| is_there(folder) && !of_a_run(folder) && data::may_be_read(folder, &path);
        self.0.iter().any(|input| if input.is_dir() { read_from(input) } else { same_file(input, &path) })
    }

    /// The input that lies in `folder`, if one does.
    pub fn within(&self, folder: &Path) -> Option<&Path> {
        let folder = folder.canonicalize().ok()?;
        self.0.iter().map(PathBuf::as_path).find(|input| input.starts_with(&folder))
    }
}

/// By one name, or by two (hard links).
fn same_file(a: &Path, b: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let identity = |path: &Path| fs::metadata(path).ok().map(|found| (found.dev(), found.ino()));
        a == b || identity(a).is_some_and(|a| identity(b) == Some(a))
    }
    #[cfg(not(unix))]
    {
        a == b
    }
}
