//! Finding, choosing and opening devices.

use std::str::FromStr;
use std::sync::Arc;

use super::gpu::wait;
use super::{Choices, Cpu, DeviceError, Executor, Gpu, GpuDevice, Programs};
use crate::core::buffer::Arena;
use crate::core::memory::HostMem;
use crate::error::UsageError;

/// What `--device` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeviceSpec {
    /// A hardware GPU, else the CPU path: software adapters are slower than that.
    Auto,
    Cpu,
    /// Place in the list that [`adapters`] gives.
    Index(usize),
    /// Parts of the backend's and the adapter's name, in lower case; either may be empty.
    Named {
        backend: String,
        name: String,
    },
}

impl FromStr for DeviceSpec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim().to_lowercase();
        match (text.as_str(), text.parse::<usize>(), text.split_once(':')) {
            ("", ..) => Err("say auto, cpu, an index, or BACKEND:NAME".into()),
            ("auto", ..) => Ok(DeviceSpec::Auto),
            ("cpu", ..) => Ok(DeviceSpec::Cpu),
            (_, Ok(index), _) => Ok(DeviceSpec::Index(index)),
            (_, _, Some((backend, name))) => Ok(DeviceSpec::Named { backend: backend.into(), name: name.into() }),
            (name, ..) => Ok(DeviceSpec::Named { backend: String::new(), name: name.into() }),
        }
    }
}

/// An adapter as `devices` lists it.
#[derive(Clone, Debug, serde::Serialize)]
pub struct AdapterSummary {
    pub index: usize,
    pub backend: String,
    pub name: String,
    #[serde(rename = "type")]
    pub kind: String,
    pub driver: String,
    pub software: bool,
    pub max_storage_buffer_binding_size: u64,
    pub max_buffer_size: u64,
    pub max_compute_workgroup_storage_size: u32,
    pub max_compute_invocations_per_workgroup: u32,
    pub max_storage_buffers_per_shader_stage: u32,
    pub shader_f16: bool,
    pub subgroups: bool,
    pub timestamps: bool,
}

/// In the order in which they are looked through: GL's adapters take as long to find as all others.
const NATIVE_THEN_GL: [wgpu::Backends; 2] = [wgpu::Backends::all().difference(wgpu::Backends::GL), wgpu::Backends::GL];

fn enumerate(backends: wgpu::Backends) -> Vec<wgpu::Adapter> {
    let descriptor = wgpu::InstanceDescriptor { backends, ..wgpu::InstanceDescriptor::new_without_display_handle() };
    wait::for_result(wgpu::Instance::new(descriptor).enumerate_adapters(backends))
}

fn summary(index: usize, adapter: &wgpu::Adapter) -> AdapterSummary {
    let (info, limits, features) = (adapter.get_info(), adapter.limits(), adapter.features());
    AdapterSummary {
        index,
        backend: info.backend.to_string(),
        software: info.device_type == wgpu::DeviceType::Cpu,
        kind: format!("{:?}", info.device_type),
        driver: format!("{} {}", info.driver, info.driver_info).trim().to_string(),
        name: info.name,
        max_storage_buffer_binding_size: limits.max_storage_buffer_binding_size,
        max_buffer_size: limits.max_buffer_size,
        max_compute_workgroup_storage_size: limits.max_compute_workgroup_storage_size,
        max_compute_invocations_per_workgroup: limits.max_compute_invocations_per_workgroup,
        max_storage_buffers_per_shader_stage: limits.max_storage_buffers_per_shader_stage,
        shader_f16: features.contains(wgpu::Features::SHADER_F16),
        subgroups: features.contains(wgpu::Features::SUBGROUP),
        timestamps: features.contains(wgpu::Features::TIMESTAMP_QUERY),
    }
}

/// All adapters of all backends.
pub fn adapters() -> Vec<AdapterSummary> {
    NATIVE_THEN_GL.into_iter().flat_map(enumerate).enumerate().map(|(i, adapter)| summary(i, &adapter)).collect()
}

/// Something that runs programs.
#[derive(Clone)]
pub enum Device {
    Cpu,
    Gpu(Arc<GpuDevice>),
}

impl Device {
    /// Opens what `spec` names. The error lists what there is.
    pub fn open(spec: &DeviceSpec) -> anyhow::Result<Self> {
        Ok(Self::choose(spec)?.0)
    }

    /// [`open`](Self::open)s a device; of one that nobody named, the rest of a sentence says why it is this one.
    pub fn choose(spec: &DeviceSpec) -> anyhow::Result<(Self, String)> {
        if *spec == DeviceSpec::Cpu {
            return Ok((Device::Cpu, String::new()));
        }
        let choose = |summaries: &[AdapterSummary]| match spec {
            DeviceSpec::Cpu => None,
            DeviceSpec::Auto => automatic(summaries),
            DeviceSpec::Index(index) => summaries.get(*index).map(|s| s.index),
            DeviceSpec::Named { backend, name } => {
                let matches = |s: &&AdapterSummary| s.backend.to_lowercase().contains(backend) && s.name.to_lowercase().contains(name);
                summaries.iter().find(matches).map(|s| s.index)
            }
        };
        let (mut adapters, mut summaries) = (Vec::new(), Vec::new());
        for backends in NATIVE_THEN_GL {
            adapters.extend(enumerate(backends));
            summaries = adapters.iter().enumerate().map(|(i, a)| summary(i, a)).collect();
            if let Some(index) = choose(&summaries) {
                let why = if *spec == DeviceSpec::Auto { ", as it is a hardware GPU" } else { "" };
                return Ok((Device::Gpu(Arc::new(GpuDevice::open(&adapters[index])?)), why.into()));
            }
        }
        match spec {
            DeviceSpec::Auto => Ok((Device::Cpu, no_hardware(&summaries))),
            _ => Err(UsageError(format!("no device matches `{}`; there {}", spec_text(spec), list(&summaries))).into()),
        }
    }

    /// Adapter and driver, which tuned choices depend on; the CPU path has none.
    pub fn identity(&self) -> Option<String> {
        if let Device::Gpu(gpu) = self { Some(gpu.identity()) } else { None }
    }

    /// The same device, freshly opened, with what tuning found for it.
    pub fn with_choices(mut self, choices: Choices) -> Self {
        if let Device::Gpu(gpu) = &mut self {
            Arc::get_mut(gpu).expect("nobody has the device yet").choices = choices;
        }
        self
    }

    /// Backend and name, for people.
    pub fn name(&self) -> String {
        match self {
            Device::Cpu => format!("cpu ({} threads)", rayon::current_num_threads()),
            Device::Gpu(gpu) => gpu.name(),
        }
    }

    /// The most bytes that one kernel may see of one buffer.
    pub fn binding_limit(&self) -> u64 {
        match self {
            Device::Cpu => u64::MAX,
            Device::Gpu(gpu) => gpu.binding_limit(),
        }
    }

    /// Bytes of memory that loading `programs` takes.
    pub fn bytes_of(&self, arena: &Arena, programs: &Programs) -> u64 {
        match self {
            Device::Cpu => arena.bytes(),
            Device::Gpu(gpu) => gpu.bytes_of(arena, programs),
        }
    }

    /// Makes the buffers of `arena` as it fills them, and everything that running `programs` needs. Nothing on the host mirrors them.
    pub fn fresh(&self, arena: &Arena, programs: Programs) -> Result<Box<dyn Executor>, DeviceError> {
        Ok(match self {
            Device::Cpu => Box::new(Cpu::new(HostMem::new(arena), programs)),
            Device::Gpu(gpu) => Box::new(Gpu::fresh(gpu.clone(), arena, programs, &Default::default())?),
        })
    }

    /// Makes the buffers of `arena` with the contents of `mem`, and everything that running `programs` needs.
    pub fn load(&self, arena: &Arena, mem: HostMem, programs: Programs) -> Result<Box<dyn Executor>, DeviceError> {
        Ok(match self {
            Device::Cpu => Box::new(Cpu::new(mem, programs)),
            Device::Gpu(gpu) => Box::new(Gpu::load(gpu.clone(), arena, &mem, programs, &Default::default())?),
        })
    }
}

fn spec_text(spec: &DeviceSpec) -> String {
    match spec {
        DeviceSpec::Auto => "auto".into(),
        DeviceSpec::Cpu => "cpu".into(),
        DeviceSpec::Index(index) => index.to_string(),
        DeviceSpec::Named { backend, name } if backend.is_empty() => name.clone(),
        DeviceSpec::Named { backend, name } => format!("{backend}:{name}"),
    }
}

fn list(summaries: &[AdapterSummary]) -> String {
    let names: Vec<String> = summaries.iter().map(|s| format!("  {}  {}:{}", s.index, s.backend, s.name)).collect();
    if names.is_empty() { "is `cpu` only (no graphics driver was found)".into() } else { format!("are `cpu` and\n{}", names.join("\n")) }
}

/// Why nothing but the CPU path is chosen automatically.
fn no_hardware(summaries: &[AdapterSummary]) -> String {
    match summaries.first() {
        None => ", as no graphics driver was found".into(),
        Some(software) => {
            let name = software.name.split_whitespace().next().unwrap_or_default();
            format!(", as there is no hardware GPU; --device {}:{name} names a software adapter, which is slower", software.backend)
        }
    }
}

/// Hardware: discrete before integrated; native backends before GL, which has no bounds checks.
fn automatic(summaries: &[AdapterSummary]) -> Option<usize> {
    let rank = |s: &&AdapterSummary| {
        let kind = match s.kind.as_str() {
            "DiscreteGpu" => 0,
            "IntegratedGpu" => 1,
            _ => 2,
        };
        (kind, s.backend == "gl", s.index)
    };
    summaries.iter().filter(|s| !s.software).min_by_key(rank).map(|s| s.index)
}
