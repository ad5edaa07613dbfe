//! What runs programs. Both executors have the same few verbs, so comparing them is a function over both.

mod cpu;
mod device;
mod gpu;
mod tune;

use std::ops::Range;
use std::sync::Arc;

pub use cpu::Cpu;
pub use device::{AdapterSummary, Device, DeviceSpec, adapters};
pub use gpu::{Counts, Gpu, GpuDevice, GpuOptions};
pub use tune::{Candidate, Choices, Tuned, call_key, tune};

use crate::core::buffer::Buf;
use crate::core::program::Program;
use crate::error::DeviceError;

/// Some consecutive calls of a loaded program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// Place in the list of programs that was loaded.
    pub program: usize,
    pub calls: Range<usize>,
}

/// The programs of a run, shared by its executors.
pub type Programs = Arc<Vec<Program>>;

/// Every call of program `program`, `times` times.
pub fn repeat(programs: &Programs, program: usize, times: usize) -> Vec<Span> {
    vec![Span { program, calls: 0..programs[program].calls.len() }; times]
}

/// How long each call took.
#[derive(Clone, Debug)]
pub struct Timing {
    pub clock: TimedBy,
    /// In the order of execution; with what a call needs done before it (copies into textures).
    pub seconds: Vec<f64>,
}

/// Whose clock says how long a call took.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TimedBy {
    /// The host's, around a function that it runs itself.
    Host,
    /// The device's: timestamp queries around a pass per call.
    Timestamps,
    /// The host's, around a submission per call that it waits for, less what waiting for nothing takes.
    Waiting,
}

impl std::fmt::Display for TimedBy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            TimedBy::Host => "the host's clock",
            TimedBy::Timestamps => "timestamp queries, a pass per call",
            TimedBy::Waiting => "the host's clock, a submission per call (this device has no timestamps)",
        })
    }
}

/// Runs calls over buffers that live where it runs them.
pub trait Executor {
    /// Queues spans in order. How many go into one submission never changes a bit.
    fn run(&mut self, work: &[Span]) -> Result<(), DeviceError>;

    /// Runs spans with a clock on every call. Waits.
    fn time(&mut self, work: &[Span]) -> Result<Timing, DeviceError>;

    /// Seconds that the device was at work on what was submitted so far, by its own clock. `None` if it has none. Waits.
    fn busy_seconds(&mut self) -> Result<Option<f64>, DeviceError>;

    /// Bytes of memory that the loaded programs take on the device.
    fn device_bytes(&self) -> u64;

    /// The padded words of a buffer, after everything queued so far. Waits.
    fn read(&mut self, buf: Buf) -> Result<Vec<u32>, DeviceError>;

    /// Replaces a buffer's padded words, after everything queued so far.
    fn write(&mut self, buf: Buf, words: &[u32]) -> Result<(), DeviceError>;

    /// Queues a copy of a buffer as it is after everything queued so far. Does not wait.
    fn read_later(&mut self, buf: Buf) -> Result<(), DeviceError>;

    /// The oldest copy that [`read_later`](Executor::read_later) queued: waits for it, or returns `None` if it is not
    /// there yet or there is none.
    fn arrived(&mut self, wait: bool) -> Result<Option<Vec<u32>>, DeviceError>;
}
