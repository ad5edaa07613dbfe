use anyhow::Result;
use serde_json::json;

use super::{open_device, print_json};
use crate::cli::CheckArgs;
use crate::core::time::Timer;
use crate::error::{DeviceError, UsageError};
use crate::exec::Device;
use crate::kernels::{KERNELS, KernelEntry};
use crate::say;
use crate::verify::{KernelReport, check_fast, check_kernel, self_test_kernel};

pub fn run(args: &CheckArgs) -> Result<u8> {
    let chosen = |entry: &&KernelEntry| args.kernel.as_ref().is_none_or(|part| entry.name.contains(part));
    let entries: Vec<&KernelEntry> = KERNELS.iter().filter(chosen).collect();
    if entries.is_empty() {
        let names: Vec<&str> = KERNELS.iter().map(|entry| entry.name).collect();
        return Err(UsageError(format!("no kernel matches; there are {}", names.join(", "))).into());
    }
    let device = open_device(&args.device.device)?;
    if args.self_test { self_test(args, &device, &entries) } else { compare(args, &device, &entries) }
}

fn compare(args: &CheckArgs, device: &Device, entries: &[&KernelEntry]) -> Result<u8> {
    let timer = Timer::start();
    let mut reports: Vec<KernelReport> = Vec::new();
    for entry in entries {
        let report = match device {
            Device::Gpu(gpu) => check_kernel(gpu, entry, None)?,
            Device::Cpu => check_fast(entry)?,
        };
        let verdict = if report.ok() { "ok" } else { "DISAGREES" };
        say!("{:32} {:4} cases   worst {:.3} of the tolerance   {verdict}", report.name, report.cases, report.worst);
        for failure in report.failures.iter().take(3) {
            say!("    {}: {}", failure.case, failure.what);
        }
        reports.push(report);
    }
    let ok = reports.iter().all(KernelReport::ok);
    let wrong = reports.iter().filter(|r| !r.ok()).count();
    match ok {
        true => say!("all {} kernels agree with their twins ({:.1} s)", reports.len(), timer.seconds()),
        false => say!("{wrong} of {} kernels disagree with their twins: do not train on this device", reports.len()),
    }
    print_json(args.device.json, || {
        let kernels = reports.iter().map(|r| {
            let failures: Vec<String> = r.failures.iter().map(|f| format!("{}: {}", f.case, f.what)).collect();
            // JSON has no infinity: any share beyond a million says as much.
            json!({ "name": r.name, "cases": r.cases, "worst": r.worst.min(1e6), "ok": r.ok(), "failures": failures })
        });
        json!({ "device": device.name(), "ok": ok, "kernels": kernels.collect::<Vec<_>>() })
    });
    Ok(u8::from(!ok))
}

fn self_test(args: &CheckArgs, device: &Device, entries: &[&KernelEntry]) -> Result<u8> {
    let Device::Gpu(gpu) = device else {
        return Err(DeviceError(
            "--self-test changes shaders, which the CPU path does not run; install a Vulkan driver or name an adapter".into(),
        )
        .into());
    };
    let mut kernels = Vec::new();
    let (mut all, mut missed) = (0, 0);
    for entry in entries {
        let report = self_test_kernel(gpu, entry)?;
        say!("{}", report.name);
        for (now, was, caught) in &report.mutations {
            say!("    {}  `{was}` -> `{now}`", if *caught { "caught" } else { "MISSED" });
        }
        all += report.mutations.len();
        missed += report.mutations.iter().filter(|m| !m.2).count();
        let mutations = report.mutations.iter().map(|(now, was, caught)| json!({ "was": was, "now": now, "caught": caught }));
        kernels.push(json!({ "name": report.name, "mutations": mutations.collect::<Vec<_>>() }));
    }
    match missed {
        0 => say!("all {all} mutations were caught"),
        _ => say!("{missed} of {all} mutations went unnoticed: this check cannot be trusted"),
    }
    print_json(
        args.device.json,
        || json!({ "device": device.name(), "ok": missed == 0, "mutations": all, "missed": missed, "kernels": kernels }),
    );
    Ok(u8::from(missed > 0))
}
