//! The host's clock. It is asked here and nowhere else, so that a platform with another one changes one file.

use std::fs::File;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Tells how long ago it was started.
#[derive(Clone, Copy, Debug)]
pub struct Timer(Instant);

impl Timer {
    pub fn start() -> Self {
        Timer(Instant::now())
    }

    /// Seconds since it was started.
    pub fn seconds(&self) -> f64 {
        self.0.elapsed().as_secs_f64()
    }

    /// Seconds since it was started, which it is anew.
    pub fn lap(&mut self) -> f64 {
        let now = Instant::now();
        (now - std::mem::replace(&mut self.0, now)).as_secs_f64()
    }
}

/// Nanoseconds of the second that it is: hardly twice the same.
pub fn nanoseconds() -> u32 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.subsec_nanos())
}

/// Makes now the time at which a file, open for writing, was changed last.
pub fn touch(file: &File) -> std::io::Result<()> {
    file.set_modified(SystemTime::now())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn laps_add_up_to_the_whole() {
        let (whole, mut timer) = (Timer::start(), Timer::start());
        let laps = [timer.lap(), timer.lap(), timer.lap()];
        assert!(laps.iter().all(|&lap| lap >= 0.0) && laps.iter().sum::<f64>() <= whole.seconds());
    }
}
