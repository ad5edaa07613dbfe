// grad_x = Σ grad_y over the scale x scale pixels that were copies of this one (+ old grad_x), line by line.
struct Params {
    rows: u32, // of grad_x
    quads: u32,
    height: u32, // of grad_x
    width: u32,
    large_height: u32, // of grad_y
    large_width: u32,
    scale: u32,
    accumulate: u32,
}
@group(0) @binding(0) var<storage, read> grad_y: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> grad_x: array<vec4<f32>>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = invocation(group, lane);
    let row = i / params.quads;
    if (row >= params.rows) {
        return;
    }
    let start = row / (params.height * params.width) * params.large_height;
    let top = row / params.width % params.height * params.scale;
    let left = row % params.width * params.scale;
    var sum = vec4(0.0);
    for (var scanline = top; scanline < min(top + params.scale, params.large_height); scanline++) {
        for (var column = left; column < min(left + params.scale, params.large_width); column++) {
            sum += grad_y[((start + scanline) * params.large_width + column) * params.quads + i % params.quads];
        }
    }
    if (params.accumulate != 0u) {
        sum += grad_x[i];
    }
    grad_x[i] = sum;
}
