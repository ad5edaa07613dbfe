// grad_x = inverse · gamma · (grad_y - Σgrad_y / n - x̂ Σ(grad_y x̂) / n) (+ old grad_x), with x̂ = (x - mean) · inverse and sums over the n
// rows; with constant moments (centred = 0) both sums are left out. Where y was cut grad_y is zero: see norm_sums.
struct Params {
    rows: u32,
    quads: u32,
    centred: u32,
    clip: u32,
    ceiling: f32,
    accumulate: u32,
}
@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> grad_y: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> moments: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> gamma: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> beta: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read> sum: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read> product: array<vec4<f32>>;
@group(0) @binding(7) var<storage, read_write> grad_x: array<vec4<f32>>;
@group(0) @binding(8) var<uniform> params: Params;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = invocation(group, lane);
    let quad = i % params.quads;
    let first = i / params.quads * ROWS;
    let mean = moments[quad];
    let inverse = moments[params.quads + quad];
    let scale = inverse * gamma[quad];
    let shift = beta[quad];
    var mean_grad_y = vec4(0.0);
    var slope = vec4(0.0);
    if (params.centred != 0u) {
        mean_grad_y = sum[quad] / f32(params.rows);
        slope = inverse * (product[quad] / f32(params.rows));
    }
    let end = min(first + ROWS, params.rows);
    for (var r = first; r < end; r++) {
        let at = r * params.quads + quad;
        let d = x[at] - mean;
        let closed = ((d * scale <= -shift) | (d * scale >= params.ceiling - shift)) & vec4(params.clip != 0u);
        let value = scale * (select(grad_y[at], vec4(0.0), closed) - mean_grad_y - d * slope);
        if (params.accumulate != 0u) {
            grad_x[at] += value;
        } else {
            grad_x[at] = value;
        }
    }
}
