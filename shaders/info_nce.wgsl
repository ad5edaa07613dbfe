// loss = logΣ_j exp(s_ij / τ) - s_ip / τ for each row i, p its positive: (i + shift) mod cols.
// Over two views of a batch (NT-Xent) the pair (i, i) is left out of the sum.
struct Params {
    rows: u32,
    padded_rows: u32,
    cols: u32,
    quads: u32,
    shift: u32,
    two_views: u32,
}
@group(0) @binding(0) var<storage, read> similarity: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> hyper: array<f32>;
@group(0) @binding(2) var<storage, read_write> loss: array<f32>;
@group(0) @binding(3) var<storage, read_write> log_sum: array<f32>;
@group(0) @binding(4) var<uniform> params: Params;

fn log_sum_exp(row: u32) -> vec2<f32> {
    let start = row * params.quads;
    let inverse_temperature = 1.0 / hyper[0];
    var largest4 = vec4(-3.4e38);
    for (var q = 0u; q < params.quads; q++) {
        let z = similarity[start + q] * inverse_temperature;
        largest4 = select(largest4, max(largest4, z), counts(row, 4u * q + vec4(0u, 1u, 2u, 3u), params.cols));
    }
    let largest = max(max(largest4.x, largest4.y), max(largest4.z, largest4.w));
    var sums = vec4(0.0);
    for (var q = 0u; q < params.quads; q++) {
        let z = similarity[start + q] * inverse_temperature - largest;
        sums += select(vec4(0.0), exp(max(z, vec4(-80.0))), counts(row, 4u * q + vec4(0u, 1u, 2u, 3u), params.cols));
    }
    return vec2(largest, log((sums.x + sums.y) + (sums.z + sums.w)));
}

fn loss_of(row: u32, largest: f32, log_of_sum: f32) -> f32 {
    let inverse_temperature = 1.0 / hyper[0];
    let positive = (row + params.shift) % params.cols;
    let positive_logit = similarity[row * params.quads + positive / 4u][positive % 4u] * inverse_temperature;
    return log_of_sum - (positive_logit - largest);
}
