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

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = invocation(group, lane);
    let row = i / params.quads;
    if (row >= params.rows) {
        return;
    }
    let col = (i % params.quads) * 4u + vec4(0u, 1u, 2u, 3u);
    let wanted = targets[row];
    var share = 0.0;
    if (wanted != params.ignored && wanted < params.cols && total[0] > 0.0) {
        share = weights[wanted] / total[0];
    }
    let p = exp(clamp(logits[i] - log_sum[row], vec4(-80.0), vec4(0.0)));
    let g = share * (p - select(vec4(0.0), vec4(1.0), col == vec4(wanted)));
    dlogits[i] = select(vec4(0.0), g, col < vec4(params.cols));
}
