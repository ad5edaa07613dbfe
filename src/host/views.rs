//! Augmented views: how far they may differ from their images, what is drawn for each, and how they lie in memory.

use std::ops::{Add, Div, Mul, Sub};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::core::buffer::{Buf, shape};
use crate::core::memory::HostMem;
use crate::core::random::{bell, threefry};
use crate::core::sample::Image;

/// How far views may differ from their image. Zero everywhere is no augmentation; what a file leaves out is zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Ranges {
    /// Largest angle, degrees.
    pub rotation: f32,
    /// Largest logarithm of the scale, and of the ratio of horizontal to vertical scale.
    pub scale: f32,
    pub aspect: f32,
    pub shear: f32,
    /// Share of half the image's side.
    pub shift: f32,
    /// The same to the left and to the right, beyond that.
    pub sway: f32,
    /// Largest share of the area that cropping cuts away; what is left fills the view, and beyond the edge there is more of the
    /// edge, where there is black otherwise.
    pub crop: f32,
    /// Largest logarithm of a crop's ratio of width to height.
    pub crop_aspect: f32,
    /// Standard deviation of the displacements of a 4x4 grid over the image, a share of half its side.
    pub elastic: f32,
    /// Probability of mirroring left and right.
    pub flip: f32,
    /// Strokes go up to this share of the way to the largest or the smallest of the 3x3 pixels around.
    pub thickness: f32,
    /// Probability of a 3x3 binomial blur.
    pub blur: f32,
    /// Values are multiplied by up to 1 +- `contrast`; up to +- `brightness` is added.
    pub contrast: f32,
    pub brightness: f32,
    /// Of colour images: colours are multiplied by up to 1 +- `saturation`, turned by up to `hue` degrees, and with
    /// probability `grey` taken away.
    pub saturation: f32,
    pub hue: f32,
    pub grey: f32,
    /// Standard deviation of pixel noise.
    pub noise: f32,
    /// Side of the erased square, pixels.
    pub erase: u32,
    /// Of sounds: standard deviation of the knots of a curve over pitches, which is added.
    pub curve: f32,
    /// Of sounds: up to this share of the moments next to each other is silent, and as many of the pitches.
    pub stripes: f32,
    /// Of texts: probability of leaving out each word.
    pub words: f32,
    /// Of texts with more words, so many next to each other are a view; 0 is all.
    pub span: u32,
}

impl Ranges {
    pub const NONE: Ranges = Ranges {
        rotation: 0.0,
        scale: 0.0,
        aspect: 0.0,
        shear: 0.0,
        shift: 0.0,
        sway: 0.0,
        crop: 0.0,
        crop_aspect: 0.0,
        elastic: 0.0,
        flip: 0.0,
        thickness: 0.0,
        blur: 0.0,
        contrast: 0.0,
        brightness: 0.0,
        saturation: 0.0,
        hue: 0.0,
        grey: 0.0,
        noise: 0.0,
        erase: 0,
        curve: 0.0,
        stripes: 0.0,
        words: 0.0,
        span: 0,
    };

    pub fn is_none(&self) -> bool {
        *self == Ranges::NONE
    }

    /// Whether it says how texts are varied, and how anything else is.
    pub fn of_texts(&self) -> [bool; 2] {
        [self.words > 0.0 || self.span > 0, Ranges { words: 0.0, span: 0, ..*self } != Ranges::NONE]
    }

    /// How many pixels beyond the edge there is something: zeros, but with crops, which are of photographs, more of the edge.
    pub fn beyond(&self) -> f32 {
        if self.crop > 0.0 { 0.0 } else { 1.0 }
    }

    /// Whether colours change, not only all values alike.
    pub fn colours(&self, image: Image) -> bool {
        image.channels == 3 && (self.saturation > 0.0 || self.hue > 0.0 || self.grey > 0.0)
    }

    /// Whether pixels depend on their neighbours in the view.
    pub fn local(&self) -> bool {
        self.thickness > 0.0 || self.blur > 0.0
    }

    /// Whether there is what is for sounds, over pitches and moments.
    pub fn bands(&self) -> bool {
        self.curve > 0.0 || self.stripes > 0.0
    }

    /// Without what comes last, noise and the erased square: for a pass that another one follows.
    pub fn unfinished(self) -> Ranges {
        Ranges { noise: 0.0, erase: 0, ..self }
    }

    /// Half as far; mirrors stay, as an image and its mirror are equally good.
    pub fn halved(self) -> Ranges {
        Ranges {
            rotation: self.rotation / 2.0,
            scale: self.scale / 2.0,
            aspect: self.aspect / 2.0,
            shear: self.shear / 2.0,
            shift: self.shift / 2.0,
            sway: self.sway / 2.0,
            crop: self.crop / 2.0,
            crop_aspect: self.crop_aspect / 2.0,
            elastic: self.elastic / 2.0,
            flip: self.flip,
            thickness: self.thickness / 2.0,
            blur: self.blur / 2.0,
            contrast: self.contrast / 2.0,
            brightness: self.brightness / 2.0,
            saturation: self.saturation / 2.0,
            hue: self.hue / 2.0,
            grey: self.grey / 2.0,
            noise: self.noise / 2.0,
            erase: self.erase / 2,
            curve: self.curve / 2.0,
            stripes: self.stripes / 2.0,
            words: self.words / 2.0,
            span: 0,
        }
    }

    /// The first number that makes no sense.
    pub fn problem(&self) -> Option<String> {
        let numbers = [
            ("rotation", self.rotation, 170.0),
            ("scale", self.scale, 3.0),
            ("aspect", self.aspect, 3.0),
            ("shear", self.shear, 3.0),
            ("shift", self.shift, 2.0),
            ("sway", self.sway, 2.0),
            ("crop", self.crop, 0.99),
            ("crop_aspect", self.crop_aspect, 3.0),
            ("elastic", self.elastic, 1.0),
            ("flip", self.flip, 1.0),
            ("thickness", self.thickness, 1.0),
            ("blur", self.blur, 1.0),
            ("contrast", self.contrast, 1.0),
            ("brightness", self.brightness, 1.0),
            ("saturation", self.saturation, 1.0),
            ("hue", self.hue, 170.0),
            ("grey", self.grey, 1.0),
            ("noise", self.noise, 1.0),
            ("curve", self.curve, 1.0),
            ("stripes", self.stripes, 1.0),
            ("words", self.words, 0.95),
        ];
        let wrong = numbers.iter().find(|(_, value, most)| !(0.0..=*most).contains(value));
        let square = (self.erase > 4096).then(|| "[augment] erase must be at most 4096 pixels".to_string());
        wrong.map(|(name, value, most)| format!("[augment] {name} is {value}; it must be at least 0 and at most {most}")).or(square)
    }
}

/// Where things lie in a row of draws.
pub struct DrawColumn;

impl DrawColumn {
    pub const BRIGHTNESS: usize = 3;
    pub const CONTRAST: usize = 7;
    /// Three rows of a matrix, each in a quad.
    pub const COLOURS: usize = 8;
    pub const THICKNESS: usize = 11;
    pub const BLUR: usize = 15;
    pub const DISPLACEMENTS: usize = 20;
    pub const COUNT: u32 = 52;
}

/// What positions are computed in: f64 by references, f32 where it is to be fast.
pub trait Real:
    Copy + From<f32> + From<u16> + Into<f64> + Add<Output = Self> + Sub<Output = Self> + Mul<Output = Self> + Div<Output = Self>
{
}
impl Real for f32 {}
impl Real for f64 {}

/// Where in a sample of `sides` (width, height) a pixel of its view comes from, by a row of draws: through their map and, if
/// `elastic`, by their displacements. Columns, then lines, counted from the first pixel.
pub fn place<T: Real>(draws: &[f32], sides: [u32; 2], pixel: [u32; 2], elastic: bool) -> [T; 2] {
    let number = |value: u32| T::from(value as u16);
    let draw = |column: usize| T::from(draws[column]);
    let middle = sides.map(|side| T::from(0.5_f32) * (number(side) - number(1)));
    let away = [0, 1].map(|axis| number(pixel[axis]) - middle[axis]);
    let mapped = [0, 1].map(|axis| draw(4 * axis) * away[0] + draw(4 * axis + 1) * away[1] + draw(4 * axis + 2) + middle[axis]);
    if !elastic {
        return mapped;
    }
    let last = sides.map(|side| side.max(2) - 1);
    let cell = [0, 1].map(|axis| (3 * pixel[axis] / last[axis]).min(2));
    let f = [0, 1].map(|axis| number(3 * pixel[axis] - cell[axis] * last[axis]) / number(last[axis]));
    let rest = f.map(|share| number(1) - share);
    [0, 1].map(|axis| {
        let node = |dx, dy| draw(DrawColumn::DISPLACEMENTS + (2 * (4 * (cell[1] + dy) + cell[0] + dx)) as usize + axis);
        let line = |dy| node(0, dy) * rest[0] + node(1, dy) * f[0];
        mapped[axis] + (line(0) * rest[1] + line(1) * f[1])
    })
}

/// Views in a buffer: an image in each row, or a pixel in each of several rows.
#[derive(Clone, Copy, Debug)]
pub struct Views {
    pub buf: Buf,
    pub count: u32,
    pub image: Image,
}

impl Views {
    /// Says what is wrong if the buffer has neither form.
    pub fn check(&self) -> Result<(), String> {
        let Image { height, width, channels } = self.image;
        match [shape(self.count, self.image.len()), shape(self.count * height * width, channels)].contains(&self.buf.shape) {
            true => Ok(()),
            false => Err(format!("{} views of {} do not fit {}x{}", self.count, self.image, self.buf.rows(), self.buf.cols())),
        }
    }

    pub fn rows_per_view(&self) -> u32 {
        self.buf.rows() / self.count
    }

    /// Words from one view to the next, and from one pixel to the next.
    pub fn strides(&self) -> [u32; 2] {
        let stride = self.buf.shape.stride();
        let pixels_apart = self.buf.cols() == self.image.channels && self.rows_per_view() == self.image.height * self.image.width;
        [self.rows_per_view() * stride, if pixels_apart { stride } else { self.image.channels }]
    }

    /// Calls `f(view, element, value)` for all values, an element being a channel of a pixel.
    pub fn for_each(&self, m: &HostMem, f: impl Fn(usize, u32) -> f64 + Send + Sync) {
        let (per_view, cols) = (self.rows_per_view() as usize, self.buf.cols() as usize);
        m.f32_mut(self.buf).for_each_row(|r, row| {
            for (e, value) in row.iter_mut().enumerate() {
                *value = f(r / per_view, (r % per_view * cols + e) as u32) as f32;
            }
        });
    }

    /// Calls `f(scratch, view, words)` for all views, in parallel.
    pub fn for_each_view<S>(
        &self,
        m: &HostMem,
        scratch: impl Fn() -> S + Send + Sync,
        f: impl Fn(&mut S, usize, &mut [f32]) + Send + Sync,
    ) {
        const WORDS: usize = 1 << 14;
        let words = self.strides()[0] as usize;
        let mut views = m.f32_mut(self.buf);
        let views = views.padded_mut().par_chunks_mut(words).with_min_len(WORDS.div_ceil(words));
        views.enumerate().for_each_init(scratch, |scratch, (view, words)| f(scratch, view, words));
    }
}

/// The end of augmentation: noise, and a square of zeros.
#[derive(Clone, Copy, Debug)]
pub struct Finish {
    pub image: Image,
    pub noise: f32,
    pub erase: u32,
}

impl Finish {
    pub fn of(image: Image, ranges: Ranges) -> Self {
        Finish { image, noise: ranges.noise, erase: ranges.erase }
    }

    /// The reference, for one value.
    pub fn value(&self, value: f64, keys: &[u32], element: u32) -> f64 {
        let pixel = element / self.image.channels;
        let erased = |at: u32, start: u32| (at + self.erase).wrapping_sub(start) < self.erase;
        if erased(pixel % self.image.width, keys[2]) && erased(pixel / self.image.width, keys[3]) {
            return 0.0;
        }
        if self.noise > 0.0 { value + f64::from(self.noise) * bell(threefry([keys[0], keys[1]], [element, 0])) } else { value }
    }

    /// The same for all values of a view.
    pub fn view(&self, words: &mut [f32], pixel_stride: usize, keys: &[u32]) {
        let Image { height, width, channels } = self.image;
        let (width, height, channels) = (width as usize, height as usize, channels as usize);
        if self.noise > 0.0 {
            for (pixel, values) in words.chunks_mut(pixel_stride).take(width * height).enumerate() {
                for (channel, value) in values[..channels].iter_mut().enumerate() {
                    *value += self.noise * bell(threefry([keys[0], keys[1]], [(pixel * channels + channel) as u32, 0])) as f32;
                }
            }
        }
        let span = |start: u32, side: usize| (start.saturating_sub(self.erase) as usize).min(side)..(start as usize).min(side);
        let columns = span(keys[2], width);
        for line in span(keys[3], height).filter(|_| self.erase > 0) {
            words[(line * width + columns.start) * pixel_stride..(line * width + columns.end) * pixel_stride].fill(0.0);
        }
    }
}
