use anyhow::Result;
use serde_json::json;

use super::{open_device, print, print_json};
use crate::bench::{Loaded, Measured, Roofline, contrastive, standard};
use crate::cli::BenchArgs;
use crate::error::UsageError;

/// Pairs of the contrastive losses that take minutes on slow devices.
const LARGE: [u32; 3] = [4096, 8192, 32768];

pub fn run(args: &BenchArgs) -> Result<u8> {
    let device = open_device(&args.device.device)?;
    let limit = device.binding_limit();
    let mut workloads = standard(limit)?;
    if args.large {
        workloads.extend(LARGE.into_iter().map(|pairs| contrastive(pairs, limit)).collect::<Result<Vec<_>, _>>()?);
    }
    let names: Vec<String> = workloads.iter().map(|w| w.name.clone()).collect();
    workloads.retain(|w| args.only.as_ref().is_none_or(|part| w.name.contains(part)));
    if workloads.is_empty() {
        return Err(UsageError(format!("no workload matches; there are: {}", names.join(", "))).into());
    }
    let roofline = Roofline::measure(&device)?;
    let Roofline { fma_gflops, copy_gb_per_s, dispatch_us, submit_us, pipeline_ms } = roofline;
    print(format_args!("{}", device.name()));
    print(format_args!("multiply-adds {fma_gflops:.1} GFLOP/s   copy {copy_gb_per_s:.1} GB/s"));
    print(format_args!("a dispatch {dispatch_us:.1} us   submit and wait {submit_us:.1} us   a new pipeline {pipeline_ms:.0} ms"));
    print(format_args!("{:28} {:>11} {:>9} {:>8} {:>11}", "workload", "ms", "GFLOP/s", "of peak", "memory MiB"));
    let mut rows = Vec::new();
    for workload in &workloads {
        let mut loaded = Loaded::new(&device, workload)?;
        let bytes = loaded.exec.device_bytes();
        let Measured { seconds, best } = loaded.measure()?;
        let gflops = |seconds: f64| workload.flops as f64 / seconds / 1e9;
        // The peak is the fastest of some rounds: so must be what is compared with it.
        let (ms, fraction, gflops) = (1e3 * seconds, gflops(best) / fma_gflops, gflops(seconds));
        let mib = bytes as f64 / f64::from(1 << 20);
        print(format_args!("{:28} {ms:11.4} {gflops:9.2} {:7.1}% {mib:11.1}", workload.name, 100.0 * fraction));
        rows.push(json!({ "name": workload.name, "ms": ms, "gflops": gflops, "fraction_of_peak": fraction, "device_bytes": bytes }));
    }
    print_json(args.device.json, || json!({ "device": device.name(), "roofline": roofline, "workloads": rows }));
    Ok(0)
}
