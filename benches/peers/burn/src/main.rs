//! The standard workloads of `wgraft bench`, done by burn on the software adapter: one line of JSON each.

use std::time::Instant;

use burn::module::Module;
use burn::nn::loss::CrossEntropyLossConfig;
use burn::nn::{Linear, LinearConfig};
use burn::optim::momentum::MomentumConfig;
use burn::optim::{GradientsParams, SgdConfig};
use burn::prelude::*;
use burn::tensor::{Device, DeviceKind, Distribution, Int, Tensor, activation};

#[derive(Module, Debug)]
struct Mlp {
    hidden: Linear,
    output: Linear,
}

/// Milliseconds per call: the median of five rounds, after `calls` that autotuning may have.
fn time(device: &Device, name: &str, calls: usize, mut call: impl FnMut(usize)) {
    let mut round = || {
        let start = Instant::now();
        (0..calls).for_each(&mut call);
        device.sync().expect("a working device");
        start.elapsed().as_secs_f64() * 1e3 / calls as f64
    };
    round();
    let mut rounds: Vec<f64> = (0..5).map(|_| round()).collect();
    rounds.sort_by(f64::total_cmp);
    println!(r#"{{"peer": "burn", "name": "{name}", "ms": {:.4}}}"#, rounds[2]);
}

fn uniform(rows: usize, cols: usize, device: &Device) -> Tensor<2> {
    Tensor::random([rows, cols], Distribution::Uniform(-1.0, 1.0), device)
}

fn labels(count: usize, of: impl Fn(usize) -> usize, device: &Device) -> Tensor<1, Int> {
    Tensor::from_data(TensorData::new((0..count).map(|i| of(i) as i32).collect(), [count]), device)
}

fn train_step(device: &Device, hidden: usize, batch: usize, calls: usize) {
    let autodiff = device.clone().autodiff();
    let mut model = Some(Mlp {
        hidden: LinearConfig::new(784, hidden).init(&autodiff),
        output: LinearConfig::new(hidden, 10).init(&autodiff),
    });
    let mut optimizer = SgdConfig::new().with_momentum(Some(MomentumConfig::new().with_momentum(0.9))).init();
    let batches: Vec<_> = (0..8).map(|_| (uniform(batch, 784, &autodiff), labels(batch, |i| i % 10, &autodiff))).collect();
    time(device, &format!("mlp 784-{hidden}-10 batch {batch}"), calls, |i| {
        let (images, labels) = batches[i % 8].clone();
        let now = model.take().expect("put back below");
        let logits = now.output.forward(activation::relu(now.hidden.forward(images)));
        let loss = CrossEntropyLossConfig::new().init(&logits.device()).forward(logits, labels);
        let gradients = GradientsParams::from_grads(loss.backward(), &now);
        model = Some(optimizer.step(0.01, now, gradients));
    });
}

/// `layout`: which operand is transposed, as in BLAS.
fn matmul(device: &Device, layout: &str, m: usize, n: usize, k: usize, calls: usize) {
    let a = if layout == "TN" { uniform(k, m, device) } else { uniform(m, k, device) };
    let b = if layout == "NT" { uniform(n, k, device) } else { uniform(k, n, device) };
    let name = if m == n && n == k { format!("matmul {m}") } else { format!("matmul {layout} {m}x{k}x{n}") };
    // Each product is wanted: burn may drop one that nobody can read any more.
    let mut products = Vec::new();
    time(device, &name, calls, |i| {
        if i == 0 {
            products.clear();
        }
        let a = if layout == "TN" { a.clone().transpose() } else { a.clone() };
        let b = if layout == "NT" { b.clone().transpose() } else { b.clone() };
        products.push(a.matmul(b));
    });
}

fn nt_xent(device: &Device, pairs: usize, calls: usize) {
    let autodiff = device.clone().autodiff();
    let rows = 2 * pairs;
    let z = uniform(rows, 128, &autodiff);
    let other_view = labels(rows, |i| (i + pairs) % rows, &autodiff);
    let not_itself = Tensor::<2>::eye(rows, &autodiff) * 1e9;
    time(device, &format!("nt_xent {pairs} pairs"), calls, |_| {
        let z = z.clone().require_grad();
        let unit = z.clone() / z.clone().powf_scalar(2.0).sum_dim(1).sqrt();
        let logits = unit.clone().matmul(unit.transpose()) / 0.5 - not_itself.clone();
        let loss = CrossEntropyLossConfig::new().init(&logits.device()).forward(logits, other_view.clone());
        let gradient = z.grad(&loss.backward()).expect("required above");
        let _ = gradient.sum().into_data();
    });
}

fn main() {
    let device = Device::wgpu(DeviceKind::Cpu);
    let start = Instant::now();
    train_step(&device, 128, 64, 60);
    println!(r#"{{"peer": "burn", "name": "start to first figure", "ms": {:.0}}}"#, start.elapsed().as_secs_f64() * 1e3);
    train_step(&device, 512, 256, 12);
    matmul(&device, "NT", 64, 128, 784, 30);
    matmul(&device, "TN", 784, 128, 64, 30);
    matmul(&device, "NT", 64, 10, 128, 50);
    matmul(&device, "NN", 256, 256, 256, 10);
    matmul(&device, "NN", 1024, 1024, 1024, 2);
    nt_xent(&device, 256, 4);
    nt_xent(&device, 1024, 2);
}
