//! Reads a great many damaged inputs with each reader: nothing may panic, take longer than five seconds of the processor, or allocate more than
//! four times the input and 64 MiB. What fails is saved under `fuzz/failures` and ends the program with 1.
//!
//! `cargo run --release --manifest-path fuzz/Cargo.toml -- [TARGET...] [--seconds N | --inputs N] [--seed S] [--from I] [--self-test] [--list]`

mod meter;
mod mutate;
mod targets;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::exit;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use mutate::{Input, Rng};
use targets::Target;

const LONGEST: Duration = Duration::from_secs(5);
const ALLOWANCE: usize = 64 << 20;

thread_local! {
    static PANIC: RefCell<String> = const { RefCell::new(String::new()) };
}

struct Arguments {
    targets: Vec<String>,
    seconds: Option<u64>,
    inputs: Option<u64>,
    seed: u64,
    from: u64,
    self_test: bool,
}

fn arguments() -> Arguments {
    let mut all = Arguments { targets: Vec::new(), seconds: None, inputs: None, seed: 1, from: 0, self_test: false };
    let mut given = std::env::args().skip(1);
    while let Some(word) = given.next() {
        let mut number = || given.next().and_then(|n| n.parse().ok()).unwrap_or_else(|| usage(&format!("{word} wants a number")));
        match word.as_str() {
            "--seconds" => all.seconds = Some(number()),
            "--inputs" => all.inputs = Some(number()),
            "--seed" => all.seed = number(),
            "--from" => all.from = number(),
            "--self-test" => all.self_test = true,
            "--list" => {
                targets::ALL.iter().for_each(|target| println!("{}", target.name));
                exit(0)
            }
            name if targets::ALL.iter().any(|target| target.name == name) => all.targets.push(name.into()),
            other => usage(&format!("{other} is no target")),
        }
    }
    all
}

fn usage(problem: &str) -> ! {
    let names: Vec<&str> = targets::ALL.iter().map(|target| target.name).collect();
    eprintln!("{problem}; targets: {}; options: --seconds N, --inputs N, --seed S, --from I, --self-test, --list", names.join(" "));
    exit(2)
}

/// The input `index` of a target; the first ones are its seeds as they are.
fn make(target: &Target, seeds: &[Input], seed: u64, index: u64) -> Input {
    if let Some(sound) = seeds.get(index as usize) {
        return sound.clone();
    }
    let mut rng = Rng::new(seed, index);
    let (mut input, other) = (rng.of(seeds).clone(), rng.of(seeds));
    (target.mutate)(&mut rng, &mut input, other);
    input
}

/// Makes the folder hold the input and nothing else.
fn place(root: &Path, input: &Input, before: &mut Input) {
    let parents = |input: &Input| input.files.iter().any(|(name, _)| name.contains('/')) || !input.folders.is_empty();
    let names = |input: &Input| input.files.iter().map(|(name, _)| name.clone()).collect::<BTreeSet<_>>();
    let same = names(input) == names(before) && input.folders.is_empty() && before.folders.is_empty();
    if !same {
        if parents(before) || parents(input) || before.files.is_empty() {
            let _ = fs::remove_dir_all(root);
        }
        before.files.iter().for_each(|(name, _)| drop(fs::remove_file(root.join(name))));
    }
    for (name, bytes) in &input.files {
        // Most files are as they were.
        if same && before.files.iter().any(|(other, old)| other == name && old == bytes) {
            continue;
        }
        let path = root.join(name);
        if !same {
            let _ = fs::create_dir_all(path.parent().expect("a folder"));
        }
        // A name may be that of a folder.
        let _ = fs::write(path, bytes);
    }
    input.folders.iter().for_each(|folder| drop(fs::create_dir_all(root.join(folder))));
    *before = input.clone();
}

/// Saves an input with its seed and says what is wrong.
fn save(target: &str, seed: u64, index: u64, input: &Input, problem: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("failures").join(format!("{target}-{seed}-{index}"));
    place(&folder.join("input"), input, &mut Input::default());
    let again = format!("{problem}\nagain: {target} --seed {seed} --from {index} --inputs 1\n");
    fs::write(folder.join("problem.txt"), &again).expect("a failure can be saved");
    eprintln!("{target}: input {index} of seed {seed}: {problem}\n  saved as {}", folder.display());
    folder
}

/// When the current input was begun, in milliseconds of the clock; 0 between inputs.
struct Watch {
    began: AtomicU64,
    index: AtomicU64,
    done: AtomicBool,
    /// Of the self-test, which goes on after a hang was found.
    found: Mutex<Option<u64>>,
}

struct Outcome {
    inputs: u64,
    accepted: u64,
    /// Largest share of what an input may allocate.
    ratio: f64,
    failures: u64,
}

/// What this process has used of a processor, whatever else the machine does; zero where Linux does not tell.
fn processor_time() -> Duration {
    const TICKS_PER_SECOND: u64 = 100;
    let text = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // Behind the name, which may have spaces: user and system time are fields 14 and 15.
    let fields = text.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace();
    let ticks: u64 = fields.skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    Duration::from_millis(1000 * ticks / TICKS_PER_SECOND)
}

/// Whether reading the input goes wrong, and how; whether it was accepted; the bytes it took.
fn judge(target: &Target, root: &Path, input: &Input) -> (Result<bool, String>, usize) {
    let (read, peak) = meter::peak(|| catch_unwind(AssertUnwindSafe(|| (target.read)(root, input))));
    let most = 4 * input.bytes() + ALLOWANCE;
    let result = match read {
        Err(_) => Err(PANIC.with_borrow(String::clone)),
        Ok(_) if peak > most => Err(format!("allocates {peak} bytes for {} of input, {most} are allowed", input.bytes())),
        Ok(accepted) => Ok(accepted),
    };
    (result, peak)
}

fn run(target: &'static Target, root: &Path, arguments: &Arguments, quiet: bool) -> Outcome {
    let (seeds, seed) = (Arc::new((target.seeds)()), arguments.seed);
    let start = Instant::now();
    let watch =
        Arc::new(Watch { began: AtomicU64::new(0), index: AtomicU64::new(0), done: AtomicBool::new(false), found: Mutex::new(None) });
    let guard = std::thread::spawn({
        let (watch, seeds) = (watch.clone(), seeds.clone());
        move || {
            // The input that is read, and the time of the processor when it was first seen.
            let mut seen = (0, Duration::ZERO);
            while !watch.done.load(SeqCst) {
                std::thread::sleep(Duration::from_millis(100));
                let (began, index, worked) = (watch.began.load(SeqCst), watch.index.load(SeqCst), processor_time());
                if seen.0 != began {
                    seen = (began, worked);
                }
                let waited = start.elapsed().as_millis() as u64 > began + (6 * LONGEST).as_millis() as u64;
                let late = began > 0 && (waited || worked - seen.1 > LONGEST);
                if late && quiet {
                    *watch.found.lock().expect("no one panics") = Some(index);
                } else if late {
                    save(
                        target.name,
                        seed,
                        index,
                        &make(target, &seeds, seed, index),
                        "takes longer than 5 seconds of the processor, or 30 in all",
                    );
                    exit(1);
                }
            }
        }
    });
    let mut outcome = Outcome { inputs: 0, accepted: 0, ratio: 0.0, failures: 0 };
    let mut before = Input::default();
    let most = arguments.inputs.unwrap_or(if arguments.seconds.is_some() { u64::MAX } else { 1_000_000 });
    let limit = Duration::from_secs(arguments.seconds.unwrap_or(u64::MAX >> 1));
    while outcome.inputs < most && start.elapsed() < limit {
        let index = arguments.from + outcome.inputs;
        let input = make(target, &seeds, seed, index);
        place(root, &input, &mut before);
        watch.index.store(index, SeqCst);
        watch.began.store(start.elapsed().as_millis() as u64 + 1, SeqCst);
        let (result, peak) = judge(target, root, &input);
        watch.began.store(0, SeqCst);
        outcome.inputs += 1;
        outcome.ratio = outcome.ratio.max(peak as f64 / (4 * input.bytes() + ALLOWANCE) as f64);
        match result {
            Ok(accepted) => {
                // Seeds are sound, or the rest means nothing.
                if !accepted && (index as usize) < seeds.len() && !quiet {
                    save(target.name, seed, index, &input, "a seed is refused");
                    outcome.failures += 1;
                }
                outcome.accepted += u64::from(accepted);
            }
            Err(problem) => {
                outcome.failures += 1;
                if !quiet {
                    save(target.name, seed, index, &input, &problem);
                }
            }
        }
        if outcome.failures >= 20 {
            break;
        }
    }
    watch.done.store(true, SeqCst);
    guard.join().expect("the watch ends");
    outcome.failures += u64::from(watch.found.lock().expect("no one panics").is_some());
    let seconds = start.elapsed().as_secs_f64();
    let Outcome { inputs, accepted, ratio, failures } = outcome;
    if !quiet {
        let share = 100.0 * accepted as f64 / inputs.max(1) as f64;
        println!(
            "{:<11} {inputs:>9} inputs {:>7.0}/s  {share:5.1} % accepted, {:5.1} % refused, at most {:5.1} % of the allowed memory, {failures} failures",
            target.name,
            inputs as f64 / seconds,
            100.0 - share,
            100.0 * ratio
        );
    }
    outcome
}

/// Faults made on purpose, all of which must be found.
static FAULTS: [Target; 3] = [
    Target { name: "panics", seeds: nothing, mutate: |_, _, _| {}, read: |_, _| panic!("on purpose") },
    Target { name: "hangs", seeds: nothing, mutate: |_, _, _| {}, read: |_, _| busy(LONGEST + LONGEST / 5) },
    Target {
        name: "allocates",
        seeds: nothing,
        mutate: |_, _, _| {},
        read: |_, _| std::hint::black_box(vec![1_u8; ALLOWANCE + 4096]).len() > 1,
    },
];

fn busy(long: Duration) -> bool {
    let start = processor_time();
    let clock = Instant::now();
    while processor_time() - start < long && clock.elapsed() < 8 * LONGEST {}
    true
}

fn nothing() -> Vec<Input> {
    vec![Input::of(&[("x", vec![0])])]
}

fn main() {
    let mut arguments = arguments();
    std::panic::set_hook(Box::new(|info| PANIC.set(format!("panics: {info}"))));
    // Pictures are decoded on this thread, so that memory is that of one.
    rayon::ThreadPoolBuilder::new().num_threads(1).use_current_thread().build_global().expect("the first pool");
    let shared = if Path::new("/dev/shm").is_dir() { PathBuf::from("/dev/shm") } else { std::env::temp_dir() };
    let root = shared.join(format!("wgraft-fuzz-{}", std::process::id()));
    let mut failures = 0;
    if arguments.self_test {
        arguments.inputs = Some(1);
        for fault in &FAULTS {
            let found = run(fault, &root, &arguments, true).failures == 1;
            println!("what {} is {}", fault.name, if found { "found" } else { "NOT FOUND" });
            failures += u64::from(!found);
        }
    } else {
        let wanted = |target: &&Target| arguments.targets.is_empty() || arguments.targets.iter().any(|name| name == target.name);
        for target in targets::ALL.iter().filter(wanted) {
            failures += run(target, &root, &arguments, false).failures;
        }
    }
    let _ = fs::remove_dir_all(&root);
    exit(i32::from(failures > 0))
}
