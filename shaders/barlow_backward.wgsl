// The gradient of Barlow Twins' loss with respect to cross = n · c: 2 / n · lambda · c off the diagonal, 2 / n · (c - 1) on it.
struct Params {
    cols: u32,
    quads: u32, // of a row
    per_sample: f32, // 1 / n
    lambda: f32,
    slope: f32, // 2 / n
}
@group(0) @binding(0) var<storage, read> cross: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> dcross: array<vec4<f32>>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = invocation(group, lane);
    let row = i / params.quads;
    if (row >= params.cols) {
        return;
    }
    let col = (i % params.quads) * 4u + vec4(0u, 1u, 2u, 3u);
    let c = params.per_sample * cross[i];
    dcross[i] = params.slope * select(params.lambda * c, c - 1.0, col == vec4(row));
}
