// y = the rows of x that are this step's, in turn: words as they are, whatever they mean.
struct Params {
    quads: u32,   // of y
    batches: u32, // in x
}
@group(0) @binding(0) var<storage, read> clock: array<u32>;
@group(0) @binding(1) var<storage, read> x: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read_write> y: array<vec4<u32>>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = invocation(group, lane);
    if (i < params.quads) {
        y[i] = x[(clock[0] % params.batches) * params.quads + i];
    }
}
