//! The CPU executor: the twins, or what was made fast and checked against them.

use std::collections::VecDeque;

use super::{DeviceError, Executor, Programs, Span, TimedBy, Timing};
use crate::core::buffer::Buf;
use crate::core::memory::HostMem;
use crate::core::time::Timer;

pub struct Cpu {
    mem: HostMem,
    programs: Programs,
    reference: bool,
    copies: VecDeque<Vec<u32>>,
}

impl Cpu {
    /// For training: kernels run their fast form.
    pub fn new(mem: HostMem, programs: Programs) -> Self {
        Cpu { mem, programs, reference: false, copies: VecDeque::new() }
    }

    /// For checking: kernels run their twins.
    pub fn reference(mem: HostMem, programs: Programs) -> Self {
        Cpu { reference: true, ..Cpu::new(mem, programs) }
    }

    pub fn mem(&self) -> &HostMem {
        &self.mem
    }
}

impl Cpu {
    /// On a thread of the pool: from any other, each loop would wait until one of them has woken up.
    fn each(&self, work: &[Span], mut done: impl FnMut() + Send) {
        rayon::scope(|_| {
            for span in work {
                for call in &self.programs[span.program].calls[span.calls.clone()] {
                    if self.reference {
                        call.kernel.twin(&self.mem)
                    } else {
                        call.kernel.fast(&self.mem)
                    }
                    done();
                }
            }
        });
    }
}

impl Executor for Cpu {
    fn run(&mut self, work: &[Span]) -> Result<(), DeviceError> {
        self.each(work, || {});
        Ok(())
    }

    fn time(&mut self, work: &[Span]) -> Result<Timing, DeviceError> {
        let (mut timer, mut seconds) = (Timer::start(), Vec::new());
        self.each(work, || seconds.push(timer.lap()));
        Ok(Timing { clock: TimedBy::Host, seconds })
    }

    fn busy_seconds(&mut self) -> Result<Option<f64>, DeviceError> {
        Ok(None)
    }

    fn device_bytes(&self) -> u64 {
        self.mem.bytes()
    }

    fn read(&mut self, buf: Buf) -> Result<Vec<u32>, DeviceError> {
        Ok(self.mem.read(buf))
    }

    fn write(&mut self, buf: Buf, words: &[u32]) -> Result<(), DeviceError> {
        self.mem.write(buf, words);
        Ok(())
    }

    fn read_later(&mut self, buf: Buf) -> Result<(), DeviceError> {
        self.copies.push_back(self.mem.read(buf));
        Ok(())
    }

    fn arrived(&mut self, _: bool) -> Result<Option<Vec<u32>>, DeviceError> {
        Ok(self.copies.pop_front())
    }
}
