// grad_z += 2 / (rows τ) · offsets: the offset of a row is its own gradient, and as much again comes from the rows whose
// positive it is.
struct Params {
    rows: u32,
    quads: u32,
}
@group(0) @binding(0) var<storage, read> offsets: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> hyper: array<f32>;
@group(0) @binding(2) var<storage, read_write> grad_z: array<vec4<f32>>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = invocation(group, lane);
    if (i >= params.quads) {
        return;
    }
    grad_z[i] += (2.0 / (f32(params.rows) * hyper[0])) * offsets[i];
}
