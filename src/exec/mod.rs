//! What runs programs. Both executors have the same few verbs, so comparing them is a function over both.

mod check;
mod cpu;
mod device;
mod gpu;
mod lockstep;
mod mutate;

use std::ops::Range;
use std::sync::Arc;

pub use check::{CaseFailure, KernelReport, SelfTestReport, check_fast, check_kernel, compare, self_test_kernel};
pub use cpu::Cpu;
pub use device::{AdapterSummary, Device, DeviceSpec, adapters};
pub use gpu::{Gpu, GpuDevice, GpuOptions};
pub use lockstep::{Divergence, Lockstep, lockstep};
pub use mutate::{Mutation, mutations};

use crate::buffer::Buf;
use crate::program::Program;

/// The device failed or cannot do what was asked.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct DeviceError(pub String);

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

/// Runs calls over buffers that live where it runs them.
pub trait Executor {
    /// Queues spans in order. How many go into one submission never changes a bit.
    fn run(&mut self, work: &[Span]) -> Result<(), DeviceError>;

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
