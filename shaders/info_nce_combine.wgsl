// From the parts of each row: log_sum = logΣ_j exp(z_ij), and loss = log_sum - z_ip with its positive's similarity.
struct Params {
    rows: u32,
    padded_rows: u32,
    cols: u32,
    quads: u32,
    parts: u32,
    shift: u32,
}
@group(0) @binding(0) var<storage, read> a: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> b: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> largest: array<f32>;
@group(0) @binding(3) var<storage, read> total: array<f32>;
@group(0) @binding(4) var<storage, read> hyper: array<f32>;
@group(0) @binding(5) var<storage, read_write> loss: array<f32>;
@group(0) @binding(6) var<storage, read_write> log_sum: array<f32>;
@group(0) @binding(7) var<uniform> params: Params;

fn log_sum_exp(row: u32) -> vec2<f32> {
    let first = row * params.parts;
    var top = largest[first];
    var sum = total[first];
    for (var part = 1u; part < params.parts; part++) {
        // A part in which nothing counted has total 0.
        let before = top;
        top = max(top, largest[first + part]);
        sum = sum * exp(max(before - top, -80.0)) + total[first + part] * exp(max(largest[first + part] - top, -80.0));
    }
    return vec2(top, log(sum));
}

fn loss_of(row: u32, top: f32, log_of_sum: f32) -> f32 {
    var products = vec4(0.0);
    let positive = (row + params.shift) % params.cols;
    for (var q = 0u; q < params.quads; q++) {
        products += a[row * params.quads + q] * b[positive * params.quads + q];
    }
    let positive_logit = ((products.x + products.y) + (products.z + products.w)) / hyper[0];
    return log_of_sum - (positive_logit - top);
}
