// x[b * longest + f] = frame f of data[indices[b]]: a row of data holds its frames one after the other, without padding.
struct Params {
    rows: u32,
    channels: u32,
    quads: u32,
    longest: u32,
    data_stride: u32,
}
@group(0) @binding(0) var<storage, read> data: array<f32>;
@group(0) @binding(1) var<storage, read> indices: array<u32>;
@group(0) @binding(2) var<storage, read_write> x: array<vec4<f32>>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = invocation(group, lane);
    let row = i / params.quads;
    if (row >= params.rows) {
        return;
    }
    let first = indices[row / params.longest] * params.data_stride + (row % params.longest) * params.channels;
    let channel = (i % params.quads) * 4u;
    var values = vec4(0.0);
    for (var e = 0u; e < min(4u, params.channels - channel); e++) {
        values[e] = data[first + channel + e];
    }
    x[i] = values;
}
