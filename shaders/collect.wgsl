// all[first + r] = x[r], where first is the position of the batch whose turn it is: gathers batches in one buffer.
struct Params {
    rows: u32,
    quads: u32,
    batch_stride: u32,
    batches: u32,
    total: u32,
}
@group(0) @binding(0) var<storage, read> clock: array<u32>;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> all: array<vec4<f32>>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = invocation(group, lane);
    let row = i / params.quads;
    if (row >= params.rows) {
        return;
    }
    let to = (clock[0] % params.batches) * params.batch_stride + row;
    if (to < params.total) {
        all[to * params.quads + i % params.quads] = x[i];
    }
}
