//! The root of a sum: the second half of a norm.

use super::{Cases, has, quads};
use crate::core::buffer::{Buf, Fill, shape};
use crate::core::memory::HostMem;
use crate::core::program::{EPSILON, Exp, Kernel, Tolerance};

/// `partials` (none negative): `[1, parts]`; `root`: `[1, 1]`.
pub struct RootSum {
    pub partials: Buf,
    pub root: Buf,
}

impl Kernel for RootSum {
    interface! {
        self runs "root_sum";
        bufs { partials, root }
        params { quads: quads(self.partials) }
        invocations { 1_u64 }
    }

    fn check_shapes(&self) -> Result<(), String> {
        has("partials", self.partials, 1, self.partials.cols())?;
        has("root", self.root, 1, 1)
    }

    fn twin(&self, m: &HostMem) {
        let sum = m.f32(self.partials).row(0).iter().map(|&x| f64::from(x)).sum::<f64>();
        m.f32_mut(self.root).for_each_row(|_, out| out[0] = sum.sqrt() as f32);
    }

    /// One rounding per term of a strand, halved by the root, and the root's own.
    fn tolerance(&self, _: &str, _: &HostMem, _: Exp) -> Tolerance {
        Tolerance::Within { abs: 1e-30, rel: 2.0 * EPSILON * (f64::from(quads(self.partials)) / 2.0 + 6.0) }
    }
}

pub fn cases(c: &mut Cases<'_>) {
    for parts in [1, 4, 65, 1024] {
        let partials = c.filled(shape(1, parts), Fill::F32((0..parts).map(|i| 0.01 * ((i * 37) % 101) as f32 + 0.5).collect()));
        let root = c.output(1, 1);
        c.add(RootSum { partials, root });
    }
    let (partials, root) = (c.floats([0.0; 8]), c.output(1, 1));
    c.add(RootSum { partials, root });
}
