// deltas = Σ y · grad_y over the columns of each head.
struct Params {
    rows: u32,
    stride: u32, // of y
    heads: u32,
    sums_stride: u32, // of deltas
}
@group(0) @binding(0) var<storage, read> y: array<f32>;
@group(0) @binding(1) var<storage, read> grad_y: array<f32>;
@group(0) @binding(2) var<storage, read_write> deltas: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = invocation(group, lane);
    let row = i / params.sums_stride;
    if (row >= params.rows) {
        return;
    }
    let head = i % params.sums_stride;
    var sum = 0.0;
    if (head < params.heads) {
        let start = row * params.stride + head * HEAD;
        for (var c = 0u; c < HEAD; c++) {
            sum += y[start + c] * grad_y[start + c];
        }
    }
    deltas[i] = sum;
}
