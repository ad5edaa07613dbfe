// partials[p] = scale · Σ h(pred - target) over the quads q = p, p + parts, ...; h(d) = c (d - c / 2), c = d clamped to
// ±delta: half the square up to delta, straight beyond (Huber, 1964). A delta beyond all differences makes it squares.
struct Params {
    quads: u32,
    parts: u32,
    delta: f32,
    scale: f32,
}
@group(0) @binding(0) var<storage, read> pred: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> wanted: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> partials: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = invocation(group, lane);
    if (i >= params.parts) {
        return;
    }
    var sum = vec4(0.0);
    for (var q = i; q < params.quads; q += params.parts) {
        let d = pred[q] - wanted[q];
        let c = clamp(d, vec4(-params.delta), vec4(params.delta));
        sum += c * (d - 0.5 * c);
    }
    partials[i] = params.scale * ((sum.x + sum.y) + (sum.z + sum.w));
}
