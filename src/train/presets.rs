//! Augmentations by name. Strengths are those of trials with digits, with clothes, and of the usual recipe for photographs.

use crate::host::views::Ranges;

/// Names that [`augment_preset`] knows.
const PRESETS: &str = "none, light, medium, strong (affine; with noise and an erased square), strokes-medium, strokes (digits and letters: \
                       elastic, thick or thin), objects-light, objects (grey things that have a left and a right), photos-medium or \
                       photos-strong (colour photographs)";

/// The augmentation called `name`.
pub fn augment_preset(name: &str) -> Result<Ranges, String> {
    let light = Ranges { rotation: 12.0, scale: 0.15, aspect: 0.1, shear: 0.15, shift: 0.1, contrast: 0.2, ..Ranges::NONE };
    let medium = Ranges { rotation: 15.0, scale: 0.2, aspect: 0.15, shear: 0.2, shift: 0.15, contrast: 0.4, ..Ranges::NONE };
    let strong =
        Ranges { rotation: 30.0, scale: 0.4, aspect: 0.25, shear: 0.4, shift: 0.25, contrast: 0.4, noise: 0.05, erase: 8, ..Ranges::NONE };
    // Noise and erased squares take away what tells one digit from another.
    let strokes = |[rotation, scale, aspect, shear, shift, elastic, thickness]: [f32; 7]| Ranges {
        rotation,
        scale,
        aspect,
        shear,
        shift,
        elastic,
        thickness,
        contrast: 0.4,
        ..Ranges::NONE
    };
    let objects = strokes([10.0, 0.3, 0.2, 0.15, 0.15, 0.06, 0.5]);
    let objects_light = strokes([6.0, 0.15, 0.1, 0.08, 0.1, 0.03, 0.3]);
    // Crops between 3:4 and 4:3, as usual.
    let photos = |crop, colour: f32, grey, blur| Ranges {
        crop,
        crop_aspect: 0.288,
        flip: 0.5,
        contrast: colour,
        brightness: colour / 2.0,
        saturation: colour,
        hue: 90.0 * colour,
        grey,
        blur,
        ..Ranges::NONE
    };
    match name {
        "none" => Ok(Ranges::NONE),
        "light" => Ok(light),
        "medium" => Ok(medium),
        "strong" => Ok(strong),
        "strokes-medium" => Ok(strokes([15.0, 0.2, 0.15, 0.2, 0.15, 0.08, 0.5])),
        "strokes" => Ok(strokes([30.0, 0.4, 0.25, 0.4, 0.25, 0.12, 0.7])),
        "objects-light" => Ok(Ranges { flip: 0.5, contrast: 0.3, ..objects_light }),
        "objects" => Ok(Ranges { flip: 0.5, contrast: 0.5, ..objects }),
        "photos-medium" => Ok(photos(0.5, 0.2, 0.1, 0.1)),
        "photos-strong" => Ok(photos(0.8, 0.4, 0.2, 0.3)),
        _ => Err(format!("say {PRESETS}; finer settings go into the [augment] table of a --config file")),
    }
}
