// y = x with every pixel repeated scale times in both directions.
struct Params {
    rows: u32, // of y
    quads: u32,
    width: u32, // of x
    scale: u32,
}
@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4<f32>>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = invocation(group, lane);
    let row = i / params.quads;
    if (row >= params.rows) {
        return;
    }
    // Heights are multiples of scale: lines of y count on from map to map as those of x do.
    let line = row / (params.width * params.scale) / params.scale;
    let column = row / params.scale % params.width;
    y[i] = x[(line * params.width + column) * params.quads + i % params.quads];
}
