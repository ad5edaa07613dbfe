// grad_x = (grad_y - y (y·grad_y)) / ‖x‖ for each row (+ old grad_x). Below the norm's floor the factor is
// constant and grad_x = grad_y · factor.
struct Params {
    rows: u32,
    quads: u32,
    accumulate: u32,
}
@group(0) @binding(0) var<storage, read> y: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> factor: array<f32>;
@group(0) @binding(2) var<storage, read> grad_y: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> grad_x: array<vec4<f32>>;
@group(0) @binding(4) var<uniform> params: Params;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = invocation(group, lane);
    if (i >= params.rows) {
        return;
    }
    let start = i * params.quads;
    var products = vec4(0.0);
    for (var q = 0u; q < params.quads; q++) {
        products += y[start + q] * grad_y[start + q];
    }
    let f = factor[i];
    let along = select((products.x + products.y) + (products.z + products.w), 0.0, f > 9.9999e11);
    for (var q = 0u; q < params.quads; q++) {
        let at = start + q;
        let value = (grad_y[at] - y[at] * along) * f;
        if (params.accumulate != 0u) {
            grad_x[at] += value;
        } else {
            grad_x[at] = value;
        }
    }
}
