// x[r, e] = byte e of sample indices[r], divided by 255. Samples are rows of packed bytes, lowest byte first.
struct Params {
    rows: u32,
    cols: u32,
    quads: u32,
    data_stride: u32,
}
@group(0) @binding(0) var<storage, read> data: array<u32>;
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
    let quad = i % params.quads;
    let word = data[indices[row] * params.data_stride + quad];
    let bytes = vec4(word & 255u, (word >> 8u) & 255u, (word >> 16u) & 255u, word >> 24u);
    let col = quad * 4u + vec4(0u, 1u, 2u, 3u);
    x[i] = select(vec4(0.0), vec4<f32>(bytes) / 255.0, col < vec4(params.cols));
}
