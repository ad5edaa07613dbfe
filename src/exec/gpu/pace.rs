//! How much goes into one submission.

use crate::core::shader::DeviceClass;
use crate::core::time::Timer;

/// Operations in the first submissions: about 100 ms of a slow device of the class. Windows and macOS kill what runs for
/// seconds.
const SUBMIT_WORK: [u64; 2] = [10_000_000_000, 1_000_000_000];
/// What one submission aims at once the device's speed is known.
const SUBMIT_SECONDS: f64 = 0.08;
/// How far submissions may leave their first size: a host that is late to look must not make them tiny or endless.
const FASTER: u64 = 16;

/// Learns from arrivals how much work the device does in a second.
pub(super) struct Pace {
    /// Work in one submission.
    pub(super) most: u64,
    bounds: (u64, u64),
    pub(super) submitted: u64,
    /// Since the last copy arrived; the work before it, and whether the device had more to do.
    last: Option<(Timer, u64, bool)>,
}

impl Pace {
    pub(super) fn new(class: DeviceClass) -> Self {
        let first = SUBMIT_WORK[class as usize];
        Pace { most: first, bounds: (first / FASTER, first * FASTER), submitted: 0, last: None }
    }

    /// A copy of what stood there `after` some work has arrived.
    pub(super) fn arrived(&mut self, after: u64) {
        if let Some((since, before, true)) = self.last
            && after > before
        {
            let per_second = (after - before) as f64 / since.seconds().max(1e-6);
            // At most twice as much as before: two copies may arrive together because the host looked late.
            self.most = ((per_second * SUBMIT_SECONDS) as u64).min(2 * self.most).clamp(self.bounds.0, self.bounds.1);
        }
        self.last = Some((Timer::start(), after, self.submitted > after));
    }
}
