//! Which samples form the batches of an epoch: of texts, those of about the same length.
//!
//! What is computed for a text grows with the room that its batch has for the longest one. So texts are sorted by length and divided
//! into a few buckets of whole batches, each as wide as its longest text. In each epoch the samples of a bucket are in a new order, and
//! the batches of all buckets have their turns in a new order: each sample is seen once, but for those of a tail that is left out.

use crate::core::sample::SampleType;
use crate::data::Split;
use crate::kernels::gather_tokens::GatherTokens;
use crate::kernels::shuffle::{Bucket, Order};

/// Buckets at most: each has a program of its own.
const MOST_BUCKETS: usize = 6;
/// So much more than is computed with so many buckets may be computed with fewer.
const SPARED: f64 = 1.05;
/// Full batches in the bucket of the longest texts where a tail of it is left out: they are to be seen about as often as others.
const LEAST_LONGEST: u32 = 4;

/// The samples of a run in buckets.
#[derive(Clone, Debug)]
pub(super) struct Buckets {
    /// Bucket by bucket.
    pub samples: Split,
    /// The type of a bucket's samples, and their order; the shortest first. The last one has the tail.
    pub parts: Vec<(SampleType, Order)>,
}

impl Buckets {
    /// One bucket of all.
    pub fn whole(samples: &Split, order: Order) -> Self {
        Buckets { samples: samples.clone(), parts: vec![(samples.kind(), order)] }
    }

    /// Of texts by length, of others one. `order` is that of all samples; `drops`: what does not fill a batch is left out.
    pub fn by_length(samples: &Split, order: Order, drops: bool) -> Self {
        let (SampleType::Tokens { vocabulary, .. }, Some(lengths), 1) = (samples.kind(), samples.samples.lengths(), order.repeats) else {
            return Self::whole(samples, order);
        };
        let batch = order.batch_stride;
        let (batches, tail) = (order.samples / batch, order.samples % batch);
        let mut rows: Vec<u32> = (0..order.samples).collect();
        rows.sort_by_key(|&row| lengths[row as usize]);
        let width = |row: u32| GatherTokens::width(lengths[rows[row as usize] as usize].max(1));
        let mut widths: Vec<u32> = (0..batches).map(|i| width((i + 1) * batch - 1)).collect();
        let Some(last) = widths.last_mut() else { return Self::whole(samples, order) };
        *last = width(order.samples - 1);
        let least = if drops && tail > 0 { LEAST_LONGEST } else { 1 };
        let ends = ends(&widths, least);
        if ends.len() == 1 {
            return Self::whole(samples, order);
        }
        let firsts = std::iter::once(0).chain(ends.iter().copied());
        let part = |(number, (first_batch, &end)): (u32, (u32, &u32))| {
            let first_sample = first_batch * batch;
            let samples = if end == batches { order.samples } else { end * batch } - first_sample;
            let bucket = Some(Bucket { number, first_sample, first_batch, batches });
            (SampleType::Tokens { vocabulary, longest: widths[end as usize - 1] }, Order { samples, bucket, ..order })
        };
        let parts = (0..).zip(firsts.zip(&ends)).map(part).collect();
        Buckets { samples: samples.select(&rows), parts }
    }

    /// The bucket that the batch of a step is of.
    pub fn of_step(&self, step: u32) -> usize {
        let batch = self.parts[0].1.batch(step);
        self.parts.iter().rposition(|(_, order)| order.bucket.is_none_or(|bucket| bucket.first_batch <= batch)).unwrap_or(0)
    }

    /// The sample at place `i` of the batch of `step`, among [`samples`](Self::samples).
    pub fn sample(&self, step: u32, i: u32) -> u32 {
        self.parts[self.of_step(step)].1.sample(step, i)
    }
}

/// Where buckets end, of batches of these widths from the narrowest on: so that about as little is computed as with [`MOST_BUCKETS`] that
/// were chosen for that, and the last one has at least so many batches.
fn ends(widths: &[u32], least: u32) -> Vec<u32> {
    // Buckets end where widths change: runs of equal ones, with their ends.
    let mut runs: Vec<(u64, u32)> = Vec::new();
    for (end, &width) in (1..).zip(widths) {
        match runs.last_mut() {
            Some(last) if last.0 == u64::from(width) => last.1 = end,
            _ => runs.push((width.into(), end)),
        }
    }
    let count = widths.len() as u32;
    while runs.len() > 1 && count - runs[runs.len() - 2].1 < least {
        let (width, end) = runs.pop().expect("more than one");
        *runs.last_mut().expect("more than one") = (width, end);
    }
    let start = |run: usize| if run == 0 { 0 } else { runs[run - 1].1 };
    // The least room for the first `to` runs in so many buckets, and where the last one of these begins.
    let mut tables: Vec<Vec<(u64, usize)>> = Vec::new();
    for buckets in 0..MOST_BUCKETS.min(runs.len()) {
        let best = |to: usize| {
            let (width, end) = runs[to - 1];
            let room = |from: usize| width * u64::from(end - start(from));
            if buckets == 0 {
                return (room(0), 0);
            }
            (buckets..to).map(|from| (tables[buckets - 1][from].0 + room(from), from)).min().unwrap_or((u64::MAX / 2, 0))
        };
        let table = std::iter::once((0, 0)).chain((1..=runs.len()).map(best)).collect();
        tables.push(table);
    }
    let least_room = tables.last().expect("one bucket").last().expect("a run").0 as f64;
    let enough = tables.iter().position(|table| table.last().expect("a run").0 as f64 <= SPARED * least_room).unwrap_or(0);
    let (mut to, mut ends) = (runs.len(), Vec::new());
    for table in tables[..=enough].iter().rev() {
        ends.push(runs[to - 1].1);
        to = table[to].1;
    }
    ends.reverse();
    ends
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Samples, Truth};

    #[test]
    fn buckets_end_where_that_spares_most() {
        assert_eq!(ends(&[8; 5], 1), [5]);
        assert_eq!(ends(&[4, 4, 8, 64], 1), [2, 3, 4]);
        assert_eq!(ends(&[4, 4, 8, 64], 4), [4]);
        assert_eq!(ends(&[4, 4, 4, 4, 8, 8, 64], 3), [4, 7]);
        let widths: Vec<u32> = (1..=100).map(|i| 4 * i).collect();
        let found = ends(&widths, 1);
        assert_eq!((found.len(), found.last()), (5, Some(&100)), "a sixth would spare little more");
        let mut first = 0;
        let room: u32 = found.iter().map(|&end| widths[end as usize - 1] * (end - std::mem::replace(&mut first, end))).sum();
        let exact: u32 = widths.iter().sum();
        assert!(f64::from(room) < 1.25 * f64::from(exact), "{room} for {exact}");
    }

    /// Texts of these lengths.
    fn texts(lengths: &[usize]) -> Split {
        let tokens = lengths.iter().map(|&length| vec![1; length]);
        let samples = Samples::tokens(tokens, 10, lengths.iter().copied().max().unwrap_or(0) as u32).expect("known tokens");
        Split::new(samples, Truth::default())
    }

    #[test]
    fn each_sample_is_seen_once_in_an_epoch_by_a_batch_of_its_width() {
        let lengths: Vec<usize> = (0..203).map(|i| 1 + i * 37 % 50).collect();
        let samples = texts(&lengths);
        for (drops, steps) in [(false, 26), (true, 25)] {
            let order =
                Order { samples: 203, repeats: 1, batch_stride: 8, steps_per_epoch: steps, shuffle_key: Some([1, 2]), bucket: None };
            let buckets = Buckets::by_length(&samples, order, drops);
            assert!(buckets.parts.len() > 1);
            let lengths = buckets.samples.samples.lengths().expect("texts");
            let size = |step: u32| if step % steps == 25 { 3 } else { 8 };
            let batch = |step: u32| (0..size(step)).map(|i| buckets.sample(step, i)).collect::<Vec<u32>>();
            let of = |epoch: u32| (epoch * steps..(epoch + 1) * steps).map(|step| (step, batch(step))).collect::<Vec<_>>();
            assert!(of(0).iter().zip(of(1)).all(|((_, batch), (_, other))| *batch != other), "epochs differ");
            for number in 0..3 {
                let mut seen = Vec::new();
                for (step, batch) in of(number) {
                    let width = buckets.parts[buckets.of_step(step)].0.len();
                    assert!(batch.iter().all(|&sample| lengths[sample as usize] <= width), "step {step}: {batch:?}");
                    seen.extend(batch);
                }
                seen.sort_unstable();
                assert_eq!(seen.len(), if drops { 200 } else { 203 });
                seen.dedup();
                assert_eq!(seen.len(), if drops { 200 } else { 203 }, "none twice");
            }
        }
    }
}
