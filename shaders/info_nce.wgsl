// loss = logΣ_j exp(s_ij / τ) - s_ip / τ for each row i, p its positive: (i + shift) mod cols.
// Over two views of a batch (NT-Xent) the pair (i, i) is left out of the sum. The row maximum is subtracted first.
struct Params {
    rows: u32,
    padded_rows: u32,
    cols: u32,
    quads: u32,
    shift: u32,
    exclude_self: u32,
}
@group(0) @binding(0) var<storage, read> similarity: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> hyper: array<f32>;
@group(0) @binding(2) var<storage, read_write> loss: array<f32>;
@group(0) @binding(3) var<storage, read_write> log_sum: array<f32>;
@group(0) @binding(4) var<uniform> params: Params;

fn counts(row: u32, col: vec4<u32>) -> vec4<bool> {
    return (col < vec4(params.cols)) & ((col != vec4(row)) | vec4(params.exclude_self == 0u));
}

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = invocation(group, lane);
    if (i >= params.rows) {
        if (i < params.padded_rows) {
            loss[i] = 0.0;
            log_sum[i] = 0.0;
        }
        return;
    }
    let start = i * params.quads;
    let inverse_temperature = 1.0 / hyper[0];
    var largest4 = vec4(-3.4e38);
    for (var q = 0u; q < params.quads; q++) {
        let z = similarity[start + q] * inverse_temperature;
        largest4 = select(largest4, max(largest4, z), counts(i, 4u * q + vec4(0u, 1u, 2u, 3u)));
    }
    let largest = max(max(largest4.x, largest4.y), max(largest4.z, largest4.w));
    var sums = vec4(0.0);
    for (var q = 0u; q < params.quads; q++) {
        let z = similarity[start + q] * inverse_temperature - largest;
        sums += select(vec4(0.0), exp(max(z, vec4(-80.0))), counts(i, 4u * q + vec4(0u, 1u, 2u, 3u)));
    }
    let log_of_sum = log((sums.x + sums.y) + (sums.z + sums.w));
    let positive = (i + params.shift) % params.cols;
    let positive_logit = similarity[start + positive / 4u][positive % 4u] * inverse_temperature;
    loss[i] = log_of_sum - (positive_logit - largest);
    log_sum[i] = largest + log_of_sum;
}
