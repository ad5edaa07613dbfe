//! Builds programs: model code calls ops, each op appends its forward calls and leaves behind how to go backward.

use std::collections::{HashMap, HashSet};

use crate::core::buffer::{Arena, Buf, Dtype, Fill, Role, Shape, Tensor};
use crate::core::program::{Kernel, Program, RecordError};

type Backward = Box<dyn FnOnce(&mut Tape<'_>, Buf)>;

/// An op whose backward calls are still to be recorded.
struct Pending {
    inputs: Vec<Buf>,
    out: Buf,
    backward: Backward,
}

/// Where a gradient goes.
#[derive(Clone, Copy)]
pub struct GradTarget {
    pub buf: Buf,
    /// The first writer of a gradient overwrites; later ones add.
    pub accumulate: bool,
    /// Zero the contribution where this is not positive: it is the output of a ReLU, and the gradient wanted is that of
    /// the ReLU's input.
    pub mask: Option<Buf>,
}

/// Records one program over the buffers of an arena.
///
/// Model code never sees a refused call: the first error is kept and [`finish`](Tape::finish) returns it.
pub struct Tape<'a> {
    pub arena: &'a mut Arena,
    program: Program,
    trained: Vec<u8>,
    wanted: HashSet<Buf>,
    named: HashSet<String>,
    grads: HashMap<Buf, Buf>,
    /// Outputs of a ReLU, and those values whose gradient has a contribution that was not masked.
    rectified: HashSet<Buf>,
    unmasked: HashSet<Buf>,
    /// Values whose gradient must outlast the backward pass.
    kept: HashSet<Buf>,
    /// Gradients of parameters are added to what is there.
    adds: bool,
    pending: Vec<Pending>,
    error: Option<RecordError>,
}

impl<'a> Tape<'a> {
    /// `trained`: the parameter groups that get gradients. Freezing is leaving a group out; evaluation trains none.
    pub fn new(arena: &'a mut Arena, name: &str, trained: &[u8]) -> Self {
        Tape {
            arena,
            program: Program::new(name),
            trained: trained.to_vec(),
            wanted: HashSet::new(),
            named: HashSet::new(),
            grads: HashMap::new(),
            rectified: HashSet::new(),
            unmasked: HashSet::new(),
            kept: HashSet::new(),
            adds: false,
            pending: Vec::new(),
            error: None,
        }
    }

    /// Appends one kernel call.
    pub fn call(&mut self, label: impl Into<String>, kernel: impl Kernel + 'static) {
        if self.error.is_none() {
            self.error = self.program.push(self.arena, label, kernel).err();
        }
    }

    /// A parameter of the model, shared by all programs of the arena.
    pub fn param(&mut self, name: &str, group: u8, tensor: impl Into<Tensor>, fill: Fill) -> Buf {
        let buf = self.arena.param(name, group, tensor, fill);
        // Not always the one that was asked for: layers may be frozen.
        let group = self.arena.role(buf).and_then(Role::group);
        if group.is_some_and(|group| self.trained.contains(&group)) {
            self.wanted.insert(buf);
        }
        buf
    }

    /// An intermediate value of this program.
    pub fn scratch(&mut self, name: &str, shape: Shape) -> Buf {
        self.scratch_of(name, Dtype::F32, shape)
    }

    /// An intermediate value whose place several steps of one op use one after the other.
    pub fn shared_scratch(&mut self, name: &str, shape: Shape) -> Buf {
        let name = format!("{}/{name}", self.program.name);
        self.arena.scratch(&name, Dtype::F32, shape)
    }

    pub fn scratch_of(&mut self, name: &str, dtype: Dtype, shape: Shape) -> Buf {
        if !self.named.insert(name.to_string()) && self.error.is_none() {
            // The arena would hand out one buffer twice.
            self.error = Some(RecordError::SameName { program: self.program.name.clone(), name: name.into() });
        }
        let name = format!("{}/{name}", self.program.name);
        self.arena.scratch(&name, dtype, shape)
    }

    /// Declares that `out` was computed from `inputs` and how a gradient of `out` flows back. Kept only if an input
    /// wants a gradient.
    pub fn op(&mut self, inputs: &[Buf], out: Buf, backward: impl FnOnce(&mut Tape<'_>, Buf) + 'static) {
        if inputs.iter().any(|buf| self.wanted.contains(buf)) {
            self.wanted.insert(out);
            self.pending.push(Pending { inputs: inputs.to_vec(), out, backward: Box::new(backward) });
        }
    }

    /// Asks for the gradient of `buf`, which some test or loss wants although no parameter is behind it.
    pub fn want(&mut self, buf: Buf) {
        self.wanted.insert(buf);
        self.kept.insert(buf);
        // Its own gradient is wanted, not that of the input of the ReLU it may be the output of.
        self.unmasked.insert(buf);
    }

    /// Whether something asks for the gradient of `buf`: it is trained, or depends on what is.
    pub fn wants(&self, buf: Buf) -> bool {
        self.wanted.contains(&buf)
    }

    /// Declares that `y` is the output of a ReLU: writers of its gradient may go through the ReLU on their way.
    pub fn rectified(&mut self, y: Buf) {
        self.rectified.insert(y);
    }

    /// Whether every contribution to the gradient of `y` went through its ReLU.
    pub fn arrived_masked(&self, y: Buf) -> bool {
        self.rectified.contains(&y) && !self.unmasked.contains(&y)
    }

    /// From now on gradients of parameters are added to those that an earlier program left.
    pub fn add_to_gradients(&mut self) {
        self.adds = true;
    }

    /// Where the gradient of `x` goes, or `None` if nothing wants it. For writers that ignore masks.
    pub fn grad(&mut self, x: Buf) -> Option<GradTarget> {
        self.unmasked.insert(x);
        self.target(x, None)
    }

    /// As [`grad`](Tape::grad), for writers that apply the mask if there is one.
    pub fn grad_masked(&mut self, x: Buf) -> Option<GradTarget> {
        let mask = (self.rectified.contains(&x) && !self.unmasked.contains(&x)).then_some(x);
        self.target(x, mask)
    }

    fn target(&mut self, x: Buf, mask: Option<Buf>) -> Option<GradTarget> {
        if !self.wanted.contains(&x) {
            return None;
        }
        if let Some(&buf) = self.grads.get(&x) {
            return Some(GradTarget { buf, accumulate: true, mask });
        }
        let (buf, accumulate) = match self.arena.role(x) {
            Some(Role::Param { .. }) => (self.arena.grad(x), self.adds),
            _ => {
                let name = format!("{}.grad", self.arena.name(x));
                (self.arena.scratch(&name, Dtype::F32, x.shape), false)
            }
        };
        self.grads.insert(x, buf);
        Some(GradTarget { buf, accumulate, mask })
    }

    /// Makes `grad_x` itself the gradient of `x`, which costs nothing. Refused (then `grad_x` has to be copied or added) if there is
    /// a contribution already, and if one still to come, which adds to `grad_x`, would spoil it for another value that shares it.
    pub fn share(&mut self, x: Buf, grad_x: Buf) -> bool {
        let first = self.wanted.contains(&x) && !self.grads.contains_key(&x);
        let own_place = matches!(self.arena.role(x), Some(Role::Param { .. }));
        let mut others = self.grads.iter().filter(|(_, grad)| **grad == grad_x).map(|(z, _)| *z);
        let shared = first && !own_place && others.all(|z| self.spares(x, z) && self.spares(z, x));
        if shared {
            self.unmasked.insert(x);
            self.grads.insert(x, grad_x);
        }
        shared
    }

    /// Whether what is still added to the gradient of `x` is added after the gradient of `z` was read for the last time.
    fn spares(&self, x: Buf, z: Buf) -> bool {
        let mut adding = self.pending.iter().enumerate().filter(|(_, op)| op.inputs.contains(&x));
        if self.kept.contains(&z) {
            return adding.next().is_none();
        }
        let reading = self.pending.iter().position(|op| op.out == z);
        adding.all(|(i, _)| reading.is_none_or(|reading| i < reading))
    }

    /// The gradient of `x` as far as it was recorded.
    pub fn recorded_grad(&self, x: Buf) -> Option<Buf> {
        self.grads.get(&x).copied()
    }

    /// Appends the backward calls of everything that `y` was computed from, last op first. `grad_y` is the gradient of
    /// `y`; losses pass themselves, as their backward kernels start from one.
    pub fn backward(&mut self, y: Buf, grad_y: Buf) {
        self.grads.insert(y, grad_y);
        self.unmasked.insert(y);
        self.kept.insert(y);
        while let Some(Pending { out, backward, .. }) = self.pending.pop() {
            if let Some(&d_out) = self.grads.get(&out) {
                backward(self, d_out);
            }
        }
    }

    /// The recorded program, or the first call that was refused.
    pub fn finish(self) -> Result<Program, RecordError> {
        self.program.check(self.arena)?;
        self.error.map_or(Ok(self.program), Err)
    }
}
