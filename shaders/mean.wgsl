// mean of a vector, summed four strands at a time. One invocation: vectors are as long as a batch.
struct Params {
    count: u32,
    quads: u32,
}
@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> mean: array<vec4<f32>>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = invocation(group, lane);
    if (i >= 1u) {
        return;
    }
    var sum = vec4(0.0);
    for (var q = 0u; q < params.quads; q++) {
        sum += x[q];
    }
    mean[0] = vec4(((sum.x + sum.y) + (sum.z + sum.w)) / f32(params.count), 0.0, 0.0, 0.0);
}
