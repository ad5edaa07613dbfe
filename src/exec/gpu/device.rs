//! An open adapter: its limits, its failures, and the pipelines made so far.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use wgpu::BufferUsages;

use super::textures::same_texture;
use super::wait;
use crate::core::buffer::{Arena, Buf};
use crate::core::program::Kernel;
use crate::core::shader::{Access, Binding, DeviceClass, Shader, TexelGrid};
use crate::exec::{Choices, DeviceError, Programs, call_key};

/// An open adapter with the pipelines made so far.
pub struct GpuDevice {
    info: wgpu::AdapterInfo,
    pub(super) device: wgpu::Device,
    pub(super) queue: wgpu::Queue,
    pub(super) launch_layout: wgpu::BindGroupLayout,
    pub(in crate::exec) choices: Choices,
    pipelines: Mutex<HashMap<String, Arc<Pipeline>>>,
    /// The first error that no call returned: validation, memory, a lost device.
    failure: Arc<Mutex<Option<String>>>,
}

pub(super) struct Pipeline {
    pub(super) pipeline: wgpu::ComputePipeline,
    pub(super) layout: wgpu::BindGroupLayout,
}

/// What checks and tests change about execution.
#[derive(Default)]
pub struct GpuOptions {
    /// Use this variant of each kernel that has as many, instead of the device's default.
    pub variant: Option<usize>,
    /// Slice dispatches to this many groups.
    pub max_groups: Option<u64>,
    /// Compile this text instead of the kernel's own.
    pub(crate) source: Option<String>,
    /// Ignore tuned choices.
    pub defaults: bool,
}

impl GpuDevice {
    pub(in crate::exec) fn open(adapter: &wgpu::Adapter) -> Result<Self, DeviceError> {
        let info = adapter.get_info();
        let available = adapter.limits();
        // Everything but sizes stays at WebGPU's defaults, so that what runs here runs anywhere.
        let limits = wgpu::Limits {
            max_buffer_size: available.max_buffer_size,
            max_storage_buffer_binding_size: available.max_storage_buffer_binding_size,
            max_non_sampler_bindings: 10_000, // the default of a million costs memory on DX12
            ..wgpu::Limits::default()
        };
        let required_features = adapter.features() & wgpu::Features::TIMESTAMP_QUERY;
        let descriptor = wgpu::DeviceDescriptor { label: Some("wgraft"), required_features, required_limits: limits, ..Default::default() };
        let opened = wait::for_result(adapter.request_device(&descriptor));
        let (device, queue) = opened.map_err(|e| DeviceError(format!("{} ({}) cannot be opened: {e}", info.name, info.backend)))?;
        let failure = Arc::new(Mutex::new(None));
        let (on_error, on_loss) = (failure.clone(), failure.clone());
        let note = |failure: &Mutex<Option<String>>, text: String| {
            failure.lock().expect("no panic while noting a failure").get_or_insert(text);
        };
        device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
            let advice = if matches!(error, wgpu::Error::OutOfMemory { .. }) { "; a smaller --batch needs less memory" } else { "" };
            note(&on_error, format!("the device reports: {error}{advice}"));
        }));
        device.set_device_lost_callback(move |reason, message| {
            if reason != wgpu::DeviceLostReason::Destroyed {
                note(&on_loss, format!("the device was lost: {message}; a smaller --batch makes dispatches shorter, --resume goes on"));
            }
        });
        let launch_layout = device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
            label: Some("launch"),
            entries: &[layout_entry(0, buffer_type(wgpu::BufferBindingType::Uniform, true))],
        });
        Ok(GpuDevice { info, device, queue, launch_layout, choices: Choices::default(), pipelines: Mutex::default(), failure })
    }

    pub fn name(&self) -> String {
        format!("{}: {}", self.info.backend, self.info.name)
    }

    /// What tuned choices depend on: the adapter and its driver.
    pub(in crate::exec) fn identity(&self) -> String {
        format!("{}; {} {}", self.name(), self.info.driver, self.info.driver_info)
    }

    /// The variant to run `kernel` with: as told, as tuned, or the default.
    pub(super) fn variant(&self, kernel: &dyn Kernel, options: &GpuOptions) -> usize {
        let variants = kernel.variants();
        let fitting = |v: &usize| variants.get(*v).is_some_and(|v| kernel.fits(v));
        let tuned = || {
            let looked_up = variants.len() > 1 && !options.defaults && !self.choices.is_empty();
            let chosen = looked_up.then(|| self.choices.get(&call_key(kernel)))??;
            (0..variants.len()).find(|v| kernel.describe(*v) == *chosen).filter(fitting)
        };
        options.variant.filter(fitting).or_else(tuned).unwrap_or_else(|| kernel.default_variant(self.class()))
    }

    /// Bytes that loading would take: [`Executor::device_bytes`] foretold.
    pub(in crate::exec) fn bytes_of(&self, arena: &Arena, programs: &Programs) -> u64 {
        let mut textures: Vec<Buf> = Vec::new();
        for call in programs.iter().flat_map(|p| &p.calls) {
            let kernel = &*call.kernel;
            let shader = kernel.shader(&kernel.variants()[self.variant(kernel, &GpuOptions::default())]);
            for (name, buf) in kernel.bufs() {
                let known = textures.iter().any(|&t| same_texture(t, buf, arena));
                if !known && shader.bindings.iter().any(|b| b.texture && b.name == name) {
                    textures.push(buf);
                }
            }
        }
        let grids = textures.iter().filter_map(|buf| TexelGrid::of(buf.shape));
        arena.bytes() + grids.map(TexelGrid::bytes).sum::<u64>()
    }

    pub fn class(&self) -> DeviceClass {
        if self.info.device_type == wgpu::DeviceType::Cpu { DeviceClass::Software } else { DeviceClass::Hardware }
    }

    pub fn binding_limit(&self) -> u64 {
        let limits = self.device.limits();
        limits.max_storage_buffer_binding_size.min(limits.max_buffer_size)
    }

    pub(super) fn check(&self) -> Result<(), DeviceError> {
        match &*self.failure.lock().expect("no panic while noting a failure") {
            Some(text) => Err(DeviceError(text.clone())),
            None => Ok(()),
        }
    }

    /// The pipeline for a shader, or for a text with the same interface; compiled once per text.
    pub(super) fn pipeline(&self, name: &str, shader: &Shader, replaced: Option<&str>) -> Arc<Pipeline> {
        let source = replaced.unwrap_or(&shader.source);
        let mut pipelines = self.pipelines.lock().expect("no panic while compiling");
        pipelines.entry(source.into()).or_insert_with(|| Arc::new(self.create_pipeline(name, shader, source))).clone()
    }

    fn create_pipeline(&self, name: &str, shader: &Shader, source: &str) -> Pipeline {
        let source = wgpu::ShaderSource::Wgsl(source.into());
        // Bounding every loop keeps drivers from unrolling them: three times slower matmuls on llvmpipe.
        let checks = wgpu::ShaderRuntimeChecks { force_loop_bounding: false, ..wgpu::ShaderRuntimeChecks::checked() };
        let descriptor = wgpu::ShaderModuleDescriptor { label: Some(name), source };
        // SAFETY: without that check, shaders must not contain infinite loops. Ours are counted, up to numbers that the
        // host gives; mutated ones, too, as mutations move bounds by one and touch no counter.
        let module = unsafe { self.device.create_shader_module_trusted(descriptor, checks) };
        let storage = |access| wgpu::BufferBindingType::Storage { read_only: access == Access::Read };
        let texels = wgpu::BindingType::Texture {
            sample_type: wgpu::TextureSampleType::Float { filterable: false },
            view_dimension: wgpu::TextureViewDimension::D2,
            multisampled: false,
        };
        let ty = |b: &Binding| if b.texture { texels } else { buffer_type(storage(b.access), false) };
        let mut entries: Vec<_> = shader.bindings.iter().map(|b| layout_entry(b.index, ty(b))).collect();
        entries.extend(shader.params.iter().map(|(index, ..)| layout_entry(*index, buffer_type(wgpu::BufferBindingType::Uniform, false))));
        let layout = self.device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label: Some(name), entries: &entries });
        let pipeline_layout = self.device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: Some(name),
            bind_group_layouts: &[Some(&layout), Some(&self.launch_layout)],
            immediate_size: 0,
        });
        let pipeline = self.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(name),
            layout: Some(&pipeline_layout),
            module: &module,
            entry_point: None,
            // Our kernels write workgroup memory before they read it.
            compilation_options: wgpu::PipelineCompilationOptions { zero_initialize_workgroup_memory: false, ..Default::default() },
            cache: None,
        });
        Pipeline { pipeline, layout }
    }

    /// Room for `count` timestamps, and a buffer that takes them.
    pub(super) fn queries(&self, count: u32) -> (wgpu::QuerySet, wgpu::Buffer) {
        let descriptor = wgpu::QuerySetDescriptor { label: Some("times"), ty: wgpu::QueryType::Timestamp, count };
        let resolved = self.buffer("times", 2 * u64::from(count), BufferUsages::QUERY_RESOLVE | BufferUsages::COPY_SRC);
        (self.device.create_query_set(&descriptor), resolved)
    }

    pub(super) fn buffer(&self, label: &str, words: u64, usage: BufferUsages) -> wgpu::Buffer {
        self.device.create_buffer(&wgpu::BufferDescriptor { label: Some(label), size: 4 * words.max(4), usage, mapped_at_creation: false })
    }
}

fn layout_entry(binding: u32, ty: wgpu::BindingType) -> wgpu::BindGroupLayoutEntry {
    wgpu::BindGroupLayoutEntry { binding, visibility: wgpu::ShaderStages::COMPUTE, ty, count: None }
}

fn buffer_type(ty: wgpu::BufferBindingType, has_dynamic_offset: bool) -> wgpu::BindingType {
    wgpu::BindingType::Buffer { ty, has_dynamic_offset, min_binding_size: None }
}
