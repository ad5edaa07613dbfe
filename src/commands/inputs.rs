//! Pictures and sounds as a user names them: files, folders, patterns, or a list on stdin.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::core::sample::Subject;
use crate::data::{PictureOptions, Samples, Split, Truth, leads_above, load_sample, subject_of};
use crate::error::{UsageError, chain};
use crate::say;

pub(super) struct Input {
    pub path: PathBuf,
    /// Below the folder that it was found in.
    pub rest: PathBuf,
}

/// Whether that names pictures or sounds one by one, not a data set: one of them, a pattern, or `-`.
pub(super) fn are_samples(given: &Path) -> bool {
    given.as_os_str() == "-" || is_pattern(given) || (given.is_file() && subject_of(given).is_some())
}

fn is_pattern(path: &Path) -> bool {
    !path.exists() && path.to_string_lossy().contains(['*', '?', '['])
}

/// The files that are named one by one, by a pattern, or line by line on stdin (`-`); folders as they are.
pub(super) fn named(given: &[PathBuf]) -> Result<Vec<Input>> {
    let mut found = Vec::new();
    for path in given {
        let text = path.to_string_lossy();
        if path.as_os_str() == "-" {
            let mut list = Vec::new();
            std::io::stdin().lock().read_to_end(&mut list).context("cannot read the list on stdin")?;
            let paths = listed(list.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&list));
            say!("{} paths from stdin", paths.len());
            found.extend(below_what_they_share(paths));
        } else if is_pattern(path) {
            let options = glob::MatchOptions { require_literal_leading_dot: true, require_literal_separator: true, ..Default::default() };
            let matches = glob::glob_with(&text, options).map_err(|e| UsageError(format!("{text} is no pattern: {e}")))?;
            let (mut paths, mut unreadable) = (Vec::new(), 0);
            matches.for_each(|path| path.map_or_else(|_| unreadable += 1, |path| paths.push(path)));
            if paths.is_empty() {
                return Err(UsageError(format!("no file is named like {text}")).into());
            }
            let left_out = if unreadable > 0 { format!(", {unreadable} that cannot be read left out") } else { String::new() };
            say!("{text}: {} paths{left_out}", paths.len());
            found.extend(below_what_they_share(paths));
        } else {
            found.extend(below_what_they_share(vec![path.clone()]));
        }
    }
    Ok(found)
}

/// Paths line by line, or with a zero byte after each, as `find -print0` writes them.
fn listed(list: &[u8]) -> Vec<PathBuf> {
    let end = if list.contains(&0) { 0 } else { b'\n' };
    let lines = list.split(|&byte| byte == end).map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    lines.filter(|line| !line.is_empty()).map(path_of).collect()
}

/// Of bytes that may be no UTF-8, where a system has such names.
fn path_of(bytes: &[u8]) -> PathBuf {
    #[cfg(unix)]
    {
        PathBuf::from(<std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(bytes))
    }
    #[cfg(not(unix))]
    {
        PathBuf::from(String::from_utf8_lossy(bytes).into_owned())
    }
}

/// Each with its path below the folder that all are in.
fn below_what_they_share(paths: Vec<PathBuf>) -> Vec<Input> {
    let parent = |path: &PathBuf| path.parent().map(Path::to_path_buf).unwrap_or_default();
    let mut shared = paths.first().map(parent).unwrap_or_default();
    while !paths.iter().all(|path| path.starts_with(&shared)) && shared.pop() {}
    let rest = |path: &PathBuf| path.strip_prefix(&shared).map_or_else(|_| path.clone(), Path::to_path_buf);
    paths.iter().map(|path| Input { rest: rest(path), path: path.clone() }).collect()
}

/// Files as they are named, and of each folder all pictures, or sounds, below it, by name; and how much there could not be read, which is
/// said.
pub(super) fn samples(given: &[PathBuf], subject: Subject) -> Result<(Vec<Input>, usize)> {
    let (mut found, mut unreadable) = (Vec::new(), 0);
    for input in named(given)? {
        if !input.path.is_dir() {
            found.push(input);
            continue;
        }
        let (mut pictures, mut hidden, mut others) = (Vec::new(), 0, 0);
        let mut entries = walkdir::WalkDir::new(&input.path).follow_links(true).sort_by_file_name().into_iter();
        while let Some(entry) = entries.next() {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => {
                    say!("error: {error}");
                    unreadable += 1;
                    continue;
                }
            };
            if entry.path_is_symlink() && entry.file_type().is_dir() && leads_above(entry.path(), &input.path) {
                say!("error: {} is a link to a folder that {} is in", entry.path().display(), input.path.display());
                unreadable += 1;
                entries.skip_current_dir();
            } else if entry.depth() > 0 && entry.file_name().to_string_lossy().starts_with('.') {
                hidden += 1;
                if entry.file_type().is_dir() {
                    entries.skip_current_dir();
                }
            } else if entry.file_type().is_file() && subject_of(entry.path()) == Some(subject) {
                let rest = entry.path().strip_prefix(&input.path).unwrap_or(entry.path()).to_path_buf();
                pictures.push(Input { path: entry.into_path(), rest });
            } else if !entry.file_type().is_dir() {
                others += 1;
            }
        }
        let no_samples = format!("that are no {}", subject.many());
        let left_out = [(hidden, "hidden"), (others, &no_samples)];
        let left_out: String =
            left_out.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!(", {count} {what} left out")).collect();
        say!("{}: {} {}{left_out}", input.path.display(), pictures.len(), subject.many());
        found.extend(pictures);
    }
    Ok((found, unreadable))
}

/// Fails if two pictures would have one file of the name that `of` gives.
pub(super) fn apart(inputs: &[Input], of: impl Fn(&Input) -> PathBuf) -> Result<()> {
    let mut known = BTreeMap::new();
    for input in inputs {
        if let Some(other) = known.insert(of(input), input) {
            let (one, two) = (other.path.display(), input.path.display());
            return Err(UsageError(format!("{one} and {two} would have masks of one name: predict them into two folders")).into());
        }
    }
    Ok(())
}

/// The pictures or sounds that can be read, as `options` want them; says which cannot.
pub(super) fn read<'a>(inputs: &'a [Input], options: &PictureOptions) -> Result<(Vec<&'a Input>, Option<Split>)> {
    let (mut kept, mut samples) = (Vec::new(), Vec::new());
    for input in inputs {
        match load_sample(&input.path, options) {
            Ok((sample, remarks)) => {
                remarks.said(options.bits).iter().for_each(|said| say!("{}: {said}", input.path.display()));
                samples.push(sample);
                kept.push(input);
            }
            Err(error) => say!("error: {}", chain(&error)),
        }
    }
    let samples = Samples::joined(&samples)?;
    Ok((kept, samples.map(|samples| Split::new(samples, Truth::default()))))
}
