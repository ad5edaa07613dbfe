//! wgraft pretrains an encoder on unlabelled data and grafts it onto a task with few labels, on any vendor's GPU.
//!
//! The one idea: **a training step is data**, an ordered list of kernel calls over named buffers
//! ([`program::Program`]). The GPU executor and the CPU executor both run it. So comparing after every call, printing and
//! replaying are functions over the list, not features inside a loop. A list is recorded once, by model code that reads like
//! the maths ([`tape::Tape`]), and replayed; whatever differs from step to step lives in a buffer. A step needs nothing from
//! the host: which samples form it, how they are augmented and at which learning rate is computed on the device from its clock.
//!
//! Modules, each importing only from those below it:
//!
//! | module | holds |
//! |---|---|
//! | [`cli`], [`commands`] | the command line: types, then one file per verb |
//! | [`mod@bench`] | what the device can do, and how much of that the standard workloads get |
//! | [`train`] | runs: settings, recording, the loop that drives them, checkpoints, run folders |
//! | [`report`] | pictures and tables to look at or take elsewhere |
//! | [`metrics`], [`propagate`] | what results are worth; few labels spread over many rows |
//! | [`neighbours`], [`mod@gemm`], [`patches`] | the host's linear algebra over slices |
//! | [`models`] | networks, a line per layer |
//! | [`ops`] | forward and backward side by side, with the cases that finite differences check |
//! | [`kernels`] | the registry: a file per kernel with its twin, its tolerance and its cases |
//! | [`exec`] | what runs programs: CPU, GPU; comparing them: checks, lockstep, mutations; choosing variants |
//! | [`tape`], [`program`] | building and being a list of calls |
//! | [`shader`] | WGSL text and its interface, read through naga |
//! | [`views`], [`resample`] | augmented views: how far they vary and how they lie in memory; their fast CPU path |
//! | [`buffer`], [`memory`], [`layout`] | shapes and the arena; host copies; PyTorch's shapes |
//! | [`data`], [`random`], [`cache`] | reading what users have; counter-based random numbers; what is kept between runs |
//! | [`files`] | files that appear whole or not at all; locks |
//!
//! [`exec`] never names a kernel, and kernels never name an executor.

pub mod bench;
pub mod buffer;
pub mod cache;
pub mod cli;
pub mod commands;
pub mod data;
pub mod error;
pub mod exec;
pub mod files;
pub mod gemm;
pub mod kernels;
pub mod layout;
pub mod memory;
pub mod metrics;
pub mod models;
pub mod neighbours;
pub mod ops;
pub mod patches;
pub mod program;
pub mod propagate;
pub mod random;
pub mod report;
pub mod resample;
pub mod shader;
pub mod tape;
pub mod train;
pub mod views;

/// A line to stderr. Unlike `eprintln!`, a reader that has gone away is no reason to panic.
#[macro_export]
macro_rules! say {
    ($($text:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stderr(), $($text)*);
    }};
}
