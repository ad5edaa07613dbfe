// grad_x = scale · grad_y of the group that the row belongs to (+ old grad_x).
struct Params {
    rows: u32, // of grad_x
    quads: u32,
    group_rows: u32,
    scale: f32,
    accumulate: u32,
}
@group(0) @binding(0) var<storage, read> grad_y: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> grad_x: array<vec4<f32>>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = invocation(group, lane);
    let row = i / params.quads;
    if (row >= params.rows) {
        return;
    }
    var value = params.scale * grad_y[(row / params.group_rows) * params.quads + i % params.quads];
    if (params.accumulate != 0u) {
        value += grad_x[i];
    }
    grad_x[i] = value;
}
