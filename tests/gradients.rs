//! Calculus: the recorded backward pass of every op and loss against finite differences of its forward pass, on the CPU.

use crate::common;

use std::sync::Arc;

use common::worst;

use wgraft::core::buffer::{Arena, Buf, Dtype, Fill, Role, pad_rows};
use wgraft::core::memory::HostMem;
use wgraft::core::tape::Tape;
use wgraft::exec::{Cpu, Executor, repeat};
use wgraft::ops::{GradientCase, gradient_cases};

/// Half the distance of the two points of a central difference.
const STEP: f32 = 1.0 / 128.0;

/// For each input, the largest difference between recorded and finite-difference gradients, relative to its largest gradient.
/// `tamper` may change the recorded gradient of an input, to prove that the comparison notices.
fn worst_errors(case: &GradientCase, tamper: impl Fn(usize, &mut f64)) -> Vec<f64> {
    let mut arena = Arena::new(5, u64::MAX);
    let mut tape = Tape::new(&mut arena, "case", &[]);
    let (inputs, y) = (case.record)(&mut tape);
    let is_loss = y.shape.len() == 1;
    let dy = tape.arena.buffer("dy", Role::Input, Dtype::F32, y.shape, Fill::Uniform(1.0));
    tape.backward(y, if is_loss { y } else { dy });
    let grads: Vec<Buf> = inputs.iter().map(|&x| tape.recorded_grad(x).expect("every input got a gradient")).collect();
    let programs = Arc::new(vec![tape.finish().expect("the case is valid")]);
    let mut cpu = Cpu::reference(HostMem::new(&arena), programs.clone());
    let output = |cpu: &mut Cpu| -> f64 {
        cpu.run(&repeat(&programs, 0, 1)).expect("the CPU runs");
        let (y, dy) = (cpu.mem().dense_f32(y), cpu.mem().dense_f32(dy));
        if is_loss { f64::from(y[0]) } else { y.iter().zip(&dy).map(|(&y, &dy)| f64::from(y) * f64::from(dy)).sum() }
    };
    output(&mut cpu);
    let recorded: Vec<Vec<f32>> = grads.iter().map(|&g| cpu.mem().dense_f32(g)).collect();
    let mut all = Vec::new();
    for (input, (&x, recorded)) in inputs.iter().zip(&recorded).enumerate() {
        let values = cpu.mem().dense_f32(x);
        let largest = worst(recorded.iter().map(|&g| f64::from(g.abs())));
        assert!(largest > 1e-3, "{}: input {input} has no gradient to speak of", case.name);
        let mut errors = Vec::new();
        for (i, &recorded) in recorded.iter().enumerate() {
            let mut at = |value: f32| {
                let mut moved = values.clone();
                moved[i] = value;
                let bits: Vec<u32> = moved.iter().map(|v| v.to_bits()).collect();
                cpu.write(x, &pad_rows(x.shape, &bits)).expect("the CPU writes");
                output(&mut cpu)
            };
            let (up, down) = (values[i] + STEP, values[i] - STEP);
            let difference = (at(up) - at(down)) / f64::from(up - down);
            at(values[i]);
            let mut recorded = f64::from(recorded);
            tamper(input, &mut recorded);
            errors.push((recorded - difference).abs() / largest);
        }
        all.push(worst(errors));
    }
    all
}

/// Curvature (STEP²) and f32 rounding (2^-24 / STEP) leave a part in ten thousand.
const LIMIT: f64 = 1e-3;

#[test]
fn recorded_gradients_are_derivatives() {
    for case in gradient_cases() {
        let errors = worst_errors(&case, |_, _| {});
        println!("{:32} {errors:?}", case.name);
        assert!(errors.iter().all(|&error| error < LIMIT), "{}: {errors:?} of the largest gradients, allowed {LIMIT:.0e}", case.name);
    }
}

#[test]
fn a_gradient_two_percent_off_is_noticed() {
    for case in gradient_cases() {
        let inputs = worst_errors(&case, |_, _| {}).len();
        for wrong in 0..inputs {
            let errors = worst_errors(&case, |input, g| *g *= if input == wrong { 1.02 } else { 1.0 });
            assert!(errors[wrong] > LIMIT, "{}: {:.2e} of input {wrong} went unnoticed", case.name, errors[wrong]);
            let others = errors.iter().enumerate().filter(|(input, _)| *input != wrong);
            assert!(others.into_iter().all(|(_, &error)| error < LIMIT), "{}: {errors:?}, only {wrong} was tampered with", case.name);
        }
    }
}

#[test]
fn a_gradient_that_is_no_number_is_noticed() {
    let case = &gradient_cases()[0];
    assert!(
        worst_errors(case, |input, g| if input == 0 {
            *g = f64::NAN
        })[0]
            .is_nan()
    );
}
