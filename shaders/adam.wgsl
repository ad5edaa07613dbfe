// Adam (Kingma and Ba, 2015) and AdamW (Loshchilov and Hutter, 2019) as PyTorch defines them: d = clip · g + decay · w;
// m = β1 m + (1 - β1) d; v = β2 v + (1 - β2) d²; w -= lr (shrink · w + m̂ / (√v̂ + ε)). The decay is the first or the
// second of the two. m̂ and v̂ are m and v times this step's bias corrections, which the schedule holds.
struct Params {
    quads: u32,
    lr_column: u32,
    correction_column: u32,
    beta1: f32,
    beta2: f32,
    eps: f32,
    decay: f32,
    shrink: f32,
    max_norm: f32, // 0: no clipping
}
@group(0) @binding(0) var<storage, read_write> w: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> g: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> first: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> second: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> hyper: array<f32>;
@group(0) @binding(5) var<storage, read> norm: array<f32>;
@group(0) @binding(6) var<uniform> params: Params;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = invocation(group, lane);
    if (i >= params.quads) {
        return;
    }
    var clip = 1.0;
    if (params.max_norm > 0.0) {
        clip = min(1.0, params.max_norm / (norm[0] + 1e-6));
    }
    let weight = w[i];
    let d = clip * g[i] + params.decay * weight;
    let m = params.beta1 * first[i] + (1.0 - params.beta1) * d;
    let v = params.beta2 * second[i] + (1.0 - params.beta2) * (d * d);
    first[i] = m;
    second[i] = v;
    let deviation = sqrt(v * hyper[params.correction_column + 1u]) + params.eps;
    let direction = (m * hyper[params.correction_column]) / deviation;
    w[i] = weight - hyper[params.lr_column] * (params.shrink * weight + direction);
}
