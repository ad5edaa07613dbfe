//! IDX, MNIST's format: two zero bytes, element type, number of dimensions, sizes as big-endian u32, then the elements.

use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use super::Split;
use crate::kernels::augment::Image;

pub(super) enum Source {
    File(PathBuf),
    /// With a name for errors.
    Bytes(&'static [u8], &'static str),
}

/// `stem` in `dir`, plain or with `.gz`.
pub(super) fn find(dir: &Path, stem: &str) -> Option<PathBuf> {
    [dir.join(stem), dir.join(format!("{stem}.gz"))].into_iter().find(|path| path.is_file())
}

/// Images with the labels that belong to them.
pub(super) fn split(images: Source, labels: Option<Source>) -> Result<Split> {
    let (image_name, bytes) = read(images)?;
    let ([count, height, width], pixels) = parse(&bytes, "images").with_context(|| image_name.clone())?;
    let image = Image { height, width, channels: 1 };
    ensure!(!image.is_empty(), "{image_name}: images of {height}x{width} pixels");
    let labels = match labels {
        None => None,
        Some(labels) => {
            let (label_name, bytes) = read(labels)?;
            let ([label_count], labels) = parse(&bytes, "labels").with_context(|| label_name.clone())?;
            ensure!(
                label_count == count,
                "{image_name} holds {count} images, but {label_name} {label_count} labels: they do not belong together"
            );
            Some(labels.iter().map(|&label| u32::from(label)).collect())
        }
    };
    Ok(Split { images: pixels.to_vec(), labels, image })
}

fn read(source: Source) -> Result<(String, Vec<u8>)> {
    let (name, raw) = match source {
        Source::Bytes(bytes, name) => (name.to_string(), bytes.to_vec()),
        Source::File(path) => {
            (path.display().to_string(), std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?)
        }
    };
    if !raw.starts_with(&[0x1F, 0x8B]) {
        return Ok((name, raw));
    }
    let mut bytes = Vec::new();
    flate2::read::MultiGzDecoder::new(raw.as_slice())
        .read_to_end(&mut bytes)
        .with_context(|| format!("{name}: the gzip data are damaged or cut off after {} bytes", bytes.len()))?;
    Ok((name, bytes))
}

/// Sizes and elements of an IDX file of unsigned bytes with `N` dimensions.
fn parse<'a, const N: usize>(bytes: &'a [u8], what: &str) -> Result<([u32; N], &'a [u8])> {
    let header = 4 + 4 * N;
    match bytes {
        [0, 0, 0x08, dims, ..] if *dims as usize == N => {}
        [0, 0, 0x08, dims, ..] => bail!("holds {dims}-dimensional data, {what} have {N} dimensions; are image and label files swapped?"),
        [0, 0, kind, ..] => bail!("element type {kind:#04x}, expected unsigned bytes (0x08)"),
        _ => bail!("is not an IDX file (it starts with {:02x?})", &bytes[..bytes.len().min(4)]),
    }
    ensure!(bytes.len() >= header, "is cut off within its header");
    let sizes: [u32; N] = std::array::from_fn(|i| u32::from_be_bytes(std::array::from_fn(|k| bytes[4 + 4 * i + k])));
    let expected = sizes.iter().try_fold(1_u64, |a, &s| a.checked_mul(u64::from(s))).context("sizes overflow")?;
    let elements = &bytes[header..];
    ensure!(
        elements.len() as u64 == expected,
        "the header promises {} = {expected} bytes, the file holds {}: it is {}",
        sizes.map(|s| s.to_string()).join(" x "),
        elements.len(),
        if (elements.len() as u64) < expected { "cut off" } else { "too long" }
    );
    Ok((sizes, elements))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damaged_files_are_named_for_what_they_are() {
        let error = |bytes: &[u8]| parse::<3>(bytes, "images").expect_err("damaged").to_string();
        assert!(error(b"hello").contains("not an IDX file"));
        assert!(error(&[]).contains("not an IDX file"));
        assert!(error(&[0, 0, 8, 1, 0, 0, 0, 1, 5]).contains("swapped"));
        assert!(error(&[0, 0, 0x0D, 3]).contains("element type"));
        assert!(error(&[0, 0, 8, 3, 0, 0]).contains("header"));
        let mut whole = vec![0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2, 1, 2, 3, 4];
        assert_eq!(parse::<3>(&whole, "images").expect("sound"), ([2, 1, 2], &[1, 2, 3, 4][..]));
        whole.pop();
        assert!(error(&whole).contains("2 x 1 x 2 = 4 bytes, the file holds 3: it is cut off"));
    }
}
