// y = x · factors of the group of rows (+ old y).
struct Params {
    rows: u32,
    quads: u32,
    group_rows: u32,
    accumulate: u32,
}
@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> factors: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> y: array<vec4<f32>>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = invocation(group, lane);
    let row = i / params.quads;
    if (row >= params.rows) {
        return;
    }
    var value = x[i] * factors[row / params.group_rows * params.quads + i % params.quads];
    if (params.accumulate != 0u) {
        value += y[i];
    }
    y[i] = value;
}
