// grad_factors = Σ grad_y · x over the rows of a group (+ old contents).
struct Params {
    groups: u32,
    quads: u32,
    group_rows: u32,
    accumulate: u32,
}
@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> grad_y: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> grad_factors: array<vec4<f32>>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = invocation(group, lane);
    if (i >= params.groups * params.quads) {
        return;
    }
    let first = i / params.quads * params.group_rows;
    var sum = vec4(0.0);
    if (params.accumulate != 0u) {
        sum = grad_factors[i];
    }
    for (var r = first; r < first + params.group_rows; r++) {
        let at = r * params.quads + i % params.quads;
        sum += x[at] * grad_y[at];
    }
    grad_factors[i] = sum;
}
