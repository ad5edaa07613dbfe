//! Where numbers live: shapes, buffers, their roles, and the arena that lays them out.
//!
//! Invariant: a row's stride is its width rounded up to four words, the pad holds zero and stays zero. So every row
//! starts on a 16-byte boundary and kernels may read whole `vec4`s without asking where the row ends.

use std::collections::HashMap;

pub use crate::core::layout::{Shape, Tensor, pad_rows, shape, unpad_rows};
use crate::core::random;

/// Buffers inside one allocation start on multiples of this many words: 256 bytes, WebGPU's strictest offset alignment.
const ALIGN_WORDS: u32 = 64;

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Dtype {
    F32,
    U32,
}

/// A window into one allocation. Copying it copies the name of a place, not its contents.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Buf {
    pub(crate) alloc: u16,
    /// In words.
    pub(crate) offset: u32,
    pub shape: Shape,
    pub dtype: Dtype,
}

impl Buf {
    pub fn rows(self) -> u32 {
        self.shape.rows
    }

    pub fn cols(self) -> u32 {
        self.shape.cols
    }

    /// `count` rows from row `first`. Kernels can bind them if they start at a multiple of 64 words.
    pub fn some_rows(self, first: u32, count: u32) -> Buf {
        assert!(first + count <= self.rows() && (first * self.shape.stride()).is_multiple_of(ALIGN_WORDS));
        Buf { offset: self.offset + first * self.shape.stride(), shape: shape(count, self.cols()), ..self }
    }

    /// Parts of about `words` words, with their first rows, for [`some_rows`](Self::some_rows): at least as many rows as let the next
    /// part begin where one may.
    pub fn blocks(self, words: u32) -> impl Iterator<Item = (u32, Buf)> {
        let stride = self.shape.stride();
        let unit = (1..=ALIGN_WORDS).find(|rows| (rows * (stride % ALIGN_WORDS)).is_multiple_of(ALIGN_WORDS)).unwrap_or(ALIGN_WORDS);
        let rows = (words / stride).max(unit) / unit * unit;
        (0..self.rows()).step_by(rows as usize).map(move |first| (first, self.some_rows(first, rows.min(self.rows() - first))))
    }

    /// Whether the two share any word.
    pub(crate) fn overlaps(self, other: Buf) -> bool {
        let (a, b) = (self.range(), other.range());
        self.alloc == other.alloc && a.start < b.end && b.start < a.end
    }

    pub(crate) fn range(self) -> std::ops::Range<usize> {
        self.offset as usize..self.offset as usize + self.shape.words() as usize
    }
}

/// A batch of feature maps, NHWC: a row of `buf` is a pixel, `[batch * height * width, channels]`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Maps {
    pub buf: Buf,
    pub batch: u32,
    pub height: u32,
    pub width: u32,
}

impl Maps {
    /// Panics if `buf` has another number of pixels.
    pub fn new(buf: Buf, batch: u32, height: u32, width: u32) -> Self {
        assert_eq!(u64::from(buf.rows()), u64::from(batch) * u64::from(height) * u64::from(width), "rows are pixels");
        Maps { buf, batch, height, width }
    }

    pub fn channels(self) -> u32 {
        self.buf.cols()
    }

    /// Maps of the same extents over another buffer.
    pub fn with(self, buf: Buf) -> Self {
        Maps::new(buf, self.batch, self.height, self.width)
    }
}

/// What a buffer is for. A checkpoint is every `Param`, `Statistic` and `State`, and nothing else.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Role {
    /// Learned weights. Groups get a learning rate and a freeze switch of their own.
    Param { group: u8 },
    /// Gradients, laid out as the parameters are.
    Grad,
    /// What layers gather about their inputs, as running means: part of the model, but no gradient trains it.
    Statistic { group: u8 },
    /// What a later step needs of an earlier one: momentum, the clock.
    State,
    /// What a later step of the same pass needs, such as the clock of an evaluation, which starts over each time. It is not saved.
    Transient,
    /// Written by the host: data, schedules. Whatever differs between steps must be one of these.
    Input,
    /// Written and read within a step.
    Scratch,
}

impl Role {
    /// The parameter group, if it is part of the model.
    pub fn group(self) -> Option<u8> {
        match self {
            Role::Param { group } | Role::Statistic { group } => Some(group),
            _ => None,
        }
    }
}

/// First contents of a buffer. Values are dense, in the order of PyTorch's tensor.
#[derive(Clone, Debug)]
pub enum Fill {
    Zero,
    /// Uniform in `[-bound, bound)`, keyed by the arena's seed and the buffer's name.
    Uniform(f32),
    F32(Vec<f32>),
    U32(Vec<u32>),
}

#[derive(Clone, Debug)]
pub struct NamedBuf {
    pub name: String,
    pub role: Role,
    pub buf: Buf,
    /// What it is outside.
    pub tensor: Tensor,
    pub fill: Fill,
}

/// A buffer larger than the device can bind.
#[derive(Clone, Debug, thiserror::Error)]
#[error(
    "`{name}` needs {} MiB, more than this device can bind at once ({} MiB)",
    bytes.div_ceil(1 << 20), limit >> 20
)]
pub struct TooLarge {
    pub name: String,
    pub bytes: u64,
    pub limit: u64,
}

/// All buffers of a run, shared by its programs.
///
/// Parameters, gradients and momentum are three allocations of one layout, so that the optimiser is one call per
/// parameter group; second moments are a fourth where the optimiser has them. Every other buffer is an allocation of its own: wgpu tracks hazards per allocation.
pub struct Arena {
    seed: u64,
    binding_limit: u64,
    guard_words: u32,
    allocs: Vec<u64>,
    bufs: Vec<NamedBuf>,
    by_name: HashMap<String, usize>,
    by_place: HashMap<(u16, u32, Shape), usize>,
    /// The allocation of second moments, if some optimiser asked for them.
    second_moments: Option<u16>,
    /// The layer at which training begins, as long as no parameter of it was declared.
    frozen_until: Option<String>,
    /// Parameters begin with zeros.
    undrawn: bool,
    outline: bool,
    too_large: Option<TooLarge>,
}

/// The group of parameters that no program trains, whatever group they were declared for: see [`Arena::freeze_until`]. It
/// comes before all others.
pub const FROZEN: u8 = u8::MAX;

const PARAMS: u16 = 0;
const GRADS: u16 = 1;
const MOMENTUM: u16 = 2;

impl Arena {
    /// `binding_limit`: the most bytes one kernel may see of one buffer on this device.
    pub fn new(seed: u64, binding_limit: u64) -> Self {
        Arena {
            seed,
            // Offsets are counted in u32 words, and several drivers stop at 2^31 - 1 bytes.
            binding_limit: binding_limit.min((1 << 31) - 1),
            guard_words: 0,
            allocs: vec![0; 3],
            bufs: Vec::new(),
            by_name: HashMap::new(),
            by_place: HashMap::new(),
            second_moments: None,
            frozen_until: None,
            undrawn: false,
            outline: false,
            too_large: None,
        }
    }

    /// An arena for names and shapes alone: of what is recorded in it, nothing will run.
    pub fn outline() -> Self {
        Arena { outline: true, undrawn: true, ..Arena::new(0, u64::MAX) }
    }

    /// Whether calls over its buffers need not be checked, which takes far longer than recording them.
    pub(crate) fn is_outline(&self) -> bool {
        self.outline
    }

    /// An arena for checks: behind every allocation lie `words` more, bound along with it, so that a kernel that
    /// writes past its end is seen and not clipped by the driver.
    pub fn guarded(seed: u64, words: u32) -> Self {
        Arena { guard_words: words, ..Arena::new(seed, 1 << 31) }
    }

    pub fn seed(&self) -> u64 {
        self.seed
    }

    pub fn binding_limit(&self) -> u64 {
        self.binding_limit
    }

    pub fn bufs(&self) -> &[NamedBuf] {
        &self.bufs
    }

    pub fn find(&self, name: &str) -> Option<Buf> {
        self.by_name.get(name).map(|&i| self.bufs[i].buf)
    }

    /// The name to print for a buffer; ranges over several buffers are named after the allocation.
    pub fn name(&self, buf: Buf) -> String {
        match (self.at(buf), buf.alloc) {
            (Some(b), _) => b.name.clone(),
            (None, PARAMS) => "params".into(),
            (None, GRADS) => "grads".into(),
            (None, MOMENTUM) => "momentum".into(),
            (None, n) if Some(n) == self.second_moments => "second moments".into(),
            // Another reading of a buffer.
            (None, n) => self
                .bufs
                .iter()
                .find(|b| (b.buf.alloc, b.buf.offset) == (n, buf.offset))
                .map_or_else(|| format!("allocation {n}"), |b| format!("{} as {}x{}", b.name, buf.rows(), buf.cols())),
        }
    }

    pub fn role(&self, buf: Buf) -> Option<Role> {
        self.at(buf).filter(|b| b.buf == buf).map(|b| b.role)
    }

    /// The buffer at that place and of that shape.
    fn at(&self, buf: Buf) -> Option<&NamedBuf> {
        self.by_place.get(&(buf.alloc, buf.offset, buf.shape)).map(|&i| &self.bufs[i])
    }

    /// Words of every allocation, guards included.
    pub fn alloc_words(&self) -> Vec<u64> {
        self.allocs.iter().map(|&words| words.max(4) + u64::from(self.guard_words)).collect()
    }

    pub fn guard_words(&self) -> u32 {
        self.guard_words
    }

    /// Bytes of device memory that the buffers take.
    pub fn bytes(&self) -> u64 {
        4 * self.alloc_words().iter().sum::<u64>()
    }

    /// The first buffer that did not fit, if any.
    pub fn check(&self) -> Result<(), TooLarge> {
        self.too_large.clone().map_or(Ok(()), Err)
    }

    /// Puts parameters into the group [`FROZEN`] until one of `layer` is declared: of that name, or of one that begins with it
    /// and a dot.
    pub fn freeze_until(&mut self, layer: &str) {
        self.frozen_until = Some(layer.to_string());
    }

    /// A learned parameter with its gradient and momentum. Asking for a known name returns the same buffer.
    ///
    /// Panics if the shape differs from the first request or if groups interleave: both are mistakes of the model's
    /// author, not of its user.
    pub fn param(&mut self, name: &str, group: u8, tensor: impl Into<Tensor>, fill: Fill) -> Buf {
        let tensor = tensor.into();
        let shape = tensor.matrix();
        if let Some(known) = self.known(name, shape, Dtype::F32) {
            return known;
        }
        self.frozen_until.take_if(|layer| is_of(name, layer));
        let group = if self.frozen_until.is_some() { FROZEN } else { group };
        let last = self.bufs.iter().rev().find_map(|b| if let Role::Param { group } = b.role { Some(group) } else { None });
        assert!(last.is_none_or(|last| last == FROZEN || last <= group), "`{name}`: parameter groups must be declared in order");
        let offset = self.allocs[PARAMS as usize];
        let words = shape.words().next_multiple_of(u64::from(ALIGN_WORDS));
        self.measure(name, offset + words);
        let buf = |alloc| Buf { alloc, offset: offset as u32, shape, dtype: Dtype::F32 };
        for alloc in [PARAMS, GRADS, MOMENTUM].into_iter().chain(self.second_moments) {
            self.allocs[alloc as usize] += words;
        }
        let fill = if self.undrawn { Fill::Zero } else { fill };
        self.insert(name.to_string(), Role::Param { group }, buf(PARAMS), tensor, fill);
        self.insert(format!("grad.{name}"), Role::Grad, buf(GRADS), tensor, Fill::Zero);
        self.insert(format!("momentum.{name}"), Role::State, buf(MOMENTUM), tensor, Fill::Zero);
        if let Some(alloc) = self.second_moments {
            self.insert(second_moment_name(name), Role::State, buf(alloc), tensor, Fill::Zero);
        }
        buf(PARAMS)
    }

    /// The gradient buffer of a parameter.
    pub fn grad(&self, param: Buf) -> Buf {
        assert_eq!(param.alloc, PARAMS, "only parameters have a gradient of the same layout");
        Buf { alloc: GRADS, ..param }
    }

    /// Parameters, gradients and momentum of one group, each as one vector. `None` if the group is empty.
    pub fn group(&self, group: u8) -> Option<[Buf; 3]> {
        let (first, last) = (self.params(group).next()?, self.params(group).last()?);
        let words = u64::from(last.offset - first.offset) + last.shape.words();
        let range = |alloc| Buf { alloc, shape: shape(1, words as u32), ..first };
        Some([range(PARAMS), range(GRADS), range(MOMENTUM)])
    }

    /// Where the second moments of `params`, a parameter or a group's vector, lie. The first request makes room for all.
    pub fn second_moments(&mut self, params: Buf) -> Buf {
        assert_eq!(params.alloc, PARAMS, "only parameters have second moments");
        let alloc = self.second_moments.unwrap_or_else(|| {
            let alloc = u16::try_from(self.allocs.len()).expect("fewer than 65,536 buffers");
            self.allocs.push(self.allocs[PARAMS as usize]);
            let params = self.bufs.iter().filter(|b| matches!(b.role, Role::Param { .. }));
            for (name, buf, tensor) in params.map(|b| (second_moment_name(&b.name), b.buf, b.tensor)).collect::<Vec<_>>() {
                self.insert(name, Role::State, Buf { alloc, ..buf }, tensor, Fill::Zero);
            }
            self.second_moments = Some(alloc);
            alloc
        });
        Buf { alloc, ..params }
    }

    /// Elements of the tensor that a named buffer holds, as PyTorch counts them: without those that fill up its rows.
    pub fn elements(&self, buf: Buf) -> u64 {
        self.bufs.iter().find(|b| b.buf == buf).map_or(buf.shape.len(), |b| b.tensor.len())
    }

    /// The parameters of one group.
    pub fn params(&self, group: u8) -> impl Iterator<Item = Buf> + '_ {
        self.bufs.iter().filter(move |b| b.role == Role::Param { group }).map(|b| b.buf)
    }

    /// The groups that have parameters, in order.
    pub fn groups(&self) -> Vec<u8> {
        let mut groups: Vec<u8> =
            self.bufs.iter().filter_map(|b| if let Role::Param { group } = b.role { Some(group) } else { None }).collect();
        groups.dedup();
        groups
    }

    /// Parameters that are declared from now on begin with zeros: what is restored at once need not be drawn.
    pub fn draw_no_params(&mut self) {
        self.undrawn = true;
    }

    /// A buffer of its own. Asking for a known name returns the same buffer.
    pub fn buffer(&mut self, name: &str, role: Role, dtype: Dtype, tensor: impl Into<Tensor>, fill: Fill) -> Buf {
        let tensor = tensor.into();
        let shape = tensor.matrix();
        if let Some(known) = self.known(name, shape, dtype) {
            return known;
        }
        self.measure(name, shape.words());
        let alloc = u16::try_from(self.allocs.len()).expect("fewer than 65,536 buffers");
        self.allocs.push(shape.words());
        let buf = Buf { alloc, offset: 0, shape, dtype };
        self.insert(name.to_string(), role, buf, tensor, fill);
        buf
    }

    pub fn input(&mut self, name: &str, dtype: Dtype, shape: Shape) -> Buf {
        self.buffer(name, Role::Input, dtype, shape, Fill::Zero)
    }

    /// Asking for a known name in another shape returns the same place, with room for the largest, unless one would have values where
    /// the other has a pad: programs of one name that take turns, such as those of batches of several widths, need the memory of one.
    pub fn scratch(&mut self, name: &str, dtype: Dtype, shape: Shape) -> Buf {
        let Some(known) = self.find(name).filter(|known| known.shape != shape && known.dtype == dtype) else {
            return self.buffer(name, Role::Scratch, dtype, shape, Fill::Zero);
        };
        if known.cols() != shape.cols && [known.cols(), shape.cols].iter().any(|cols| !cols.is_multiple_of(4)) {
            return self.buffer(&format!("{name} as {}x{}", shape.rows, shape.cols), Role::Scratch, dtype, shape, Fill::Zero);
        }
        self.measure(name, shape.words());
        let words = &mut self.allocs[known.alloc as usize];
        *words = shape.words().max(*words);
        self.by_place.entry((known.alloc, known.offset, shape)).or_insert(self.by_name[name]);
        Buf { shape, ..known }
    }

    /// First contents of a buffer, padded.
    pub(crate) fn contents(&self, b: &NamedBuf) -> Option<Vec<u32>> {
        let dense: Vec<u32> = match &b.fill {
            Fill::Zero => return None,
            Fill::Uniform(bound) => {
                let key = random::key_from_name(self.seed, &b.name);
                (0..b.tensor.len() as u32).map(|i| (random::signed_unit(random::threefry(key, [i, 0])[0]) * bound).to_bits()).collect()
            }
            Fill::F32(values) => values.iter().map(|v| v.to_bits()).collect(),
            Fill::U32(values) => values.clone(),
        };
        Some(b.tensor.from_torch(&dense))
    }

    fn known(&self, name: &str, shape: Shape, dtype: Dtype) -> Option<Buf> {
        let known = self.find(name)?;
        assert_eq!((known.shape, known.dtype), (shape, dtype), "`{name}` was declared with another shape");
        Some(known)
    }

    fn insert(&mut self, name: String, role: Role, buf: Buf, tensor: Tensor, fill: Fill) {
        self.by_name.insert(name.clone(), self.bufs.len());
        self.by_place.entry((buf.alloc, buf.offset, buf.shape)).or_insert(self.bufs.len());
        self.bufs.push(NamedBuf { name, role, buf, tensor, fill });
    }

    fn measure(&mut self, name: &str, words: u64) {
        let bytes = 4 * (words + u64::from(self.guard_words));
        if bytes > self.binding_limit && self.too_large.is_none() {
            self.too_large = Some(TooLarge { name: name.into(), bytes, limit: self.binding_limit });
        }
    }
}

/// Whether `name` is `layer` or something in it.
pub fn is_of(name: &str, layer: &str) -> bool {
    name.strip_prefix(layer).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

fn second_moment_name(param: &str) -> String {
    format!("second_moment.{param}")
}
