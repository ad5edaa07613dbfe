// dlogits = (softmax(z) - (1 - s) onehot(target) - s / classes) / rows: the gradient of the mean loss.
struct Params {
    rows: u32,
    cols: u32,
    quads: u32,
    smoothing: f32,
}
@group(0) @binding(0) var<storage, read> logits: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> targets: array<u32>;
@group(0) @binding(2) var<storage, read> log_sum: array<f32>;
@group(0) @binding(3) var<storage, read_write> dlogits: array<vec4<f32>>;
@group(0) @binding(4) var<uniform> params: Params;

fn gradient(row: u32, col: vec4<u32>, z: vec4<f32>) -> vec4<f32> {
    let p = exp(max(z, vec4(-80.0)));
    let wanted = select(vec4(0.0), vec4(1.0 - params.smoothing), col == vec4(targets[row]))
        + params.smoothing / f32(params.cols);
    return (p - wanted) / f32(params.rows);
}
