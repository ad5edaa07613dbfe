//! GPU against twin, kernel by kernel, with poisoned outputs and guard sentinels; and the proof that this notices.

use std::sync::Arc;

use super::mutations;
use crate::core::buffer::{Arena, Buf, Dtype, shape};
use crate::core::memory::HostMem;
use crate::core::program::{Exp, Tolerance};
use crate::core::shader::{Access, Shader};
use crate::error::DeviceError;
use crate::exec::{Executor, Gpu, GpuDevice, GpuOptions, repeat};
use crate::kernels::KernelEntry;

/// Words behind every allocation of a check.
const GUARD_WORDS: u32 = 256;
/// Behind inputs: a NaN, so that a read past the end shows in the result.
const INPUT_GUARD: u32 = 0x7FC0_BEEF;
/// Behind outputs: an ordinary number that nothing computes.
const OUTPUT_GUARD: u32 = 0xDEAD_BEEF;
/// In outputs whose old contents cannot matter: a NaN, so that an element left out differs from one set to zero.
const POISON: u32 = 0x7FC0_DEAD;

/// A difference beyond the tolerance.
#[derive(Clone, Debug)]
pub struct CaseFailure {
    pub case: String,
    pub what: String,
}

/// What comparing one kernel found.
#[derive(Clone, Debug, Default)]
pub struct KernelReport {
    pub name: &'static str,
    /// Cases times variants.
    pub cases: usize,
    /// The largest share of the tolerance that any element used; above 1 is a failure.
    pub worst: f64,
    pub failures: Vec<CaseFailure>,
}

impl KernelReport {
    pub fn ok(&self) -> bool {
        self.failures.is_empty() && self.cases > 0
    }
}

/// Compares every variant of a kernel with its twin over all its cases.
pub fn check_kernel(device: &Arc<GpuDevice>, entry: &KernelEntry, max_groups: Option<u64>) -> Result<KernelReport, DeviceError> {
    let mut report = KernelReport { name: entry.name, ..Default::default() };
    for variant in 0..variants(entry)? {
        let options = GpuOptions { variant: Some(variant), max_groups, ..Default::default() };
        let one = run_cases(device, entry, &options, &|_| true, false)?;
        if one.cases == 0 {
            let what = "no case fits it".into();
            report.failures.push(CaseFailure { case: format!("variant {variant}"), what });
        }
        report.cases += one.cases;
        report.worst = larger(report.worst, one.worst);
        report.failures.extend(one.failures.into_iter().map(|f| CaseFailure { case: format!("variant {variant}, {}", f.case), ..f }));
    }
    Ok(report)
}

/// Compares what CPU training runs with the twins.
pub fn check_fast(entry: &KernelEntry) -> Result<KernelReport, DeviceError> {
    compare_fast(entry, Exp::Specified)
}

fn compare_fast(entry: &KernelEntry, exp: Exp) -> Result<KernelReport, DeviceError> {
    let (arena, program) = record(entry)?;
    let (mem, fast) = (HostMem::new(&arena), HostMem::new(&arena));
    let mut report = KernelReport { name: entry.name, cases: program.calls.len(), ..Default::default() };
    for call in &program.calls {
        let outputs = call.kernel.outputs();
        for (_, buf, _) in outputs.iter().filter(|(_, _, access)| *access == Access::Write) {
            [&mem, &fast].into_iter().for_each(|m| m.write(*buf, &vec![POISON; buf.shape.words() as usize]));
        }
        let tolerances: Vec<Tolerance> = outputs.iter().map(|(name, ..)| call.kernel.tolerance(name, &mem, exp)).collect();
        call.kernel.twin(&mem);
        call.kernel.fast(&fast);
        for ((name, buf, _), tolerance) in outputs.into_iter().zip(tolerances) {
            let compared = compare(buf, &tolerance, &mem.read(buf), &fast.read(buf));
            report.worst = larger(report.worst, compared.worst);
            let what = compared.failure.map(|what| format!("`{name}` {}x{}: {what}", buf.rows(), buf.cols()));
            report.failures.extend(what.map(|what| CaseFailure { case: call.label.clone(), what }));
        }
    }
    Ok(report)
}

/// Which mutations of a kernel's shaders the comparison noticed.
#[derive(Clone, Debug)]
pub struct SelfTestReport {
    pub name: &'static str,
    /// What was put into the text, what was there, and whether it was caught.
    pub mutations: Vec<(String, String, bool)>,
}

/// Mutates the kernel's shaders one place at a time and repeats the comparison. Where a place is dead code in one variant
/// (another layout's branch), being caught in some variant counts.
pub fn self_test_kernel(device: &Arc<GpuDevice>, entry: &KernelEntry) -> Result<SelfTestReport, DeviceError> {
    let mut report = SelfTestReport { name: entry.name, mutations: Vec::new() };
    for variant in 0..variants(entry)? {
        for shader in shaders(entry, variant)? {
            for mutation in mutations(shader) {
                let known = report.mutations.iter().position(|(now, was, _)| (now, was) == (&mutation.now, &mutation.was));
                let at = known.unwrap_or_else(|| {
                    report.mutations.push((mutation.now.clone(), mutation.was.clone(), false));
                    report.mutations.len() - 1
                });
                if !report.mutations[at].2 {
                    let options = GpuOptions { variant: Some(variant), source: Some(mutation.source), ..Default::default() };
                    let same = |text: &str| text == shader.source;
                    report.mutations[at].2 = !run_cases(device, entry, &options, &same, true)?.failures.is_empty();
                }
            }
        }
    }
    Ok(report)
}

fn record(entry: &KernelEntry) -> Result<(Arena, crate::core::program::Program), DeviceError> {
    let mut arena = Arena::guarded(1, GUARD_WORDS);
    let program = entry.record(&mut arena).map_err(|e| DeviceError(e.to_string()))?;
    Ok((arena, program))
}

/// The most variants that a case of a kernel has.
pub fn variants(entry: &KernelEntry) -> Result<usize, DeviceError> {
    Ok(record(entry)?.1.calls.iter().map(|call| call.kernel.variants().len()).max().unwrap_or(0))
}

/// The different modules behind one variant number: a kernel may have one per layout.
fn shaders(entry: &KernelEntry, variant: usize) -> Result<Vec<&'static Shader>, DeviceError> {
    let mut found: Vec<&'static Shader> = Vec::new();
    for call in &record(entry)?.1.calls {
        let shader = call.kernel.variants().get(variant).map(|v| call.kernel.shader(v));
        found.extend(shader.filter(|s| !found.iter().any(|f| f.source == s.source)));
    }
    Ok(found)
}

fn run_cases(
    device: &Arc<GpuDevice>,
    entry: &KernelEntry,
    options: &GpuOptions,
    wanted: &dyn Fn(&str) -> bool,
    stop_at_first: bool,
) -> Result<KernelReport, DeviceError> {
    let (arena, mut program) = record(entry)?;
    let number = options.variant.unwrap_or(0);
    // Where a variant does not fit a call, another one would run in its place.
    program.calls.retain(|call| call.kernel.variants().get(number).is_some_and(|v| call.kernel.fits(v) && wanted(&call.kernel.source(v))));
    let programs = Arc::new(vec![program]);
    let mem = HostMem::new(&arena);
    for named in arena.bufs() {
        guard_of(&mem, named.buf).copy_from_slice(&[INPUT_GUARD; GUARD_WORDS as usize]);
    }
    for (_, buf, access) in programs[0].calls.iter().flat_map(|c| c.kernel.outputs()) {
        if access == Access::Write {
            mem.write(buf, &vec![POISON; buf.shape.words() as usize]);
        }
        guard_of(&mem, buf).copy_from_slice(&[OUTPUT_GUARD; GUARD_WORDS as usize]);
    }
    let mut gpu = Gpu::load(device.clone(), &arena, &mem, programs.clone(), options)?;
    gpu.run(&repeat(&programs, 0, 1))?;

    let exp = Exp::of(device.class());
    let mut report = KernelReport { name: entry.name, cases: programs[0].calls.len(), ..Default::default() };
    for call in &programs[0].calls {
        let outputs = call.kernel.outputs();
        let tolerances: Vec<Tolerance> = outputs.iter().map(|(name, ..)| call.kernel.tolerance(name, &mem, exp)).collect();
        call.kernel.twin(&mem);
        for ((name, buf, _), tolerance) in outputs.into_iter().zip(tolerances) {
            let words = buf.shape.words() as u32;
            let all = gpu.read(Buf { shape: shape(1, words + GUARD_WORDS), ..buf })?;
            let (actual, guard) = all.split_at(words as usize);
            let compared = compare(buf, &tolerance, &mem.read(buf), actual);
            report.worst = larger(report.worst, compared.worst);
            let overrun = guard.iter().position(|&w| w != OUTPUT_GUARD).map(|i| format!("word {i} behind the end was overwritten"));
            let what = compared.failure.or(overrun).map(|what| format!("`{name}` {}x{}: {what}", buf.rows(), buf.cols()));
            report.failures.extend(what.map(|what| CaseFailure { case: call.label.clone(), what }));
        }
        if stop_at_first && !report.failures.is_empty() {
            break;
        }
    }
    Ok(report)
}

/// The guard words behind a buffer that is an allocation of its own.
fn guard_of(mem: &HostMem, buf: Buf) -> impl std::ops::DerefMut<Target = [u32]> + '_ {
    struct Guard<'a>(std::sync::RwLockWriteGuard<'a, Vec<u32>>, usize);
    impl std::ops::Deref for Guard<'_> {
        type Target = [u32];
        fn deref(&self) -> &[u32] {
            &self.0[self.1..]
        }
    }
    impl std::ops::DerefMut for Guard<'_> {
        fn deref_mut(&mut self) -> &mut [u32] {
            &mut self.0[self.1..]
        }
    }
    Guard(mem.alloc_mut(buf.alloc as usize), buf.range().end)
}

/// A NaN is larger than all.
fn larger(a: f64, b: f64) -> f64 {
    if a.is_nan() || b <= a { a } else { b }
}

/// The words of all outputs of a variant's cases, for comparisons to the bit. `max_groups` of a dispatch, at most.
pub fn outputs_of(
    device: &Arc<GpuDevice>,
    entry: &KernelEntry,
    variant: usize,
    max_groups: Option<u64>,
) -> Result<Vec<Vec<u32>>, DeviceError> {
    let (arena, mut program) = record(entry)?;
    program.calls.retain(|call| call.kernel.variants().get(variant).is_some_and(|v| call.kernel.fits(v)));
    let programs = Arc::new(vec![program]);
    let options = GpuOptions { variant: Some(variant), max_groups, ..Default::default() };
    let mut gpu = Gpu::load(device.clone(), &arena, &HostMem::new(&arena), programs.clone(), &options)?;
    gpu.run(&repeat(&programs, 0, 1))?;
    programs[0].calls.iter().flat_map(|call| call.kernel.outputs()).map(|(_, buf, _)| gpu.read(buf)).collect()
}

/// How two versions of a buffer differ.
#[derive(Clone, Debug, Default)]
pub struct Comparison {
    /// Largest share of the tolerance used.
    pub worst: f64,
    /// The worst element, if it is beyond the tolerance.
    pub failure: Option<String>,
}

/// Compares padded words. Pads must be zero, integers equal; what both leave poisoned is a difference, as is a NaN that the twin
/// does not have.
pub fn compare(buf: Buf, tolerance: &Tolerance, expected: &[u32], actual: &[u32]) -> Comparison {
    let (cols, stride) = (buf.cols() as usize, buf.shape.stride() as usize);
    let mut found = Comparison::default();
    for (i, (&e, &a)) in expected.iter().zip(actual).enumerate() {
        let (row, col) = (i / stride, i % stride);
        // What neither side wrote is equal, and wrong: a pad must be zero, an element something.
        let unwritten = e == POISON || (col >= cols && [e, a].iter().any(|&word| f32::from_bits(word) != 0.0));
        if e == a && !unwritten {
            continue;
        }
        let (share, what) = if unwritten || buf.dtype == Dtype::U32 || col >= cols {
            let zeros = !unwritten && col >= cols;
            (if zeros { 0.0 } else { f64::INFINITY }, format!("twin has {e:#x}, device {a:#x}"))
        } else {
            let (e, a) = (f64::from(f32::from_bits(e)), f64::from(f32::from_bits(a)));
            let (difference, bound) = ((e - a).abs(), tolerance.bound(row * cols + col, e));
            // A NaN is not within anything.
            let within = difference <= bound;
            let share = if difference == 0.0 {
                0.0
            } else if within {
                difference / bound
            } else {
                (difference / bound).max(1.0 + f64::EPSILON)
            };
            (share, format!("twin has {e:e}, device {a:e}, {:.3} of the tolerance {bound:e}", difference / bound))
        };
        if share > found.worst || found.failure.is_none() && share > 1.0 {
            found.worst = share;
            found.failure = (share > 1.0).then(|| format!("at [{row}, {col}]: {what}"));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::program::Kernel;
    use crate::core::shader::Variant;
    use crate::kernels::Cases;
    use crate::kernels::activation::{Activate, Function};

    /// tanh by an exponential that is too large by so many units in the last place.
    struct TanhOffBy<const UNITS: u32>(Activate);

    impl<const UNITS: u32> Kernel for TanhOffBy<UNITS> {
        fn bufs(&self) -> Vec<(&'static str, Buf)> {
            self.0.bufs()
        }

        fn params(&self) -> Vec<(&'static str, crate::core::program::Scalar)> {
            self.0.params()
        }

        fn constants(&self) -> Vec<(&'static str, u32)> {
            self.0.constants()
        }

        fn variants(&self) -> &'static [Variant] {
            self.0.variants()
        }

        fn check_shapes(&self) -> Result<(), String> {
            self.0.check_shapes()
        }

        fn twin(&self, m: &HostMem) {
            self.0.twin(m);
        }

        fn fast(&self, m: &HostMem) {
            let x = m.f32(self.0.x);
            m.f32_mut(self.0.y).for_each_row(|r, y| {
                for (y, x) in y.iter_mut().zip(x.row(r)) {
                    let e = (-2.0 * x).exp() * (1.0 + UNITS as f32 * f32::EPSILON);
                    *y = (1.0 - e) / (1.0 + e);
                }
            });
        }

        fn tolerance(&self, output: &str, m: &HostMem, exp: Exp) -> Tolerance {
            self.0.tolerance(output, m, exp)
        }
    }

    #[test]
    fn an_exponential_off_by_ten_units_is_noticed_where_exponentials_are_exact() {
        fn cases<const UNITS: u32>(c: &mut Cases<'_>) {
            let (x, y) = (c.floats((0..64).map(|i| 0.25 + i as f32 / 32.0)), c.output(1, 64));
            c.add(TanhOffBy::<UNITS>(Activate { function: Function::Tanh, x, y }));
        }
        let (right, off) = (KernelEntry { name: "right", cases: cases::<0> }, KernelEntry { name: "off", cases: cases::<10> });
        assert!(check_fast(&right).expect("it runs").ok());
        let report = check_fast(&off).expect("it runs");
        assert!(!report.ok() && report.worst > 1.2, "{:.3} of the tolerance", report.worst);
        assert!(compare_fast(&off, Exp::Software).expect("it runs").ok(), "what was seen of drivers is allowed to them");
    }

    /// What is found where a row of three has these words, and a word of pad.
    fn found(expected: [u32; 4], actual: [u32; 4]) -> bool {
        let mut arena = Arena::new(1, u64::MAX);
        let buf = arena.input("x", Dtype::F32, shape(1, 3));
        compare(buf, &Tolerance::Exact, &expected, &actual).failure.is_some()
    }

    #[test]
    fn what_neither_side_wrote_is_a_difference() {
        let [one, two] = [1.0_f32, 2.0].map(f32::to_bits);
        assert!(!found([one, one, two, 0], [one, one, two, 0]));
        assert!(!found([one, one, two, 0], [one, one, two, (-0.0_f32).to_bits()]), "zero of either sign");
        assert!(found([one, one, two, 0], [one, one, one, 0]));
        assert!(found([one, one, two, 0], [one, one, f32::NAN.to_bits(), 0]));
        assert!(found([one, one, two, 0], [one, one, two, one]), "a pad that the device wrote");
        assert!(found([one, one, two, POISON], [one, one, two, POISON]), "a pad that nobody wrote");
        assert!(found([one, one, two, one], [one, one, two, one]), "a pad that both wrote");
        assert!(found([one, one, POISON, 0], [one, one, POISON, 0]), "an element that nobody wrote");
    }

    #[test]
    fn a_nan_is_the_larger_error() {
        assert!(larger(1.0, f64::NAN).is_nan() && larger(f64::NAN, 1.0).is_nan());
        assert_eq!((larger(1.0, 2.0), larger(2.0, 1.0)), (2.0, 2.0));
    }
}
