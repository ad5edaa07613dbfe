// windows[b, k] = 0 where window k of clip b, `hop` frames after the one before, lies within the clip's frames, else NO_TOKEN.
struct Params {
    rows: u32,
    count: u32, // windows that there is room for
    stride: u32, // words of a row
    window: u32, // frames
    hop: u32,
}
@group(0) @binding(0) var<storage, read> lengths: array<u32>;
@group(0) @binding(1) var<storage, read_write> windows: array<u32>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = invocation(group, lane);
    let row = i / params.stride;
    if (row >= params.rows) {
        return;
    }
    let at = i % params.stride;
    let within = at * params.hop + params.window <= lengths[row];
    windows[i] = select(0u, select(NO_TOKEN, 0u, within), at < params.count);
}
