//! Running a program call by call on a device and on the twins, to find the first call that goes astray.

use super::compare;
use crate::core::buffer::Dtype;
use crate::core::program::{Exp, Tolerance};
use crate::error::DeviceError;
use crate::exec::{Cpu, Executor, Programs, Span};

/// What is compared.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Lockstep {
    /// Before each call the twin gets the device's inputs. A difference is that call's own, beyond what the kernel tolerates of a
    /// device with such exponentials.
    Resynced(Exp),
    /// Both run on their own results. Catches stale state and drift; buffers may differ by this much, relative, in the
    /// root mean square.
    FreeRunning { limit: f64 },
}

/// A call after which device and twin disagree.
#[derive(Clone, Debug)]
pub struct Divergence {
    pub call: usize,
    pub label: String,
    pub kernel: &'static str,
    pub buffer: &'static str,
    pub what: String,
}

/// Runs one program on both executors and returns every call whose outputs differ too much.
pub fn lockstep(
    device: &mut dyn Executor,
    cpu: &mut Cpu,
    programs: &Programs,
    program: usize,
    mode: Lockstep,
) -> Result<Vec<Divergence>, DeviceError> {
    let mut found = Vec::new();
    for (index, call) in programs[program].calls.iter().enumerate() {
        if matches!(mode, Lockstep::Resynced(_)) {
            for (_, buf) in call.kernel.bufs() {
                cpu.write(buf, &device.read(buf)?)?;
            }
        }
        let outputs = call.kernel.outputs();
        // Free running, only integers are held against a tolerance, and those must be equal.
        let exp = if let Lockstep::Resynced(exp) = mode { exp } else { Exp::Specified };
        let tolerances: Vec<Tolerance> = outputs.iter().map(|(name, ..)| call.kernel.tolerance(name, cpu.mem(), exp)).collect();
        let span = [Span { program, calls: index..index + 1 }];
        device.run(&span)?;
        cpu.run(&span)?;
        for ((name, buf, _), tolerance) in outputs.into_iter().zip(tolerances) {
            let (expected, actual) = (cpu.read(buf)?, device.read(buf)?);
            let failure = match mode {
                Lockstep::FreeRunning { limit } if buf.dtype == Dtype::F32 => drift(&expected, &actual, limit),
                _ => compare(buf, &tolerance, &expected, &actual).failure,
            };
            found.extend(failure.map(|what| Divergence {
                call: index,
                label: call.label.clone(),
                kernel: call.kernel.name(),
                buffer: name,
                what,
            }));
        }
    }
    Ok(found)
}

fn drift(expected: &[u32], actual: &[u32], limit: f64) -> Option<String> {
    let value = |bits: &u32| f64::from(f32::from_bits(*bits));
    let squares: f64 = expected.iter().zip(actual).map(|(e, a)| (value(e) - value(a)).powi(2)).sum();
    let scale: f64 = expected.iter().map(|e| value(e).powi(2)).sum();
    let relative = (squares / scale.max(1e-60)).sqrt();
    // A NaN is not within anything.
    let within = relative <= limit;
    (!within).then(|| format!("differs by {relative:.2e} in the root mean square, allowed is {limit:.0e}"))
}
