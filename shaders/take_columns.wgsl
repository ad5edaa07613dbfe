// y = some neighbouring columns of x (+ old y).
struct Params {
    words: u32, // of y
    stride: u32, // of y
    cols: u32, // of y
    x_stride: u32,
    first: u32,
    accumulate: u32,
}
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = invocation(group, lane);
    if (i >= params.words) {
        return;
    }
    let col = i % params.stride;
    var value = 0.0;
    if (col < params.cols) {
        value = x[i / params.stride * params.x_stride + params.first + col];
    }
    if (params.accumulate != 0u) {
        value += y[i];
    }
    y[i] = value;
}
