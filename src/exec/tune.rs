//! Which variant of each kernel is fastest on a device, for the calls that a program makes.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{DeviceError, Executor, Gpu, GpuDevice, GpuOptions, Programs, Span};
use crate::core::buffer::Arena;
use crate::core::memory::HostMem;
use crate::core::program::{Call, Kernel};

/// A variant must beat the default by this factor: less is noise.
const WORTH: f64 = 1.05;

/// Chosen variants by [`call_key`], each by its description: keys and descriptions outlive a change of order.
pub type Choices = BTreeMap<String, String>;

/// What a choice depends on: the kernel, what its text is compiled with, the shapes, and the text itself.
pub fn call_key(kernel: &dyn Kernel) -> String {
    let constants = kernel.constants().into_iter().map(|(name, value)| format!(" {name}={value}"));
    let shapes = kernel.bufs().into_iter().map(|(name, buf)| format!(" {name}:{}x{}", buf.rows(), buf.cols()));
    let parts: Vec<String> = constants.chain(shapes).collect();
    let text: String = kernel.variants().iter().map(|variant| kernel.source(variant)).collect();
    format!("{}{} {:016x}", kernel.name(), parts.concat(), fnv1a(text.as_bytes()))
}

/// A hash that stays the same from build to build (Fowler, Noll and Vo's 1a, 64 bits).
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// What was found for one kind of call.
pub struct Tuned {
    pub key: String,
    /// Of the first call of the kind.
    pub label: String,
    pub default: usize,
    pub chosen: usize,
    pub candidates: Vec<Candidate>,
}

pub struct Candidate {
    pub variant: usize,
    pub description: String,
    /// With the copies that the variant needs in the course of the program.
    pub seconds: f64,
    /// Whether its results are the default's to the bit; only then may it be chosen.
    pub equal: bool,
}

/// Times every variant of the calls in `span`, the median of `times` runs each, and compares results with the default's.
pub fn tune(
    device: &Arc<GpuDevice>,
    arena: &Arena,
    mem: &HostMem,
    programs: &Programs,
    span: &Span,
    times: usize,
) -> Result<Vec<Tuned>, DeviceError> {
    let calls: Vec<&Call> = programs[span.program].calls[span.calls.clone()].iter().collect();
    let mut found: Vec<(usize, Tuned)> = Vec::new();
    for (index, call) in calls.iter().enumerate().filter(|(_, call)| call.kernel.variants().len() > 1) {
        let key = call_key(&*call.kernel);
        if !found.iter().any(|(_, tuned)| tuned.key == key) {
            let default = call.kernel.default_variant(device.class());
            found.push((index, Tuned { key, label: call.label.clone(), default, chosen: default, candidates: Vec::new() }));
        }
    }
    let load = |variant| {
        let options = GpuOptions { variant, defaults: true, ..Default::default() };
        Gpu::load(device.clone(), arena, mem, programs.clone(), &options)
    };
    for variant in 0..calls.iter().map(|call| call.kernel.variants().len()).max().unwrap_or(0) {
        let (mut default, mut other) = (load(None)?, load(Some(variant))?);
        let has = |call: &Call| call.kernel.variants().get(variant).is_some_and(|v| call.kernel.fits(v));
        let mut equal = vec![true; calls.len()];
        for (index, call) in calls.iter().enumerate() {
            let one = [Span { program: span.program, calls: span.calls.start + index..span.calls.start + index + 1 }];
            let compare = has(call) && found.iter().any(|(at, _)| *at == index);
            if compare {
                for (_, buf) in call.kernel.bufs() {
                    other.write(buf, &default.read(buf)?)?;
                }
                other.run(&one)?;
            }
            default.run(&one)?;
            if compare {
                for (_, buf, _) in call.kernel.outputs() {
                    equal[index] &= default.read(buf)? == other.read(buf)?;
                }
            }
        }
        let runs = (0..times).map(|_| other.time(std::slice::from_ref(span))).collect::<Result<Vec<_>, _>>()?;
        for (index, tuned) in found.iter_mut().filter(|(index, _)| has(calls[*index])) {
            let mut seconds: Vec<f64> = runs.iter().map(|run| run.seconds[*index]).collect();
            seconds.sort_by(f64::total_cmp);
            let description = calls[*index].kernel.describe(variant);
            tuned.candidates.push(Candidate { variant, description, seconds: seconds[times / 2], equal: equal[*index] });
        }
    }
    for (_, tuned) in &mut found {
        let of = |variant| tuned.candidates.iter().find(|c| c.variant == variant).map_or(f64::MAX, |c| c.seconds);
        let best = tuned.candidates.iter().filter(|c| c.equal).min_by(|a, b| a.seconds.total_cmp(&b.seconds));
        tuned.chosen = best.filter(|best| best.seconds * WORTH < of(tuned.default)).map_or(tuned.default, |best| best.variant);
    }
    Ok(found.into_iter().map(|(_, tuned)| tuned).collect())
}
