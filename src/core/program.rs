//! A training step is data: an ordered list of kernel calls over named buffers.
//!
//! Both executors run the same list, so comparing after each call, profiling, printing and replaying are functions over
//! it. A program is recorded for one batch size and replayed; whatever differs from step to step lives in a buffer.

use std::fmt::Write;

use crate::core::buffer::{Arena, Buf, TooLarge};
use crate::core::memory::HostMem;
use crate::core::shader::{Access, DeviceClass, Shader, TexelGrid, Variant};

/// WebGPU's default for storage buffers in one shader stage.
const MAX_STORAGE_BUFFERS: usize = 8;

/// A member of a kernel's `params` uniform.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Scalar {
    U32(u32),
    F32(f32),
}

impl From<u32> for Scalar {
    fn from(value: u32) -> Self {
        Scalar::U32(value)
    }
}

impl From<f32> for Scalar {
    fn from(value: f32) -> Self {
        Scalar::F32(value)
    }
}

/// WGSL's uniforms know no truth values: 1 or 0.
impl From<bool> for Scalar {
    fn from(value: bool) -> Self {
        Scalar::U32(value.into())
    }
}

impl Scalar {
    pub fn bits(self) -> u32 {
        match self {
            Scalar::U32(v) => v,
            Scalar::F32(v) => v.to_bits(),
        }
    }
}

/// How far a device's result may lie from the twin's. Integer buffers must always be equal.
#[derive(Clone, Debug)]
pub enum Tolerance {
    /// Equal as numbers: the kernel only moves or zeroes values.
    Exact,
    /// `|a - b| <= abs + rel * |twin|`.
    Within { abs: f64, rel: f64 },
    /// A bound for each element, dense and row by row.
    Each(Vec<f64>),
}

/// Half a unit in the last place of f32, relative: the rounding error of one operation.
pub const EPSILON: f64 = 1.0 / (1 << 24) as f64;

/// How exact exponentials are on what runs a program: the one function whose error differs so much between devices that kernels
/// with it have a tolerance for each kind.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Exp {
    /// As WGSL has it, 3 + 2|x| units in the last place: GPUs, and the CPU path, whose own errs by less.
    Specified,
    /// 20 + 2|x|: software drivers were seen at 17 for small |x|.
    Software,
}

impl Exp {
    pub fn of(class: DeviceClass) -> Self {
        match class {
            DeviceClass::Hardware => Exp::Specified,
            DeviceClass::Software => Exp::Software,
        }
    }

    /// Largest relative error of `exp(x)`.
    pub fn error(self, x: f64) -> f64 {
        let units = match self {
            Exp::Specified => 3.0,
            Exp::Software => 20.0,
        };
        // A unit in the last place is at most 2^-23 of the value.
        (units + 2.0 * x.abs()) * 2.0 * EPSILON
    }
}

impl Tolerance {
    /// For values made of a few roundings each, `ulps` units in the last place in all.
    pub fn ulps(ulps: f64) -> Self {
        Tolerance::Within { abs: f64::from(f32::MIN_POSITIVE), rel: 2.0 * ulps * EPSILON }
    }

    /// The bound for element `index`, where the twin computed `expected`.
    pub fn bound(&self, index: usize, expected: f64) -> f64 {
        match self {
            Tolerance::Exact => 0.0,
            Tolerance::Within { abs, rel } => abs + rel * expected.abs(),
            Tolerance::Each(bounds) => bounds[index],
        }
    }
}

/// A kernel: mathematics (a twin, a tolerance) and one or more WGSL variants of it.
///
/// A call is a value of a kernel's type: its fields are the buffers, named as in the WGSL. The macro `interface!` in
/// `src/kernels/mod.rs` writes those methods that only repeat such names.
pub trait Kernel: Send + Sync {
    /// Storage buffers by their WGSL names.
    fn bufs(&self) -> Vec<(&'static str, Buf)>;

    /// Members of the `params` uniform by their WGSL names.
    fn params(&self) -> Vec<(&'static str, Scalar)> {
        Vec::new()
    }

    fn variants(&self) -> &'static [Variant];

    /// What of the call is known when its shader is compiled: constants put before the source, along with the variant's.
    fn constants(&self) -> Vec<(&'static str, u32)> {
        Vec::new()
    }

    /// How many invocations the call needs; they fill one-dimensional workgroups. By default one for each quad of the last
    /// buffer, which is the output of most kernels.
    fn invocations(&self, _variant: &Variant) -> u64 {
        self.bufs().last().map_or(0, |(_, buf)| buf.shape.words() / 4)
    }

    /// Says what is wrong if the buffers' shapes do not belong together.
    fn check_shapes(&self) -> Result<(), String>;

    /// Whether this call reads old contents of outputs that the WGSL both reads and writes. Where it does not, checks
    /// poison them first. By default what the parameter `accumulate` or the constant `ACCUMULATE` says, and yes if there is none.
    fn accumulates(&self) -> bool {
        let params = self.params().into_iter().map(|(name, value)| (name, value.bits()));
        params.chain(self.constants()).find(|(name, _)| ["accumulate", "ACCUMULATE"].contains(name)).is_none_or(|(_, value)| value != 0)
    }

    /// Whether this call leaves some of its outputs as they were. Where it does not, checks poison them first, and nothing may stay
    /// so.
    fn leaves_some(&self) -> bool {
        false
    }

    /// The reference: plain loops over rows, sums in f64.
    fn twin(&self, m: &HostMem);

    /// What CPU training runs; checked against the twin.
    fn fast(&self, m: &HostMem) {
        self.twin(m);
    }

    /// The allowed difference in the output called `output`, given the inputs in `m`, before the call runs, where exponentials
    /// are as exact as `exp` says.
    fn tolerance(&self, output: &str, m: &HostMem, exp: Exp) -> Tolerance;

    /// Multiplications and additions of the formula, where they are what the kernel is about.
    fn flops(&self) -> u64 {
        0
    }

    /// Bytes that must be read and written. By default: all of every buffer.
    fn bytes(&self) -> u64 {
        let mut bufs: Vec<Buf> = self.bufs().into_iter().map(|(_, buf)| buf).collect();
        bufs.sort_by_key(|buf| (buf.alloc, buf.offset));
        // The same buffer in the place of one that is not used costs nothing.
        bufs.dedup();
        4 * bufs.iter().map(|buf| buf.shape.words()).sum::<u64>()
    }

    /// Rough operations of any kind, for keeping dispatches short.
    fn work(&self) -> u64 {
        match self.flops() {
            0 => 2 * self.bytes(),
            flops => flops,
        }
    }
}

impl dyn Kernel + '_ {
    /// The shader's name, which is also the kernel's.
    pub fn name(&self) -> &'static str {
        self.variants()[0].name
    }

    /// The WGSL module of a variant for this call.
    pub fn source(&self, variant: &Variant) -> String {
        variant.source(&self.constants())
    }

    pub fn shader(&self, variant: &Variant) -> &'static Shader {
        Shader::of(variant.name, self.source(variant))
    }

    /// What tells variant number `variant` from the others, for people and for the file of tuned choices.
    pub fn describe(&self, variant: usize) -> String {
        let variant = &self.variants()[variant];
        let scheme = if variant.find("DEPTH").is_some() { "shared memory" } else { "registers" };
        let from = if self.shader(variant).bindings.iter().any(|b| b.texture) { "textures" } else { "buffers" };
        let consts = variant.consts.iter().map(|(name, value)| format!(", {} {value}", name.to_lowercase()));
        format!("{scheme}, {from}{}", consts.collect::<String>())
    }

    pub fn groups(&self, variant: &Variant) -> u64 {
        self.invocations(variant).div_ceil(u64::from(variant.constant("WG")))
    }

    /// The variant that a device uses unless told otherwise.
    pub fn default_variant(&self, class: DeviceClass) -> usize {
        let suits = |v: &Variant| v.default_for.contains(&class) && self.fits(v) && self.invocations(v) >= v.least_invocations;
        self.variants().iter().position(suits).unwrap_or(0)
    }

    /// Whether the variant's textures can hold its operands. The first variant of a kernel has none.
    pub fn fits(&self, variant: &Variant) -> bool {
        let bufs = self.bufs();
        let textures = self.shader(variant).bindings.iter().filter(|b| b.texture);
        textures.into_iter().all(|b| bufs.iter().any(|(name, buf)| *name == b.name && TexelGrid::of(buf.shape).is_some()))
    }

    /// The buffers with what this call does to them.
    pub fn accesses(&self) -> Vec<(&'static str, Buf, Access)> {
        let shader = self.shader(&self.variants()[0]);
        let access = |name| match shader.access(name) {
            Access::ReadWrite if !self.accumulates() => Access::Write,
            Access::Write if self.leaves_some() => Access::ReadWrite,
            access => access,
        };
        self.bufs().into_iter().map(|(name, buf)| (name, buf, access(name))).collect()
    }

    /// The buffers that a call changes.
    pub fn outputs(&self) -> Vec<(&'static str, Buf, Access)> {
        self.accesses().into_iter().filter(|(_, _, access)| *access != Access::Read).collect()
    }
}

pub struct Call {
    /// What this call computes, in the model's words.
    pub label: String,
    pub kernel: Box<dyn Kernel>,
}

/// Why a program cannot be recorded.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RecordError {
    #[error("program `{program}`: {too_large}")]
    TooLarge { program: String, too_large: TooLarge },
    #[error("program `{program}`: two values are called `{name}`; give ops of one program names of their own")]
    SameName { program: String, name: String },
    #[error("program `{program}`, call {index} `{label}` ({kernel}): {why}")]
    Refused { program: String, index: usize, label: String, kernel: &'static str, why: String },
}

/// An ordered list of calls, recorded once.
pub struct Program {
    pub name: String,
    pub calls: Vec<Call>,
}

impl Program {
    pub fn new(name: impl Into<String>) -> Self {
        Program { name: name.into(), calls: Vec::new() }
    }

    /// Appends a call, unless WebGPU would refuse it later; the error names the call.
    pub fn push(&mut self, arena: &Arena, label: impl Into<String>, kernel: impl Kernel + 'static) -> Result<(), RecordError> {
        self.push_boxed(arena, label.into(), Box::new(kernel))
    }

    pub(crate) fn push_boxed(&mut self, arena: &Arena, label: String, kernel: Box<dyn Kernel>) -> Result<(), RecordError> {
        self.check(arena)?;
        let checked = if arena.is_outline() { &[] } else { kernel.variants() };
        match checked.iter().try_for_each(|variant| refuse(&*kernel, variant)) {
            Ok(()) => {
                self.calls.push(Call { label, kernel });
                Ok(())
            }
            Err(why) => {
                Err(RecordError::Refused { program: self.name.clone(), index: self.calls.len(), label, kernel: kernel.name(), why })
            }
        }
    }

    /// Fails if some buffer is too large for the device.
    pub(crate) fn check(&self, arena: &Arena) -> Result<(), RecordError> {
        arena.check().map_err(|too_large| RecordError::TooLarge { program: self.name.clone(), too_large })
    }

    /// One call per line: number, label, kernel, outputs <- inputs, with shapes.
    pub fn describe(&self, arena: &Arena) -> String {
        let mut text = String::new();
        let label_width = self.calls.iter().map(|c| c.label.len()).max().unwrap_or(0);
        let kernel_width = self.calls.iter().map(|c| c.kernel.name().len()).max().unwrap_or(0);
        for (i, call) in self.calls.iter().enumerate() {
            let name = |buf: Buf| format!("{}[{}x{}]", arena.name(buf), buf.rows(), buf.cols());
            let list = |keep: &dyn Fn(Access) -> bool| {
                let mut names: Vec<String> = Vec::new();
                for (_, buf, access) in call.kernel.accesses() {
                    if keep(access) && !names.contains(&name(buf)) {
                        names.push(name(buf));
                    }
                }
                names.join(", ")
            };
            let (outputs, inputs) = (list(&|a| a != Access::Read), list(&|a| a != Access::Write));
            writeln!(text, "{i:3}  {:label_width$}  {:kernel_width$}  {outputs} <- {inputs}", call.label, call.kernel.name())
                .expect("writing to a string");
        }
        text
    }
}

/// The first reason why WebGPU, or the pairing of Rust and WGSL by name, would refuse this call.
fn refuse(kernel: &dyn Kernel, variant: &Variant) -> Result<(), String> {
    kernel.check_shapes()?;
    let shader = kernel.shader(variant);
    let (bufs, params) = (kernel.bufs(), kernel.params());
    if kernel.invocations(variant) == 0 {
        return Err("nothing to do: the dispatch has size zero".into());
    }
    let storage = shader.bindings.iter().filter(|b| !b.texture).count();
    if storage > MAX_STORAGE_BUFFERS {
        return Err(format!("{storage} storage buffers, WebGPU grants {MAX_STORAGE_BUFFERS}"));
    }
    same_names("binding", &bufs.iter().map(|b| b.0).collect::<Vec<_>>(), &shader.bindings.iter().map(|b| &*b.name).collect::<Vec<_>>())?;
    same_names(
        "parameter",
        &params.iter().map(|p| p.0).collect::<Vec<_>>(),
        &shader.members().iter().map(|m| &*m.name).collect::<Vec<_>>(),
    )?;
    for binding in &shader.bindings {
        let (name, buf) = bufs.iter().find(|(name, _)| *name == binding.name).expect("names agree");
        if buf.dtype != binding.dtype {
            return Err(format!("binding `{name}` holds {:?}, the shader wants {:?}", buf.dtype, binding.dtype));
        }
        if buf.shape.is_empty() {
            return Err(format!("binding `{name}` is empty"));
        }
        // A buffer is either read or written by a dispatch; different parts of it may be written.
        let written = |name| shader.bindings.iter().any(|b| b.name == name && b.access != Access::Read);
        let clash = bufs.iter().find(|(other, b)| other != name && b.alloc == buf.alloc && (b.overlaps(*buf) || !written(*other)));
        if let (Some((other, _)), true) = (clash, binding.access != Access::Read) {
            return Err(format!("bindings `{name}` and `{other}` share an allocation and `{name}` is written"));
        }
    }
    for member in shader.members() {
        let (name, value) = params.iter().find(|(name, _)| *name == member.name).expect("names agree");
        if matches!(value, Scalar::F32(_)) != (member.dtype == crate::core::buffer::Dtype::F32) {
            return Err(format!("parameter `{name}` is {value:?}, the shader wants {:?}", member.dtype));
        }
    }
    Ok(())
}

fn same_names(what: &str, rust: &[&str], wgsl: &[&str]) -> Result<(), String> {
    let only = |a: &[&str], b: &[&str]| a.iter().find(|n| !b.contains(n)).map(|n| n.to_string());
    match (only(rust, wgsl), only(wgsl, rust)) {
        (Some(name), _) => Err(format!("{what} `{name}` is unknown to the shader")),
        (_, Some(name)) => Err(format!("{what} `{name}` of the shader is not given")),
        _ => Ok(()),
    }
}
