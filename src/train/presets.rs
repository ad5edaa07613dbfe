//! The registry of augmentations: a line each. Strengths are those of trials with digits, with clothes, and of the usual recipe for
//! photographs.

use crate::core::settings::{Choice, Settable, SettingForm, Words};
use crate::host::views::Ranges;

/// An augmentation by name.
pub struct AugmentPreset {
    pub name: &'static str,
    pub help: &'static str,
    pub ranges: Ranges,
}

/// All of them, in the order of `--help`.
pub static AUGMENTATIONS: &[AugmentPreset] = &[
    preset("none", "Images as they are.", Ranges::NONE),
    preset(
        "light",
        "Turned, stretched and moved a little.",
        Ranges { rotation: 12.0, scale: 0.15, aspect: 0.1, shear: 0.15, shift: 0.1, contrast: 0.2, ..Ranges::NONE },
    ),
    preset(
        "medium",
        "The same, further.",
        Ranges { rotation: 15.0, scale: 0.2, aspect: 0.15, shear: 0.2, shift: 0.15, contrast: 0.4, ..Ranges::NONE },
    ),
    preset(
        "strong",
        "Further still, with noise and an erased square.",
        Ranges { rotation: 30.0, scale: 0.4, aspect: 0.25, shear: 0.4, shift: 0.25, contrast: 0.4, noise: 0.05, erase: 8, ..Ranges::NONE },
    ),
    preset(
        "strokes-medium",
        "Digits and letters: elastic, thick or thin, less so than `strokes`.",
        strokes([15.0, 0.2, 0.15, 0.2, 0.15, 0.08, 0.5]),
    ),
    preset("strokes", "Digits and letters: elastic, thick or thin.", strokes([30.0, 0.4, 0.25, 0.4, 0.25, 0.12, 0.7])),
    preset(
        "objects-light",
        "Grey things that have a left and a right, less than `objects`.",
        Ranges { flip: 0.5, contrast: 0.3, ..strokes([6.0, 0.15, 0.1, 0.08, 0.1, 0.03, 0.3]) },
    ),
    preset(
        "objects",
        "Grey things that have a left and a right.",
        Ranges { flip: 0.5, contrast: 0.5, ..strokes([10.0, 0.3, 0.2, 0.15, 0.15, 0.06, 0.5]) },
    ),
    preset("photos-medium", "Photographs in colour, less than `photos-strong`.", photos(0.5, 0.2, 0.1, 0.1)),
    preset("photos-strong", "Photographs in colour: crops, mirrors, other colours, blur.", photos(0.8, 0.4, 0.2, 0.3)),
    preset(
        "sounds",
        "Sounds: moved and stretched in time and a little in pitch, other loudness of pitches, noise, parts left out.",
        SOUNDS,
    ),
    preset(
        "sounds-light",
        "The same, half as far.",
        Ranges {
            scale: 0.04,
            aspect: 0.065,
            shift: 0.04,
            sway: 0.06,
            contrast: 0.15,
            noise: 0.02,
            curve: 0.065,
            stripes: 0.075,
            ..Ranges::NONE
        },
    ),
    preset("words", "Texts: half of the words are left out.", Ranges { words: 0.5, ..Ranges::NONE }),
    preset(
        "spans",
        "Long texts: 60 words next to each other, of which three in ten are left out.",
        Ranges { span: 60, words: 0.3, ..Ranges::NONE },
    ),
    preset("words-light", "Texts: a quarter of the words is left out.", Ranges { words: 0.25, ..Ranges::NONE }),
];

/// Sounds are stretched by up to e^0.15 in time and e^0.08 in pitch, and shifted by up to a tenth and 4 % of the whole.
const SOUNDS: Ranges =
    Ranges { scale: 0.08, aspect: 0.13, shift: 0.08, sway: 0.12, contrast: 0.3, noise: 0.04, curve: 0.13, stripes: 0.15, ..Ranges::NONE };

const fn preset(name: &'static str, help: &'static str, ranges: Ranges) -> AugmentPreset {
    AugmentPreset { name, help, ranges }
}

/// Noise and erased squares take away what tells one digit from another.
const fn strokes([rotation, scale, aspect, shear, shift, elastic, thickness]: [f32; 7]) -> Ranges {
    Ranges { rotation, scale, aspect, shear, shift, elastic, thickness, contrast: 0.4, ..Ranges::NONE }
}

/// Crops between 3:4 and 4:3, as usual.
const fn photos(crop: f32, colour: f32, grey: f32, blur: f32) -> Ranges {
    let (brightness, hue) = (colour / 2.0, 90.0 * colour);
    Ranges { crop, crop_aspect: 0.288, flip: 0.5, contrast: colour, brightness, saturation: colour, hue, grey, blur, ..Ranges::NONE }
}

/// The augmentation called `name`.
pub fn augment_preset(name: &str) -> Result<Ranges, String> {
    let known = || AUGMENTATIONS.iter().map(|preset| preset.name).collect::<Vec<_>>().join(", ");
    let found = AUGMENTATIONS.iter().find(|preset| preset.name == name);
    found.map(|preset| preset.ranges).ok_or_else(|| format!("there are {}", known()))
}

/// On the command line by the name of a preset, in files number by number.
impl Settable for Ranges {
    const FORM: SettingForm = SettingForm::Word {
        read: |name| serde_json::to_value(augment_preset(name)?).map_err(|e| e.to_string()),
        choices: || AUGMENTATIONS.iter().map(|preset| Choice { name: preset.name, help: preset.help, settings: &[] }).collect(),
        words: Words::One,
    };
}
