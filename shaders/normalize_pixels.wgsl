// y = (x - mean) / std by the channel of three; x has as many channels, or one, which is repeated.
struct Params {
    words: u32, // of y
    stride: u32, // of y
    cols: u32, // of y
    x_stride: u32,
    channels: u32, // of x
}
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> mean_and_std: array<vec4<f32>>;
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
    if (col < params.cols) {
        let channel = col % 3u;
        let x_col = select(col, col / 3u, params.channels == 1u);
        value = (x[row * params.x_stride + x_col] - mean_and_std[0][channel]) / mean_and_std[1][channel];
    }
    y[i] = value;
}
