//! Every case of every registered kernel on the GPU against its twin, and the proof that a wrong kernel is noticed.

use crate::common;

use wgraft::kernels::KERNELS;
use wgraft::verify::{check_kernel, outputs_of, self_test_kernel, variants};

#[test]
fn every_kernel_agrees_with_its_twin() {
    let Some(device) = common::gpu() else { return };
    for entry in KERNELS {
        let report = check_kernel(&device, entry, None).expect("the device runs");
        println!("{:32} {:4} cases, worst {:.3} of the tolerance", report.name, report.cases, report.worst);
        assert!(report.ok(), "{}: {} failures, first {:?}", report.name, report.failures.len(), report.failures.first());
    }
}

#[test]
fn slicing_dispatches_changes_nothing() {
    let Some(device) = common::gpu() else { return };
    for entry in KERNELS {
        for variant in 0..variants(entry).expect("it is recorded") {
            let outputs = |most| outputs_of(&device, entry, variant, most).expect("the device runs");
            assert!(outputs(None) == outputs(Some(3)), "{}, variant {variant}: other bits in slices", entry.name);
        }
    }
}

#[test]
fn every_mutation_is_caught() {
    let Some(device) = common::gpu() else { return };
    for entry in KERNELS {
        let report = self_test_kernel(&device, entry).expect("the device runs");
        assert!(!report.mutations.is_empty(), "{} has no mutation", report.name);
        for (now, was, caught) in &report.mutations {
            assert!(caught, "{}: `{was}` -> `{now}` went unnoticed", report.name);
        }
        println!("{:32} {} mutations, all caught", report.name, report.mutations.len());
    }
}
