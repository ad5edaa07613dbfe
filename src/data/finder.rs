//! Finds pictures by what people call them in CSV files.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use anyhow::{Result, bail};

use super::names::{folded, normalized, some_of};

/// How a picture was found where it is not called as it should be.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum By {
    Capitals,
    Ending,
    PathsEnd,
}

/// Finds pictures by their paths, with or without the ending, or by the ends of their paths from some folder on; failing that,
/// in other capitals, with another ending, or by the end of an absolute path. Unicode forms do not matter.
pub(super) struct Finder<'a> {
    /// Of each picture the names that are its whole name.
    names: Vec<[&'a str; 2]>,
    /// By [`folded`] names and ends of them.
    known: HashMap<String, Vec<u32>>,
    /// Beginnings of paths that lead to the folder of the pictures.
    roots: Vec<String>,
    /// How many were not found as they are called, with an example.
    odd: BTreeMap<By, (usize, String)>,
}

/// Endings that pictures and sounds have before and after they were converted.
const ENDINGS: [&str; 23] = [
    "wav", "flac", "mp3", "ogg", "aif", "aiff", "opus", "m4a", "mp4", "png", "jpg", "jpeg", "jpe", "jfif", "bmp", "gif", "tif", "tiff",
    "webp", "heic", "avif", "jp2", "dcm",
];

/// Without its ending.
fn stem(path: &str) -> &str {
    path.rsplit_once('.').filter(|(stem, ending)| !stem.is_empty() && !ending.contains('/')).map_or(path, |(stem, _)| stem)
}

/// Without the ending of a picture.
fn unended(path: &str) -> &str {
    let ending = path.rsplit_once('.').map_or("", |(_, ending)| ending);
    if ENDINGS.contains(&ending.to_ascii_lowercase().as_str()) { stem(path) } else { path }
}

/// A path and what remains of it from each of its folders on.
fn tails(path: &str) -> impl Iterator<Item = &str> {
    std::iter::once(0).chain(path.match_indices('/').map(|(at, _)| at + 1)).map(|start| &path[start..])
}

/// As paths are compared: with `/`.
fn slashed(path: &str) -> String {
    normalized(path).replace('\\', "/")
}

impl<'a> Finder<'a> {
    /// `names` are one or two for each picture below `root`.
    pub fn new(names: impl Iterator<Item = [&'a str; 2]>, root: &Path) -> Self {
        let names: Vec<[&str; 2]> = names.collect();
        let mut known: HashMap<String, Vec<u32>> = HashMap::new();
        for (i, [name, _]) in names.iter().enumerate() {
            let path = folded(name);
            for tail in tails(&path) {
                known.entry(tail.into()).or_default().push(i as u32);
                if stem(tail) != tail {
                    known.entry(stem(tail).into()).or_default().push(i as u32);
                }
            }
        }
        let roots = [root.canonicalize().ok(), std::path::absolute(root).ok()].into_iter().flatten();
        let mut roots: Vec<String> = roots.map(|root| slashed(&root.to_string_lossy())).collect();
        roots.dedup();
        let roots = roots.iter().flat_map(|root| tails(root)).filter(|root| !root.is_empty()).map(|root| format!("{root}/")).collect();
        Finder { names, known, roots, odd: BTreeMap::new() }
    }

    /// The picture that a cell names, if it is there. Fails if that may be any of several.
    pub fn find(&mut self, cell: &str) -> Result<Option<usize>> {
        let path = slashed(cell);
        let path = path.trim_start_matches("./");
        let below: Vec<&str> = self.roots.iter().filter_map(|root| path.strip_prefix(root.as_str())).collect();
        let absolute = path.starts_with('/') || path.get(1..3) == Some(":/");
        let ends = if absolute { tails(path).skip(1).collect() } else { Vec::new() };
        let ways = std::iter::once(path).chain(below).map(|key| (key, None)).chain(ends.into_iter().map(|key| (key, Some(By::PathsEnd))));
        for (key, by) in ways.flat_map(|(key, by)| [(key, by), (unended(key), by.or(Some(By::Ending)))]) {
            let Some((index, capitals)) = self.called(key)? else { continue };
            if let Some(by) = by.or(capitals.then_some(By::Capitals)) {
                self.odd.entry(by).or_insert_with(|| (0, format!("{cell} is {}", self.names[index][0]))).0 += 1;
            }
            return Ok(Some(index));
        }
        Ok(None)
    }

    /// The picture called `key`, and whether that is so in other capitals alone.
    fn called(&self, key: &str) -> Result<Option<(usize, bool)>> {
        let Some(matches) = self.known.get(&folded(key)).filter(|_| !key.is_empty()) else { return Ok(None) };
        let ends = |name: &str| name.strip_suffix(key).is_some_and(|before| before.is_empty() || before.ends_with('/'));
        let exact = |i: &&u32| {
            let name = normalized(self.names[**i as usize][0]);
            ends(&name) || ends(stem(&name))
        };
        // A whole path says more than its end.
        let whole = |i: &&u32| self.names[**i as usize].iter().any(|name| [folded(name), folded(stem(name))].contains(&folded(key)));
        let exactly: Vec<u32> = matches.iter().filter(exact).copied().collect();
        let (found, capitals) = if exactly.is_empty() { (matches, true) } else { (&exactly, false) };
        let wholly: Vec<u32> = found.iter().filter(whole).copied().collect();
        match (wholly.as_slice(), found.as_slice()) {
            ([one], _) | (_, [one]) => Ok(Some((*one as usize, capitals))),
            (_, several) => {
                let names: Vec<&str> = several.iter().map(|&i| self.names[i as usize][0]).collect();
                bail!("`{key}` may be any of {}; write out the path", some_of(&names))
            }
        }
    }

    /// What a user must be told about the names in `sheet`.
    pub fn notes(&self, sheet: &str) -> impl Iterator<Item = String> {
        self.odd.iter().map(move |(by, (count, example))| {
            let how = match by {
                By::Capitals => "in other capitals",
                By::Ending => "by another ending",
                By::PathsEnd => "by the end of a path that leads elsewhere",
            };
            format!("{count} pictures that {sheet} names are found {how}: {example}")
        })
    }
}
