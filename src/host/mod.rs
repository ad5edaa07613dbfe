//! Mathematics over slices on the host: what fast paths of kernels and measures have in common.

pub mod ctc_paths;
pub mod gemm;
pub mod mel;
pub mod microkernel;
pub mod neighbours;
pub mod panels;
pub(crate) mod patch_products;
pub mod patches;
pub mod pixel_runs;
pub mod planes;
pub mod rate;
pub mod resample;
#[cfg(feature = "files")]
pub mod stft;
pub mod views;
