//! wgraft
pub mod buffer;
pub mod cli;
pub mod commands;
pub mod data;
pub mod error;
pub mod exec;
pub mod kernels;
pub mod layout;
pub mod memory;
pub mod models;
pub mod ops;
pub mod program;
pub mod random;
pub mod shader;
pub mod tape;
pub mod train;

/// A line to stderr. Unlike `eprintln!`, a reader that has gone away is no reason to panic.
#[macro_export]
macro_rules! say {
    ($($text:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stderr(), $($text)*);
    }};
}
