// loss += z·offset / τ for each row: the mean of the positives in the place of the other view.
struct Params {
    rows: u32,
    quads: u32,
}
@group(0) @binding(0) var<storage, read> z: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> offsets: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> hyper: array<f32>;
@group(0) @binding(3) var<storage, read_write> loss: array<f32>;
@group(0) @binding(4) var<uniform> params: Params;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = invocation(group, lane);
    if (i >= params.rows) {
        return;
    }
    var products = vec4(0.0);
    for (var q = 0u; q < params.quads; q++) {
        products += z[i * params.quads + q] * offsets[i * params.quads + q];
    }
    loss[i] += ((products.x + products.y) + (products.z + products.w)) / hyper[0];
}
