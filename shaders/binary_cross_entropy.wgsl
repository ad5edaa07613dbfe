// sums = (scale · Σ (log(1 + exp(z)) - y z), how many count) over the quads q = p, p + parts, ... of all rows. A wanted y that is
// below zero is not known, and does not count.
struct Params {
    quads: u32,
    row_quads: u32,
    cols: u32,
    parts: u32,
    scale: f32,
}
@group(0) @binding(0) var<storage, read> logits: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> wanted: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> sums: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = invocation(group, lane);
    if (i >= params.parts) {
        return;
    }
    var loss = vec4(0.0);
    var known = vec4(0.0);
    for (var q = i; q < params.quads; q += params.parts) {
        let z = logits[q];
        let y = wanted[q];
        // exp of what is not positive cannot overflow.
        let term = max(z, vec4(0.0)) - z * y + log(1.0 + exp(-abs(z)));
        let counts = inside(q % params.row_quads, params.cols) & (y >= vec4(0.0));
        loss += select(vec4(0.0), term, counts);
        known += select(vec4(0.0), vec4(1.0), counts);
    }
    sums[i] = params.scale * ((loss.x + loss.y) + (loss.z + loss.w));
    sums[params.parts + i] = (known.x + known.y) + (known.z + known.w);
}
