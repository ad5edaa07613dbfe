// dlogits = weight / total · (softmax(z) - onehot(target)): the gradient of the weighted mean; 0 where a target is to be
// ignored, and everywhere if no target counts.
struct Params {
    rows: u32,
    cols: u32,
    quads: u32,
    ignored: u32,
}
@group(0) @binding(0) var<storage, read> logits: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> targets: array<u32>;
@group(0) @binding(2) var<storage, read> weights: array<f32>;
@group(0) @binding(3) var<storage, read> log_sum: array<f32>;
@group(0) @binding(4) var<storage, read> total: array<f32>;
@group(0) @binding(5) var<storage, read_write> dlogits: array<vec4<f32>>;
@group(0) @binding(6) var<uniform> params: Params;

fn gradient(row: u32, col: vec4<u32>, z: vec4<f32>) -> vec4<f32> {
    let wanted = targets[row];
    var share = 0.0;
    if (wanted != params.ignored && wanted < params.cols && total[0] > 0.0) {
        share = weights[wanted] / total[0];
    }
    let p = exp(clamp(z, vec4(-80.0), vec4(0.0)));
    return share * (p - select(vec4(0.0), vec4(1.0), col == vec4(wanted)));
}
