// y = (x - mean) · inverse · gamma + beta for each column, cut to 0 and a ceiling if told so. Each invocation has four
// columns of a few rows.
struct Params {
    rows: u32,
    quads: u32,
    clip: u32,
    ceiling: f32,
}
@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> moments: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> gamma: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> beta: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> y: array<vec4<f32>>;
@group(0) @binding(5) var<uniform> params: Params;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = invocation(group, lane);
    let quad = i % params.quads;
    let first = i / params.quads * ROWS;
    let mean = moments[quad];
    let scale = moments[params.quads + quad] * gamma[quad];
    let shift = beta[quad];
    let end = min(first + ROWS, params.rows);
    for (var r = first; r < end; r++) {
        let at = r * params.quads + quad;
        let scaled = (x[at] - mean) * scale;
        // As the backward pass decides it: a comparison is not changed by a fused multiply-add.
        let closed = (scaled <= -shift) & vec4(params.clip != 0u);
        let above = (scaled >= params.ceiling - shift) & vec4(params.clip != 0u);
        let value = select(scaled + shift, vec4(params.ceiling), above);
        y[at] = select(value, vec4(0.0), closed);
    }
}
