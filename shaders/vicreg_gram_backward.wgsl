// Twice the gradient of VICReg's loss with respect to the gram matrix of a centred view z, so that the gradient of z is
// z·dgram: off the diagonal 4 covariance / cols · gram / (n - 1)², on it -variance / (2 cols (n - 1) σ) where σ < 1.
struct Params {
    cols: u32,
    quads: u32,
    per_freedom: f32, // 1 / (n - 1)
    covariance: f32, // times 4 / (cols (n - 1)²)
    variance: f32, // over 2 cols (n - 1)
}
@group(0) @binding(0) var<storage, read> gram: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> dgram: array<vec4<f32>>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = invocation(group, lane);
    let row = i / params.quads;
    if (row >= params.cols) {
        return;
    }
    let col = (i % params.quads) * 4u + vec4(0u, 1u, 2u, 3u);
    let deviation = sqrt(max(params.per_freedom * gram[i], vec4(0.0)) + 1e-4);
    let diagonal = select(vec4(0.0), -params.variance / deviation, deviation < vec4(1.0));
    dgram[i] = select(params.covariance * gram[i], diagonal, col == vec4(row));
}
