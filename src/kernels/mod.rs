//! Every kernel, one line each in [`KERNELS`].
//!
//! Adding a kernel touches three places: `shaders/x.wgsl`, `src/kernels/x.rs` and a line below. A kernel's file holds its
//! call struct (fields named as in the WGSL), its CPU twin, its tolerance with the reason for it, and its cases.
//!
//! What struct and WGSL have in common, `interface!` says once, as the first item of `impl Kernel`:
//!
//! ```text
//! interface! {
//!     self runs "scale" after "inside";               // shaders/inside.wgsl, then shaders/scale.wgsl
//!     bufs { x, y: self.maps.buf }                    // the WGSL's names; a name alone is the field of that name
//!     let [low, high] = self.range();                 // for what comes next
//!     params { quads: quads(self.x), accumulate, low: low, high: high }   // likewise; u32, f32 or bool
//!     constants { MASKED: self.mask.is_some() }       // u32 or bool, known when the shader is compiled
//!     invocations { self.x.rows() }                   // u32 or u64; left out: one for each quad of the last buffer
//! }
//! ```
//!
//! `params` and `constants` may begin with `..more,` where `more` is a list of names with values that several kernels share.
//! Every part may be left out, and the method of its name written by hand: a kernel of several variants begins with `self;` and
//! has its own `variants`.

use std::ops::Range;

use crate::core::buffer::{Arena, Buf, Dtype, Fill, Role, Shape, Tensor, shape};
use crate::core::program::{Kernel, Program, RecordError, Scalar};
use crate::core::shader::TexelGrid;

/// The methods of [`Kernel`] that restate the call struct and its WGSL; the head of this file says how.
macro_rules! interface {
    ($this:ident runs $name:literal $(after $($part:literal),+)?; $($rest:tt)*) => {
        fn variants(&$this) -> &'static [$crate::core::shader::Variant] {
            &const { [$crate::core::shader::Variant::plain($name, &[$($($crate::wgsl!($part),)+)? $crate::wgsl!($name)])] }
        }

        interface! { $this; $($rest)* }
    };
    (
        $this:ident;
        $(bufs { $($buf:ident $(: $of:expr)?),* $(,)? })?
        $($(let $pattern:pat = $bound:expr;)* params { $(..$more:expr,)? $($param:ident $(: $value:expr)?),* $(,)? })?
        $(constants { $(..$shared:expr,)? $($constant:ident: $known:expr),* $(,)? })?
        $(invocations { $count:expr })?
    ) => {
        $(
            fn bufs(&$this) -> Vec<(&'static str, $crate::core::buffer::Buf)> {
                vec![$((stringify!($buf), interface!(@ $this $buf $($of)?))),*]
            }
        )?
        $(
            fn params(&$this) -> Vec<(&'static str, $crate::core::program::Scalar)> {
                $(let $pattern = $bound;)*
                let params = [$((stringify!($param), $crate::kernels::scalar(interface!(@ $this $param $($value)?)))),*];
                std::iter::empty()$(.chain($more))?.chain(params).collect()
            }
        )?
        $(
            fn constants(&$this) -> Vec<(&'static str, u32)> {
                let constants = [$((stringify!($constant), u32::from($known))),*];
                std::iter::empty()$(.chain($shared))?.chain(constants).collect()
            }
        )?
        $(
            fn invocations(&$this, _: &$crate::core::shader::Variant) -> u64 {
                u64::from($count)
            }
        )?
    };
    (@ $this:ident $field:ident) => {
        $this.$field
    };
    (@ $this:ident $field:ident $value:expr) => {
        $value
    };
}

/// A parameter's value; a function, so that compilers point at a value that is of no such type.
fn scalar(value: impl Into<Scalar>) -> Scalar {
    value.into()
}

macro_rules! kernels {
    ($($name:ident,)*) => {
        $(pub mod $name;)*

        /// The registry: `check` and the tests run over it.
        pub const KERNELS: &[KernelEntry] = &[$(KernelEntry { name: stringify!($name), cases: $name::cases },)*];
    };
}

kernels! {
    activation,
    activation_backward,
    adam,
    add,
    attention,
    attention_backward,
    attention_deltas,
    augment,
    augment_bands,
    augment_draw,
    augment_local,
    barlow,
    barlow_backward,
    batch_norm,
    batch_norm_backward,
    batch_norm_moments,
    batch_norm_parts,
    batch_norm_running,
    binary_cross_entropy,
    binary_cross_entropy_backward,
    center_view,
    channel_scale,
    channel_scale_backward,
    clip_windows,
    collect,
    column_sums,
    concat,
    conv2d,
    copy,
    ctc,
    ctc_backward,
    depthwise_conv2d,
    dropout,
    embedding_backward,
    embedding_bag,
    fma_chain,
    gather,
    gather_frames,
    gather_labels,
    gather_masks,
    gather_rows,
    gather_tokens,
    group_sums,
    group_sums_backward,
    huber,
    huber_backward,
    info_nce,
    info_nce_backward,
    info_nce_combine,
    info_nce_gradient,
    info_nce_partials,
    l2_normalize,
    l2_normalize_backward,
    layer_norm,
    layer_norm_backward,
    mask_tokens,
    masked_mean,
    masked_mean_backward,
    matmul,
    max_pool2d,
    max_pool2d_backward,
    mean,
    merge_tokens,
    metrics,
    norm_sums,
    normalize_pixels,
    part_sums,
    pixel_cross_entropy,
    pixel_cross_entropy_backward,
    positive_offsets,
    recurrent,
    recurrent_backward,
    relu,
    relu_backward,
    root_sum,
    sgd,
    shuffle,
    softmax_cross_entropy,
    softmax_cross_entropy_backward,
    sort_tokens,
    sum_parts,
    sum_squares,
    sup_con,
    sup_con_backward,
    take_columns,
    take_rows,
    tick,
    token_starts,
    upsample_nearest,
    upsample_nearest_backward,
    vicreg,
    vicreg_backward,
    vicreg_gram_backward,
    view_distances,
    weighted_mean,
    wide_cross_entropy,
}

/// A registered kernel.
pub struct KernelEntry {
    pub name: &'static str,
    /// Adds calls that cover the kernel: every flag, ragged sizes (1, primes, workgroup size +- 1), extreme values.
    pub cases: fn(&mut Cases<'_>),
}

impl KernelEntry {
    /// The kernel's cases as a program over buffers of `arena`.
    pub fn record(&self, arena: &mut Arena) -> Result<Program, RecordError> {
        let mut cases = Cases { arena, program: Program::new(self.name), error: None, bufs: 0 };
        (self.cases)(&mut cases);
        let Cases { program, error, .. } = cases;
        error.map_or(Ok(program), Err)
    }
}

/// Collects the cases of one kernel. Each case has buffers of its own.
pub struct Cases<'a> {
    arena: &'a mut Arena,
    program: Program,
    error: Option<RecordError>,
    bufs: usize,
}

impl Cases<'_> {
    /// An input with values in `[-1, 1)`.
    pub fn uniform(&mut self, rows: u32, cols: u32) -> Buf {
        self.filled(shape(rows, cols), Fill::Uniform(1.0))
    }

    pub fn filled(&mut self, shape: Shape, fill: Fill) -> Buf {
        let dtype = if matches!(fill, Fill::U32(_)) { Dtype::U32 } else { Dtype::F32 };
        self.buffer(shape, dtype, fill)
    }

    /// An input with values in `[-1, 1)` where the tensor has elements, and zeros where a row here has room for more.
    pub fn tensor(&mut self, tensor: Tensor) -> Buf {
        self.buffer(tensor, Dtype::F32, Fill::Uniform(1.0))
    }

    /// An input vector of integers.
    pub fn integers(&mut self, values: impl IntoIterator<Item = u32>) -> Buf {
        let values: Vec<u32> = values.into_iter().collect();
        self.filled(shape(1, values.len() as u32), Fill::U32(values))
    }

    /// An input vector of floats.
    pub fn floats(&mut self, values: impl IntoIterator<Item = f32>) -> Buf {
        let values: Vec<f32> = values.into_iter().collect();
        self.filled(shape(1, values.len() as u32), Fill::F32(values))
    }

    pub fn output(&mut self, rows: u32, cols: u32) -> Buf {
        self.buffer(shape(rows, cols), Dtype::F32, Fill::Zero)
    }

    pub fn integer_output(&mut self, rows: u32, cols: u32) -> Buf {
        self.buffer(shape(rows, cols), Dtype::U32, Fill::Zero)
    }

    pub fn add(&mut self, kernel: impl Kernel + 'static) {
        let label = format!("case {}", self.program.calls.len());
        let pushed = self.program.push(self.arena, label, kernel);
        self.error = self.error.take().or(pushed.err());
    }

    fn buffer(&mut self, tensor: impl Into<Tensor>, dtype: Dtype, fill: Fill) -> Buf {
        self.bufs += 1;
        let name = format!("{}.{}", self.program.name, self.bufs);
        self.arena.buffer(&name, Role::Input, dtype, tensor, fill)
    }
}

/// Checks that `buf` is `rows` x `cols`.
fn has(name: &str, buf: Buf, rows: u32, cols: u32) -> Result<(), String> {
    if buf.shape == shape(rows, cols) { Ok(()) } else { Err(format!("`{name}` is {}x{}, expected {rows}x{cols}", buf.rows(), buf.cols())) }
}

/// Checks that `buf` is a vector of at least `cols` elements.
fn holds(name: &str, buf: Buf, cols: u32) -> Result<(), String> {
    if buf.rows() == 1 && buf.cols() >= cols {
        Ok(())
    } else {
        Err(format!("`{name}` is {}x{}, expected a vector of {cols} or more", buf.rows(), buf.cols()))
    }
}

/// Checks that all buffers have the shape of the first.
fn same(bufs: &[(&str, Buf)]) -> Result<(), String> {
    bufs[1..].iter().try_for_each(|(name, buf)| has(name, *buf, bufs[0].1.rows(), bufs[0].1.cols()))
}

/// Quads (four words) in one row of `buf`.
fn row_quads(buf: Buf) -> u32 {
    buf.shape.stride() / 4
}

/// `buf` as rows of one quad each: what a kernel sees that works through memory without asking for rows.
fn quad_rows(buf: Buf) -> Buf {
    Buf { shape: shape(quads(buf), 4), ..buf }
}

/// [`TexelGrid`]'s shift for `buf`, for variants that read it from a texture.
fn line_shift(buf: Buf) -> Scalar {
    Scalar::U32(TexelGrid::of(buf.shape).map_or(0, |grid| grid.line_shift))
}

/// Parameters of `blocks.wgsl` and of where its operands lie, for a result of `m` x `n` with sums over `k`.
fn block_params(a: Buf, b: Buf, m: u32, n: u32, k: u32) -> Vec<(&'static str, Scalar)> {
    vec![
        ("m", Scalar::U32(m)),
        ("n", Scalar::U32(n)),
        ("k", Scalar::U32(k)),
        ("a_quads", Scalar::U32(row_quads(a))),
        ("b_quads", Scalar::U32(row_quads(b))),
        ("a_line_shift", line_shift(a)),
        ("b_line_shift", line_shift(b)),
    ]
}

/// Constants of `matmul_textures.wgsl`.
fn runs_on(a: Buf, b: Buf) -> [(&'static str, u32); 2] {
    let runs_on = |buf: Buf| TexelGrid::of(buf.shape).is_some_and(|grid| grid.rows_run_on).into();
    [("A_RUNS_ON", runs_on(a)), ("B_RUNS_ON", runs_on(b))]
}

/// Quads in all of `buf`.
fn quads(buf: Buf) -> u32 {
    (buf.shape.words() / 4) as u32
}

/// What normalisations add to a variance before they take its root; PyTorch's.
pub const NORM_EPS: f32 = 1e-5;

/// Rows in each part of a long sum over rows, the last part perhaps excepted: about as many as there are parts, so that both
/// halves of the sum are short. By the shape alone, so that the order of summation is, too.
fn part_rows(rows: u32) -> u32 {
    1 << rows.isqrt().clamp(16, 1024).ilog2()
}

/// Parts of a long sum over rows.
pub fn parts(rows: u32) -> u32 {
    rows.div_ceil(part_rows(rows))
}

/// The rows of part `part`.
fn part_of(rows: u32, part: usize) -> Range<usize> {
    let step = part_rows(rows) as usize;
    part * step..((part + 1) * step).min(rows as usize)
}

/// `row` several times over if it is short: loops over several rows at once are long enough to vectorise.
fn repeated(row: &[f32]) -> Vec<f32> {
    const LONG: usize = 64;
    row.repeat(LONG.div_ceil(row.len()))
}
