// c = Σ_p parts[p], (zero where mask is not positive), (+ old c), parts in ascending order: the second half of a product
// whose k was cut into parts.
struct Params {
    quads: u32, // of c
    parts: u32,
    accumulate: u32,
    masked: u32,
}
@group(0) @binding(0) var<storage, read> products: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> mask: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> c: array<vec4<f32>>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = invocation(group, lane);
    if (i >= params.quads) {
        return;
    }
    var sum = products[i];
    for (var part = 1u; part < params.parts; part++) {
        sum += products[part * params.quads + i];
    }
    if (params.masked != 0u) {
        sum = select(vec4(0.0), sum, mask[i] > vec4(0.0));
    }
    if (params.accumulate != 0u) {
        sum += c[i];
    }
    c[i] = sum;
}
