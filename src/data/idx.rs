//! IDX, MNIST's format: two zero bytes, element type, number of dimensions, sizes as big-endian u32, then the elements.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use super::split::Part;
use super::{Dataset, MOST_SIDE, Split, source};
use crate::kernels::augment::Image;

/// Ends of the names of images and labels.
const KINDS: [&str; 2] = ["images-idx3-ubyte", "labels-idx1-ubyte"];

pub(super) enum Source {
    File(PathBuf),
    /// With a name for errors.
    Bytes(&'static [u8], &'static str),
}

/// Whether a folder holds what [`folder`] reads.
pub(super) fn is_in(dir: &Path) -> bool {
    ["train-", "t10k-", ""].iter().any(|prefix| KINDS.iter().any(|kind| find(dir, &format!("{prefix}{kind}")).is_some()))
}

/// A folder with files named as MNIST's, plain or `.gz`. Training labels and the test pair may be missing. Without `train-` and
/// `t10k-` in their names there is one pair, which is divided [by index](Split::by_index).
pub(super) fn folder(dir: &Path) -> Result<Dataset> {
    let pair = |prefix: &str| -> Result<Option<Split>> {
        let [images, labels] = KINDS.map(|kind| find(dir, &format!("{prefix}{kind}")));
        match (images, labels) {
            (None, None) => Ok(None),
            (None, Some(labels)) => bail!("{} has no images beside it ({prefix}{})", labels.display(), KINDS[0]),
            (Some(images), labels) => Ok(Some(split(Source::File(images), labels.map(Source::File))?)),
        }
    };
    let name = source::name_of(dir);
    if let Some(train) = pair("train-")? {
        return Dataset::new(name, train, pair("t10k-")?).with_context(|| dir.display().to_string());
    }
    let both = pair("")?.with_context(|| format!("{} holds no train-{}, plain or .gz", dir.display(), KINDS[0]))?;
    let (train, test) = both.by_index();
    let mut data = Dataset::new(name, train, test).with_context(|| dir.display().to_string())?;
    data.notes.push(Part::rule("image", both.len() as usize));
    Ok(data)
}

/// `stem` in `dir`, plain or with `.gz`.
fn find(dir: &Path, stem: &str) -> Option<PathBuf> {
    [dir.join(stem), dir.join(format!("{stem}.gz"))].into_iter().find(|path| path.is_file())
}

/// Images with the labels that belong to them.
pub(super) fn split(images: Source, labels: Option<Source>) -> Result<Split> {
    let (image_name, bytes) = read(images)?;
    let ([count, height, width], pixels) = parse(&bytes, "images").with_context(|| image_name.clone())?;
    let image = Image { height, width, channels: 1 };
    let sound = [height, width].iter().all(|side| (1..=MOST_SIDE).contains(side));
    ensure!(sound, "{image_name}: images of {height}x{width} pixels; sides are at least 1 and at most {MOST_SIDE}");
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
    Ok(Split { labels, ..Split::unlabelled(pixels.to_vec(), image) })
}

fn read(source: Source) -> Result<(String, Vec<u8>)> {
    match source {
        Source::Bytes(bytes, name) => Ok((name.to_string(), source::unpacked(bytes.to_vec(), name)?)),
        Source::File(path) => Ok((path.display().to_string(), source::read(&path)?)),
    }
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
