//! Pictures and masks of every kind: how they are seen, what cannot be read, and the copies that are kept.

use crate::common;

use std::fs;

use common::files::{
    encoded, even, folder, image_of, labelled, load, mask, masks_of, noted, pixels_of, put, refused, test_of, two_classes,
};
use image::{GrayAlphaImage, GrayImage, ImageFormat, Luma, LumaA, Rgb, RgbImage, Rgba, RgbaImage};
use wgraft::core::sample::Image;
use wgraft::data::{Interpolation, PictureOptions, ReadOptions, Resize};

#[test]
fn masks_give_a_class_per_pixel() {
    let dir = folder();
    for i in 0..10 {
        put(dir.path(), &format!("images/{i}.png"), even(i));
        put(dir.path(), &format!("masks/{i}.png"), mask(4, 5, &[i % 3; 20]));
    }
    let data = load(dir.path(), &labelled());
    assert_eq!((data.classes, data.train.len(), test_of(&data).len()), (3, 8, 2));
    let class = |name: &str| name.as_bytes()["images/".len()] % 3;
    let expected: Vec<[u8; 20]> = test_of(&data).names.iter().map(|name| [class(name); 20]).collect();
    assert_eq!(masks_of(test_of(&data)), expected.concat());
    let resized = load(dir.path(), &ReadOptions { size: Some([8, 8]), ..labelled() });
    let one = resized.train.names.iter().position(|name| class(name) == 1).expect("one of that class");
    let first = &masks_of(&resized.train)[64 * one..64 * one + 64];
    // 4x5 fits 8x8 as 6x8, with a line of class 0 above and below.
    assert_eq!(first, [[0; 8], [1; 8], [1; 8], [1; 8], [1; 8], [1; 8], [1; 8], [0; 8]].concat());
    let only_images = load(dir.path(), &ReadOptions::default());
    assert!(only_images.train.truth.masks.is_none() && only_images.train.len() == 8, "pretraining spares the test images too");

    put(dir.path(), "masks/3.png", mask(5, 4, &[0; 20]));
    refused(dir.path(), &labelled(), &["masks/3.png is 5x4", "images/3.png is 4x5"]);
    put(dir.path(), "masks/3.png", mask(4, 5, &[7; 20]));
    refused(dir.path(), &labelled(), &["values 0, 1, 2, 7", "without a gap", "masks/3.png"]);
    put(dir.path(), "masks/3.png", mask(4, 5, &[0; 20]));
    put(dir.path(), "images/3.jpg", even(1));
    refused(dir.path(), &labelled(), &["images/3.jpg and images/3.png have the same name"]);
    fs::remove_file(dir.path().join("images/3.jpg")).and_then(|()| fs::remove_file(dir.path().join("images/3.png"))).expect("removed");
    refused(dir.path(), &labelled(), &["1 masks", "no picture", "masks/3.png"]);
    fs::remove_file(dir.path().join("masks/3.png")).and_then(|()| fs::remove_file(dir.path().join("masks/4.png"))).expect("removed");
    refused(dir.path(), &labelled(), &["1 pictures", "no mask", "images/4.png"]);
}

#[test]
fn masks_are_read_as_they_are_stored() {
    /// A PNG of 2x3 pixels from packed lines.
    fn stored(colour: png::ColorType, depth: png::BitDepth, lines: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, 3, 2);
        encoder.set_color(colour);
        encoder.set_depth(depth);
        if colour == png::ColorType::Indexed {
            encoder.set_palette(vec![9, 200, 7, 8, 100, 6, 7, 50, 5, 4, 3, 2]);
        }
        encoder.write_header().and_then(|mut writer| writer.write_image_data(lines)).expect("it is written");
        bytes
    }
    use png::{BitDepth, ColorType};
    let expected = [0, 1, 2, 2, 1, 0];
    for lines in [
        stored(ColorType::Indexed, BitDepth::Two, &[0b0001_1000, 0b1001_0000]),
        stored(ColorType::Grayscale, BitDepth::Four, &[0x01, 0x20, 0x21, 0x00]),
        stored(ColorType::Grayscale, BitDepth::Sixteen, &[0, 0, 0, 1, 0, 2, 0, 2, 0, 1, 0, 0]),
        stored(ColorType::Rgb, BitDepth::Eight, &expected.map(|v| [v; 3]).concat()),
        stored(ColorType::Rgba, BitDepth::Eight, &expected.map(|v| [v, v, v, 255]).concat()),
    ] {
        let dir = folder();
        put(dir.path(), "images/a.png", mask(2, 3, &[1; 6]));
        put(dir.path(), "masks/a.png", lines);
        assert_eq!(masks_of(&load(dir.path(), &labelled()).train), expected);
        put(dir.path(), "masks/a.png", stored(ColorType::Grayscale, BitDepth::One, &[0b1010_0000, 0]));
        assert_eq!(masks_of(&load(dir.path(), &labelled()).train), [1, 0, 1, 0, 0, 0]);
        put(dir.path(), "masks/a.png", mask(2, 3, &[255, 0, 0, 255, 0, 0]));
        let data = load(dir.path(), &labelled());
        assert_eq!((masks_of(&data.train), data.classes), (vec![1, 0, 0, 1, 0, 0], 2));
        noted(&data, "255 is class 1");
        put(dir.path(), "masks/a.png", mask(2, 3, &[0; 6]));
        refused(dir.path(), &labelled(), &["the one value 0"]);
        put(dir.path(), "masks/a.png", stored(ColorType::Rgb, BitDepth::Eight, &[9; 17].iter().chain(&[1]).copied().collect::<Vec<_>>()));
        refused(dir.path(), &labelled(), &["masks/a.png is in colour"]);
    }
}

/// A picture as `predict` sees it.
fn load_picture(path: &std::path::Path, image: Image, invert: bool) -> anyhow::Result<Vec<u8>> {
    Ok(wgraft::data::load_picture(path, &PictureOptions { invert, ..PictureOptions::plain(image) })?.0)
}

/// A picture in colour as `resize` makes it.
fn resized(picture: impl Into<image::DynamicImage>, [height, width]: [u32; 2], resize: Resize) -> Vec<u8> {
    let dir = folder();
    put(dir.path(), "a.png", encoded(picture, ImageFormat::Png));
    let options = PictureOptions { resize, ..PictureOptions::plain(Image { height, width, channels: 3 }) };
    wgraft::data::load_picture(&dir.path().join("a.png"), &options).expect("it is read").0
}

const WHOLE: Resize = Resize::crop(1.0, Interpolation::Bilinear);
const MOST: Resize = Resize::crop(0.875, Interpolation::Bicubic);

/// `tests/pillow` has pictures as Pillow scales them to torchvision's sizes, and cuts their middle out.
#[test]
fn the_middle_of_pictures_is_that_of_pillow() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pillow");
    for name in ["wide", "tall", "small"] {
        for (filter, kernel) in [("bilinear", Interpolation::Bilinear), ("bicubic", Interpolation::Bicubic)] {
            for share in [0.875, 1.0] {
                // What is smaller keeps its edges, and is not made sharp.
                let done = if name == "small" { "1-bilinear".into() } else { format!("{share}-{filter}") };
                let expected = image::open(root.join(format!("{name}.crop-{done}.png"))).expect("Pillow's");
                let image = Image { height: 32, width: 32, channels: u32::from(expected.color().channel_count()) };
                let options = PictureOptions { resize: Resize::crop(share, kernel), ..PictureOptions::plain(image) };
                let (found, _) = wgraft::data::load_picture(&root.join(format!("{name}.png")), &options).expect("it is read");
                let far = found.iter().zip(expected.as_bytes()).map(|(a, b)| a.abs_diff(*b)).max();
                assert!(found.len() == expected.as_bytes().len() && far <= Some(1), "{name}, {share}, {filter}: {far:?}");
            }
        }
    }
}

#[test]
fn the_middle_of_pictures_has_no_borders() {
    // Red, green and blue beside each other, or below each other.
    let stripes = |height: u32, width: u32, lying: bool| {
        let third = |x: u32, y: u32| if lying { 3 * x / width } else { 3 * y / height };
        RgbImage::from_fn(width, height, |x, y| Rgb([0, 1, 2].map(|channel| if third(x, y) == channel { 255 } else { 0 })))
    };
    let green = [0, 255, 0].repeat(64);
    for resize in [WHOLE, MOST] {
        assert_eq!(resized(stripes(40, 120, true), [8, 8], Resize::crop(0.5, Interpolation::Bilinear)), green);
        assert_eq!(resized(stripes(120, 40, false), [8, 8], Resize::crop(0.5, Interpolation::Bilinear)), green);
        // Pictures of this size stay as they are; others of one colour do too.
        let exact = stripes(12, 9, true);
        assert_eq!(resized(exact.clone(), [12, 9], resize), exact.into_raw());
        for (height, width) in [(1, 1), (1, 40), (40, 1), (2, 3), (300, 200)] {
            for size in [[8, 8], [1, 1], [5, 9]] {
                let found = resized(RgbImage::from_pixel(width, height, Rgb([9, 200, 77])), size, resize);
                assert_eq!(found, [9, 200, 77].repeat((size[0] * size[1]) as usize), "{height}x{width} to {size:?}");
            }
        }
    }
    assert_eq!(resized(RgbImage::from_pixel(40, 1, Rgb([255; 3])), [8, 8], Resize::Letterbox).iter().filter(|&&v| v == 255).count(), 24);
}

#[test]
fn strips_of_any_length_are_cropped() {
    let strip = RgbImage::from_pixel(60_000, 1, Rgb([8; 3]));
    assert_eq!(resized(strip, [64, 64], MOST), [8; 64 * 64 * 3]);
}

#[test]
fn masks_keep_the_edges_of_pictures() {
    let dir = folder();
    for i in 0..10 {
        put(dir.path(), &format!("images/{i}.png"), even(i));
        put(dir.path(), &format!("masks/{i}.png"), mask(4, 5, &[i % 2; 20]));
    }
    refused(dir.path(), &ReadOptions { resize: MOST, ..labelled() }, &["--resize crop:0.875:bicubic leaves the edges out", "letterbox"]);
    assert_eq!(load(dir.path(), &ReadOptions { resize: MOST, ..ReadOptions::default() }).train.len(), 8, "without masks it may");
}

/// A JPEG, 8 pixels high and 16 wide, white at the left, with an EXIF orientation.
fn oriented(orientation: u8) -> Vec<u8> {
    let plain = encoded(RgbImage::from_fn(16, 8, |x, _| Rgb([if x < 8 { 255 } else { 0 }; 3])), ImageFormat::Jpeg);
    let exif = [b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0".as_slice(), &[orientation, 0, 0, 0, 0, 0, 0, 0]].concat();
    let length = (exif.len() as u16 + 2).to_be_bytes();
    [&plain[..2], &[0xFF, 0xE1], &length, &exif, &plain[2..]].concat()
}

#[test]
fn every_kind_of_picture_is_seen_as_a_viewer_shows_it() {
    let dir = folder();
    let grey = |root: &std::path::Path| load(root, &ReadOptions { grey: Some(true), ..ReadOptions::default() }).train;
    // Lying on its side: white is at the top when it stands.
    put(dir.path(), "a.jpg", oriented(6));
    let split = grey(dir.path());
    assert_eq!(image_of(&split), Image { height: 16, width: 8, channels: 1 });
    let pixels = pixels_of(&split);
    assert!(pixels[..32].iter().all(|&v| v > 240) && pixels[96..].iter().all(|&v| v < 15), "{pixels:?}");
    put(dir.path(), "a.jpg", oriented(1));
    assert_eq!(image_of(&grey(dir.path())), Image { height: 8, width: 16, channels: 1 });
    fs::remove_file(dir.path().join("a.jpg")).expect("it is removed");

    let one = |bytes: Vec<u8>, options: &ReadOptions| {
        put(dir.path(), "a.png", bytes);
        pixels_of(&load(dir.path(), options).train)
    };
    let plain = ReadOptions::default();
    assert_eq!(one(encoded(GrayImage::from_pixel(1, 1, Luma([7])), ImageFormat::Png), &plain), [7], "one pixel");
    let deep = image::ImageBuffer::<Luma<u16>, _>::from_pixel(1, 1, Luma([0x8080]));
    assert_eq!(one(encoded(deep, ImageFormat::Png), &plain), [0x80], "16 bits");
    let alpha = GrayAlphaImage::from_fn(3, 1, |x, _| LumaA([200, [0, 51, 255][x as usize]]));
    assert_eq!(one(encoded(alpha, ImageFormat::Png), &plain), [0, 40, 200], "transparent is zero");
    let alpha = RgbaImage::from_fn(2, 1, |x, _| Rgba([200, 100, 50, [0, 255][x as usize]]));
    assert_eq!(one(encoded(alpha, ImageFormat::Png), &plain), [0, 0, 0, 200, 100, 50], "and so in colour");
    let palette = {
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, 2, 1);
        encoder.set_color(png::ColorType::Indexed);
        encoder.set_palette(vec![1, 2, 3, 40, 50, 60]);
        encoder.write_header().and_then(|mut writer| writer.write_image_data(&[1, 0])).expect("it is written");
        bytes
    };
    assert_eq!(one(palette, &plain), [40, 50, 60, 1, 2, 3], "palette");
    let colour = ReadOptions { grey: Some(false), ..plain.clone() };
    assert_eq!(one(even(9), &colour), [9; 60], "grey as colour");
    assert_eq!(one(even(9), &ReadOptions { size: Some([2, 5]), ..plain }).iter().filter(|&&v| v == 9).count(), 6, "2x3 within 2x5");
}

#[test]
fn most_pictures_decide_on_size_and_colour() {
    let dir = folder();
    put(dir.path(), "a.png", even(9));
    put(dir.path(), "b.png", even(9));
    put(dir.path(), "c.png", encoded(RgbImage::from_pixel(5, 4, Rgb([9, 9, 9])), ImageFormat::Png));
    let data = load(dir.path(), &ReadOptions::default());
    assert_eq!(image_of(&data.train), Image { height: 4, width: 5, channels: 1 });
    noted(&data, "2 of 3 pictures are grey");
    put(dir.path(), "b.png", encoded(RgbImage::from_pixel(300, 4, Rgb([9, 9, 9])), ImageFormat::Png));
    let data = load(dir.path(), &ReadOptions::default());
    assert_eq!(image_of(&data.train), Image { height: 32, width: 32, channels: 3 });
    noted(&data, "of 2 sizes; resized to 32x32");
}

/// The head of a PNG that would be 20,000 x 20,000 pixels large, and the start of its contents.
fn giant() -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = png::Encoder::new(&mut bytes, 20_000, 20_000).write_header().expect("a head");
    writer.write_chunk(png::chunk::IDAT, &[0x78, 0x9C]).expect("a chunk");
    drop(writer);
    bytes
}

#[test]
fn unreadable_pictures_are_left_out_and_named() {
    let dir = folder();
    two_classes(dir.path());
    put(dir.path(), "cats/0.png", "not a picture");
    put(dir.path(), "cats/1.png", &even(1)[..40]);
    put(dir.path(), "cats/2.png", giant());
    let data = load(dir.path(), &labelled());
    assert_eq!(data.train.len() + test_of(&data).len(), 7);
    assert_eq!(data.train.truth.labels.iter().flatten().filter(|&&label| label == 1).count(), 4);
    noted(&data, "3 of 10 pictures cannot be read");
    noted(&data, "cats/0.png is no picture in a format that is read");
    noted(&data, "cats/2.png is 20000 x 20000 pixels large, 381 MiB when decoded; 256 MiB are allowed");
    (3..5).for_each(|i| put(dir.path(), &format!("cats/{i}.png"), ""));
    refused(dir.path(), &labelled(), &["no training picture of class `cats`", "can be read"]);
    put(dir.path(), "dogs/deep/0.png", "");
    refused(dir.path(), &labelled(), &["6 of 10 pictures", "cannot be read", "and 2 more"]);
    let error = load_picture(&dir.path().join("cats/2.png"), image_of(&data.train), false).expect_err("too large");
    assert!(format!("{error:#}").contains("20000 x 20000"), "{error:#}");
}

#[test]
fn training_and_prediction_see_the_same() {
    let dir = folder();
    put(dir.path(), "a.jpg", oriented(8));
    put(dir.path(), "b.png", encoded(RgbImage::from_fn(40, 30, |x, y| Rgb([x as u8 * 6, y as u8 * 8, 77])), ImageFormat::Png));
    for grey in [true, false] {
        let options = ReadOptions { grey: Some(grey), size: Some([12, 9]), ..ReadOptions::default() };
        let split = load(dir.path(), &options).train;
        let seen = |name| load_picture(&dir.path().join(name), image_of(&split), false).expect("it is read");
        assert_eq!(pixels_of(&split), [seen("a.jpg"), seen("b.png")].concat());
    }
    // Transparent is zero on light paper too.
    put(dir.path(), "c.png", encoded(RgbaImage::from_fn(2, 1, |x, _| Rgba([30, 30, 30, [0, 255][x as usize]])), ImageFormat::Png));
    let image = Image { height: 1, width: 2, channels: 1 };
    assert_eq!(load_picture(&dir.path().join("c.png"), image, true).expect("it is read"), [0, 225]);
}

#[test]
fn decoded_copies_are_kept_until_a_file_changes() {
    let (dir, cache) = (folder(), folder());
    two_classes(dir.path());
    put(dir.path(), "cats/broken.png", "");
    let options = ReadOptions { cache: Some(cache.path().into()), ..labelled() };
    let first = load(dir.path(), &options);
    let kept = || fs::read_dir(cache.path().join("decoded")).expect("it is there").map(|e| e.expect("a file").path()).collect::<Vec<_>>();
    assert_eq!(kept().len(), 1);
    let written = || kept().iter().map(|path| fs::metadata(path).and_then(|m| m.modified()).expect("a time")).collect::<Vec<_>>();
    let before = written();
    assert_eq!((load(dir.path(), &options).train, written()), (first.train.clone(), before), "nothing changed: nothing is written");
    // Other contents, but as long and as old.
    let file = dir.path().join("cats/0.png");
    let (time, length) = (fs::metadata(&file).and_then(|m| m.modified()).expect("a time"), even(10).len());
    let other = (100..255).map(even).find(|bytes| bytes.len() == length).expect("another PNG of that length");
    put(dir.path(), "cats/0.png", &other);
    fs::File::options().write(true).open(&file).and_then(|f| f.set_modified(time)).expect("it is set back");
    let changed = load(dir.path(), &options).train;
    assert_ne!(changed, first.train);
    assert_eq!(changed, load(dir.path(), &labelled()).train);
    // Pictures that are cropped are no copies of those with borders.
    let wide = ReadOptions { size: Some([2, 8]), ..options.clone() };
    let cropped = ReadOptions { resize: WHOLE, ..wide.clone() };
    for options in [&wide, &cropped, &wide, &cropped] {
        let fresh = ReadOptions { cache: None, ..options.clone() };
        assert_eq!(load(dir.path(), options).train, load(dir.path(), &fresh).train);
    }
    assert_ne!(load(dir.path(), &wide).train, load(dir.path(), &cropped).train);
    kept().into_iter().for_each(|path| fs::remove_file(path).expect("it is removed"));
    load(dir.path(), &options);
    // Another size is other data.
    let small = ReadOptions { size: Some([2, 2]), ..options.clone() };
    assert_eq!(load(dir.path(), &small).train.kind().image().map(|image| image.height), Some(2));
    assert_eq!(kept().len(), 2);
    // A damaged store is no obstacle, and is written anew.
    let damaged = |change: &dyn Fn(&mut Vec<u8>)| {
        for path in kept() {
            let mut bytes = fs::read(&path).expect("it is read");
            change(&mut bytes);
            fs::write(&path, bytes).expect("it is written");
        }
        load(dir.path(), &options).train
    };
    assert_eq!(damaged(&|bytes| *bytes.last_mut().expect("a byte") ^= 1), changed, "read from the files");
    let fresh = damaged(&|bytes| bytes.truncate(20));
    put(dir.path(), "cats/0.png", encoded(GrayImage::from_pixel(5, 4, Luma([99])), ImageFormat::Jpeg));
    let changed = load(dir.path(), &options).train;
    assert_ne!(changed, fresh, "a file has changed");
    assert_eq!(changed, load(dir.path(), &labelled()).train);
}

#[test]
fn masks_that_mean_different_things_are_refused() {
    let paletted = |colours: [u8; 6]| {
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, 4, 1);
        encoder.set_color(png::ColorType::Indexed);
        encoder.set_palette(colours.to_vec());
        encoder.write_header().and_then(|mut writer| writer.write_image_data(&[0, 1, 1, 0])).expect("it is encoded");
        bytes
    };
    let segment = ReadOptions { truth: Some(wgraft::data::TruthKind::Masks), ..labelled() };
    let with = |masks: [Vec<u8>; 2]| {
        let dir = folder();
        for (i, mask) in masks.iter().cycle().take(6).enumerate() {
            put(dir.path(), &format!("images/{i}.png"), mask_of(&[1, 2, 3, 4]));
            put(dir.path(), &format!("masks/{i}.png"), mask);
        }
        dir
    };
    let (red, swapped) = (paletted([0, 0, 0, 255, 0, 0]), paletted([255, 0, 0, 0, 0, 0]));
    refused(with([red.clone(), swapped]).path(), &segment, &["the palettes of masks differ: value 0", "1.png than in"]);
    assert_eq!(load(with([red.clone(), red]).path(), &segment).mask_palette, [0, 0, 0, 255, 0, 0]);
    refused(
        with([mask_of(&[0, 1, 1, 0]), mask_of(&[0, 255, 255, 0])]).path(),
        &segment,
        &["some masks have the values 0 and 1", "others 0 and 255"],
    );
    // Of a run with 0 and 1.
    let dir = with([mask_of(&[0, 255, 255, 0]), mask_of(&[255, 255, 0, 0])]);
    let known = ReadOptions { known_values: vec![0, 1], ..segment };
    let data = load(dir.path(), &known);
    assert!(masks_of(&data.train).iter().all(|&class| class < 2));
    noted(&data, "255 is the run's class 1");
}

fn mask_of(values: &[u8]) -> Vec<u8> {
    common::files::mask(1, 4, values)
}
