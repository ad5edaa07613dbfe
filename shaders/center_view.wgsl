// y = rows of one view of x, less that view's mean.
struct Params {
    quads: u32, // of y, all rows
    row_quads: u32,
    view: u32,
}
@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> means: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> y: array<vec4<f32>>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = invocation(group, lane);
    if (i >= params.quads) {
        return;
    }
    y[i] = x[params.view * params.quads + i] - means[params.view * params.row_quads + i % params.row_quads];
}
