// Ends a step: writes (steps done, low half; loss; gradient norm; steps done, high half) to the step's row of a ring.
// The count is the proof that the step ran: a row that a dead device left behind has another one. Its halves of 16 bits
// are exact as floats.
struct Params {
    rows: u32,
}
@group(0) @binding(0) var<storage, read> clock: array<u32>;
@group(0) @binding(1) var<storage, read> loss: array<f32>;
@group(0) @binding(2) var<storage, read> norm: array<f32>;
@group(0) @binding(3) var<storage, read_write> ring: array<vec4<f32>>;
@group(0) @binding(4) var<uniform> params: Params;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = invocation(group, lane);
    if (i >= 1u) {
        return;
    }
    ring[clock[0] % params.rows] = vec4(f32(clock[1] & 0xFFFFu), loss[0], norm[0], f32(clock[1] >> 16u));
}
