//! The random decisions behind augmented views, one row each.

use super::{Cases, has};
use crate::buffer::{Buf, Fill, shape};
use crate::memory::HostMem;
use crate::program::{EPSILON, Kernel, Scalar, Tolerance};
use crate::random::{signed_unit, threefry};
use crate::shader::Variant;
use crate::wgsl;

const VARIANTS: &[Variant] = &[Variant::plain("augment_draw", &[wgsl!("random"), wgsl!("augment_draw")])];

/// `clock`: `[1, 2]`; `draws`: `[rows, 8]`, inverse affine map (xx, xy, x, brightness; yx, yy, y, contrast); `keys`
/// (u32): `[rows, 4]`, noise key, then where the erased square starts, plus its side.
pub struct AugmentDraw {
    pub clock: Buf,
    pub draws: Buf,
    pub keys: Buf,
    pub width: u32,
    pub height: u32,
    pub key: [u32; 2],
    pub ranges: Ranges,
}

/// How far views may differ from their image. Zero everywhere is no augmentation.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ranges {
    /// Largest angle, degrees.
    pub rotation: f32,
    /// Largest logarithm of the scale, and of the ratio of horizontal to vertical scale.
    pub scale: f32,
    pub aspect: f32,
    pub shear: f32,
    /// Share of half the image's side.
    pub shift: f32,
    /// Values are multiplied by up to 1 +- `contrast`; up to +- `brightness` is added.
    pub contrast: f32,
    pub brightness: f32,
    /// Standard deviation of pixel noise.
    pub noise: f32,
    /// Side of the erased square, pixels.
    pub erase: u32,
}

impl AugmentDraw {
    /// tan(θ/2) and tanh(s/2) of the largest angle and log scales, from which the kernel interpolates.
    fn strengths(&self) -> [f32; 3] {
        let r = self.ranges;
        [(f64::from(r.rotation).to_radians() / 2.0).tan() as f32, (r.scale / 2.0).tanh(), (r.aspect / 2.0).tanh()]
    }

    fn row_key(&self, step: u32, row: usize) -> [u32; 2] {
        threefry(self.key, [step, row as u32])
    }
}

impl Kernel for AugmentDraw {
    fn bufs(&self) -> Vec<(&'static str, Buf)> {
        vec![("clock", self.clock), ("draws", self.draws), ("keys", self.keys)]
    }

    fn params(&self) -> Vec<(&'static str, Scalar)> {
        let [rotation, scale, aspect] = self.strengths();
        let r = self.ranges;
        vec![
            ("rows", Scalar::U32(self.draws.rows())),
            ("width", Scalar::U32(self.width)),
            ("height", Scalar::U32(self.height)),
            ("key_low", Scalar::U32(self.key[0])),
            ("key_high", Scalar::U32(self.key[1])),
            ("rotation", Scalar::F32(rotation)),
            ("scale", Scalar::F32(scale)),
            ("aspect", Scalar::F32(aspect)),
            ("shear", Scalar::F32(r.shear)),
            ("shift", Scalar::F32(r.shift)),
            ("contrast", Scalar::F32(r.contrast)),
            ("brightness", Scalar::F32(r.brightness)),
            ("erase", Scalar::U32(r.erase)),
        ]
    }

    fn variants(&self) -> &'static [Variant] {
        VARIANTS
    }

    fn invocations(&self, _: &Variant) -> u64 {
        u64::from(self.draws.rows())
    }

    fn check_shapes(&self) -> Result<(), String> {
        has("clock", self.clock, 1, 2)?;
        has("draws", self.draws, self.draws.rows(), 8)?;
        has("keys", self.keys, self.draws.rows(), 4)
    }

    fn twin(&self, m: &HostMem) {
        let step = m.u32(self.clock).row(0)[0];
        let [rotation, scale, aspect] = self.strengths().map(f64::from);
        let r = self.ranges;
        let unit = |bits| f64::from(signed_unit(bits));
        let spread = |bits, strength: f64| (1.0 + strength * unit(bits)) / (1.0 - strength * unit(bits));
        m.f32_mut(self.draws).for_each_row(|row, out| {
            let key = self.row_key(step, row);
            let words: Vec<[u32; 2]> = (0..4).map(|i| threefry(key, [i, 0])).collect();
            let t = rotation * unit(words[0][0]);
            let (cosine, sine) = ((1.0 - t * t) / (1.0 + t * t), 2.0 * t / (1.0 + t * t));
            let scale_y = spread(words[0][1], scale);
            let scale_x = scale_y * spread(words[1][0], aspect);
            let shear = f64::from(r.shear) * unit(words[1][1]);
            let shift = |bits, side: u32| f64::from(r.shift) * unit(bits) * 0.5 * f64::from(side);
            let values = [
                cosine * scale_x,
                shear - sine * scale_y,
                shift(words[2][0], self.width),
                f64::from(r.brightness) * unit(words[3][1]),
                sine * scale_x,
                cosine * scale_y,
                shift(words[2][1], self.height),
                1.0 + f64::from(r.contrast) * unit(words[3][0]),
            ];
            out.iter_mut().zip(values).for_each(|(out, value)| *out = value as f32);
        });
        m.u32_mut(self.keys).for_each_row(|row, out| {
            let key = self.row_key(step, row);
            let corner = threefry(key, [4, 0]);
            let start = |bits: u32, side: u32| (((bits >> 16) * side) >> 16) + r.erase.div_ceil(2);
            let noise = threefry(key, [5, 0]);
            out.copy_from_slice(&[noise[0], noise[1], start(corner[0], self.width), start(corner[1], self.height)]);
        });
    }

    /// A dozen roundings of numbers up to the largest scale squared, or up to half the image's side.
    fn tolerance(&self, output: &str, _: &HostMem) -> Tolerance {
        if output == "keys" {
            return Tolerance::Exact;
        }
        let r = self.ranges;
        let largest = (f64::from(r.scale + r.aspect).exp() + f64::from(r.shear)).max(f64::from(r.shift) * 0.5);
        Tolerance::Within { abs: 32.0 * EPSILON * largest, rel: 16.0 * EPSILON }
    }
}

/// Every decision in force, none, and in between.
pub(super) const CASE_RANGES: [Ranges; 3] = [
    Ranges { rotation: 30.0, scale: 0.4, aspect: 0.25, shear: 0.4, shift: 0.25, contrast: 0.4, brightness: 0.2, noise: 0.05, erase: 7 },
    Ranges { rotation: 0.0, scale: 0.0, aspect: 0.0, shear: 0.0, shift: 0.0, contrast: 0.0, brightness: 0.0, noise: 0.0, erase: 0 },
    Ranges { rotation: 90.0, scale: 1.0, aspect: 0.0, shear: 0.0, shift: 1.0, contrast: 1.0, brightness: 0.0, noise: 0.0, erase: 2 },
];

pub fn cases(c: &mut Cases<'_>) {
    for (rows, width, height) in [(1, 28, 28), (65, 28, 28), (63, 5, 9)] {
        for ranges in CASE_RANGES {
            let clock = c.filled(shape(1, 2), Fill::U32(vec![41, 42]));
            let (draws, keys) = (c.output(rows, 8), c.integer_output(rows, 4));
            c.add(AugmentDraw { clock, draws, keys, width, height, key: [5, 6], ranges });
        }
    }
}
