//! What can be said of the shaders without a GPU: they are valid WGSL within WebGPU's defaults, translate for every
//! vendor, and agree with the Rust side and with the registry. And: calls that WebGPU would refuse are never recorded.

use std::collections::BTreeSet;
use std::path::Path;

use naga::back::{glsl, hlsl, msl, spv};
use naga::proc::BoundsCheckPolicies;
use naga::valid::{Capabilities, ModuleInfo, ValidationFlags, Validator};
use naga::{AddressSpace, Module, ShaderStage, StorageAccess};
use wgraft::core::buffer::{Arena, Buf, Dtype, shape};
use wgraft::core::memory::HostMem;
use wgraft::core::program::{Exp, Kernel, Program, Scalar, Tolerance};
use wgraft::core::shader::{Access, Binding, Variant};
use wgraft::kernels::KERNELS;
use wgraft::kernels::relu::Relu;

/// Parts in `shaders/` that belong to no kernel.
const SHARED: &[&str] = &[
    "attention_tile",
    "ctc_walk",
    "augment_finish",
    "augment_place",
    "blocks",
    "common",
    "cross_entropy_backward",
    "dense",
    "epilogue",
    "info_nce_pairs",
    "info_nce_slope",
    "inside",
    "log_sum_exp",
    "matmul_buffers",
    "matmul_registers",
    "matmul_shared",
    "matmul_textures",
    "no_row_sums",
    "normal_tail",
    "permute",
    "random",
    "recurrent_backward_gru",
    "recurrent_backward_lstm",
    "recurrent_gru",
    "recurrent_lstm",
    "recurrent_steps",
    "row_losses",
    "row_sums",
    "sgd_buffers",
    "sgd_textures",
    "sum_squares_buffer",
    "sum_squares_texture",
    "texels",
];

/// Words that the languages behind wgpu's back ends keep for themselves. naga renames some of them, and not all: DXC takes
/// `dx` for a namespace. Built-in functions may be hidden by names of ours; these may not.
const RESERVED: &[(&str, &str)] = &[
    (
        "HLSL",
        "asm auto bool break buffer case catch cbuffer centroid char class column_major compile const const_cast continue decl default \
         delete discard do double dword dx dynamic_cast else enum explicit export extern false float for friend globallycoherent goto \
         groupshared half hlsl if in inline inout int interface line lineadj linear long matrix mutable namespace new nointerpolation \
         noperspective operator out packoffset pass point precise private protected public register reinterpret_cast return row_major \
         sample sampler shared short signed sizeof snorm static static_cast std string struct switch tbuffer technique template texture \
         this throw triangle triangleadj true try typedef typename uint uniform union unorm unsigned using vector virtual vk void \
         volatile while",
    ),
    (
        "MSL",
        "alignas alignof and and_eq asm assert auto bitand bitor bool break case catch char class compl const constant constexpr \
         const_cast continue decltype default delete device do double dynamic_cast else enum explicit export extern false float for \
         fragment friend goto half if inline int kernel long metal mutable namespace new noexcept not not_eq nullptr operator or or_eq \
         private protected public ray_data register reinterpret_cast return short signed simd sizeof static static_assert static_cast \
         std struct switch template this thread thread_local threadgroup throw true try typedef typeid typename uint union unsigned \
         using vertex virtual void volatile while xor xor_eq",
    ),
    (
        "GLSL",
        "active asm atomic_uint attribute bool break buffer case cast centroid class coherent common const continue default discard do \
         double else enum extern external false filter fixed flat float for goto half highp if in inline inout input int interface \
         invariant layout long lowp mediump namespace noinline noperspective out output partition patch precise precision public \
         readonly resource restrict return sample sampler shared short sizeof smooth static struct subroutine superp switch template \
         this true typedef uint uniform union unsigned using varying void volatile while writeonly",
    ),
];

/// Parameters are a few numbers: one slot of the executor's uniform buffer.
const MAX_PARAMS_BYTES: u32 = 256;

/// All cases of a kernel.
fn record(entry: &wgraft::kernels::KernelEntry) -> Program {
    entry.record(&mut Arena::new(1, u64::MAX)).unwrap_or_else(|e| panic!("{e}"))
}

/// The distinct texts behind a kernel's cases.
fn texts(entry: &wgraft::kernels::KernelEntry) -> BTreeSet<String> {
    record(entry).calls.iter().flat_map(|call| call.kernel.variants().iter().map(|v| call.kernel.source(v))).collect()
}

fn valid(source: &str) -> Result<(Module, ModuleInfo), String> {
    let module = naga::front::wgsl::parse_str(source).map_err(|e| e.emit_to_string(source))?;
    let info = Validator::new(ValidationFlags::all(), Capabilities::empty()).validate(&module).map_err(|e| e.emit_to_string(source))?;
    Ok((module, info))
}

/// Compares a module with the limits that every WebGPU device grants.
fn within_limits(module: &Module) -> Result<(), String> {
    let limits = wgpu::Limits::default();
    let (mut storage, mut workgroup) = (0, 0);
    for (_, global) in module.global_variables.iter() {
        let size = module.types[global.ty].inner.size(module.to_ctx());
        match global.space {
            AddressSpace::Storage { .. } => storage += 1,
            AddressSpace::WorkGroup => workgroup += size,
            AddressSpace::Uniform if size == 0 || size > MAX_PARAMS_BYTES => return Err(format!("a uniform of {size} bytes")),
            _ => {}
        }
        if global.binding.is_some_and(|b| b.group >= limits.max_bind_groups || b.binding >= limits.max_bindings_per_bind_group) {
            return Err(format!("binding {:?}", global.binding));
        }
    }
    if storage > limits.max_storage_buffers_per_shader_stage {
        return Err(format!("{storage} storage buffers"));
    }
    if workgroup > limits.max_compute_workgroup_storage_size {
        return Err(format!("{workgroup} bytes of workgroup memory"));
    }
    for entry in &module.entry_points {
        let [x, y, z] = entry.workgroup_size;
        let most = [limits.max_compute_workgroup_size_x, limits.max_compute_workgroup_size_y, limits.max_compute_workgroup_size_z];
        if x > most[0] || y > most[1] || z > most[2] || x * y * z > limits.max_compute_invocations_per_workgroup {
            return Err(format!("workgroups of {x}x{y}x{z}"));
        }
    }
    Ok(())
}

/// Translates the entry point as the four back ends of wgpu do.
fn translate(module: &Module, info: &ModuleInfo) -> Result<(), String> {
    let [entry] = module.entry_points.as_slice() else { return Err("not one entry point".into()) };
    let (stage, name) = (ShaderStage::Compute, entry.name.clone());

    let options = spv::PipelineOptions { shader_stage: stage, entry_point: name.clone() };
    let words = spv::write_vec(module, info, &spv::Options::default(), Some(&options)).map_err(|e| format!("SPIR-V: {e}"))?;
    require(words.first() == Some(&0x0723_0203), "SPIR-V: no magic number")?;

    let options = msl::PipelineOptions { entry_point: Some((stage, name.clone())), ..Default::default() };
    let (text, reflected) = msl::write_string(module, info, &msl::Options::default(), &options).map_err(|e| format!("MSL: {e}"))?;
    for entry in reflected.entry_point_names {
        entry.map_err(|e| format!("MSL: {e}"))?;
    }
    require(text.contains("kernel void"), "MSL: no kernel")?;

    let options = hlsl::PipelineOptions { entry_point: Some((stage, name.clone())) };
    let (mut text, hlsl_options) = (String::new(), hlsl::Options::default());
    let written = hlsl::Writer::new(&mut text, &hlsl_options, &options).write(module, info, None);
    for entry in written.map_err(|e| format!("HLSL: {e}"))?.entry_point_names {
        entry.map_err(|e| format!("HLSL: {e}"))?;
    }
    require(text.contains("numthreads"), "HLSL: no entry point")?;

    for version in [glsl::Version::new_gles(310), glsl::Version::Desktop(430)] {
        let (mut text, glsl_options) = (String::new(), glsl::Options { version, ..Default::default() });
        let options = glsl::PipelineOptions { shader_stage: stage, entry_point: name.clone(), multiview: None };
        let writer = glsl::Writer::new(&mut text, module, info, &glsl_options, &options, BoundsCheckPolicies::default());
        writer.and_then(|mut writer| writer.write()).map_err(|e| format!("GLSL {version}: {e}"))?;
        require(text.contains("local_size_x"), "GLSL: no entry point")?;
    }
    Ok(())
}

/// The text without its comments.
fn code(source: &str) -> String {
    source.lines().map(|line| line.split("//").next().unwrap_or_default().to_owned() + "\n").collect()
}

/// Names that the text declares: what follows a word such as `let`, and whatever has a type after a colon.
fn declared(source: &str) -> BTreeSet<String> {
    let code = code(source);
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let (mut names, mut before) = (BTreeSet::new(), "");
    for (at, word) in code.match_indices(|c: char| !is_word(c)).map(|(end, _)| {
        let start = code[..end].rfind(|c: char| !is_word(c)).map_or(0, |i| i + 1);
        (end, &code[start..end])
    }) {
        if word.is_empty() {
            continue;
        }
        let typed = code[at..].trim_start().starts_with(':');
        // The address space in `var<uniform>` is no name.
        let space = code[..at - word.len()].ends_with('<');
        if typed || (!space && ["let", "var", "const", "fn", "struct", "alias"].contains(&before)) {
            names.insert(word.to_string());
        }
        before = word;
    }
    names
}

/// Names in the text that are reserved somewhere, or that no C-like language allows.
fn reserved(source: &str) -> Vec<String> {
    let of =
        |name: &str| RESERVED.iter().find(|(_, words)| words.split_whitespace().any(|word| word == name)).map(|(language, _)| *language);
    let found = declared(source).into_iter().filter_map(|name| match of(&name) {
        Some(language) => Some(format!("`{name}` is reserved in {language}")),
        None => (name.starts_with("gl_") || name.contains("__")).then(|| format!("`{name}` is reserved in GLSL")),
    });
    found.collect()
}

/// Variables without a value inside loops. WGSL zeroes them in each round; compilers have not always done so.
fn left_to_be_zeroed(source: &str) -> Vec<String> {
    let (code, mut blocks, mut found) = (code(source), Vec::new(), Vec::new());
    // What comes before a `{` says whether it opens a loop; semicolons in the head of a `for` are within parentheses.
    let (mut statement, mut parentheses) = (String::new(), 0);
    for c in code.chars() {
        match c {
            '(' => parentheses += 1,
            ')' => parentheses -= 1,
            _ => {}
        }
        match c {
            '{' => blocks.push(["for", "while", "loop"].contains(&first_word(&statement))),
            '}' => drop(blocks.pop()),
            ';' if parentheses == 0 => {
                if blocks.contains(&true) && first_word(&statement) == "var" && !statement.contains('=') {
                    found.push(statement.trim().to_string());
                }
            }
            _ => {
                statement.push(c);
                continue;
            }
        }
        if parentheses == 0 {
            statement.clear();
        } else {
            statement.push(c);
        }
    }
    found
}

fn first_word(statement: &str) -> &str {
    statement.trim_start().split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default()
}

/// Every text into the folder that `WGRAFT_SHADER_TEXTS` names, for compilers outside of this project.
#[test]
fn texts_are_written_where_asked() {
    let Some(folder) = std::env::var_os("WGRAFT_SHADER_TEXTS") else { return };
    std::fs::create_dir_all(&folder).expect("the folder can be made");
    for entry in KERNELS {
        for (i, text) in texts(entry).iter().enumerate() {
            std::fs::write(Path::new(&folder).join(format!("{}.{i}.wgsl", entry.name)), text).expect("the folder can be written to");
        }
    }
}

#[test]
fn no_name_is_reserved_in_another_language() {
    for entry in KERNELS {
        for source in texts(entry) {
            assert_eq!(reserved(&source), Vec::<String>::new(), "{}", entry.name);
        }
    }
    let texts = [
        ("dx", "HLSL", "@group(0) @binding(0) var<storage, read_write> dx: array<f32>;"),
        ("kernel", "MSL", "struct Params { rows: u32, kernel: u32 }"),
        ("filter", "GLSL", "fn filter() {}"),
        ("input", "GLSL", "fn f() { let input = 1u; }"),
        ("thread", "MSL", "fn f(thread: u32) {}"),
        ("gl_x", "GLSL", "const gl_x = 1;"),
    ];
    for (name, language, text) in texts {
        assert_eq!(reserved(text), [format!("`{name}` is reserved in {language}")], "{text}");
    }
    assert!(reserved("fn fine(x: f32) -> f32 { return x; } // dx: no name").is_empty());
}

#[test]
fn no_variable_in_a_loop_waits_to_be_zeroed() {
    for entry in KERNELS {
        for source in texts(entry) {
            assert_eq!(left_to_be_zeroed(&source), Vec::<String>::new(), "{}", entry.name);
        }
    }
    for head in ["for (var i = 0u; i < 4u; i++)", "while (go())", "loop"] {
        let text = |declaration: &str| format!("fn f() {{ var before: u32; {head} {{ if (x) {{ {declaration}; }} }} }}");
        assert_eq!(left_to_be_zeroed(&text("var a: array<f32, 4>")), ["var a: array<f32, 4>"], "{head}");
        assert!(left_to_be_zeroed(&text("var a = array<f32, 4>()")).is_empty(), "{head}");
    }
}

fn require(holds: bool, what: &str) -> Result<(), String> {
    holds.then_some(()).ok_or_else(|| what.into())
}

fn problem(source: &str) -> Option<String> {
    let check = || {
        let (module, info) = valid(source)?;
        within_limits(&module)?;
        translate(&module, &info)
    };
    check().err()
}

#[test]
fn every_shader_is_valid_portable_and_within_default_limits() {
    let mut count = 0;
    for entry in KERNELS {
        for source in texts(entry) {
            assert_eq!(problem(&source), None, "shaders/{}.wgsl", entry.name);
            count += 1;
        }
    }
    println!("{count} shader texts of {} kernels", KERNELS.len());
}

#[test]
fn broken_shaders_are_rejected() {
    let entry = "@compute @workgroup_size(WG) fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32)";
    let source = |globals: &str, body: &str| format!("{}\n{globals}\n{entry} {{ {body} }}", Variant::plain("test", &[]).source(&[]));
    let buffers =
        |n: u32| (0..n).map(|i| format!("@group(0) @binding({i}) var<storage, read_write> b{i}: array<f32>;\n")).collect::<String>();
    let uses = |n: u32| (0..n).map(|i| format!("b{i}[invocation(group, lane)] = 1.0;\n")).collect::<String>();
    let memory = |words: u32| format!("var<workgroup> shared_words: array<u32, {words}>;");
    let with_group = |x: u32| source(&buffers(1), &uses(1)).replace("workgroup_size(WG)", &format!("workgroup_size({x})"));

    for good in [source(&buffers(8), &uses(8)), source(&memory(4096), "shared_words[lane] = 1u;"), with_group(256)] {
        assert_eq!(problem(&good), None, "{good}");
    }
    let broken = [
        ("no definition in scope", source(&buffers(1), "b0[lane] = scale;")),
        ("found", source(&buffers(1), "b0[lane] = 1.0")),
        ("cannot convert elements of `u32` to `f32`", source(&buffers(1), "b0[lane] = 1u;")),
        ("FLOAT64", source("", "let x: f64 = 1.0lf;")),
        ("9 storage buffers", source(&buffers(9), &uses(9))),
        ("16388 bytes of workgroup memory", source(&memory(4097), "shared_words[lane] = 1u;")),
        ("workgroups of 257x1x1", with_group(257)),
        ("a uniform of 272 bytes", source("@group(0) @binding(0) var<uniform> p: array<vec4<f32>, 17>;", "var x = p[lane];")),
        ("not one entry point", Variant::plain("test", &[]).source(&[])),
    ];
    for (why, source) in broken {
        let found = problem(&source).unwrap_or_else(|| panic!("`{why}` was accepted: {source}"));
        assert!(found.contains(why), "expected `{why}`, found {found}");
    }
}

#[test]
fn calls_agree_with_their_shaders() {
    for entry in KERNELS {
        for call in &record(entry).calls {
            let (bufs, params) = (call.kernel.bufs(), call.kernel.params());
            let names: BTreeSet<&str> = bufs.iter().map(|b| b.0).chain(params.iter().map(|p| p.0)).collect();
            assert_eq!(names.len(), bufs.len() + params.len(), "{}: a name is given twice", entry.name);
            assert!(!call.kernel.outputs().is_empty(), "{}: nothing is written", entry.name);
            for (i, variant) in call.kernel.variants().iter().enumerate() {
                let place = format!("{}, {}, variant {i}", entry.name, call.label);
                let shader = call.kernel.shader(variant);
                assert_eq!(variant.name, entry.name, "{place}");
                assert_eq!(shader.workgroup_size, variant.constant("WG"), "{place}");
                assert_eq!(shader.module.entry_points[0].workgroup_size[0], variant.constant("WG"), "{place}: one-dimensional groups");
                assert!(call.kernel.groups(variant) > 0, "{place}: no groups");

                let rust: BTreeSet<(String, String)> = bufs.iter().map(|(name, b)| (name.to_string(), format!("{:?}", b.dtype))).collect();
                let wgsl = shader.bindings.iter().map(|b| (b.name.clone(), format!("{:?}", b.dtype))).collect();
                assert_eq!(rust, wgsl, "{place}: buffers");
                let dtype = |value: &Scalar| if matches!(value, Scalar::F32(_)) { Dtype::F32 } else { Dtype::U32 };
                let rust: BTreeSet<(String, String)> =
                    params.iter().map(|(name, v)| (name.to_string(), format!("{:?}", dtype(v)))).collect();
                let wgsl = shader.members().iter().map(|m| (m.name.clone(), format!("{:?}", m.dtype))).collect();
                assert_eq!(rust, wgsl, "{place}: parameters");

                // `accesses` asks the first variant, so all must do the same to their buffers.
                let first = call.kernel.shader(&call.kernel.variants()[0]);
                for Binding { name, .. } in &first.bindings {
                    let access = first.access(name);
                    assert_eq!(shader.access(name), access, "{place}: `{name}`");
                    // Pipelines bind what is only read as read-only, and the declaration has to say the same.
                    let mut globals = shader.module.global_variables.iter().map(|(_, global)| global);
                    let declared = globals.find(|g| g.name.as_ref() == Some(name)).expect("the names agree").space;
                    let stores = matches!(declared, AddressSpace::Storage { access } if access.contains(StorageAccess::STORE));
                    assert_eq!(stores, access != Access::Read, "{place}: `{name}` is declared otherwise");
                }
            }
        }
    }
}

#[test]
fn variants_can_be_told_apart() {
    for entry in KERNELS {
        for call in &record(entry).calls {
            let count = call.kernel.variants().len();
            let descriptions: BTreeSet<String> = (0..count).map(|v| call.kernel.describe(v)).collect();
            assert_eq!(descriptions.len(), count, "{}: tuned choices are kept by description: {descriptions:?}", entry.name);
        }
    }
}

/// Names of the files of a folder that end in `extension`, without it.
fn stems(folder: &str, extension: &str) -> BTreeSet<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let paths = std::fs::read_dir(&folder).expect("the folder exists").map(|entry| entry.expect("the folder can be listed").path());
    let paths = paths.inspect(|path| assert!(path.extension().is_some_and(|e| e == extension), "{} is out of place", path.display()));
    paths.map(|path| path.file_stem().expect("a file has a name").to_string_lossy().into_owned()).collect()
}

#[test]
fn the_registry_is_the_folders() {
    let registered: BTreeSet<String> = KERNELS.iter().map(|entry| entry.name.to_string()).collect();
    assert_eq!(registered.len(), KERNELS.len(), "a kernel is registered twice");
    let mut sources = stems("src/kernels", "rs");
    assert!(sources.remove("mod"));
    assert_eq!(sources, registered, "src/kernels/*.rs and KERNELS");
    let shared = SHARED.iter().map(|name| name.to_string());
    assert_eq!(stems("shaders", "wgsl"), registered.iter().cloned().chain(shared).collect(), "shaders/*.wgsl and KERNELS");

    let read = |name: &str| {
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("shaders/{name}.wgsl"))).expect("the file exists")
    };
    let all: Vec<(&str, String)> = KERNELS.iter().flat_map(|entry| texts(entry).into_iter().map(|text| (entry.name, text))).collect();
    for (name, text) in &all {
        assert!(text.contains(&read(name)), "{name} does not use shaders/{name}.wgsl");
    }
    for name in SHARED {
        assert!(all.iter().any(|(_, text)| text.contains(&read(name))), "nothing uses shaders/{name}.wgsl");
    }
}

#[test]
fn every_kernel_has_cases_and_ragged_ones() {
    for entry in KERNELS {
        let program = record(entry);
        assert!(program.calls.len() >= 3, "{} has {} cases", entry.name, program.calls.len());
        let ragged = |buf: Buf| !buf.cols().is_multiple_of(4) || buf.rows() > 1 && buf.rows() % 2 == 1;
        let found = program.calls.iter().any(|call| call.kernel.bufs().iter().any(|&(_, buf)| ragged(buf)));
        assert!(found, "{} has no case with a row that is no multiple of four or an odd number of rows", entry.name);
    }
}

/// A kernel whose every answer the test chooses.
#[derive(Clone)]
struct Fake {
    bufs: Vec<(&'static str, Buf)>,
    params: Vec<(&'static str, Scalar)>,
    variants: &'static [Variant],
    invocations: u64,
}

impl Kernel for Fake {
    fn bufs(&self) -> Vec<(&'static str, Buf)> {
        self.bufs.clone()
    }

    fn params(&self) -> Vec<(&'static str, Scalar)> {
        self.params.clone()
    }

    fn variants(&self) -> &'static [Variant] {
        self.variants
    }

    fn invocations(&self, _: &Variant) -> u64 {
        self.invocations
    }

    fn check_shapes(&self) -> Result<(), String> {
        Ok(())
    }

    fn twin(&self, _: &HostMem) {}

    fn tolerance(&self, _: &str, _: &HostMem, _: Exp) -> Tolerance {
        Tolerance::Exact
    }
}

const SCALE: &[Variant] = &[Variant::plain(
    "scale",
    &["
    struct Params { count: u32, factor: f32 }
    @group(0) @binding(0) var<storage, read> x: array<f32>;
    @group(0) @binding(1) var<storage, read_write> y: array<f32>;
    @group(0) @binding(2) var<uniform> params: Params;
    @compute @workgroup_size(WG)
    fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
        let i = invocation(group, lane);
        if (i < params.count) { y[i] = params.factor * x[i]; }
    }"],
)];

const NINE: &[Variant] = &[Variant::plain(
    "nine",
    &["
    @group(0) @binding(0) var<storage, read> a: array<f32>;
    @group(0) @binding(1) var<storage, read> b: array<f32>;
    @group(0) @binding(2) var<storage, read> c: array<f32>;
    @group(0) @binding(3) var<storage, read> d: array<f32>;
    @group(0) @binding(4) var<storage, read> e: array<f32>;
    @group(0) @binding(5) var<storage, read> f: array<f32>;
    @group(0) @binding(6) var<storage, read> g: array<f32>;
    @group(0) @binding(7) var<storage, read> h: array<f32>;
    @group(0) @binding(8) var<storage, read_write> y: array<f32>;
    @compute @workgroup_size(WG)
    fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
        let i = invocation(group, lane);
        y[i] = a[i] + b[i] + c[i] + d[i] + e[i] + f[i] + g[i] + h[i];
    }"],
)];

/// Why a call was refused. Whatever the reason, the message must name the program, the call and the kernel.
fn refusal(arena: &Arena, kernel: impl Kernel + 'static) -> String {
    let mut program = Program::new("a training step");
    let name = (&kernel as &dyn Kernel).name();
    let message = program.push(arena, "third layer: bias", kernel).expect_err("the call is bad").to_string();
    assert!(program.calls.is_empty(), "a refused call was recorded");
    for part in ["`a training step`", "call 0", "`third layer: bias`", &format!("({name})")] {
        assert!(message.contains(part), "no {part} in: {message}");
    }
    message
}

#[test]
fn bad_calls_are_refused_by_name() {
    let mut arena = Arena::new(1, 4096);
    let [x, y] = ["in", "out"].map(|name| arena.scratch(name, Dtype::F32, shape(3, 5)));
    let [empty, empty_out] = ["no rows", "no rows out"].map(|name| arena.scratch(name, Dtype::F32, shape(0, 5)));
    let integers = arena.scratch("integers", Dtype::U32, shape(3, 5));
    let params = vec![("count", Scalar::U32(15)), ("factor", Scalar::F32(2.0))];
    let good = Fake { bufs: vec![("x", x), ("y", y)], params, variants: SCALE, invocations: 15 };
    Program::new("good").push(&arena, "scale", good.clone()).expect("nothing is wrong with it");

    let refused = |kernel: Fake, parts: &[&str]| {
        let message = refusal(&arena, kernel);
        assert!(parts.iter().all(|part| message.contains(part)), "expected {parts:?} in: {message}");
    };
    let with_bufs = |bufs: &[(&'static str, Buf)]| Fake { bufs: bufs.to_vec(), ..good.clone() };
    let with_params = |params: &[(&'static str, Scalar)]| Fake { params: params.to_vec(), ..good.clone() };
    let (count, factor) = (("count", Scalar::U32(15)), ("factor", Scalar::F32(2.0)));

    assert!(refusal(&arena, Relu { x: empty, y: empty_out }).contains("size zero"));
    refused(Fake { invocations: 0, ..good.clone() }, &["size zero"]);
    refused(with_bufs(&[("x", empty), ("y", y)]), &["`x`", "is empty"]);
    assert!(refusal(&arena, Relu { x, y: x }).contains("bindings `y` and `x` share an allocation and `y` is written"));
    refused(with_bufs(&[("x", integers), ("y", y)]), &["`x`", "U32", "F32"]);
    refused(with_bufs(&[("x", x), ("z", y)]), &["binding `z` is unknown to the shader"]);
    refused(with_bufs(&[("x", x)]), &["binding `y` of the shader is not given"]);
    refused(with_params(&[count, factor, ("offset", Scalar::U32(0))]), &["parameter `offset` is unknown to the shader"]);
    refused(with_params(&[count]), &["parameter `factor` of the shader is not given"]);
    refused(with_params(&[count, ("factor", Scalar::U32(2))]), &["parameter `factor`", "U32", "F32"]);

    let inputs = ["a", "b", "c", "d", "e", "f", "g", "h"].map(|name| (name, x));
    let nine = inputs.into_iter().chain([("y", y)]).collect();
    refused(Fake { bufs: nine, params: Vec::new(), variants: NINE, invocations: 15 }, &["9 storage buffers", "grants 8"]);

    let wide = arena.scratch("wide", Dtype::F32, shape(3, 6));
    assert!(refusal(&arena, Relu { x, y: wide }).contains("`y` is 3x6, expected 3x5"));
}

#[test]
fn an_arena_with_a_buffer_too_large_records_nothing() {
    let mut arena = Arena::new(1, 1 << 20);
    let [x, y] = ["activations", "out"].map(|name| arena.scratch(name, Dtype::F32, shape(1025, 256)));
    let message = Program::new("step").push(&arena, "relu", Relu { x, y }).expect_err("the buffer is too large").to_string();
    assert_eq!(message, "program `step`: `activations` needs 2 MiB, more than this device can bind at once (1 MiB)");
}
