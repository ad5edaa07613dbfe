//! What is kept between runs and can be made anew: tuned choices, decoded pictures.

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Names another folder than the user's cache folder.
const VARIABLE: &str = "WGRAFT_CACHE";

/// `None` where the system knows no such folder and the user names none.
pub fn folder() -> Option<PathBuf> {
    std::env::var_os(VARIABLE).map(PathBuf::from).or_else(|| Some(dirs::cache_dir()?.join("wgraft")))
}

/// Writes a file whole or not at all, as another run may be reading it.
pub fn write(path: &Path, contents: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<()> {
    let folder = path.parent().context("the file has a folder")?;
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let file = tempfile::NamedTempFile::new_in(folder).with_context(|| format!("cannot write to {}", folder.display()))?;
    let mut writer = BufWriter::new(file);
    contents(&mut writer)?;
    let file = writer.into_inner().map_err(|e| e.into_error()).with_context(|| format!("cannot write to {}", folder.display()))?;
    file.persist(path).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(())
}
