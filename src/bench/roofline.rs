//! What a device can do at best, measured with kernels that do one thing each.

use anyhow::Result;
use serde::Serialize;

use super::{Loaded, Workload};
use crate::core::buffer::{Arena, Buf, Dtype, Fill, Role, Shape, shape};
use crate::core::program::{Program, RecordError};
use crate::core::time::{Timer, nanoseconds};
use crate::error::DeviceError;
use crate::exec::{Device, Gpu, GpuOptions};
use crate::kernels::copy::Copy;
use crate::kernels::fma_chain::FmaChain;

/// The limits that shares are shares of.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Roofline {
    /// Multiply-adds from registers, two operations each.
    pub fma_gflops: f64,
    /// Bytes read and written by a copy that is too large for caches.
    pub copy_gb_per_s: f64,
    /// Of a call that does next to nothing, in a row of such calls.
    pub dispatch_us: f64,
    /// Of submitting such a call and waiting for its result.
    pub submit_us: f64,
    /// From WGSL to the first result of a small kernel that the driver has not seen before; 0 on the CPU path.
    pub pipeline_ms: f64,
}

const TINY_CALLS: u32 = 256;

impl Roofline {
    pub fn measure(device: &Device) -> Result<Self> {
        // Limits are what a device reaches undisturbed: the fastest round counts.
        let best = |workload: &Workload| -> Result<f64> { Ok(Loaded::new(device, workload)?.measure()?.best) };
        let limit = device.binding_limit();
        // Twice the work until a device that was not busy enough gets no faster.
        let mut fma_rate = 0.0;
        for rows in (8..16).map(|log| 1 << log) {
            let fma = fma_chain(limit, rows)?;
            let rate = fma.flops as f64 / best(&fma)? / 1e9;
            let no_faster = rate < 1.1 * fma_rate;
            fma_rate = rate.max(fma_rate);
            if no_faster {
                break;
            }
        }
        // Two times 64 MiB: more than caches hold.
        let copy = copies(limit, shape(8192, 2048), 1)?;
        let bytes = copy.arena.bytes();
        let mut tiny = Loaded::new(device, &copies(limit, shape(1, 4), 1)?)?;
        tiny.run(1)?;
        let mut waits = (0..200).map(|_| tiny.run(1)).collect::<Result<Vec<f64>, DeviceError>>()?;
        waits.sort_by(f64::total_cmp);
        Ok(Roofline {
            fma_gflops: fma_rate,
            copy_gb_per_s: bytes as f64 / best(&copy)? / 1e9,
            dispatch_us: best(&copies(limit, shape(1, 4), TINY_CALLS)?)? * 1e6 / f64::from(TINY_CALLS),
            submit_us: waits[waits.len() / 2] * 1e6,
            pipeline_ms: pipeline_seconds(device)? * 1e3,
        })
    }

    /// The share of what is possible that `flops` operations on `bytes` bytes within `seconds` are: by arithmetic or by
    /// memory, whichever binds.
    pub fn share(&self, flops: u64, bytes: u64, seconds: f64) -> f64 {
        (flops as f64 / self.fma_gflops).max(bytes as f64 / self.copy_gb_per_s) / 1e9 / seconds.max(1e-12)
    }
}

fn pair(limit: u64, shape: Shape) -> (Arena, Buf, Buf) {
    let mut arena = Arena::new(0, limit);
    let x = arena.buffer("x", Role::Input, Dtype::F32, shape, Fill::Uniform(1.0));
    let y = arena.scratch("y", Dtype::F32, shape);
    (arena, x, y)
}

fn fma_chain(limit: u64, rows: u32) -> Result<Workload, RecordError> {
    let (arena, x, y) = pair(limit, shape(rows, 128));
    let mut program = Program::new("fma");
    program.push(&arena, "multiply-adds", FmaChain { x, y, rounds: 2000 })?;
    Ok(Workload::program("fma", arena, program, Buf { shape: shape(1, 4), ..y }))
}

fn copies(limit: u64, of: Shape, calls: u32) -> Result<Workload, RecordError> {
    let (arena, x, y) = pair(limit, of);
    let mut program = Program::new("copy");
    for _ in 0..calls {
        program.push(&arena, "copy", Copy { x, y, accumulate: false })?;
    }
    Ok(Workload::program("copy", arena, program, Buf { shape: shape(1, 4), ..y }))
}

/// First use of a text that the driver cannot have met, less a later use.
fn pipeline_seconds(device: &Device) -> Result<f64> {
    let Device::Gpu(gpu) = device else { return Ok(0.0) };
    let (arena, x, y) = pair(device.binding_limit(), shape(1, 4));
    let mut program = Program::new("compile");
    program.push(&arena, "multiply-adds", FmaChain { x, y, rounds: 8 })?;
    let kernel = &program.calls[0].kernel;
    let text = kernel.source(&kernel.variants()[0]);
    // Caches on disk remember machine code by its meaning: this constant has another value each time.
    let fresh = text.replace("vec4(1.0)", &format!("vec4(1.0 + {}e-10)", nanoseconds()));
    anyhow::ensure!(fresh != text, "the probe's constant is gone from its source");
    let options = GpuOptions { source: Some(fresh), ..Default::default() };
    let workload = Workload::program("compile", arena, program, y);
    let timer = Timer::start();
    let exec = Gpu::load(gpu.clone(), &workload.arena, &workload.memory(), workload.programs.clone(), &options)?;
    let mut loaded = Loaded::with(Box::new(exec), workload.work.clone(), workload.read);
    loaded.run(1)?;
    let first = timer.seconds();
    Ok(first - loaded.run(1)?)
}
