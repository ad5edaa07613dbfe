//! Shared by tests: the GPU, the binary, and small files.
#![allow(dead_code)] // each test binary uses its part

pub mod binary;
pub mod files;

use std::sync::Arc;

use wgraft::exec::{Device, DeviceSpec, GpuDevice};

/// The adapter for tests: `WGRAFT_TEST_DEVICE`, else the best there is. `None` without any, which is a failure where
/// `REQUIRE_GPU=1` says so, and is said loudly where it does not.
pub fn gpu() -> Option<Arc<GpuDevice>> {
    let spec: DeviceSpec = match std::env::var("WGRAFT_TEST_DEVICE") {
        Ok(text) => text.parse().expect("WGRAFT_TEST_DEVICE names a device"),
        Err(_) => DeviceSpec::Auto,
    };
    match Device::open(&spec).expect("the test device opens") {
        Device::Gpu(gpu) => Some(gpu),
        Device::Cpu => {
            assert!(std::env::var("REQUIRE_GPU").as_deref() != Ok("1"), "REQUIRE_GPU=1 and there is no adapter");
            // Past the test harness, which would swallow it.
            wgraft::say!("\n*** SKIPPED: no graphics adapter, GPU kernels were NOT tested; REQUIRE_GPU=1 makes this a failure ***\n");
            None
        }
    }
}
