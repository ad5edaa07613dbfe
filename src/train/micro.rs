//! Contrastive steps whose batch is larger than memory (GradCache: Gao et al., 2021): all embeddings are computed first,
//! micro-batch by micro-batch, then the loss and its gradient with respect to each, then every micro-batch once more with its
//! backward pass, which begins with its share of that gradient. The sum is the gradient of the whole batch.

use super::buckets::Buckets;
use super::recording::Recording;
use super::training::{Training, TrainingOptions};
use crate::core::buffer::{Buf, Dtype, Fill, Role, shape};
use crate::core::program::{Program, RecordError};
use crate::core::tape::Tape;
use crate::kernels::collect::Collect;
use crate::kernels::take_rows::TakeRows;
use crate::ops::{
    Augmentation, Batch, Clock, Draws, Form, Statistics, Value, batch_indices, draw_views, report, start_step, update, views,
};

/// Views of a sample.
const VIEWS: u32 = 2;

/// How the embeddings of a batch come about, and what is made of them.
pub struct Cached<'a> {
    /// Samples that pass through the encoder at once; the batch is a multiple of it.
    pub micro: u32,
    pub augmentation: Augmentation,
    pub form: Form,
    /// Embeddings of augmented images.
    pub embed: &'a dyn Fn(&mut Tape<'_>, Value, Statistics) -> Buf,
    /// The loss over the embeddings of the batch: all first views, then all second ones.
    pub loss: &'a dyn Fn(&mut Tape<'_>, Batch, Buf, Clock) -> Buf,
}

/// What the micro-batches of a step share.
struct Whole {
    batch: Batch,
    draws: Draws,
}

impl Training {
    /// Records a step as phases: the draws of the whole batch, so that they are those of the unsplit step; embeddings; loss;
    /// the first micro-batch once more, and the others, which add to its gradients; the update.
    ///
    /// Batch norm normalises by the statistics of each micro-batch; its running statistics follow once, in the replay.
    pub fn record_cached(r: &mut Recording, options: &TrainingOptions<'_>, cached: &Cached<'_>) -> Result<Self, RecordError> {
        let mut training = Training::begin(r, options, u64::from(VIEWS * cached.micro), &Buckets::whole)?;
        let (clock, size, micro) = (training.clock, options.batch, cached.micro);
        let (batches, (data, order)) = (size / micro, training.bucket(0));

        let mut tape = Tape::new(&mut r.arena, "draw", &[]);
        let t = &mut tape;
        start_step(t, clock);
        let batch = batch_indices(t, data, clock.clock, order, size);
        let draws = draw_views(t, VIEWS * size, data.image(), clock.clock, cached.augmentation);
        let whole = Whole { batch, draws };
        let program = tape.finish()?;
        training.then(r, program, 1);

        let own_clock = Clock::of_pass(&mut r.arena, "encode ", 1).clock;
        let still = r.arena.buffer("encode statistics rate", Role::Input, Dtype::F32, shape(1, 1), Fill::F32(vec![0.0]));
        let mut tape = Tape::new(&mut r.arena, PART, &[]);
        let t = &mut tape;
        let z = cached.embed_part(t, &whole, "encode ", Statistics::Batch { rates: still, column: 0 });
        let embeddings = t.arena.scratch("embeddings", Dtype::F32, shape(VIEWS * size, z.cols()));
        for view in 0..VIEWS {
            let (x, all) = (z.some_rows(view * micro, micro), embeddings.some_rows(view * size, size));
            t.call("collect", Collect { clock: own_clock, x, all, batch_stride: micro });
        }
        let program = Program { name: "encode".into(), ..tape.finish()? };
        training.then(r, program, batches);

        let mut tape = Tape::new(&mut r.arena, "loss", &[]);
        tape.want(embeddings);
        let loss = (cached.loss)(&mut tape, whole.batch, embeddings, clock);
        tape.backward(loss, loss);
        let gradient = tape.recorded_grad(embeddings).expect("the loss depends on the embeddings");
        let program = tape.finish()?;
        training.then(r, program, 1);

        for (name, times, adds) in [("replay", 1, false), ("replay on", batches - 1, true)] {
            let own_clock = Clock::of_pass(&mut r.arena, "replay ", 1).clock;
            let mut tape = Tape::new(&mut r.arena, PART, options.trained);
            let t = &mut tape;
            if adds {
                t.add_to_gradients();
            }
            let statistics = Statistics::batch(t.arena);
            let z = cached.embed_part(t, &whole, "replay ", statistics);
            let dz = t.scratch("gradient of embeddings", z.shape);
            for view in 0..VIEWS {
                let (all, part) = (gradient.some_rows(view * size, size), dz.some_rows(view * micro, micro));
                t.call("gradient of embeddings", TakeRows::new(own_clock, all, part));
            }
            t.backward(z, dz);
            let program = Program { name: name.into(), ..tape.finish()? };
            training.then(r, program, times);
        }

        let mut tape = Tape::new(&mut r.arena, "update", options.trained);
        let t = &mut tape;
        let norm = update(t, clock, options.trained, options.optimizer);
        report(t, clock, loss, norm, training.ring);
        let program = tape.finish()?;
        training.then(r, program, 1);
        Ok(training)
    }
}

/// The programs of micro-batches use the same places one after the other.
const PART: &str = "micro-batch";

impl Cached<'_> {
    /// Embeddings of the micro-batch whose turn it is by the clock called `clock`.
    fn embed_part(&self, t: &mut Tape<'_>, whole: &Whole, clock: &str, statistics: Statistics) -> Buf {
        let clock = Clock::of_pass(t.arena, clock, 1);
        start_step(t, clock);
        let (clock, size, micro) = (clock.clock, whole.batch.indices.cols(), self.micro);
        let indices = t.scratch_of("indices", Dtype::U32, shape(1, micro));
        let in_rows = Buf { shape: shape(size / micro, micro), ..whole.batch.indices };
        t.call("order", TakeRows::new(clock, in_rows, indices));
        let mut part = |name: &str, of: Buf| {
            let part = t.scratch_of(name, of.dtype, shape(VIEWS * micro, of.cols()));
            for view in 0..VIEWS {
                t.call(name, TakeRows::new(clock, of.some_rows(view * size, size), part.some_rows(view * micro, micro)));
            }
            part
        };
        let draws = Draws { draws: part("augmentation", whole.draws.draws), keys: part("augmentation keys", whole.draws.keys) };
        let x = views(t, Batch { indices, ..whole.batch }, draws, self.augmentation.ranges, self.form);
        (self.embed)(t, x, statistics)
    }
}
