//! wgraft
pub mod buffer;
pub mod exec;
pub mod kernels;
pub mod memory;
pub mod models;
pub mod ops;
pub mod program;
pub mod random;
pub mod shader;
pub mod tape;
