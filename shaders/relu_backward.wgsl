// grad_x = grad_y where y > 0, else 0 (+ old grad_x). The output y serves as well as the input: both are positive together.
struct Params {
    quads: u32,
    accumulate: u32,
}
@group(0) @binding(0) var<storage, read> y: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> grad_y: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> grad_x: array<vec4<f32>>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = invocation(group, lane);
    if (i >= params.quads) {
        return;
    }
    let value = select(vec4(0.0), grad_y[i], y[i] > vec4(0.0));
    if (params.accumulate != 0u) {
        grad_x[i] += value;
    } else {
        grad_x[i] = value;
    }
}
