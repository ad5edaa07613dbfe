//! WGSL is the truth about a kernel's interface; this module reads it with naga so that nothing is restated in Rust.
//!
//! A module's text is: the variant's constants, `common.wgsl`, then the kernel's own parts. Reflection, validation and
//! pipeline creation all use that same text.

use std::collections::HashMap;
use std::fmt::Write;
use std::sync::{LazyLock, Mutex};

use naga::valid::{Capabilities, GlobalUse, ValidationFlags, Validator};
use naga::{AddressSpace, Handle, Scalar as NagaScalar, ScalarKind, Type, TypeInner};

use crate::buffer::Dtype;

/// What executes shaders: chips, or a CPU pretending to be one. Barriers and shared memory pay on the first only.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DeviceClass {
    Hardware,
    Software,
}

/// One way to compute a kernel: sources and tile sizes. Variants of a kernel differ in speed, never in a bit.
pub struct Variant {
    /// The stem of the file in `shaders/`.
    pub name: &'static str,
    pub parts: &'static [&'static str],
    /// Put before the source as `const NAME: u32`. Workgroup size `WG` is 64 unless given here.
    pub consts: &'static [(&'static str, u32)],
    /// The devices that this variant is the default for; `None` is all.
    pub class: Option<DeviceClass>,
}

impl Variant {
    pub const fn plain(name: &'static str, parts: &'static [&'static str]) -> Self {
        Variant { name, parts, consts: &[], class: None }
    }

    /// The value of a constant of this variant.
    pub fn constant(&self, name: &str) -> u32 {
        let found = self.consts.iter().find(|(n, _)| *n == name).map(|&(_, v)| v);
        found.unwrap_or_else(|| if name == "WG" { 64 } else { panic!("`{}` has no constant `{name}`", self.name) })
    }

    /// The complete WGSL module.
    pub fn source(&self) -> String {
        let mut text = format!("const WG: u32 = {}u;\n", self.constant("WG"));
        for (name, value) in self.consts.iter().filter(|(name, _)| *name != "WG") {
            writeln!(text, "const {name}: u32 = {value}u;").expect("writing to a string");
        }
        text.push_str(include_str!("../shaders/common.wgsl"));
        for part in self.parts {
            text.push_str(part);
        }
        text
    }

    /// This variant's module, parsed once per process.
    pub fn shader(&self) -> &'static Shader {
        static KNOWN: LazyLock<Mutex<HashMap<String, &'static Shader>>> = LazyLock::new(Default::default);
        let source = self.source();
        let known = KNOWN.lock().expect("no panic while looking").get(&source).copied();
        known.unwrap_or_else(|| {
            let shader = Shader::parse(&source).unwrap_or_else(|e| panic!("shaders/{}.wgsl: {e}", self.name));
            let shader: &'static Shader = Box::leak(Box::new(shader));
            KNOWN.lock().expect("no panic while inserting").insert(source, shader);
            shader
        })
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

#[derive(Clone, Debug)]
pub struct Binding {
    pub name: String,
    pub index: u32,
    pub access: Access,
    pub dtype: Dtype,
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
    /// Storage buffers of group 0, by binding index.
    pub storage: Vec<Binding>,
    /// The uniform `params` of group 0: binding index, bytes, members.
    pub params: Option<(u32, u32, Vec<Member>)>,
    pub workgroup_size: u32,
}

impl Shader {
    fn parse(source: &str) -> Result<Self, String> {
        let module = naga::front::wgsl::parse_str(source).map_err(|e| e.emit_to_string(source))?;
        let info = Validator::new(ValidationFlags::all(), Capabilities::empty()).validate(&module).map_err(|e| e.emit_to_string(source))?;
        let [entry] = module.entry_points.as_slice() else {
            return Err("expected one entry point".into());
        };
        let uses = info.get_entry_point(0);
        let (mut storage, mut params) = (Vec::new(), None);
        for (handle, global) in module.global_variables.iter() {
            let (Some(name), Some(binding)) = (&global.name, global.binding) else { continue };
            match global.space {
                AddressSpace::Storage { .. } if !uses[handle].is_empty() => storage.push(Binding {
                    name: name.clone(),
                    index: binding.binding,
                    access: match (uses[handle].contains(GlobalUse::READ), uses[handle].contains(GlobalUse::WRITE)) {
                        (true, true) => Access::ReadWrite,
                        (false, true) => Access::Write,
                        _ => Access::Read,
                    },
                    dtype: element_type(&module, global.ty)?,
                }),
                AddressSpace::Storage { .. } => return Err(format!("binding `{name}` is never used")),
                AddressSpace::Uniform if binding.group == 0 => params = Some(members(&module, global.ty, binding.binding)?),
                _ => {}
            }
        }
        storage.sort_by_key(|b| b.index);
        let workgroup_size = entry.workgroup_size.iter().product();
        Ok(Shader { source: source.into(), storage, params, workgroup_size, module })
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
