// Bytes of sample indices[s], divided by 255: all in one row of x, or a pixel in each of several rows. Samples are rows of
// packed bytes, lowest byte first.
struct Params {
    rows: u32,
    cols: u32,
    quads: u32,
    data_stride: u32,
    rows_per_sample: u32,
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
    let start = indices[row / params.rows_per_sample] * params.data_stride;
    let col = (i % params.quads) * 4u;
    let first = (row % params.rows_per_sample) * params.cols + col;
    var bytes = vec4(0u);
    if (ALIGNED != 0u) {
        // Rows start with words.
        let word = data[start + first / 4u];
        bytes = vec4(word & 255u, (word >> 8u) & 255u, (word >> 16u) & 255u, word >> 24u);
    } else {
        for (var e = 0u; e < 4u; e++) {
            // What lies beyond the row is dropped below, and must not be looked for beyond the sample.
            let byte = min(first + e, params.rows_per_sample * params.cols - 1u);
            bytes[e] = (data[start + byte / 4u] >> (8u * (byte % 4u))) & 255u;
        }
    }
    x[i] = select(vec4(0.0), vec4<f32>(bytes) / 255.0, col + vec4(0u, 1u, 2u, 3u) < vec4(params.cols));
}
