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

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = invocation(group, lane);
    let row = i / params.quads;
    if (row >= params.rows) {
        return;
    }
    let col = (i % params.quads) * 4u + vec4(0u, 1u, 2u, 3u);
    let p = exp(max(logits[i] - log_sum[row], vec4(-80.0)));
    let wanted = select(vec4(0.0), vec4(1.0 - params.smoothing), col == vec4(targets[row]))
        + params.smoothing / f32(params.cols);
    dlogits[i] = select(vec4(0.0), (p - wanted) / f32(params.rows), col < vec4(params.cols));
}
