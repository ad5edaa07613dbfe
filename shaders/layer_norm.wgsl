// y = (x - mean) / sqrt(variance + eps) · gamma + beta for each row. Keeps mean and inverse deviation for the backward
// pass.
struct Params {
    rows: u32,
    cols: u32,
    quads: u32,
    eps: f32,
}
@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> gamma: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> beta: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> y: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> moments: array<vec4<f32>>;
@group(0) @binding(5) var<uniform> params: Params;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = invocation(group, lane);
    if (i >= params.rows) {
        return;
    }
    let start = i * params.quads;
    var sums = vec4(0.0);
    for (var q = 0u; q < params.quads; q++) {
        sums += x[start + q];
    }
    let mean = ((sums.x + sums.y) + (sums.z + sums.w)) / f32(params.cols);
    var squares = vec4(0.0);
    for (var q = 0u; q < params.quads; q++) {
        let d = select(vec4(0.0), x[start + q] - mean, inside(q, params.cols));
        squares += d * d;
    }
    let variance = ((squares.x + squares.y) + (squares.z + squares.w)) / f32(params.cols);
    let inverse = inverseSqrt(variance + params.eps);
    moments[i] = vec4(mean, inverse, 0.0, 0.0);
    for (var q = 0u; q < params.quads; q++) {
        y[start + q] = (x[start + q] - mean) * (inverse * gamma[q]) + beta[q];
    }
}
