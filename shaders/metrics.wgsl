// Ends a step: writes (steps done, loss, gradient norm) to the step's row of a ring, as bits. The count is the proof
// that the step ran: a row that a dead device left behind has another one.
struct Params {
    rows: u32,
}
@group(0) @binding(0) var<storage, read> clock: array<u32>;
@group(0) @binding(1) var<storage, read> loss: array<f32>;
@group(0) @binding(2) var<storage, read> norm: array<f32>;
@group(0) @binding(3) var<storage, read_write> ring: array<vec4<u32>>;
@group(0) @binding(4) var<uniform> params: Params;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = invocation(group, lane);
    if (i >= 1u) {
        return;
    }
    ring[clock[0] % params.rows] = vec4(clock[1], bitcast<u32>(loss[0]), bitcast<u32>(norm[0]), 0u);
}
