//! Text in pictures, in the one font that is embedded.

use std::sync::OnceLock;

use ab_glyph::{Font, FontRef, Glyph, ScaleFont, point};
use image::{Rgb, RgbImage};

fn font() -> &'static FontRef<'static> {
    static FONT: OnceLock<FontRef<'static>> = OnceLock::new();
    FONT.get_or_init(|| FontRef::try_from_slice(include_bytes!("../../assets/roboto.ttf")).expect("the embedded font is sound"))
}

/// The glyphs of a line that begins at 0, and its width. `size` is the height of a line, in pixels.
fn lay_out(text: &str, size: f32) -> (Vec<Glyph>, f32) {
    let font = font().as_scaled(size);
    let (mut glyphs, mut x, mut last) = (Vec::new(), 0.0, None);
    for c in text.chars() {
        let id = font.glyph_id(c);
        x += last.map_or(0.0, |last| font.kern(last, id));
        glyphs.push(id.with_scale_and_position(size, point(x, font.ascent())));
        x += font.h_advance(id);
        last = Some(id);
    }
    (glyphs, x)
}

/// Width of a line in pixels.
pub fn width(text: &str, size: f32) -> f32 {
    lay_out(text, size).1
}

/// Draws a line whose upper left corner is at `(x, y)`; what lies outside the picture is left out.
pub fn draw(picture: &mut RgbImage, text: &str, (x, y): (f32, f32), size: f32, ink: Rgb<u8>) {
    for mut glyph in lay_out(text, size).0 {
        glyph.position += point(x, y);
        let Some(outline) = font().outline_glyph(glyph) else { continue };
        let corner = outline.px_bounds().min;
        outline.draw(|dx, dy, share| blend(picture, corner.x as i64 + i64::from(dx), corner.y as i64 + i64::from(dy), ink, share));
    }
}

/// Puts a share of `ink` on a pixel, if it is one of the picture's.
pub fn blend(picture: &mut RgbImage, x: i64, y: i64, ink: Rgb<u8>, share: f32) {
    let place = u32::try_from(x).ok().zip(u32::try_from(y).ok());
    if let Some(pixel) = place.and_then(|(x, y)| picture.get_pixel_mut_checked(x, y)) {
        let share = share.clamp(0.0, 1.0);
        pixel
            .0
            .iter_mut()
            .zip(ink.0)
            .for_each(|(old, new)| *old = (f32::from(*old) * (1.0 - share) + f32::from(new) * share).round() as u8);
    }
}

/// The text, or as much of its beginning as fits in `most` pixels with an ellipsis.
pub fn fit(text: &str, size: f32, most: f32) -> String {
    if width(text, size) <= most {
        return text.into();
    }
    let mut kept: Vec<char> = text.chars().collect();
    loop {
        kept.pop();
        let shorter: String = kept.iter().collect::<String>().trim_end().chars().chain(['…']).collect();
        if kept.is_empty() || width(&shorter, size) <= most {
            return shorter;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{INK, WHITE};

    #[test]
    fn text_leaves_ink_where_it_is_put() {
        let mut picture = RgbImage::from_pixel(60, 20, WHITE);
        draw(&mut picture, "Hg", (10.0, 2.0), 16.0, INK);
        let inked: Vec<(u32, u32)> = picture.enumerate_pixels().filter(|(.., p)| **p != WHITE).map(|(x, y, _)| (x, y)).collect();
        let right = 10.0 + width("Hg", 16.0);
        assert!(inked.iter().all(|&(x, y)| (10..right as u32 + 1).contains(&x) && (2..18).contains(&y)), "{inked:?}");
        // The stem of an H is solid; the margins are empty.
        assert!(inked.len() > 40 && picture.pixels().any(|p| p.0[0] < 60));
        // Nothing is drawn beyond the edges, and nothing fails there.
        draw(&mut picture, "far away", (-500.0, 900.0), 16.0, INK);
    }

    #[test]
    fn letters_of_several_alphabets_are_there() {
        for letter in ['a', 'Z', '0', 'ä', 'ß', 'é', 'ł', 'Ω', 'ж', '±', '…', '%', '·'] {
            assert_ne!(font().glyph_id(letter).0, 0, "{letter} is missing");
        }
    }

    #[test]
    fn long_text_is_cut() {
        assert_eq!(fit("short", 14.0, 100.0), "short");
        let cut = fit("a name that is much too long", 14.0, 60.0);
        assert!(cut.ends_with('…') && cut.starts_with('a') && width(&cut, 14.0) <= 60.0, "{cut}");
        assert_eq!(fit("x", 14.0, 0.0), "…");
    }
}
