//! How a call becomes dispatches: its pipeline, its parameters, and as many dispatches as its size asks for.

use std::collections::HashMap;
use std::sync::Arc;

use super::device::{GpuDevice, GpuOptions, Pipeline};
use crate::core::program::Kernel;
use crate::core::shader::Shader;

/// WebGPU's default for groups along one dimension.
const MAX_GROUPS: u64 = 65_535;

/// Operations in one dispatch: about 50 ms of a slow device of the class. Windows and macOS kill what runs for seconds.
const DISPATCH_WORK: [u64; 2] = [5_000_000_000, 500_000_000];

/// What is fixed about a call before anything is bound.
pub(super) struct CallPlan {
    pub(super) pipeline: Arc<Pipeline>,
    pub(super) shader: &'static Shader,
    pub(super) params: u32,
    pub(super) launches: Vec<Launch>,
}

pub(super) fn plan(device: &GpuDevice, kernel: &dyn Kernel, options: &GpuOptions, uniforms: &mut Uniforms) -> CallPlan {
    let class = device.class();
    let variant = &kernel.variants()[device.variant(kernel, options)];
    let shader = kernel.shader(variant);
    let mut block = vec![0; shader.params.as_ref().map_or(0, |(_, bytes, _)| *bytes as usize / 4)];
    for (name, value) in kernel.params() {
        let member = shader.members().iter().find(|m| m.name == name).expect("push compared the names");
        block[member.offset as usize / 4] = value.bits();
    }
    let groups = kernel.groups(variant);
    let by_work = (u128::from(groups) * u128::from(DISPATCH_WORK[class as usize]) / u128::from(kernel.work().max(1))) as u64;
    // A few groups more than the cores have rounds for would leave them idle at the end of each dispatch.
    let by_work = 1 << by_work.max(1).ilog2();
    let most = options.max_groups.unwrap_or(by_work);
    let launches = launches(groups, most).into_iter();
    let launches =
        launches.map(|(first, x, y)| Launch { uniform: uniforms.place(vec![first as u32, x as u32, 0, 0]), x: x as u32, y: y as u32 });
    CallPlan {
        pipeline: device.pipeline(variant.name, shader, options.source.as_deref()),
        shader,
        launches: launches.collect(),
        params: uniforms.place(block),
    }
}

/// A dispatch of `x` x `y` groups; `uniform` holds where its numbering starts.
pub(super) struct Launch {
    pub(super) uniform: u32,
    pub(super) x: u32,
    pub(super) y: u32,
}

/// One uniform buffer for everything that is fixed at load: parameters of all calls, starts of all dispatches.
#[derive(Default)]
pub(super) struct Uniforms {
    pub(super) words: Vec<u32>,
    known: HashMap<Vec<u32>, u32>,
}

impl Uniforms {
    /// Offset in bytes of a block with these words; equal blocks are shared.
    fn place(&mut self, block: Vec<u32>) -> u32 {
        const ALIGN: usize = 64; // words; WebGPU's strictest uniform offset alignment is 256 bytes
        *self.known.entry(block).or_insert_with_key(|block| {
            let start = self.words.len();
            self.words.extend(block);
            self.words.resize(self.words.len().next_multiple_of(ALIGN), 0);
            4 * start as u32
        })
    }
}

/// Splits `groups` into dispatches of at most `most` groups whose numbering is gapless: folded to two dimensions where
/// one is too short, and never a group too many, which in-place kernels would not survive. As (first, x, y).
fn launches(groups: u64, most: u64) -> Vec<(u64, u64, u64)> {
    let (mut first, mut list) = (0, Vec::new());
    while first < groups {
        let left = (groups - first).min(most.max(1));
        let (x, y) = if left <= MAX_GROUPS { (left, 1) } else { (MAX_GROUPS, (left / MAX_GROUPS).min(MAX_GROUPS)) };
        list.push((first, x, y));
        first += x * y;
    }
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn launches_cover_every_group_once() {
        for (groups, most) in [(1, 1), (7, 3), (65_535, u64::MAX), (65_536, u64::MAX), (1_000_003, u64::MAX), (200_000, 70_000), (5, 0)] {
            let mut next = 0;
            for (first, x, y) in launches(groups, most) {
                assert_eq!(first, next);
                assert!(x <= MAX_GROUPS && y <= MAX_GROUPS && x * y <= most.max(1));
                next += x * y;
            }
            assert_eq!(next, groups);
        }
    }
}
