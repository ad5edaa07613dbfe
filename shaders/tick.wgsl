// Starts a step: clock = (this step, next step), hyper = this step's row of the schedule, which is a ring.
struct Params {
    rows: u32,
    quads: u32,
}
@group(0) @binding(0) var<storage, read_write> clock: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read> schedule: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> hyper: array<vec4<f32>>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = invocation(group, lane);
    if (i >= 1u) {
        return;
    }
    let step = clock[0].y;
    clock[0] = vec4(step, step + 1u, 0u, 0u);
    for (var q = 0u; q < params.quads; q++) {
        hyper[q] = schedule[(step % params.rows) * params.quads + q];
    }
}
