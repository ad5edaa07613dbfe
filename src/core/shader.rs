//! WGSL is the truth about a kernel's interface; this module reads it with naga so that nothing is restated in Rust.
//!
//! A module's text is: the variant's constants, `common.wgsl`, then the kernel's own parts. Reflection, validation and
//! pipeline creation all use that same text.

use std::collections::HashMap;
use std::fmt::Write;
use std::sync::{LazyLock, Mutex};

use naga::valid::{Capabilities, GlobalUse, ValidationFlags, Validator};
use naga::{AddressSpace, Handle, ImageClass, ImageDimension, Scalar as NagaScalar, ScalarKind, Type, TypeInner};

use crate::core::buffer::{Dtype, Shape};

/// What executes shaders: chips, or a CPU pretending to be one. Barriers and shared memory pay on the first only.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DeviceClass {
    Hardware,
    Software,
}

/// One way to compute a kernel: sources and tile sizes. Variants add up the same terms in the same order, so they differ
/// in speed alone, but for compilers that fuse multiply-adds here and not there; `tune` refuses those.
pub struct Variant {
    /// The stem of the file in `shaders/`.
    pub name: &'static str,
    pub parts: &'static [&'static str],
    /// Put before the source as `const NAME: u32`. Workgroup size `WG` is 64 unless given here.
    pub consts: &'static [(&'static str, u32)],
    /// The devices that this variant is the default for, if its operands fit; the others wait for `tune` to find them.
    pub default_for: &'static [DeviceClass],
    /// Large tiles leave a device idle where there are few: the variant is no default for calls with fewer invocations.
    pub least_invocations: u64,
}

impl Variant {
    pub const fn plain(name: &'static str, parts: &'static [&'static str]) -> Self {
        Variant { name, parts, consts: &[], default_for: &[DeviceClass::Hardware, DeviceClass::Software], least_invocations: 0 }
    }

    /// The value of a constant of this variant.
    pub fn constant(&self, name: &str) -> u32 {
        self.find(name).unwrap_or_else(|| if name == "WG" { 64 } else { panic!("`{}` has no constant `{name}`", self.name) })
    }

    /// The value of a constant that only some variants have.
    pub fn find(&self, name: &str) -> Option<u32> {
        self.consts.iter().find(|(n, _)| *n == name).map(|&(_, v)| v)
    }

    /// The complete WGSL module, with what a call adds to the constants.
    pub fn source(&self, of_call: &[(&'static str, u32)]) -> String {
        let mut text = format!("const WG: u32 = {}u;\n", self.constant("WG"));
        for (name, value) in self.consts.iter().chain(of_call).filter(|(name, _)| *name != "WG") {
            writeln!(text, "const {name}: u32 = {value}u;").expect("writing to a string");
        }
        text.push_str(include_str!("../../shaders/common.wgsl"));
        for part in self.parts {
            text.push_str(part);
        }
        text
    }
}

/// The text of a file in `shaders/`, by its stem.
#[macro_export]
macro_rules! wgsl {
    ($name:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/shaders/", $name, ".wgsl"))
    };
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    Read,
    /// Stored to and never loaded: old contents cannot matter.
    Write,
    ReadWrite,
}

/// A buffer as the shader sees it.
#[derive(Clone, Debug)]
pub struct Binding {
    pub name: String,
    pub index: u32,
    pub access: Access,
    pub dtype: Dtype,
    /// Declared as `texture_2d<f32>`: before the call, the executor copies the buffer into one, laid out as
    /// [`TexelGrid`] says. Where the same buffer is bound to be written, too, the texture is called `old_` and its name.
    pub texture: bool,
}

/// How the quads of a matrix lie in a texture: in memory order, with as many rows side by side in each line of texels as a
/// power of two, so that shaders find a row with a mask and a shift. Rows longer than a line run on in the next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TexelGrid {
    /// Texels in a line, and lines.
    pub width: u32,
    pub height: u32,
    /// log2 of the rows in a line; of the texels in a line, if rows run on.
    pub line_shift: u32,
    pub rows_run_on: bool,
}

impl TexelGrid {
    /// WebGPU's default for the sides of a texture, less one for `room`.
    const MAX_SIDE: u32 = 8191;
    /// Quads: copies from buffers want lines of whole 256 bytes.
    const LINE_ALIGN: u32 = 16;
    /// Long lines make fewer copies of it, so lines are at least this long where there are rows to fill them.
    const GOOD_LINE: u32 = 512;
    /// log2 of the line where rows run on.
    const LONG_LINE: u32 = 12;

    /// Sides of the texture. Drivers may compile a kernel anew for sides that are powers of two: so none are.
    pub fn room(self) -> (u32, u32) {
        let odd = |side: u32| if side.is_power_of_two() { side + 1 } else { side };
        (odd(self.width), odd(self.height))
    }

    /// Bytes of the texture.
    pub fn bytes(self) -> u64 {
        16 * u64::from(self.room().0) * u64::from(self.room().1)
    }

    /// `None` if no texture within WebGPU's default limits holds the matrix.
    pub fn of(shape: Shape) -> Option<Self> {
        let quads = shape.stride() / 4;
        let whole_rows = (0..13).map(|line_shift| TexelGrid {
            width: quads.saturating_mul(1 << line_shift),
            height: shape.rows.div_ceil(1 << line_shift),
            line_shift,
            rows_run_on: false,
        });
        let lines = (shape.words() / 4).div_ceil(1 << Self::LONG_LINE);
        let long = TexelGrid {
            width: 1 << Self::LONG_LINE,
            height: u32::try_from(lines).unwrap_or(u32::MAX),
            line_shift: Self::LONG_LINE,
            rows_run_on: true,
        };
        let fits = |grid: &TexelGrid| {
            let aligned = grid.height == 1 || grid.width.is_multiple_of(Self::LINE_ALIGN) && grid.width >= Self::GOOD_LINE;
            aligned && grid.width <= Self::MAX_SIDE && grid.height <= Self::MAX_SIDE
        };
        whole_rows.chain([long]).find(fits)
    }
}

#[derive(Clone, Debug)]
pub struct Member {
    pub name: String,
    /// Bytes from the start of the uniform.
    pub offset: u32,
    pub dtype: Dtype,
}

/// A parsed module and its interface.
pub struct Shader {
    pub source: String,
    pub module: naga::Module,
    /// Buffers of group 0, by binding index.
    pub bindings: Vec<Binding>,
    /// The uniform `params` of group 0: binding index, bytes, members.
    pub params: Option<(u32, u32, Vec<Member>)>,
    pub workgroup_size: u32,
}

impl Shader {
    /// The module of a kernel's own text, parsed once per process. Panics if it is not valid, which is a mistake of its
    /// author.
    pub fn of(name: &str, source: String) -> &'static Shader {
        static KNOWN: LazyLock<Mutex<HashMap<String, &'static Shader>>> = LazyLock::new(Default::default);
        let known = KNOWN.lock().expect("no panic while looking").get(&source).copied();
        known.unwrap_or_else(|| {
            let shader = Shader::parse(&source).unwrap_or_else(|e| panic!("shaders/{name}.wgsl: {e}"));
            let shader: &'static Shader = Box::leak(Box::new(shader));
            KNOWN.lock().expect("no panic while inserting").insert(source, shader);
            shader
        })
    }

    fn parse(source: &str) -> Result<Self, String> {
        let module = naga::front::wgsl::parse_str(source).map_err(|e| e.emit_to_string(source))?;
        let info = Validator::new(ValidationFlags::all(), Capabilities::empty()).validate(&module).map_err(|e| e.emit_to_string(source))?;
        let [entry] = module.entry_points.as_slice() else {
            return Err("expected one entry point".into());
        };
        let uses = info.get_entry_point(0);
        let (mut bindings, mut params) = (Vec::new(), None);
        for (handle, global) in module.global_variables.iter() {
            let (Some(name), Some(binding)) = (&global.name, global.binding) else { continue };
            match global.space {
                AddressSpace::Storage { .. } if !uses[handle].is_empty() => bindings.push(Binding {
                    name: name.clone(),
                    index: binding.binding,
                    access: match (uses[handle].contains(GlobalUse::READ), uses[handle].contains(GlobalUse::WRITE)) {
                        (true, true) => Access::ReadWrite,
                        (false, true) => Access::Write,
                        _ => Access::Read,
                    },
                    dtype: element_type(&module, global.ty)?,
                    texture: false,
                }),
                AddressSpace::Handle if !uses[handle].is_empty() => bindings.push(Binding {
                    name: name.strip_prefix("old_").unwrap_or(name).into(),
                    index: binding.binding,
                    access: Access::Read,
                    dtype: texel_type(&module, global.ty)?,
                    texture: true,
                }),
                AddressSpace::Storage { .. } | AddressSpace::Handle => return Err(format!("binding `{name}` is never used")),
                AddressSpace::Uniform if binding.group == 0 => params = Some(members(&module, global.ty, binding.binding)?),
                _ => {}
            }
        }
        bindings.sort_by_key(|b| b.index);
        let workgroup_size = entry.workgroup_size.iter().product();
        Ok(Shader { source: source.into(), bindings, params, workgroup_size, module })
    }

    /// What the shader does to the buffer called `name`, in all of its bindings.
    pub fn access(&self, name: &str) -> Access {
        let both = self.bindings.iter().filter(|b| b.name == name).map(|b| b.access);
        both.reduce(|a, b| if a == b { a } else { Access::ReadWrite }).unwrap_or(Access::Read)
    }

    pub fn members(&self) -> &[Member] {
        self.params.as_ref().map_or(&[], |(_, _, members)| members)
    }
}

fn element_type(module: &naga::Module, ty: Handle<Type>) -> Result<Dtype, String> {
    match module.types[ty].inner {
        TypeInner::Array { base, .. } => element_type(module, base),
        TypeInner::Vector { scalar, .. } | TypeInner::Scalar(scalar) => dtype(scalar),
        ref other => Err(format!("storage of {other:?}: expected f32, u32 or vectors of them")),
    }
}

fn texel_type(module: &naga::Module, ty: Handle<Type>) -> Result<Dtype, String> {
    match module.types[ty].inner {
        TypeInner::Image {
            dim: ImageDimension::D2,
            arrayed: false,
            class: ImageClass::Sampled { kind: ScalarKind::Float, multi: false },
        } => Ok(Dtype::F32),
        ref other => Err(format!("{other:?}: expected texture_2d<f32>")),
    }
}

fn dtype(scalar: NagaScalar) -> Result<Dtype, String> {
    match (scalar.kind, scalar.width) {
        (ScalarKind::Float, 4) => Ok(Dtype::F32),
        (ScalarKind::Uint, 4) => Ok(Dtype::U32),
        _ => Err(format!("{scalar:?}: expected f32 or u32")),
    }
}

fn members(module: &naga::Module, ty: Handle<Type>, index: u32) -> Result<(u32, u32, Vec<Member>), String> {
    let TypeInner::Struct { ref members, span } = module.types[ty].inner else {
        return Err("`params` is not a struct".into());
    };
    let members = members.iter().map(|member| match module.types[member.ty].inner {
        TypeInner::Scalar(scalar) => {
            Ok(Member { name: member.name.clone().unwrap_or_default(), offset: member.offset, dtype: dtype(scalar)? })
        }
        _ => Err("`params` holds something other than scalars".into()),
    });
    Ok((index, span, members.collect::<Result<_, String>>()?))
}
