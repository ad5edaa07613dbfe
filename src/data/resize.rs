//! How pictures of any proportions become pictures of one size.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::core::sample::Image;
use crate::core::settings::{Settable, SettingForm};

/// How a picture of any proportions becomes one of a given size. One that has that size is taken as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Resize {
    /// The whole picture, as large as the size allows, in the middle of zeros.
    #[default]
    Letterbox,
    /// The middle of the picture, without borders. Of one with no side longer than wanted, all that has the proportions.
    Crop(CenterCrop),
}

/// What takes the middle of pictures: they are scaled to cover a frame, in the middle of which lies what is taken.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CenterCrop {
    /// The sides that are taken, as a share of those of the frame: timm's `crop_pct`.
    pub share: f64,
    pub filter: Interpolation,
}

/// What scales pictures. When they become smaller, its kernel grows with the scale (antialiasing).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interpolation {
    /// A triangle.
    Bilinear,
    /// Keys's cubic with a = -0.5.
    Bicubic,
}

/// Shares that are taken.
const LEAST_SHARE: f64 = 0.1;

impl Interpolation {
    const ALL: [Self; 2] = [Interpolation::Bilinear, Interpolation::Bicubic];

    fn name(self) -> &'static str {
        match self {
            Interpolation::Bilinear => "bilinear",
            Interpolation::Bicubic => "bicubic",
        }
    }
}

impl Resize {
    pub const fn crop(share: f64, filter: Interpolation) -> Self {
        Resize::Crop(CenterCrop { share, filter })
    }

    /// What pictures of this size are made from, for people.
    pub fn described(&self, image: Image) -> String {
        match self {
            Resize::Letterbox => "with borders where proportions differ".into(),
            Resize::Crop(crop) => {
                let [height, width] = crop.frame(image);
                let what = if height == width { format!("the shorter side to {height}") } else { format!("to cover {height}x{width}") };
                format!("{what} ({}), of which the middle is taken", crop.filter.name())
            }
        }
    }
}

impl CenterCrop {
    /// Height and width of the frame that pictures cover, of which `image` is the middle.
    fn frame(self, image: Image) -> [u32; 2] {
        [image.height, image.width].map(|side| (f64::from(side) / self.share).floor() as u32)
    }

    /// What is done to a picture of this size. What has no pixels to spare keeps its edges, and no filter makes it sharp.
    pub fn of(self, height: u32, width: u32, image: Image) -> Self {
        let small = height <= image.height && width <= image.width;
        if small { CenterCrop { share: 1.0, filter: Interpolation::Bilinear } } else { self }
    }

    /// The part of a picture that becomes `image`: where it begins from the left and from the top, and how wide and how high it is, in
    /// pixels of the picture. Sides are those that torchvision's `Resize` and `CenterCrop` have.
    pub fn part(self, height: u32, width: u32, image: Image) -> [f64; 4] {
        let [tall, wide] = self.frame(image).map(u64::from);
        let [height, width] = [height, width].map(u64::from);
        let scaled = if wide * height >= tall * width { [wide * height / width, wide] } else { [tall, tall * width / height] };
        let span = |stored: u64, scaled: u64, wanted: u32| {
            let before = ((scaled - u64::from(wanted)) as f64 / 2.0).round_ties_even();
            let begin = before * stored as f64 / scaled as f64;
            (begin, (f64::from(wanted) * stored as f64 / scaled as f64).min(stored as f64 - begin))
        };
        let ((top, high), (left, across)) = (span(height, scaled[0], image.height), span(width, scaled[1], image.width));
        [left, top, across, high]
    }
}

impl fmt::Display for Resize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Resize::Letterbox => f.write_str("letterbox"),
            Resize::Crop(CenterCrop { share, filter }) => write!(f, "crop:{share}:{}", filter.name()),
        }
    }
}

impl FromStr for Resize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut words = text.split(':');
        match words.next() {
            Some("letterbox") if words.next().is_none() => return Ok(Resize::Letterbox),
            Some("crop") => {}
            _ => return Err("say letterbox, crop, or crop with its share and filter, for instance crop:0.875:bicubic".into()),
        }
        let share = words.next().map_or(Some(1.0), |word| word.parse().ok().filter(|share| (LEAST_SHARE..=1.0).contains(share)));
        let share = share.ok_or_else(|| format!("the share that is taken must be {LEAST_SHARE} to 1, for instance crop:0.875"))?;
        let named = |word: &str| Interpolation::ALL.into_iter().find(|filter| filter.name() == word);
        let filter = words.next().map_or(Some(Interpolation::Bilinear), named).filter(|_| words.next().is_none());
        Ok(Resize::crop(share, filter.ok_or("the filter must be bilinear or bicubic, for instance crop:0.875:bicubic")?))
    }
}

impl TryFrom<String> for Resize {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Resize> for String {
    fn from(resize: Resize) -> Self {
        resize.to_string()
    }
}

impl Settable for Resize {
    const FORM: SettingForm = SettingForm::word(|word| word.parse::<Resize>().map(|resize| resize.to_string().into()));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(share: f64, height: u32, width: u32, [rows, columns]: [u32; 2]) -> [f64; 4] {
        CenterCrop { share, filter: Interpolation::Bicubic }.part(height, width, Image { height: rows, width: columns, channels: 3 })
    }

    #[test]
    fn the_middle_is_taken() {
        // A frame of 256, and 341 pixels of the longer side: 58 are left out before and 59 after.
        let unit = 4000.0 / 341.0;
        assert_eq!(part(0.875, 3000, 4000, [224, 224]), [58.0 * unit, 187.5, 224.0 * unit, 2625.0]);
        assert_eq!(part(0.875, 4000, 3000, [224, 224]), [187.5, 58.0 * unit, 2625.0, 224.0 * unit]);
        assert_eq!(part(1.0, 30, 20, [10, 10]), [0.0, 4.0 * 30.0 / 15.0 / 2.0, 20.0, 20.0], "half of an odd border is rounded to even");
        assert_eq!(part(1.0, 100, 300, [10, 30]), [0.0, 0.0, 300.0, 100.0], "of the same proportions it is all");
        assert_eq!(part(1.0, 100, 300, [10, 10]), [100.0, 0.0, 100.0, 100.0]);
    }

    #[test]
    fn parts_lie_within_pictures() {
        for (height, width) in [(1, 1), (1, 2), (2, 1), (1, 65_536), (65_536, 1), (3, 7), (223, 225), (4000, 3001)] {
            for size in [[1, 1], [224, 224], [7, 5], [128, 31], [4096, 4096]] {
                for share in [0.1, 0.875, 0.965, 1.0] {
                    let [left, top, across, high] = part(share, height, width, size);
                    let within = |begin: f64, length: f64, side: u32| begin >= 0.0 && length > 0.0 && begin + length <= f64::from(side);
                    assert!(within(left, across, width) && within(top, high, height), "{height}x{width} to {size:?}, {share}");
                }
            }
        }
    }

    #[test]
    fn words_say_how() {
        let read = |text: &str| text.parse::<Resize>();
        assert_eq!(read("letterbox"), Ok(Resize::Letterbox));
        assert_eq!(read("crop"), Ok(Resize::crop(1.0, Interpolation::Bilinear)));
        assert_eq!(read("crop:0.875"), Ok(Resize::crop(0.875, Interpolation::Bilinear)));
        for resize in [Resize::Letterbox, Resize::crop(0.875, Interpolation::Bicubic), Resize::crop(1.0, Interpolation::Bilinear)] {
            assert_eq!(read(&resize.to_string()), Ok(resize));
        }
        for wrong in ["", "stretch", "letterbox:1", "crop:0", "crop:2", "crop:NaN", "crop:x", "crop:1:lanczos", "crop:1:bicubic:1"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
