//! Results and gradients that PyTorch computed in float64, on every path that computes them here.
//!
//! `tests/golden` holds the cases of this crate's ops; `WGRAFT_GOLDEN` names a folder with more.

use crate::common;

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

use common::weights::{Named, safetensors};
use safetensors::{Dtype as Element, SafeTensors};
use wgraft::core::buffer::{Arena, Buf, Dtype, Fill, Maps, NamedBuf, Role, Shape, Tensor, pad_rows, shape, unpad_rows};
use wgraft::core::layout::Taps;
use wgraft::core::memory::HostMem;
use wgraft::core::program::{EPSILON, Exp, Program, Tolerance};
use wgraft::core::random::threefry;
use wgraft::core::sample::{Image, NO_TOKEN, SampleType};
use wgraft::core::tape::Tape;
use wgraft::exec::{Cpu, Executor, Gpu, GpuDevice, GpuOptions, Programs, repeat};
use wgraft::kernels::adam::AdamSettings;
use wgraft::kernels::conv2d::{Geometry, Padding};
use wgraft::kernels::ctc::Ctc;
use wgraft::kernels::ctc_backward::CtcBackward;
use wgraft::kernels::matmul::{Layout, Matmul};
use wgraft::kernels::max_pool2d::Window;
use wgraft::kernels::mean::Mean;
use wgraft::kernels::metrics::StepMetrics;
use wgraft::kernels::part_sums::PartSums;
use wgraft::kernels::pixel_cross_entropy_backward::PixelCrossEntropyBackward;
use wgraft::kernels::sgd::SgdSettings;
use wgraft::kernels::shuffle::Order;
use wgraft::kernels::weighted_mean::WeightedMean;
use wgraft::kernels::wide_cross_entropy::WideCrossEntropy;
use wgraft::models::{self, ModelKind, ModelSettings, Place, TransformerShape};
use wgraft::ops::{self, Activation, Cell, Clock, DataBufs, Function, Optimizer, Similarities};
use wgraft::train::Checkpoint;

/// The ops of golden cases, some in several forms.
const OPS: &[(&str, Op)] = &[
    ("matmul", matmul),
    ("linear", linear),
    ("conv2d", conv2d),
    ("conv2d_same", conv2d),
    ("depthwise_conv2d", depthwise_conv2d),
    ("depthwise_conv2d_same", depthwise_conv2d),
    ("relu", relu),
    ("gelu", gelu),
    ("tanh", tanh),
    ("sigmoid", sigmoid),
    ("silu", |case, engine| activation(case, engine, Function::Silu)),
    ("relu6", |case, engine| activation(case, engine, Function::Relu6)),
    ("hard_sigmoid", |case, engine| activation(case, engine, Function::HardSigmoid)),
    ("hard_swish", |case, engine| activation(case, engine, Function::HardSwish)),
    ("batch_norm", batch_norm),
    ("layer_norm", layer_norm),
    ("layer_norm_eps", layer_norm),
    ("embedding", embedding),
    ("attention", attention),
    ("multi_head_attention", multi_head_attention),
    ("masked_mean_pool", masked_mean),
    ("gru", |case, engine| recurrent(case, engine, Cell::Gru)),
    ("gru_lengths", |case, engine| recurrent(case, engine, Cell::Gru)),
    ("lstm_lengths", |case, engine| recurrent(case, engine, Cell::Lstm)),
    ("ctc", ctc),
    ("softmax_cross_entropy", softmax_cross_entropy),
    ("binary_cross_entropy", binary_cross_entropy),
    ("nt_xent", |case, engine| nt_xent(case, engine, Similarities::Stored)),
    ("nt_xent", |case, engine| nt_xent(case, engine, STREAMED)),
    ("info_nce", info_nce),
    ("sup_con", |case, engine| sup_con(case, engine, Similarities::Stored)),
    ("sup_con", |case, engine| sup_con(case, engine, STREAMED)),
    ("barlow", barlow),
    ("mse", regression),
    ("huber", regression),
    ("pixel_cross_entropy", pixel_cross_entropy),
    ("masked_token_cross_entropy", masked_token_cross_entropy),
    ("max_pool2d", max_pool2d),
    ("global_avg_pool", global_avg_pool),
    ("upsample_nearest", upsample_nearest),
    ("residual_block", residual_block),
    ("resnet18_forward", |case, engine| network(case, engine, "resnet18", &|stage| of_resnet(stage, [2, 2, 2, 2]))),
    ("resnet34_forward", |case, engine| network(case, engine, "resnet34", &|stage| of_resnet(stage, [3, 4, 6, 3]))),
    ("resnet50_forward", |case, engine| network(case, engine, "resnet50", &|stage| of_resnet(stage, [3, 4, 6, 3]))),
    ("mobilenet_v2_forward", |case, engine| network(case, engine, "mobilenet_v2", &of_mobilenet)),
    ("mobilenet_v3_small_forward", |case, engine| network(case, engine, "mobilenet_v3_small", &of_mobilenet)),
    ("tf_efficientnet_lite0_forward", |case, engine| network(case, engine, "efficientnet_lite0", &of_efficientnet)),
    ("vit_tiny_patch16_224_forward", |case, engine| network(case, engine, "vit", &of_vit)),
    ("vit_small_patch14_dinov2_forward", |case, engine| network(case, engine, "dinov2", &of_vit)),
    ("dinov2_small_forward", |case, engine| network(case, engine, "dinov2", &of_vit)),
    ("bert_minilm_forward", bert),
    ("sgd", sgd),
    ("adam", adam),
    ("adamw", adam),
    ("trajectory", trajectory),
];

/// Whole networks that would keep twins busy for minutes: those are compared op by op, and by the smallest network.
const LARGE: [&str; 9] = [
    "bert_minilm_forward",
    "resnet34_forward",
    "resnet50_forward",
    "mobilenet_v2_forward",
    "mobilenet_v3_small_forward",
    "tf_efficientnet_lite0_forward",
    "vit_tiny_patch16_224_forward",
    "vit_small_patch14_dinov2_forward",
    "dinov2_small_forward",
];

/// In blocks, of which the larger cases have several.
const STREAMED: Similarities = Similarities::Streamed { rows: 128, cols: 64 };

type Op = fn(&Case, &Engine) -> Vec<Found>;

/// What a run left in a tensor, and how far from the truth each element may lie.
struct Found {
    tensor: String,
    values: Vec<f64>,
    bounds: Vec<f64>,
}

struct Stored {
    shape: Vec<usize>,
    /// f64 holds every f32, u32 and u8.
    values: Vec<f64>,
}

struct Case {
    name: String,
    op: String,
    params: serde_json::Value,
    tensors: BTreeMap<String, Stored>,
}

impl Case {
    fn read(path: &Path) -> Self {
        let name = path.file_stem().expect("a file has a name").to_string_lossy().into_owned();
        let bytes = std::fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let (_, header) = SafeTensors::read_metadata(&bytes).unwrap_or_else(|e| panic!("{name}: {e}"));
        let metadata = header.metadata().clone().unwrap_or_default();
        let entry = |key| metadata.get(key).unwrap_or_else(|| panic!("{name}: the metadata lack `{key}`"));
        let params = serde_json::from_str(entry("params")).unwrap_or_else(|e| panic!("{name}: params: {e}"));
        let read = |(tensor, view): (String, safetensors::tensor::TensorView)| {
            let values = match view.dtype() {
                Element::F64 => view.data().chunks_exact(8).map(|b| f64::from_le_bytes(b.try_into().expect("8 bytes"))).collect(),
                Element::F32 => view.data().chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().expect("4 bytes")).into()).collect(),
                Element::U32 => view.data().chunks_exact(4).map(|b| u32::from_le_bytes(b.try_into().expect("4 bytes")).into()).collect(),
                Element::U8 => view.data().iter().map(|&b| b.into()).collect(),
                other => panic!("{name}: `{tensor}` is {other:?}"),
            };
            (tensor, Stored { shape: view.shape().to_vec(), values })
        };
        let tensors = SafeTensors::deserialize(&bytes).expect("the header was read").tensors().into_iter().map(read).collect();
        Case { op: entry("op").clone(), params, tensors, name }
    }

    fn tensor(&self, name: &str) -> &Stored {
        self.tensors.get(name).unwrap_or_else(|| panic!("{}: no tensor `{name}`", self.name))
    }

    /// What PyTorch computed, but for what nothing here is made of.
    fn expected(&self) -> impl Iterator<Item = (&String, &Stored)> {
        const UNUSED: [&str; 5] = ["grad.log_probs", "out.pooler", "out.patch_mean", "out.features_hf", "out.features_timm"];
        self.tensors.iter().filter(|(name, _)| !name.starts_with("in.") && !UNUSED.contains(&name.as_str()))
    }

    fn number(&self, param: &str) -> Option<f32> {
        self.params.get(param).map(|v| v.as_f64().unwrap_or_else(|| panic!("{}: `{param}` is {v}", self.name)) as f32)
    }

    fn text(&self, param: &str) -> &str {
        self.params[param].as_str().unwrap_or_else(|| panic!("{}: no text `{param}`", self.name))
    }

    /// A vector is one row.
    fn shape(&self, name: &str) -> Shape {
        match *self.tensor(name).shape {
            [cols] => shape(1, cols as u32),
            [rows, cols] => shape(rows as u32, cols as u32),
            // A place of a sequence in each row.
            [samples, places, cols] => shape((samples * places) as u32, cols as u32),
            ref other => panic!("{}: `{name}` has shape {other:?}", self.name),
        }
    }

    fn f32s(&self, name: &str) -> Vec<f32> {
        self.tensor(name).values.iter().map(|&v| v as f32).collect()
    }

    fn u32s(&self, name: &str) -> Vec<u32> {
        self.tensor(name).values.iter().map(|&v| v as u32).collect()
    }

    /// The tensor `in.name` as a buffer whose gradient is wanted.
    fn input(&self, t: &mut Tape<'_>, name: &str) -> Buf {
        let tensor = format!("in.{name}");
        let buf = t.arena.buffer(name, Role::Input, Dtype::F32, self.shape(&tensor), Fill::F32(self.f32s(&tensor)));
        t.want(buf);
        buf
    }

    /// The tensor `in.name` of integers as a vector.
    fn integers(&self, t: &mut Tape<'_>, name: &str) -> Buf {
        let values = self.u32s(&format!("in.{name}"));
        t.arena.buffer(name, Role::Input, Dtype::U32, shape(1, values.len() as u32), Fill::U32(values))
    }

    /// PyTorch's `[n, channels, height, width]`, of maps or of filters: both have the channels of a pixel or a tap together
    /// here.
    fn nchw(&self, name: &str) -> Option<Tensor> {
        let &[outputs, inputs, height, width] = &*self.tensor(name).shape else { return None };
        let [outputs, inputs, height, width] = [outputs, inputs, height, width].map(|size| size as u32);
        let taps = Taps { outputs, inputs, height, width };
        let depthwise = self.op.starts_with("depthwise") && name.ends_with(".w");
        Some(if depthwise { Tensor::Depthwise(taps) } else { Tensor::Filters(taps) })
    }

    /// Where each element of a tensor lies among the unpadded ones of a buffer that holds it.
    fn order(&self, tensor: &str, shape: Shape) -> Vec<usize> {
        let Some(nchw) = self.nchw(tensor) else { return (0..shape.len() as usize).collect() };
        let words: Vec<u32> = (0..shape.words() as u32).collect();
        let dense = |word: u32| word / shape.stride() * shape.cols + word % shape.stride();
        nchw.to_torch(&words).into_iter().map(|word| dense(word) as usize).collect()
    }

    /// The tensor `in.name` as filters whose gradient is wanted.
    fn filters(&self, t: &mut Tape<'_>, name: &str) -> Buf {
        let tensor = format!("in.{name}");
        let filters = self.nchw(&tensor).expect("four dimensions");
        let buf = t.arena.buffer(name, Role::Input, Dtype::F32, filters, Fill::F32(self.f32s(&tensor)));
        t.want(buf);
        buf
    }

    /// The tensor `in.name` as feature maps whose gradient is wanted.
    fn maps(&self, t: &mut Tape<'_>, name: &str) -> Maps {
        let tensor = format!("in.{name}");
        let &[batch, channels, height, width] = &*self.tensor(&tensor).shape else { panic!("{tensor}: four dimensions") };
        let [batch, channels, height, width] = [batch, channels, height, width].map(|size| size as u32);
        let bits: Vec<u32> = self.f32s(&tensor).iter().map(|v| v.to_bits()).collect();
        let pixels = shape(batch * height * width, channels);
        let words = self.nchw(&tensor).expect("four dimensions").from_torch(&bits);
        let values = unpad_rows(pixels, &words).into_iter().map(f32::from_bits).collect();
        let buf = t.arena.buffer(name, Role::Input, Dtype::F32, pixels, Fill::F32(values));
        t.want(buf);
        Maps::new(buf, batch, height, width)
    }

    /// The tensor `in.name` as a matrix: of pixels where it has four dimensions.
    fn rows(&self, t: &mut Tape<'_>, name: &str) -> Buf {
        if self.tensor(&format!("in.{name}")).shape.len() == 4 { self.maps(t, name).buf } else { self.input(t, name) }
    }

    /// Without a number, padding is TensorFlow's `SAME`.
    fn geometry(&self) -> Geometry {
        let padding = self.number("padding").map_or(Padding::Same, |padding| Padding::Pixels([padding as u32; 2]));
        let stride = self.number("stride").expect("a stride") as u32;
        Geometry { kernel: [2, 3].map(|side| self.tensor("in.w").shape[side] as u32), stride, padding }
    }

    /// Step settings that hold the temperature.
    fn temperature(&self, t: &mut Tape<'_>) -> Buf {
        let temperature = self.number("temperature").expect("a temperature");
        t.arena.buffer("settings", Role::Input, Dtype::F32, shape(1, 1), Fill::F32(vec![temperature]))
    }
}

/// What runs a case.
enum Engine {
    Twins,
    Fast,
    Gpu(Arc<GpuDevice>),
}

impl Engine {
    fn name(&self) -> String {
        match self {
            Engine::Twins => "twins".into(),
            Engine::Fast => "fast".into(),
            Engine::Gpu(gpu) => gpu.name(),
        }
    }

    fn exp(&self) -> Exp {
        match self {
            Engine::Twins | Engine::Fast => Exp::Specified,
            Engine::Gpu(gpu) => Exp::of(gpu.class()),
        }
    }

    fn load(&self, arena: &Arena, programs: &Programs) -> Box<dyn Executor> {
        let mem = HostMem::new(arena);
        match self {
            Engine::Twins => Box::new(Cpu::reference(mem, programs.clone())),
            Engine::Fast => Box::new(Cpu::new(mem, programs.clone())),
            Engine::Gpu(gpu) => {
                let options = GpuOptions::default();
                Box::new(Gpu::load(gpu.clone(), arena, &mem, programs.clone(), &options).expect("the program loads"))
            }
        }
    }
}

/// How far a right result may lie from the truth: its kernel's tolerance, the rounding of the twin's f64 to f32, and what
/// earlier kernels' errors become on their way. The last is tried out: several memories in which every result so far lies
/// off by all of its kernel's tolerance, up or down.
struct Walk {
    right: HostMem,
    moved: Vec<HostMem>,
    outputs: u32,
    bounds: HashMap<Buf, Vec<f64>>,
    exp: Exp,
}

/// All errors in one direction, then directions at random.
const PATTERNS: u32 = 4;

/// Four patterns of errors are few, so twice the worst of them is allowed.
const CARRIED: f64 = 2.0;

impl Walk {
    fn new(arena: &Arena, exp: Exp) -> Self {
        let moved = (0..PATTERNS).map(|_| HostMem::new(arena)).collect();
        Walk { right: HostMem::new(arena), moved, outputs: 0, bounds: HashMap::new(), exp }
    }

    fn write(&self, buf: Buf, words: &[u32]) {
        self.moved.iter().chain([&self.right]).for_each(|mem| mem.write(buf, words));
    }

    fn run(&mut self, program: &Program) {
        for call in &program.calls {
            let outputs = call.kernel.outputs();
            let own: Vec<Tolerance> = outputs.iter().map(|(name, ..)| call.kernel.tolerance(name, &self.right, self.exp)).collect();
            self.moved.iter().chain([&self.right]).for_each(|mem| call.kernel.twin(mem));
            for ((_, buf, _), own) in outputs.into_iter().zip(own).filter(|((_, buf, _), _)| buf.dtype == Dtype::F32) {
                let right = self.right.dense_f32(buf);
                let own: Vec<f64> = right.iter().enumerate().map(|(i, &v)| own.bound(i, v.into())).collect();
                let mut carried = 0.0_f64;
                for (pattern, mem) in self.moved.iter().enumerate() {
                    let mut values = mem.dense_f32(buf);
                    for (i, (value, own)) in values.iter_mut().zip(&own).enumerate() {
                        // What was moved out of a kernel's domain, as a variance below zero, is no number and allows nothing.
                        carried = carried.max(f64::from((*value - right[i]).abs()));
                        let up = pattern == 0 || threefry([pattern as u32, self.outputs], [i as u32, 0])[0] & 1 == 0;
                        // Away from zero if near it: what a ReLU passes is not to change.
                        let up = if f64::from(value.abs()) > *own { up } else { *value > 0.0 };
                        *value = (f64::from(*value) + if up { *own } else { -own }) as f32;
                    }
                    let bits: Vec<u32> = values.iter().map(|v| v.to_bits()).collect();
                    mem.write(buf, &pad_rows(buf.shape, &bits));
                }
                let bounds = right.iter().zip(&own).map(|(v, own)| own + CARRIED * carried + EPSILON * f64::from(v.abs()));
                self.bounds.insert(buf, bounds.collect());
                self.outputs += 1;
            }
        }
    }
}

/// Values without padding, which must hold zero.
fn read(executor: &mut dyn Executor, buf: Buf) -> Vec<f64> {
    let words = executor.read(buf).expect("the buffer can be read");
    let dense = unpad_rows(buf.shape, &words);
    assert!(pad_rows(buf.shape, &dense) == words, "the padding of {buf:?} is not zero");
    dense.into_iter().map(|word| f32::from_bits(word).into()).collect()
}

fn write(executor: &mut dyn Executor, buf: Buf, values: &[f32]) {
    executor.write(buf, &padded(buf, values)).expect("the buffer can be written");
}

fn padded(buf: Buf, values: &[f32]) -> Vec<u32> {
    pad_rows(buf.shape, &values.iter().map(|v| v.to_bits()).collect::<Vec<_>>())
}

/// Runs a program once. `record` returns the tensors that its buffers hold in the end.
fn once(case: &Case, engine: &Engine, record: impl FnOnce(&mut Tape<'_>) -> Vec<(&'static str, Buf)>) -> Vec<Found> {
    let in_order = |(mut found, buf): (Found, Buf)| {
        let order = case.order(&found.tensor, buf.shape);
        [&mut found.values, &mut found.bounds].into_iter().for_each(|all| *all = order.iter().map(|&i| all[i]).collect());
        found
    };
    computed(engine, record).into_iter().map(in_order).collect()
}

/// [`once`], with elements in the order in which they lie here.
fn computed(engine: &Engine, record: impl FnOnce(&mut Tape<'_>) -> Vec<(&'static str, Buf)>) -> Vec<(Found, Buf)> {
    let mut arena = Arena::new(0, u64::MAX);
    let mut tape = Tape::new(&mut arena, "case", &[]);
    let tensors = record(&mut tape);
    let programs = Arc::new(vec![tape.finish().expect("the case is valid")]);
    let mut walk = Walk::new(&arena, engine.exp());
    walk.run(&programs[0]);
    let mut executor = engine.load(&arena, &programs);
    executor.run(&repeat(&programs, 0, 1)).expect("the program runs");
    let found = |(tensor, buf): (&str, Buf)| {
        let values = read(&mut *executor, buf);
        (Found { tensor: tensor.into(), values, bounds: walk.bounds[&buf].clone() }, buf)
    };
    tensors.into_iter().map(found).collect()
}

/// Adds the gradients of `inputs` to the tensors of a case.
fn with_gradients(t: &Tape<'_>, out: (&'static str, Buf), inputs: &[(&'static str, Buf)]) -> Vec<(&'static str, Buf)> {
    let grads = inputs.iter().map(|&(tensor, x)| (tensor, t.recorded_grad(x).expect("every input got a gradient")));
    std::iter::once(out).chain(grads).collect()
}

fn matmul(case: &Case, engine: &Engine) -> Vec<Found> {
    once(case, engine, |t| {
        let [a, b, dy] = ["a", "b", "dy"].map(|name| case.input(t, name));
        let (y, da, db) = (t.scratch("y", dy.shape), t.scratch("da", a.shape), t.scratch("db", b.shape));
        t.call("y", Matmul::new(Layout::NN, a, b, y));
        t.call("da", Matmul::new(Layout::NT, dy, b, da));
        t.call("db", Matmul::new(Layout::TN, a, dy, db));
        vec![("out.y", y), ("grad.a", da), ("grad.b", db)]
    })
}

fn linear(case: &Case, engine: &Engine) -> Vec<Found> {
    let activation = match case.text("activation") {
        "none" => Activation::None,
        "relu" => Activation::Relu,
        other => panic!("{}: activation `{other}`", case.name),
    };
    once(case, engine, |t| {
        let [x, w, b, dy] = ["x", "w", "b", "dy"].map(|name| case.input(t, name));
        let y = ops::linear(t, "y", x, w, b, activation);
        t.backward(y, dy);
        with_gradients(t, ("out.y", y), &[("grad.x", x), ("grad.w", w), ("grad.b", b)])
    })
}

fn conv2d(case: &Case, engine: &Engine) -> Vec<Found> {
    once(case, engine, |t| {
        let (x, w, dy) = (case.maps(t, "x"), case.filters(t, "w"), case.maps(t, "dy"));
        let bias = case.tensors.contains_key("in.b").then(|| case.input(t, "b"));
        let y = ops::conv2d(t, "y", x, w, bias, case.geometry());
        t.backward(y.buf, dy.buf);
        let inputs = [("grad.x", x.buf), ("grad.w", w)].into_iter().chain(bias.map(|b| ("grad.b", b)));
        with_gradients(t, ("out.y", y.buf), &inputs.collect::<Vec<_>>())
    })
}

/// Each token is a bag of its own.
fn embedding(case: &Case, engine: &Engine) -> Vec<Found> {
    once(case, engine, |t| {
        let (w, dy) = (case.input(t, "w"), case.input(t, "dy"));
        let tokens: Vec<u32> = case.u32s("in.tokens").into_iter().flat_map(|token| [token, NO_TOKEN, NO_TOKEN, NO_TOKEN]).collect();
        let tokens = t.arena.buffer("tokens", Role::Input, Dtype::U32, shape(tokens.len() as u32 / 4, 4), Fill::U32(tokens));
        let y = ops::embedding_bag(t, "y", tokens, w);
        t.backward(y, dy);
        with_gradients(t, ("out.y", y), &[("grad.w", w)])
    })
}

/// Sequences of `length` places with tokens as `in.lengths` says.
fn tokens(case: &Case, t: &mut Tape<'_>, lengths: &[u32], length: u32) -> Buf {
    let places = lengths.iter().flat_map(|&tokens| (0..length).map(move |place| if place < tokens { place } else { NO_TOKEN }));
    assert!(lengths.iter().all(|&tokens| tokens <= length), "{}: a length beyond {length}", case.name);
    let (of, tokens) = (shape(lengths.len() as u32, length), places.collect());
    t.arena.buffer("tokens", Role::Input, Dtype::U32, of, Fill::U32(tokens))
}

/// The case has heads one after another, and queries of their own number, all of which count. Here keys that are no token have no
/// query: so a sample becomes as many sequences as its queries need, each with all of its keys.
fn attention(case: &Case, engine: &Engine) -> Vec<Found> {
    let sizes = |name: &str| <[usize; 4]>::try_from(&*case.tensor(name).shape).expect("four dimensions");
    let ([_, heads, queries, width], [_, _, keys, _]) = (sizes("in.q"), sizes("in.k"));
    let lengths = case.u32s("in.lengths");
    let sequences: Vec<(usize, usize)> =
        (0..lengths.len()).flat_map(|sample| (0..queries).step_by(lengths[sample] as usize).map(move |first| (sample, first))).collect();
    // Of an element of a sample, where it lies in the case and in a row here.
    let columns = |head_length: usize, sample: usize, place: usize| {
        let place = move |head: usize| (sample * heads + head) * head_length + place;
        (0..heads).flat_map(move |head| (0..width).map(move |c| place(head) * width + c))
    };
    let query = |(sample, first): (usize, usize), place: usize| {
        let counts = place < lengths[sample] as usize && first + place < queries;
        counts.then(|| columns(queries, sample, first + place))
    };
    let found = computed(engine, |t| {
        let mut rows = |name: &str, of_queries: bool| {
            let values = case.f32s(&format!("in.{name}"));
            let row = |(sequence, place): ((usize, usize), usize)| match of_queries {
                true => query(sequence, place).map_or_else(|| vec![0.0; heads * width], |row| row.map(|i| values[i]).collect()),
                false => columns(keys, sequence.0, place).map(|i| values[i]).collect(),
            };
            let places = sequences.iter().flat_map(|&sequence| (0..keys).map(move |place| (sequence, place)));
            let of = shape((sequences.len() * keys) as u32, (heads * width) as u32);
            let buf = t.arena.buffer(name, Role::Input, Dtype::F32, of, Fill::F32(places.flat_map(row).collect()));
            t.want(buf);
            buf
        };
        let (q, k, v, dy) = (rows("q", true), rows("k", false), rows("v", false), rows("dy", true));
        let lengths: Vec<u32> = sequences.iter().map(|(sample, _)| lengths[*sample]).collect();
        let tokens = tokens(case, t, &lengths, keys as u32);
        let y = ops::attention(t, "y", q, k, v, tokens, heads as u32);
        t.backward(y, dy);
        with_gradients(t, ("out.y", y), &[("grad.q", q), ("grad.k", k), ("grad.v", v)])
    });
    let as_stored = |(Found { tensor, values, bounds }, _): (Found, Buf)| {
        let count = case.tensor(&tensor).values.len();
        let mut stored = Found { values: vec![0.0; count], bounds: vec![0.0; count], tensor };
        for (s, &sequence) in sequences.iter().enumerate() {
            for place in 0..keys {
                let to: Vec<usize> = match stored.tensor.as_str() {
                    "out.y" | "grad.q" => query(sequence, place).into_iter().flatten().collect(),
                    _ => columns(keys, sequence.0, place).collect(),
                };
                for (c, to) in to.into_iter().enumerate() {
                    stored.values[to] += values[(s * keys + place) * heads * width + c];
                    stored.bounds[to] += bounds[(s * keys + place) * heads * width + c];
                }
            }
        }
        stored
    };
    found.into_iter().map(as_stored).collect()
}

/// The weights that a case has for queries, keys and values below each other are three here.
fn multi_head_attention(case: &Case, engine: &Engine) -> Vec<Found> {
    let &[_, length, width] = &*case.tensor("in.x").shape else { panic!("{}: three dimensions", case.name) };
    let (lengths, heads) = (case.u32s("in.lengths"), case.number("heads").expect("a number of heads") as u32);
    let mut found: Vec<Found> = computed(engine, |t| {
        let (x, dy) = (case.input(t, "x"), case.input(t, "dy"));
        let [weights, biases] = [("in_proj_weight", width as u32), ("in_proj_bias", 1)].map(|(name, rows)| {
            [0, 1, 2].map(|third| {
                let values = case.f32s(&format!("in.{name}"));
                let part = values.chunks(values.len() / 3).nth(third).expect("three parts").to_vec();
                let of = shape(rows, width as u32);
                let buf = t.arena.buffer(&format!("{name}.{third}"), Role::Input, Dtype::F32, of, Fill::F32(part));
                t.want(buf);
                buf
            })
        });
        let [w, b] = ["out_proj.weight", "out_proj.bias"].map(|name| case.input(t, name));
        let [q, k, v] = [0, 1, 2].map(|i| ops::linear(t, ["q", "k", "v"][i], x, weights[i], biases[i], Activation::None));
        let tokens = tokens(case, t, &lengths, length as u32);
        let attended = ops::attention(t, "attended", q, k, v, tokens, heads);
        let y = ops::linear(t, "y", attended, w, b, Activation::None);
        t.backward(y, dy);
        let of_thirds = |name, of: [Buf; 3]| of.map(|buf| (name, buf));
        let projections = [of_thirds("grad.in_proj_weight", weights), of_thirds("grad.in_proj_bias", biases)].concat();
        let inputs = [("grad.x", x), ("grad.out_proj.weight", w), ("grad.out_proj.bias", b)];
        with_gradients(t, ("out.y", y), &[&inputs[..], &projections].concat())
    })
    .into_iter()
    .map(|(found, _)| found)
    .collect();
    found.dedup_by(|third, all| {
        let same = third.tensor == all.tensor;
        if same {
            all.values.append(&mut third.values);
            all.bounds.append(&mut third.bounds);
        }
        same
    });
    // What comes out for padding is not to be compared.
    let of_padding = |i: &usize| (i / width) % length >= lengths[i / width / length] as usize;
    let y = &mut found[0].values;
    (0..y.len()).filter(of_padding).for_each(|i| y[i] = case.tensor("out.y").values[i]);
    found
}

fn masked_mean(case: &Case, engine: &Engine) -> Vec<Found> {
    once(case, engine, |t| {
        let (x, dy) = (case.input(t, "x"), case.input(t, "dy"));
        let tokens = tokens(case, t, &case.u32s("in.lengths"), case.tensor("in.x").shape[1] as u32);
        let y = ops::masked_mean(t, "y", x, tokens);
        t.backward(y, dy);
        with_gradients(t, ("out.y", y), &[("grad.x", x)])
    })
}

/// In one direction or in both, whose states lie side by side in `out.y` and one after the other in `out.h` and `out.c`; without
/// lengths all sequences are full, and without gradients of the last states there are none.
fn recurrent(case: &Case, engine: &Engine, cell: Cell) -> Vec<Found> {
    const PARAMS: [&str; 4] = ["w_ih", "w_hh", "b_ih", "b_hh"];
    const GRADS: [[&str; 4]; 2] = [
        ["grad.w_ih", "grad.w_hh", "grad.b_ih", "grad.b_hh"],
        ["grad.w_ih_reverse", "grad.w_hh_reverse", "grad.b_ih_reverse", "grad.b_hh_reverse"],
    ];
    const LAST: [&str; 2] = ["last", "last_reverse"];
    let [batch, length, _] = <[usize; 3]>::try_from(&*case.tensor("in.x").shape).expect("three dimensions");
    let has = |name: &str| case.tensors.contains_key(name);
    let (directions, width) = (1 + usize::from(has("in.w_hh_reverse")), case.tensor("in.w_hh").shape[1]);
    let lengths = if has("in.lengths") { case.u32s("in.lengths") } else { vec![length as u32; batch] };
    let found = computed(engine, |t| {
        let (x, dy, tokens) = (case.input(t, "x"), case.input(t, "dy"), tokens(case, t, &lengths, length as u32));
        let mut grads = Vec::new();
        let layers: Vec<_> = (0..directions)
            .map(|direction| {
                let suffix = if direction == 0 { "" } else { "_reverse" };
                let params = PARAMS.map(|name| case.input(t, &format!("{name}{suffix}")));
                let [w_ih, w_hh, b_ih, b_hh] = params;
                let layer = ops::RecurrentLayer { cell, reverse: direction == 1, w_ih, w_hh, b_ih, b_hh };
                grads.extend(GRADS[direction].into_iter().zip(params));
                let found = ops::recurrent(t, &format!("layer{suffix}"), x, tokens, layer);
                if has("in.dh") {
                    let given: Vec<Vec<f32>> =
                        ["in.dh", "in.dc"].into_iter().filter(|name| has(name)).map(|name| case.f32s(name)).collect();
                    let row = |sequence: usize| {
                        let at = (direction * batch + sequence) * width;
                        given.iter().flat_map(move |states| states[at..at + width].to_vec())
                    };
                    let fill = Fill::F32((0..batch).flat_map(row).collect());
                    let grad = t.arena.buffer(&format!("dlast{suffix}"), Role::Input, Dtype::F32, found.last.shape, fill);
                    assert!(t.share(found.last, grad), "it is the only gradient");
                }
                found
            })
            .collect();
        let of_steps = |steps: Buf| Maps::new(steps, 1, steps.rows(), 1);
        let y = match *layers {
            [one] => one.steps,
            [ref one, ref other] => ops::concat(t, "y", of_steps(one.steps), of_steps(other.steps)).buf,
            _ => unreachable!("there are two directions"),
        };
        t.backward(y, dy);
        let last = LAST.into_iter().zip(layers.iter().map(|layer| layer.last));
        with_gradients(t, ("out.y", y), &[&[("grad.x", x)], &*grads].concat()).into_iter().chain(last).collect()
    });
    let (last, mut all): (Vec<Found>, Vec<Found>) =
        found.into_iter().map(|(found, _)| found).partition(|found| LAST.contains(&&*found.tensor));
    for (block, tensor) in ["out.h", "out.c"].into_iter().enumerate().filter(|(_, tensor)| has(tensor)) {
        let of = |values: &dyn Fn(&Found) -> Vec<f64>| {
            let states =
                last.iter().flat_map(|last| values(last).chunks(values(last).len() / batch).map(<[f64]>::to_vec).collect::<Vec<_>>());
            states.flat_map(|row| row[block * width..(block + 1) * width].to_vec()).collect::<Vec<f64>>()
        };
        all.push(Found { tensor: tensor.into(), values: of(&|last| last.values.clone()), bounds: of(&|last| last.bounds.clone()) });
    }
    all
}

fn relu(case: &Case, engine: &Engine) -> Vec<Found> {
    elementwise(case, engine, ops::relu)
}

fn gelu(case: &Case, engine: &Engine) -> Vec<Found> {
    let function = match case.text("form") {
        "exact erf" => Function::Gelu,
        "tanh" => Function::GeluTanh,
        other => panic!("{}: {other}", case.name),
    };
    let mut found = activation(case, engine, function);
    // PyTorch computes Φ as (1 + erf) / 2, which far below zero leaves nothing but the rounding of 1 in float64; the results
    // are at most 10 times as large.
    found.iter_mut().flat_map(|found| &mut found.bounds).for_each(|bound| *bound += 10.0 * f64::EPSILON / 4.0);
    found
}

fn tanh(case: &Case, engine: &Engine) -> Vec<Found> {
    elementwise(case, engine, ops::tanh)
}

fn sigmoid(case: &Case, engine: &Engine) -> Vec<Found> {
    elementwise(case, engine, ops::sigmoid)
}

fn elementwise(case: &Case, engine: &Engine, op: fn(&mut Tape<'_>, &str, Buf) -> Buf) -> Vec<Found> {
    once(case, engine, |t| {
        let [x, dy] = ["x", "dy"].map(|name| case.input(t, name));
        let y = op(t, "y", x);
        t.backward(y, dy);
        with_gradients(t, ("out.y", y), &[("grad.x", x)])
    })
}

/// A step of training, then evaluation with the running statistics that it left.
fn batch_norm(case: &Case, engine: &Engine) -> Vec<Found> {
    assert_eq!((case.number("momentum"), case.number("eps")), (Some(ops::Statistics::RATE), Some(1e-5)), "{}", case.name);
    once(case, engine, |t| {
        let [x, gamma, beta, dy] = ["x", "gamma", "beta", "dy"].map(|name| case.rows(t, name));
        let (running, statistics) = (ops::Running::new(t.arena, "y", 0, x.cols()), ops::Statistics::batch(t.arena));
        let layer = ops::BatchNormLayer { gamma, beta, running, eps: ops::BatchNormLayer::EPS };
        let y = ops::batch_norm(t, "y", x, layer, statistics, Activation::None);
        t.backward(y, dy);
        let y_eval = ops::batch_norm(t, "y eval", x, layer, ops::Statistics::Running, Activation::None);
        let gradients = with_gradients(t, ("out.y", y), &[("grad.x", x), ("grad.gamma", gamma), ("grad.beta", beta)]);
        let evaluation = [("out.y_eval", y_eval), ("out.running_mean", running.mean), ("out.running_var", running.variance)];
        gradients.into_iter().chain(evaluation).collect()
    })
}

fn layer_norm(case: &Case, engine: &Engine) -> Vec<Found> {
    let eps = case.number("eps").expect("eps");
    once(case, engine, |t| {
        let [x, gamma, beta, dy] = ["x", "gamma", "beta", "dy"].map(|name| case.input(t, name));
        let y = ops::layer_norm(t, "y", x, gamma, beta, eps);
        t.backward(y, dy);
        with_gradients(t, ("out.y", y), &[("grad.x", x), ("grad.gamma", gamma), ("grad.beta", beta)])
    })
}

fn softmax_cross_entropy(case: &Case, engine: &Engine) -> Vec<Found> {
    once(case, engine, |t| {
        let logits = case.input(t, "logits");
        let targets = case.integers(t, "targets");
        let loss = ops::cross_entropy(t, "loss", logits, targets, case.number("label_smoothing").unwrap_or(0.0));
        t.backward(loss, loss);
        with_gradients(t, ("out.loss", loss), &[("grad.logits", logits)])
    })
}

fn binary_cross_entropy(case: &Case, engine: &Engine) -> Vec<Found> {
    once(case, engine, |t| {
        let (logits, wanted) = (case.input(t, "logits"), case.input(t, "target"));
        let loss = ops::binary_cross_entropy(t, "loss", logits, wanted, case.number("scale").expect("a scale"));
        t.backward(loss, loss);
        with_gradients(t, ("out.loss", loss), &[("grad.logits", logits)])
    })
}

fn nt_xent(case: &Case, engine: &Engine, similarities: Similarities) -> Vec<Found> {
    once(case, engine, |t| {
        let (z, hyper) = (case.input(t, "z"), case.temperature(t));
        let unit = ops::normalize(t, "unit z", z);
        let loss = ops::nt_xent_with(t, "loss", unit, hyper, similarities);
        t.backward(loss, loss);
        with_gradients(t, ("out.loss", loss), &[("grad.z", z)])
    })
}

fn info_nce(case: &Case, engine: &Engine) -> Vec<Found> {
    once(case, engine, |t| {
        let (a, b, hyper) = (case.input(t, "a"), case.input(t, "b"), case.temperature(t));
        let (queries, keys) = (ops::normalize(t, "queries", a), ops::normalize(t, "keys", b));
        let loss = ops::info_nce(t, "loss", queries, keys, hyper);
        t.backward(loss, loss);
        with_gradients(t, ("out.loss", loss), &[("grad.a", a), ("grad.b", b)])
    })
}

/// Both forms of the similarities, which have to agree on loss and gradient.
fn sup_con(case: &Case, engine: &Engine, similarities: Similarities) -> Vec<Found> {
    once(case, engine, |t| {
        let (z, labels, hyper) = (case.input(t, "z"), case.integers(t, "labels"), case.temperature(t));
        let unit = ops::normalize(t, "unit z", z);
        let loss = ops::sup_con_with(t, "loss", unit, labels, hyper, similarities);
        t.backward(loss, loss);
        with_gradients(t, ("out.loss", loss), &[("grad.z", z)])
    })
}

fn barlow(case: &Case, engine: &Engine) -> Vec<Found> {
    assert_eq!(case.number("eps"), Some(1e-5), "{}", case.name);
    assert!(case.text("form").contains("(biased variance, eps inside the root)"), "{}", case.name);
    let views = ["in.a", "in.b"].map(|view| case.f32s(view)).concat();
    let of_view = case.shape("in.a");
    let mut found = once(case, engine, |t| {
        let z = t.arena.buffer("z", Role::Input, Dtype::F32, shape(2 * of_view.rows, of_view.cols), Fill::F32(views));
        t.want(z);
        let loss = ops::barlow(t, "loss", z, case.number("lambda").expect("a weight"));
        t.backward(loss, loss);
        with_gradients(t, ("out.loss", loss), &[("grad.a", z)])
    });
    // The gradient of the second views lies below that of the first.
    let first = found.last_mut().expect("the gradient");
    let [values, bounds] = [&mut first.values, &mut first.bounds].map(|all| all.split_off(of_view.len() as usize));
    found.push(Found { tensor: "grad.b".into(), values, bounds });
    found
}

fn regression(case: &Case, engine: &Engine) -> Vec<Found> {
    once(case, engine, |t| {
        let (pred, wanted) = (case.input(t, "pred"), case.input(t, "target"));
        let loss = match case.op.as_str() {
            "mse" => ops::mse(t, "loss", pred, wanted),
            _ => ops::huber(t, "loss", pred, wanted, 1.0),
        };
        t.backward(loss, loss);
        with_gradients(t, ("out.loss", loss), &[("grad.pred", pred)])
    })
}

fn pixel_cross_entropy(case: &Case, engine: &Engine) -> Vec<Found> {
    once(case, engine, |t| {
        let (logits, targets, weights) = (case.maps(t, "logits").buf, case.integers(t, "targets"), case.input(t, "class_weights"));
        let ignored = case.number("ignore_index").expect("an index to ignore") as u32;
        let loss = ops::pixel_cross_entropy(t, "loss", logits, targets, weights, ignored);
        t.backward(loss, loss);
        with_gradients(t, ("out.loss", loss), &[("grad.logits", logits)])
    })
}

/// As `vocabulary_cross_entropy` has it, of logits that are given: rows are filled up by some without a target.
fn masked_token_cross_entropy(case: &Case, engine: &Engine) -> Vec<Found> {
    const ROWS: u32 = 64;
    assert_eq!(case.number("label_smoothing"), Some(0.0), "{}", case.name);
    let ignored = case.number("ignore_index").expect("an index to ignore") as u32;
    once(case, engine, |t| {
        let given = case.input(t, "logits");
        let filled = |t: &mut Tape<'_>, name: &str, of: &dyn Fn(u32) -> u32| {
            let fill = Fill::U32((0..ROWS).map(|row| if row < given.rows() { of(row) } else { NO_TOKEN }).collect());
            t.arena.buffer(name, Role::Input, Dtype::U32, shape(1, ROWS), fill)
        };
        let wanted = case.u32s("in.targets");
        let rows = filled(t, "rows", &|row| row);
        let targets = filled(t, "targets", &|row| if wanted[row as usize] == ignored { NO_TOKEN } else { wanted[row as usize] });
        let logits = ops::embedding(t, "logits of rows", rows, given);
        let (terms, log_sum) = (t.scratch("terms", shape(2, ROWS)), t.scratch("log sums", shape(1, ROWS)));
        let [loss, counted] = [0, 1].map(|row| terms.some_rows(row, 1));
        t.call("per row", WideCrossEntropy { logits, targets, loss, counted, log_sum, ignored: NO_TOKEN });
        let sums = t.scratch("sums", PartSums::shape(terms));
        let [mean, total] = ["loss", "rows that count"].map(|name| t.scratch(name, shape(1, 1)));
        t.call("sums", PartSums { x: terms, sums });
        t.call("mean", WeightedMean { sums, mean, total });
        let ones = Fill::F32(vec![1.0; logits.cols() as usize]);
        let weights = t.arena.buffer("weights", Role::Input, Dtype::F32, shape(1, logits.cols()), ones);
        let dlogits = t.scratch("gradient", logits.shape);
        t.call("gradient", PixelCrossEntropyBackward { logits, targets, weights, log_sum, total, dlogits, ignored: NO_TOKEN });
        t.backward(logits, dlogits);
        with_gradients(t, ("out.loss", mean), &[("grad.logits", given)])
    })
}

/// PyTorch has all samples of a step together, and its sum of losses is not over letters.
fn ctc(case: &Case, engine: &Engine) -> Vec<Found> {
    let [time, batch, classes] = <[usize; 3]>::try_from(&*case.tensor("in.logits").shape).expect("three dimensions");
    let (given, letters) = (case.f32s("in.logits"), case.u32s("in.target_lengths"));
    let longest = case.shape("in.targets").cols;
    // Where a sample's row of a step lies there.
    let rows = || (0..batch).flat_map(|sample| (0..time).map(move |step| step * batch + sample));
    let found = computed(engine, |t| {
        let values = rows().flat_map(|row| given[row * classes..(row + 1) * classes].to_vec()).collect();
        let of_steps = shape((batch * time) as u32, classes as u32);
        let logits = t.arena.buffer("logits", Role::Input, Dtype::F32, of_steps, Fill::F32(values));
        let steps = tokens(case, t, &case.u32s("in.input_lengths"), time as u32);
        let wanted = case.u32s("in.targets").into_iter().enumerate();
        let letter = |(i, letter)| if (i as u32) % longest < letters[i / longest as usize] { letter } else { NO_TOKEN };
        let fill = Fill::U32(wanted.map(letter).collect());
        let targets = t.arena.buffer("targets", Role::Input, Dtype::U32, shape(batch as u32, longest), fill);
        let [loss, mean] = [("losses", batch as u32), ("loss", 1)].map(|(name, cols)| t.scratch(name, shape(1, cols)));
        let log_sums = t.scratch("log sums", shape(batch as u32, time as u32));
        let (alphas, dlogits) = (t.scratch("alphas", shape(of_steps.rows, 2 * longest + 1)), t.scratch("gradient", of_steps));
        t.call("losses", Ctc { logits, steps, targets, loss, log_sums, alphas });
        t.call("loss", Mean { x: loss, mean });
        t.call("gradient", CtcBackward { logits, steps, targets, log_sums, alphas, dlogits });
        vec![("out.losses", loss), ("out.loss", mean), ("grad.logits", dlogits)]
    });
    let [mut losses, mut loss, grad] = <[(Found, Buf); 3]>::try_from(found).map(|found| found.map(|(found, _)| found)).ok().expect("three");
    let scaled = |found: &mut Found, by: &dyn Fn(usize) -> f64| {
        let each = |all: &mut Vec<f64>| all.iter_mut().enumerate().for_each(|(i, value)| *value *= by(i));
        [&mut found.values, &mut found.bounds].into_iter().for_each(each);
    };
    scaled(&mut losses, &|sample| f64::from(letters[sample].max(1)));
    let mut slopes = Found { tensor: grad.tensor, values: vec![0.0; given.len()], bounds: vec![0.0; given.len()] };
    for (ours, theirs) in rows().enumerate() {
        let [ours, theirs] = [ours, theirs].map(|row| row * classes..(row + 1) * classes);
        slopes.values[theirs.clone()].copy_from_slice(&grad.values[ours.clone()]);
        slopes.bounds[theirs].copy_from_slice(&grad.bounds[ours]);
    }
    if case.text("reduction") == "sum" {
        scaled(&mut slopes, &|i| batch as f64 * f64::from(letters[i / classes % batch].max(1)));
        loss = Found { tensor: loss.tensor, values: vec![losses.values.iter().sum()], bounds: vec![losses.bounds.iter().sum()] };
    }
    vec![losses, loss, slopes]
}

fn max_pool2d(case: &Case, engine: &Engine) -> Vec<Found> {
    let size = |name| case.number(name).expect("a size") as u32;
    let window = Window::square(size("kernel"), size("stride"), 0);
    resampled(case, engine, |t, x| ops::max_pool2d(t, "y", x, window))
}

fn global_avg_pool(case: &Case, engine: &Engine) -> Vec<Found> {
    once(case, engine, |t| {
        let (x, dy) = (case.maps(t, "x"), case.input(t, "dy"));
        let y = ops::global_avg_pool(t, "y", x);
        t.backward(y, dy);
        with_gradients(t, ("out.y", y), &[("grad.x", x.buf)])
    })
}

fn upsample_nearest(case: &Case, engine: &Engine) -> Vec<Found> {
    let scale = case.number("scale").expect("a scale") as u32;
    resampled(case, engine, |t, x| ops::upsample_nearest(t, "y", x, scale))
}

/// An op from maps `x` to maps `y` and the gradient of `x`.
fn resampled(case: &Case, engine: &Engine, op: impl Fn(&mut Tape<'_>, Maps) -> Maps) -> Vec<Found> {
    once(case, engine, |t| {
        let (x, dy) = (case.maps(t, "x"), case.maps(t, "dy"));
        let y = op(t, x);
        t.backward(y.buf, dy.buf);
        with_gradients(t, ("out.y", y.buf), &[("grad.x", x.buf)])
    })
}

/// The block as models put it together, with the case's values where it would have first ones of its own.
fn residual_block(case: &Case, engine: &Engine) -> Vec<Found> {
    const GRADIENTS: [(&str, &str, &str); 9] = [
        ("grad.conv1", "conv1", "conv1.weight"),
        ("grad.bn1_gamma", "bn1_gamma", "bn1.weight"),
        ("grad.bn1_beta", "bn1_beta", "bn1.bias"),
        ("grad.conv2", "conv2", "conv2.weight"),
        ("grad.bn2_gamma", "bn2_gamma", "bn2.weight"),
        ("grad.bn2_beta", "bn2_beta", "bn2.bias"),
        ("grad.shortcut", "shortcut", "downsample.0.weight"),
        ("grad.bn3_gamma", "bn3_gamma", "downsample.1.weight"),
        ("grad.bn3_beta", "bn3_beta", "downsample.1.bias"),
    ];
    once(case, engine, |t| {
        let params = GRADIENTS.map(|(tensor, values, name)| {
            let values = format!("in.{values}");
            let kind = case.nchw(&values).unwrap_or_else(|| Tensor::Vector(case.shape(&values).cols));
            let param = t.arena.param(&format!("block.{name}"), 0, kind, Fill::F32(case.f32s(&values)));
            t.want(param);
            (tensor, param)
        });
        let (x, dy) = (case.maps(t, "x"), case.maps(t, "dy"));
        let (place, stride) = (Place::training(t, 0), case.number("stride").expect("a stride") as u32);
        let y = models::residual_block(t, "block", place, x, dy.channels(), stride);
        t.backward(y.buf, dy.buf);
        let inputs: Vec<_> = std::iter::once(("grad.x", x.buf)).chain(params).collect();
        with_gradients(t, ("out.y", y.buf), &inputs)
    })
}

/// What a residual network calls the end of a stage.
fn of_resnet(stage: &str, blocks: [u32; 4]) -> Vec<String> {
    let Some(layer) = stage.strip_prefix("layer") else { return vec!["maxpool".into()] };
    vec![format!("layer{layer}.{}", blocks[layer.parse::<usize>().expect("a number") - 1] - 1)]
}

/// What MobileNets may call the output of one of their `features`: a block that adds its input, or the batch norm that is its end.
fn of_mobilenet(stage: &str) -> Vec<String> {
    let number: usize = stage.strip_prefix("block").and_then(|number| number.parse().ok()).expect("a block");
    let features = format!("features.{number}");
    let added = number.checked_sub(1).map(|block| format!("block {block}"));
    let ends = [".1, HardSwish", ".block.3.1", ".block.2.1", ".conv.3", ".conv.2", ".1"];
    added.into_iter().chain(ends.map(|end| format!("{features}{end}"))).collect()
}

fn of_efficientnet(stage: &str) -> Vec<String> {
    const STAGES: [usize; 7] = [1, 2, 2, 3, 3, 4, 1];
    let Some(block) = stage.strip_prefix("block") else { return vec!["bn1".into()] };
    let all: Vec<String> = STAGES.iter().enumerate().flat_map(|(s, &count)| (0..count).map(move |i| format!("blocks.{s}.{i}"))).collect();
    let name = &all[block.parse::<usize>().expect("a number")];
    vec![format!("block {block}"), format!("{name}.bn3"), format!("{name}.bn2")]
}

/// A network from images to logits, with weights by the formula that the case states. `named` says what its stages may be called here:
/// the first of these that there is.
fn network(case: &Case, engine: &Engine, model: &str, named: &dyn Fn(&str) -> Vec<String>) -> Vec<Found> {
    const IMAGES: u32 = 2;
    let known = |name: &String| !["out.features", "out.logits"].contains(&name.as_str());
    let stages: Vec<&String> = case.expected().map(|(name, _)| name).filter(|name| known(name)).collect();
    let image = Image { height: 224, width: 224, channels: 3 };
    let kind = ModelKind::named(model).expect("a model");
    let mut model = ModelSettings { kind, ..ModelSettings::mlp(vec![1]) };
    // Of the sizes that are published, where a network has several.
    kind.size(&mut model, &|name| shape_of_vit(kind, name));
    let salt = case.number("salt").expect("a salt") as u32;
    let classes = case.tensors.contains_key("out.logits").then(|| case.shape("out.logits").cols);

    let mut arena = Arena::new(0, u64::MAX);
    let x = arena.input("input", Dtype::F32, shape(IMAGES * image.height * image.width, image.channels));
    let mut tape = Tape::new(&mut arena, "case", &[]);
    let x = model.kind.form().value(x, SampleType::Image(image), None);
    let features = models::encoder(&mut tape, &model, Place::evaluation(models::ENCODER), x);
    let logits = classes.map(|classes| models::classifier(&mut tape, &model, classes, features));
    let programs = Arc::new(vec![tape.finish().expect("the case is valid")]);
    let mut executor = engine.load(&arena, &programs);

    let is_weight = |role: Role| matches!(role, Role::Param { .. } | Role::Statistic { .. });
    if let Some(published) = as_published(case, salt) {
        published.restore(&arena, &mut *executor, &is_weight).expect("weights of this network");
    } else {
        for b in arena.bufs().iter().filter(|b| is_weight(b.role)) {
            let words: Vec<u32> = formula(kind, b, salt).into_iter().map(f32::to_bits).collect();
            executor.write(b.buf, &b.tensor.from_torch(&words)).expect("weights can be written");
        }
    }
    let bits = |name: &str, count: u64, value: &dyn Fn(f64) -> f64| -> Vec<u32> {
        units(name, salt).take(count as usize).map(|u| (value(u) as f32).to_bits()).collect()
    };
    let nchw = Tensor::Filters(Taps { outputs: IMAGES, inputs: image.channels, height: image.height, width: image.width });
    executor.write(x.buf(), &nchw.from_torch(&bits("input", nchw.len(), &|u| 4.0 * u))).expect("images can be written");
    executor.run(&repeat(&programs, 0, 1)).expect("the program runs");

    // Of twenty layers' rounding errors together nothing is known but that they are small beside the largest value.
    let found = |tensor: &str, values: Vec<f64>| {
        let of_stage = tensor.strip_prefix("out.").and_then(|stage| case.params["largest"][stage].as_f64());
        let of_probe = || case.tensor(tensor).values.iter().fold(0.0_f64, |largest, v| common::worst([largest, v.abs()]));
        let largest = of_stage.unwrap_or_else(of_probe);
        Found { tensor: tensor.into(), bounds: vec![1e-4 * largest; values.len()], values }
    };
    let probes: Vec<Found> = stages
        .into_iter()
        .map(|tensor| {
            let names = named(tensor.strip_prefix("out.").expect("an output"));
            let buf = names.iter().find_map(|name| arena.find(&format!("case/{name}"))).unwrap_or_else(|| panic!("no value {names:?}"));
            let (pixels, channels) = ((buf.rows() / IMAGES) as usize, buf.cols() as usize);
            let rows = read(&mut *executor, buf);
            // Of rows PyTorch has their columns innermost, as here; of maps, their pixels.
            let place = |i: usize| if case.params["heads"].is_null() { i % pixels * channels + i / pixels } else { i };
            found(tensor, (0..64).map(|i| rows[place(i)]).collect())
        })
        .collect();
    let ends = [("out.features", Some(features)), ("out.logits", logits)];
    let ends = ends.into_iter().filter(|(tensor, _)| case.tensors.contains_key(*tensor)).filter_map(|(tensor, buf)| Some((tensor, buf?)));
    probes.into_iter().chain(ends.map(|(tensor, buf)| found(tensor, read(&mut *executor, buf))).collect::<Vec<_>>()).collect()
}

/// A language network from tokens to sentences, with weights by the formula that the case states.
fn bert(case: &Case, engine: &Engine) -> Vec<Found> {
    let (tokens, lengths) = (case.tensor("in.tokens"), case.tensor("in.lengths"));
    let [texts, longest] = tokens.shape[..] else { panic!("tokens of texts") };
    let number = |name: &str| case.number(name).expect("a number");
    let shape_of_it = TransformerShape { layers: 6, heads: number("heads") as u32, eps: number("eps"), ..TransformerShape::default() };
    let model = ModelSettings { kind: ModelKind::BERT, shape: Some(shape_of_it), ..ModelSettings::mlp(vec![1]) };
    // Rows of tokens are a multiple of four wide.
    let room = longest.next_multiple_of(4);
    let token = |i: usize| {
        let (text, place) = (i / room, i % room);
        if place < lengths.values[text] as usize { tokens.values[text * longest + place] as u32 } else { NO_TOKEN }
    };
    let (mut arena, kind) = (Arena::new(0, u64::MAX), SampleType::Tokens { vocabulary: 30_522, longest: room as u32 });
    let filled = Fill::U32((0..texts * room).map(token).collect());
    let x = arena.buffer("input", Role::Input, Dtype::U32, shape(texts as u32, room as u32), filled);
    let mut tape = Tape::new(&mut arena, "case", &[]);
    let x = model.kind.form().value(x, kind, None);
    let sentence = models::encoder(&mut tape, &model, Place::evaluation(models::ENCODER), x);
    let programs = Arc::new(vec![tape.finish().expect("the case is valid")]);
    let mut executor = engine.load(&arena, &programs);
    let salt = number("salt") as u32;
    for b in arena.bufs().iter().filter(|b| matches!(b.role, Role::Param { .. })) {
        let words: Vec<u32> = formula(model.kind, b, salt).into_iter().map(f32::to_bits).collect();
        executor.write(b.buf, &b.tensor.from_torch(&words)).expect("weights can be written");
    }
    executor.run(&repeat(&programs, 0, 1)).expect("the program runs");
    let mut found = Vec::new();
    let mut add = |stage: &str, values: Vec<f64>| {
        let largest = case.params["largest"][stage].as_f64().expect("the largest value of a stage");
        found.push(Found { tensor: format!("out.{stage}"), bounds: vec![1e-4 * largest; values.len()], values });
    };
    let layers = (0..6).map(|layer| (format!("layer{layer}"), format!("encoder.layer.{layer}.output.LayerNorm")));
    for (stage, name) in std::iter::once(("embeddings".to_string(), "embeddings.LayerNorm".to_string())).chain(layers) {
        let buf = arena.find(&format!("case/{name}")).unwrap_or_else(|| panic!("no value {name}"));
        add(&stage, read(&mut *executor, buf)[..64].to_vec());
    }
    let rows = read(&mut *executor, sentence);
    let unit = |row: &[f64]| {
        let length = row.iter().map(|x| x * x).sum::<f64>().sqrt();
        row.iter().map(|x| x / length).collect::<Vec<_>>()
    };
    add("sentence", rows.chunks(sentence.cols() as usize).flat_map(unit).collect());
    found
}

/// Shapes that tell the size of timm's `vit_tiny_patch16_224` and `vit_small_patch14_dinov2`; none of other networks.
fn shape_of_vit(kind: ModelKind, name: &str) -> Option<Vec<u32>> {
    let [width, patch, positions] = match kind.name() {
        "vit" => [192, 16, 197],
        "dinov2" => [384, 14, 1370],
        _ => return None,
    };
    let block =
        name.strip_prefix("blocks.").and_then(|rest| rest.strip_suffix(".mlp.fc1.weight")).and_then(|block| block.parse::<u32>().ok());
    match name {
        "patch_embed.proj.weight" => Some(vec![width, 3, patch, patch]),
        "pos_embed" => Some(vec![1, positions, width]),
        _ => block.filter(|&block| block < 12).map(|_| vec![4 * width, width]),
    }
}

/// timm's names of a vision transformer's stages, as they are called here.
fn of_vit(stage: &str) -> Vec<String> {
    match (stage, stage.strip_prefix("block")) {
        ("patch_embed", _) => vec!["patch_embed.proj".into()],
        (_, Some(block)) => vec![format!("blocks.{block}")],
        _ => vec![stage.into()],
    }
}

/// The weights by the formula, in a file with the names that another program has; `None` where the case names none. Positions are of 16 x
/// 16 patches already, by transformers' rule, which is not DINOv2's own: Keys's cubic with a = -0.75, and 37 / 16 of a patch to a patch.
fn as_published(case: &Case, salt: u32) -> Option<Checkpoint> {
    const GRIDS: [usize; 2] = [37, 16];
    let cubic = |x: f64| match x.abs() {
        x if x < 1.0 => (1.25 * x - 2.25) * x * x + 1.0,
        x if x < 2.0 => -0.75 * (((x - 5.0) * x + 8.0) * x - 4.0),
        _ => 0.0,
    };
    let taps = |i: usize| {
        let center = (i as f64 + 0.5) * GRIDS[0] as f64 / GRIDS[1] as f64 - 0.5;
        let first = center.floor() as i64 - 1;
        (first..first + 4).map(move |at| (at.clamp(0, GRIDS[0] as i64 - 1) as usize, cubic(center - at as f64)))
    };
    let tensor = |(name, sizes): (&String, &serde_json::Value)| {
        let mut sizes: Vec<usize> = sizes.as_array().expect("a shape").iter().map(|size| size.as_u64().expect("a size") as usize).collect();
        let mut values: Vec<f64> = units(name, salt).take(sizes.iter().product()).map(|u| value(name, &sizes, u)).collect();
        if name.ends_with("position_embeddings") {
            let width = sizes[2];
            let at = |line: usize, place: usize, column: usize| values[(1 + line * GRIDS[0] + place) * width + column];
            let of = |i: usize| {
                let (patch, column) = (i / width, i % width);
                let (lines, places) = (taps(patch / GRIDS[1]), taps(patch % GRIDS[1]));
                let places: Vec<(usize, f64)> = places.collect();
                lines.map(|(line, share)| share * places.iter().map(|(place, of)| of * at(line, *place, column)).sum::<f64>()).sum()
            };
            let grid: Vec<f64> = (0..GRIDS[1] * GRIDS[1] * width).map(of).collect();
            values.truncate(width);
            values.extend(grid);
            sizes[1] = values.len() / width;
        }
        (name.clone(), sizes, values.into_iter().map(|value| value as f32).collect())
    };
    let tensors: Vec<Named> = case.params["names"].as_object()?.iter().map(tensor).collect();
    let dir = tempfile::tempdir().expect("room for a file");
    let file = dir.path().join("model.safetensors");
    std::fs::write(&file, safetensors(&tensors)).expect("room for a file");
    Some(Checkpoint::open(&file).unwrap_or_else(|e| panic!("{e:#}")).0)
}

/// What the formula makes of a number.
fn value(name: &str, sizes: &[usize], u: f64) -> f64 {
    let ends = |endings: &[&str]| endings.iter().any(|ending| name.ends_with(ending));
    match sizes.len() {
        _ if ends(&["pos_embed", "position_embeddings"]) => 2.0 * u,
        1 if ends(&[".gamma", ".lambda1"]) => 0.5 + 0.4 * u,
        1 if ends(&["bias", "running_mean"]) => 0.2 * u,
        1 => 1.0 + 0.4 * u,
        _ => u * (24.0 / sizes[1..].iter().product::<usize>() as f64).sqrt(),
    }
}

/// The values of a tensor by the formula that cases state, in PyTorch's order.
fn formula(kind: ModelKind, b: &NamedBuf, salt: u32) -> Vec<f32> {
    let sizes = b.tensor.torch_shape();
    let of = |name: &str, first: usize, count: usize| {
        units(name, salt).skip(first).take(count).map(|u| value(&b.name, &sizes, u) as f32).collect::<Vec<f32>>()
    };
    let count = b.tensor.len() as usize;
    // Queries, keys and values are one tensor of timm's, and positions are those of its own pictures.
    let part = ["q", "k", "v"].iter().position(|part| b.name.contains(&format!(".attn.{part}.")));
    match (part, shape_of_vit(kind, &b.name)) {
        (Some(part), _) => {
            let (before, rest) = b.name.split_once(".attn.").expect("it has a part");
            let (_, what) = rest.split_once('.').expect("weights or biases");
            of(&format!("{before}.attn.qkv.{what}"), part * count, count)
        }
        (None, Some(native)) if b.name == "pos_embed" && native[1] as usize != sizes[1] => {
            let values = of(&b.name, 0, (native[1] * native[2]) as usize);
            kind.refit(&b.name, &values, [native[1], sizes[1] as u32]).expect("grids of patches")
        }
        _ => of(&b.name, 0, count),
    }
}

/// The formula of a tensor's elements in order: from -0.5 to 0.5.
fn units(name: &str, salt: u32) -> impl Iterator<Item = f64> {
    let hash = name.bytes().fold(0x811C_9DC5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    (0_u32..).map(move |i| {
        let mut x = i.wrapping_mul(1_664_525).wrapping_add(1_013_904_223).wrapping_add(hash).wrapping_add(salt);
        x = (x ^ x >> 16).wrapping_mul(0x85EB_CA6B);
        x = (x ^ x >> 13).wrapping_mul(0xC2B2_AE35);
        x ^= x >> 16;
        f64::from(x >> 8) / f64::from(1 << 24) - 0.5
    })
}

fn depthwise_conv2d(case: &Case, engine: &Engine) -> Vec<Found> {
    once(case, engine, |t| {
        let (x, w, b, dy) = (case.maps(t, "x"), case.filters(t, "w"), case.input(t, "b"), case.maps(t, "dy"));
        let y = ops::depthwise_conv2d(t, "y", x, w, Some(b), case.geometry());
        t.backward(y.buf, dy.buf);
        with_gradients(t, ("out.y", y.buf), &[("grad.x", x.buf), ("grad.w", w), ("grad.b", b)])
    })
}

fn activation(case: &Case, engine: &Engine, function: Function) -> Vec<Found> {
    once(case, engine, |t| {
        let [x, dy] = ["x", "dy"].map(|name| case.rows(t, name));
        let y = ops::apply(t, "y", x, function);
        t.backward(y, dy);
        with_gradients(t, ("out.y", y), &[("grad.x", x)])
    })
}

fn sgd(case: &Case, engine: &Engine) -> Vec<Found> {
    let settings = SgdSettings {
        momentum: case.number("momentum").unwrap_or(0.0),
        weight_decay: case.number("weight_decay").unwrap_or(0.0),
        nesterov: case.params.get("nesterov").is_some_and(|v| v == true),
        max_norm: 0.0,
    };
    optimizer(case, engine, Optimizer::Sgd(settings))
}

fn adam(case: &Case, engine: &Engine) -> Vec<Found> {
    let beta = |i: usize| case.params["betas"][i].as_f64().expect("two betas") as f32;
    let settings = AdamSettings {
        betas: [beta(0), beta(1)],
        eps: case.number("eps").expect("an epsilon"),
        weight_decay: case.number("weight_decay").unwrap_or(0.0),
        decoupled: case.op == "adamw",
        max_norm: 0.0,
    };
    optimizer(case, engine, Optimizer::Adam(settings))
}

/// The parameters after each step, as the optimiser call at the end of a training step leaves them.
fn optimizer(case: &Case, engine: &Engine, optimizer: Optimizer) -> Vec<Found> {
    let mut arena = Arena::new(0, u64::MAX);
    let p = arena.param("p", 0, case.shape("in.p"), Fill::F32(case.f32s("in.p")));
    let steps = case.shape("in.grads").rows;
    let (grad, clock) = (arena.grad(p), Clock::of_training(&mut arena, steps));
    let mut tape = Tape::new(&mut arena, "case", &[0]);
    ops::start_step(&mut tape, clock);
    ops::update(&mut tape, clock, &[0], optimizer);
    let programs = Arc::new(vec![tape.finish().expect("the case is valid")]);
    let outputs = programs[0].calls.iter().flat_map(|call| call.kernel.outputs());
    let group = outputs.into_iter().find(|(name, ..)| *name == "w").expect("weights are updated").1;

    let lr = case.number("lr").expect("a learning rate");
    let schedule: Vec<f32> = (0..steps).flat_map(|step| Clock::row(0.0, &[lr], &optimizer, step)).collect();
    let (mut walk, mut executor) = (Walk::new(&arena, engine.exp()), engine.load(&arena, &programs));
    write(&mut *executor, clock.schedule, &schedule);
    walk.write(clock.schedule, &padded(clock.schedule, &schedule));
    let mut found = Found { tensor: "out.p".into(), values: Vec::new(), bounds: Vec::new() };
    for grads in case.f32s("in.grads").chunks(p.cols() as usize) {
        write(&mut *executor, grad, grads);
        walk.write(grad, &padded(grad, grads));
        executor.run(&repeat(&programs, 0, 1)).expect("the program runs");
        walk.run(&programs[0]);
        found.values.extend(read(&mut *executor, p));
        found.bounds.extend(&walk.bounds[&group][..p.cols() as usize]);
    }
    vec![found]
}

/// Training as a trainer does it: one program, replayed; packed data, schedule and weights written by the host.
fn trajectory(case: &Case, engine: &Engine) -> Vec<Found> {
    assert_eq!(case.text("optimizer"), "SGD lr 0.01 momentum 0.9", "{}", case.name);
    assert_eq!(case.text("model"), "784-128-10 ReLU, PyTorch weight layout [out, in]", "{}", case.name);
    let (steps, batch) = (case.tensor("out.losses").values.len() as u32, case.number("batch").expect("a batch size") as u32);
    let pixels = case.shape("in.x");
    let optimizer = Optimizer::Sgd(SgdSettings { momentum: 0.9, weight_decay: 0.0, nesterov: false, max_norm: 0.0 });
    let order = Order {
        samples: pixels.rows,
        repeats: 1,
        batch_stride: batch,
        steps_per_epoch: pixels.rows / batch,
        shuffle_key: None,
        bucket: None,
    };

    let mut arena = Arena::new(0, u64::MAX);
    let data = DataBufs {
        samples: arena.input("images", Dtype::U32, shape(pixels.rows, pixels.cols / 4)),
        labels: Some(arena.input("labels", Dtype::U32, case.shape("in.y"))),
        targets: None,
        masks: None,
        tags: None,
        transcripts: None,
        lengths: None,
        kind: SampleType::Image(Image { height: 28, width: 28, channels: 1 }),
    };
    let (clock, ring) = (Clock::of_pass(&mut arena, "", 1), arena.buffer("ring", Role::State, Dtype::F32, shape(steps, 4), Fill::Zero));
    let mut tape = Tape::new(&mut arena, "train", &[0, 1]);
    ops::start_step(&mut tape, clock);
    let chosen = ops::batch_indices(&mut tape, data, clock.clock, order, batch);
    let (x, targets) = (ops::batch_samples(&mut tape, chosen, ops::Form::Rows).buf(), ops::batch_labels(&mut tape, chosen));
    let names = ["fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias"];
    let weights = [0, 1, 2, 3].map(|i| tape.param(names[i], i as u8 / 2, case.shape(&format!("in.{}", names[i])), Fill::Zero));
    let hidden = ops::linear(&mut tape, "fc1", x, weights[0], weights[1], Activation::Relu);
    let logits = ops::linear(&mut tape, "fc2", hidden, weights[2], weights[3], Activation::None);
    let loss = ops::cross_entropy(&mut tape, "loss", logits, targets, 0.0);
    tape.backward(loss, loss);
    let norm = ops::update(&mut tape, clock, &[0, 1], optimizer);
    ops::report(&mut tape, clock, loss, norm, ring);
    let programs = Arc::new(vec![tape.finish().expect("the case is valid")]);

    let mut executor = engine.load(&arena, &programs);
    let packed: Vec<u32> = case.u32s("in.x").chunks(4).map(|b| b[0] | b[1] << 8 | b[2] << 16 | b[3] << 24).collect();
    executor.write(data.samples, &pad_rows(data.samples.shape, &packed)).expect("the images can be written");
    let labels = data.labels.expect("declared above");
    executor.write(labels, &pad_rows(labels.shape, &case.u32s("in.y"))).expect("the labels can be written");
    write(&mut *executor, clock.schedule, &Clock::row(0.0, &[0.01, 0.01], &optimizer, 0));
    for (name, buf) in names.iter().zip(weights) {
        write(&mut *executor, buf, &case.f32s(&format!("in.{name}")));
    }
    executor.run(&repeat(&programs, 0, steps as usize)).expect("the program runs");

    let rows = executor.read(ring).expect("the ring can be read");
    let rows: Vec<StepMetrics> = rows.chunks(4).map(|row| StepMetrics::from_bits([row[0], row[1], row[2], row[3]])).collect();
    let losses: Vec<f64> = rows.iter().map(|row| row.loss.into()).collect();
    for (step, row) in (1..).zip(&rows) {
        assert_eq!(row.steps_done, step, "{}: steps done in the ring", case.name);
        assert!(row.norm > 0.0, "{}: gradient norm of step {step}", case.name);
    }
    // Rounding errors feed back through the weights, so that no kernel's tolerance says anything about step 40; WGSL's
    // `exp`, `log` and `/` are less exact than the CPU's.
    let relative = if matches!(engine, Engine::Gpu(_)) { 1e-4 } else { 1e-5 };
    let bounds = case.tensor("out.losses").values.iter().map(|loss| (relative * loss.abs()).max(1e-6)).collect();
    let mut found = vec![Found { tensor: "out.losses".into(), values: losses, bounds }];
    for (name, buf) in names.iter().zip(weights) {
        let values = read(&mut *executor, buf);
        found.push(Found { tensor: format!("out.{name}"), bounds: vec![1e-4; values.len()], values });
    }
    found
}

/// The largest share of its bound that any element used, or what is wrong. Every expected tensor must be there.
fn judge(case: &Case, found: &[Found]) -> Result<f64, String> {
    let unknown = found.iter().find(|f| !case.expected().any(|(name, _)| *name == f.tensor));
    if let Some(Found { tensor, .. }) = unknown {
        return Err(format!("{}: `{tensor}` is not in the file", case.name));
    }
    let mut worst = 0.0_f64;
    for (tensor, expected) in case.expected() {
        let Some(Found { values, bounds, .. }) = found.iter().find(|f| f.tensor == *tensor) else {
            return Err(format!("{}: `{tensor}` was not computed", case.name));
        };
        let sizes = [expected.values.len(), values.len(), bounds.len()];
        if sizes.iter().any(|&n| n != sizes[0] || n == 0) {
            return Err(format!("{}: `{tensor}` has {} elements, computed {} with {} bounds", case.name, sizes[0], sizes[1], sizes[2]));
        }
        for (i, ((e, a), bound)) in expected.values.iter().zip(values).zip(bounds).enumerate() {
            let difference = (e - a).abs();
            // Neither a NaN nor a bound that allows everything passes.
            let within = difference <= *bound && bound.is_finite();
            if !within {
                return Err(format!("{}: `{tensor}` element {i}: PyTorch has {e:e}, here {a:e}; allowed ±{bound:e}", case.name));
            }
            worst = common::worst([worst, if difference == 0.0 { 0.0 } else { difference / bound }]);
        }
    }
    Ok(worst)
}

/// The cases of a folder by file name.
fn cases(folder: &Path) -> Vec<Case> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|e| panic!("the folder of golden cases {}: {e}", folder.display()));
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("the folder can be listed").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|e| e == "safetensors"));
    paths.sort();
    assert!(!paths.is_empty(), "the folder of golden cases {} holds none", folder.display());
    paths.iter().map(|path| Case::read(path)).collect()
}

fn own_cases() -> Vec<Case> {
    cases(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden"))
}

fn ops(case: &Case) -> Vec<Op> {
    OPS.iter().filter(|(name, _)| *name == case.op).map(|&(_, op)| op).collect()
}

#[test]
fn results_are_pytorchs() {
    let mut engines = vec![Engine::Twins, Engine::Fast];
    engines.extend(common::gpu().map(Engine::Gpu));
    let mut all = own_cases();
    for (name, _) in OPS {
        assert!(all.iter().any(|case| case.op == *name), "tests/golden holds no case of {name}");
    }
    for case in &all {
        assert!(!ops(case).is_empty(), "tests/golden: {} is of the unknown op `{}`", case.name, case.op);
    }
    if let Some(folder) = std::env::var_os("WGRAFT_GOLDEN") {
        let folder = Path::new(&folder);
        assert!(folder.is_dir(), "WGRAFT_GOLDEN names {}, which is not a folder", folder.display());
        all.extend(cases(folder));
    }

    let mut unknown: BTreeMap<&str, usize> = BTreeMap::new();
    let mut failures = Vec::new();
    let mut tally: BTreeMap<&str, (usize, Vec<f64>)> = BTreeMap::new();
    for case in &all {
        if ops(case).is_empty() {
            *unknown.entry(&case.op).or_default() += 1;
            continue;
        }
        let (count, worst) = tally.entry(&case.op).or_insert_with(|| (0, vec![0.0; engines.len()]));
        *count += 1;
        for run in ops(case) {
            for (engine, worst) in engines.iter().zip(&mut *worst) {
                if matches!(engine, Engine::Twins) && LARGE.contains(&case.op.as_str()) {
                    continue;
                }
                match judge(case, &run(case, engine)) {
                    Ok(share) => *worst = common::worst([*worst, share]),
                    Err(what) => failures.push(format!("{}: {what}", engine.name())),
                }
            }
        }
    }

    let names: Vec<String> = engines.iter().map(Engine::name).collect();
    println!("worst share of the tolerance{}on {}", " ".repeat(12), names.join(" / "));
    for (op, (count, worst)) in &tally {
        let worst: Vec<String> = worst.iter().map(|w| format!("{w:.4}")).collect();
        println!("{op:32} {count:3} cases  {}", worst.join(" / "));
    }
    let ran: usize = tally.values().map(|(count, _)| count).sum();
    let skipped: usize = unknown.values().sum();
    println!("{ran} golden cases ran, {skipped} are of unknown ops: {unknown:?}");
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
}

/// In each tensor of each case, the largest element off by 1 %, in the file or in the result; where all are zero, by 0.01.
#[test]
fn a_value_one_percent_off_is_noticed() {
    let off = |values: &mut [f64], zero: bool| {
        let largest = values.iter_mut().max_by(|a, b| a.abs().total_cmp(&b.abs())).expect("tensors are not empty");
        *largest = if zero { *largest + 0.01 } else { *largest * 1.01 };
    };
    for mut case in own_cases() {
        // The first form: a streamed loss that is next to nothing may err by a percent.
        let run = ops(&case)[0];
        let mut found = run(&case, &Engine::Fast);
        judge(&case, &found).expect("the case passes as it is");
        for i in 0..found.len() {
            let name = found[i].tensor.clone();
            let result = found[i].values.clone();
            let zero = case.tensor(&name).values.iter().all(|v| *v == 0.0);
            off(&mut found[i].values, zero);
            assert!(judge(&case, &found).is_err(), "{}: `{name}` computed 1 % off went unnoticed", case.name);
            found[i].values[0] = f64::NAN;
            assert!(judge(&case, &found).is_err(), "{}: `{name}` with a NaN went unnoticed", case.name);
            found[i].values = result;

            let stored = case.tensor(&name).values.clone();
            off(&mut case.tensors.get_mut(&name).expect("judged above").values, zero);
            assert!(judge(&case, &found).is_err(), "{}: `{name}` stored 1 % off went unnoticed", case.name);
            case.tensors.get_mut(&name).expect("judged above").values = stored;
        }
        found.pop();
        assert!(judge(&case, &found).is_err(), "{}: a tensor left out went unnoticed", case.name);
    }
}
