//! What augmentation does to images, on every path that computes it: each decision alone, where the outcome is known.

use crate::common;

use std::sync::Arc;

use wgraft::core::buffer::{Buf, unpad_rows};
use wgraft::core::random::threefry;
use wgraft::core::sample::Image;
use wgraft::core::tape::Tape;
use wgraft::data::Split;
use wgraft::exec::{Cpu, Executor, Gpu, repeat};
use wgraft::host::views::Ranges;
use wgraft::kernels::shuffle::Order;
use wgraft::ops::{Augmentation, Clock, Form, augmented_views, batch_indices, start_step};
use wgraft::train::{Recording, augment_preset};

const SAMPLES: u32 = 3;
const VERSIONS: u32 = 16;

/// Random images of one size, without black.
fn images(image: Image) -> Split {
    let byte = |i: u32| (1 + threefry([8, 9], [i, 0])[0] % 255) as u8;
    Split::unlabelled((0..SAMPLES * image.len()).map(byte).collect(), image)
}

/// Versions of all images, from each path; (image, values 0 to 1, view).
fn views(split: &Split, ranges: Ranges, form: Form) -> Vec<Vec<(Vec<f32>, Vec<f32>)>> {
    let mut r = Recording::new(1, 1 << 27);
    let data = r.data("samples", split);
    let clock = Clock::of_pass(&mut r.arena, "", 1);
    let mut tape = Tape::new(&mut r.arena, "views", &[]);
    let t = &mut tape;
    start_step(t, clock);
    let order = Order::as_they_lie(SAMPLES, SAMPLES, 1);
    let batch = batch_indices(t, data, clock.clock, order, SAMPLES);
    let x: Buf = augmented_views(t, batch, clock.clock, VERSIONS, Augmentation { ranges, key: [3, 1] }, form).buf();
    let programs = Arc::new(vec![tape.finish().expect("a sound program")]);
    let mut paths: Vec<Box<dyn Executor>> =
        vec![Box::new(Cpu::reference(r.memory(), programs.clone())), Box::new(Cpu::new(r.memory(), programs.clone()))];
    if let Some(device) = common::gpu() {
        let gpu = Gpu::load(device, &r.arena, &r.memory(), programs.clone(), &Default::default()).expect("it loads");
        paths.push(Box::new(gpu));
    }
    let size = split.kind().len() as usize;
    let originals: Vec<Vec<f32>> = (0..split.len()).map(|image| split.samples.numbers(image)).collect();
    let run = |mut exec: Box<dyn Executor>| {
        exec.run(&repeat(&programs, 0, 1)).expect("it runs");
        let words = unpad_rows(x.shape, &exec.read(x).expect("it reads"));
        let values: Vec<f32> = words.into_iter().map(f32::from_bits).collect();
        originals.iter().cloned().cycle().zip(values.chunks(size).map(<[f32]>::to_vec)).collect()
    };
    paths.into_iter().map(run).collect()
}

fn close(a: &[f32], b: &[f32]) -> bool {
    a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-5)
}

/// Calls `f` with all images and views of all paths and forms.
fn each(image: Image, ranges: Ranges, f: impl Fn(&[(Vec<f32>, Vec<f32>)])) {
    for pixels in [Form::Rows, Form::Maps] {
        views(&images(image), ranges, pixels).iter().for_each(|views| f(views));
    }
}

const GREY: Image = Image { height: 9, width: 14, channels: 1 };
const COLOUR: Image = Image { height: 7, width: 10, channels: 3 };

fn mirrored(values: &[f32], Image { width, channels, .. }: Image) -> Vec<f32> {
    let line = |line: &[f32]| line.chunks(channels as usize).rev().collect::<Vec<_>>().concat();
    values.chunks((width * channels) as usize).flat_map(line).collect()
}

#[test]
fn nothing_is_changed_by_nothing() {
    [GREY, COLOUR]
        .iter()
        .for_each(|&image| each(image, Ranges::NONE, |views| assert!(views.iter().all(|(image, view)| close(image, view)))));
}

#[test]
fn flips_mirror_as_often_as_they_are_to() {
    for image in [GREY, COLOUR] {
        each(image, Ranges { flip: 1.0, ..Ranges::NONE }, |views| {
            assert!(views.iter().all(|(original, view)| close(&mirrored(original, image), view)));
        });
        each(image, Ranges { flip: 0.5, ..Ranges::NONE }, |views| {
            let flipped = views.iter().filter(|(original, view)| close(&mirrored(original, image), view)).count();
            let kept = views.iter().filter(|(original, view)| close(original, view)).count();
            assert_eq!(flipped + kept, 48);
            // Further from the middle with a probability of 1 in 500.
            assert!(flipped.abs_diff(24) <= 11, "{flipped} of 48 are flipped");
        });
    }
}

#[test]
fn crops_stay_inside_and_magnify() {
    each(GREY, Ranges { crop: 0.8, crop_aspect: 0.3, ..Ranges::NONE }, |views| {
        // No image has black pixels, and nothing from beyond the edge is seen.
        assert!(views.iter().flat_map(|(_, view)| view).all(|&value| value > 0.999 / 255.0));
        let roughness = |values: &[f32]| values.windows(2).map(|pair| (pair[0] - pair[1]).abs()).sum::<f32>();
        let [before, after] = [0, 1].map(|which| views.iter().map(|v| roughness(if which == 0 { &v.0 } else { &v.1 })).sum::<f32>());
        assert!(after < 0.8 * before, "magnified noise is smoother: {before} before, {after} after");
    });
}

#[test]
fn elastic_distortion_moves_pixels_but_not_far() {
    let far = |elastic| {
        let found = std::cell::RefCell::new(Vec::new());
        each(GREY, Ranges { elastic, ..Ranges::NONE }, |views| {
            let moved = |(image, view): &(Vec<f32>, Vec<f32>)| image.iter().zip(view).map(|(a, b)| (a - b).abs()).sum::<f32>();
            found.borrow_mut().push(views.iter().map(moved).sum::<f32>() / (views.len() as f32 * GREY.len() as f32));
        });
        found.into_inner()
    };
    let (slight, strong) = (far(0.005), far(0.12));
    // Random pixels differ by a third from one another.
    assert!(slight.iter().all(|moved| (0.001..0.05).contains(moved)), "{slight:?}");
    assert!(strong.iter().all(|moved| (0.1..0.4).contains(moved)), "{strong:?}");
}

#[test]
fn thickness_goes_both_ways_and_no_further_than_the_neighbours() {
    for image in [GREY, COLOUR] {
        each(image, Ranges { thickness: 0.7, ..Ranges::NONE }, |views| {
            let up = |(image, view): &&(Vec<f32>, Vec<f32>)| image.iter().zip(view).all(|(a, b)| *b >= a - 1e-5);
            let down = |(image, view): &&(Vec<f32>, Vec<f32>)| image.iter().zip(view).all(|(a, b)| *b <= a + 1e-5);
            let (thicker, thinner) = (views.iter().filter(up).count(), views.iter().filter(down).count());
            assert_eq!(thicker + thinner, 48);
            assert!(thicker.min(thinner) >= 10, "{thicker} of 48 are thicker");
            assert!(views.iter().flat_map(|(_, view)| view).all(|value| (0.0..=1.00001).contains(value)));
        });
    }
}

#[test]
fn blur_keeps_the_brightness_and_takes_detail() {
    for image in [GREY, COLOUR] {
        each(image, Ranges { blur: 1.0, ..Ranges::NONE }, |views| {
            let channels = image.channels as usize;
            for (image, view) in views {
                let mean = |values: &[f32]| values.iter().sum::<f32>() / values.len() as f32;
                let variance = |values: &[f32]| values.iter().map(|v| (v - mean(values)).powi(2)).sum::<f32>();
                assert!((mean(image) - mean(view)).abs() < 0.05);
                // Nine weights whose squares sum to 9/64, rather more at edges, and channels apart.
                for channel in 0..channels {
                    let of = |values: &[f32]| variance(&values.iter().skip(channel).step_by(channels).copied().collect::<Vec<_>>());
                    assert!(of(view) < 0.5 * of(image), "{} of {}", of(view), of(image));
                }
            }
        });
    }
}

#[test]
fn colours_turn_fade_and_vanish() {
    each(COLOUR, Ranges { grey: 1.0, ..Ranges::NONE }, |views| {
        for (image, view) in views {
            for (image, view) in image.chunks(3).zip(view.chunks(3)) {
                let luma = 0.299 * image[0] + 0.587 * image[1] + 0.114 * image[2];
                assert!(close(view, &[luma; 3]), "{image:?} became {view:?}");
            }
        }
    });
    each(COLOUR, Ranges { hue: 120.0, ..Ranges::NONE }, |views| {
        for (image, view) in views {
            assert!(!close(image, view));
            // A turn about the grey axis keeps sums, and sums of squares.
            for (image, view) in image.chunks(3).zip(view.chunks(3)) {
                let sums = |pixel: &[f32]| [1, 2].map(|power| pixel.iter().map(|v| v.powi(power)).sum::<f32>());
                assert!(close(&sums(image), &sums(view)), "{image:?} became {view:?}");
            }
        }
    });
    each(COLOUR, Ranges { saturation: 0.5, ..Ranges::NONE }, |views| {
        let luma = |pixel: &[f32]| 0.299 * pixel[0] + 0.587 * pixel[1] + 0.114 * pixel[2];
        let factors: Vec<f32> = views
            .iter()
            .map(|(image, view)| {
                let factor = (view[0] - luma(&view[..3])) / (image[0] - luma(&image[..3]));
                let expected = |pixel: &[f32]| [0, 1, 2].map(|c| luma(pixel) + factor * (pixel[c] - luma(pixel)));
                // The factor's own rounding error may be a few times larger than that of one value.
                let wrong =
                    image.chunks(3).zip(view.chunks(3)).find(|(image, view)| (0..3).any(|c| (expected(image)[c] - view[c]).abs() > 1e-4));
                assert_eq!(wrong, None, "factor {factor}");
                factor
            })
            .collect();
        assert!(factors.iter().all(|factor| (0.499..1.501).contains(factor)), "{factors:?}");
        assert!(factors.iter().any(|&factor| factor < 0.8) && factors.iter().any(|&factor| factor > 1.2), "{factors:?}");
    });
    // Grey stays grey whatever is done to colours, and one channel has none.
    let jitter = Ranges { hue: 90.0, saturation: 1.0, grey: 0.5, ..Ranges::NONE };
    let grey = Split::unlabelled(common::files::pixels_of(&images(COLOUR)).iter().step_by(3).flat_map(|&byte| [byte; 3]).collect(), COLOUR);
    for views in views(&grey, jitter, Form::Maps) {
        assert!(views.iter().all(|(image, view)| close(image, view)));
    }
    each(GREY, jitter, |views| assert!(views.iter().all(|(image, view)| close(image, view))));
}

#[test]
fn presets_are_sound_and_paths_agree_on_them() {
    for name in ["light", "medium", "strong", "strokes-medium", "strokes", "objects-light", "objects", "photos-medium", "photos-strong"] {
        let ranges = augment_preset(name).expect("a preset");
        assert_eq!(ranges.problem(), None, "{name}");
        for image in [GREY, COLOUR] {
            for pixels in [Form::Rows, Form::Maps] {
                let paths = views(&images(image), ranges, pixels);
                for (path, views) in paths.iter().enumerate().skip(1) {
                    let differ =
                        views.iter().zip(&paths[0]).position(|((_, a), (_, b))| !a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-4));
                    assert_eq!(differ, None, "{name}: path {path} and the twins");
                }
                assert!(paths[0].iter().all(|(image, view)| !close(image, view)), "{name} changes every view");
            }
        }
    }
    assert!(augment_preset("loud").is_err_and(|text| text.contains("photos-strong")));
    assert!(Ranges { flip: 1.5, ..Ranges::NONE }.problem().is_some_and(|text| text.contains("flip is 1.5")));
}

#[test]
fn curves_are_added_to_whole_lines_and_differ_from_view_to_view() {
    let image = Image { height: 16, width: 5, channels: 1 };
    each(image, Ranges { curve: 0.2, ..Ranges::NONE }, |views| {
        let added = |(original, view): &(Vec<f32>, Vec<f32>)| original.iter().zip(view).map(|(a, b)| b - a).collect::<Vec<f32>>();
        let lines: Vec<Vec<f32>> = views.iter().map(|pair| added(pair).chunks(5).map(|line| line[0]).collect()).collect();
        for (pair, lines) in views.iter().zip(&lines) {
            assert!(added(pair).chunks(5).zip(lines).all(|(line, first)| line.iter().all(|value| (value - first).abs() < 1e-5)));
            assert!(lines.windows(2).all(|pair| (pair[0] - pair[1]).abs() < 0.35), "smooth: {lines:?}");
        }
        let all: Vec<f32> = lines.iter().flat_map(|lines| [lines[0], lines[5], lines[10], lines[15]]).collect();
        let spread = (all.iter().map(|value| value * value).sum::<f32>() / all.len() as f32).sqrt();
        assert!((0.15..0.25).contains(&spread), "knots have the standard deviation that was asked for: {spread}");
    });
}

#[test]
fn stripes_leave_out_moments_and_pitches_next_to_each_other() {
    let image = Image { height: 20, width: 40, channels: 1 };
    each(image, Ranges { stripes: 0.25, ..Ranges::NONE }, |views| {
        let mut sides = [Vec::new(), Vec::new()];
        for (original, view) in views {
            let black = |line: usize, column: usize| view[line * 40 + column] == 0.0;
            let columns: Vec<usize> = (0..40).filter(|&column| (0..20).all(|line| black(line, column))).collect();
            let lines: Vec<usize> = (0..20).filter(|&line| (0..40).all(|column| black(line, column))).collect();
            for (stripe, sides) in [columns.clone(), lines.clone()].iter().zip(&mut sides) {
                assert!(stripe.windows(2).all(|pair| pair[1] == pair[0] + 1), "one stripe: {stripe:?}");
                sides.push(stripe.len());
            }
            let kept = (0..800).filter(|i| !lines.contains(&(i / 40)) && !columns.contains(&(i % 40)));
            assert!(kept.clone().all(|i| (original[i] - view[i]).abs() < 1e-5));
        }
        for (sides, most) in sides.iter().zip([10, 5]) {
            assert!((0..=most).all(|side| most > 5 || sides.contains(&side)) && sides.iter().all(|side| *side <= most), "{sides:?}");
            assert!(sides.contains(&most) || most > 5, "{sides:?}");
        }
    });
}

#[test]
fn sounds_move_further_in_time_than_in_pitch() {
    let image = Image { height: 40, width: 40, channels: 1 };
    let far = |ranges| {
        let found = std::cell::RefCell::new([0.0_f32; 2]);
        each(image, ranges, |views| {
            for (_, view) in views {
                // Beyond the edge there is nothing: what is black tells how far a view was moved.
                let black = |at: &dyn Fn(usize) -> usize| (0..40).filter(|&i| view[at(i)] == 0.0).count() as f32;
                let [across, down] = [black(&|i| 20 * 40 + i), black(&|i| i * 40 + 20)];
                let mut most = found.borrow_mut();
                (most[0], most[1]) = (most[0].max(across), most[1].max(down));
            }
        });
        found.into_inner()
    };
    assert_eq!(far(Ranges { sway: 0.5, ..Ranges::NONE })[1], 0.0);
    let [across, down] = far(Ranges { sway: 0.25, shift: 0.25, ..Ranges::NONE });
    assert!((8.0..=10.0).contains(&across) && (3.0..=5.0).contains(&down), "{across}, {down}");
}
