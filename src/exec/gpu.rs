//! The GPU executor. Pipelines, bind groups and parameters are resolved once at load; running is a loop that records
//! dispatches.

use std::collections::{HashMap, VecDeque};
use std::ops::Range;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Instant;

use wgpu::{BindingResource, BufferBinding, BufferUsages};

use super::{Choices, DeviceError, Executor, Programs, Span, TimedBy, Timing, call_key};
use crate::buffer::{Arena, Buf};
use crate::memory::HostMem;
use crate::program::Kernel;
use crate::shader::{Access, Binding, DeviceClass, Shader, TexelGrid};

/// WebGPU's default for groups along one dimension.
const MAX_GROUPS: u64 = 65_535;

/// Operations in one dispatch and in one submission: about 50 and 100 ms of a slow device of the class. Windows and
/// macOS kill what runs for seconds. Submissions adapt to the speed that is seen.
const DISPATCH_WORK: [u64; 2] = [5_000_000_000, 500_000_000];
const SUBMIT_WORK: [u64; 2] = [10_000_000_000, 1_000_000_000];
/// What one submission aims at once the device's speed is known.
const SUBMIT_SECONDS: f64 = 0.08;
/// How far submissions may leave their first size: a host that is late to look must not make them tiny or endless.
const FASTER: u64 = 16;
/// Recording takes host time as well: tiny dispatches are submitted in batches of this many.
const SUBMIT_DISPATCHES: usize = 2_000;
/// Submissions with timestamps that wait to be read; a query set holds two for each.
const TIMED_SUBMITS: u32 = 2_048;

/// An open adapter with the pipelines made so far.
pub struct GpuDevice {
    info: wgpu::AdapterInfo,
    device: wgpu::Device,
    queue: wgpu::Queue,
    launch_layout: wgpu::BindGroupLayout,
    pub(super) choices: Choices,
    pipelines: Mutex<HashMap<String, Arc<Pipeline>>>,
    /// The first error that no call returned: validation, memory, a lost device.
    failure: Arc<Mutex<Option<String>>>,
}

struct Pipeline {
    pipeline: wgpu::ComputePipeline,
    layout: wgpu::BindGroupLayout,
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
    pub(super) fn open(adapter: &wgpu::Adapter) -> Result<Self, DeviceError> {
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
        let opened = pollster::block_on(adapter.request_device(&descriptor));
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
    pub(super) fn identity(&self) -> String {
        format!("{}; {} {}", self.name(), self.info.driver, self.info.driver_info)
    }

    /// The variant to run `kernel` with: as told, as tuned, or the default.
    fn variant(&self, kernel: &dyn Kernel, options: &GpuOptions) -> usize {
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
    pub(super) fn bytes_of(&self, arena: &Arena, programs: &Programs) -> u64 {
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

    fn check(&self) -> Result<(), DeviceError> {
        match &*self.failure.lock().expect("no panic while noting a failure") {
            Some(text) => Err(DeviceError(text.clone())),
            None => Ok(()),
        }
    }

    /// The pipeline for a shader, or for a text with the same interface; compiled once per text.
    fn pipeline(&self, name: &str, shader: &Shader, replaced: Option<&str>) -> Arc<Pipeline> {
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
    fn queries(&self, count: u32) -> (wgpu::QuerySet, wgpu::Buffer) {
        let descriptor = wgpu::QuerySetDescriptor { label: Some("times"), ty: wgpu::QueryType::Timestamp, count };
        let resolved = self.buffer("times", 2 * u64::from(count), BufferUsages::QUERY_RESOLVE | BufferUsages::COPY_SRC);
        (self.device.create_query_set(&descriptor), resolved)
    }

    fn buffer(&self, label: &str, words: u64, usage: BufferUsages) -> wgpu::Buffer {
        self.device.create_buffer(&wgpu::BufferDescriptor { label: Some(label), size: 4 * words.max(4), usage, mapped_at_creation: false })
    }
}

fn layout_entry(binding: u32, ty: wgpu::BindingType) -> wgpu::BindGroupLayoutEntry {
    wgpu::BindGroupLayoutEntry { binding, visibility: wgpu::ShaderStages::COMPUTE, ty, count: None }
}

fn buffer_type(ty: wgpu::BufferBindingType, has_dynamic_offset: bool) -> wgpu::BindingType {
    wgpu::BindingType::Buffer { ty, has_dynamic_offset, min_binding_size: None }
}

/// A call, resolved.
struct Prepared {
    pipeline: Arc<Pipeline>,
    bind_group: wgpu::BindGroup,
    launches: Vec<Launch>,
    work: u64,
    /// Textures that it reads, with what they must hold, and the buffers that it writes.
    reads: Vec<(usize, Buf)>,
    writes: Vec<Buf>,
}

/// A buffer's copy in a texture, for variants that read it so. Some rows of a buffer share one with other rows of it.
struct Texture {
    /// What it holds, if it is current.
    buf: Buf,
    grid: TexelGrid,
    texture: wgpu::Texture,
    view: wgpu::TextureView,
    /// Nothing wrote to the buffer since it was copied.
    current: bool,
}

/// Whether one texture serves both: parts of one buffer take turns in it.
fn same_texture(a: Buf, b: Buf, arena: &Arena) -> bool {
    let part = |of: Buf| !arena.bufs().iter().any(|whole| whole.buf == of);
    a == b || (a.alloc, a.shape) == (b.alloc, b.shape) && part(a) && part(b)
}

impl Texture {
    fn new(device: &wgpu::Device, buf: Buf) -> Self {
        let grid = TexelGrid::of(buf.shape).expect("such variants are not chosen for buffers that do not fit");
        let texture = device.create_texture(&wgpu::TextureDescriptor {
            label: Some("operand"),
            size: wgpu::Extent3d { width: grid.room().0, height: grid.room().1, depth_or_array_layers: 1 },
            mip_level_count: 1,
            sample_count: 1,
            dimension: wgpu::TextureDimension::D2,
            format: wgpu::TextureFormat::Rgba32Float,
            usage: wgpu::TextureUsages::TEXTURE_BINDING | wgpu::TextureUsages::COPY_DST,
            view_formats: &[],
        });
        let view = texture.create_view(&Default::default());
        Texture { buf, grid, texture, view, current: false }
    }

    fn copy(&self, encoder: &mut wgpu::CommandEncoder, buffer: &wgpu::Buffer) {
        let TexelGrid { width, height, .. } = self.grid;
        let quads = (self.buf.shape.words() / 4) as u32;
        let (full, rest) = (quads / width, quads % width);
        // A last line that is not full is a copy of its own: it must not read beyond the buffer.
        for (y, width, lines) in [(0, width, full), (height - 1, rest, 1)] {
            if width * lines > 0 {
                let offset = 4 * u64::from(self.buf.offset) + 16 * u64::from(y * self.grid.width);
                let bytes_per_row = (lines > 1).then_some(16 * width);
                let layout = wgpu::TexelCopyBufferLayout { offset, bytes_per_row, rows_per_image: None };
                let to = wgpu::TexelCopyTextureInfo { origin: wgpu::Origin3d { x: 0, y, z: 0 }, ..self.texture.as_image_copy() };
                let extent = wgpu::Extent3d { width, height: lines, depth_or_array_layers: 1 };
                encoder.copy_buffer_to_texture(wgpu::TexelCopyBufferInfo { buffer, layout }, to, extent);
            }
        }
    }
}

/// Some dispatches of a call: all of them, unless they are too much for one submission.
struct Piece {
    program: usize,
    call: usize,
    launches: Range<usize>,
}

/// A dispatch of `x` x `y` groups; `uniform` holds where its numbering starts.
struct Launch {
    uniform: u32,
    x: u32,
    y: u32,
}

/// One uniform buffer for everything that is fixed at load: parameters of all calls, starts of all dispatches.
struct Uniforms {
    words: Vec<u32>,
    known: HashMap<Vec<u32>, u32>,
}

impl Uniforms {
    /// Offset in bytes of a block with these words; equal blocks are shared.
    fn place(&mut self, block: Vec<u32>) -> u32 {
        const ALIGN: usize = 64; // words; WebGPU's strictest uniform offset alignment is 256 bytes
        *self.known.entry(block).or_insert_with_key(|block| {
            let start = self.words.len();
            self.words.extend(block);
            self.words.resize(self.words.len().next_multiple_of(ALIGN), 0);
            4 * start as u32
        })
    }
}

/// Splits `groups` into dispatches of at most `most` groups whose numbering is gapless: folded to two dimensions where
/// one is too short, and never a group too many, which in-place kernels would not survive. As (first, x, y).
fn launches(groups: u64, most: u64) -> Vec<(u64, u64, u64)> {
    let (mut first, mut list) = (0, Vec::new());
    while first < groups {
        let left = (groups - first).min(most.max(1));
        let (x, y) = if left <= MAX_GROUPS { (left, 1) } else { (MAX_GROUPS, (left / MAX_GROUPS).min(MAX_GROUPS)) };
        list.push((first, x, y));
        first += x * y;
    }
    list
}

/// A copy of a buffer on its way to the host.
struct Copy {
    staging: wgpu::Buffer,
    mapped: mpsc::Receiver<Result<(), wgpu::BufferAsyncError>>,
    submission: wgpu::SubmissionIndex,
    /// Work submitted before it.
    after: u64,
}

/// What an executor has asked of its device so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    pub submits: u64,
    pub dispatches: u64,
    /// Copies of buffers into textures.
    pub texture_copies: u64,
    /// Bytes that the host wrote.
    pub uploaded: u64,
    /// Copies back to the host.
    pub readbacks: u64,
}

/// Learns from arrivals how much work the device does in a second.
struct Pace {
    /// Work in one submission.
    most: u64,
    bounds: (u64, u64),
    submitted: u64,
    /// When the last copy arrived, the work before it, and whether the device had more to do.
    last: Option<(Instant, u64, bool)>,
}

impl Pace {
    fn new(class: DeviceClass) -> Self {
        let first = SUBMIT_WORK[class as usize];
        Pace { most: first, bounds: (first / FASTER, first * FASTER), submitted: 0, last: None }
    }

    /// A copy of what stood there `after` some work has arrived.
    fn arrived(&mut self, after: u64) {
        let now = Instant::now();
        if let Some((then, before, true)) = self.last
            && after > before
        {
            let per_second = (after - before) as f64 / (now - then).as_secs_f64().max(1e-6);
            // At most twice as much as before: two copies may arrive together because the host looked late.
            self.most = ((per_second * SUBMIT_SECONDS) as u64).min(2 * self.most).clamp(self.bounds.0, self.bounds.1);
        }
        self.last = Some((now, after, self.submitted > after));
    }
}

/// Timestamps at both ends of every submission.
struct Stopwatch {
    queries: wgpu::QuerySet,
    resolved: wgpu::Buffer,
    submits: u32,
    seconds: f64,
}

impl Stopwatch {
    /// `None` where the device has no timestamps.
    fn new(device: &GpuDevice) -> Option<Self> {
        let has = device.device.features().contains(wgpu::Features::TIMESTAMP_QUERY);
        has.then(|| {
            let (queries, resolved) = device.queries(2 * TIMED_SUBMITS);
            Stopwatch { queries, resolved, submits: 0, seconds: 0.0 }
        })
    }
}

/// Programs loaded on an adapter.
pub struct Gpu {
    device: Arc<GpuDevice>,
    buffers: Vec<wgpu::Buffer>,
    programs: Vec<Vec<Prepared>>,
    textures: Vec<Texture>,
    launch_group: wgpu::BindGroup,
    uniform_bytes: u64,
    copies: VecDeque<Copy>,
    /// Staging buffers to use again.
    spare: Vec<wgpu::Buffer>,
    counts: Counts,
    pace: Pace,
    stopwatch: Option<Stopwatch>,
}

impl Gpu {
    pub fn load(
        device: Arc<GpuDevice>,
        arena: &Arena,
        mem: &HostMem,
        programs: Programs,
        options: &GpuOptions,
    ) -> Result<Self, DeviceError> {
        let usage = BufferUsages::STORAGE | BufferUsages::COPY_SRC | BufferUsages::COPY_DST;
        let buffers: Vec<wgpu::Buffer> = arena.alloc_words().iter().map(|&words| device.buffer("data", words, usage)).collect();
        device.check()?;
        for (i, buffer) in buffers.iter().enumerate() {
            let words = mem.alloc(i);
            if words.iter().any(|&w| w != 0) {
                device.queue.write_buffer(buffer, 0, bytemuck::cast_slice(&words));
            }
        }

        let mut uniforms = Uniforms { words: Vec::new(), known: HashMap::new() };
        let mut plans = Vec::new();
        for call in programs.iter().flat_map(|p| &p.calls) {
            plans.push(plan(&device, &*call.kernel, options, &mut uniforms));
        }
        let uniform = device.buffer("uniforms", uniforms.words.len() as u64, BufferUsages::UNIFORM | BufferUsages::COPY_DST);
        device.queue.write_buffer(&uniform, 0, bytemuck::cast_slice(&uniforms.words));
        let uniform_binding = |offset: u32, bytes: u32| {
            let size = wgpu::BufferSize::new(u64::from(bytes));
            BindingResource::Buffer(BufferBinding { buffer: &uniform, offset: offset.into(), size })
        };
        let launch_group = device.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some("launch"),
            layout: &device.launch_layout,
            entries: &[wgpu::BindGroupEntry { binding: 0, resource: uniform_binding(0, 16) }],
        });

        let guard = 4 * u64::from(arena.guard_words());
        let mut textures: Vec<Texture> = Vec::new();
        let mut plans = plans.into_iter();
        let mut prepare = |call: &crate::program::Call| {
            let Plan { pipeline, shader, params, launches } = plans.next().expect("one plan per call");
            let bufs = call.kernel.bufs();
            let buf = |binding: &Binding| bufs.iter().find(|(name, _)| *name == binding.name).expect("push compared the names").1;
            let mut reads: Vec<(usize, Buf)> = Vec::new();
            for buf in shader.bindings.iter().filter(|b| b.texture).map(buf) {
                let taken = |t: usize| reads.iter().any(|&(other, of)| other == t && of != buf);
                let known = (0..textures.len()).find(|&t| same_texture(textures[t].buf, buf, arena) && !taken(t));
                reads.push((known.unwrap_or(textures.len()), buf));
                if known.is_none() {
                    textures.push(Texture::new(&device.device, buf));
                }
            }
            let resource = |binding: &Binding| {
                let buf = buf(binding);
                if binding.texture {
                    let &(texture, _) = reads.iter().find(|(_, of)| *of == buf).expect("found above");
                    return BindingResource::TextureView(&textures[texture].view);
                }
                let size = wgpu::BufferSize::new(4 * buf.shape.words() + guard);
                BindingResource::Buffer(BufferBinding { buffer: &buffers[buf.alloc as usize], offset: 4 * u64::from(buf.offset), size })
            };
            let entry = |binding: &Binding| wgpu::BindGroupEntry { binding: binding.index, resource: resource(binding) };
            let mut entries: Vec<_> = shader.bindings.iter().map(entry).collect();
            if let Some((index, bytes, _)) = shader.params {
                entries.push(wgpu::BindGroupEntry { binding: index, resource: uniform_binding(params, bytes) });
            }
            let descriptor = wgpu::BindGroupDescriptor { label: Some(&call.label), layout: &pipeline.layout, entries: &entries };
            let bind_group = device.device.create_bind_group(&descriptor);
            let writes = call.kernel.outputs().into_iter().map(|(_, buf, _)| buf).collect();
            Prepared { pipeline, bind_group, launches, work: call.kernel.work(), reads, writes }
        };
        let programs = programs.iter().map(|p| p.calls.iter().map(&mut prepare).collect()).collect();
        device.check()?;
        let (pace, stopwatch) = (Pace::new(device.class()), Stopwatch::new(&device));
        Ok(Gpu {
            uniform_bytes: uniform.size(),
            buffers,
            programs,
            textures,
            launch_group,
            copies: VecDeque::new(),
            spare: Vec::new(),
            counts: Counts::default(),
            pace,
            stopwatch,
            device,
        })
    }

    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Records calls into one pass, or into more where copies stand between them; `timestamps` gives each call a pass
    /// and a query at its end, and the first one at its beginning.
    fn record(&mut self, encoder: &mut wgpu::CommandEncoder, pieces: &[Piece], timestamps: Option<&wgpu::QuerySet>) {
        let mut pass = None;
        for (i, Piece { program, call, launches }) in pieces.iter().enumerate() {
            let prepared = &self.programs[*program][*call];
            for &(texture, buf) in prepared.reads.iter().filter(|_| launches.start == 0) {
                let texture = &mut self.textures[texture];
                if !texture.current || texture.buf != buf {
                    texture.buf = buf;
                    // Copies stand between passes.
                    pass = None;
                    texture.copy(encoder, &self.buffers[texture.buf.alloc as usize]);
                    texture.current = true;
                    self.counts.texture_copies += 1;
                }
            }
            for texture in self.textures.iter_mut().filter(|t| t.current) {
                texture.current = !prepared.writes.iter().any(|buf| buf.overlaps(texture.buf));
            }
            let timestamp_writes = timestamps.map(|query_set| wgpu::ComputePassTimestampWrites {
                query_set,
                beginning_of_pass_write_index: (i == 0).then_some(0),
                end_of_pass_write_index: Some(i as u32 + 1),
            });
            if timestamps.is_some() {
                pass = None;
            }
            let descriptor = wgpu::ComputePassDescriptor { label: None, timestamp_writes };
            let pass = pass.get_or_insert_with(|| encoder.begin_compute_pass(&descriptor).forget_lifetime());
            pass.set_pipeline(&prepared.pipeline.pipeline);
            pass.set_bind_group(0, &prepared.bind_group, &[]);
            for launch in &prepared.launches[launches.clone()] {
                pass.set_bind_group(1, &self.launch_group, &[launch.uniform]);
                pass.dispatch_workgroups(launch.x, launch.y, 1);
                self.counts.dispatches += 1;
            }
        }
    }

    /// Calls `f` with as much of `work` at a time as one submission should hold.
    fn by_submission(
        &mut self,
        work: &[Span],
        mut f: impl FnMut(&mut Self, &[Piece]) -> Result<(), DeviceError>,
    ) -> Result<(), DeviceError> {
        let most = self.pace.most;
        let (mut pieces, mut queued): (Vec<Piece>, u64) = (Vec::new(), 0);
        for span in work {
            for call in span.calls.clone() {
                let Prepared { launches, work, .. } = &self.programs[span.program][call];
                let (count, work) = (launches.len(), *work);
                // What fits stays whole.
                let step = if work <= most { count } else { 1 };
                for start in (0..count).step_by(step) {
                    let next = work * step as u64 / count as u64;
                    if !pieces.is_empty() && (queued + next > most || pieces.len() >= SUBMIT_DISPATCHES) {
                        f(self, &std::mem::take(&mut pieces))?;
                        queued = 0;
                    }
                    pieces.push(Piece { program: span.program, call, launches: start..start + step });
                    queued += next;
                }
            }
        }
        if pieces.is_empty() { Ok(()) } else { f(self, &pieces) }
    }

    fn work_of(&self, piece: &Piece) -> u64 {
        let Prepared { launches, work, .. } = &self.programs[piece.program][piece.call];
        work * piece.launches.len() as u64 / launches.len() as u64
    }

    fn submit(&mut self, pieces: &[Piece]) -> Result<(), DeviceError> {
        let mut encoder = self.device.device.create_command_encoder(&Default::default());
        if self.stopwatch.as_ref().is_some_and(|s| s.submits == TIMED_SUBMITS) {
            self.read_stopwatch()?;
        }
        self.mark(&mut encoder, 0);
        self.record(&mut encoder, pieces, None);
        self.mark(&mut encoder, 1);
        self.pace.submitted += pieces.iter().map(|piece| self.work_of(piece)).sum::<u64>();
        self.device.queue.submit([encoder.finish()]);
        self.counts.submits += 1;
        if let Some(stopwatch) = &mut self.stopwatch {
            stopwatch.submits += 1;
        }
        self.device.check()
    }

    /// A timestamp at the beginning (0) or the end (1) of a submission: that of an empty pass, as what lies between may
    /// be several passes.
    fn mark(&mut self, encoder: &mut wgpu::CommandEncoder, end: u32) {
        if let Some(stopwatch) = &self.stopwatch {
            let timestamp_writes = Some(wgpu::ComputePassTimestampWrites {
                query_set: &stopwatch.queries,
                beginning_of_pass_write_index: Some(2 * stopwatch.submits + end),
                end_of_pass_write_index: None,
            });
            drop(encoder.begin_compute_pass(&wgpu::ComputePassDescriptor { label: None, timestamp_writes }));
        }
    }

    /// Adds the submissions since the last time to the stopwatch. Waits for them.
    fn read_stopwatch(&mut self) -> Result<(), DeviceError> {
        let Some(Stopwatch { queries, resolved, submits, .. }) = self.stopwatch.as_ref().filter(|s| s.submits > 0) else { return Ok(()) };
        let (queries, resolved, count) = (queries.clone(), resolved.clone(), 2 * submits);
        let encoder = self.device.device.create_command_encoder(&Default::default());
        let ticks = self.ticks(encoder, &queries, &resolved, count)?;
        let stopwatch = self.stopwatch.as_mut().expect("just looked");
        stopwatch.submits = 0;
        stopwatch.seconds += ticks.chunks(2).map(|pair| (pair[1] - pair[0]).max(0.0)).sum::<f64>();
        Ok(())
    }

    /// The first `count` timestamps, in seconds since some moment, after what is in `encoder`.
    fn ticks(
        &mut self,
        mut encoder: wgpu::CommandEncoder,
        queries: &wgpu::QuerySet,
        resolved: &wgpu::Buffer,
        count: u32,
    ) -> Result<Vec<f64>, DeviceError> {
        encoder.resolve_query_set(queries, 0..count, resolved, 0);
        let copy = self.copy_out(encoder, resolved, 0, 8 * u64::from(count));
        let words = self.finish_copy(copy, true)?.unwrap_or_else(|_| unreachable!("waited for"));
        let ticks: Vec<u64> = words.chunks(2).map(|pair| u64::from(pair[1]) << 32 | u64::from(pair[0])).collect();
        let period = 1e-9 * f64::from(self.device.queue.get_timestamp_period());
        Ok(ticks.iter().map(|&tick| tick.saturating_sub(ticks[0]) as f64 * period).collect())
    }

    fn wait(&self) -> Result<(), DeviceError> {
        let polled = self.device.device.poll(wgpu::PollType::wait_indefinitely());
        self.device.check()?;
        polled.map(drop).map_err(|e| DeviceError(format!("waiting for the device failed: {e}")))
    }

    /// Seconds of each piece by the device's clock.
    fn timestamps(&mut self, pieces: &[Piece]) -> Result<Vec<f64>, DeviceError> {
        let count = pieces.len() as u32 + 1;
        let (queries, resolved) = self.device.queries(count);
        let mut encoder = self.device.device.create_command_encoder(&Default::default());
        self.record(&mut encoder, pieces, Some(&queries));
        let ticks = self.ticks(encoder, &queries, &resolved, count)?;
        Ok(ticks.windows(2).map(|pair| (pair[1] - pair[0]).max(0.0)).collect())
    }

    fn start_copy(&mut self, buf: Buf) -> Copy {
        let encoder = self.device.device.create_command_encoder(&Default::default());
        let buffer = self.buffers[buf.alloc as usize].clone();
        self.copy_out(encoder, &buffer, 4 * u64::from(buf.offset), 4 * buf.shape.words())
    }

    /// Ends `encoder` with a copy of part of `buffer` to the host, and submits it.
    fn copy_out(&mut self, mut encoder: wgpu::CommandEncoder, buffer: &wgpu::Buffer, offset: u64, bytes: u64) -> Copy {
        let spare = self.spare.iter().position(|b| b.size() == bytes).map(|i| self.spare.swap_remove(i));
        let staging = spare.unwrap_or_else(|| self.device.buffer("staging", bytes / 4, BufferUsages::MAP_READ | BufferUsages::COPY_DST));
        encoder.copy_buffer_to_buffer(buffer, offset, &staging, 0, bytes);
        let submission = self.device.queue.submit([encoder.finish()]);
        let (sender, mapped) = mpsc::channel();
        // A receiver that is gone has no use for the news.
        staging.map_async(wgpu::MapMode::Read, .., move |result| drop(sender.send(result)));
        self.counts.readbacks += 1;
        Copy { staging, mapped, submission, after: self.pace.submitted }
    }

    /// The words of a copy, or the copy itself if it has not arrived.
    fn finish_copy(&mut self, copy: Copy, wait: bool) -> Result<Result<Vec<u32>, Copy>, DeviceError> {
        let failed = |e: &dyn std::fmt::Display| DeviceError(format!("reading from the device failed: {e}"));
        let poll = match wait {
            true => wgpu::PollType::Wait { submission_index: Some(copy.submission.clone()), timeout: None },
            false => wgpu::PollType::Poll,
        };
        let polled = self.device.device.poll(poll);
        self.device.check()?;
        polled.map_err(|e| failed(&e))?;
        match copy.mapped.try_recv() {
            Ok(mapped) => mapped.map_err(|e| failed(&e))?,
            Err(mpsc::TryRecvError::Empty) if !wait => return Ok(Err(copy)),
            Err(e) => return Err(failed(&e)),
        }
        self.pace.arrived(copy.after);
        let words = bytemuck::pod_collect_to_vec(&copy.staging.get_mapped_range(..).map_err(|e| failed(&e))?);
        copy.staging.unmap();
        self.spare.push(copy.staging);
        Ok(Ok(words))
    }
}

struct Plan {
    pipeline: Arc<Pipeline>,
    shader: &'static Shader,
    params: u32,
    launches: Vec<Launch>,
}

fn plan(device: &GpuDevice, kernel: &dyn Kernel, options: &GpuOptions, uniforms: &mut Uniforms) -> Plan {
    let class = device.class();
    let variant = &kernel.variants()[device.variant(kernel, options)];
    let shader = kernel.shader(variant);
    let mut block = vec![0; shader.params.as_ref().map_or(0, |(_, bytes, _)| *bytes as usize / 4)];
    for (name, value) in kernel.params() {
        let member = shader.members().iter().find(|m| m.name == name).expect("push compared the names");
        block[member.offset as usize / 4] = value.bits();
    }
    let groups = kernel.groups(variant);
    let by_work = (u128::from(groups) * u128::from(DISPATCH_WORK[class as usize]) / u128::from(kernel.work().max(1))) as u64;
    let most = options.max_groups.unwrap_or(by_work);
    let launches = launches(groups, most).into_iter();
    let launches =
        launches.map(|(first, x, y)| Launch { uniform: uniforms.place(vec![first as u32, x as u32, 0, 0]), x: x as u32, y: y as u32 });
    Plan {
        pipeline: device.pipeline(variant.name, shader, options.source.as_deref()),
        shader,
        launches: launches.collect(),
        params: uniforms.place(block),
    }
}

impl Executor for Gpu {
    fn run(&mut self, work: &[Span]) -> Result<(), DeviceError> {
        self.by_submission(work, |gpu, pieces| gpu.submit(pieces))
    }

    fn time(&mut self, work: &[Span]) -> Result<Timing, DeviceError> {
        let mut seconds: Vec<f64> = Vec::new();
        if self.device.device.features().contains(wgpu::Features::TIMESTAMP_QUERY) {
            self.by_submission(work, |gpu, pieces| {
                for (piece, time) in pieces.iter().zip(gpu.timestamps(pieces)?) {
                    match seconds.last_mut().filter(|_| piece.launches.start > 0) {
                        Some(same_call) => *same_call += time,
                        None => seconds.push(time),
                    }
                }
                Ok(())
            })?;
            return Ok(Timing { clock: TimedBy::Timestamps, seconds });
        }
        let mut timed = |work: &[Span]| -> Result<f64, DeviceError> {
            self.wait()?;
            let start = Instant::now();
            // Nothing is submitted, too.
            if work.is_empty() {
                self.submit(&[])?
            } else {
                self.run(work)?
            }
            self.wait()?;
            Ok(start.elapsed().as_secs_f64())
        };
        let idle = timed(&[])?;
        for Span { program, calls } in work {
            for call in calls.clone() {
                seconds.push((timed(&[Span { program: *program, calls: call..call + 1 }])? - idle).max(0.0));
            }
        }
        Ok(Timing { clock: TimedBy::Waiting, seconds })
    }

    fn busy_seconds(&mut self) -> Result<Option<f64>, DeviceError> {
        self.read_stopwatch()?;
        Ok(self.stopwatch.as_ref().map(|stopwatch| stopwatch.seconds))
    }

    fn device_bytes(&self) -> u64 {
        let textures = self.textures.iter().map(|t| t.grid.bytes());
        self.buffers.iter().map(wgpu::Buffer::size).sum::<u64>() + textures.sum::<u64>() + self.uniform_bytes
    }

    fn read(&mut self, buf: Buf) -> Result<Vec<u32>, DeviceError> {
        let copy = self.start_copy(buf);
        Ok(self.finish_copy(copy, true)?.unwrap_or_else(|_| unreachable!("waited for")))
    }

    fn write(&mut self, buf: Buf, words: &[u32]) -> Result<(), DeviceError> {
        assert_eq!(words.len() as u64, buf.shape.words(), "words for another buffer");
        self.counts.uploaded += 4 * buf.shape.words();
        self.device.queue.write_buffer(&self.buffers[buf.alloc as usize], 4 * u64::from(buf.offset), bytemuck::cast_slice(words));
        self.textures.iter_mut().filter(|t| t.buf.overlaps(buf)).for_each(|t| t.current = false);
        self.device.check()
    }

    fn read_later(&mut self, buf: Buf) -> Result<(), DeviceError> {
        let copy = self.start_copy(buf);
        self.copies.push_back(copy);
        self.device.check()
    }

    fn arrived(&mut self, wait: bool) -> Result<Option<Vec<u32>>, DeviceError> {
        let Some(oldest) = self.copies.pop_front() else { return Ok(None) };
        Ok(match self.finish_copy(oldest, wait)? {
            Ok(words) => Some(words),
            Err(pending) => {
                self.copies.push_front(pending);
                None
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn launches_cover_every_group_once() {
        for (groups, most) in [(1, 1), (7, 3), (65_535, u64::MAX), (65_536, u64::MAX), (1_000_003, u64::MAX), (200_000, 70_000), (5, 0)] {
            let mut next = 0;
            for (first, x, y) in launches(groups, most) {
                assert_eq!(first, next);
                assert!(x <= MAX_GROUPS && y <= MAX_GROUPS && x * y <= most.max(1));
                next += x * y;
            }
            assert_eq!(next, groups);
        }
    }
}
