// y = x / max(‖x‖, 1e-12) for each row. Keeps the factor for the backward pass.
// The row is scaled by its largest magnitude first: squares of large values would overflow, of small ones vanish.
struct Params {
    rows: u32,
    padded_rows: u32,
    quads: u32,
}
@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> factor: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = invocation(group, lane);
    if (i >= params.rows) {
        if (i < params.padded_rows) {
            factor[i] = 0.0;
        }
        return;
    }
    let start = i * params.quads;
    var largest = vec4(0.0);
    for (var q = 0u; q < params.quads; q++) {
        largest = max(largest, abs(x[start + q]));
    }
    let scale = max(max(max(largest.x, largest.y), max(largest.z, largest.w)), 1e-30);
    var squares = vec4(0.0);
    for (var q = 0u; q < params.quads; q++) {
        let v = x[start + q] / scale;
        squares += v * v;
    }
    let norm = scale * sqrt((squares.x + squares.y) + (squares.z + squares.w));
    let f = 1.0 / max(norm, 1e-12);
    factor[i] = f;
    for (var q = 0u; q < params.quads; q++) {
        y[start + q] = x[start + q] * f;
    }
}
