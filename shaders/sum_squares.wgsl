// partials[p] = Σ x[q]² over the quads q = p, p + parts, ... The number of parts follows from the shape alone, so the
// order of summation is the same on all devices.
struct Params {
    quads: u32,
    parts: u32,
    line_shift: u32,
}
@group(0) @binding(1) var<storage, read_write> partials: array<f32>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = invocation(group, lane);
    if (i >= params.parts) {
        return;
    }
    var sum = vec4(0.0);
    for (var q = i; q < params.quads; q += params.parts) {
        let quad = x_quad(q);
        sum += quad * quad;
    }
    partials[i] = (sum.x + sum.y) + (sum.z + sum.w);
}
