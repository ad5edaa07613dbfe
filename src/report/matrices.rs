//! Matrices for other programs: NumPy's `.npy` and CSV.

use std::io::Write;
use std::path::Path;

use anyhow::{Result, ensure};

use crate::files;

/// Writes `[rows, columns]` as `.npy`, format 1.0, little-endian f32.
pub fn write_npy(path: &Path, values: &[f32], columns: usize) -> Result<()> {
    check(values, columns)?;
    files::write(path, |file| npy(file, values, columns))
}

/// Writes a head, `file` and the numbers of the columns, then a line for each of `names` and its row of `[rows, columns]`.
/// Numbers read back as the same f32.
pub fn write_csv(path: &Path, names: &[String], values: &[f32], columns: usize) -> Result<()> {
    check(values, columns)?;
    ensure!(names.len() * columns == values.len(), "{} file names for {} rows", names.len(), values.len() / columns);
    files::write(path, |file| csv(file, names, values, columns))
}

fn check(values: &[f32], columns: usize) -> Result<()> {
    ensure!(columns > 0 && values.len().is_multiple_of(columns), "{} values are no rows of {columns}", values.len());
    Ok(())
}

fn npy(to: &mut dyn Write, values: &[f32], columns: usize) -> std::io::Result<()> {
    /// Magic bytes, version and the length of the head.
    const BEFORE: usize = 10;
    let head = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({}, {columns}), }}", values.len() / columns);
    // Numbers begin at a multiple of 64; the head ends with a newline.
    let length = (BEFORE + head.len() + 1).next_multiple_of(64) - BEFORE;
    to.write_all(b"\x93NUMPY\x01\x00")?;
    to.write_all(&(length as u16).to_le_bytes())?;
    writeln!(to, "{head:width$}", width = length - 1)?;
    values.iter().try_for_each(|value| to.write_all(&value.to_le_bytes()))
}

fn csv(to: &mut dyn Write, names: &[String], values: &[f32], columns: usize) -> std::io::Result<()> {
    write!(to, "file")?;
    (0..columns).try_for_each(|column| write!(to, ",{column}"))?;
    for (name, row) in names.iter().zip(values.chunks(columns)) {
        // RFC 4180: what would end a field is quoted, and quotes are doubled.
        if name.contains(['"', ',', '\n', '\r']) {
            write!(to, "\n\"{}\"", name.replace('"', "\"\""))?;
        } else {
            write!(to, "\n{name}")?;
        }
        row.iter().try_for_each(|value| write!(to, ",{value}"))?;
    }
    writeln!(to)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn npy_by_hand() {
        let mut bytes = Vec::new();
        npy(&mut bytes, &[1.0, -2.0, 0.5, 3.0, 4.0, 5.0], 3).expect("memory takes all");
        assert_eq!(bytes[..10], *b"\x93NUMPY\x01\x00\x76\x00");
        let head = std::str::from_utf8(&bytes[10..128]).expect("text");
        assert_eq!(head.trim_end(), "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }");
        assert!(head.ends_with(" \n"));
        assert_eq!(bytes[128..136], [0, 0, 0x80, 0x3F, 0, 0, 0, 0xC0]);
        assert_eq!(bytes.len(), 128 + 24);
    }

    #[test]
    fn csv_by_hand() {
        let names = ["a.png", "b, \"c\".png"].map(String::from);
        let mut text = Vec::new();
        csv(&mut text, &names, &[0.1, 1.0, -2.5e-9, 3.0], 2).expect("memory takes all");
        let text = String::from_utf8(text).expect("text");
        assert_eq!(text, "file,0,1\na.png,0.1,1\n\"b, \"\"c\"\".png\",-0.0000000025,3\n");
    }

    #[test]
    fn files_are_written_or_the_reason_is_said() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("x.npy");
        write_npy(&path, &[1.0, 2.0], 2).expect("it can be written");
        assert_eq!(std::fs::read(&path).expect("it is there").len(), 128 + 8);
        let refused = |result: Result<()>| format!("{:#}", result.expect_err("refused"));
        assert!(refused(write_npy(&path, &[1.0], 2)).contains("no rows of 2"));
        assert!(refused(write_csv(&path, &[], &[1.0, 2.0], 2)).contains("0 file names for 1 rows"));
        assert!(refused(write_npy(&path.join("x.npy"), &[1.0], 1)).contains("cannot write"));
    }
}
