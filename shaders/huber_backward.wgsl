// dpred = scale · (pred - target clamped to ±delta).
struct Params {
    quads: u32,
    delta: f32,
    scale: f32,
}
@group(0) @binding(0) var<storage, read> pred: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> wanted: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> dpred: array<vec4<f32>>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = invocation(group, lane);
    if (i >= params.quads) {
        return;
    }
    dpred[i] = params.scale * clamp(pred[i] - wanted[i], vec4(-params.delta), vec4(params.delta));
}
