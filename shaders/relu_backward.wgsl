// dx = dy where y > 0, else 0 (+ old dx). The output y serves as well as the input: both are positive together.
struct Params {
    quads: u32,
    accumulate: u32,
}
@group(0) @binding(0) var<storage, read> y: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> dy: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> dx: array<vec4<f32>>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = invocation(group, lane);
    if (i >= params.quads) {
        return;
    }
    let value = select(vec4(0.0), dy[i], y[i] > vec4(0.0));
    if (params.accumulate != 0u) {
        dx[i] += value;
    } else {
        dx[i] = value;
    }
}
