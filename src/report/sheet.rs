//! A contact sheet: images in a grid with a few words under each.

use std::borrow::Cow;

use anyhow::{Result, ensure};
use image::imageops::{self, FilterType};
use image::{Rgb, RgbImage};

use super::{HAIR, INK, PALE_INK, WHITE, glyphs};
use crate::core::sample::Image;

/// Small images are magnified, by a whole number, to about this width.
const SHOWN: u32 = 96;
/// Larger ones are made smaller than this.
const LARGEST: u32 = 240;
/// Of the whole sheet, unless columns are asked for.
const WIDTH: u32 = 1200;
const GAP: u32 = 12;
const MARGIN: u32 = 20;
const FRAME: u32 = 3;
const TITLE: f32 = 22.0;
const CAPTION: f32 = 14.0;
const LINE: u32 = 16;
/// Pixels of a sheet: beyond that viewers fail, and nobody looks.
const MOST: u64 = 1 << 26;

/// What the frame of an image says.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Tone {
    #[default]
    Plain,
    Right,
    Wrong,
}

impl Tone {
    /// Told apart by people of every colour vision.
    fn colour(self) -> Option<Rgb<u8>> {
        match self {
            Tone::Plain => None,
            Tone::Right => Some(Rgb([0, 128, 178])),
            Tone::Wrong => Some(Rgb([213, 94, 0])),
        }
    }
}

/// An image of the sheet.
#[derive(Clone, Debug)]
pub struct Tile<'a> {
    /// Rows of pixels, channels together.
    pub pixels: Cow<'a, [u8]>,
    /// Lines under the image; what is too wide is cut.
    pub caption: String,
    pub tone: Tone,
}

/// Images of one size, row by row.
#[derive(Clone, Debug)]
pub struct ContactSheet<'a> {
    /// Above all; may be empty.
    pub title: String,
    pub image: Image,
    /// Images in a row; `None`: as many as are easy to look at.
    pub columns: Option<u32>,
    pub tiles: Vec<Tile<'a>>,
}

impl ContactSheet<'_> {
    /// Fails where there is nothing to draw, pixels do not fit the size of the images, or the sheet would be too large.
    pub fn draw(&self) -> Result<RgbImage> {
        let Image { height, width, channels } = self.image;
        ensure!(!self.tiles.is_empty(), "there are no images for a sheet");
        ensure!(
            !self.image.is_empty() && matches!(channels, 1 | 3),
            "images of {height}x{width}x{channels} cannot be shown, only grey and RGB"
        );
        let (shown_width, shown_height) = shown(width, height);
        let cell = shown_width.max(SHOWN - 12) + 2 * FRAME;
        let lines = self.tiles.iter().map(|tile| tile.caption.lines().count() as u32).max().unwrap_or(0);
        let row = shown_height + 2 * FRAME + lines * LINE + if lines > 0 { 4 } else { 0 } + GAP;
        let count = self.tiles.len() as u32;
        let fitting = ((WIDTH - 2 * MARGIN + GAP) / (cell + GAP)).max(1);
        // Few images in one row; many in a sheet that is about as high as wide, as far as the screen goes.
        let even = (f64::from(count) * f64::from(row) / f64::from(cell + GAP) * 1.5).sqrt().ceil() as u32;
        let columns = self.columns.unwrap_or_else(|| fitting.min(if count <= 6 { count } else { even })).clamp(1, count);
        let head = if self.title.is_empty() { 0 } else { 36 };
        let size = [2 * MARGIN + columns * (cell + GAP) - GAP, 2 * MARGIN + head + count.div_ceil(columns) * row - GAP];
        let pixels = u64::from(size[0]) * u64::from(size[1]);
        ensure!(pixels <= MOST, "a sheet of {count} images would be {} x {} pixels; show fewer", size[0], size[1]);
        let mut sheet = RgbImage::from_pixel(size[0], size[1], WHITE);
        let title = glyphs::fit(&self.title, TITLE, (size[0] - 2 * MARGIN) as f32);
        glyphs::draw(&mut sheet, &title, (MARGIN as f32, MARGIN as f32 - 4.0), TITLE, INK);
        for (i, tile) in (0..).zip(&self.tiles) {
            ensure!(
                tile.pixels.len() == self.image.len() as usize,
                "image {i} of the sheet has {} bytes, {height}x{width}x{channels} are {}",
                tile.pixels.len(),
                self.image.len()
            );
            let x = MARGIN + i % columns * (cell + GAP) + (cell - shown_width - 2 * FRAME) / 2;
            let y = MARGIN + head + i / columns * row;
            frame(&mut sheet, tile.tone, [x, y], [shown_width, shown_height]);
            let picture = imageops::resize(&rgb(&tile.pixels, self.image), shown_width, shown_height, filter(width, shown_width));
            imageops::replace(&mut sheet, &picture, i64::from(x + FRAME), i64::from(y + FRAME));
            let middle = (x + FRAME) as f32 + shown_width as f32 / 2.0;
            for (line, words) in (0..).zip(tile.caption.lines()) {
                let words = glyphs::fit(words, CAPTION, cell as f32);
                let left = (middle - glyphs::width(&words, CAPTION) / 2.0).round();
                let top = y + shown_height + 2 * FRAME + 3 + line * LINE;
                let ink = if line > 0 { PALE_INK } else { tile.tone.colour().unwrap_or(INK) };
                glyphs::draw(&mut sheet, &words, (left, top as f32), CAPTION, ink);
            }
        }
        Ok(sheet)
    }
}

/// Width and height at which an image is shown.
fn shown(width: u32, height: u32) -> (u32, u32) {
    let largest = width.max(height);
    if largest <= LARGEST {
        let times = ((SHOWN + largest / 2) / largest).max(1);
        return (width * times, height * times);
    }
    let scaled = |side: u32| (u64::from(side) * u64::from(LARGEST) / u64::from(largest)).max(1) as u32;
    (scaled(width), scaled(height))
}

/// Magnified pixels stay squares.
fn filter(width: u32, shown: u32) -> FilterType {
    if shown >= width { FilterType::Nearest } else { FilterType::Triangle }
}

fn rgb(pixels: &[u8], image: Image) -> RgbImage {
    let channels = image.channels as usize;
    RgbImage::from_fn(image.width, image.height, |x, y| {
        let at = (y as usize * image.width as usize + x as usize) * channels;
        Rgb([0, 1, 2].map(|c| pixels[at + c % channels]))
    })
}

/// A hair's breadth around a plain image, a band around one that is judged.
fn frame(sheet: &mut RgbImage, tone: Tone, [x, y]: [u32; 2], [width, height]: [u32; 2]) {
    let breadth = if tone == Tone::Plain { 1 } else { FRAME };
    let inset = FRAME - breadth;
    let ink = tone.colour().unwrap_or(HAIR);
    for dy in inset..height + 2 * FRAME - inset {
        for dx in inset..width + 2 * FRAME - inset {
            sheet.put_pixel(x + dx, y + dy, ink);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sheet(pixels: &[u8], count: usize, channels: u32) -> ContactSheet<'_> {
        let tile = Tile { pixels: pixels.into(), caption: "7\n98.2 %".into(), tone: Tone::Wrong };
        ContactSheet { title: "digits".into(), image: Image { height: 2, width: 2, channels }, columns: None, tiles: vec![tile; count] }
    }

    #[test]
    fn pixels_are_where_they_belong() {
        let drawn = sheet(&[10, 20, 30, 40], 1, 1).draw().expect("a sheet");
        // 48 times as large, behind margin, title and frame.
        let at = |x: u32, y: u32| drawn.get_pixel(MARGIN + FRAME + x, MARGIN + 36 + FRAME + y).0;
        assert_eq!([at(0, 0), at(95, 47), at(0, 48), at(95, 95)], [[10; 3], [20; 3], [30; 3], [40; 3]]);
        assert_eq!(drawn.get_pixel(MARGIN, MARGIN + 36).0, [213, 94, 0], "the frame of a wrong one");
        let colours = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];
        let drawn = sheet(&colours, 1, 3).draw().expect("a sheet");
        assert_eq!(drawn.get_pixel(MARGIN + FRAME + 95, MARGIN + 36 + FRAME + 95).0, [10, 11, 12]);
    }

    #[test]
    fn columns_are_those_asked_for() {
        let two = ContactSheet { columns: Some(2), ..sheet(&[0; 4], 5, 1) }.draw().expect("a sheet");
        let all = sheet(&[0; 4], 5, 1).draw().expect("a sheet");
        assert_eq!(two.width(), 2 * MARGIN + 2 * (96 + 2 * FRAME) + GAP);
        assert_eq!(all.width(), 2 * MARGIN + 5 * (96 + 2 * FRAME) + 4 * GAP);
        assert!(two.height() > 2 * all.height());
        assert_eq!((shown(28, 28), shown(100, 150), shown(480, 960)), ((84, 84), (100, 150), (120, 240)));
    }

    #[test]
    fn what_cannot_be_drawn_is_refused() {
        let refused = |sheet: ContactSheet<'_>| sheet.draw().expect_err("refused").to_string();
        assert!(refused(sheet(&[0; 4], 0, 1)).contains("no images"));
        assert!(refused(sheet(&[0; 3], 1, 1)).contains("image 0 of the sheet has 3 bytes"));
        assert!(refused(sheet(&[0; 8], 1, 2)).contains("2x2x2"));
        assert!(refused(sheet(&[0; 4], 50_000, 1)).contains("show fewer"));
    }
}
