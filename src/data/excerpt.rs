//! A part of a recording.

use std::fmt;

use anyhow::{Result, ensure};

/// From one moment to another, in seconds; to the end of the recording where nothing else is said.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Excerpt {
    start: f64,
    end: Option<f64>,
}

impl Excerpt {
    /// Fails unless the end comes after the start.
    pub fn new(start: f64, end: Option<f64>) -> Result<Self> {
        ensure!(start >= 0.0, "a part begins at {start} s, before the sound does");
        ensure!(end.is_none_or(|end| end > start), "a part begins at {start} s and ends at {} s", end.unwrap_or(0.0));
        Ok(Excerpt { start, end })
    }

    pub fn start(self) -> f64 {
        self.start
    }

    /// The first sample, and the one after the last, at a rate.
    pub fn samples(self, rate: u32) -> (u64, u64) {
        let at = |seconds: f64| (seconds * f64::from(rate)).round() as u64;
        (at(self.start), self.end.map_or(u64::MAX, at))
    }
}

impl fmt::Display for Excerpt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.end {
            Some(end) => write!(f, "{} to {end} s", self.start),
            None => write!(f, "from {} s", self.start),
        }
    }
}
