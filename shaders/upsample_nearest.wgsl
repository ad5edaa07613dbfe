// y = x with every pixel repeated scale times in both directions, cut to size at the bottom and on the right.
struct Params {
    rows: u32, // of y
    quads: u32,
    height: u32, // of x
    width: u32,
    large_height: u32, // of y
    large_width: u32,
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
    let map = row / (params.large_height * params.large_width);
    let scanline = row / params.large_width % params.large_height / params.scale;
    let column = row % params.large_width / params.scale;
    y[i] = x[((map * params.height + scanline) * params.width + column) * params.quads + i % params.quads];
}
