// Mean and 1 / sqrt(variance + eps) of each column from the running statistics.
struct Params {
    cols: u32,
    quads: u32,
    eps: f32,
}
@group(0) @binding(0) var<storage, read> running_mean: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> running_variance: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> moments: array<vec4<f32>>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = invocation(group, lane);
    if (i >= params.quads) {
        return;
    }
    moments[i] = running_mean[i];
    moments[params.quads + i] = select(vec4(0.0), inverseSqrt(running_variance[i] + params.eps), inside(i, params.cols));
}
