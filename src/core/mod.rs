//! The idea: a step is a list of calls over named buffers. Nothing here knows a kernel, a device or a file.

pub mod buffer;
pub mod layout;
pub mod memory;
pub mod program;
pub mod random;
pub mod registry;
pub mod sample;
pub mod settings;
pub mod shader;
pub mod tape;
pub mod time;
