use anyhow::Result;
use serde_json::json;

use super::timed_step::TimedStep;
use super::{open_device, print, print_json};
use crate::bench::{Loaded, Roofline};
use crate::cli::StepArgs;
use crate::core::program::Call;
use crate::say;

/// Steps that each call's time is the median of.
const STEPS: usize = 15;

pub fn run(args: &StepArgs) -> Result<u8> {
    let device = open_device(&args.device.device)?;
    let step = TimedStep::open(args, &device)?;
    say!("measuring what the device can do ...");
    let roofline = Roofline::measure(&device)?;
    let spans = step.spans();
    let calls: Vec<&Call> = spans.iter().flat_map(|s| &step.plan.programs[s.program].calls[s.calls.clone()]).collect();
    let exec = device.load(&step.plan.arena, step.memory(), step.plan.programs.clone())?;
    let mut loaded = Loaded::with(exec, spans, step.plan.training.clock.clock);
    let timing = loaded.profile(STEPS)?;
    let whole = loaded.measure()?.seconds;
    let sum: f64 = timing.seconds.iter().sum();

    let share = |call: &Call, seconds: f64| roofline.share(call.kernel.flops(), call.kernel.bytes(), seconds);
    let mut rows: Vec<(&Call, f64)> = calls.into_iter().zip(timing.seconds.iter().copied()).collect();
    rows.sort_by(|a, b| b.1.total_cmp(&a.1));
    let width = rows.iter().map(|(call, _)| call.label.len()).max().unwrap_or(0);
    print(format_args!("{} on {}; clock: {}", step.title, device.name(), timing.clock));
    print(format_args!("{:width$}  {:30} {:>9} {:>7} {:>9} {:>9}", "call", "kernel", "ms", "of sum", "GFLOP/s", "of limit"));
    for (call, seconds) in &rows {
        let flops = call.kernel.flops() as f64 / seconds.max(1e-12) / 1e9;
        let rate = if flops > 0.0 { format!("{flops:.2}") } else { String::new() };
        print(format_args!(
            "{:width$}  {:30} {:9.4} {:6.1}% {rate:>9} {:8.1}%",
            call.label,
            call.kernel.name(),
            1e3 * seconds,
            100.0 * seconds / sum,
            100.0 * share(call, *seconds)
        ));
    }
    print(format_args!("sum of calls {:.4} ms; the step without clocks {:.4} ms", 1e3 * sum, 1e3 * whole));
    print(format_args!("limit: {:.1} GFLOP/s, {:.1} GB/s", roofline.fma_gflops, roofline.copy_gb_per_s));
    print_json(args.device.json, || {
        let row = |(call, seconds): &(&Call, f64)| {
            json!({
                "label": call.label,
                "kernel": call.kernel.name(),
                "ms": 1e3 * seconds,
                "flops": call.kernel.flops(),
                "fraction_of_limit": share(call, *seconds),
            })
        };
        json!({
            "device": device.name(),
            "step": step.title,
            "clock": timing.clock.to_string(),
            "sum_ms": 1e3 * sum,
            "step_ms": 1e3 * whole,
            "roofline": roofline,
            "calls": rows.iter().map(row).collect::<Vec<_>>(),
        })
    });
    Ok(0)
}
