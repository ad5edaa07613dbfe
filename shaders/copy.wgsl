// y = x (+ old y): as fast as memory is, one quad per invocation.
struct Params {
    quads: u32,
    accumulate: u32,
}
@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4<f32>>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = invocation(group, lane);
    if (i >= params.quads) {
        return;
    }
    if (params.accumulate != 0u) {
        y[i] += x[i];
    } else {
        y[i] = x[i];
    }
}
