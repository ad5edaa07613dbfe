//! Calculus: the recorded backward pass of every op and loss against finite differences of its forward pass, on the CPU.

use std::sync::Arc;

use wgraft::core::buffer::{Arena, Buf, Dtype, Fill, Role, pad_rows};
use wgraft::core::memory::HostMem;
use wgraft::core::tape::Tape;
use wgraft::exec::{Cpu, Executor, repeat};
use wgraft::ops::{GradientCase, gradient_cases};

/// Half the distance of the two points of a central difference.
const STEP: f32 = 1.0 / 128.0;

/// The largest difference between recorded and finite-difference gradients, relative to the largest gradient.
/// `tamper` may change the recorded gradient, to prove that the comparison notices.
fn worst_error(case: &GradientCase, tamper: impl Fn(&mut f64)) -> f64 {
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
    let largest = recorded.iter().flatten().fold(0.0_f64, |a, &g| a.max(f64::from(g.abs())));
    assert!(largest > 1e-3, "{}: the case has no gradient to speak of", case.name);
    let mut worst = 0.0_f64;
    for (&x, recorded) in inputs.iter().zip(&recorded) {
        let values = cpu.mem().dense_f32(x);
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
            tamper(&mut recorded);
            worst = worst.max((recorded - difference).abs() / largest);
        }
    }
    worst
}

/// Curvature (STEP²) and f32 rounding (2^-24 / STEP) leave a part in ten thousand.
const LIMIT: f64 = 1e-3;

#[test]
fn recorded_gradients_are_derivatives() {
    for case in gradient_cases() {
        let error = worst_error(&case, |_| {});
        println!("{:32} {error:.1e}", case.name);
        assert!(error < LIMIT, "{}: {error:.2e} of the largest gradient, allowed {LIMIT:.0e}", case.name);
    }
}

#[test]
fn a_gradient_two_percent_off_is_noticed() {
    for case in gradient_cases() {
        let error = worst_error(&case, |g| *g *= 1.02);
        assert!(error > LIMIT, "{}: {error:.2e} went unnoticed", case.name);
    }
}
