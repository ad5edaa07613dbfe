//! The random decisions behind augmented views, one row each.

use super::{Cases, has};
use crate::core::buffer::{Buf, Fill, shape};
use crate::core::memory::HostMem;
use crate::core::program::{EPSILON, Exp, Kernel, Tolerance};
use crate::core::random::{bell, signed_unit, threefry, threshold};
use crate::host::views::DrawColumn;
pub use crate::host::views::Ranges;

/// `clock`: `[1, 2]`; `draws`: `[rows, DrawColumn::COUNT]`, in quads: inverse affine map (xx, xy, x, brightness; yx, yy, y,
/// contrast), a matrix for the colours, contrast included (red's row, thickness; green's, blur; blue's, nothing), and the
/// displacements (x, y) of the nodes of a 4x4 grid, line by line; `keys` (u32): `[rows, 4]`, noise key, then where the erased
/// square starts, plus its side. Distances are in pixels.
pub struct AugmentDraw {
    pub clock: Buf,
    pub draws: Buf,
    pub keys: Buf,
    pub width: u32,
    pub height: u32,
    pub key: [u32; 2],
    pub ranges: Ranges,
}

/// Weights of red, green and blue in grey (ITU-R BT.601).
const LUMA: [f64; 3] = [0.299, 0.587, 0.114];

impl AugmentDraw {
    /// tan(θ/2) of the largest angles, tanh(s/2) of the largest log scales, from which the kernel interpolates: rotation,
    /// hue, scale, aspect, and of a crop the root of its aspect.
    fn strengths(&self) -> [f32; 5] {
        let r = self.ranges;
        let angle = |degrees: f32| (f64::from(degrees).to_radians() / 2.0).tan() as f32;
        [angle(r.rotation), angle(r.hue), (r.scale / 2.0).tanh(), (r.aspect / 2.0).tanh(), (r.crop_aspect / 4.0).tanh()]
    }

    fn row_key(&self, step: u32, row: usize) -> [u32; 2] {
        threefry(self.key, [step, row as u32])
    }

    /// Fills a row of `draws`.
    fn draw(&self, strengths: [f64; 5], key: [u32; 2], out: &mut [f32]) {
        let [rotation, hue, scale, aspect, crop_aspect] = strengths;
        let r = self.ranges;
        let words = |counter: u32| threefry(key, [counter, 0]);
        let units = |counter: u32| words(counter).map(|bits| f64::from(signed_unit(bits)));
        let spread = |u: f64| (1.0 + u) / (1.0 - u);
        let turn = |t: f64| ((1.0 - t * t) / (1.0 + t * t), 2.0 * t / (1.0 + t * t));
        let reach = [0.5 * f64::from(self.width), 0.5 * f64::from(self.height)];

        let [area, ratio] = units(9);
        let (side, ratio) = ((1.0 - f64::from(r.crop) * (0.5 + 0.5 * area)).sqrt(), spread(crop_aspect * ratio));
        let part = [(side * ratio).min(1.0), (side / ratio).min(1.0)];
        let (place, shift) = (units(10), units(2));

        let ([angle, size], [stretch, shear]) = (units(0), units(1));
        let (cosine, sine) = turn(rotation * angle);
        let scale_y = spread(scale * size);
        let mirrored = if words(6)[0] >> 8 < threshold(r.flip) { -1.0 } else { 1.0 };
        let scale_x = scale_y * spread(aspect * stretch) * mirrored;
        let [contrast, brightness] = units(3);
        let contrast = 1.0 + f64::from(r.contrast) * contrast;
        let lines = [
            [cosine * scale_x, f64::from(r.shear) * shear - sine * scale_y, f64::from(r.brightness) * brightness],
            [sine * scale_x, cosine * scale_y, contrast],
        ];
        for (axis, [along, across, last]) in lines.into_iter().enumerate() {
            let reached = [f64::from(r.shift + r.sway), f64::from(r.shift)][axis];
            let middle = part[axis] * reached * shift[axis] + (1.0 - part[axis]) * place[axis];
            let quad = [part[axis] * along, part[axis] * across, middle * reach[axis], last];
            out[4 * axis..][..4].copy_from_slice(&quad.map(|value| value as f32));
        }

        let [saturation, turned] = units(7);
        let grey = words(6)[1] >> 8 < threshold(r.grey);
        let saturation = if grey { 0.0 } else { 1.0 + f64::from(r.saturation) * saturation };
        let (cosine, sine) = turn(hue * turned);
        let (along, across) = ((1.0 - cosine) / 3.0, sine / 3f64.sqrt());
        let circle = [cosine + along, along - across, along + across];
        let hue = |row: usize, column: usize| circle[(column + 3 - row) % 3];
        let blurred = if words(8)[1] >> 8 < threshold(r.blur) { 1.0 } else { 0.0 };
        let beside = [f64::from(r.thickness) * units(8)[0], blurred, 0.0];
        for (row, beside) in beside.into_iter().enumerate() {
            for column in 0..3 {
                let mean: f64 = (0..3).map(|k| LUMA[k] * hue(k, column)).sum();
                out[DrawColumn::COLOURS + 4 * row + column] = (contrast * (saturation * hue(row, column) + (1.0 - saturation) * mean)) as f32;
            }
            out[DrawColumn::COLOURS + 4 * row + 3] = beside as f32;
        }

        let nodes = &mut out[DrawColumn::DISPLACEMENTS..];
        if r.elastic == 0.0 {
            return nodes.fill(0.0);
        }
        for (i, node) in nodes.iter_mut().enumerate() {
            *node = (f64::from(r.elastic) * bell(words(16 + i as u32)) * reach[i % 2]) as f32;
        }
    }
}

impl Kernel for AugmentDraw {
    interface! {
        self runs "augment_draw" after "random";
        bufs { clock, draws, keys }
        let [rotation, hue, scale, aspect, crop_aspect] = self.strengths();
        let r = self.ranges;
        params {
            rows: self.draws.rows(),
            width,
            height,
            key_low: self.key[0],
            key_high: self.key[1],
            rotation: rotation,
            scale: scale,
            aspect: aspect,
            shear: r.shear,
            shift_x: r.shift + r.sway,
            shift_y: r.shift,
            crop: r.crop,
            crop_aspect: crop_aspect,
            elastic: r.elastic,
            flip: threshold(r.flip),
            grey: threshold(r.grey),
            blur: threshold(r.blur),
            thickness: r.thickness,
            contrast: r.contrast,
            brightness: r.brightness,
            saturation: r.saturation,
            hue: hue,
            erase: r.erase,
        }
        constants { QUADS: DrawColumn::COUNT / 4 }
        invocations { self.draws.rows() }
    }

    fn check_shapes(&self) -> Result<(), String> {
        has("clock", self.clock, 1, 2)?;
        has("draws", self.draws, self.draws.rows(), DrawColumn::COUNT)?;
        has("keys", self.keys, self.draws.rows(), 4)
    }

    fn twin(&self, m: &HostMem) {
        let step = m.u32(self.clock).row(0)[0];
        let strengths = self.strengths().map(f64::from);
        m.f32_mut(self.draws).for_each_row(|row, out| self.draw(strengths, self.row_key(step, row), out));
        m.u32_mut(self.keys).for_each_row(|row, out| {
            let key = self.row_key(step, row);
            let corner = threefry(key, [4, 0]);
            let start = |bits: u32, side: u32| (((bits >> 16) * side) >> 16) + self.ranges.erase.div_ceil(2);
            let noise = threefry(key, [5, 0]);
            out.copy_from_slice(&[noise[0], noise[1], start(corner[0], self.width), start(corner[1], self.height)]);
        });
    }

    /// A dozen roundings of numbers up to the largest scale squared, of colours up to contrast times saturation, or of
    /// distances up to half the image's side (of which a crop's is a difference); `bell` reaches twice the root of three.
    fn tolerance(&self, output: &str, _: &HostMem, _: Exp) -> Tolerance {
        if output == "keys" {
            return Tolerance::Exact;
        }
        let r = self.ranges;
        let side = 0.5 * f64::from(self.width.max(self.height));
        let largest = f64::from(r.scale + r.aspect).exp() + f64::from(r.shear);
        let columns = (0..DrawColumn::COUNT as usize).map(|column| match column {
            2 | 6 => side * (1.0 + f64::from(r.shift + r.sway)),
            DrawColumn::BRIGHTNESS | DrawColumn::CONTRAST | DrawColumn::THICKNESS | DrawColumn::BLUR => 1.0,
            0..8 => largest,
            8..DrawColumn::DISPLACEMENTS => 2.0 * f64::from((1.0 + r.contrast) * (1.0 + r.saturation)),
            _ => side * 3.5 * f64::from(r.elastic),
        });
        let bounds: Vec<f64> = columns.map(|size| 32.0 * EPSILON * size).collect();
        Tolerance::Each(bounds.repeat(self.draws.rows() as usize))
    }
}

/// Every decision in force, none, and in between.
pub(super) const CASE_RANGES: [Ranges; 4] = [
    Ranges {
        rotation: 30.0,
        scale: 0.4,
        aspect: 0.25,
        shear: 0.4,
        shift: 0.25,
        sway: 0.1,
        crop: 0.8,
        crop_aspect: 0.3,
        elastic: 0.12,
        flip: 0.5,
        thickness: 0.7,
        blur: 0.3,
        contrast: 0.4,
        brightness: 0.2,
        saturation: 0.4,
        hue: 36.0,
        grey: 0.2,
        noise: 0.05,
        erase: 7,
        curve: 0.1,
        stripes: 0.2,
        words: 0.0,
        span: 0,
    },
    Ranges::NONE,
    Ranges { rotation: 90.0, scale: 1.0, shift: 1.0, contrast: 1.0, saturation: 1.0, hue: 120.0, flip: 1.0, erase: 2, ..Ranges::NONE },
    Ranges { rotation: 15.0, elastic: 0.3, shear: 0.2, crop: 0.5, grey: 1.0, blur: 1.0, ..Ranges::NONE },
];

pub fn cases(c: &mut Cases<'_>) {
    let (step, key) = (41, [5, 6]);
    // Probabilities that the first row's draws are just below.
    let first = threefry(key, [step, 0]);
    let just = |counter: u32, word: usize| ((threefry(first, [counter, 0])[word] >> 8) + 1) as f32 / (1 << 24) as f32;
    let close = Ranges { flip: just(6, 0), grey: just(6, 1), blur: just(8, 1), saturation: 0.5, rotation: 20.0, ..Ranges::NONE };
    for (rows, width, height) in [(1, 28, 28), (65, 28, 28), (63, 5, 9)] {
        for ranges in CASE_RANGES.into_iter().chain([close]) {
            let clock = c.filled(shape(1, 2), Fill::U32(vec![step, step + 1]));
            let (draws, keys) = (c.output(rows, DrawColumn::COUNT), c.integer_output(rows, 4));
            c.add(AugmentDraw { clock, draws, keys, width, height, key, ranges });
        }
    }
}
