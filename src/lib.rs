//! wgraft pretrains an encoder on unlabelled data and grafts it onto a task with few labels, on any vendor's GPU.
//!
//! The one idea: **a training step is data**, an ordered list of kernel calls over named buffers
//! ([`program::Program`](core::program::Program)). The GPU executor and the CPU executor both run it. So comparing after every call, printing and
//! replaying are functions over the list, not features inside a loop. A list is recorded once, by model code that reads like
//! the maths ([`tape::Tape`](core::tape::Tape)), and replayed; whatever differs from step to step lives in a buffer. A step needs nothing from
//! the host: which samples form it, how they are augmented and at which learning rate is computed on the device from its clock.
//!
//! Rooms, each importing only from those below it (`tests/house.rs` looks):
//!
//! | room | holds |
//! |---|---|
//! | [`commands`], [`cli`] | the command line: one file per verb, over its types |
//! | [`mod@bench`] | what the device can do, and how much of that the standard workloads get |
//! | [`train`] | runs: settings, methods of pretraining, tasks of fine-tuning, recording, the loop, its observers, checkpoints |
//! | [`report`] | pictures and tables to look at or take elsewhere |
//! | [`propagate`] | a few labels spread over many rows |
//! | [`metrics`] | what results are worth |
//! | [`models`] | networks, a line per layer |
//! | [`ops`] | forward and backward side by side, with the cases that finite differences check |
//! | [`verify`] | kernels against their twins, devices against the CPU path, and mistakes that must be noticed |
//! | [`kernels`] | the registry: a file per kernel with its twin, its tolerance and its cases |
//! | [`exec`] | what runs programs: CPU, GPU, and choosing variants |
//! | [`data`] | samples, what is known of them, a reader for each file format, and how text and sound in files become numbers |
//! | [`host`] | mathematics over slices: products, patches, neighbours, views of images, spectra of sounds |
//! | [`cache`] | what is kept between runs and can be made anew |
//! | [`mod@core`] | building and being a list of calls: buffers, programs, the tape, WGSL text read through naga, random numbers; how settings are declared |
//! | [`files`], [`error`] | files that appear whole or not at all; exit codes |
//!
//! [`exec`] never names a kernel, and kernels never name an executor.
//!
//! Whatever can be chosen is an entry of a registry, a file of its own and one line:
//!
//! | a new | is a file in | and a line in |
//! |---|---|---|
//! | kernel | `shaders`, and [`kernels`] for its twin and cases | `kernels!` |
//! | operation or loss with its gradient | [`ops`] | its `mod.rs` |
//! | encoder | [`models`] | `ENCODERS` |
//! | method of pretraining | `train::methods` | `METHODS` |
//! | task of fine-tuning | `train::tasks` | `TASKS` |
//! | file format | [`data`] | `READERS` in `data/load.rs` |
//! | encoding of columns, words or sounds as numbers | [`data`], beside [`Encoding`](data::Encoding) | `Record` in `train/checkpoint.rs` |
//! | sight of a run as it goes: progress, metrics | `train::observers`, an [`Observer`](train::Observer) | its `mod.rs` |
//! | verb | [`commands`] | [`cli`] |

pub mod bench;
#[cfg(feature = "files")]
pub mod cache;
#[cfg(feature = "cli")]
pub mod cli;
#[cfg(feature = "cli")]
pub mod commands;
pub mod core;
pub mod data;
pub mod error;
pub mod exec;
#[cfg(feature = "files")]
pub mod files;
pub mod host;
pub mod kernels;
pub mod metrics;
pub mod models;
pub mod ops;
pub mod propagate;
#[cfg(feature = "files")]
pub mod report;
pub mod train;
pub mod verify;

/// A line to stderr. Unlike `eprintln!`, a reader that has gone away is no reason to panic.
#[macro_export]
macro_rules! say {
    ($($text:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stderr(), $($text)*);
    }};
}
