// total = Σ sums[1, p], mean = Σ sums[0, p] / total, or 0 if nothing has any weight.
struct Params {
    quads: u32,
}
@group(0) @binding(0) var<storage, read> sums: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> mean: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> total: array<vec4<f32>>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = invocation(group, lane);
    if (i >= 1u) {
        return;
    }
    var terms = vec4(0.0);
    var weights = vec4(0.0);
    for (var q = 0u; q < params.quads; q++) {
        terms += sums[q];
        weights += sums[params.quads + q];
    }
    let weight = (weights.x + weights.y) + (weights.z + weights.w);
    var of_all = 0.0;
    if (weight > 0.0) {
        of_all = ((terms.x + terms.y) + (terms.z + terms.w)) / weight;
    }
    mean[0] = vec4(of_all, 0.0, 0.0, 0.0);
    total[0] = vec4(weight, 0.0, 0.0, 0.0);
}
