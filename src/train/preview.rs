//! What an encoder will see: the recorded augmentation, run on a few training images and drawn beside them.

use std::sync::Arc;

use anyhow::Result;
use image::RgbImage;

use super::methods;
use super::recording::Recording;
use crate::core::buffer::unpad_rows;
use crate::core::random;
use crate::core::tape::Tape;
use crate::data::Split;
use crate::exec::{Device, repeat};
use crate::host::views::Ranges;
use crate::kernels::shuffle::Order;
use crate::models::ModelSettings;
use crate::ops::{Clock, augmented_views, batch_indices, start_step};
use crate::report::{ContactSheet, Tile, Tone};

/// Images shown, and augmented versions of each.
const IMAGES: u32 = 8;
const VERSIONS: u32 = 7;
const PREVIEW_STREAM: u32 = 4;

/// A sheet with a line for each of some images, drawn by `seed`: as it is, then augmented versions.
pub fn augmentation_sheet(device: &Device, images: &Split, ranges: Ranges, model: &ModelSettings, seed: u64) -> Result<RgbImage> {
    let shown = images.select(&random::sample_without_replacement(random::key(seed, PREVIEW_STREAM), images.len(), IMAGES));
    let (samples, (pixels, image)) = (shown.len(), shown.samples.as_images()?);
    let mut r = Recording::new(seed, device.binding_limit());
    let data = r.data("preview", &shown);
    let clock = Clock::of_pass(&mut r.arena, "", 1);
    let mut tape = Tape::new(&mut r.arena, "preview", &[]);
    let t = &mut tape;
    start_step(t, clock);
    let order = Order::as_they_lie(samples, samples, 1);
    let batch = batch_indices(t, data, clock.clock, order, samples);
    let augmentation = methods::augmentation(ranges, seed);
    let views = augmented_views(t, batch, clock.clock, VERSIONS, augmentation, model.kind.form()).buf();
    let programs = Arc::new(vec![tape.finish()?]);
    let mut exec = r.load(device, programs.clone())?;
    exec.run(&repeat(&programs, 0, 1))?;
    // Beyond black and white there is more for an encoder than for eyes.
    let byte = |word: u32| (255.0 * f32::from_bits(word).clamp(0.0, 1.0)).round() as u8;
    let seen: Vec<u8> = unpad_rows(views.shape, &exec.read(views)?).into_iter().map(byte).collect();
    // Images as they are, then all first versions, all second ones and so on.
    let all: Vec<&[u8]> = pixels.iter().chain(seen.chunks(image.len() as usize)).collect();
    let line = |image: u32| (0..=VERSIONS).map(move |version| (version * samples + image) as usize);
    let tile = |index: usize| Tile { pixels: all[index].into(), caption: String::new(), tone: Tone::Plain };
    let tiles = (0..samples).flat_map(line).map(tile).collect();
    let title = "Training images, and what the encoder sees of them".into();
    ContactSheet { title, image, columns: Some(1 + VERSIONS), tiles }.draw()
}
