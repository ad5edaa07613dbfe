//! The GPU executor. Pipelines, bind groups and parameters are resolved once at load; running is a loop that records
//! dispatches.

mod call_plan;
mod device;
mod pace;
mod textures;
pub(super) mod wait;

use std::collections::{BTreeSet, VecDeque};
use std::ops::Range;
use std::sync::{Arc, mpsc};

use wgpu::{BindingResource, BufferBinding, BufferUsages};

use self::call_plan::{CallPlan, Launch, Uniforms, plan};
use self::device::Pipeline;
pub use self::device::{GpuDevice, GpuOptions};
use self::pace::Pace;
use self::textures::{Texture, same_texture};
use super::{DeviceError, Executor, Programs, Span, TimedBy, Timing};
use crate::core::buffer::{Arena, Buf};
use crate::core::memory::HostMem;
use crate::core::shader::Binding;
use crate::core::time::Timer;

/// Recording takes host time as well: tiny dispatches are submitted in batches of this many.
const SUBMIT_DISPATCHES: usize = 2_000;
/// Submissions with timestamps that wait to be read; a query set holds two for each.
const TIMED_SUBMITS: u32 = 2_048;

/// A call, resolved.
struct Prepared {
    pipeline: Arc<Pipeline>,
    bind_group: wgpu::BindGroup,
    launches: Vec<Launch>,
    work: u64,
    /// Textures that it reads, with what they must hold, and the buffers that it writes.
    reads: Vec<(usize, Buf)>,
    writes: Vec<Buf>,
    /// Textures that may hold what it overwrites.
    outdated: Vec<usize>,
}

/// Some dispatches of a call: all of them, unless they are too much for one submission.
struct Piece {
    program: usize,
    call: usize,
    launches: Range<usize>,
}

/// A copy of a buffer on its way to the host.
struct Readback {
    staging: wgpu::Buffer,
    mapped: mpsc::Receiver<Result<(), wgpu::BufferAsyncError>>,
    submission: wgpu::SubmissionIndex,
    /// Work submitted before it.
    after: u64,
}

/// Bytes that are written before they are submitted; twice as many may be on their way.
const MOST_STAGED: u64 = 64 << 20;

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
    copies: VecDeque<Readback>,
    /// Bytes that were written since `uploading` was submitted, at most, and the last submission that was for their sake alone.
    staged: u64,
    uploading: Option<wgpu::SubmissionIndex>,
    /// Staging buffers to use again.
    spare: Vec<wgpu::Buffer>,
    counts: Counts,
    pace: Pace,
    stopwatch: Option<Stopwatch>,
}

impl Gpu {
    /// Buffers as `arena` fills them, and all that running `programs` needs.
    pub fn fresh(device: Arc<GpuDevice>, arena: &Arena, programs: Programs, options: &GpuOptions) -> Result<Self, DeviceError> {
        let mut gpu = Self::prepare(device, arena, programs, options)?;
        for named in arena.bufs() {
            if let Some(words) = arena.contents(named) {
                gpu.write(named.buf, &words)?;
            }
        }
        Ok(gpu)
    }

    /// Buffers with the contents of `mem`, pads and what lies between buffers included.
    pub fn load(
        device: Arc<GpuDevice>,
        arena: &Arena,
        mem: &HostMem,
        programs: Programs,
        options: &GpuOptions,
    ) -> Result<Self, DeviceError> {
        let gpu = Self::prepare(device, arena, programs, options)?;
        for (i, buffer) in gpu.buffers.iter().enumerate() {
            let words = mem.alloc(i);
            if words.iter().any(|&w| w != 0) {
                gpu.device.queue.write_buffer(buffer, 0, bytemuck::cast_slice(&words));
            }
        }
        gpu.device.check()?;
        Ok(gpu)
    }

    /// Buffers of zeros.
    fn prepare(device: Arc<GpuDevice>, arena: &Arena, programs: Programs, options: &GpuOptions) -> Result<Self, DeviceError> {
        let usage = BufferUsages::STORAGE | BufferUsages::COPY_SRC | BufferUsages::COPY_DST;
        let buffers: Vec<wgpu::Buffer> = arena.alloc_words().iter().map(|&words| device.buffer("data", words, usage)).collect();
        device.check()?;

        let mut uniforms = Uniforms::default();
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
        let mut prepare = |call: &crate::core::program::Call| {
            let CallPlan { pipeline, shader, params, launches } = plans.next().expect("one plan per call");
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
            Prepared { pipeline, bind_group, launches, work: call.kernel.work(), reads, writes, outdated: Vec::new() }
        };
        let mut programs: Vec<Vec<Prepared>> = programs.iter().map(|p| p.calls.iter().map(&mut prepare).collect()).collect();
        let held: Vec<(usize, Buf)> = programs.iter().flatten().flat_map(|call| call.reads.clone()).collect();
        for call in programs.iter_mut().flatten() {
            let overwritten = held.iter().filter(|(_, held)| call.writes.iter().any(|buf| buf.overlaps(*held)));
            call.outdated = overwritten.map(|(texture, _)| *texture).collect::<BTreeSet<_>>().into_iter().collect();
        }
        device.check()?;
        let (pace, stopwatch) = (Pace::new(device.class()), Stopwatch::new(&device));
        Ok(Gpu {
            uniform_bytes: uniform.size(),
            buffers,
            programs,
            textures,
            launch_group,
            copies: VecDeque::new(),
            staged: 0,
            uploading: None,
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
            for &texture in &prepared.outdated {
                let texture = &mut self.textures[texture];
                texture.current &= !prepared.writes.iter().any(|buf| buf.overlaps(texture.buf));
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
        self.wait_for(None)
    }

    /// For all submissions, or for one and those before it.
    fn wait_for(&self, submission: Option<wgpu::SubmissionIndex>) -> Result<(), DeviceError> {
        let waited = wait::for_work(&self.device.device, submission);
        self.device.check()?;
        waited.map_err(|e| DeviceError(format!("waiting for the device failed: {e}")))
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

    fn start_copy(&mut self, buf: Buf) -> Readback {
        let encoder = self.device.device.create_command_encoder(&Default::default());
        let buffer = self.buffers[buf.alloc as usize].clone();
        self.copy_out(encoder, &buffer, 4 * u64::from(buf.offset), 4 * buf.shape.words())
    }

    /// Ends `encoder` with a copy of part of `buffer` to the host, and submits it.
    fn copy_out(&mut self, mut encoder: wgpu::CommandEncoder, buffer: &wgpu::Buffer, offset: u64, bytes: u64) -> Readback {
        let spare = self.spare.iter().position(|b| b.size() == bytes).map(|i| self.spare.swap_remove(i));
        let staging = spare.unwrap_or_else(|| self.device.buffer("staging", bytes / 4, BufferUsages::MAP_READ | BufferUsages::COPY_DST));
        encoder.copy_buffer_to_buffer(buffer, offset, &staging, 0, bytes);
        let submission = self.device.queue.submit([encoder.finish()]);
        let (sender, mapped) = mpsc::channel();
        // A receiver that is gone has no use for the news.
        staging.map_async(wgpu::MapMode::Read, .., move |result| drop(sender.send(result)));
        self.counts.readbacks += 1;
        Readback { staging, mapped, submission, after: self.pace.submitted }
    }

    /// The words of a copy, or the copy itself if it has not arrived.
    fn finish_copy(&mut self, copy: Readback, wait: bool) -> Result<Result<Vec<u32>, Readback>, DeviceError> {
        let failed = |e: &dyn std::fmt::Display| DeviceError(format!("reading from the device failed: {e}"));
        let waited = match wait {
            true => wait::for_work(&self.device.device, Some(copy.submission.clone())),
            false => wait::for_news(&self.device.device),
        };
        self.device.check()?;
        waited.map_err(|e| failed(&e))?;
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
            let timer = Timer::start();
            // Nothing is submitted, too.
            if work.is_empty() {
                self.submit(&[])?
            } else {
                self.run(work)?
            }
            self.wait()?;
            Ok(timer.seconds())
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
        let bytes = 4 * buf.shape.words();
        self.counts.uploaded += bytes;
        if self.staged + bytes > MOST_STAGED {
            // What is written lies in memory of the driver's until it is submitted and done. Waiting for what went before leaves
            // the device at work meanwhile.
            let submission = self.device.queue.submit([]);
            self.counts.submits += 1;
            if let Some(before) = self.uploading.replace(submission) {
                self.wait_for(Some(before))?;
            }
            self.staged = 0;
        }
        self.staged += bytes;
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
