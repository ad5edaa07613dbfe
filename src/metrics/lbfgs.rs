//! Minimising a smooth function of many variables without settings to tune (Nocedal, "Updating quasi-Newton matrices with
//! limited storage", 1980), with steps halved until they descend enough (Armijo).

use std::collections::VecDeque;

use rayon::prelude::*;

/// Steps remembered, unless they would take more than these bytes.
const MEMORY: usize = 10;
const MOST_BYTES: usize = 1 << 30;

/// Where it ended.
#[derive(Clone, Debug)]
pub struct Minimum {
    pub point: Vec<f64>,
    pub value: f64,
    pub iterations: u32,
}

/// Steps from `start` until no derivative exceeds `tolerance`, no step descends, or `iterations` are done. `function`
/// writes the gradient and returns the value.
pub fn minimise(start: Vec<f64>, iterations: u32, tolerance: f64, mut function: impl FnMut(&[f64], &mut [f64]) -> f64) -> Minimum {
    let mut gradient = vec![0.0; start.len()];
    let value = function(&start, &mut gradient);
    let mut at = Minimum { point: start, value, iterations: 0 };
    let mut memory: VecDeque<Step> = VecDeque::new();
    let most = (MOST_BYTES / (2 * size_of::<f64>() * at.point.len().max(1))).clamp(2, MEMORY);
    while at.iterations < iterations && gradient.iter().any(|g| g.abs() > tolerance) {
        let mut direction = descent(&gradient, &memory);
        let mut slope = dot(&direction, &gradient);
        if slope >= 0.0 {
            // Rounding has spoilt the memory.
            memory.clear();
            direction = descent(&gradient, &memory);
            slope = dot(&direction, &gradient);
        }
        // Without a memory nothing tells the scale: a step of length 1 then.
        let mut length = if memory.is_empty() { 1.0 / dot(&gradient, &gradient).sqrt().max(1.0) } else { 1.0 };
        let mut next_gradient = vec![0.0; gradient.len()];
        let found = (0..30).find_map(|_| {
            let mut point = at.point.clone();
            add(&mut point, length, &direction);
            let value = function(&point, &mut next_gradient);
            let enough = value <= at.value + 1e-4 * length * slope;
            length *= 0.5;
            enough.then_some((point, value))
        });
        let Some((point, value)) = found else { break };
        let moved = difference(&point, &at.point);
        let turned = difference(&next_gradient, &gradient);
        let curvature = dot(&moved, &turned);
        // Only a direction that curves upwards tells of the inverse.
        if curvature > 1e-12 * dot(&turned, &turned) {
            memory.truncate(most - 1);
            memory.push_front(Step { moved, turned, curvature });
        }
        at = Minimum { point, value, iterations: at.iterations + 1 };
        gradient = next_gradient;
    }
    at
}

/// How point and gradient changed, and their inner product.
struct Step {
    moved: Vec<f64>,
    turned: Vec<f64>,
    curvature: f64,
}

/// -H·gradient with H, the inverse of the curvature, as the memory has it, newest step first.
fn descent(gradient: &[f64], memory: &VecDeque<Step>) -> Vec<f64> {
    let mut direction: Vec<f64> = gradient.iter().map(|g| -g).collect();
    let mut shares = Vec::new();
    for step in memory {
        let share = dot(&step.moved, &direction) / step.curvature;
        add(&mut direction, -share, &step.turned);
        shares.push(share);
    }
    if let Some(newest) = memory.front() {
        let scale = newest.curvature / dot(&newest.turned, &newest.turned);
        direction.iter_mut().for_each(|d| *d *= scale);
    }
    for (step, share) in memory.iter().zip(shares).rev() {
        let rest = share - dot(&step.turned, &direction) / step.curvature;
        add(&mut direction, rest, &step.moved);
    }
    direction
}

/// Numbers that a thread takes at a time.
const PART: usize = 1 << 15;

/// Sums of parts, added in order: the same on however many threads.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let of_part = |(a, b): (&[f64], &[f64])| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    a.par_chunks(PART).zip(b.par_chunks(PART)).map(of_part).collect::<Vec<f64>>().into_iter().sum()
}

/// Adds `factor` times `b` to `a`.
fn add(a: &mut [f64], factor: f64, b: &[f64]) {
    a.par_chunks_mut(PART).zip(b.par_chunks(PART)).for_each(|(a, b)| a.iter_mut().zip(b).for_each(|(a, b)| *a += factor * b));
}

fn difference(a: &[f64], b: &[f64]) -> Vec<f64> {
    let mut all = a.to_vec();
    add(&mut all, -1.0, b);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rosenbrock's valley: its minimum, 0, is at (1, 1).
    fn valley(at: &[f64], gradient: &mut [f64]) -> f64 {
        let (x, y) = (at[0], at[1]);
        let off = y - x * x;
        gradient.copy_from_slice(&[-2.0 * (1.0 - x) - 400.0 * x * off, 200.0 * off]);
        (1.0 - x).powi(2) + 100.0 * off * off
    }

    #[test]
    fn finds_the_end_of_a_valley() {
        let end = minimise(vec![-1.2, 1.0], 200, 1e-8, valley);
        assert!(end.point.iter().all(|x| (x - 1.0).abs() < 1e-6) && end.value < 1e-12 && end.iterations < 100, "{end:?}");
    }

    #[test]
    fn stops_when_told_and_where_nothing_is_left() {
        assert_eq!(minimise(vec![-1.2, 1.0], 3, 1e-8, valley).iterations, 3);
        assert_eq!(minimise(vec![1.0, 1.0], 200, 1e-8, valley).iterations, 0);
        // A gradient that lies: no step along it descends.
        let lies = minimise(vec![0.0], 200, 1e-8, |x, gradient| {
            gradient[0] = 1.0;
            x[0].abs()
        });
        assert_eq!((lies.point, lies.iterations), (vec![0.0], 0));
    }
}
