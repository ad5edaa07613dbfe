//! Shared by tests: the GPU, the binary, and small files.
#![allow(dead_code)] // each test binary uses its part

pub mod binary;
pub mod files;
pub mod keep;
pub mod weights;

use std::sync::{Arc, OnceLock};

use wgraft::exec::{Device, DeviceSpec, GpuDevice, adapters};

/// The largest of some errors, a NaN being larger than all.
pub fn worst(errors: impl IntoIterator<Item = f64>) -> f64 {
    errors.into_iter().fold(0.0, |worst, error| if worst.is_nan() || error <= worst { worst } else { error })
}

#[test]
fn an_error_that_is_no_number_is_the_worst() {
    assert_eq!(worst([1.0, 3.0, 2.0]), 3.0);
    assert!(worst([1.0, f64::NAN, 2.0]).is_nan() && worst([f64::NAN]).is_nan());
}

/// What `--device` takes for the adapter for tests: `WGRAFT_TEST_DEVICE`, else hardware if there is any, else a software adapter,
/// which nothing but its name chooses.
pub fn test_device() -> String {
    static SPEC: OnceLock<String> = OnceLock::new();
    let best = || {
        let adapters = adapters();
        let hardware = || Device::open(&DeviceSpec::Auto).is_ok_and(|device| matches!(device, Device::Gpu(_)));
        match adapters.first() {
            Some(first) if !hardware() => first.index.to_string(),
            _ => "auto".into(),
        }
    };
    SPEC.get_or_init(|| std::env::var("WGRAFT_TEST_DEVICE").unwrap_or_else(|_| best())).clone()
}

/// The adapter for tests, see [`test_device`]. `None` without any, which is a failure where
/// `REQUIRE_GPU=1` says so, and is said loudly where it does not.
pub fn gpu() -> Option<Arc<GpuDevice>> {
    let spec: DeviceSpec = test_device().parse().expect("WGRAFT_TEST_DEVICE names a device");
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
