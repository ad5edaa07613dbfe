//! Mathematics over slices on the host: what fast paths of kernels and measures have in common.

pub mod gemm;
pub mod neighbours;
pub mod patches;
pub mod resample;
pub mod views;
