//! The verb `tune`, and the file in which its choices wait for training.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, Result};
use serde_json::json;

use super::timed_step::TimedStep;
use super::{open_device, print, print_json};
use crate::cache;
use crate::cli::StepArgs;
use crate::error::DeviceError;
use crate::exec::{Choices, Device, tune};
use crate::files;
use crate::files::Lock;
use crate::say;

/// Steps that each time is the median of.
const STEPS: usize = 15;

/// Choices by adapter and driver.
type Cache = BTreeMap<String, Choices>;

fn path() -> Option<PathBuf> {
    Some(cache::folder()?.join("tuned.json"))
}

fn load() -> Cache {
    let Some(path) = path().filter(|path| path.is_file()) else { return Cache::default() };
    let read = || -> Result<Cache> { Ok(serde_json::from_str(&std::fs::read_to_string(&path)?)?) };
    read().unwrap_or_else(|e| {
        say!("{} is not readable ({e}): going on without tuned choices; `wgraft tune` writes it anew", path.display());
        Cache::default()
    })
}

/// What earlier tuning found for this device.
pub fn choices(device: &Device) -> Choices {
    device.identity().and_then(|identity| load().remove(&identity)).unwrap_or_default()
}

fn save(identity: String, choices: Choices) -> Result<PathBuf> {
    let path = path().context("there is no cache folder; name one with WGRAFT_CACHE")?;
    // Another process may be adding choices for another device.
    let _lock = Lock::on(&path.with_extension("lock"))?;
    let mut choices_of = load();
    choices_of.entry(identity).or_default().extend(choices);
    files::write(&path, |file| Ok(serde_json::to_writer_pretty(file, &choices_of)?))?;
    Ok(path)
}

pub fn run(args: &StepArgs) -> Result<u8> {
    let device = open_device(&args.device.device)?;
    let (Device::Gpu(gpu), Some(identity)) = (&device, device.identity()) else {
        return Err(DeviceError("the CPU path has nothing to tune; name an adapter (see `devices`)".into()).into());
    };
    let step = TimedStep::open(args, &device)?;
    print(format_args!("{} on {}", step.title, device.name()));
    let spans = step.spans();
    // Of a step in phases, the one that has most of its kernels.
    let longest = spans.iter().max_by_key(|span| span.calls.len()).context("a step has calls")?;
    let tuned = tune(gpu, &step.plan.arena, &step.memory(), &step.plan.programs, longest, STEPS)?;
    for kind in &tuned {
        print(format_args!("{}", kind.label));
        for candidate in &kind.candidates {
            let note = match (candidate.equal, candidate.variant == kind.chosen, candidate.variant == kind.default) {
                (false, ..) => "  rejected: its bits differ from the default's",
                (_, true, true) => "  default, kept",
                (_, true, false) => "  chosen",
                (_, false, true) => "  default",
                _ => "",
            };
            print(format_args!("  {:9.4} ms  {}{note}", 1e3 * candidate.seconds, candidate.description));
        }
    }
    let describe = |kind: &crate::exec::Tuned| {
        kind.candidates.iter().find(|c| c.variant == kind.chosen).map(|c| (kind.key.clone(), c.description.clone()))
    };
    let path = save(identity, tuned.iter().filter_map(describe).collect())?;
    let changed = tuned.iter().filter(|kind| kind.chosen != kind.default).count();
    print(format_args!("{changed} of {} kinds of call get another variant than the default; kept in {}", tuned.len(), path.display()));
    print_json(args.device.json, || {
        let kinds = tuned.iter().map(|kind| {
            let candidates = kind.candidates.iter().map(|c| {
                json!({
                    "variant": c.description,
                    "ms": 1e3 * c.seconds,
                    "equal": c.equal,
                    "default": c.variant == kind.default,
                    "chosen": c.variant == kind.chosen,
                })
            });
            json!({ "call": kind.label, "key": kind.key, "candidates": candidates.collect::<Vec<_>>() })
        });
        json!({ "device": device.name(), "step": step.title, "cache": path, "kinds": kinds.collect::<Vec<_>>() })
    });
    Ok(0)
}
