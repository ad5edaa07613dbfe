// Mean and 1 / sqrt(variance + eps) of each column from those of its parts (Chan, Golub and LeVeque, 1979), and the
// running statistics: r = (1 - rate) r + rate · new, with the unbiased variance.
struct Params {
    rows: u32,
    part_rows: u32,
    parts: u32,
    cols: u32,
    quads: u32,
    rate_column: u32,
    eps: f32,
}
@group(0) @binding(0) var<storage, read> means: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> deviations: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> rates: array<f32>;
@group(0) @binding(3) var<storage, read_write> running_mean: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> running_variance: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> moments: array<vec4<f32>>;
@group(0) @binding(6) var<uniform> params: Params;

fn part_rows(part: u32) -> f32 {
    return f32(min(params.part_rows, params.rows - part * params.part_rows));
}

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = invocation(group, lane);
    if (i >= params.quads) {
        return;
    }
    let first = means[i];
    var sum = vec4(0.0);
    for (var part = 1u; part < params.parts; part++) {
        sum += part_rows(part) * (means[part * params.quads + i] - first);
    }
    let mean = first + sum / f32(params.rows);
    var squares = vec4(0.0);
    for (var part = 0u; part < params.parts; part++) {
        let d = means[part * params.quads + i] - mean;
        squares += deviations[part * params.quads + i] + part_rows(part) * (d * d);
    }
    moments[i] = mean;
    let inverse = inverseSqrt(squares / f32(params.rows) + params.eps);
    moments[params.quads + i] = select(vec4(0.0), inverse, inside(i, params.cols));
    let rate = rates[params.rate_column];
    running_mean[i] = (1.0 - rate) * running_mean[i] + rate * mean;
    running_variance[i] = (1.0 - rate) * running_variance[i] + rate * (squares / f32(max(params.rows, 2u) - 1u));
}
