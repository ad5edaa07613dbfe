// dlogits = scale / total · (σ(z) - y) with the sigmoid σ; 0 where y is not known (below zero), and everywhere if nothing is.
struct Params {
    size: u32,
    row_quads: u32,
    cols: u32,
    scale: f32,
}
@group(0) @binding(0) var<storage, read> logits: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> wanted: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> total: array<f32>;
@group(0) @binding(3) var<storage, read_write> dlogits: array<vec4<f32>>;
@group(0) @binding(4) var<uniform> params: Params;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = invocation(group, lane);
    if (i >= params.size) {
        return;
    }
    var share = 0.0;
    if (total[0] > 0.0) {
        share = params.scale / total[0];
    }
    let z = logits[i];
    let y = wanted[i];
    let e = exp(-abs(z));
    let large = 1.0 / (1.0 + e);
    let p = select(large, e * large, z < vec4(0.0));
    let counts = inside(i % params.row_quads, params.cols) & (y >= vec4(0.0));
    dlogits[i] = select(vec4(0.0), share * (p - y), counts);
}
