//! An image folder's `index.csv`: for each picture what it is for, and what is to be predicted of it.

use std::collections::HashMap;

use anyhow::{Context, Result, ensure};

use super::layout::Placed;
use super::sheet::{Sheet, is_missing, some_of};
use super::split::Part;

/// Columns that may name the picture, the usual one first.
const FILE_COLUMNS: [&str; 5] = ["file", "filename", "name", "image", "path"];

/// What the index says about a picture.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Row {
    pub part: Option<Part>,
    /// As it is written; `None` where nothing is, or no column is asked for.
    pub target: Option<String>,
    pub line: u64,
}

/// Finds for each picture what the index says about it; `None` for those it does not name. A picture may be named by its path,
/// with or without the ending, or by the end of its path from some folder on.
pub(super) fn rows(sheet: &Sheet, pictures: &[Placed<'_>], target: Option<&str>) -> Result<Vec<Option<Row>>> {
    let name = &sheet.name;
    let file = FILE_COLUMNS.iter().find_map(|column| sheet.find(column));
    let file =
        file.with_context(|| format!("{name} has no column `file` that names the pictures; its columns are {}", sheet.columns.join(", ")))?;
    let target = target.map(|column| sheet.target(Some(column))).transpose()?;
    let parts = sheet.parts()?;
    let mut known: HashMap<&str, Vec<usize>> = HashMap::new();
    for (i, picture) in pictures.iter().enumerate() {
        let path = picture.entry.name.as_str();
        let starts = std::iter::once(0).chain(path.match_indices('/').map(|(at, _)| at + 1));
        for tail in starts.map(|start| &path[start..]) {
            for key in [Some(tail), tail.rsplit_once('.').map(|(stem, _)| stem)].into_iter().flatten() {
                known.entry(key).or_default().push(i);
            }
        }
    }
    let mut found: Vec<Option<Row>> = vec![None; pictures.len()];
    let mut absent = Vec::new();
    for row in 0..sheet.rows.len() {
        let cell = sheet.cell(row, file).replace('\\', "/");
        let key = cell.trim_start_matches("./");
        let line = sheet.line(row);
        let Some(matches) = known.get(key) else {
            absent.push(key.to_string());
            continue;
        };
        // A whole path says more than its end.
        let whole: Vec<usize> = matches.iter().copied().filter(|&i| pictures[i].entry.name == key || pictures[i].rest == key).collect();
        let index = match (whole.as_slice(), matches.as_slice()) {
            ([one], _) | (_, [one]) => *one,
            (_, several) => {
                let names: Vec<&str> = several.iter().map(|&i| pictures[i].entry.name.as_str()).collect();
                anyhow::bail!("{name}, line {line}: `{key}` may be any of {}; write out the path", some_of(&names));
            }
        };
        let cell = target.map(|column| sheet.cell(row, column)).filter(|cell| !is_missing(cell));
        let said = Row { part: parts.as_ref().map(|parts| parts[row]), target: cell.map(String::from), line };
        if let Some(earlier) = found[index].replace(said) {
            anyhow::bail!("{name} names {} twice, in lines {} and {line}", pictures[index].entry.name, earlier.line);
        }
    }
    ensure!(absent.is_empty(), "{name} names {} pictures that are not there: {}", absent.len(), some_of(&absent));
    Ok(found)
}
