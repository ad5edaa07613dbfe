//! What the decoder does not tell of a TIFF.

use anyhow::{Result, ensure};

/// The first directory of a TIFF or BigTIFF.
pub(super) struct Directory {
    /// Bytes that its largest entry says to have.
    largest: u64,
    /// A second directory follows.
    pub more: bool,
}

impl Directory {
    /// `None` if it does not lie within `bytes`.
    pub fn first(bytes: &[u8]) -> Option<Self> {
        let number = |at: u64, size: u64| {
            let digits = bytes.get(usize::try_from(at).ok()?..usize::try_from(at.checked_add(size)?).ok()?)?;
            let add = |value: u64, byte: &u8| value << 8 | u64::from(*byte);
            Some(if bytes.starts_with(b"II") { digits.iter().rev().fold(0, add) } else { digits.iter().fold(0, add) })
        };
        // An entry is a tag and a type of two bytes each, a count, and the values or where they lie.
        let big = number(2, 2)? == 43;
        let (start, counted, offset) = if big { (8, 8, 8) } else { (4, 2, 4) };
        let entry = 4 + 2 * offset;
        let first = number(start, offset)?;
        let (entries, count) = (first.checked_add(counted)?, number(first, counted)?);
        let end = entries.checked_add(count.checked_mul(entry)?)?;
        let more = number(end, offset)? != 0;
        let size = |at: u64| Some(type_bytes(number(at + 2, 2)?).saturating_mul(number(at + 4, offset)?));
        let largest = (entries..end).step_by(entry as usize).filter_map(size).max().unwrap_or(0);
        Some(Directory { largest, more })
    }

    /// Fails where an entry is larger than the file: decoders may make room for it before they look.
    pub fn ensure_within(&self, bytes: &[u8]) -> Result<()> {
        ensure!(self.largest <= bytes.len() as u64, "is damaged or cut off: its directory has an entry of {} bytes", self.largest);
        Ok(())
    }
}

/// Bytes of a value of a field type (TIFF 6.0, page 15; BigTIFF for 16 to 18).
fn type_bytes(kind: u64) -> u64 {
    match kind {
        3 | 8 => 2,
        4 | 9 | 11 | 13 => 4,
        5 | 10 | 12 | 16..=18 => 8,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory with one entry, of this type and count, and the offset of the next one.
    fn file(kind: u8, count: u32, next: u8) -> Vec<u8> {
        let head = [b'I', b'I', 42, 0, 8, 0, 0, 0, 1, 0, 0x11, 1, kind, 0];
        [&head[..], &count.to_le_bytes(), &[0; 4], &[next, 0, 0, 0]].concat()
    }

    #[test]
    fn entries_are_no_larger_than_the_file() {
        let within = |bytes: &[u8]| Directory::first(bytes).expect("it is there").ensure_within(bytes).is_ok();
        assert!(within(&file(4, 6, 0)), "24 bytes of 26");
        assert!(!within(&file(4, 7, 0)), "28 bytes of 26");
        assert!(!within(&file(12, u32::MAX, 0)));
        let mut big = vec![b'M', b'M', 0, 43, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 16];
        big.extend([0, 0, 0, 0, 0, 0, 0, 1, 1, 0x11, 0, 16, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert!(!within(&big), "2^32 numbers of 8 bytes");
    }

    #[test]
    fn a_second_directory_is_seen() {
        let more = |bytes: &[u8]| Directory::first(bytes).map(|directory| directory.more);
        assert_eq!(more(&file(3, 1, 0)), Some(false));
        assert_eq!(more(&file(3, 1, 8)), Some(true));
        assert_eq!(more(&file(3, 1, 8)[..24]), None, "it ends within the directory");
    }
}
