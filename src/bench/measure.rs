//! Timing repeated work on an executor.

use crate::core::buffer::Buf;
use crate::core::time::Timer;
use crate::error::DeviceError;
use crate::exec::{Device, Executor, Span, Timing};

use super::Workload;

/// Seconds that one round of repetitions aims at.
const ROUND_SECONDS: f64 = 0.15;
const ROUNDS: usize = 5;
/// Work that takes longer needs no second round: compiling its kernels is a small part of it.
const LONG_SECONDS: f64 = 20.0;

/// Time per repetition.
#[derive(Clone, Copy, Debug)]
pub struct Measured {
    /// The median of five rounds, or the only one of long work.
    pub seconds: f64,
    /// The fastest round.
    pub best: f64,
}

/// A workload on a device.
pub struct Loaded {
    pub exec: Box<dyn Executor>,
    work: Vec<Span>,
    read: Buf,
}

impl Loaded {
    pub fn new(device: &Device, workload: &Workload) -> Result<Self, DeviceError> {
        let exec = device.load(&workload.arena, workload.memory(), workload.programs.clone())?;
        Ok(Self::with(exec, workload.work.clone(), workload.read))
    }

    /// `work` on an executor that has its programs; reading `read` waits for it.
    pub fn with(exec: Box<dyn Executor>, work: Vec<Span>, read: Buf) -> Self {
        Loaded { exec, work, read }
    }

    /// Time per call of one repetition, each the median of `times`.
    pub fn profile(&mut self, times: usize) -> Result<Timing, DeviceError> {
        self.run(1)?;
        let runs = (0..times).map(|_| self.exec.time(&self.work)).collect::<Result<Vec<_>, _>>()?;
        let median = |call: usize| {
            let mut seconds: Vec<f64> = runs.iter().map(|run| run.seconds[call]).collect();
            seconds.sort_by(f64::total_cmp);
            seconds[times / 2]
        };
        Ok(Timing { clock: runs[0].clock, seconds: (0..runs[0].seconds.len()).map(median).collect() })
    }

    /// Runs the work `times` times and waits for it.
    pub fn run(&mut self, times: usize) -> Result<f64, DeviceError> {
        let timer = Timer::start();
        // One queue of all repetitions: how many go into one submission is the executor's business.
        self.exec.run(&vec![self.work.clone(); times].concat())?;
        self.exec.read(self.read)?;
        Ok(timer.seconds())
    }

    /// Rounds of as many repetitions as fit into a moment, after some that warm up.
    pub fn measure(&mut self) -> Result<Measured, DeviceError> {
        let first = self.run(1)?;
        if first > LONG_SECONDS {
            return Ok(Measured { seconds: first, best: first });
        }
        let times = ((ROUND_SECONDS / self.run(1)?) as usize).clamp(1, 10_000);
        let mut rounds = (0..ROUNDS).map(|_| Ok(self.run(times)? / times as f64)).collect::<Result<Vec<f64>, DeviceError>>()?;
        rounds.sort_by(f64::total_cmp);
        Ok(Measured { seconds: rounds[ROUNDS / 2], best: rounds[0] })
    }
}
