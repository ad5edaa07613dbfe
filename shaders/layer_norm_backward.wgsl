// grad_x = inverse · (g - Σg / n - x̂ Σ(g x̂) / n) (+ old grad_x) for each row, with g = grad_y · gamma, x̂ = (x - mean) · inverse and
// sums over the n columns.
struct Params {
    rows: u32,
    cols: u32,
    quads: u32,
    accumulate: u32,
}
@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> grad_y: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> moments: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> gamma: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> grad_x: array<vec4<f32>>;
@group(0) @binding(5) var<uniform> params: Params;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = invocation(group, lane);
    if (i >= params.rows) {
        return;
    }
    let start = i * params.quads;
    let mean = moments[i].x;
    let inverse = moments[i].y;
    var sums = vec4(0.0);
    var products = vec4(0.0);
    for (var q = 0u; q < params.quads; q++) {
        let g = grad_y[start + q] * gamma[q];
        sums += g;
        products += g * ((x[start + q] - mean) * inverse);
    }
    let mean_g = ((sums.x + sums.y) + (sums.z + sums.w)) / f32(params.cols);
    let slope = ((products.x + products.y) + (products.z + products.w)) / f32(params.cols);
    for (var q = 0u; q < params.quads; q++) {
        let at = start + q;
        let g = grad_y[at] * gamma[q];
        let value = select(vec4(0.0), inverse * (g - mean_g - (x[at] - mean) * inverse * slope), inside(q, params.cols));
        if (params.accumulate != 0u) {
            grad_x[at] += value;
        } else {
            grad_x[at] = value;
        }
    }
}
