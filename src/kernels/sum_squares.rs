//! Partial sums of squares: the first half of a norm.

use super::{Cases, has, line_shift, quad_rows, quads};
use crate::core::buffer::Buf;
use crate::core::memory::HostMem;
use crate::core::program::{EPSILON, Exp, Kernel, Tolerance};
use crate::core::shader::{DeviceClass, Variant};
use crate::wgsl;

const VARIANTS: &[Variant] = &[
    Variant {
        default_for: &[DeviceClass::Hardware],
        ..Variant::plain("sum_squares", &[wgsl!("sum_squares"), wgsl!("sum_squares_buffer")])
    },
    Variant {
        default_for: &[DeviceClass::Software],
        ..Variant::plain("sum_squares", &[wgsl!("sum_squares"), wgsl!("texels"), wgsl!("sum_squares_texture")])
    },
];

/// `x`: any shape; `partials`: `[1, parts]`.
pub struct SumSquares {
    pub x: Buf,
    pub partials: Buf,
}

impl SumSquares {
    /// How many partial sums a buffer is worth: by its size alone, so that the order of summation is, too.
    pub fn parts(x: Buf) -> u32 {
        (quads(x) / 8).next_power_of_two().clamp(4, 1024)
    }
}

impl Kernel for SumSquares {
    interface! {
        self;
        bufs { x: quad_rows(self.x), partials }
        params {
            quads: quads(self.x),
            parts: self.partials.cols(),
            line_shift: line_shift(quad_rows(self.x)),
        }
        invocations { self.partials.cols() }
    }

    fn variants(&self) -> &'static [Variant] {
        VARIANTS
    }

    fn check_shapes(&self) -> Result<(), String> {
        has("partials", self.partials, 1, self.partials.cols())
    }

    fn twin(&self, m: &HostMem) {
        let x = m.f32(self.x);
        let parts = self.partials.cols() as usize;
        let mut sums = vec![0.0; parts];
        for (q, quad) in x.padded().chunks(4).enumerate() {
            sums[q % parts] += quad.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>();
        }
        m.f32_mut(self.partials).for_each_row(|_, out| out.iter_mut().zip(&sums).for_each(|(out, &sum)| *out = sum as f32));
    }

    fn fast(&self, m: &HostMem) {
        let x = m.f32(self.x);
        // Four sums per part, side by side: one long vector that runs over the data.
        let mut sums = vec![0.0_f32; 4 * self.partials.cols() as usize];
        for block in x.padded().chunks(sums.len()) {
            sums.iter_mut().zip(block).for_each(|(sum, x)| *sum += x * x);
        }
        let sum = |quad: &[f32]| (quad[0] + quad[1]) + (quad[2] + quad[3]);
        m.f32_mut(self.partials).for_each_row(|_, out| out.iter_mut().zip(sums.chunks(4)).for_each(|(out, quad)| *out = sum(quad)));
    }

    /// All terms are positive: one relative rounding per term of a strand, and its square's.
    fn tolerance(&self, _: &str, _: &HostMem, _: Exp) -> Tolerance {
        let terms = f64::from(quads(self.x).div_ceil(self.partials.cols()));
        Tolerance::Within { abs: 1e-37, rel: 2.0 * EPSILON * (terms + 4.0) }
    }
}

pub fn cases(c: &mut Cases<'_>) {
    for (rows, cols) in [(1, 1), (3, 5), (1, 260), (65, 63), (131, 257)] {
        let x = c.uniform(rows, cols);
        let partials = c.output(1, SumSquares::parts(x));
        c.add(SumSquares { x, partials });
    }
}
