//! Small files of every kind, and what reading them must say.

use std::cell::OnceCell;
use std::fs;
use std::io::Write;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use image::{DynamicImage, GrayImage, ImageFormat, Luma};
use tempfile::TempDir;
use walkdir::WalkDir;
use wgraft::core::sample::Image;
use wgraft::data::{Dataset, ReadOptions, Split};

pub fn folder() -> TempDir {
    tempfile::tempdir().expect("a place for files")
}

/// A copy of a folder that tests share, for the calling test alone: each runs in a thread of its own.
pub fn own_copy(shared: &Path) -> &'static Path {
    thread_local!(static COPY: OnceCell<(TempDir, &'static Path)> = const { OnceCell::new() });
    let copy = || {
        let folder = folder();
        for entry in WalkDir::new(shared).min_depth(1).into_iter().map(|entry| entry.expect("it can be read")) {
            let to = folder.path().join(entry.path().strip_prefix(shared).expect("it is in there"));
            match entry.file_type().is_dir() {
                true => fs::create_dir(to).expect("it is made"),
                false => fs::copy(entry.path(), to).map(drop).expect("it is copied"),
            }
        }
        let path = folder.path().to_path_buf().leak();
        (folder, &*path)
    };
    COPY.with(|own| own.get_or_init(copy).1)
}

pub fn put(root: &Path, name: &str, bytes: impl AsRef<[u8]>) {
    let path = root.join(name);
    fs::create_dir_all(path.parent().expect("a folder")).expect("it is made");
    fs::write(path, bytes).expect("it is written");
}

pub fn encoded(picture: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    picture.into().write_to(&mut bytes, format).expect("it is encoded");
    bytes.into_inner()
}

/// An even grey PNG, 4 pixels high and 5 wide.
pub fn even(value: u8) -> Vec<u8> {
    encoded(GrayImage::from_pixel(5, 4, Luma([value])), ImageFormat::Png)
}

/// A grey PNG of this size with these values, as a mask is.
pub fn mask(height: u32, width: u32, values: &[u8]) -> Vec<u8> {
    encoded(GrayImage::from_raw(width, height, values.to_vec()).expect("as many values"), ImageFormat::Png)
}

/// A zip of these members.
pub fn zipped(members: &[(&str, &[u8])], method: zip::CompressionMethod) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, contents) in members {
        zip.start_file(*name, zip::write::SimpleFileOptions::default().compression_method(method)).expect("it is begun");
        zip.write_all(contents).expect("it is packed");
    }
    zip.finish().expect("it is a zip").into_inner()
}

pub fn gzipped(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).and_then(|()| encoder.finish()).expect("it is packed")
}

pub fn labelled() -> ReadOptions {
    ReadOptions { want_labels: true, ..ReadOptions::default() }
}

pub fn target(column: &str) -> ReadOptions {
    ReadOptions { target: Some(column.into()), ..labelled() }
}

pub fn load(root: &Path, options: &ReadOptions) -> Dataset {
    Dataset::load(root, options).unwrap_or_else(|e| panic!("{e:#}"))
}

/// Fails unless reading fails with all of `parts` in what is said.
pub fn refused(root: &Path, options: &ReadOptions, parts: &[&str]) {
    let error = Dataset::load(root, options).map(|data| data.notes).expect_err("it is refused");
    let text = format!("{error:#}");
    parts.iter().for_each(|part| assert!(text.contains(part), "no `{part}` in: {text}"));
}

pub fn noted(data: &Dataset, part: &str) {
    assert!(data.notes.iter().any(|note| note.contains(part)), "no `{part}` in {:?}", data.notes);
}

/// The bytes of all images, one after the other.
pub fn pixels_of(split: &Split) -> Vec<u8> {
    let (pixels, _) = split.samples.as_images().expect("images");
    pixels.iter().flatten().copied().collect()
}

/// The classes of all pixels.
pub fn masks_of(split: &Split) -> Vec<u8> {
    split.truth.masks.as_ref().expect("masks").iter().flatten().copied().collect()
}

/// The size of the images.
pub fn image_of(split: &Split) -> Image {
    split.kind().image().expect("images")
}

#[track_caller]
pub fn test_of(data: &Dataset) -> &Split {
    data.test.as_ref().expect("there are test samples")
}

/// Two classes of five pictures each, whose values tell which they are.
pub fn two_classes(root: &Path) {
    for i in 0..5 {
        put(root, &format!("cats/{i}.png"), even(10 + i));
        put(root, &format!("dogs/deep/{i}.png"), even(20 + i));
    }
}
