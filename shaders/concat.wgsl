// y = rows of a, then those of b beside them.
struct Params {
    words: u32, // of y
    stride: u32, // of y
    cols: u32, // of y
    a_stride: u32,
    a_cols: u32,
    b_stride: u32,
}
@group(0) @binding(0) var<storage, read> a: array<f32>;
@group(0) @binding(1) var<storage, read> b: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = invocation(group, lane);
    if (i >= params.words) {
        return;
    }
    let row = i / params.stride;
    let col = i % params.stride;
    var value = 0.0;
    if (col < params.a_cols) {
        value = a[row * params.a_stride + col];
    } else if (col < params.cols) {
        value = b[row * params.b_stride + col - params.a_cols];
    }
    y[i] = value;
}
