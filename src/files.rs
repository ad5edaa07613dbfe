//! Files that appear whole or not at all, and locks that keep two processes apart.

use std::fs::{self, File, TryLockError};
use std::io::Read;
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::{Context, Result, ensure};

/// Writes beside the target, then renames: a reader sees the old file or the new one, and an error leaves nothing behind. Folders
/// on the way are made.
pub fn write(path: &Path, contents: impl FnOnce(&mut dyn Write) -> std::io::Result<()>) -> Result<()> {
    let write = || -> std::io::Result<()> {
        let folder = folder_of(path);
        fs::create_dir_all(folder)?;
        let mut writer = BufWriter::new(beside(folder)?);
        contents(&mut writer)?;
        let file = writer.into_inner().map_err(|e| e.into_error())?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        Ok(())
    };
    write().with_context(|| format!("cannot write {}; what was there before is untouched", path.display()))
}

/// Fails where [`write()`] would, as far as that can be known: makes a file in the folder of `path`, or in the nearest one that
/// exists, and removes it.
pub fn can_write(path: &Path) -> Result<()> {
    let mut folder = folder_of(path);
    while fs::symlink_metadata(folder).is_err_and(|e| e.kind() == std::io::ErrorKind::NotFound) {
        // What is not there has no parent that one could know before it is made.
        ensure!(folder.file_name().is_some(), "cannot write {}: there is no {}", path.display(), folder_of(folder).display());
        folder = folder_of(folder);
    }
    beside(folder).map(drop).with_context(|| format!("cannot write {}", path.display()))
}

/// A sentence about a path at which there is nothing, which names a file or folder there that is almost called so.
pub fn absent(path: &Path) -> String {
    let stem = |path: &Path| Some(path.file_stem()?.to_str()?.to_lowercase());
    let others = fs::read_dir(folder_of(path)).into_iter().flatten().flatten();
    let near = others.map(|entry| entry.file_name()).filter(|name| stem(path).is_some() && stem(Path::new(name)) == stem(path)).min();
    let meant = near.map_or(String::new(), |name| format!("; is {} meant?", path.with_file_name(name).display()));
    format!("there is no {}{meant}", path.display())
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Temporary files are private by default; results are as readable as anything else that their owner writes.
fn beside(folder: &Path) -> std::io::Result<tempfile::NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder.tempfile_in(folder)
}

/// The settings of a run, in its folder.
pub const RUN_CONFIG: &str = "config.toml";
/// What such a file begins with.
pub const RUN_CONFIG_START: &str = "# wgraft ";

/// Whether a folder is that of a run. Others' folders may have a `config.toml` too.
pub fn is_run_folder(folder: &Path) -> bool {
    let mut start = Vec::new();
    let read = |file: File| file.take(RUN_CONFIG_START.len() as u64).read_to_end(&mut start);
    File::open(folder.join(RUN_CONFIG)).and_then(read).is_ok() && start == RUN_CONFIG_START.as_bytes()
}

/// Held until it is dropped, or its process ends.
pub struct Lock(#[allow(dead_code, reason = "an open file is the lock")] File);

impl Lock {
    /// `None` if another process, or another part of this one, holds it.
    pub fn try_on(path: &Path) -> Result<Option<Self>> {
        let file = open(path)?;
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => Ok(None),
            // Some network folders have no locks: then nobody can be kept out.
            Ok(()) | Err(TryLockError::Error(_)) => Ok(Some(Lock(file))),
        }
    }

    /// Waits for it.
    pub fn on(path: &Path) -> Result<Self> {
        let file = open(path)?;
        // As above.
        let _ = file.lock();
        Ok(Lock(file))
    }
}

fn open(path: &Path) -> Result<File> {
    let open = || {
        fs::create_dir_all(folder_of(path))?;
        File::options().create(true).append(true).open(path)
    };
    open().with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_leaves_the_old_file_and_nothing_else() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("deep/x");
        write(&path, |file| file.write_all(b"old")).expect("it is written");
        let full = write(&path, |file| file.write_all(b"half").and(Err(std::io::ErrorKind::StorageFull.into())));
        assert!(format!("{:#}", full.expect_err("it fails")).contains("untouched"));
        assert_eq!(fs::read(&path).expect("it is there"), b"old");
        assert_eq!(fs::read_dir(path.parent().expect("a folder")).expect("it is there").count(), 1);
    }

    #[test]
    fn what_can_be_written_is_known_before() {
        let folder = tempfile::tempdir().expect("a folder");
        can_write(&folder.path().join("not/yet/there")).expect("its folders can be made");
        assert_eq!(fs::read_dir(folder.path()).expect("it is there").count(), 0);
        fs::write(folder.path().join("file"), "").expect("it is written");
        assert!(can_write(&folder.path().join("file/x")).is_err(), "a file is no folder");
        assert!(can_write(&folder.path().join("none/../x")).is_err_and(|e| e.to_string().contains("there is no")), "nor is nothing");
    }

    #[test]
    fn a_lock_has_one_holder() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("lock");
        let lock = Lock::try_on(&path).expect("it can be made").expect("it is free");
        assert!(Lock::try_on(&path).expect("it can be made").is_none());
        drop(lock);
        assert!(Lock::try_on(&path).expect("it can be made").is_some());
    }
}
